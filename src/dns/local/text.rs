//! Zone text (RFC 1035 §5, RFC 3597 §5) into a [`Zone`], by NLnet Labs' `domain`. Pure: whoever has the file gives its octets.

use domain::base::iana::Class;
use domain::base::name::Name;
use domain::zonefile::inplace::{Entry, ScannedRecord, Zonefile};
use hickory_proto::rr::Record;
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use crate::model::DnsName;

use super::zone::{Builder, Refused, Zone};

/// Something wrong in zone text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Line, from 1; `None` if it is about something that is not there.
    pub line: Option<usize>,
    /// Column, from 1.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<&'static str>,
}

impl Mistake {
    fn of(line: Option<usize>, refused: Refused) -> Self {
        let hint = Some(refused.hint).filter(|hint| !hint.is_empty());
        Self { line, column: None, message: refused.message, hint }
    }
}

/// Reads the text of the zone `origin`. Everything that is wrong is reported, up to the first line that cannot be read.
pub fn parse(origin: &DnsName, text: &[u8]) -> Result<Zone, Vec<Mistake>> {
    let mut builder = Builder::new(origin.clone());
    let mut mistakes = Vec::new();
    let mut source = Zonefile::from(&[text, b"\n"].concat()[..]); // the last line counts without its end, too
    source.set_default_class(Class::IN);
    if let Ok(origin) = Name::from_octets(origin.as_wire().to_vec().into()) {
        source.set_origin(origin);
    }
    loop {
        let entry = match source.next_entry() {
            Ok(None) => break,
            Ok(Some(entry)) => entry,
            Err(error) => {
                mistakes.push(syntax(&error.to_string()));
                return Err(mistakes); // what follows would be guesswork: that it is incomplete as well
            }
        };
        if let Err(refused) = record(entry).and_then(|record| builder.add(record)) {
            mistakes.push(Mistake::of(Some(line_at(text, source.current_offset())), refused));
        }
    }
    match builder.finish() {
        Ok(zone) if mistakes.is_empty() => Ok(zone),
        Ok(_) => Err(mistakes),
        Err(missing) => {
            mistakes.extend(missing.into_iter().map(|refused| Mistake::of(None, refused)));
            Err(mistakes)
        }
    }
}

fn record(entry: Entry) -> Result<Record, Refused> {
    let refused = |message: &str, hint| Err(Refused { message: message.to_owned(), hint });
    match entry {
        Entry::Include { .. } => refused("$INCLUDE is not supported", "write the lines of that file here"),
        Entry::Record(record) if record.class() != Class::IN => refused("the class is not IN", "write IN, or nothing"),
        Entry::Record(record) => {
            hickory(&record).ok_or(()).or_else(|()| refused("the data do not fit the type", "check it against its RFC"))
        }
    }
}

fn hickory(record: &ScannedRecord) -> Option<Record> {
    let mut wire = Vec::new();
    record.compose(&mut wire).ok()?;
    Record::read(&mut BinDecoder::new(&wire)).ok()
}

/// The line of the record that ends before `offset`.
fn line_at(text: &[u8], offset: usize) -> usize {
    let read = &text[..offset.min(text.len())];
    let record = read.trim_ascii_end();
    record.iter().filter(|octet| **octet == b'\n').count() + 1
}

/// The crate gives the place in words only: `line:column: what`.
fn syntax(text: &str) -> Mistake {
    let mut parts = text.splitn(3, ':');
    let [line, column] = [(); 2].map(|()| parts.next().and_then(|number| number.parse().ok()));
    // what is wrong at the end of a line is noticed on the next one
    let (line, column) = match (line, column) {
        (Some(line), Some(1)) if line > 1 => (Some(line - 1), None),
        place => place,
    };
    let message = parts.next().unwrap_or(text).trim().to_owned();
    Mistake { line, column, message: format!("not zone text: {message}"), hint: Some("see RFC 1035 §5.1") }
}
