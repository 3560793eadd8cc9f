//! [`Receipt`]: what became of an order, for who sent it. Names stand in none; the sender knows its items by their numbers.
//!
//! | state of a restriction | what it means |
//! |---|---|
//! | `refused` | it was not taken; `code` and `reason` say why |
//! | `scheduled` | it takes effect later |
//! | `published` | it is in the policy, and the node has not seen it work yet; `code` says what it saw |
//! | `enforced` | the node asked its own sockets and got the blocked answers; `code` is `lifted-in-part` while a person has lifted some of its names |
//! | `tested` | as `enforced`, for an authority that only rehearses: it would be in force, and nothing is |
//! | `lifted` | it is in force, and a person has lifted all of its names |
//! | `amended`, `suspended`, `revoked`, `expired` | it is not in force any more, or not now |
//!
//! What is about earlier notices is `scheduled`, `published` or `carried-out`. An item is what the whole is, or
//! `quarantined`, `refused`, `revoked` or `lifted` by itself. An item whose own name a person has lifted is `lifted` with
//! the code `operator`; one with a lifted name below it is what the whole is, with the code `lifted-in-part`; `since` is the
//! time of the lift in the ledger. It is not called enforced again before the node has asked anew.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// See the module's header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Of this form: 1.
    pub version: u32,
    /// Thumbprint of the node's key.
    pub node: String,
    /// Whose order; `None` where nobody is known to have sent it.
    pub authority: Option<String>,
    /// The order's id.
    pub notice: Option<String>,
    /// What it does, as written in it.
    pub kind: Option<Cow<'static, str>>,
    /// Its number among the authority's orders.
    pub sequence: Option<u64>,
    /// SHA-256 of the signed payload.
    pub payload: Option<String>,
    /// What became of it as a whole.
    pub state: Cow<'static, str>,
    /// Why it is not as ordered: a stable word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the node had it.
    pub received_at: Timestamp,
    /// When its signatures and content had been checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validated_at: Option<Timestamp>,
    /// From when on it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_at: Option<Timestamp>,
    /// Since when its names are seen to be blocked, without a break.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforced_at: Option<Timestamp>,
    /// When its names were seen to resolve again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifted_at: Option<Timestamp>,
    /// By when it had to be enforced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<Timestamp>,
    /// Whether it was enforced by its deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_time: Option<bool>,
    /// Questions that the node asked itself about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<u64>,
    /// Thumbprints of the keys it is signed with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signers: Vec<String>,
    /// Each of its items.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<ItemState>,
    /// The earlier notices it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<NoticeState>,
    /// The policy that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyRef>,
    /// It is of an authority that only rehearses: nothing of it is in force.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub test: bool,
    /// Where it is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerRef>,
    /// When this was written.
    pub written_at: Timestamp,
}

/// What became of an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemState {
    /// Its number in the order.
    pub item: String,
    /// What became of it.
    pub state: Cow<'static, str>,
    /// Why it is not as ordered: a stable word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What `pagar approve` knows it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<u64>,
    /// When a person lifted its name, or one below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

impl ItemState {
    /// One that says no more than this.
    pub fn new(item: &str, state: &'static str) -> Self {
        Self { item: item.to_owned(), state: state.into(), code: None, held: None, since: None }
    }
}

/// Where an earlier notice stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeState {
    /// The order's id.
    pub notice: String,
    /// What became of it.
    pub state: Cow<'static, str>,
}

/// The policy that enforces it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRef {
    /// Serial of the publication.
    pub serial: u32,
    /// Digest over the notices in force, hexadecimal.
    pub digest: String,
}

/// Where it stands in the ledger, and where that ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerRef {
    /// Of the record that accepted or refused it.
    pub sequence: Option<u64>,
    /// The last record.
    pub head: u64,
    /// The last record's hash, hexadecimal.
    pub hash: String,
}

impl Receipt {
    /// Every word that can be a `state`, of an order or of an item.
    pub const STATES: [&str; 13] = [
        "refused",
        "quarantined",
        "scheduled",
        "published",
        "enforced",
        "tested",
        "lifted",
        "amended",
        "suspended",
        "revoked",
        "expired",
        "carried-out",
        "accepted",
    ];

    /// One that says no more than this; `node` is the thumbprint of the node's key.
    pub fn new(node: String, state: &'static str, received_at: Timestamp, written_at: Timestamp) -> Self {
        Self {
            version: 1,
            node,
            authority: None,
            notice: None,
            kind: None,
            sequence: None,
            payload: None,
            state: state.into(),
            code: None,
            reason: None,
            received_at,
            validated_at: None,
            effective_at: None,
            enforced_at: None,
            lifted_at: None,
            deadline_at: None,
            in_time: None,
            asked: None,
            signers: Vec::new(),
            items: Vec::new(),
            notices: Vec::new(),
            policy: None,
            test: false,
            ledger: None,
            written_at,
        }
    }
}
