//! [`Serial`]: the policy serial, never used twice, also not after a restart.
//!
//! Blocked answers carry it in their SOA, so it is the witness of which policy gave an answer. The state directory holds a
//! number all serials so far are below; a start continues there, and the file is written once in [`BLOCK`] publications.
//!
//! During a hand-over two processes use the directory: the new one has the lock from the old one and a block of its own
//! above the old one's, which goes on publishing from its block until the new one is ready. Whoever needs another block
//! looks into the file first.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

/// Serials reserved by one write.
const BLOCK: u32 = 1_000;

/// See the module's header.
#[derive(Debug)]
pub struct Serial {
    directory: File, // locked as long as it is open
    file: PathBuf,
    next: u32,
    reserved: u32,
}

/// The state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SerialError {
    /// It cannot be created, read or written: no permission, disk full.
    #[error("state directory: {}: {error}", path.display())]
    Io {
        /// The directory or file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The file holds no number.
    #[error("state directory: {}: not a policy serial; remove the file to start again from 1", .0.display())]
    Damaged(PathBuf),
    /// Two servers would use the same serials.
    #[error("state directory: {}: another pagar uses it; give each its own [ledger] path", .0.display())]
    InUse(PathBuf),
}

impl Serial {
    /// Opens the state directory, creates it if need be, and makes sure that it can be written. `locked` is the
    /// directory as a process that hands over has opened and locked it; if the configuration names another one, it is
    /// of no use.
    pub fn open(directory: &Path, locked: Option<OwnedFd>) -> Result<Self, SerialError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            |error| SerialError::Io { path, error }
        };
        fs::create_dir_all(directory).map_err(at(directory))?;
        let opened = File::open(directory).map_err(at(directory))?;
        let lock = match locked.map(File::from).filter(|locked| same_file(locked, &opened)) {
            Some(locked) => locked,
            None if rustix::fs::flock(&opened, FlockOperation::NonBlockingLockExclusive).is_ok() => opened,
            None => return Err(SerialError::InUse(directory.to_owned())),
        };
        let file = directory.join("serial");
        let next = match fs::read_to_string(&file) {
            Ok(text) => text.trim().parse().map_err(|_| SerialError::Damaged(file.clone()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 1,
            Err(error) => return Err(at(&file)(error)),
        };
        let mut serial = Self { directory: lock, next, reserved: next, file };
        let path = serial.file.clone();
        serial.reserve().map_err(at(&path))?;
        Ok(serial)
    }

    /// The directory, for a process that takes over: the lock is the open file's, so it lasts as long as any of its
    /// descriptors.
    pub fn lock(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// The next serial; 0 is never given out. The error says that the reservation could not be written; the serial is good,
    /// but may be used again after a restart.
    pub fn take(&mut self) -> (u32, io::Result<()>) {
        let written = if self.next == self.reserved { self.reserve_again() } else { Ok(()) };
        let serial = self.next.max(1);
        self.next = serial.wrapping_add(1);
        (serial, written)
    }

    /// The block after this one, unless a process that wanted to take over has reserved it and failed.
    fn reserve_again(&mut self) -> io::Result<()> {
        let written = fs::read_to_string(&self.file).ok().and_then(|text| text.trim().parse().ok());
        // a smaller number, or none, is not ours: then the block follows the last one, as far as we know
        if let Some(others) = written.filter(|others| *others > self.next) {
            self.next = others;
        }
        self.reserve()
    }

    fn reserve(&mut self) -> io::Result<()> {
        let reserved = self.next.wrapping_add(BLOCK);
        let temporary = self.file.with_extension("new");
        let mut file = File::create(&temporary)?;
        writeln!(file, "{reserved}")?;
        file.sync_all()?;
        fs::rename(&temporary, &self.file)?;
        self.directory.sync_all()?; // the directory: a rename is kept only then
        self.reserved = reserved;
        Ok(())
    }
}

fn same_file(a: &File, b: &File) -> bool {
    let id = |file: &File| rustix::fs::fstat(file).ok().map(|stat| (stat.st_dev, stat.st_ino));
    id(a).is_some() && id(a) == id(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_grow_over_restarts() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let mut last = 0;
        for _ in 0..3 {
            let mut serial = Serial::open(&state, None).unwrap();
            for _ in 0..BLOCK + 5 {
                let (next, written) = serial.take();
                written.unwrap();
                assert!(next > last);
                last = next;
            }
        }
    }

    #[test]
    fn a_damaged_or_unusable_directory_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let used = Serial::open(&directory.path().join("used"), None).unwrap();
        assert!(matches!(Serial::open(&directory.path().join("used"), None), Err(SerialError::InUse(_))));
        drop(used);
        fs::write(directory.path().join("serial"), "x").unwrap();
        assert!(matches!(Serial::open(directory.path(), None), Err(SerialError::Damaged(_))));
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(Serial::open(&file, None).unwrap_err().to_string().contains("file"));
    }

    #[test]
    fn a_process_that_takes_over_shares_the_lock_and_no_serial() {
        let directory = tempfile::tempdir().unwrap();
        let (first, other) = (directory.path().join("a"), directory.path().join("b"));
        let mut old = Serial::open(&first, None).unwrap();
        let locked = |serial: &Serial| Some(serial.lock().try_clone_to_owned().unwrap());
        let mut given: Vec<_> = (0..10).map(|_| old.take().0).collect();
        let mut new = Serial::open(&first, locked(&old)).unwrap();
        // each beyond its first block, in turns
        for _ in 0..BLOCK + 5 {
            given.extend([old.take().0, new.take().0]);
        }
        given.sort_unstable();
        let before = given.len();
        given.dedup();
        assert_eq!(given.len(), before, "a serial was given out twice");
        let elsewhere = Serial::open(&other, locked(&new)).unwrap();
        assert!(
            matches!(Serial::open(&other, locked(&new)), Err(SerialError::InUse(_))),
            "a lock of another directory"
        );
        drop((old, elsewhere));
        assert!(matches!(Serial::open(&first, None), Err(SerialError::InUse(_))), "the new one still has it");
        drop(new);
        Serial::open(&first, None).unwrap();
    }
}
