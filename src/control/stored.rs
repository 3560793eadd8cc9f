//! [`Stored`]: the compiled policy in a file, so that a start need not read long lists as text again, and has their last
//! good content when they cannot be read.
//!
//! | part | octets |
//! |---|---|
//! | magic | 8 |
//! | length of the next part | 8, the lowest first |
//! | [`Meta`] | JSON: the notices, the sets, the layers' lengths |
//! | layers | each as it lies in memory; that of secret names sealed with ChaCha20-Poly1305 (RFC 8439) |
//! | digest | SHA-256 of all before it |
//!
//! Names stand in the layers only; those of notices that have not come into them yet are in a file beside it,
//! [`recent`](super::recent). Without a key, secret names are not stored, and then nothing is: a name may be listed
//! by a secret and a public notice. The file is the program's own: another version of it reads the lists again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ingest::{CODES, DocumentKey, Problem, Severity};
use crate::ledger::seal::{self, Key, WrongKey};
use crate::model::{Notice, Scope};
use crate::policy::index::{Layer, Member};
use crate::policy::register::Layers;

const MAGIC: [u8; 8] = *b"pagar-p1";
/// Its name in the state directory.
pub const FILE: &str = "policy";
/// More than any file has before its layers.
const MAX_META: u64 = 1 << 30;

/// What is stored.
#[derive(Debug)]
pub struct Stored {
    /// The notices whose names are in the layers.
    pub documents: Vec<StoredDocument>,
    /// The names.
    pub layers: Layers,
}

/// A notice whose names are stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredDocument {
    /// Its source.
    pub source: String,
    /// Which of the source's documents it is.
    pub key: DocumentKey,
    /// How the source was read, see [`Source::reading`](crate::ingest::Source::reading).
    pub reading: String,
    /// Its slot.
    pub slot: u32,
    /// How many names it lists.
    pub names: u64,
    /// The order.
    pub notice: Notice,
    /// What was wrong with its file.
    #[serde(with = "problems")]
    pub problems: Vec<Problem>,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Cut short, damaged, or no such file at all.
    #[error("it is damaged")]
    Damaged,
    /// Of another version of the program.
    #[error("another version of the program wrote it")]
    Version,
    /// The key is missing, or another one.
    #[error("its secret names cannot be read: [ledger] key_file is missing or has another key")]
    Sealed,
}

impl From<WrongKey> for Unusable {
    fn from(WrongKey: WrongKey) -> Self {
        Self::Sealed
    }
}

/// What stands before the layers.
#[derive(Serialize, Deserialize)]
struct Meta {
    program: String,
    documents: Vec<StoredDocument>,
    /// The members of each set (slot, whether it is a subtree), and how many names have it.
    sets: Vec<(Vec<(u32, bool)>, u64)>,
    layers: Vec<Part>,
}

/// A layer in the file.
#[derive(Serialize, Deserialize)]
struct Part {
    len: u64,
    /// With which nonce it is sealed.
    sealed: Option<[u8; 12]>,
}

/// Who wrote it: other versions may read lists otherwise.
pub(super) fn program() -> String {
    format!("{} {}", env!("CARGO_PKG_VERSION"), option_env!("PAGAR_COMMIT").unwrap_or_default())
}

/// Takes away what a process left that was killed while it wrote.
pub(super) fn sweep(directory: &Path) {
    let is_left = |name: &str| {
        let pid = name.strip_suffix(".new").and_then(|name| name.rsplit_once('.'));
        let pid = pid.filter(|(name, _)| name.starts_with(FILE)).and_then(|(_, pid)| pid.parse::<u32>().ok());
        pid.is_some_and(|pid| pid != std::process::id() && !Path::new("/proc").join(pid.to_string()).exists())
    };
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(is_left) {
            let _ = fs::remove_file(entry.path()); // it harms nobody
        }
    }
}

/// Whether there is something that must not be stored without a key.
pub fn needs_key(layers: &Layers) -> bool {
    layers.layers.iter().rev().skip(1).any(|layer| !layer.is_empty()) // all but the last hold secret names
}

/// Takes the file away, if there is one.
pub fn remove(directory: &Path) -> Result<(), Unusable> {
    match fs::remove_file(directory.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => Ok(removed.and_then(|()| File::open(directory)?.sync_all())?),
    }
}

/// Writes the file, in place of the one that is there.
pub fn write(directory: &Path, stored: &Stored, key: Option<&Key>) -> Result<(), Unusable> {
    replace(directory, FILE, |file| write_to(file, stored, key))
}

/// Puts a file that `write` fills in place of the one of this name; nobody else may read it.
pub(super) fn replace(
    directory: &Path,
    name: &str,
    write: impl FnOnce(File) -> Result<(), Unusable>,
) -> Result<(), Unusable> {
    let aside = directory.join(format!("{name}.{}.new", std::process::id())); // a process that takes over writes as well
    let open = || OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside);
    let written = open().map_err(Unusable::from).and_then(write).and_then(|()| {
        fs::rename(&aside, directory.join(name))?;
        Ok(File::open(directory)?.sync_all()?)
    });
    if written.is_err() {
        let _ = fs::remove_file(aside); // it may fill the disk
    }
    written
}

fn write_to(file: File, Stored { documents, layers }: &Stored, key: Option<&Key>) -> Result<(), Unusable> {
    let last = layers.layers.len().saturating_sub(1);
    let parts = layers.layers.iter().enumerate().filter(|(at, layer)| *at == last || !layer.is_empty());
    let mut sealed = Vec::new();
    let mut meta = Meta { program: program(), documents: documents.clone(), sets: sets(layers), layers: Vec::new() };
    for (at, layer) in parts {
        let mut part = Part { len: layer.as_bytes().len() as u64, sealed: None };
        if at < last {
            let (nonce, octets) = seal::seal(layer.as_bytes(), &MAGIC, key.ok_or(Unusable::Sealed)?)?;
            part = Part { len: octets.len() as u64, sealed: Some(nonce) };
            sealed.push(octets);
        }
        meta.layers.push(part);
    }
    let meta = serde_json::to_vec(&meta).map_err(io::Error::from)?;
    let mut out = Hashed { inner: file, hash: Sha256::new() };
    out.write_all(&MAGIC)?;
    out.write_all(&(meta.len() as u64).to_le_bytes())?;
    out.write_all(&meta)?;
    sealed.iter().try_for_each(|octets| out.write_all(octets))?;
    layers.layers.last().map_or(Ok(()), |open| out.write_all(open.as_bytes()))?;
    let Hashed { inner: mut file, hash } = out;
    file.write_all(&hash.finalize())?;
    Ok(file.sync_all()?)
}

fn sets(layers: &Layers) -> Vec<(Vec<(u32, bool)>, u64)> {
    let member = |member: &Member| (member.notice, member.scope == Scope::Subtree);
    layers.sets.iter().map(|(members, names)| (members.iter().map(member).collect(), *names)).collect()
}

/// Reads the file; `None` if there is none.
pub fn read(directory: &Path, key: Option<&Key>) -> Result<Option<Stored>, Unusable> {
    let file = match File::open(directory.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let len = file.metadata()?.len();
    let mut from = Hashed { inner: file, hash: Sha256::new() };
    let meta = read_meta(&mut from, len)?;
    if meta.program != program() {
        return Err(Unusable::Version);
    }
    let mut layers = Vec::new();
    for part in meta.layers {
        let part = if part.len > len { Err(Unusable::Damaged) } else { Ok(part) }?; // before memory is asked for
        let layer = match part.sealed {
            None => Layer::read(&mut from, part.len).map_err(cut)?,
            Some(nonce) => {
                let mut octets = vec![0; part.len as usize];
                from.read_exact(&mut octets).map_err(cut)?;
                let octets = seal::open(octets, nonce, &MAGIC, key.ok_or(Unusable::Sealed)?)?;
                Layer::read(&mut &*octets, octets.len() as u64)?
            }
        };
        layers.push(Arc::new(layer.ok_or(Unusable::Damaged)?));
    }
    let Hashed { inner: mut file, hash } = from;
    let mut digest = Vec::new();
    file.read_to_end(&mut digest)?;
    if digest != hash.finalize()[..] {
        return Err(Unusable::Damaged);
    }
    let member =
        |(notice, subtree): (u32, bool)| Member { notice, scope: if subtree { Scope::Subtree } else { Scope::Exact } };
    let sets = meta.sets.into_iter().map(|(members, names)| (members.into_iter().map(member).collect(), names));
    Ok(Some(Stored { documents: meta.documents, layers: Layers { layers, sets: sets.collect() } }))
}

fn read_meta(from: &mut Hashed<File>, file: u64) -> Result<Meta, Unusable> {
    let mut head = [0; 16];
    from.read_exact(&mut head).map_err(cut)?;
    let (magic, len) = head.split_at(8);
    let len = len.first_chunk().map_or(0, |len| u64::from_le_bytes(*len));
    if magic != MAGIC {
        return Err(Unusable::Version);
    }
    if len > file.min(MAX_META) {
        return Err(Unusable::Damaged);
    }
    let mut meta = vec![0; len as usize];
    from.read_exact(&mut meta).map_err(cut)?;
    serde_json::from_slice(&meta).map_err(|_| Unusable::Damaged)
}

/// An end that comes too early is damage.
fn cut(error: io::Error) -> Unusable {
    if error.kind() == io::ErrorKind::UnexpectedEof { Unusable::Damaged } else { Unusable::Io(error) }
}

/// Hashes what goes through.
struct Hashed<T> {
    inner: T,
    hash: Sha256,
}

impl<T: Read> Read for Hashed<T> {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        // in pieces that stay in the cache between the two
        let end = octets.len().min(1 << 18);
        let read = self.inner.read(&mut octets[..end])?;
        self.hash.update(&octets[..read]);
        Ok(read)
    }
}

impl<T: Write> Write for Hashed<T> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(&octets[..octets.len().min(1 << 18)])?;
        self.hash.update(&octets[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Problems as the file has them; their codes are words of this program.
mod problems {
    use serde::{Deserializer, Serializer};

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Written {
        error: bool,
        file: PathBuf,
        line: Option<usize>,
        column: Option<usize>,
        message: String,
        hint: Option<String>,
        code: String,
    }

    pub(super) fn serialize<S: Serializer>(problems: &[Problem], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(problems.iter().cloned().map(|problem| {
            let Problem { severity, file, line, column, message, hint, code } = problem;
            Written { error: severity == Severity::Error, file, line, column, message, hint, code: code.to_owned() }
        }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Problem>, D::Error> {
        let written = Vec::<Written>::deserialize(from)?;
        let problem = |Written { error, file, line, column, message, hint, code }| {
            let severity = if error { Severity::Error } else { Severity::Warning };
            let code = CODES.into_iter().find(|known| *known == code)?;
            Some(Problem { severity, file, line, column, message, hint, code })
        };
        Ok(written.into_iter().filter_map(problem).collect())
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::model::{AuthorityKind, DnsName, Sensitivity, Targets};
    use crate::policy::compile::tests::{at, notice};
    use crate::policy::verdict::Consider;
    use crate::policy::{Entry, Page, Pages, Register, Slots};

    fn entry(notice: &Notice) -> Entry {
        let pages = Pages { default: Page::default(), rules: Vec::new(), ttl: 30 };
        Entry::new(Arc::new(notice.clone()), AuthorityKind::Statutory, 0, &pages, Slots::default())
    }

    /// A register of 5,000 public names and some secret ones, one of which is both.
    fn register(now: Timestamp) -> (Register, Vec<StoredDocument>) {
        let secret = Notice { sensitivity: Sensitivity::Secret, ..notice("a", "secret", 1, None) };
        let targets = |names: &mut dyn Iterator<Item = String>| {
            let names: Vec<_> = names.map(|name| (DnsName::from_text(&name).unwrap(), Scope::Subtree)).collect();
            names.iter().map(|(name, scope)| (name, *scope)).collect::<Targets>()
        };
        let mut open = targets(&mut (0..5_000).map(|n| format!("host-{n}.example")));
        let mut hidden = targets(&mut (0..50).map(|n| format!("zqxj-{n}.example")).chain(["host-7.example".into()]));
        let mut register = Register::default();
        let notices = [notice("a", "open", 1, None), secret];
        let new = notices.iter().map(entry).zip([&mut open, &mut hidden]).collect();
        let (slots, _) = register.change(&[], new, now).unwrap();
        let problem = Problem {
            severity: Severity::Error,
            file: "list".into(),
            line: Some(7),
            column: None,
            message: "no name".into(),
            hint: None,
            code: "name",
        };
        let document = |(slot, notice): (u32, &Notice)| StoredDocument {
            source: "list".into(),
            key: notice.id.to_string(),
            reading: "domains".into(),
            slot,
            names: 1,
            notice: notice.clone(),
            problems: vec![problem.clone()],
        };
        (register, slots.into_iter().zip(&notices).map(document).collect())
    }

    fn key(digit: &str) -> Key {
        Key::from_text(&digit.repeat(64)).unwrap()
    }

    #[test]
    fn what_is_stored_comes_back_and_answers_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let (register, documents) = register(at(5));
        let stored = Stored { documents, layers: register.layers() };
        assert!(needs_key(&stored.layers));
        assert!(read(directory.path(), None).unwrap().is_none());
        write(directory.path(), &stored, Some(&key("a"))).unwrap();

        let octets = fs::read(directory.path().join(FILE)).unwrap();
        assert!(!octets.windows(4).any(|octets| octets == b"zqxj"), "a part of a secret name is in the file");
        let again = read(directory.path(), Some(&key("a"))).unwrap().unwrap();
        assert_eq!(again.documents[0].problems, stored.documents[0].problems);
        let mut back = Register::default();
        let entries = again.documents.iter().map(|document| (document.slot, entry(&document.notice))).collect();
        back.restore(again.layers, entries, at(5));
        let (old, new) = (register.snapshot(30, 1), back.snapshot(30, 1));
        assert_eq!((old.digest, old.names(), old.notices()), (new.digest, new.names(), new.notices()));
        for (name, _) in old.index().iter() {
            let id = |policy: &crate::policy::Snapshot| {
                policy.decide(&name, Consider::All).map(|verdict| verdict.entry.notice.id.clone())
            };
            assert!(id(&old).is_some() && id(&old) == id(&new));
        }
        assert!(new.decide(b"\x05other\x07example\0", Consider::All).is_none());
    }

    #[test]
    fn a_notice_that_is_not_restored_lists_nothing_and_its_slot_waits_for_the_next_layers() {
        let (register, documents) = register(at(5));
        let mut back = Register::default();
        back.restore(register.layers(), vec![(documents[0].slot, entry(&documents[0].notice))], at(5));
        assert_eq!((back.snapshot(30, 1).names(), back.snapshot(30, 1).notices()), (5_000, 1));
        let (given, change) =
            back.change(&[], vec![(entry(&documents[1].notice), &mut Targets::default())], at(6)).unwrap();
        assert_eq!((given, change.diff.added), (vec![2], 0), "not slot 1, which sets mention");
    }

    #[test]
    fn without_its_key_or_damaged_it_is_not_used() {
        let directory = tempfile::tempdir().unwrap();
        let (register, documents) = register(at(5));
        let stored = Stored { documents, layers: register.layers() };
        assert!(matches!(write(directory.path(), &stored, None), Err(Unusable::Sealed)));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left behind");
        write(directory.path(), &stored, Some(&key("a"))).unwrap();
        assert!(matches!(read(directory.path(), None), Err(Unusable::Sealed)));
        assert!(matches!(read(directory.path(), Some(&key("b"))), Err(Unusable::Sealed)));
        let path = directory.path().join(FILE);
        let octets = fs::read(&path).unwrap();
        for at in (0..octets.len()).step_by(octets.len() / 60) {
            let mut damaged = octets.clone();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).unwrap();
            read(directory.path(), Some(&key("a"))).unwrap_err();
            fs::write(&path, &octets[..at]).unwrap();
            read(directory.path(), Some(&key("a"))).unwrap_err();
        }
        fs::write(&path, [&octets[..], b"x"].concat()).unwrap();
        read(directory.path(), Some(&key("a"))).unwrap_err();
    }

    #[test]
    fn what_a_killed_process_left_is_swept_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let own = format!("policy.recent.{}.new", std::process::id());
        let dead = "policy.recent.4194305.new"; // no process has a number above the kernel's limit of 2^22
        for name in [FILE, "policy.recent", own.as_str(), "policy.1.new", "serial.new", dead] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        sweep(dir.path());
        let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left.len(), 5, "{left:?}");
        assert!(!dir.path().join(dead).exists());
    }
}
