//! [`Laid`]: a wire name laid out for the look-up, and the keyed hashes of it and of every name above it.
//!
//! The hash is a polynomial over the prime 2^61 - 1, at a secret point: the coefficients are the labels from the right,
//! each as its length octet and its octets in words of seven. So one pass over a name gives the hash of each of its
//! suffixes; and whatever names somebody chooses who does not know the key, two of them meet with a chance of at most
//! 2^-53 (Carter and Wegman 1979: a polynomial of degree n has at most n zeros). A multiplication by a second secret
//! number then spreads the value over all 64 bits. The hash is part of the index's layout: it is the same on every
//! machine.

use crate::model::name::{MAX_LABELS, MAX_NAME};

/// Hashes are taken of this many suffixes at a time; few names have more labels.
pub(super) const BLOCK: usize = 16;

/// 2^61 - 1.
const PRIME: u64 = (1 << 61) - 1;
/// Octets of a word.
const WORD: u32 = 7;

/// A canonical wire name and the places of its labels.
pub(super) struct Laid<'n> {
    wire: &'n [u8],
    /// Where its last eight octets begin.
    last: u32,
    labels: usize,
    starts: [u8; MAX_LABELS + 1],
}

impl<'n> Laid<'n> {
    /// Octets that [`Self::lay`] has yet to look at.
    #[inline]
    pub(super) fn new(wire: &'n [u8]) -> Self {
        Self { wire, last: wire.len().saturating_sub(8) as u32, labels: 0, starts: [0; MAX_LABELS + 1] }
    }

    /// Finds the labels, in place: this is too much to move. Whether the octets are an uncompressed name.
    #[inline]
    pub(super) fn lay(&mut self) -> bool {
        let mut at = 0;
        for start in &mut self.starts {
            *start = at as u8;
            match self.wire.get(at) {
                None => return false,
                Some(0) => return at + 1 == self.wire.len() && at < MAX_NAME,
                Some(len) => at += 1 + usize::from(*len),
            }
            self.labels += 1;
        }
        false
    }

    /// The octets.
    pub(super) fn wire(&self) -> &'n [u8] {
        self.wire
    }

    /// Labels, the root label not counted.
    #[inline]
    pub(super) fn labels(&self) -> usize {
        self.labels
    }

    /// Where the suffix begins that leaves out this many labels on the left.
    #[inline]
    pub(super) fn start(&self, skipped: usize) -> u32 {
        self.starts.get(skipped).map_or(0, |start| u32::from(*start))
    }

    /// The eight octets at a place in the name, the first in the lowest bits; zeros for those behind it.
    #[inline]
    pub(super) fn word(&self, at: u32) -> u64 {
        let whole = at.min(self.last);
        match self.wire.get(whole as usize..whole as usize + 8).and_then(<[u8]>::first_chunk) {
            Some(octets) => u64::from_le_bytes(*octets) >> ((8 * (at - whole)) & 63),
            None => self.short_word(at),
        }
    }

    /// [`Self::word`] of a name of fewer than eight octets.
    #[cold]
    fn short_word(&self, at: u32) -> u64 {
        let octets = self.wire.get(at as usize..).unwrap_or_default();
        octets.iter().rev().fold(0, |word, octet| word << 8 | u64::from(*octet))
    }

    /// The labels from a place on, without the root label.
    #[inline]
    pub(super) fn labels_from(&self, at: u32) -> &'n [u8] {
        self.wire.get(at as usize..self.end() as usize).unwrap_or_default()
    }

    /// The octet at a place.
    #[inline]
    pub(super) fn octet(&self, at: u32) -> Option<u8> {
        self.wire.get(at as usize).copied()
    }

    /// Where the root label stands.
    #[inline]
    pub(super) fn end(&self) -> u32 {
        self.wire.len().saturating_sub(1) as u32
    }

    /// Calls `each` for the root, then for every longer suffix that leaves out at least `first` labels: with the number
    /// of labels left out and the state that [`Key::finish`] makes the hash of.
    #[inline]
    pub(super) fn suffixes(&self, key: &Key, first: usize, mut each: impl FnMut(usize, u64)) {
        let mut state = 1;
        let mut end = self.end();
        let mut skipped = self.labels;
        loop {
            each(skipped, state);
            if skipped <= first {
                return;
            }
            skipped -= 1;
            let start = self.start(skipped);
            state = key.label(state, self, start, end);
            end = start;
        }
    }

    /// The hash of the whole name.
    pub(super) fn hash(&self, key: &Key) -> u64 {
        let mut whole = 0;
        self.suffixes(key, 0, |_, state| whole = state);
        key.finish(whole)
    }
}

/// The secret key of an index's hash.
#[derive(Clone, Copy)]
pub(super) struct Key {
    point: u64,
    spread: u64,
}

impl Key {
    pub(super) fn new(octets: u128) -> Self {
        Self { point: octets as u64 >> 4, spread: (octets >> 64) as u64 | 1 }
    }

    /// The hash of a canonical wire name.
    pub(super) fn hash(&self, wire: &[u8]) -> u64 {
        let mut name = Laid::new(wire);
        name.lay();
        name.hash(self)
    }

    #[inline]
    fn label(&self, mut state: u64, name: &Laid, start: u32, end: u32) -> u64 {
        let mut at = start;
        while at + WORD < end {
            state = self.word(state, name.word(at) & (u64::MAX >> 8));
            at += WORD;
        }
        self.word(state, name.word(at) & (u64::MAX >> ((8 * (8 - (end - at))) & 63))) // one to seven octets
    }

    /// One more coefficient. The state stays below 2^62: the same name always takes the same way.
    #[inline]
    fn word(&self, state: u64, word: u64) -> u64 {
        let sum = u128::from(state) * u128::from(self.point) + u128::from(word);
        (sum as u64 & PRIME) + (sum >> 61) as u64
    }

    /// The hash.
    #[inline]
    pub(super) fn finish(&self, state: u64) -> u64 {
        let product = u128::from(state) * u128::from(self.spread);
        product as u64 ^ (product >> 64) as u64
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}
