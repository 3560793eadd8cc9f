//! Signed notices from the file to the receipt: what authorities order, the node does, proves and undoes.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hickory_proto::rr::RecordType;
use pagar::verify::jose::{Alg, Envelope, Jwk, PrivateKey, jws};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::client::{Over, addresses, ask};
use crate::harness::{LIMIT, Pagar, Site, config};
use crate::upstream::Scripted;

/// What a listed name is answered with, and any other.
pub(crate) const PAGE: &str = "192.0.2.80";
pub(crate) const TRUE: &str = "198.51.100.1";

/// An authority with its signers.
pub(crate) struct Regulator {
    pub(crate) id: &'static str,
    pub(crate) keys: Vec<PrivateKey>,
}

impl Regulator {
    /// With so many signers, whose public keys are written into the site.
    pub(crate) fn new(site: &Site, id: &'static str, signers: usize) -> Self {
        let key = |n| PrivateKey::generate(Some(&format!("{id}-{n}")), Alg::EdDsa, Default::default()).unwrap();
        let keys: Vec<_> = (1..=signers).map(key).collect();
        let public: Vec<_> = keys.iter().map(|key| key.public().to_jwk()).collect();
        site.write(&format!("keys/{id}.jwk"), &json!({ "keys": public }).to_string());
        Self { id, keys }
    }

    /// What every notice of its has; `more` on top.
    pub(crate) fn notice(&self, number: u64, kind: &str, more: Value) -> Value {
        let mut notice = json!({
            "version": 1, "id": format!("N-{number}"), "sequence": number, "authority": self.id, "kind": kind,
            "legal_basis": { "power": "CMA 1998 s.263(2)" }, "issued_at": "2026-01-01T00:00:00+08:00",
        });
        notice.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        notice
    }

    /// To restrict these names with all below them; items are numbered from 1.
    pub(crate) fn restrict(&self, number: u64, names: &[&str]) -> Value {
        let target =
            |(n, name): (usize, &&str)| json!({ "item": (n + 1).to_string(), "name": name, "scope": "subtree" });
        let targets: Vec<_> = names.iter().enumerate().map(target).collect();
        self.notice(number, "restrict", json!({ "category": "scam", "action": "block-page", "targets": targets }))
    }

    /// Signed by all.
    pub(crate) fn sign(&self, notice: &Value) -> String {
        let keys: Vec<_> = self.keys.iter().collect();
        jws::sign(notice.to_string().as_bytes(), &keys)
    }
}

/// The configuration of the harness where notices must be signed; `required` signatures of `mcmc`.
pub(crate) fn signed_config(upstream: SocketAddr, required: usize) -> String {
    config(&[upstream])
        .replace("allow_unsigned = true\n", "")
        .replace(
            "id = \"mcmc\"\n",
            &format!("id = \"mcmc\"\nkeys = [\"keys/mcmc.jwk\"]\nrequired_signatures = {required}\n"),
        )
        .replace("id = \"isp\"\n", "id = \"isp\"\nkeys = [\"keys/isp.jwk\"]\n")
}

/// A site with `mcmc` and `isp`, and an upstream that knows every name.
pub(crate) struct Signed {
    pub(crate) site: Site,
    pub(crate) mcmc: Regulator,
    pub(crate) isp: Regulator,
    _upstream: Scripted,
}

impl Signed {
    pub(crate) fn new(signers: usize) -> Self {
        Self::with(signers, "")
    }

    /// With more configuration.
    pub(crate) fn with(signers: usize, more: &str) -> Self {
        let upstream = Scripted::with_address(TRUE);
        let site = Site::new(&(signed_config(upstream.address, signers) + more));
        fs::create_dir(site.path("keys")).unwrap();
        let (mcmc, isp) = (Regulator::new(&site, "mcmc", signers), Regulator::new(&site, "isp", 1));
        Self { site, mcmc, isp, _upstream: upstream }
    }

    pub(crate) fn start(&self) -> Pagar {
        self.site.start()
    }

    /// Drops a file into the directory of notices, whole.
    pub(crate) fn send(&self, file: &str, text: &str) {
        let _ = fs::remove_file(self.site.path(&receipt_of(file)));
        self.site.write(&format!("notices/.{file}"), text);
        fs::rename(self.site.path(&format!("notices/.{file}")), self.site.path(&format!("notices/{file}"))).unwrap();
    }

    /// Drops a notice of `mcmc`.
    pub(crate) fn order(&self, file: &str, notice: &Value) {
        self.send(file, &self.mcmc.sign(notice));
    }

    /// The receipt, once it says this. Its signature is the node's.
    #[track_caller]
    pub(crate) fn receipt(&self, file: &str, state: &str) -> Value {
        let mut last = Value::Null;
        let came = until(|| {
            last = self.receipt_now(file).unwrap_or_default();
            last["state"] == state
        });
        assert!(came, "no receipt of {file} says {state}: {last:#}");
        last
    }

    pub(crate) fn receipt_now(&self, file: &str) -> Option<Value> {
        let text = fs::read_to_string(self.site.path(&receipt_of(file))).ok()?;
        let envelope = Envelope::parse(text.as_bytes()).unwrap();
        let key = fs::read_to_string(self.site.path("state/node.pub.jwk")).unwrap();
        let key = Jwk::read(&key).unwrap().pop().unwrap();
        assert!(envelope.verifies(&envelope.signatures()[0], key.public()), "not signed by the node: {text}");
        let signed: Value = serde_json::from_slice(envelope.payload()).unwrap();
        let shown: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(signed, shown["receipt"], "what people read is what is signed");
        Some(signed)
    }
}

fn receipt_of(file: &str) -> String {
    format!("notices/{}.receipt.json", file.rsplit_once('.').unwrap().0)
}

/// Whether it holds before long.
pub(crate) fn until(mut holds: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while !holds() {
        if started.elapsed() > LIMIT {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

/// Whether a name is answered with the block page.
#[track_caller]
pub(crate) fn is_blocked(pagar: &Pagar, name: &str) -> bool {
    let found: Vec<_> =
        addresses(&ask(pagar.address(), Over::Udp, name, RecordType::A)).iter().map(ToString::to_string).collect();
    match found.as_slice() {
        [one] if one == PAGE => true,
        [one] if one == TRUE => false,
        other => panic!("{name}: {other:?}"),
    }
}

/// What became of each item, with the reason.
fn items(receipt: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let items = receipt["items"].as_array().cloned().unwrap_or_default();
    items.iter().map(|item| (text(&item["item"]), text(&item["state"]), text(&item["code"]))).collect()
}

//------ the life of a notice ----------------------------------------------------------------------------------------------

#[test]
fn a_signed_notice_is_enforced_asked_for_and_lifted_again() {
    let signed = Signed::new(1);
    let pagar = signed.start();
    assert!(!is_blocked(&pagar, "www.bad.example."));
    signed.order("1.jws", &signed.mcmc.restrict(1, &["bad.example"]));
    let receipt = signed.receipt("1.jws", "enforced");
    assert!(is_blocked(&pagar, "www.bad.example."));
    assert_eq!(receipt["asked"], 1);
    assert_eq!(items(&receipt), [("1".into(), "enforced".into(), String::new())]);
    let policy: Value = serde_json::from_str(&pagar.get("/v1/policy").1).unwrap();
    assert_eq!((&receipt["policy"]["serial"], &receipt["policy"]["digest"]), (&policy["serial"], &policy["digest"]));
    signed.order("2.jws", &signed.mcmc.notice(2, "revoke", json!({ "revokes": ["N-1"] })));
    let revoked = signed.receipt("2.jws", "carried-out");
    assert!(!is_blocked(&pagar, "www.bad.example."), "the cache is not in the way");
    assert!(revoked["lifted_at"].is_string());
    assert_eq!(signed.receipt("1.jws", "revoked")["lifted_at"], revoked["lifted_at"]);
    let metrics = pagar.get("/metrics").1;
    for line in
        ["pagar_notice_enforce_seconds_count 1", "pagar_notice_lift_seconds_count 1", "pagar_selftest_failures_total 0"]
    {
        assert!(metrics.lines().any(|it| it == line), "{line}");
    }
    assert!(metrics.contains("pagar_dns_notice_hits_total{notice=\"N-1\"} 1"), "only ours is counted: {metrics}");
}

#[test]
fn deleting_the_file_of_a_signed_notice_lifts_nothing_and_a_restart_neither() {
    let signed = Signed::new(1);
    let pagar = signed.start();
    signed.order("1.jws", &signed.mcmc.restrict(1, &["bad.example"]));
    signed.receipt("1.jws", "enforced");
    signed.site.remove("notices/1.jws");
    std::thread::sleep(Duration::from_millis(400));
    assert!(is_blocked(&pagar, "bad.example."));
    drop(pagar);
    let pagar = signed.start();
    assert!(is_blocked(&pagar, "bad.example."));
}

#[test]
fn a_configuration_that_is_read_again_lifts_no_signed_notice() {
    let signed = Signed::new(1);
    let pagar = signed.start();
    signed.order("1.jws", &signed.mcmc.restrict(1, &["bad.example"]));
    signed.receipt("1.jws", "enforced");
    pagar.signal(Signal::HUP);
    assert!(until(|| pagar.log().contains("configuration reloaded")));
    assert!(is_blocked(&pagar, "bad.example."));
}

#[test]
fn a_notice_is_suspended_resumed_amended_and_revoked_in_part() {
    let signed = Signed::new(1);
    let pagar = signed.start();
    let mcmc = &signed.mcmc;
    signed.order("1.jws", &mcmc.restrict(1, &["one.example", "two.example"]));
    signed.receipt("1.jws", "enforced");
    signed.order("2.jws", &mcmc.notice(2, "suspend", json!({ "suspends": ["N-1"] })));
    signed.receipt("1.jws", "suspended");
    assert!(!is_blocked(&pagar, "one.example."));
    signed.order("3.jws", &mcmc.notice(3, "resume", json!({ "resumes": ["N-1"] })));
    signed.receipt("1.jws", "enforced");
    assert!(is_blocked(&pagar, "one.example."));
    let part = json!({ "revokes": ["N-1"], "targets": [{ "item": "1" }, { "item": "9" }] });
    signed.order("4.jws", &mcmc.notice(4, "revoke", part));
    let receipt = signed.receipt("4.jws", "carried-out");
    let told = items(&receipt);
    assert_eq!(told[0], ("1".into(), "revoked".into(), String::new()));
    assert_eq!(told[1], ("9".into(), "refused".into(), "unknown-item".into()));
    assert!(!is_blocked(&pagar, "one.example.") && is_blocked(&pagar, "two.example."));
    let mut amendment = mcmc.restrict(5, &["three.example"]);
    (amendment["kind"], amendment["amends"]) = ("amend".into(), "N-1".into());
    signed.order("5.jws", &amendment);
    signed.receipt("5.jws", "enforced");
    assert!(!is_blocked(&pagar, "two.example.") && is_blocked(&pagar, "three.example."));
    assert_eq!(signed.receipt("1.jws", "amended")["state"], "amended");
    drop(pagar);
    let pagar = signed.start();
    assert!(!is_blocked(&pagar, "two.example.") && is_blocked(&pagar, "three.example."), "as before the restart");
}

#[test]
fn a_name_stays_blocked_until_the_last_notice_that_lists_it_ends() {
    let signed = Signed::new(1);
    let pagar = signed.start();
    signed.order("1.jws", &signed.mcmc.restrict(1, &["both.example"]));
    signed.order("2.jws", &signed.mcmc.restrict(2, &["both.example"]));
    signed.receipt("1.jws", "enforced");
    signed.receipt("2.jws", "enforced");
    signed.order("3.jws", &signed.mcmc.notice(3, "revoke", json!({ "revokes": ["N-1"] })));
    signed.receipt("3.jws", "carried-out");
    assert!(is_blocked(&pagar, "both.example."));
    let mut foreign = signed.isp.notice(1, "revoke", json!({ "revokes": ["N-2"] }));
    foreign["id"] = "ISP-1".into();
    signed.send("4.jws", &signed.isp.sign(&foreign));
    assert_eq!(signed.receipt("4.jws", "refused")["code"], "unknown-notice");
    assert!(is_blocked(&pagar, "both.example."));
}

#[test]
fn a_notice_takes_effect_and_expires_at_its_instants() {
    let signed = Signed::new(1);
    let pagar = signed.start();
    let at = |seconds: i64| (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds)).to_string();
    let mut notice = signed.mcmc.restrict(1, &["timed.example"]);
    (notice["effective_at"], notice["expires_at"]) = (at(2).into(), at(4).into());
    (notice["review_by"], notice["deadline_at"]) = (at(-60).into(), at(-30).into());
    signed.order("1.jws", &notice);
    signed.receipt("1.jws", "scheduled");
    assert!(!is_blocked(&pagar, "timed.example."));
    assert!(until(|| pagar.metric("pagar_notices_past_deadline") == 1.0));
    assert_eq!(signed.receipt("1.jws", "enforced")["in_time"], false);
    assert!(until(|| pagar.metric("pagar_notices_past_deadline") == 0.0));
    assert_eq!(pagar.metric("pagar_notices_past_review"), 1.0);
    assert!(is_blocked(&pagar, "timed.example."));
    signed.receipt("1.jws", "expired");
    assert!(!is_blocked(&pagar, "timed.example."));
}

#[test]
fn a_hundred_and_seventy_nine_notices_are_lifted_by_one() {
    let signed = Signed::new(1);
    let pagar = signed.start();
    for n in 1..=179 {
        signed.order(&format!("{n}.jws"), &signed.mcmc.restrict(n, &[&format!("n{n}.example")]));
    }
    (1..=179).for_each(|n| drop(signed.receipt(&format!("{n}.jws"), "enforced")));
    let all: Vec<_> = (1..=179).map(|n| format!("N-{n}")).collect();
    signed.order("180.jws", &signed.mcmc.notice(180, "revoke", json!({ "revokes": all })));
    let receipt = signed.receipt("180.jws", "carried-out");
    assert_eq!(receipt["notices"].as_array().unwrap().len(), 179);
    for n in [1, 90, 179] {
        assert!(!is_blocked(&pagar, &format!("n{n}.example.")));
    }
    assert!(pagar.get("/metrics").1.contains("pagar_notices{state=\"revoked\"} 179"));
}

#[test]
fn check_and_why_read_signed_files_as_if_they_came_now() {
    let signed = Signed::new(1);
    signed.order("1.jws", &signed.mcmc.restrict(1, &["bad.example", "com.my"]));
    signed.order("2.jws", &signed.mcmc.restrict(2, &["gone.example"]));
    signed.order("3.jws", &signed.mcmc.notice(3, "revoke", json!({ "revokes": ["N-2"] })));
    let why = |name: &str| signed.site.run(&["why", name]);
    assert!(why("www.bad.example").out.contains("N-1"));
    assert_eq!((why("gone.example").code, why("x.com.my").code), (Some(1), Some(1)));
    signed.send("4.jws", "junk");
    let check = signed.site.run(&["check"]);
    assert!(check.code == Some(3) && check.out.contains("4.jws") && check.out.contains("item 2 is held"), "{check:?}");
    assert!(!signed.site.path("state/ledger.redb").exists(), "nothing is recorded");
}

//------ whom it believes --------------------------------------------------------------------------------------------------

#[test]
fn two_signers_are_two_persons() {
    let signed = Signed::new(2);
    let pagar = signed.start();
    let notice = signed.mcmc.restrict(1, &["bad.example"]);
    let [first, second] = &signed.mcmc.keys[..] else { panic!() };
    signed.send("one.jws", &jws::sign(notice.to_string().as_bytes(), &[first]));
    assert_eq!(signed.receipt("one.jws", "refused")["code"], "too-few-signatures");
    signed.send("compact.jws", &jws::compact(notice.to_string().as_bytes(), first));
    assert_eq!(signed.receipt("compact.jws", "refused")["code"], "compact");
    assert!(!is_blocked(&pagar, "bad.example."));
    assert!(pagar.get("/metrics").1.contains("pagar_notice_signature_failures_total 2"));
    signed.send("two.jws", &jws::sign(notice.to_string().as_bytes(), &[first, second]));
    assert_eq!(signed.receipt("two.jws", "enforced")["signers"].as_array().unwrap().len(), 2);
}

#[test]
fn what_nobody_is_known_to_have_sent_is_counted_and_not_recorded() {
    let signed = Signed::new(1);
    let pagar = signed.start();
    let stranger = PrivateKey::generate(Some("mcmc-1"), Alg::EdDsa, Default::default()).unwrap();
    let notice = signed.mcmc.restrict(1, &["bad.example"]).to_string();
    signed.send("forged.jws", &jws::compact(notice.as_bytes(), &stranger));
    assert_eq!(signed.receipt("forged.jws", "refused")["code"], "signature");
    signed.send("junk.jws", "no envelope at all");
    signed.receipt("junk.jws", "refused");
    signed.site.write("notices/bare.json", &notice);
    assert!(until(|| pagar.log().contains("the notice is not signed")));
    assert!(!is_blocked(&pagar, "bad.example."));
    drop(pagar);
    let ledger = signed.site.run(&["ledger", "export"]).out;
    assert!(!ledger.contains("\"refused\"") && !ledger.contains("\"accepted\""), "{ledger}");
}

#[test]
fn numbers_are_used_once_and_gaps_are_shown() {
    let signed = Signed::new(1);
    let pagar = signed.start();
    let mcmc = &signed.mcmc;
    signed.order("1.jws", &mcmc.restrict(1, &["one.example"]));
    signed.order("4.jws", &mcmc.restrict(4, &["four.example"]));
    signed.receipt("4.jws", "enforced");
    let gaps = |pagar: &Pagar| {
        let text = pagar.get("/metrics").1;
        text.lines().find_map(|line| line.strip_prefix("pagar_notice_sequence_gaps{authority=\"mcmc\"} ")?.parse().ok())
    };
    assert_eq!(gaps(&pagar), Some(2));
    let mut again = mcmc.restrict(4, &["other.example"]);
    again["id"] = "N-other".into();
    signed.order("again.jws", &again);
    assert_eq!(signed.receipt("again.jws", "refused")["code"], "sequence");
    let mut same_id = mcmc.restrict(9, &["other.example"]);
    same_id["id"] = "N-4".into();
    signed.order("same_id.jws", &same_id);
    assert_eq!(signed.receipt("same_id.jws", "refused")["code"], "duplicate-id");
    // the same payload in another envelope is the same order
    signed.send("copy.jws", &jws::compact(mcmc.restrict(4, &["four.example"]).to_string().as_bytes(), &mcmc.keys[0]));
    let copy = signed.receipt("copy.jws", "enforced");
    assert_eq!(copy["ledger"]["sequence"], signed.receipt("4.jws", "enforced")["ledger"]["sequence"]);
    signed.order("2.jws", &mcmc.restrict(2, &["two.example"]));
    signed.order("3.jws", &mcmc.restrict(3, &["three.example"]));
    signed.receipt("3.jws", "enforced");
    signed.receipt("2.jws", "enforced");
    assert_eq!(gaps(&pagar), Some(0), "late numbers fill their gaps");
}

#[test]
fn an_order_about_a_notice_that_comes_later_is_taken_then() {
    let signed = Signed::new(1);
    let _pagar = signed.start();
    signed.order("2.jws", &signed.mcmc.notice(2, "revoke", json!({ "revokes": ["N-1"] })));
    assert_eq!(signed.receipt("2.jws", "refused")["code"], "unknown-notice");
    signed.order("1.jws", &signed.mcmc.restrict(1, &["bad.example"]));
    signed.receipt("2.jws", "carried-out");
    signed.receipt("1.jws", "revoked");
}

#[test]
fn what_an_authority_may_not_order_is_refused_and_recorded() {
    let signed = Signed::new(1);
    let text = fs::read_to_string(signed.site.path("pagar.toml")).unwrap();
    signed.site.write("pagar.toml", &text.replace("id = \"mcmc\"\n", "id = \"mcmc\"\ncategories = [\"scam\"]\n"));
    let pagar = signed.start();
    let mut notice = signed.mcmc.restrict(1, &["bad.example"]);
    notice["category"] = "gambling".into();
    signed.order("1.jws", &notice);
    assert_eq!(signed.receipt("1.jws", "refused")["code"], "category");
    let mut ahead = signed.mcmc.restrict(2, &["bad.example"]);
    ahead["issued_at"] = (jiff::Timestamp::now() + jiff::SignedDuration::from_mins(20)).to_string().into();
    signed.order("2.jws", &ahead);
    assert_eq!(signed.receipt("2.jws", "refused")["code"], "issued-at");
    assert!(!is_blocked(&pagar, "bad.example."));
    drop(pagar);
    let ledger = signed.site.run(&["ledger", "export"]).out;
    assert_eq!(ledger.matches("\"event\":\"refused\"").count(), 2, "{ledger}");
}

#[test]
fn a_receipt_is_written_through_no_link_and_waits_for_no_pipe() {
    let signed = Signed::new(1);
    let _pagar = signed.start();
    signed.site.write("precious", "as it was");
    let link = signed.site.path("notices/.1.receipt.json");
    std::os::unix::fs::symlink(signed.site.path("precious"), &link).unwrap();
    signed.order("1.jws", &signed.mcmc.restrict(1, &["bad.example"]));
    signed.receipt("1.jws", "enforced");
    assert_eq!(fs::read_to_string(signed.site.path("precious")).unwrap(), "as it was");
    for pipe in ["notices/.2.receipt.json", "notices/2.receipt.json"] {
        let made = std::process::Command::new("mkfifo").arg(signed.site.path(pipe)).status().unwrap();
        assert!(made.success());
    }
    let notice = signed.mcmc.sign(&signed.mcmc.restrict(2, &["worse.example"]));
    signed.site.write("notices/2.jws", &notice);
    assert!(until(|| fs::symlink_metadata(signed.site.path("notices/2.receipt.json")).is_ok_and(|it| it.is_file())));
    signed.receipt("2.jws", "enforced");
}

#[test]
fn a_receipt_that_cannot_be_written_is_counted_said_once_and_tried_again() {
    let signed = Signed::new(1);
    let pagar = signed.start();
    // a directory is in its place: what even root cannot rename over
    fs::create_dir_all(signed.site.path("notices/1.receipt.json/x")).unwrap();
    signed.site.write("notices/1.jws", &signed.mcmc.sign(&signed.mcmc.restrict(1, &["bad.example"])));
    assert!(until(|| pagar.metric("pagar_receipt_write_failures_total") >= 2.0), "tried again");
    assert!(is_blocked(&pagar, "bad.example."));
    assert_eq!(pagar.log().matches("the receipt cannot be written").count(), 1, "{}", pagar.log());
    fs::remove_dir_all(signed.site.path("notices/1.receipt.json")).unwrap();
    signed.receipt("1.jws", "enforced");
}

#[test]
fn a_key_that_is_withdrawn_later_takes_nothing_back() {
    let signed = Signed::new(1);
    let pagar = signed.start();
    signed.order("1.jws", &signed.mcmc.restrict(1, &["bad.example"]));
    signed.receipt("1.jws", "enforced");
    drop(pagar);
    let _other = Regulator::new(&signed.site, "mcmc", 1); // its keys take the place of those before
    let pagar = signed.start();
    assert!(is_blocked(&pagar, "bad.example."));
    assert_eq!(signed.receipt("1.jws", "enforced")["notice"], "N-1");
    assert_eq!(pagar.metric("pagar_notice_signature_failures_total"), 0.0);
    signed.order("2.jws", &signed.mcmc.restrict(2, &["worse.example"]));
    assert_eq!(signed.receipt("2.jws", "refused")["code"], "signature");
}

//------ the guard and people ----------------------------------------------------------------------------------------------

#[test]
fn items_that_cannot_be_or_must_not_be_blocked_leave_the_rest_alone() {
    let signed = Signed::new(1);
    let pagar = signed.start();
    let names = ["bad.example", "com.my", "https://x.example/a", "192.0.2.7", "ocsp.digicert.com"];
    signed.order("1.jws", &signed.mcmc.restrict(1, &names));
    let told = items(&signed.receipt("1.jws", "enforced"));
    let told: Vec<_> = told.iter().map(|(_, state, code)| (state.as_str(), code.as_str())).collect();
    assert_eq!(
        told,
        [
            ("enforced", ""),
            ("quarantined", "public-suffix"),
            ("refused", "url"),
            ("refused", "address"),
            ("quarantined", "protected"),
        ]
    );
    assert!(is_blocked(&pagar, "bad.example.") && !is_blocked(&pagar, "any.com.my."));
    let held = signed.site.run(&["approve", "--list"]).out;
    assert!(held.contains("com.my.") && held.contains("ocsp.digicert.com."), "{held}");
}

#[test]
fn one_person_lifts_at_once_and_a_new_notice_ends_the_lift() {
    let signed = Signed::new(1);
    let pagar = signed.start();
    signed.order("1.jws", &signed.mcmc.restrict(1, &["bad.example"]));
    signed.receipt("1.jws", "enforced");
    let refused = signed.site.run(&["lift", "other.example", "--reason", "x"]);
    assert_eq!(refused.code, Some(1), "{}", refused.out);
    let lifted = signed.site.run(&["lift", "www.bad.example", "--reason", "hospital, ticket 7"]);
    assert_eq!(lifted.code, Some(0), "{}{}", lifted.out, lifted.err);
    assert!(!is_blocked(&pagar, "www.bad.example.") && !is_blocked(&pagar, "a.www.bad.example."));
    assert!(is_blocked(&pagar, "bad.example."), "no wider than what was asked");
    let why = pagar.json("/v1/check?name=www.bad.example");
    assert_eq!(
        (&why["listed"], &why["lifted"], &why["others"][0]["notice"]),
        (&json!(false), &json!(true), &json!("N-1"))
    );
    drop(pagar);
    let pagar = signed.start();
    assert!(!is_blocked(&pagar, "www.bad.example."), "lifted over a restart");
    signed.order("2.jws", &signed.mcmc.restrict(2, &["www.bad.example"]));
    signed.receipt("2.jws", "enforced");
    assert!(is_blocked(&pagar, "www.bad.example."));
    drop(pagar);
    let ledger = signed.site.run(&["ledger", "export"]).out;
    assert!(ledger.contains("\"lift-ended\"") && ledger.contains("hospital, ticket 7"), "{ledger}");
}

#[test]
fn a_lift_is_taken_back_at_once_and_stays_so() {
    let signed = Signed::new(1);
    let pagar = signed.start();
    signed.order("1.jws", &signed.mcmc.restrict(1, &["bad.example"]));
    signed.receipt("1.jws", "enforced");
    let run = |more: &[&str]| signed.site.run(&[&["lift", "bad.example", "--reason", "ticket 7"], more].concat());
    assert!(run(&["--undo"]).err.starts_with("refused (not-lifted): "));
    assert_eq!(run(&[]).code, Some(0));
    assert!(!is_blocked(&pagar, "bad.example."));
    assert_eq!(pagar.metric("pagar_policy_lifted_names"), 1.0);
    let taken_back = run(&["--undo"]);
    assert!(taken_back.code == Some(0) && taken_back.out.starts_with("the lift is taken back"), "{taken_back:?}");
    assert!(is_blocked(&pagar, "bad.example."));
    assert_eq!(pagar.metric("pagar_policy_lifted_names"), 0.0);
    for _ in 0..10 {
        assert!(run(&[]).code == Some(0) && !is_blocked(&pagar, "bad.example."), "by the very next query");
        assert!(run(&["--undo"]).code == Some(0) && is_blocked(&pagar, "bad.example."));
    }
    let why = pagar.json("/v1/check?name=bad.example");
    assert_eq!((&why["listed"], &why["lifted"]), (&json!(true), &json!(false)));
    drop(pagar);
    let pagar = signed.start();
    assert!(is_blocked(&pagar, "bad.example."));
    drop(pagar);
    let ledger = signed.site.run(&["ledger", "export"]).out;
    assert!(ledger.contains("\"action\":\"restore\"") && ledger.contains("\"cause\":\"lift-ended\""), "{ledger}");
}

#[test]
fn a_list_that_shrinks_too_much_waits_for_a_person() {
    let list: String = (0..500).map(|n| format!("n{n}.list.example\n")).collect();
    let source = "[[source]]\nkind = \"list\"\npath = \"scam.txt\"\nformat = \"domains\"\n\
        notice = { id = \"S-1\", authority = \"isp\", category = \"scam\", power = \"policy\", scope = \"exact\" }\n";
    let signed = Signed::with(1, source);
    signed.site.write("scam.txt", &list);
    let pagar = signed.start();
    assert!(is_blocked(&pagar, "n400.list.example."));
    assert!(until(|| pagar.metric("pagar_selftest_questions_total") >= 500.0), "a list is asked for, too");
    assert_eq!(pagar.metric("pagar_selftest_failures_total"), 0.0);
    signed.site.write("scam.new", "n1.list.example\n");
    fs::rename(signed.site.path("scam.new"), signed.site.path("scam.txt")).unwrap();
    assert!(until(|| pagar.log().contains("the list is held")));
    assert!(is_blocked(&pagar, "n400.list.example."));
    let held = signed.site.run(&["approve", "--list"]).out;
    let id = held.split(':').next().unwrap().trim().to_owned();
    let approved = signed.site.run(&["approve", &id, "--reason", "the authority confirmed it"]);
    assert_eq!(approved.code, Some(0), "{}{}", approved.out, approved.err);
    assert!(until(|| !is_blocked(&pagar, "n400.list.example.")));
    assert!(is_blocked(&pagar, "n1.list.example."));
    drop(pagar);
    let pagar = signed.start();
    assert!(!is_blocked(&pagar, "n400.list.example."), "what was approved stays so");
    drop(pagar);
    let ledger = signed.site.run(&["ledger", "export"]).out;
    for event in ["list-read", "held", "operator", "enforced"] {
        assert!(ledger.contains(&format!("\"event\":\"{event}\"")), "{event}: {ledger}");
    }
}

#[test]
fn a_lift_is_seen_by_the_very_next_query() {
    let signed = Signed::new(1);
    let pagar = signed.start();
    signed.order("1.jws", &signed.mcmc.restrict(1, &["bad.example"]));
    signed.receipt("1.jws", "enforced");
    let since = Instant::now();
    signed.order("2.jws", &signed.mcmc.notice(2, "revoke", json!({ "revokes": ["N-1"] })));
    while is_blocked(&pagar, "bad.example.") {
        assert!(since.elapsed() < Duration::from_secs(5));
    }
    assert!((0..50).all(|_| !is_blocked(&pagar, "bad.example.")), "it never comes back");
}
