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
//! | [`intake`] | files on their way in |
//! | [`judge`] | whether a file is an order that may be taken |
//! | [`cases`] | what the policy has to show of each case |
//! | [`asking`] | what the node asks itself |
//! | [`book`] | the ledger, and what waits for it |
//! | [`holds`] | what waits for people, and what they decided |
//! | [`people`] | what people decide |
//! | [`lifts`] | what they have lifted, and what ends that |
//! | [`mod@offline`] | what files would do, without a ledger |
//! | [`telling`], [`receipt`] | what the sender is told, and the file it stands in |
//! | [`desk`] | those who handed an order in and wait, and those who ask |
//! | [`replay`] | the state of all this from the ledger |

mod asking;
mod book;
mod cases;
mod desk;
mod holds;
mod intake;
mod judge;
mod lifts;
mod offline;
mod people;
mod receipt;
mod replay;
mod telling;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use self::book::Book;
pub(super) use self::desk::Answer;
pub use self::desk::{Look, OrderSummary, Selection, Summary};
use self::holds::Holds;
pub(super) use self::holds::ListVersion;
use self::judge::Good;
pub(super) use self::judge::{Bench, CODES as REFUSALS};
use self::lifts::{Ended, Lift};
pub(super) use self::offline::offline;
pub(super) use self::people::Decided;
use super::SIGNED;
use super::desk::Told;
use super::life::{Case, Content, Key, Life, Phase};
use super::state::Place;
use crate::ingest::{Document, Problem, Severity};
use crate::ledger::event::{ItemRef, OrderKind};
use crate::ledger::{Digest, Event, Ledger, LedgerError, seal};
use crate::model::{Act, AuthorityId, DnsName, Item, ItemId, Notice, NoticeId, Order, Restriction};
use crate::observe::metrics::Metrics;
use crate::verify::jose::PrivateKey;

/// Octets of refused files that are kept because they may be taken later; the rest must be dropped anew.
const KEPT: usize = 64 << 20;

/// From one try of what waits to the next.
const RETRY: Duration = Duration::from_secs(1);

/// A signed notice as it came.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    pub(super) source: String,
    /// Its file, or what stands for one in messages.
    pub(super) file: PathBuf,
    pub(super) way: Way,
    pub(super) octets: Vec<u8>,
    pub(super) received_at: Timestamp,
    /// It was refused before, and that was said.
    pub(super) again: bool,
}

/// How a signed notice came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// As a file: its receipt is written beside it.
    File,
    /// From a feed: its receipt is read by who asks for it.
    Feed,
    /// Somebody handed it in and waits for the answer, under this number; perhaps for one authority only.
    Push(u64, Option<AuthorityId>),
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
    /// What those are told who handed orders in.
    pub(super) answers: Vec<(u64, Answer)>,
    /// The ledger could not be written: what is left is not tried.
    stuck: bool,
}

/// An order that was taken.
#[derive(Clone, Debug)]
struct Filed {
    key: Key,
    kind: &'static str,
    number: u64,
    about: Vec<NoticeId>,
    /// Digest of its envelope, and the record that accepted it.
    envelope: Digest,
    record: u64,
    test: bool,
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
    /// How many questions failed.
    pub(super) failures: u64,
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
    /// Those whose receipt could not be written, when they were tried last, and the files of which that was said.
    unwritable: BTreeSet<[u8; 32]>,
    delivered: Option<Instant>,
    undeliverable: BTreeSet<PathBuf>,
    /// Which order each file has.
    files: BTreeMap<PathBuf, [u8; 32]>,
    /// Who waits until an order's receipt is final.
    watchers: BTreeMap<[u8; 32], Vec<oneshot::Sender<Told>>>,
    /// Cases of authorities that only rehearse.
    tests: BTreeSet<Key>,
    /// Orders about each case, the first one included.
    about: BTreeMap<Key, Vec<[u8; 32]>>,
    shown: BTreeMap<Key, Shown>,
    seen: BTreeMap<Key, Seen>,
    /// Since when, by the payload that orders it.
    blocked: BTreeMap<[u8; 32], Blocked>,
    /// Envelopes whose refusal is recorded.
    refused: BTreeSet<Digest>,
    /// What was refused since the start, by what the envelope carried, and why.
    refusals: BTreeSet<(Digest, &'static str)>,
    /// Files that may be taken later.
    waiting: BTreeMap<PathBuf, (Waits, Signed)>,
    /// Refused files are to be judged again: something they may wait for has come.
    again: bool,
    /// When refused files were judged last, and how many octets of each kind wait.
    judged: Option<Timestamp>,
    kept: BTreeMap<Waits, usize>,
    /// Names that were taken out of force and are to be asked for, by case.
    lifted: BTreeMap<Key, Vec<Item>>,
    /// Names that cases list no more and others do, by case: they are asked for when nothing lists them.
    listed_elsewhere: BTreeMap<Key, Vec<Item>>,
    /// Names were taken out of force since that was looked at.
    names_went: bool,
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
    /// Orders that take effect later: their receipts are due then, whatever becomes of the cases.
    to_bind: BTreeSet<(Timestamp, [u8; 32])>,
    holds: Holds,
    /// Versions of lists that people have approved.
    approved_lists: BTreeSet<ListVersion>,
    /// Names that people have lifted.
    lifts: BTreeMap<DnsName, Lift>,
    /// Names whose lift no receipt says yet.
    begun: Vec<DnsName>,
    /// Lifts that have ended, and that is not recorded yet.
    ended: Vec<Ended>,
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
            unwritable: BTreeSet::new(),
            delivered: None,
            undeliverable: BTreeSet::new(),
            files: BTreeMap::new(),
            watchers: BTreeMap::new(),
            tests: BTreeSet::new(),
            about: BTreeMap::new(),
            shown: BTreeMap::new(),
            seen: BTreeMap::new(),
            blocked: BTreeMap::new(),
            refused: BTreeSet::new(),
            refusals: BTreeSet::new(),
            waiting: BTreeMap::new(),
            again: false,
            judged: None,
            kept: BTreeMap::new(),
            lifted: BTreeMap::new(),
            listed_elsewhere: BTreeMap::new(),
            names_went: false,
            unsigned: BTreeMap::new(),
            to_ask: BTreeSet::new(),
            asked: BTreeMap::new(),
            queries: 0,
            moved: BTreeSet::new(),
            unwritten: BTreeSet::new(),
            to_bind: BTreeSet::new(),
            holds: Holds::default(),
            approved_lists: BTreeSet::new(),
            lifts: BTreeMap::new(),
            begun: Vec::new(),
            ended: Vec::new(),
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

    /// The digests of the payloads that were taken.
    pub(super) fn payloads(&self) -> impl Iterator<Item = [u8; 32]> {
        self.orders.keys().copied()
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
        self.watchers = std::mem::take(&mut before.watchers);
        self.shown = std::mem::take(&mut before.shown);
        (self.asked, self.queries) = (std::mem::take(&mut before.asked), before.queries);
        self.refused.append(&mut before.refused);
        self.refusals.append(&mut before.refusals);
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
        kind: order.act.kind(),
        number: order.sequence,
        about: order.act.about().to_vec(),
        envelope,
        record,
        test: false,
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
    let Good { order, signers, secret, quarantined, test, .. } = good;
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
        test: *test,
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
