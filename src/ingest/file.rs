//! Files as they lie on disk: whether one has changed since the last look, and reading it whole or not at all.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use super::{Problem, Severity};

/// How often a file that changes under the reader is read again before it is left for the next look.
const TRIES: usize = 3;

/// Octets that are read at once.
const BLOCK: usize = 64 << 10;

/// A change within the clock tick of the last look leaves no trace in a fingerprint; one taken this soon after the file's
/// last change is not relied on.
const TICK: Duration = Duration::from_millis(100);

/// What tells two states of a file apart without reading it. The change time is in it because the modification time can be
/// set at will, and because it moves when the permission to read comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    file: (u64, u64), // device, inode
    pub(super) size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Fingerprint {
    /// Of a file, or of what a symbolic link points to.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        std::fs::metadata(path).map(|metadata| Self::from(&metadata))
    }

    /// Whether the file has been left alone for `quiet`. A change time in the future says nothing, so it counts as settled.
    pub(super) fn is_settled(&self, now: Timestamp, quiet: Duration) -> bool {
        let changed = i128::from(self.changed.0) * 1_000_000_000 + i128::from(self.changed.1);
        let age = now.as_nanosecond() - changed;
        age < 0 || age.unsigned_abs() >= quiet.as_nanos()
    }

    /// Whether an equal fingerprint later will prove that nothing changed in between.
    pub(super) fn is_reliable(&self, now: Timestamp) -> bool {
        self.is_settled(now, TICK)
    }
}

impl From<&Metadata> for Fingerprint {
    fn from(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What an attempt to read a file gave.
#[derive(Debug)]
pub(super) enum Content<T> {
    /// All of it, and the state of the file it is from.
    Whole(T, Fingerprint),
    /// Somebody is writing it right now.
    Changing,
    /// More than the limit.
    TooLarge,
}

/// Reads a file of at most `limit` octets in one state of it.
pub(super) fn read(path: &Path, limit: u64) -> io::Result<Content<Vec<u8>>> {
    let start = |size: u64| Vec::with_capacity(size as usize + 1);
    read_in_blocks(path, limit, start, Vec::extend_from_slice)
}

/// The same for what need not lie in memory as a whole: `start` makes what takes it in, by the size of the file, and
/// `take` gives it the next octets. What took in a state that was none is dropped.
pub(super) fn read_in_blocks<T>(
    path: &Path,
    limit: u64,
    start: impl Fn(u64) -> T,
    take: impl Fn(&mut T, &[u8]),
) -> io::Result<Content<T>> {
    let mut block = Vec::new();
    for _ in 0..TRIES {
        // Without O_NONBLOCK, a FIFO in the place of a notice would stop the thread for good.
        let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let before = Fingerprint::from(&metadata);
        if before.size > limit {
            return Ok(Content::TooLarge);
        }
        block.resize((before.size as usize + 1).min(BLOCK), 0);
        let (mut taken, mut read) = (start(before.size), 0);
        while read <= before.size {
            let octets = match file.read(&mut block) {
                Ok(0) => break,
                Ok(octets) => octets,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            take(&mut taken, &block[..octets]);
            read += octets as u64;
        }
        if is_still(&file, before)? && read == before.size {
            return Ok(Content::Whole(taken, before));
        }
    }
    Ok(Content::Changing)
}

fn is_still(file: &File, before: Fingerprint) -> io::Result<bool> {
    Ok(Fingerprint::from(&file.metadata()?) == before)
}

/// A file or directory that cannot be read.
pub(super) fn io_problem(path: &Path, what: &str, error: &io::Error) -> Problem {
    Problem {
        severity: Severity::Error,
        file: path.to_owned(),
        line: None,
        column: None,
        message: format!("{what}: {error}"),
        hint: None,
        code: "io",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_or_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        std::fs::write(&path, b"12345").unwrap();
        let Content::Whole(bytes, print) = read(&path, 5).unwrap() else { panic!("not read") };
        assert_eq!((&bytes[..], print.size), (&b"12345"[..], 5));
        assert_eq!(print, Fingerprint::of(&path).unwrap());
        assert!(matches!(read(&path, 4).unwrap(), Content::TooLarge));
        assert!(read(dir.path(), 5).is_err(), "a directory");
        assert!(read(&dir.path().join("none"), 5).is_err());
    }

    #[test]
    fn a_file_settles_with_time_and_a_change_in_the_future_counts_as_settled() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        std::fs::write(&path, b"1").unwrap();
        let print = Fingerprint::of(&path).unwrap();
        let changed = Timestamp::new(print.changed.0, print.changed.1 as i32).unwrap();
        let at = |millis: i64| changed + jiff::SignedDuration::from_millis(millis);
        let quiet = Duration::from_millis(200);
        assert_eq!([-1, 0, 199, 200].map(|ms| print.is_settled(at(ms), quiet)), [true, false, false, true]);
    }
}
