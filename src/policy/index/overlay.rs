//! [`Overlay`]: the names that have changed since the layers were built.
//!
//! Each with its whole set as it is now, which takes the place of what the layers say. It is copied for every change,
//! so it is kept small: the control plane has it merged into the layers when it grows.

use hashbrown::HashTable;

use super::SetId;
use super::image::DEEP;
use crate::model::name::{WireName, labels};

/// See the module's header.
#[derive(Clone, Default)]
pub(super) struct Overlay {
    table: HashTable<Record>,
    /// The wire names, end to end.
    octets: Vec<u8>,
    depths: u64,
    deepest: u32,
}

#[derive(Clone, Copy)]
struct Record {
    hash: u64,
    /// Number of the change it comes from.
    edit: u64,
    start: u32,
    set: SetId,
    len: u8,
}

impl std::fmt::Debug for Overlay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Overlay").field("names", &self.len()).finish_non_exhaustive()
    }
}

impl Overlay {
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Bit n: there is a name of n labels, as in a layer's header.
    pub(super) fn depths(&self) -> u64 {
        self.depths
    }

    /// Most labels of a name.
    pub(super) fn deepest(&self) -> u32 {
        self.deepest
    }

    /// Octets held on the heap.
    pub(super) fn bytes(&self) -> usize {
        self.table.allocation_size() + self.octets.capacity()
    }

    fn wire(&self, record: &Record) -> &[u8] {
        let start = record.start as usize;
        self.octets.get(start..start + usize::from(record.len)).unwrap_or_default()
    }

    /// Whether a name may be there that has this hash.
    #[inline]
    pub(super) fn passes(&self, hash: u64) -> bool {
        self.table.find(hash, |record| record.hash == hash).is_some()
    }

    /// The set of a canonical wire name.
    #[inline]
    pub(super) fn find(&self, hash: u64, wire: &[u8]) -> Option<SetId> {
        self.table.find(hash, |record| record.hash == hash && self.wire(record) == wire).map(|record| record.set)
    }

    /// Gives a name its set; `edit` is the number of the change.
    pub(super) fn put(&mut self, hash: u64, wire: &[u8], set: SetId, edit: u64) {
        let (octets, is_it) = (&self.octets, |record: &Record, octets: &[u8]| {
            let start = record.start as usize;
            record.hash == hash && octets.get(start..start + usize::from(record.len)) == Some(wire)
        });
        if let Some(record) = self.table.find_mut(hash, |record| is_it(record, octets)) {
            (record.set, record.edit) = (set, edit);
            return;
        }
        let record = Record { hash, edit, set, start: self.octets.len() as u32, len: wire.len() as u8 };
        self.octets.extend_from_slice(wire);
        self.table.insert_unique(hash, record, |record| record.hash);
        let labels = labels(wire).count();
        self.depths |= 1 << labels.min(DEEP);
        self.deepest = self.deepest.max(labels as u32);
    }

    /// The names that changed after the change of this number, with their hashes and sets.
    pub(super) fn since(&self, edit: u64) -> impl Iterator<Item = (u64, &[u8], SetId)> {
        let later = self.table.iter().filter(move |record| record.edit > edit);
        later.map(|record| (record.hash, self.wire(record), record.set))
    }

    /// All names with their hashes and sets.
    pub(super) fn all(&self) -> impl Iterator<Item = (u64, &[u8], SetId)> {
        self.table.iter().map(|record| (record.hash, self.wire(record), record.set))
    }

    /// All names with their hashes and sets, in order of hash and, where that is equal, of octets.
    pub(super) fn names(&self) -> impl Iterator<Item = (u64, WireName, SetId)> {
        let mut records: Vec<_> = self.table.iter().collect();
        records.sort_unstable_by_key(|record| (record.hash, self.wire(record)));
        records.into_iter().map(|record| (record.hash, WireName::of(self.wire(record)), record.set))
    }
}
