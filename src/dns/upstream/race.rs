//! [`Race`]: one question, asked until somebody answers it.
//!
//! Tries go out one after another: as soon as one fails, or when one is late. Earlier ones are still listened to, so a
//! slow answer is not lost to a retry. Late is, once for a question and within a budget, what the upstream needs for 95
//! of 100 answers (the hedge), and [`PATIENCE`] otherwise. An upstream gets three tries, the last one by TCP if
//! nothing at all has come from it by UDP meanwhile; all its datagrams together, retries for cookies and EDNS included,
//! are [`DATAGRAMS`](super::DATAGRAMS) at most.
//!
//! An upstream that fails by its response code is not asked again, and the others once each; its answer is kept, for
//! perhaps nobody knows better.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use prometheus::IntCounter;
use tokio::time::{Instant, sleep_until};

use super::breaker::State;
use super::group::Group;
use super::server::{Over, Sent, Server, TryError, is_final};
use super::{DEADLINE, PATIENCE};
use crate::dns::Forwarding;
use crate::dns::answer::Answer;
use crate::dns::clock::Millis;
use crate::dns::resolve::{Failure, Question};
use crate::dns::wire::rcode;

/// Tries that are listened to at a time.
const AT_A_TIME: usize = 5;
/// The ways of an upstream's tries, if it is not heard.
const ROUNDS: [Over; 3] = [Over::Datagram, Over::Datagram, Over::Stream];

/// See the module's header.
pub(super) struct Race<'a> {
    pub(super) group: &'a Group,
    pub(super) question: &'a Question,
    pub(super) forwarding: Forwarding,
    pub(super) hedges: &'a IntCounter,
    /// When it begins.
    pub(super) since: Millis,
}

struct Runner {
    server: Arc<Server>,
    sent: Sent,
}

impl Race<'_> {
    /// The answer, or the best there is.
    pub(super) async fn run(self) -> Result<Answer, Failure> {
        let ranked = self.group.ranked(self.forwarding.strategy);
        let runners: Vec<_> = ranked.into_iter().map(|server| Runner { server, sent: Sent::default() }).collect();
        let mut plan = Plan::new(runners.len());
        let mut pace = Pace::new(self.forwarding.hedge);
        let mut tries = Tries::default();
        let mut best: Option<Answer> = None;
        let mut failure = Failure::Silence;
        self.group.budget.earn();
        let deadline = Instant::now() + DEADLINE;
        let mut goes_out = true;
        loop {
            if goes_out {
                let next = if tries.0.len() < AT_A_TIME { plan.next() } else { None };
                pace.launched(next.and_then(|(at, _)| runners[at].server.late_after()));
                tries.0.extend(next.map(|(at, over)| self.launch(at, over, &runners[at]).boxed()));
            }
            let due = if plan.0.is_empty() { deadline } else { deadline.min(pace.next()) };
            tokio::select! {
                biased; // an answer that is there is taken, however late it is
                next = tries.next() => match next {
                    None => return best.ok_or(failure),
                    Some((_, Ok(answer))) if is_final(&answer) => return Ok(answer),
                    Some((at, Ok(answer))) => {
                        best = Some(better(best, answer));
                        plan.settle(at, |other| runners[other].server.state() != State::Open);
                    }
                    Some((_, Err(error))) => failure = error.failure().unwrap_or(failure),
                },
                () = sleep_until(due) => {
                    if due == deadline {
                        return best.ok_or(failure);
                    }
                    goes_out = pace.is_up(|| self.group.budget.take(), self.hedges);
                    continue;
                }
            }
            goes_out = true;
        }
    }

    async fn launch(&self, at: usize, over: Over, runner: &Runner) -> Outcome {
        let Runner { server, sent } = runner;
        // a dead zone is as dead by TCP
        let over = if server.is_heard_since(self.since) { Over::Datagram } else { over };
        (at, server.ask(self.question, over, self.forwarding.cookies, sent).await)
    }
}

/// The better of two answers that are none: what was merely truncated, then what gives a reason, then the later one.
fn better(kept: Option<Answer>, new: Answer) -> Answer {
    let worth = |answer: &Answer| match answer.rcode() {
        rcode::NOERROR | rcode::NXDOMAIN => 2,
        _ => u8::from(answer.ede().next().is_some()),
    };
    match kept {
        Some(kept) if worth(&kept) > worth(&new) => kept,
        _ => new,
    }
}

/// The tries under way. They are few: each is looked at whenever one has something to say.
#[derive(Default)]
struct Tries<'a>(Vec<BoxFuture<'a, Outcome>>);

/// Which runner's try it was, and what came of it.
type Outcome = (usize, Result<Answer, TryError>);

impl Tries<'_> {
    /// The outcome of the next that ends; none if there is none under way.
    async fn next(&mut self) -> Option<Outcome> {
        poll_fn(|context| {
            for at in 0..self.0.len() {
                if let Poll::Ready(outcome) = self.0[at].poll_unpin(context) {
                    drop(self.0.remove(at));
                    return Poll::Ready(Some(outcome));
                }
            }
            if self.0.is_empty() { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }
}

/// The tries still to be made: which runner, which way.
struct Plan(VecDeque<(usize, Over)>);

impl Plan {
    fn new(runners: usize) -> Self {
        Self(ROUNDS.iter().flat_map(|over| (0..runners).map(|at| (at, *over))).collect())
    }

    fn next(&mut self) -> Option<(usize, Over)> {
        self.0.pop_front()
    }

    /// This runner has said no: the others that `may` are tried once more.
    fn settle(&mut self, said_no: usize, may: impl Fn(usize) -> bool) {
        let mut seen = vec![said_no];
        self.0.retain(|(at, _)| {
            let goes = !seen.contains(at) && may(*at);
            seen.push(*at);
            goes
        });
    }
}

/// When the next try goes out.
struct Pace {
    since: Instant,
    /// When the hedge is due, if there is to be one.
    hedge: Option<Instant>,
    may_hedge: bool,
}

impl Pace {
    fn new(may_hedge: bool) -> Self {
        Self { since: Instant::now(), hedge: None, may_hedge }
    }

    /// A try goes out, or would if there were room; it is late after so long.
    fn launched(&mut self, late: Option<Duration>) {
        self.since = Instant::now();
        self.hedge = late.filter(|late| self.may_hedge && *late < PATIENCE).map(|late| self.since + late);
    }

    fn next(&self) -> Instant {
        self.hedge.unwrap_or(self.since + PATIENCE)
    }

    /// The time of [`Self::next`] has come: whether the next try goes out.
    fn is_up(&mut self, budget: impl FnOnce() -> bool, hedges: &IntCounter) -> bool {
        if self.hedge.take().is_none() {
            return true;
        }
        let hedged = budget();
        if hedged {
            self.may_hedge = false;
            hedges.inc();
        }
        hedged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rounds_go_over_all_upstreams() {
        let plan: Vec<_> = Plan::new(2).0.into();
        let (udp, tcp) = (Over::Datagram, Over::Stream);
        assert_eq!(plan, [(0, udp), (1, udp), (0, udp), (1, udp), (0, tcp), (1, tcp)]);
    }

    #[test]
    fn after_a_no_the_others_are_tried_once() {
        let mut plan = Plan::new(3);
        assert_eq!(plan.next(), Some((0, Over::Datagram)));
        plan.settle(0, |other| other != 1);
        assert_eq!(plan.0, [(2, Over::Datagram)]);
        plan.settle(2, |_| true);
        assert_eq!(plan.0, []);
    }

    #[tokio::test]
    async fn there_is_one_hedge_a_question_and_only_within_the_budget() {
        let hedges = IntCounter::new("hedges", "hedges").unwrap();
        let late = Some(Duration::from_millis(30));
        let mut pace = Pace::new(true);
        pace.launched(late);
        assert_eq!(pace.next() - pace.since, Duration::from_millis(30));
        assert!(!pace.is_up(|| false, &hedges), "no budget");
        assert_eq!(pace.next() - pace.since, PATIENCE);
        assert!(pace.is_up(|| unreachable!(), &hedges), "a retry needs none");
        pace.launched(late);
        assert!(pace.is_up(|| true, &hedges));
        pace.launched(late);
        assert_eq!((pace.next() - pace.since, hedges.get()), (PATIENCE, 1));
        let mut off = Pace::new(false);
        off.launched(late);
        assert_eq!(off.next() - off.since, PATIENCE);
    }
}
