//! [`Symbols`]: names in half their octets.
//!
//! Up to 255 octet strings of one to eight octets, chosen from a sample of the names (`shop-`, `com`, a label's length
//! with its first letters), have a code of one octet each; code 255 stands before an octet that is none of them. This
//! is the Fast Static Symbol Table of Boncz, Neumann and Leis (VLDB 2020). The crate `fsst-rs` chooses the strings. A
//! look-up decodes nothing: it holds the question against a coded name, string by string.
//!
//! A coded name leaves the root label out. What the code would make longer is stored as it is.

use super::name::MAX_NAME;

/// Stands before an octet that no symbol covers.
pub(crate) const ESCAPE: u8 = 255;

/// What the codes stand for.
#[derive(Clone)]
pub(crate) struct Symbols {
    /// The octets of each symbol, the first in the lowest bits.
    pub(crate) words: [u64; 256],
    /// How many they are.
    pub(crate) lens: [u8; 256],
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
    /// Gives a code its meaning.
    pub(crate) fn set(&mut self, code: usize, word: u64, len: u8) -> Option<()> {
        (len <= 8).then_some(())?;
        (self.words[code], self.lens[code]) = (word, len);
        Some(())
    }

    /// Writes the octets that codes stand for, without the root label; `None` if they are more than a name has.
    pub(crate) fn decode(&self, codes: &[u8], name: &mut [u8; MAX_NAME]) -> Option<usize> {
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
            match name.get_mut(len..len + 8) {
                Some(room) => room.copy_from_slice(&word), // more than it has, and quicker than what it has
                None => name.get_mut(len..len + symbol)?.copy_from_slice(word.get(..symbol)?),
            }
            len += symbol;
        }
        Some(len)
    }
}

/// Codes names: always the longest symbol that fits, by a small table of those that begin with the same two octets.
#[derive(Clone)]
pub(crate) struct Coder {
    symbols: Symbols,
    /// The symbols of two octets and more, in order of their group, the longest first.
    order: Vec<Long>,
    /// Where each group begins in it; at the end, where the last one ends.
    groups: [u8; GROUPS + 1],
    /// Codes of the symbols of one octet.
    singles: [u8; 256],
    /// The name at hand, with zeros behind it, so that eight octets can be read anywhere in it.
    name: [u8; MAX_NAME + 8],
    coded: [u8; 2 * MAX_NAME],
}

/// A symbol of two octets and more.
#[derive(Clone, Copy)]
struct Long {
    word: u64,
    len: u8,
    code: u8,
}

/// Groups of symbols: some more than there are symbols.
const GROUPS: usize = 512;

/// The group of what begins with the two lowest octets of a word.
fn group(word: u64) -> usize {
    ((word as u16 as u32).wrapping_mul(0x9e37_79b1) >> (32 - GROUPS.ilog2())) as usize
}

impl Coder {
    /// Chooses symbols by a sample of wire names.
    pub(crate) fn train(sample: &[Box<[u8]>]) -> Self {
        let sample = sample.iter().filter_map(|wire| wire.split_last().map(|(_, labels)| labels)).collect();
        let chosen = aside(|| fsst::Compressor::train(&sample));
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
        let long = |code: &u8| Long { word: symbols.words[usize::from(*code)], len: len(code), code: *code };
        let order = order.iter().map(long).collect();
        Self { order, groups, singles, name: [0; MAX_NAME + 8], coded: [0; 2 * MAX_NAME], symbols }
    }

    /// The table that understands what this codes.
    pub(crate) fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// A wire name in codes, if they are shorter.
    pub(crate) fn code(&mut self, wire: &[u8]) -> Option<&[u8]> {
        let labels = wire.get(..wire.len() - 1)?;
        let (name, behind) = self.name.split_at_mut_checked(labels.len())?;
        name.copy_from_slice(labels);
        behind.get_mut(..8)?.fill(0);
        let (mut at, mut len) = (0, 0);
        while at < labels.len() {
            let word = u64::from_le_bytes(*self.name.get(at..)?.first_chunk()?);
            let (code, octets) = self.longest(word, labels.len() - at);
            *self.coded.get_mut(len)? = code;
            len += 1;
            if code == ESCAPE {
                *self.coded.get_mut(len)? = word as u8;
                len += 1;
            }
            at += octets;
        }
        self.coded.get(..len).filter(|coded| coded.len() < labels.len())
    }

    /// The code of the longest symbol that the octets of a word begin with, of which `rest` are left in the name, and
    /// how many octets it takes.
    #[inline]
    fn longest(&self, word: u64, rest: usize) -> (u8, usize) {
        let group = group(word);
        let (start, end) = (usize::from(self.groups[group]), usize::from(self.groups[group + 1]));
        for long in self.order.get(start..end).unwrap_or_default() {
            if usize::from(long.len) <= rest && (long.word ^ word) << ((64 - 8 * u32::from(long.len)) & 63) == 0 {
                return (long.code, usize::from(long.len));
            }
        }
        (self.singles[usize::from(word as u8)], 1)
    }
}

/// Does what needs some megabytes for a moment on a thread that ends with it. The allocator keeps such memory for each
/// thread that had it once, but gives that of a thread that has ended to the next one.
fn aside<T: Send>(work: impl Fn() -> T + Sync) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("pagar-symbols".into()).spawn_scoped(scope, &work);
        thread.ok().and_then(|thread| thread.join().ok())
    })
    .unwrap_or_else(work) // the system gives no thread
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
