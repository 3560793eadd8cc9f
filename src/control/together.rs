//! [`Together`]: long updates that come together are compiled together.
//!
//! To compile a long list costs as much as all long lists are long. Two lists changed at one time, as a nightly job changes
//! them, are read by two threads and come a moment apart: the first waits for the second, so that one build does for both.
//! It does not wait for long, and short updates do not wait at all.

use std::time::{Duration, Instant};

/// Longest wait.
const PATIENCE: Duration = Duration::from_secs(1);
/// From one look whether anything is still being read to the next.
pub(super) const LOOK: Duration = Duration::from_millis(2);

/// What waits.
#[derive(Debug)]
pub(super) struct Together<T> {
    waiting: Vec<T>,
    since: Instant,
}

impl<T> Together<T> {
    /// Nothing waits.
    pub(super) fn new() -> Self {
        Self { waiting: Vec::new(), since: Instant::now() }
    }

    /// Whether something waits.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether one that waits is like this.
    pub(super) fn has(&self, like: impl FnMut(&T) -> bool) -> bool {
        self.waiting.iter().any(like)
    }

    /// Lets one wait.
    pub(super) fn hold(&mut self, one: T) {
        if self.waiting.is_empty() {
            self.since = Instant::now();
        }
        self.waiting.push(one);
    }

    /// All that have waited long enough, in their order: `reading` says whether more may come.
    pub(super) fn take(&mut self, reading: bool) -> Vec<T> {
        if reading && self.since.elapsed() < PATIENCE { Vec::new() } else { std::mem::take(&mut self.waiting) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_comes_out_in_its_order_when_nothing_is_read_any_more_or_patience_ends() {
        let mut together = Together::new();
        together.hold(1);
        together.hold(2);
        assert!(together.take(true).is_empty());
        assert!(together.has(|one| *one == 2));
        assert_eq!(together.take(false), [1, 2]);
        assert!(!together.is_waiting());
        together.hold(3);
        together.since = Instant::now().checked_sub(PATIENCE).expect("the machine runs that long");
        assert_eq!(together.take(true), [3]);
    }
}
