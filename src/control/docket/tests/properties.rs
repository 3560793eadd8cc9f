//! Any sequence of signed orders, ticks, approvals and lifts leaves the policy of a naive model, which has nothing but the
//! list of what was accepted; a policy that grew by changes is the one that is compiled at once; and the ledger, opened at
//! any point, gives the same again.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};

use super::node::{Node, payload};
use crate::control::command::{OperatorReply, OperatorRequest};
use crate::model::{DnsName, Scope};

/// Names that notices list and people lift, chosen so that they stand above, below and beside each other. The guard holds
/// the last.
const NAMES: [&str; 6] = ["a.example", "www.a.example", "x.www.a.example", "b.example", "c.example", "com.my"];
/// Names that are asked for beside them.
const ASKED: [&str; 3] = ["deep.x.www.a.example", "any.b.example", "any.com.my"];
const PEOPLE: [&str; 3] = ["alice", "bob", "carol"];

/// A target: a name, and whether all below it is meant.
type Target = (usize, bool);

/// Something happens. Times are minutes from then; `of` is one of the notices so far, of whatever authority.
#[derive(Clone, Debug)]
enum Deed {
    Restrict { court: bool, targets: Vec<Target>, from: i64, lasts: Option<i64>, secret: bool },
    Amend { of: usize, targets: Vec<Target>, from: i64, lasts: Option<i64> },
    Revoke { of: usize, items: Vec<usize>, from: i64 },
    Suspend { of: usize, from: i64 },
    Resume { of: usize, from: i64 },
    Approve { person: usize, item: usize },
    Lift { person: usize, name: usize },
    Restore { person: usize, name: usize },
    Pass { minutes: i64 },
    Again { of: usize },
    Configure,
}

fn targets() -> impl Strategy<Value = Vec<Target>> {
    prop::collection::vec((0..NAMES.len(), any::<bool>()), 1..4)
}

/// Minutes ahead, or at once.
fn from() -> impl Strategy<Value = i64> {
    prop_oneof![2 => Just(0), 1 => 1..30_i64]
}

fn deed() -> impl Strategy<Value = Deed> {
    let of = 0..6_usize;
    let lasts = || prop::option::of(1..60_i64);
    prop_oneof![
        4 => (any::<bool>(), targets(), from(), lasts(), any::<bool>())
            .prop_map(|(court, targets, from, lasts, secret)| Deed::Restrict { court, targets, from, lasts, secret }),
        2 => (of.clone(), targets(), from(), lasts())
            .prop_map(|(of, targets, from, lasts)| Deed::Amend { of, targets, from, lasts }),
        2 => (of.clone(), prop::collection::vec(1..4_usize, 0..3), from())
            .prop_map(|(of, items, from)| Deed::Revoke { of, items, from }),
        2 => (of.clone(), from()).prop_map(|(of, from)| Deed::Suspend { of, from }),
        2 => (of.clone(), from()).prop_map(|(of, from)| Deed::Resume { of, from }),
        2 => (0..PEOPLE.len(), 0..4_usize).prop_map(|(person, item)| Deed::Approve { person, item }),
        1 => (0..PEOPLE.len(), 0..NAMES.len()).prop_map(|(person, name)| Deed::Lift { person, name }),
        1 => (0..PEOPLE.len(), 0..NAMES.len()).prop_map(|(person, name)| Deed::Restore { person, name }),
        3 => (1..20_i64).prop_map(|minutes| Deed::Pass { minutes }),
        1 => of.prop_map(|of| Deed::Again { of }),
        1 => Just(Deed::Configure),
    ]
}

//------ the model -------------------------------------------------------------------------------------------------------

/// What was accepted, and nothing else.
#[derive(Default)]
struct Model {
    notices: Vec<Accepted>,
    /// Names lifted and not yet listed anew, each with the number of the last order before.
    lifted: Vec<(DnsName, u64)>,
    /// Until when it was looked for what ends lifts.
    looked: Timestamp,
}

/// A notice with what was ordered about it later.
struct Accepted {
    id: String,
    court: bool,
    first: Content,
    /// From when, and what; in the order in which they came.
    later: Vec<(Timestamp, Order)>,
}

/// What an order lists and when: an item that waits for people is `None`, and has its own switch.
#[derive(Clone, Debug)]
struct Content {
    /// Of the order.
    number: u64,
    targets: Vec<Target>,
    from: Timestamp,
    until: Option<Timestamp>,
    /// Items in quarantine that two persons have let go, by number.
    approved: Vec<usize>,
    /// The order's id, by which that is found.
    said_by: String,
}

#[derive(Clone, Debug)]
enum Order {
    Amend(Content),
    Revoke(Vec<usize>),
    Suspend,
    Resume,
}

/// What the guard holds.
fn is_held(target: Target) -> bool {
    target.0 == 5
}

fn name(at: usize) -> DnsName {
    DnsName::from_text(NAMES[at]).unwrap()
}

impl Accepted {
    /// What it lists at an instant, and the number of the order that says so; `None` if it has ended by then.
    fn says(&self, now: Timestamp) -> Option<(u64, Vec<Target>)> {
        let mut later: Vec<_> = self.later.iter().filter(|(at, _)| *at <= now).collect();
        later.sort_by_key(|(at, _)| *at);
        let (mut content, mut suspended, mut gone) = (&self.first, false, Vec::new());
        for (at, order) in later {
            if content.until.is_some_and(|until| until <= *at) {
                return None;
            }
            match order {
                Order::Amend(other) => (content, gone) = (other, Vec::new()),
                Order::Revoke(items) if items.is_empty() => return None,
                Order::Revoke(items) => gone.extend(items),
                Order::Suspend => suspended = true,
                Order::Resume => suspended = false,
            }
        }
        if content.until.is_some_and(|until| until <= now) {
            return None;
        }
        let items = (1..).zip(&content.targets);
        let kept = items
            .filter(|(item, target)| !gone.contains(item) && (!is_held(**target) || content.approved.contains(item)));
        let listed = kept.map(|(_, target)| *target).collect();
        Some((content.number, if suspended || now < content.from { Vec::new() } else { listed }))
    }

    fn lists(&self, now: Timestamp) -> Option<Vec<Target>> {
        self.says(now).map(|(_, listed)| listed)
    }

    /// When it may come to list something else.
    fn instants(&self) -> impl Iterator<Item = Timestamp> {
        let later = self.later.iter().flat_map(|(at, order)| match order {
            Order::Amend(content) => [Some(*at), Some(content.from)],
            _ => [Some(*at), None],
        });
        later.flatten().chain([self.first.from])
    }
}

impl Model {
    fn blocks(&self, asked: &DnsName, now: Timestamp) -> bool {
        let listed = |(at, below): Target| *asked == name(at) || (below && asked.is_at_or_below(&name(at)));
        let ordered = self.notices.iter().any(|notice| notice.lists(now).into_iter().flatten().any(listed));
        ordered && !self.is_lifted(asked)
    }

    fn is_lifted(&self, asked: &DnsName) -> bool {
        self.lifted.iter().any(|(lifted, _)| asked.is_at_or_below(lifted))
    }

    /// Lets time pass: what takes effect and lists names anew ends lifts.
    fn look(&mut self, now: Timestamp) {
        let instants = self.notices.iter().flat_map(Accepted::instants);
        let mut instants: Vec<_> = instants.filter(|at| self.looked < *at && *at < now).chain([now]).collect();
        instants.sort_unstable();
        let about = |lifted: &DnsName, (at, below): Target| {
            name(at).is_at_or_below(lifted) || (below && lifted.is_at_or_below(&name(at)))
        };
        for at in instants {
            for (number, listed) in self.notices.iter().filter_map(|notice| notice.says(at)) {
                self.lifted
                    .retain(|(lifted, last)| number <= *last || !listed.iter().any(|target| about(lifted, *target)));
            }
        }
        self.looked = now;
    }

    /// Every content that was ever ordered.
    fn contents(&mut self) -> impl Iterator<Item = &mut Content> {
        self.notices.iter_mut().flat_map(|notice| {
            let later = notice.later.iter_mut().filter_map(|(_, order)| match order {
                Order::Amend(content) => Some(content),
                _ => None,
            });
            std::iter::once(&mut notice.first).chain(later)
        })
    }
}

//------ both side by side -------------------------------------------------------------------------------------------------

struct Pair {
    node: Node,
    model: Model,
    numbers: u64,
    /// Held items by number: the order that has them, which of its items, and who has approved it.
    holds: Vec<(u64, String, usize, Option<usize>)>,
}

impl Pair {
    fn new() -> Self {
        let node = Node::new("2026-11-01T00:00:00Z".parse().unwrap());
        Self { node, model: Model::default(), numbers: 0, holds: Vec::new() }
    }

    fn after(&self, minutes: i64) -> Timestamp {
        self.node.now + SignedDuration::from_mins(minutes)
    }

    /// Sends an order; whether it was accepted.
    fn send(&mut self, court: bool, kind: &str, from: i64, more: Value) -> (String, bool) {
        self.numbers += 1;
        let (id, authority) = (format!("N-{}", self.numbers), if court { "court" } else { "mcmc" });
        let issued = self.node.now.to_string();
        let mut notice = payload(authority, &id, self.numbers, kind, &issued, more);
        notice["effective_at"] = self.after(from).to_string().into();
        self.node.sign(authority, &id, &notice);
        self.node.turn(vec![id.clone()]);
        let state = self.node.receipt(&id).map(|receipt| receipt["state"].clone());
        (id, state.expect("every order is answered") != "refused")
    }

    /// What restricts, and what the model has of it.
    fn restriction(&self, targets: &[Target], from: i64, lasts: Option<i64>) -> (Value, Content) {
        let target = |(item, (at, below)): (usize, &Target)| {
            let scope = if *below { Scope::Subtree } else { Scope::Exact };
            json!({ "item": (item + 1).to_string(), "name": NAMES[*at], "scope": scope.as_str() })
        };
        let listed: Vec<_> = targets.iter().enumerate().map(target).collect();
        let mut more = json!({ "category": "scam", "action": "nodata", "targets": listed });
        let (from, until) = (self.after(from), lasts.map(|lasts| self.after(from + lasts)));
        if let Some(until) = until {
            more["expires_at"] = until.to_string().into();
        }
        let (targets, approved) = (targets.to_vec(), Vec::new());
        (more, Content { number: self.numbers + 1, targets, from, until, approved, said_by: String::new() })
    }

    /// What is held of an order that was accepted: its receipt knows no more than that.
    fn holds(&mut self, content: &Content) {
        let OperatorReply::List(listed) = self.node.operate(OperatorRequest::Held { secret: false }) else { panic!() };
        let mut new: Vec<_> =
            listed.iter().map(|held| held.id).filter(|id| self.holds.iter().all(|(of, ..)| of != id)).collect();
        new.sort_unstable();
        let held = (1..).zip(&content.targets).filter(|(_, target)| is_held(**target)).map(|(item, _)| item);
        for (id, item) in new.into_iter().zip(held) {
            self.holds.push((id, content.said_by.clone(), item, None));
        }
    }

    fn later(&mut self, of: usize, kind: &str, member: &str, from: i64, mut more: Value, order: Order) {
        let Some(notice) = self.model.notices.get(of) else { return };
        let (court, id) = (notice.court, notice.id.clone());
        more[member] = json!([id]);
        let (_, accepted) = self.send(court, kind, from, more);
        let ended = self.model.notices[of].lists(self.node.now).is_none();
        assert_eq!(accepted, !ended || kind == "revoke", "{kind} of {id}");
        let at = self.after(from);
        if accepted {
            self.model.notices[of].later.push((at, order));
        }
    }

    fn act(&mut self, deed: Deed) {
        match deed {
            Deed::Restrict { court, targets, from, lasts, secret } => {
                let (mut more, first) = self.restriction(&targets, from, lasts);
                if secret {
                    more["sensitivity"] = "secret".into();
                }
                let (id, accepted) = self.send(court, "restrict", from, more);
                assert!(accepted);
                let first = Content { said_by: id.clone(), ..first };
                self.holds(&first);
                self.model.notices.push(Accepted { id, court, first, later: Vec::new() });
            }
            Deed::Amend { of, targets, from, lasts } => {
                let Some(notice) = self.model.notices.get(of) else { return };
                let (court, amends, ended) = (notice.court, notice.id.clone(), notice.lists(self.node.now).is_none());
                let (mut more, content) = self.restriction(&targets, from, lasts);
                more["amends"] = amends.into();
                more["sensitivity"] = "secret".into(); // it may be of a secret notice, and must not make that public
                let (id, accepted) = self.send(court, "amend", from, more);
                assert_eq!(accepted, !ended);
                if accepted {
                    let content = Content { said_by: id, ..content };
                    self.holds(&content);
                    let at = self.after(from);
                    self.model.notices[of].later.push((at, Order::Amend(content)));
                }
            }
            Deed::Revoke { of, mut items, from } => {
                items.sort_unstable();
                items.dedup();
                let mut more = json!({});
                if !items.is_empty() {
                    more["targets"] = items.iter().map(|item| json!({ "item": item.to_string() })).collect();
                }
                self.later(of, "revoke", "revokes", from, more, Order::Revoke(items));
            }
            Deed::Suspend { of, from } => self.later(of, "suspend", "suspends", from, json!({}), Order::Suspend),
            Deed::Resume { of, from } => self.later(of, "resume", "resumes", from, json!({}), Order::Resume),
            Deed::Approve { person, item } => self.approve(person, item),
            Deed::Lift { person, name: at } => {
                let name = name(at);
                // a subtree of a name above it does; an exact name below does not
                let listed = self.model.blocks(&name, self.node.now);
                let request =
                    OperatorRequest::Lift { name: name.clone(), reason: "why".into(), person: PEOPLE[person].into() };
                let reply = self.node.operate(request);
                assert_eq!(reply.word() == "done", listed, "{reply:?}");
                if listed {
                    self.model.lifted.push((name, self.numbers));
                }
            }
            Deed::Restore { person, name: at } => {
                let name = name(at);
                let is_lifted = self.model.lifted.iter().any(|(lifted, _)| *lifted == name);
                let request = OperatorRequest::Restore {
                    name: name.clone(),
                    reason: "why".into(),
                    person: PEOPLE[person].into(),
                };
                let reply = self.node.operate(request);
                assert_eq!(reply.word() == "done", is_lifted, "{reply:?}");
                self.model.lifted.retain(|(lifted, _)| *lifted != name);
            }
            Deed::Pass { minutes } => {
                let then = self.after(minutes);
                self.node.pass(then);
            }
            Deed::Again { of } => {
                if let Some(notice) = self.model.notices.get(of) {
                    self.node.copy(&notice.id, "copy");
                    self.node.turn(vec!["copy".to_owned()]);
                }
            }
            Deed::Configure => self.node.configure(),
        }
    }

    fn approve(&mut self, person: usize, at: usize) {
        let Some((id, said_by, item, before)) = self.holds.get(at).cloned() else { return };
        let request = OperatorRequest::Approve { id, reason: "seen".into(), person: PEOPLE[person].into() };
        let reply = self.node.operate(request);
        if before == Some(person) {
            assert_eq!(reply.word(), "same-person");
        } else if before.is_none() {
            assert_eq!(reply.word(), "done");
            self.holds[at].3 = Some(person);
        } else {
            assert_eq!(reply.word(), "done");
            self.holds[at].0 = 0; // its number is used up
            self.holds.remove(at);
            let content = self.model.contents().find(|content| content.said_by == said_by).unwrap();
            content.approved.push(item);
        }
    }

    /// The policy is the model's, name by name, and what is compiled anew from what is accepted.
    fn check(&mut self) {
        self.model.look(self.node.now);
        for asked in NAMES.iter().chain(&ASKED) {
            let wanted = self.model.blocks(&DnsName::from_text(asked).unwrap(), self.node.now);
            assert_eq!(self.node.blocks(asked), wanted, "{asked} at {}", self.node.now);
        }
    }
}

/// A case takes a second or so: the ledger waits for the disk. So there are a few, the same each time; `PROPTEST_CASES` asks
/// for more, and for others.
fn config() -> ProptestConfig {
    let default = ProptestConfig { max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() };
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => default,
        None => ProptestConfig { cases: 16, rng_seed: RngSeed::Fixed(1), ..default },
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_orders_leave_the_policy_of_the_model(deeds in prop::collection::vec(deed(), 1..30)) {
        let mut pair = Pair::new();
        for deed in deeds {
            pair.act(deed);
            pair.check();
        }
    }

    #[test]
    fn the_ledger_gives_the_same_wherever_it_is_opened(
        deeds in prop::collection::vec((deed(), any::<bool>()), 1..20),
    ) {
        let mut pair = Pair::new();
        for (deed, opened) in deeds {
            pair.act(deed);
            if opened {
                let (names, receipts) = (pair.node.names(), pair.node.receipts());
                let digest = pair.node.digest();
                // a register built anew has what the one has that grew by changes
                pair.node.reopen();
                prop_assert_eq!(pair.node.digest(), digest);
                prop_assert_eq!(pair.node.names(), names);
                prop_assert_eq!(pair.node.receipts(), receipts);
            }
            pair.check();
        }
    }
}
