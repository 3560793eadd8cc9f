//! [`Index`]: every listed name, immutable, exact.
//!
//! One arena of records end to end, each a set number (4 octets) and a canonical wire name, and a hash table of arena
//! offsets over it (hashbrown: one control octet a bucket, probed 16 at a time). A look-up hashes each suffix of the
//! question and compares the octets: a fingerprint alone never decides, since a false positive blocks an innocent site.
//!
//! Which notices list a name, and with which scope, is a *set*; names that share a set share its number, so a million
//! names of one list cost one set. Sets say nothing about time or precedence: that is [`super::verdict::Snapshot`].

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::model::Scope;
use crate::model::name::{self, labels, parent};

/// Number of a set of [`Member`]s.
pub type SetId = u32;

/// One reason why a name is in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Member {
    /// Index into the entries the index was built with.
    pub notice: u32,
    /// How far it reaches from the name.
    pub scope: Scope,
}

/// Octets of a record before its name.
const SET: usize = size_of::<SetId>();

/// The names of all known notices. See the module's header.
#[derive(Debug, Default)]
pub struct Index {
    arena: Box<[u8]>,
    table: HashTable<u32>,
    hasher: RandomState,
    /// No name has more labels, so longer suffixes of a question need no probe.
    max_labels: usize,
    sets: Vec<Box<[Member]>>,
    /// Names per set.
    counts: Vec<u32>,
}

impl Index {
    /// The sets of the names at and above `name`, the longest first; each with the suffix of `name` it belongs to.
    ///
    /// `name` is a canonical wire name. Takes no lock and allocates nothing.
    pub fn walk<'n>(&self, name: &'n [u8]) -> impl Iterator<Item = (SetId, &'n [u8])> {
        let mut rest = Some(name);
        for _ in self.max_labels..labels(name).count() {
            rest = rest.and_then(parent);
        }
        std::iter::from_fn(move || {
            loop {
                let suffix = rest?;
                rest = parent(suffix);
                if let Some(set) = self.find(suffix) {
                    return Some((set, suffix));
                }
            }
        })
    }

    /// The set of exactly this canonical wire name.
    pub fn find(&self, wire: &[u8]) -> Option<SetId> {
        let hash = self.hasher.hash_one(wire);
        let at = *self.table.find(hash, |&at| has_name(&self.arena, at, wire))?;
        Some(set_at(&self.arena, at))
    }

    /// Why the names of a set are listed.
    pub fn members(&self, set: SetId) -> &[Member] {
        self.sets.get(set as usize).map_or(&[], |members| members)
    }

    /// How many sets there are; set numbers are below it.
    pub fn sets(&self) -> usize {
        self.sets.len()
    }

    /// How many names a set has.
    pub fn names_in(&self, set: SetId) -> u64 {
        self.counts.get(set as usize).map_or(0, |count| u64::from(*count))
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Every name with its set, in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], SetId)> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let (set, wire) = record(&self.arena, at)?;
            at += SET + wire.len();
            Some((wire, set))
        })
    }

    /// Octets held on the heap.
    pub fn bytes(&self) -> usize {
        let members: usize = self.sets.iter().map(|set| size_of_val(&**set) + size_of::<Box<[Member]>>()).sum();
        self.arena.len() + self.table.allocation_size() + members + self.counts.len() * size_of::<u32>()
    }
}

fn record(arena: &[u8], at: usize) -> Option<(SetId, &[u8])> {
    let (set, rest) = arena.get(at..)?.split_first_chunk::<SET>()?;
    let wire = rest.get(..name::wire_len(rest)?)?;
    Some((SetId::from_le_bytes(*set), wire))
}

fn set_at(arena: &[u8], at: u32) -> SetId {
    arena.get(at as usize..).and_then(<[u8]>::first_chunk).map_or(SetId::MAX, |set| SetId::from_le_bytes(*set))
}

/// Whether the record at `at` has this name. A prefix of the same length is enough: both are whole wire names, and no wire
/// name is a prefix of another.
fn has_name(arena: &[u8], at: u32, wire: &[u8]) -> bool {
    let start = at as usize + SET;
    arena.get(start..start + wire.len()) == Some(wire)
}

/// The arena is full: offsets have 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the names of all notices together exceed 4 GiB")]
pub struct Full;

/// Collects names into an [`Index`].
#[derive(Debug, Default)]
pub struct Builder {
    arena: Vec<u8>,
    table: HashTable<u32>,
    hasher: RandomState,
    max_labels: usize,
    sets: Interner,
}

impl Builder {
    /// Room for about this many names.
    pub fn with_capacity(names: usize) -> Self {
        Self {
            arena: Vec::with_capacity(names.saturating_mul(24)),
            table: HashTable::with_capacity(names),
            ..Self::default()
        }
    }

    /// Adds one reason to list a canonical wire name; adding it twice changes nothing.
    pub fn add(&mut self, wire: &[u8], member: Member) -> Result<(), Full> {
        let hash = self.hasher.hash_one(wire);
        if let Some(&at) = self.table.find(hash, |&at| has_name(&self.arena, at, wire)) {
            let set = self.sets.with(set_at(&self.arena, at), member);
            self.arena[at as usize..at as usize + SET].copy_from_slice(&set.to_le_bytes());
            return Ok(());
        }
        let at = u32::try_from(self.arena.len()).map_err(|_| Full)?;
        let set = self.sets.single(member);
        self.arena.extend_from_slice(&set.to_le_bytes());
        self.arena.extend_from_slice(wire);
        self.max_labels = self.max_labels.max(labels(wire).count());
        let Self { arena, table, hasher, .. } = self;
        table.insert_unique(hash, at, |&at| {
            record(arena, at as usize).map_or(0, |(_, wire)| hasher.hash_one(wire)) // every offset starts a record
        });
        Ok(())
    }

    /// The finished index.
    pub fn build(mut self) -> Index {
        let Self { arena, table, hasher, .. } = &mut self;
        table.shrink_to_fit(|&at| record(arena, at as usize).map_or(0, |(_, wire)| hasher.hash_one(wire)));
        let mut index = Index {
            arena: self.arena.into_boxed_slice(),
            table: self.table,
            hasher: self.hasher,
            max_labels: self.max_labels,
            counts: vec![0; self.sets.sets.len()],
            sets: self.sets.sets,
        };
        let mut counts = std::mem::take(&mut index.counts);
        for (_, set) in index.iter() {
            counts[set as usize] += 1;
        }
        index.counts = counts;
        index
    }
}

/// Gives equal sets equal numbers. Few sets exist beside the names, and most additions repeat the last one: both steps are
/// remembered.
#[derive(Debug, Default)]
struct Interner {
    sets: Vec<Box<[Member]>>,
    numbers: HashMap<Box<[Member]>, SetId>,
    singles: HashMap<Member, SetId>,
    steps: HashMap<(SetId, Member), SetId>,
    last: Option<(Member, SetId)>,
}

impl Interner {
    fn single(&mut self, member: Member) -> SetId {
        if let Some((last, set)) = self.last.filter(|(last, _)| *last == member) {
            debug_assert_eq!(last, member);
            return set;
        }
        let set = match self.singles.get(&member) {
            Some(set) => *set,
            None => {
                let set = self.intern(Box::new([member]));
                self.singles.insert(member, set);
                set
            }
        };
        self.last = Some((member, set));
        set
    }

    fn with(&mut self, set: SetId, member: Member) -> SetId {
        if let Some(next) = self.steps.get(&(set, member)) {
            return *next;
        }
        let mut members = self.sets[set as usize].to_vec();
        if let Err(place) = members.binary_search(&member) {
            members.insert(place, member);
        }
        let next = self.intern(members.into());
        self.steps.insert((set, member), next);
        next
    }

    fn intern(&mut self, members: Box<[Member]>) -> SetId {
        if let Some(set) = self.numbers.get(&members) {
            return *set;
        }
        let set = self.sets.len() as SetId;
        self.sets.push(members.clone());
        self.numbers.insert(members, set);
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DnsName;

    fn wire(text: &str) -> Vec<u8> {
        DnsName::from_text(text).unwrap().as_wire().to_vec()
    }

    fn member(notice: u32, scope: Scope) -> Member {
        Member { notice, scope }
    }

    #[test]
    fn a_walk_finds_every_listed_ancestor_longest_first() {
        let mut builder = Builder::default();
        for name in ["b.example", "example", "a.b.example", "other.test"] {
            builder.add(&wire(name), member(1, Scope::Subtree)).unwrap();
        }
        let index = builder.build();
        let (deep, question) = (wire("x.y.z.a.b.example"), wire("c.example"));
        let found: Vec<_> = index.walk(&deep).map(|(_, suffix)| suffix.to_vec()).collect();
        assert_eq!(found, ["a.b.example", "b.example", "example"].map(wire));
        assert_eq!(index.walk(&question).count(), 1);
        assert_eq!(index.walk(&wire("test")).count(), 0);
        assert_eq!(index.walk(b"\x00").count(), 0);
    }

    #[test]
    fn equal_reasons_share_a_set_and_repeats_change_nothing() {
        let mut builder = Builder::default();
        for name in ["a.x", "b.x", "a.x"] {
            builder.add(&wire(name), member(0, Scope::Exact)).unwrap();
        }
        for (notice, scope) in [(2, Scope::Subtree), (0, Scope::Subtree), (2, Scope::Subtree)] {
            builder.add(&wire("b.x"), member(notice, scope)).unwrap();
        }
        let index = builder.build();
        assert_eq!(index.len(), 2);
        let a = index.find(&wire("a.x")).unwrap();
        let b = index.find(&wire("b.x")).unwrap();
        assert_eq!(index.members(a), [member(0, Scope::Exact)]);
        assert_eq!(index.members(b), [member(0, Scope::Exact), member(0, Scope::Subtree), member(2, Scope::Subtree)]);
        assert_eq!((index.names_in(a), index.names_in(b)), (1, 1));
        let names: Vec<_> = index.iter().map(|(name, _)| name.to_vec()).collect();
        assert_eq!(names, [wire("a.x"), wire("b.x")]);
    }
}
