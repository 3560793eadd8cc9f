//! The notices whose names stand in no stored layer, in a file beside that of the layers ([`stored`]): with
//! it the whole policy is known at a start, whatever can be read then.
//!
//! | part | octets |
//! |---|---|
//! | magic | 8 |
//! | length of the next part | 8, the lowest first |
//! | `Meta` | JSON: the notices, how many names each lists, how long the next two parts are |
//! | names | of the notices that are not secret, in their order |
//! | sealed names | of the secret ones, sealed with ChaCha20-Poly1305 (RFC 8439) |
//! | digest | SHA-256 of all before it |
//!
//! A name is an octet (1: subtree), its length, and its wire octets. Each notice has names of its own here, so without a key
//! only the secret ones are left out; a name that a public notice lists as well stands in clear as that notice's. There are
//! some ten thousand names at most, so the file is written and read as a whole. Another version of the program does not
//! use it.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::stored::{self, StoredDocument, Unusable};
use crate::ledger::seal::{self, Key};
use crate::model::{DnsName, Scope, Sensitivity, Targets};

const MAGIC: [u8; 8] = *b"pagar-r1";
/// Its name in the state directory.
pub const FILE: &str = "policy.recent";
/// Octets of the digest.
const DIGEST: usize = 32;

/// A notice with its names.
#[derive(Clone, Debug, PartialEq)]
pub struct RecentDocument {
    /// The notice, as the file of the layers has it; its slot means nothing at another start.
    pub document: StoredDocument,
    /// Its names.
    pub targets: Arc<Targets>,
}

impl RecentDocument {
    fn is_secret(&self) -> bool {
        self.document.notice.sensitivity == Sensitivity::Secret
    }
}

/// What a file had.
#[derive(Debug, Default)]
pub struct Recent {
    /// The notices.
    pub documents: Vec<RecentDocument>,
    /// Secret ones that are not among them, since the key is missing or another one.
    pub left_out: usize,
}

impl Recent {
    /// Leaves out those that the file of the layers has as well: they were moving when it was written.
    pub fn leave_out(&mut self, stored: &[StoredDocument]) {
        self.documents.retain(|RecentDocument { document, .. }| {
            let is_it = |stored: &StoredDocument| StoredDocument { slot: document.slot, ..stored.clone() } == *document;
            !stored.iter().any(is_it)
        });
    }
}

/// What stands before the names.
#[derive(Serialize, Deserialize)]
struct Meta {
    program: String,
    /// Each with how many names it has in the file.
    documents: Vec<(StoredDocument, u64)>,
    /// Octets of the names that are not sealed.
    open: u64,
    /// With which nonce the others are.
    nonce: Option<[u8; 12]>,
}

/// Whether there is something that cannot be stored without a key.
pub fn needs_key<'a>(mut documents: impl Iterator<Item = &'a RecentDocument>) -> bool {
    documents.any(RecentDocument::is_secret)
}

/// Writes the file, in place of the one that is there; without a key, secret notices are left out.
pub fn write<'a>(
    directory: &Path,
    documents: impl Iterator<Item = &'a RecentDocument>,
    key: Option<&Key>,
) -> Result<(), Unusable> {
    let octets = octets(documents, key)?;
    stored::replace(directory, FILE, |mut file| {
        file.write_all(&octets)?;
        Ok(file.sync_all()?)
    })
}

fn octets<'a>(documents: impl Iterator<Item = &'a RecentDocument>, key: Option<&Key>) -> Result<Vec<u8>, Unusable> {
    let mut meta = Meta { program: stored::program(), documents: Vec::new(), open: 0, nonce: None };
    let (mut open, mut secret) = (Vec::new(), Vec::new());
    for document in documents.filter(|document| key.is_some() || !document.is_secret()) {
        let names = if document.is_secret() { &mut secret } else { &mut open };
        for (wire, scope) in document.targets.iter() {
            names.extend([u8::from(scope == Scope::Subtree), wire.len() as u8]); // at most 255
            names.extend_from_slice(&wire);
        }
        meta.documents.push((document.document.clone(), document.targets.len() as u64));
    }
    meta.open = open.len() as u64;
    let mut sealed = Vec::new();
    if let Some(key) = key.filter(|_| !secret.is_empty()) {
        let (nonce, octets) = seal::seal(&secret, &MAGIC, key)?;
        (meta.nonce, sealed) = (Some(nonce), octets);
    }
    let meta = serde_json::to_vec(&meta).map_err(io::Error::from)?;
    let len = (meta.len() as u64).to_le_bytes();
    let mut octets = [&MAGIC[..], &len, &meta, &open, &sealed].concat();
    let digest = Sha256::digest(&octets);
    octets.extend_from_slice(&digest);
    Ok(octets)
}

/// Reads the file; `None` if there is none.
pub fn read(directory: &Path, key: Option<&Key>) -> Result<Option<Recent>, Unusable> {
    match fs::read(directory.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        octets => parse(&octets?, key).map(Some),
    }
}

fn parse(octets: &[u8], key: Option<&Key>) -> Result<Recent, Unusable> {
    if octets.get(..MAGIC.len()).is_some_and(|magic| magic != MAGIC) {
        return Err(Unusable::Version);
    }
    let (content, digest) =
        octets.len().checked_sub(DIGEST).and_then(|end| octets.split_at_checked(end)).ok_or(Unusable::Damaged)?;
    if Sha256::digest(content)[..] != *digest {
        return Err(Unusable::Damaged);
    }
    let rest = content.get(MAGIC.len()..).ok_or(Unusable::Damaged)?;
    let (len, rest) = rest.split_first_chunk().ok_or(Unusable::Damaged)?;
    let (meta, rest) = split(rest, u64::from_le_bytes(*len))?;
    let meta: Meta = serde_json::from_slice(meta).map_err(|_| Unusable::Damaged)?;
    if meta.program != stored::program() {
        return Err(Unusable::Version);
    }
    let (mut open, sealed) = split(rest, meta.open)?;
    let secret = match (meta.nonce, key) {
        (None, _) => Some(Vec::new()),
        (Some(nonce), Some(key)) => seal::open(sealed.to_vec(), nonce, &MAGIC, key).ok(),
        (Some(_), None) => None,
    };
    let mut secret = secret.as_deref();
    let mut recent = Recent::default();
    for (document, names) in meta.documents {
        let is_secret = document.notice.sensitivity == Sensitivity::Secret;
        let from = if is_secret { secret.as_mut() } else { Some(&mut open) };
        match from {
            Some(from) => {
                let targets = Arc::new(take(from, names)?);
                recent.documents.push(RecentDocument { document, targets });
            }
            None => recent.left_out += 1,
        }
    }
    Ok(recent)
}

fn split(octets: &[u8], at: u64) -> Result<(&[u8], &[u8]), Unusable> {
    usize::try_from(at).ok().and_then(|at| octets.split_at_checked(at)).ok_or(Unusable::Damaged)
}

/// Takes so many names from the front.
fn take(octets: &mut &[u8], names: u64) -> Result<Targets, Unusable> {
    let mut targets = Targets::default();
    for _ in 0..names {
        let ([scope, len], rest) = octets.split_first_chunk().ok_or(Unusable::Damaged)?;
        let (wire, rest) = split(rest, u64::from(*len))?;
        let name = DnsName::from_wire(wire).map_err(|_| Unusable::Damaged)?;
        targets.push(&name, if *scope == 1 { Scope::Subtree } else { Scope::Exact });
        *octets = rest;
    }
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::model::Notice;
    use crate::policy::compile::tests::notice;

    fn document(id: &str, sensitivity: Sensitivity, names: &[(&str, Scope)]) -> RecentDocument {
        let names: Vec<_> = names.iter().map(|(name, scope)| (DnsName::from_text(name).unwrap(), *scope)).collect();
        let targets: Targets = names.iter().map(|(name, scope)| (name, *scope)).collect();
        let document = StoredDocument {
            source: "notices".into(),
            key: format!("{id}.json"),
            reading: "notices".into(),
            slot: 7,
            names: names.len() as u64,
            notice: Notice { sensitivity, ..notice("a", id, 1, None) },
            problems: Vec::new(),
        };
        RecentDocument { document, targets: Arc::new(targets) }
    }

    fn documents() -> Vec<RecentDocument> {
        vec![
            document("1", Sensitivity::Public, &[("a.example", Scope::Exact), ("\\000\\255.b", Scope::Subtree)]),
            document("2", Sensitivity::Secret, &[("zqxj.example", Scope::Subtree), ("a.example", Scope::Exact)]),
            document("3", Sensitivity::Public, &[]),
            document("4", Sensitivity::Restricted, &[("c.example", Scope::Subtree)]),
            document("5", Sensitivity::Secret, &[("zqxj.test", Scope::Exact)]),
        ]
    }

    fn key(digit: &str) -> Key {
        Key::from_text(&digit.repeat(64)).unwrap()
    }

    fn ids(recent: &Recent) -> Vec<&str> {
        recent.documents.iter().map(|recent| recent.document.notice.id.as_str()).collect()
    }

    #[test]
    fn what_is_stored_comes_back_and_secret_names_stand_nowhere_in_clear() {
        let directory = tempfile::tempdir().unwrap();
        assert!(read(directory.path(), None).unwrap().is_none());
        write(directory.path(), documents().iter(), Some(&key("a"))).unwrap();
        let path = directory.path().join(FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left aside");
        assert!(!fs::read(&path).unwrap().windows(4).any(|octets| octets == b"zqxj"));
        let back = read(directory.path(), Some(&key("a"))).unwrap().unwrap();
        assert_eq!((back.documents, back.left_out), (documents(), 0));
    }

    #[test]
    fn without_the_key_secret_notices_are_left_out_and_the_others_are_there() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), documents().iter(), Some(&key("a"))).unwrap();
        for other in [None, Some(key("b"))] {
            let back = read(directory.path(), other.as_ref()).unwrap().unwrap();
            assert_eq!((ids(&back), back.left_out), (vec!["1", "3", "4"], 2));
        }
        assert!(needs_key(documents().iter()));
        write(directory.path(), documents().iter(), None).unwrap();
        let octets = fs::read(directory.path().join(FILE)).unwrap();
        assert!(!octets.windows(4).any(|octets| octets == b"zqxj"));
        let back = read(directory.path(), Some(&key("a"))).unwrap().unwrap();
        assert_eq!((ids(&back), back.left_out), (vec!["1", "3", "4"], 0));
    }

    #[test]
    fn damaged_or_cut_it_is_not_used() {
        let whole = octets(documents().iter(), Some(&key("a"))).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            parse(&damaged, Some(&key("a"))).unwrap_err();
            parse(&whole[..at], Some(&key("a"))).unwrap_err();
        }
        parse(&[&whole[..], b"x"].concat(), Some(&key("a"))).unwrap_err();
        assert_eq!(parse(&whole, Some(&key("a"))).unwrap().documents.len(), 5);
    }

    #[test]
    fn a_file_of_nothing_is_none_the_less_one() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), [].iter(), None).unwrap();
        assert!(read(directory.path(), None).unwrap().unwrap().documents.is_empty());
    }
}
