//! [`Interner`]: gives equal sets of members equal numbers, and counts their names.
//!
//! Few sets exist beside the names, and most names have one of the last few. A build gives numbers in the order in which
//! it meets the sets, and it goes by hash: the sets of the long lists come first and have the short numbers.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Member, SetId, Sets};
use crate::model::Scope;

/// See the module's header.
#[derive(Debug, Default)]
pub struct Interner {
    numbers: HashMap<Arc<[Member]>, SetId>,
    /// Of the sets of one member, by its slot and scope.
    singles: Vec<[Option<SetId>; 2]>,
    sets: Sets,
    counts: Vec<u64>,
}

impl Interner {
    /// Sets with the numbers of their places, and how many names each has.
    pub fn of(sets: impl Iterator<Item = (Arc<[Member]>, u64)>) -> Self {
        let mut all = Self::default();
        for (members, names) in sets {
            let set = all.add(members);
            all.counts[set as usize] = names;
        }
        all
    }

    /// The number of a set of members, which are in order and differ.
    pub fn number(&mut self, members: &[Member]) -> SetId {
        let known = match members {
            [single] => *self.single(*single),
            _ => self.numbers.get(members).copied(),
        };
        known.unwrap_or_else(|| self.add(members.into()))
    }

    fn single(&mut self, member: Member) -> &mut Option<SetId> {
        let notice = member.notice as usize; // slots are numbered from 0
        if self.singles.len() <= notice {
            self.singles.resize(notice + 1, [None; 2]);
        }
        &mut self.singles[notice][usize::from(member.scope == Scope::Subtree)]
    }

    fn add(&mut self, members: Arc<[Member]>) -> SetId {
        let set = self.sets.len() as SetId;
        match *members {
            [single] => *self.single(single) = Some(set),
            _ => drop(self.numbers.insert(members.clone(), set)),
        }
        self.sets.push(members);
        self.counts.push(0);
        set
    }

    /// A name has this set from now on.
    pub fn count(&mut self, set: SetId) {
        self.counts[set as usize] += 1;
    }

    /// A name has another set from now on.
    pub fn discount(&mut self, set: SetId) {
        self.counts[set as usize] -= 1;
    }

    /// How many names have each set.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// How many names have a set.
    pub fn names_in(&self, set: SetId) -> u64 {
        self.counts.get(set as usize).copied().unwrap_or(0)
    }

    /// The sets by number.
    pub fn sets(&self) -> &Sets {
        &self.sets
    }
}
