//! The ledger: everything that people with authority told this node, and what it did. Records are only ever added, and
//! each is hashed with the hash of the one before it, so that nobody can change one later unseen.
//!
//! ```text
//!  events, payloads --append--> ledger.redb   records, hashes, short payloads      one transaction, one wait for the disk
//!                          \--> payloads/     long payloads, before that transaction
//!
//!  ledger.redb --inspect--> verify, export    while a server appends to it
//! ```
//!
//! | file | what |
//! |---|---|
//! | [`event`] | what a record says |
//! | [`record`] | the octets of a record |
//! | [`chain`] | how records hang together |
//! | [`digest`] | SHA-256 as text |
//! | [`payload`] | signed notices as received |
//! | [`seal`] | what secret ones are sealed with |
//! | [`database`] | the file |
//! | [`inspect`] | reading it while it is written to |
//! | [`verify`] | whether all of it is as it was written |
//!
//! **What a failed append leaves.** Nothing: the caller keeps its events and tries again. After an error redb answers
//! every call with an error until it is opened anew, which [`Ledger::append`] does, so that a disk that has room again is
//! enough. If the error came so late that the transaction is in the file all the same, the next append takes its records
//! out: nobody was told of them. Only if the process ends before that, they stay, and the next process finds them.
//!
//! **What the chain cannot show.** That the last records have been cut off, or that all of it has been written anew. Whoever
//! keeps a head, from a receipt or a metric, can: [`verify`] says which record has it, or that none has.

pub mod chain;
pub mod database;
pub mod digest;
pub mod event;
pub mod inspect;
pub mod payload;
pub mod record;
pub mod seal;
#[cfg(test)]
mod tests;
pub mod verify;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use redb::{Database, ReadableTable};

pub use chain::Head;
pub use digest::Digest;
pub use event::Event;
pub use inspect::Inspect;
use payload::Prepared;
pub use payload::{Fault, Payload};
pub use record::{Record, RecordError};
use seal::Key;

/// The one writer of a ledger. See the module's header.
#[derive(Debug)]
pub struct Ledger {
    directory: PathBuf,
    key: Option<Key>,
    head: Head,
    /// `None` after an error, until it is opened again.
    database: Option<Database>,
}

/// A record as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its place in the chain, with the hash that is stored for it.
    pub head: Head,
    /// Its octets, see [`Record::decode`].
    pub octets: Vec<u8>,
}

/// A ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The system refused something: no permission, no such file, no room.
    #[error("ledger: {}: {error}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Another process has it open.
    #[error("ledger: {}: another pagar has it open; give each its own [ledger] path", .0.display())]
    InUse(PathBuf),
    /// It is none, or no longer what was written.
    #[error("ledger: {}: damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// In what way.
        what: String,
    },
    /// A later release has written it.
    #[error("ledger: {}: of version {version}, which this program does not know", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u64,
    },
    /// A payload cannot be given.
    #[error("ledger: the payload {digest} {fault}")]
    Payload {
        /// Which.
        digest: Digest,
        /// Why.
        fault: Fault,
    },
    /// It was written to all the time while it was looked at.
    #[error("ledger: {}: it changes too fast to be read; stop the server, or copy the directory while it rests", .0.display())]
    Busy(PathBuf),
}

impl LedgerError {
    fn io(path: &Path) -> impl Fn(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { path: path.clone(), error }
    }

    fn damaged(path: &Path, what: &str) -> Self {
        Self::Damaged { path: path.to_owned(), what: what.to_owned() }
    }

    fn redb(path: &Path, error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                Self::damaged(path, &error.to_string()) // no database at all
            }
            redb::Error::Io(error) => Self::Io { path: path.to_owned(), error },
            redb::Error::PreviousIo => Self::Io { path: path.to_owned(), error: io::Error::other(error.to_string()) },
            redb::Error::DatabaseAlreadyOpen => Self::InUse(path.to_owned()),
            error => Self::damaged(path, &error.to_string()),
        }
    }
}

/// Nothing of a batch was recorded.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// A payload is secret, and there is nothing to seal it with.
    #[error("ledger: the payload {0} is secret, and there is no [ledger] key_file to seal it with")]
    NeedsKey(Digest),
    /// A payload is not what its digest says.
    #[error("ledger: what was given as the payload {0} has another digest")]
    WrongDigest(Digest),
    /// A record refers to a payload that is neither stored nor given.
    #[error("ledger: a record refers to the payload {0}, which is not there")]
    NoPayload(Digest),
    /// A record cannot be written as JSON.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The file failed. What is to be recorded should be kept and tried again.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Ledger {
    /// Opens the ledger of this state directory for writing, or makes a new one. Only the last record is checked against
    /// its hash, so that a start does not wait for all of them; [`verify`] checks all.
    ///
    /// `key` seals the payloads of secret notices.
    pub fn open(directory: &Path, key: Option<Key>) -> Result<Self, LedgerError> {
        fs::create_dir_all(directory).map_err(LedgerError::io(directory))?;
        let database = Some(database::open_or_make(directory)?);
        let mut ledger = Self { directory: directory.to_owned(), key, head: Head::origin(), database };
        ledger.head = database::head(ledger.database()?, &ledger.file())?;
        Ok(ledger)
    }

    /// A ledger to be read only, which may be written to by another process meanwhile.
    pub fn inspect(directory: &Path, key: Option<Key>) -> Result<Inspect, LedgerError> {
        Inspect::open(directory, key)
    }

    /// The last record's place.
    pub const fn head(&self) -> Head {
        self.head
    }

    /// Records all of these events, at this time, with the payloads they refer to, or none. When it returns, they are on
    /// the disk.
    pub fn append(&mut self, at: Timestamp, events: &[Event], payloads: &[Payload]) -> Result<Head, AppendError> {
        if events.is_empty() && payloads.is_empty() {
            return Ok(self.head);
        }
        let payloads = payloads.iter().map(|payload| Prepared::new(payload, self.key.as_ref()));
        let payloads = payloads.collect::<Result<Vec<_>, _>>()?;
        let records = self.chain(at, events)?;
        let written = self.write(&records, &payloads, events);
        match written {
            Ok(()) => self.head = records.last().map_or(self.head, |record| record.head),
            // not only for the next append: without it there is nothing to be read either
            Err(AppendError::Ledger(_)) => {
                self.close();
                self.database = self.reopened().ok();
            }
            Err(_) => (),
        }
        written.map(|()| self.head)
    }

    /// The records from this sequence on.
    pub fn records(&self, from: u64) -> impl Iterator<Item = Result<Stored, LedgerError>> + '_ {
        let path = self.file();
        let parse = move |(sequence, value): database::Entry| {
            let damaged = || LedgerError::damaged(&path, &format!("record {sequence} has no hash"));
            Stored::parse(sequence, &value).ok_or_else(damaged)
        };
        entries(from, |from| database::batch(self.database()?, &self.file(), from, self.head.sequence))
            .map(move |entry| entry.and_then(&parse))
    }

    /// The payload with this digest, if there is one.
    pub fn payload(&self, digest: &Digest) -> Result<Option<Vec<u8>>, LedgerError> {
        let entry = database::payload(self.database()?, &self.file(), digest)?;
        let Some(entry) = entry else { return Ok(None) };
        let read = payload::read(entry, &self.directory, digest, self.key.as_ref())?;
        read.map(Some).map_err(|fault| LedgerError::Payload { digest: *digest, fault })
    }

    fn file(&self) -> PathBuf {
        self.directory.join(database::FILE)
    }

    fn database(&self) -> Result<&Database, LedgerError> {
        let closed = || io::Error::other("closed after an error; it is opened again when something is to be recorded");
        self.database.as_ref().ok_or_else(|| LedgerError::io(&self.file())(closed()))
    }

    fn close(&mut self) {
        if let Some(database) = self.database.take() {
            database::close(database, &self.file());
        }
    }

    /// Opens the database again, and makes sure that it is the one whose head is known.
    fn reopened(&self) -> Result<Database, LedgerError> {
        let (database, path, Head { sequence, hash }) = (database::open(&self.directory)?, self.file(), self.head);
        let known = database::batch(&database, &path, sequence, sequence);
        let same = known.map(|known| known.first().map_or(sequence == 0, |(_, it)| it.starts_with(hash.as_octets())));
        let wrong = || Err(LedgerError::damaged(&path, &format!("record {sequence} is not what was written")));
        match same.and_then(|same| if same { Ok(()) } else { wrong() }) {
            Ok(()) => Ok(database),
            Err(error) => {
                database::close(database, &path);
                Err(error)
            }
        }
    }

    /// The records of these events, behind the head.
    fn chain(&self, at: Timestamp, events: &[Event]) -> Result<Vec<Stored>, RecordError> {
        let mut head = self.head;
        let stored = |event: &Event| {
            let octets = Record { sequence: head.sequence + 1, at, event: event.clone() }.encode()?;
            head = head.next(&octets);
            Ok(Stored { head, octets })
        };
        events.iter().map(stored).collect()
    }

    fn write(&mut self, records: &[Stored], payloads: &[Prepared<'_>], events: &[Event]) -> Result<(), AppendError> {
        if self.database.is_none() {
            self.database = Some(self.reopened()?);
        }
        let (database, path) = (self.database()?, self.file());
        let mut failed = None;
        let committed = database::guarded(&path, || {
            let transaction = database::begin(database)?;
            let filled = self.fill(&transaction, records, payloads, events);
            match filled {
                Ok(()) => Ok(transaction.commit()?),
                Err(Unfilled::Redb(error)) => Err(error),
                Err(Unfilled::Other(error)) => {
                    failed = Some(error);
                    Ok(transaction.abort()?)
                }
            }
        });
        committed?;
        failed.map_or(Ok(()), Err)
    }

    fn fill(
        &self,
        transaction: &redb::WriteTransaction,
        records: &[Stored],
        payloads: &[Prepared<'_>],
        events: &[Event],
    ) -> Result<(), Unfilled> {
        let mut table = transaction.open_table(database::PAYLOADS)?;
        payloads.iter().try_for_each(|payload| payload.store(&mut table, &self.directory))?;
        for digest in events.iter().filter_map(Event::payload) {
            if table.get(digest.as_octets())?.is_none() {
                return Err(Unfilled::Other(AppendError::NoPayload(*digest)));
            }
        }
        let mut table = transaction.open_table(database::RECORDS)?;
        // of an append that failed after all was written
        while table.last()?.is_some_and(|(sequence, _)| sequence.value() > self.head.sequence) {
            table.pop_last()?;
        }
        for Stored { head, octets } in records {
            table.insert(head.sequence, &*[head.hash.as_octets(), octets.as_slice()].concat())?;
        }
        Ok(())
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.close();
    }
}

/// Why a transaction was not filled.
enum Unfilled {
    Redb(redb::Error),
    Other(AppendError),
}

impl<E: Into<redb::Error>> From<E> for Unfilled {
    fn from(error: E) -> Self {
        Self::Redb(error.into())
    }
}

impl From<LedgerError> for Unfilled {
    fn from(error: LedgerError) -> Self {
        Self::Other(error.into())
    }
}

impl Stored {
    /// From what the table has for this sequence.
    fn parse(sequence: u64, value: &[u8]) -> Option<Self> {
        let (hash, octets) = value.split_first_chunk()?;
        Some(Self { head: Head { sequence, hash: Digest::new(*hash) }, octets: octets.to_vec() })
    }

    /// A line of an export, with the hash of the record before. The record stands there as it was written, so that whoever
    /// reads it can compute its hash.
    pub fn as_json(&self, before: &Head) -> Result<String, String> {
        let Head { sequence, hash } = &self.head;
        let text = std::str::from_utf8(&self.octets).ok();
        let text = text.filter(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok());
        let record =
            text.ok_or_else(|| format!("ledger: record {sequence} is no JSON; pagar ledger verify says more"))?;
        Ok(format!("{{\"sequence\":{sequence},\"hash\":\"{hash}\",\"prev\":\"{}\",\"record\":{record}}}", before.hash))
    }

    /// What it says.
    pub fn record(&self) -> Result<Record, RecordError> {
        Record::decode(&self.octets)
    }
}

/// All entries from this sequence on, read in batches; the first error ends it.
fn entries(
    from: u64,
    mut read: impl FnMut(u64) -> Result<Vec<database::Entry>, LedgerError>,
) -> impl Iterator<Item = Result<database::Entry, LedgerError>> {
    let (mut next, mut ended, mut batch) = (Some(from), false, Vec::new().into_iter());
    std::iter::from_fn(move || {
        if let Some(entry) = batch.next() {
            return Some(Ok(entry));
        }
        if ended {
            return None;
        }
        match read(next?) {
            Ok(entries) => {
                next = entries.last().and_then(|(sequence, _)| sequence.checked_add(1));
                batch = entries.into_iter();
                batch.next().map(Ok)
            }
            Err(error) => {
                ended = true;
                Some(Err(error))
            }
        }
    })
}
