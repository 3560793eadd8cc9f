//! [`Store`]: when the policy is written to the state directory, and by whom.
//!
//! It is stored in two files. The layers of the index are built seldom, and to store them takes as long as they are long;
//! so they are not written more often than every [`PAUSE`]. They are due when they have been built, and when a notice
//! has gone whose names stand in them. The notices that are not in them are due whenever one has come or gone, and written
//! at most every [`RECENT_PAUSE`]. All that is done by a thread of its own, in the order of [`Held`].
//!
//! What is stored is the last good content of a source that cannot be read at the next start.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use prometheus::IntCounter;

use super::held::Held;
use super::recent::{self, Recent, RecentDocument};
use super::stored::{self, Stored, Unusable};
use crate::ingest::low_priority;
use crate::ledger::seal::Key;

/// From one writing of the layers to the next, and from a failure to the next try.
const PAUSE: Duration = Duration::from_secs(10);
/// From one writing of the recent notices to the next.
const RECENT_PAUSE: Duration = Duration::from_secs(1);

/// See the module's header.
#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
    key: Option<Key>,
    failures: IntCounter,
    /// What was stored last.
    stored: Versions,
    /// When layers and recent notices were.
    last: (Option<Instant>, Option<Instant>),
    /// When it failed.
    failed: Option<Instant>,
    /// Writes; and whether the layers are among it.
    thread: Option<(JoinHandle<Result<(), Unusable>>, bool)>,
    held: Held,
    /// It has been said that a key is missing, for the layers and for the recent notices.
    told: (bool, bool),
    /// Another process stores.
    retired: bool,
}

/// What there is to store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Versions {
    /// [`Register::version`](crate::policy::Register::version).
    pub(super) layers: u64,
    /// [`Register::moves`](crate::policy::Register::moves); nothing if it must be stored whatever it is.
    pub(super) recent: Option<u64>,
}

/// What is to be written in one go.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) directory: PathBuf,
    pub(super) key: Option<Key>,
    /// All recent notices, those that move into the layers too.
    pub(super) recent: Vec<Arc<RecentDocument>>,
    /// The layers, and the recent notices without those that have moved.
    pub(super) layers: Option<(Layers, Vec<Arc<RecentDocument>>)>,
}

/// What becomes of the file of the layers.
#[derive(Debug)]
pub(super) enum Layers {
    Write(Stored),
    /// It cannot be written without a key, and what is there is of another time.
    Remove,
    /// There are none yet.
    Leave,
}

/// A part of a job.
type Step = fn(&Job) -> Result<(), Unusable>;

/// The order of writing: see [`Held`].
pub(super) const STEPS: [Step; 3] = [Job::write_all, Job::write_layers, Job::write_staying];

impl Job {
    fn run(&self) -> Result<(), Unusable> {
        STEPS.iter().try_for_each(|step| step(self))
    }

    fn write_all(&self) -> Result<(), Unusable> {
        self.write_recent(&self.recent)
    }

    fn write_layers(&self) -> Result<(), Unusable> {
        match &self.layers {
            Some((Layers::Write(stored), _)) => stored::write(&self.directory, stored, self.key.as_ref()),
            Some((Layers::Remove, _)) => stored::remove(&self.directory),
            Some((Layers::Leave, _)) | None => Ok(()),
        }
    }

    fn write_staying(&self) -> Result<(), Unusable> {
        match &self.layers {
            Some((_, staying)) if staying.len() < self.recent.len() => self.write_recent(staying),
            _ => Ok(()),
        }
    }

    fn write_recent(&self, documents: &[Arc<RecentDocument>]) -> Result<(), Unusable> {
        recent::write(&self.directory, documents.iter().map(Arc::as_ref), self.key.as_ref())
    }
}

impl Store {
    /// `failures` counts what could not be written.
    pub(super) fn new(directory: PathBuf, key: Option<Key>, failures: IntCounter) -> Self {
        Self {
            directory,
            key,
            failures,
            stored: Versions { layers: 0, recent: None },
            last: (None, None),
            failed: None,
            thread: None,
            held: Held::default(),
            told: (false, false),
            retired: false,
        }
    }

    /// Where a file of this name is stored.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The layers that were stored by an earlier run.
    pub(super) fn read(&mut self) -> Result<Option<Stored>, Unusable> {
        stored::sweep(&self.directory);
        let stored = stored::read(&self.directory, self.key.as_ref())?;
        self.stored.layers = u64::from(stored.is_some()); // to take it over is the register's first build
        Ok(stored)
    }

    /// The recent notices that were.
    pub(super) fn read_recent(&self) -> Result<Option<Recent>, Unusable> {
        recent::read(&self.directory, self.key.as_ref())
    }

    /// These recent notices have been taken over; `whole` if so has all that was stored, and layers need not be written anew.
    pub(super) fn take_over(&mut self, recent: &[RecentDocument], whole: bool) {
        self.held = Held::of(recent);
        if !whole {
            self.stored.layers = 0;
        }
    }

    /// Stores nothing any more: a process that takes over does.
    pub(super) fn retire(&mut self) {
        self.finish();
        self.retired = true;
    }

    /// Whether something is to be stored now, and if so, whether the layers are among it; at the `end` whatever differs.
    pub(super) fn due(&mut self, now: Versions, end: bool) -> Option<bool> {
        if end || self.thread.as_ref().is_some_and(|(thread, _)| thread.is_finished()) {
            self.finish();
        }
        let has_rested = |last: Option<Instant>, pause| end || last.is_none_or(|last: Instant| last.elapsed() >= pause);
        if self.retired || self.thread.is_some() || !has_rested(self.failed, PAUSE) {
            return None;
        }
        let layers = now.layers != self.stored.layers && has_rested(self.last.0, PAUSE);
        let recent = now.recent != self.stored.recent && has_rested(self.last.1, RECENT_PAUSE);
        (layers || recent).then_some(layers)
    }

    /// The recent notices, to be brought up to date before [`Self::write`].
    pub(super) fn held(&mut self) -> &mut Held {
        &mut self.held
    }

    /// Stores the recent notices and, if they are given, the layers: at the `end` at once, else by another thread.
    pub(super) fn write(&mut self, stored: Option<Stored>, now: Versions, end: bool) {
        let (at, has_layers) = (Some(Instant::now()), stored.is_some());
        (self.stored.recent, self.last.1) = (now.recent, at);
        if has_layers {
            (self.stored.layers, self.last.0) = (now.layers, at);
        }
        let job = self.job(stored);
        if end {
            return self.done(job.run(), has_layers);
        }
        let thread = std::thread::Builder::new().name("pagar-store".into()).spawn(move || {
            low_priority();
            job.run()
        });
        match thread {
            Ok(thread) => self.thread = Some((thread, has_layers)),
            Err(error) => self.done(Err(error.into()), has_layers),
        }
    }

    fn job(&mut self, stored: Option<Stored>) -> Job {
        let recent = self.held.all();
        if self.key.is_none() && recent::needs_key(recent.iter().map(Arc::as_ref)) {
            say_once(&mut self.told.1, "secret notices are not stored: there is no [ledger] key_file");
        }
        let layers = stored.map(|stored| {
            let layers = if stored.layers.layers.is_empty() {
                Layers::Leave
            } else if self.key.is_none() && stored::needs_key(&stored.layers) {
                let why = "the compiled policy is not stored: it has secret names, and there is no [ledger] key_file";
                say_once(&mut self.told.0, why);
                Layers::Remove // what is there is of another time, and may have these names as they are
            } else {
                Layers::Write(stored)
            };
            (layers, self.held.staying())
        });
        Job { directory: self.directory.clone(), key: self.key.clone(), recent, layers }
    }

    /// Waits until nothing is being written.
    fn finish(&mut self) {
        if let Some((thread, has_layers)) = self.thread.take() {
            let written = thread.join().unwrap_or_else(|_| Err(std::io::Error::other("the thread panicked").into()));
            self.done(written, has_layers);
        }
    }

    /// It has been tried; what failed is due again.
    fn done(&mut self, written: Result<(), Unusable>, has_layers: bool) {
        match written {
            Ok(()) => {
                self.failed = None;
                if has_layers {
                    self.held.layers_are_stored();
                }
            }
            Err(error) => {
                tracing::error!(%error, directory = %self.directory.display(), "the policy cannot be stored");
                self.failures.inc();
                self.failed = Some(Instant::now());
                self.stored.recent = None;
                if has_layers {
                    self.stored.layers = 0;
                }
            }
        }
    }
}

fn say_once(told: &mut bool, what: &str) {
    if !std::mem::replace(told, true) {
        tracing::warn!("{what}");
    }
}
