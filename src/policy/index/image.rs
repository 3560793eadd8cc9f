//! The octets of a [`Layer`](super::layer::Layer), and where everything stands in them.
//!
//! | part | octets |
//! |---|---|
//! | header | 64: see [`Header`] |
//! | filter | 8 a bucket: see [`super::bucket`] |
//! | directory | 32 a bucket: likewise |
//! | symbols | see [`Symbols`] |
//! | buckets | likewise |
//!
//! All numbers have the lowest octet first. Nothing in it depends on the machine or on where it lies, so a layer can
//! be written to a file and read back as it is; the file has to see to it that what comes back is what was written, and
//! to keep the [`Sets`](super::Sets) that its set numbers are about.

use super::bucket::{ENTRY, WORD};
use super::symbols::Symbols;

/// Tells this layout from any other.
const VERSION: [u8; 8] = *b"pagar-i2";

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
            deepest: at(52)?,
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
        for number in [self.buckets, self.deepest] {
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
    pub(super) end: usize,
}
