//! What the commands read: a notice as JSON, or in a JWS.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::control::explain::hex;
use crate::error::ExitError;
use crate::ingest::{Problem, Severity};
use crate::verify::jose::{Envelope, jws};

/// A notice as a file has it.
pub(super) enum Input {
    Bare(Vec<u8>),
    Signed(Envelope),
}

impl Input {
    pub(super) fn read(path: &Path) -> Result<Self, ExitError> {
        let octets = octets(path)?;
        if !jws::is_meant(&octets) {
            return Ok(Self::Bare(octets));
        }
        match Envelope::parse(&octets) {
            Ok(envelope) => Ok(Self::Signed(envelope)),
            Err(error) => Err(ExitError::Data(said(path, &error.to_string(), error.hint()))),
        }
    }

    pub(super) fn payload(&self) -> &[u8] {
        match self {
            Self::Bare(octets) => octets,
            Self::Signed(envelope) => envelope.payload(),
        }
    }
}

/// A file, and no more of it than is needed to see that it is too large.
pub(super) fn octets(path: &Path) -> Result<Vec<u8>, ExitError> {
    let mut octets = Vec::new();
    let read = File::open(path).and_then(|file| file.take(jws::MAX_SIZE as u64 + 1).read_to_end(&mut octets));
    read.map(|_| octets).map_err(|error: io::Error| ExitError::Data(format!("{}: {error}", path.display())))
}

pub(super) fn said(path: &Path, message: &str, hint: &str) -> String {
    format!("{}: error: {message} (hint: {hint})", path.display())
}

pub(super) fn has_errors(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.severity == Severity::Error)
}

pub(super) fn lines(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

/// What a payload says of itself, without its targets.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Summary {
    id: String,
    sequence: u64,
    authority: String,
    kind: String,
    category: Option<String>,
    sensitivity: Option<String>,
    action: Option<String>,
    issued_at: Option<String>,
    effective_at: Option<String>,
    expires_at: Option<String>,
    #[serde(default, deserialize_with = "count")]
    targets: usize,
    #[serde(default)]
    sha256: String,
}

impl Summary {
    /// Of a payload that [`notice::parse`] has read.
    pub(super) fn of(payload: &[u8]) -> Option<Self> {
        let payload_text = payload.strip_prefix(b"\xef\xbb\xbf").unwrap_or(payload);
        let summary: Self = serde_json::from_slice(payload_text).ok()?;
        Some(Self { sha256: hex(&Sha256::digest(payload)), ..summary })
    }

    pub(super) fn text(&self) -> String {
        let words = [Some(&self.kind), self.category.as_ref(), self.sensitivity.as_ref(), self.action.as_ref()];
        let words: Vec<_> = words.into_iter().flatten().map(String::as_str).collect();
        let dates = [("issued", &self.issued_at), ("effective", &self.effective_at), ("expires", &self.expires_at)];
        let dates: Vec<_> = dates.iter().filter_map(|(word, at)| Some(format!("{word} {}", at.as_ref()?))).collect();
        format!(
            "{}, number {} of {}: {}, {} targets\n{}\nsha256 {}\n",
            self.id,
            self.sequence,
            self.authority,
            words.join(", "),
            self.targets,
            dates.join(", "),
            self.sha256
        )
    }
}

fn count<'de, D: serde::Deserializer<'de>>(targets: D) -> Result<usize, D::Error> {
    Ok(Option::<Vec<serde::de::IgnoredAny>>::deserialize(targets)?.map_or(0, |targets| targets.len()))
}
