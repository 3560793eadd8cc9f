//! [`Payload`]: the octets a record refers to by their digest, as they were received. Short ones are in the database, long
//! ones in `payloads/<digest>` beside it; those of secret notices are sealed.
//!
//! A file is whole, has its name and is on the disk before the transaction that refers to it is committed. What a crash
//! in between leaves is a file that nothing refers to; it is written again when the notice comes again.

use std::borrow::Cow;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use redb::{ReadableTable, Table};

use super::database::sync;
use super::digest::Digest;
use super::seal::{self, Key, NONCE};
use super::{AppendError, LedgerError, Unfilled};

/// The directory of long payloads in the state directory.
pub const DIRECTORY: &str = "payloads";
/// Octets of the longest payload in the database.
const LONGEST: usize = 64 << 10;

/// How a payload is stored, as the first octet of its entry: a sum of these.
const SEALED: u8 = 1;
const IN_FILE: u8 = 2;

/// Octets to be stored with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Their digest.
    pub digest: Digest,
    /// They themselves.
    pub bytes: Vec<u8>,
    /// Whether they hold secret names.
    pub secret: bool,
}

impl Payload {
    /// With the digest that these octets have.
    pub fn new(bytes: Vec<u8>, secret: bool) -> Self {
        Self { digest: Digest::of(&bytes), bytes, secret }
    }
}

/// Why a payload that is stored cannot be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is not there.
    #[error("is missing")]
    Missing,
    /// It is other octets.
    #[error("is not what its digest says")]
    Differs,
    /// It is sealed, and no key was given.
    #[error("is sealed: [ledger] key_file is needed")]
    NeedsKey,
    /// It is sealed with another key, or damaged.
    #[error("cannot be opened: it was sealed with another key, or is damaged")]
    WrongKey,
}

/// A payload in the form it is stored in.
pub(super) struct Prepared<'a> {
    digest: Digest,
    form: u8,
    octets: Cow<'a, [u8]>,
}

impl<'a> Prepared<'a> {
    /// Checks the digest and seals what has to be sealed.
    pub(super) fn new(payload: &'a Payload, key: Option<&Key>) -> Result<Self, AppendError> {
        let Payload { digest, bytes, secret } = payload;
        if Digest::of(bytes) != *digest {
            return Err(AppendError::WrongDigest(*digest));
        }
        let place = if bytes.len() > LONGEST { IN_FILE } else { 0 };
        if !secret {
            return Ok(Self { digest: *digest, form: place, octets: bytes.into() });
        }
        let key = key.ok_or(AppendError::NeedsKey(*digest))?;
        let (nonce, sealed) = seal::seal(bytes, digest.as_octets(), key).map_err(|_| AppendError::NeedsKey(*digest))?;
        Ok(Self { digest: *digest, form: place | SEALED, octets: [&nonce[..], &sealed].concat().into() })
    }

    /// Stores it, unless it is stored already and as well sealed.
    pub(super) fn store(
        &self,
        table: &mut Table<'_, &'static [u8; 32], &'static [u8]>,
        directory: &Path,
    ) -> Result<(), Unfilled> {
        let stored = table.get(self.digest.as_octets())?.and_then(|value| value.value().first().copied());
        if stored.is_some_and(|form| form & SEALED >= self.form & SEALED) {
            return Ok(());
        }
        let mut entry = vec![self.form];
        if self.form & IN_FILE == 0 {
            entry.extend_from_slice(&self.octets);
        } else {
            let directory = directory.join(DIRECTORY);
            let written = write(&directory, &self.digest, &self.octets);
            written.map_err(|error| LedgerError::io(&directory.join(self.digest.to_string()))(error))?;
        }
        table.insert(self.digest.as_octets(), &*entry)?;
        Ok(())
    }
}

fn write(directory: &Path, digest: &Digest, octets: &[u8]) -> io::Result<()> {
    make(directory)?;
    let (place, aside) = (directory.join(digest.to_string()), directory.join(format!("{digest}.new")));
    let write = |mut file: File| file.write_all(octets).and_then(|()| file.sync_all());
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside);
    let written = file.and_then(write).and_then(|()| fs::rename(&aside, place)).and_then(|()| sync(directory));
    if written.is_err() {
        let _ = fs::remove_file(aside); // it may fill the disk
    }
    written
}

fn make(directory: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.and_then(|()| directory.parent().map_or(Ok(()), sync)),
    }
}

/// The octets that an entry of the table stands for.
pub(super) fn read(
    entry: Vec<u8>,
    directory: &Path,
    digest: &Digest,
    key: Option<&Key>,
) -> Result<Result<Vec<u8>, Fault>, LedgerError> {
    let Some((form, octets)) = entry.split_first() else { return Ok(Err(Fault::Differs)) };
    let octets = if form & IN_FILE == 0 {
        octets.to_vec()
    } else {
        let path = directory.join(DIRECTORY).join(digest.to_string());
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Err(Fault::Missing)),
            read => read.map_err(LedgerError::io(&path))?,
        }
    };
    Ok(if form & SEALED == 0 { checked(octets, digest) } else { unsealed(&octets, digest, key) })
}

fn checked(octets: Vec<u8>, digest: &Digest) -> Result<Vec<u8>, Fault> {
    if Digest::of(&octets) == *digest { Ok(octets) } else { Err(Fault::Differs) }
}

fn unsealed(octets: &[u8], digest: &Digest, key: Option<&Key>) -> Result<Vec<u8>, Fault> {
    let key = key.ok_or(Fault::NeedsKey)?;
    let (nonce, sealed) = octets.split_first_chunk::<NONCE>().ok_or(Fault::WrongKey)?;
    let opened = seal::open(sealed.to_vec(), *nonce, digest.as_octets(), key).map_err(|_| Fault::WrongKey)?;
    checked(opened, digest)
}
