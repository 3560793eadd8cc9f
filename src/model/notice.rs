//! [`Notice`]: what an authority ordered.
//!
//! The names it ordered it for, its [`Targets`](super::Targets), are kept apart on purpose. A notice's words live as long
//! as it is known; its names are handed to the policy index once and stand nowhere else (DESIGN §3: the index is the only
//! copy of the names).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::action::Action;
use super::authority::AuthorityId;

/// The authority's number for a notice: `MCMC-2026-000123`. Unique per authority.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NoticeId(Arc<str>);

impl NoticeId {
    /// Takes the id as written; the parser has checked its form.
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// The id as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NoticeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What kind of matter the order is about: `child-exploitation`, `scam`. Chosen by the authority.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Category(Arc<str>);

impl Category {
    /// Takes the word as written; the parser has checked its form.
    pub fn new(word: &str) -> Self {
        Self(word.into())
    }

    /// The word as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How far a target reaches. Mandatory in every notice: tools that guessed it disagreed (REGULATION §2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// This name only.
    Exact,
    /// This name and everything below it.
    Subtree,
}

impl Scope {
    /// The word used in notices and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Subtree => "subtree",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who may see the names of a notice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Sensitivity {
    /// Anybody.
    #[default]
    Public,
    /// The operator and the authority.
    Restricted,
    /// Nobody without the secret role: the names appear in no log, metric or report.
    Secret,
}

impl Sensitivity {
    /// The word used in notices and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Restricted => "restricted",
            Self::Secret => "secret",
        }
    }
}

/// The law behind an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegalBasis {
    /// The provision that allows the order, e.g. `CMA 1998 s.263(2)`.
    pub power: String,
    /// The offence it is to prevent, e.g. `s.233`.
    pub offence: Option<String>,
}

/// From when until when an order binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validity {
    /// First instant in force.
    pub effective_at: Timestamp,
    /// First instant no longer in force; `None` is until revoked.
    pub expires_at: Option<Timestamp>,
}

impl Validity {
    /// Whether the order binds at `now`.
    pub fn contains(&self, now: Timestamp) -> bool {
        self.effective_at <= now && self.expires_at.is_none_or(|end| now < end)
    }

    /// The next instant after `now` at which [`Self::contains`] changes.
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        if now < self.effective_at { Some(self.effective_at) } else { self.expires_at.filter(|end| now < *end) }
    }
}

/// Where to appeal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appeal {
    /// The body that hears it.
    pub body: String,
    /// Its page.
    pub uri: Option<String>,
}

/// An order to restrict access, without its names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The authority's number for it.
    pub id: NoticeId,
    /// The authority's running number.
    pub sequence: u64,
    /// Who ordered it.
    pub authority: AuthorityId,
    /// On what law.
    pub legal_basis: LegalBasis,
    /// About what.
    pub category: Category,
    /// Who may see the names.
    pub sensitivity: Sensitivity,
    /// When the authority signed it.
    pub issued_at: Timestamp,
    /// When it binds.
    pub validity: Validity,
    /// By when it must be carried out.
    pub deadline_at: Option<Timestamp>,
    /// When the authority looks at it again; nothing is lifted by this date.
    pub review_by: Option<Timestamp>,
    /// What listed names are answered with.
    pub action: Action,
    /// `mailto:` and `tel:` of the authority.
    pub contact: Vec<String>,
    /// Where to appeal.
    pub appeal: Option<Appeal>,
    /// What the block page says, by language tag.
    pub text: BTreeMap<String, String>,
    /// SHA-256 of the payload as received: two notices are the same if this is.
    pub digest: [u8; 32],
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn validity_includes_its_start_and_excludes_its_end() {
        let validity = Validity { effective_at: at(10), expires_at: Some(at(20)) };
        assert_eq!([9, 10, 19, 20].map(|s| validity.contains(at(s))), [false, true, true, false]);
        assert_eq!(validity.next_change(at(9)), Some(at(10)));
        assert_eq!(validity.next_change(at(10)), Some(at(20)));
        assert_eq!(validity.next_change(at(20)), None);
    }
}
