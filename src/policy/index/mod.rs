//! [`Index`]: every listed name, immutable, exact.
//!
//! A name's hash gives its bucket of some seven names, where it stands coded in about half its octets ([`symbols`]).
//! Before that, an entry of a directory says whether a bucket may have it ([`bucket`]): that is all that is read for
//! most suffixes of a question. The octets of a name always decide, never its hash: a false positive blocks an innocent
//! site.
//!
//! Which notices list a name, and with which scope, is a *set*; names that share a set share its number, so a million
//! names of one list cost one set. Sets say nothing about time or precedence: that is [`super::verdict::Snapshot`].
//!
//! All of it is one block of octets ([`image`]), which means the same on every machine.

use std::ops::ControlFlow;

mod added;
mod bucket;
mod build;
mod image;
mod laid;
mod octets;
mod sets;
mod symbols;
#[cfg(test)]
mod tests;

use bucket::{Buckets, ENTRY, WORD};
pub use build::{Full, build};
use image::{DEEP, Header, MEMBER, Places};
use laid::{BLOCK, Key, Laid};
use octets::Octets;
use symbols::Symbols;

use crate::model::Scope;
use crate::model::name::MAX_NAME;

/// Hashes [`Index::warm`] looks at at a time.
const AHEAD: usize = 64;

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

/// The names of all known notices. See the module's header.
#[derive(Debug)]
pub struct Index {
    image: Octets,
    header: Header,
    places: Places,
    key: Key,
    symbols: Box<Symbols>,
}

impl Default for Index {
    fn default() -> Self {
        let header = Header { key: rand::random(), ..Header::default() };
        let places = header.places().unwrap_or_default();
        let mut image = Octets::with_capacity(places.end);
        image.zero_to(places.end);
        header.write(&mut image);
        Self { image, header, places, key: Key::new(header.key), symbols: Box::default() }
    }
}

impl Index {
    /// The index that [`Self::as_bytes`] gave these octets of; `None` if they are no image of this version, or cut
    /// short. Octets changed inside are not noticed: they can make it find other names, but not panic.
    pub fn from_bytes(octets: &[u8]) -> Option<Self> {
        let header = Header::read(octets)?;
        let places = header.places()?;
        let symbols = Box::new(Symbols::read(octets.get(places.symbols..)?)?);
        let mut image = Octets::with_capacity(octets.len());
        image.extend(octets);
        (places.end == image.len()).then(|| Self { key: Key::new(header.key), image, header, places, symbols })
    }

    /// All of it, for a file.
    pub fn as_bytes(&self) -> &[u8] {
        &self.image
    }

    /// Calls `visit` with the sets of the names at and above `name`, the longest first, until it breaks; each with the
    /// suffix of `name` it belongs to.
    ///
    /// `name` is a canonical wire name. Takes no lock and allocates nothing.
    #[inline]
    pub fn walk<'n>(&self, name: &'n [u8], mut visit: impl FnMut(SetId, &'n [u8]) -> ControlFlow<()>) {
        let mut name = Laid::new(name);
        if !name.lay() {
            return;
        }
        let buckets = self.buckets();
        let mut first = name.labels().saturating_sub(self.header.deepest as usize);
        let mut hashes = [0; BLOCK];
        while first <= name.labels() {
            let mut mask = self.candidates(buckets, &name, first, &mut hashes);
            while mask != 0 {
                let nth = mask.trailing_zeros() as usize;
                mask &= mask - 1;
                let start = name.start(first + nth);
                let Some(set) = hashes.get(nth).and_then(|hash| buckets.find(*hash, &self.symbols, &name, start))
                else {
                    continue;
                };
                if visit(set, name.wire().get(start as usize..).unwrap_or_default()).is_break() {
                    return;
                }
            }
            first += BLOCK;
        }
    }

    /// Of the suffixes with `first` labels left out and more, [`BLOCK`] of them: their hashes, and which of them may be
    /// listed.
    #[inline]
    fn candidates(&self, buckets: Buckets, name: &Laid, first: usize, hashes: &mut [u64; BLOCK]) -> u16 {
        let mut mask = 0;
        name.suffixes(&self.key, first, |skipped, state| {
            let depth = name.labels() - skipped;
            if self.header.depths >> depth.min(DEEP) & 1 == 0 {
                return;
            }
            let Some(hash) = hashes.get_mut(skipped - first) else { return };
            *hash = self.key.finish(state);
            mask |= u16::from(buckets.passes(*hash)) << (skipped - first);
        });
        mask
    }

    /// Reads what a walk over each of these names will read, for all of them at once: a processor waits for many reads
    /// from memory as long as for one, if none needs another's result.
    pub fn warm<'n>(&self, names: impl Iterator<Item = &'n [u8]>) {
        let (mut hashes, mut count) = ([0; AHEAD], 0);
        for wire in names {
            let mut name = Laid::new(wire);
            if !name.lay() {
                continue;
            }
            let first = name.labels().saturating_sub(self.header.deepest as usize);
            name.suffixes(&self.key, first, |skipped, state| {
                let depth = name.labels() - skipped;
                if self.header.depths >> depth.min(DEEP) & 1 == 1
                    && let Some(hash) = hashes.get_mut(count)
                {
                    *hash = self.key.finish(state);
                    count += 1;
                }
            });
        }
        let buckets = self.buckets();
        let mut likely = 0;
        for n in 0..count {
            let hash = hashes[n];
            hashes[likely] = hash; // without a branch that would wait for the filter
            likely += usize::from(buckets.passes(hash));
        }
        let read = hashes[..likely].iter().fold(0, |read, hash| read ^ buckets.touch(*hash));
        std::hint::black_box(read); // or nothing would be read
    }

    #[inline]
    fn buckets(&self) -> Buckets<'_> {
        let image = &*self.image;
        let part = |start: usize, len: usize| image.get(start..start + len).unwrap_or_default();
        let (count, Places { filter, directory, buckets, .. }) = (self.header.buckets as usize, self.places);
        let octets = part(buckets, self.header.octets as usize);
        Buckets::new(part(filter, WORD * count), part(directory, ENTRY * count), octets)
    }

    /// The set of exactly this canonical wire name.
    pub fn find(&self, wire: &[u8]) -> Option<SetId> {
        let mut name = Laid::new(wire);
        let hash = name.lay().then(|| name.hash(&self.key))?;
        self.buckets().find(hash, &self.symbols, &name, 0)
    }

    /// Why the names of a set are listed, in order.
    pub fn members(&self, set: SetId) -> impl Iterator<Item = Member> + Clone {
        let start = if set == 0 { Some(0) } else { self.number(self.places.sets, set - 1) };
        let range = start.zip(self.number(self.places.sets, set));
        let octets = range.and_then(|(start, end)| {
            let place = |member: u32| self.places.members + MEMBER * member as usize;
            self.image.get(place(start)..place(end))
        });
        octets.unwrap_or_default().as_chunks().0.iter().map(|octets| image::member_from_octets(*octets))
    }

    /// The number of a set in a table of the image.
    fn number(&self, table: usize, set: SetId) -> Option<u32> {
        let at = (set < self.header.sets).then_some(table + 4 * set as usize)?;
        self.image.get(at..)?.first_chunk().map(|octets| u32::from_le_bytes(*octets))
    }

    /// How many sets there are; set numbers are below it.
    pub fn sets(&self) -> usize {
        self.header.sets as usize
    }

    /// How many names a set has.
    pub fn names_in(&self, set: SetId) -> u64 {
        self.number(self.places.counts, set).map_or(0, u64::from)
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.header.names as usize
    }

    /// Whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every name with its set, in the order of their hashes: as good as shuffled, and another one with each key.
    pub fn iter(&self) -> impl Iterator<Item = (Listed, SetId)> {
        self.buckets()
            .records()
            .filter_map(|record| Some((Listed::decode(|name| record.decode(&self.symbols, name))?, record.set)))
    }

    /// Octets held on the heap.
    pub fn bytes(&self) -> usize {
        self.image.len() + size_of::<Symbols>()
    }
}

/// A listed name, read from an [`Index`]: canonical wire octets.
#[derive(Clone)]
pub struct Listed {
    octets: [u8; MAX_NAME],
    len: u8,
}

impl Listed {
    fn decode(read: impl FnOnce(&mut [u8; MAX_NAME]) -> Option<usize>) -> Option<Self> {
        let mut octets = [0; MAX_NAME];
        let len = read(&mut octets)? as u8; // at most MAX_NAME
        Some(Self { octets, len })
    }
}

impl std::ops::Deref for Listed {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.octets[..usize::from(self.len)]
    }
}
