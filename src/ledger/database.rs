//! The file: a redb database of three tables. What it takes to open one safely stands here, and nothing of what the
//! records mean.
//!
//! | table | key | value |
//! |---|---|---|
//! | `about` | `version` | 1 |
//! | `records` | sequence | hash (32 octets), record |
//! | `payloads` | digest | a form ([`payload`](super::payload)), then the octets unless they are in a file |
//!
//! A new file is made under another name and gets its own when it is whole: redb does not open what a crash left half
//! made. redb panics on some kinds of damage; here that is an error, since the control plane has to go on.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::backends::FileBackend;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};

use super::chain::Head;
use super::digest::Digest;
use super::{LedgerError, Stored};

/// Its name in the state directory.
pub const FILE: &str = "ledger.redb";

pub(super) const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");
pub(super) const PAYLOADS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("payloads");
const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");
const VERSION: u64 = 1;

/// Octets of pages redb may keep in memory. Records are written once and seldom read.
const CACHE: usize = 4 << 20;
/// A batch of records ends with the record that brings it to so many octets.
const BATCH: usize = 256 << 10;

/// Opens the database of this directory, and makes it if there is none.
pub(super) fn open_or_make(directory: &Path) -> Result<Database, LedgerError> {
    let path = directory.join(FILE);
    if !path.try_exists().map_err(LedgerError::io(&path))? {
        make(directory)?;
    }
    open(directory)
}

/// Opens the database of this directory.
pub(super) fn open(directory: &Path) -> Result<Database, LedgerError> {
    let path = directory.join(FILE);
    checked(guarded(&path, || Ok(redb::Builder::new().set_cache_size(CACHE).open(&path)?))?, &path)
}

fn make(directory: &Path) -> Result<(), LedgerError> {
    let (path, aside) = (directory.join(FILE), directory.join("ledger.new"));
    let io = LedgerError::io(&aside);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&aside);
    let file = file.map_err(&io)?;
    let made = guarded(&aside, || {
        let database = redb::Builder::new().set_cache_size(CACHE).create_with_backend(FileBackend::new(file)?)?;
        let transaction = begin(&database)?;
        transaction.open_table(ABOUT)?.insert("version", VERSION)?;
        transaction.open_table(RECORDS)?;
        transaction.open_table(PAYLOADS)?;
        Ok(transaction.commit()?)
    });
    let named = made.and_then(|()| fs::rename(&aside, &path).and_then(|()| sync(directory)).map_err(io));
    if named.is_err() {
        let _ = fs::remove_file(&aside); // it may fill the disk
    }
    named
}

/// Makes the names in a directory outlive a crash.
pub(super) fn sync(directory: &Path) -> std::io::Result<()> {
    File::open(directory)?.sync_all()
}

/// A transaction that is on the disk when its commit returns, and after which a crash costs no walk through the file.
pub(super) fn begin(database: &Database) -> Result<redb::WriteTransaction, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    transaction.set_quick_repair(true);
    Ok(transaction)
}

/// Closes it. Of no use to wait for: what was committed is on the disk.
pub(super) fn close(database: Database, path: &Path) {
    let _ = guarded(path, || Ok(database.close()?)); // it may be closed because of an error
}

/// Opens a database that is in no file of its own, see [`inspect`](super::inspect).
pub(super) fn open_on(backend: impl StorageBackend, path: &Path) -> Result<Database, LedgerError> {
    checked(guarded(path, || Ok(redb::Builder::new().set_cache_size(CACHE).create_with_backend(backend)?))?, path)
}

fn checked(database: Database, path: &Path) -> Result<Database, LedgerError> {
    match check_version(&database, path) {
        Ok(()) => Ok(database),
        Err(error) => {
            close(database, path);
            Err(error)
        }
    }
}

fn check_version(database: &Database, path: &Path) -> Result<(), LedgerError> {
    let version =
        guarded(path, || Ok(database.begin_read()?.open_table(ABOUT)?.get("version")?.map(|version| version.value())))?;
    match version {
        Some(VERSION) => Ok(()),
        Some(version) => Err(LedgerError::Version { path: path.to_owned(), version }),
        None => Err(LedgerError::damaged(path, "it does not say its version")),
    }
}

/// The last record's place, of which only the hash of the last record is checked; the origin if there is none.
pub(super) fn head(database: &Database, path: &Path) -> Result<Head, LedgerError> {
    let wrong = || LedgerError::damaged(path, "its last record is not the one its hash was made of");
    let last: Vec<_> = guarded(path, || {
        let records = database.begin_read()?.open_table(RECORDS)?;
        let last = records.iter()?.rev().take(2);
        last.map(|entry| entry.map(|(key, value)| (key.value(), value.value().to_vec())))
            .collect::<Result<_, _>>()
            .map_err(redb::Error::from)
    })?;
    let mut last = last.into_iter().map(|(sequence, value)| Stored::parse(sequence, &value).ok_or_else(wrong));
    let Some(record) = last.next().transpose()? else { return Ok(Head::origin()) };
    let before = last.next().transpose()?.map_or_else(Head::origin, |stored| stored.head);
    if before.next(&record.octets) == record.head { Ok(record.head) } else { Err(wrong()) }
}

/// The number of the last record, 0 if there is none.
pub(super) fn last(database: &Database, path: &Path) -> Result<u64, LedgerError> {
    guarded(path, || {
        let last = database.begin_read()?.open_table(RECORDS)?.last()?.map(|(sequence, _)| sequence.value());
        Ok(last.unwrap_or_default())
    })
}

/// What is stored under a sequence: its hash and record.
pub(super) type Entry = (u64, Vec<u8>);

/// The entries from this sequence on, up to the last wanted; none if there are none, but not necessarily all.
pub(super) fn batch(database: &Database, path: &Path, from: u64, last: u64) -> Result<Vec<Entry>, LedgerError> {
    let mut batch = Vec::new();
    if from > last {
        return Ok(batch);
    }
    guarded(path, || {
        let records = database.begin_read()?.open_table(RECORDS)?;
        let mut octets = 0;
        for entry in records.range(from..=last)? {
            let (sequence, value) = entry?;
            let value = value.value().to_vec();
            octets += value.len();
            batch.push((sequence.value(), value));
            if octets >= BATCH {
                break;
            }
        }
        Ok(())
    })?;
    Ok(batch)
}

/// What the table of payloads has for a digest.
pub(super) fn payload(database: &Database, path: &Path, digest: &Digest) -> Result<Option<Vec<u8>>, LedgerError> {
    guarded(path, || {
        let payloads = database.begin_read()?.open_table(PAYLOADS)?;
        Ok(payloads.get(digest.as_octets())?.map(|value| value.value().to_vec()))
    })
}

/// Does something with redb, whose panics mean damage.
pub(super) fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, LedgerError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| LedgerError::redb(path, error)),
        Err(_) => Err(LedgerError::damaged(path, "its pages contradict each other")),
    }
}
