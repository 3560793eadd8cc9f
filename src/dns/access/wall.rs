//! [`Wall`]: the time of day to the second, for what a batch's monotonic time cannot say.
//!
//! The system is asked once a second at the most, by whichever query comes first; between two looks the monotonic time
//! of the batch is added. So a clock that is set is followed within a second, and no query pays for it.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use jiff::Timestamp;

use crate::dns::clock::{Clock, Millis};

/// How long a look at the system's clock is good for.
const GOOD_FOR: Millis = 1_000;

/// See the module's header.
#[derive(Debug)]
pub struct Wall {
    clock: Clock,
    looked_at: AtomicU64,
    /// Milliseconds since the epoch at monotonic time 0.
    offset: AtomicI64,
}

impl Wall {
    /// The time of day beside this monotonic clock.
    pub fn new(clock: Clock) -> Self {
        let now = clock.now();
        let offset = clock.unix_ms() - now.cast_signed();
        Self { clock, looked_at: now.into(), offset: offset.into() }
    }

    /// Seconds since the epoch at the monotonic time `now`.
    pub fn seconds(&self, now: Millis) -> i64 {
        if now.abs_diff(self.looked_at.load(Relaxed)) >= GOOD_FOR {
            self.looked_at.store(now, Relaxed);
            self.offset.store(self.clock.unix_ms() - now.cast_signed(), Relaxed);
        }
        (self.offset.load(Relaxed) + now.cast_signed()).div_euclid(1_000)
    }

    /// The same as a timestamp.
    pub fn timestamp(&self, now: Millis) -> Timestamp {
        Timestamp::from_second(self.seconds(now)).unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use super::*;

    #[test]
    fn it_shows_the_time_of_day() {
        let clock = Clock::System(Instant::now());
        let wall = Wall::new(clock.clone());
        let day = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs().cast_signed();
        assert!((day - 1..=day + 60).contains(&wall.seconds(clock.now())));
        let later = clock.now() + 5_000; // a look at the system again, which has not moved on
        assert!((day - 1..=day + 60).contains(&wall.seconds(later)));
    }
}
