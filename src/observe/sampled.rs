//! [`Sampled`]: a gauge that is read where its value lives when `/metrics` is asked for, and costs nothing in between.

use std::fmt;
use std::sync::{Arc, OnceLock};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::family::Family;

/// See the module's header.
#[derive(Clone)]
pub struct Sampled {
    family: Family,
    desc: Desc,
    read: Arc<OnceLock<Box<dyn Fn() -> u64 + Send + Sync>>>,
}

impl Sampled {
    pub(super) fn new(family: Family) -> prometheus::Result<Self> {
        Ok(Self { family, desc: family.desc()?, read: Arc::default() })
    }

    /// Says where the value is; 0 is shown before. The first to say it counts.
    pub fn read_from(&self, read: impl Fn() -> u64 + Send + Sync + 'static) {
        let _ = self.read.set(Box::new(read));
    }
}

impl Collector for Sampled {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let value = self.read.get().map_or(0, |read| read());
        vec![self.family.with(vec![self.family.value(&[], value as f64)])]
    }
}

impl fmt::Debug for Sampled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sampled").field("family", &self.family).finish_non_exhaustive()
    }
}
