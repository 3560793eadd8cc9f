//! The one place where control and data plane meet: one writer, many readers, one pointer.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::verdict::Snapshot;

/// Makes the store with its first snapshot. The writer cannot be cloned: there is one, by type.
pub fn store(first: Snapshot) -> (PolicyWriter, PolicyReader) {
    let current = Arc::new(ArcSwap::from_pointee(first));
    (PolicyWriter { current: current.clone(), retired: Vec::new() }, PolicyReader(current))
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

/// Reads the policy in force.
#[derive(Clone, Debug)]
pub struct PolicyReader(Arc<ArcSwap<Snapshot>>);

impl PolicyReader {
    /// The snapshot in force: load once per batch, drop before waiting. An idle thread must not pin an old list.
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.0.load()
    }
}
