//! Who may order a restriction: [`Authority`], its id and its kind.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::notice::Category;

/// The short name of an authority in config, notices and metrics: `mcmc`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AuthorityId(Arc<str>);

impl AuthorityId {
    /// Takes the id as written; config has checked its form.
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// The id as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AuthorityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// By what right the authority orders; decides the EDE code, the precedence and the report a hit belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AuthorityKind {
    /// Imposed on the operator by law: EDE 16 (Censored), wins over every operator list.
    #[default]
    Statutory,
    /// The operator's own policy: EDE 15 (Blocked).
    Operator,
}

/// One `[[authority]]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Short name.
    pub id: AuthorityId,
    /// Statutory or the operator's own.
    pub kind: AuthorityKind,
    /// Name for people.
    pub name: String,
    /// JWK files of its signers; read when signatures are checked.
    pub keys: Vec<PathBuf>,
    /// Distinct signatures a notice needs.
    pub required_signatures: u32,
    /// What it may order; `None` is everything.
    pub categories: Option<Vec<Category>>,
    /// It only rehearses: its notices are judged, recorded and answered as all others, and block nothing.
    pub test: bool,
}

impl Authority {
    /// Whether the authority may issue notices of this category.
    pub fn may_order(&self, category: &Category) -> bool {
        self.categories.as_ref().is_none_or(|allowed| allowed.contains(category))
    }
}
