//! SIGHUP: the configuration is read again while queries run; a broken one changes nothing.

use std::net::IpAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use hickory_proto::op::ResponseCode;
use rustix::process::Signal;

use crate::client::{addresses, ask_a, is_block, rcode};
use crate::harness::{Pagar, Site, config, notice, wait_until};
use crate::swap::Witness;
use crate::upgrade::{by_tcp, by_udp};
use crate::upstream::Scripted;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn reload(site: &Site, pagar: &Pagar, text: &str) {
    site.write("pagar.toml", text);
    pagar.signal(Signal::HUP);
}

#[test]
fn a_reload_takes_over_sources_pages_and_upstreams_and_loses_no_query() {
    let (old, new) = (Scripted::with_address("198.51.100.1"), Scripted::with_address("198.51.100.2"));
    let text = config(&[old.address]);
    let site = Site::new(&text);
    site.put("1.json", &notice(1, "always.example", "subtree"));
    site.write("more.domains", "more.example\n");
    let pagar = site.start();
    let server = pagar.address();
    let witness = Witness::start(server);
    assert!(!is_block(&ask_a(server, "more.example.")));
    assert_eq!(addresses(&ask_a(server, "always.example.")), [ip("192.0.2.80")]);

    let list = "[[source]]\nkind = \"list\"\npath = \"more.domains\"\nformat = \"domains\"\n\
                notice = { id = \"L-1\", authority = \"isp\", category = \"scam\", power = \"s.7\", scope = \"exact\" }\n";
    let changed = config(&[new.address]).replace("192.0.2.80", "192.0.2.90") + list;
    reload(&site, &pagar, &changed);
    wait_until("the new source is read", || is_block(&ask_a(server, "more.example.")));
    wait_until("the new page is shown", || addresses(&ask_a(server, "always.example.")) == [ip("192.0.2.90")]);
    wait_until("the new upstream is asked", || addresses(&ask_a(server, "fresh.example.")) == [ip("198.51.100.2")]);
    wait_until("it is logged", || pagar.log().contains("configuration reloaded"));
    // the new source is watched, too
    site.write("more.domains", "more.example\nlater.example\n");
    wait_until("the list is followed", || is_block(&ask_a(server, "later.example.")));

    reload(&site, &pagar, &text);
    wait_until("a source that left is lifted", || !is_block(&ask_a(server, "more.example.")));
    wait_until("the old page is back", || addresses(&ask_a(server, "always.example.")) == [ip("192.0.2.80")]);
    assert_eq!(pagar.dns(), [server], "the sockets stay");
    drop(witness);
}

#[test]
fn reloads_under_load_lose_no_query() {
    let upstream = Scripted::with_address("198.51.100.1");
    let text = config(&[upstream.address]);
    let site = Site::new(&text);
    site.put("1.json", &notice(1, "always.example", "subtree"));
    let pagar = site.start();
    let (server, stop) = (pagar.address(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let datagrams = scope.spawn(|| by_udp(server, &stop));
        let streams = scope.spawn(|| by_tcp(server, &stop));
        for n in 0..10 {
            // a broken one, another page, other networks
            let pairs = [("[dns]", "[dns"), ("192.0.2.80", "192.0.2.90"), ("workers = 2", "allow = [\"127.0.0.0/8\"]")];
            let (old, new) = pairs[n % pairs.len()];
            reload(&site, &pagar, &text.replace(old, new));
            let done =
                || pagar.log().matches("configuration reloaded").count() + pagar.log().matches("not reloaded").count();
            wait_until("it has reloaded", || done() > n);
        }
        stop.store(true, Relaxed);
        assert!(datagrams.join().unwrap() > 0 && streams.join().unwrap() > 0);
    });
}

#[test]
fn a_reload_takes_over_who_is_served() {
    let upstream = Scripted::with_address("198.51.100.1");
    let text = config(&[upstream.address]);
    let site = Site::new(&text);
    let pagar = site.start();
    let code = |name: &str| rcode(&ask_a(pagar.address(), name));
    assert_eq!(code("a.example."), ResponseCode::NoError);
    reload(&site, &pagar, &text.replace("workers = 2", "workers = 2\nallow = [\"192.0.2.0/24\"]"));
    wait_until("strangers are refused", || code("a.example.") == ResponseCode::Refused);
    reload(&site, &pagar, &text);
    wait_until("they are served again", || code("a.example.") == ResponseCode::NoError);
}

#[test]
fn a_broken_configuration_changes_nothing_and_is_reported() {
    let upstream = Scripted::with_address("198.51.100.1");
    let text = config(&[upstream.address]);
    let site = Site::new(&text);
    site.put("1.json", &notice(1, "always.example", "subtree"));
    let pagar = site.start();
    let witness = Witness::start(pagar.address());
    let serial = pagar.metric("pagar_policy_serial");
    let broken = [("workers", "wrkers"), ("192.0.2.80", "192.0.2"), ("[dns]", "[dns"), ("version = 1", "version = 2")];
    for (n, (old, new)) in broken.into_iter().enumerate() {
        reload(&site, &pagar, &text.replace(old, new));
        wait_until("it is reported", || pagar.log().matches("not reloaded").count() == n + 1);
    }
    assert_eq!(pagar.metric("pagar_config_last_reload_successful"), 0.0);
    assert_eq!(pagar.metric("pagar_config_reload_failures_total"), broken.len() as f64);
    assert!(pagar.log().contains("wrkers") && pagar.log().contains("workers"), "{}", pagar.log());
    assert_eq!(addresses(&ask_a(pagar.address(), "www.always.example.")), [ip("192.0.2.80")]);
    assert_eq!(pagar.metric("pagar_policy_serial"), serial);
    reload(&site, &pagar, &text.replace("192.0.2.80", "192.0.2.90"));
    wait_until("the repaired one is taken", || {
        addresses(&ask_a(pagar.address(), "always.example.")) == [ip("192.0.2.90")]
    });
    wait_until("file and server agree", || pagar.metric("pagar_config_last_reload_successful") == 1.0);
    drop(witness);
}

#[test]
fn a_signal_that_comes_as_soon_as_it_serves_is_obeyed() {
    for _ in 0..5 {
        let site = Site::with(&["127.0.0.1:9".parse().unwrap()]);
        let mut pagar = site.start();
        pagar.signal(Signal::HUP);
        pagar.signal(Signal::TERM);
        assert_eq!(pagar.wait().code(), Some(0), "{}", pagar.log());
    }
}

#[test]
fn what_needs_a_restart_is_named() {
    let upstream = Scripted::with_address("198.51.100.1");
    let text = config(&[upstream.address]);
    let site = Site::new(&text);
    let pagar = site.start();
    let reloaded = |text: &str| {
        let before = pagar.log().matches("configuration reloaded").count();
        reload(&site, &pagar, text);
        wait_until("it is reloaded", || pagar.log().matches("configuration reloaded").count() > before);
        ["dns.workers has changed", "ledger.path has changed"].map(|words| pagar.log().matches(words).count())
    };
    let changed = text.replace("workers = 2", "workers = 3").replace("\"state\"", "\"elsewhere\"");
    assert_eq!(reloaded(&changed), [1, 1]);
    assert_eq!(reloaded(&changed), [2, 2], "it is still not in force");
    assert_eq!(reloaded(&text), [2, 2], "what runs is what the file says again");
    assert!(pagar.log().contains("SIGUSR2"), "{}", pagar.log());
    assert!(!site.path("elsewhere").exists());
}

#[test]
fn fewer_sockets_to_upstreams_than_started_with_need_a_restart() {
    let text = config(&["127.0.0.1:9".parse().unwrap()]);
    let site = Site::new(&text);
    // a limit of 4,000 files, 1,024 connections: 4,000 - 1,024 - 1,024 sockets to upstreams
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 4000 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_pagar")]);
    let pagar = Pagar::launch(&mut command, &site.path("pagar.toml"), &[]);
    let warned = |connections: usize| {
        let before = pagar.log().matches("configuration reloaded").count();
        reload(&site, &pagar, &format!("{text}[dns.tcp]\nconnections = {connections}\n"));
        wait_until("it is reloaded", || pagar.log().matches("configuration reloaded").count() > before);
        pagar.log().matches("fewer file descriptors").count()
    };
    assert_eq!(warned(1_000), 0);
    assert_eq!(warned(2_000), 1, "{}", pagar.log());
    assert!(pagar.log().contains("started_with=1952 left=976"), "{}", pagar.log());
    assert_eq!(warned(1_024), 1);
}
