//! JOSE as far as notices and receipts need it: keys ([`jwk`]: RFC 7517, RFC 7638, RFC 8037) and signed documents
//! ([`jws`]: RFC 7515 in its three serialisations), with Ed25519 alone. Pure: octets in, values out; only a new key asks
//! the system, for randomness.
//!
//! Nothing here decides whom to believe: [`Keyring`](super::keyring::Keyring) does. `json` reads what both formats are
//! written in, strictly.

mod json;
pub mod jwk;
pub mod jws;

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

pub use json::Complaint;
pub(super) use json::object;
pub use jwk::{Jwk, JwkError, PrivateKey, PublicKey, Thumbprint, Window};
pub use jws::{Envelope, Form, JwsError};

use self::json::Text;
use crate::model::AuthorityId;

/// The names of the one algorithm that is accepted, EdDSA on Curve25519.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alg {
    /// RFC 8037: the name every library knows, and hence the default of what we sign. RFC 9864 deprecates it, since it
    /// leaves the curve to the key; here the key is always of this one.
    #[default]
    EdDsa,
    /// RFC 9864.
    Ed25519,
}

impl Alg {
    /// Both.
    pub const ALL: [Self; 2] = [Self::EdDsa, Self::Ed25519];

    /// The word in `alg`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Ed25519 => "Ed25519",
        }
    }

    /// The algorithm of that name; names are compared with their case (RFC 7515 §4.1.1).
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|alg| alg.as_str() == word)
    }
}

/// Whom a payload names as its authority: the member `authority` of its object, no member of which stands there twice.
///
/// It says whose keys to try, and nothing before one of them has been found good.
pub fn claimed_authority(payload: &[u8]) -> Option<AuthorityId> {
    let text = std::str::from_utf8(json::without_mark(payload)).ok()?;
    let Claim(authority) = json::read(text).ok()?;
    authority.filter(|word| (1..=64).contains(&word.len())).map(|word| AuthorityId::new(&word))
}

struct Claim(Option<String>);

impl<'de> Deserialize<'de> for Claim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ClaimVisitor;
        impl<'de> Visitor<'de> for ClaimVisitor {
            type Value = Claim;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Claim, A::Error> {
                let mut authority = None;
                json::each(map, |name, map| {
                    match name {
                        "authority" => authority = Some(map.next_value::<Text<'de>>()?.0.into_owned()),
                        _ => map.next_value::<IgnoredAny>().map(drop)?,
                    }
                    Ok(())
                })?;
                Ok(Claim(authority))
            }
        }
        deserializer.deserialize_map(ClaimVisitor)
    }
}

/// Text of a file in a message: quoted, without control characters, and not too long.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 40;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_claimed_authority_is_read_strictly() {
        let claimed = |payload: &str| claimed_authority(payload.as_bytes()).map(|id| id.as_str().to_owned());
        assert_eq!(claimed(r#"{"targets": [{"authority": "b"}], "authority": "mcmc"}"#).as_deref(), Some("mcmc"));
        assert_eq!(claimed("\u{feff} {\"authority\": \"mcmc\"}\n").as_deref(), Some("mcmc"), "as the notice is read");
        assert_eq!(claimed(r#"{"\u0061uthority": "mcmc"}"#).as_deref(), Some("mcmc"), "as the notice is read");
        for payload in [
            "",
            "{}",
            "[]",
            "\"authority\"",
            r#"{"authority": 1}"#,
            r#"{"authority": null}"#,
            r#"{"authority": ""}"#,
            r#"{"authority": "mcmc", "authority": "mcmc"}"#,
            r#"{"authority": "mcmc", "\u0061uthority": "b"}"#,
            r#"{"authority": "mcmc", "id": 1, "id": 2}"#,
            r#"{"authority": "mcmc"} x"#,
            r#"{"inner": {"authority": "mcmc"}}"#,
        ] {
            assert_eq!(claimed(payload), None, "{payload}");
        }
        assert_eq!(claimed_authority(b"{\"authority\": \"\xff\"}"), None);
        assert_eq!(claimed_authority(format!("{{\"authority\": \"{}\"}}", "a".repeat(65)).as_bytes()), None);
    }

    #[test]
    fn text_of_a_file_is_shown_harmlessly() {
        assert_eq!(shown("a\u{1b}[2J"), r#""a\u{1b}[2J""#);
        assert_eq!(shown(&"é".repeat(41)), format!("\"{}\"…", "é".repeat(40)));
    }
}
