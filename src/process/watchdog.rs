//! [`feed`]: tells the service manager that the program works, only as long as it does.
//!
//! A process that is stuck is not found out by being there. So nothing is said unless a check finds nothing wrong;
//! after two checks without a word systemd ends the process and starts another (`WatchdogSec=`, systemd.service(5)).

use std::time::Duration;

/// Checks twice in `interval`, as sd_watchdog_enabled(3) advises, and calls `alive` if nothing is wrong. A check that
/// takes longer than a quarter of the interval has found something wrong. Never ends.
pub async fn feed<F: Future<Output = Vec<String>>>(interval: Duration, alive: impl Fn(), mut check: impl FnMut() -> F) {
    let mut tick = tokio::time::interval(interval / 2);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let wrong = match tokio::time::timeout(interval / 4, check()).await {
            Ok(wrong) => wrong,
            Err(_) => vec!["the check does not come back".to_owned()],
        };
        if wrong.is_empty() {
            alive();
        } else {
            tracing::error!("the watchdog is not fed: {}", wrong.join("; "));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    /// How often it was fed within a minute of such checks.
    async fn fed<F: Future<Output = Vec<String>>>(check: impl FnMut() -> F) -> u32 {
        let fed = Cell::new(0);
        let feeding = feed(INTERVAL, || fed.set(fed.get() + 1), check);
        let _ = tokio::time::timeout(Duration::from_secs(59), feeding).await;
        fed.get()
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_fed_twice_in_an_interval_while_nothing_is_wrong() {
        assert_eq!(fed(|| async { Vec::new() }).await, 12);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_wrong_or_hangs_stops_the_feeding_until_it_is_well_again() {
        assert_eq!(fed(|| async { vec!["worker 0 has not moved".to_owned()] }).await, 0);
        assert_eq!(fed(std::future::pending).await, 0);
        let mut n = 0;
        let sick_for_a_while = || {
            n += 1;
            std::future::ready(if (3..6).contains(&n) { vec!["sick".to_owned()] } else { Vec::new() })
        };
        assert_eq!(fed(sick_for_a_while).await, 9);
    }
}
