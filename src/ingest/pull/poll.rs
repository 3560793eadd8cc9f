//! The thread that looks at a feed again and again: when, and how long it leaves the server alone when that fails.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Pull;
use crate::ingest::watch::Message;
use crate::ingest::{Update, low_priority};

/// How long a look may take: then what is missing waits for the next one.
const LOOK: Duration = Duration::from_secs(10 * 60);
/// The first wait after a failure, unless the interval is shorter.
const RETRY: Duration = Duration::from_secs(5);
/// The longest, unless the interval is longer: what the authority orders meanwhile waits as long.
const LONGEST: Duration = Duration::from_secs(5 * 60);

/// Looks at the feed from now on, on a thread of its own, until it is told to stop.
pub(in crate::ingest) fn spawn(
    mut pull: Pull,
    name: String,
    inbox: Receiver<Message>,
    mut deliver: impl FnMut(Update) + Send + 'static,
) -> io::Result<()> {
    let mut pace = Pace { interval: pull.feed.interval, failures: 0 };
    let mut wait = if pull.looked.is_some() { pace.next(true, None, jitter()) } else { Duration::ZERO };
    let run = move || {
        low_priority();
        loop {
            match inbox.recv_timeout(wait) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Message::Event(_)) => continue, // nothing is watched
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
            wait = turn(&mut pull, &mut pace, &mut deliver);
        }
    };
    thread::Builder::new().name(name).spawn(run).map(drop) // nobody waits for it: a request may take a minute
}

/// Looks until there is nothing more to fetch at once. Returns how long to wait.
fn turn(pull: &mut Pull, pace: &mut Pace, deliver: &mut impl FnMut(Update)) -> Duration {
    let until = Instant::now() + LOOK;
    loop {
        let mut update = Update::empty(&pull.source, Timestamp::now());
        let looked = catch_unwind(AssertUnwindSafe(|| pull.look(&mut update, until)));
        let (more, wait) = match looked {
            Ok((look, wait)) => (look.more, wait),
            Err(_) => {
                let message = "reading the feed failed in an unforeseen way".to_owned();
                update.failure = Some(pull.problem("internal", message, "please report this"));
                (false, None)
            }
        };
        let good = update.failure.is_none();
        deliver(update);
        if !more {
            return pace.next(good, wait, jitter());
        }
    }
}

/// From 0 to 1.
fn jitter() -> f64 {
    rand::random_range(0.0..1.0)
}

/// When to look next.
#[derive(Debug)]
struct Pace {
    interval: Duration,
    /// Looks that failed since the last good one.
    failures: u32,
}

impl Pace {
    /// After a good look the interval, give or take a tenth, so that many nodes do not come at one time. After failures
    /// more and more, of which up to a half is left off for the same reason; and never before the server wants us.
    fn next(&mut self, good: bool, wait: Option<Duration>, jitter: f64) -> Duration {
        let pause = if good {
            self.failures = 0;
            self.interval.mul_f64(0.9 + 0.2 * jitter)
        } else {
            let first = RETRY.min(self.interval);
            let grown = first.saturating_mul(1 << self.failures.min(16)).min(LONGEST.max(self.interval));
            self.failures = self.failures.saturating_add(1);
            grown.mul_f64(0.5 + 0.5 * jitter)
        };
        wait.map_or(pause, |wait| pause.max(wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(interval: u64) -> Pace {
        Pace { interval: Duration::from_secs(interval), failures: 0 }
    }

    #[test]
    fn a_good_look_is_followed_after_the_interval_or_so() {
        let mut pace = pace(60);
        assert_eq!(pace.next(true, None, 0.0), Duration::from_secs(54));
        assert_eq!(pace.next(true, None, 1.0), Duration::from_secs(66));
    }

    #[test]
    fn failures_are_followed_later_and_later_up_to_a_bound_and_forgotten() {
        let mut pace = pace(60);
        let waits: Vec<_> = (0..8).map(|_| pace.next(false, None, 1.0).as_secs()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(pace.next(false, None, 0.0).as_secs(), 150, "half of it by chance");
        pace.next(true, None, 0.5);
        assert_eq!(pace.next(false, None, 1.0).as_secs(), 5);
        (0..100).for_each(|_| assert!(!pace.next(false, None, 1.0).is_zero()));
    }

    #[test]
    fn a_long_interval_is_not_made_shorter_by_failures_for_ever() {
        let mut pace = pace(3_600);
        (0..20).for_each(|_| assert!(!pace.next(false, None, 1.0).is_zero()));
        assert_eq!(pace.next(false, None, 1.0).as_secs(), 3_600);
    }

    #[test]
    fn the_server_is_left_alone_as_long_as_it_asks_for() {
        let asked = Some(Duration::from_secs(600));
        assert_eq!(pace(60).next(false, asked, 1.0).as_secs(), 600);
        assert_eq!(pace(60).next(true, asked, 1.0).as_secs(), 600);
        assert_eq!(pace(60).next(false, Some(Duration::ZERO), 1.0).as_secs(), 5);
    }
}
