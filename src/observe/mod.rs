//! What the NOC sees: per-thread [`counters`], the [`metrics`] built from them, the [`log`].
//!
//! No label and no log line above debug level holds a query name or a client address (REGULATION §7).

pub mod beats;
pub mod counters;
mod family;
pub mod labels;
pub mod log;
pub mod metrics;
pub mod panics;
mod process;
pub mod sampled;
mod sum;
pub mod throttle;

pub use metrics::Metrics;
