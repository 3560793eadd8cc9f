//! A bucket: the names whose hashes fall together, some seven of them, in order of hash; with its word of the filter
//! and its entry in the directory.
//!
//! The word has three bits set for each name. A question that is not listed seldom finds its three bits there, and then
//! nothing else is read: the filter is the one part that has to be quick to reach, so it stands alone and is small.
//!
//! The entry says of up to fourteen names as much as a look-up needs to go straight to the one it wants:
//!
//! | octets | what |
//! |---|---|
//! | 14 | a slot for each name, its print: eight bits of its hash |
//! | 4 | where the bucket begins |
//! | 14 | the length of each name's record |
//!
//! The records stand one behind the other: the set number times two, plus one if the name is stored as it is, in
//! LEB128; then the name, coded by [`Symbols`] or as it is, without the root label.
//!
//! One bucket in two hundred has more names, or a record of more than 255 octets. It is *wide*: the first slot is
//! [`WIDE`], and it begins with a table of its own: the count in one octet, the prints, and the lengths in two octets
//! each.
//!
//! What stands in an image that was damaged is read as far as it makes sense.

use super::SetId;
use super::laid::Laid;
use super::octets::Octets;
use super::symbols::Symbols;
use crate::model::name::MAX_NAME;

/// Octets of a word of the filter.
pub(super) const WORD: usize = 8;
/// Octets of an entry.
pub(super) const ENTRY: usize = 32;
/// Slots of an entry.
const SLOTS: usize = 14;
/// Most names of a bucket. With a mean of seven and a keyed hash nobody will see a quarter of it.
pub(super) const MOST: usize = 255;

/// A slot without a name.
const FREE: u8 = 0;
/// The first slot of a wide bucket.
const WIDE: u8 = 1;

const ONES: u64 = u64::from_ne_bytes([1; 8]);

/// Eight bits of a hash on which neither the number of its bucket nor the filter depends; not [`FREE`] nor [`WIDE`].
#[inline]
fn print(hash: u64) -> u8 {
    ((hash >> 24) as u8).max(2)
}

/// The bits that a name sets in its word of the filter.
pub(super) fn filter_bits(hash: u64) -> u64 {
    1 << (hash & 63) | 1 << (hash >> 6 & 63) | 1 << (hash >> 12 & 63)
}

/// What the directory says of a bucket.
#[derive(Clone, Copy)]
struct Entry<'a>(&'a [u8; ENTRY]);

impl<'a> Entry<'a> {
    #[inline]
    fn is_wide(self) -> bool {
        self.0[0] == WIDE
    }

    /// The four words of it.
    #[inline]
    fn words(self) -> [u64; 4] {
        let mut words = [0; 4];
        for (word, octets) in words.iter_mut().zip(self.0.as_chunks().0) {
            *word = u64::from_le_bytes(*octets);
        }
        words
    }

    /// Bit 8 n + 7 for each slot n with the print of this hash. One above such a slot may be wrong, but then it is not
    /// free.
    #[inline]
    fn slots(self, hash: u64) -> u128 {
        let [low, high, ..] = self.words();
        let print = ONES * u64::from(print(hash));
        let equal = |word: u64| (word ^ print).wrapping_sub(ONES) & !(word ^ print) & (ONES << 7);
        u128::from(equal(low)) | u128::from(equal(high) & (u64::MAX >> 16)) << 64
    }

    /// Where the bucket begins.
    #[inline]
    fn place(self) -> usize {
        let [_, high, low, _] = self.words();
        ((high >> 48) | (low & 0xffff) << 16) as usize
    }

    /// Where the record of a slot begins, and its length.
    #[inline]
    fn record(self, slot: usize) -> (usize, usize) {
        let [.., low, high] = self.words();
        let lens = (u128::from(low) | u128::from(high) << 64) >> 16;
        let before = lens & !(u128::MAX << (8 * slot));
        (self.place() + sum(before as u64) + sum((before >> 64) as u64), (lens >> (8 * slot)) as usize & 0xff)
    }

    fn count(self) -> usize {
        self.0.iter().take(SLOTS).take_while(|slot| **slot != FREE).count()
    }
}

/// The sum of the octets of a word.
#[inline]
fn sum(word: u64) -> usize {
    const PAIRS: u64 = 0x00ff_00ff_00ff_00ff;
    let pairs = (word & PAIRS) + (word >> 8 & PAIRS);
    (pairs.wrapping_mul(0x0001_0001_0001_0001) >> 48) as usize
}

/// A name in its bucket.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    /// Its set.
    pub(super) set: SetId,
    octets: &'a [u8],
    coded: bool,
}

impl<'a> Record<'a> {
    #[inline]
    fn read(octets: &'a [u8]) -> Option<Self> {
        let (&first, rest) = octets.split_first()?;
        let (number, octets) = if first < 0x80 { (u64::from(first), rest) } else { leb128(octets)? };
        Some(Self { set: (number >> 1) as SetId, octets, coded: number & 1 == 0 })
    }

    #[inline]
    fn is_suffix(&self, symbols: &Symbols, name: &Laid, at: u32) -> bool {
        if self.coded { symbols.is_suffix(self.octets, name, at) } else { self.octets == name.labels_from(at) }
    }

    /// Writes the wire name; its length, or `None` if this is none.
    pub(super) fn decode(&self, symbols: &Symbols, name: &mut [u8; MAX_NAME]) -> Option<usize> {
        let len = if self.coded {
            symbols.decode(self.octets, name)?
        } else {
            name.get_mut(..self.octets.len())?.copy_from_slice(self.octets);
            self.octets.len()
        };
        *name.get_mut(len)? = 0;
        Some(len + 1)
    }
}

/// The number that begins here, and what comes behind it.
#[cold]
fn leb128(octets: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = octets.split_at_checked(octets.iter().position(|octet| *octet < 0x80)? + 1)?;
    Some((number.iter().rev().fold(0, |number, octet| number << 7 | u64::from(octet & 0x7f)), rest))
}

/// The number of the bucket of a hash, of so many.
#[inline]
pub(super) fn number(hash: u64, buckets: usize) -> usize {
    ((u128::from(hash) * buckets as u128) >> 64) as usize
}

/// All buckets of an image.
#[derive(Clone, Copy)]
pub(super) struct Buckets<'a> {
    filter: &'a [[u8; WORD]],
    directory: &'a [[u8; ENTRY]],
    octets: &'a [u8],
}

impl<'a> Buckets<'a> {
    #[inline]
    pub(super) fn new(filter: &'a [u8], directory: &'a [u8], octets: &'a [u8]) -> Self {
        Self { filter: filter.as_chunks().0, directory: directory.as_chunks().0, octets }
    }

    #[inline]
    fn entry(self, hash: u64) -> Option<Entry<'a>> {
        self.directory.get(number(hash, self.directory.len())).map(Entry)
    }

    /// Whether a name of this hash may be there.
    #[inline]
    pub(super) fn passes(self, hash: u64) -> bool {
        let word = self.filter.get(number(hash, self.filter.len())).map_or(0, |word| u64::from_le_bytes(*word));
        word >> (hash & 63) & word >> (hash >> 6 & 63) & word >> (hash >> 12 & 63) & 1 == 1
    }

    /// Reads the first octet of the entry of a hash.
    #[inline]
    pub(super) fn touch_entry(self, hash: u64) -> u8 {
        self.entry(hash).map_or(0, |entry| entry.0[0])
    }

    /// Reads the entry of a hash, and the first octet of the record it leads to.
    #[inline]
    pub(super) fn touch(self, hash: u64) -> u8 {
        let Some(entry) = self.entry(hash) else { return 0 };
        let slot = (entry.slots(hash).trailing_zeros() as usize / 8).min(SLOTS - 1);
        self.octets.get(entry.record(slot).0).copied().unwrap_or_default()
    }

    /// The set of the suffix of `name` that begins at `at` and has this hash.
    #[inline(never)] // seldom needed for a name that is not listed
    pub(super) fn find(self, hash: u64, symbols: &Symbols, name: &Laid, at: u32) -> Option<SetId> {
        Bucket { entry: self.entry(hash)?, octets: self.octets }.find(hash, symbols, name, at)
    }

    /// All names, in order of hash.
    pub(super) fn records(self) -> impl Iterator<Item = Record<'a>> {
        self.directory.iter().flat_map(move |entry| Bucket { entry: Entry(entry), octets: self.octets }.records())
    }
}

#[derive(Clone, Copy)]
struct Bucket<'a> {
    entry: Entry<'a>,
    /// All buckets of the image.
    octets: &'a [u8],
}

impl<'a> Bucket<'a> {
    #[inline]
    fn find(&self, hash: u64, symbols: &Symbols, name: &Laid, at: u32) -> Option<SetId> {
        if self.entry.is_wide() {
            return self.find_wide(hash, symbols, name, at);
        }
        let mut slots = self.entry.slots(hash);
        while slots != 0 {
            let record = self.record(slots.trailing_zeros() as usize / 8)?;
            if record.is_suffix(symbols, name, at) {
                return Some(record.set);
            }
            slots &= slots - 1;
        }
        None
    }

    #[cold]
    fn find_wide(&self, hash: u64, symbols: &Symbols, name: &Laid, at: u32) -> Option<SetId> {
        let mut records = self.wide().filter(|(here, _)| *here == print(hash)).map(|(_, record)| record);
        records.find(|record| record.is_suffix(symbols, name, at)).map(|record| record.set)
    }

    /// The names in order.
    fn records(self) -> impl Iterator<Item = Record<'a>> {
        let count = if self.entry.is_wide() { 0 } else { self.entry.count() };
        let wide = self.entry.is_wide().then(move || self.wide().map(|(_, record)| record));
        (0..count).map_while(move |slot| self.record(slot)).chain(wide.into_iter().flatten())
    }

    #[inline]
    fn record(&self, slot: usize) -> Option<Record<'a>> {
        let (start, len) = self.entry.record(slot);
        Record::read(self.octets.get(start..start + len)?)
    }

    /// The prints and records of a wide bucket.
    fn wide(self) -> impl Iterator<Item = (u8, Record<'a>)> {
        let octets = self.octets.get(self.entry.place()..).and_then(<[u8]>::split_first);
        let (count, rest) = octets.map_or((0, &[][..]), |(count, rest)| (usize::from(*count), rest));
        let (prints, rest) = rest.split_at_checked(count).unwrap_or_default();
        let (lens, mut rest) = rest.split_at_checked(2 * count).unwrap_or_default();
        prints.iter().zip(lens.as_chunks().0).map_while(move |(print, len)| {
            let (record, behind) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
            rest = behind;
            Some((*print, Record::read(record)?))
        })
    }
}

/// A bucket while it fills.
#[derive(Default)]
pub(super) struct Filling {
    prints: Vec<u8>,
    lens: Vec<u16>,
    records: Vec<u8>,
}

impl Filling {
    /// Adds a name's coded form, or its labels as they are.
    pub(super) fn add(&mut self, hash: u64, set: SetId, octets: &[u8], coded: bool) {
        self.prints.push(print(hash));
        let start = self.records.len();
        let mut number = u64::from(set) << 1 | u64::from(!coded);
        while number >= 0x80 {
            self.records.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.records.push(number as u8);
        self.records.extend_from_slice(octets);
        self.lens.push((self.records.len() - start) as u16);
    }

    /// How many names it has.
    pub(super) fn len(&self) -> usize {
        self.prints.len()
    }

    /// The names so far.
    pub(super) fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let mut rest = &self.records[..];
        self.lens.iter().filter_map(move |len| {
            let (record, behind) = rest.split_at_checked(usize::from(*len))?;
            rest = behind;
            Record::read(record)
        })
    }

    /// Appends the bucket to an image, where it begins at `place`, and starts the next one; returns its entry.
    pub(super) fn write(&mut self, place: u32, image: &mut Octets) -> [u8; ENTRY] {
        let mut entry = [0; ENTRY];
        entry[SLOTS..SLOTS + 4].copy_from_slice(&place.to_le_bytes());
        if self.prints.len() <= SLOTS && self.lens.iter().all(|len| *len <= 255) {
            entry[..self.prints.len()].copy_from_slice(&self.prints);
            for (octet, len) in entry[SLOTS + 4..].iter_mut().zip(&self.lens) {
                *octet = *len as u8;
            }
        } else {
            entry[0] = WIDE;
            image.extend(&[self.prints.len() as u8]);
            image.extend(&self.prints);
            for len in &self.lens {
                image.extend(&len.to_le_bytes());
            }
        }
        image.extend(&self.records);
        self.records.clear();
        self.prints.clear();
        self.lens.clear();
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bucket of names that stand as they are, with the last of three hashes for all of them.
    fn bucket(names: &[Vec<u8>]) -> (Vec<u8>, Octets) {
        let (mut filling, mut image) = (Filling::default(), Octets::default());
        image.extend(b"what stands before");
        for (set, name) in names.iter().enumerate() {
            filling.add(u64::MAX, set as SetId, name, false);
        }
        let entry = filling.write(image.len() as u32, &mut image);
        image.extend(b"what stands behind");
        (entry.to_vec(), image)
    }

    #[test]
    fn names_of_one_hash_are_told_apart_in_plain_and_wide_buckets() {
        let short = |count: u8| (0..count).map(|n| vec![2, b'a', n]).collect::<Vec<_>>();
        let long =
            || (0..4).map(|n| [&[63, n][..], &[b'x'; 62], &[63], &[b'y'; 63], &[63], &[b'z'; 63]].concat()).collect();
        let mut huge = short(100);
        huge.push([&[63][..], &[0; 63], &[63], &[1; 63], &[63], &[2; 63], &[61], &[3; 61]].concat());
        for (names, wide) in [
            (short(1), false),
            (short(14), false),
            (short(15), true),
            (short(255), true),
            (long(), false),
            (huge, true),
        ] {
            let (entry, image) = bucket(&names);
            assert_eq!(entry[0] == WIDE, wide);
            let filter = filter_bits(u64::MAX).to_le_bytes();
            let buckets = Buckets::new(&filter, &entry, &image);
            assert!(buckets.passes(u64::MAX));
            let find = |labels: &[u8]| {
                let wire = [labels, &[0]].concat();
                let mut name = Laid::new(&wire);
                assert!(name.lay());
                buckets.find(u64::MAX, &Symbols::default(), &name, 0)
            };
            for (set, name) in names.iter().enumerate() {
                assert_eq!(find(name), Some(set as SetId));
            }
            assert_eq!(find(&[2, b'b', 0]), None);
            assert_eq!(find(&[1, b'a']), None);
            assert!(buckets.records().map(|record| record.set).eq(0..names.len() as SetId));
        }
    }

    #[test]
    fn no_slot_is_found_that_is_free() {
        let (entry, image) = bucket(&[vec![1, b'a'], vec![1, b'b']]);
        let entry: [u8; ENTRY] = entry.try_into().unwrap();
        for octet in 0..=255u8 {
            let slots = Entry(&entry).slots(u64::from(octet) << 24);
            assert_eq!(slots & !0xffff, 0, "{octet}");
        }
        assert_eq!(Entry(&entry).count(), 2);
        assert_eq!(image.len(), Entry(&entry).place() + 6 + 18);
    }

    #[test]
    fn sums_do_not_overflow() {
        assert_eq!(sum(u64::MAX), 8 * 255);
        assert_eq!(sum(0x0102_0304_0506_0708), 36);
    }
}
