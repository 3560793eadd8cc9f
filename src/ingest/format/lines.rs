//! What line-based lists have in common: lines and comments, one name after the other, and the quarantine of bad lines.
//!
//! A bad line never stops the rest (Unbound #754), and a file of bad lines is not taken for a list (an error page saved in
//! the list's place): [`Listed::verdict`] draws that line.

use std::path::Path;

use super::{BYTE_ORDER_MARK, place, target};
use crate::ingest::{Problem, Severity};
use crate::model::{Scope, Sensitivity, Targets};

/// Bad lines reported one by one; the others are only counted.
const REPORTED: usize = 20;

/// What a list file gave.
#[derive(Debug, Default)]
pub struct Listed {
    /// The names, in the order of the file; duplicates are kept, the index folds them.
    pub targets: Targets,
    /// Lines that gave at least one name.
    pub good: usize,
    /// Lines with something that was refused.
    pub bad: usize,
    /// The first bad lines by place, and one that counts the rest. All are warnings: the list as a whole is in force.
    pub problems: Vec<Problem>,
}

/// Whether a file is a list at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// More good lines than bad ones, or as many.
    List,
    /// No name and nothing refused: empty, or comments only.
    Empty,
    /// Nothing but bad lines, or more of them than good ones: another format, or an error page.
    Broken,
}

impl Listed {
    /// Whether the file is to be taken.
    pub fn verdict(&self) -> Verdict {
        match (self.good, self.bad) {
            (0, 0) => Verdict::Empty,
            (good, bad) if good == 0 || bad > good => Verdict::Broken,
            _ => Verdict::List,
        }
    }
}

/// Goes through the lines of a file and collects what `read_line` makes of each.
pub(super) fn scan(
    bytes: &[u8],
    file: &Path,
    scope: Scope,
    sensitivity: Sensitivity,
    mut read_line: impl FnMut(&mut Line<'_, '_>),
) -> Listed {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let mut sink =
        Sink { listed: Listed::default(), file, scope, names_may_be_shown: sensitivity != Sensitivity::Secret };
    for (index, octets) in bytes.split(|&octet| octet == b'\n').enumerate() {
        let content = octets.iter().position(|&octet| octet == b'#').map_or(octets, |comment| &octets[..comment]);
        if content.trim_ascii().is_empty() {
            continue;
        }
        let mut line = Line { number: index + 1, content, good: false, bad: false, sink: &mut sink };
        read_line(&mut line);
        let (good, bad) = (line.good, line.bad);
        sink.listed.good += usize::from(good);
        sink.listed.bad += usize::from(bad);
    }
    sink.finish()
}

/// A line without its comment that is not blank.
pub(super) struct Line<'s, 'f> {
    number: usize,
    content: &'s [u8],
    good: bool,
    bad: bool,
    sink: &'s mut Sink<'f>,
}

impl<'s> Line<'s, '_> {
    /// Its words.
    pub(super) fn words(&self) -> impl Iterator<Item = &'s [u8]> + use<'s> {
        self.content.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
    }

    /// Lists the name, or refuses it with the reason.
    pub(super) fn name(&mut self, word: &[u8]) {
        let Ok(text) = std::str::from_utf8(word) else {
            return self.refuse(word, "encoding", "the text is not UTF-8".to_owned(), None);
        };
        match target::read(text) {
            Ok(name) => {
                self.sink.listed.targets.push(&name, self.sink.scope);
                self.good = true;
            }
            Err(refused) => {
                let message = refused.message(self.sink.names_may_be_shown.then_some(text));
                self.refuse(word, refused.code, message, refused.hint(self.sink.names_may_be_shown));
            }
        }
    }

    /// Puts the line into quarantine; `word` is a slice of it and says where.
    pub(super) fn refuse(&mut self, word: &[u8], code: &'static str, message: String, hint: Option<String>) {
        self.bad = true;
        let offset = (word.as_ptr() as usize).saturating_sub(self.content.as_ptr() as usize);
        let column = place::column(&self.content[..offset.min(self.content.len())]);
        self.sink.report(self.number, column, code, message, hint);
    }
}

struct Sink<'f> {
    listed: Listed,
    file: &'f Path,
    scope: Scope,
    names_may_be_shown: bool,
}

impl Sink<'_> {
    fn report(&mut self, line: usize, column: usize, code: &'static str, message: String, hint: Option<String>) {
        let problems = &mut self.listed.problems;
        let lines_reported = problems.len();
        if lines_reported < REPORTED {
            let (file, severity) = (self.file.to_owned(), Severity::Warning);
            problems.push(Problem { severity, file, line: Some(line), column: Some(column), message, hint, code });
        }
    }

    fn finish(mut self) -> Listed {
        let reported_lines = {
            let mut lines: Vec<_> = self.listed.problems.iter().map(|problem| problem.line).collect();
            lines.dedup();
            lines.len()
        };
        let more = self.listed.bad - reported_lines;
        if more > 0 {
            self.listed.problems.push(Problem {
                severity: Severity::Warning,
                file: self.file.to_owned(),
                line: None,
                column: None,
                message: format!("and {more} more bad lines"),
                hint: None,
                code: "more",
            });
        }
        self.listed
    }
}
