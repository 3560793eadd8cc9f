//! Signed orders handed in over HTTP: taken once, answered with a receipt, refused with a reason; and what became of them.

use pagar::verify::jose::{Envelope, Jwk};
use rustix::process::Signal;
use serde_json::{Value, json};
use ureq::http::Response;

use crate::harness::{LIMIT, Pagar};
use crate::signed::{Signed, is_blocked};

/// Somebody who calls the API, with a token or without.
pub(crate) struct Caller<'a> {
    pub(crate) url: String,
    pub(crate) token: Option<&'a str>,
}

/// What an answer was.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) kind: String,
    pub(crate) location: Option<String>,
    pub(crate) body: Value,
}

impl<'a> Caller<'a> {
    pub(crate) fn new(node: &Pagar, token: Option<&'a str>) -> Self {
        Self { url: node.url(), token }
    }

    pub(crate) fn post(&self, path: &str, kind: &str, body: &str) -> Said {
        let request = agent().post(format!("{}{path}", self.url)).header("Content-Type", kind);
        let request = match self.token {
            Some(token) => request.header("Authorization", format!("Bearer {token}")),
            None => request,
        };
        said(request.send(body).unwrap())
    }

    pub(crate) fn get(&self, path: &str) -> Said {
        let request = agent().get(format!("{}{path}", self.url));
        let request = match self.token {
            Some(token) => request.header("Authorization", format!("Bearer {token}")),
            None => request,
        };
        said(request.call().unwrap())
    }

    /// Hands an envelope in.
    pub(crate) fn push(&self, query: &str, envelope: &str) -> Said {
        self.post(&format!("/v1/notices{query}"), "application/jose+json", envelope)
    }
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().timeout_global(Some(LIMIT)).http_status_as_error(false).build();
    ureq::Agent::new_with_config(config)
}

fn said(mut answer: Response<ureq::Body>) -> Said {
    let header = |name| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (status, kind, location) = (answer.status().as_u16(), header("content-type"), header("location"));
    let text = answer.body_mut().read_to_string().unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Said { status, kind: kind.unwrap_or_default(), location, body }
}

/// The receipt in an answer; its signature is the node's.
pub(crate) fn receipt(signed: &Signed, said: &Said) -> Value {
    assert_eq!(said.kind, "application/jose+json", "{said:?}");
    let text = said.body.to_string();
    let envelope = Envelope::parse(text.as_bytes()).unwrap();
    let key = std::fs::read_to_string(signed.site.path("state/node.pub.jwk")).unwrap();
    let key = Jwk::read(&key).unwrap().pop().unwrap();
    assert!(envelope.verifies(&envelope.signatures()[0], key.public()), "not signed by the node: {text}");
    let payload: Value = serde_json::from_slice(envelope.payload()).unwrap();
    assert_eq!(payload, said.body["receipt"], "what people read is what is signed");
    payload
}

#[test]
fn an_order_is_enforced_while_its_sender_waits_and_the_same_again_changes_nothing() {
    let signed = Signed::new(1);
    let mut node = signed.start();
    let caller = Caller::new(&node, None);
    assert!(!is_blocked(&node, "bad.example"));
    let envelope = signed.mcmc.sign(&signed.mcmc.restrict(1, &["bad.example"]));
    let dry = caller.push("?dry_run=true", &envelope);
    assert_eq!((dry.status, &dry.body["text"]), (200, &json!("adds 1 name")), "{dry:?}");
    assert!(!is_blocked(&node, "bad.example"), "nothing is done");
    let said = caller.push("?wait=30", &envelope);
    assert_eq!(said.status, 201, "{said:?}");
    assert_eq!(said.location.as_deref(), Some("/v1/notices/N-1?authority=mcmc"));
    let told = receipt(&signed, &said);
    assert_eq!((&told["state"], &told["items"][0]["state"]), (&json!("enforced"), &json!("enforced")), "{told:#}");
    assert!(told["ledger"]["sequence"].is_u64() && told["policy"]["digest"].is_string());
    assert!(is_blocked(&node, "bad.example"));
    let again = caller.push("", &envelope);
    assert_eq!((again.status, receipt(&signed, &again)["payload"].clone()), (200, told["payload"].clone()));
    // the other serialisation, the same payload: it is the same order
    let compact: Value = serde_json::from_str(&envelope).unwrap();
    let part =
        |name: &str| compact["signatures"][0][name].as_str().or_else(|| compact[name].as_str()).unwrap().to_owned();
    let compact = format!("{}.{}.{}", part("protected"), part("payload"), part("signature"));
    let again = caller.post("/v1/notices", "application/jose", &compact);
    assert_eq!(again.status, 200, "{again:?}");
    // after a restart it is known
    node.signal(Signal::TERM);
    node.wait();
    let node = signed.start();
    let caller = Caller::new(&node, None);
    assert!(is_blocked(&node, "bad.example"));
    assert_eq!(caller.push("?wait=30", &envelope).status, 200);
    let told = receipt(&signed, &caller.get("/v1/notices/N-1/receipt"));
    assert_eq!(told["state"], "enforced");
    let revoke = signed.mcmc.sign(&signed.mcmc.notice(2, "revoke", json!({ "revokes": ["N-1"] })));
    let said = caller.push("?wait=30", &revoke);
    assert_eq!((said.status, receipt(&signed, &said)["state"].clone()), (201, json!("carried-out")), "{said:?}");
    assert!(!is_blocked(&node, "bad.example"));
    let one = caller.get("/v1/notices/N-1");
    assert_eq!((one.status, &one.body["state"]), (200, &json!("revoked")), "{one:?}");
    assert_eq!(one.body["orders"].as_array().unwrap().len(), 2);
    let all = caller.get("/v1/notices?authority=mcmc&state=revoked");
    assert_eq!(all.body["notices"][0]["notice"], "N-1", "{all:?}");
}

#[test]
fn what_is_refused_says_why_with_a_stable_word() {
    let signed = Signed::new(1);
    let node = signed.start();
    let caller = Caller::new(&node, None);
    let sign = |notice: &Value| signed.mcmc.sign(notice);
    let first = sign(&signed.mcmc.restrict(1, &["bad.example"]));
    assert_eq!(caller.push("", &first).status, 201);
    let mut renamed = signed.mcmc.restrict(1, &["other.example"]);
    renamed["id"] = "N-9".into();
    let mut malformed = signed.mcmc.restrict(2, &["other.example"]);
    malformed["targets"] = json!([]);
    let mut future = signed.mcmc.restrict(2, &["other.example"]);
    future["issued_at"] = "2099-01-01T00:00:00Z".into();
    let foreign = signed.isp.sign(&signed.mcmc.restrict(2, &["other.example"]));
    let unknown = sign(&signed.mcmc.notice(2, "revoke", json!({ "revokes": ["N-77"] })));
    for (envelope, status, code, signed_refusal) in [
        ("no envelope", 400, "syntax", false),
        ("{}", 400, "jws-member", false),
        (foreign.as_str(), 403, "unknown-key", false),
        (&sign(&renamed), 409, "sequence", true),
        (&sign(&malformed), 422, "no-targets", true),
        (&sign(&future), 422, "issued-at", true),
        (&unknown, 422, "unknown-notice", true),
    ] {
        let said = caller.push("", envelope);
        let body = &said.body;
        assert_eq!((said.status, &body["code"]), (status, &json!(code)), "{said:?}");
        assert_eq!(said.kind, "application/problem+json");
        assert_eq!(body["type"], format!("urn:pagar:problem:{code}"));
        assert_eq!(body["receipt"].is_object(), signed_refusal, "{said:?}");
        let rehearsed = caller.push("?dry_run=true", envelope);
        assert_eq!((rehearsed.status, &rehearsed.body["code"]), (status, &json!(code)));
        assert!(rehearsed.body["receipt"].is_null(), "what is not recorded is not signed");
    }
    for (path, kind, status) in [
        ("/v1/notices", "application/json", 415),
        ("/v1/notices?dryrun=true", "application/jose+json", 400),
        ("/v1/notices?wait=61", "application/jose+json", 400),
    ] {
        assert_eq!(caller.post(path, kind, &first).status, status, "{path} {kind}");
    }
    let large = " ".repeat((16 << 20) + 1);
    assert_eq!(caller.push("", &large).status, 413);
    assert_eq!(caller.get("/v1/notices/N-77").status, 404);
    assert_eq!(caller.get("/v1/notices?state=blocked").status, 400);
    assert_eq!(caller.get("/v1/notices?cursor=x").status, 400);
    assert!(node.metric("pagar_notice_signature_failures_total") >= 1.0);
}

#[test]
fn a_client_of_an_authority_sees_and_sends_what_is_its_own() {
    let digest = |token: &str| pagar::ledger::Digest::of(token.as_bytes()).to_string();
    let client = |name: &str, role: &str, more: &str| {
        format!("[[web.client]]\nname = \"{name}\"\nrole = \"{role}\"\ntoken_sha256 = \"{}\"\n{more}", digest(name))
    };
    let clients = [
        client("gateway", "authority", "authority = \"mcmc\"\n"),
        client("noc", "viewer", ""),
        client("ops", "operator", ""),
    ];
    let signed = Signed::with(1, &clients.concat());
    let node = signed.start();
    let caller = |token| Caller::new(&node, token);
    let (gateway, noc, ops) = (caller(Some("gateway")), caller(Some("noc")), caller(Some("ops")));
    let own = signed.mcmc.sign(&signed.mcmc.restrict(1, &["bad.example"]));
    let mut other = signed.isp.restrict(1, &["worse.example"]);
    other["id"] = "I-1".into();
    let other = signed.isp.sign(&other);
    assert_eq!(caller(None).push("", &own).status, 401);
    assert_eq!(caller(Some("guessed")).push("", &own).status, 401);
    assert_eq!(noc.push("", &own).status, 403);
    assert_eq!(gateway.push("", &own).status, 201);
    let foreign = gateway.push("", &other);
    assert_eq!((foreign.status, &foreign.body["code"]), (403, &json!("foreign-authority")), "{foreign:?}");
    assert_eq!(ops.push("", &other).status, 201, "the signature decides");
    let seen = |caller: &Caller<'_>| caller.get("/v1/notices").body["notices"].as_array().unwrap().len();
    assert_eq!((seen(&gateway), seen(&noc), seen(&ops)), (1, 2, 2));
    assert_eq!(gateway.get("/v1/notices/I-1").status, 404, "not even that it is there");
    assert_eq!(gateway.get("/v1/notices/I-1/receipt?authority=isp").status, 404);
    assert_eq!(noc.get("/v1/notices/I-1/receipt").status, 200);
    assert_eq!((gateway.get("/v1/ledger").status, noc.get("/v1/ledger").status), (403, 200));
    let ledger = noc.get("/v1/ledger?from=2&limit=2").body;
    let records = ledger["records"].as_array().unwrap();
    assert_eq!(records.iter().map(|record| record["sequence"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(records[1]["prev"], records[0]["hash"]);
    assert!(ledger["head"]["sequence"].as_u64().unwrap() >= 3);
    let accepted = noc.get("/v1/ledger?limit=1000").body["records"].to_string();
    assert!(accepted.contains("push:gateway") && accepted.contains("push:ops"), "{accepted}");
}

#[test]
fn pages_of_notices_follow_one_another() {
    let signed = Signed::new(1);
    let node = signed.start();
    let caller = Caller::new(&node, None);
    for n in 1..=7 {
        let envelope = signed.mcmc.sign(&signed.mcmc.restrict(n, &[&format!("n{n}.example")]));
        assert_eq!(caller.push("", &envelope).status, 201);
    }
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = caller.get(&format!("/v1/notices?limit=3{cursor}")).body;
        found.extend(
            page["notices"].as_array().unwrap().iter().map(|notice| notice["notice"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found, (1..=7).map(|n| format!("N-{n}")).collect::<Vec<_>>());
}

#[test]
fn what_became_of_several_orders_is_counted_and_given_to_people() {
    let signed = Signed::new(1);
    let node = signed.start();
    let caller = Caller::new(&node, None);
    let mut second = signed.mcmc.restrict(2, &["two.example", "com.my"]);
    second["targets"].as_array_mut().unwrap().push(json!({ "item": "9", "name": "192.0.2.1", "scope": "exact" }));
    let orders = [
        signed.mcmc.restrict(1, &["one.example"]),
        second,
        signed.mcmc.notice(3, "revoke", json!({ "revokes": ["N-1"] })),
    ];
    for order in &orders {
        assert_eq!(caller.push("?wait=30", &signed.mcmc.sign(order)).status, 201);
    }
    let all = caller.get("/v1/receipts?authority=mcmc");
    let items = &all.body["items"];
    assert_eq!((all.status, &all.body["orders"], &items["ordered"]), (200, &json!(3), &json!(4)), "{all:?}");
    let counted = ["enforced", "quarantined", "refused", "lifted"].map(|fate| items[fate].as_u64().unwrap());
    assert_eq!(counted, [1, 1, 1, 1], "{all:?}");
    let two = caller.get("/v1/receipts?notice=N-1&notice=N-3");
    assert_eq!(two.body["orders"], 2, "{two:?}");
    assert_eq!(caller.get("/v1/receipts?authority=nobody").body["orders"], 0);
    let csv = caller.get("/v1/receipts?format=csv");
    assert!(csv.kind.starts_with("text/csv"), "{csv:?}");
    let lines = csv.body.as_str().unwrap().lines().count();
    assert_eq!(lines, 1 + 4 + 1, "a line an item, and one for the order about others: {csv:?}");
    let letter = caller.get("/v1/notices/N-2/receipt?format=html");
    assert!(letter.kind.starts_with("text/html") && letter.body.as_str().unwrap().contains("N-2"), "{letter:?}");
    assert!(!letter.body.as_str().unwrap().contains("two.example"), "receipts have no names");
    for wrong in ["format=pdf", "state=enforced&state=revoked", "since=2026"] {
        assert_eq!(caller.get(&format!("/v1/receipts?{wrong}")).status, 400, "{wrong}");
    }
}
