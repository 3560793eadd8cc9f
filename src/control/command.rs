//! What operators may ask of the control plane, and what it answers: an emergency lift, and the second look at what the
//! guard holds. [`Ask`] is what stands on the operators' socket and in the API, [`OperatorRequest`] what it means, with the
//! person whom the kernel names, or the client of the API; how it comes in is the faces' affair.
//!
//! | asked | by whom | what happens |
//! |---|---|---|
//! | lift | one person | at once, and recorded; it lasts until a new notice that lists the name is in force |
//! | restore | one person | a lift is taken back, at once, and recorded: older notices block the name again |
//! | approve, a held list | one person | its new version is put in force |
//! | approve, an item in quarantine | two different persons | the first proposes, the second carries it out |
//! | held | anybody who may ask | what waits |

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::explain::asked;
use crate::model::DnsName;

/// The socket's name in the state directory.
pub const SOCKET: &str = "control.sock";
/// Longest reason in octets: it goes into the ledger and stays there.
pub const LONGEST_REASON: usize = 1_000;

/// A request as it stands on the socket, one line of JSON: `{"lift":{"name":"a.example","reason":"…"}}`,
/// `{"restore":{"name":"a.example","reason":"…"}}`, `{"approve":{"id":7,"reason":"…"}}` or `{"held":{}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// Lift a name at once.
    Lift {
        /// As written.
        name: String,
        /// Why.
        reason: String,
    },
    /// Take a lift back.
    Restore {
        /// As it was lifted.
        name: String,
        /// Why.
        reason: String,
    },
    /// Approve, or propose, what is held.
    Approve {
        /// [`HeldItem::id`].
        id: u64,
        /// Why.
        reason: String,
    },
    /// List what is held.
    Held {},
}

impl Ask {
    /// The word for it in the log.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Lift { .. } => "lift",
            Self::Restore { .. } => "restore",
            Self::Approve { .. } => "approve",
            Self::Held {} => "held",
        }
    }

    /// What it means when this person asks; the error is what the person is told.
    pub fn by(self, person: String) -> Result<OperatorRequest, OperatorReply> {
        Ok(match self {
            Self::Lift { name, reason } => {
                OperatorRequest::Lift { name: name_of(&name)?, reason: reason_of(&reason)?, person }
            }
            Self::Restore { name, reason } => {
                OperatorRequest::Restore { name: name_of(&name)?, reason: reason_of(&reason)?, person }
            }
            Self::Approve { id, reason } => OperatorRequest::Approve { id, reason: reason_of(&reason)?, person },
            Self::Held {} => OperatorRequest::Held { secret: false },
        })
    }
}

fn name_of(written: &str) -> Result<DnsName, OperatorReply> {
    asked(written).map_err(|error| OperatorReply::refused("name", format!("{written:?}: {error}")))
}

/// A reason somebody can be held to: a line of text.
fn reason_of(written: &str) -> Result<String, OperatorReply> {
    let reason = written.trim();
    let wrong = if reason.is_empty() {
        "it is empty: say why, the ledger keeps it"
    } else if reason.len() > LONGEST_REASON {
        "it is too long: at most 1000 octets"
    } else if reason.chars().any(char::is_control) {
        "it holds a line break or another control character: write one line"
    } else {
        return Ok(reason.to_owned());
    };
    Err(OperatorReply::refused("reason", format!("the reason cannot be recorded: {wrong}")))
}

/// A request the control plane can carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorRequest {
    /// Lift a name, whichever notices list it.
    Lift {
        /// The name.
        name: DnsName,
        /// Why, for the ledger.
        reason: String,
        /// Who asks.
        person: String,
    },
    /// Take the lift of a name back.
    Restore {
        /// The name.
        name: DnsName,
        /// Why, for the ledger.
        reason: String,
        /// Who asks.
        person: String,
    },
    /// Approve what is held under this number.
    Approve {
        /// [`HeldItem::id`].
        id: u64,
        /// Why, for the ledger.
        reason: String,
        /// Who asks.
        person: String,
    },
    /// List what is held.
    Held {
        /// With the names of secret notices.
        secret: bool,
    },
}

/// Whether two persons may be one. Those of the operators' socket are `NAME (uid N)`, and the same if their numbers are,
/// whatever they are called; clients of the API have a name only, and whoever has it there or here is taken for the same.
pub fn may_be_same(one: &str, other: &str) -> bool {
    let parts = |person: &'_ str| -> (String, Option<String>) {
        match person.strip_suffix(')').and_then(|person| person.rsplit_once(" (uid ")) {
            Some((name, uid)) => (name.to_owned(), Some(uid.to_owned())),
            None => (person.to_owned(), person.strip_prefix("uid:").map(str::to_owned)), // as recorded until 0.1.0
        }
    };
    match (parts(one), parts(other)) {
        ((_, Some(uid)), (_, Some(other))) => uid == other,
        ((name, _), (other, _)) => name == other,
    }
}

/// What a person is told, one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperatorReply {
    /// It is done, or proposed.
    Ok {
        /// What, in words.
        text: String,
        /// Under which number the ledger has it.
        ledger: Option<u64>,
    },
    /// What is held, the oldest first.
    List(Vec<HeldItem>),
    /// It is not done.
    Refused {
        /// A stable word for the reason.
        code: String,
        /// The reason.
        reason: String,
    },
}

impl OperatorReply {
    /// A refusal.
    pub fn refused(code: &str, reason: impl Into<String>) -> Self {
        Self::Refused { code: code.to_owned(), reason: reason.into() }
    }

    /// The word for it in the log.
    pub fn word(&self) -> &str {
        match self {
            Self::Ok { .. } => "done",
            Self::List(_) => "listed",
            Self::Refused { code, .. } => code,
        }
    }
}

/// Something that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldItem {
    /// Its number, for `pagar approve`.
    pub id: u64,
    /// What it is.
    pub what: HeldKind,
    /// Whose order it is about.
    pub authority: String,
    /// The notice.
    pub notice: String,
    /// The item of the notice, or what is odd about the list.
    pub item: String,
    /// The source it came from.
    pub source: String,
    /// Why it is held: a code of the guard.
    pub code: String,
    /// The name; withheld where it is secret, and nothing for a list.
    pub name: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// Who has approved it so far.
    pub proposed_by: Option<String>,
}

/// The two kinds of what is held: they need one person, or two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeldKind {
    /// The new version of a list: one person.
    List,
    /// An item of a notice: two persons.
    Item,
}

impl fmt::Display for HeldItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, authority, notice, item, source, code, since, .. } = self;
        match (self.what, &self.name) {
            (HeldKind::List, _) => write!(f, "{id}: list of {authority} under {notice}: {item}")?,
            (HeldKind::Item, Some(name)) => write!(f, "{id}: {name}, item {item} of {notice} by {authority}")?,
            (HeldKind::Item, None) => write!(f, "{id}: a name withheld, item {item} of {notice} by {authority}")?,
        }
        write!(f, " ({code}), from {source}, since {since}")?;
        match (&self.proposed_by, self.what) {
            (Some(person), _) => write!(f, "; approved by {person}, waits for a second person"),
            (None, HeldKind::Item) => f.write_str("; waits for two persons"),
            (None, HeldKind::List) => f.write_str("; waits for one person"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(json: &str) -> Result<Ask, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn requests_are_these_lines_and_no_others() {
        let lift = Ask::Lift { name: "a.example".into(), reason: "ticket 7".into() };
        assert_eq!(ask(r#"{"lift":{"name":"a.example","reason":"ticket 7"}}"#), Ok(lift.clone()));
        assert_eq!(ask(&serde_json::to_string(&lift).unwrap()), Ok(lift));
        let restore = Ask::Restore { name: "a.example".into(), reason: "r".into() };
        assert_eq!(ask(r#"{"restore":{"name":"a.example","reason":"r"}}"#), Ok(restore));
        assert_eq!(ask(r#"{"approve":{"id":7,"reason":"r"}}"#), Ok(Ask::Approve { id: 7, reason: "r".into() }));
        assert_eq!(ask(r#"{"held":{}}"#), Ok(Ask::Held {}));
        for bad in [
            r#"{"lift":{"name":"a.example"}}"#,
            r#"{"lift":{"name":"a.example","reason":"r","person":"somebody else"}}"#,
            r#"{"approve":{"id":-1,"reason":"r"}}"#,
            r#"{"approve":{"id":"7","reason":"r"}}"#,
            r#"{"held":{},"lift":{}}"#,
            r#"{"unblock":{}}"#,
            r#""held""#,
            "[]",
            "",
        ] {
            assert!(ask(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_is_read_and_a_reason_must_be_one() {
        let lift = |name: &str, reason: &str| {
            let ask = Ask::Lift { name: name.into(), reason: reason.into() };
            ask.by("alice".into()).map_err(|reply| reply.word().to_owned())
        };
        let name = DnsName::from_text("bücher.example").unwrap();
        let lifted = OperatorRequest::Lift { name, reason: "why".into(), person: "alice".into() };
        assert_eq!(lift("Bücher.example.", " why "), Ok(lifted));
        for (name, reason, code) in [
            ("https://a.example/", "why", "name"),
            ("192.0.2.1", "why", "name"),
            ("", "why", "name"),
            ("a.example", "", "reason"),
            ("a.example", " \t", "reason"),
            ("a.example", "one\ntwo", "reason"),
            ("a.example", "a\u{1b}[2J", "reason"),
            ("a.example", &"x".repeat(LONGEST_REASON + 1), "reason"),
        ] {
            assert_eq!(lift(name, reason), Err(code.to_owned()), "{name} {reason}");
            let restore = Ask::Restore { name: name.into(), reason: reason.into() }.by("alice".into());
            assert_eq!(restore.unwrap_err().word(), code, "{name} {reason}");
        }
        let approve = Ask::Approve { id: 1, reason: String::new() }.by("alice".into());
        assert_eq!(approve.unwrap_err().word(), "reason");
        assert_eq!(Ask::Held {}.by("alice".into()), Ok(OperatorRequest::Held { secret: false }));
    }

    #[test]
    fn persons_are_told_apart_by_their_number_or_else_by_name() {
        for (one, other, same) in [
            ("alice (uid 1000)", "alice (uid 1000)", true),
            ("alice (uid 1000)", "bob (uid 1000)", true),
            ("alice (uid 1000)", "alice (uid 1001)", false),
            ("root (uid 0)", "pagar (uid 998)", false),
            ("alice", "alice", true),
            ("alice", "bob", false),
            ("alice", "alice (uid 1000)", true), // by HTTP and on the machine, or recorded before there were numbers
            ("alice", "bob (uid 1000)", false),
            ("uid:1000", "unnamed (uid 1000)", true),
        ] {
            assert_eq!(may_be_same(one, other), same, "{one}, {other}");
            assert_eq!(may_be_same(other, one), same, "{other}, {one}");
        }
    }

    #[test]
    fn replies_come_back_as_they_were() {
        let item = HeldItem {
            id: 7,
            what: HeldKind::Item,
            authority: "mcmc".into(),
            notice: "N-1".into(),
            item: "2".into(),
            source: "notices".into(),
            code: "public-suffix".into(),
            name: Some("com.my".into()),
            since: Timestamp::UNIX_EPOCH,
            proposed_by: None,
        };
        assert_eq!(
            item.to_string(),
            "7: com.my, item 2 of N-1 by mcmc (public-suffix), from notices, since 1970-01-01T00:00:00Z; \
             waits for two persons"
        );
        let secret = HeldItem { name: None, proposed_by: Some("alice".into()), ..item.clone() };
        assert!(secret.to_string().starts_with("7: a name withheld"));
        assert!(secret.to_string().ends_with("approved by alice, waits for a second person"));
        let list = HeldItem { what: HeldKind::List, item: "3 names, 1000 in force".into(), ..secret.clone() };
        let list = HeldItem { proposed_by: None, code: "shrunk".into(), ..list };
        assert!(list.to_string().starts_with("7: list of mcmc under N-1: 3 names, 1000 in force (shrunk)"));
        for reply in [
            OperatorReply::Ok { text: "lifted".into(), ledger: Some(9) },
            OperatorReply::List(vec![item, secret, list]),
            OperatorReply::refused("same-person", "a second person must approve"),
        ] {
            let line = serde_json::to_string(&reply).unwrap();
            assert!(!line.contains('\n'));
            assert_eq!(serde_json::from_str::<OperatorReply>(&line).unwrap(), reply);
        }
    }
}
