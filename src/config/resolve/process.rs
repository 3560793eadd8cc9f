//! `[process]`: how it ends, and what of it may end up on disk.

use std::time::Duration;

use super::values::{self, optional};
use crate::config::Process;
use crate::config::diagnostic::Reporter;
use crate::config::spec;

/// Longer than any routing protocol takes to converge; a guard against a slip.
const LONGEST_STOP_DELAY: Duration = Duration::from_secs(600);

pub(super) fn process(written: &spec::Process, report: &mut Reporter<'_>) -> Option<Process> {
    let delay = optional(written.stop_delay.as_ref(), |delay| {
        values::duration(delay, "stop_delay", Duration::ZERO..=LONGEST_STOP_DELAY, report)
    });
    Some(Process { stop_delay: delay?.unwrap_or_default(), core_dumps: written.core_dumps.unwrap_or(false) })
}
