//! [`Diagnostic`]: one thing wrong with the configuration, with its place, what to write instead, and the line it
//! stands on; [`Diagnostics`]: all of them, rendered the way compilers do, so that editors can jump to each.
//!
//! [`Reporter`] turns byte spans of the text into lines and columns and collects; the checks never count lines
//! themselves.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

pub use crate::ingest::Severity;
use crate::ingest::write_place;

/// Something wrong in the configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// A warning lets the program start, an error does not.
    pub severity: Severity,
    /// The configuration file.
    pub file: PathBuf,
    /// Line, from 1; `None` if it is about the file as a whole or about something that is not there.
    pub line: Option<usize>,
    /// Column in characters, from 1.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to write or do instead.
    pub hint: Option<String>,
    /// The line as written, to be shown with the place marked.
    pub source: Option<String>,
    /// How many characters of [`Self::source`] are marked, from [`Self::column`] on.
    pub width: usize,
}

impl Diagnostic {
    /// An error about the file as a whole.
    pub(super) fn of_file(file: &Path, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            file: file.to_owned(),
            line: None,
            column: None,
            message: message.into(),
            hint: None,
            source: None,
            width: 0,
        }
    }

    /// Says what to write instead.
    pub(super) fn hint(&mut self, hint: impl Into<String>) {
        self.hint = Some(hint.into());
    }

    fn fmt_source(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(source), Some(column)) = (&self.source, self.column) else { return Ok(()) };
        // What the file holds goes to a terminal: no control character but the tab may reach it.
        let shown: String = source.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect();
        // Tabs are repeated in the margin, so that the mark stands below its place however wide a tab is.
        let margin: String = shown.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        write!(f, "\n    {shown}\n    {margin}{}", "^".repeat(self.width.max(1)))
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_place(f, &self.file, [self.line, self.column])?;
        write!(f, ": {}: {}", self.severity, self.message)?;
        self.fmt_source(f)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Everything found wrong, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Each of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether any of them keeps the program from starting.
    pub fn has_errors(&self) -> bool {
        self.iter().any(|found| found.severity == Severity::Error)
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(one: Diagnostic) -> Self {
        Self(vec![one])
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Diagnostics {
    /// One after the other, without a newline at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, found) in self.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            found.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// A place in the text, in bytes.
pub(super) type Span = Range<usize>;

/// Collects what is found in one text.
pub(super) struct Reporter<'a> {
    text: &'a str,
    file: &'a Path,
    found: Vec<Diagnostic>,
}

impl<'a> Reporter<'a> {
    pub(super) fn new(text: &'a str, file: &'a Path) -> Self {
        Self { text, file, found: Vec::new() }
    }

    /// Reports an error at `span`, or without a place; a hint may be added to what is returned.
    pub(super) fn error(&mut self, span: impl Into<Option<Span>>, message: impl Into<String>) -> &mut Diagnostic {
        self.report(Severity::Error, span.into(), message.into())
    }

    /// Reports an error in a line of another file, which the configuration names.
    pub(super) fn error_in(&mut self, file: &Path, line: usize, message: impl Into<String>) -> &mut Diagnostic {
        self.push(Diagnostic { line: Some(line), ..Diagnostic::of_file(file, message) })
    }

    /// The same for a warning.
    pub(super) fn warning(&mut self, span: impl Into<Option<Span>>, message: impl Into<String>) -> &mut Diagnostic {
        self.report(Severity::Warning, span.into(), message.into())
    }

    pub(super) fn has_errors(&self) -> bool {
        self.found.iter().any(|found| found.severity == Severity::Error)
    }

    /// Everything in the order of the file; what has no place comes first, other files last.
    pub(super) fn finish(mut self) -> Diagnostics {
        self.found.sort_by_key(|found| (found.file != self.file, found.line, found.column));
        Diagnostics(self.found)
    }

    fn report(&mut self, severity: Severity, span: Option<Span>, message: String) -> &mut Diagnostic {
        let mut diagnostic = Diagnostic { severity, ..Diagnostic::of_file(self.file, message) };
        if let Some(span) = span {
            place(self.text, span, &mut diagnostic);
        }
        self.push(diagnostic)
    }

    fn push(&mut self, diagnostic: Diagnostic) -> &mut Diagnostic {
        self.found.push(diagnostic);
        let last = self.found.len() - 1;
        &mut self.found[last]
    }
}

fn place(text: &str, span: Span, diagnostic: &mut Diagnostic) {
    let start = boundary(text, span.start);
    let before = &text[..start];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[line_start..].lines().next().unwrap_or("");
    let column = text[line_start..start].chars().count();
    diagnostic.line = Some(before.matches('\n').count() + 1);
    diagnostic.column = Some(column + 1);
    // A span over several lines (a table, an array) is marked to the end of its first.
    let marked = text.get(start..span.end.max(start)).map_or(0, |spanned| spanned.chars().count());
    diagnostic.width = marked.min(line.chars().count().saturating_sub(column)).max(1);
    diagnostic.source = Some(line.to_owned());
}

/// The last character boundary at or before `at`; `str::floor_char_boundary` is newer than our oldest Rust.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(text: &str, span: Span) -> String {
        let mut report = Reporter::new(text, Path::new("p.toml"));
        report.error(span, "bad").hint("better");
        report.finish().to_string()
    }

    #[test]
    fn the_place_is_marked() {
        assert_eq!(render("a = 1\n\tb = 2\n", 7..8), "p.toml:2:2: error: bad\n    \tb = 2\n    \t^\n  hint: better");
    }

    #[test]
    fn columns_are_characters_and_carriage_returns_are_not_shown() {
        assert_eq!(render("é = bb\r\n", 5..7), "p.toml:1:5: error: bad\n    é = bb\n        ^^\n  hint: better");
    }

    #[test]
    fn odd_spans_do_no_harm() {
        for (text, span) in [("", 0..0), ("é", 1..1), ("a\n", 2..9), ("a", 9..12), ("a\nb", 0..3)] {
            assert!(render(text, span).contains('^'));
        }
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert!(!render("a = \u{1b}[31m", 4..5).contains('\u{1b}'));
    }
}
