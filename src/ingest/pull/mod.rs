//! Notices fetched from an authority's feed, for nodes that were away when they were pushed, or that nobody pushes to: a
//! signed [`Checkpoint`](crate::verify::checkpoint) says what there is, and what this node does not have yet is fetched. A
//! pulled notice goes the same way as a file: its own signatures decide whether it is carried out, and the feed's say only
//! what there is to fetch. So whoever holds the feed, its key or the line can keep notices away, and make none.
//!
//! ```text
//! poll (thread, interval, backoff) --> Reader (what is remembered, what is missing) --> Server: GET, bounds
//!                                        |            |
//!                                      memory      Update { signed, feed } --> control
//! ```
//!
//! # The threats of TUF
//!
//! As of <https://theupdateframework.io/security/>. Whatever is found, what is in force stays, and the [`Fault`] is counted
//! (`pagar_source_feed_faults_total`), logged, shown in the source's status and recorded in the ledger when it begins.
//!
//! | threat | met by | not met |
//! |---|---|---|
//! | arbitrary notices | signatures of the notices themselves, as many as the authority requires; the feed's key may be another one, and cannot order | |
//! | wrong key | the checkpoint's signature and `typ`: `feed-signature` | a stolen feed key: it can hide notices from nodes that have seen no checkpoint since |
//! | rollback | the last checkpoint is remembered over restarts: an older or lower one is `feed-rollback` | a node's first look, or one whose state directory is lost, has nothing to compare with |
//! | history rewritten, two feeds for two nodes | numbers stay and keep their payload, two checkpoints of one time or with one predecessor: `feed-contradiction` | nodes do not compare with each other: two feeds that stay apart for ever are not seen |
//! | freeze | a checkpoint ends (`expires_at`, at most 31 days): `feed-frozen` at the latest then | within that time |
//! | notices withheld | what is listed must come: `feed-withheld`; how many do not is a metric | notices that the authority never listed: gaps in its numbers are alarmed |
//! | mix and match | hashes in the checkpoint bind pages, those bind notices: `feed-altered` | |
//! | endless data | every answer is bounded, by its listed size where there is one: `feed-oversized` | |
//! | slow retrieval | every request has an end, and a look as well: `feed-slow`; what is missing is a metric | a peer that gives one notice a minute: the metric shows it |
//! | extraneous dependencies, unwanted software | nothing fetched is run | |
//! | a clock set back or forth | a checkpoint from the future is `feed-ahead` | a clock that is wrong by less than the validity |
//!
//! # What is fetched again
//!
//! The ledger says at the start what need not be fetched. A notice that was handed over counts as had until the process ends:
//! one that is refused now and may be taken later waits in the docket, and one that found no room there (it says so in the log)
//! is fetched again at the next start.
//!
//! # Without a network
//!
//! A node that remembers a feed starts at once with what its ledger has, whether the feed answers or not. One that has never
//! seen it asks before it starts, since otherwise it would answer as if nothing were restricted. `pagar check` asks nobody.

mod fetch;
mod memory;
mod poll;
mod reader;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use self::fetch::Http;
pub use self::memory::{Memory, Seen};
pub(super) use self::poll::spawn;
use self::reader::{Look, Reader};
use super::{Problem, Severity, Update};
use crate::http::Access;
use crate::model::AuthorityId;
use crate::verify::checkpoint::{Fault, Finding, Hash};
use crate::verify::keyring::Keyring;

/// How long the first look may take while nothing is answered yet; the rest of a long feed follows afterwards.
const FIRST: Duration = Duration::from_secs(30);

/// How long one request may take, a notice of 16 MiB over a slow line included, and how long at least.
const PATIENCE: Duration = Duration::from_secs(60);
const LEAST: Duration = Duration::from_secs(1);

/// Findings of one look that are put into words.
const TOLD: usize = 3;

/// A feed as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Feed {
    /// What its parts are below; ends in a slash.
    pub url: String,
    /// Whose notices it has.
    pub authority: AuthorityId,
    /// The keys that sign its checkpoints; one signature is enough, since it puts nothing in force.
    pub keyring: Arc<Keyring>,
    /// How the server is known, and how it knows us.
    pub access: Access,
    /// From one look to the next.
    pub interval: Duration,
    /// The directory where it is remembered.
    pub memory: PathBuf,
}

/// How a feed is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedState {
    /// The highest number its last good checkpoint lists.
    pub highest: u64,
    /// Until when that checkpoint is good.
    pub expires_at: Timestamp,
    /// Notices it lists that have not come yet.
    pub missing: usize,
}

/// A feed and what is remembered of it.
#[derive(Debug)]
pub(super) struct Pull {
    feed: Arc<Feed>,
    source: String,
    reader: Reader,
    memory: Memory,
    /// What was seen last is not written down.
    unsaved: bool,
    /// When it was looked at last.
    looked: Option<Instant>,
}

impl Pull {
    pub(super) fn new(source: &str, feed: Arc<Feed>) -> Self {
        let memory = Memory::new(feed.memory.clone());
        let reader = Reader::new(feed.authority.clone(), feed.keyring.clone(), memory.recall(&feed.url));
        Self { feed, source: source.to_owned(), reader, memory, unsaved: false, looked: None }
    }

    /// Payloads that are recorded: they need not be fetched.
    pub(super) fn recorded(&mut self, payloads: impl IntoIterator<Item = [u8; 32]>) {
        self.reader.know(payloads.into_iter().map(Hash));
    }

    /// Asks a feed of which nothing is remembered; says of another that nothing has changed.
    pub(super) fn first(&mut self, update: &mut Update) {
        if self.reader.seen().is_some() {
            return;
        }
        let until = Instant::now() + FIRST;
        loop {
            let (look, _) = self.look(update, until);
            if !look.more {
                break;
            }
        }
    }

    /// Looks once, and puts what it finds into the update. Returns how it went, and how long the server wants to be left
    /// alone.
    fn look(&mut self, update: &mut Update, until: Instant) -> (Look, Option<Duration>) {
        self.looked = Some(Instant::now());
        let patience = until.saturating_duration_since(Instant::now()).clamp(LEAST, PATIENCE);
        let mut server = match Http::new(&self.feed.url, &self.feed.access, patience) {
            Ok(server) => server,
            Err(error) => {
                update.failure = Some(self.problem("http", error.to_string(), "see the keys of the source"));
                return (Look::default(), None);
            }
        };
        let mut look = self.reader.look(&mut server, update.at, until);
        update.signed.extend(std::mem::take(&mut look.fetched));
        let forgetful = self.remember(look.news);
        update.failure = self.failure(&look).or(forgetful);
        update.feed = self.reader.state();
        update.faults = look.findings.iter().map(|finding| finding.fault).collect();
        let wait = look.wait;
        (look, wait)
    }

    /// Writes down what was seen, again and again until it succeeds.
    fn remember(&mut self, news: bool) -> Option<Problem> {
        self.unsaved |= news;
        let seen = self.reader.seen().filter(|_| self.unsaved)?;
        let kept = self.memory.keep(&self.feed.url, seen);
        self.unsaved = kept.is_err();
        let message = format!("what was seen of the feed cannot be kept: {}", kept.err()?);
        Some(self.problem("io", message, "a rollback after a restart would not be noticed: see the state directory"))
    }

    /// What went wrong, as one problem.
    fn failure(&self, look: &Look) -> Option<Problem> {
        if let Some(Finding { fault, .. }) = look.findings.first() {
            let mut words: Vec<_> = look.findings.iter().take(TOLD).map(ToString::to_string).collect();
            if look.findings.len() > TOLD {
                words.push(format!("and {} more", look.findings.len() - TOLD));
            }
            return Some(self.problem(fault.as_str(), words.join("; "), fault.hint()));
        }
        let message = look.failure.clone()?;
        Some(self.problem("http", message, "see whether the server runs, and the line to it"))
    }

    fn problem(&self, code: &'static str, message: String, hint: &str) -> Problem {
        let (file, hint) = (PathBuf::from(&self.source), Some(hint.to_owned()));
        Problem { severity: Severity::Error, file, line: None, column: None, message, hint, code }
    }
}

/// The words of all faults, for those who count them.
pub fn faults() -> impl Iterator<Item = &'static str> {
    Fault::ALL.iter().map(|fault| fault.as_str())
}
