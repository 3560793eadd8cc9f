//! [`Diff`]: what a publication changed, counted in targets.

use std::sync::Arc;

use super::index::SetId;
use super::verdict::Snapshot;

/// How many targets came into force and were lifted between two snapshots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// In force now, not before.
    pub added: u64,
    /// In force before, not now.
    pub lifted: u64,
}

impl Diff {
    /// Compares two snapshots: a look-up a name where the names changed, a comparison a set where only time passed.
    pub fn between(old: &Snapshot, new: &Snapshot) -> Self {
        if Arc::ptr_eq(&old.index, &new.index) {
            return Self::of_sets(old, new);
        }
        let mut diff = Self::default();
        for (wire, set) in new.index.iter() {
            let before = old.index.find(&wire).map(|set| coverage(old, set)).unwrap_or_default();
            diff.added += missing(coverage(new, set), before);
        }
        for (wire, set) in old.index.iter() {
            let after = new.index.find(&wire).map(|set| coverage(new, set)).unwrap_or_default();
            diff.lifted += missing(coverage(old, set), after);
        }
        diff
    }

    fn of_sets(old: &Snapshot, new: &Snapshot) -> Self {
        let mut diff = Self::default();
        for set in 0..new.index.sets() as SetId {
            let (before, after) = (coverage(old, set), coverage(new, set));
            diff.added += missing(after, before) * new.index.names_in(set);
            diff.lifted += missing(before, after) * new.index.names_in(set);
        }
        diff
    }
}

/// Whether a set has an exact and a subtree winner.
fn coverage(snapshot: &Snapshot, set: SetId) -> [bool; 2] {
    let rule = snapshot.rule(set);
    [rule.exact.is_some(), rule.subtree.is_some()]
}

/// How many of `these` are not among `those`.
fn missing(these: [bool; 2], those: [bool; 2]) -> u64 {
    these.iter().zip(those).filter(|(this, that)| **this && !that).count() as u64
}

#[cfg(test)]
mod tests {
    use super::super::compile::tests::{notice, snapshot};
    use super::*;
    use crate::model::AuthorityKind::Statutory;
    use crate::model::Scope::{Exact, Subtree};

    #[test]
    fn targets_are_counted_not_notices() {
        let first = notice("a", "1", 1, None);
        let second = notice("a", "2", 1, None);
        let old = snapshot(&[(first.clone(), Statutory, 0, &[("a.x", Exact), ("b.x", Exact)])], 10);
        let new = snapshot(
            &[(first, Statutory, 0, &[("a.x", Exact), ("a.x", Subtree)]), (second, Statutory, 0, &[("a.x", Exact)])],
            10,
        );
        assert_eq!(Diff::between(&old, &new), Diff { added: 1, lifted: 1 });
        assert_eq!(Diff::between(&new, &new), Diff::default());
    }

    #[test]
    fn time_alone_adds_and_lifts() {
        let listings = &[
            (notice("a", "1", 1, Some(20)), Statutory, 0, &[("a.x", Exact), ("b.x", Exact)][..]),
            (notice("a", "2", 20, None), Statutory, 0, &[("b.x", Exact), ("c.x", Subtree)][..]),
        ];
        let old = snapshot(listings, 10);
        let new = super::super::compile::resolve(
            old.index.clone(),
            old.entries.clone(),
            30,
            super::super::compile::tests::at(20),
            2,
        );
        assert_eq!(Diff::between(&old, &new), Diff { added: 1, lifted: 1 });
    }
}
