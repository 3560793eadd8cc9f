//! [`Symbols`] in an index: how a table stands in an image, and how a question is held against a coded name, string by
//! string. A look-up decodes nothing.

pub(super) use crate::model::symbols::{Coder, Symbols};

use super::laid::Laid;
use super::octets::Octets;
use crate::model::symbols::ESCAPE;

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
}
