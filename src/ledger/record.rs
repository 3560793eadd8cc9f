//! [`Record`]: an event with its number and time, and the octets that are stored and hashed for it.
//!
//! It is a JSON object: `v` (1), `sequence`, `at`, and the members of the [`Event`] with its word as `event`, in this
//! order. Only the octets count: what was written is kept as it was written, and the chain is verified without a look
//! into it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::Event;

/// The version that is written.
const VERSION: u64 = 1;

/// An event that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its number, from 1 without gaps.
    pub sequence: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// Why octets are no record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// No JSON, a member is missing, or one has no sense.
    #[error("not a record: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A later release has written it, in a form that this one does not know.
    #[error("a record of version {0}; this program reads version {VERSION}")]
    Version(u64),
    /// A later release has written it. It may be passed over.
    #[error("an event of a later release: {0}")]
    Unknown(String),
}

#[derive(Serialize)]
struct Written<'a> {
    v: u64,
    sequence: u64,
    at: Timestamp,
    #[serde(flatten)]
    event: &'a Event,
}

/// What every version and every event has.
#[derive(Deserialize)]
struct Envelope {
    v: u64,
    sequence: u64,
    at: Timestamp,
    event: String,
}

impl Record {
    /// The octets that stand for it.
    pub fn encode(&self) -> Result<Vec<u8>, RecordError> {
        let Self { sequence, at, event } = self;
        Ok(serde_json::to_vec(&Written { v: VERSION, sequence: *sequence, at: *at, event })?)
    }

    /// Reads them.
    pub fn decode(octets: &[u8]) -> Result<Self, RecordError> {
        let Envelope { v, sequence, at, event } = serde_json::from_slice(octets)?;
        if v != VERSION {
            return Err(RecordError::Version(v));
        }
        if !Event::WORDS.contains(&event.as_str()) {
            return Err(RecordError::Unknown(event));
        }
        Ok(Self { sequence, at, event: serde_json::from_slice(octets)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::tests::{an_event_of_each_kind, at};

    #[test]
    fn every_event_comes_back_from_its_octets() {
        let mut words = Vec::new();
        for (n, event) in an_event_of_each_kind().into_iter().enumerate() {
            let record = Record { sequence: n as u64 + 1, at: at(n as i64), event };
            let octets = record.encode().unwrap();
            assert_eq!(Record::decode(&octets).unwrap(), record);
            let value: serde_json::Value = serde_json::from_slice(&octets).unwrap();
            words.push(value["event"].as_str().unwrap().to_owned());
        }
        assert_eq!(words, Event::WORDS, "an event, its example and its word, in the same order");
    }

    #[test]
    fn a_record_is_written_as_it_always_was() {
        let event = Event::ClockHeld { wall: at(1), last: at(7) };
        let written = Record { sequence: 3, at: at(2), event }.encode().unwrap();
        let text = r#"{"v":1,"sequence":3,"at":"2026-01-01T00:00:02Z","event":"clock-held","wall":"2026-01-01T00:00:01Z","last":"2026-01-01T00:00:07Z"}"#;
        assert_eq!(String::from_utf8(written).unwrap(), text);
    }

    #[test]
    fn what_a_later_release_writes_is_told_from_what_is_damaged() {
        let read = |text: &str| Record::decode(text.as_bytes());
        let rest = r#""sequence":1,"at":"2026-01-01T00:00:00Z""#;
        let event = read(&format!(r#"{{"v":1,{rest},"event":"stopped","more":[1]}}"#)).unwrap().event;
        assert_eq!(event, Event::Stopped {});
        assert!(matches!(read(&format!(r#"{{"v":2,{rest},"event":"stopped"}}"#)), Err(RecordError::Version(2))));
        let unknown = read(&format!(r#"{{"v":1,{rest},"event":"teleported","to":"x"}}"#));
        assert!(matches!(unknown, Err(RecordError::Unknown(word)) if word == "teleported"));
        for text in ["", "{}", "[]", &format!(r#"{{"v":1,{rest},"event":"published"}}"#)] {
            assert!(matches!(read(text), Err(RecordError::Malformed(_))), "{text}");
        }
    }
}
