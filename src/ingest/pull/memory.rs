//! [`Memory`]: the last checkpoint of a feed, kept over restarts in the state directory: what a reader saw last, so that
//! going back is noticed; what a publisher signed last, so that it does not go back.
//!
//! `feed.json` has the checkpoint as it was served, its entity tag and the URL; `page-SHA256.json` are its pages as they
//! were served. The pages are written first: `feed.json` never names one that is not there.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::verify::checkpoint::{Checkpoint, Entry, Hash};
use crate::verify::jose::Envelope;

const FILE: &str = "feed.json";
const PAGE: &str = "page-";
const SUFFIX: &str = ".json";
/// How long what nobody needs any more stays at least.
const YOUNG: Duration = Duration::from_secs(60);
/// Of this form.
const VERSION: u32 = 1;

/// A page as it is served, and what it says.
pub(super) type Page = (Vec<u8>, Vec<Entry>);

/// A checkpoint with its pages.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// As it was served.
    pub octets: String,
    /// By what the server knows it.
    pub etag: Option<String>,
    /// Its pages by their hash: as they were served, and what they say.
    pub pages: BTreeMap<Hash, Page>,
}

impl Seen {
    /// All that is listed, by ascending sequence.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        let pages = self.checkpoint.says.pages.iter().filter_map(|page| self.pages.get(&page.sha256));
        pages.flat_map(|(_, entries)| entries)
    }
}

/// The directory of one feed.
#[derive(Debug)]
pub struct Memory {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    url: String,
    etag: Option<String>,
    checkpoint: String,
}

impl Memory {
    /// In this directory, which need not be there.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// What was seen of this feed. What cannot be read is as if it had not been, and said.
    pub fn recall(&self, url: &str) -> Option<Seen> {
        let text = match fs::read_to_string(self.path.join(FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                self.complain(&error);
                return None;
            }
        };
        let read = self.read(&text, url);
        read.inspect_err(|why| self.complain(why)).ok().flatten()
    }

    fn complain(&self, why: &dyn std::fmt::Display) {
        let path = self.path.display();
        tracing::error!(%path, "what was seen of the feed cannot be read, and a rollback would not be noticed: {why}");
    }

    /// The signature was verified when it was seen; the key may be another one by now.
    fn read(&self, text: &str, url: &str) -> Result<Option<Seen>, String> {
        let stored: Stored = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if stored.version != VERSION || stored.url != url {
            return Ok(None);
        }
        let envelope = Envelope::parse(stored.checkpoint.as_bytes()).map_err(|error| error.to_string())?;
        let checkpoint = Checkpoint::of_payload(envelope.payload()).map_err(|error| error.to_string())?;
        let mut pages = BTreeMap::new();
        for page in &checkpoint.says.pages {
            let octets = fs::read(self.page(&page.sha256)).map_err(|error| error.to_string())?;
            let entries = page.read(&octets).map_err(|error| error.to_string())?;
            pages.insert(page.sha256, (octets, entries));
        }
        Ok(Some(Seen { checkpoint, octets: stored.checkpoint, etag: stored.etag, pages }))
    }

    /// Remembers what was seen.
    pub fn keep(&self, url: &str, seen: &Seen) -> io::Result<()> {
        fs::create_dir_all(&self.path)?;
        for (sha256, (octets, _)) in &seen.pages {
            let path = self.page(sha256);
            if !path.exists() {
                write(&path, octets)?;
            }
        }
        let (url, etag, checkpoint) = (url.to_owned(), seen.etag.clone(), seen.octets.clone());
        let stored = serde_json::to_vec(&Stored { version: VERSION, url, etag, checkpoint })?;
        write(&self.path.join(FILE), &stored)?;
        self.sweep(seen)
    }

    /// Takes away the pages that are not of this checkpoint; young ones may be of another process that takes over.
    fn sweep(&self, seen: &Seen) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            let Some(name) = name.to_str().filter(|name| name.starts_with(PAGE)) else { continue };
            let path = self.path.join(name);
            let is_of_it = name.strip_prefix(PAGE).and_then(|name| Hash::parse(name.strip_suffix(SUFFIX)?));
            let is_of_it = is_of_it.is_some_and(|sha256| seen.pages.contains_key(&sha256));
            if !is_of_it && fs::metadata(&path)?.modified()?.elapsed().is_ok_and(|age| age > YOUNG) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn page(&self, sha256: &Hash) -> PathBuf {
        self.path.join(format!("{PAGE}{sha256}{SUFFIX}"))
    }
}

/// Writes a file whole or not at all.
fn write(path: &Path, octets: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("new");
    let mut file = fs::File::create(&aside)?;
    file.write_all(octets)?;
    file.sync_all()?;
    fs::rename(&aside, path)
}
