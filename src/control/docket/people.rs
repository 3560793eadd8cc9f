//! What people decide: emergency lifts, and the approval of what is held.

use jiff::Timestamp;

use super::Docket;
use super::holds::{Held, ListVersion, Waits, held_list};
use super::lifts::Lift;
use crate::control::command::{OperatorReply, OperatorRequest, may_be_same};
use crate::control::life::Key;
use crate::ledger::Event;
use crate::ledger::event::Action;
use crate::model::{DnsName, ItemId, Sensitivity};
use crate::verify::guard::size::Hold;

/// What a request changes, beside what it is answered.
#[derive(Debug, Default)]
pub(in crate::control) struct Decided {
    /// The lifted names are others now.
    pub(in crate::control) lifts: bool,
    /// This version of a list may be put in force.
    pub(in crate::control) list: Option<ListVersion>,
}

impl Docket {
    /// Carries out what a person asks. It is recorded before it has an effect. `lists` says by whom a name is listed: whether
    /// at all, and whether by a secret notice, be it with others.
    pub(in crate::control) fn ask_for(
        &mut self,
        request: OperatorRequest,
        listed: impl Fn(&DnsName) -> Option<Sensitivity>,
        now: Timestamp,
    ) -> (OperatorReply, Decided) {
        match request {
            OperatorRequest::Held { secret } => {
                let matters = |key: &Key, payload: &[u8; 32]| {
                    !self.tests.contains(key) && self.life.case(key).is_some_and(|case| case.may_say(payload))
                };
                let held = self.holds.list(matters, |item, payload| self.name_for_people(item, payload, secret));
                (OperatorReply::List(held), Decided::default())
            }
            _ if self.read_only => {
                let reason = "the ledger cannot be used, so nothing can be recorded, and nothing is changed";
                (OperatorReply::refused("read-only", reason), Decided::default())
            }
            OperatorRequest::Lift { name, reason, person } => self.lift(&name, reason, person, listed(&name), now),
            OperatorRequest::Restore { name, reason, person } => self.take_lift_back(&name, reason, person, now),
            OperatorRequest::Approve { id, reason, person } => self.approve(id, reason, person, now),
        }
    }

    fn lift(
        &mut self,
        name: &DnsName,
        reason: String,
        person: String,
        listed: Option<Sensitivity>,
        now: Timestamp,
    ) -> (OperatorReply, Decided) {
        let refused = |code, reason: &str| (OperatorReply::refused(code, reason), Decided::default());
        if self.lifts.contains_key(name) {
            return refused("lifted", "it is lifted already");
        }
        let Some(sensitivity) = listed else {
            return refused("not-listed", "no notice in force lists it, nor a name above it");
        };
        let secret = sensitivity == Sensitivity::Secret;
        let Some(text) = self.written(name, secret) else {
            return refused("needs-key", "the name is secret, and there is no [ledger] key_file to record it with");
        };
        let event = Event::Operator { action: Action::Lift, person, reason, held: None, name: Some(text) };
        match self.book.append(vec![event], &[], now) {
            Ok(head) => {
                self.lifts.insert(name.clone(), Lift { secret, record: head.sequence, at: now });
                self.begun.push(name.clone());
                (self.names_went, self.news) = (true, true);
                let text = "lifted; it stays so until a new notice that lists it takes effect".to_owned();
                (OperatorReply::Ok { text, ledger: Some(head.sequence) }, Decided { lifts: true, ..Decided::default() })
            }
            Err(error) => refused("ledger", &error),
        }
    }

    fn take_lift_back(
        &mut self,
        name: &DnsName,
        reason: String,
        person: String,
        now: Timestamp,
    ) -> (OperatorReply, Decided) {
        let refused = |code, reason: &str| (OperatorReply::refused(code, reason), Decided::default());
        let Some(Lift { secret, .. }) = self.lifts.get(name).copied() else {
            return refused("not-lifted", "no person has lifted it; a lift is taken back under the name it has");
        };
        let Some(text) = self.written(name, secret) else {
            return refused("needs-key", "the name is secret, and there is no [ledger] key_file to record it with");
        };
        let event = Event::Operator { action: Action::Restore, person, reason, held: None, name: Some(text) };
        match self.book.append(vec![event], &[], now) {
            Ok(head) => {
                self.restored(name.clone());
                let text = "the lift is taken back; notices that list the name block it again".to_owned();
                (OperatorReply::Ok { text, ledger: Some(head.sequence) }, Decided { lifts: true, ..Decided::default() })
            }
            Err(error) => refused("ledger", &error),
        }
    }

    fn approve(&mut self, id: u64, reason: String, person: String, now: Timestamp) -> (OperatorReply, Decided) {
        let refused = |code, reason: &str| (OperatorReply::refused(code, reason), Decided::default());
        let Some(held) = self.holds.get(id) else {
            return refused("unknown", "nothing is held under this number");
        };
        let first = matches!(held.what, Waits::Item(..)) && held.proposed_by.is_none();
        if held.proposed_by.as_ref().is_some_and(|first| may_be_same(first, &person)) {
            return refused("same-person", "a second person must approve");
        }
        let action = if first { Action::Propose } else { Action::Approve };
        let event = Event::Operator { action, person: person.clone(), reason, held: Some(id), name: None };
        let sequence = match self.book.append(vec![event], &[], now) {
            Ok(head) => head.sequence,
            Err(error) => return refused("ledger", &error),
        };
        if first {
            self.holds.propose(id, &person);
            let text = "proposed; a second person must approve".to_owned();
            return (OperatorReply::Ok { text, ledger: Some(sequence) }, Decided::default());
        }
        let list = self.approved(id);
        let text = "approved".to_owned();
        (OperatorReply::Ok { text, ledger: Some(sequence) }, Decided { list, ..Decided::default() })
    }

    /// What is held under a number may be put in force; the version of a list, if it is one.
    pub(super) fn approved(&mut self, id: u64) -> Option<ListVersion> {
        match self.holds.remove(id)?.what {
            Waits::Item(key, item, payload) => {
                if self.life.release(&key, &item, &payload) {
                    self.seen.remove(&key);
                    self.end_lifts(&key);
                    if !self.replaying {
                        self.to_ask.insert(key.clone()); // it may rest, and say more all the same
                        self.news = true;
                    }
                    self.moved.insert(key);
                }
                None
            }
            Waits::List(_, version) => {
                self.approved_lists.insert(version.clone());
                Some(version)
            }
        }
    }

    /// Whether the new version of a list must wait. What is approved once stays approved.
    pub(in crate::control) fn holds_list(
        &mut self,
        key: &Key,
        version: ListVersion,
        hold: &Hold,
        now: Timestamp,
    ) -> bool {
        if self.approved_lists.contains(&version) {
            return false;
        }
        if self.holds.of_list(&version).is_some() {
            return true;
        }
        self.holds.forget_list(&version.source);
        let id = self.book.next(0);
        let recorded = self.book.append(vec![held_list(key, &version, hold.code())], &[], now);
        if recorded.is_ok() {
            let (what, code) = (Waits::List(key.clone(), version), hold.code().to_owned());
            self.holds.insert(id, Held { what, code, since: now, proposed_by: None });
            self.metrics.policy.quarantined.with_label_values(&[hold.code()]).inc();
        }
        true // not recorded, it waits all the same
    }

    /// A list says something that need not wait: what waited is past.
    pub(in crate::control) fn list_taken(&mut self, source: &str) {
        self.holds.forget_list(source);
    }

    /// What an item is called; of a secret notice only with `secret`.
    fn name_for_people(&self, item: &ItemId, payload: &[u8; 32], secret: bool) -> Option<String> {
        let restriction = self.restriction(payload)?;
        let item = restriction.items.iter().find(|it| it.id == *item)?;
        let is_withheld = restriction.notice.sensitivity == Sensitivity::Secret && !secret;
        item.target.as_ref().ok().filter(|_| !is_withheld).map(|(name, _)| name.to_string())
    }
}
