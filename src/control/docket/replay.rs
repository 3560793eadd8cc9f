//! The docket's state from its ledger: every record is checked against the chain and played again.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::holds::{Held, ListVersion, Waits};
use super::lifts::{LIFT_ENDED, Lift};
use super::{Docket, Filed, Seen, Shown, filed, judge};
use crate::control::life::{Key, Phase};
use crate::ledger::event::{Action, Held as What, Secretable};
use crate::ledger::{Event, Head, Record, RecordError};
use crate::model::{DnsName, Item, ItemId};

/// Published policies whose digest is remembered while the ledger is played.
const POLICIES: usize = 1_000;

/// What is only needed while the ledger is played.
#[derive(Default)]
struct Tape {
    /// The payload that was accepted last: items that are held stand right behind it.
    accepted: [u8; 32],
    /// Where each case stood by the last record about it.
    told: BTreeMap<Key, String>,
    /// Digests of the latest policies by serial.
    policies: BTreeMap<u32, String>,
}

impl Docket {
    /// Plays the ledger; the error says what is wrong with it, and where.
    pub(super) fn replay(&mut self, now: Timestamp) -> Result<(), String> {
        let Some(ledger) = self.book.ledger() else { return Ok(()) };
        let (mut head, mut records) = (Head::origin(), Vec::new());
        for stored in ledger.records(1) {
            let stored = stored.map_err(|error| error.to_string())?;
            head = head.next(&stored.octets);
            if head != stored.head {
                return Err(format!("record {} does not fit those before it", stored.head.sequence));
            }
            match stored.record() {
                Ok(record) => records.push(record),
                Err(RecordError::Unknown(word)) => tracing::warn!(word, "a record of a later release is passed over"),
                Err(error) => return Err(format!("record {}: {error}", head.sequence)),
            }
        }
        self.replaying = true;
        let mut tape = Tape::default();
        let played = records.into_iter().try_for_each(|record| self.play(record, &mut tape));
        self.replaying = false;
        played?;
        self.catch_up(&tape, now);
        Ok(())
    }

    /// Records what a crash kept from being recorded, and lets the time since then pass.
    fn catch_up(&mut self, tape: &Tape, now: Timestamp) {
        let stands = |phase: Phase| phase.as_str().to_owned();
        let missing: Vec<_> = self
            .life
            .cases()
            .filter(|(key, case)| tape.told.get(*key) != Some(&stands(case.phase())))
            .map(|(key, case)| (key.clone(), stands(case.phase())))
            .collect();
        for (key, to) in missing {
            self.forgotten(&key);
            let from = tape.told.get(&key).cloned().unwrap_or_else(|| "received".to_owned());
            let (authority, notice) = key;
            self.book.later(Event::Transition { authority, notice, from, to, cause: None });
        }
        self.advance(now);
        self.moved = self.life.cases().map(|(key, _)| key.clone()).collect();
        // nothing good was seen of them: if there is nothing to ask either, their receipts at least are due
        let unseen: Vec<_> = self.moved.iter().filter(|key| !self.is_seen(key)).cloned().collect();
        for key in unseen {
            let is_in_force = self.life.case(&key).is_some_and(|case| case.phase() == Phase::InForce);
            if is_in_force || self.seen.contains_key(&key) {
                self.forgotten(&key);
            }
            self.to_ask.insert(key);
        }
        self.begun = self.lifts.keys().cloned().collect(); // a crash may have kept receipts from saying so
        self.news = true;
    }

    fn opened(&self, name: &Secretable) -> Option<DnsName> {
        DnsName::from_text(&name.open_if(self.key.as_ref())?).ok()
    }

    /// A case changed, and a crash kept that from being told: what it lists no more is asked for once more.
    fn forgotten(&mut self, key: &Key) {
        let Some(case) = self.life.case(key) else { return };
        let (is_wanted, content) = (self.wanted(key).is_some(), &case.content);
        let listed = Shown { payload: content.payload, left_out: content.quarantined.clone() };
        let is_gone = |item: &Item| !is_wanted || case.revoked_items.contains(&item.id);
        let gone = self.items(&listed).into_iter().filter(is_gone).collect();
        self.lifted.insert(key.clone(), gone);
    }

    fn play(&mut self, Record { sequence, at, event }: Record, tape: &mut Tape) -> Result<(), String> {
        self.advance(at); // before it: what was seen later is not about what was said before
        match event {
            Event::Accepted { payload, signers, received_at, quarantined, notice, test, .. } => {
                let octets = self.book.payload(&payload).map_err(|error| error.to_string())?;
                let octets = octets.ok_or_else(|| format!("record {sequence}: notice {notice} is missing"))?;
                let order = judge::order_in(&octets);
                let order = order.ok_or_else(|| format!("record {sequence}: notice {notice} cannot be read"))?;
                let quarantined = quarantined.into_iter().map(|item| ItemId::from(item.item)).collect();
                let filed = Filed { signers, test, ..filed(&order, payload, sequence, received_at) };
                tape.accepted = order.digest;
                self.file(&order, filed, quarantined, at);
            }
            Event::ListRead { source, .. } => self.holds.forget_list(&source),
            Event::Refused { payload, .. } => {
                self.refused.insert(payload);
            }
            Event::Transition { authority, notice, to, cause, .. } => {
                if cause.as_deref() == Some(LIFT_ENDED) {
                    self.had_a_break(&(authority.clone(), notice.clone()));
                }
                tape.told.insert((authority, notice), to);
            }
            Event::Published { serial, digest, .. } => {
                tape.policies.insert(serial, digest.to_string());
                while tape.policies.len() > POLICIES {
                    tape.policies.pop_first();
                }
            }
            Event::Enforced { authority, notice, serial, asked, at } => {
                let seen = tape.seen(at, serial, asked, true, None);
                self.saw((authority, notice), seen);
            }
            Event::EnforceFailed { authority, notice, serial, code } => {
                let seen = tape.seen(at, serial, 0, true, Some(code));
                self.saw((authority, notice), seen);
            }
            Event::LiftSeen { authority, notice, serial } => {
                let seen = self.seen.entry((authority, notice));
                let seen = seen.or_insert_with(|| tape.seen(at, serial, 0, false, None));
                (seen.lifted_at, seen.serial) = (Some(at), serial);
            }
            Event::Held { what: What::Item, authority: Some(authority), notice: Some(notice), item, code, .. } => {
                let what = Waits::Item((authority, notice), item.unwrap_or_default().into(), tape.accepted);
                self.holds.insert(sequence, Held { what, code, since: at, proposed_by: None });
            }
            Event::Held {
                what: What::List,
                authority: Some(authority),
                notice: Some(notice),
                source: Some(source),
                before: Some(before),
                after: Some(after),
                digest,
                code,
                ..
            } => {
                self.holds.forget_list(&source);
                let version = ListVersion { source, digest, before, after };
                let what = Waits::List((authority, notice), version);
                self.holds.insert(sequence, Held { what, code, since: at, proposed_by: None });
            }
            Event::Operator { action, person, held, name, .. } => match (action, held, name) {
                (Action::Lift, _, Some(name)) => {
                    let secret = matches!(name, Secretable::Sealed { .. });
                    self.lifts.extend(self.opened(&name).map(|name| (name, Lift { secret, record: sequence, at })));
                }
                (Action::Restore, _, Some(name)) => {
                    self.opened(&name).into_iter().for_each(|name| self.restored(name));
                }
                (Action::Propose, Some(id), _) => self.holds.propose(id, &person),
                (Action::Approve, Some(id), _) => {
                    self.approved(id);
                }
                _ => {}
            },
            Event::LiftEnded { name, .. } => {
                self.opened(&name).iter().for_each(|name| self.was_told(name));
            }
            Event::Held { .. }
            | Event::Started { .. }
            | Event::Stopped {}
            | Event::SourceFailed { .. }
            | Event::ClockHeld { .. }
            | Event::ClockSane {}
            | Event::Problem { .. } => {}
        }
        self.last_record = Some(at);
        Ok(())
    }
}

impl Tape {
    fn seen(&self, at: Timestamp, serial: u32, asked: u64, blocked: bool, failed: Option<String>) -> Seen {
        let policy = self.policies.get(&serial).cloned().unwrap_or_default();
        Seen { at, serial, policy, asked, blocked, lifted_at: None, failed }
    }
}
