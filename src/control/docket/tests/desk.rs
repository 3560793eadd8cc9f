//! Orders that are handed in: each is answered, once, with what became of it.

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::super::{Answer, Event, NoticeId, Selection};
use super::node::{Node, payload};
use crate::control::command::OperatorRequest;
use crate::control::desk::Pushed;
use crate::control::docket::Look;
use crate::model::{AuthorityId, DnsName};

const ISSUED: &str = "2026-01-01T00:00:00Z";

fn restrict(authority: &str, id: &str, number: u64, names: &[&str]) -> Value {
    let target = |(name, n): (&&str, usize)| json!({ "item": n.to_string(), "name": name, "scope": "exact" });
    let targets: Vec<_> = names.iter().zip(1..).map(target).collect();
    let more = json!({ "category": "scam", "action": "nodata", "targets": targets });
    payload(authority, id, number, "restrict", ISSUED, more)
}

fn node() -> Node {
    Node::new(ISSUED.parse().unwrap())
}

fn mcmc(id: &str) -> (AuthorityId, NoticeId) {
    (AuthorityId::new("mcmc"), NoticeId::new(id))
}

/// The code of a refusal.
fn code(answer: &Answer) -> &str {
    match answer {
        Answer::Refused(refusal) => refusal.code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_order_is_taken_once_however_often_it_is_handed_in() {
    let mut node = node();
    let envelope = node.envelope("mcmc", &restrict("mcmc", "N-1", 1, &["one.example"]));
    let twin = node.envelope("mcmc", &restrict("mcmc", "N-1", 1, &["one.example"]));
    let answers = node.push(Some("mcmc"), &[envelope.clone(), twin]);
    assert!(matches!(answers[&0], Answer::Taken { is_new: true, .. }), "{answers:?}");
    assert!(matches!(answers[&1], Answer::Taken { is_new: false, .. }), "{answers:?}");
    assert!(node.blocks("one.example"));
    let again = node.push(None, &[envelope]);
    assert!(matches!(again[&0], Answer::Taken { is_new: false, .. }), "{again:?}");
    assert_eq!(node.records().iter().filter(|event| matches!(event, Event::Accepted { .. })).count(), 1);
}

#[test]
fn a_client_sends_orders_of_its_authority_only() {
    let mut node = node();
    let envelope = node.envelope("court", &restrict("court", "C-1", 1, &["one.example"]));
    let before = node.records().len();
    assert_eq!(code(&node.push(Some("mcmc"), std::slice::from_ref(&envelope))[&0]), "foreign-authority");
    assert_eq!(node.records().len(), before, "it is no word of the court's that it came this way");
    assert!(!node.blocks("one.example"));
    assert!(matches!(
        node.push(Some("court"), std::slice::from_ref(&envelope))[&0],
        Answer::Taken { is_new: true, .. }
    ));
    assert_eq!(code(&node.push(Some("mcmc"), &[envelope])[&0]), "foreign-authority", "known or not");
}

#[test]
fn a_refusal_is_signed_if_its_sender_is_known_and_says_nothing_otherwise() {
    let mut node = node();
    let mut forged = node.envelope("mcmc", &restrict("mcmc", "N-1", 1, &["one.example"]));
    let signature = b"\"signature\":\"";
    let at = forged.windows(signature.len()).position(|octets| octets == signature).unwrap() + signature.len();
    forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
    let first = node.envelope("mcmc", &restrict("mcmc", "N-1", 1, &["one.example"]));
    let other = node.envelope("mcmc", &restrict("mcmc", "N-2", 1, &["two.example"]));
    let answers = node.push(None, &[forged, first, other]);
    let refusals: Vec<_> = answers
        .values()
        .filter_map(|answer| match answer {
            Answer::Refused(refusal) => Some(refusal),
            _ => None,
        })
        .collect();
    assert_eq!(refusals.len(), 2);
    assert_eq!((refusals[0].code, &refusals[0].receipt), ("signature", &None));
    assert_eq!(refusals[1].code, "sequence");
    let receipt = refusals[1].receipt.as_ref().unwrap();
    assert_eq!((&receipt["receipt"]["state"], &receipt["receipt"]["code"]), (&json!("refused"), &json!("sequence")));
    assert!(receipt["receipt"]["ledger"]["sequence"].is_u64());
}

#[test]
fn who_waits_is_answered_when_the_receipt_is_final() {
    let mut node = node();
    node.asks = false;
    let envelope = node.envelope("mcmc", &restrict("mcmc", "N-1", 1, &["one.example"]));
    let answer = node.push(None, &[envelope]).remove(&0).unwrap();
    let (now, (waiting, mut answered)) = (node.now, oneshot::channel());
    node.docket().await_receipt(&mcmc("N-1"), waiting, now);
    let (impatient, gone) = oneshot::channel();
    node.docket().await_receipt(&mcmc("N-1"), impatient, now);
    drop(gone);
    let Pushed::Taken { told, is_new: true } = node.docket().answer(answer, now) else { panic!() };
    assert_eq!((told.is_final, &told.receipt["receipt"]["state"]), (false, &json!("published")));
    assert!(answered.try_recv().is_err(), "nobody has asked the node yet");
    let found = node.asked();
    node.told(found);
    let told = answered.try_recv().unwrap();
    assert_eq!((told.is_final, &told.receipt["receipt"]["state"]), (true, &json!("enforced")));
    let (later, mut told) = oneshot::channel();
    node.docket().await_receipt(&mcmc("N-1"), later, now);
    assert!(told.try_recv().is_ok(), "it is final already");
    let (unknown, mut told) = oneshot::channel();
    node.docket().await_receipt(&mcmc("N-9"), unknown, now);
    assert!(told.try_recv().is_err());
}

#[test]
fn an_order_says_what_it_would_change() {
    let mut node = node();
    let words = |node: &mut Node, authority: &str, notice: &Value| {
        let envelope = node.envelope(authority, notice);
        node.rehearse(&envelope).map(|rehearsal| rehearsal.text).map_err(|refusal| refusal.code)
    };
    let mut first = restrict("mcmc", "N-1", 1, &["one.example", "two.example", "com.my"]);
    first["targets"][2]["scope"] = "subtree".into();
    first["targets"].as_array_mut().unwrap().push(json!({ "item": "9", "name": "192.0.2.1", "scope": "exact" }));
    let said = words(&mut node, "mcmc", &first);
    assert_eq!(said.as_deref(), Ok("adds 2 names, 1 quarantined: public-suffix, 1 refused: address"));
    assert!(!node.blocks("one.example"), "nothing is done");
    let envelope = node.envelope("mcmc", &first);
    node.push(None, &[envelope]);
    assert_eq!(words(&mut node, "mcmc", &first).as_deref(), Ok("nothing: it was taken before"));
    let court = restrict("court", "C-1", 1, &["two.example", "three.example"]);
    let said = words(&mut node, "court", &court);
    assert_eq!(said.as_deref(), Ok("adds 2 names (1 of them listed already by other notices)"));
    let envelope = node.envelope("court", &court);
    node.push(None, &[envelope]);
    let later = |id: &str, number: u64, kind: &str, more: Value| payload("mcmc", id, number, kind, ISSUED, more);
    let revoke = later("N-2", 2, "revoke", json!({ "revokes": ["N-1"] }));
    let said = words(&mut node, "mcmc", &revoke);
    assert_eq!(said.as_deref(), Ok("lifts 2 names (1 of them still listed by other notices)"));
    let part = later("N-2", 2, "revoke", json!({ "revokes": ["N-1"], "targets": [{ "item": "1" }] }));
    assert_eq!(words(&mut node, "mcmc", &part).as_deref(), Ok("lifts 1 name, leaves as they are 1 name"));
    let mut amend = restrict("mcmc", "N-2", 2, &["one.example", "four.example"]);
    (amend["kind"], amend["amends"]) = ("amend".into(), "N-1".into());
    let said = words(&mut node, "mcmc", &amend);
    let wanted = "adds 1 name, lifts 1 name (1 of them still listed by other notices), leaves as they are 1 name";
    assert_eq!(said.as_deref(), Ok(wanted));
    let suspend = later("N-2", 2, "suspend", json!({ "suspends": ["N-1"] }));
    let said = words(&mut node, "mcmc", &suspend);
    assert_eq!(said.as_deref(), Ok("lifts 2 names (1 of them still listed by other notices)"));
    let envelope = node.envelope("mcmc", &suspend);
    node.push(None, &[envelope]);
    let resume = later("N-3", 3, "resume", json!({ "resumes": ["N-1"] }));
    let said = words(&mut node, "mcmc", &resume);
    assert_eq!(said.as_deref(), Ok("adds 2 names (1 of them listed already by other notices)"));
    assert_eq!(words(&mut node, "mcmc", &restrict("mcmc", "N-4", 2, &["x.example"])), Err("sequence"));
}

#[test]
fn notices_are_found_by_authority_id_and_state_page_by_page() {
    let mut node = node();
    let envelopes: Vec<_> = (1..=5)
        .map(|n| node.envelope("mcmc", &restrict("mcmc", &format!("N-{n}"), n, &[&format!("n{n}.example")])))
        .chain([node.envelope("court", &restrict("court", "N-1", 1, &["c.example"]))])
        .collect();
    node.push(None, &envelopes);
    let revoke = payload("mcmc", "N-6", 6, "revoke", ISSUED, json!({ "revokes": ["N-2", "N-3"] }));
    let envelope = node.envelope("mcmc", &revoke);
    node.push(None, &[envelope]);
    let now = node.now;
    let docket = node.docket();
    let look = Look::new(docket, now);
    let ids = |selection: &Selection| -> Vec<String> {
        look.notices(selection).iter().map(|summary| format!("{}/{}", summary.authority, summary.notice)).collect()
    };
    let all = Selection { limit: 100, ..Selection::default() };
    assert_eq!(ids(&all), ["court/N-1", "mcmc/N-1", "mcmc/N-2", "mcmc/N-3", "mcmc/N-4", "mcmc/N-5"]);
    let revoked = Selection { state: Some("revoked".to_owned()), ..all.clone() };
    assert_eq!(ids(&revoked), ["mcmc/N-2", "mcmc/N-3"]);
    let page = Selection { after: Some(mcmc("N-2")), limit: 1, ..all.clone() };
    assert_eq!(ids(&page), ["mcmc/N-3", "mcmc/N-4"], "one more shows that there are more");
    let named = Selection { notices: ["N-1".to_owned(), "N-4".to_owned()].into(), ..all };
    assert_eq!(ids(&named), ["court/N-1", "mcmc/N-1", "mcmc/N-4"]);
    let (summary, orders) = look.notice(&mcmc("N-2")).unwrap();
    assert_eq!(summary.state, "revoked");
    assert_eq!(
        orders.iter().map(|order| (order.notice.as_str(), order.kind)).collect::<Vec<_>>(),
        [("N-2", "restrict"), ("N-6", "revoke")]
    );
    assert_eq!(look.receipt(&mcmc("N-6")).unwrap().receipt["receipt"]["state"], "carried-out");
    assert_eq!(look.authorities_of(&NoticeId::new("N-1")).len(), 2);
    let (records, head) = look.records(2, 3).unwrap();
    assert_eq!(records.iter().map(|(_, stored)| stored.head.sequence).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(records[0].0.next(&records[0].1.octets).hash, records[0].1.head.hash);
    assert!(head.sequence >= 4);
}

#[test]
fn what_an_authority_rehearses_is_judged_recorded_and_answered_and_blocks_nothing() {
    let mut node = node();
    node.rehearses("mcmc", true);
    let mut first = restrict("mcmc", "T-1", 1, &["one.example", "com.my"]);
    first["targets"][1]["scope"] = "subtree".into();
    let envelope = node.envelope("mcmc", &first);
    let said = node.rehearse(&envelope).unwrap().text;
    assert_eq!(said, "nothing, it is a rehearsal; otherwise: adds 1 name, 1 quarantined: public-suffix");
    node.push(None, &[envelope]);
    let receipt = |node: &mut Node, id: &str| {
        let now = node.now;
        Look::new(node.docket(), now).receipt(&mcmc(id)).unwrap().receipt["receipt"].clone()
    };
    for started_anew in [false, true] {
        if started_anew {
            node.reopen();
        }
        assert!(!node.blocks("one.example"));
        let told = receipt(&mut node, "T-1");
        assert_eq!((&told["state"], &told["test"]), (&json!("tested"), &json!(true)));
        assert_eq!(
            (&told["items"][0]["state"], &told["items"][1]["code"]),
            (&json!("tested"), &json!("public-suffix"))
        );
        assert_eq!(node.held("mcmc", "T-1", "2"), None, "nobody has to decide about it");
        let now = node.now;
        assert_eq!(node.docket().census(now).0.len(), 0);
    }
    // what was a rehearsal stays one, and rehearsals end nothing that is in force
    node.rehearses("mcmc", false);
    let refused = |node: &mut Node, id: &str, number: u64, of: &str| {
        let revoke = payload("mcmc", id, number, "revoke", ISSUED, json!({ "revokes": [of] }));
        let envelope = node.envelope("mcmc", &revoke);
        code(&node.push(None, &[envelope])[&0]).to_owned()
    };
    assert_eq!(refused(&mut node, "T-2", 2, "T-1"), "test");
    let real = node.envelope("mcmc", &restrict("mcmc", "N-3", 3, &["three.example"]));
    node.push(None, &[real]);
    assert!(node.blocks("three.example"));
    node.rehearses("mcmc", true);
    assert_eq!(refused(&mut node, "T-4", 4, "N-3"), "test");
    assert!(node.blocks("three.example"), "its word of before holds");
    let (name, reason, person) = (DnsName::from_text("three.example").unwrap(), "why".to_owned(), "alice".to_owned());
    assert_eq!(node.operate(OperatorRequest::Lift { name, reason, person }).word(), "done");
    let again = node.envelope("mcmc", &restrict("mcmc", "T-6", 6, &["three.example"]));
    node.push(None, &[again]);
    assert!(!node.blocks("three.example"), "no rehearsal ends a lift");
    let told = receipt(&mut node, "T-6");
    assert_eq!((&told["state"], &told["items"][0]["state"]), (&json!("tested"), &json!("tested")));
    assert_eq!(receipt(&mut node, "N-3")["state"], "lifted");
    let revoke = payload("mcmc", "T-5", 5, "revoke", ISSUED, json!({ "revokes": ["T-1"] }));
    let envelope = node.envelope("mcmc", &revoke);
    node.push(None, &[envelope]);
    assert_eq!(
        (&receipt(&mut node, "T-5")["state"], &receipt(&mut node, "T-1")["state"]),
        (&json!("carried-out"), &json!("revoked"))
    );
}
