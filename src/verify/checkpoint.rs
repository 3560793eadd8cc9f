//! [`Checkpoint`]: what a feed of signed notices says it has, signed by its authority, so that whoever fetches from it
//! notices what is held back, rolled back or stale. Pure: octets in, values out, the time is an argument.
//!
//! # Format, version 1
//!
//! A JWS (RFC 7515, any serialisation; [`jws`] says what is read) whose protected header has `typ`
//! `pagar-checkpoint+json`, by one key of the feed, over this object and no other member:
//!
//! | member | what |
//! |---|---|
//! | `version` | 1 |
//! | `authority` | whose feed |
//! | `highest` | the highest sequence number listed; 0 if there is none |
//! | `count` | how many notices are listed |
//! | `digest` | SHA-256 of all that is listed, see below |
//! | `issued_at`, `expires_at` | RFC 3339; later than `expires_at` it says nothing any more; at most 31 days apart |
//! | `previous` | SHA-256 of the payload of the checkpoint before, or `null` for the first |
//! | `ended_before` | optional: what had ended before this time may be missing, see below |
//! | `pages` | the index, 4,096 at most, each `{first, last, count, size, sha256}`: the first and last sequence on it, how many, its octets, their SHA-256 |
//!
//! A page is `{"version": 1, "entries": [{sequence, payload, envelope, size}]}`: 512 entries at most, sequences ascending on
//! it and from page to page. `payload` is SHA-256 of the notice's payload, which is what it is known by; `envelope` that
//! of the octets that are served, `size` their number. Hashes are 64 lower-case hexadecimal digits.
//!
//! `digest` is SHA-256 over the 13 octets `pagar-feed-1\n`, the id of the authority and a line feed, and then, for each
//! notice by ascending sequence, its sequence (8 octets, the highest first) and its payload's SHA-256 (32 octets).
//!
//! A feed is `checkpoint`, `pages/SHA256` and `notices/SEQUENCE` below one URL.
//!
//! # What a feed lists
//!
//! All notices of the authority, in the simplest case: sequences are never reused, so a longer list only says more. To
//! list live orders only, a restriction and every order about it leave together, once it has been wholly revoked or has
//! expired, and not before every reader has had the time to fetch what ended it; `ended_before` says up to when that was
//! done. What a new node needs to reach the state of an old one is therefore: of each notice that is scheduled, in force
//! or suspended, the restriction, its amendments, its revocations in part, its suspensions and resumptions. Numbers that
//! have left show as gaps on a new node. Who has last seen a checkpoint from before `ended_before` may have missed an end, and
//! is told so ([`Fault::Missed`]). Nothing that is missing from a feed lifts anything: a signed notice ends by notice,
//! expiry or a recorded lift.
//!
//! # What is found out
//!
//! [`Fault`] is what can be wrong; [`Checkpoint::follows`] and [`contradiction`] compare with what was seen before.

use std::fmt;
use std::iter::Peekable;

use data_encoding::HEXLOWER;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::jose::jws::MAX_SIZE;
use super::jose::{self, Envelope, PrivateKey, jws};
use super::keyring::Keyring;
use crate::model::AuthorityId;

/// `typ` of the protected header.
pub const TYP: &str = "pagar-checkpoint+json";
/// The version this is.
const VERSION: u32 = 1;
/// Largest checkpoint in octets, as it is served.
pub const MAX_CHECKPOINT: usize = 2 << 20;
/// Most pages: two million notices.
pub const MAX_PAGES: usize = 4096;
/// Most entries of a page.
pub const MAX_ENTRIES: usize = 512;
/// Largest page in octets.
pub const MAX_PAGE: usize = 256 << 10;
/// How long a checkpoint may be good: a feed that is frozen is found out after this long at the latest.
pub const MAX_VALIDITY: SignedDuration = SignedDuration::from_hours(31 * 24);
/// How far ahead of our clock an authority's may be.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);

//------ Fault ---------------------------------------------------------------------------------------------------------

/// What can be wrong with a feed: the threats of TUF (<https://theupdateframework.io/security/>), as far as they are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// No key of the feed has signed it as a checkpoint.
    Signature,
    /// It is not what the format says, or says what cannot be.
    Format,
    /// It is older than one seen before.
    Rollback,
    /// It denies what one seen before has said.
    Contradiction,
    /// It has expired, and no newer one is there.
    Frozen,
    /// It was issued in the future.
    Ahead,
    /// Something listed is not there to fetch.
    Withheld,
    /// Something is there and is not what is listed.
    Altered,
    /// Something takes longer to come than anything may.
    Slow,
    /// Something is larger than it may be, or than is listed.
    Oversized,
    /// Ends of orders may have been missed: they have left the feed since it was seen last.
    Missed,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Signature,
        Self::Format,
        Self::Rollback,
        Self::Contradiction,
        Self::Frozen,
        Self::Ahead,
        Self::Withheld,
        Self::Altered,
        Self::Slow,
        Self::Oversized,
        Self::Missed,
    ];

    /// The stable word for it, in metrics and problems.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signature => "feed-signature",
            Self::Format => "feed-format",
            Self::Rollback => "feed-rollback",
            Self::Contradiction => "feed-contradiction",
            Self::Frozen => "feed-frozen",
            Self::Ahead => "feed-ahead",
            Self::Withheld => "feed-withheld",
            Self::Altered => "feed-altered",
            Self::Slow => "feed-slow",
            Self::Oversized => "feed-oversized",
            Self::Missed => "feed-missed",
        }
    }

    /// What to do.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Signature => "check keys of the source; if they are right, somebody else answers there",
            Self::Format => "ask the authority what its feed runs on",
            Self::Rollback | Self::Contradiction => {
                "ask the authority, not the feed, what is right: what was in force stays; if it made the feed anew, \
                 remove what is remembered of it from the state directory"
            }
            Self::Frozen => "ask the authority whether its feed is signed still; compare numbers by telephone",
            Self::Ahead => "compare the clocks",
            Self::Withheld | Self::Altered => "ask the authority for the notices that are named",
            Self::Slow => "look at the line to the feed, then at who answers there",
            Self::Oversized => "somebody may be trying to fill this machine: ask the authority",
            Self::Missed => "this node was away for long: compare what is in force with the authority's list",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A fault, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Finding {
    /// Which.
    pub fault: Fault,
    /// What was seen.
    pub message: String,
}

impl Finding {
    /// Says what was seen.
    pub fn new(fault: Fault, message: impl Into<String>) -> Self {
        Self { fault, message: message.into() }
    }
}

fn format(message: impl Into<String>) -> Finding {
    Finding::new(Fault::Format, message)
}

//------ Hash ----------------------------------------------------------------------------------------------------------

/// A SHA-256, written in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// That of these octets.
    pub fn of(octets: &[u8]) -> Self {
        Self(Sha256::digest(octets).into())
    }

    /// Reads 64 digits.
    pub fn parse(text: &str) -> Option<Self> {
        HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("expected 64 lower-case hexadecimal digits"))
    }
}

//------ what is written -----------------------------------------------------------------------------------------------

/// See the module's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// What it is known by: the hash of its payload.
    pub hash: Hash,
    /// Its members.
    pub says: Says,
}

/// The members of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Says {
    version: u32,
    /// Whose feed.
    pub authority: String,
    /// The highest sequence number listed.
    pub highest: u64,
    /// How many notices are listed.
    pub count: u64,
    /// Hash over all that is listed.
    pub digest: Hash,
    /// When it was signed.
    pub issued_at: Timestamp,
    /// Until when it is good.
    pub expires_at: Timestamp,
    /// The checkpoint before.
    pub previous: Option<Hash>,
    /// What had ended before this time may be missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_before: Option<Timestamp>,
    /// The index.
    pub pages: Vec<PageRef>,
}

/// A page of the index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageRef {
    /// The first sequence on it.
    pub first: u64,
    /// And the last.
    pub last: u64,
    /// How many entries.
    pub count: u64,
    /// Its octets.
    pub size: u64,
    /// Their hash.
    pub sha256: Hash,
}

/// A notice of the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The authority's number.
    pub sequence: u64,
    /// Hash of what is signed: what the notice is known by.
    pub payload: Hash,
    /// Hash of what is served.
    pub envelope: Hash,
    /// Octets of that.
    pub size: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    version: u32,
    entries: Vec<Entry>,
}

//------ reading -------------------------------------------------------------------------------------------------------

impl Checkpoint {
    /// Reads a checkpoint of an authority that a key on the ring has signed. Whether it has expired, [`Self::is_fresh`]
    /// says.
    pub fn read(octets: &[u8], keyring: &Keyring, authority: &AuthorityId, now: Timestamp) -> Result<Self, Finding> {
        if octets.len() > MAX_CHECKPOINT {
            return Err(Finding::new(Fault::Oversized, format!("the checkpoint has {} octets", octets.len())));
        }
        let envelope = Envelope::parse(octets).map_err(|error| format(format!("the checkpoint: {error}")))?;
        if envelope.signatures().iter().any(|signature| signature.typ() != Some(TYP)) {
            let message = format!("what is served as checkpoint is not signed as one: no typ {TYP:?}");
            return Err(Finding::new(Fault::Signature, message));
        }
        keyring
            .verify(&envelope, authority, now)
            .map_err(|error| Finding::new(Fault::Signature, format!("the checkpoint is not believed: {error}")))?;
        let checkpoint = Self::of_payload(envelope.payload())?;
        let says = &checkpoint.says;
        if says.authority != authority.as_str() {
            let other = jose::shown(&says.authority);
            return Err(format(format!("the checkpoint is of authority {other}, not of \"{authority}\"")));
        }
        if says.issued_at > now.saturating_add(AHEAD).unwrap_or(Timestamp::MAX) {
            let message = format!("the checkpoint was issued at {}, which is in the future", says.issued_at);
            return Err(Finding::new(Fault::Ahead, message));
        }
        Ok(checkpoint)
    }

    /// Reads what is signed, without asking by whom.
    pub fn of_payload(payload: &[u8]) -> Result<Self, Finding> {
        let says: Says = strictly(payload, "the checkpoint")?;
        says.is_consistent()?;
        Ok(Self { hash: Hash::of(payload), says })
    }

    /// Whether it is good still.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        now < self.says.expires_at
    }

    /// Whether it may come after one that was seen; the same one may.
    pub fn follows(&self, before: &Self) -> Result<(), Finding> {
        let (new, old) = (&self.says, &before.says);
        if self.hash == before.hash {
            return Ok(());
        }
        if new.issued_at < old.issued_at {
            let message = format!("the checkpoint of {} is older than that of {}", new.issued_at, old.issued_at);
            return Err(Finding::new(Fault::Rollback, message));
        }
        if new.highest < old.highest {
            let message = format!("the feed went back from number {} to {}", old.highest, new.highest);
            return Err(Finding::new(Fault::Rollback, message));
        }
        if new.issued_at == old.issued_at || (new.previous.is_some() && new.previous == old.previous) {
            let message = format!("there are two different checkpoints of {}", new.issued_at);
            return Err(Finding::new(Fault::Contradiction, message));
        }
        if let Some(at) = new.ended_before.filter(|at| *at > old.issued_at) {
            let message = format!("orders that ended before {at} have left the feed, last seen at {}", old.issued_at);
            return Err(Finding::new(Fault::Missed, message));
        }
        Ok(())
    }

    /// Whether these are the entries it was made over.
    pub fn is_over<'a>(&self, entries: impl Iterator<Item = &'a Entry>) -> Result<(), Finding> {
        let mut entries: Vec<_> = entries.collect();
        entries.sort_unstable_by_key(|entry| entry.sequence);
        match digest(&self.says.authority, entries.into_iter()) == self.says.digest {
            true => Ok(()),
            false => Err(format("the digest of the checkpoint is not that of its pages")),
        }
    }
}

impl Says {
    fn is_consistent(&self) -> Result<(), Finding> {
        if self.version != VERSION {
            return Err(format(format!("version {} of checkpoints is not known", self.version)));
        }
        if self.pages.len() > MAX_PAGES {
            return Err(Finding::new(Fault::Oversized, format!("the checkpoint has {} pages", self.pages.len())));
        }
        if self.expires_at <= self.issued_at || self.expires_at.duration_since(self.issued_at) > MAX_VALIDITY {
            return Err(format("the checkpoint is good for no time, or for more than 31 days"));
        }
        let mut last = None;
        for page in &self.pages {
            let counts = (1..=MAX_ENTRIES as u64).contains(&page.count)
                && page.count - 1 <= page.last.saturating_sub(page.first);
            if !counts || page.first > page.last || last.is_some_and(|last| page.first <= last) {
                return Err(format("the pages of the checkpoint are not in order"));
            }
            if page.size > MAX_PAGE as u64 {
                return Err(Finding::new(Fault::Oversized, format!("a page of the index has {} octets", page.size)));
            }
            last = Some(page.last);
        }
        let count = self.pages.iter().map(|page| page.count).sum::<u64>();
        if count != self.count || last.unwrap_or(0) != self.highest {
            return Err(format("\"count\" or \"highest\" is not that of the pages"));
        }
        Ok(())
    }
}

impl PageRef {
    /// Reads the page.
    pub fn read(&self, octets: &[u8]) -> Result<Vec<Entry>, Finding> {
        if octets.len() as u64 != self.size || Hash::of(octets) != self.sha256 {
            return Err(Finding::new(Fault::Altered, format!("the page {} is not what is listed", self.sha256)));
        }
        let Page { version, entries } = strictly(octets, "a page")?;
        let ascending = entries.windows(2).all(|pair| pair[0].sequence < pair[1].sequence);
        let ends = [entries.first(), entries.last()].map(|entry| entry.map(|entry| entry.sequence));
        if version != VERSION || !ascending || ends != [Some(self.first), Some(self.last)] {
            return Err(format("a page does not say what its checkpoint says of it"));
        }
        if entries.len() as u64 != self.count {
            return Err(format("a page has not as many entries as its checkpoint says"));
        }
        match entries.iter().find(|entry| entry.size > MAX_SIZE as u64) {
            Some(Entry { sequence, size, .. }) => {
                Err(Finding::new(Fault::Oversized, format!("notice {sequence} is listed with {size} octets")))
            }
            None => Ok(entries),
        }
    }
}

/// Reads JSON as JOSE wants it, and no member that is not known.
fn strictly<T: for<'de> Deserialize<'de>>(octets: &[u8], what: &str) -> Result<T, Finding> {
    let text = std::str::from_utf8(octets).map_err(|_| format(format!("{what} is not UTF-8")))?;
    let members = jose::object(text).map_err(|complaint| format(format!("{what}: {complaint}")))?;
    serde_json::from_value(Value::Object(members)).map_err(|error| format(format!("{what}: {error}")))
}

/// What the first list says and the second denies: both by ascending sequence. A number that is gone is denied, unless
/// orders may leave the feed; one with another payload is in any case.
pub fn contradiction<'a>(
    before: impl Iterator<Item = &'a Entry>,
    after: impl Iterator<Item = &'a Entry>,
    may_leave: bool,
) -> Result<(), Finding> {
    let mut after = after.peekable();
    for old in before {
        match at(&mut after, old.sequence) {
            Some(new) if new.payload != old.payload => {
                let message = format!("number {} is another notice than it was", old.sequence);
                return Err(Finding::new(Fault::Contradiction, message));
            }
            None if !may_leave => {
                let message = format!("number {} was listed and is not any more", old.sequence);
                return Err(Finding::new(Fault::Contradiction, message));
            }
            _ => {}
        }
    }
    Ok(())
}

fn at<'a>(entries: &mut Peekable<impl Iterator<Item = &'a Entry>>, sequence: u64) -> Option<&'a Entry> {
    while entries.next_if(|entry| entry.sequence < sequence).is_some() {}
    entries.next_if(|entry| entry.sequence == sequence)
}

/// The hash over all that is listed, by ascending sequence.
fn digest<'a>(authority: &str, entries: impl Iterator<Item = &'a Entry>) -> Hash {
    let mut hash = Sha256::new();
    hash.update(b"pagar-feed-1\n");
    hash.update(authority.as_bytes());
    hash.update(b"\n");
    for entry in entries {
        hash.update(entry.sequence.to_be_bytes());
        hash.update(entry.payload.0);
    }
    Hash(hash.finalize().into())
}

//------ writing -------------------------------------------------------------------------------------------------------

/// More than a feed can list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a feed lists {} notices at most", MAX_PAGES * MAX_ENTRIES)]
pub struct TooMany;

/// A checkpoint that is to be signed, with its pages.
#[derive(Clone, Debug)]
pub struct Draft {
    says: Says,
    /// The pages, by their hash.
    pub pages: Vec<(Hash, Vec<u8>)>,
}

impl Draft {
    /// Over these notices, by ascending sequence. Pages are filled in that order, so that a new notice changes the last one
    /// alone.
    pub fn new(
        authority: &AuthorityId,
        entries: &[Entry],
        issued_at: Timestamp,
        expires_at: Timestamp,
        previous: Option<Hash>,
    ) -> Result<Self, TooMany> {
        let (mut refs, mut pages) = (Vec::new(), Vec::new());
        for entries in entries.chunks(MAX_ENTRIES) {
            let octets = serde_json::to_vec(&Page { version: VERSION, entries: entries.to_vec() }).unwrap_or_default();
            let sha256 = Hash::of(&octets);
            let sequence = |entry: Option<&Entry>| entry.map_or(0, |entry| entry.sequence);
            let (first, last) = (sequence(entries.first()), sequence(entries.last()));
            refs.push(PageRef { first, last, count: entries.len() as u64, size: octets.len() as u64, sha256 });
            pages.push((sha256, octets));
        }
        if refs.len() > MAX_PAGES {
            return Err(TooMany);
        }
        let says = Says {
            version: VERSION,
            authority: authority.as_str().to_owned(),
            highest: entries.last().map_or(0, |entry| entry.sequence),
            count: entries.len() as u64,
            digest: digest(authority.as_str(), entries.iter()),
            issued_at,
            expires_at,
            previous,
            ended_before: None,
            pages: refs,
        };
        Ok(Self { says, pages })
    }

    /// Says that what had ended before this time has left the feed.
    pub fn ended_before(mut self, at: Timestamp) -> Self {
        self.says.ended_before = Some(at);
        self
    }

    /// Signs it: the checkpoint, and the octets to serve.
    pub fn sign(&self, key: &PrivateKey) -> (Checkpoint, String) {
        let payload = serde_json::to_vec(&self.says).unwrap_or_default(); // text and numbers: it cannot fail
        let signed = jws::typed(&payload, TYP, key);
        (Checkpoint { hash: Hash::of(&payload), says: self.says.clone() }, signed)
    }
}

#[cfg(test)]
mod tests;
