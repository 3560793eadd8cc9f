//! [`Labels`]: small numbers for the label values that come from notices, so that counting a hit is an array index.
//!
//! Bounded on purpose. A regulator that issues ten thousand notices must not create ten thousand time series: after the
//! first [`MAX_HITS`] - 1 notices of a process, and after [`MAX_BLOCKED`] - 1 combinations, the rest counts as `other`.
//! Slots are given out by the control plane while it compiles and are never taken back, so a count never changes its owner.

use std::collections::HashMap;
use std::sync::Mutex;

/// Notices counted by themselves, plus `other`.
pub const MAX_HITS: usize = 1_001;
/// Combinations of authority, category and action counted by themselves, plus `other`.
pub const MAX_BLOCKED: usize = 513;

/// Authority, category and action, in the words of the metrics.
pub type BlockedLabels = [String; 3];

/// The slots given out so far.
#[derive(Debug, Default)]
pub struct Labels {
    hits: Mutex<Slots<String>>,
    blocked: Mutex<Slots<BlockedLabels>>,
}

#[derive(Debug)]
struct Slots<K> {
    slots: HashMap<K, u16>,
    order: Vec<K>,
}

impl<K> Default for Slots<K> {
    fn default() -> Self {
        Self { slots: HashMap::new(), order: Vec::new() }
    }
}

impl<K: Clone + Eq + std::hash::Hash> Slots<K> {
    fn slot(&mut self, key: K, max: usize) -> u16 {
        if let Some(slot) = self.slots.get(&key) {
            return *slot;
        }
        let next = self.order.len();
        if next >= max - 1 {
            return (max - 1) as u16; // `other`, the last index
        }
        self.order.push(key.clone());
        self.slots.insert(key, next as u16);
        next as u16
    }
}

impl Labels {
    /// The slot of a notice id.
    pub fn hit(&self, notice: &str) -> u16 {
        lock(&self.hits).slot(notice.to_owned(), MAX_HITS)
    }

    /// The slot of a combination.
    pub fn blocked(&self, authority: &str, category: &str, action: &str) -> u16 {
        let labels = [authority, category, action].map(str::to_owned);
        lock(&self.blocked).slot(labels, MAX_BLOCKED)
    }

    /// Notice ids in slot order; counts of the slots beyond go to `other`.
    pub fn hits(&self) -> Vec<String> {
        lock(&self.hits).order.clone()
    }

    /// Combinations in slot order; counts of the slots beyond go to `other`.
    pub fn blocked_combinations(&self) -> Vec<BlockedLabels> {
        lock(&self.blocked).order.clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner) // plain data: a panic leaves it whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_keeps_its_owner_and_the_rest_is_other() {
        let labels = Labels::default();
        let first = labels.hit("N-1");
        for n in 2..2_000 {
            labels.hit(&format!("N-{n}"));
        }
        assert_eq!(labels.hit("N-1"), first);
        assert_eq!(usize::from(labels.hit("N-1500")), MAX_HITS - 1);
        assert_eq!(labels.hits().len(), MAX_HITS - 1);
    }
}
