//! `pagar notice drill`: what an authority sends to a node to see that it takes what is good, refuses what is not, and says
//! so. Only an authority that rehearses there (`[[authority]] test`) can: nothing of it ever blocks a name.
//!
//! Each step says what is to come, and it goes on where something else does. Names are below `.invalid` (RFC 2606), the
//! public suffix is `home.arpa` (RFC 8375), so that not even a node that is wrong in everything harms anybody. What is to be
//! refused has numbers far behind those that are to be taken, so that one mistake does not make all later steps fail.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::api::{Answer, Api, Credentials};
use super::super::screen::{Screen, plain};
use super::super::{keys, print, print_json};
use super::push::{patiently, progress};
use super::receipt::{self, Signed};
use crate::control::explain::hex;
use crate::error::ExitError;
use crate::verify::jose::{Alg, Envelope, PrivateKey, PublicKey, Window, jws};

const NOTICES: &str = "/v1/notices";
const JOSE: &str = "application/jose+json";
/// Seconds that the node may hold a receipt back.
const WAIT: &str = "10";
/// Octets of a body that is larger than any that is read.
const TOO_LARGE: usize = (16 << 20) + 1;
/// Behind the numbers of what is to be taken.
const REFUSED: u64 = 90;
/// Notices of a page.
const PAGE: &str = "1000";

/// The names that are ordered; the last is the public suffix.
const NAMES: [&str; 7] = [
    "one.pagar-drill.invalid",
    "two.pagar-drill.invalid",
    "three.pagar-drill.invalid",
    "four.pagar-drill.invalid",
    "five.pagar-drill.invalid",
    "six.pagar-drill.invalid",
    "home.arpa",
];
const PUBLIC_SUFFIX: &str = NAMES[6];

#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// The running server, e.g. https://192.0.2.53:8053
    #[arg(long, value_name = "URL", env = "PAGAR_API")]
    api: String,
    /// The authority's id, as the node has it in its configuration, with test = true
    #[arg(long, value_name = "ID", env = "PAGAR_AUTHORITY")]
    authority: String,
    /// Sign with these private keys: a JWK each; with two or more, one alone must be refused
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    sign_with: Vec<PathBuf>,
    /// The category of what is sent: one that the authority may order
    #[arg(long, value_name = "WORD", default_value = "drill")]
    category: String,
    /// The first number that is used; default: one more than the highest that the node knows
    #[arg(long, value_name = "NUMBER")]
    sequence_from: Option<u64>,
    /// Public keys of nodes: believe no receipt that is not signed by one of them
    #[arg(long, value_name = "JWK", num_args = 1..)]
    node_key: Vec<PathBuf>,
    /// Print the steps as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    credentials: Credentials,
}

pub(super) fn run(options: &Options, screen: Screen) -> Result<(), ExitError> {
    let now = Timestamp::now();
    let keys =
        options.sign_with.iter().map(|path| keys::signer(path, now).map(|key| *key)).collect::<Result<_, _>>()?;
    let nodes = receipt::node_keys(&options.node_key)?;
    let api = Api::new(&options.api, &options.credentials)?;
    let first = options.sequence_from.map_or_else(|| highest(&api, &options.authority).map(|number| number + 1), Ok)?;
    let run = format!("DRILL-{}-{first}", now.strftime("%Y%m%d-%H%M%S"));
    let mut drill = Drill { options, api, keys, nodes, first, run, steps: Vec::new() };
    drill.begin()?;
    let ended = drill.all();
    progress("");
    drill.show(screen)?;
    ended?;
    if drill.steps.iter().all(Step::is_good) { Ok(()) } else { Err(ExitError::Negative) }
}

/// The highest number that a node knows of an authority; 0 if it knows none.
fn highest(api: &Api, authority: &str) -> Result<u64, ExitError> {
    #[derive(Deserialize)]
    struct Page {
        notices: Vec<Numbered>,
        next: Option<String>,
    }
    #[derive(Deserialize)]
    struct Numbered {
        sequence: u64,
    }
    let (mut highest, mut cursor) = (0, None);
    loop {
        let mut query = vec![("authority", authority.to_owned()), ("limit", PAGE.to_owned())];
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        let answer = patiently(|| api.fetch(NOTICES, &query))?;
        let page: Page = api.read(NOTICES, &answer)?;
        highest = page.notices.iter().map(|notice| notice.sequence).fold(highest, u64::max);
        cursor = page.next;
        if cursor.is_none() {
            return Ok(highest);
        }
    }
}

/// What was done, what was to come of it, and what came.
#[derive(Debug)]
struct Step {
    step: &'static str,
    expected: String,
    got: String,
}

impl Step {
    fn is_good(&self) -> bool {
        self.expected == self.got
    }
}

struct Drill<'a> {
    options: &'a Options,
    api: Api,
    keys: Vec<PrivateKey>,
    nodes: Vec<PublicKey>,
    first: u64,
    run: String,
    steps: Vec<Step>,
}

impl Drill<'_> {
    /// Asks by a dry run whether nothing of all this would be in force, and goes no further otherwise.
    fn begin(&self) -> Result<(), ExitError> {
        let envelope = self.sign(&self.good());
        let query = [("dry_run", "true".to_owned())];
        let answer = patiently(|| self.api.deliver(NOTICES, &query, JOSE, envelope.as_bytes()))?;
        let refused = |why: String| Err(ExitError::Config(format!("the drill is not begun: {why}")));
        if (400..500).contains(&answer.status) {
            return refused(plain(&answer.in_words()));
        }
        let rehearsal: Value = self.api.read(NOTICES, &answer)?;
        if rehearsal["test"] == true {
            return Ok(());
        }
        let hint = "the provider writes test = true into its [[authority]], or adds another one for rehearsals";
        refused(format!("{} is no authority that only rehearses at this node (hint: {hint})", self.options.authority))
    }

    /// All steps in their order.
    fn all(&mut self) -> Result<(), ExitError> {
        self.taken_once()?;
        self.not_authentic()?;
        self.in_part()?;
        self.gap()?;
        self.changed()?;
        self.unblocked("while all that is rehearsed, no name of it is blocked")?;
        self.ended()?;
        self.oversized();
        self.unblocked("in the end, no name of it is blocked")
    }

    fn taken_once(&mut self) -> Result<(), ExitError> {
        let good = self.good();
        let envelope = self.sign(&good);
        self.sends("a good notice", "201 tested", &envelope)?;
        self.sends("the same again: the same receipt", "200 tested", &envelope)?;
        let mut other = self.restrict(REFUSED, &[(NAMES[0], "exact")]);
        other["sequence"] = good["sequence"].clone();
        self.sends("its number with another payload", "409 sequence", &self.sign(&other))
    }

    fn not_authentic(&mut self) -> Result<(), ExitError> {
        let notice = |drill: &Self, number| drill.restrict(REFUSED + number, &[(NAMES[0], "exact")]);
        let (mut forged, other) = (self.envelope(&notice(self, 1)), self.envelope(&notice(self, 2)));
        forged["payload"] = other["payload"].clone();
        self.sends("a payload that is not the signed one", "403 signature", &forged.to_string())?;
        let stranger = PrivateKey::generate(Some("pagar-drill-stranger"), Alg::default(), Window::default());
        let stranger = stranger.map_err(|error| ExitError::Runtime(error.to_string()))?;
        let strange = jws::sign(notice(self, 3).to_string().as_bytes(), &[&stranger]);
        self.sends("a key that nobody knows", "403 unknown-key", &strange)?;
        if let (Some(one), true) = (self.keys.first(), self.keys.len() > 1) {
            let alone = jws::sign(notice(self, 4).to_string().as_bytes(), &[one]);
            self.sends("one signature where more are needed", "403 too-few-signatures", &alone)?;
        }
        self.sends("no signature", "400 jws-member", &notice(self, 5).to_string())?;
        let mut early = notice(self, 6);
        early["issued_at"] = format!("{:.0}", Timestamp::now() + SignedDuration::from_mins(10)).into();
        self.sends("issued ten minutes ahead", "422 issued-at", &self.sign(&early))
    }

    fn in_part(&mut self) -> Result<(), ExitError> {
        let targets = [(NAMES[2], "exact"), ("http://pagar-drill.invalid/page", "exact"), ("192.0.2.1", "exact")];
        let mixed = self.sign(&self.restrict(1, &targets));
        self.sends("a name, a URL and an address", "201 tested, 2 refused (url), 3 refused (address)", &mixed)?;
        let wide = self.sign(&self.restrict(2, &[(NAMES[3], "exact"), (PUBLIC_SUFFIX, "subtree")]));
        self.sends("a name and a public suffix", "201 tested, 2 quarantined (public-suffix)", &wide)
    }

    fn gap(&mut self) -> Result<(), ExitError> {
        let (late, next) = (self.restrict(3, &[(NAMES[4], "exact")]), self.restrict(4, &[(NAMES[5], "exact")]));
        self.sends("the number after the next", "201 tested", &self.sign(&next))?;
        self.sends("the number that was missing", "201 tested", &self.sign(&late))
    }

    fn changed(&mut self) -> Result<(), ExitError> {
        let mut amendment = self.restrict(5, &[(NAMES[0], "subtree"), (NAMES[1], "subtree")]);
        (amendment["kind"], amendment["amends"]) = ("amend".into(), self.id(0).into());
        self.sends("an amendment of the first", "201 tested", &self.sign(&amendment))?;
        let suspension = self.notice(6, "suspend", json!({ "suspends": [self.id(0)] }));
        self.sends("its suspension", "201 carried-out", &self.sign(&suspension))?;
        let resumption = self.notice(7, "resume", json!({ "resumes": [self.id(0)] }));
        self.sends("its resumption", "201 carried-out", &self.sign(&resumption))
    }

    fn ended(&mut self) -> Result<(), ExitError> {
        let part = self.notice(8, "revoke", json!({ "revokes": [self.id(0)], "targets": [{ "item": "1" }] }));
        self.sends("one item revoked", "201 carried-out", &self.sign(&part))?;
        let all: Vec<_> = (0..5).map(|number| self.id(number)).collect();
        let whole = self.notice(9, "revoke", json!({ "revokes": all }));
        self.sends("everything revoked", "201 carried-out", &self.sign(&whole))
    }

    /// An end of the connection is no answer here, and no reason to stop either.
    fn oversized(&mut self) {
        let body = vec![b' '; TOO_LARGE];
        let answer = patiently(|| self.api.offer(NOTICES, JOSE, &body));
        let got = answer.map_or_else(|error| format!("no answer: {error}"), |answer| refusal(&answer));
        self.note("a body that is too large", "413 too-large", got);
    }

    fn unblocked(&mut self, step: &'static str) -> Result<(), ExitError> {
        let (mut blocked, ours) = (BTreeSet::new(), format!("{}-", self.run));
        for name in NAMES {
            let query = [("name", name.to_owned())];
            let answer = patiently(|| self.api.fetch("/v1/check", &query))?;
            let explanation: Value = self.api.read("/v1/check", &answer)?;
            let rule = explanation["rule"]["notice"].as_str().unwrap_or_default();
            if explanation["listed"] == true && rule.starts_with(&ours) {
                blocked.insert(name);
            }
        }
        let said = |blocked: usize| format!("{blocked} of {} blocked", NAMES.len());
        self.note(step, &said(0), said(blocked.len()));
        Ok(())
    }

    //------ what is sent ---

    fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.run)
    }

    fn notice(&self, number: u64, kind: &str, more: Value) -> Value {
        let mut notice = json!({
            "version": 1, "id": self.id(number), "sequence": self.first.saturating_add(number),
            "authority": self.options.authority, "kind": kind, "legal_basis": { "power": "a drill, which orders nothing" },
            "issued_at": format!("{:.0}", Timestamp::now()),
        });
        if let (Value::Object(notice), Value::Object(more)) = (&mut notice, more) {
            notice.extend(more);
        }
        notice
    }

    /// Items are numbered from 1.
    fn restrict(&self, number: u64, targets: &[(&str, &str)]) -> Value {
        let target = |(item, (name, scope)): (u32, &(&str, &str))| json!({ "item": item.to_string(), "name": name, "scope": scope });
        let targets: Vec<_> = (1..).zip(targets).map(target).collect();
        let category = &self.options.category;
        self.notice(number, "restrict", json!({ "category": category, "action": "block-page", "targets": targets }))
    }

    fn good(&self) -> Value {
        self.restrict(0, &[(NAMES[0], "subtree"), (NAMES[1], "exact")])
    }

    fn sign(&self, notice: &Value) -> String {
        let keys: Vec<&PrivateKey> = self.keys.iter().collect();
        jws::sign(notice.to_string().as_bytes(), &keys)
    }

    fn envelope(&self, notice: &Value) -> Value {
        serde_json::from_str(&self.sign(notice)).unwrap_or_default()
    }

    //------ what comes of it ---

    fn sends(&mut self, step: &'static str, expected: &str, body: &str) -> Result<(), ExitError> {
        progress(step);
        let query = [("wait", WAIT.to_owned())];
        let answer = patiently(|| self.api.deliver(NOTICES, &query, JOSE, body.as_bytes()))?;
        let got = if answer.is_success() { self.taken(&answer, body) } else { refusal(&answer) };
        self.note(step, expected, got);
        Ok(())
    }

    fn note(&mut self, step: &'static str, expected: &str, got: String) {
        self.steps.push(Step { step, expected: expected.to_owned(), got });
    }

    /// What its receipt says, if it is one of this notice, by a node that is believed.
    fn taken(&self, answer: &Answer, sent: &str) -> String {
        let status = answer.status;
        let signed = match Signed::parse(&answer.body) {
            Ok(signed) => signed,
            Err(error) => return format!("{status} without a receipt: {error}"),
        };
        let payload = Envelope::parse(sent.as_bytes()).map(|envelope| hex(&Sha256::digest(envelope.payload())));
        if signed.receipt.payload != payload.ok() {
            return format!("{status} with the receipt of another notice");
        }
        if !self.nodes.is_empty()
            && let Err((code, _)) = signed.verify(&self.nodes, Timestamp::now())
        {
            return format!("{status} with a receipt that is not to be believed ({code})");
        }
        let odd = signed.receipt.items.iter().filter(|item| ["refused", "quarantined"].contains(&&*item.state));
        let odd = odd.map(|item| format!(", {} {} ({})", item.item, item.state, item.code.as_deref().unwrap_or("?")));
        odd.fold(format!("{status} {}", signed.receipt.state), |text, item| text + &item)
    }

    fn show(&self, screen: Screen) -> Result<(), ExitError> {
        let Options { authority, json, .. } = self.options;
        let good = self.steps.iter().filter(|step| step.is_good()).count();
        if *json {
            let one = |step: &Step| json!({ "step": step.step, "expected": step.expected, "got": step.got, "ok": step.is_good() });
            let steps: Vec<_> = self.steps.iter().map(one).collect();
            return print_json(&json!({ "authority": authority, "notices": self.run, "steps": steps }));
        }
        let verdict = |step: &Step| if step.is_good() { "ok" } else { "wrong" }.to_owned();
        let row = |step: &Step| [step.step.to_owned(), step.expected.clone(), step.got.clone(), verdict(step)];
        let rows: Vec<_> = self.steps.iter().map(row).collect();
        let table = screen.table(["STEP", "EXPECTED", "GOT", "VERDICT"], 3, &rows);
        print(&format!("{} of {}\n{table}{good} of {} steps as expected\n", self.run, plain(authority), rows.len()))
    }
}

/// Status and stable word of an answer that is no success.
fn refusal(answer: &Answer) -> String {
    match answer.problem() {
        Some(problem) => format!("{} {}", answer.status, problem.code),
        None => answer.status.to_string(),
    }
}
