//! A question the cache has no answer for, on the async side: [`Core::wait`], then [`Core::conclude`].
//!
//! Asked once for all who wait ([`flight`](super::flight)); what comes back is decided and written for each of them. Who
//! waits holds the message and nothing to write into, since thousands may wait.
//! While an expired answer may be used (RFC 8767 §5), an asker waits for a fresh one no longer than the client timeout.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::model::name::wire_to_text;
use crate::observe::counters::{Counters, Dropped, Path, Shed};

use super::access::Source;
use super::access::domains::Place;
use super::cache::Kept;
use super::core::{Asker, Core, Fast, Size, View, options, within};
use super::decide::on_targets;
use super::flight::{Joined, Outcome, Wanted};
use super::local::Chain;
use super::query::{Parsed, Query, parse};
use super::reply::{self, Ede};
use super::wire::{HEADER, rcode};

/// Leave to wait for an upstream, until it is dropped.
#[derive(Debug)]
pub struct Permit {
    _waiting: OwnedSemaphorePermit,
    _place: Place,
}

/// What came of waiting.
pub struct Awaited {
    /// A name of ours that leads to somebody else's: what was waited for is the rest.
    chain: Option<Chain>,
    /// The expired answer that may be used if there is no other.
    stale: Option<Arc<Kept>>,
    learned: Learned,
}

/// What an asker learns by waiting.
enum Learned {
    Outcome(Outcome),
    /// Nothing within the client timeout.
    Late,
    /// There was no place for the question, or none to wait for it.
    Shed(Shed),
}

impl Core {
    /// Leave for a query to wait for an upstream; the reason if too many do already, in all or for its domain. To be
    /// asked for before [`Self::wait`]. What a question needs besides is its flight's business.
    pub fn permit(&self, message: &[u8]) -> Result<Permit, Shed> {
        let _waiting = self.waiting.clone().try_acquire_owned().map_err(|_| Shed::Waiting)?;
        let name = message.get(HEADER..).unwrap_or_default(); // never compressed: fast() called it a query
        Ok(Permit { _waiting, _place: self.waiters.enter(name)? })
    }

    /// Waits until no query waits for an upstream any more.
    pub async fn drained(&self) {
        let _ = self.waiting.acquire_many(self.max_waiting).await;
    }

    /// Answers a message [`Self::fast`] could not, when there is no permit: with an expired answer if those may be
    /// used, else SERVFAIL; never silence.
    pub fn overloaded(&self, message: &[u8], from: &Asker, shed: Shed, counters: &Counters, out: &mut [u8]) -> Fast {
        counters.shed[shed as usize].inc();
        let Parsed::Query(mut query) = parse(message) else {
            counters.dropped(Dropped::Short);
            return Fast::Drop; // fast() called it a query, so this does not happen
        };
        let (policy, settings) = (self.policy.load(), self.settings.load());
        let view = View { policy: &policy, settings: &settings, counters, now: self.clock.now() };
        query.options = options(&query, from, &settings);
        let source = self.source_again(&mut query, from, &view);
        let out = within(from.size.limit(&query), out);
        let fast = match self.cache.find(query.key(), view.now).stale(&settings, view.now) {
            Some(stale) => self.stale(&query, &stale, from, Path::Cached, &view, out),
            None => shed_reply(&query, shed, counters, out),
        };
        self.access.leave(&query, source, fast, from, &view, out)
    }

    /// What [`Self::fast`] found out about the source; after a reload that turned cookies on, the length may be wrong.
    fn source_again(&self, query: &mut Query, from: &Asker, view: &View) -> Source {
        self.access.judge_again(query, from, view).unwrap_or(Source::Unproven)
    }

    /// Has an upstream asked what a message needs that [`Self::fast`] called a miss, and waits for it; `None` if it is
    /// no query.
    ///
    /// Cancel-safe: dropping the future leaves the question under way, and its answer comes into the cache.
    pub async fn wait(&self, message: &[u8], counters: &Counters) -> Option<Awaited> {
        // what is asked for is small, the query is not: it is read again in the end
        let (chain, wanted) = {
            let Parsed::Query(query) = parse(message) else { return None };
            // a name of ours that leads to somebody else's: the rest is asked for and kept under its own name
            let chain = self.settings.load().local.chain(&query);
            let wanted = chain.as_ref().map_or_else(|| Wanted::of(&query), |chain| Wanted::rest(&query, chain));
            (chain, wanted)
        };
        let (stale, learned) = self.learn(wanted, counters).await;
        Some(Awaited { chain, stale, learned })
    }

    /// Answers a message with what came of waiting. `out` as for [`Self::fast`].
    pub fn conclude(
        &self,
        message: &[u8],
        from: &Asker,
        awaited: Option<Awaited>,
        counters: &Counters,
        out: &mut [u8],
    ) -> Fast {
        let (Parsed::Query(mut query), Some(Awaited { chain, stale, learned })) = (parse(message), awaited) else {
            counters.dropped(Dropped::Short);
            return Fast::Drop; // as above
        };
        let out = within(from.size.limit(&query), out);
        let (policy, settings) = (self.policy.load(), self.settings.load());
        query.options = options(&query, from, &settings);
        let view = View { policy: &policy, settings: &settings, counters, now: self.clock.now() };
        let source = self.source_again(&mut query, from, &view);
        let (stale, learned) = match chain {
            Some(chain) => (None, whole(chain, learned, &view)),
            None => (stale, learned),
        };
        // the policy may have changed while we waited: the name asked is decided again
        let fast = match on_targets(query.name(), query.qtype, &policy) {
            Some(verdict) if !self.access.is_exempt(from.client, &view) => view.block(&query, &verdict, false, out),
            _ => self.learned(&query, learned, stale, from, &view, out),
        };
        self.access.leave(&query, source, fast, from, &view, out)
    }

    /// Answers with what there was to learn, or with the stale answer if that was no answer.
    fn learned(
        &self,
        query: &Query,
        learned: Learned,
        stale: Option<Arc<Kept>>,
        from: &Asker,
        view: &View,
        out: &mut [u8],
    ) -> Fast {
        let counters = view.counters;
        let usable = |kept: &Arc<Kept>| !kept.answer.truncated && !kept.answer.is_error();
        match (learned, stale) {
            (Learned::Outcome(Outcome::Answer(kept)), _) if usable(&kept) => {
                self.answer(query, &kept, from, Path::Forwarded, view, out)
            }
            (_, Some(stale)) => self.stale(query, &stale, from, Path::Forwarded, view, out),
            // what TCP did not bring cannot be had: a client on TCP has nowhere else to ask
            (Learned::Outcome(Outcome::Answer(kept)), _) if kept.answer.truncated && from.size == Size::Stream => {
                failed(query, Ede::NETWORK_ERROR, counters, out)
            }
            (Learned::Outcome(Outcome::Answer(kept)), _) => self.answer(query, &kept, from, Path::Forwarded, view, out),
            (Learned::Outcome(Outcome::KeptFailure(failure)), _) => view.kept_failure(query, &failure, from.size, out),
            (Learned::Outcome(Outcome::Failed(failure)), _) => {
                tracing::debug!(name = %wire_to_text(query.name()), ?failure, "no upstream answered");
                failed(query, failure.ede(), counters, out)
            }
            (Learned::Shed(shed), _) => shed_reply(query, shed, counters, out),
            (Learned::Late, _) => failed(query, Ede::NETWORK_ERROR, counters, out),
        }
    }

    /// Waits for what there is to learn, and says which expired answer may be used if that is nothing.
    async fn learn(&self, wanted: Wanted, counters: &Counters) -> (Option<Arc<Kept>>, Learned) {
        let (stale, max_ttl, limit) = {
            let settings = self.settings.load();
            let now = self.clock.now();
            let stale = self.cache.find(&wanted.key, now).stale(&settings, now);
            (stale, settings.max_ttl, settings.stale.map(|stale| stale.client_timeout))
        };
        let waiter = match self.flights.join(wanted, max_ttl) {
            Joined::Wait(waiter, joined) => {
                counters.joined.add(u64::from(joined));
                waiter
            }
            Joined::Known(outcome) => return (stale, Learned::Outcome(outcome)),
            Joined::Full(shed) => {
                counters.shed[shed as usize].inc();
                return (stale, Learned::Shed(shed));
            }
        };
        let learned = match limit.filter(|_| stale.is_some()) {
            Some(limit) => timeout(limit, waiter.outcome()).await.map_or(Learned::Late, Learned::Outcome),
            None => Learned::Outcome(waiter.outcome().await),
        };
        (stale, learned)
    }
}

/// A chain of ours with the rest an upstream knows. A rest that was cut off cannot be put behind it.
fn whole(chain: Chain, learned: Learned, view: &View) -> Learned {
    let Learned::Outcome(Outcome::Answer(rest)) = learned else { return learned };
    let joined = match rest.answer.truncated {
        false => chain.join(Some((&rest.answer, rest.age(view.now)))),
        true => None,
    };
    joined.map_or(Learned::Late, |joined| {
        let kept = Kept::new(joined.of_ours(), view.now, view.settings.max_ttl);
        Learned::Outcome(Outcome::Answer(Arc::new(kept)))
    })
}

/// Says that too many wait, and of which kind.
fn shed_reply(query: &Query, shed: Shed, counters: &Counters, out: &mut [u8]) -> Fast {
    counters.response(rcode::SERVFAIL);
    let error = [(Ede::NETWORK_ERROR, shed.text())];
    Fast::Reply(reply::error_with(query, rcode::SERVFAIL, error, out), Some(Path::Forwarded))
}

fn failed(query: &Query, ede: Ede, counters: &Counters, out: &mut [u8]) -> Fast {
    counters.response(rcode::SERVFAIL);
    Fast::Reply(reply::error(query, rcode::SERVFAIL, ede, out), Some(Path::Forwarded))
}
