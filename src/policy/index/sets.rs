//! [`Interner`]: gives equal sets of members equal numbers, and counts their names.
//!
//! Few sets exist beside the names, and most names have one of the last few. Numbers are given in the order in which
//! the builder meets the sets, and it goes by hash: the sets of the long lists come first and have the short numbers.

use std::collections::HashMap;

use super::image::member_to_octets;
use super::octets::Octets;
use super::{Member, SetId};
use crate::model::Scope;

#[derive(Default)]
pub(super) struct Interner {
    numbers: HashMap<Box<[Member]>, SetId>,
    /// Of the sets of one member, by its entry number and scope.
    singles: Vec<[Option<SetId>; 2]>,
    sets: Vec<Box<[Member]>>,
    counts: Vec<u32>,
}

impl Interner {
    /// The number of a set of members, which are in order and differ.
    pub(super) fn number(&mut self, members: &[Member]) -> SetId {
        let known = match members {
            [single] => *self.single(*single),
            _ => self.numbers.get(members).copied(),
        };
        known.unwrap_or_else(|| self.add(members))
    }

    fn single(&mut self, member: Member) -> &mut Option<SetId> {
        let notice = member.notice as usize; // entries are numbered from 0
        if self.singles.len() <= notice {
            self.singles.resize(notice + 1, [None; 2]);
        }
        &mut self.singles[notice][usize::from(member.scope == Scope::Subtree)]
    }

    fn add(&mut self, members: &[Member]) -> SetId {
        let set = self.sets.len() as SetId;
        match members {
            [single] => *self.single(*single) = Some(set),
            _ => drop(self.numbers.insert(members.into(), set)),
        }
        self.sets.push(members.into());
        self.counts.push(0);
        set
    }

    /// The members of a set.
    pub(super) fn members(&self, set: SetId) -> &[Member] {
        self.sets.get(set as usize).map(|members| &**members).unwrap_or_default()
    }

    /// Counts a name.
    pub(super) fn count(&mut self, set: SetId) {
        self.counts[set as usize] += 1;
    }

    /// Appends the three tables to an image; returns how many sets and members there are.
    pub(super) fn write(&self, image: &mut Octets) -> Option<(u32, u32)> {
        let mut members = 0u32;
        for set in &self.sets {
            members = members.checked_add(u32::try_from(set.len()).ok()?)?;
            image.extend(&members.to_le_bytes());
        }
        image.align();
        for count in &self.counts {
            image.extend(&count.to_le_bytes());
        }
        image.align();
        for member in self.sets.iter().flatten() {
            image.extend(&member_to_octets(*member));
        }
        Some((self.sets.len() as u32, members))
    }
}
