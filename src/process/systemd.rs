//! [`Manager`]: what the service manager is told, by sd_notify(3). Without one, nobody is told.

use std::time::Duration;

use sd_notify::NotifyState;

/// Speaks to the service manager that started this process, if there is one.
///
/// With `NotifyAccess=main` systemd hears the main process only. During an upgrade the process that leaves says who
/// comes after it ([`Manager::hand_over`]) before that one says anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manager;

impl Manager {
    /// It answers queries now: at the start, after a hand-over, after a reload.
    pub fn ready(self, status: &str) {
        tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// It reads the configuration again; [`Self::ready`] says when it is done, also if nothing changed.
    pub fn reloading(self) {
        let reloading = [Ok(NotifyState::Reloading), NotifyState::monotonic_usec_now()]; // systemd 253 needs both
        tell(&reloading.into_iter().flatten().collect::<Vec<_>>());
    }

    /// It stops, after answering for this long; systemd waits so much longer before it kills.
    pub fn stopping(self, delay: Duration, status: &str) {
        tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
        if let Ok(micros) = u32::try_from(delay.saturating_add(DRAIN).as_micros()) {
            tell(&[NotifyState::ExtendTimeoutUsec(micros)]);
        }
    }

    /// A line for `systemctl status`.
    pub fn status(self, status: &str) {
        tell(&[NotifyState::Status(status)]);
    }

    /// Another process is the main one from here on.
    pub fn hand_over(self, pid: u32) {
        tell(&[NotifyState::MainPid(pid)]);
    }

    /// It works.
    pub fn alive(self) {
        tell(&[NotifyState::Watchdog]);
    }

    /// How often it wants to hear that it works; `None` if it does not (`WATCHDOG_USEC`).
    pub fn watchdog(self) -> Option<Duration> {
        sd_notify::watchdog_enabled()
    }
}

/// Time for draining and ending, added to the delay.
const DRAIN: Duration = Duration::from_secs(10);

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}
