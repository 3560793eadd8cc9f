//! Receipts for people: what [`Receipt`](crate::model::Receipt)s say, as a table for spreadsheets ([`csv`]), as a letter to
//! the authority ([`letter`]), and over several notices ([`Status`]: the reply that is owed within some days).
//!
//! Pure: it reads no clock and no file, and writes text. Nothing here verifies a signature; a letter says how that is done
//! with the receipt it was made from. Names stand in no receipt; a letter has them only if its maker brings them along.
//!
//! | file | what |
//! |---|---|
//! | [`csv`] | a line an item, RFC 4180 |
//! | [`letter`] | one notice: a page of HTML to be printed |
//! | [`status`] | several notices: counted, and as such a page |
//! | `html` | what the pages share: style sheet, escapes, tables |
//! | [`words`] | states and reason codes in English and Malay |

pub mod csv;
mod html;
pub mod letter;
pub mod status;
#[cfg(test)]
mod testing;
pub mod words;

use jiff::Timestamp;
use jiff::fmt::temporal::Pieces;
use jiff::tz::{Offset, TimeZone};

pub use status::Status;
pub use words::Language;

/// How a page is headed, and in whose words and hours.
#[derive(Clone, Debug)]
pub struct Letterhead {
    /// Of headings and of what is said for codes.
    pub language: Language,
    /// Times are written with this offset.
    pub offset: Offset,
    /// Who writes: the operator's name.
    pub from: Option<String>,
    /// To whom; where it is not given, the authority's id.
    pub to: Option<String>,
}

impl Default for Letterhead {
    /// In both languages, times in UTC.
    fn default() -> Self {
        Self { language: Language::default(), offset: Offset::UTC, from: None, to: None }
    }
}

impl Letterhead {
    /// A time as people read it, with its offset.
    pub(crate) fn time(&self, at: Timestamp) -> String {
        shown(at, self.offset, "%Y-%m-%d %H:%M:%S %:z")
    }

    /// The same where the offset is said elsewhere.
    pub(crate) fn short_time(&self, at: Timestamp) -> String {
        shown(at, self.offset, "%Y-%m-%d %H:%M:%S")
    }

    /// The offset: `+08:00`.
    pub(crate) fn offset(&self) -> String {
        shown(Timestamp::UNIX_EPOCH, self.offset, "%:z")
    }
}

fn shown(at: Timestamp, offset: Offset, form: &str) -> String {
    at.to_zoned(TimeZone::fixed(offset)).strftime(form).to_string()
}

/// Reads an offset from UTC as RFC 3339 writes it: `+08:00`, `Z`.
pub fn parse_offset(text: &str) -> Result<Offset, String> {
    let time = format!("2000-01-01T00:00:00{text}");
    let pieces = Pieces::parse(&time).ok();
    let offset = pieces.filter(|pieces| pieces.time_zone_annotation().is_none());
    offset.and_then(|pieces| pieces.to_numeric_offset()).ok_or_else(|| "write an offset like +08:00, or Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_their_offset() {
        let head = Letterhead { offset: parse_offset("+08:00").unwrap(), ..Letterhead::default() };
        let at: Timestamp = "2026-11-01T01:00:05.25Z".parse().unwrap();
        assert_eq!(head.time(at), "2026-11-01 09:00:05 +08:00");
        assert_eq!((head.short_time(at), head.offset()), ("2026-11-01 09:00:05".into(), "+08:00".into()));
        assert_eq!(Letterhead::default().time(at), "2026-11-01 01:00:05 +00:00");
        assert_eq!(parse_offset("Z"), Ok(Offset::UTC));
        assert_eq!(parse_offset("-03:30").unwrap().seconds(), -12_600);
        for wrong in ["", "8", "+08:00[Asia/Kuala_Lumpur]", "+30:00", "MYT", " +08:00", "+08:00 x"] {
            assert!(parse_offset(wrong).is_err(), "{wrong}");
        }
    }
}
