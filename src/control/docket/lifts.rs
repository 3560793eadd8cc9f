//! Names that people have lifted in an emergency, and what ends that.
//!
//! A lift ends when something is in force that lists its name anew: content of a signed notice that was accepted after the
//! lift, from when it takes effect, and of it the items that are in force. What is refused, waits for people or takes
//! effect later ends nothing yet, and what was accepted before, not even when it is resumed. A person may take it back. All of that follows from the
//! records, so a ledger that is played gives the same; `lift-ended` only says it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Docket, Shown};
use crate::control::life::{Case, Content, Key, Phase};
use crate::ledger::Event;
use crate::ledger::event::Secretable;
use crate::model::{DnsName, Item, Restriction, Scope, Sensitivity};
use crate::policy::Snapshot;

/// The cause of a transition that leaves a case in force, with names of its blocked again.
pub(super) const LIFT_ENDED: &str = "lift-ended";

/// A name that is lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lift {
    /// Some notice that listed it then was secret.
    pub(super) secret: bool,
    /// The record of it, and the time that has.
    pub(super) record: u64,
    pub(super) at: Timestamp,
}

/// How much of a target, or of a notice in force, is lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifted {
    None,
    Part,
    All,
}

impl Lifted {
    /// The word for it in receipts.
    pub(super) const fn code(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Part => Some("lifted-in-part"),
            Self::All => Some("operator"),
        }
    }
}

/// The end of a lift that is not recorded yet.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) name: DnsName,
    /// What is to be recorded; nothing if that had to be sealed and there is no key.
    pub(super) event: Option<Event>,
}

impl Docket {
    /// The names that are lifted.
    pub(in crate::control) fn lifts(&self) -> impl Iterator<Item = &DnsName> {
        self.lifts.keys()
    }

    /// A case may have come into force, or an item of it: ends the lifts of what it lists anew.
    pub(super) fn end_lifts(&mut self, key: &Key) {
        let Some(case) = self.life.case(key).filter(|case| self.restricts(key, case)) else { return };
        let record = self.orders.get(&case.content.payload).map_or(0, |filed| filed.record);
        if self.lifts.values().all(|lift| lift.record > record) {
            return; // none, as a rule: the ledger is not read for nothing
        }
        let secret = case.content.notice.sensitivity == Sensitivity::Secret;
        let items = Shown::of(case).map_or_else(Vec::new, |shown| self.items(&shown));
        let targets: Vec<_> = items.iter().filter_map(|item| item.target.as_ref().ok()).collect();
        let is_ended = |name: &DnsName, lift: &Lift| {
            lift.record < record && targets.iter().any(|(target, scope)| is_about(target, *scope, name))
        };
        let (ended, rest): (BTreeMap<_, _>, _) =
            std::mem::take(&mut self.lifts).into_iter().partition(|(name, lift)| is_ended(name, lift));
        self.lifts = rest;
        for (name, lift) in ended {
            let event = self.ended(&name, Some(key), secret || lift.secret);
            self.lift_ends(name, event);
        }
    }

    fn lift_ends(&mut self, name: DnsName, event: Option<Event>) {
        (self.lifts_changed, self.news) = (true, true);
        self.ended.push(Ended { name, event });
    }

    /// A person has taken a lift back, and that is recorded.
    pub(super) fn restored(&mut self, name: DnsName) {
        let Some(lift) = self.lifts.remove(&name) else { return };
        let event = self.ended(&name, None, lift.secret);
        self.lift_ends(name, event);
    }

    /// The record of the end of a lift, by a notice or a person. A name that is secret by the notice, or was when it was
    /// lifted, is sealed.
    fn ended(&self, name: &DnsName, by: Option<&Key>, secret: bool) -> Option<Event> {
        let (authority, notice) = by.cloned().unzip();
        Some(Event::LiftEnded { name: self.written(name, secret)?, authority, notice })
    }

    /// A name as the ledger has it; `None` if it is secret and there is no key.
    pub(super) fn written(&self, name: &DnsName, secret: bool) -> Option<Secretable> {
        match (secret, &self.key) {
            (true, key) => Secretable::seal(&name.to_string(), key.as_ref()?).ok(),
            (false, _) => Some(Secretable::Plain(name.to_string())),
        }
    }

    /// Whether a case is in force, and no rehearsal.
    pub(super) fn restricts(&self, key: &Key, case: &Case) -> bool {
        case.phase() == Phase::InForce && !self.tests.contains(key)
    }

    /// How much of a target is lifted, and since when.
    pub(super) fn lift_of(&self, (target, scope): &(DnsName, Scope)) -> Option<(Lifted, Timestamp)> {
        let whole = self.lifts.iter().filter(|(name, _)| target.is_at_or_below(name));
        let below = self.lifts.iter().filter(|(name, _)| *scope == Scope::Subtree && name.is_at_or_below(target));
        let first = |lift: Option<(&DnsName, &Lift)>, lifted| lift.map(|(_, lift)| (lifted, lift.at));
        let (whole, below) = (whole.min_by_key(|(_, lift)| lift.record), below.min_by_key(|(_, lift)| lift.record));
        first(whole, Lifted::All).or_else(|| first(below, Lifted::Part))
    }

    /// How much is lifted of what a case in force says in this restriction.
    pub(super) fn lifted_of(&self, key: &Key, case: &Case, restriction: &Restriction) -> Lifted {
        if self.lifts.is_empty() || !self.restricts(key, case) {
            return Lifted::None;
        }
        let Content { quarantined, .. } = &case.content;
        let is_out = |item: &Item| quarantined.contains(&item.id) || case.revoked_items.contains(&item.id);
        let targets =
            restriction.items.iter().filter(|item| !is_out(item)).filter_map(|item| item.target.as_ref().ok());
        let mut all: Vec<_> = targets.map(|target| self.lift_of(target).map_or(Lifted::None, |(it, _)| it)).collect();
        all.dedup();
        match all[..] {
            [] | [Lifted::None] => Lifted::None,
            [Lifted::All] => Lifted::All,
            _ => Lifted::Part,
        }
    }

    /// Whether lifts have begun or ended since cases were asked about.
    pub(super) fn is_lifting(&self) -> bool {
        !self.begun.is_empty() || !self.ended.is_empty()
    }

    /// Lifts have begun: the receipts of what lists their names are due. What is being asked about is asked anew.
    pub(super) fn tell_begun(&mut self, policy: &Snapshot) {
        for name in std::mem::take(&mut self.begun) {
            let keys = self.in_force_about(&name, policy);
            self.to_ask.extend(keys.iter().filter(|key| self.asked.contains_key(*key)).cloned());
            self.unwritten.extend(keys);
        }
    }

    /// Records the lifts that have ended, and whose names are blocked again by that: those are asked for anew.
    pub(super) fn tell_ended(&mut self, policy: &Snapshot) {
        for Ended { name, event } in std::mem::take(&mut self.ended) {
            event.into_iter().for_each(|event| self.book.later(event));
            for key in self.in_force_about(&name, policy) {
                let stands = Phase::InForce.as_str().to_owned();
                let (authority, notice) = key.clone();
                let (from, to, cause) = (stands.clone(), stands, Some(LIFT_ENDED.to_owned()));
                self.book.later(Event::Transition { authority, notice, from, to, cause });
                self.had_a_break(&key);
                self.to_ask.insert(key);
            }
        }
    }

    /// Some names of a case were lifted and are not any more: what was seen of it is past.
    pub(super) fn had_a_break(&mut self, key: &Key) {
        self.rests(key);
        self.seen.remove(key);
    }

    /// The cases in force that list a name, or names below it. Reads all names of the policy.
    fn in_force_about(&self, name: &DnsName, policy: &Snapshot) -> BTreeSet<Key> {
        let above = policy.listings(name.as_wire()).filter(|(_, scope, _)| *scope == Scope::Subtree);
        let notices = policy.listings_from(name).chain(above.map(|(notice, ..)| notice));
        let keys = notices.map(|notice| (notice.authority.clone(), notice.id.clone()));
        keys.filter(|key| self.life.case(key).is_some_and(|case| case.phase() == Phase::InForce)).collect()
    }

    /// The end of a lift is recorded. The name may have been lifted once more in between.
    pub(super) fn was_told(&mut self, name: &DnsName) {
        self.ended.retain(|ended| ended.name != *name);
    }
}

/// Whether a target lists a lifted name, or a name below it, anew.
fn is_about(target: &DnsName, scope: Scope, lift: &DnsName) -> bool {
    target.is_at_or_below(lift) || (scope == Scope::Subtree && lift.is_at_or_below(target))
}
