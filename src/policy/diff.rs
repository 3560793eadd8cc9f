//! [`Diff`]: what a change did, counted in targets.

use super::compile::Rule;

/// How many targets came into force and were lifted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// In force now, not before.
    pub added: u64,
    /// In force before, not now.
    pub lifted: u64,
}

impl Diff {
    /// Counts names whose set had one rule and has another now.
    pub(super) fn count(&mut self, before: Rule, after: Rule, names: u64) {
        let (before, after) = (coverage(before), coverage(after));
        self.added += missing(after, before) * names;
        self.lifted += missing(before, after) * names;
    }
}

/// Whether there is an exact and a subtree winner.
fn coverage(rule: Rule) -> [bool; 2] {
    [rule.exact.is_some(), rule.subtree.is_some()]
}

/// How many of `these` are not among `those`.
fn missing(these: [bool; 2], those: [bool; 2]) -> u64 {
    these.iter().zip(those).filter(|(this, that)| **this && !that).count() as u64
}
