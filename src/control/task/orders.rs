//! Signed notices and people: what the docket says goes into the state, and what the node is to ask itself goes to the asker.

use std::path::PathBuf;
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::super::asker::{Asker, Job};
use super::super::command::{OperatorReply, OperatorRequest};
use super::super::desk::{PUSHED, Push, Pushed, Refusal, Rehearsal};
use super::super::docket::{Decided, Docket, Effect, Signed, Way};
use super::super::explain::hex;
use super::super::{SIGNED, docket};
use super::{Changes, Command, Judges, RETAKE, RETAKES, Task};
use crate::ledger::{Digest, Event, Ledger, LedgerError};
use crate::model::{DnsName, Order, Scope, Sensitivity};
use crate::policy::verdict::Consider;

impl Task {
    /// Drops stored notices that the ledger says nothing of, or not any more.
    pub(super) fn reconcile(&mut self) {
        if self.docket.is_read_only() {
            return; // what is stored is all there is
        }
        let wanted = self.docket.wanted_places();
        for key in self.state.keys_of(SIGNED) {
            let place = (SIGNED.to_owned(), key);
            if !wanted.contains(&place) {
                self.state.remove(&place);
            }
        }
    }

    /// The first policy is in force.
    pub(super) fn started(&mut self) {
        let policy = Some(Digest::new(self.publisher.current().digest));
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let now = self.now();
        self.docket.record(Event::Started { program: "pagar".to_owned(), version, policy }, now);
    }

    /// Takes signed files in, lets time pass for signed notices, and puts what they say now into the state.
    pub(super) fn turn(&mut self, changes: &mut Changes) {
        let now = self.now();
        let signed = std::mem::take(&mut changes.signed);
        let mut effects = self.docket.pass(now);
        let retry = self.docket.is_waiting() && self.docket.may_retry(Instant::now());
        if !signed.is_empty() || retry {
            let Self { state, bench, docket, .. } = self;
            let is_taken = |order: &Order| state.is_taken(order);
            let taken = docket.take(signed, &bench.bench(&is_taken), now);
            effects.extend(taken.effects);
            for (source, file) in taken.settled {
                let key = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                self.sources.changed(&source, &[key]);
            }
            for (source, problem) in taken.problems {
                match source.starts_with(PUSHED) {
                    true => tracing::warn!(source, "{problem}"), // its sender is told
                    false => self.sources.add_problem(&source, problem),
                }
            }
            self.show_sources();
            for (ticket, answer) in taken.answers {
                if let Some(who) = self.tickets.remove(&ticket) {
                    let _ = who.send(self.docket.answer(answer, now)); // nobody waits any more
                }
            }
        }
        self.apply(effects, changes);
        changes.other |= self.docket.lifts_changed();
    }

    pub(super) fn apply(&mut self, effects: Vec<Effect>, changes: &mut Changes) {
        let mut documents = Vec::new();
        changes.other |= !effects.is_empty();
        for (place, document) in docket::last_of_each(effects) {
            match document {
                Some(document) => documents.push((place, document)),
                None => self.state.remove(&place),
            }
        }
        for ((_, key), problem) in self.state.put(documents) {
            // it was judged before it was recorded: a configuration that has changed is what is left
            tracing::error!(notice = key, "{problem}");
            self.metrics.policy.refused_items.with_label_values(&[problem.code]).inc();
        }
    }

    /// An order that somebody hands in: it goes the way of those that come as files, with the next turn.
    pub(super) fn push(&mut self, push: Push, answer: oneshot::Sender<Pushed>, changes: &mut Changes) {
        self.pushes += 1;
        self.tickets.retain(|_, who| !who.is_closed());
        self.tickets.insert(self.pushes, answer);
        changes.signed.push(self.handed_in(push));
    }

    /// What an order would change. Nothing is recorded.
    pub(super) fn rehearse(&self, push: Push) -> Result<Rehearsal, Box<Refusal>> {
        let signed = self.handed_in(push);
        let Self { state, bench, docket, .. } = self;
        let is_taken = |order: &Order| state.is_taken(order);
        docket.rehearse(&signed, &bench.bench(&is_taken), &self.publisher.current(), self.time)
    }

    fn handed_in(&self, Push { octets, client, only, .. }: Push) -> Signed {
        let source = format!("{PUSHED}{client}");
        let file = PathBuf::from(format!("{source}/{}", self.pushes));
        let way = Way::Push(self.pushes, only);
        Signed { source, file, way, octets, received_at: Timestamp::now(), again: false }
    }

    /// Lets time pass for the policy.
    pub(super) fn mind_the_time(&mut self) {
        let now = self.now();
        let published = self.publisher.mind_the_time(self.state.register(), now);
        published.into_iter().for_each(|event| self.docket.later(event));
    }

    /// The node answers queries: it asks itself about all that is in force and was not asked for.
    pub(super) fn answering(&mut self) {
        let Some(asking) = self.asking.clone() else { return };
        let commands = self.commands.clone();
        let deliver = move |answer| {
            let _ = commands.send(Command::Asked(answer)); // the task is gone: so are we, soon
        };
        match Asker::start(asking, self.metrics.selftest.clone(), deliver) {
            Ok(asker) => self.asker = Some(asker),
            Err(error) => tracing::error!(%error, "the node cannot ask itself: no notice will be called enforced"),
        }
    }

    /// Asks about what has changed, and again about what was not answered as it should.
    pub(super) fn ask(&mut self) {
        let due = self.next_ask.is_none_or(|next| next <= Instant::now() || self.docket.has_news());
        if let Some(asker) = self.asker.as_ref().filter(|_| due && self.docket.has_questions()) {
            let policy = self.publisher.current();
            let queries = self.docket.queries(&policy);
            let kinds = self.bench.authorities.iter().map(|authority| (authority.id.clone(), authority.kind)).collect();
            if !queries.is_empty() {
                self.asked += 1;
                asker.ask(Job { queries, serial: policy.serial, digest: hex(&policy.digest), kinds });
            }
        }
        if self.asked == 0 {
            let now = self.now();
            self.docket.finish(now); // otherwise with the answers, in one append
        }
    }

    /// Carries out what a person asks.
    pub(super) fn operate(&mut self, request: OperatorRequest, changes: &mut Changes) -> OperatorReply {
        let policy = self.publisher.current();
        let listed = |name: &DnsName| {
            let verdict = policy.decide(name.as_wire(), Consider::All)?;
            // the notice that answers may be public and outrank a secret one
            let mut reaching = policy
                .listings(name.as_wire())
                .filter(|(_, scope, target)| *scope == Scope::Subtree || *target == name.as_wire());
            let is_secret = reaching.any(|(notice, ..)| notice.sensitivity == Sensitivity::Secret);
            Some(if is_secret { Sensitivity::Secret } else { verdict.entry.notice.sensitivity })
        };
        let (reply, Decided { lifts, list }) = self.docket.ask_for(request, listed, self.time);
        changes.other |= lifts;
        if let Some(version) = list
            && let Some((_, document)) = self.held.remove(&version.source).filter(|(held, _)| *held == version)
        {
            let at = Timestamp::now();
            let refused = self.state.put(vec![((version.source.clone(), String::new()), document)]);
            for (_, problem) in refused {
                self.sources.add_problem(&version.source, problem);
            }
            self.sources.changed(&version.source, &[String::new()]);
            changes.put.push(at);
        }
        reply
    }

    /// Opens the ledger again after it was lent.
    pub(super) fn take_back(&mut self) {
        let Judges { state, key, .. } = &self.bench;
        let mut ledger = Ledger::open(state, key.clone());
        for _ in 0..RETAKES {
            if !matches!(ledger, Err(LedgerError::InUse(_))) {
                break;
            }
            std::thread::sleep(RETAKE); // the other process is about to end
            ledger = Ledger::open(state, key.clone());
        }
        match Docket::open(ledger, state, key.clone(), self.metrics.clone(), self.time) {
            Ok(mut docket) => {
                // the other process may have recorded something before it gave up
                docket.inherit(&mut self.docket);
                self.docket = docket;
                self.reconcile();
            }
            Err(error) => tracing::error!(%error, "the ledger cannot be taken back; nothing signed is taken in"),
        }
    }
}
