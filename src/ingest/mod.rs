//! Where notices come from. [`Source`] is a closed set, a file each; every source is read by a [`Loader`] that
//! remembers what it has seen and reports only what changed, as an [`Update`].
//!
//! A source never decides what is in force. It hands over documents that parse, says what did not and where, and keeps
//! quiet about what it could not read: the control plane then keeps the last good content (DESIGN §4).
//!
//! [`mod@format`] reads bytes and nothing else; `directory` and `list` know one kind of source each, on top of `file`;
//! [`pull`] asks a server.

mod directory;
mod file;
pub mod format;
mod list;
mod loader;
pub mod pull;
#[cfg(test)]
mod testing;
mod watch;

pub use directory::RECEIPT;
pub use loader::{Known, Loader, Mode};
pub use watch::{Watch, watch};

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use crate::model::{DnsName, Notice, Scope, Targets};
use crate::verify::checkpoint::Fault;

/// Lets the calling thread, and those it starts, run when no worker wants to: reading and compiling long lists must not
/// delay an answer. On Linux a priority is a thread's.
pub fn low_priority() {
    if let Err(error) = rustix::process::setpriority_process(None, 19) {
        tracing::warn!(%error, "cannot lower the priority of a thread that reads or compiles");
    }
}

/// One `[[source]]` of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Label in logs and metrics: the path as written in the configuration.
    pub name: String,
    /// Place among the sources; operator lists win over each other in this order.
    pub order: u32,
    /// Where and what to read.
    pub kind: Kind,
}

/// The kinds of source.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Notices dropped as files into a directory.
    Directory {
        /// The directory.
        path: PathBuf,
        /// Whether notices without a signature are believed.
        allow_unsigned: bool,
    },
    /// A list of names issued under one standing notice.
    List {
        /// The file.
        path: PathBuf,
        /// Its syntax.
        format: ListFormat,
        /// The notice the names are listed under; its `digest` is that of the configuration entry and is combined with
        /// the file's when the list is read. Boxed: it is many times the size of the other variant.
        notice: Box<Notice>,
        /// How far each name reaches.
        scope: Scope,
    },
    /// Signed notices fetched from an authority's feed.
    Pull(Arc<pull::Feed>),
}

impl Source {
    /// How its files are understood: what is known of one is known only as long as this stays the same.
    pub fn reading(&self) -> String {
        match &self.kind {
            Kind::Directory { .. } => "notices".to_owned(),
            Kind::List { format: ListFormat::Hosts, scope, .. } => format!("hosts, {scope}"),
            Kind::List { format: ListFormat::Domains, scope, .. } => format!("domains, {scope}"),
            Kind::Pull(_) => "feed".to_owned(),
        }
    }

    /// The file a document of this source comes from, or its URL.
    pub fn file(&self, key: &DocumentKey) -> PathBuf {
        match &self.kind {
            Kind::Directory { path, .. } => path.join(key),
            Kind::List { path, .. } => path.clone(),
            Kind::Pull(feed) => PathBuf::from(format!("{}notices/{key}", feed.url)),
        }
    }
}

/// Syntax of a list file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListFormat {
    /// `0.0.0.0 name …`, as in hosts(5); the address is not used.
    Hosts,
    /// One name a line.
    Domains,
}

/// Names one document within its source: the file name in a directory, the empty string for a list, the number of a pulled
/// notice.
pub type DocumentKey = String;

/// A parsed notice with its names.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The order.
    pub notice: Notice,
    /// What it lists; refused items are not in it, they are among the update's problems.
    pub targets: Targets,
}

/// What one look at a source found. Empty `put` and `removed` mean that nothing changed.
#[derive(Debug)]
pub struct Update {
    /// [`Source::name`].
    pub source: String,
    /// When the look was taken.
    pub at: Timestamp,
    /// New or changed documents.
    pub put: BTreeMap<DocumentKey, Document>,
    /// Of each of these some names, all if they are few, for whoever wants to see whether they are blocked.
    pub samples: BTreeMap<DocumentKey, Vec<(DnsName, Scope)>>,
    /// New or changed signed notices, as they are.
    pub signed: BTreeMap<DocumentKey, Vec<u8>>,
    /// How the feed is doing that they come from, and what was found wrong with it at this look.
    pub feed: Option<pull::FeedState>,
    /// See there.
    pub faults: Vec<Fault>,
    /// Documents that are gone and are to be lifted.
    pub removed: Vec<DocumentKey>,
    /// Documents about which nothing is wrong any more though nothing changes: repaired to what is in force, deleted
    /// without having been in force, or as the loader was told that they are known.
    pub settled: Vec<DocumentKey>,
    /// The source as a whole could not be read (vanished, unreadable, empty where it had content): everything it gave
    /// before stays in force.
    pub failure: Option<Problem>,
    /// The source cannot be watched, only looked at every other second: what it says is in force all the same.
    pub unwatched: Option<Problem>,
    /// What was refused or looks wrong, by place. The same problem is reported once per change of its file, not per
    /// look.
    pub problems: Vec<Problem>,
}

impl Update {
    /// A look that found nothing.
    pub fn empty(source: &str, at: Timestamp) -> Self {
        let source = source.to_owned();
        Self {
            source,
            at,
            put: BTreeMap::new(),
            samples: BTreeMap::new(),
            signed: BTreeMap::new(),
            feed: None,
            faults: Vec::new(),
            removed: Vec::new(),
            settled: Vec::new(),
            failure: None,
            unwatched: None,
            problems: Vec::new(),
        }
    }

    /// Whether it says anything about documents.
    pub fn is_news(&self) -> bool {
        let keys = self.put.len() + self.signed.len() + self.removed.len() + self.settled.len();
        keys + self.problems.len() > 0
    }

    /// Whether nothing changed and there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.failure.is_none() && self.unwatched.is_none() && !self.is_news()
    }
}

/// The values of [`Problem::code`]: they are in receipts and metrics and stay stable. What is wrong with a feed has words of
/// its own ([`pull::faults`], and `http`), since nothing is refused for it.
pub const CODES: [&str; 46] = [
    "action",
    "address",
    "authority",
    "authority-name",
    "block-page",
    "broken",
    "category",
    "changing",
    "dates",
    "duplicate",
    "duplicate-id",
    "duplicate-item",
    "duplicate-key",
    "empty",
    "encoding",
    "file-name",
    "id",
    "internal",
    "io",
    "item",
    "kind",
    "missing-key",
    "more",
    "name",
    "no-targets",
    "nxdomain-exact",
    "own-name",
    "power",
    "protected",
    "public-suffix",
    "root",
    "scope",
    "sensitivity",
    "sequence",
    "size",
    "syntax",
    "time",
    "tld",
    "type",
    "unknown-key",
    "unsigned",
    "url",
    "version",
    "watch",
    "wildcard",
    "zone",
];

/// How bad a [`Problem`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth saying; nothing is left out of force.
    Warning,
    /// Something ordered is not in force as written.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// Something wrong in the data, with its place and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad.
    pub severity: Severity,
    /// The file, or the directory if it is about the whole.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: Option<usize>,
    /// Column in characters, from 1.
    pub column: Option<usize>,
    /// What is wrong. Never holds a name of a secret notice.
    pub message: String,
    /// What to write or do instead.
    pub hint: Option<String>,
    /// Stable word for metrics and receipts: `url`, `address`, `root`, `tld`, `syntax`, `duplicate-id`, `io` ...
    pub code: &'static str,
}

/// Writes `file:line:column`, as far as it is known: the form editors jump to.
pub fn write_place(f: &mut impl fmt::Write, file: &Path, place: [Option<usize>; 2]) -> fmt::Result {
    write!(f, "{}", file.display())?;
    place.into_iter().flatten().try_for_each(|number| write!(f, ":{number}"))
}

impl fmt::Display for Problem {
    /// `file:line:column: error: message; hint`, the form editors jump to.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_place(f, &self.file, [self.line, self.column])?;
        write!(f, ": {}: {}", self.severity, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}
