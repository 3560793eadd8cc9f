//! A question the cache has no answer for, on the async side: [`Core::wait`], then [`Core::conclude`].
//!
//! Asked once for all who wait ([`flight`](super::flight)); what comes back is decided and written for each of them. Who
//! waits holds the message and nothing to write into, since thousands may wait.
//!
//! While an expired answer may be used (RFC 8767 §5), an asker waits for a fresh one no longer than the client timeout.

use std::pin::pin;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::model::name::wire_to_text;
use crate::observe::counters::{Counters, Dropped, LocalKind, Path, Shed};

use super::access::Source;
use super::access::domains::Place;
use super::cache::Found;
use super::core::{Asker, Core, Fast, Size, View, What, options, within};
use super::flight::{Joined, Outcome, Wanted};
use super::local::{Chain, Local, Said};
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
pub struct Awaited(Came);

enum Came {
    /// The name has become one of ours since [`Core::fast`] looked: nobody was asked.
    Ours(LocalKind, Said),
    /// This is what was learned; with CNAMEs of ours that lead to somebody else's name, about the rest.
    Learned(Option<Chain>, Learned),
}

/// What an asker learns by waiting.
enum Learned {
    Outcome(Outcome),
    /// Nothing within the client timeout.
    Late,
    /// There was no place for the question, or none to wait for it.
    Shed(Shed),
}

/// Who is to be asked, by the settings in force now.
enum Whose {
    Ours(LocalKind, Said),
    /// Somebody else, about the name or about the one that CNAMEs of ours lead to.
    Theirs(Option<Chain>),
}

impl Whose {
    fn of(query: &Query, local: &Local) -> Self {
        let Some(kind) = local.kind(query.name(), query.qtype) else { return Self::Theirs(None) };
        match local.answer(query) {
            Said::Elsewhere(chain) => Self::Theirs(Some(chain)),
            said => Self::Ours(kind, said),
        }
    }
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
        self.again(message, from, counters, out, |query, view, out| {
            let came = match Whose::of(query, &view.settings.local) {
                Whose::Ours(kind, said) => Came::Ours(kind, said),
                Whose::Theirs(chain) => Came::Learned(chain, Learned::Shed(shed)),
            };
            self.came(query, came, from, view, out)
        })
    }

    /// Answers a message whose answer a stream has no room for, because the client does not read.
    pub fn unread(&self, message: &[u8], from: &Asker, counters: &Counters, out: &mut [u8]) -> Fast {
        self.again(message, from, counters, out, |query, _, out| {
            counters.response(rcode::SERVFAIL);
            let error = [(Ede::NETWORK_ERROR, &b"too many answers on this connection wait to be read"[..])];
            Fast::Reply(reply::error_with(query, rcode::SERVFAIL, error, out), Some(Path::Forwarded))
        })
    }

    /// Reads a message again that [`Self::fast`] called a query, and answers it by what is in force now.
    fn again(
        &self,
        message: &[u8],
        from: &Asker,
        counters: &Counters,
        out: &mut [u8],
        answer: impl FnOnce(&Query, &View, &mut [u8]) -> Fast,
    ) -> Fast {
        let Parsed::Query(mut query) = parse(message) else {
            counters.dropped(Dropped::Short);
            return Fast::Drop; // it was called a query, so this does not happen
        };
        let (policy, settings) = (self.policy.load(), self.settings.load());
        let view =
            View { policy: &policy, settings: &settings, counters, now: self.clock.now(), near: None, preview: None };
        query.options = options(&query, from, &settings);
        let source = self.source_again(&mut query, from, &view);
        let out = within(from.size.limit(&query), out);
        let fast = answer(&query, &view, out);
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
        // before the settings: what is decided by old ones is not kept in the time of new ones
        let epoch = self.cache.epoch();
        // what is asked for is small, the query is not: it is read again in the end
        let (chain, wanted) = {
            let Parsed::Query(query) = parse(message) else { return None };
            match Whose::of(&query, &self.settings.load().local) {
                Whose::Ours(kind, said) => return Some(Awaited(Came::Ours(kind, said))),
                Whose::Theirs(None) => (None, Wanted::of(&query, epoch)),
                // the rest is asked for and kept under its own name
                Whose::Theirs(Some(chain)) => {
                    let wanted = Wanted::rest(&query, &chain, epoch);
                    (Some(chain), wanted)
                }
            }
        };
        let learned = self.learn(wanted, counters).await;
        Some(Awaited(Came::Learned(chain, learned)))
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
        let Some(Awaited(came)) = awaited else {
            counters.dropped(Dropped::Short);
            return Fast::Drop; // as in again()
        };
        self.again(message, from, counters, out, |query, view, out| {
            // the policy may have changed while we waited: the name asked is decided again
            match self.listed(query.name(), query, from, view) {
                Some(verdict) => view.block(query, &verdict, false, out),
                None => self.came(query, came, from, view, out),
            }
        })
    }

    /// Answers with what came of waiting, or with what the cache has if that is no answer.
    fn came(&self, query: &Query, came: Came, from: &Asker, view: &View, out: &mut [u8]) -> Fast {
        let (chain, learned) = match came {
            Came::Ours(kind, said) => {
                view.counters.local(kind);
                return self.said(query, said, from, view, out);
            }
            Came::Learned(chain, learned) => (chain, learned),
        };
        if let Some(verdict) = chain.as_ref().and_then(|chain| self.listed(chain.targets(), query, from, view)) {
            return view.block(query, &verdict, true, out);
        }
        let (chain, key) = (chain.as_ref(), chain.as_ref().map(|chain| chain.key(query)));
        let found = match &learned {
            Learned::Outcome(Outcome::Answer(kept)) if !kept.answer.truncated && !kept.answer.is_error() => {
                Found::Fresh(kept.clone())
            }
            // looked up only now: what has been flushed meanwhile is gone, and serve_stale may be off
            _ => self.cache.find(key.as_deref().unwrap_or_else(|| query.key()), view.now),
        };
        if let Found::Fresh(kept) = found {
            return self.show(query, What::fresh(chain, &kept, view), from, Path::Forwarded, view, out);
        }
        match found.stale(view.settings, view.now) {
            Some(kept) => self.show(query, What::stale(chain, &kept), from, Path::Forwarded, view, out),
            None => self.failed(query, chain, learned, from, view, out),
        }
    }

    /// Answers with the failure that was all there was to learn.
    fn failed(
        &self,
        query: &Query,
        chain: Option<&Chain>,
        learned: Learned,
        from: &Asker,
        view: &View,
        out: &mut [u8],
    ) -> Fast {
        match learned {
            // what TCP did not bring cannot be had: a client on TCP has nowhere else to ask
            Learned::Outcome(Outcome::Answer(kept)) if kept.answer.truncated && from.size == Size::Stream => {
                failure(query, Ede::NETWORK_ERROR, view.counters, out)
            }
            Learned::Outcome(Outcome::Answer(kept)) => {
                self.show(query, What::fresh(chain, &kept, view), from, Path::Forwarded, view, out)
            }
            Learned::Outcome(Outcome::KeptFailure(failed)) => view.kept_failure(query, &failed, from.size, out),
            Learned::Outcome(Outcome::Failed(failed)) => {
                tracing::debug!(name = %wire_to_text(query.name()), failure = ?failed, "no upstream answered");
                failure(query, failed.ede(), view.counters, out)
            }
            Learned::Shed(shed) => shed_reply(query, shed, view.counters, out),
            Learned::Late => failure(query, Ede::NETWORK_ERROR, view.counters, out),
        }
    }

    /// Waits for what there is to learn; no longer than the client timeout while there is an expired answer to use.
    async fn learn(&self, wanted: Wanted, counters: &Counters) -> Learned {
        let (max_ttl, hurry) = {
            let settings = self.settings.load();
            let limit = settings.stale.filter(|_| self.has_stale(&wanted.key)).map(|stale| stale.client_timeout);
            (settings.max_ttl, limit.map(|limit| (limit, wanted.key.clone())))
        };
        let waiter = match self.flights.join(wanted, max_ttl) {
            Joined::Wait(waiter, joined) => {
                counters.joined.add(u64::from(joined));
                waiter
            }
            Joined::Known(outcome) => return Learned::Outcome(outcome),
            Joined::Full(shed) => {
                counters.shed[shed as usize].inc();
                return Learned::Shed(shed);
            }
        };
        let mut outcome = pin!(waiter.outcome());
        if let Some((limit, key)) = hurry {
            match timeout(limit, outcome.as_mut()).await {
                Ok(outcome) => return Learned::Outcome(outcome),
                Err(_) if self.has_stale(&key) => return Learned::Late,
                Err(_) => {} // it has been flushed: nothing is gained by giving up
            }
        }
        Learned::Outcome(outcome.await)
    }

    /// Whether there is an expired answer that may be used.
    fn has_stale(&self, key: &[u8]) -> bool {
        let now = self.clock.now();
        self.cache.find(key, now).stale(&self.settings.load(), now).is_some()
    }
}

/// Says that too many wait, and of which kind.
fn shed_reply(query: &Query, shed: Shed, counters: &Counters, out: &mut [u8]) -> Fast {
    counters.response(rcode::SERVFAIL);
    let error = [(Ede::NETWORK_ERROR, shed.text())];
    Fast::Reply(reply::error_with(query, rcode::SERVFAIL, error, out), Some(Path::Forwarded))
}

fn failure(query: &Query, ede: Ede, counters: &Counters, out: &mut [u8]) -> Fast {
    counters.response(rcode::SERVFAIL);
    Fast::Reply(reply::error(query, rcode::SERVFAIL, ede, out), Some(Path::Forwarded))
}
