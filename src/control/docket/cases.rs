//! What becomes of cases, and what the policy has to show of them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::super::life::{Key, Phase, Step};
use super::{Blocked, Docket, Effect, Seen, Shown, judge, place};
use crate::ingest::Document;
use crate::ledger::Event;
use crate::model::{Item, Order, Restriction};

impl Docket {
    /// Lets time pass for the cases and for the orders about them.
    pub(super) fn advance(&mut self, now: Timestamp) {
        // an instant at a time: what was in force in between is no other than if this had been called then
        while let Some(at) = self.life.next_change().filter(|at| *at <= now) {
            let steps = self.life.at(at);
            self.note(&steps);
        }
        while let Some((_, payload)) = self.to_bind.first().filter(|(at, _)| *at <= now).copied() {
            self.to_bind.pop_first();
            // it may change nothing: what it is about has ended, or rests already
            self.undelivered.insert(payload);
        }
    }

    /// The names of a case are not blocked any more, or were seen not to be.
    pub(super) fn rests(&mut self, key: &Key) {
        let payload = self.life.case(key).map(|case| case.content.payload);
        if let Some(blocked) = payload.and_then(|payload| self.blocked.get_mut(&payload)) {
            blocked.since = None;
        }
    }

    /// Takes note of what was seen of a case.
    pub(super) fn saw(&mut self, key: Key, seen: Seen) {
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
    pub(super) fn note(&mut self, steps: &[Step]) {
        for Step { key, from, to, cause } in steps {
            self.moved.insert(key.clone());
            self.seen.remove(key); // it was about what the notice said before
            self.listed_elsewhere.remove(key);
            if *to != Phase::InForce {
                self.rests(key);
            }
            self.end_lifts(key);
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
    pub(super) fn sync(&mut self, key: &Key) -> Option<Effect> {
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
        let gone: Vec<_> = gone.into_iter().filter(is_gone).collect();
        self.names_went |= !gone.is_empty();
        self.lifted.entry(key.clone()).or_default().extend(gone);
        // what was seen of it is of what it says now: after a restart that need not be asked for again
        if !self.is_seen(key) {
            self.to_ask.insert(key.clone());
            self.news = true;
        }
        Some(effect)
    }

    /// What the policy is to have of a case.
    pub(super) fn wanted(&self, key: &Key) -> Option<Shown> {
        self.life.case(key).filter(|_| !self.tests.contains(key)).and_then(Shown::of)
    }

    /// Names of an unsigned notice or a list that is put in force: they are asked for, too.
    pub(in crate::control) fn ask_about(&mut self, key: Key, items: Vec<Item>) {
        self.unsigned.insert(key.clone(), items);
        self.to_ask.insert(key);
        self.news = true;
    }

    /// An unsigned notice is gone.
    pub(in crate::control) fn ask_no_more(&mut self, key: &Key) {
        if self.unsigned.remove(key).is_some() {
            self.asked.remove(key); // what comes of it is past
        }
    }

    /// What is ordered by the payload of this digest.
    pub(super) fn order(&self, payload: &[u8; 32]) -> Option<Order> {
        let envelope = self.orders.get(payload)?.envelope;
        let octets = self.book.payload(&envelope).inspect_err(|error| tracing::error!("{error}")).ok()??;
        judge::order_in(&octets)
    }

    pub(super) fn restriction(&self, payload: &[u8; 32]) -> Option<Restriction> {
        self.order(payload)?.act.restriction().cloned()
    }

    /// The items of a case that are in force.
    pub(super) fn items(&self, shown: &Shown) -> Vec<Item> {
        let items = self.restriction(&shown.payload).map_or_else(Vec::new, |restriction| restriction.items);
        items.into_iter().filter(|item| item.target.is_ok() && !shown.left_out.contains(&item.id)).collect()
    }

    pub(super) fn document(&self, key: &Key, shown: &Shown) -> Option<Document> {
        Some(shown.document(key, &self.restriction(&shown.payload)?))
    }

    pub(super) fn show_gaps(&self) {
        for (authority, missing, gaps) in self.life.gaps() {
            if self.tests.iter().any(|(of, _)| of == authority) {
                continue; // gaps are tried out, too
            }
            let gauge = self.metrics.policy.sequence_gaps.with_label_values(&[authority.as_str()]);
            if missing > 0 && gauge.get() != missing as i64 {
                tracing::warn!(%authority, missing, first = ?gaps, "numbers of notices are missing");
            }
            gauge.set(missing as i64);
        }
    }

    /// Counts the cases in each phase, and those that should be enforced by now and are not.
    pub(in crate::control) fn census(&self, now: Timestamp) -> (BTreeMap<&'static str, i64>, i64) {
        let (mut phases, mut late) = (BTreeMap::new(), 0);
        for (key, case) in self.life.cases().filter(|(key, _)| !self.tests.contains(*key)) {
            *phases.entry(case.phase().as_str()).or_default() += 1;
            let over = matches!(case.phase(), Phase::Revoked | Phase::Expired | Phase::Suspended);
            let past = case.content.notice.deadline_at.is_some_and(|deadline| deadline < now);
            late += i64::from(past && !over && !self.is_enforced(key));
        }
        (phases, late)
    }

    pub(super) fn is_enforced(&self, key: &Key) -> bool {
        self.seen.get(key).is_some_and(|seen| seen.blocked && seen.failed.is_none())
    }

    /// Whether what a case says was asked for, and was as it should be.
    pub(super) fn is_seen(&self, key: &Key) -> bool {
        self.seen.get(key).is_some_and(|seen| seen.failed.is_none())
    }
}
