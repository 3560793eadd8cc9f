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
