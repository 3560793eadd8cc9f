//! [`Symbols`]: names in half their octets.
//!
//! Up to 255 octet strings of one to eight octets, chosen from a sample of the names (`shop-`, `com`, a label's length
//! with its first letters), have a code of one octet each; code 255 stands before an octet that is none of them. This
//! is the Fast Static Symbol Table of Boncz, Neumann and Leis (VLDB 2020). The crate `fsst-rs` chooses the strings. A
//! look-up decodes nothing: it holds the question against a coded name, string by string.
//!
//! A coded name leaves the root label out. What the code would make longer is stored as it is.

use super::laid::Laid;
use super::octets::Octets;
use crate::model::name::MAX_NAME;

/// Stands before an octet that no symbol covers.
const ESCAPE: u8 = 255;

/// The table of one index.
#[derive(Clone)]
pub(super) struct Symbols {
    words: [u64; 256],
    lens: [u8; 256],
}

impl Default for Symbols {
    fn default() -> Self {
        Self { words: [0; 256], lens: [0; 256] }
    }
}

impl std::fmt::Debug for Symbols {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Symbols").finish_non_exhaustive()
    }
}

impl Symbols {
    /// Octets of a table in an image: eight for each symbol, then the lengths.
    pub(super) const SIZE: usize = 255 * 9;

    /// Reads a table from an image.
    pub(super) fn read(image: &[u8]) -> Option<Self> {
        let (words, lens) = image.get(..Self::SIZE)?.split_at(255 * 8);
        let mut symbols = Self::default();
        for (code, (word, len)) in words.as_chunks::<8>().0.iter().zip(lens).enumerate() {
            symbols.set(code, u64::from_le_bytes(*word), *len)?;
        }
        Some(symbols)
    }

    fn set(&mut self, code: usize, word: u64, len: u8) -> Option<()> {
        (len <= 8).then_some(())?;
        (self.words[code], self.lens[code]) = (word, len);
        Some(())
    }

    /// Writes the table to an image.
    pub(super) fn write(&self, image: &mut Octets) {
        for word in &self.words[..255] {
            image.extend(&word.to_le_bytes());
        }
        image.extend(&self.lens[..255]);
    }

    /// Whether `codes` are the suffix of `name` that begins at `at`.
    ///
    /// No branch waits for the codes, which are seldom in the cache: a wrong guess would cost the whole way to memory.
    /// So a difference does not end it.
    #[inline(never)] // the loop needs the registers
    pub(super) fn is_suffix(&self, codes: &[u8], name: &Laid, mut at: u32) -> bool {
        let mut differ = 0;
        let mut codes = codes.iter();
        while let Some(&code) = codes.next() {
            if code == ESCAPE {
                differ |= u64::from(codes.next().copied() != name.octet(at));
                at += 1;
                continue;
            }
            let (word, len) = (self.words[usize::from(code)], self.lens[usize::from(code)]);
            differ |= (name.word(at) ^ word) << ((64 - 8 * u32::from(len)) & 63);
            at += u32::from(len);
        }
        differ == 0 && at == name.end()
    }

    /// Writes the octets that codes stand for, without the root label; `None` if they are more than a name has.
    pub(super) fn decode(&self, codes: &[u8], name: &mut [u8; MAX_NAME]) -> Option<usize> {
        let mut len = 0;
        let mut codes = codes.iter();
        while let Some(&code) = codes.next() {
            if code == ESCAPE {
                *name.get_mut(len)? = *codes.next()?;
                len += 1;
                continue;
            }
            let symbol = usize::from(self.lens[usize::from(code)]);
            let word = self.words[usize::from(code)].to_le_bytes();
            name.get_mut(len..len + symbol)?.copy_from_slice(word.get(..symbol)?);
            len += symbol;
        }
        Some(len)
    }
}

/// Codes names for one index: always the longest symbol that fits, by a small table of those that begin with the same two
/// octets.
pub(super) struct Coder {
    symbols: Symbols,
    /// Codes of the symbols of two octets and more, in order of their group, the longest first.
    order: Vec<u8>,
    /// Where each group begins in it; at the end, where the last one ends.
    groups: [u8; GROUPS + 1],
    /// Codes of the symbols of one octet.
    singles: [u8; 256],
    coded: Vec<u8>,
}

/// Groups of symbols: some more than there are symbols.
const GROUPS: usize = 512;

/// The group of what begins with the two lowest octets of a word.
fn group(word: u64) -> usize {
    ((word as u16 as u32).wrapping_mul(0x9e37_79b1) >> (32 - GROUPS.ilog2())) as usize
}

impl Coder {
    /// Chooses symbols by a sample of wire names.
    pub(super) fn train(sample: &[Box<[u8]>]) -> Self {
        let sample = sample.iter().filter_map(|wire| wire.split_last().map(|(_, labels)| labels)).collect();
        let chosen = fsst::Compressor::train(&sample);
        let mut symbols = Symbols::default();
        for (code, (word, len)) in chosen.symbol_table().iter().zip(chosen.symbol_lengths()).enumerate() {
            let _ = symbols.set(code, word.to_u64(), *len); // one that cannot be set is not used
        }
        Self::new(symbols)
    }

    fn new(symbols: Symbols) -> Self {
        let len = |code: &u8| symbols.lens[usize::from(*code)];
        let group = |code: &u8| group(symbols.words[usize::from(*code)]);
        let mut singles = [ESCAPE; 256];
        for code in (0..ESCAPE).filter(|code| len(code) == 1) {
            singles[usize::from(symbols.words[usize::from(code)] as u8)] = code;
        }
        let mut order: Vec<_> = (0..ESCAPE).filter(|code| len(code) > 1).collect();
        order.sort_by_key(|code| (group(code), std::cmp::Reverse(len(code))));
        let begin = |at: usize| order.partition_point(|code| group(code) < at) as u8;
        let groups = std::array::from_fn(begin);
        Self { order, groups, singles, coded: Vec::new(), symbols }
    }

    /// The table that understands what this codes.
    pub(super) fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// A wire name in codes, if they are shorter.
    pub(super) fn code(&mut self, wire: &[u8]) -> Option<&[u8]> {
        let labels = wire.get(..wire.len() - 1)?;
        self.coded.clear();
        let mut rest = labels;
        while let Some(&octet) = rest.first() {
            let (code, len) = self.longest(rest);
            self.coded.push(code);
            if code == ESCAPE {
                self.coded.push(octet);
            }
            rest = &rest[len..];
        }
        (self.coded.len() < labels.len()).then_some(&self.coded)
    }

    /// The code of the longest symbol that `rest` begins with, and how many octets it takes.
    fn longest(&self, rest: &[u8]) -> (u8, usize) {
        let word = match rest.first_chunk() {
            Some(octets) => u64::from_le_bytes(*octets),
            None => rest.iter().rev().fold(0, |word, octet| word << 8 | u64::from(*octet)),
        };
        let group = group(word);
        let (start, end) = (usize::from(self.groups[group]), usize::from(self.groups[group + 1]));
        for code in &self.order[start..end] {
            let (symbol, len) = (self.symbols.words[usize::from(*code)], self.symbols.lens[usize::from(*code)]);
            if usize::from(len) <= rest.len() && (symbol ^ word) << (64 - 8 * u32::from(len)) == 0 {
                return (*code, usize::from(len));
            }
        }
        (self.singles[usize::from(word as u8)], 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols(texts: &[&[u8]]) -> Symbols {
        let mut symbols = Symbols::default();
        for (code, text) in texts.iter().enumerate() {
            let word = text.iter().rev().fold(0, |word, octet| word << 8 | u64::from(*octet));
            symbols.set(code, word, text.len() as u8).unwrap();
        }
        symbols
    }

    #[test]
    fn the_longest_symbol_is_taken_and_the_rest_escaped() {
        let mut coder = Coder::new(symbols(&[b"a", b"ab", b"abc", b"\x03abcabc", b"\0", b"c\0\0"]));
        for (labels, codes) in [
            (&b"\x03abc"[..], Some(&[ESCAPE, 3, 2][..])),
            (b"\x03abcabcab", Some(&[3, 1])),
            (b"ab\0aac", Some(&[1, 4, 0, 0, ESCAPE, b'c'])),
            (b"xc", None),
            (b"abc", Some(&[2])),
            (b"abcc\0", Some(&[2, ESCAPE, b'c', 4])), // not the symbol that ends behind the name
        ] {
            let wire = [labels, &[0]].concat();
            let coded = coder.code(&wire).map(<[u8]>::to_vec);
            if let Some(codes) = codes.filter(|codes| codes.len() < labels.len()) {
                assert_eq!(coded.as_deref(), Some(codes), "{labels:?}");
                let mut name = [0; MAX_NAME];
                assert_eq!(coder.symbols.decode(codes, &mut name), Some(labels.len()));
                assert_eq!(&name[..labels.len()], labels);
            } else {
                assert_eq!(coded, None, "{labels:?}");
            }
        }
    }
}
