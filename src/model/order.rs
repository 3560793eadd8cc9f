//! [`Order`]: what an authority says in one notice, of whatever kind (INTERFACES "Notice, version 1").
//!
//! A [`Notice`] restricts; an order may also change, end or rest what an earlier one restricts.

use std::sync::Arc;

use jiff::Timestamp;

use super::authority::AuthorityId;
use super::name::DnsName;
use super::notice::{Notice, NoticeId, Scope, Sensitivity};

/// The authority's number for a target within its notice.
pub type ItemId = Arc<str>;

/// An order as its payload has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Its own id.
    pub id: NoticeId,
    /// The authority's running number.
    pub sequence: u64,
    /// Who ordered it.
    pub authority: AuthorityId,
    /// When the authority signed it.
    pub issued_at: Timestamp,
    /// From when it binds.
    pub effective_at: Timestamp,
    /// Who may see its names.
    pub sensitivity: Sensitivity,
    /// SHA-256 of the payload.
    pub digest: [u8; 32],
    /// What it orders.
    pub act: Act,
}

/// What an order orders.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// To restrict access.
    Restrict(Restriction),
    /// To replace everything that an earlier notice says.
    Amend {
        /// The earlier notice.
        amends: NoticeId,
        /// What holds instead. Its notice keeps the id of the earlier one.
        restriction: Restriction,
    },
    /// To end earlier notices.
    Revoke {
        /// Which.
        notices: Vec<NoticeId>,
        /// Only these items of the one; all of them, if there are none.
        items: Vec<ItemId>,
    },
    /// To let earlier notices rest, as an appeal may demand.
    Suspend(Vec<NoticeId>),
    /// To put notices that rest in force again.
    Resume(Vec<NoticeId>),
}

/// A notice and its targets as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Restriction {
    /// What is ordered.
    pub notice: Arc<Notice>,
    /// The targets, in their order.
    pub items: Vec<Item>,
}

/// A target as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The authority's number for it.
    pub id: ItemId,
    /// What to block, or the code of why it cannot be.
    pub target: Result<(DnsName, Scope), &'static str>,
}

impl Act {
    /// The word for it in notices.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Restrict(_) => "restrict",
            Self::Amend { .. } => "amend",
            Self::Revoke { .. } => "revoke",
            Self::Suspend(_) => "suspend",
            Self::Resume(_) => "resume",
        }
    }

    /// The earlier notices it is about.
    pub fn about(&self) -> &[NoticeId] {
        match self {
            Self::Restrict(_) => &[],
            Self::Amend { amends, .. } => std::slice::from_ref(amends),
            Self::Revoke { notices, .. } | Self::Suspend(notices) | Self::Resume(notices) => notices,
        }
    }

    /// What it restricts, if it does.
    pub const fn restriction(&self) -> Option<&Restriction> {
        match self {
            Self::Restrict(restriction) | Self::Amend { restriction, .. } => Some(restriction),
            Self::Revoke { .. } | Self::Suspend(_) | Self::Resume(_) => None,
        }
    }
}
