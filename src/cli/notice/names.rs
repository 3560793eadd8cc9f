//! Names as people have them, in arguments or in a spreadsheet, made targets of a notice.
//!
//! | written | taken as |
//! |---|---|
//! | `http://host/`, `https://host` | `host`, with a warning |
//! | a URL with a path, a query, a port or a user | refused: the DNS can only block whole names |
//! | an address | refused |
//! | `*.name` | `name` with scope `subtree`, with a warning: the name itself is restricted too |
//! | upper case, a dot at the end, letters outside ASCII | the same name in its canonical form |
//! | the same name with the same scope again | once, with a warning |
//!
//! Nothing is widened without a word, and one refusal stops all: it is the author who corrects it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, StringRecord, Trim};

use crate::ingest::format::target_name;
use crate::ingest::{Problem, Severity};
use crate::model::Scope;

/// A name as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The item it has there.
    pub(super) item: Option<String>,
    /// The text.
    pub(super) name: String,
    /// How far it reaches, if that is said there.
    pub(super) scope: Option<Scope>,
    /// Where it stands: a file, or the arguments.
    pub(super) file: PathBuf,
    /// The line of a file, or the number of an argument.
    pub(super) line: usize,
}

/// A target as it is to stand in the notice.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct Target {
    pub(super) item: String,
    pub(super) name: String,
    pub(super) scope: &'static str,
}

impl Entry {
    /// Of a command line.
    pub(super) fn of_arguments(names: &[String]) -> Vec<Self> {
        let entry = |(number, name): (usize, &String)| Self {
            item: None,
            name: name.clone(),
            scope: None,
            file: PathBuf::from("name"),
            line: number + 1,
        };
        names.iter().enumerate().map(entry).collect()
    }

    fn problem(&self, severity: Severity, code: &'static str, message: String, hint: Option<String>) -> Problem {
        Problem { severity, file: self.file.clone(), line: Some(self.line), column: None, message, hint, code }
    }
}

//------ spreadsheets --------------------------------------------------------------------------------------------------

/// Which column is what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Columns {
    item: Option<usize>,
    name: usize,
    scope: Option<usize>,
}

/// Reads a CSV of `item,name,scope`, or of names alone, with or without a heading; with `,` or `;`.
pub(super) fn of_csv(octets: &[u8], file: &Path) -> Result<Vec<Entry>, Problem> {
    let wrong = |line: Option<usize>, message: String, hint: &str| Problem {
        severity: Severity::Error,
        file: file.to_owned(),
        line,
        column: None,
        message,
        hint: Some(hint.to_owned()),
        code: "syntax",
    };
    let text = octets.strip_prefix(b"\xef\xbb\xbf").unwrap_or(octets);
    let text = std::str::from_utf8(text)
        .map_err(|_| wrong(None, "the text is not UTF-8".to_owned(), "save it as CSV UTF-8"))?;
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter(text))
        .has_headers(false)
        .flexible(true)
        .trim(Trim::All)
        .comment(Some(b'#'))
        .from_reader(text.as_bytes());
    let (mut columns, mut entries) = (None, Vec::new());
    let mut lines = Lines { text, at: 0, line: 1 };
    for record in reader.records() {
        let record = record.map_err(|error| wrong(None, error.to_string(), "save it as CSV again"))?;
        let line = lines.of(record.position().map_or(0, csv::Position::byte) as usize);
        if record.iter().all(str::is_empty) || record.get(0).is_some_and(|cell| cell.starts_with("sep=")) {
            continue;
        }
        let known = match columns {
            Some(known) => known,
            None => {
                let heading = of_heading(&record);
                let known = *columns.insert(heading.unwrap_or_else(|| by_content(&record)));
                if heading.is_some() {
                    continue;
                }
                known
            }
        };
        entries.push(entry(&record, known, file, line).map_err(|message| {
            wrong(Some(line), message, "write the columns item, name and scope, or the name alone")
        })?);
    }
    Ok(entries)
}

/// Counts lines. The reader's own count is of where it stands before a record, which is before the empty lines, comments
/// and half line ends that it passes over.
struct Lines<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl Lines<'_> {
    /// The line of the record that is read from that octet on.
    fn of(&mut self, octet: usize) -> usize {
        let passed = self.text.as_bytes().get(self.at..octet).unwrap_or_default();
        self.line += passed.iter().filter(|&&octet| octet == b'\n').count();
        self.at = octet.max(self.at);
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let is_passed_over = |line: &&[u8]| line.trim_ascii().is_empty() || line.starts_with(b"#");
        self.line + rest.split(|&octet| octet == b'\n').take_while(is_passed_over).count()
    }
}

/// What stands between cells: the semicolon where the first line has one, as spreadsheets of many countries write.
fn delimiter(text: &str) -> u8 {
    let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with('#')).unwrap_or_default();
    if first.contains(';') { b';' } else { b',' }
}

fn of_heading(record: &StringRecord) -> Option<Columns> {
    let find = |words: &[&str]| record.iter().position(|cell| words.iter().any(|word| cell.eq_ignore_ascii_case(word)));
    let name = find(&["name", "domain", "host", "hostname", "url"])?;
    Some(Columns { item: find(&["item", "no", "no.", "number"]), name, scope: find(&["scope"]) })
}

fn by_content(record: &StringRecord) -> Columns {
    let is_scope = |cell: Option<&str>| cell.is_some_and(|cell| scope_of(cell).is_some());
    match record.len() {
        1 => Columns { item: None, name: 0, scope: None },
        2 if is_scope(record.get(1)) => Columns { item: None, name: 0, scope: Some(1) },
        2 => Columns { item: Some(0), name: 1, scope: None },
        _ => Columns { item: Some(0), name: 1, scope: Some(2) },
    }
}

fn entry(record: &StringRecord, columns: Columns, file: &Path, line: usize) -> Result<Entry, String> {
    let cell = |column: Option<usize>| column.and_then(|at| record.get(at)).filter(|cell| !cell.is_empty());
    let name = cell(Some(columns.name)).ok_or("the line has no name")?;
    let scope = match cell(columns.scope) {
        None => None,
        Some(word) => Some(scope_of(word).ok_or("the scope is neither \"exact\" nor \"subtree\"")?),
    };
    let item = cell(columns.item).map(str::to_owned);
    Ok(Entry { item, name: name.to_owned(), scope, file: file.to_owned(), line })
}

/// The scope of a word.
pub(super) fn scope_of(word: &str) -> Option<Scope> {
    [Scope::Exact, Scope::Subtree].into_iter().find(|scope| word.eq_ignore_ascii_case(scope.as_str()))
}

//------ targets -------------------------------------------------------------------------------------------------------

/// Makes targets of what was written. `scope` is for names that say none; no name is in a message unless it may be shown.
pub(super) fn targets(entries: &[Entry], scope: Option<Scope>, may_be_shown: bool) -> (Vec<Target>, Vec<Problem>) {
    let mut making = Making { may_be_shown, ..Making::default() };
    let given: BTreeSet<&str> = entries.iter().filter_map(|entry| entry.item.as_deref()).collect();
    for entry in entries {
        making.take(entry, scope, &given);
    }
    (making.targets, making.problems)
}

#[derive(Default)]
struct Making {
    may_be_shown: bool,
    targets: Vec<Target>,
    problems: Vec<Problem>,
    /// Where each name stands, with its scope.
    seen: BTreeMap<(String, &'static str), usize>,
    next: u64,
}

impl Making {
    fn take(&mut self, entry: &Entry, default: Option<Scope>, given: &BTreeSet<&str>) {
        let written = entry.name.trim();
        let (host, mut remarks) = bare_host(written);
        let (host, scope) = match host.strip_prefix("*.") {
            Some(below) => {
                if entry.scope == Some(Scope::Exact) {
                    let hint = "write the name alone, or scope subtree".to_owned();
                    return self.say(entry, Severity::Error, "wildcard", "a wildcard is not an exact name", Some(hint));
                }
                remarks.push((
                    "wildcard",
                    "the wildcard is taken as scope \"subtree\": the name itself is restricted too",
                ));
                (below, Some(Scope::Subtree))
            }
            None => (host, entry.scope.or(default)),
        };
        let name = match target_name(host, self.may_be_shown) {
            Ok(name) => name.to_string(),
            Err(no) => return self.problems.push(entry.problem(Severity::Error, no.code, no.message, no.hint)),
        };
        let Some(scope) = scope else {
            let hint = "say --scope exact or --scope subtree, or give the CSV a column scope".to_owned();
            return self.say(entry, Severity::Error, "scope", "nothing says how far the name reaches", Some(hint));
        };
        for (code, remark) in remarks {
            self.say(entry, Severity::Warning, code, remark, None);
        }
        let name = name.strip_suffix('.').unwrap_or(&name).to_owned();
        if let Some(line) = self.seen.insert((name.clone(), scope.as_str()), entry.line) {
            let remark = format!("the name stands in line {line} already; it is taken once");
            return self.say(entry, Severity::Warning, "duplicate", &remark, None);
        }
        let item = entry.item.clone().unwrap_or_else(|| self.free(given));
        self.targets.push(Target { item, name, scope: scope.as_str() });
    }

    /// The next number that no line has asked for.
    fn free(&mut self, given: &BTreeSet<&str>) -> String {
        loop {
            self.next += 1;
            let item = self.next.to_string();
            if !given.contains(item.as_str()) {
                return item;
            }
        }
    }

    fn say(&mut self, entry: &Entry, severity: Severity, code: &'static str, what: &str, hint: Option<String>) {
        let message = match self.may_be_shown {
            true => format!("{:?}: {what}", entry.name),
            false => what.to_owned(),
        };
        self.problems.push(entry.problem(severity, code, message, hint));
    }
}

/// The host of `http://host/`, if there is nothing but the host; anything else as it is, to be judged as a name.
fn bare_host(text: &str) -> (&str, Vec<(&'static str, &'static str)>) {
    let rest = ["http://", "https://"].into_iter().find_map(|scheme| {
        let head = text.get(..scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then(|| &text[scheme.len()..])
    });
    let host = rest.unwrap_or(text);
    let host = host.strip_suffix('/').unwrap_or(host);
    let is_bare = host.len() < text.len() && !host.is_empty() && !host.contains(['/', ':', '?', '#', '@', '[']);
    if is_bare { (host, vec![("url", "only the host of the URL is taken")]) } else { (text, Vec::new()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(names: &[&str], scope: Option<Scope>) -> (Vec<String>, Vec<(&'static str, Severity)>) {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let (targets, problems) = targets(&Entry::of_arguments(&names), scope, true);
        let targets =
            targets.iter().map(|target| format!("{} {} {}", target.item, target.name, target.scope)).collect();
        (targets, problems.iter().map(|problem| (problem.code, problem.severity)).collect())
    }

    #[test]
    fn names_are_taken_in_their_canonical_form() {
        let (targets, problems) = made(&["Bad.EXAMPLE.", "bücher.example", "bad.example"], Some(Scope::Exact));
        assert_eq!(targets, ["1 bad.example exact", "2 xn--bcher-kva.example exact"]);
        assert_eq!(problems, [("duplicate", Severity::Warning)]);
    }

    #[test]
    fn a_bare_host_in_a_url_is_taken_and_said_and_more_is_refused() {
        let (targets, problems) = made(&["http://a.example", "HTTPS://b.example/", "c.example/"], Some(Scope::Exact));
        assert_eq!(targets, ["1 a.example exact", "2 b.example exact", "3 c.example exact"]);
        assert_eq!(problems, [("url", Severity::Warning); 3]);
        for (text, code) in [
            ("http://a.example/page", "url"),
            ("http://a.example:8080/", "url"),
            ("http://u@a.example/", "url"),
            ("http://a.example/?q", "url"),
            ("http:///", "url"),
            ("ftp://a.example/", "url"),
            ("http://192.0.2.1/", "address"),
            ("http://[2001:db8::1]/", "url"),
            ("2001:db8::1", "address"),
            ("192.0.2.0/24", "address"),
            ("com", "tld"),
            ("a b", "name"),
            ("", "name"),
        ] {
            let (targets, problems) = made(&[text], Some(Scope::Exact));
            assert_eq!((targets.len(), problems), (0, vec![(code, Severity::Error)]), "{text}");
        }
    }

    #[test]
    fn a_wildcard_is_a_subtree_and_a_name_without_scope_is_none() {
        let (targets, problems) = made(&["*.a.example", "b.example"], None);
        assert_eq!(targets, ["1 a.example subtree"]);
        assert_eq!(problems, [("wildcard", Severity::Warning), ("scope", Severity::Error)]);
        let exact = Entry { scope: Some(Scope::Exact), ..Entry::of_arguments(&["*.a.example".into()]).remove(0) };
        let (none, problems) = targets_of(&[exact]);
        assert!(none.is_empty() && problems[0].severity == Severity::Error);
    }

    fn targets_of(entries: &[Entry]) -> (Vec<Target>, Vec<Problem>) {
        targets(entries, None, false)
    }

    #[test]
    fn secret_names_are_in_no_message() {
        let (_, problems) =
            targets_of(&Entry::of_arguments(&["*.zqxj.example".into(), "http://zqxj.example/x".into()]));
        assert_eq!(problems.len(), 2);
        assert!(!format!("{problems:?}").replace("file: \"name\"", "").contains("zqxj"), "{problems:?}");
    }

    fn read(text: &str) -> Vec<(Option<String>, String, Option<Scope>, usize)> {
        let entries = of_csv(text.as_bytes(), Path::new("l.csv")).unwrap();
        entries.into_iter().map(|entry| (entry.item, entry.name, entry.scope, entry.line)).collect()
    }

    #[test]
    fn spreadsheets_of_any_country_are_read() {
        let (one, a) = (Some("1".to_owned()), "a.example".to_owned());
        let exact = Some(Scope::Exact);
        assert_eq!(read("item,name,scope\n1,a.example,exact\n"), [(one.clone(), a.clone(), exact, 2)]);
        assert_eq!(read("\u{feff}Scope;Name;Item\r\nEXACT; a.example ;1\r\n"), [(one.clone(), a.clone(), exact, 2)]);
        assert_eq!(read("1;a.example;exact"), [(one.clone(), a.clone(), exact, 1)]);
        assert_eq!(read("1,a.example"), [(one, a.clone(), None, 1)]);
        assert_eq!(read("a.example,exact"), [(None, a.clone(), exact, 1)]);
        assert_eq!(read("sep=;\n# of today\n\na.example\n;\n"), [(None, a.clone(), None, 4)]);
        assert_eq!(read("Domain\n\"a.example\"\n"), [(None, a, None, 2)]);
        assert_eq!(read(""), []);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        for (text, line) in [("item,name\n1,\n", 2), ("a.example,exact\nb.example,wide\n", 2)] {
            let problem = of_csv(text.as_bytes(), Path::new("l.csv")).unwrap_err();
            assert_eq!(problem.line, Some(line), "{problem}");
        }
        assert!(of_csv(b"b\xfccher.example", Path::new("l.csv")).unwrap_err().message.contains("UTF-8"));
    }

    #[test]
    fn numbers_that_lines_have_asked_for_are_left_to_them() {
        let entries = of_csv(b"item,name\n,a.example\n1,b.example\n,c.example\n", Path::new("l.csv")).unwrap();
        let (made, _) = targets(&entries, Some(Scope::Subtree), true);
        assert_eq!(made.iter().map(|target| &*target.item).collect::<Vec<_>>(), ["2", "1", "3"]);
    }
}
