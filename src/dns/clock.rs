//! [`Clock`]: monotonic time in milliseconds, real or set by a test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// Milliseconds since the process started, or since whenever a test says.
pub type Millis = u64;

/// Where the data plane takes the time from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The system's monotonic clock, counted from this instant.
    System(Instant),
    /// Set by a test.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The time now.
    pub fn now(&self) -> Millis {
        self.at(Instant::now())
    }

    /// The time at an instant somebody read already.
    pub fn at(&self, instant: Instant) -> Millis {
        match self {
            Self::System(start) => u64::try_from(instant.duration_since(*start).as_millis()).unwrap_or(u64::MAX),
            Self::Manual(now) => now.load(Relaxed),
        }
    }
}
