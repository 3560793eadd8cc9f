//! Publishes the signed notices of an authority for others to fetch: what they have missed, or all of it. The format is
//! that of [`checkpoint`](crate::verify::checkpoint); [`web`](crate::web) serves it.
//!
//! ```text
//! directory of notices --watch--> Shelf (what is listed) --sign--> Edition --one ArcSwap--> web
//!                                            |
//!                                         Memory: fsync before anybody sees it
//! ```
//!
//! What has been listed stays listed: readers take a number that disappears for an attack. So a file is listed only if
//! enough keys of the authority have signed it when it is first seen, a number once given belongs to its payload, and a file
//! that is deleted is missed and said to be missing. The checkpoint is signed anew when the list changes, and when half
//! of its validity is over; it is written down before it is shown, so that a restart never shows another in its place.
//!
//! The key of the feed should be one that signs no notices: it lies on a machine that the network reaches, and all it can do
//! there is to hide notices from those who have not seen them.
//!
//! Notices of the secret class are listed by number and hash like all others, and given only to callers who may see
//! secrets: [`Listed::secret`].

mod shelf;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use jiff::{SignedDuration, Timestamp};

pub use self::shelf::Listed;
use self::shelf::Shelf;
use crate::ingest::pull::{Memory, Seen};
use crate::ingest::{Kind, Loader, Source, Update, low_priority, watch};
use crate::model::AuthorityId;
use crate::observe::metrics::FeedMetrics;
use crate::verify::checkpoint::{Draft, Hash};
use crate::verify::jose::PrivateKey;
use crate::verify::keyring::Keyring;

/// From one edition to the next, at least: a burst of notices is published at once.
const REST: Duration = Duration::from_secs(1);
/// Pages that have left the index and are given still, to who is in the middle of reading it.
const OLD_PAGES: usize = 64;
/// From one try to publish that failed to the next.
const AGAIN: Duration = Duration::from_secs(5);
/// A checkpoint is issued later than the one before, whatever the clock says.
const LATER: SignedDuration = SignedDuration::from_millis(1);

/// One `[[feed]]` of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Whose notices.
    pub authority: AuthorityId,
    /// Signs the checkpoints.
    pub key: Arc<PrivateKey>,
    /// Whose signatures on notices count.
    pub keyring: Arc<Keyring>,
    /// The directory of the notices.
    pub notices: PathBuf,
    /// How long a checkpoint is good.
    pub validity: Duration,
    /// Where the last checkpoint is written down.
    pub state: PathBuf,
}

/// What is published, by authority; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Feeds(Arc<BTreeMap<AuthorityId, Arc<ArcSwapOption<Edition>>>>);

impl Feeds {
    /// What there is of an authority: `None` if it has no feed, and inside if nothing has been published yet.
    pub fn edition(&self, authority: &str) -> Option<Option<Arc<Edition>>> {
        self.0.get(&AuthorityId::new(authority)).map(|edition| edition.load_full())
    }
}

/// A checkpoint and all that it lists.
#[derive(Clone, Debug)]
pub struct Edition {
    checkpoint: Part,
    /// Its pages, and some that have left it.
    pages: BTreeMap<Hash, Part>,
    notices: BTreeMap<u64, Listed>,
}

/// Octets that are served, known by their hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What is served.
    pub octets: Arc<[u8]>,
    /// SHA-256 of it.
    pub hash: Hash,
}

impl Part {
    /// Of these octets.
    pub fn new(octets: &[u8]) -> Self {
        Self { hash: Hash::of(octets), octets: octets.into() }
    }
}

impl Edition {
    /// The signed checkpoint.
    pub fn checkpoint(&self) -> &Part {
        &self.checkpoint
    }

    /// A page, by the hexadecimal digits of its hash.
    pub fn page(&self, sha256: &str) -> Option<&Part> {
        self.pages.get(&Hash::parse(sha256)?)
    }

    /// A notice, by its number.
    pub fn notice(&self, sequence: u64) -> Option<&Listed> {
        self.notices.get(&sequence)
    }
}

/// Publishes from now on, a thread each. The only error is that the system gives no thread.
pub fn start(configs: &[Config], metrics: &FeedMetrics) -> io::Result<Feeds> {
    let mut feeds = BTreeMap::new();
    for config in configs {
        metrics.declare(config.authority.as_str());
        let edition = Arc::new(ArcSwapOption::empty());
        feeds.insert(config.authority.clone(), edition.clone());
        let publisher = Publisher::new(config.clone(), edition, metrics.clone());
        let name = format!("feed-{}", config.authority);
        let source = Source {
            name: config.notices.display().to_string(),
            order: 0,
            kind: Kind::Directory { path: config.notices.clone(), allow_unsigned: false },
        };
        let (updates, inbox) = channel();
        // gone only with the process
        let watch = watch(Loader::new(source), move |update| drop(updates.send(update)))?;
        thread::Builder::new().name(name).spawn(move || {
            let _watch = watch;
            low_priority();
            publisher.run(&inbox);
        })?;
    }
    Ok(Feeds(Arc::new(feeds)))
}

struct Publisher {
    config: Config,
    edition: Arc<ArcSwapOption<Edition>>,
    metrics: FeedMetrics,
    memory: Memory,
    shelf: Shelf,
    last: Option<Seen>,
    old_pages: VecDeque<Part>,
    /// What is listed has changed since.
    changed: bool,
    /// Not before this.
    rests: Option<Instant>,
    /// When to sign anew.
    due: Option<Instant>,
}

impl Publisher {
    fn new(config: Config, edition: Arc<ArcSwapOption<Edition>>, metrics: FeedMetrics) -> Self {
        let memory = Memory::new(config.state.clone());
        let last = memory.recall(config.authority.as_str());
        let listed = last.iter().flat_map(Seen::entries).copied();
        let shelf = Shelf::new(&config, listed);
        Self {
            config,
            edition,
            metrics,
            memory,
            shelf,
            last,
            old_pages: VecDeque::new(),
            changed: true,
            rests: None,
            due: None,
        }
    }

    fn run(mut self, inbox: &Receiver<Update>) {
        loop {
            let wait = self.next().map_or(Duration::MAX, |next| next.saturating_duration_since(Instant::now()));
            match inbox.recv_timeout(wait) {
                Ok(update) => {
                    for update in std::iter::once(update).chain(inbox.try_iter()) {
                        self.take(update);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.next().is_some_and(|next| next <= Instant::now()) {
                self.publish(Timestamp::now());
            }
        }
    }

    /// When to publish: nothing before the directory has been read.
    fn next(&self) -> Option<Instant> {
        let due = self.due?;
        let wanted = if self.changed { Instant::now() } else { due };
        Some(self.rests.map_or(wanted, |rests| wanted.max(rests)))
    }

    fn take(&mut self, update: Update) {
        let authority = self.config.authority.as_str();
        if let Some(problem) = &update.failure {
            tracing::error!(feed = authority, "{problem}");
            return;
        }
        let now = update.at;
        let keys = update.settled.iter().chain(&update.removed);
        keys.for_each(|key| self.shelf.gone(key));
        for (key, octets) in update.signed {
            match self.shelf.put(&key, &octets, now) {
                Ok(changed) => self.changed |= changed,
                Err(why) => tracing::error!(feed = authority, file = key, "the notice is not published: {why}"),
            }
        }
        for problem in update.problems {
            tracing::error!(feed = authority, "{problem}");
        }
        self.due.get_or_insert_with(Instant::now);
        self.metrics.problems.with_label_values(&[authority]).set(self.shelf.problems() as i64);
        self.metrics.missing.with_label_values(&[authority]).set(self.shelf.missing() as i64);
    }

    fn publish(&mut self, now: Timestamp) {
        let authority = self.config.authority.clone();
        let label = [authority.as_str()];
        self.rests = Some(Instant::now() + REST);
        match self.sign(now) {
            Ok(seen) => {
                let says = &seen.checkpoint.says;
                self.metrics.expiry.with_label_values(&label).set(says.expires_at.as_second() as f64);
                self.metrics.notices.with_label_values(&label).set(says.count as i64);
                if self.changed {
                    let (notices, highest) = (says.count, says.highest);
                    tracing::info!(feed = %authority, notices, highest, "the feed is published");
                }
                self.show(&seen);
                (self.last, self.changed) = (Some(seen), false);
                self.due = Some(Instant::now() + self.config.validity / 2);
            }
            Err(why) => {
                tracing::error!(feed = %authority, "the feed cannot be published, the last edition stays: {why}");
                self.metrics.failures.with_label_values(&label).inc();
                self.rests = Some(Instant::now() + AGAIN);
            }
        }
    }

    /// Signs the next checkpoint and writes it down.
    fn sign(&self, now: Timestamp) -> Result<Seen, String> {
        let before = self.last.as_ref().map(|last| &last.checkpoint);
        let at_least = before.map(|before| before.says.issued_at.saturating_add(LATER).unwrap_or(now));
        let issued_at = at_least.map_or(now, |at| at.max(now));
        let validity = SignedDuration::try_from(self.config.validity).unwrap_or_default();
        let expires_at = issued_at.saturating_add(validity).unwrap_or(Timestamp::MAX);
        let entries = self.shelf.entries();
        let previous = before.map(|before| before.hash);
        let draft = Draft::new(&self.config.authority, &entries, issued_at, expires_at, previous);
        let draft = draft.map_err(|error| error.to_string())?;
        let (checkpoint, octets) = draft.sign(&self.config.key);
        let pages = checkpoint.says.pages.iter().zip(draft.pages).map(|(page, (sha256, octets))| {
            let entries = page.read(&octets).map_err(|finding| finding.to_string())?;
            Ok((sha256, (octets, entries)))
        });
        let pages = pages.collect::<Result<_, String>>()?;
        let seen = Seen { checkpoint, octets, etag: None, pages };
        self.memory.keep(self.config.authority.as_str(), &seen).map_err(|error| error.to_string())?;
        Ok(seen)
    }

    fn show(&mut self, seen: &Seen) {
        let part = |(hash, (octets, _)): (&Hash, &(Vec<u8>, _))| Part { octets: octets.as_slice().into(), hash: *hash };
        let before = self.last.iter().flat_map(|last| &last.pages);
        let left = before.filter(|(hash, _)| !seen.pages.contains_key(hash)).map(part);
        self.old_pages.extend(left);
        self.old_pages.drain(..self.old_pages.len().saturating_sub(OLD_PAGES));
        let pages = self.old_pages.iter().cloned().chain(seen.pages.iter().map(part)).map(|page| (page.hash, page));
        let (checkpoint, notices) = (Part::new(seen.octets.as_bytes()), self.shelf.listed().clone());
        self.edition.store(Some(Arc::new(Edition { checkpoint, pages: pages.collect(), notices })));
    }
}

#[cfg(test)]
mod tests;
