//! The JSON notice, version 1 (INTERFACES "Notice, version 1"): bytes to an [`Order`].
//!
//! Three steps. `head` reads `version` and `kind` alone, so that a file from the future is told apart from a broken one.
//! `Draft` takes the shape strictly: unknown and repeated keys are errors, and so are keys that its kind has no use for.
//! `Reader` then judges the values and reports everything it finds at once. Only a notice that is wrong as a whole is
//! refused as a whole; a target that cannot be carried out is refused as an item, and the rest proceeds.
//!
//! No message names a target of a notice whose sensitivity is secret, or not known because the file does not get that far.

mod draft;
mod earlier;
mod targets;
mod time;

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use self::draft::{Draft, DraftAppeal, DraftBasis, Head};
use super::json::{self, Object, Text};
use super::{BYTE_ORDER_MARK, place};
use crate::ingest::{Document, Problem, Severity};
use crate::model::notice::Appeal;
use crate::model::{
    Act, Action, AuthorityId, Category, LegalBasis, Notice, NoticeId, Order, Restriction, Sensitivity, Validity,
};

/// Largest notice in octets. What is longer is a list and belongs into a list source.
pub const MAX_SIZE: usize = 16 << 20;

const EXAMPLE_TIME: &str = "write it like 2026-11-01T09:00:00+08:00";

/// What a notice orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Restrict,
    Amend,
    Revoke,
    Suspend,
    Resume,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Restrict, Self::Amend, Self::Revoke, Self::Suspend, Self::Resume];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Restrict => "restrict",
            Self::Amend => "amend",
            Self::Revoke => "revoke",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
        }
    }

    /// Whether it lists names to block.
    const fn restricts(self) -> bool {
        matches!(self, Self::Restrict | Self::Amend)
    }
}

/// What a file gave.
#[derive(Debug)]
pub struct Parsed {
    /// What is ordered; `None` if it was refused as a whole.
    pub order: Option<Order>,
    /// If it is a notice of kind `restrict`: the same with the items that can be carried out.
    pub document: Option<Document>,
    /// What was refused or looks wrong. If there is no order, at least one of them is an error.
    pub problems: Vec<Problem>,
}

/// Reads one notice. Its digest is SHA-256 of `bytes`, every octet of them, so that `sha256sum` says the same; a byte order
/// mark is skipped in reading, yet it counts in the digest.
pub fn parse(bytes: &[u8], file: &Path) -> Parsed {
    let mut reader = Reader { source: "", file, names_may_be_shown: false, problems: Vec::new(), places: None };
    let (order, document) = reader.read(bytes).unzip();
    Parsed { order, document: document.flatten(), problems: reader.problems }
}

/// Says that a file has more than [`MAX_SIZE`] octets, for those who need not read it to know.
pub fn too_large(file: &Path) -> Problem {
    Problem {
        severity: Severity::Error,
        file: file.to_owned(),
        line: None,
        column: None,
        message: format!("the notice is larger than {} MiB", MAX_SIZE >> 20),
        hint: Some("give long lists as a list source under a standing notice".to_owned()),
        code: "size",
    }
}

//------ values ------------------------------------------------------------------------------------------------------------

struct Reader<'a> {
    source: &'a str,
    file: &'a Path,
    names_may_be_shown: bool,
    problems: Vec<Problem>,
    places: Option<place::Index<'a>>, // made for the first problem; most notices have none
}

impl<'a> Reader<'a> {
    fn read(&mut self, bytes: &'a [u8]) -> Option<(Order, Option<Document>)> {
        self.source = self.text(bytes)?;
        let kind = self.head()?;
        let Object(draft) = self.shape::<Draft<'a>>()?;
        let fits = self.keys_fit(kind, &draft);
        self.keys_mean_something(kind, &draft);
        let digest = Sha256::digest(bytes).into();
        if !kind.restricts() {
            return self.about_earlier(kind, draft, digest).filter(|_| fits).map(|order| (order, None));
        }
        let amends = if kind == Kind::Amend { Some(self.earlier(draft.amends.as_ref(), "amends")) } else { None };
        let sensitivity = self.sensitivity(draft.sensitivity.as_ref());
        // From here on sensitivity is known; if its word is wrong, it counts as secret.
        self.names_may_be_shown = sensitivity.is_some_and(|level| level != Sensitivity::Secret);
        let action = self.action(draft.action.as_ref());
        let targets = self.targets(draft.targets.as_deref(), action);
        let notice = self.notice(draft, sensitivity, action, digest);
        let (amends, mut notice, (targets, items)) = (amends.map_or(Some(None), |id| id.map(Some))?, notice?, targets?);
        fits.then_some(())?;
        let mut order = Order {
            id: notice.id.clone(),
            sequence: notice.sequence,
            authority: notice.authority.clone(),
            issued_at: notice.issued_at,
            effective_at: notice.validity.effective_at,
            sensitivity: notice.sensitivity,
            digest,
            act: Act::Suspend(Vec::new()), // until it is known what
        };
        let Some(amends) = amends else {
            let restriction = Restriction { notice: Arc::new(notice.clone()), items };
            order.act = Act::Restrict(restriction);
            return Some((order, Some(Document { notice, targets })));
        };
        notice.id = amends.clone();
        order.act = Act::Amend { amends, restriction: Restriction { notice: Arc::new(notice), items } };
        Some((order, None))
    }

    fn text(&mut self, bytes: &'a [u8]) -> Option<&'a str> {
        if bytes.len() > MAX_SIZE {
            self.problems.push(too_large(self.file));
            return None;
        }
        let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        match std::str::from_utf8(bytes) {
            Ok(text) if text.trim_ascii().is_empty() => {
                self.push(None, "syntax", "the file is empty", None);
                None
            }
            Ok(text) => Some(text),
            Err(error) => {
                let place = place::of(bytes, error.valid_up_to());
                let hint = "save the file as UTF-8".to_owned();
                self.push(Some(place), "encoding", "the text is not UTF-8", Some(hint));
                None
            }
        }
    }

    /// Checks `version` and `kind` before anything else is asked of the file.
    fn head(&mut self) -> Option<Kind> {
        let Object(head) = self.shape::<Head<'a>>()?;
        match head.version {
            Some(1) => {}
            Some(other) => {
                let place = self.key_place("version");
                let message =
                    format!("version {other} of the notice format is not known; this program reads version 1");
                self.push(place, "version", message, None);
                return None;
            }
            None => {
                let hint = "write \"version\": 1".to_owned();
                self.push(Some((1, 1)), "version", "the notice has no version", Some(hint));
                return None;
            }
        }
        let Some(kind) = head.kind else { return self.missing("kind") };
        let word = &*kind.0;
        if let Some(known) = Kind::ALL.into_iter().find(|known| known.as_str() == word) {
            return Some(known);
        }
        let hint = json::nearest(word, Kind::ALL.map(Kind::as_str)).map(|meant| format!("did you mean \"{meant}\"?"));
        self.refuse(&kind, "kind", "kind", "this kind of notice is not known", hint)
    }

    fn shape<T: Deserialize<'a>>(&mut self) -> Option<Object<T>> {
        let error = match serde_json::from_str(self.source) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let complaint = json::complaint(&error);
        let line = self.source.split('\n').nth(error.line().saturating_sub(1)).unwrap_or_default().as_bytes();
        // serde_json counts octets read on the line; the last of them is what it stumbled over.
        let before = &line[..error.column().saturating_sub(1).min(line.len())];
        let place = (error.line().max(1), place::column(before));
        self.push(Some(place), complaint.code, complaint.message, complaint.hint);
        None
    }

    fn notice(
        &mut self,
        draft: Draft<'a>,
        sensitivity: Option<Sensitivity>,
        action: Option<Action>,
        digest: [u8; 32],
    ) -> Option<Notice> {
        // All are asked before the first `?`, for the sake of one complete report.
        let id = self.printable(draft.id.as_ref(), "id", 128);
        let sequence = draft.sequence.or_else(|| self.missing("sequence"));
        let authority = self.word(draft.authority.as_ref(), "authority");
        let legal_basis = self.legal_basis(draft.legal_basis);
        let category = self.word(draft.category.as_ref(), "category");
        let issued_at = match &draft.issued_at {
            Some(text) => self.time(text, "issued_at"),
            None => self.missing("issued_at"),
        };
        let validity = self.validity(issued_at, draft.effective_at.as_ref(), draft.expires_at.as_ref());
        let deadline_at = self.optional_time(draft.deadline_at.as_ref(), "deadline_at");
        let review_by = self.optional_time(draft.review_by.as_ref(), "review_by");
        let appeal = self.appeal(draft.appeal);
        Some(Notice {
            id: NoticeId::new(&id?),
            sequence: sequence?,
            authority: AuthorityId::new(&authority?),
            legal_basis: legal_basis?,
            category: Category::new(&category?),
            sensitivity: sensitivity?,
            issued_at: issued_at?,
            validity: validity?,
            deadline_at: deadline_at?,
            review_by: review_by?,
            action: action?,
            contact: draft.contact.unwrap_or_default().into_iter().map(|Text(text)| text.into_owned()).collect(),
            appeal: appeal?,
            text: draft.text.unwrap_or_default().0,
            digest,
        })
    }

    /// `null` is not taken for the default: whoever writes it may have lost `secret` on the way.
    fn sensitivity(&mut self, written: Option<&Option<Text<'a>>>) -> Option<Sensitivity> {
        let Some(written) = written else { return Some(Sensitivity::default()) };
        let Some(text) = written else {
            let place = self.key_place("sensitivity");
            let hint = "write public, restricted or secret, or leave it out, which means public".to_owned();
            self.push(place, "sensitivity", "sensitivity is null, which does not say who may see the names", Some(hint));
            return None;
        };
        let all = [Sensitivity::Public, Sensitivity::Restricted, Sensitivity::Secret];
        self.one_of(text, "sensitivity", all, Sensitivity::as_str)
    }

    fn action(&mut self, text: Option<&Text<'a>>) -> Option<Action> {
        let Some(text) = text else { return self.missing("action") };
        self.one_of(text, "action", Action::ALL, Action::as_str)
    }

    fn legal_basis(&mut self, draft: Option<Object<DraftBasis<'a>>>) -> Option<LegalBasis> {
        let Some(Object(draft)) = draft else { return self.missing("legal_basis") };
        match draft.power {
            None => self.missing("legal_basis.power"),
            Some(power) if power.0.trim().is_empty() => self.refuse(&power, "power", "power", "power is empty", None),
            Some(power) => Some(LegalBasis {
                power: power.0.into_owned(),
                offence: draft.offence.map(|Text(offence)| offence.into_owned()),
            }),
        }
    }

    /// `Some(None)` where the notice says nothing of appeals.
    fn appeal(&mut self, draft: Option<Object<DraftAppeal<'a>>>) -> Option<Option<Appeal>> {
        let Some(Object(draft)) = draft else { return Some(None) };
        let Some(Text(body)) = draft.body else { return self.missing("appeal.body") };
        Some(Some(Appeal { body: body.into_owned(), uri: draft.uri.map(|Text(uri)| uri.into_owned()) }))
    }

    fn validity(
        &mut self,
        issued_at: Option<Timestamp>,
        effective_at: Option<&Text<'a>>,
        expires_at: Option<&Text<'a>>,
    ) -> Option<Validity> {
        let effective_at = match effective_at {
            Some(text) => self.time(text, "effective_at"),
            None => issued_at, // if that is missing, it was said already
        };
        let end = self.optional_time(expires_at, "expires_at");
        let validity = Validity { effective_at: effective_at?, expires_at: end? };
        match expires_at {
            Some(text) if validity.expires_at <= Some(validity.effective_at) => {
                self.refuse(text, "expires_at", "dates", "expires_at is not after effective_at", None)
            }
            _ => Some(validity),
        }
    }

    fn optional_time(&mut self, text: Option<&Text<'a>>, key: &'static str) -> Option<Option<Timestamp>> {
        match text {
            Some(text) => self.time(text, key).map(Some),
            None => Some(None),
        }
    }

    fn time(&mut self, text: &Text<'a>, key: &'static str) -> Option<Timestamp> {
        let message = match time::rfc3339(&text.0) {
            Ok(time) => return Some(time),
            Err(reason) => format!("{key} {reason}"),
        };
        self.refuse(text, key, "time", message, Some(EXAMPLE_TIME.to_owned()))
    }

    /// The value of `all` whose word this is.
    fn one_of<T: Copy, const N: usize>(
        &mut self,
        text: &Text<'a>,
        key: &'static str,
        all: [T; N],
        word: impl Fn(T) -> &'static str,
    ) -> Option<T> {
        if let Some(value) = all.into_iter().find(|value| word(*value) == text.0) {
            return Some(value);
        }
        let words = all.map(&word);
        let hint = json::nearest(&text.0, words).map(|meant| format!("did you mean \"{meant}\"?"));
        self.refuse(text, key, key, format!("{key} must be one of {}", words.join(", ")), hint)
    }

    /// An id: what people can read out, up to `longest` characters.
    fn printable(&mut self, text: Option<&Text<'a>>, key: &'static str, longest: usize) -> Option<String> {
        let Some(text) = text else { return self.missing(key) };
        let id = &*text.0;
        let printable = id.bytes().all(|octet| matches!(octet, b' '..=b'~')) && id.trim_ascii() == id;
        if printable && (1..=longest).contains(&id.len()) {
            return Some(id.to_owned());
        }
        let message =
            format!("{key} must be 1 to {longest} printable ASCII characters without white space around them");
        self.refuse(text, key, key, message, None)
    }

    /// A short word that becomes a label in metrics.
    fn word(&mut self, text: Option<&Text<'a>>, key: &'static str) -> Option<String> {
        let Some(text) = text else { return self.missing(key) };
        let in_words = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
        if (1..=64).contains(&text.0.len()) && text.0.bytes().all(in_words) {
            return Some(text.0.to_string());
        }
        let message = format!("{key} must be 1 to 64 letters, digits, \"-\", \"_\" or \".\"");
        self.refuse(text, key, key, message, None)
    }

    //------ problems ---

    fn missing<T>(&mut self, key: &'static str) -> Option<T> {
        self.push(Some((1, 1)), "missing-key", format!("the notice has no \"{key}\""), None);
        None
    }

    fn refuse<T>(
        &mut self,
        text: &Text<'a>,
        key: &'static str,
        code: &'static str,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Option<T> {
        let place = self.place(text).or_else(|| self.key_place(key));
        self.push(place, code, message, hint);
        None
    }

    fn place(&mut self, text: &Text<'a>) -> Option<(usize, usize)> {
        let (source, offset) = (self.source.as_bytes(), text.offset(self.source)?);
        Some(self.places.get_or_insert_with(|| place::Index::new(source)).of(offset))
    }

    /// Where a key stands first: the next best place for a value that was written with escapes. Not looked for far, so
    /// that a long file of nothing but such values does not take quadratic time.
    fn key_place(&self, key: &str) -> Option<(usize, usize)> {
        let quoted = format!("\"{key}\"");
        let head = &self.source.as_bytes()[..self.source.len().min(4096)];
        let offset = head.windows(quoted.len()).position(|window| window == quoted.as_bytes())?;
        Some(place::of(self.source.as_bytes(), offset))
    }

    fn push(
        &mut self,
        place: Option<(usize, usize)>,
        code: &'static str,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        self.say(Severity::Error, place, code, message, hint);
    }

    fn say(
        &mut self,
        severity: Severity,
        place: Option<(usize, usize)>,
        code: &'static str,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        self.problems.push(Problem {
            severity,
            file: self.file.to_owned(),
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
            message: message.into(),
            hint,
            code,
        });
    }
}

#[cfg(test)]
mod tests;
