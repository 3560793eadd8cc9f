//! The shape of a notice as written. Every key is optional here, so that all that are missing can be named together.
//! `null` is as good as absent; for `sensitivity` it is told apart, since who lost a word there may have lost `secret`.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use crate::ingest::format::json::{Object, Strings, Text};

/// What is asked of any version; the rest of the file is not looked at.
#[derive(Deserialize)]
pub(super) struct Head<'a> {
    pub(super) version: Option<u64>,
    #[serde(borrow)]
    pub(super) kind: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Draft<'a> {
    #[serde(rename = "version")]
    pub(super) _version: Option<IgnoredAny>,
    #[serde(rename = "kind")]
    pub(super) _kind: Option<IgnoredAny>,
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    pub(super) sequence: Option<u64>,
    pub(super) authority: Option<Text<'a>>,
    pub(super) legal_basis: Option<Object<DraftBasis<'a>>>,
    pub(super) amends: Option<Text<'a>>,
    pub(super) revokes: Option<Vec<Text<'a>>>,
    pub(super) suspends: Option<Vec<Text<'a>>>,
    pub(super) resumes: Option<Vec<Text<'a>>>,
    pub(super) category: Option<Text<'a>>,
    /// `Some(None)` is `null`.
    #[serde(default, deserialize_with = "even_null")]
    pub(super) sensitivity: Option<Option<Text<'a>>>,
    pub(super) issued_at: Option<Text<'a>>,
    pub(super) effective_at: Option<Text<'a>>,
    pub(super) deadline_at: Option<Text<'a>>,
    pub(super) expires_at: Option<Text<'a>>,
    pub(super) review_by: Option<Text<'a>>,
    pub(super) action: Option<Text<'a>>,
    pub(super) targets: Option<Vec<Object<DraftTarget<'a>>>>,
    pub(super) contact: Option<Vec<Text<'a>>>,
    pub(super) appeal: Option<Object<DraftAppeal<'a>>>,
    pub(super) text: Option<Strings>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DraftBasis<'a> {
    #[serde(borrow)]
    pub(super) power: Option<Text<'a>>,
    pub(super) offence: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DraftTarget<'a> {
    #[serde(borrow)]
    pub(super) item: Option<Text<'a>>,
    pub(super) name: Option<Text<'a>>,
    pub(super) scope: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DraftAppeal<'a> {
    #[serde(borrow)]
    pub(super) body: Option<Text<'a>>,
    pub(super) uri: Option<Text<'a>>,
}

fn even_null<'de: 'a, 'a, D: Deserializer<'de>>(value: D) -> Result<Option<Option<Text<'a>>>, D::Error> {
    Option::deserialize(value).map(Some)
}
