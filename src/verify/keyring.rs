//! [`Keyring`]: whose signatures count for whom, and whether an envelope has enough of them.
//!
//! The rules, in the order they are applied:
//!
//! 1. A `kid` is looked up among the keys of that authority only. Signatures of keys that it does not have count for
//!    nothing and harm nothing.
//! 2. Every signature of a key that it has must be good. One that is not refuses the envelope, whoever else signed:
//!    something was changed, or somebody uses a name that is not his.
//! 3. A key outside its window counts for nothing at that time. So an authority may sign with the old key and the new
//!    one while it changes them, and the envelope stays good when the old one ends.
//! 4. Signers are told apart by the thumbprints of their keys (RFC 7638): one key under two names is one signer. There
//!    must be as many as the authority requires.
//!
//! Pure: files are read by those who fill it, the time is an argument.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::jose::jwk::Outside;
use super::jose::{self, Envelope, Form, Jwk, JwkError, PublicKey, Thumbprint};
use crate::model::{Authority, AuthorityId};

/// The keys of every authority, and how many signers each requires.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keyring {
    held: BTreeMap<AuthorityId, Held>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Held {
    required: u32,
    keys: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    key: PublicKey,
    file: String,
}

/// Why a key file is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// No such authority.
    #[error("authority \"{0}\" is not configured")]
    UnknownAuthority(AuthorityId),
    /// Not a key, or not one that is accepted.
    #[error(transparent)]
    Jwk(#[from] JwkError),
    /// The private half is in it.
    #[error("the key {kid:?} is private (it has \"d\"): whoever reads this file can sign as its owner")]
    Private {
        /// Which key.
        kid: String,
    },
    /// One name for two keys, or a file given twice.
    #[error("a key {kid:?} of this authority is in {file} already")]
    SameKid {
        /// The name.
        kid: String,
        /// Where it stood first.
        file: String,
    },
}

impl KeyFileError {
    /// What to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::UnknownAuthority(_) => "add an [[authority]] of that id",
            Self::Jwk(error) => error.hint(),
            Self::Private { .. } => "give only the public half: pagar keys show prints it",
            Self::SameKid { .. } => "give every key of an authority a \"kid\" of its own, and every file once",
        }
    }
}

/// An envelope with enough good signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Who signed, in the order of the signatures, each once.
    pub signers: Vec<Thumbprint>,
    /// What the envelope calls them, in the same order.
    pub kids: Vec<String>,
}

/// Why an envelope is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The payload does not say whose it is.
    #[error("the payload names no authority")]
    NoAuthority,
    /// No `[[authority]]` of that id.
    #[error("authority {} is not configured", jose::shown(.0.as_str()))]
    UnknownAuthority(AuthorityId),
    /// It has no keys, so it cannot sign.
    #[error("authority \"{0}\" has no keys")]
    NoKeys(AuthorityId),
    /// The compact form where several signatures are required.
    #[error("the compact form carries one signature; authority \"{authority}\" requires {required}")]
    Compact {
        /// Whose.
        authority: AuthorityId,
        /// How many.
        required: u32,
    },
    /// A signature of a key of the authority is not good.
    #[error("the signature by key {kid:?} is wrong: what it signed was not this, or another key made it")]
    Invalid {
        /// Which key.
        kid: String,
    },
    /// None of the keys is the authority's.
    #[error("authority \"{authority}\" has no key {kid:?}")]
    UnknownKey {
        /// Whose.
        authority: AuthorityId,
        /// The first of them.
        kid: String,
    },
    /// Too few signers, and a key that does not count now is among them.
    #[error("the key {kid:?} {outside}")]
    Window {
        /// Which key.
        kid: String,
        /// Why it does not count.
        outside: Outside,
    },
    /// Too few signers.
    #[error("{signers} of {required} required signers: {signatures} signatures, {unknown} of them by unknown keys")]
    TooFew {
        /// Distinct keys whose signatures are good.
        signers: u32,
        /// How many the authority requires.
        required: u32,
        /// Signatures in the envelope.
        signatures: usize,
        /// Those by keys the authority does not have.
        unknown: usize,
    },
}

impl SignatureError {
    /// The stable word for it.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoAuthority => "no-authority",
            Self::UnknownAuthority(_) => "authority",
            Self::NoKeys(_) => "no-keys",
            Self::Compact { .. } => "compact",
            Self::Invalid { .. } => "signature",
            Self::UnknownKey { .. } => "unknown-key",
            Self::Window { outside: Outside::Expired(_), .. } => "key-expired",
            Self::Window { outside: Outside::NotYet(_), .. } => "key-not-yet",
            Self::Window { outside: Outside::Revoked(_), .. } => "key-revoked",
            Self::TooFew { .. } => "too-few-signatures",
        }
    }

    /// What to do.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NoAuthority => "the payload is a JSON object with \"authority\", and no member stands in it twice",
            Self::UnknownAuthority(_) => "configure it as [[authority]], or correct \"authority\" in the notice",
            Self::NoKeys(_) => "give its public keys in keys of its [[authority]]",
            Self::Compact { .. } => "use the general serialisation: pagar notice sign, once for each signer",
            Self::Invalid { .. } => "ask the signer to send it again; if it comes like this again, somebody changes it",
            Self::UnknownKey { .. } => "check the kid, or add the key's file to keys of the [[authority]]",
            Self::Window { outside: Outside::NotYet(_), .. } => "sign with a key that is valid, or wait",
            Self::Window { .. } => "sign with a key that is valid, and configure it",
            Self::TooFew { .. } => "let another person sign it too: pagar notice sign --key KEY FILE",
        }
    }
}

impl Keyring {
    /// For these authorities, without keys yet.
    pub fn new(authorities: &[Authority]) -> Self {
        let mut keyring = Self::default();
        authorities.iter().for_each(|authority| keyring.admit(authority));
        keyring
    }

    /// Takes an authority, without keys yet.
    pub fn admit(&mut self, authority: &Authority) {
        let held = Held { required: authority.required_signatures.max(1), keys: Vec::new() };
        self.held.insert(authority.id.clone(), held);
    }

    /// Gives an authority the keys of a file: all of them, or none.
    pub fn add(&mut self, authority: &AuthorityId, file: &str, text: &str) -> Result<(), KeyFileError> {
        let unknown = || KeyFileError::UnknownAuthority(authority.clone());
        let held = self.held.get_mut(authority).ok_or_else(unknown)?;
        let mut keys = held.keys.clone();
        for jwk in Jwk::read(text)? {
            let key = match jwk {
                Jwk::Public(key) => key,
                Jwk::Private(key) => return Err(KeyFileError::Private { kid: key.public().kid().to_owned() }),
            };
            if let Some(known) = keys.iter().find(|known| known.key.kid() == key.kid()) {
                return Err(KeyFileError::SameKid { kid: key.kid().to_owned(), file: known.file.clone() });
            }
            keys.push(Entry { key, file: file.to_owned() });
        }
        held.keys = keys;
        Ok(())
    }

    /// The keys of one authority, each of which is enough: for what orders nothing.
    pub fn for_one(&self, authority: &AuthorityId) -> Self {
        let held = self.held.get(authority).map(|held| Held { required: 1, keys: held.keys.clone() });
        Self { held: held.into_iter().map(|held| (authority.clone(), held)).collect() }
    }

    /// The keys of an authority, with the files they came from.
    pub fn keys(&self, authority: &AuthorityId) -> impl Iterator<Item = (&PublicKey, &str)> {
        let keys = self.held.get(authority).into_iter().flat_map(|held| &held.keys);
        keys.map(|entry| (&entry.key, entry.file.as_str()))
    }

    /// How many signers the keys of an authority can be at most: a key under two names is one.
    pub fn signers(&self, authority: &AuthorityId) -> usize {
        let mut all: Vec<_> = self.keys(authority).map(|(key, _)| key.thumbprint()).collect();
        all.sort_unstable();
        all.dedup();
        all.len()
    }

    /// Whether enough keys of the authority that the payload names have signed; also says who that is.
    pub fn authenticate(&self, envelope: &Envelope, now: Timestamp) -> Result<(AuthorityId, Verified), SignatureError> {
        let authority = jose::claimed_authority(envelope.payload()).ok_or(SignatureError::NoAuthority)?;
        let verified = self.verify(envelope, &authority, now)?;
        Ok((authority, verified))
    }

    /// Whether enough keys of an authority have signed, as far as they count at that time.
    pub fn verify(
        &self,
        envelope: &Envelope,
        authority: &AuthorityId,
        now: Timestamp,
    ) -> Result<Verified, SignatureError> {
        let unknown = || SignatureError::UnknownAuthority(authority.clone());
        let held = self.held.get(authority).ok_or_else(unknown)?;
        if held.keys.is_empty() {
            return Err(SignatureError::NoKeys(authority.clone()));
        }
        if envelope.form() == Form::Compact && held.required > 1 {
            return Err(SignatureError::Compact { authority: authority.clone(), required: held.required });
        }
        let found = held.look(envelope, now)?;
        if found.verified.signers.len() >= held.required as usize {
            return Ok(found.verified);
        }
        Err(found.too_few(envelope, authority, held.required))
    }
}

/// What the signatures of an envelope are.
struct Found {
    verified: Verified,
    outside: Option<SignatureError>,
    unknown: usize,
}

impl Held {
    /// Verifies every signature of a key that is held.
    fn look(&self, envelope: &Envelope, now: Timestamp) -> Result<Found, SignatureError> {
        let verified = Verified { signers: Vec::new(), kids: Vec::new() };
        let mut found = Found { verified, outside: None, unknown: 0 };
        for signature in envelope.signatures() {
            let kid = signature.kid();
            let Some(Entry { key, .. }) = self.keys.iter().find(|known| known.key.kid() == kid) else {
                found.unknown += 1;
                continue;
            };
            if !envelope.verifies(signature, key) {
                return Err(SignatureError::Invalid { kid: kid.to_owned() });
            }
            match key.window().check(now) {
                Ok(()) => found.verified.push(key),
                Err(outside) => {
                    let window = || SignatureError::Window { kid: kid.to_owned(), outside };
                    found.outside.get_or_insert_with(window);
                }
            }
        }
        Ok(found)
    }
}

impl Verified {
    fn push(&mut self, key: &PublicKey) {
        let thumbprint = key.thumbprint();
        if !self.signers.contains(&thumbprint) {
            self.signers.push(thumbprint);
            self.kids.push(key.kid().to_owned());
        }
    }
}

impl Found {
    fn too_few(self, envelope: &Envelope, authority: &AuthorityId, required: u32) -> SignatureError {
        let signatures = envelope.signatures();
        match (self.outside, signatures.first()) {
            (Some(outside), _) => outside,
            (None, Some(first)) if self.unknown == signatures.len() => {
                SignatureError::UnknownKey { authority: authority.clone(), kid: first.kid().to_owned() }
            }
            _ => SignatureError::TooFew {
                signers: self.verified.signers.len() as u32, // at most MAX_SIGNATURES
                required,
                signatures: signatures.len(),
                unknown: self.unknown,
            },
        }
    }
}

#[cfg(test)]
mod tests;
