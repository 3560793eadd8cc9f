//! [`Node`]: what the control plane's task does around a docket, without its threads: files come, time passes, the policy
//! is compiled, the node asks itself. It answers its questions from the policy, as the workers do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use tempfile::TempDir;

use super::super::*;
use crate::control::command::{OperatorReply, OperatorRequest};
use crate::control::desk::{Refusal, Rehearsal};
use crate::control::explain::hex;
use crate::control::state::State;
use crate::model::{Authority, AuthorityId, AuthorityKind};
use crate::policy::lifts::Lifts;
use crate::policy::verdict::Consider;
use crate::policy::{Page, Pages, Slots, Snapshot};
use crate::verify::guard::Guard;
use crate::verify::jose::{Alg, jws};
use crate::verify::keyring::Keyring;

/// Who may order; each has a key.
pub(super) const AUTHORITIES: [(&str, AuthorityKind); 3] =
    [("mcmc", AuthorityKind::Statutory), ("court", AuthorityKind::Statutory), ("isp", AuthorityKind::Operator)];

/// See the module's header.
pub(super) struct Node {
    directory: TempDir,
    docket: Option<Docket>,
    state: State,
    keys: BTreeMap<&'static str, PrivateKey>,
    keyring: Keyring,
    authorities: Vec<Authority>,
    guard: Guard,
    /// The time by its clock.
    pub(super) now: Timestamp,
    /// Signed files in the directory of notices.
    files: BTreeMap<String, Vec<u8>>,
    /// Whether the listening sockets answer what it asks itself.
    pub(super) answers: bool,
    /// Whether what was published is asked for; otherwise that waits for the next turn.
    pub(super) asks: bool,
    serial: u32,
}

fn pages() -> Pages {
    Pages { default: Page::default(), rules: Vec::new(), ttl: 30 }
}

impl Node {
    pub(super) fn new(now: Timestamp) -> Self {
        let authority = |(id, kind): (&str, AuthorityKind)| Authority {
            id: AuthorityId::new(id),
            kind,
            name: id.into(),
            keys: Vec::new(),
            required_signatures: 1,
            categories: None,
            test: false,
        };
        let authorities: Vec<_> = AUTHORITIES.into_iter().map(authority).collect();
        let (mut keyring, mut keys) = (Keyring::new(&authorities), BTreeMap::new());
        for (id, _) in AUTHORITIES {
            let key = PrivateKey::generate(Some(id), Alg::EdDsa, Default::default()).unwrap();
            keyring.add(&AuthorityId::new(id), id, &key.public().to_jwk().to_string()).unwrap();
            keys.insert(id, key);
        }
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("notices")).unwrap();
        let mut node = Self {
            directory,
            docket: None,
            state: State::default(),
            keys,
            keyring,
            authorities,
            guard: Guard::new([]),
            now,
            files: BTreeMap::new(),
            answers: true,
            asks: true,
            serial: 0,
        };
        node.start();
        node
    }

    /// Starts: the ledger is played, the policy compiled, the directory read.
    pub(super) fn start(&mut self) {
        let key = || seal::Key::from_text(&"0f".repeat(32));
        let metrics = Arc::new(Metrics::new("0", "0").unwrap());
        let ledger = Ledger::open(&self.directory.path().join("state"), key());
        let state = self.directory.path().join("state");
        let docket = Docket::open(ledger, &state, key(), metrics, self.now).unwrap();
        assert!(!docket.is_read_only(), "{}", docket.trouble());
        self.docket = Some(docket);
        self.state = State::default();
        self.configure();
        let files = self.files.keys().cloned().collect();
        self.turn(files);
    }

    /// Ends without a word, as in a crash.
    pub(super) fn stop(&mut self) {
        self.docket = None;
    }

    pub(super) fn reopen(&mut self) {
        self.stop();
        self.start();
    }

    pub(super) fn is_running(&self) -> bool {
        self.docket.is_some()
    }

    /// An authority rehearses from now on, or does not any more; the configuration is read again.
    pub(super) fn rehearses(&mut self, authority: &str, test: bool) {
        for known in &mut self.authorities {
            known.test = if known.id.as_str() == authority { test } else { known.test };
        }
        self.configure();
    }

    /// Takes the configuration over, at the start or when it is read again.
    pub(super) fn configure(&mut self) {
        let refused = self.state.configure(self.authorities.clone(), BTreeMap::from([("dir".to_owned(), 1)]));
        assert!(refused.is_empty(), "{refused:?}");
    }

    pub(super) fn docket(&mut self) -> &mut Docket {
        self.docket.as_mut().expect("the node is down")
    }

    /// A payload, signed by its authority, in a file of this name; it is seen with the next turn.
    pub(super) fn sign(&mut self, authority: &str, file: &str, notice: &Value) {
        let octets = jws::sign(notice.to_string().as_bytes(), &[&self.keys[authority]]).into_bytes();
        self.files.insert(file.to_owned(), octets);
    }

    /// What was sent as one file, in another one.
    pub(super) fn copy(&mut self, from: &str, to: &str) {
        self.files.insert(to.to_owned(), self.files[from].clone());
    }

    /// One turn of the control plane, in which it sees these files.
    pub(super) fn turn(&mut self, files: Vec<String>) {
        let now = self.now;
        let signed = |file: String| Signed {
            source: "dir".to_owned(),
            octets: self.files[&file].clone(),
            file: self.path(&file),
            received_at: now,
            way: Way::File,
            again: false,
        };
        let signed = files.into_iter().map(signed).collect();
        self.take(signed);
    }

    /// What signed notices are judged by.
    fn bench(&self) -> Bench<'_> {
        let Self { keyring, authorities, guard, .. } = self;
        Bench { keyring, authorities, guard, has_key: true, is_taken: &|_| false }
    }

    /// What this authority signs.
    pub(super) fn envelope(&self, authority: &str, notice: &Value) -> Vec<u8> {
        jws::sign(notice.to_string().as_bytes(), &[&self.keys[authority]]).into_bytes()
    }

    /// Somebody hands envelopes in at once, for this authority only if one is named; returns the answers, by their place.
    pub(super) fn push(&mut self, only: Option<&str>, envelopes: &[Vec<u8>]) -> BTreeMap<u64, Answer> {
        let only = only.map(AuthorityId::new);
        let signed = envelopes.iter().zip(0..).map(|(octets, n)| self.handed_in(n, only.clone(), octets)).collect();
        self.take(signed).into_iter().collect()
    }

    fn handed_in(&self, number: u64, only: Option<AuthorityId>, octets: &[u8]) -> Signed {
        Signed {
            source: "push:gateway".to_owned(),
            file: PathBuf::from(format!("push:gateway/{number}")),
            way: Way::Push(number, only),
            octets: octets.to_vec(),
            received_at: self.now,
            again: false,
        }
    }

    /// What an envelope would change.
    pub(super) fn rehearse(&mut self, octets: &[u8]) -> Result<Rehearsal, Box<Refusal>> {
        let (policy, signed) = (self.policy(), self.handed_in(0, None, octets));
        let Some(docket) = &self.docket else { panic!("the node is down") };
        docket.rehearse(&signed, &self.bench(), &policy, self.now)
    }

    fn take(&mut self, signed: Vec<Signed>) -> Vec<(u64, Answer)> {
        let now = self.now;
        let Some(mut docket) = self.docket.take() else { return Vec::new() };
        let mut effects = docket.pass(now);
        let taken = docket.take(signed, &self.bench(), now);
        self.docket = Some(docket);
        effects.extend(taken.effects);
        let mut documents = Vec::new();
        for (place, document) in last_of_each(effects) {
            match document {
                Some(document) => documents.push((place, document)),
                None => self.state.remove(&place),
            }
        }
        let refused = self.state.put(documents);
        assert!(refused.is_empty(), "it was judged before it was recorded: {refused:?}");
        self.publish();
        if self.asks {
            self.ask();
        }
        taken.answers
    }

    fn publish(&mut self) {
        self.state.compile(&pages(), |_| Slots::default(), self.now).unwrap();
        let Some(docket) = &mut self.docket else { return };
        let register = self.state.register();
        register.at(self.now);
        register.lift(Lifts::new(docket.lifts()));
        self.serial += 1;
    }

    /// The node asks itself.
    fn ask(&mut self) {
        let found = self.asked();
        self.told(found);
    }

    /// What it finds when it asks itself.
    pub(super) fn asked(&mut self) -> Vec<Found> {
        let policy = self.policy();
        let answers = self.answers;
        let is_blocked = |item: &Item| blocks(&policy, &item.target.as_ref().unwrap().0);
        let found = |query: Query| {
            let failed = if !answers {
                Some("no-answer")
            } else if !query.blocked.iter().all(is_blocked) {
                Some("not-blocked")
            } else {
                query.lifted.iter().any(is_blocked).then_some("still-blocked")
            };
            let asked = (query.blocked.len() + query.lifted.len()) as u64;
            Found {
                key: query.key,
                number: query.number,
                asked,
                had_blocked: !query.blocked.is_empty(),
                failed,
                failures: u64::from(failed.is_some()),
                lifted: query.lifted,
            }
        };
        self.docket().queries(&policy).into_iter().map(found).collect()
    }

    /// It takes note of that.
    pub(super) fn told(&mut self, found: Vec<Found>) {
        let (now, serial, digest) = (self.now, self.serial, hex(&self.digest()));
        self.docket().found(found, serial, &digest, now);
    }

    /// Lets time pass until `then`, with a turn at each instant at which something is due, as its timer has it.
    pub(super) fn pass(&mut self, then: Timestamp) {
        assert!(self.now <= then, "time goes on: {} {then}", self.now);
        while let Some(next) = self.next_change().filter(|next| *next <= then) {
            self.now = next;
            self.turn(Vec::new());
        }
        self.now = then;
        if self.is_running() {
            self.turn(Vec::new());
        }
    }

    fn next_change(&mut self) -> Option<Timestamp> {
        let own = self.docket.as_ref()?.next_change();
        own.into_iter().chain(self.state.register().next_change()).min()
    }

    /// The policy in force.
    pub(super) fn policy(&mut self) -> Snapshot {
        let serial = self.serial;
        self.state.register().snapshot(30, serial)
    }

    /// Its digest.
    pub(super) fn digest(&mut self) -> [u8; 32] {
        self.policy().digest
    }

    /// How many names are in force, and which stand in the index with a rule that answers.
    pub(super) fn names(&mut self) -> (u64, BTreeSet<String>) {
        let policy = self.policy();
        let answers = |wire: &[u8]| policy.decide(wire, Consider::All).is_some_and(|verdict| verdict.target == wire);
        let listed = policy.index().iter().filter(|(wire, _)| answers(wire));
        (policy.names(), listed.map(|(wire, _)| crate::model::name::wire_to_text(&wire)).collect())
    }

    pub(super) fn blocks(&mut self, name: &str) -> bool {
        blocks(&self.policy(), &DnsName::from_text(name).unwrap())
    }

    /// What a person asks, and what that changes.
    pub(super) fn operate(&mut self, request: OperatorRequest) -> OperatorReply {
        let (policy, now) = (self.policy(), self.now);
        let listed = |name: &DnsName| {
            let verdict = policy.decide(name.as_wire(), Consider::All)?;
            Some(verdict.entry.notice.sensitivity)
        };
        let (reply, _) = self.docket().ask_for(request, listed, now);
        self.turn(Vec::new());
        reply
    }

    /// The number under which the item of a notice waits for people.
    pub(super) fn held(&mut self, authority: &str, notice: &str, item: &str) -> Option<u64> {
        let OperatorReply::List(held) = self.operate(OperatorRequest::Held { secret: false }) else { panic!() };
        let is_it = |it: &&crate::control::command::HeldItem| {
            it.authority == authority && it.notice == notice && it.item == item
        };
        held.iter().rev().find(is_it).map(|it| it.id)
    }

    /// Where the receipt beside a file is.
    pub(super) fn receipt_path(&self, file: &str) -> PathBuf {
        receipt::place(&self.path(file))
    }

    /// That file as it is.
    pub(super) fn receipt_file(&self, file: &str) -> Vec<u8> {
        fs::read(self.receipt_path(file)).unwrap()
    }

    /// The receipt beside a file.
    pub(super) fn receipt(&self, file: &str) -> Option<Value> {
        let text = fs::read_to_string(self.receipt_path(file)).ok()?;
        let envelope: Value = serde_json::from_str(&text).unwrap();
        Some(envelope["receipt"].clone())
    }

    /// All receipts without what differs from one run to the next: keys, places in the ledger, the policy's serials; and
    /// how many questions were asked, which may be more after a crash.
    pub(super) fn receipts(&self) -> BTreeMap<String, Value> {
        let told = |file: &String| {
            let mut receipt = self.receipt(file)?;
            let members = receipt.as_object_mut()?;
            for key in ["node", "payload", "ledger", "policy", "asked", "signers", "written_at"] {
                members.remove(key);
            }
            for item in receipt["items"].as_array_mut().into_iter().flatten() {
                item.as_object_mut()?.remove("held");
            }
            Some((file.clone(), receipt))
        };
        self.files.keys().filter_map(told).collect()
    }

    /// Questions that were not answered as they should be.
    pub(super) fn failures(&mut self) -> u64 {
        self.docket().metrics.selftest.failures.get()
    }

    /// How many numbers of an authority are missing.
    pub(super) fn missing(&mut self, authority: &str) -> u64 {
        let gaps = self.docket().life.gaps().find(|(of, ..)| of.as_str() == authority);
        gaps.map_or(0, |(_, missing, _)| missing)
    }

    /// The records of the ledger.
    pub(super) fn records(&mut self) -> Vec<Event> {
        let ledger = self.docket().book.ledger().unwrap();
        ledger.records(1).map(|stored| stored.unwrap().record().unwrap().event).collect()
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join("notices").join(file)
    }
}

fn blocks(policy: &Snapshot, name: &DnsName) -> bool {
    policy.decide(name.as_wire(), Consider::All).is_some()
}

/// A payload with what every notice has; `more` on top.
pub(super) fn payload(authority: &str, id: &str, number: u64, kind: &str, issued: &str, more: Value) -> Value {
    let mut notice = serde_json::json!({
        "version": 1, "id": id, "sequence": number, "authority": authority, "kind": kind,
        "legal_basis": { "power": "CMA 1998 s.263(2)" }, "issued_at": issued,
    });
    notice.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    notice
}
