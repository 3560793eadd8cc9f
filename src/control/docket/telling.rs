//! What receipts say, and which are due.

use std::path::Path;

use jiff::Timestamp;

use super::super::life::{Case, Key, Phase};
use super::holds::case_of;
use super::judge::Refused;
use super::lifts::Lifted;
use super::{Docket, Filed, Seen, Signed, receipt};
use crate::ledger::Digest;
use crate::model::receipt::{ItemState, LedgerRef, NoticeState, PolicyRef};
use crate::model::{Act, Item, ItemId, Order, Receipt, Restriction};

/// Files of which it is remembered that their receipt cannot be written.
const MOST_SAID: usize = 1_000;

impl Docket {
    /// Writes what became of an order beside each file that has it; what cannot be written is tried again.
    pub(super) fn write_receipt(&mut self, payload: &[u8; 32], now: Timestamp) {
        let Some(filed) = self.orders.get(payload).filter(|filed| !filed.files.is_empty()) else { return };
        let Some(order) = self.order(payload) else { return };
        let (receipt, files) = (self.receipt(&order, filed, now), filed.files.clone());
        let unwritten = files.iter().filter(|file| !self.deliver(&receipt, file)).count(); // each is tried
        if unwritten > 0 {
            self.unwritable.insert(*payload);
        }
    }

    /// Writes a receipt beside a file. That it cannot be written is said once a file.
    fn deliver(&mut self, receipt: &Receipt, file: &Path) -> bool {
        let Err(error) = receipt::write(receipt, file, &self.node) else {
            self.undeliverable.remove(file);
            return true;
        };
        self.metrics.policy.receipt_failures.inc();
        if self.undeliverable.len() < MOST_SAID && self.undeliverable.insert(file.to_owned()) {
            tracing::error!(
                file = %file.display(), %error, receipt = %receipt::place(file).display(),
                "the receipt cannot be written; what was ordered is in force all the same (hint: the server needs the right to \
                 write beside notices; under systemd, ReadWritePaths= of the directory)"
            );
        }
        false
    }

    /// Whether the receipt beside a file says where its order stands: a process may have ended between the record of it and
    /// the receipt.
    pub(super) fn is_told(&self, payload: &[u8; 32], file: &Path, now: Timestamp) -> bool {
        let Some(told) = receipt::shown(file) else { return false };
        let (Some(order), Some(filed)) = (self.order(payload), self.orders.get(payload)) else { return true };
        let now = self.receipt(&order, filed, now);
        let state = |items: &[ItemState]| items.iter().map(|item| item.state.clone()).collect::<Vec<_>>();
        told.payload == now.payload && told.state == now.state && state(&told.items) == state(&now.items)
    }

    /// Writes a refusal beside its file.
    pub(super) fn write_refusal(&mut self, signed: &Signed, why: &Refused, record: Option<u64>, now: Timestamp) {
        let receipt = self.refusal_receipt(signed, why, record, now);
        self.deliver(&receipt, &signed.file);
    }

    pub(super) fn refusal_receipt(
        &self,
        signed: &Signed,
        why: &Refused,
        record: Option<u64>,
        now: Timestamp,
    ) -> Receipt {
        let mut receipt = Receipt::new(self.thumbprint(), "refused", signed.received_at, now);
        receipt.authority = why.by.as_ref().map(ToString::to_string);
        receipt.notice = why.id.as_ref().map(|(id, _)| id.to_string());
        receipt.sequence = why.id.as_ref().map(|(_, number)| *number);
        (receipt.code, receipt.reason) = (Some(why.code.to_owned()), Some(why.reason.clone()));
        receipt.ledger = why.by.as_ref().map(|_| self.ledger_ref(record));
        receipt
    }

    /// What tells this node's receipts from others'.
    fn thumbprint(&self) -> String {
        self.node.public().thumbprint().to_string()
    }

    pub(super) fn ledger_ref(&self, sequence: Option<u64>) -> LedgerRef {
        let head = self.book.head();
        LedgerRef { sequence, head: head.sequence, hash: head.hash.to_string() }
    }

    pub(super) fn receipt(&self, order: &Order, filed: &Filed, now: Timestamp) -> Receipt {
        let mut receipt = Receipt::new(self.thumbprint(), "accepted", filed.received_at, now);
        receipt.authority = Some(order.authority.to_string());
        receipt.notice = Some(order.id.to_string());
        receipt.kind = Some(order.act.kind().into());
        receipt.sequence = Some(filed.number);
        receipt.payload = Some(Digest::new(order.digest).to_string());
        receipt.validated_at = Some(filed.received_at);
        receipt.effective_at = Some(order.effective_at);
        receipt.signers.clone_from(&filed.signers);
        receipt.test = filed.test;
        receipt.ledger = Some(self.ledger_ref(Some(filed.record)));
        match order.act.restriction() {
            Some(restriction) => self.restriction_state(order, restriction, &mut receipt),
            None => self.later_state(order, &mut receipt),
        }
        receipt
    }

    pub(super) fn restriction_state(&self, order: &Order, restriction: &Restriction, receipt: &mut Receipt) {
        let key = case_of(order);
        let Some(case) = self.life.case(&key) else { return };
        let says = case.content.payload == order.digest;
        let lifted = if says { self.lifted_of(&key, case, restriction) } else { Lifted::None };
        let seen = self.seen.get(&key).filter(|_| says && lifted != Lifted::All);
        receipt.deadline_at = restriction.notice.deadline_at;
        let (as_word, enforced) = match (says, case.phase(), seen) {
            (false, ..) if order.effective_at > receipt.written_at => ("scheduled", false),
            (false, phase, _) if case.was_too_late(&order.digest) => (phase.as_str(), false),
            (false, ..) => ("amended", false),
            (true, Phase::InForce, _) if self.tests.contains(&key) => ("tested", false),
            (true, Phase::InForce, _) if lifted == Lifted::All => ("lifted", false),
            (true, Phase::InForce, Some(Seen { blocked: true, failed: None, .. })) => ("enforced", true),
            (true, Phase::InForce, _) => ("published", false),
            (true, phase, _) => (phase.as_str(), false),
        };
        receipt.state = as_word.into();
        receipt.code = lifted.code().map(str::to_owned);
        if let Some(seen) = seen {
            receipt.policy = Some(PolicyRef { serial: seen.serial, digest: seen.policy.clone() });
            receipt.asked = Some(seen.asked);
            receipt.code = seen.failed.clone().or_else(|| receipt.code.take());
            if enforced {
                // asked again for another reason, it is no later; after a rest it is, but not late for that
                let blocked = self.blocked.get(&order.digest);
                receipt.enforced_at = blocked.and_then(|blocked| blocked.since);
                let deadline = blocked.zip(receipt.deadline_at);
                receipt.in_time = deadline.map(|(blocked, deadline)| blocked.first <= deadline);
            }
            receipt.lifted_at = seen.lifted_at.filter(|_| !enforced);
        }
        receipt.items =
            restriction.items.iter().map(|item| self.item_state(&key, item, as_word, says.then_some(case))).collect();
    }

    /// `says` is the case, if the order is what it says now.
    fn item_state(&self, key: &Key, item: &Item, whole: &'static str, says: Option<&Case>) -> ItemState {
        let target = match &item.target {
            Ok(target) => target,
            Err(code) => return ItemState { code: Some((*code).to_owned()), ..ItemState::new(&item.id, "refused") },
        };
        let Some(case) = says else { return ItemState::new(&item.id, whole) };
        if case.content.quarantined.contains(&item.id) {
            let (held, code) = self.holds.of_item(key, &item.id, &case.content.payload).unzip();
            return ItemState { held, code, ..ItemState::new(&item.id, "quarantined") };
        }
        if case.revoked_items.contains(&item.id) {
            return ItemState::new(&item.id, "revoked");
        }
        let lift = self.lift_of(target).filter(|_| self.restricts(key, case));
        let lifted = lift.map_or(Lifted::None, |(lifted, _)| lifted);
        let state = if lifted == Lifted::All { "lifted" } else { whole };
        let code = lifted.code().map(str::to_owned);
        ItemState { code, since: lift.map(|(_, since)| since), ..ItemState::new(&item.id, state) }
    }

    pub(super) fn later_state(&self, order: &Order, receipt: &mut Receipt) {
        let mut done = order.effective_at <= receipt.written_at;
        for id in order.act.about() {
            let key = (order.authority.clone(), id.clone());
            let Some(case) = self.life.case(&key) else { continue };
            done &= !self.to_ask.contains(&key) && !self.asked.contains_key(&key);
            receipt.notices.push(NoticeState { notice: id.to_string(), state: case.phase().as_str().into() });
            if let Some(seen) = self.seen.get(&key) {
                done &= seen.failed.is_none();
                receipt.lifted_at = receipt.lifted_at.max(seen.lifted_at);
                receipt.policy = Some(PolicyRef { serial: seen.serial, digest: seen.policy.clone() });
            }
        }
        receipt.state = match (order.effective_at > receipt.written_at, done) {
            (true, _) => "scheduled",
            (false, true) => "carried-out",
            (false, false) => "published",
        }
        .into();
        if let Act::Revoke { notices, items } = &order.act {
            let known = notices.first().and_then(|id| self.life.case(&(order.authority.clone(), id.clone())));
            let known = known.and_then(|case| self.restriction(&case.content.payload));
            let has = |item: &ItemId| known.as_ref().is_some_and(|known| known.items.iter().any(|it| it.id == *item));
            receipt.items = items
                .iter()
                .map(|item| match has(item) {
                    true => ItemState::new(item, "revoked"),
                    false => ItemState { code: Some("unknown-item".to_owned()), ..ItemState::new(item, "refused") },
                })
                .collect();
        }
    }
}
