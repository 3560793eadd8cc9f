//! [`Group`]: the upstreams of one zone, and in which order a question goes to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use super::breaker::State;
use super::server::Server;
use crate::dns::Strategy;
use crate::dns::resolve::Outages;

/// One question in so many goes to another upstream first, under [`Strategy::Fastest`]: nobody stays the fastest by
/// being the only one asked.
const EXPLORE: u32 = 20;
/// One question in so many may be hedged.
const HEDGED: u32 = 10;
/// Hedges saved up at the most.
const SAVED: u32 = 10;

/// See the module's header.
pub(super) struct Group {
    pub(super) servers: Vec<Arc<Server>>,
    pub(super) budget: Budget,
    pub(super) outages: Arc<Outages>,
    turn: AtomicUsize,
}

impl Group {
    pub(super) fn new(servers: Vec<Arc<Server>>, outages: Arc<Outages>) -> Self {
        Self { servers, budget: Budget::default(), outages, turn: AtomicUsize::new(0) }
    }

    /// Whether one of them is not silent.
    pub(super) fn is_healthy(&self) -> bool {
        self.servers.iter().any(|server| server.state() != State::Open)
    }

    /// All of them, in the order they are asked for the next question: those in use, those on trial, the silent ones;
    /// within each by the strategy. Nobody is left out: if all are silent, all are used.
    pub(super) fn ranked(&self, strategy: Strategy) -> Vec<Arc<Server>> {
        let mut ranked = self.servers.clone();
        match strategy {
            Strategy::Ordered => {}
            Strategy::Spread => ranked.rotate_left(self.turn.fetch_add(1, Relaxed) % self.servers.len().max(1)),
            Strategy::Fastest => {
                ranked.sort_by_cached_key(|server| server.latency());
                if ranked.len() > 1 && rand::random_range(0..EXPLORE) == 0 {
                    let other = rand::random_range(1..ranked.len());
                    ranked[..=other].rotate_right(1);
                }
            }
        }
        ranked.sort_by_cached_key(|server| server.state());
        ranked
    }
}

/// Bounds hedging to one question in [`HEDGED`]: where everything is late, twice the questions would make it later.
#[derive(Debug)]
pub(super) struct Budget(AtomicU32);

impl Default for Budget {
    fn default() -> Self {
        Self(AtomicU32::new(HEDGED * SAVED))
    }
}

impl Budget {
    /// A question came.
    pub(super) fn earn(&self) {
        let _ = self.0.fetch_update(Relaxed, Relaxed, |left| (left < HEDGED * SAVED).then_some(left + 1));
    }

    /// Takes leave to hedge, if there is any.
    pub(super) fn take(&self) -> bool {
        self.0.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(HEDGED)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_question_in_ten_is_hedged_in_the_long_run() {
        let budget = Budget::default();
        let hedged = (0..1_000).filter(|_| {
            budget.earn();
            budget.take()
        });
        assert_eq!(hedged.count(), 109, "ten saved up, then one in ten");
        (0..1_000).for_each(|_| budget.earn());
        assert_eq!((0..100).filter(|_| budget.take()).count(), 10, "no more are saved up");
    }
}
