//! [`Life`]: what becomes of signed notices. Pure: no I/O; time comes in as `now`.
//!
//! ```text
//!            refused (nothing of it stays here)
//!               ^
//! received --checked--> scheduled --effective_at--> in force --expires_at--> expired
//!                          |  ^                     |  ^   |
//!                          |  '------- amended -----'  |   '--- revoked ---> revoked
//!                          |                 suspended |  resumed
//!                          '------ suspended ---> suspended --- revoked ---> revoked
//! ```
//!
//! A notice is a *case* from its first order on; later orders change it when they take effect, each once, in the order of
//! these instants. Whether its names are *enforced* is not known here: that is said by those who have asked. Everything
//! follows from the orders and the instants they came at, so that a ledger of them can be played again.
//!
//! A number and an id name one payload for ever; an order that is refused uses up neither (INTERFACES).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::model::{Act, AuthorityId, ItemId, Notice, NoticeId, Order};

/// Who ordered, and the number: what names a case.
pub type Key = (AuthorityId, NoticeId);

/// Where a case stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not yet effective.
    Scheduled,
    /// Its names are to be blocked.
    InForce,
    /// It rests.
    Suspended,
    /// Ended by the authority.
    Revoked,
    /// Ended by time.
    Expired,
}

impl Phase {
    /// The word for it in records, receipts and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::InForce => "in-force",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
}

/// What a case says.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// Digest of the payload that says it.
    pub payload: [u8; 32],
    /// The order's id: the notice's own, or that of an amendment.
    pub said_by: NoticeId,
    /// The notice, without its names.
    pub notice: Arc<Notice>,
    /// Items that the guard keeps out of force until people override it.
    pub quarantined: BTreeSet<ItemId>,
}

/// A notice from its first order on.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What it says now.
    pub content: Content,
    /// When its first order came.
    pub received_at: Timestamp,
    /// Items ended by themselves.
    pub revoked_items: BTreeSet<ItemId>,
    suspended: bool,
    revoked: bool,
    phase: Phase,
    /// Payloads of amendments that came to nothing: it had ended when they were to take effect.
    too_late: BTreeSet<[u8; 32]>,
    /// Changes that are not yet effective, by instant and order of arrival.
    later: BTreeMap<(Timestamp, u64), (NoticeId, Change)>,
}

#[derive(Clone, Debug, PartialEq)]
enum Change {
    Amend(Content),
    Revoke(BTreeSet<ItemId>),
    Suspend,
    Resume,
}

impl Case {
    /// Where it stands.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether a payload is what it says, or may come to say.
    pub fn may_say(&self, payload: &[u8; 32]) -> bool {
        let waits = |change: &Change| matches!(change, Change::Amend(content) if content.payload == *payload);
        !self.is_over() && (self.content.payload == *payload || self.later.values().any(|(_, change)| waits(change)))
    }

    /// Whether this payload was to amend it, and it had ended by then.
    pub fn was_too_late(&self, payload: &[u8; 32]) -> bool {
        self.too_late.contains(payload)
    }

    fn phase_at(&self, now: Timestamp) -> Phase {
        let validity = &self.content.notice.validity;
        if self.revoked {
            Phase::Revoked
        } else if validity.expires_at.is_some_and(|end| end <= now) {
            Phase::Expired
        } else if self.suspended {
            Phase::Suspended
        } else if now < validity.effective_at {
            Phase::Scheduled
        } else {
            Phase::InForce
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Revoked | Phase::Expired)
    }

    fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let later = self.later.first_key_value().map(|((at, _), _)| *at);
        let own = if self.is_over() { None } else { self.content.notice.validity.next_change(now) };
        [later, own].into_iter().flatten().min()
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Amend(content) => {
                self.content = content;
                self.revoked_items.clear(); // item numbers are those of the new content
            }
            Change::Revoke(items) if items.is_empty() => self.revoked = true,
            Change::Revoke(items) => self.revoked_items.extend(items),
            Change::Suspend => self.suspended = true,
            Change::Resume => self.suspended = false,
        }
    }
}

/// Something became of a case.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Which.
    pub key: Key,
    /// Where it stood; `None` for a new one.
    pub from: Option<Phase>,
    /// Where it stands.
    pub to: Phase,
    /// The order that did it; `None` is time.
    pub cause: Option<NoticeId>,
}

/// Why an order is refused. Nothing of it is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The number has another payload.
    #[error("number {0} of this authority was used by another notice")]
    Sequence(u64),
    /// The id has another payload.
    #[error("an order with the id {0} said something else before")]
    Id(NoticeId),
    /// An earlier notice that is not known.
    #[error("it is about notice {0}, which is not known")]
    Unknown(NoticeId),
    /// An earlier notice that is over.
    #[error("it is about notice {0}, which has ended")]
    Ended(NoticeId),
}

impl Refusal {
    /// The stable word for it.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Sequence(_) => "sequence",
            Self::Id(_) => "duplicate-id",
            Self::Unknown(_) => "unknown-notice",
            Self::Ended(_) => "ended",
        }
    }
}

/// The numbers an authority has used.
#[derive(Clone, Debug, Default, PartialEq)]
struct Numbers {
    used: BTreeMap<u64, [u8; 32]>,
}

impl Numbers {
    /// How many are missing between the first and the last.
    fn missing(&self) -> u64 {
        let (first, last) = (self.used.first_key_value(), self.used.last_key_value());
        first.zip(last).map_or(0, |((first, _), (last, _))| last - first + 1 - self.used.len() as u64)
    }

    /// The first missing ranges.
    fn gaps(&self) -> impl Iterator<Item = (u64, u64)> {
        let pairs = self.used.keys().zip(self.used.keys().skip(1));
        pairs.filter(|(a, b)| **b > **a + 1).map(|(a, b)| (a + 1, b - 1))
    }
}

/// See the module's header.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Life {
    cases: BTreeMap<Key, Case>,
    /// When to look at a case again.
    timeline: BTreeSet<(Timestamp, Key)>,
    numbers: BTreeMap<AuthorityId, Numbers>,
    /// The payload of each order, by its id.
    orders: BTreeMap<Key, [u8; 32]>,
    /// Orders taken so far.
    count: u64,
}

impl Life {
    /// Whether this payload was taken before.
    pub fn knows(&self, order: &Order) -> bool {
        self.orders.get(&(order.authority.clone(), order.id.clone())) == Some(&order.digest)
    }

    /// Whether an order may be taken; `coming` are those that are taken before it at the same time.
    pub fn check<'a>(&self, order: &Order, coming: impl Iterator<Item = &'a Order> + Clone) -> Result<(), Refusal> {
        let own = coming.filter(|other| other.authority == order.authority);
        let used = self.numbers.get(&order.authority).and_then(|numbers| numbers.used.get(&order.sequence));
        let beside = own.clone().find(|other| other.sequence == order.sequence).map(|other| &other.digest);
        if used.or(beside).is_some_and(|payload| *payload != order.digest) {
            return Err(Refusal::Sequence(order.sequence));
        }
        let used = self.orders.get(&(order.authority.clone(), order.id.clone()));
        let beside = own.clone().find(|other| other.id == order.id).map(|other| &other.digest);
        if used.or(beside).is_some_and(|payload| *payload != order.digest) {
            return Err(Refusal::Id(order.id.clone()));
        }
        for id in order.act.about() {
            let known = self.cases.get(&(order.authority.clone(), id.clone()));
            let is_new = |other: &Order| other.id == *id && matches!(other.act, Act::Restrict(_));
            if known.is_none() && !own.clone().any(is_new) {
                return Err(Refusal::Unknown(id.clone()));
            }
            // to end what has ended asks for nothing
            if known.is_some_and(Case::is_over) && !matches!(order.act, Act::Revoke { .. }) {
                return Err(Refusal::Ended(id.clone()));
            }
        }
        Ok(())
    }

    /// Takes an order that was checked, at the instant it came, after letting time pass until then. What is not yet
    /// effective waits; `quarantined` are items of a restriction that the guard keeps out of force.
    pub fn take(&mut self, order: &Order, quarantined: BTreeSet<ItemId>, now: Timestamp) -> Vec<Step> {
        let mut steps = self.at(now);
        let authority = &order.authority;
        self.numbers.entry(authority.clone()).or_default().used.insert(order.sequence, order.digest);
        self.orders.insert((authority.clone(), order.id.clone()), order.digest);
        self.count += 1;
        let content = |notice: &Arc<Notice>, quarantined| Content {
            payload: order.digest,
            said_by: order.id.clone(),
            notice: notice.clone(),
            quarantined,
        };
        let change = match &order.act {
            Act::Restrict(restriction) => {
                let key = (authority.clone(), order.id.clone());
                steps.extend(self.open(key, content(&restriction.notice, quarantined), now));
                return steps;
            }
            Act::Amend { restriction, .. } => Change::Amend(content(&restriction.notice, quarantined)),
            Act::Revoke { items, .. } => Change::Revoke(items.iter().cloned().collect()),
            Act::Suspend(_) => Change::Suspend,
            Act::Resume(_) => Change::Resume,
        };
        for id in order.act.about() {
            steps.extend(self.change((authority.clone(), id.clone()), order, change.clone(), now));
        }
        steps
    }

    /// Lets time pass. Steps come in the order of the instants at which they were due.
    pub fn at(&mut self, now: Timestamp) -> Vec<Step> {
        let mut steps = Vec::new();
        while let Some((at, key)) = self.timeline.first().filter(|(at, _)| *at <= now).cloned() {
            steps.extend(self.look(&key, at));
        }
        steps
    }

    /// When something becomes of a case by itself.
    pub fn next_change(&self) -> Option<Timestamp> {
        self.timeline.first().map(|(at, _)| *at)
    }

    /// The payload of the order with this id.
    pub fn order(&self, id: &Key) -> Option<&[u8; 32]> {
        self.orders.get(id)
    }

    /// A case.
    pub fn case(&self, key: &Key) -> Option<&Case> {
        self.cases.get(key)
    }

    /// All cases.
    pub fn cases(&self) -> impl Iterator<Item = (&Key, &Case)> {
        self.cases.iter()
    }

    /// Lets an item into force that the guard kept out of a payload; returns whether that is what the case says now.
    pub fn release(&mut self, key: &Key, item: &ItemId, payload: &[u8; 32]) -> bool {
        let Some(case) = self.cases.get_mut(key) else { return false };
        for (_, change) in case.later.values_mut() {
            if let Change::Amend(content) = change
                && content.payload == *payload
            {
                content.quarantined.remove(item);
            }
        }
        case.content.payload == *payload && case.content.quarantined.remove(item)
    }

    /// The authorities of whose numbers some are missing, how many, and the first gaps.
    pub fn gaps(&self) -> impl Iterator<Item = (&AuthorityId, u64, Vec<(u64, u64)>)> {
        let all = self.numbers.iter().map(|(authority, numbers)| (authority, numbers.missing(), numbers));
        all.map(|(authority, missing, numbers)| (authority, missing, numbers.gaps().take(5).collect()))
    }

    fn open(&mut self, key: Key, content: Content, now: Timestamp) -> Option<Step> {
        if self.cases.contains_key(&key) {
            return None; // the same payload again
        }
        let mut case = Case {
            content,
            received_at: now,
            revoked_items: BTreeSet::new(),
            suspended: false,
            revoked: false,
            phase: Phase::Scheduled,
            too_late: BTreeSet::new(),
            later: BTreeMap::new(),
        };
        case.phase = case.phase_at(now);
        let to = case.phase;
        self.remind(&key, case.next_change(now));
        self.cases.insert(key.clone(), case);
        Some(Step { cause: Some(key.1.clone()), key, from: None, to })
    }

    /// Changes a case, now or when the order takes effect.
    fn change(&mut self, key: Key, order: &Order, change: Change, now: Timestamp) -> Vec<Step> {
        let (count, Some(case)) = (self.count, self.cases.get_mut(&key)) else { return Vec::new() };
        // what is effective already comes after whatever waits for an earlier instant
        case.later.insert((order.effective_at.max(now), count), (order.id.clone(), change));
        if order.effective_at <= now {
            return self.look(&key, now);
        }
        let next = case.next_change(now);
        self.remind(&key, next);
        Vec::new()
    }

    fn remind(&mut self, key: &Key, at: Option<Timestamp>) {
        self.timeline.extend(at.map(|at| (at, key.clone())));
    }

    /// Applies what is due of a case.
    fn look(&mut self, key: &Key, now: Timestamp) -> Vec<Step> {
        self.timeline.remove(&(now, key.clone()));
        let Some(case) = self.cases.get_mut(key) else { return Vec::new() };
        let mut steps = Vec::new();
        let mut step = |case: &mut Case, cause: Option<NoticeId>, changed: bool| {
            let (from, to) = (case.phase, case.phase_at(now));
            case.phase = to;
            if changed || from != to {
                steps.push(Step { key: key.clone(), from: Some(from), to, cause });
            }
        };
        step(case, None, false);
        while let Some(due) = case.later.first_entry().filter(|due| due.key().0 <= now) {
            let (cause, change) = due.remove();
            if case.is_over() {
                if let Change::Amend(content) = change {
                    case.too_late.insert(content.payload);
                }
                continue;
            }
            case.apply(change);
            step(case, Some(cause), true);
        }
        let next = case.next_change(now);
        self.remind(key, next.filter(|at| *at > now));
        steps
    }
}

#[cfg(test)]
mod tests;
