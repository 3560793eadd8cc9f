//! Where something stands in a text: line and column from 1, columns in characters, as editors count.

/// The place of the octet at `offset`.
pub(super) fn of(text: &[u8], offset: usize) -> (usize, usize) {
    advance((1, 1), &text[..offset.min(text.len())])
}

/// Finds many places in one text: a file with a problem in each of its 200,000 targets is still read in linear time.
pub(super) struct Index<'a> {
    text: &'a [u8],
    checkpoints: Vec<(usize, usize)>, // the place of every STEP-th octet
}

impl<'a> Index<'a> {
    const STEP: usize = 512;

    pub(super) fn new(text: &'a [u8]) -> Self {
        let mut checkpoints = Vec::with_capacity(text.len() / Self::STEP + 1);
        let mut place = (1, 1);
        for piece in text.chunks(Self::STEP) {
            checkpoints.push(place);
            place = advance(place, piece);
        }
        Self { text, checkpoints }
    }

    /// As [`of`].
    pub(super) fn of(&self, offset: usize) -> (usize, usize) {
        let offset = offset.min(self.text.len());
        let nearest = (offset / Self::STEP).min(self.checkpoints.len().saturating_sub(1));
        let place = self.checkpoints.get(nearest).copied().unwrap_or((1, 1));
        advance(place, &self.text[nearest * Self::STEP..offset])
    }
}

fn advance((line, col): (usize, usize), piece: &[u8]) -> (usize, usize) {
    let lines = piece.iter().filter(|&&octet| octet == b'\n').count();
    match piece.iter().rposition(|&octet| octet == b'\n') {
        Some(end) => (line + lines, column(&piece[end + 1..])),
        None => (line, col + column(piece) - 1),
    }
}

/// The column of what follows `before` on its line.
pub(super) fn column(before: &[u8]) -> usize {
    let continues_a_character = |octet: &&u8| **octet & 0xc0 == 0x80;
    1 + before.len() - before.iter().filter(continues_a_character).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_characters_and_lines_end_at_newlines() {
        let text = "ab\r\nü c".as_bytes();
        assert_eq!(of(text, 0), (1, 1));
        assert_eq!(of(text, 2), (1, 3));
        assert_eq!(of(text, 4), (2, 1));
        assert_eq!(of(text, 7), (2, 3), "ü is one column and two octets");
        assert_eq!(of(text, 99), (2, 4), "past the end is the end");
    }

    #[test]
    fn the_index_says_the_same() {
        assert_eq!(Index::new(b"").of(5), (1, 1));
        for text in ["ü".repeat(2000), "ab\nü\r\n".repeat(500), format!("{}\n{}", "x".repeat(1023), "y".repeat(1024))]
        {
            let index = Index::new(text.as_bytes());
            for offset in 0..=text.len() {
                assert_eq!(index.of(offset), of(text.as_bytes(), offset), "{offset}");
            }
        }
    }
}
