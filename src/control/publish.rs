//! [`Publisher`]: compares a compiled policy with the one in force, publishes what is new, minds the time, shows the
//! figures.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use super::serial::Serial;
use super::state::Census;
use crate::observe::metrics::Metrics;
use crate::policy::diff::Diff;
use crate::policy::store::store;
use crate::policy::{Entry, Index, PolicyReader, PolicyWriter, Snapshot, compile};

/// See the module's header.
pub(super) struct Publisher {
    writer: PolicyWriter,
    serial: Serial,
    metrics: Arc<Metrics>,
    entries: Arc<[Entry]>,
    /// The instant the policy in force was resolved for.
    resolved_at: Timestamp,
}

impl Publisher {
    /// Starts with an empty policy of serial 0, which says that nothing has been published.
    pub(super) fn new(serial: Serial, metrics: Arc<Metrics>) -> (Self, PolicyReader) {
        let entries: Arc<[Entry]> = Arc::default();
        let now = Timestamp::now();
        let (writer, reader) = store(compile::resolve(Arc::default(), entries.clone(), 0, now, 0));
        (Self { writer, serial, metrics, entries, resolved_at: now }, reader)
    }

    /// When the next notice takes effect or expires.
    pub(super) fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        compile::next_change(&self.entries, now)
    }

    /// Resolves the policy anew if a notice took effect or expired, or the clock was set back, since it was.
    pub(super) fn mind_the_time(&mut self) {
        let now = Timestamp::now();
        if now < self.resolved_at || self.next_change(self.resolved_at).is_some_and(|at| at <= now) {
            let current = self.writer.current();
            self.publish(current.index().clone(), self.entries.clone(), current.ttl, Instant::now());
        }
    }

    /// Puts a policy in force, under a new serial if it differs from the one before. `started` is when the change came.
    pub(super) fn publish(&mut self, index: Arc<Index>, entries: Arc<[Entry]>, ttl: u32, started: Instant) {
        let now = Timestamp::now();
        let current = self.writer.current();
        let mut next = compile::resolve(index, entries.clone(), ttl, now, current.serial);
        if current.serial == 0 || !answers_the_same(&current, &next) {
            next.serial = self.next_serial();
            let Diff { added, lifted } = Diff::between(&current, &next);
            tracing::info!(serial = next.serial, names = next.names(), added, lifted, "policy published");
        }
        drop(current);
        self.writer.publish(next);
        (self.entries, self.resolved_at) = (entries, now);
        self.metrics.policy.swap_duration.observe(started.elapsed().as_secs_f64());
        self.show();
    }

    fn next_serial(&mut self) -> u32 {
        let (serial, written) = self.serial.take();
        if let Err(error) = written {
            tracing::error!(%error, "the state directory cannot be written; the policy is published all the same");
            self.metrics.policy.state_write_failures.inc();
        }
        serial
    }

    /// Frees policies that nobody reads any more.
    pub(super) fn sweep(&mut self) {
        self.writer.sweep();
    }

    fn show(&self) {
        let (policy, figures) = (self.writer.current(), &self.metrics.policy);
        figures.names.set(policy.names() as i64);
        figures.serial.set(i64::from(policy.serial));
        figures.built_timestamp.set(policy.built_at.as_millisecond() as f64 / 1000.0);
        figures.bytes.set(policy.bytes() as i64);
    }

    /// Shows how many notices are known; deadlines pass without anything else changing.
    pub(super) fn show_census(&self, census: Census) {
        let Census { in_force, scheduled, expired, refused, past_deadline } = census;
        let figures = &self.metrics.policy;
        figures.past_deadline.set(past_deadline);
        for (state, count) in
            [("in force", in_force), ("scheduled", scheduled), ("expired", expired), ("refused", refused)]
        {
            figures.notices.with_label_values(&[state]).set(count);
        }
    }
}

/// Whether two policies give every name the same answer. The digest covers the notices in force; kinds, order and pages come
/// from the configuration.
fn answers_the_same(old: &Snapshot, new: &Snapshot) -> bool {
    let answers = |snapshot: &Snapshot| -> Vec<_> {
        let live = snapshot.entries().iter().filter(|entry| entry.notice.validity.contains(new.built_at));
        live.map(|entry| (entry.notice.digest, entry.kind, entry.rank, entry.page)).collect()
    };
    old.digest == new.digest && old.ttl == new.ttl && answers(old) == answers(new)
}
