//! [`Latency`]: how long an upstream takes, as far as choosing and hedging need to know. Old samples fade.

use std::time::Duration;

/// Fewer samples say nothing.
const ENOUGH: u32 = 20;
/// At so many samples every count is halved.
const MOST: u32 = 256;
/// Upper bounds are a millisecond times powers of 1.5, up to 11 seconds.
const BUCKETS: usize = 24;

/// See the module's header.
#[derive(Debug, Default)]
pub(super) struct Latency {
    buckets: [u32; BUCKETS],
    /// Smoothed as TCP smooths its round-trip time (RFC 6298 §2), in seconds.
    smoothed: Option<f64>,
}

impl Latency {
    /// An answer took so long.
    pub(super) fn record(&mut self, took: Duration) {
        self.smooth(took);
        let bucket = (0..BUCKETS - 1).find(|bucket| took <= bound(*bucket)).unwrap_or(BUCKETS - 1);
        self.buckets[bucket] += 1;
        if self.total() >= MOST {
            self.buckets.iter_mut().for_each(|count| *count /= 2);
        }
    }

    /// It gave no answer that could be used, however fast: for the choice that is worth so long a wait.
    pub(super) fn penalise(&mut self, worth: Duration) {
        self.smooth(worth);
    }

    fn smooth(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        self.smoothed = Some(self.smoothed.map_or(seconds, |old| old + (seconds - old) / 8.0));
    }

    /// It was not waited for any longer: the answer takes longer than that, which is news only where it was thought
    /// faster.
    pub(super) fn record_at_least(&mut self, took: Duration) {
        if took.as_secs_f64() > self.smoothed.unwrap_or(0.0) {
            self.record(took);
        }
    }

    /// What it takes on average, lately; `None` before the first answer.
    pub(super) fn smoothed(&self) -> Option<Duration> {
        self.smoothed.map(Duration::from_secs_f64)
    }

    /// What 95 of 100 answers do not exceed, up to the width of a bucket; `None` as long as too little is known.
    pub(super) fn p95(&self) -> Option<Duration> {
        let total = self.total();
        let enough = total - total / 20;
        let mut below = 0;
        let within = |count: &u32| {
            below += count;
            below >= enough
        };
        (total >= ENOUGH).then(|| self.buckets.iter().position(within)).flatten().map(bound)
    }

    fn total(&self) -> u32 {
        self.buckets.iter().sum()
    }
}

fn bound(bucket: usize) -> Duration {
    Duration::from_millis(1).mul_f64(1.5f64.powi(bucket as i32))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn of(samples: &[(usize, u64)]) -> Latency {
        let mut latency = Latency::default();
        for (times, took) in samples {
            (0..*times).for_each(|_| latency.record(ms(*took)));
        }
        latency
    }

    #[test]
    fn few_samples_say_nothing() {
        assert_eq!(of(&[]).p95(), None);
        assert_eq!(of(&[(19, 10)]).p95(), None);
        assert!(of(&[(20, 10)]).p95().is_some());
        assert_eq!(of(&[]).smoothed(), None);
    }

    #[test]
    fn the_p95_leaves_one_in_twenty_out() {
        let p95 = of(&[(95, 10), (5, 900)]).p95().unwrap();
        assert!(ms(10) <= p95 && p95 <= ms(15), "{p95:?}");
        let p95 = of(&[(90, 10), (10, 900)]).p95().unwrap();
        assert!(ms(900) <= p95 && p95 <= ms(1_350), "{p95:?}");
        assert!(of(&[(30, 100_000)]).p95().unwrap() > ms(10_000), "the last bucket takes everything");
    }

    #[test]
    fn old_samples_fade() {
        let p95 = of(&[(1_000, 900), (1_500, 5)]).p95().unwrap();
        assert!(p95 < ms(10), "{p95:?}");
        let smoothed = of(&[(100, 900), (60, 5)]).smoothed().unwrap();
        assert!(smoothed < ms(6), "{smoothed:?}");
    }

    #[test]
    fn failing_fast_is_not_being_fast() {
        let mut latency = of(&[(100, 8)]);
        let before = latency.p95();
        (0..20).for_each(|_| latency.penalise(ms(600)));
        assert!(latency.smoothed() > Some(ms(500)));
        assert_eq!(latency.p95(), before, "says nothing about when an answer is late");
    }

    #[test]
    fn giving_up_early_makes_nobody_faster() {
        let mut latency = of(&[(20, 100)]);
        latency.record_at_least(ms(1));
        assert_eq!(latency.smoothed(), Some(ms(100)));
        latency.record_at_least(ms(900));
        assert_eq!(latency.smoothed(), Some(ms(200)));
    }
}
