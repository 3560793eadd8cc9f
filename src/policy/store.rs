//! The one place where control and data plane meet: one writer, many readers, one pointer.

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption, Guard};

use super::preview::Preview;
use super::verdict::Snapshot;

/// Makes the store with its first snapshot. The writer cannot be cloned: there is one, by type.
pub fn store(first: Snapshot) -> (PolicyWriter, PolicyReader) {
    let current = Arc::new(ArcSwap::from_pointee(first));
    (PolicyWriter { current: current.clone(), retired: Vec::new() }, PolicyReader { current, preview: Arc::default() })
}

/// Publishes snapshots.
#[derive(Debug)]
pub struct PolicyWriter {
    current: Arc<ArcSwap<Snapshot>>,
    retired: Vec<Arc<Snapshot>>,
}

impl PolicyWriter {
    /// Puts the next snapshot in force for every batch that starts from now on.
    ///
    /// The old one is kept here until no reader holds it, so that freeing a million names never falls to a query thread.
    pub fn publish(&mut self, next: Snapshot) {
        self.retired.push(self.current.swap(Arc::new(next)));
    }

    /// Frees retired snapshots nobody reads any more; returns how many are still held.
    pub fn sweep(&mut self) -> usize {
        self.retired.retain(|snapshot| Arc::strong_count(snapshot) > 1);
        self.retired.len()
    }

    /// The snapshot in force.
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }
}

/// Reads the policy in force, and the preview beside it.
#[derive(Clone, Debug)]
pub struct PolicyReader {
    current: Arc<ArcSwap<Snapshot>>,
    preview: Arc<ArcSwapOption<Preview>>,
}

impl PolicyReader {
    /// The snapshot in force: load once per batch, drop before waiting. An idle thread must not pin an old list.
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// What a candidate is counted in, if one is: as [`Self::load`].
    pub fn preview(&self) -> Guard<Option<Arc<Preview>>> {
        self.preview.load()
    }

    /// Has queries counted in this one from the next batch on, or in none; returns the one before. It is for the caller
    /// to free, once no reader holds it any more.
    pub fn set_preview(&self, next: Option<Arc<Preview>>) -> Option<Arc<Preview>> {
        self.preview.swap(next)
    }
}
