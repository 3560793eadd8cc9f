//! [`Shelf`]: which notices a feed lists, and where they lie.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use super::{Config, Part};
use crate::ingest::format::notice;
use crate::model::{AuthorityId, Order, Sensitivity};
use crate::verify::checkpoint::{Entry, Hash, MAX_ENTRIES, MAX_PAGES};
use crate::verify::jose::Envelope;
use crate::verify::keyring::Keyring;

/// A notice that is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// As the index has it.
    pub entry: Entry,
    /// Where it lies; `None` if it has gone, or has not been seen since the start.
    pub file: Option<PathBuf>,
    /// Whether its names are for those who may see secrets.
    pub secret: bool,
}

impl Listed {
    /// What lies there, if it is what is listed.
    pub fn read(&self) -> io::Result<Part> {
        let file = self.file.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let mut octets = Vec::new();
        File::open(file)?.take(self.entry.size + 1).read_to_end(&mut octets)?;
        let part = Part::new(&octets);
        match part.hash == self.entry.envelope {
            true => Ok(part),
            false => Err(io::Error::other("it has changed since it was listed")),
        }
    }
}

/// See the module's header.
#[derive(Debug)]
pub(super) struct Shelf {
    authority: AuthorityId,
    keyring: Arc<Keyring>,
    directory: PathBuf,
    listed: BTreeMap<u64, Listed>,
    /// Why files are not listed.
    problems: BTreeMap<String, String>,
}

impl Shelf {
    /// With what was listed before, whose files have not been seen yet.
    pub(super) fn new(config: &Config, listed: impl Iterator<Item = Entry>) -> Self {
        let listed = listed.map(|entry| (entry.sequence, Listed { entry, file: None, secret: true })).collect();
        let (authority, keyring) = (config.authority.clone(), config.keyring.clone());
        Self { authority, keyring, directory: config.notices.clone(), listed, problems: BTreeMap::new() }
    }

    /// Takes a file. Returns whether what is listed has changed.
    pub(super) fn put(&mut self, name: &str, octets: &[u8], now: Timestamp) -> Result<bool, String> {
        let put = self.try_put(name, octets, now);
        match &put {
            Ok(_) => drop(self.problems.remove(name)),
            Err(why) => drop(self.problems.insert(name.to_owned(), why.clone())),
        }
        put
    }

    fn try_put(&mut self, name: &str, octets: &[u8], now: Timestamp) -> Result<bool, String> {
        let envelope = Envelope::parse(octets).map_err(|error| error.to_string())?;
        let order = order(&envelope, name)?;
        if order.authority != self.authority {
            return Err(format!("it is of authority \"{}\", not of \"{}\"", order.authority, self.authority));
        }
        let entry = Entry {
            sequence: order.sequence,
            payload: Hash(order.digest),
            envelope: Hash::of(octets),
            size: octets.len() as u64,
        };
        let known = self.listed.get(&order.sequence);
        match known {
            Some(known) if known.entry.payload != entry.payload => {
                return Err(format!("another notice has number {} and is published", order.sequence));
            }
            // it was believed then; a key that ends takes nothing back
            Some(known) if known.entry.envelope == entry.envelope => {}
            _ => {
                let verified = self.keyring.verify(&envelope, &self.authority, now);
                verified.map_err(|error| error.to_string())?;
            }
        }
        if known.is_none() && self.listed.len() >= MAX_PAGES * MAX_ENTRIES {
            return Err("the feed is full".to_owned());
        }
        let secret = order.sensitivity == Sensitivity::Secret;
        let listed = Listed { entry, file: Some(self.directory.join(name)), secret };
        let before = self.listed.insert(order.sequence, listed.clone());
        Ok(before.is_none_or(|before| before != listed))
    }

    /// A file has gone, or there was nothing of use in it.
    pub(super) fn gone(&mut self, name: &str) {
        self.problems.remove(name);
        let path = self.directory.join(name);
        if path.exists() {
            return;
        }
        for listed in self.listed.values_mut().filter(|listed| listed.file.as_deref() == Some(&path)) {
            let (feed, number) = (self.authority.as_str(), listed.entry.sequence);
            tracing::error!(feed, number, "a published notice has gone from its directory: put it back");
            listed.file = None;
        }
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.listed.values().map(|listed| listed.entry).collect()
    }

    pub(super) fn listed(&self) -> &BTreeMap<u64, Listed> {
        &self.listed
    }

    /// Files that are not listed.
    pub(super) fn problems(&self) -> usize {
        self.problems.len()
    }

    /// Notices that are listed and cannot be given.
    pub(super) fn missing(&self) -> usize {
        self.listed.values().filter(|listed| listed.file.is_none()).count()
    }
}

fn order(envelope: &Envelope, name: &str) -> Result<Order, String> {
    let parsed = notice::parse(envelope.payload(), Path::new(name));
    let first = parsed.problems.first().map(|problem| problem.message.clone());
    parsed.order.ok_or_else(|| first.unwrap_or_else(|| "it is no notice".to_owned()))
}
