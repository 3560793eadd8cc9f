//! [`Head`]: how records hang together. Each hash covers the one before it, so whoever keeps one head can tell whether
//! any record up to it has been changed, taken out or put in.
//!
//! ```text
//! hash 0 = SHA-256("pagar ledger 1")
//! hash n = SHA-256(hash n-1, length of record n in 8 octets with the lowest first, record n)
//! ```

use serde::Serialize;

use super::digest::Digest;

/// What the first hash is the digest of: the version of the chain.
const ORIGIN: &[u8] = b"pagar ledger 1";

/// A record's place in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Head {
    /// Its number, from 1 without gaps; 0 is before the first.
    pub sequence: u64,
    /// The hash of all records up to it.
    pub hash: Digest,
}

impl Head {
    /// Before the first record.
    pub fn origin() -> Self {
        Self { sequence: 0, hash: Digest::of(ORIGIN) }
    }

    /// With this record behind it.
    pub fn next(&self, record: &[u8]) -> Self {
        let length = (record.len() as u64).to_le_bytes();
        Self { sequence: self.sequence + 1, hash: Digest::of_all(&[self.hash.as_octets(), &length, record]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_what_the_header_says() {
        // printf 'pagar ledger 1' | sha256sum
        let origin = Head::origin();
        assert_eq!(origin.hash, Digest::of(b"pagar ledger 1"));
        let first = origin.next(b"{}");
        let text = [origin.hash.as_octets().as_slice(), &[2, 0, 0, 0, 0, 0, 0, 0], b"{}"].concat();
        assert_eq!(first, Head { sequence: 1, hash: Digest::of(&text) });
        assert_ne!(first.next(b"{}").hash, first.hash);
    }
}
