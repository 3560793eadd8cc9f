//! Files on their way in: which wait, which are taken, and what is recorded of each before it has an effect.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;

use super::super::life::Key;
use super::judge::{Bench, Good, Judged, Refused};
use super::{
    Answer, Docket, Effect, Filed, KEPT, Signed, Taken, Waits, Way, accepted, filed, holds, judge, quarantine_problem,
    receipt,
};
use crate::ingest::{Problem, Severity};
use crate::ledger::{Digest, Event, Payload};
use crate::model::{Act, ItemId, Order};

impl Docket {
    /// Takes what may be taken of these files and of those that wait, all in one append.
    pub(in crate::control) fn take(&mut self, files: Vec<Signed>, bench: &Bench<'_>, now: Timestamp) -> Taken {
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
        self.advance(now);
        let (mut good, mut sent, mut refused) = (Vec::<Good>::new(), Vec::new(), Vec::new());
        let (mut payloads, mut twins) = (BTreeSet::new(), Vec::new());
        for signed in files {
            if let Some(payload) = self.envelopes.get(&judge::digest(&signed.octets)).copied() {
                match self.foreign(&signed, self.orders.get(&payload).map(|filed| &filed.key.0)) {
                    Some(why) => refused.push((signed, why)),
                    None => self.known(&payload, signed, &mut taken, now), // keys may have come and gone since it was taken
                }
                continue;
            }
            let judged = self.unmixed(judge::judge(&signed.octets, &signed.file, bench, &self.life, &good, now));
            if let Some(why) = self.foreign(&signed, judged.by()) {
                refused.push((signed, why));
                continue;
            }
            match judged {
                Judged::Good(one) if !payloads.insert(one.order.digest) => {
                    twins.push((one.order, signed)); // the same payload in another file
                }
                Judged::Good(one) => {
                    good.push(*one);
                    sent.push(signed);
                }
                Judged::Known(order) => self.known(&order.digest, signed, &mut taken, now),
                Judged::Refused(why) => refused.push((signed, *why)),
            }
        }
        self.take_good(good, sent, &mut taken, now);
        for (order, signed) in twins {
            match self.orders.contains_key(&order.digest) {
                true => self.known(&order.digest, signed, &mut taken, now),
                false if matches!(signed.way, Way::File | Way::Feed) => self.keep(signed, Waits::Ledger), // its twin waits, and that was said
                false => self.wait(signed, "ledger", "the ledger cannot be written", &mut taken),
            }
        }
        refused.into_iter().for_each(|(signed, why)| self.refuse(signed, why, bench, &mut taken, now));
        let touched = std::mem::take(&mut self.moved);
        taken.effects.extend(touched.iter().filter_map(|key| self.sync(key)));
        taken
    }

    /// Lets time pass.
    pub(in crate::control) fn pass(&mut self, now: Timestamp) -> Vec<Effect> {
        if self.read_only {
            return Vec::new(); // what is stored is all there is
        }
        self.advance(now);
        let touched = std::mem::take(&mut self.moved);
        touched.iter().filter_map(|key| self.sync(key)).collect()
    }

    /// Records the good ones; without that, they wait.
    pub(super) fn take_good(&mut self, good: Vec<Good>, sent: Vec<Signed>, taken: &mut Taken, now: Timestamp) {
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
                self.metrics.policy.quarantined.with_label_values(&[why.code()]).inc_by(u64::from(!good.test));
                taken.problems.push((signed.source.clone(), quarantine_problem(&good.order, item, *why, &signed.file)));
            }
            taken.problems.extend(good.problems.iter().map(|problem| (signed.source.clone(), problem.clone())));
            if good.quarantined.is_empty() && good.problems.is_empty() {
                taken.settled.push((signed.source.clone(), signed.file.clone()));
            }
            let id = &good.order.id;
            tracing::info!(source = signed.source, notice = %id, authority = %good.order.authority, record, "accepted");
            self.holds.accept(&good, record, now);
            let mut filed = filed(&good.order, envelope, record, signed.received_at);
            filed.signers.clone_from(&good.signers);
            filed.test = good.test;
            match signed.way {
                Way::File => {
                    filed.files.insert(signed.file.clone());
                    self.moves_in(&signed.file, Some(good.order.digest));
                }
                Way::Feed => {}
                Way::Push(ticket, _) => taken.answers.push((ticket, Answer::taken(good.order.digest, true))),
            }
            self.file(&good.order, filed, good.quarantined.into_iter().map(|(item, _)| item).collect(), now);
        }
        self.show_gaps();
        self.again = true; // an order about one of these may wait
    }

    /// Takes an order that is recorded.
    pub(super) fn file(&mut self, order: &Order, filed: Filed, quarantined: BTreeSet<ItemId>, now: Timestamp) {
        let keys: Vec<Key> = match order.act {
            Act::Restrict(_) => vec![filed.key.clone()],
            _ => filed.about.iter().map(|id| (order.authority.clone(), id.clone())).collect(),
        };
        if filed.test && order.act.about().is_empty() {
            self.tests.insert(filed.key.clone());
        }
        for key in keys {
            self.about.entry(key.clone()).or_default().push(order.digest);
            if !self.replaying {
                self.unwritten.insert(key); // what takes effect later has nothing to be asked for yet
            }
        }
        if order.effective_at > now {
            self.to_bind.insert((order.effective_at, order.digest));
        }
        self.envelopes.insert(filed.envelope, order.digest);
        self.orders.insert(order.digest, filed);
        let steps = self.life.take(order, quarantined, now);
        self.note(&steps);
    }

    /// The same payload again: it is answered as before.
    pub(super) fn known(&mut self, payload: &[u8; 32], signed: Signed, taken: &mut Taken, now: Timestamp) {
        if let Way::Push(ticket, _) = signed.way {
            return taken.answers.push((ticket, Answer::taken(*payload, false)));
        }
        if signed.way == Way::File {
            self.moves_in(&signed.file, Some(*payload));
            let Some(filed) = self.orders.get_mut(payload) else { return };
            filed.files.insert(signed.file.clone());
            if !self.is_told(payload, &signed.file, now) {
                self.undelivered.insert(*payload);
            }
        }
        taken.settled.push((signed.source, signed.file));
    }

    /// A file has this order now, or none that was taken; the one it had before has it no more.
    pub(super) fn moves_in(&mut self, file: &Path, payload: Option<[u8; 32]>) {
        let before = match payload {
            Some(payload) => self.files.insert(file.to_owned(), payload),
            None => self.files.remove(file),
        };
        if let Some(filed) = before.filter(|_| before != payload).and_then(|before| self.orders.get_mut(&before)) {
            filed.files.remove(file);
        }
    }

    pub(super) fn refuse(
        &mut self,
        signed: Signed,
        why: Refused,
        bench: &Bench<'_>,
        taken: &mut Taken,
        now: Timestamp,
    ) {
        let envelope = judge::digest(&signed.octets);
        if taken.stuck && why.by.is_some() && !self.refused.contains(&envelope) {
            return self.wait(signed, "ledger", "the ledger cannot be written", taken);
        }
        let is_new = self.is_new_refusal(&signed, &why, envelope);
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
                        taken.stuck = true;
                        self.refused.remove(&envelope);
                        self.refusals.remove(&(judge::content(&signed.octets), why.code));
                        return self.wait(signed, "ledger", &error, taken);
                    }
                }
            }
            _ => {}
        }
        if let Way::Push(ticket, _) = signed.way {
            let answer = self.refusal(&signed, why, record, now);
            return taken.answers.push((ticket, Answer::Refused(Box::new(answer))));
        }
        if signed.way == Way::File {
            self.moves_in(&signed.file, None);
            if is_new || !receipt::is_refusal(&signed.file) {
                self.write_refusal(&signed, &why, record, now);
            }
        }
        let (source, file, again) = (signed.source.clone(), signed.file.clone(), signed.again);
        if why.later {
            self.keep(signed, if why.by.is_some() { Waits::Authentic } else { Waits::Unknown });
        }
        if !again {
            taken.problems.extend(why.into_problems(&file).into_iter().map(|problem| (source.clone(), problem)));
        }
    }

    /// Whether this refusal is to be counted or recorded. What is handed in can be put into ever other envelopes without
    /// a signature breaking: of known senders one refusal of the same content is recorded, and of what nobody is known to
    /// have sent nothing is remembered, or whoever may push could fill the disk and the memory with an old order.
    fn is_new_refusal(&mut self, signed: &Signed, why: &Refused, envelope: Digest) -> bool {
        let is_pushed = matches!(signed.way, Way::Push(..));
        if why.by.is_none() {
            return is_pushed || self.refused.insert(envelope);
        }
        let is_first = self.refusals.insert((judge::content(&signed.octets), why.code));
        (is_first || !is_pushed) && self.refused.insert(envelope)
    }

    /// Lets a file wait for the ledger, and says so.
    pub(super) fn wait(&mut self, signed: Signed, code: &'static str, why: &str, taken: &mut Taken) {
        if let Way::Push(ticket, _) = signed.way {
            return taken.answers.push((ticket, Answer::Unavailable(why.to_owned()))); // whoever waits tries again
        }
        let (file, message) = (signed.file.clone(), format!("the notice waits: {why}"));
        let severity = Severity::Error;
        let problem = Problem { severity, file, line: None, column: None, message, hint: None, code };
        if !signed.again {
            taken.problems.push((signed.source.clone(), problem));
        }
        self.keep(signed, Waits::Ledger);
    }

    /// Keeps a file. What nobody is known to have sent takes no room from what authorities have.
    pub(super) fn keep(&mut self, mut signed: Signed, what: Waits) {
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
    pub(super) fn released(&mut self, others: bool, now: Timestamp) -> Vec<Signed> {
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
    pub(in crate::control) fn judge_again(&mut self) {
        self.again = true;
    }
}
