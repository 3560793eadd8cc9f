//! Signed notices while the program is killed at any moment: what a receipt said holds after the next start, and no
//! notice is ever half in force.
//!
//! A round drops orders, kills the program with SIGKILL, loses some of the files (what was taken in does not depend on
//! them) and starts it again, now and then killing it while it starts. The rest is what a reader would expect: the test
//! knows what each notice must be, asks for all of its names, and has the ledger verified with the head of a receipt.
//!
//! `PAGAR_SEED` makes the same choices again; the moments of a kill depend on the machine all the same. The heavy form:
//!
//! ```text
//! cargo test --test integration -- --ignored --nocapture kills
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::process::{Command, Stdio};
use std::time::Duration;

use hickory_proto::rr::RecordType;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::client::{addresses, exchange_udp, query, udp};
use crate::harness::{Pagar, Reaped};
use crate::signed::{PAGE, Signed, TRUE, is_blocked, until};

/// Names of each notice.
const NAMES: [&str; 3] = ["one", "two", "three"];
/// Notices that are not revoked, at most.
const LIVE: usize = 40;

#[test]
fn what_a_receipt_said_outlives_fifteen_kills() {
    kill(15);
}

#[test]
#[ignore = "takes minutes; the header says how to run it"]
fn what_a_receipt_said_outlives_two_hundred_and_fifty_kills() {
    kill(250);
}

#[test]
fn what_was_dropped_while_it_was_down_is_in_force_before_the_first_answer_and_asked_for() {
    let signed = Signed::new(1);
    let (mcmc, pagar) = (&signed.mcmc, signed.start());
    for number in 1..=3 {
        let names = NAMES.map(|name| name_of(number, name));
        let order = mcmc.restrict(number, &names.each_ref().map(String::as_str));
        signed.order(&format!("{number}.jws"), &order);
        signed.receipt(&format!("{number}.jws"), "enforced");
    }
    signed.order("4.jws", &mcmc.notice(4, "suspend", json!({ "suspends": ["N-3"] })));
    signed.receipt("4.jws", "carried-out");
    drop(pagar);
    signed.order("5.jws", &mcmc.notice(5, "suspend", json!({ "suspends": ["N-1"] })));
    signed.order("6.jws", &mcmc.notice(6, "revoke", json!({ "revokes": ["N-2"] })));
    signed.order("7.jws", &mcmc.notice(7, "revoke", json!({ "revokes": ["N-3"] })));
    signed.site.remove("state/node.pub.jwk"); // as after a kill between the two halves
    let pagar = signed.start();
    for number in 1..=3 {
        assert!(!is_blocked(&pagar, &format!("{}.", name_of(number, "two"))), "{number}");
    }
    for file in ["5.jws", "6.jws", "7.jws"] {
        let receipt = signed.receipt(file, "carried-out");
        assert!(receipt["lifted_at"].is_string(), "{receipt:#}");
    }
}

fn kill(times: u32) {
    let seed = std::env::var("PAGAR_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("PAGAR_SEED={seed}");
    let mut world = World::new(seed);
    (0..5).for_each(|_| world.kill_while_it_starts()); // what the first start makes is made whole
    let mut pagar = world.signed.start();
    for round in 0..times {
        world.drop_orders(&pagar);
        pagar.signal(Signal::KILL);
        pagar.wait();
        world.look_at_receipts();
        world.lose_files();
        if round % 4 == 3 {
            world.kill_while_it_starts();
        }
        pagar = world.signed.start();
        world.check(&pagar, &format!("PAGAR_SEED={seed}, after kill {}", round + 1));
    }
    world.settle(&pagar);
    world.check_the_record();
    world.report(times);
}

/// SplitMix64: the same choices for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut n = self.0;
        n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (n ^ n >> 31) % end
    }

    fn one_in(&mut self, number: u64) -> bool {
        self.below(number) == 0
    }

    fn micros(&mut self, range: Range<u64>) -> Duration {
        Duration::from_micros(range.start + self.below(range.end - range.start))
    }
}

/// What a notice must be.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Blocked,
    Suspended,
    Revoked,
    /// An order was lost that may have been taken in or not.
    Either,
}

/// An order on its way: of which the test has seen no receipt that says it is carried out.
#[derive(Clone, Debug)]
struct Coming {
    file: String,
    text: String,
    /// What the notice becomes.
    to: State,
    /// Its file was taken away.
    lost: bool,
}

#[derive(Debug)]
struct Notice {
    /// After the orders whose receipts were seen; `None` before the first.
    state: Option<State>,
    /// There is one at a time, so that their order is not in question.
    coming: Option<Coming>,
}

impl Notice {
    /// What must be the case when the program answers, with what is in the directory read.
    fn expected(&self) -> State {
        match &self.coming {
            Some(Coming { lost: true, .. }) => State::Either,
            Some(coming) => coming.to,
            None => self.state.expect("a notice that was sent or has a state"),
        }
    }
}

struct World {
    signed: Signed,
    random: Random,
    /// The number of the last order.
    last: u64,
    /// By the number of the order that restricts.
    notices: BTreeMap<u64, Notice>,
    /// Every order sent, by its file.
    sent: BTreeMap<String, u64>,
    /// Heads that receipts named: sequence and hash.
    heads: BTreeMap<u64, String>,
    /// Sequence of the head of each receipt that said `enforced`, by the notice.
    enforced: BTreeMap<u64, u64>,
    receipts: usize,
    lost: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let (random, signed) = (Random(seed), Signed::new(1));
        let (notices, sent, heads, enforced) = Default::default();
        Self { signed, random, last: 0, notices, sent, heads, enforced, receipts: 0, lost: 0 }
    }

    //------ orders ---

    /// Drops orders, some at once and some apart, looks at receipts meanwhile, and returns at any moment of it.
    fn drop_orders(&mut self, pagar: &Pagar) {
        for _ in 0..=self.random.below(12) {
            self.drop_one();
            if self.random.one_in(3) {
                std::thread::sleep(self.random.micros(0..40_000));
                self.look_at_receipts();
            }
        }
        std::thread::sleep(self.random.micros(0..60_000));
        assert!(!pagar.log().contains("panicked"), "{}", pagar.log());
    }

    fn drop_one(&mut self) {
        let (mcmc, number) = (&self.signed.mcmc, self.last + 1);
        let free = |notice: &Notice| notice.coming.is_none() && notice.state != Some(State::Revoked);
        let free: Vec<_> = self.notices.iter().filter(|(_, notice)| free(notice)).map(|(id, _)| *id).collect();
        let live = self.notices.values().filter(|notice| notice.state != Some(State::Revoked)).count();
        let (id, order, to) = if free.is_empty() || (live < LIVE && self.random.one_in(2)) {
            let names = NAMES.map(|name| name_of(number, name));
            (number, mcmc.restrict(number, &names.each_ref().map(String::as_str)), State::Blocked)
        } else {
            let id = free[self.random.below(free.len() as u64) as usize];
            let about = json!([format!("N-{id}")]);
            match (self.notices[&id].state, self.random.one_in(2)) {
                (Some(State::Suspended), true) => {
                    (id, mcmc.notice(number, "resume", json!({ "resumes": about })), State::Blocked)
                }
                (Some(State::Blocked), true) => {
                    (id, mcmc.notice(number, "suspend", json!({ "suspends": about })), State::Suspended)
                }
                _ => (id, mcmc.notice(number, "revoke", json!({ "revokes": about })), State::Revoked),
            }
        };
        let (file, text) = (format!("{number}.jws"), mcmc.sign(&order));
        self.signed.send(&file, &text);
        self.last = number;
        self.sent.insert(file.clone(), number);
        let notice = self.notices.entry(id).or_insert(Notice { state: None, coming: None });
        notice.coming = Some(Coming { file, text, to, lost: false });
    }

    /// Takes note of orders whose receipts say that they are carried out.
    fn look_at_receipts(&mut self) {
        for (id, notice) in &mut self.notices {
            let Some(coming) = notice.coming.as_ref().filter(|coming| !coming.lost) else { continue };
            let Some(receipt) = self.signed.receipt_now(&coming.file) else { continue };
            assert_ne!(receipt["state"], "refused", "{receipt:#}");
            let head = &receipt["ledger"];
            self.heads.insert(head["head"].as_u64().unwrap(), head["hash"].as_str().unwrap().to_owned());
            self.receipts += 1;
            let done = if receipt["kind"] == "restrict" { "enforced" } else { "carried-out" };
            if receipt["state"] != done {
                continue;
            }
            match coming.to {
                State::Blocked => drop(self.enforced.insert(*id, head["head"].as_u64().unwrap())),
                _ => assert!(receipt["lifted_at"].is_string(), "called carried out unasked: {receipt:#}"),
            }
            notice.state = Some(coming.to);
            notice.coming = None;
        }
    }

    //------ accidents ---

    /// Takes files away: of orders that are carried out, and of some that may not have been taken in.
    fn lose_files(&mut self) {
        let coming = self.notices.values_mut().filter_map(|notice| notice.coming.as_mut());
        let mut coming: BTreeMap<_, _> = coming.map(|coming| (coming.file.clone(), coming)).collect();
        for file in self.sent.keys() {
            let path = self.signed.site.path(&format!("notices/{file}"));
            match coming.get_mut(file) {
                Some(order) if !order.lost && self.random.one_in(4) => order.lost = true,
                None if self.random.one_in(2) => {}
                _ => continue,
            }
            if fs::remove_file(path).is_ok() {
                self.lost += 1;
            }
        }
    }

    /// Starts it and kills it before it is ready, or soon after: a debug build takes about 30 ms.
    fn kill_while_it_starts(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pagar"));
        command.args(["serve", "--config"]).arg(self.signed.site.path("pagar.toml"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let starting = Reaped(command.spawn().unwrap());
        std::thread::sleep(self.random.micros(0..60_000));
        drop(starting);
        self.look_at_receipts();
    }

    //------ what must hold ---

    /// Asks for the names of all notices, and has the ledger verified.
    fn check(&mut self, pagar: &Pagar, when: &str) {
        let socket = udp(pagar.address().ip());
        for (id, notice) in &self.notices {
            let blocked = NAMES.map(|name| {
                let question = query(&format!("www.{}.", name_of(*id, name)), RecordType::A).to_vec().unwrap();
                let answer = exchange_udp(&socket, pagar.address(), &question).expect("an answer");
                let answer = hickory_proto::op::Message::from_vec(&answer).unwrap();
                match addresses(&answer).iter().map(ToString::to_string).collect::<Vec<_>>().as_slice() {
                    [one] if one == PAGE => true,
                    [one] if one == TRUE => false,
                    other => panic!("{when}, notice {id}: {other:?}"),
                }
            });
            assert!(
                blocked.iter().all(|it| *it == blocked[0]),
                "{when}: {id} is half in force: {blocked:?}, {notice:?}"
            );
            let expected = match notice.expected() {
                State::Blocked => true,
                State::Suspended | State::Revoked => false,
                State::Either => continue,
            };
            assert_eq!(blocked[0], expected, "{when}: notice {id}, {notice:?}\n{}", pagar.log());
        }
        self.verify(when);
        // what was lost comes again, as a sender without a receipt would have it
        for coming in self.notices.values_mut().filter_map(|notice| notice.coming.as_mut()).filter(|it| it.lost) {
            self.signed.send(&coming.file, &coming.text);
            coming.lost = false;
        }
    }

    /// The chain is whole, and the last head that a receipt named is in it.
    fn verify(&self, when: &str) {
        let mut words = vec!["ledger", "verify"];
        if let Some(hash) = self.heads.values().last() {
            words.extend(["--head", hash]);
        }
        let ended = self.signed.site.run(&words);
        assert_eq!(ended.code, Some(0), "{when}: {ended:?}");
    }

    /// Waits until every order has its receipt.
    fn settle(&mut self, pagar: &Pagar) {
        let settled = until(|| {
            self.look_at_receipts();
            self.notices.values().all(|notice| notice.coming.is_none())
        });
        let left: Vec<_> = self.notices.iter().filter(|(_, notice)| notice.coming.is_some()).collect();
        let there = |notice: &Notice| notice.coming.as_ref().and_then(|coming| self.signed.receipt_now(&coming.file));
        let receipts: Vec<_> = left.iter().map(|(_, notice)| there(notice)).collect();
        assert!(settled, "without a receipt that says all is done: {left:?}, {receipts:?}\n{}", pagar.log());
        self.check(pagar, "at the end");
    }

    /// Every head of a receipt is in the record, every order was accepted once, and nothing was called enforced before
    /// that stood there.
    fn check_the_record(&self) {
        let ended = self.signed.site.run(&["ledger", "export"]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let (mut hashes, mut accepted, mut enforced) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for line in ended.out.lines() {
            let record: Value = serde_json::from_str(line).unwrap();
            let sequence = record["sequence"].as_u64().unwrap();
            hashes.insert(sequence, record["hash"].as_str().unwrap().to_owned());
            let record = &record["record"];
            let number = || record["notice"].as_str()?.strip_prefix("N-")?.parse::<u64>().ok();
            match record["event"].as_str().unwrap() {
                "accepted" => *accepted.entry(number().unwrap()).or_insert(0) += 1,
                "enforced" => drop(enforced.entry(number().unwrap()).or_insert(sequence)),
                _ => {}
            }
        }
        for (sequence, hash) in &self.heads {
            assert_eq!(hashes.get(sequence), Some(hash), "a receipt named this head");
        }
        assert_eq!(accepted, (1..=self.last).map(|number| (number, 1)).collect(), "every order is recorded once");
        for (id, head) in &self.enforced {
            assert!(enforced.get(id).is_some_and(|at| at <= head), "notice {id} was called enforced by record {head}");
        }
    }

    fn report(&self, times: u32) {
        let (orders, receipts, heads, lost) = (self.last, self.receipts, self.heads.len(), self.lost);
        println!("{times} kills, {orders} orders, {receipts} receipts read with {heads} heads, {lost} files lost");
    }
}

fn name_of(id: u64, name: &str) -> String {
    format!("{name}.n{id}.example")
}
