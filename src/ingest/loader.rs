//! [`Loader`]: looks at one source again and again and says what changed since the last look.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::directory::Directory;
use super::list::List;
use super::pull::Pull;
use super::{Document, DocumentKey, Kind, Problem, Severity, Source, Update};
use crate::model::name::wire_to_text;
use crate::model::{DnsName, Notice, Scope, Sensitivity, Targets};
use crate::verify::guard::Guard;

/// A file that is gone is taken for gone only after this long: to replace a file by deleting it first must not lift it.
pub(super) const ABSENCE: Duration = Duration::from_millis(100);

/// How a look treats files that may be in somebody's hands.
#[derive(Clone, Copy, Debug)]
pub enum Mode<'a> {
    /// Take everything as it stands: at start, on SIGHUP, for `pagar check`.
    Now,
    /// As the watcher looks: leave alone what may be half-written, and see [`Loader::again`].
    Watched {
        /// File names whose writer is known to be done: taken at once.
        ready: &'a BTreeSet<OsString>,
        /// File names that are being written or replaced: neither taken nor missed.
        held: &'a BTreeSet<OsString>,
        /// Nothing else is said to have changed: of files that were looked at before, only those in `ready` need be.
        only: bool,
    },
}

impl Mode<'_> {
    /// Whether the file is not to be looked at.
    pub(super) fn holds(&self, name: &OsStr) -> bool {
        matches!(self, Self::Watched { held, .. } if held.contains(name))
    }

    /// Whether the file may be taken however young it is, and missed at once if it is not there.
    pub(super) fn is_ready(&self, name: &OsStr) -> bool {
        match self {
            Self::Now => true,
            Self::Watched { ready, .. } => ready.contains(name),
        }
    }

    /// Whether a file that was looked at before need not be looked at again.
    pub(super) fn spares(&self, name: &OsStr) -> bool {
        matches!(self, Self::Watched { only: true, .. }) && !self.names(name)
    }

    /// The files that are said to have changed, if no others are.
    pub(super) fn only(&self) -> Option<&BTreeSet<OsString>> {
        match self {
            Self::Watched { ready, only: true, .. } => Some(ready),
            _ => None,
        }
    }

    /// Whether the file was named as changed, so that its fingerprint need not be asked.
    pub(super) fn names(&self, name: &OsStr) -> bool {
        matches!(self, Self::Watched { ready, .. } if ready.contains(name))
    }
}

/// What is known of a list before it is read.
#[derive(Clone, Debug)]
pub struct Known {
    /// The digest of its notice.
    pub digest: [u8; 32],
    /// What was wrong with its lines.
    pub problems: Vec<Problem>,
}

/// What is remembered of one source, and how to look at it.
#[derive(Debug)]
pub struct Loader {
    source: Source,
    state: State,
    /// Names that no document may block by itself.
    guard: Option<Arc<Guard>>,
}

#[derive(Debug)]
enum State {
    Directory(Directory),
    List(Box<List>),
    Pull(Box<Pull>),
}

impl Loader {
    /// A loader that has seen nothing yet: its first look reports everything.
    pub fn new(source: Source) -> Self {
        let state = match &source.kind {
            Kind::Directory { path, allow_unsigned } => State::Directory(Directory::new(path.clone(), *allow_unsigned)),
            Kind::List { path, format, notice, scope } => {
                State::List(Box::new(List::new(path.clone(), *format, (**notice).clone(), *scope)))
            }
            Kind::Pull(feed) => State::Pull(Box::new(Pull::new(&source.name, feed.clone()))),
        };
        Self { source, state, guard: None }
    }

    /// Leaves names out that this guard holds, and says so.
    pub fn guarded(mut self, guard: Arc<Guard>) -> Self {
        self.guard = Some(guard);
        self
    }

    /// Tells it what is known of a list from an earlier run: if it is still that, it is not read again, but
    /// [`Update::settled`]. Other sources are read anyway.
    pub fn knowing(mut self, known: Option<Known>) -> Self {
        if let (State::List(list), Some(known)) = (&mut self.state, known) {
            list.know(known);
        }
        self
    }

    /// Tells it which notices of a directory are in force from an earlier run, before it could be read: then it says which
    /// of them are gone. A list is one document, and needs no telling.
    pub fn hold(&mut self, notices: BTreeMap<DocumentKey, &Notice>) {
        if let State::Directory(directory) = &mut self.state {
            directory.hold(notices);
        }
    }

    /// Tells it the payloads that are recorded: a feed need not give them again.
    pub fn recorded(&mut self, payloads: impl IntoIterator<Item = [u8; 32]>) {
        if let State::Pull(pull) = &mut self.state {
            pull.recorded(payloads);
        }
    }

    /// What asks the feed, if it is one.
    pub(super) fn into_pull(self) -> Result<Box<Pull>, Box<Self>> {
        match self.state {
            State::Pull(pull) => Ok(pull),
            state => Err(Box::new(Self { state, ..self })),
        }
    }

    /// The source as configured.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Looks at the source for the first time, and asks a feed that has never been seen.
    pub fn first(&mut self, now: Timestamp) -> Update {
        let mut update = self.scan(now, Mode::Now);
        if let State::Pull(pull) = &mut self.state {
            pull.first(&mut update);
        }
        update
    }

    /// Looks at the source; `now` becomes [`Update::at`]. A feed is not asked.
    pub fn scan(&mut self, now: Timestamp, mode: Mode<'_>) -> Update {
        let mut update = Update::empty(&self.source.name, now);
        match &mut self.state {
            State::Directory(directory) => directory.scan(&mut update, mode),
            State::List(list) => list.scan(&mut update, mode),
            State::Pull(_) => {}
        }
        if let Some(guard) = &self.guard {
            for (key, document) in &mut update.put {
                update.problems.extend(screen(document, guard, &self.source.file(key)));
                update.samples.insert(key.clone(), sample(&document.targets));
            }
        }
        update
    }

    /// How soon to look again because the last look left something alone that may be complete by then.
    pub fn again(&self) -> Option<Duration> {
        match &self.state {
            State::Directory(directory) => directory.again(),
            State::List(list) => list.again(),
            State::Pull(_) => None,
        }
    }
}

/// Held names of one document that are reported; the rest is counted.
const SHOWN: usize = 100;

/// Names of a document that are asked for after it is put in force, if it has more.
const SAMPLE: usize = 1_000;

/// Some names from all over the document, each from another part of it.
fn sample(targets: &Targets) -> Vec<(DnsName, Scope)> {
    let stretch = targets.len().div_ceil(SAMPLE).max(1);
    let offset = rand::random_range(0..stretch);
    let some = targets.iter().skip(offset).step_by(stretch);
    some.filter_map(|(wire, scope)| Some((DnsName::from_wire(&wire).ok()?, scope))).collect()
}

/// Takes the names out that the guard holds. Only an item of a signed notice can be approved by people: a list is as long as
/// it is wrong.
fn screen(document: &mut Document, guard: &Guard, file: &Path) -> Vec<Problem> {
    let held = |wire: &[u8], scope| guard.judge(wire, scope);
    if !document.targets.iter().any(|(wire, scope)| held(&wire, scope).is_some()) {
        return Vec::new(); // as nearly always
    }
    let (all, secret) = (std::mem::take(&mut document.targets), document.notice.sensitivity == Sensitivity::Secret);
    let (mut kept, mut problems, mut more) = (Targets::default(), Vec::new(), 0);
    let mut digest = Sha256::new();
    digest.update(document.notice.digest);
    for (wire, scope) in all.iter() {
        let Some(why) = held(&wire, scope) else {
            kept.push_wire(&wire, scope);
            continue;
        };
        digest.update(&*wire); // what is in force is not all that the document says
        if problems.len() == SHOWN {
            more += 1;
            continue;
        }
        let name = if secret { "a name".to_owned() } else { wire_to_text(&wire) };
        let message = format!("{name} is held, and not blocked: {why}");
        let hint = Some("to block it all the same, order it by a signed notice: its items can be approved".to_owned());
        let (severity, file) = (Severity::Error, file.to_owned());
        problems.push(Problem { severity, file, line: None, column: None, message, hint, code: why.code() });
    }
    if more > 0 {
        let (severity, file, message) = (Severity::Error, file.to_owned(), format!("and {more} names more are held"));
        problems.push(Problem { severity, file, line: None, column: None, message, hint: None, code: "more" });
    }
    document.targets = kept;
    document.notice.digest = digest.finalize().into();
    problems
}
