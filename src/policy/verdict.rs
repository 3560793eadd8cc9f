//! [`Snapshot`]: the policy at one instant, and [`Verdict`]: what it says about one name.

use std::ops::ControlFlow;

use jiff::Timestamp;

use super::chunked::Chunked;
use super::compile::{Entry, Rule};
use super::index::{Index, SetId};
use super::lifts::Lifts;
use super::register::Entries;
use crate::model::{DnsName, Notice, Scope};

/// The policy in force. Immutable; a change is a new one.
#[derive(Debug)]
pub struct Snapshot {
    /// Number of the publication; the SOA serial of blocked answers (RFC 1982 arithmetic).
    pub serial: u32,
    /// The instant it was made for.
    pub built_at: Timestamp,
    /// Of the notices in force, see [`Digests`](super::digest): equal on every node that enforces the same.
    pub digest: [u8; 32],
    /// TTL of blocked answers in seconds.
    pub ttl: u32,
    pub(super) index: Index,
    pub(super) rules: Chunked<Rule>,
    pub(super) entries: Entries,
    pub(super) names: u64,
    pub(super) notices: usize,
    pub(super) lifts: Lifts,
}

/// A name is listed: by whom, through which target.
#[derive(Clone, Copy, Debug)]
pub struct Verdict<'a> {
    /// The notice that answers and owns the hit, with what was prepared for it.
    pub entry: &'a Entry,
    /// The listed name, canonical wire octets: the name asked or an ancestor of it.
    pub target: &'a [u8],
    /// How far the target reaches.
    pub scope: Scope,
}

/// Which targets a look-up considers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consider {
    /// All of them.
    All,
    /// Not the exact ones: for DS and DNSKEY, which an exact target lets through (INTERFACES).
    SubtreesOnly,
}

impl Snapshot {
    /// What the policy says about a canonical wire name. Takes no lock and allocates nothing.
    ///
    /// The precedence is the table in [`super::compile`].
    pub fn decide<'a>(&'a self, name: &'a [u8], consider: Consider) -> Option<Verdict<'a>> {
        let mut best: Option<Verdict<'a>> = None;
        self.index.walk(name, |set, suffix| {
            let rule = self.rule(set);
            let whole = suffix.len() == name.len() && consider == Consider::All;
            let winners = [(rule.exact.filter(|_| whole), Scope::Exact), (rule.subtree, Scope::Subtree)];
            for (winner, scope) in winners {
                let Some(entry) = winner.and_then(|slot| self.entry(slot)) else { continue };
                if best.as_ref().is_none_or(|best| entry.rank < best.entry.rank) {
                    best = Some(Verdict { entry, target: suffix, scope });
                }
            }
            match best {
                // nothing outranks a statutory notice, and longer targets came first
                Some(Verdict { entry, .. }) if entry.rank == 0 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        });
        best.filter(|_| !self.is_lifted(name))
    }

    /// Whether a person has lifted a canonical wire name, or one above it: then no notice answers for it.
    #[inline]
    pub fn is_lifted(&self, name: &[u8]) -> bool {
        !self.lifts.is_empty() && self.lifts.cover(name)
    }

    /// Gets ready to decide about these names.
    pub fn warm<'n>(&self, names: impl Iterator<Item = &'n [u8]>) {
        self.index.warm(names);
    }

    /// Every listing at and above a name, in force or not, longest target first: for people who ask why.
    pub fn listings<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = (&'a Notice, Scope, &'a [u8])> {
        let mut sets = Vec::new();
        self.index.walk(name, |set, suffix| {
            sets.push((set, suffix));
            ControlFlow::Continue(())
        });
        sets.into_iter().flat_map(move |(set, suffix)| {
            let members = self.index.members(set).iter();
            members.filter_map(move |member| Some((&*self.entry(member.notice)?.notice, member.scope, suffix)))
        })
    }

    /// The notices that list a name or one below it, in force or not, once for each such name. Reads all names.
    pub fn listings_from(&self, name: &DnsName) -> impl Iterator<Item = &Notice> {
        let end = name.as_wire();
        let is_of = move |wire: &[u8]| {
            wire.ends_with(end) && DnsName::from_wire(wire).is_ok_and(|listed| listed.is_at_or_below(name))
        };
        let sets = self.index.iter().filter(move |(wire, _)| is_of(wire)).map(|(_, set)| set);
        let members = sets.flat_map(|set| self.index.members(set));
        members.filter_map(|member| Some(&*self.entry(member.notice)?.notice))
    }

    /// The notices it knows, in force or not.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter_map(Option::as_deref)
    }

    /// How many those are.
    pub fn notices(&self) -> usize {
        self.notices
    }

    /// The names it knows, in force or not.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// How many names are in force.
    pub fn names(&self) -> u64 {
        self.names
    }

    /// Octets held on the heap.
    pub fn bytes(&self) -> usize {
        self.index.bytes() + self.rules.bytes() + self.entries.bytes() + self.notices * size_of::<Entry>()
    }

    #[inline]
    fn entry(&self, slot: u32) -> Option<&Entry> {
        self.entries.get(slot as usize)?.as_deref()
    }

    #[inline]
    fn rule(&self, set: SetId) -> Rule {
        self.rules.get(set as usize).copied().unwrap_or_default()
    }
}
