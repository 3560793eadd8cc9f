//! [`Held`]: which notices the file of recent ones must have, beside the file of the layers. Pure.
//!
//! A notice comes into the overlay of the index, or with many others into layers; and from the overlay it moves into layers
//! with the next merge. The two files cannot be written at one instant, so a notice that moves is held, with its names, until
//! a file of layers that has it is there. The order of writing ([`Job`](super::store)) is: the recent ones with
//! those that move; the layers; the recent ones without them. A crash leaves what moves in one file at least, and what
//! stands in both is the same notice: the first two are of one instant, and a file of recent ones is never older than
//! that of the layers. So where they differ, the recent one is right.
//!
//! What has gone from the recent ones too stands in the file of the layers until that is written again, at most every ten
//! seconds: a crash before that brings back an older version of it, if its source cannot be read at the start.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::recent::RecentDocument;
use super::state::{Place, Standing};
use super::stored::StoredDocument;
use crate::model::Targets;

/// See the module's header.
#[derive(Debug, Default)]
pub(super) struct Held {
    documents: BTreeMap<Place, Arc<RecentDocument>>,
    /// Those whose names stand in layers by now.
    moving: BTreeSet<Place>,
}

impl Held {
    /// Those that a file had.
    pub(super) fn of(documents: &[RecentDocument]) -> Self {
        let place = |RecentDocument { document, .. }: &RecentDocument| (document.source.clone(), document.key.clone());
        let documents = documents.iter().map(|recent| (place(recent), Arc::new(recent.clone())));
        Self { documents: documents.collect(), moving: BTreeSet::new() }
    }

    /// Takes over what stands now: what has gone is held no more. `describe` says what is stored of a notice, `targets` what
    /// the notices of some slots list whose names are in no layer.
    pub(super) fn update<'a>(
        &mut self,
        standing: impl Iterator<Item = Standing<'a>>,
        describe: impl Fn(&Standing<'a>) -> StoredDocument,
        targets: impl FnOnce(&BTreeSet<u32>) -> BTreeMap<u32, Targets>,
    ) {
        let old = std::mem::take(self);
        let mut new = BTreeMap::new();
        for one in standing {
            let known = old.documents.get(one.place).filter(|known| known.document.notice == **one.notice);
            match known {
                Some(known) => {
                    let recent = RecentDocument { document: describe(&one), targets: known.targets.clone() };
                    self.documents.insert(one.place.clone(), Arc::new(recent));
                    self.moving.extend(one.in_layers.then(|| one.place.clone()));
                }
                None if !one.in_layers => {
                    new.insert(one.slot, (one.place, describe(&one)));
                }
                None => {} // the layers are due to be stored
            }
        }
        let mut targets = targets(&new.keys().copied().collect());
        for (slot, (place, document)) in new {
            let targets = Arc::new(targets.remove(&slot).unwrap_or_default());
            self.documents.insert(place.clone(), Arc::new(RecentDocument { document, targets }));
        }
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Arc<RecentDocument>> {
        self.documents.values().cloned().collect()
    }

    /// Those that stay when the layers are stored.
    pub(super) fn staying(&self) -> Vec<Arc<RecentDocument>> {
        let staying = self.documents.iter().filter(|(place, _)| !self.moving.contains(*place));
        staying.map(|(_, recent)| recent.clone()).collect()
    }

    /// The layers as they were at the last [`Self::update`] have been stored.
    pub(super) fn layers_are_stored(&mut self) {
        for place in std::mem::take(&mut self.moving) {
            self.documents.remove(&place);
        }
    }
}

#[cfg(test)]
mod tests;
