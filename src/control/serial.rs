//! [`Serial`]: the policy serial, never used twice, also not after a restart.
//!
//! Blocked answers carry it in their SOA, so it is the witness of which policy gave an answer. The state directory holds a
//! number all serials so far are below; a start continues there, and the file is written once in [`BLOCK`] publications.

use std::fs::{self, File};
use std::io::{self, Write};
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
    /// Opens the state directory, creates it if need be, and makes sure that it can be written.
    pub fn open(directory: &Path) -> Result<Self, SerialError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            |error| SerialError::Io { path, error }
        };
        fs::create_dir_all(directory).map_err(at(directory))?;
        let lock = File::open(directory).map_err(at(directory))?;
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(SerialError::InUse(directory.to_owned()));
        }
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

    /// The next serial; 0 is never given out. The error says that the reservation could not be written; the serial is good,
    /// but may be used again after a restart.
    pub fn take(&mut self) -> (u32, io::Result<()>) {
        let written = if self.next == self.reserved { self.reserve() } else { Ok(()) };
        let serial = self.next.max(1);
        self.next = serial.wrapping_add(1);
        (serial, written)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_grow_over_restarts() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let mut last = 0;
        for _ in 0..3 {
            let mut serial = Serial::open(&state).unwrap();
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
        let used = Serial::open(&directory.path().join("used")).unwrap();
        assert!(matches!(Serial::open(&directory.path().join("used")), Err(SerialError::InUse(_))));
        drop(used);
        fs::write(directory.path().join("serial"), "x").unwrap();
        assert!(matches!(Serial::open(directory.path()), Err(SerialError::Damaged(_))));
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(Serial::open(&file).unwrap_err().to_string().contains("file"));
    }
}
