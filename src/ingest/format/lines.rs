//! What line-based lists have in common: lines and comments, one name after the other, and the quarantine of bad lines.
//!
//! A bad line never stops the rest (Unbound #754), and a file of bad lines is not taken for a list (an error page saved in
//! the list's place): [`Listed::verdict`] draws that line.

use std::path::Path;

use memchr::memchr;

use super::{BYTE_ORDER_MARK, place, target};
use crate::ingest::{Problem, Severity};
use crate::model::name::MAX_NAME;
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

/// What a syntax makes of a line.
type ReadLine = fn(&mut Line<'_, '_>);

/// Reads a list piece by piece, as it comes from the file.
pub struct Reader<'f> {
    read_line: ReadLine,
    /// Lines that ended.
    lines: usize,
    /// The beginning of one that has not.
    begun: Vec<u8>,
    sink: Sink<'f>,
}

impl<'f> Reader<'f> {
    pub(super) fn new(read_line: ReadLine, file: &'f Path, scope: Scope, sensitivity: Sensitivity) -> Self {
        let names_may_be_shown = sensitivity != Sensitivity::Secret;
        let sink = Sink { listed: Listed::default(), file, scope, names_may_be_shown };
        Self { read_line, lines: 0, begun: Vec::new(), sink }
    }

    /// Takes in the next octets of the file.
    pub fn read(&mut self, mut octets: &[u8]) {
        while let Some(end) = memchr(b'\n', octets) {
            let (line, rest) = (&octets[..end], &octets[end + 1..]);
            if self.begun.is_empty() {
                self.line(line);
            } else {
                let mut whole = std::mem::take(&mut self.begun);
                whole.extend_from_slice(line);
                self.line(&whole);
                whole.clear();
                self.begun = whole; // with its room
            }
            octets = rest;
        }
        self.begun.extend_from_slice(octets);
    }

    fn line(&mut self, mut octets: &[u8]) {
        self.lines += 1;
        if self.lines == 1 {
            octets = octets.strip_prefix(BYTE_ORDER_MARK).unwrap_or(octets);
        }
        let content = memchr(b'#', octets).map_or(octets, |comment| &octets[..comment]);
        if content.trim_ascii().is_empty() {
            return;
        }
        let mut line = Line { number: self.lines, content, good: false, bad: false, sink: &mut self.sink };
        (self.read_line)(&mut line);
        let (good, bad) = (line.good, line.bad);
        self.sink.listed.good += usize::from(good);
        self.sink.listed.bad += usize::from(bad);
    }

    /// All of it, at the end of the file.
    pub fn finish(mut self) -> Listed {
        let last = std::mem::take(&mut self.begun);
        self.line(&last);
        self.sink.finish()
    }
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
        let mut wire = [0; MAX_NAME];
        if let Some(wire) = target::read_plain(word, &mut wire) {
            self.sink.listed.targets.push_wire(wire, self.sink.scope);
            self.good = true;
            return;
        }
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
