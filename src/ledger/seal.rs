//! [`Key`]: what secret names and secret notices are sealed with on disk: ChaCha20-Poly1305 (RFC 8439), a random nonce
//! each. Where the nonce is written is the caller's matter.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

/// Octets of a nonce (RFC 8439 section 2.8).
pub const NONCE: usize = 12;

/// The key secret names are sealed with.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Key {
    /// Reads 64 hexadecimal digits.
    pub fn from_text(text: &str) -> Option<Self> {
        let digits = text.trim().as_bytes();
        let mut key = [0; 32];
        (digits.len() == 64 && digits.iter().all(u8::is_ascii_hexdigit)).then_some(())?;
        for (octet, pair) in key.iter_mut().zip(digits.as_chunks::<2>().0) {
            *octet = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(key))
    }

    fn cipher(&self) -> Result<LessSafeKey, WrongKey> {
        UnboundKey::new(&CHACHA20_POLY1305, &self.0).map(LessSafeKey::new).map_err(|_| WrongKey)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

/// What was to be opened was sealed with another key, for another purpose, or is damaged: nobody can tell which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it was sealed with another key, or is damaged")]
pub struct WrongKey;

/// Seals a copy of the octets; `purpose` is authenticated with them and needed to open them.
pub fn seal(octets: &[u8], purpose: &[u8], key: &Key) -> Result<([u8; NONCE], Vec<u8>), WrongKey> {
    let nonce = rand::random();
    let mut sealed = octets.to_vec();
    let cipher = key.cipher()?;
    let done = cipher.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(purpose), &mut sealed);
    done.map(|()| (nonce, sealed)).map_err(|_| WrongKey)
}

/// Opens what [`seal`] made.
pub fn open(mut sealed: Vec<u8>, nonce: [u8; NONCE], purpose: &[u8], key: &Key) -> Result<Vec<u8>, WrongKey> {
    let cipher = key.cipher()?;
    let opened = cipher.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(purpose), &mut sealed);
    let len = opened.map_err(|_| WrongKey)?.len();
    sealed.truncate(len);
    Ok(sealed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(digit: &str) -> Key {
        Key::from_text(&digit.repeat(64)).unwrap()
    }

    #[test]
    fn a_key_is_64_digits() {
        assert!(Key::from_text(&format!("{}\n", "0f".repeat(32))).is_some());
        for text in ["", "0f", &"0g".repeat(32), &"0f".repeat(33), &"+f".repeat(32)] {
            assert!(Key::from_text(text).is_none(), "{text}");
        }
    }

    #[test]
    fn only_its_key_and_its_purpose_open_it() {
        let (nonce, sealed) = seal(b"secret.example", b"a", &key("a")).unwrap();
        assert!(!sealed.windows(6).any(|octets| octets == b"secret"));
        assert_eq!(open(sealed.clone(), nonce, b"a", &key("a")).unwrap(), b"secret.example");
        assert_eq!(open(sealed.clone(), nonce, b"b", &key("a")), Err(WrongKey));
        assert_eq!(open(sealed.clone(), nonce, b"a", &key("b")), Err(WrongKey));
        assert_eq!(open(sealed[1..].to_vec(), nonce, b"a", &key("a")), Err(WrongKey));
        assert_eq!(open(Vec::new(), nonce, b"a", &key("a")), Err(WrongKey));
        assert_ne!(seal(b"secret.example", b"a", &key("a")).unwrap().0, nonce);
    }
}
