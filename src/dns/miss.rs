//! [`Core::miss`]: a question the cache has no answer for, on the async side.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::model::name::wire_to_text;
use crate::observe::counters::{Counters, Dropped, Path};

use super::cache::Kept;
use super::core::{Asker, Core, Fast, Size, View, options};
use super::decide::on_targets;
use super::query::{Parsed, parse};
use super::reply::{self, Ede};
use super::resolve::{Failure, Question};
use super::wire::rcode;

impl Core {
    /// Leave to wait for an upstream; `None` if too many do already. To be asked for before [`Self::miss`].
    pub fn permit(&self) -> Option<OwnedSemaphorePermit> {
        self.misses.clone().try_acquire_owned().ok()
    }

    /// Waits until no question waits for an upstream any more.
    pub async fn drained(&self) {
        let _ = self.misses.acquire_many(self.max_misses).await;
    }

    /// Answers a message [`Self::fast`] could not, when there is no permit: SERVFAIL, never silence.
    pub fn overloaded(&self, message: &[u8], from: &Asker, counters: &Counters, out: &mut [u8]) -> Fast {
        self.failed(message, from, Ede::NETWORK_ERROR, counters, out)
    }

    fn failed(&self, message: &[u8], from: &Asker, ede: Ede, counters: &Counters, out: &mut [u8]) -> Fast {
        let Parsed::Query(mut query) = parse(message) else {
            counters.dropped(Dropped::Short);
            return Fast::Drop; // fast() called it a query, so this does not happen
        };
        let settings = self.settings.load();
        query.options = options(&query, from, &settings);
        counters.response(rcode::SERVFAIL);
        Fast::Reply(reply::error(&query, rcode::SERVFAIL, ede, out), Some(Path::Forwarded))
    }

    /// Answers a message [`Self::fast`] called a miss, by asking upstreams. `out` as there.
    ///
    /// Cancel-safe: dropping the future leaves nothing behind but an answer that is not cached.
    pub async fn miss(&self, message: &[u8], from: &Asker, counters: &Counters, out: &mut [u8]) -> Fast {
        let Parsed::Query(mut query) = parse(message) else {
            return self.failed(message, from, Ede::OTHER, counters, out);
        };
        let question = Question {
            section: super::answer::question_of(&query),
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
        let kept = Arc::new(Kept::new(answer, view.now, settings.max_ttl));
        self.cache.put(query.key(), kept.clone());
        // the policy may have changed while we waited: the name asked is decided again
        if let Some(verdict) = on_targets(query.name(), query.qtype, &policy) {
            return view.block(&query, &verdict, false, out);
        }
        view.answer(&query, &kept, from.size, Path::Forwarded, out)
    }
}
