//! A list is swapped for another every two seconds while questions come in: nothing is lost, nothing is mixed.
//!
//! `cargo test` does it for a few seconds. The full measure, with dnsperf's 20,000 cached questions a second beside it:
//!
//! ```sh
//! PAGAR_SWAP_SECONDS=60 PAGAR_SWAP_NAMES=1000000 cargo test --release under_load -- --nocapture
//! ```
//!
//! The witness is the serial in the SOA of blocked answers. On one socket it never goes back, and within one serial the
//! answers are those of exactly one of the two lists.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;

use crate::client::{exchange_udp, is_block, query, soa, udp};
use crate::harness::{Pagar, Site, config, wait_until};
use crate::upstream::Scripted;

/// Time between two swaps.
const PERIOD: Duration = Duration::from_secs(2);
/// Names that are in both lists, in one of them, in none: as many of each are asked for.
const ASKED: usize = 500;

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

fn list(own: &str, names: usize) -> String {
    let mut text = String::new();
    for n in 0..ASKED {
        writeln!(text, "both-{n}.swap.example").unwrap();
    }
    for n in 0..names {
        writeln!(text, "{own}-{n}.swap.example").unwrap();
    }
    text
}

#[test]
fn a_swap_loses_nothing_and_mixes_nothing() {
    let (seconds, names) = (setting("PAGAR_SWAP_SECONDS", 7), setting("PAGAR_SWAP_NAMES", 20_000));
    let upstream = Scripted::with_address("198.51.100.7");
    let source = r#"[[source]]
kind = "list"
path = "swap.domains"
format = "domains"
notice = { id = "S-1", authority = "mcmc", category = "scam", power = "s.263(2)", scope = "subtree" }
"#;
    let site = Site::new(&config(&[upstream.address]).replace("[ledger]", &format!("{source}[ledger]")));
    let lists = ["a", "b"].map(|own| list(own, names));
    site.write("swap.domains", &lists[0]);
    let pagar = site.start();
    let load = load(&site, &pagar, seconds);
    let (swaps, done) = (seconds / PERIOD.as_secs() as usize, AtomicBool::new(false));
    let seen: Vec<Seen> = std::thread::scope(|scope| {
        let swapping = Ends(&done);
        let askers: Vec<_> = (0..2).map(|_| scope.spawn(|| ask_until(pagar.address(), &done))).collect();
        for swap in 1..=swaps {
            let serial = pagar.metric("pagar_policy_serial");
            site.write("swap.domains", &lists[swap % 2]);
            let begun = Instant::now();
            wait_until("the swap is in force", || pagar.metric("pagar_policy_serial") > serial);
            std::thread::sleep(PERIOD.saturating_sub(begun.elapsed()));
        }
        println!("{swaps} swaps of {} names", names + ASKED);
        drop(swapping);
        askers.into_iter().map(|asker| asker.join().unwrap()).collect()
    });
    for seen in &seen {
        let Seen { questions, policies, slowest } = seen;
        println!(
            "one socket: {questions} questions, {} policies, none lost, slowest answer {slowest:?}",
            policies.len()
        );
        assert!(policies.len() > swaps / 2, "of {swaps} swaps too few were seen: {policies:?}");
    }
    if let Some(load) = load {
        report_load(&load.join().unwrap());
    }
    let total = |part| pagar.metric(&format!("pagar_policy_swap_duration_seconds_{part}"));
    println!("a swap, compiled and published: {:.3} s in the mean", total("sum") / total("count"));
    println!("resident: {}", resident(&pagar));
}

/// Says that something is over when it is dropped: also when a test fails, or those who wait for it would outlive it.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// What one socket saw.
struct Seen {
    questions: usize,
    /// Which list each policy serial had.
    policies: BTreeMap<u32, &'static str>,
    slowest: Duration,
}

fn ask_until(server: SocketAddr, done: &AtomicBool) -> Seen {
    let socket = udp(server.ip());
    let mut seen = Seen { questions: 0, policies: BTreeMap::new(), slowest: Duration::ZERO };
    let mut last = 0;
    for n in (0..ASKED).cycle() {
        if done.load(Relaxed) {
            break;
        }
        let mut ask = |name: String| seen.ask(&socket, server, &name);
        let before = serial(&ask(format!("both-{n}.swap.example."))).expect("a name of both lists is always blocked");
        let in_a = serial(&ask(format!("a-{n}.swap.example.")));
        let in_b = serial(&ask(format!("www.b-{n}.swap.example.")));
        assert!(!is_block(&ask(format!("none-{n}.swap.example."))), "a name of neither list is never blocked");
        let after = serial(&ask(format!("both-{n}.swap.example."))).expect("a name of both lists is always blocked");
        assert!(
            last <= before && before <= after,
            "an answer of an old policy after one of a new: {last} {before} {after}"
        );
        last = after;
        for (serial, list) in [(in_a, "a"), (in_b, "b")] {
            if let Some(serial) = serial {
                assert!((before..=after).contains(&serial));
                assert_eq!(*seen.policies.entry(serial).or_insert(list), list, "policy {serial} mixes the lists");
            }
        }
        if before == after {
            assert!(in_a.is_some() != in_b.is_some(), "policy {before}: a {in_a:?}, b {in_b:?}");
        }
    }
    seen
}

impl Seen {
    /// The answer to one question; TXT, so that a block shows its SOA.
    fn ask(&mut self, socket: &UdpSocket, server: SocketAddr, name: &str) -> Message {
        let rtype = if name.starts_with("none") { RecordType::A } else { RecordType::TXT };
        let started = Instant::now();
        let answer = exchange_udp(socket, server, &query(name, rtype).to_vec().unwrap());
        self.slowest = self.slowest.max(started.elapsed());
        self.questions += 1;
        Message::from_vec(&answer.expect("an answer was lost")).unwrap()
    }
}

/// The policy serial of a blocked answer.
fn serial(answer: &Message) -> Option<u32> {
    soa(answer)
        .filter(|_| !answer.edns.as_ref().is_none_or(|edns| edns.options().as_ref().is_empty()))
        .map(|(_, serial, _)| serial)
}

/// dnsperf with cached questions, if it is installed and the run is long enough to say something.
fn load(site: &Site, pagar: &Pagar, seconds: usize) -> Option<std::thread::JoinHandle<String>> {
    if seconds < 30 {
        return None;
    }
    let dnsperf = crate::harness::peer("dnsperf")?;
    let names: String = (0..1_000).map(|n| format!("load-{n}.cached.example A\n")).collect();
    fs::write(site.path("queries"), names).unwrap();
    let mut command = Command::new(dnsperf);
    let (address, port) = (pagar.address().ip().to_string(), pagar.address().port().to_string());
    let time = (seconds - 1).to_string();
    command.args(["-s", &address, "-p", &port, "-l", &time, "-Q", "20000", "-c", "4", "-T", "1", "-d"]);
    command.arg(site.path("queries"));
    Some(std::thread::spawn(move || run_long(command)))
}

fn run_long(mut command: Command) -> String {
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

fn report_load(output: &str) {
    for line in output.lines().filter(|line| line.contains("Queries") || line.contains("Latency")) {
        println!("dnsperf:{line}");
    }
    let lost = output.lines().find(|line| line.contains("Queries lost")).expect("dnsperf reports");
    assert!(lost.contains(" 0 (0.00%)"), "{lost}");
}

fn resident(pagar: &Pagar) -> String {
    let status = fs::read_to_string(format!("/proc/{}/status", pagar.id())).unwrap();
    status.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM")).collect::<Vec<_>>().join(", ")
}
