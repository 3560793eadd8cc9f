//! [`Core::miss`]: a question the cache has no answer for, on the async side.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::model::name::wire_to_text;
use crate::observe::counters::{Counters, Dropped, Path, Shed};

use super::access::Source;
use super::access::domains::Place;
use super::answer::question_of;
use super::cache::Kept;
use super::core::{Asker, Core, Fast, Size, View, options, within};
use super::decide::on_targets;
use super::local::Chain;
use super::query::{Parsed, Query, parse};
use super::reply::{self, Ede};
use super::resolve::{Failure, Question};
use super::wire::{HEADER, rcode};

/// Leave to wait for an upstream, until it is dropped.
#[derive(Debug)]
pub struct Permit {
    _miss: OwnedSemaphorePermit,
    _place: Place,
}

impl Core {
    /// Leave to wait for an upstream, for a message [`Self::fast`] called a miss; the reason if there is none. To be asked
    /// for before [`Self::miss`].
    pub fn permit(&self, message: &[u8]) -> Result<Permit, Shed> {
        let place = self.access.domains.enter(message.get(HEADER..).unwrap_or_default())?;
        let miss = self.misses.clone().try_acquire_owned().map_err(|_| Shed::Queue)?;
        Ok(Permit { _miss: miss, _place: place })
    }

    /// Waits until no question waits for an upstream any more.
    pub async fn drained(&self) {
        let _ = self.misses.acquire_many(self.max_misses).await;
    }

    /// Answers a message [`Self::fast`] could not, when there is no permit: SERVFAIL, never silence.
    pub fn overloaded(&self, message: &[u8], from: &Asker, shed: Shed, counters: &Counters, out: &mut [u8]) -> Fast {
        counters.shed[shed as usize].inc();
        self.failed_with(message, from, (Ede::NETWORK_ERROR, shed.text()), counters, out)
    }

    fn failed(&self, message: &[u8], from: &Asker, ede: Ede, counters: &Counters, out: &mut [u8]) -> Fast {
        self.failed_with(message, from, (ede, b""), counters, out)
    }

    fn failed_with(
        &self,
        message: &[u8],
        from: &Asker,
        (ede, text): (Ede, &'static [u8]),
        counters: &Counters,
        out: &mut [u8],
    ) -> Fast {
        let Parsed::Query(mut query) = parse(message) else {
            counters.dropped(Dropped::Short);
            return Fast::Drop; // fast() called it a query, so this does not happen
        };
        let (policy, settings) = (self.policy.load(), self.settings.load());
        let view = View { policy: &policy, settings: &settings, counters, now: self.clock.now() };
        query.options = options(&query, from, &settings);
        let source = self.source_again(&mut query, from, &view);
        let out = within(from.size.limit(&query), out);
        counters.response(rcode::SERVFAIL);
        let len = reply::error_with(&query, rcode::SERVFAIL, ede, text, out);
        self.access.leave(&query, source, Fast::Reply(len, Some(Path::Forwarded)), from, &view, out)
    }

    /// What [`Self::fast`] found out about the source; after a reload that turned cookies on, the length may be wrong.
    fn source_again(&self, query: &mut Query, from: &Asker, view: &View) -> Source {
        self.access.judge(query, from, &view.settings.access, view.now).unwrap_or(Source::Unproven)
    }

    /// Answers a message [`Self::fast`] called a miss, by asking upstreams. `out` as there.
    ///
    /// Cancel-safe: dropping the future leaves nothing behind but an answer that is not cached.
    pub async fn miss(&self, message: &[u8], from: &Asker, counters: &Counters, out: &mut [u8]) -> Fast {
        let Parsed::Query(mut query) = parse(message) else {
            return self.failed(message, from, Ede::OTHER, counters, out);
        };
        let out = within(from.size.limit(&query), out);
        // a name of ours that leads to somebody else's: the rest is asked for and kept under its own name
        let chain = self.settings.load().local.chain(&query);
        let question = Question {
            section: chain.as_ref().map_or_else(|| question_of(&query), Chain::rest),
            dnssec_ok: query.dnssec_ok(),
            checking_disabled: query.checking_disabled(),
        };
        let answer = match self.upstreams.resolve(&question).await {
            // what TCP did not bring cannot be had: a client on TCP has nowhere else to ask
            Ok(answer) if answer.truncated && from.size == Size::Stream => {
                return self.failed(message, from, Ede::NETWORK_ERROR, counters, out);
            }
            Ok(answer) => answer,
            Err(failure) => {
                tracing::debug!(name = %wire_to_text(query.name()), ?failure, "no upstream answered");
                let ede = match failure {
                    Failure::Silence => Ede::NO_REACHABLE_AUTHORITY,
                    Failure::Network | Failure::Garbage => Ede::NETWORK_ERROR,
                };
                return self.failed(message, from, ede, counters, out);
            }
        };
        let (policy, settings) = (self.policy.load(), self.settings.load());
        query.options = options(&query, from, &settings);
        let view = View { policy: &policy, settings: &settings, counters, now: self.clock.now() };
        let source = self.source_again(&mut query, from, &view);
        let kept = Arc::new(Kept::new(answer, view.now, settings.max_ttl));
        let kept = match chain {
            None => {
                self.cache.put(query.key(), kept.clone());
                kept
            }
            Some(chain) => {
                self.cache.put(&chain.key(&query), kept.clone());
                let Some(joined) = chain.join(Some((&kept.answer, 0))) else {
                    return self.failed(message, from, Ede::OTHER, counters, out);
                };
                Arc::new(Kept::new(joined.of_ours(), view.now, settings.max_ttl))
            }
        };
        // the policy may have changed while we waited: the name asked is decided again
        let fast = match on_targets(query.name(), query.qtype, &policy) {
            Some(verdict) if !self.access.is_exempt(from.client, &view) => view.block(&query, &verdict, false, out),
            _ => self.answer(&query, &kept, from, Path::Forwarded, &view, out),
        };
        self.access.leave(&query, source, fast, from, &view, out)
    }
}
