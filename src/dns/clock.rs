//! [`Clock`]: monotonic time in milliseconds, real or set by a test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Instant, SystemTime};

/// Milliseconds since the process started, or since whenever a test says.
pub type Millis = u64;

/// Where the data plane takes the time from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The system's monotonic clock, counted from this instant.
    System(Instant),
    /// Set by a test; the time of day is the same number, in 1970.
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

    /// The time of day now, in milliseconds since the epoch. It may be set, and then go back.
    pub fn unix_ms(&self) -> i64 {
        match self {
            Self::System(_) => {
                let since = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis());
                i64::try_from(since).unwrap_or(i64::MAX)
            }
            Self::Manual(now) => now.load(Relaxed).cast_signed(),
        }
    }
}
