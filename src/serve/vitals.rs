//! [`Vitals`]: whether every part still moves, and a line that says how it is doing, for the service manager.

use std::sync::{Arc, Weak};
use std::time::Instant;

use tokio::runtime::Handle as Runtime;

use crate::control::Handle;
use crate::observe::beats::stuck;
use crate::observe::metrics::Metrics;

/// See the module's header. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Vitals {
    /// The instant beats are counted from.
    pub(super) started: Instant,
    pub(super) metrics: Arc<Metrics>,
    pub(super) control: Handle,
    /// Gone with the control thread.
    pub(super) control_thread: Weak<()>,
    /// Carries TCP and the questions that wait for upstreams.
    pub(super) runtime: Runtime,
}

impl Vitals {
    /// What does not move; nothing if all is well. Does not come back if the runtime of the data plane is stuck.
    pub(super) async fn wrong(&self) -> Vec<String> {
        let mut wrong = stuck(&self.metrics.beats(), self.started.elapsed());
        if self.control_thread.strong_count() == 0 {
            wrong.push("the control thread has ended".to_owned());
        }
        if self.runtime.spawn(async {}).await.is_err() {
            wrong.push("the runtime of the data plane has ended".to_owned());
        }
        wrong
    }

    /// What it serves, in a line.
    pub(super) fn status(&self) -> String {
        let status = self.control.status();
        let (healthy, upstreams) = self.metrics.upstreams.in_use();
        let failing = status.sources.iter().filter(|source| source.last_error.is_some()).count();
        let mut line = format!(
            "serving policy {}: {} names in force; {healthy} of {upstreams} upstreams in use",
            status.serial, status.names
        );
        if failing > 0 {
            line.push_str(&format!("; {failing} of {} sources cannot be read", status.sources.len()));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;
    use std::time::Duration;

    use super::*;
    use crate::policy::compile::tests::snapshot;
    use crate::policy::store::store;

    fn handle() -> Handle {
        let (_, policy) = store(snapshot(&[], 100));
        Handle::new(policy, Arc::default(), Arc::default())
    }

    #[tokio::test]
    async fn a_worker_that_is_stuck_and_a_thread_that_ended_are_named() {
        let (metrics, thread) = (Arc::new(Metrics::new("0", "0").unwrap()), Arc::new(()));
        let vitals = Vitals {
            started: Instant::now() - Duration::from_secs(100),
            metrics: metrics.clone(),
            control: handle(),
            control_thread: Arc::downgrade(&thread),
            runtime: Runtime::current(),
        };
        let worker = metrics.worker();
        worker.beat_ms.store(99_900, Relaxed);
        assert_eq!(vitals.wrong().await, [] as [&str; 0]);
        worker.beat_ms.store(90_000, Relaxed);
        assert_eq!(vitals.wrong().await, ["worker 0 has not moved for 10 s"]);
        worker.beat_ms.store(99_900, Relaxed);
        drop(thread);
        assert_eq!(vitals.wrong().await, ["the control thread has ended"]);
        assert!(vitals.status().ends_with("0 names in force; 0 of 0 upstreams in use"), "{}", vitals.status());
    }

    #[test]
    fn a_runtime_that_is_stuck_or_gone_is_found_out() {
        let (metrics, thread) = (Arc::new(Metrics::new("0", "0").unwrap()), Arc::new(()));
        let build = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (data, asking) = (build(), build());
        let vitals = Vitals {
            started: Instant::now(),
            metrics: metrics.clone(),
            control: handle(),
            control_thread: Arc::downgrade(&thread),
            runtime: data.handle().clone(),
        };
        metrics.worker().beat_ms.store(1, Relaxed);
        let (release, blocked) = std::sync::mpsc::channel::<()>();
        data.spawn(async move { blocked.recv() }); // its only thread
        let limit = Duration::from_millis(300);
        let checked = asking.block_on(async { tokio::time::timeout(limit, vitals.wrong()).await });
        assert!(checked.is_err(), "it does not come back");
        release.send(()).unwrap();
        assert_eq!(asking.block_on(vitals.wrong()), [] as [&str; 0]);
        data.shutdown_background();
        assert_eq!(asking.block_on(vitals.wrong()), ["the runtime of the data plane has ended"]);
    }
}
