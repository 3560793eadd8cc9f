//! SIGUSR2: a new process takes the sockets over, and no query is lost; one that fails changes nothing.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use rustix::process::Signal;
use serde_json::json;

use crate::client::{Over, addresses, ask, ask_a, frame, is_block, query, read_frame, soa, tcp, udp};
use crate::harness::{Heir, Pagar, Site, config, notice, wait_until};
use crate::signed::{Signed, is_blocked};
use crate::upstream::Scripted;

/// Datagrams sent before the first answer is waited for.
const BURST: usize = 16;

/// The last process named behind these words in the log.
fn process(log: &str, words: &str) -> u32 {
    let (_, rest) = log.rsplit_once(words).unwrap_or_else(|| panic!("{words}: {log}"));
    let (_, number) = rest.split_once("process=").unwrap();
    number.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

/// Asks for an upgrade and waits until it is done.
fn upgrade(pagar: &Pagar, ask: impl FnOnce()) -> Heir {
    const DONE: &str = "the new process answers";
    let before = pagar.log().matches(DONE).count();
    ask();
    wait_until("a new process answers", || pagar.log().matches(DONE).count() > before);
    Heir(process(&pagar.log(), DONE))
}

/// The policy serial of an answer for a listed name.
fn serial(answer: &Message) -> u32 {
    assert!(is_block(answer), "{answer:?}");
    soa(answer).unwrap().1
}

fn listed() -> Vec<u8> {
    query("www.always.example.", RecordType::TXT).to_vec().unwrap()
}

fn unlisted() -> Vec<u8> {
    query("never.example.", RecordType::A).to_vec().unwrap()
}

/// Bursts from ever new ports, until told; returns how many queries were answered: all.
pub(crate) fn by_udp(server: SocketAddr, stop: &AtomicBool) -> usize {
    let (mut answered, mut last) = (0, 0);
    while !stop.load(Relaxed) {
        let socket = udp(server.ip());
        for n in 0..BURST {
            let mut octets = if n % 2 == 0 { listed() } else { unlisted() };
            octets[..2].copy_from_slice(&(n as u16).to_be_bytes());
            socket.send_to(&octets, server).unwrap();
        }
        let (mut seen, mut newest) = ([false; BURST], last);
        for _ in 0..BURST {
            let mut answer = [0; 1_500];
            let len = socket.recv(&mut answer).expect("an answer by UDP is lost");
            let answer = Message::from_vec(&answer[..len]).unwrap();
            let n = usize::from(answer.metadata.id);
            assert!(!std::mem::replace(&mut seen[n], true), "answered twice");
            if n % 2 == 0 {
                assert!(serial(&answer) >= last, "an answer of an old policy after one of a new");
                newest = newest.max(serial(&answer));
            } else {
                assert_eq!(addresses(&answer).len(), 1);
            }
            answered += 1;
        }
        last = newest;
    }
    answered
}

/// Ever new connections, two queries at once on each, until told.
pub(crate) fn by_tcp(server: SocketAddr, stop: &AtomicBool) -> usize {
    let mut answered = 0;
    while !stop.load(Relaxed) {
        let mut stream = tcp(server);
        stream.write_all(&[frame(&listed()), frame(&unlisted())].concat()).unwrap();
        for _ in 0..2 {
            read_frame(&mut stream).expect("an answer by TCP is lost");
            answered += 1;
        }
    }
    answered
}

#[test]
fn three_upgrades_under_load_lose_no_query_and_use_no_serial_twice() {
    let upstream = Scripted::with_address("198.51.100.1");
    let text = config(&[upstream.address]);
    let site = Site::new(&text);
    site.put("1.json", &notice(1, "always.example", "subtree"));
    let mut pagar = site.start();
    let server = pagar.address();
    let (stop, newest) = (AtomicBool::new(false), AtomicU32::new(0));
    let now = || serial(&ask(server, Over::Udp, "always.example.", RecordType::TXT));
    newest.store(now(), Relaxed);
    let answered = std::thread::scope(|scope| {
        let datagrams: Vec<_> = (0..2).map(|_| scope.spawn(|| by_udp(server, &stop))).collect();
        let streams = scope.spawn(|| by_tcp(server, &stop));
        // more workers, fewer, and as many as at first
        let mut heir: Option<Heir> = None;
        for workers in [4, 1, 2] {
            site.write("pagar.toml", &text.replace("workers = 2", &format!("workers = {workers}")));
            let next = upgrade(&pagar, || match &heir {
                None => pagar.signal(Signal::USR2),
                Some(heir) => heir.signal(Signal::USR2),
            });
            match &heir {
                None => assert_eq!(pagar.wait().code(), Some(0), "{}", pagar.log()),
                Some(heir) => wait_until("the old process has ended", || heir.has_ended()),
            }
            let serial = now();
            assert!(serial > newest.swap(serial, Relaxed), "the serial grows");
            heir = Some(next);
        }
        // the last one follows the sources, holds the lock, and is asked over HTTP
        site.put("2.json", &notice(2, "later.example", "exact"));
        wait_until("a new notice is in force", || is_block(&ask_a(server, "later.example.")));
        assert_eq!(pagar.get("/readyz").0, 200, "{}", pagar.get("/readyz").1);
        let second = site.run(&["serve"]);
        assert_eq!(second.code, Some(4), "{second:?}");
        assert!(second.err.contains("another pagar uses it"), "{second:?}");
        let heir = heir.unwrap();
        stop.store(true, Relaxed);
        let answered = [datagrams.into_iter().map(|one| one.join().unwrap()).sum(), streams.join().unwrap()];
        heir.signal(Signal::TERM);
        wait_until("it ends", || heir.has_ended());
        answered
    });
    println!("{} queries by UDP and {} by TCP answered over three upgrades", answered[0], answered[1]);
    assert!(answered.iter().all(|answered| *answered > 0));
}

/// Puts a program in the place that it is started from.
fn install(site: &Site, script: &str) {
    fs::write(site.path("pagar.new"), format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(site.path("pagar.new"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(site.path("pagar.new"), site.path("pagar")).unwrap();
}

fn install_ours(site: &Site) {
    std::os::unix::fs::symlink(Path::new(env!("CARGO_BIN_EXE_pagar")), site.path("pagar.new")).unwrap();
    fs::rename(site.path("pagar.new"), site.path("pagar")).unwrap();
}

#[test]
fn a_new_process_that_fails_or_hangs_changes_nothing() {
    let upstream = Scripted::with_address("198.51.100.1");
    let text = config(&[upstream.address]);
    let site = Site::new(&text);
    site.put("1.json", &notice(1, "always.example", "subtree"));
    install_ours(&site);
    let mut command = Command::new(site.path("pagar"));
    let mut pagar = Pagar::spawn(command.args(["serve", "--config"]).arg(site.path("pagar.toml")));
    let server = pagar.address();
    let before = serial(&ask(server, Over::Udp, "always.example.", RecordType::TXT));
    let failed = |count: usize| {
        wait_until("it is reported", || pagar.log().matches("not upgraded, this process goes on").count() == count);
        assert_eq!(pagar.metric("pagar_upgrade_failures_total"), count as f64);
        assert_eq!(serial(&ask(server, Over::Udp, "always.example.", RecordType::TXT)), before);
        assert_eq!(serial(&ask(server, Over::Tcp, "always.example.", RecordType::TXT)), before);
    };
    // a configuration with a mistake, and a source that is gone: the new process says what is wrong itself
    site.write("pagar.toml", &text.replace("workers", "wrkers"));
    pagar.signal(Signal::USR2);
    failed(1);
    assert!(pagar.log().contains("wrkers") && pagar.log().contains("exit status: 2"), "{}", pagar.log());
    site.write("pagar.toml", &text.replace("path = \"notices\"", "path = \"nowhere\""));
    pagar.signal(Signal::USR2);
    failed(2);
    assert!(pagar.log().contains("exit status: 3"), "{}", pagar.log());
    site.write("pagar.toml", &text);
    // no program at all
    install(&site, "exit 7");
    pagar.signal(Signal::USR2);
    failed(3);
    assert!(pagar.log().contains("exit status: 7"), "{}", pagar.log());
    fs::remove_file(site.path("pagar")).unwrap();
    pagar.signal(Signal::USR2);
    failed(4);
    // one that never gets ready is not waited for when it is to end
    install(&site, "exec sleep 600");
    pagar.signal(Signal::USR2);
    wait_until("it is started", || pagar.log().matches("a new process gets ready").count() == 4);
    let idle = Heir(process(&pagar.log(), "a new process gets ready"));
    pagar.signal(Signal::USR2);
    wait_until("a second one is refused", || pagar.log().contains("under way already"));
    pagar.signal(Signal::HUP);
    wait_until("the old process still reloads", || pagar.log().contains("configuration reloaded"));
    assert!(is_block(&ask_a(server, "always.example.")));
    pagar.signal(Signal::TERM);
    assert_eq!(pagar.wait().code(), Some(0), "{}", pagar.log());
    wait_until("so is the new one", || idle.has_ended());
}

#[test]
fn an_address_may_come_or_go_with_an_upgrade_and_a_new_program_is_found() {
    let upstream = Scripted::with_address("198.51.100.1");
    let text = config(&[upstream.address]);
    let site = Site::new(&text.replace("[\"127.0.0.1:0\"]", "[\"127.0.0.1:0\", \"127.0.0.2:0\"]"));
    site.put("1.json", &notice(1, "always.example", "subtree"));
    install(&site, &format!("exec {} \"$@\"", env!("CARGO_BIN_EXE_pagar")));
    let mut command = Command::new(site.path("pagar"));
    let mut pagar = Pagar::spawn(command.args(["serve", "--config"]).arg(site.path("pagar.toml")));
    let (stays, goes) = (pagar.dns()[0], pagar.dns()[1]);
    // the address it has is known by its port, whatever the configuration says first
    let comes: SocketAddr = format!("127.0.0.3:{}", stays.port()).parse().unwrap();
    site.write("pagar.toml", &text.replace("[\"127.0.0.1:0\"]", &format!("[\"{comes}\", \"{stays}\"]")));
    let heir = upgrade(&pagar, || pagar.signal(Signal::USR2));
    assert_eq!(pagar.wait().code(), Some(0), "{}", pagar.log());
    for server in [stays, comes] {
        assert!(is_block(&ask_a(server, "always.example.")));
        assert!(is_block(&ask(server, Over::Tcp, "always.example.", RecordType::A)));
    }
    assert!(pagar.log().contains(&format!("closed address={goes}")), "{}", pagar.log());
    assert!(std::net::TcpStream::connect(goes).is_err());
    drop(heir);
}

/// Soft and hard limit of the core files of a process, as the kernel writes them.
fn core_limits(pid: u32) -> [String; 2] {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let values = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    let mut values = values.split_whitespace().map(str::to_owned);
    [values.next().unwrap(), values.next().unwrap()]
}

#[test]
fn core_dumps_are_forbidden_and_can_be_allowed_by_an_upgrade() {
    let text = config(&["127.0.0.1:9".parse().unwrap()]);
    let site = Site::new(&text);
    let [_, hard] = core_limits(std::process::id());
    let mut pagar = site.start();
    assert_eq!(core_limits(pagar.id()), ["0", &hard], "the hard limit is for the next process, too");
    site.write("pagar.toml", &format!("{text}[process]\ncore_dumps = true\n"));
    let heir = upgrade(&pagar, || pagar.signal(Signal::USR2));
    assert_eq!(pagar.wait().code(), Some(0), "{}", pagar.log());
    assert_eq!(core_limits(heir.0), [&hard[..], &hard]);
    assert_eq!(pagar.log().contains("core_dumps = true does nothing"), hard == "0", "{}", pagar.log());
}

//------ signed notices ----------------------------------------------------------------------------------------------------

/// Each of so many orders was recorded once, and the chain is whole.
fn accepted_once(site: &Site, orders: u64) {
    let verified = site.run(&["ledger", "verify"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let exported = site.run(&["ledger", "export"]).out;
    assert_eq!(exported.matches("\"event\":\"accepted\"").count() as u64, orders, "{exported}");
    for number in 1..=orders {
        assert_eq!(exported.matches(&format!("\"number\":{number},\"payload\"")).count(), 1, "{number}: {exported}");
    }
}

#[test]
fn an_upgrade_keeps_signed_notices_and_takes_each_new_one_in_once() {
    let signed = Signed::new(1);
    let mut pagar = signed.start();
    let restrict = |number: u64| {
        signed.order(&format!("{number}.jws"), &signed.mcmc.restrict(number, &[&format!("n{number}.example")]));
    };
    restrict(1);
    signed.receipt("1.jws", "enforced");
    let (mut heir, mut last) = (None::<Heir>, 1);
    for round in 0..3 {
        let next = upgrade(&pagar, || {
            let notices = [last + 1, last + 2, last + 3, last + 4];
            restrict(notices[0]);
            match &heir {
                None => pagar.signal(Signal::USR2),
                Some(heir) => heir.signal(Signal::USR2),
            }
            for number in &notices[1..] {
                std::thread::sleep(std::time::Duration::from_millis(15 * round));
                restrict(*number);
            }
            last += 4;
        });
        match &heir {
            None => assert_eq!(pagar.wait().code(), Some(0), "{}", pagar.log()),
            Some(heir) => wait_until("the old process has ended", || heir.has_ended()),
        }
        heir = Some(next);
        (1..=last).for_each(|number| drop(signed.receipt(&format!("{number}.jws"), "enforced")));
        assert!((1..=last).all(|number| is_blocked(&pagar, &format!("n{number}.example."))), "after {round}");
    }
    // the last one carries out, by its own file, what the first was told of
    signed.order("last.jws", &signed.mcmc.notice(last + 1, "revoke", json!({ "revokes": ["N-1"] })));
    signed.receipt("last.jws", "carried-out");
    assert!(!is_blocked(&pagar, "n1.example."));
    accepted_once(&signed.site, last + 1);
}

#[test]
fn the_old_process_takes_notices_in_wherever_the_new_one_fails() {
    let signed = Signed::new(1);
    install_ours(&signed.site);
    let mut command = Command::new(signed.site.path("pagar"));
    let pagar = Pagar::spawn(command.args(["serve", "--config"]).arg(signed.site.path("pagar.toml")));
    signed.order("1.jws", &signed.mcmc.restrict(1, &["one.example", "two.example"]));
    signed.receipt("1.jws", "enforced");
    const FAILED: &str = "not upgraded, this process goes on";
    let (mut last, mut by_the_new) = (1, 0);
    // with too few descriptors it fails at one step after another: before it reads the notice, and when it has recorded it
    for files in (3..).step_by(2) {
        last += 1;
        let (word, list, blocked) =
            if last % 2 == 0 { ("suspend", "suspends", false) } else { ("resume", "resumes", true) };
        let file = format!("{last}.jws");
        let order = signed.mcmc.notice(last, word, json!({ list: ["N-1"] }));
        signed.site.write("staged", &signed.mcmc.sign(&order));
        let (staged, place) = (signed.site.path("staged"), signed.site.path(&format!("notices/{file}")));
        let drop_it = format!("mv {} {}", staged.display(), place.display());
        install(&signed.site, &format!("{drop_it}\nulimit -n {files}\nexec {} \"$@\"", env!("CARGO_BIN_EXE_pagar")));
        let before = pagar.log();
        pagar.signal(Signal::USR2);
        wait_until("it is over", || {
            let log = pagar.log();
            log.matches(FAILED).count() > before.matches(FAILED).count() || log.contains("the new process answers")
        });
        if pagar.log().contains("the new process answers") {
            drop(Heir(process(&pagar.log(), "the new process answers")));
            break;
        }
        signed.receipt(&file, "carried-out");
        assert_eq!(is_blocked(&pagar, "one.example."), blocked, "{files} descriptors: {}", pagar.log());
        assert_eq!(is_blocked(&pagar, "two.example."), blocked, "{files} descriptors: {}", pagar.log());
        let said = pagar.log()[before.len()..].to_owned();
        let accepted = said.find(&format!("notice=N-{last} authority=mcmc record="));
        by_the_new += u32::from(accepted.is_some_and(|at| said.find(FAILED).is_some_and(|failed| at < failed)));
    }
    println!("{} new processes failed, {by_the_new} after they had recorded the notice", last - 2);
    accepted_once(&signed.site, last);
}
