//! [`Cache`]: upstreams' answers as bytes, bounded in octets, shared by all workers.
//!
//! The key is name, type, DO and CD of the question: what an upstream's answer depends on. Policy is not in it; it is
//! decided on every hit, on the name asked and on the names the answer leads to. NXDOMAIN is kept a type at a time like
//! every answer; that it denies all types is not made use of yet.

use std::sync::Arc;

use prometheus::IntGauge;
use quick_cache::Weighter;

use super::answer::Answer;
use super::clock::Millis;

/// Octets an entry costs besides its key and answer: map, list and two allocations' heads.
const OVERHEAD: usize = 128;

/// The answer cache. A look-up takes one shard's lock for reading and allocates nothing.
#[derive(Debug)]
pub struct Cache {
    answers: Option<quick_cache::sync::Cache<Box<[u8]>, Arc<Kept>, Octets>>,
    /// Shows the octets in use.
    bytes: IntGauge,
}

/// An answer and its times.
#[derive(Debug)]
pub struct Kept {
    /// The answer.
    pub answer: Answer,
    stored: Millis,
    until: Millis,
}

#[derive(Clone, Debug)]
struct Octets;

impl Weighter<Box<[u8]>, Arc<Kept>> for Octets {
    fn weight(&self, key: &Box<[u8]>, kept: &Arc<Kept>) -> u64 {
        (OVERHEAD + key.len() + kept.answer.size()) as u64
    }
}

impl Kept {
    /// An answer that came at `now` and is kept at most `max_ttl` seconds.
    pub fn new(answer: Answer, now: Millis, max_ttl: u32) -> Self {
        let until = now + u64::from(answer.keep.min(max_ttl)) * 1000;
        Self { answer, stored: now, until }
    }

    /// Whole seconds since it came.
    pub fn age(&self, now: Millis) -> u32 {
        u32::try_from(now.saturating_sub(self.stored) / 1000).unwrap_or(u32::MAX)
    }
}

impl Cache {
    /// A cache of at most `size` octets, shown in `bytes`; 0 turns it off.
    pub fn new(size: u64, bytes: IntGauge) -> Self {
        let items = usize::try_from(size / 512).unwrap_or(usize::MAX).clamp(64, 4 << 20);
        Self { answers: (size > 0).then(|| quick_cache::sync::Cache::with_weighter(items, size, Octets)), bytes }
    }

    /// The answer under `key` if it may still be used at `now`.
    pub fn get(&self, key: &[u8], now: Millis) -> Option<Arc<Kept>> {
        self.answers.as_ref()?.get(key).filter(|kept| now < kept.until)
    }

    /// Forgets all answers.
    pub fn clear(&self) {
        if let Some(answers) = &self.answers {
            answers.clear();
            self.bytes.set(answers.weight() as i64);
        }
    }

    /// Keeps an answer, if it may be kept at all.
    pub fn put(&self, key: &[u8], kept: Arc<Kept>) {
        if let Some(answers) = self.answers.as_ref().filter(|_| kept.stored < kept.until) {
            answers.insert(key.into(), kept);
            self.bytes.set(answers.weight() as i64);
        }
    }
}
