//! [`Envelope`]: a signed document (RFC 7515), general, flattened or compact, and the making of one.
//!
//! | what is written | what is done |
//! |---|---|
//! | `alg` other than `Ed25519` (RFC 9864) or `EdDSA` (RFC 8037), in one signature | all is refused, by name |
//! | `alg` or `kid` outside the protected header | not believed: they count as missing |
//! | `crit`, whatever it lists; `b64` other than `true` (RFC 7797) | refused: nothing critical is understood |
//! | `jwk`, `jku`, `x5c`, `x5u` | refused: keys come from the configuration alone, and a sender who thinks otherwise is to hear it. Such a rule can be dropped later; the opposite one could not be made later |
//! | `typ` in the protected header | read for those who ask; notices are told by their content ([`super::super::checkpoint`] asks) |
//! | other header parameters, protected or not: `cty` ... | ignored (RFC 7515 §4) |
//! | other members beside `payload` | ignored (RFC 7515 §7.2) |
//! | a parameter both protected and unprotected, a member twice | refused |
//! | base64url with padding, white space or bits after the end | refused, so that octets have one spelling |
//!
//! One bad signature refuses all: these documents are made for us, and what is odd in them is a mistake or an attack.
//! Everything is bounded: 16 MiB of payload, 16 signatures, 4 KiB of each protected header.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};

use super::json::{self, Names, Text, each};
use super::jwk::MAX_KID;
use super::{Alg, Complaint, PrivateKey, PublicKey, shown};

/// Largest payload in octets: the largest notice.
pub const MAX_PAYLOAD: usize = 16 << 20;
/// Largest envelope in octets: that payload in base64url, with room for what else stands there.
pub const MAX_SIZE: usize = MAX_PAYLOAD.div_ceil(3) * 4 + (256 << 10);
/// Most signatures.
pub const MAX_SIGNATURES: usize = 16;
/// Largest protected header in octets.
pub const MAX_HEADER: usize = 4 << 10;

/// Header parameters that bring or name a key of the sender's choice.
const FOREIGN_KEYS: [&str; 4] = ["jwk", "jku", "x5c", "x5u"];

/// Why octets are no envelope that can be verified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// More than [`MAX_SIZE`] octets, or a payload of more than [`MAX_PAYLOAD`].
    #[error("it is too large: a payload may have {} MiB", MAX_PAYLOAD >> 20)]
    TooLarge,
    /// Neither serialisation.
    #[error("this is no JWS: neither a JSON object nor three parts with dots between them")]
    NotJws,
    /// Five parts: a JWE.
    #[error("this is encrypted (JWE), not signed (JWS)")]
    Encrypted,
    /// Not JSON, not strictly so, or of another shape.
    #[error(transparent)]
    Json(Complaint),
    /// A member is missing.
    #[error("the JWS has no \"{0}\"")]
    Missing(&'static str),
    /// `signatures` beside a member of the flattened form (RFC 7515 §7.2.2).
    #[error("the JWS has \"signatures\", so \"{0}\" cannot stand beside it")]
    TwoForms(&'static str),
    /// `signatures` is empty.
    #[error("the JWS has no signature")]
    NoSignature,
    /// More than [`MAX_SIGNATURES`].
    #[error("the JWS has more than {MAX_SIGNATURES} signatures")]
    TooManySignatures,
    /// Not strictly base64url without padding.
    #[error("the {0} is not base64url without padding")]
    Base64(&'static str),
    /// A signature that is not 64 octets long.
    #[error("a signature has {0} octets instead of 64")]
    SignatureLength(usize),
    /// More than [`MAX_HEADER`] octets.
    #[error("a protected header has more than {} KiB", MAX_HEADER >> 10)]
    HeaderTooLarge,
    /// The protected header is not a strict JSON object.
    #[error("a protected header cannot be read: {0}")]
    Header(Complaint),
    /// A parameter stands in both headers (RFC 7515 §7.2.1).
    #[error("the header parameter {} is both protected and unprotected", shown(.0))]
    Twice(String),
    /// `alg` is not protected, or not there at all.
    #[error("a signature names no algorithm in its protected header")]
    NoAlg,
    /// An algorithm that is not accepted.
    #[error("the algorithm {} is not accepted", shown(.0))]
    Alg(String),
    /// `kid` is not protected, or not there at all.
    #[error("a signature names no key in its protected header")]
    NoKid,
    /// `kid` is not a string of 1 to [`MAX_KID`] octets.
    #[error("the \"kid\" of a signature is not a string of 1 to {MAX_KID} octets")]
    Kid,
    /// `crit`.
    #[error("the header says that something must be understood which is not: {0}")]
    Crit(String),
    /// `b64`.
    #[error("payloads that are not encoded (\"b64\": false) are not accepted")]
    Unencoded,
    /// A key or a place to fetch one.
    #[error("the header parameter \"{0}\" is not accepted: keys come from the configuration only")]
    ForeignKey(&'static str),
    /// A signature is to be added whose `kid` is there.
    #[error("the key {} has signed it already", shown(.0))]
    AlreadySigned(String),
}

impl JwsError {
    /// The stable word for it.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "size",
            Self::NotJws | Self::Encrypted | Self::Json(_) => "syntax",
            Self::Missing(_) | Self::TwoForms(_) => "jws-member",
            Self::NoSignature => "no-signature",
            Self::TooManySignatures => "too-many-signatures",
            Self::Base64(_) | Self::SignatureLength(_) => "base64url",
            Self::HeaderTooLarge | Self::Header(_) | Self::Twice(_) => "jws-header",
            Self::NoAlg | Self::Alg(_) => "alg",
            Self::NoKid | Self::Kid => "kid",
            Self::Crit(_) => "crit",
            Self::Unencoded => "b64",
            Self::ForeignKey(_) => "key-header",
            Self::AlreadySigned(_) => "already-signed",
        }
    }

    /// What to do.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::TooLarge => "give long lists as a list source under a standing notice",
            Self::NotJws | Self::Encrypted | Self::Json(_) | Self::Missing(_) | Self::TwoForms(_) => {
                "write it in a serialisation of RFC 7515; pagar notice sign makes one"
            }
            Self::NoSignature => "sign it: pagar notice sign",
            Self::TooManySignatures => "leave out signatures that nobody asks for",
            Self::Base64(_) | Self::SignatureLength(_) => "send the file as it was signed, unchanged",
            Self::HeaderTooLarge | Self::Header(_) => "only \"alg\" and \"kid\" are needed there",
            Self::Twice(_) => "leave it out of the unprotected header",
            Self::NoAlg | Self::NoKid => {
                "put \"alg\" and \"kid\" into the protected header; what is not signed is not believed"
            }
            Self::Alg(_) => "sign with an Ed25519 key, alg \"EdDSA\" (RFC 8037) or \"Ed25519\" (RFC 9864)",
            Self::Kid => "write the kid of the JWK",
            Self::Crit(_) | Self::Unencoded => "sign without \"crit\" and \"b64\"",
            Self::ForeignKey(_) => "name the key by \"kid\", and have it configured under its authority",
            Self::AlreadySigned(_) => "a second signature has to be another person's",
        }
    }

    /// Whether it could be read, and is refused for what it says: an algorithm, a key, a demand.
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::NoSignature
                | Self::NoAlg
                | Self::Alg(_)
                | Self::NoKid
                | Self::Kid
                | Self::Crit(_)
                | Self::Unencoded
                | Self::ForeignKey(_)
        )
    }
}

/// How an envelope was written (RFC 7515 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Three parts; carries one signature.
    Compact,
    /// JSON with one signature.
    Flattened,
    /// JSON with a list of signatures.
    General,
}

impl Form {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Compact => "compact",
            Self::Flattened => "flattened",
            Self::General => "general",
        }
    }
}

/// One signature, whose header is in order; whether it is good is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    protected: String, // as it stands in the envelope: it is part of what is signed
    alg: Alg,
    kid: String,
    typ: Option<String>,
    octets: [u8; 64],
}

impl Signature {
    /// The key it says it is by.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The name it gives the algorithm.
    pub fn alg(&self) -> Alg {
        self.alg
    }

    /// What it says it signs: `typ` of its protected header, if that is a string.
    pub fn typ(&self) -> Option<&str> {
        self.typ.as_deref()
    }

    fn by(key: &PrivateKey, payload: &[u8], typ: Option<&str>) -> Self {
        let (alg, kid) = (key.alg(), key.public().kid().to_owned());
        let mut header = json!({ "alg": alg.as_str(), "kid": kid });
        if let Some(typ) = typ {
            header["typ"] = typ.into();
        }
        let protected = BASE64URL_NOPAD.encode(header.to_string().as_bytes());
        let octets = key.sign(signing_input(&protected, payload).as_bytes());
        Self { protected, alg, kid, typ: typ.map(str::to_owned), octets }
    }

    fn to_json(&self) -> Map<String, Value> {
        let signature = BASE64URL_NOPAD.encode(&self.octets);
        [("protected", self.protected.clone()), ("signature", signature)]
            .map(|(name, value)| (name.to_owned(), value.into()))
            .into_iter()
            .collect()
    }

    /// Reads the three parts of a signature.
    fn read(protected: &str, unprotected: &Names, signature: &str) -> Result<Self, JwsError> {
        let (alg, kid, typ) = header(protected, unprotected)?;
        let octets = decode(signature, "signature")?;
        let octets = octets.try_into().map_err(|octets: Vec<u8>| JwsError::SignatureLength(octets.len()))?;
        Ok(Self { protected: protected.to_owned(), alg, kid, typ, octets })
    }
}

//------ Envelope ------------------------------------------------------------------------------------------------------

/// A signed document as it was read: its signatures are in order and not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    form: Form,
    payload: Vec<u8>,
    signatures: Vec<Signature>,
}

impl Envelope {
    /// Reads any serialisation; white space around it, and a byte order mark, are not part of it.
    pub fn parse(octets: &[u8]) -> Result<Self, JwsError> {
        if octets.len() > MAX_SIZE {
            return Err(JwsError::TooLarge);
        }
        let text = std::str::from_utf8(json::without_mark(octets)).map_err(|_| JwsError::NotJws)?.trim_ascii();
        if text.starts_with('{') { Self::from_json(text) } else { Self::from_compact(text) }
    }

    /// How it was written.
    pub fn form(&self) -> Form {
        self.form
    }

    /// What is signed. Nobody has signed it before a signature has been verified.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Its signatures, in their order; at least one.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Whether that signature of this envelope is the key's.
    pub fn verifies(&self, signature: &Signature, key: &PublicKey) -> bool {
        key.verifies(signing_input(&signature.protected, &self.payload).as_bytes(), &signature.octets)
    }

    fn from_compact(text: &str) -> Result<Self, JwsError> {
        let parts: Vec<_> = text.splitn(6, '.').collect();
        match parts[..] {
            [protected, payload, signature] => {
                let signature = Signature::read(protected, &Names::default(), signature)?;
                Ok(Self { form: Form::Compact, payload: payload_of(payload)?, signatures: vec![signature] })
            }
            [_, _, _, _, _] => Err(JwsError::Encrypted),
            _ => Err(JwsError::NotJws),
        }
    }

    fn from_json(text: &str) -> Result<Self, JwsError> {
        let Written { payload, list, single } = json::read(text).map_err(JwsError::Json)?;
        let Some(Text(payload)) = payload else { return Err(JwsError::Missing("payload")) };
        let (form, written) = match list {
            Some(List::TooLong) => return Err(JwsError::TooManySignatures),
            Some(List::Of(list)) => match single.first_member() {
                Some(member) => return Err(JwsError::TwoForms(member)),
                None => (Form::General, list),
            },
            None => (Form::Flattened, vec![single]),
        };
        if written.is_empty() {
            return Err(JwsError::NoSignature);
        }
        let signatures = written.into_iter().map(WrittenSignature::read).collect::<Result<_, _>>()?;
        Ok(Self { form, payload: payload_of(&payload)?, signatures })
    }
}

/// Whether octets are meant as an envelope rather than as a bare notice: three parts in some base64, or an object with a
/// member `payload`. For commands that take both; it says nothing of whether the envelope is in order.
pub fn is_meant(octets: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(json::without_mark(octets)) else { return false };
    let text = text.trim_ascii();
    if text.starts_with('{') {
        return HasPayload::in_object(text);
    }
    let base64 = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'+' | b'/' | b'=');
    let parts: Vec<_> = text.splitn(4, '.').collect();
    parts.len() == 3 && parts.iter().all(|part| part.bytes().all(base64))
}

/// What is signed (RFC 7515 §5.1). Since decoding is strict, encoding the payload again gives the text it came from.
fn signing_input(protected: &str, payload: &[u8]) -> String {
    let mut input = String::with_capacity(protected.len() + 1 + BASE64URL_NOPAD.encode_len(payload.len()));
    input.push_str(protected);
    input.push('.');
    BASE64URL_NOPAD.encode_append(payload, &mut input);
    input
}

fn decode(text: &str, part: &'static str) -> Result<Vec<u8>, JwsError> {
    BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| JwsError::Base64(part))
}

fn payload_of(text: &str) -> Result<Vec<u8>, JwsError> {
    if text.len() > BASE64URL_NOPAD.encode_len(MAX_PAYLOAD) {
        return Err(JwsError::TooLarge);
    }
    decode(text, "payload")
}

/// What the headers say: the algorithm, the key, and the type of what is signed.
fn header(protected: &str, unprotected: &Names) -> Result<(Alg, String, Option<String>), JwsError> {
    if protected.len() > BASE64URL_NOPAD.encode_len(MAX_HEADER) {
        return Err(JwsError::HeaderTooLarge);
    }
    let octets = decode(protected, "protected header")?;
    let members = members(&octets)?;
    if let Some(name) = unprotected.0.iter().find(|name| members.contains_key(*name)) {
        return Err(JwsError::Twice(name.clone()));
    }
    let alg = match members.get("alg") {
        Some(Value::String(word)) => Alg::of(word).ok_or_else(|| JwsError::Alg(word.clone()))?,
        Some(other) => return Err(JwsError::Alg(other.to_string())),
        None => return Err(JwsError::NoAlg),
    };
    nothing_else_is_asked(&members, unprotected)?;
    let typ = members.get("typ").and_then(Value::as_str).map(str::to_owned);
    match members.get("kid") {
        Some(Value::String(kid)) if (1..=MAX_KID).contains(&kid.len()) => Ok((alg, kid.clone(), typ)),
        Some(_) => Err(JwsError::Kid),
        None => Err(JwsError::NoKid),
    }
}

fn members(octets: &[u8]) -> Result<Map<String, Value>, JwsError> {
    if octets.is_empty() {
        return Ok(Map::new()); // "protected": "" is no protected header at all (RFC 7515 §5.2)
    }
    let text = std::str::from_utf8(octets).map_err(|error| {
        let column = error.valid_up_to() + 1;
        JwsError::Header(Complaint { what: "the text is not UTF-8".to_owned(), line: 1, column })
    })?;
    json::object(text).map_err(JwsError::Header)
}

/// Refuses what would change the meaning of the signature or bring a key along.
fn nothing_else_is_asked(members: &Map<String, Value>, unprotected: &Names) -> Result<(), JwsError> {
    let says = |name: &str| members.contains_key(name) || unprotected.0.iter().any(|other| other == name);
    if says("crit") {
        return Err(JwsError::Crit(critical(members.get("crit"))));
    }
    if says("b64") && members.get("b64") != Some(&Value::Bool(true)) {
        return Err(JwsError::Unencoded);
    }
    match FOREIGN_KEYS.into_iter().find(|name| says(name)) {
        Some(name) => Err(JwsError::ForeignKey(name)),
        None => Ok(()),
    }
}

/// The first names that `crit` lists.
fn critical(crit: Option<&Value>) -> String {
    let names = crit.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let names: Vec<_> = names.take(3).map(shown).collect();
    if names.is_empty() { "\"crit\"".to_owned() } else { names.join(", ") }
}

//------ what stands in the JSON serialisations ------------------------------------------------------------------------

#[derive(Default)]
struct Written<'a> {
    payload: Option<Text<'a>>,
    list: Option<List<'a>>,
    single: WrittenSignature<'a>,
}

enum List<'a> {
    Of(Vec<WrittenSignature<'a>>),
    TooLong,
}

#[derive(Default)]
struct WrittenSignature<'a> {
    protected: Option<Text<'a>>,
    unprotected: Option<Names>,
    signature: Option<Text<'a>>,
}

impl<'a> WrittenSignature<'a> {
    fn read(self) -> Result<Signature, JwsError> {
        let Some(Text(signature)) = self.signature else { return Err(JwsError::Missing("signature")) };
        let Some(Text(protected)) = self.protected else { return Err(JwsError::NoAlg) };
        Signature::read(&protected, &self.unprotected.unwrap_or_default(), &signature)
    }

    fn first_member(&self) -> Option<&'static str> {
        let there = [
            ("signature", self.signature.is_some()),
            ("protected", self.protected.is_some()),
            ("header", self.unprotected.is_some()),
        ];
        there.into_iter().find(|(_, there)| *there).map(|(name, _)| name)
    }

    /// Takes a member if it is one of a signature's.
    fn take<'de: 'a, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "protected" => self.protected = Some(map.next_value()?),
            "header" => self.unprotected = Some(map.next_value()?),
            "signature" => self.signature = Some(map.next_value()?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for WrittenSignature<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SignatureVisitor;
        impl<'de> Visitor<'de> for SignatureVisitor {
            type Value = WrittenSignature<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a signature")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let mut written = WrittenSignature::default();
                each(map, |name, map| match written.take(name, map)? {
                    true => Ok(()),
                    false => map.next_value::<IgnoredAny>().map(drop),
                })?;
                Ok(written)
            }
        }
        deserializer.deserialize_map(SignatureVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for List<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor;
        impl<'de> Visitor<'de> for ListVisitor {
            type Value = List<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of signatures")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<List<'de>, A::Error> {
                let mut all = Vec::new();
                while all.len() < MAX_SIGNATURES {
                    match items.next_element()? {
                        Some(signature) => all.push(signature),
                        None => return Ok(List::Of(all)),
                    }
                }
                let mut more = false;
                while items.next_element::<IgnoredAny>()?.is_some() {
                    more = true;
                }
                Ok(if more { List::TooLong } else { List::Of(all) })
            }
        }
        deserializer.deserialize_seq(ListVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Written<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WrittenVisitor;
        impl<'de> Visitor<'de> for WrittenVisitor {
            type Value = Written<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let mut written = Written::default();
                each(map, |name, map| match name {
                    "payload" => map.next_value().map(|payload| written.payload = Some(payload)),
                    "signatures" => map.next_value().map(|list| written.list = Some(list)),
                    name => match written.single.take(name, map)? {
                        true => Ok(()),
                        false => map.next_value::<IgnoredAny>().map(drop),
                    },
                })?;
                Ok(written)
            }
        }
        deserializer.deserialize_map(WrittenVisitor)
    }
}

/// Stops reading an object at a member `payload`.
struct HasPayload;

impl HasPayload {
    const FOUND: &str = "payload found";

    fn in_object(text: &str) -> bool {
        serde_json::from_str::<Self>(text).is_err_and(|error| error.to_string().starts_with(Self::FOUND))
    }
}

impl<'de> Deserialize<'de> for HasPayload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = HasPayload;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<HasPayload, A::Error> {
                each(map, |name, map| match name {
                    "payload" => Err(A::Error::custom(HasPayload::FOUND)),
                    _ => map.next_value::<IgnoredAny>().map(drop),
                })?;
                Ok(HasPayload)
            }
        }
        deserializer.deserialize_map(NameVisitor)
    }
}

//------ signing -------------------------------------------------------------------------------------------------------

/// Signs with every key, in the general serialisation: what several people sign.
pub fn sign(payload: &[u8], keys: &[&PrivateKey]) -> String {
    let signatures: Vec<_> = keys.iter().map(|key| Signature::by(key, payload, None)).collect();
    general(payload, &signatures)
}

/// Signs in the flattened serialisation: receipts.
pub fn flattened(payload: &[u8], key: &PrivateKey) -> String {
    flat(payload, &Signature::by(key, payload, None))
}

/// The same, saying in `typ` what is signed, for those who take nothing else under this key.
pub fn typed(payload: &[u8], typ: &str, key: &PrivateKey) -> String {
    flat(payload, &Signature::by(key, payload, Some(typ)))
}

fn flat(payload: &[u8], signature: &Signature) -> String {
    let mut envelope = signature.to_json();
    envelope.insert("payload".to_owned(), BASE64URL_NOPAD.encode(payload).into());
    Value::Object(envelope).to_string()
}

/// Signs in the compact serialisation, which carries one signature.
pub fn compact(payload: &[u8], key: &PrivateKey) -> String {
    let signature = Signature::by(key, payload, None);
    format!("{}.{}", signing_input(&signature.protected, payload), BASE64URL_NOPAD.encode(&signature.octets))
}

/// The envelope in the general serialisation with a signature more. Unprotected headers and further members are not
/// kept: nobody has signed them.
pub fn add_signature(envelope: &Envelope, key: &PrivateKey) -> Result<String, JwsError> {
    let kid = key.public().kid();
    if envelope.signatures.iter().any(|signature| signature.kid == kid) {
        return Err(JwsError::AlreadySigned(kid.to_owned()));
    }
    if envelope.signatures.len() == MAX_SIGNATURES {
        return Err(JwsError::TooManySignatures);
    }
    let mut signatures = envelope.signatures.clone();
    signatures.push(Signature::by(key, &envelope.payload, None));
    Ok(general(&envelope.payload, &signatures))
}

fn general(payload: &[u8], signatures: &[Signature]) -> String {
    let signatures: Vec<_> = signatures.iter().map(Signature::to_json).collect();
    json!({ "payload": BASE64URL_NOPAD.encode(payload), "signatures": signatures }).to_string()
}

#[cfg(test)]
mod tests;
