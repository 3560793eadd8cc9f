//! [`Throttle`]: at most one log line a second about a thing that any packet may cause.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// From one line to the next.
const PAUSE: Duration = Duration::from_secs(1);

/// When a line was last let through, and how many were held back since. Not for what happens on every query: it reads
/// the clock and takes a lock.
#[derive(Debug)]
pub struct Throttle(Mutex<(Option<Instant>, u64)>);

impl Throttle {
    /// Lets the first line through.
    pub const fn new() -> Self {
        Self(Mutex::new((None, 0)))
    }

    /// Whether a line may be written: `Some` with how many were held back before it.
    pub fn pass(&self) -> Option<u64> {
        self.pass_at(Instant::now())
    }

    fn pass_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner); // two values: whole at any time
        let (last, held) = &mut *state;
        if last.is_some_and(|last| now.saturating_duration_since(last) < PAUSE) {
            *held += 1;
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(held))
    }
}

impl Default for Throttle {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_says_how_many_there_were() {
        let (throttle, start) = (Throttle::new(), Instant::now());
        let at = |ms| throttle.pass_at(start + Duration::from_millis(ms));
        assert_eq!([0, 1, 500, 999].map(at), [Some(0), None, None, None]);
        assert_eq!([1_000, 1_001, 2_100, 60_000].map(at), [Some(3), None, Some(1), Some(0)]);
    }
}
