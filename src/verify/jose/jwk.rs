//! Keys: JWK and JWK sets (RFC 7517) of Ed25519 (RFC 8037), their thumbprints (RFC 7638), and how long they count.
//!
//! Members that are not known here are ignored (RFC 7517 §4); those that say what a key is for are minded: `use`,
//! `key_ops`, `alg`. The window of a key is `nbf`, `exp` and `revoked`, as OpenID Federation 1.0 §8.7.2 defines them. A
//! file with a key that cannot be used is refused whole, where RFC 7517 §5 would have it ignored: whoever gives a
//! file of three keys must not believe that three count when two do.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use jiff::{SignedDuration, Timestamp};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Alg, Complaint, json, shown};

/// Most octets of a key file.
pub const MAX_SIZE: usize = 64 << 10;
/// Most keys in a set.
pub const MAX_KEYS: usize = 100;
/// Longest `kid` in octets.
pub const MAX_KID: usize = 256;

/// Why a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwkError {
    /// More than [`MAX_SIZE`] octets.
    #[error("the file has more than {} KiB", MAX_SIZE >> 10)]
    TooLarge,
    /// Not JSON, or not strictly so.
    #[error(transparent)]
    Json(#[from] Complaint),
    /// Neither `kty` nor `keys`.
    #[error("this is neither a JWK nor a JWK set: it has neither \"kty\" nor \"keys\"")]
    Neither,
    /// `keys` is empty.
    #[error("the set has no key")]
    Empty,
    /// `keys` is longer than [`MAX_KEYS`].
    #[error("the set has more than {MAX_KEYS} keys")]
    TooMany,
    /// One of a set.
    #[error("key {number} of the set: {error}")]
    InSet {
        /// Its place, from 1.
        number: usize,
        /// What is wrong with it.
        error: Box<Self>,
    },
    /// A member that must be there.
    #[error("the key has no \"{0}\"")]
    Missing(&'static str),
    /// A member of the wrong type.
    #[error("\"{member}\" is not {expected}")]
    Shape {
        /// Which.
        member: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
    /// RSA, EC, a shared secret, or another curve.
    #[error("{member} {} is not accepted", shown(.value))]
    NotEd25519 {
        /// `kty`, `crv` or `alg`.
        member: &'static str,
        /// What it says.
        value: String,
    },
    /// `use` or `key_ops` say that the key is for something else.
    #[error("by its \"{0}\" the key is not for signatures")]
    Purpose(&'static str),
    /// Not 32 octets in base64url.
    #[error("\"{0}\" is not 32 octets in base64url without padding (43 characters)")]
    Octets(&'static str),
    /// A point of low order, or not its shortest encoding: signatures by it prove nothing.
    #[error("\"x\" is a point that is no public key: anybody could sign for it")]
    Weak,
    /// `d` is the private half of another key.
    #[error("\"d\" and \"x\" do not belong together")]
    Mismatch,
    /// Empty or longer than [`MAX_KID`].
    #[error("\"kid\" must have 1 to {MAX_KID} octets")]
    Kid,
    /// It ends before it begins.
    #[error("\"exp\" is not after \"nbf\"")]
    Window,
    /// The system has no randomness to give.
    #[error("the system gives no random numbers")]
    Random,
}

impl JwkError {
    /// What to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::InSet { error, .. } => error.hint(),
            Self::NotEd25519 { .. } => {
                "only Ed25519 keys are accepted: kty OKP, crv Ed25519 (RFC 8037); make one with: pagar keys generate"
            }
            Self::Purpose(_) => "give the key its signer uses for notices, with use \"sig\" or without one",
            Self::Weak | Self::Mismatch | Self::Octets(_) => "export the key again, or make a new one",
            Self::Window | Self::Shape { member: "nbf" | "exp" | "revoked", .. } => {
                "times are seconds since 1970-01-01T00:00:00Z (NumericDate)"
            }
            Self::Random => "try again",
            _ => "a key file is a JWK or a JWK set (RFC 7517); pagar keys generate makes one",
        }
    }
}

//------ Thumbprint ----------------------------------------------------------------------------------------------------

/// The SHA-256 thumbprint of a public key (RFC 7638): its identity, whatever it is called.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    /// The members of RFC 8037 §2 in the order of RFC 7638 §3, without white space.
    fn of(x: &[u8; 32]) -> Self {
        let x = BASE64URL_NOPAD.encode(x);
        Self(Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)).into())
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

//------ Window --------------------------------------------------------------------------------------------------------

/// When the signatures of a key count: from `not_before` on, up to but without `expires` and `revoked`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// `nbf`.
    pub not_before: Option<Timestamp>,
    /// `exp`.
    pub expires: Option<Timestamp>,
    /// `revoked.revoked_at`.
    pub revoked: Option<Timestamp>,
}

/// Why a key does not count at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Outside {
    /// It counts only later.
    #[error("is not valid before {0}")]
    NotYet(Timestamp),
    /// It counted once.
    #[error("expired at {0}")]
    Expired(Timestamp),
    /// Its owner took it back.
    #[error("was revoked at {0}")]
    Revoked(Timestamp),
}

impl Window {
    /// Whether the key counts at that time. A revocation is named first: it says most.
    pub fn check(&self, now: Timestamp) -> Result<(), Outside> {
        if let Some(at) = self.revoked.filter(|at| *at <= now) {
            return Err(Outside::Revoked(at));
        }
        if let Some(at) = self.expires.filter(|at| *at <= now) {
            return Err(Outside::Expired(at));
        }
        match self.not_before.filter(|at| *at > now) {
            Some(at) => Err(Outside::NotYet(at)),
            None => Ok(()),
        }
    }
}

//------ PublicKey -----------------------------------------------------------------------------------------------------

/// The public half of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    kid: String,
    x: [u8; 32],
    alg: Option<Alg>,
    window: Window,
}

impl PublicKey {
    /// The name signatures refer to it by; its thumbprint where the JWK has none.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// What it is known by, whatever it is called.
    pub fn thumbprint(&self) -> Thumbprint {
        Thumbprint::of(&self.x)
    }

    /// When its signatures count.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// Whether these 64 octets are the key's signature of the message (RFC 8032).
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.x).verify(message, signature).is_ok()
    }

    /// The public JWK.
    pub fn to_jwk(&self) -> Value {
        let mut jwk = json!({
            "kty": "OKP",
            "crv": "Ed25519",
            "x": BASE64URL_NOPAD.encode(&self.x),
            "kid": self.kid,
            "use": "sig",
        });
        let Window { not_before, expires, revoked } = self.window;
        let dates = [("nbf", not_before), ("exp", expires)];
        for (name, at) in dates.into_iter().filter_map(|(name, at)| Some((name, at?))) {
            jwk[name] = at.as_second().into();
        }
        if let Some(at) = revoked {
            jwk["revoked"] = json!({ "revoked_at": at.as_second() });
        }
        if let Some(alg) = self.alg {
            jwk["alg"] = alg.as_str().into();
        }
        jwk
    }

    /// Reads the public half, whether or not the private one stands beside it.
    fn from_members(members: &Map<String, Value>) -> Result<Self, JwkError> {
        for (member, expected) in [("kty", "OKP"), ("crv", "Ed25519")] {
            let value = text(members, member)?.ok_or(JwkError::Missing(member))?;
            if value != expected {
                return Err(JwkError::NotEd25519 { member, value: value.to_owned() });
            }
        }
        let x = octets(members, "x")?.ok_or(JwkError::Missing("x"))?;
        if is_weak(&x) {
            return Err(JwkError::Weak);
        }
        let kid = match text(members, "kid")? {
            Some(kid) if kid.is_empty() || kid.len() > MAX_KID => return Err(JwkError::Kid),
            Some(kid) => kid.to_owned(),
            None => Thumbprint::of(&x).to_string(),
        };
        purpose(members)?;
        Ok(Self { kid, x, alg: alg(members)?, window: window(members)? })
    }
}

/// The y of the points of order 8 or less, the lowest octet first; their sign does not matter.
const LOW_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    y_of(0x01, 0, 0),
    y_of(0xec, 0xff, 0x7f),
    *b"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\
       \xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05",
    *b"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\
       \x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a",
];

const fn y_of(first: u8, between: u8, last: u8) -> [u8; 32] {
    let mut y = [between; 32];
    y[0] = first;
    y[31] = last;
    y
}

/// Whether `x` is a point that proves nothing: of order 8 or less, or written otherwise than RFC 8032 §5.1.2 does, which
/// would give one key two thumbprints.
fn is_weak(x: &[u8; 32]) -> bool {
    let mut y = *x;
    y[31] &= 0x7f;
    let not_reduced = y[0] >= 0xed && y[1..31].iter().all(|octet| *octet == 0xff) && y[31] == 0x7f;
    not_reduced || LOW_ORDER.contains(&y)
}

//------ PrivateKey ----------------------------------------------------------------------------------------------------

/// Both halves of a key.
pub struct PrivateKey {
    public: PublicKey,
    seed: [u8; 32],
    pair: Ed25519KeyPair,
}

impl PrivateKey {
    /// A new key. Without a `kid` it is called by its thumbprint.
    pub fn generate(kid: Option<&str>, alg: Alg, window: Window) -> Result<Self, JwkError> {
        let mut seed = [0; 32];
        SystemRandom::new().fill(&mut seed).map_err(|_| JwkError::Random)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| JwkError::Random)?;
        let x: [u8; 32] = pair.public_key().as_ref().try_into().map_err(|_| JwkError::Random)?;
        if kid.is_some_and(|kid| kid.is_empty() || kid.len() > MAX_KID) {
            return Err(JwkError::Kid);
        }
        let kid = kid.map_or_else(|| Thumbprint::of(&x).to_string(), str::to_owned);
        Ok(Self { public: PublicKey { kid, x, alg: Some(alg), window: ordered(window)? }, seed, pair })
    }

    /// The half for those who verify.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The name of the algorithm it signs under: its `alg`, or the default.
    pub(super) fn alg(&self) -> Alg {
        self.public.alg.unwrap_or_default()
    }

    /// The 64 octets of its signature of a message (RFC 8032).
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature = self.pair.sign(message);
        let mut octets = [0; 64];
        octets.copy_from_slice(signature.as_ref()); // it has that many (RFC 8032 §5.1.6)
        octets
    }

    /// The private JWK: a secret.
    pub fn to_jwk(&self) -> Value {
        let mut jwk = self.public.to_jwk();
        jwk["d"] = BASE64URL_NOPAD.encode(&self.seed).into();
        jwk
    }
}

impl PartialEq for PrivateKey {
    /// A public half has one private half.
    fn eq(&self, other: &Self) -> bool {
        self.public == other.public
    }
}

impl fmt::Debug for PrivateKey {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").field("public", &self.public).finish_non_exhaustive()
    }
}

//------ Jwk -----------------------------------------------------------------------------------------------------------

/// A key as a file has it.
#[derive(Debug)]
pub enum Jwk {
    /// For those who verify.
    Public(PublicKey),
    /// For its owner alone.
    Private(Box<PrivateKey>),
}

impl Jwk {
    /// Reads a JWK or a JWK set.
    pub fn read(text: &str) -> Result<Vec<Self>, JwkError> {
        if text.len() > MAX_SIZE {
            return Err(JwkError::TooLarge);
        }
        let members = json::object(text.strip_prefix('\u{feff}').unwrap_or(text))?;
        if members.contains_key("kty") {
            return Ok(vec![Self::from_members(&members)?]);
        }
        let keys = members.get("keys").ok_or(JwkError::Neither)?;
        let expected = "a list of keys";
        let keys = keys.as_array().ok_or(JwkError::Shape { member: "keys", expected })?;
        match keys.len() {
            0 => return Err(JwkError::Empty),
            1..=MAX_KEYS => {}
            _ => return Err(JwkError::TooMany),
        }
        let one = |(at, key): (usize, &Value)| {
            let members = key.as_object().ok_or(JwkError::Shape { member: "keys", expected });
            let key = members.and_then(Self::from_members);
            key.map_err(|error| JwkError::InSet { number: at + 1, error: Box::new(error) })
        };
        keys.iter().enumerate().map(one).collect()
    }

    /// The half for those who verify.
    pub fn public(&self) -> &PublicKey {
        match self {
            Self::Public(key) => key,
            Self::Private(key) => key.public(),
        }
    }

    fn from_members(members: &Map<String, Value>) -> Result<Self, JwkError> {
        let public = PublicKey::from_members(members)?;
        let Some(seed) = octets(members, "d")? else { return Ok(Self::Public(public)) };
        let pair = Ed25519KeyPair::from_seed_and_public_key(&seed, &public.x).map_err(|_| JwkError::Mismatch)?;
        Ok(Self::Private(Box::new(PrivateKey { public, seed, pair })))
    }
}

fn text<'a>(members: &'a Map<String, Value>, member: &'static str) -> Result<Option<&'a str>, JwkError> {
    let string = |value: &'a Value| value.as_str().ok_or(JwkError::Shape { member, expected: "a string" });
    members.get(member).map(string).transpose()
}

fn octets(members: &Map<String, Value>, member: &'static str) -> Result<Option<[u8; 32]>, JwkError> {
    let decode = |text: &str| {
        let octets = BASE64URL_NOPAD.decode(text.as_bytes()).ok();
        octets.and_then(|octets| octets.try_into().ok()).ok_or(JwkError::Octets(member))
    };
    text(members, member)?.map(decode).transpose()
}

fn alg(members: &Map<String, Value>) -> Result<Option<Alg>, JwkError> {
    let known =
        |word: &str| Alg::of(word).ok_or_else(|| JwkError::NotEd25519 { member: "alg", value: word.to_owned() });
    text(members, "alg")?.map(known).transpose()
}

fn purpose(members: &Map<String, Value>) -> Result<(), JwkError> {
    if text(members, "use")?.is_some_and(|word| word != "sig") {
        return Err(JwkError::Purpose("use"));
    }
    let Some(operations) = members.get("key_ops") else { return Ok(()) };
    let expected = "a list of strings";
    let operations = operations.as_array().ok_or(JwkError::Shape { member: "key_ops", expected })?;
    let wanted: &[&str] = if members.contains_key("d") { &["sign", "verify"] } else { &["verify"] };
    match operations.iter().any(|word| word.as_str().is_some_and(|word| wanted.contains(&word))) {
        true => Ok(()),
        false => Err(JwkError::Purpose("key_ops")),
    }
}

fn window(members: &Map<String, Value>) -> Result<Window, JwkError> {
    let revoked = match members.get("revoked") {
        None => None,
        Some(Value::Object(revoked)) => match date(revoked, "revoked_at", "revoked")? {
            None => return Err(JwkError::Missing("revoked.revoked_at")),
            at => at,
        },
        Some(_) => return Err(JwkError::Shape { member: "revoked", expected: "an object with \"revoked_at\"" }),
    };
    ordered(Window { not_before: date(members, "nbf", "nbf")?, expires: date(members, "exp", "exp")?, revoked })
}

fn ordered(window: Window) -> Result<Window, JwkError> {
    match window.not_before.zip(window.expires) {
        Some((from, until)) if until <= from => Err(JwkError::Window),
        _ => Ok(window),
    }
}

/// A NumericDate (RFC 7519 §2), with a fraction or without.
fn date(members: &Map<String, Value>, name: &str, member: &'static str) -> Result<Option<Timestamp>, JwkError> {
    let Some(value) = members.get(name) else { return Ok(None) };
    let whole = value.as_i64().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let fraction = || {
        let seconds = value.as_f64().filter(|_| value.is_f64())?;
        Timestamp::from_duration(SignedDuration::try_from_secs_f64(seconds).ok()?).ok()
    };
    let expected = "a number of seconds since 1970";
    whole.or_else(fraction).map(Some).ok_or(JwkError::Shape { member, expected })
}

#[cfg(test)]
mod tests;
