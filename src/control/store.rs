//! [`Store`]: when the compiled policy is written to the state directory, and by whom.
//!
//! Layers are built seldom, and to store them takes as long as they are long; so it is done by a thread of its own, and
//! not more often than every [`PAUSE`]. What a file says of notices that have gone since does no harm: a start looks at
//! the sources.

use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use prometheus::IntCounter;

use super::low_priority;
use super::stored::{self, Key, Stored, Unusable};

/// From one writing to the next.
const PAUSE: Duration = Duration::from_secs(10);

/// See the module's header.
#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
    key: Option<Key>,
    /// Which layers were stored last.
    builds: u64,
    last: Option<Instant>,
    /// Writes.
    thread: Option<JoinHandle<()>>,
    /// It has been said that a key is missing.
    told: bool,
}

impl Store {
    pub(super) fn new(directory: PathBuf, key: Option<Key>) -> Self {
        Self { directory, key, builds: 0, last: None, thread: None, told: false }
    }

    /// What was stored by an earlier run.
    pub(super) fn read(&mut self) -> Result<Option<Stored>, Unusable> {
        let stored = stored::read(&self.directory, self.key.as_ref())?;
        self.builds = u64::from(stored.is_some()); // to take it over is the register's first build
        Ok(stored)
    }

    /// Whether these layers are to be stored now.
    pub(super) fn is_due(&self, builds: u64, end: bool) -> bool {
        builds != self.builds && (end || self.thread.is_none() && self.last.is_none_or(|last| last.elapsed() >= PAUSE))
    }

    /// Waits until nothing is being written.
    pub(super) fn finish(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic has been logged
        }
    }

    /// Stores them: at the `end` at once, and returns what came of it; else by another thread, which delivers it.
    pub(super) fn write(
        &mut self,
        stored: Stored,
        builds: u64,
        end: bool,
        deliver: impl FnOnce(Result<(), Unusable>) + Send + 'static,
    ) -> Option<Result<(), Unusable>> {
        (self.builds, self.last) = (builds, Some(Instant::now()));
        if stored.layers.layers.is_empty() {
            return None;
        }
        if self.key.is_none() && stored::needs_key(&stored.layers) {
            if !std::mem::replace(&mut self.told, true) {
                tracing::warn!(
                    "the compiled policy is not stored: it has secret names, and there is no [ledger] key_file"
                );
            }
            return None;
        }
        let (directory, key) = (self.directory.clone(), self.key.clone());
        let work = move || stored::write(&directory, &stored, key.as_ref());
        if end {
            return Some(work());
        }
        let thread = std::thread::Builder::new().name("pagar-store".into()).spawn(move || {
            low_priority();
            deliver(work());
        });
        match thread {
            Ok(thread) => self.thread = Some(thread),
            Err(error) => tracing::warn!(%error, "the compiled policy is not stored"),
        }
        None
    }

    /// It has been tried.
    pub(super) fn done(&mut self, written: Result<(), Unusable>, failures: &IntCounter) {
        self.thread = None;
        if let Err(error) = written {
            tracing::error!(%error, directory = %self.directory.display(), "the compiled policy cannot be stored");
            failures.inc();
        }
    }
}
