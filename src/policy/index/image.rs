//! The octets of an index, and where everything stands in them.
//!
//! | part | octets |
//! |---|---|
//! | header | 64: see [`Header`] |
//! | filter | 8 a bucket: see [`super::bucket`] |
//! | directory | 32 a bucket: likewise |
//! | symbols | see [`Symbols`] |
//! | buckets | likewise |
//! | sets | 4 each: where its members end, counted in members |
//! | counts | 4 a set: how many names have it |
//! | members | 5 each: entry number, 1 for a subtree |
//!
//! All numbers have the lowest octet first. Nothing in it depends on the machine or on where it lies, so an index can
//! be written to a file and read back as it is; the file has to see to it that what comes back is what was written.

use super::Member;
use super::bucket::{ENTRY, WORD};
use super::symbols::Symbols;
use crate::model::Scope;

/// Tells this layout from any other.
const VERSION: [u8; 8] = *b"pagar-i1";

/// More labels than any ordinary name has.
pub(super) const DEEP: usize = 63;

/// Parts begin at a multiple of this, so that a look-up reads as few cache lines as can be.
pub(super) const LINE: usize = 64;

/// What an image begins with, after [`VERSION`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Header {
    /// Key of the hash.
    pub(super) key: u128,
    /// Bit n: there is a name of n labels; bit [`DEEP`]: of so many or more.
    pub(super) depths: u64,
    /// Most labels of a name.
    pub(super) deepest: u32,
    /// How many names there are.
    pub(super) names: u64,
    /// Octets of all buckets.
    pub(super) octets: u64,
    /// How many buckets there are.
    pub(super) buckets: u32,
    /// How many sets there are.
    pub(super) sets: u32,
    /// Members of all sets.
    pub(super) members: u32,
}

impl Header {
    const SIZE: usize = 64;

    /// Reads it from an image.
    pub(super) fn read(image: &[u8]) -> Option<Self> {
        let at =
            |at: usize| image.get(at..).and_then(<[u8]>::first_chunk::<4>).map(|octets| u32::from_le_bytes(*octets));
        let long =
            |at: usize| image.get(at..).and_then(<[u8]>::first_chunk::<8>).map(|octets| u64::from_le_bytes(*octets));
        let key = image.get(8..)?.first_chunk()?;
        if image.get(..8)? != VERSION {
            return None;
        }
        Some(Self {
            key: u128::from_le_bytes(*key),
            depths: long(24)?,
            names: long(32)?,
            octets: long(40)?,
            buckets: at(48)?,
            sets: at(52)?,
            members: at(56)?,
            deepest: at(60)?,
        })
    }

    /// Writes it over the beginning of an image.
    pub(super) fn write(&self, image: &mut [u8]) {
        let mut octets = Vec::with_capacity(Self::SIZE);
        octets.extend_from_slice(&VERSION);
        octets.extend_from_slice(&self.key.to_le_bytes());
        octets.extend_from_slice(&self.depths.to_le_bytes());
        octets.extend_from_slice(&self.names.to_le_bytes());
        octets.extend_from_slice(&self.octets.to_le_bytes());
        for number in [self.buckets, self.sets, self.members, self.deepest] {
            octets.extend_from_slice(&number.to_le_bytes());
        }
        image[..octets.len()].copy_from_slice(&octets);
    }

    /// Where the parts are; `None` if they are more than memory can hold.
    pub(super) fn places(&self) -> Option<Places> {
        let mut end = Self::SIZE;
        let mut part = |count: usize, each: usize| {
            let start = end.checked_next_multiple_of(LINE)?;
            end = start.checked_add(count.checked_mul(each)?)?;
            Some(start)
        };
        Some(Places {
            filter: part(self.buckets as usize, WORD)?,
            directory: part(self.buckets as usize, ENTRY)?,
            symbols: part(Symbols::SIZE, 1)?,
            buckets: part(usize::try_from(self.octets).ok()?, 1)?,
            sets: part(self.sets as usize, 4)?,
            counts: part(self.sets as usize, 4)?,
            members: part(self.members as usize, MEMBER)?,
            end,
        })
    }
}

/// Where each part of an image begins.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Places {
    pub(super) filter: usize,
    pub(super) directory: usize,
    pub(super) symbols: usize,
    pub(super) buckets: usize,
    pub(super) sets: usize,
    pub(super) counts: usize,
    pub(super) members: usize,
    pub(super) end: usize,
}

/// Octets of a member.
pub(super) const MEMBER: usize = 5;

/// A member as an image has it.
pub(super) fn member_to_octets(member: Member) -> [u8; MEMBER] {
    let [a, b, c, d] = member.notice.to_le_bytes();
    [a, b, c, d, u8::from(member.scope == Scope::Subtree)]
}

/// The member that these octets are.
pub(super) fn member_from_octets(octets: [u8; MEMBER]) -> Member {
    let [a, b, c, d, subtree] = octets;
    let scope = if subtree == 0 { Scope::Exact } else { Scope::Subtree };
    Member { notice: u32::from_le_bytes([a, b, c, d]), scope }
}
