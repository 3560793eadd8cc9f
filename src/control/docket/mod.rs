//! [`Docket`]: signed notices from the file to the record, and back from the record at the next start.
//!
//! ```text
//! Signed --judge--> Good --append, fsync--> Life --steps--> Effects --> State, Register, publication
//!            |                                |                              |
//!            '--> refused: recorded if its    '--> Transition records        '--> questions to the own socket
//!                 sender is known                                                       |
//!                                         Enforced, LiftSeen records, receipts <--------'
//! ```
//!
//! Nothing has an effect before it is recorded (DESIGN §4); nothing is called enforced before it was asked for. What
//! follows from recorded orders by time alone is recorded with the next append: it can be computed again.
//!
//! | file | what |
//! |---|---|
//! | [`judge`] | whether a file is an order that may be taken |
//! | [`book`] | the ledger, and what waits for it |
//! | [`holds`] | what waits for people, and what they decided |
//! | [`people`] | what people decide |
//! | [`mod@offline`] | what files would do, without a ledger |
//! | [`receipt`] | what the sender is told |
//! | [`replay`] | the state of all this from the ledger |

mod book;
mod holds;
mod judge;
mod offline;
mod people;
mod receipt;
mod replay;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use self::book::Book;
pub(super) use self::holds::ListVersion;
use self::holds::{Holds, case_of};
pub(super) use self::judge::Bench;
use self::judge::{Good, Judged, Refused};
pub(super) use self::offline::offline;
pub(super) use self::people::Decided;
use self::receipt::Receipt;
use super::SIGNED;
use super::life::{Case, Content, Key, Life, Phase, Step};
use super::state::Place;
use crate::ingest::{Document, Problem, Severity};
use crate::ledger::event::{ItemRef, OrderKind};
use crate::ledger::{Digest, Event, Ledger, LedgerError, Payload, seal};
use crate::model::{Act, DnsName, Item, ItemId, Notice, NoticeId, Order, Restriction};
use crate::observe::metrics::Metrics;
use crate::policy::Snapshot;
use crate::verify::jose::PrivateKey;

/// Octets of refused files that are kept because they may be taken later; the rest must be dropped anew.
const KEPT: usize = 64 << 20;

/// From one try of what waits to the next.
const RETRY: Duration = Duration::from_secs(1);

/// A signed file as a source gave it.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    pub(super) source: String,
    pub(super) file: PathBuf,
    pub(super) octets: Vec<u8>,
    pub(super) received_at: Timestamp,
    /// It was refused before, and that was said.
    pub(super) again: bool,
}

/// Why a file waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Waits {
    /// It cannot be recorded.
    Ledger,
    /// It is refused, and its sender is known.
    Authentic,
    /// It is refused, and its sender is not known.
    Unknown,
}

/// What the policy has to do.
#[derive(Debug)]
pub(super) enum Effect {
    /// This is what the notice lists now.
    Put(Place, Box<Document>),
    /// The notice lists nothing any more.
    Remove(Place),
}

/// What is left to do for each place: the last of several effects counts.
pub(super) fn last_of_each(effects: Vec<Effect>) -> BTreeMap<Place, Option<Document>> {
    let parts = effects.into_iter().map(|effect| match effect {
        Effect::Put(place, document) => (place, Some(*document)),
        Effect::Remove(place) => (place, None),
    });
    parts.collect()
}

/// What came of a batch of files.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) effects: Vec<Effect>,
    /// What is wrong, by source.
    pub(super) problems: Vec<(String, Problem)>,
    /// Files with which nothing is wrong (any more), by source.
    pub(super) settled: Vec<(String, PathBuf)>,
    /// The ledger could not be written: what is left is not tried.
    stuck: bool,
}

/// An order that was taken.
#[derive(Clone, Debug)]
struct Filed {
    key: Key,
    number: u64,
    about: Vec<NoticeId>,
    /// Digest of its envelope, and the record that accepted it.
    envelope: Digest,
    record: u64,
    received_at: Timestamp,
    effective_at: Timestamp,
    signers: Vec<String>,
    /// Files that have it, as far as is known: its receipt is written beside each.
    files: BTreeSet<PathBuf>,
}

/// What the policy has of a case.
#[derive(Clone, Debug, PartialEq)]
struct Shown {
    payload: [u8; 32],
    left_out: BTreeSet<ItemId>,
}

/// That the node has asked itself about a case.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    at: Timestamp,
    serial: u32,
    policy: String,
    asked: u64,
    /// Its names are blocked.
    blocked: bool,
    /// When names of its were seen to resolve again.
    lifted_at: Option<Timestamp>,
    /// Why not.
    failed: Option<String>,
}

/// Since when the names of an order are blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Blocked {
    /// When they were seen to be for the first time.
    first: Timestamp,
    /// And since when they are without a break; `None` while they are not.
    since: Option<Timestamp>,
}

/// What the node asks itself about one case.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) key: Key,
    /// Which query this is.
    pub(super) number: u64,
    /// Items to be blocked, and names to resolve again.
    pub(super) blocked: Vec<Item>,
    pub(super) lifted: Vec<Item>,
}

/// What it found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) key: Key,
    /// Of the query.
    pub(super) number: u64,
    pub(super) asked: u64,
    pub(super) had_blocked: bool,
    pub(super) failed: Option<&'static str>,
    /// Names that were to resolve again: if that failed, they are asked for once more.
    pub(super) lifted: Vec<Item>,
}

/// See the module's header.
#[derive(Debug)]
pub(super) struct Docket {
    book: Book,
    life: Life,
    /// Orders that were taken, by the digest of their payload.
    orders: BTreeMap<[u8; 32], Filed>,
    /// The payload of each envelope that was taken.
    envelopes: BTreeMap<Digest, [u8; 32]>,
    /// Orders whose receipt is not where it should be.
    undelivered: BTreeSet<[u8; 32]>,
    /// Which order each file has.
    files: BTreeMap<PathBuf, [u8; 32]>,
    /// Orders about each case, the first one included.
    about: BTreeMap<Key, Vec<[u8; 32]>>,
    shown: BTreeMap<Key, Shown>,
    seen: BTreeMap<Key, Seen>,
    /// Since when, by the payload that orders it.
    blocked: BTreeMap<[u8; 32], Blocked>,
    /// Envelopes whose refusal is recorded.
    refused: BTreeSet<Digest>,
    /// Files that may be taken later.
    waiting: BTreeMap<PathBuf, (Waits, Signed)>,
    /// Refused files are to be judged again: something they may wait for has come.
    again: bool,
    /// When refused files were judged last, and how many octets of each kind wait.
    judged: Option<Timestamp>,
    kept: BTreeMap<Waits, usize>,
    /// Names that were taken out of force and are to be asked for, by case.
    lifted: BTreeMap<Key, Vec<Item>>,
    /// Some names of unsigned notices that are to be asked for.
    unsigned: BTreeMap<Key, Vec<Item>>,
    /// Cases to ask about after the next publication.
    to_ask: BTreeSet<Key>,
    /// Cases that are being asked about, with the number of the last query.
    asked: BTreeMap<Key, u64>,
    /// Queries made so far; numbers them.
    queries: u64,
    /// Cases whose part of the policy may be another now.
    moved: BTreeSet<Key>,
    /// Cases whose receipts are due.
    unwritten: BTreeSet<Key>,
    holds: Holds,
    /// Versions of lists that people have approved.
    approved_lists: BTreeSet<ListVersion>,
    /// Names that people have lifted, and whether they were secret then.
    lifts: BTreeMap<DnsName, bool>,
    lifts_changed: bool,
    /// What secrets are sealed with.
    key: Option<seal::Key>,
    /// The ledger is being played.
    replaying: bool,
    /// When the last record was written.
    last_record: Option<Timestamp>,
    node: Arc<PrivateKey>,
    metrics: Arc<Metrics>,
    /// Nothing may be changed: the ledger is damaged.
    read_only: bool,
    trouble: String,
    /// When what only waited was recorded last.
    flushed: Option<Instant>,
    /// When what waits was tried last.
    retried: Option<Instant>,
    /// There are questions that were not asked before.
    news: bool,
}

impl Docket {
    /// Plays the ledger again. Without one, nothing can be taken in; what the stored policy has stays.
    pub(super) fn open(
        ledger: Result<Ledger, LedgerError>,
        state: &Path,
        key: Option<seal::Key>,
        metrics: Arc<Metrics>,
        now: Timestamp,
    ) -> std::io::Result<Self> {
        let node = Arc::new(receipt::node_key(state)?);
        let empty = |ledger| Self::empty(ledger, key.clone(), node.clone(), metrics.clone());
        let played = ledger.map_err(|error| error.to_string()).and_then(|ledger| {
            let mut docket = empty(Some(ledger));
            docket.replay(now).map(|()| docket)
        });
        metrics.ledger.damaged.set(i64::from(played.is_err()));
        Ok(played.unwrap_or_else(|why| {
            tracing::error!("{why}: the stored policy is served, and nothing new is taken in");
            // what was played of it is not the whole, and must not be taken for it
            Self { read_only: true, trouble: why, ..empty(None) }
        }))
    }

    fn empty(ledger: Option<Ledger>, key: Option<seal::Key>, node: Arc<PrivateKey>, metrics: Arc<Metrics>) -> Self {
        Self {
            book: Book::new(ledger, metrics.ledger.clone()),
            life: Life::default(),
            orders: BTreeMap::new(),
            envelopes: BTreeMap::new(),
            undelivered: BTreeSet::new(),
            files: BTreeMap::new(),
            about: BTreeMap::new(),
            shown: BTreeMap::new(),
            seen: BTreeMap::new(),
            blocked: BTreeMap::new(),
            refused: BTreeSet::new(),
            waiting: BTreeMap::new(),
            again: false,
            judged: None,
            kept: BTreeMap::new(),
            lifted: BTreeMap::new(),
            unsigned: BTreeMap::new(),
            to_ask: BTreeSet::new(),
            asked: BTreeMap::new(),
            queries: 0,
            moved: BTreeSet::new(),
            unwritten: BTreeSet::new(),
            holds: Holds::default(),
            approved_lists: BTreeSet::new(),
            lifts: BTreeMap::new(),
            lifts_changed: false,
            key,
            replaying: false,
            last_record: None,
            node,
            metrics,
            read_only: false,
            trouble: String::new(),
            flushed: None,
            retried: None,
            news: false,
        }
    }

    /// Why nothing may be changed.
    pub(super) fn trouble(&self) -> &str {
        &self.trouble
    }

    /// Whether it is time to try again what waits.
    pub(super) fn may_retry(&mut self, now: Instant) -> bool {
        let due = self.retried.is_none_or(|last| now.duration_since(last) >= RETRY);
        if due {
            self.retried = Some(now);
        }
        due
    }

    /// Whether something is to be asked that was not asked before.
    pub(super) fn has_news(&self) -> bool {
        self.news
    }

    /// Whether changes are refused because the ledger cannot be trusted.
    pub(super) fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// When something becomes of a notice by itself.
    pub(super) fn next_change(&self) -> Option<Timestamp> {
        self.life.next_change()
    }

    /// The places of the notices that the policy is to have.
    pub(super) fn wanted_places(&self) -> BTreeSet<Place> {
        self.life.cases().filter(|(key, _)| self.wanted(key).is_some()).map(|(key, _)| place(key)).collect()
    }

    /// The state does not have a notice that it should: it is not called enforced, and asked for.
    pub(super) fn miss(&mut self, has: impl Fn(&Place) -> bool) {
        let missing: Vec<_> = self.shown.keys().filter(|key| !has(&place(key))).cloned().collect();
        for key in missing {
            self.seen.remove(&key);
            self.unwritten.insert(key.clone());
            self.to_ask.insert(key);
            self.news = true;
        }
    }

    /// A file is gone: if its notice was not taken, it will not be.
    pub(super) fn forget(&mut self, file: &Path) {
        if let Some((what, signed)) = self.waiting.remove(file) {
            *self.kept.entry(what).or_default() -= signed.octets.len();
        }
    }

    /// Takes over from the docket before what no record says: what waits, what the policy has, what is being asked. What
    /// another process has recorded meanwhile then shows as a difference.
    pub(super) fn inherit(&mut self, before: &mut Self) {
        (self.waiting, self.kept) = (std::mem::take(&mut before.waiting), std::mem::take(&mut before.kept));
        self.unsigned = std::mem::take(&mut before.unsigned);
        self.to_ask.extend(self.unsigned.keys().cloned());
        for (payload, filed) in &mut self.orders {
            filed.files = before.orders.get(payload).map(|known| known.files.clone()).unwrap_or_default();
        }
        self.files = std::mem::take(&mut before.files);
        self.shown = std::mem::take(&mut before.shown);
        (self.asked, self.queries) = (std::mem::take(&mut before.asked), before.queries);
        self.refused.append(&mut before.refused);
        self.to_ask.append(&mut before.to_ask);
        self.unwritten.append(&mut before.unwritten);
        for (key, items) in std::mem::take(&mut before.lifted) {
            self.lifted.entry(key).or_insert(items);
        }
        (self.lifts_changed, self.news) = (true, true);
    }

    /// Whether files wait for something.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty() && !self.read_only
    }

    /// Gives the ledger to another process.
    pub(super) fn lend(&mut self, now: Timestamp) {
        self.book.close(now);
    }

    /// When the last record was written, by an earlier run.
    pub(super) fn last_record(&self) -> Option<Timestamp> {
        self.last_record
    }

    /// Whether lifts have ended or begun since this was asked last.
    pub(super) fn lifts_changed(&mut self) -> bool {
        std::mem::take(&mut self.lifts_changed)
    }

    /// Records something, and writes what waits. For the beginning and the end of a run.
    pub(super) fn record(&mut self, event: Event, now: Timestamp) {
        self.book.later(event);
        self.book.flush(now);
    }

    /// Records something with the next append.
    pub(super) fn later(&mut self, event: Event) {
        self.book.later(event);
    }

    //------ taking in ---

    /// Takes what may be taken of these files and of those that wait, all in one append.
    pub(super) fn take(&mut self, files: Vec<Signed>, bench: &Bench<'_>, now: Timestamp) -> Taken {
        let mut taken = Taken::default();
        let mut files: Vec<_> = self.released(!files.is_empty(), now).into_iter().chain(files).collect();
        let latest: BTreeMap<_, _> = files.iter().enumerate().map(|(at, signed)| (signed.file.clone(), at)).collect();
        let mut at = 0..;
        files.retain(|signed| at.next() == latest.get(&signed.file).copied());
        if self.read_only {
            let message = "the ledger cannot be used, so nothing is taken in";
            files.into_iter().for_each(|signed| self.wait(signed, "ledger", message, &mut taken));
            return taken;
        }
        // what an authority numbered is taken in that order, whatever the files are called
        files.sort_by_cached_key(|signed| {
            judge::order_in(&signed.octets).map(|order| (order.authority, order.sequence))
        });
        let steps = self.life.at(now);
        self.note(&steps);
        let (mut good, mut sent, mut refused) = (Vec::<Good>::new(), Vec::new(), Vec::new());
        let (mut payloads, mut twins) = (BTreeSet::new(), Vec::new());
        for signed in files {
            if let Some(payload) = self.envelopes.get(&judge::digest(&signed.octets)).copied() {
                self.known(&payload, signed, &mut taken); // keys may have come and gone since it was taken
                continue;
            }
            match judge::judge(&signed.octets, &signed.file, bench, &self.life, &good, now) {
                Judged::Good(one) if !payloads.insert(one.order.digest) => {
                    twins.push((one.order, signed)); // the same payload in another file
                }
                Judged::Good(one) => {
                    good.push(*one);
                    sent.push(signed);
                }
                Judged::Known(order) => self.known(&order.digest, signed, &mut taken),
                Judged::Refused(why) => refused.push((signed, *why)),
            }
        }
        self.take_good(good, sent, &mut taken, now);
        for (order, signed) in twins {
            match self.orders.contains_key(&order.digest) {
                true => self.known(&order.digest, signed, &mut taken),
                false => self.keep(signed, Waits::Ledger), // its twin waits, and that was said
            }
        }
        refused.into_iter().for_each(|(signed, why)| self.refuse(signed, why, bench, &mut taken, now));
        let touched = std::mem::take(&mut self.moved);
        taken.effects.extend(touched.iter().filter_map(|key| self.sync(key)));
        taken
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, now: Timestamp) -> Vec<Effect> {
        if self.read_only {
            return Vec::new(); // what is stored is all there is
        }
        let steps = self.life.at(now);
        self.note(&steps);
        let touched = std::mem::take(&mut self.moved);
        touched.iter().filter_map(|key| self.sync(key)).collect()
    }

    /// Records the good ones; without that, they wait.
    fn take_good(&mut self, good: Vec<Good>, sent: Vec<Signed>, taken: &mut Taken, now: Timestamp) {
        if good.is_empty() {
            return;
        }
        let (mut events, mut payloads, mut records) = (Vec::new(), Vec::new(), Vec::new());
        for (good, signed) in good.iter().zip(&sent) {
            let payload = Payload::new(signed.octets.clone(), good.secret);
            records.push((self.book.next(events.len()), payload.digest));
            events.push(accepted(good, signed, payload.digest));
            for (item, why) in &good.quarantined {
                events.push(holds::held_item(&good.order, item, why.code()));
            }
            payloads.push(payload);
        }
        if let Err(error) = self.book.append(events, &payloads, now) {
            taken.stuck = true;
            sent.into_iter().for_each(|signed| self.wait(signed, "ledger", &error, taken));
            return;
        }
        for ((good, signed), (record, envelope)) in good.into_iter().zip(sent).zip(records) {
            for (item, why) in &good.quarantined {
                self.metrics.policy.quarantined.with_label_values(&[why.code()]).inc();
                taken.problems.push((signed.source.clone(), quarantine_problem(&good.order, item, *why, &signed.file)));
            }
            taken.problems.extend(good.problems.iter().map(|problem| (signed.source.clone(), problem.clone())));
            if good.quarantined.is_empty() && good.problems.is_empty() {
                taken.settled.push((signed.source.clone(), signed.file.clone()));
            }
            let id = &good.order.id;
            tracing::info!(source = signed.source, notice = %id, authority = %good.order.authority, record, "accepted");
            self.holds.accept(&good, record, now);
            for (_, ended) in self.end_lifts(&good.order, good.secret) {
                self.book.later(ended);
            }
            let filed = Filed {
                files: BTreeSet::from([signed.file.clone()]),
                signers: good.signers.clone(),
                ..filed(&good.order, envelope, record, signed.received_at)
            };
            self.moves_in(&signed.file, Some(good.order.digest));
            self.file(&good.order, filed, good.quarantined.into_iter().map(|(item, _)| item).collect(), now);
        }
        self.show_gaps();
        self.again = true; // an order about one of these may wait
    }

    /// Takes an order that is recorded.
    fn file(&mut self, order: &Order, filed: Filed, quarantined: BTreeSet<ItemId>, now: Timestamp) {
        let keys: Vec<Key> = match order.act {
            Act::Restrict(_) => vec![filed.key.clone()],
            _ => filed.about.iter().map(|id| (order.authority.clone(), id.clone())).collect(),
        };
        for key in keys {
            self.about.entry(key.clone()).or_default().push(order.digest);
            if !self.replaying {
                self.unwritten.insert(key); // what takes effect later has nothing to be asked for yet
            }
        }
        self.envelopes.insert(filed.envelope, order.digest);
        self.orders.insert(order.digest, filed);
        let steps = self.life.take(order, quarantined, now);
        self.note(&steps);
    }

    /// The same payload again: it is answered as before.
    fn known(&mut self, payload: &[u8; 32], signed: Signed, taken: &mut Taken) {
        self.moves_in(&signed.file, Some(*payload));
        let Some(filed) = self.orders.get_mut(payload) else { return };
        filed.files.insert(signed.file.clone());
        if !receipt::is_of(&signed.file, &Digest::new(*payload)) {
            self.undelivered.insert(*payload);
        }
        taken.settled.push((signed.source, signed.file));
    }

    /// A file has this order now, or none that was taken; the one it had before has it no more.
    fn moves_in(&mut self, file: &Path, payload: Option<[u8; 32]>) {
        let before = match payload {
            Some(payload) => self.files.insert(file.to_owned(), payload),
            None => self.files.remove(file),
        };
        if let Some(filed) = before.filter(|_| before != payload).and_then(|before| self.orders.get_mut(&before)) {
            filed.files.remove(file);
        }
    }

    fn refuse(&mut self, signed: Signed, why: Refused, bench: &Bench<'_>, taken: &mut Taken, now: Timestamp) {
        let envelope = judge::digest(&signed.octets);
        if taken.stuck && why.by.is_some() && !self.refused.contains(&envelope) {
            return self.wait(signed, "ledger", "the ledger cannot be written", taken);
        }
        let is_new = self.refused.insert(envelope);
        let mut record = None;
        match &why.by {
            None if is_new => self.metrics.policy.signature_failures.inc(),
            Some(authority) if is_new => {
                let kept = !why.secret || bench.has_key;
                let event = Event::Refused {
                    authority: authority.clone(),
                    notice: why.id.as_ref().map(|(id, _)| id.clone()),
                    payload: envelope,
                    kept,
                    source: signed.source.clone(),
                    code: why.code.to_owned(),
                    reason: why.reason.clone(),
                };
                let payload = kept.then(|| Payload::new(signed.octets.clone(), why.secret));
                match self.book.append(vec![event], payload.as_slice(), now) {
                    Ok(head) => record = Some(head.sequence),
                    Err(error) => {
                        (taken.stuck, _) = (true, self.refused.remove(&envelope));
                        return self.wait(signed, "ledger", &error, taken);
                    }
                }
            }
            _ => {}
        }
        self.moves_in(&signed.file, None);
        if is_new || !receipt::is_refusal(&signed.file) {
            self.write_refusal(&signed, &why, record, now);
        }
        let (source, file, again) = (signed.source.clone(), signed.file.clone(), signed.again);
        if why.later {
            self.keep(signed, if why.by.is_some() { Waits::Authentic } else { Waits::Unknown });
        }
        if !again {
            taken.problems.extend(why.into_problems(&file).into_iter().map(|problem| (source.clone(), problem)));
        }
    }

    /// Lets a file wait for the ledger, and says so.
    fn wait(&mut self, signed: Signed, code: &'static str, why: &str, taken: &mut Taken) {
        let (file, message) = (signed.file.clone(), format!("the notice waits: {why}"));
        let severity = Severity::Error;
        let problem = Problem { severity, file, line: None, column: None, message, hint: None, code };
        if !signed.again {
            taken.problems.push((signed.source.clone(), problem));
        }
        self.keep(signed, Waits::Ledger);
    }

    /// Keeps a file. What nobody is known to have sent takes no room from what authorities have.
    fn keep(&mut self, mut signed: Signed, what: Waits) {
        signed.again = true;
        let kept = self.kept.entry(what).or_default();
        if *kept + signed.octets.len() > KEPT {
            tracing::error!(file = %signed.file.display(), "too much waits: drop the file anew later");
            return;
        }
        *kept += signed.octets.len();
        if let Some((what, old)) = self.waiting.insert(signed.file.clone(), (what, signed)) {
            *self.kept.entry(what).or_default() -= old.octets.len();
        }
    }

    /// The files that wait and may be taken now: those that wait for the ledger; refused ones of known senders when others
    /// come; all of them after a configuration was read, or a minute.
    fn released(&mut self, others: bool, now: Timestamp) -> Vec<Signed> {
        let rested = self.judged.is_none_or(|last| now.duration_since(last) >= jiff::SignedDuration::from_mins(1));
        let all = std::mem::take(&mut self.again) || rested;
        if all {
            self.judged = Some(now);
        }
        let of = |what: Waits| all || what == Waits::Ledger || others && what == Waits::Authentic;
        let waiting = std::mem::take(&mut self.waiting);
        let (ready, rest) = waiting.into_iter().partition(|(_, (what, _))| of(*what));
        self.waiting = rest;
        self.kept.retain(|what, _| !of(*what));
        let ready: BTreeMap<_, _> = ready;
        ready.into_values().map(|(_, signed)| signed).collect()
    }

    /// Keys, authorities or categories are others now.
    pub(super) fn judge_again(&mut self) {
        self.again = true;
    }

    //------ what becomes of cases ---

    /// The names of a case are not blocked any more, or were seen not to be.
    fn rests(&mut self, key: &Key) {
        let payload = self.life.case(key).map(|case| case.content.payload);
        if let Some(blocked) = payload.and_then(|payload| self.blocked.get_mut(&payload)) {
            blocked.since = None;
        }
    }

    /// Takes note of what was seen of a case.
    fn saw(&mut self, key: Key, seen: Seen) {
        let payload = self.life.case(&key).map(|case| case.content.payload);
        if seen.failed.is_some() || !seen.blocked {
            self.rests(&key);
        } else if let Some(payload) = payload {
            let blocked = self.blocked.entry(payload).or_insert(Blocked { first: seen.at, since: None });
            blocked.since.get_or_insert(seen.at);
        }
        self.seen.insert(key, seen);
    }

    /// Records steps and remembers whose they are.
    fn note(&mut self, steps: &[Step]) {
        for Step { key, from, to, cause } in steps {
            self.moved.insert(key.clone());
            self.seen.remove(key); // it was about what the notice said before
            if *to != Phase::InForce {
                self.rests(key);
            }
            if self.replaying {
                continue;
            }
            let cause = cause.as_ref().map_or_else(|| "time".to_owned(), ToString::to_string);
            let from = from.map_or("received", Phase::as_str);
            tracing::info!(notice = %key.1, authority = %key.0, from, to = to.as_str(), cause, "notice changed");
            self.book.later(Event::Transition {
                authority: key.0.clone(),
                notice: key.1.clone(),
                from: from.to_owned(),
                to: to.as_str().to_owned(),
                cause: Some(cause),
            });
            self.to_ask.insert(key.clone());
            self.news = true;
        }
    }

    /// What the policy has to do so that it shows a case as it stands.
    fn sync(&mut self, key: &Key) -> Option<Effect> {
        let wanted = self.wanted(key);
        let before = self.shown.get(key).cloned();
        if before == wanted {
            return None;
        }
        let gone = before.as_ref().map_or_else(Vec::new, |shown| self.items(shown));
        let place = place(key);
        let (effect, stays) = match wanted {
            None => {
                self.shown.remove(key);
                (Effect::Remove(place), BTreeSet::new())
            }
            Some(shown) => {
                let Some(document) = self.document(key, &shown) else {
                    self.moved.insert(key.clone()); // as soon as it can be read again
                    return None;
                };
                let stays = document.targets.iter().map(|(wire, scope)| (wire.to_vec(), scope)).collect();
                self.shown.insert(key.clone(), shown);
                (Effect::Put(place, Box::new(document)), stays)
            }
        };
        let is_gone = |item: &Item| {
            item.target.as_ref().is_ok_and(|(name, scope)| !stays.contains(&(name.as_wire().to_vec(), *scope)))
        };
        self.lifted.entry(key.clone()).or_default().extend(gone.into_iter().filter(is_gone));
        // what was seen of it is of what it says now: after a restart that need not be asked for again
        if !self.is_seen(key) {
            self.to_ask.insert(key.clone());
            self.news = true;
        }
        Some(effect)
    }

    /// What the policy is to have of a case.
    fn wanted(&self, key: &Key) -> Option<Shown> {
        self.life.case(key).and_then(Shown::of)
    }

    /// Names of an unsigned notice or a list that is put in force: they are asked for, too.
    pub(super) fn ask_about(&mut self, key: Key, items: Vec<Item>) {
        self.unsigned.insert(key.clone(), items);
        self.to_ask.insert(key);
        self.news = true;
    }

    /// An unsigned notice is gone.
    pub(super) fn ask_no_more(&mut self, key: &Key) {
        self.unsigned.remove(key);
    }

    /// What is ordered by the payload of this digest.
    fn order(&self, payload: &[u8; 32]) -> Option<Order> {
        let envelope = self.orders.get(payload)?.envelope;
        let octets = self.book.payload(&envelope).inspect_err(|error| tracing::error!("{error}")).ok()??;
        judge::order_in(&octets)
    }

    fn restriction(&self, payload: &[u8; 32]) -> Option<Restriction> {
        self.order(payload)?.act.restriction().cloned()
    }

    /// The items of a case that are in force.
    fn items(&self, shown: &Shown) -> Vec<Item> {
        let items = self.restriction(&shown.payload).map_or_else(Vec::new, |restriction| restriction.items);
        items.into_iter().filter(|item| item.target.is_ok() && !shown.left_out.contains(&item.id)).collect()
    }

    fn document(&self, key: &Key, shown: &Shown) -> Option<Document> {
        Some(shown.document(key, &self.restriction(&shown.payload)?))
    }

    fn show_gaps(&self) {
        for (authority, missing, gaps) in self.life.gaps() {
            let gauge = self.metrics.policy.sequence_gaps.with_label_values(&[authority.as_str()]);
            if missing > 0 && gauge.get() != missing as i64 {
                tracing::warn!(%authority, missing, first = ?gaps, "numbers of notices are missing");
            }
            gauge.set(missing as i64);
        }
    }

    /// Counts the cases in each phase, and those that should be enforced by now and are not.
    pub(super) fn census(&self, now: Timestamp) -> (BTreeMap<&'static str, i64>, i64) {
        let (mut phases, mut late) = (BTreeMap::new(), 0);
        for (key, case) in self.life.cases() {
            *phases.entry(case.phase().as_str()).or_default() += 1;
            let over = matches!(case.phase(), Phase::Revoked | Phase::Expired | Phase::Suspended);
            let past = case.content.notice.deadline_at.is_some_and(|deadline| deadline < now);
            late += i64::from(past && !over && !self.is_enforced(key));
        }
        (phases, late)
    }

    fn is_enforced(&self, key: &Key) -> bool {
        self.seen.get(key).is_some_and(|seen| seen.blocked && seen.failed.is_none())
    }

    /// Whether what a case says was asked for, and was as it should be.
    fn is_seen(&self, key: &Key) -> bool {
        self.seen.get(key).is_some_and(|seen| seen.failed.is_none())
    }

    //------ asking ---

    /// What to ask after a policy was published: of cases that changed, what is to be blocked, and what was and is not.
    pub(super) fn queries(&mut self, policy: &Snapshot) -> Vec<Query> {
        self.news = false;
        let keys = std::mem::take(&mut self.to_ask);
        keys.into_iter().filter_map(|key| self.query(key, policy)).collect()
    }

    fn query(&mut self, key: Key, policy: &Snapshot) -> Option<Query> {
        use crate::policy::verdict::Consider;
        let is_listed = |item: &Item| {
            item.target.as_ref().is_ok_and(|(name, _)| policy.decide(name.as_wire(), Consider::All).is_some())
        };
        let mut lifted = self.lifted.remove(&key).unwrap_or_default();
        if let Some(items) = self.unsigned.get(&key) {
            let mut blocked = items.clone();
            blocked.retain(|item| item.target.as_ref().is_ok_and(|(name, _)| !policy.is_lifted(name.as_wire())));
            lifted.retain(|item| !is_listed(item));
            return (!blocked.is_empty()).then(|| self.numbered(key, blocked, lifted));
        }
        let case = self.life.case(&key)?;
        let in_force = case.phase() == Phase::InForce;
        if lifted.is_empty() && is_over(case) {
            lifted = self.gone(case); // of one that was suspended when it was revoked, too
        }
        lifted.retain(|item| !is_listed(item)); // another notice lists it, or it does again
        let shown = self.shown.get(&key).filter(|_| in_force).cloned();
        let mut blocked = shown.map_or_else(Vec::new, |shown| self.items(&shown));
        blocked.retain(|item| item.target.as_ref().is_ok_and(|(name, _)| !policy.is_lifted(name.as_wire())));
        if blocked.is_empty() && lifted.is_empty() {
            if !self.is_seen(&key) {
                self.seen.remove(&key); // what failed is not asked for any more
            }
            self.unwritten.insert(key); // that is all there is to say
            return None;
        }
        Some(self.numbered(key, blocked, lifted))
    }

    /// A case has changed since it was asked about: whatever was found, there is or will be another query.
    fn overtaken(&mut self, key: Key, number: u64, lifted: Vec<Item>) {
        if self.asked.get(&key) == Some(&number) {
            self.asked.remove(&key);
        }
        if !lifted.is_empty() {
            self.lifted.entry(key).or_default().extend(lifted);
        }
    }

    fn numbered(&mut self, key: Key, blocked: Vec<Item>, lifted: Vec<Item>) -> Query {
        self.queries += 1;
        self.asked.insert(key.clone(), self.queries);
        Query { key, number: self.queries, blocked, lifted }
    }

    /// The items of a case that are not in force any more.
    fn gone(&self, case: &Case) -> Vec<Item> {
        let over = is_over(case);
        if !over && case.revoked_items.is_empty() {
            return Vec::new();
        }
        let Content { payload, quarantined, .. } = &case.content;
        let items = self.restriction(payload).map_or_else(Vec::new, |restriction| restriction.items).into_iter();
        let is_gone = |item: &Item| item.target.is_ok() && (over || case.revoked_items.contains(&item.id));
        items.filter(|item| is_gone(item) && !quarantined.contains(&item.id)).collect()
    }

    /// Takes note of what was found, records it and writes receipts.
    pub(super) fn found(&mut self, found: Vec<Found>, serial: u32, policy: &str, now: Timestamp) {
        for Found { key, number, asked, had_blocked, lifted, failed } in found {
            if self.asked.get(&key) != Some(&number) || self.to_ask.contains(&key) {
                self.overtaken(key, number, lifted);
                continue;
            }
            self.asked.remove(&key);
            if self.lifted.get(&key).is_some_and(|left| !left.is_empty()) {
                self.to_ask.insert(key.clone()); // of a query that this one overtook
                self.news = true;
            }
            let (authority, notice) = key.clone();
            let had_lifted = !lifted.is_empty();
            match failed {
                Some(code) if self.seen.get(&key).is_some_and(|seen| seen.failed.as_deref() == Some(code)) => {}
                Some(code) => {
                    tracing::error!(%notice, %authority, code, "the node's own question was not answered as ordered");
                    self.book.later(Event::EnforceFailed { authority, notice, serial, code: code.to_owned() });
                }
                None => {
                    if had_blocked {
                        let (authority, notice) = key.clone();
                        self.book.later(Event::Enforced { authority, notice, serial, asked, at: now });
                    }
                    if had_lifted {
                        self.book.later(Event::LiftSeen { authority, notice, serial });
                    }
                    self.observe(&key, had_blocked, had_lifted, now);
                }
            }
            let lifted_at = (had_lifted && failed.is_none()).then_some(now);
            let failed = failed.map(str::to_owned);
            let policy = policy.to_owned();
            if failed.is_some() {
                // asked again with the next policy, or when it is time
                self.lifted.entry(key.clone()).or_default().extend(lifted);
                self.to_ask.insert(key.clone());
            } else {
                self.unsigned.remove(&key);
            }
            self.unwritten.insert(key.clone());
            self.saw(key, Seen { at: now, serial, policy, asked, blocked: had_blocked, lifted_at, failed });
        }
        self.finish(now);
    }

    /// Whether something is to be asked again.
    pub(super) fn has_questions(&self) -> bool {
        !self.to_ask.is_empty()
    }

    /// Records what waits and writes the receipts that are due. What no receipt waits for is recorded once a second: what is
    /// only published need not wait for the disk each time.
    pub(super) fn finish(&mut self, now: Timestamp) {
        let rested = self.flushed.is_none_or(|last| last.elapsed() >= RETRY);
        let due = !self.unwritten.is_empty() || !self.undelivered.is_empty();
        if self.book.has_pending() && (rested || due) {
            self.flushed = Some(Instant::now());
            self.book.flush(now);
        }
        if self.book.has_pending() || !self.book.is_open() {
            return; // no receipt says what is not recorded
        }
        let mut due = std::mem::take(&mut self.undelivered);
        for key in std::mem::take(&mut self.unwritten) {
            due.extend(self.about.get(&key).into_iter().flatten());
        }
        due.iter().for_each(|payload| self.write_receipt(payload, now));
    }

    /// How long it took, from the order that did it.
    fn observe(&self, key: &Key, blocked: bool, lifted: bool, now: Timestamp) {
        let last = self.about.get(key).and_then(|orders| orders.last()).and_then(|payload| self.orders.get(payload));
        let Some(filed) = last.filter(|_| !self.seen.contains_key(key)) else { return };
        let since = filed.received_at.max(filed.effective_at);
        let seconds = now.duration_since(since).as_secs_f64().max(0.0);
        let figures = &self.metrics.policy;
        match lifted {
            true => figures.lift_seconds.observe(seconds),
            false if blocked => figures.enforce_seconds.observe(seconds),
            false => {}
        }
    }

    //------ receipts ---

    fn write_receipt(&self, payload: &[u8; 32], now: Timestamp) {
        let Some(filed) = self.orders.get(payload) else { return };
        if filed.files.is_empty() {
            return;
        }
        let Some(order) = self.order(payload) else { return };
        let receipt = self.receipt(&order, filed, now);
        for file in &filed.files {
            if let Err(error) = receipt.write(file, &self.node) {
                tracing::error!(file = %file.display(), %error, "the receipt cannot be written");
            }
        }
    }

    fn write_refusal(&self, signed: &Signed, why: &Refused, record: Option<u64>, now: Timestamp) {
        let mut receipt = Receipt::new(&self.node, "refused", signed.received_at, now);
        receipt.authority = why.by.as_ref().map(ToString::to_string);
        receipt.notice = why.id.as_ref().map(|(id, _)| id.to_string());
        receipt.sequence = why.id.as_ref().map(|(_, number)| *number);
        (receipt.code, receipt.reason) = (Some(why.code.to_owned()), Some(why.reason.clone()));
        receipt.ledger = why.by.as_ref().map(|_| self.ledger_ref(record));
        if let Err(error) = receipt.write(&signed.file, &self.node) {
            tracing::error!(file = %signed.file.display(), %error, "the receipt cannot be written");
        }
    }

    fn ledger_ref(&self, sequence: Option<u64>) -> receipt::LedgerRef {
        let head = self.book.head();
        receipt::LedgerRef { sequence, head: head.sequence, hash: head.hash.to_string() }
    }

    fn receipt(&self, order: &Order, filed: &Filed, now: Timestamp) -> Receipt {
        let mut receipt = Receipt::new(&self.node, "accepted", filed.received_at, now);
        receipt.authority = Some(order.authority.to_string());
        receipt.notice = Some(order.id.to_string());
        receipt.kind = Some(order.act.kind());
        receipt.sequence = Some(filed.number);
        receipt.payload = Some(Digest::new(order.digest).to_string());
        receipt.validated_at = Some(filed.received_at);
        receipt.effective_at = Some(order.effective_at);
        receipt.signers.clone_from(&filed.signers);
        receipt.ledger = Some(self.ledger_ref(Some(filed.record)));
        match order.act.restriction() {
            Some(restriction) => self.restriction_state(order, restriction, &mut receipt),
            None => self.later_state(order, &mut receipt),
        }
        receipt
    }

    fn restriction_state(&self, order: &Order, restriction: &Restriction, receipt: &mut Receipt) {
        let key = case_of(order);
        let Some(case) = self.life.case(&key) else { return };
        let says = case.content.payload == order.digest;
        let seen = self.seen.get(&key).filter(|_| says);
        receipt.deadline_at = restriction.notice.deadline_at;
        let (as_word, enforced) = match (says, case.phase(), seen) {
            (false, ..) if order.effective_at > receipt.written_at => ("scheduled", false),
            (false, ..) => ("amended", false),
            (true, Phase::InForce, Some(Seen { blocked: true, failed: None, .. })) => ("enforced", true),
            (true, Phase::InForce, _) => ("published", false),
            (true, phase, _) => (phase.as_str(), false),
        };
        receipt.state = as_word;
        if let Some(seen) = seen {
            receipt.policy = Some(receipt::PolicyRef { serial: seen.serial, digest: seen.policy.clone() });
            receipt.asked = Some(seen.asked);
            receipt.code.clone_from(&seen.failed);
            if enforced {
                // asked again for another reason, it is no later; after a rest it is, but not late for that
                let blocked = self.blocked.get(&order.digest);
                receipt.enforced_at = blocked.and_then(|blocked| blocked.since);
                let deadline = blocked.zip(receipt.deadline_at);
                receipt.in_time = deadline.map(|(blocked, deadline)| blocked.first <= deadline);
            }
            receipt.lifted_at = seen.lifted_at.filter(|_| !enforced);
        }
        receipt.items = restriction
            .items
            .iter()
            .map(|item| self.item_state(&key, item, as_word, says.then_some(&order.digest)))
            .collect();
    }

    fn item_state(&self, key: &Key, item: &Item, whole: &'static str, says: Option<&[u8; 32]>) -> receipt::ItemState {
        let name = item.id.to_string();
        let case = self.life.case(key).filter(|_| says.is_some());
        if let Err(code) = item.target {
            return receipt::ItemState { item: name, state: "refused", code: Some(code.to_owned()), held: None };
        }
        if let Some(payload) = says
            && case.is_some_and(|case| case.content.quarantined.contains(&item.id))
        {
            let (held, code) = self.holds.of_item(key, &item.id, payload).unzip();
            return receipt::ItemState { item: name, state: "quarantined", code, held };
        }
        let revoked = case.is_some_and(|case| case.revoked_items.contains(&item.id));
        receipt::ItemState { item: name, state: if revoked { "revoked" } else { whole }, code: None, held: None }
    }

    fn later_state(&self, order: &Order, receipt: &mut Receipt) {
        let mut done = order.effective_at <= receipt.written_at;
        for id in order.act.about() {
            let key = (order.authority.clone(), id.clone());
            let Some(case) = self.life.case(&key) else { continue };
            done &= !self.to_ask.contains(&key) && !self.asked.contains_key(&key);
            receipt.notices.push(receipt::NoticeState { notice: id.to_string(), state: case.phase().as_str() });
            if let Some(seen) = self.seen.get(&key) {
                done &= seen.failed.is_none();
                receipt.lifted_at = receipt.lifted_at.max(seen.lifted_at);
                receipt.policy = Some(receipt::PolicyRef { serial: seen.serial, digest: seen.policy.clone() });
            }
        }
        receipt.state = match (order.effective_at > receipt.written_at, done) {
            (true, _) => "scheduled",
            (false, true) => "carried-out",
            (false, false) => "published",
        };
        if let Act::Revoke { notices, items } = &order.act {
            let known = notices.first().and_then(|id| self.life.case(&(order.authority.clone(), id.clone())));
            let known = known.and_then(|case| self.restriction(&case.content.payload));
            let has = |item: &ItemId| known.as_ref().is_some_and(|known| known.items.iter().any(|it| it.id == *item));
            receipt.items = items
                .iter()
                .map(|item| match has(item) {
                    true => receipt::ItemState { item: item.to_string(), state: "revoked", code: None, held: None },
                    false => receipt::ItemState {
                        item: item.to_string(),
                        state: "refused",
                        code: Some("unknown-item".to_owned()),
                        held: None,
                    },
                })
                .collect();
        }
    }
}

impl Shown {
    /// What the policy is to have of a case.
    fn of(case: &Case) -> Option<Self> {
        let Content { payload, quarantined, .. } = &case.content;
        let left_out = quarantined.union(&case.revoked_items).cloned().collect();
        let is_wanted = matches!(case.phase(), Phase::Scheduled | Phase::InForce);
        is_wanted.then_some(Self { payload: *payload, left_out })
    }

    fn document(&self, key: &Key, Restriction { notice, items }: &Restriction) -> Document {
        let kept = items.iter().filter(|item| !self.left_out.contains(&item.id));
        let targets = kept.filter_map(|item| item.target.as_ref().ok()).map(|(name, scope)| (name, *scope));
        let notice = Notice { id: key.1.clone(), digest: self.digest(), ..Notice::clone(notice) };
        Document { notice, targets: targets.collect() }
    }

    /// The digest of what is in force: that of the payload, unless items are left out.
    fn digest(&self) -> [u8; 32] {
        if self.left_out.is_empty() {
            return self.payload;
        }
        let mut hash = Sha256::new();
        hash.update(self.payload);
        for item in &self.left_out {
            hash.update((item.len() as u64).to_le_bytes());
            hash.update(item.as_bytes());
        }
        hash.finalize().into()
    }
}

/// Whether the names of a case are out of force, for now or for good.
fn is_over(case: &Case) -> bool {
    matches!(case.phase(), Phase::Suspended | Phase::Revoked | Phase::Expired)
}

/// Where the state keeps a signed notice.
fn place((authority, id): &Key) -> Place {
    (SIGNED.to_owned(), format!("{authority}/{id}"))
}

fn filed(order: &Order, envelope: Digest, record: u64, received_at: Timestamp) -> Filed {
    Filed {
        key: (order.authority.clone(), order.id.clone()),
        number: order.sequence,
        about: order.act.about().to_vec(),
        envelope,
        record,
        received_at,
        effective_at: order.effective_at,
        signers: Vec::new(),
        files: BTreeSet::new(),
    }
}

fn kind(act: &Act) -> OrderKind {
    match act {
        Act::Restrict(_) => OrderKind::Restrict,
        Act::Amend { .. } => OrderKind::Amend,
        Act::Revoke { .. } => OrderKind::Revoke,
        Act::Suspend(_) => OrderKind::Suspend,
        Act::Resume(_) => OrderKind::Resume,
    }
}

fn accepted(good: &Good, signed: &Signed, payload: Digest) -> Event {
    let Good { order, signers, secret, quarantined, .. } = good;
    let items = order.act.restriction().map_or(&[][..], |restriction| &restriction.items);
    let reference = |item: &ItemId, code: &str| ItemRef { item: item.to_string(), code: code.to_owned() };
    Event::Accepted {
        authority: order.authority.clone(),
        notice: order.id.clone(),
        kind: kind(&order.act),
        number: order.sequence,
        payload,
        source: signed.source.clone(),
        signers: signers.clone(),
        secret: *secret,
        received_at: signed.received_at,
        items: items.len() as u64,
        quarantined: quarantined.iter().map(|(item, why)| reference(item, why.code())).collect(),
        refused: items.iter().filter_map(|item| Some(reference(&item.id, item.target.as_ref().err()?))).collect(),
    }
}

/// What is said of an item that the guard holds. Never with its name.
fn quarantine_problem(order: &Order, item: &ItemId, why: crate::verify::guard::Quarantine, file: &Path) -> Problem {
    Problem {
        severity: Severity::Error,
        file: file.to_owned(),
        line: None,
        column: None,
        message: format!("notice {}: item {item} is held: {why}", order.id),
        hint: Some("pagar approve --list shows it; two persons may let it into force".to_owned()),
        code: why.code(),
    }
}
