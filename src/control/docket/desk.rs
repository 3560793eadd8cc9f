//! Those who handed an order in and wait for what becomes of it, and those who ask: what the docket says to each.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::oneshot;

use super::judge::{self, Bench, Good, Judged, Refused};
use super::{Docket, Shown, Signed, Way, receipt};
use crate::control::desk::{Pushed, Refusal, Rehearsal, RehearsedItem, Told};
use crate::control::life::{Case, Key, Phase};
use crate::ledger::{Head, Stored};
use crate::model::{Act, AuthorityId, DnsName, Item, NoticeId, Order, Receipt, Scope};
use crate::policy::Snapshot;

/// What is to be said to somebody who handed an order in.
#[derive(Debug)]
pub(in crate::control) enum Answer {
    /// The order with this payload was taken, now or before.
    Taken { payload: [u8; 32], is_new: bool },
    /// It was not.
    Refused(Box<Refusal>),
    /// Not now.
    Unavailable(String),
}

/// Which notices are asked for. What is not said does not matter.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Of this authority.
    pub authority: Option<AuthorityId>,
    /// With one of these ids; all, if there are none.
    pub notices: BTreeSet<String>,
    /// In this state, as [`Summary::state`] says it.
    pub state: Option<String>,
    /// Behind this one, in the order they are given in.
    pub after: Option<(AuthorityId, NoticeId)>,
    /// At most so many.
    pub limit: usize,
}

/// Where a notice stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Whose.
    pub authority: String,
    /// Its id.
    pub notice: String,
    /// The order that says what it says now: itself, or an amendment.
    pub said_by: String,
    /// The highest number of the orders about it.
    pub sequence: u64,
    /// What it is about.
    pub category: String,
    /// Who may see its names.
    pub sensitivity: &'static str,
    /// As in receipts: `scheduled`, `published`, `enforced`, `tested`, `suspended`, `revoked`, `expired`.
    pub state: &'static str,
    /// When its first order came.
    pub received_at: Timestamp,
    /// From when it holds.
    pub effective_at: Timestamp,
    /// Until when, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// By when it had to be enforced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<Timestamp>,
    /// Since when it is seen to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforced_at: Option<Timestamp>,
}

/// An order about a notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OrderSummary {
    /// Its id.
    pub notice: String,
    /// What it does.
    pub kind: &'static str,
    /// Its number.
    pub sequence: u64,
    /// When it came.
    pub received_at: Timestamp,
    /// From when it holds.
    pub effective_at: Timestamp,
    /// The record that accepted it.
    pub ledger: u64,
}

/// The docket as those see it who ask ([`crate::control::Desk::look`]).
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    docket: &'a Docket,
    now: Timestamp,
}

impl Answer {
    pub(super) const fn taken(payload: [u8; 32], is_new: bool) -> Self {
        Self::Taken { payload, is_new }
    }
}

impl Docket {
    /// What somebody is told who handed an order in.
    pub(in crate::control) fn answer(&self, answer: Answer, now: Timestamp) -> Pushed {
        match answer {
            Answer::Refused(refusal) => Pushed::Refused(refusal),
            Answer::Unavailable(why) => Pushed::Unavailable(why),
            Answer::Taken { payload, is_new } => match self.told(&payload, now) {
                Some(told) => Pushed::Taken { told: Box::new(told), is_new },
                None => Pushed::Unavailable("the order was taken and cannot be read back".to_owned()),
            },
        }
    }

    /// Answers when the receipt of this order is final; whoever asks for an unknown one is dropped.
    pub(in crate::control) fn await_receipt(&mut self, key: &Key, answer: oneshot::Sender<Told>, now: Timestamp) {
        let Some(payload) = self.life.order(key).copied() else { return };
        match self.told(&payload, now) {
            Some(told) if told.is_final => {
                let _ = answer.send(told); // nobody waits any more
            }
            _ => {
                let watchers = self.watchers.entry(payload).or_default();
                watchers.retain(|watcher| !watcher.is_closed());
                watchers.push(answer);
            }
        }
    }

    /// Answers those who wait for this receipt, if it is final.
    pub(super) fn tell_watchers(&mut self, payload: &[u8; 32], now: Timestamp) {
        if !self.watchers.contains_key(payload) {
            return;
        }
        let Some(told) = self.told(payload, now).filter(|told| told.is_final) else { return };
        for watcher in self.watchers.remove(payload).into_iter().flatten() {
            let _ = watcher.send(told.clone()); // nobody waits any more
        }
    }

    fn told(&self, payload: &[u8; 32], now: Timestamp) -> Option<Told> {
        let filed = self.orders.get(payload)?;
        let receipt = self.receipt(&self.order(payload)?, filed, now);
        let is_final = is_final(&receipt);
        let (authority, notice) = filed.key.clone();
        let receipt = receipt::signed(&receipt, &self.node).ok()?;
        Some(Told { authority, notice, is_final, receipt })
    }

    /// What a refused order's sender is told.
    pub(super) fn refusal(&self, signed: &Signed, why: Refused, record: Option<u64>, now: Timestamp) -> Refusal {
        let receipt = why.by.as_ref().map(|_| self.refusal_receipt(signed, &why, record, now));
        let receipt = receipt.and_then(|receipt| receipt::signed(&receipt, &self.node).ok());
        let Refused { by, id, code, reason, hint, problems, .. } = why;
        Refusal { code, reason, hint, authority: by, notice: id, problems, receipt }
    }

    /// Why this way is closed to orders of that authority.
    pub(super) fn foreign(&self, signed: &Signed, authority: Option<&AuthorityId>) -> Option<Refused> {
        let Way::Push(_, Some(only)) = &signed.way else { return None };
        let authority = authority.filter(|authority| *authority != only)?;
        let reason = format!("this client sends orders of {only}, and this is one of {authority}");
        Some(*Refused::new("foreign-authority", reason))
    }

    /// An authority that came to rehearse, or ceased to, says nothing about what it ordered before: a rehearsal that ended
    /// what is in force would be none.
    pub(super) fn unmixed(&self, judged: Judged) -> Judged {
        let Judged::Good(good) = &judged else { return judged };
        let Order { authority, act, id, sequence, .. } = &good.order;
        let is_other = |id: &&NoticeId| {
            let key = (authority.clone(), NoticeId::clone(id));
            self.life.case(&key).is_some() && self.tests.contains(&key) != good.test
        };
        let Some(other) = act.about().iter().find(is_other) else { return judged };
        let reason = match good.test {
            true => format!("{authority} only rehearses now, and notice {other} was no rehearsal"),
            false => format!("notice {other} was a rehearsal: {authority} orders it anew, under another id"),
        };
        let (by, id) = (Some(authority.clone()), Some((id.clone(), *sequence)));
        Judged::Refused(Box::new(Refused { by, id, secret: good.secret, ..*Refused::new("test", reason) }))
    }

    /// What an order would change; `policy` is what is in force.
    pub(in crate::control) fn rehearse(
        &self,
        signed: &Signed,
        bench: &Bench<'_>,
        policy: &Snapshot,
        now: Timestamp,
    ) -> Result<Rehearsal, Box<Refusal>> {
        let judged = self.unmixed(judge::judge(&signed.octets, &signed.file, bench, &self.life, &[], now));
        if let Some(why) = self.foreign(signed, judged.by()) {
            return Err(Box::new(self.refusal(signed, why, None, now)));
        }
        let rehearsal = match judged {
            Judged::Refused(why) => {
                let refusal = self.refusal(signed, *why, None, now);
                return Err(Box::new(Refusal { receipt: None, ..refusal })); // what is not recorded is not signed
            }
            Judged::Known(order) => Rehearsal { known: true, ..about(&order) },
            Judged::Good(good) => self.effect(&good, policy),
        };
        Ok(Rehearsal { text: in_words(&rehearsal), ..rehearsal })
    }

    /// Names before and after.
    fn effect(&self, good: &Good, policy: &Snapshot) -> Rehearsal {
        let Good { order, quarantined, .. } = good;
        let mut result = about(order);
        let mut after = BTreeSet::new();
        for item in order.act.restriction().map_or(&[][..], |restriction| &restriction.items) {
            let held = quarantined.iter().find(|(held, _)| *held == item.id);
            let (state, code) = match (&item.target, held) {
                (Err(code), _) => ("refused", *code),
                (Ok(_), Some((_, why))) => ("quarantined", why.code()),
                (Ok(target), None) => {
                    after.insert(target.clone());
                    continue;
                }
            };
            let (item, state, code) = (item.id.to_string(), state.to_owned(), code.to_owned());
            result.items.push(RehearsedItem { item, state, code });
        }
        let keys: Vec<Key> = order.act.about().iter().map(|id| (order.authority.clone(), id.clone())).collect();
        let mut before = BTreeSet::new();
        for (key, case) in keys.iter().filter_map(|key| Some((key, self.life.case(key)?))) {
            let shown = self.names(&self.shown.get(key).map_or_else(Vec::new, |shown| self.items(shown)));
            after.extend(match &order.act {
                Act::Revoke { items, .. } if items.is_empty() => BTreeSet::new(),
                Act::Revoke { items, .. } => {
                    let shown = self.shown.get(key).map_or_else(Vec::new, |shown| self.items(shown));
                    self.names(&shown.into_iter().filter(|item| !items.contains(&item.id)).collect::<Vec<_>>())
                }
                Act::Resume(_) => self.names(&self.resumed(case)),
                Act::Restrict(_) | Act::Amend { .. } | Act::Suspend(_) => BTreeSet::new(),
            });
            before.extend(shown);
        }
        result.test = good.test;
        let listers = |name: &DnsName| {
            let others = policy
                .listings(name.as_wire())
                .filter(|(_, scope, target)| *scope == Scope::Subtree || *target == name.as_wire());
            others.filter(|(notice, ..)| !keys.contains(&(notice.authority.clone(), notice.id.clone()))).count()
        };
        let listed =
            |names: &mut dyn Iterator<Item = &(DnsName, Scope)>| names.filter(|(name, _)| listers(name) > 0).count();
        result.adds = after.difference(&before).count();
        result.already_listed = listed(&mut after.difference(&before));
        result.removes = before.difference(&after).count();
        result.still_listed = listed(&mut before.difference(&after));
        result.unchanged = before.intersection(&after).count();
        result
    }

    fn names(&self, items: &[Item]) -> BTreeSet<(DnsName, Scope)> {
        items.iter().filter_map(|item| item.target.clone().ok()).collect()
    }

    /// What a case that rests would have in force.
    fn resumed(&self, case: &Case) -> Vec<Item> {
        let left_out = case.content.quarantined.union(&case.revoked_items).cloned().collect();
        self.items(&Shown { payload: case.content.payload, left_out })
    }
}

impl<'a> Look<'a> {
    pub(in crate::control) const fn new(docket: &'a Docket, now: Timestamp) -> Self {
        Self { docket, now }
    }

    /// The notices of a selection, by authority and id; one more than its limit shows that there are more.
    pub fn notices(&self, selection: &Selection) -> Vec<Summary> {
        let Selection { authority, notices, state, after, limit } = selection;
        let cases = self.docket.life.cases().filter(|(key, _)| {
            authority.as_ref().is_none_or(|authority| key.0 == *authority)
                && (notices.is_empty() || notices.contains(key.1.as_str()))
                && after.as_ref().is_none_or(|after| *key > after)
        });
        let summaries = cases.map(|(key, case)| self.summary(key, case));
        let wanted = summaries.filter(|summary| state.as_ref().is_none_or(|state| summary.state == state));
        wanted.take(limit.saturating_add(1)).collect()
    }

    /// The authorities that have an order with this id.
    pub fn authorities_of(&self, id: &NoticeId) -> Vec<AuthorityId> {
        let known: BTreeSet<_> =
            self.docket.orders.values().filter(|filed| filed.key.1 == *id).map(|filed| filed.key.0.clone()).collect();
        known.into_iter().collect()
    }

    /// A notice and every order about it, as they came.
    pub fn notice(&self, key: &Key) -> Option<(Summary, Vec<OrderSummary>)> {
        let case = self.docket.life.case(key)?;
        let orders = self.docket.about.get(key).into_iter().flatten();
        let orders = orders.filter_map(|payload| self.order_summary(payload)).collect();
        Some((self.summary(key, case), orders))
    }

    /// The receipt of the order with this id.
    pub fn receipt(&self, key: &Key) -> Option<Told> {
        self.docket.told(self.docket.life.order(key)?, self.now)
    }

    /// The orders of a selection, by authority and id; its state and position do not count, one more than its limit shows that
    /// there are more.
    pub fn orders(&self, selection: &Selection) -> Vec<Key> {
        let Selection { authority, notices, limit, .. } = selection;
        let keys = self.docket.orders.values().map(|filed| &filed.key).filter(|key| {
            authority.as_ref().is_none_or(|authority| key.0 == *authority)
                && (notices.is_empty() || notices.contains(key.1.as_str()))
        });
        let mut keys: Vec<_> = keys.cloned().collect();
        keys.sort();
        keys.truncate(limit.saturating_add(1));
        keys
    }

    /// Records from this one on, at most so many, with the hash before each, and where the chain ends.
    pub fn records(&self, from: u64, limit: usize) -> Result<(Vec<(Head, Stored)>, Head), String> {
        let Some(ledger) = self.docket.book.ledger() else { return Err("the ledger cannot be used".to_owned()) };
        let (mut before, mut found) = (Head::origin(), Vec::new());
        for stored in ledger.records(from.max(2) - 1) {
            let stored = stored.map_err(|error| error.to_string())?;
            let head = stored.head;
            if head.sequence >= from {
                found.push((before, stored));
            }
            before = head;
            if found.len() >= limit {
                break;
            }
        }
        Ok((found, self.docket.book.head()))
    }

    fn summary(&self, key: &Key, case: &Case) -> Summary {
        let notice = &case.content.notice;
        let blocked = self.docket.blocked.get(&case.content.payload);
        let enforced = case.phase() == Phase::InForce && self.docket.is_enforced(key);
        let orders = self.docket.about.get(key).into_iter().flatten();
        let numbers = orders.filter_map(|payload| Some(self.docket.orders.get(payload)?.number));
        Summary {
            authority: key.0.to_string(),
            notice: key.1.to_string(),
            said_by: case.content.said_by.to_string(),
            sequence: numbers.max().unwrap_or_default(),
            category: notice.category.as_str().to_owned(),
            sensitivity: notice.sensitivity.as_str(),
            state: match case.phase() {
                Phase::InForce if self.docket.tests.contains(key) => "tested",
                Phase::InForce if enforced => "enforced",
                Phase::InForce => "published",
                phase => phase.as_str(),
            },
            received_at: case.received_at,
            effective_at: notice.validity.effective_at,
            expires_at: notice.validity.expires_at,
            deadline_at: notice.deadline_at,
            enforced_at: blocked.and_then(|blocked| blocked.since).filter(|_| enforced),
        }
    }

    fn order_summary(&self, payload: &[u8; 32]) -> Option<OrderSummary> {
        let filed = self.docket.orders.get(payload)?;
        Some(OrderSummary {
            notice: filed.key.1.to_string(),
            kind: filed.kind,
            sequence: filed.number,
            received_at: filed.received_at,
            effective_at: filed.effective_at,
            ledger: filed.record,
        })
    }
}

/// Whether a receipt says all there is to say, until something else happens.
fn is_final(receipt: &Receipt) -> bool {
    receipt.state != "published"
}

/// What is known of an order without its effect.
fn about(order: &Order) -> Rehearsal {
    Rehearsal {
        authority: order.authority.to_string(),
        notice: order.id.to_string(),
        kind: order.act.kind().to_owned(),
        sequence: order.sequence,
        effective_at: order.effective_at,
        ..Rehearsal::default()
    }
}

/// `adds 3 names, 1 quarantined: public-suffix`.
fn in_words(rehearsal: &Rehearsal) -> String {
    let Rehearsal { known, test, adds, already_listed, removes, still_listed, unchanged, items, .. } = rehearsal;
    if *known {
        return "nothing: it was taken before".to_owned();
    }
    let names = |count: usize| format!("{count} name{}", if count == 1 { "" } else { "s" });
    let mut parts = Vec::new();
    let mut say = |word: &str, count: usize, also: usize, how: &str| {
        if count > 0 {
            let also = if also > 0 { format!(" ({also} of them {how} by other notices)") } else { String::new() };
            parts.push(format!("{word} {}{also}", names(count)));
        }
    };
    say("adds", *adds, *already_listed, "listed already");
    say("lifts", *removes, *still_listed, "still listed");
    say("leaves as they are", *unchanged, 0, "");
    for state in ["quarantined", "refused"] {
        let these: Vec<_> = items.iter().filter(|item| item.state == state).collect();
        let codes: BTreeSet<_> = these.iter().map(|item| item.code.as_str()).collect();
        if !these.is_empty() {
            parts.push(format!("{} {state}: {}", these.len(), codes.into_iter().collect::<Vec<_>>().join(", ")));
        }
    }
    let said = if parts.is_empty() { "changes no name".to_owned() } else { parts.join(", ") };
    if *test { format!("nothing, it is a rehearsal; otherwise: {said}") } else { said }
}
