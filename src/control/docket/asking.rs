//! What the node asks itself about cases, and what the answers mean.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::super::life::{Case, Content, Key, Phase};
use super::{Docket, Found, Query, RETRY, Seen, is_over};
use crate::ledger::Event;
use crate::model::Item;
use crate::policy::Snapshot;
use crate::policy::verdict::Consider;

/// From one try of receipts that could not be written to the next.
const DELIVERY: Duration = Duration::from_secs(10);

/// Names of a case that is over that are remembered because others list them, and such cases.
const SAMPLE: usize = 1_000;
const MOST_ELSEWHERE: usize = 10_000;

impl Docket {
    /// What to ask after a policy was published: of cases that changed, what is to be blocked, and what was and is not.
    pub(in crate::control) fn queries(&mut self, policy: &Snapshot) -> Vec<Query> {
        self.news = false;
        self.tell_begun(policy);
        self.tell_ended(policy);
        self.look_elsewhere(policy);
        let keys = std::mem::take(&mut self.to_ask);
        keys.into_iter().filter_map(|key| self.query(key, policy)).collect()
    }

    pub(super) fn query(&mut self, key: Key, policy: &Snapshot) -> Option<Query> {
        let mut lifted = self.lifted.remove(&key).unwrap_or_default();
        if let Some(items) = self.unsigned.get(&key) {
            let mut blocked = items.clone();
            blocked.retain(|item| item.target.as_ref().is_ok_and(|(name, _)| !policy.is_lifted(name.as_wire())));
            lifted.retain(|item| !is_listed(item, policy));
            return (!blocked.is_empty()).then(|| self.numbered(key, blocked, lifted));
        }
        let case = self.life.case(&key)?;
        if self.tests.contains(&key) {
            self.lifted.remove(&key);
            self.unwritten.insert(key); // nothing of it is in force
            return None;
        }
        let in_force = case.phase() == Phase::InForce;
        let shown = self.shown.get(&key).filter(|_| in_force).cloned();
        let mut blocked = shown.map_or_else(Vec::new, |shown| self.items(&shown));
        blocked.retain(|item| item.target.as_ref().is_ok_and(|(name, _)| !policy.is_lifted(name.as_wire())));
        if is_over(case) || (in_force && blocked.is_empty()) {
            let gone = self.gone(case); // what went before by itself, too: as after a restart
            let again: BTreeMap<_, _> = gone.iter().map(|item| (&item.id, item)).collect();
            lifted.retain(|item| again.get(&item.id) != Some(&item));
            lifted.extend(gone);
        }
        lifted.retain(|item| !is_listed(item, policy)); // another notice lists it, or it does again
        if blocked.is_empty() && lifted.is_empty() {
            if !self.is_seen(&key) {
                self.seen.remove(&key); // what failed is not asked for any more
            }
            self.wait_for_others(&key);
            self.unwritten.insert(key); // that is all there is to say
            return None;
        }
        Some(self.numbered(key, blocked, lifted))
    }

    /// Nothing is to be asked about a case now: what it lists no more, others do.
    fn wait_for_others(&mut self, key: &Key) {
        let (Some(case), false) = (self.life.case(key), self.is_seen(key)) else { return };
        if case.phase() == Phase::Scheduled {
            return; // it has listed nothing yet
        }
        let mut gone = self.gone(case);
        gone.truncate(SAMPLE);
        if !gone.is_empty() && self.listed_elsewhere.len() < MOST_ELSEWHERE {
            self.listed_elsewhere.insert(key.clone(), gone);
        }
    }

    /// Asks about what cases listed and nothing lists any more.
    fn look_elsewhere(&mut self, policy: &Snapshot) {
        if !std::mem::take(&mut self.names_went) {
            return;
        }
        let waiting = std::mem::take(&mut self.listed_elsewhere).into_iter();
        let (gone, rest): (BTreeMap<_, _>, _) =
            waiting.partition(|(_, items)| items.iter().any(|item| !is_listed(item, policy)));
        self.listed_elsewhere = rest;
        self.to_ask.extend(gone.keys().cloned());
        gone.into_iter().for_each(|(key, items)| self.lifted.entry(key).or_default().extend(items));
    }

    /// A case has changed since it was asked about, or is gone: whatever was found, there is another query, or will be.
    pub(super) fn overtaken(&mut self, key: Key, number: u64, lifted: Vec<Item>) {
        if self.asked.get(&key) == Some(&number) {
            self.asked.remove(&key);
            if self.life.case(&key).is_some() || self.unsigned.contains_key(&key) {
                self.to_ask.insert(key.clone());
                self.news = true;
            }
        }
        if !lifted.is_empty() {
            self.lifted.entry(key).or_default().extend(lifted);
        }
    }

    pub(super) fn numbered(&mut self, key: Key, blocked: Vec<Item>, lifted: Vec<Item>) -> Query {
        self.queries += 1;
        self.asked.insert(key.clone(), self.queries);
        Query { key, number: self.queries, blocked, lifted }
    }

    /// The items of a case that are not in force any more.
    pub(super) fn gone(&self, case: &Case) -> Vec<Item> {
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
    pub(in crate::control) fn found(&mut self, found: Vec<Found>, serial: u32, policy: &str, now: Timestamp) {
        // what was asked before its time came is no failure after it
        self.advance(now);
        for Found { key, number, asked, had_blocked, lifted, failed, failures } in found {
            let has_changed = self.asked.get(&key) != Some(&number) || self.to_ask.contains(&key);
            if has_changed || (failed.is_some() && self.is_lifting()) {
                self.overtaken(key, number, lifted);
                continue;
            }
            self.metrics.selftest.failures.inc_by(failures);
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
    pub(in crate::control) fn has_questions(&self) -> bool {
        let gone = self.names_went && !self.listed_elsewhere.is_empty();
        !self.to_ask.is_empty() || self.is_lifting() || gone
    }

    /// Records what waits and writes the receipts that are due. What no receipt waits for is recorded once a second: what is
    /// only published need not wait for the disk each time.
    pub(in crate::control) fn finish(&mut self, now: Timestamp) {
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
        if self.delivered.is_none_or(|last| last.elapsed() >= DELIVERY) {
            self.delivered = Some(Instant::now());
            due.append(&mut self.unwritable);
        }
        for key in std::mem::take(&mut self.unwritten) {
            due.extend(self.about.get(&key).into_iter().flatten());
        }
        for payload in due {
            self.write_receipt(&payload, now);
            self.tell_watchers(&payload, now);
        }
    }

    /// How long it took, from the order that did it.
    pub(super) fn observe(&self, key: &Key, blocked: bool, lifted: bool, now: Timestamp) {
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
}

/// Whether the policy answers for an item's name.
fn is_listed(item: &Item, policy: &Snapshot) -> bool {
    item.target.as_ref().is_ok_and(|(name, _)| policy.decide(name.as_wire(), Consider::All).is_some())
}
