//! [`stuck`]: which of the threads that keep a beat have stopped giving it. Readiness and the watchdog both ask.

use std::time::Duration;

/// How old a beat may be; an idle worker wakes up more often than this to give one.
pub const BEAT: Duration = Duration::from_secs(3);

/// What is wrong with the workers, from the beats of [`Metrics::beats`](super::metrics::Metrics::beats) at an instant
/// of the clock they are counted by.
pub fn stuck(beats: &[u64], now: Duration) -> Vec<String> {
    if beats.is_empty() {
        return vec!["no DNS worker has begun".to_owned()];
    }
    let ages = beats.iter().map(|beat| now.saturating_sub(Duration::from_millis(*beat)));
    let stuck = ages.enumerate().filter(|(_, age)| *age >= BEAT);
    stuck.map(|(n, age)| format!("worker {n} has not moved for {} s", age.as_secs())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_stuck_when_its_beat_is_old_and_none_is_wrong_too() {
        let now = Duration::from_secs(10);
        assert_eq!(stuck(&[9_900, 7_001], now), [] as [&str; 0]);
        assert_eq!(
            stuck(&[9_900, 7_000, 1], now),
            ["worker 1 has not moved for 3 s", "worker 2 has not moved for 9 s"]
        );
        assert_eq!(stuck(&[10_500], now), [] as [&str; 0], "a beat of a moment later");
        assert_eq!(stuck(&[], now), ["no DNS worker has begun"]);
    }
}
