//! [`Publisher`]: publishes the policy after a change, minds the time, shows the figures.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use super::serial::Serial;
use super::state::Census;
use crate::ledger::{Digest, Event};
use crate::observe::metrics::Metrics;
use crate::policy::diff::Diff;
use crate::policy::store::store;
use crate::policy::{Change, PolicyReader, PolicyWriter, Register, Snapshot};

/// See the module's header.
pub(super) struct Publisher {
    writer: PolicyWriter,
    serial: Serial,
    metrics: Arc<Metrics>,
}

impl Publisher {
    /// Starts with an empty policy of serial 0, which says that nothing has been published.
    pub(super) fn new(serial: Serial, metrics: Arc<Metrics>) -> (Self, PolicyReader) {
        let (writer, reader) = store(Register::new(Timestamp::now()).snapshot(0, 0));
        (Self { writer, serial, metrics }, reader)
    }

    /// Lets time pass: publishes if a notice took effect or expired, or the clock was set back.
    pub(super) fn mind_the_time(&mut self, register: &mut Register, now: Timestamp) -> Option<Event> {
        let started = Instant::now();
        if now < register.now() || register.next_change().is_some_and(|at| at <= now) {
            let (change, ttl) = (register.at(now), self.writer.current().ttl);
            return self.publish(register, change, ttl, started);
        }
        None
    }

    /// Puts the policy of the register in force, under a new serial if it differs from the one before. `started` is when
    /// the change came. Returns what is to be recorded.
    pub(super) fn publish(&mut self, register: &Register, change: Change, ttl: u32, started: Instant) -> Option<Event> {
        let (serial, old) = {
            let current = self.writer.current();
            (current.serial, current.ttl)
        };
        let differs = serial == 0 || change.differs || ttl != old;
        let serial = if differs { self.next_serial() } else { serial };
        let next = register.snapshot(ttl, serial);
        let (names, digest) = (next.names(), Digest::new(next.digest));
        self.show(&next); // before it, so that whoever sees its answers sees its figures
        self.writer.publish(next);
        self.metrics.policy.swap_duration.observe(started.elapsed().as_secs_f64());
        let Diff { added, lifted } = change.diff;
        if differs {
            tracing::info!(serial, names, added, lifted, "policy published");
        }
        differs.then_some(Event::Published { serial, digest, names, added, lifted })
    }

    /// The policy in force.
    pub(super) fn current(&self) -> Arc<Snapshot> {
        self.writer.current()
    }

    /// Puts the same policy in force in another form.
    pub(super) fn refresh(&mut self, register: &Register) {
        let (serial, ttl) = {
            let current = self.writer.current();
            (current.serial, current.ttl)
        };
        let next = register.snapshot(ttl, serial);
        self.show(&next);
        self.writer.publish(next);
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

    fn show(&self, policy: &Snapshot) {
        let figures = &self.metrics.policy;
        figures.names.set(policy.names() as i64);
        figures.serial.set(i64::from(policy.serial));
        figures.built_timestamp.set(policy.built_at.as_millisecond() as f64 / 1000.0);
        figures.bytes.set(policy.bytes() as i64);
    }

    /// Shows how many notices are known; deadlines pass without anything else changing.
    pub(super) fn show_census(&self, census: Census) {
        let Census { in_force, scheduled, expired, refused, suspended, revoked, past_deadline, past_review } = census;
        let figures = &self.metrics.policy;
        figures.past_deadline.set(past_deadline);
        figures.past_review.set(past_review);
        for (state, count) in [
            ("in force", in_force),
            ("scheduled", scheduled),
            ("suspended", suspended),
            ("revoked", revoked),
            ("expired", expired),
            ("refused", refused),
        ] {
            figures.notices.with_label_values(&[state]).set(count);
        }
    }
}
