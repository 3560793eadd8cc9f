//! The docket as a whole: stories that people can read, and any sequence of orders against a naive model; each of them
//! also with the ledger opened anew again and again.
//!
//! | file | what |
//! |---|---|
//! | [`node`] | docket, state and register as the control plane turns them, on a clock that is told the time |
//! | [`desk`] | orders that are handed in one by one |
//! | [`stories`] | `tests/scenarios/notices/*.txt`, and their language |
//! | [`properties`] | any sequence of orders, ticks, approvals and lifts |

mod desk;
mod node;
mod properties;
mod stories;

use serde_json::json;

use self::node::{Node, payload};
use crate::control::command::OperatorRequest;
use crate::model::DnsName;

#[test]
fn an_answer_counts_for_what_was_asked_and_for_nothing_that_came_meanwhile() {
    let issued = "2026-01-01T00:00:00Z";
    let mut node = Node::new(issued.parse().unwrap());
    let targets = |name: &str| json!({ "category": "scam", "action": "nodata", "targets": [{ "item": "1", "name": name, "scope": "exact" }] });
    node.sign("mcmc", "N-1", &payload("mcmc", "N-1", 1, "restrict", issued, targets("one.example")));
    node.asks = false;
    node.turn(vec!["N-1".to_owned()]);
    let found = node.asked();
    let mut amendment = payload("mcmc", "N-2", 2, "amend", issued, targets("two.example"));
    amendment["amends"] = "N-1".into();
    node.sign("mcmc", "N-2", &amendment);
    node.turn(vec!["N-2".to_owned()]);
    node.told(found);
    assert_ne!(node.receipt("N-2").map(|receipt| receipt["state"].clone()), Some("enforced".into()));
    let found = node.asked();
    node.told(found);
    assert_eq!(node.receipt("N-2").unwrap()["state"], "enforced");
}

#[test]
fn what_is_overtaken_while_it_is_asked_is_no_failure() {
    let issued = "2026-01-01T00:00:00Z";
    let order = |id: &str, number, kind: &str, more| payload("mcmc", id, number, kind, issued, more);
    let name = |n: u64| format!("n{n}.example");
    let restrict = |n: u64, more: serde_json::Value| {
        let mut notice = json!({ "category": "scam", "action": "nodata" });
        notice["targets"] = json!([{ "item": "1", "name": name(n), "scope": "exact" }]);
        notice.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        order(&format!("N-{n}"), n, "restrict", notice)
    };
    let person = |node: &mut Node, request: &dyn Fn(DnsName) -> OperatorRequest| {
        let reply = node.operate(request(DnsName::from_text(&name(3)).unwrap()));
        assert_eq!(reply.word(), "done", "{reply:?}");
    };
    let (reason, alice) = (|| "why".to_owned(), || "alice".to_owned());
    let mut node = Node::new(issued.parse().unwrap());
    node.asks = false;
    let ends = json!({ "expires_at": "2026-01-01T00:01:00Z" });
    for (n, more) in [(1, json!({})), (2, ends), (3, json!({}))] {
        node.sign("mcmc", &format!("N-{n}"), &restrict(n, more));
    }
    node.turn(["N-1", "N-2", "N-3"].map(str::to_owned).to_vec());
    let asked = |node: &mut Node| {
        let mut found = node.asked();
        // the answers come from the policy after what happened meanwhile
        found.iter_mut().for_each(|found| (found.failed, found.failures) = (Some("not-blocked"), 1));
        found
    };
    let mut late = asked(&mut node);
    assert_eq!(late.len(), 3);
    // suspended by its authority
    node.sign("mcmc", "N-4", &order("N-4", 4, "suspend", json!({ "suspends": ["N-1"] })));
    node.turn(vec!["N-4".to_owned()]);
    // lifted by a person
    person(&mut node, &|name| OperatorRequest::Lift { name, reason: reason(), person: alice() });
    // expired, and nothing has told the docket yet
    node.now = "2026-01-01T00:01:00Z".parse().unwrap();
    late.sort_by_key(|found| found.key.clone());
    node.told(late);
    assert_eq!(node.failures(), 0);
    node.turn(Vec::new());
    let found = node.asked();
    node.told(found);
    let state = |node: &Node, file: &str| node.receipt(file).unwrap()["state"].clone();
    assert_eq!(["N-1", "N-2", "N-3"].map(|file| state(&node, file)), ["suspended", "expired", "lifted"]);
    // what fails for no such reason counts
    person(&mut node, &|name| OperatorRequest::Restore { name, reason: reason(), person: alice() });
    let found = asked(&mut node);
    node.told(found);
    assert_eq!((node.failures(), state(&node, "N-3")), (1, "published".into()));
}

#[test]
fn a_receipt_of_a_moment_before_a_kill_is_written_anew() {
    let issued = "2026-01-01T00:00:00Z";
    let mut node = Node::new(issued.parse().unwrap());
    let targets = json!({
        "category": "scam", "action": "nodata", "targets": [{ "item": "1", "name": "one.example", "scope": "exact" }]
    });
    node.sign("mcmc", "N-1", &payload("mcmc", "N-1", 1, "restrict", issued, targets));
    node.asks = false;
    node.turn(vec!["N-1".to_owned()]);
    let now = node.now;
    node.docket().finish(now);
    let before = node.receipt_file("N-1");
    assert_eq!(node.receipt("N-1").unwrap()["state"], "published");
    let found = node.asked();
    node.told(found);
    assert_eq!(node.receipt("N-1").unwrap()["state"], "enforced");
    // it was recorded, and the process ended before it was written down beside the file
    std::fs::write(node.receipt_path("N-1"), before).unwrap();
    node.reopen();
    let now = node.now;
    node.docket().finish(now);
    assert_eq!(node.receipt("N-1").unwrap()["state"], "enforced");
}
