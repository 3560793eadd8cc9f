//! [`Inspect`]: a ledger read while another process may append to it.
//!
//! redb lets nobody open a file that another process has open for writing, so the file is read below redb: what redb
//! would write goes to memory ([`Overlay`]), the file itself is only read. What it reads is as after a crash at that
//! moment, which redb gets over. The pages of a state are overwritten only after the next state has been committed, and
//! every commit changes the first page; so as long as that is the same, whatever is read belongs to one state. It is
//! looked at after every read: redb gets to see pages of one state, or an error. Then the state is given up and the part
//! read again.
//!
//! (redb 4.5 has a mode for one writer and many readers. It is not used yet: it is young, what a crash left cannot be
//! read in it, and both sides have to know the same protocol of locks.)

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redb::{Database, StorageBackend};

use super::seal::Key;
use super::{Digest, Fault, Head, LedgerError, Stored, database, entries, payload};

/// Octets of a page of redb; the first holds what every commit changes.
const PAGE: usize = 4096;
/// How often a part is read again before it is given up, and the wait in between: half a second in all.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(5);

/// A ledger that is only read. See the module's header.
pub struct Inspect {
    directory: PathBuf,
    path: PathBuf,
    key: Option<Key>,
    file: File,
    state: Option<State>,
}

impl Inspect {
    pub(super) fn open(directory: &Path, key: Option<Key>) -> Result<Self, LedgerError> {
        let path = directory.join(database::FILE);
        let file = File::open(&path).map_err(LedgerError::io(&path))?;
        let mut inspect = Self { directory: directory.to_owned(), path, key, file, state: None };
        inspect.last()?;
        Ok(inspect)
    }

    /// The last record's place now; only its own hash is checked.
    pub fn head(&mut self) -> Result<Head, LedgerError> {
        self.steady(database::head)
    }

    /// The records from this sequence on, up to the one that is the last now.
    pub fn records(&mut self, from: u64) -> Result<impl Iterator<Item = Result<Stored, LedgerError>>, LedgerError> {
        let path = self.path.clone();
        let parse = move |(sequence, value): database::Entry| {
            let damaged = || LedgerError::damaged(&path, &format!("record {sequence} has no hash"));
            Stored::parse(sequence, &value).ok_or_else(damaged)
        };
        Ok(self.entries(from)?.map(move |entry| entry.and_then(&parse)))
    }

    /// The payload with this digest, if there is one.
    pub fn payload(&mut self, digest: &Digest) -> Result<Option<Vec<u8>>, LedgerError> {
        let entry = self.payloads(&[*digest])?.pop().flatten();
        match self.read(digest, entry)? {
            Err(Fault::Missing) => Ok(None),
            found => found.map(Some).map_err(|fault| LedgerError::Payload { digest: *digest, fault }),
        }
    }

    /// The entries of these payloads.
    pub(super) fn payloads(&mut self, digests: &[Digest]) -> Result<Vec<Option<Vec<u8>>>, LedgerError> {
        self.steady(|database, path| digests.iter().map(|digest| database::payload(database, path, digest)).collect())
    }

    /// The payload that an entry stands for.
    pub(super) fn read(&self, digest: &Digest, entry: Option<Vec<u8>>) -> Result<Result<Vec<u8>, Fault>, LedgerError> {
        entry.map_or(Ok(Err(Fault::Missing)), |entry| payload::read(entry, &self.directory, digest, self.key.as_ref()))
    }

    pub(super) fn batch(&mut self, from: u64, last: u64) -> Result<Vec<database::Entry>, LedgerError> {
        self.steady(|database, path| database::batch(database, path, from, last))
    }

    pub(super) fn last(&mut self) -> Result<u64, LedgerError> {
        self.steady(database::last)
    }

    fn entries(
        &mut self,
        from: u64,
    ) -> Result<impl Iterator<Item = Result<database::Entry, LedgerError>>, LedgerError> {
        let last = self.last()?;
        Ok(entries(from, move |from| self.batch(from, last)))
    }

    /// Reads something of one state.
    fn steady<T>(&mut self, read: impl Fn(&Database, &Path) -> Result<T, LedgerError>) -> Result<T, LedgerError> {
        for _ in 0..TRIES {
            let first = first_page(&self.file).map_err(LedgerError::io(&self.path))?;
            let state = self.state.take().filter(|state| state.first == first);
            let state = state.map_or_else(|| self.open_state(first.clone()), Ok);
            let done = state.and_then(|state| Ok((read(state.database()?, &self.path)?, state)));
            if first_page(&self.file).map_err(LedgerError::io(&self.path))? == first {
                let (done, state) = done?;
                self.state = Some(state);
                return Ok(done);
            }
            std::thread::sleep(PAUSE);
        }
        Err(LedgerError::Busy(self.path.clone()))
    }

    fn open_state(&self, first: Vec<u8>) -> Result<State, LedgerError> {
        let path = self.path.clone();
        let overlay = self.file.try_clone().and_then(|file| Overlay::new(file, first.clone()));
        let database = database::open_on(overlay.map_err(LedgerError::io(&path))?, &path)?;
        Ok(State { first, path, database: Some(database) })
    }
}

fn first_page(file: &File) -> io::Result<Vec<u8>> {
    let mut page = vec![0; PAGE];
    let there = file.metadata()?.len().min(PAGE as u64) as usize;
    file.read_exact_at(&mut page[..there], 0)?;
    Ok(page)
}

/// What the ledger is at one moment.
struct State {
    /// The first page then.
    first: Vec<u8>,
    path: PathBuf,
    database: Option<Database>,
}

impl State {
    fn database(&self) -> Result<&Database, LedgerError> {
        self.database.as_ref().ok_or_else(|| LedgerError::Busy(self.path.clone()))
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some(database) = self.database.take() {
            database::close(database, &self.path);
        }
    }
}

impl fmt::Debug for Inspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inspect").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A file that is read as long as its first page is the same, with what is written kept beside it.
#[derive(Debug)]
struct Overlay {
    file: File,
    first: Vec<u8>,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    len: u64,
    /// How much of the file counts; what lies behind has been cut off.
    of_file: u64,
    /// Pages by their number.
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Overlay {
    fn new(file: File, first: Vec<u8>) -> io::Result<Self> {
        let len = file.metadata()?.len();
        let written = Written { len, of_file: len, pages: BTreeMap::new() };
        Ok(Self { file, first, written: Mutex::new(written) })
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_file(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)?;
        if first_page(&self.file)? == self.first { Ok(()) } else { Err(io::Error::other("it has been written to")) }
    }

    /// A page as it is now.
    fn page(&self, written: &Written, number: u64) -> io::Result<Vec<u8>> {
        if let Some(page) = written.pages.get(&number) {
            return Ok(page.clone());
        }
        let mut page = vec![0; PAGE];
        let start = number * PAGE as u64;
        let there = written.of_file.saturating_sub(start).min(PAGE as u64) as usize;
        self.read_file(start, &mut page[..there])?;
        Ok(page)
    }
}

/// The pages that so many octets from `offset` on touch: number, from where in it, how many.
fn pages(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let mut at = offset;
    std::iter::from_fn(move || {
        let left = (offset + len as u64 - at) as usize;
        let from = (at % PAGE as u64) as usize;
        let part = (at / PAGE as u64, from, left.min(PAGE - from));
        at += part.2 as u64;
        (left > 0).then_some(part)
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.written();
        let end = offset.checked_add(out.len() as u64).filter(|end| *end <= written.len);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let touched = offset / PAGE as u64..end.div_ceil(PAGE as u64);
        if end <= written.of_file && written.pages.range(touched).next().is_none() {
            return self.read_file(offset, out);
        }
        let mut done = 0;
        for (number, from, count) in pages(offset, out.len()) {
            let page = self.page(&written, number)?;
            out[done..done + count].copy_from_slice(&page[from..from + count]);
            done += count;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut written = self.written();
        if len < written.len {
            written.pages.retain(|number, _| number * (PAGE as u64) < len);
            let (last, rest) = (len / PAGE as u64, (len % PAGE as u64) as usize);
            if let Some(page) = written.pages.get_mut(&last) {
                page[rest..].fill(0);
            }
            written.of_file = written.of_file.min(len);
        }
        written.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written();
        let mut done = 0;
        for (number, from, count) in pages(offset, data.len()) {
            let mut page = self.page(&written, number)?;
            page[from..from + count].copy_from_slice(&data[done..done + count]);
            written.pages.insert(number, page);
            done += count;
        }
        written.len = written.len.max(offset + data.len() as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_the_file_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let mut octets: Vec<u8> = (0..10_000u32).map(|n| n as u8).collect();
        std::fs::write(&path, &octets).unwrap();
        let overlay = Overlay::new(File::open(&path).unwrap(), octets[..PAGE].to_vec()).unwrap();
        // the same done to a vector
        let mut twin = octets.clone();
        let check = |twin: &[u8]| {
            assert_eq!(overlay.len().unwrap(), twin.len() as u64);
            for (offset, len) in [(0, twin.len()), (4090, 20), (0, 0), (twin.len() - 1, 1), (8191, 2)] {
                let Some(wanted) = twin.get(offset..offset + len) else { continue };
                let mut out = vec![1; len];
                overlay.read(offset as u64, &mut out).unwrap();
                assert_eq!(out, wanted, "{offset} {len}");
            }
            overlay.read(twin.len() as u64, &mut [0]).unwrap_err();
        };
        check(&twin);
        for (offset, len) in [(4095, 2), (0, 9_000), (9_999, 1), (5, 0)] {
            overlay.write(offset as u64, &vec![7; len]).unwrap();
            twin[offset..offset + len].fill(7);
            check(&twin);
        }
        for len in [20_000, 9_999, 9_000, 5_000, 15_000, 100, 8_192] {
            overlay.set_len(len as u64).unwrap();
            twin.resize(len, 0);
            check(&twin);
        }
        assert_eq!(std::fs::read(&path).unwrap(), octets);
        let overlay = Overlay::new(File::open(&path).unwrap(), octets[..PAGE].to_vec()).unwrap();
        octets[7] ^= 1;
        std::fs::write(&path, &octets).unwrap();
        overlay.read(5_000, &mut [0]).unwrap_err();
    }
}
