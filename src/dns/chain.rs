//! [`Records`]: the owners of an upstream's records, and whether its answer section is an answer to the question.
//!
//! An answer section holds the CNAME chain that begins at the name asked, and records of the names on it. Anything else
//! is somebody's attempt to have it believed, or a server that mixes up its answers: the whole message is refused, not
//! patched (STANDARDS, "Abuse limits"). The order of the records means nothing, since resolvers rotate it.

use std::ops::Range;

use crate::model::name::is_at_or_below;

use super::wire::{Record, read_name, rtype, u16_at};

/// Most CNAMEs between the name asked and the data.
const MAX_CHAIN: usize = 16;

/// Records of one section, by owner.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// Canonical owners and CNAME targets, end to end.
    names: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    owner: Range<usize>,
    rtype: u16,
    /// The type an RRSIG is about, else 0: each of those is an RRset of its own.
    covered: u16,
    /// Where a CNAME leads.
    target: Option<Range<usize>>,
    ttl_at: usize,
    ttl: u32,
}

impl Records {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes note of a record; `None` if its names cannot be read.
    pub(super) fn push(&mut self, message: &[u8], record: &Record) -> Option<()> {
        let message = &message[..record.end];
        let owner = self.name(message, record.start)?;
        let target = match record.rtype {
            rtype::CNAME => Some(self.name(message, record.rdata)?),
            _ => None,
        };
        let covered = if record.rtype == rtype::RRSIG { u16_at(message, record.rdata)? } else { 0 };
        let (rtype, ttl_at, ttl) = (record.rtype, record.ttl_at, record.ttl);
        self.entries.push(Entry { owner, rtype, covered, target, ttl_at, ttl });
        Some(())
    }

    fn name(&mut self, message: &[u8], at: usize) -> Option<Range<usize>> {
        let start = self.names.len();
        read_name(message, at, &mut self.names)?;
        Some(start..self.names.len())
    }

    /// Whether these records answer `name` (canonical, wire): a chain of at most [`MAX_CHAIN`] CNAMEs without a loop,
    /// records of its names, and the DNAMEs above them that made its CNAMEs (RFC 6672 §3.1), with their signatures.
    pub(super) fn answers(&self, name: &[u8]) -> bool {
        let mut chain = vec![name];
        while let Some(next) = chain.last().and_then(|last| self.cname(last)) {
            if chain.contains(&next) || chain.len() > MAX_CHAIN {
                return false;
            }
            chain.push(next);
        }
        self.entries.iter().all(|entry| {
            let owner = &self.names[entry.owner.clone()];
            let is_dname = entry.rtype == rtype::DNAME || entry.covered == rtype::DNAME;
            chain.contains(&owner) || is_dname && chain.iter().any(|name| is_at_or_below(name, owner))
        })
    }

    fn cname(&self, name: &[u8]) -> Option<&[u8]> {
        let entry =
            self.entries.iter().find(|entry| entry.target.is_some() && self.names[entry.owner.clone()] == *name)?;
        entry.target.clone().map(|target| &self.names[target])
    }

    /// Gives the records of an RRset one TTL in `bytes`, the lowest (RFC 2181 §5.2).
    pub(super) fn level_ttls(&mut self, bytes: &mut [u8]) {
        let names = &self.names;
        let key = |entry: &Entry| (&names[entry.owner.clone()], entry.rtype, entry.covered);
        self.entries.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
        for set in self.entries.chunk_by(|a, b| key(a) == key(b)) {
            let lowest = set.iter().map(|entry| entry.ttl).min().unwrap_or(0);
            for entry in set.iter().filter(|entry| entry.ttl != lowest) {
                if let Some(field) = bytes.get_mut(entry.ttl_at..entry.ttl_at + 4) {
                    field.copy_from_slice(&lowest.to_be_bytes());
                }
            }
        }
    }
}
