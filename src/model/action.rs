//! [`Action`]: what a listed name is answered with. A new action is a variant here; the compiler shows the rest.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a notice orders (INTERFACES: `action`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Action {
    /// A and AAAA get the block page's address, every other type NODATA.
    #[default]
    BlockPage,
    /// NOERROR without an answer, whatever the type.
    NoData,
    /// NXDOMAIN; only for subtree targets, since it denies everything below the name as well (RFC 8020).
    NxDomain,
    /// REFUSED.
    Refused,
}

impl Action {
    /// Every action, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::BlockPage, Self::NoData, Self::NxDomain, Self::Refused];

    /// The word used in notices, metrics and answers of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BlockPage => "block-page",
            Self::NoData => "nodata",
            Self::NxDomain => "nxdomain",
            Self::Refused => "refused",
        }
    }

    /// The action of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
