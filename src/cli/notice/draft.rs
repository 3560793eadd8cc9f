//! [`Draft`]: an unsigned notice while it is written, and the options that every kind of notice has.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use jiff::tz::{Offset, TimeZone};
use jiff::{Span, Timestamp};
use serde::Serialize;

use super::super::{keys, print};
use super::input::{Summary, has_errors, lines};
use super::names::Target;
use crate::error::ExitError;
use crate::ingest::format::notice;
use crate::report::parse_offset;

/// What every notice has.
#[derive(Debug, Args)]
pub(super) struct Head {
    /// The authority's number for the notice, e.g. MCMC-2026-000123
    #[arg(long)]
    id: String,
    /// Its running number: one more than the last
    #[arg(long, value_name = "NUMBER")]
    sequence: u64,
    /// The authority's id, as nodes have it in their configuration
    #[arg(long, value_name = "ID", env = "PAGAR_AUTHORITY")]
    authority: String,
    /// The provision that allows the order, e.g. "CMA 1998 s.263(2)"
    #[arg(long, value_name = "TEXT")]
    power: String,
    /// The offence it is to prevent, e.g. "s.233"
    #[arg(long, value_name = "TEXT")]
    offence: Option<String>,
    /// When it was issued (RFC 3339); default: now
    #[arg(long, value_name = "TIME")]
    issued: Option<Timestamp>,
    /// From when on it holds: a time (RFC 3339), or a span from its issue such as 6h or 2d; default: at once
    #[arg(long, value_name = "TIME", value_parser = parse_when)]
    effective: Option<When>,
    /// The offset that times are written with
    #[arg(long, value_name = "OFFSET", env = "PAGAR_OFFSET", default_value = "+00:00", value_parser = parse_offset, allow_hyphen_values = true)]
    offset: Offset,
    /// Write here, where no file is yet; default: standard output
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
}

/// A time as it was typed.
#[derive(Clone, Debug)]
pub(super) enum When {
    At(Timestamp),
    In(Span),
}

/// Reads a time, or how long after the issue it is.
pub(super) fn parse_when(text: &str) -> Result<When, String> {
    if let Ok(at) = text.parse() {
        return Ok(When::At(at));
    }
    let span: Option<Span> = text.parse().ok().filter(|span: &Span| span.is_positive());
    let wrong = "write a time like 2026-11-01T09:00:00+08:00, or a span such as 6h or 30d";
    span.map(When::In).ok_or_else(|| wrong.to_owned())
}

/// An unsigned notice, version 1, with its keys in the order of the manual.
#[derive(Debug, Default, Serialize)]
pub(super) struct Draft {
    version: u32,
    id: String,
    sequence: u64,
    authority: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) amends: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) revokes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) suspends: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) resumes: Vec<String>,
    legal_basis: Basis,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) category: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sensitivity: Option<String>,
    issued_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deadline_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) review_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) action: Option<String>,
    #[serde(skip_serializing_if = "Targets::is_empty")]
    pub(super) targets: Targets,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) contact: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) appeal: Option<Appeal>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) text: BTreeMap<&'static str, String>,
}

/// What a notice lists.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Targets {
    /// To restrict.
    Names(Vec<Target>),
    /// To revoke, by their items alone.
    Items(Vec<Item>),
}

/// An item that is revoked.
#[derive(Debug, Serialize)]
pub(super) struct Item {
    pub(super) item: String,
}

#[derive(Debug, Default, Serialize)]
struct Basis {
    power: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    offence: Option<String>,
}

/// Where to appeal.
#[derive(Debug, Serialize)]
pub(super) struct Appeal {
    pub(super) body: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) uri: Option<String>,
}

impl Default for Targets {
    fn default() -> Self {
        Self::Names(Vec::new())
    }
}

impl Targets {
    fn is_empty(&self) -> bool {
        match self {
            Self::Names(names) => names.is_empty(),
            Self::Items(items) => items.is_empty(),
        }
    }
}

impl Head {
    /// A notice of that kind that has nothing more yet, and the time it is issued at.
    pub(super) fn begin(&self, kind: &'static str, now: Timestamp) -> Result<(Draft, Clock), ExitError> {
        let clock = Clock { issued: self.issued.unwrap_or(now), offset: self.offset };
        let draft = Draft {
            version: 1,
            id: self.id.clone(),
            sequence: self.sequence,
            authority: self.authority.clone(),
            kind,
            legal_basis: Basis { power: self.power.clone(), offence: self.offence.clone() },
            issued_at: clock.written(clock.issued),
            effective_at: clock.time(self.effective.as_ref(), "--effective")?,
            ..Draft::default()
        };
        Ok((draft, clock))
    }
}

/// What times are reckoned from, and how they are written.
pub(super) struct Clock {
    issued: Timestamp,
    offset: Offset,
}

impl Clock {
    fn written(&self, at: Timestamp) -> String {
        at.to_zoned(TimeZone::fixed(self.offset)).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }

    /// A time that was typed, as it stands in a notice.
    pub(super) fn time(&self, when: Option<&When>, option: &str) -> Result<Option<String>, ExitError> {
        let at = match when {
            None => return Ok(None),
            Some(When::At(at)) => *at,
            Some(When::In(span)) => {
                let issued = self.issued.to_zoned(TimeZone::fixed(self.offset));
                let then = issued.checked_add(*span);
                then.map_err(|error| ExitError::Config(format!("{option}: {error}")))?.timestamp()
            }
        };
        Ok(Some(self.written(at)))
    }
}

/// Writes a notice if it is in order, and sums it up where it does not mix with it. Returns its octets.
pub(super) fn finish(draft: &Draft, out: Option<&Path>) -> Result<(), ExitError> {
    let text = checked(draft)?;
    match out {
        Some(path) => keys::write_new(path, &text, mode(draft)),
        None => print(&text),
    }
}

/// The text of a notice that is in order; what it is goes to standard error.
pub(super) fn checked(draft: &Draft) -> Result<String, ExitError> {
    let text = serde_json::to_string_pretty(draft).map_err(|error| ExitError::Runtime(error.to_string()))? + "\n";
    let parsed = notice::parse(text.as_bytes(), Path::new("notice"));
    if has_errors(&parsed.problems) || parsed.order.is_none() {
        return Err(ExitError::Data(format!("{}nothing is written", lines(&parsed.problems))));
    }
    let summary = Summary::of(text.as_bytes()).map(|summary| summary.text()).unwrap_or_default();
    eprint!("{}{summary}", lines(&parsed.problems));
    Ok(text)
}

/// Names of a secret notice are for its author's eyes.
pub(super) fn mode(draft: &Draft) -> u32 {
    if draft.sensitivity.as_deref() == Some("secret") { 0o600 } else { 0o644 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_typed_as_they_are_or_as_spans_from_the_issue() {
        let clock = Clock { issued: "2026-11-01T01:00:00Z".parse().unwrap(), offset: parse_offset("+08:00").unwrap() };
        let written = |text: &str| clock.time(Some(&parse_when(text).unwrap()), "--x").unwrap().unwrap();
        assert_eq!(written("2026-11-01T15:00:00+08:00"), "2026-11-01T15:00:00+08:00");
        assert_eq!(written("6h"), "2026-11-01T15:00:00+08:00");
        assert_eq!(written("30d"), "2026-12-01T09:00:00+08:00");
        assert_eq!(written("6 months"), "2027-05-01T09:00:00+08:00");
        for wrong in ["", "soon", "-6h", "0h", "6", "2026-11-01", "01/11/2026"] {
            assert!(parse_when(wrong).is_err(), "{wrong}");
        }
    }
}
