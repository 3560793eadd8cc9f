//! [`verify`]: whether every record, and every payload that one refers to, is as it was written.
//!
//! It goes by octets: of a record it reads only the number and the payload it refers to, so that those of later releases
//! are verified as well.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::seal::Key;
use super::{Digest, Fault, Head, Inspect, LedgerError, Stored};

/// Payloads whose entries are read at a time: 4 MiB at the most.
const PART: usize = 64;

/// A ledger that is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The last record's place: its sequence is how many there are.
    #[serde(flatten)]
    pub head: Head,
    /// Payloads that were found as their digest says.
    pub payloads: u64,
    /// Payloads that are there but sealed, so that they could not be checked without the key.
    pub sealed: u64,
    /// The record after which the head was the one that was asked for, 0 for none before the first.
    pub found: Option<u64>,
}

/// The first place at which a ledger is not as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize)]
#[error("record {sequence} {what}")]
pub struct Break {
    /// The number of the record.
    pub sequence: u64,
    /// What is wrong with it.
    pub what: Flaw,
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flaw {
    /// It, or a hash, has been changed.
    Hash,
    /// It is not there, but later ones are.
    Gap,
    /// It has no hash, or is no JSON object that says its number.
    Undecodable,
    /// It says another number.
    Misnumbered,
    /// The payload it refers to is not there.
    PayloadMissing(Digest),
    /// The payload it refers to is another one, or damaged; if it is sealed, the key may be the wrong one.
    PayloadDiffers(Digest),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hash => f.write_str("is not what its hash was made of: it, its hash or the one before was changed"),
            Self::Gap => f.write_str("is missing, and there are later ones"),
            Self::Undecodable => f.write_str("cannot be read"),
            Self::Misnumbered => f.write_str("says that it is another one"),
            Self::PayloadMissing(digest) => write!(f, "refers to the payload {digest}, which is missing"),
            Self::PayloadDiffers(digest) => {
                write!(f, "refers to the payload {digest}, which is damaged, or sealed with another key")
            }
        }
    }
}

/// Why a ledger is not whole.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It was changed.
    #[error(transparent)]
    Break(#[from] Break),
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] LedgerError),
}

/// Of a record, what verification looks at.
#[derive(Deserialize)]
struct Seen {
    sequence: u64,
    payload: Option<Value>, // whatever a later release may have made of it
    kept: Option<Value>,
}

/// Walks through the ledger of this state directory from the first record to the one that is the last now, and looks for
/// the `wanted` head on the way. Without `key`, payloads of secret notices are only seen to be there. A server may append
/// to it meanwhile.
pub fn verify(directory: &Path, key: Option<Key>, wanted: Option<&Digest>) -> Result<Report, VerifyError> {
    let mut ledger = Inspect::open(directory, key)?;
    let last = ledger.last()?;
    let head = Head::origin();
    let found = wanted.filter(|wanted| **wanted == head.hash).map(|_| 0);
    let mut walk = Walk { report: Report { head, payloads: 0, sealed: 0, found }, wanted, seen: HashSet::new() };
    while walk.report.head.sequence < last {
        let next = walk.report.head.sequence + 1;
        let batch = ledger.batch(next, last)?;
        if batch.is_empty() {
            return Err(Break { sequence: next, what: Flaw::Gap }.into());
        }
        // a record's break comes after those of the payloads of earlier records
        let (mut referred, mut broken) = (Vec::new(), Ok(()));
        for (sequence, value) in batch {
            match walk.step(sequence, &value) {
                Ok(digest) => referred.extend(digest.map(|digest| (sequence, digest))),
                Err(found) => {
                    broken = Err(found);
                    break;
                }
            }
        }
        for part in referred.chunks(PART) {
            let digests: Vec<_> = part.iter().map(|(_, digest)| *digest).collect();
            for ((sequence, digest), entry) in part.iter().zip(ledger.payloads(&digests)?) {
                walk.payload(*sequence, *digest, ledger.read(digest, entry)?)?;
            }
        }
        broken?;
    }
    Ok(walk.report)
}

struct Walk<'a> {
    report: Report,
    wanted: Option<&'a Digest>,
    /// Payloads that earlier records refer to.
    seen: HashSet<Digest>,
}

impl Walk<'_> {
    /// Takes the next record; returns the payload to be looked at.
    fn step(&mut self, sequence: u64, value: &[u8]) -> Result<Option<Digest>, Break> {
        let before = self.report.head;
        let broken = |what| Break { sequence: before.sequence + 1, what };
        if sequence != before.sequence + 1 {
            return Err(broken(Flaw::Gap));
        }
        let stored = Stored::parse(sequence, value).ok_or_else(|| broken(Flaw::Undecodable))?;
        if before.next(&stored.octets) != stored.head {
            return Err(broken(Flaw::Hash));
        }
        let Ok(Seen { sequence: said, payload, kept }) = serde_json::from_slice(&stored.octets) else {
            return Err(broken(Flaw::Undecodable));
        };
        if said != sequence {
            return Err(broken(Flaw::Misnumbered));
        }
        self.report.head = stored.head;
        if self.wanted.is_some_and(|wanted| *wanted == stored.head.hash) {
            self.report.found = Some(sequence);
        }
        let digest = payload.filter(|_| kept != Some(Value::Bool(false)));
        let digest = digest.as_ref().and_then(Value::as_str).and_then(Digest::from_text);
        Ok(digest.filter(|digest| self.seen.insert(*digest)))
    }

    /// Takes what was found of the payload that this record refers to.
    fn payload(&mut self, sequence: u64, digest: Digest, found: Result<Vec<u8>, Fault>) -> Result<(), Break> {
        let what = match found {
            Ok(_) => {
                self.report.payloads += 1;
                return Ok(());
            }
            Err(Fault::NeedsKey) => {
                self.report.sealed += 1;
                return Ok(());
            }
            Err(Fault::Missing) => Flaw::PayloadMissing(digest),
            Err(Fault::Differs | Fault::WrongKey) => Flaw::PayloadDiffers(digest),
        };
        Err(Break { sequence, what })
    }
}
