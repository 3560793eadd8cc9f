//! [`Core`]: the one brain behind every transport.
//!
//! Two functions. [`Core::fast`] answers what it can without waiting: listed names, cached names, errors; it takes no lock
//! of the control plane, allocates nothing and reads no clock. [`Core::miss`] does the rest and may wait for an upstream.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use futures_util::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::name::wire_to_text;
use crate::observe::counters::{Counters, Dropped, Path};
use crate::policy::{PolicyReader, Snapshot, Verdict};

use super::Settings;
use super::answer::Answer;
use super::cache::{Cache, Kept};
use super::clock::{Clock, Millis};
use super::decide::{Decision, decide, on_targets};
use super::query::{Parsed, Query, parse};
use super::reply::{self, Ede, UDP_SIZE};
use super::wire::{HEADER, rcode};

/// Asks upstreams. A trait so that scenarios can script the answers.
pub trait Resolve: Send + Sync {
    /// The answer to a question, from whichever upstream gave one.
    fn resolve<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Answer, Failure>>;
}

/// What is asked of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The question section to send: canonical name, type, class.
    pub section: Vec<u8>,
    /// DO: send DNSSEC records.
    pub dnssec_ok: bool,
    /// CD: do not validate.
    pub checking_disabled: bool,
}

/// Why no upstream's answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// None answered in time: EDE 22.
    Silence,
    /// None could be sent to: EDE 23.
    Network,
    /// What came could not be used: EDE 23.
    Garbage,
}

/// How a message was answered without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fast {
    /// This many octets are in the output buffer; the path is `None` for errors.
    Reply(usize, Option<Path>),
    /// No answer.
    Drop,
    /// Neither listed nor cached: for [`Core::miss`].
    Miss,
}

/// Largest answer a transport carries for a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// What the client's OPT says, at most [`UDP_SIZE`]; 512 without one (RFC 6891 §6.2.3).
    Datagram,
    /// A two-octet length.
    Stream,
}

impl Size {
    fn limit(self, query: &Query) -> usize {
        match (self, query.edns) {
            (Self::Stream, _) => usize::from(u16::MAX),
            (Self::Datagram, Some(edns)) => usize::from(edns.udp_size).min(UDP_SIZE),
            (Self::Datagram, None) => 512,
        }
    }
}

/// See the module's header.
pub struct Core {
    policy: PolicyReader,
    settings: ArcSwap<Settings>,
    cache: Cache,
    upstreams: Arc<dyn Resolve>,
    misses: Arc<Semaphore>,
    /// How many misses may wait at a time.
    max_misses: u32,
    /// The time every part of the data plane goes by.
    pub clock: Clock,
}

impl Core {
    /// Puts the parts together; at most `max_misses` questions wait for upstreams at a time.
    pub fn new(
        policy: PolicyReader,
        settings: Settings,
        cache: Cache,
        upstreams: Arc<dyn Resolve>,
        max_misses: u32,
        clock: Clock,
    ) -> Self {
        Self {
            policy,
            settings: ArcSwap::from_pointee(settings),
            cache,
            upstreams,
            misses: Arc::new(Semaphore::new(max_misses as usize)),
            max_misses,
            clock,
        }
    }

    /// The policy in force: load once per batch, drop before waiting.
    pub fn policy(&self) -> Guard<Arc<Snapshot>> {
        self.policy.load()
    }

    /// The settings in force: load once per batch, drop before waiting.
    pub fn settings(&self) -> Guard<Arc<Settings>> {
        self.settings.load()
    }

    /// Takes over reloaded settings for every batch that starts from now on.
    ///
    /// Answers of other upstreams, or believed under other terms, are forgotten.
    pub fn reconfigure(&self, settings: Settings) {
        let old = self.settings.swap(Arc::new(settings));
        if old.upstreams != self.settings.load().upstreams {
            self.cache.clear();
        }
    }

    /// Answers what needs no waiting. `out` has room for the largest answer of the transport, at least 512 octets.
    pub fn fast(&self, message: &[u8], from: &Asker, view: &View, out: &mut [u8]) -> Fast {
        let query = match parse(message) {
            Parsed::Query(query) => query,
            Parsed::Malformed(error) => {
                view.counters.response(error.rcode);
                return Fast::Reply(reply::malformed(message, error, out), None);
            }
            Parsed::Drop(reason) => {
                view.counters.dropped(reason);
                return Fast::Drop;
            }
        };
        match decide(&query, from.client, &view.settings.allow, view.policy) {
            Decision::Block(verdict) => view.block(&query, &verdict, false, out),
            Decision::Error(code, ede) => {
                view.counters.response(code);
                Fast::Reply(reply::error(&query, code, ede, out), None)
            }
            Decision::Resolve => self.cached(&query, from.size, view, out),
        }
    }

    fn cached(&self, query: &Query, size: Size, view: &View, out: &mut [u8]) -> Fast {
        let Some(kept) = self.cache.get(query.key(), view.now) else {
            view.counters.cache_misses.inc();
            return Fast::Miss;
        };
        view.counters.cache_hits.inc();
        view.answer(query, &kept, size, Path::Cached, out)
    }

    /// Leave to wait for an upstream; `None` if too many do already. To be asked for before [`Self::miss`].
    pub fn permit(&self) -> Option<OwnedSemaphorePermit> {
        self.misses.clone().try_acquire_owned().ok()
    }

    /// Waits until no question waits for an upstream any more.
    pub async fn drained(&self) {
        let _ = self.misses.acquire_many(self.max_misses).await;
    }

    /// Answers a message [`Self::fast`] could not, when there is no permit: SERVFAIL, never silence.
    pub fn overloaded(&self, message: &[u8], counters: &Counters, out: &mut [u8]) -> Fast {
        self.failed(message, Ede::NETWORK_ERROR, counters, out)
    }

    fn failed(&self, message: &[u8], ede: Ede, counters: &Counters, out: &mut [u8]) -> Fast {
        let Parsed::Query(query) = parse(message) else {
            counters.dropped(Dropped::Short);
            return Fast::Drop; // fast() called it a query, so this does not happen
        };
        counters.response(rcode::SERVFAIL);
        Fast::Reply(reply::error(&query, rcode::SERVFAIL, ede, out), Some(Path::Forwarded))
    }

    /// Answers a message [`Self::fast`] called a miss, by asking upstreams. `out` as there.
    ///
    /// Cancel-safe: dropping the future leaves nothing behind but an answer that is not cached.
    pub async fn miss(&self, message: &[u8], size: Size, counters: &Counters, out: &mut [u8]) -> Fast {
        let Parsed::Query(query) = parse(message) else {
            return self.failed(message, Ede::OTHER, counters, out);
        };
        let question = Question {
            section: super::answer::question_of(&query),
            dnssec_ok: query.dnssec_ok(),
            checking_disabled: query.checking_disabled(),
        };
        let answer = match self.upstreams.resolve(&question).await {
            // what TCP did not bring cannot be had: a client on TCP has nowhere else to ask
            Ok(answer) if answer.truncated && size == Size::Stream => {
                return self.failed(message, Ede::NETWORK_ERROR, counters, out);
            }
            Ok(answer) => answer,
            Err(failure) => {
                tracing::debug!(name = %wire_to_text(query.name()), ?failure, "no upstream answered");
                let ede = match failure {
                    Failure::Silence => Ede::NO_REACHABLE_AUTHORITY,
                    Failure::Network | Failure::Garbage => Ede::NETWORK_ERROR,
                };
                return self.failed(message, ede, counters, out);
            }
        };
        let (policy, settings) = (self.policy.load(), self.settings.load());
        let view = View { policy: &policy, settings: &settings, counters, now: self.clock.now() };
        let kept = Arc::new(Kept::new(answer, view.now, settings.max_ttl));
        self.cache.put(query.key(), kept.clone());
        // the policy may have changed while we waited: the name asked is decided again
        if let Some(verdict) = on_targets(query.name(), query.qtype, &policy) {
            return view.block(&query, &verdict, false, out);
        }
        view.answer(&query, &kept, size, Path::Forwarded, out)
    }
}

/// Who asks, and how.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// The client's address.
    pub client: IpAddr,
    /// How large an answer may be.
    pub size: Size,
}

/// What a batch of messages is answered by and counted in: loaded once, dropped before waiting.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The policy.
    pub policy: &'a Snapshot,
    /// The settings.
    pub settings: &'a Settings,
    /// The thread's counters.
    pub counters: &'a Counters,
    /// The time.
    pub now: Millis,
}

impl View<'_> {
    /// Answers a listed name, or one that leads to a listed name (`cloaked`).
    fn block(&self, query: &Query, verdict: &Verdict, cloaked: bool, out: &mut [u8]) -> Fast {
        let (len, code) = reply::blocked(query, verdict, self.policy.serial, self.policy.ttl, cloaked, out);
        let slots = verdict.entry.slots;
        self.counters.response(code);
        self.counters.block(slots.blocked, slots.hit);
        Fast::Reply(len, Some(Path::Blocked))
    }

    /// Answers with what an upstream said, unless it leads to a listed name.
    fn answer(&self, query: &Query, kept: &Kept, size: Size, path: Path, out: &mut [u8]) -> Fast {
        if let Some(verdict) = on_targets(kept.answer.targets(), query.qtype, self.policy) {
            return self.block(query, &verdict, true, out);
        }
        let (age, limit) = (kept.age(self.now), size.limit(query));
        let (len, code) = kept.answer.render(query, age, self.settings.max_ttl, limit, out);
        self.counters.response(code);
        Fast::Reply(len, Some(path))
    }
}

const _: () = assert!(HEADER + 255 + 4 <= 512, "header and question always fit");
