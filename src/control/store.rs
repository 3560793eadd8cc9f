//! [`Store`]: when the compiled policy is written to the state directory, and by whom.
//!
//! Layers are built seldom, and to store them takes as long as they are long; so it is done by a thread of its own, and
//! not more often than every [`PAUSE`]. It is due when layers have been built, and when a notice has gone whose names
//! stand in them: what is stored is the last good content of a list that cannot be read at the next start.

use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use prometheus::IntCounter;

use super::stored::{self, Stored, Unusable};
use crate::ingest::low_priority;
use crate::ledger::seal::Key;

/// From one writing to the next.
const PAUSE: Duration = Duration::from_secs(10);

/// See the module's header.
#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
    key: Option<Key>,
    failures: IntCounter,
    /// What was stored last, by the register's version.
    version: u64,
    last: Option<Instant>,
    /// Writes.
    thread: Option<JoinHandle<Result<(), Unusable>>>,
    /// It has been said that a key is missing.
    told: bool,
    /// Another process stores.
    retired: bool,
}

impl Store {
    /// `failures` counts what could not be written.
    pub(super) fn new(directory: PathBuf, key: Option<Key>, failures: IntCounter) -> Self {
        Self { directory, key, failures, version: 0, last: None, thread: None, told: false, retired: false }
    }

    /// Where it is stored.
    pub(super) fn file(&self) -> PathBuf {
        self.directory.join(stored::FILE)
    }

    /// What was stored by an earlier run.
    pub(super) fn read(&mut self) -> Result<Option<Stored>, Unusable> {
        let stored = stored::read(&self.directory, self.key.as_ref())?;
        self.version = u64::from(stored.is_some()); // to take it over is the register's first build
        Ok(stored)
    }

    /// Stores nothing any more: a process that takes over does.
    pub(super) fn retire(&mut self) {
        self.finish();
        self.retired = true;
    }

    /// Whether this version is to be stored now; at the `end` whenever it differs.
    pub(super) fn is_due(&mut self, version: u64, end: bool) -> bool {
        if end || self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
            self.finish();
        }
        let rested = self.last.is_none_or(|last| last.elapsed() >= PAUSE);
        !self.retired && version != self.version && (end || self.thread.is_none() && rested)
    }

    /// Stores it: at the `end` at once, else by another thread.
    pub(super) fn write(&mut self, stored: Stored, version: u64, end: bool) {
        (self.version, self.last) = (version, Some(Instant::now()));
        if stored.layers.layers.is_empty() {
            return;
        }
        if self.key.is_none() && stored::needs_key(&stored.layers) {
            if !std::mem::replace(&mut self.told, true) {
                tracing::warn!(
                    "the compiled policy is not stored: it has secret names, and there is no [ledger] key_file"
                );
            }
            // what is there is of another time, and may have these names as they are
            return self.done(stored::remove(&self.directory));
        }
        let (directory, key) = (self.directory.clone(), self.key.clone());
        let work = move || stored::write(&directory, &stored, key.as_ref());
        if end {
            return self.done(work());
        }
        let thread = std::thread::Builder::new().name("pagar-store".into()).spawn(move || {
            low_priority();
            work()
        });
        match thread {
            Ok(thread) => self.thread = Some(thread),
            Err(error) => self.done(Err(error.into())),
        }
    }

    /// Waits until nothing is being written.
    fn finish(&mut self) {
        if let Some(thread) = self.thread.take() {
            let written = thread.join().unwrap_or_else(|_| Err(std::io::Error::other("the thread panicked").into()));
            self.done(written);
        }
    }

    /// It has been tried; what failed is due again.
    fn done(&mut self, written: Result<(), Unusable>) {
        if let Err(error) = written {
            tracing::error!(%error, directory = %self.directory.display(), "the compiled policy cannot be stored");
            self.failures.inc();
            self.version = 0;
        }
    }
}
