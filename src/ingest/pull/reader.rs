//! [`Reader`]: compares what a feed says with what was seen of it, and fetches what is missing. It asks a [`Server`], and
//! neither the network nor the disk otherwise; the time is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::FeedState;
use super::fetch::{Answer, Server, Trouble};
use super::memory::{Page, Seen};
use crate::model::AuthorityId;
use crate::verify::checkpoint::{Checkpoint, Entry, Fault, Finding, Hash, MAX_CHECKPOINT, contradiction};
use crate::verify::keyring::Keyring;

/// Octets of notices of one look, and one notice more.
const AT_ONCE: usize = 16 << 20;
/// Notices of one look.
const MOST_AT_ONCE: usize = 512;
/// Notices that do not come before a look ends: the next one begins with those after them.
const PATIENCE: usize = 16;

/// See the module's header.
#[derive(Debug)]
pub(super) struct Reader {
    authority: AuthorityId,
    keyring: Arc<Keyring>,
    seen: Option<Seen>,
    /// Payloads that need not be fetched: they are recorded, or were handed over.
    known: BTreeSet<Hash>,
    /// The number after which the next look begins.
    after: u64,
}

/// What one look found.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// Envelopes that are what is listed, by their key.
    pub(super) fetched: BTreeMap<String, Vec<u8>>,
    /// There is a new checkpoint, to be remembered.
    pub(super) news: bool,
    /// What is wrong with the feed.
    pub(super) findings: Vec<Finding>,
    /// Why it could not be asked.
    pub(super) failure: Option<String>,
    /// How long the server wants to be left alone.
    pub(super) wait: Option<Duration>,
    /// There is more to fetch at once.
    pub(super) more: bool,
}

impl Look {
    fn note(&mut self, trouble: Trouble, what: &str) {
        match trouble {
            Trouble::Missing(status) => {
                let message = format!("{what} does not come: the server answers {status}");
                self.findings.push(Finding::new(Fault::Withheld, message));
            }
            Trouble::Oversized => {
                let message = format!("{what} is larger than it may be");
                self.findings.push(Finding::new(Fault::Oversized, message));
            }
            Trouble::Slow => self.findings.push(Finding::new(Fault::Slow, format!("{what} takes too long to come"))),
            Trouble::Busy(wait) => {
                self.failure = Some("the server does not want to be asked now".to_owned());
                self.wait = wait;
            }
            Trouble::Unreachable(why) => self.failure = Some(format!("{what} cannot be fetched: {why}")),
        }
    }

    /// Whether the feed may only have changed while it was read.
    fn may_have_moved(&self) -> bool {
        let moves = |finding: &Finding| matches!(finding.fault, Fault::Withheld | Fault::Altered | Fault::Oversized);
        self.failure.is_none() && self.findings.iter().any(moves)
    }
}

impl Reader {
    pub(super) fn new(authority: AuthorityId, keyring: Arc<Keyring>, seen: Option<Seen>) -> Self {
        Self { authority, keyring, seen, known: BTreeSet::new(), after: 0 }
    }

    /// The last good checkpoint.
    pub(super) fn seen(&self) -> Option<&Seen> {
        self.seen.as_ref()
    }

    pub(super) fn know(&mut self, payloads: impl IntoIterator<Item = Hash>) {
        self.known.extend(payloads);
    }

    /// How the feed is doing; nothing is known before its first checkpoint.
    pub(super) fn state(&self) -> Option<FeedState> {
        let says = &self.seen.as_ref()?.checkpoint.says;
        Some(FeedState { highest: says.highest, expires_at: says.expires_at, missing: self.missing().count() })
    }

    fn missing(&self) -> impl Iterator<Item = &Entry> {
        let entries = self.seen.iter().flat_map(Seen::entries);
        entries.filter(|entry| !self.known.contains(&entry.payload))
    }

    /// Reads the checkpoint and fetches what is missing, as much as is fit for one update. A feed that changed meanwhile is
    /// read again before anything is said about it.
    pub(super) fn look(&mut self, server: &mut impl Server, now: Timestamp, until: Instant) -> Look {
        let first = self.pass(server, now, until);
        if !first.may_have_moved() || Instant::now() >= until {
            return first;
        }
        let mut second = self.pass(server, now, until);
        second.fetched.extend(first.fetched);
        second.news |= first.news;
        second.findings.extend(first.findings.into_iter().filter(|finding| finding.fault == Fault::Missed));
        second
    }

    fn pass(&mut self, server: &mut impl Server, now: Timestamp, until: Instant) -> Look {
        let mut look = Look::default();
        if let Err(stop) = self.read_checkpoint(server, now, &mut look) {
            stop.put_into(&mut look);
        }
        // what was listed is wanted, even where what is said now is not believed
        if look.failure.is_none() {
            self.fetch_missing(server, until, &mut look);
        }
        if let Some(seen) = self.seen.as_ref().filter(|seen| !seen.checkpoint.is_fresh(now)) {
            let message =
                format!("the feed stands still: its checkpoint expired at {}", seen.checkpoint.says.expires_at);
            look.findings.insert(0, Finding::new(Fault::Frozen, message));
        }
        look
    }

    //------ the checkpoint ---

    fn read_checkpoint(&mut self, server: &mut impl Server, now: Timestamp, look: &mut Look) -> Result<(), Stop> {
        let etag = self.seen.as_ref().and_then(|seen| seen.etag.as_deref());
        let (octets, etag) = match server.get("checkpoint", etag, MAX_CHECKPOINT as u64) {
            Ok(Answer::Same) => return Ok(()),
            Ok(Answer::Body(octets, etag)) => (octets, etag),
            // without a checkpoint there is no feed: that is not a notice withheld
            Err(Trouble::Missing(status)) => {
                let why = format!("the server answers {status}");
                return Err(Stop::trouble(Trouble::Unreachable(why), "the checkpoint"));
            }
            Err(trouble) => return Err(Stop::trouble(trouble, "the checkpoint")),
        };
        let checkpoint = Checkpoint::read(&octets, &self.keyring, &self.authority, now)?;
        if let Some(before) = &mut self.seen {
            if checkpoint.hash == before.checkpoint.hash {
                before.etag = etag;
                return Ok(());
            }
            match checkpoint.follows(&before.checkpoint) {
                // it is the truth all the same, and waiting does not bring back what has left
                Err(missed) if missed.fault == Fault::Missed => look.findings.push(missed),
                other => other?,
            }
        }
        let octets = String::from_utf8_lossy(&octets).into_owned(); // it was read as text
        let pages = self.read_pages(server, &checkpoint)?;
        let seen = Seen { checkpoint, octets, etag, pages };
        seen.checkpoint.is_over(seen.entries())?;
        if let Some(before) = &self.seen {
            let may_leave = seen.checkpoint.says.ended_before.is_some();
            contradiction(before.entries(), seen.entries(), may_leave)?;
        }
        (look.news, self.seen) = (true, Some(seen));
        Ok(())
    }

    fn read_pages(&self, server: &mut impl Server, checkpoint: &Checkpoint) -> Result<BTreeMap<Hash, Page>, Stop> {
        let mut pages = BTreeMap::new();
        for page in &checkpoint.says.pages {
            let at_hand = self.seen.as_ref().and_then(|seen| seen.pages.get(&page.sha256));
            let read = match at_hand {
                Some(read) => read.clone(),
                None => {
                    let what = format!("the page {}", page.sha256);
                    let octets = body(server.get(&format!("pages/{}", page.sha256), None, page.size), &what)?;
                    let entries = page.read(&octets)?;
                    (octets, entries)
                }
            };
            pages.insert(page.sha256, read);
        }
        Ok(pages)
    }

    //------ notices ---

    fn fetch_missing(&mut self, server: &mut impl Server, until: Instant, look: &mut Look) {
        let missing: Vec<Entry> = self.missing().copied().collect();
        let start = missing.partition_point(|entry| entry.sequence <= self.after);
        let (mut octets, mut failed) = (0, 0);
        for entry in missing[start..].iter().chain(&missing[..start]) {
            let full = octets >= AT_ONCE || look.fetched.len() >= MOST_AT_ONCE;
            if full || failed >= PATIENCE || Instant::now() >= until {
                look.more = full;
                break;
            }
            self.after = entry.sequence;
            match fetch(server, entry) {
                Ok(envelope) => {
                    octets += envelope.len();
                    self.known.insert(entry.payload);
                    look.fetched.insert(entry.sequence.to_string(), envelope);
                }
                Err(stop) => {
                    failed += 1;
                    stop.put_into(look);
                    if look.failure.is_some() {
                        break;
                    }
                }
            }
        }
    }
}

/// Fetches a notice, and compares it with what is listed.
fn fetch(server: &mut impl Server, entry: &Entry) -> Result<Vec<u8>, Stop> {
    let what = format!("notice {}", entry.sequence);
    let octets = body(server.get(&format!("notices/{}", entry.sequence), None, entry.size), &what)?;
    match Hash::of(&octets) == entry.envelope {
        true => Ok(octets),
        false => Err(Finding::new(Fault::Altered, format!("{what} is not what is listed")).into()),
    }
}

fn body(answer: Result<Answer, Trouble>, what: &str) -> Result<Vec<u8>, Stop> {
    match answer {
        Ok(Answer::Body(octets, _)) => Ok(octets),
        Ok(Answer::Same) => Err(Stop::trouble(Trouble::Unreachable("not modified, it says".to_owned()), what)),
        Err(trouble) => Err(Stop::trouble(trouble, what)),
    }
}

/// Why something is not taken.
enum Stop {
    Finding(Finding),
    Trouble(Trouble, String),
}

impl Stop {
    fn trouble(trouble: Trouble, what: &str) -> Self {
        Self::Trouble(trouble, what.to_owned())
    }

    fn put_into(self, look: &mut Look) {
        match self {
            Self::Finding(finding) => look.findings.push(finding),
            Self::Trouble(trouble, what) => look.note(trouble, &what),
        }
    }
}

impl From<Finding> for Stop {
    fn from(finding: Finding) -> Self {
        Self::Finding(finding)
    }
}

#[cfg(test)]
mod tests;
