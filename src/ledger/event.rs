//! [`Event`]: what a record says. Members are only ever added, and optional ones; a change of meaning is a new event or a
//! new version of the [`Record`](super::Record).
//!
//! Names stand in no event but [`Event::Operator`], and there a secret one is a [`Secretable::Sealed`]. The names of
//! notices stand in their payloads, lists are known by the digest of their content.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::digest::{Digest, hex, unhex};
use super::seal::{self, Key, NONCE, WrongKey};
use crate::model::{AuthorityId, NoticeId};

/// Something the node was told or did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The program started.
    Started {
        /// Its name.
        program: String,
        /// Its release, with the commit if it is known.
        version: String,
        /// The digest of the policy it started with, if it had one.
        policy: Option<Digest>,
    },
    /// The program ended in order.
    Stopped {},
    /// A notice was accepted.
    Accepted {
        /// Who sent it.
        authority: AuthorityId,
        /// Its id.
        notice: NoticeId,
        /// What it orders.
        kind: OrderKind,
        /// The authority's own number for it.
        number: u64,
        /// The signed octets, as received; they are stored.
        payload: Digest,
        /// The source it came by.
        source: String,
        /// RFC 7638 thumbprints of the keys whose signatures were counted; none for an unsigned notice.
        signers: Vec<String>,
        /// Whether its names are secret: then the payload is sealed.
        secret: bool,
        /// When it was received.
        received_at: Timestamp,
        /// How many items it has.
        items: u64,
        /// Items that wait for a person.
        quarantined: Vec<ItemRef>,
        /// Items that are not carried out.
        refused: Vec<ItemRef>,
        /// It is of an authority that only rehearses: it blocks nothing.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        test: bool,
    },
    /// A notice with good signatures was refused. What nobody is known to have sent is counted, not recorded.
    Refused {
        /// Who sent it.
        authority: AuthorityId,
        /// Its id, if it has one.
        notice: Option<NoticeId>,
        /// The signed octets, as received.
        payload: Digest,
        /// Whether these are stored. They are not if they would have to be sealed and there is no key.
        kept: bool,
        /// The source it came by.
        source: String,
        /// Why, as a word of this program.
        code: String,
        /// Why, in words.
        reason: String,
    },
    /// A notice went from one state to another.
    Transition {
        /// Whose notice.
        authority: AuthorityId,
        /// Which.
        notice: NoticeId,
        /// The state it was in.
        from: String,
        /// The state it is in.
        to: String,
        /// The id of the notice that ordered it, `time`, or `lift-ended`: it stands where it stood, and names of it that a
        /// person had lifted are blocked again.
        cause: Option<String>,
    },
    /// A policy was published.
    Published {
        /// Its serial.
        serial: u32,
        /// Its digest.
        digest: Digest,
        /// How many names it has.
        names: u64,
        /// How many of them the one before had not.
        added: u64,
        /// How many the one before had and it has not.
        lifted: u64,
    },
    /// Queries through the node's own sockets were answered as the notice orders.
    Enforced {
        /// Whose notice.
        authority: AuthorityId,
        /// Which.
        notice: NoticeId,
        /// Under which policy.
        serial: u32,
        /// How many names were asked for.
        asked: u64,
        /// When the last answer came.
        #[serde(rename = "enforced_at")] // `at` is the record's
        at: Timestamp,
    },
    /// Such a query was answered otherwise.
    EnforceFailed {
        /// Whose notice.
        authority: AuthorityId,
        /// Which.
        notice: NoticeId,
        /// Under which policy.
        serial: u32,
        /// What was wrong.
        code: String,
    },
    /// After a notice's end its names resolve again.
    LiftSeen {
        /// Whose notice.
        authority: AuthorityId,
        /// Which.
        notice: NoticeId,
        /// Under which policy.
        serial: u32,
    },
    /// Something waits for a person. The number of this record is what it is approved by.
    Held {
        /// What.
        what: Held,
        /// Whose notice, if it is about one.
        authority: Option<AuthorityId>,
        /// Which.
        notice: Option<NoticeId>,
        /// Which item of it.
        item: Option<String>,
        /// Which source, if it is about a list.
        source: Option<String>,
        /// Why.
        code: String,
        /// The digest of the list, if it is about one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digest: Option<Digest>,
        /// How many names the list had.
        before: Option<u64>,
        /// How many it would have.
        after: Option<u64>,
    },
    /// A person acted.
    Operator {
        /// What was done.
        action: Action,
        /// Who.
        person: String,
        /// Why, in the person's words.
        reason: String,
        /// The number of the [`Event::Held`] it is about.
        held: Option<u64>,
        /// The name it is about.
        name: Option<Secretable>,
    },
    /// What a person lifted is listed anew, or the lift is taken back: it is blocked again.
    LiftEnded {
        /// The name.
        name: Secretable,
        /// Whose notice lists it; nobody's, if a person took the lift back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        authority: Option<AuthorityId>,
        /// Which.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        notice: Option<NoticeId>,
    },
    /// A list was read and taken over.
    ListRead {
        /// Its source.
        source: String,
        /// The authority of the standing notice.
        authority: AuthorityId,
        /// The standing notice.
        notice: NoticeId,
        /// The digest of its names.
        digest: Digest,
        /// How many there are.
        names: u64,
    },
    /// A source could not be read; what it said before stays in force.
    SourceFailed {
        /// Which.
        source: String,
        /// Why, in words.
        reason: String,
    },
    /// The wall clock cannot be right; nothing expires until it is.
    ClockHeld {
        /// What it says.
        wall: Timestamp,
        /// The latest time known to have been.
        last: Timestamp,
    },
    /// The wall clock is sane again.
    ClockSane {},
    /// Anything else that keeps the node from doing what it was told.
    Problem {
        /// A word of this program.
        code: String,
        /// In words.
        reason: String,
    },
}

impl Event {
    /// The words of `event`; any other was written by a later release.
    pub(super) const WORDS: [&str; 17] = [
        "started",
        "stopped",
        "accepted",
        "refused",
        "transition",
        "published",
        "enforced",
        "enforce-failed",
        "lift-seen",
        "held",
        "operator",
        "lift-ended",
        "list-read",
        "source-failed",
        "clock-held",
        "clock-sane",
        "problem",
    ];

    /// The payload that has to be stored with it.
    pub const fn payload(&self) -> Option<&Digest> {
        match self {
            Self::Accepted { payload, .. } | Self::Refused { payload, kept: true, .. } => Some(payload),
            _ => None,
        }
    }
}

/// What a notice orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderKind {
    /// To restrict names.
    Restrict,
    /// To change an earlier notice.
    Amend,
    /// To end earlier notices, or items of them.
    Revoke,
    /// To let earlier notices rest.
    Suspend,
    /// To end their rest.
    Resume,
}

/// An item of a notice that is not in force, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemRef {
    /// The authority's word for the item.
    pub item: String,
    /// The reason's code.
    pub code: String,
}

/// What waits for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Held {
    /// An item of a notice.
    Item,
    /// A change of a list.
    List,
}

/// What a person did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Lifted a name in an emergency.
    Lift,
    /// Took that back.
    Restore,
    /// Approved, as the second person.
    Approve,
    /// Proposed, as the first.
    Propose,
}

/// A name, or what can be said in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Secretable {
    /// Anybody may see it.
    Plain(String),
    /// Only who has the key.
    Sealed {
        /// SHA-256 of a random salt of 16 octets and the text. The salt is sealed with the text: no list of likely names
        /// finds it, and whoever opens it can prove to others what it was.
        digest: Digest,
        /// Nonce, then salt and text sealed for this digest, in hexadecimal digits.
        sealed: String,
    },
}

/// Octets of a salt.
const SALT: usize = 16;

impl Secretable {
    /// Seals a text.
    pub fn seal(text: &str, key: &Key) -> Result<Self, WrongKey> {
        let salted = [&rand::random::<[u8; SALT]>(), text.as_bytes()].concat();
        let digest = Digest::of(&salted);
        let (nonce, sealed) = seal::seal(&salted, digest.as_octets(), key)?;
        Ok(Self::Sealed { digest, sealed: hex(&nonce) + &hex(&sealed) })
    }

    /// The text, if it needs no key or this one opens it.
    pub fn open_if(&self, key: Option<&Key>) -> Option<String> {
        match (self, key) {
            (Self::Plain(text), _) => Some(text.clone()),
            (Self::Sealed { .. }, key) => self.open(key?).ok(),
        }
    }

    /// The text.
    pub fn open(&self, key: &Key) -> Result<String, WrongKey> {
        let (digest, sealed) = match self {
            Self::Plain(text) => return Ok(text.clone()),
            Self::Sealed { digest, sealed } => (digest, unhex(sealed).ok_or(WrongKey)?),
        };
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>().ok_or(WrongKey)?;
        let salted = seal::open(sealed.to_vec(), *nonce, digest.as_octets(), key)?;
        let text = salted.get(SALT..).filter(|_| Digest::of(&salted) == *digest).ok_or(WrongKey)?;
        String::from_utf8(text.to_vec()).map_err(|_| WrongKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_name_opens_with_its_key_and_shows_nothing() {
        let key = |digit: &str| Key::from_text(&digit.repeat(64)).unwrap();
        let sealed = Secretable::seal("casino.example", &key("a")).unwrap();
        let written = serde_json::to_string(&sealed).unwrap();
        assert!(!written.contains("casino"), "{written}");
        assert_eq!(serde_json::from_str::<Secretable>(&written).unwrap(), sealed);
        assert_eq!(sealed.open(&key("a")).unwrap(), "casino.example");
        assert_eq!(sealed.open(&key("b")), Err(WrongKey));
        assert_ne!(Secretable::seal("casino.example", &key("a")).unwrap(), sealed, "there is no salt");
        let Secretable::Sealed { sealed, .. } = sealed else { panic!() };
        for (digest, sealed) in [(Digest::of(b"x"), sealed.clone()), (Digest::of(b""), String::new())] {
            assert_eq!(Secretable::Sealed { digest, sealed }.open(&key("a")), Err(WrongKey));
        }
        let plain = Secretable::Plain("casino.example".into());
        assert_eq!(serde_json::to_string(&plain).unwrap(), "\"casino.example\"");
        assert_eq!(plain.open(&key("b")).unwrap(), "casino.example");
    }
}
