//! [`Flights`]: one upstream question for all who ask the same at a time (RFC 5452 §5).
//!
//! A flight is a task of its own: it goes on when the asker who began it has gone, and ends with its question's
//! deadline, which is the resolver's. What it brings goes into the cache first, then it leaves the table, then its
//! waiters hear; so whoever finds neither a flight nor an answer is the one to begin a flight. A panic in it closes the
//! channel its waiters listen to: they hear of a failure.
//!
//! Three bounds: flights in all and of one domain ([`domains`](super::access::domains)), and waiters of one flight. A
//! fourth, waiters in all, is [`Core::permit`](super::core::Core::permit).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::observe::counters::Shed;

use super::access::domains::{Domains, Place};
use super::answer::question_of;
use super::cache::{Cache, Failed, Found, Kept};
use super::clock::{Clock, Millis};
use super::local::Chain;
use super::query::Query;
use super::resolve::{Failure, Outages, Question, Resolve};

/// Most askers that wait for one question.
const MAX_JOINED: usize = 256;
/// How long a stale answer goes out without another try, after one has failed (RFC 8767 §5, failure recheck timer).
const RECHECK: Millis = 30_000;

/// What is wanted of an upstream.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Under which the answer is kept.
    pub(super) key: Box<[u8]>,
    /// What is asked.
    pub(super) question: Question,
    /// The [`Cache::epoch`] in which it was decided that it has to be.
    epoch: u64,
}

impl Wanted {
    /// The answer to a query.
    pub(super) fn of(query: &Query, epoch: u64) -> Self {
        Self::with(query, query.key().into(), question_of(query), epoch)
    }

    /// The rest of a chain of ours that a query leads to.
    pub(super) fn rest(query: &Query, chain: &Chain, epoch: u64) -> Self {
        Self::with(query, chain.key(query).into(), chain.rest(), epoch)
    }

    fn with(query: &Query, key: Box<[u8]>, section: Vec<u8>, epoch: u64) -> Self {
        let (dnssec_ok, checking_disabled) = (query.dnssec_ok(), query.checking_disabled());
        Self { key, question: Question { section, dnssec_ok, checking_disabled }, epoch }
    }
}

/// What became of a question.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// An upstream's answer, whatever its response code.
    Answer(Arc<Kept>),
    /// None came.
    Failed(Failure),
    /// It failed a short time ago and was not asked again.
    KeptFailure(Arc<Failed>),
}

/// What an asker has to do.
#[derive(Debug)]
pub(super) enum Joined {
    /// Wait; true: for a question somebody else has asked.
    Wait(Waiter, bool),
    /// Nothing: it came while he was on his way here.
    Known(Outcome),
    /// Go away.
    Full(Shed),
}

/// The channel a flight's outcome comes through.
#[derive(Debug)]
pub(super) struct Waiter(watch::Receiver<Option<Outcome>>);

impl Waiter {
    /// The outcome, once there is one.
    pub(super) async fn outcome(mut self) -> Outcome {
        match self.0.wait_for(Option::is_some).await.map(|outcome| outcome.clone()) {
            Ok(Some(outcome)) => outcome,
            _ => Outcome::Failed(Failure::Broken), // the flight panicked, or the runtime ends
        }
    }
}

type Flight = Arc<watch::Sender<Option<Outcome>>>;
type Table<'f> = MutexGuard<'f, HashMap<Box<[u8]>, Flight>>;

/// See the module's header.
pub(super) struct Flights {
    table: Mutex<HashMap<Box<[u8]>, Flight>>,
    places: Arc<Domains>,
    runtime: Handle,
    upstreams: Arc<dyn Resolve>,
    cache: Arc<Cache>,
    clock: Clock,
}

impl Flights {
    /// As many flights as there are `places`, as tasks of `runtime`.
    pub(super) fn new(
        places: Arc<Domains>,
        runtime: Handle,
        upstreams: Arc<dyn Resolve>,
        cache: Arc<Cache>,
        clock: Clock,
    ) -> Arc<Self> {
        Arc::new(Self { table: Mutex::default(), places, runtime, upstreams, cache, clock })
    }

    /// Takes part in the question's flight, or begins it. Its answer is kept for `max_ttl` seconds at most.
    pub(super) fn join(self: &Arc<Self>, wanted: Wanted, max_ttl: u32) -> Joined {
        let table = self.lock();
        if let Some(flight) = table.get(&wanted.key) {
            let full = flight.receiver_count() >= MAX_JOINED;
            return if full { Joined::Full(Shed::Joined) } else { Joined::Wait(Waiter(flight.subscribe()), true) };
        }
        if let Some(outcome) = self.known(&wanted.key) {
            return Joined::Known(outcome); // the flight landed between the asker's look at the cache and this
        }
        match self.begin(table, wanted, max_ttl) {
            Ok(waiter) => Joined::Wait(waiter, false),
            Err(shed) => Joined::Full(shed),
        }
    }

    /// Begins a flight nobody waits for, unless there is one or no place for it; says whether there is one now.
    pub(super) fn prefetch(self: &Arc<Self>, query: &Query, epoch: u64, max_ttl: u32) -> bool {
        let table = self.lock();
        table.contains_key(query.key()) || self.begin(table, Wanted::of(query, epoch), max_ttl).is_ok()
    }

    /// Lets nobody join what is under way: it is about to be out of date.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> Table<'_> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner) // every change to it is one step
    }

    fn known(&self, key: &[u8]) -> Option<Outcome> {
        let now = self.clock.now();
        match self.cache.find(key, now) {
            Found::Fresh(kept) => Some(Outcome::Answer(kept)),
            _ => self.cache.failed(key, now).map(Outcome::KeptFailure),
        }
    }

    fn begin(self: &Arc<Self>, mut table: Table<'_>, wanted: Wanted, max_ttl: u32) -> Result<Waiter, Shed> {
        let Wanted { key, question, epoch } = wanted;
        let place = self.places.enter(&question.section)?;
        let (sender, receiver) = watch::channel(None);
        let flight = Arc::new(sender);
        table.insert(key.clone(), flight.clone());
        drop(table); // a runtime that has ended drops the task here and now, and that takes it out of the table
        let airborne = Airborne { flights: self.clone(), key, flight, epoch, _place: place };
        self.runtime.spawn(airborne.fly(question, max_ttl));
        Ok(Waiter(receiver))
    }
}

/// A flight under way. Dropped, it leaves the table, and its waiters hear that nothing will come.
struct Airborne {
    flights: Arc<Flights>,
    key: Box<[u8]>,
    flight: Flight,
    epoch: u64,
    _place: Place,
}

impl Airborne {
    async fn fly(self, question: Question, max_ttl: u32) {
        let outcome = match self.flights.upstreams.resolve(&question).await {
            Ok(answer) => {
                self.flights.upstreams.outages(&question).end();
                let kept = Arc::new(Kept::new(answer, self.flights.clock.now(), max_ttl));
                self.keep(&kept, &question);
                Outcome::Answer(kept)
            }
            Err(failure) => {
                self.failed(&question, |cache, now, outages| {
                    cache.keep_failure(&self.key, failure, outages, now, self.epoch);
                });
                Outcome::Failed(failure)
            }
        };
        let flight = self.flight.clone();
        drop(self); // out of the table before the waiters hear: who asks again finds the cache
        flight.send_replace(Some(outcome));
    }

    fn keep(&self, kept: &Arc<Kept>, question: &Question) {
        if kept.answer.truncated {
            self.failed(question, |cache, now, _| cache.keep_truncated(&self.key, now, self.epoch));
        } else if kept.answer.is_error() {
            self.failed(question, |cache, now, _| cache.keep_error(&self.key, &kept.answer, now, self.epoch));
        } else {
            self.flights.cache.keep(&self.key, kept, self.epoch);
        }
    }

    /// Lets stale answers rest, and keeps the failure, unless all upstreams it may go to are dead: then it says nothing
    /// about the name.
    fn failed(&self, question: &Question, keep: impl FnOnce(&Cache, Millis, Arc<Outages>)) {
        let Flights { upstreams, cache, clock, .. } = &*self.flights;
        let now = clock.now();
        cache.rest(&self.key, now + RECHECK);
        let outages = upstreams.outages(question);
        if upstreams.is_healthy(question) {
            keep(cache, now, outages);
        } else {
            outages.begin();
        }
    }
}

impl Drop for Airborne {
    fn drop(&mut self) {
        let mut table = self.flights.lock();
        if table.get(&self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
            table.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests;
