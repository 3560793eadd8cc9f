//! What the log holds: JSON for machines; and what it must not hold: who asked, and for what.

use std::fs;
use std::net::UdpSocket;
use std::process::Command;

use hickory_proto::rr::RecordType;
use rustix::process::Signal;

use crate::client::{PATIENCE, exchange_udp, query};
use crate::harness::{Pagar, Site, config, notice, wait_until};
use crate::upstream::Scripted;

/// Asks in every way that might be logged, from an address that would be recognised.
fn ask_in_every_way(pagar: &Pagar) {
    let socket = UdpSocket::bind("127.0.9.9:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let types = [RecordType::A, RecordType::HTTPS, RecordType::AXFR, RecordType::ANY];
    let cases = [
        ("www.listed-secret.example.", &types[..]),
        ("free-secret.example.", &types),
        ("dark-secret.example.", &types[..1]),
    ];
    for (name, types) in cases {
        for &rtype in types {
            let mut octets = query(name, rtype).to_vec().unwrap();
            let answered =
                |octets: &[u8]| assert!(exchange_udp(&socket, pagar.address(), octets).is_some(), "{name} {rtype}");
            answered(&octets);
            octets[5] = 2; // questions
            answered(&octets);
        }
    }
}

fn served(arguments: &[&str], log: &str) -> String {
    let upstream = Scripted::start(|asked| match asked.name().starts_with("dark") {
        true => vec![],
        false => vec![asked.answer([])],
    });
    let text = config(&[upstream.address]) + log;
    let site = Site::new(&text);
    site.put("1.json", &notice(1, "listed-secret.example", "subtree"));
    let mut pagar = Pagar::start(&site.path("pagar.toml"), arguments);
    ask_in_every_way(&pagar);
    site.write("notices/2.json", "{");
    wait_until("the broken notice is logged", || pagar.log().contains("2.json"));
    site.write("pagar.toml", "version = 2");
    pagar.signal(Signal::HUP);
    wait_until("the broken configuration is logged", || pagar.log().contains("not reloaded"));
    site.write("pagar.toml", &text);
    pagar.signal(Signal::HUP);
    wait_until("the reload is logged", || pagar.log().contains("configuration reloaded"));
    pagar.signal(Signal::TERM);
    assert_eq!(pagar.wait().code(), Some(0));
    wait_until("its last words are read", || pagar.log().contains("stopping"));
    pagar.log()
}

#[test]
fn a_machine_reads_one_object_a_line() {
    for (arguments, log) in [(&["--log", "json"][..], ""), (&[], "[log]\nformat = \"json\"\n")] {
        let log = served(arguments, log);
        let events: Vec<serde_json::Value> = log
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect();
        for event in &events {
            assert!(event["timestamp"].is_string() && event["level"].is_string(), "{event}");
            assert!(event["message"].is_string(), "{event}");
        }
        let levels: Vec<_> = events.iter().map(|event| event["level"].as_str().unwrap()).collect();
        for level in ["INFO", "ERROR"] {
            assert!(levels.contains(&level), "{level}: {log}");
        }
        assert!(!levels.contains(&"DEBUG"));
    }
}

#[test]
fn neither_names_asked_nor_clients_are_logged() {
    for arguments in [&[][..], &["--log", "json"]] {
        let log = served(arguments, "");
        for word in ["secret", "127.0.9.9"] {
            assert!(!log.contains(word), "{word}: {log}");
        }
    }
}

#[test]
fn a_warning_about_the_configuration_says_what_to_write() {
    let site = Site::new(&(config(&["127.0.0.1:9".parse().unwrap()]) + "[cache]\nsize = 0\nprefetch = true\n"));
    let pagar = site.start();
    let warning = "prefetch does nothing without a cache: size is 0 hint=\"remove it, or give the cache a size\"";
    assert!(pagar.log().contains(warning), "{}", pagar.log());
}

#[test]
fn debugging_says_more() {
    let log = served(&["-v"], "");
    assert!(log.contains("DEBUG") && log.contains("dark-secret"), "{log}");
    assert!(!log.contains("127.0.9.9"), "a client is not logged at all: {log}");
}

#[test]
fn the_journal_learns_the_priority_of_every_line() {
    let site = Site::new(&config(&["127.0.0.1:9".parse().unwrap()]));
    // as systemd does it, with a file for its stream; and where the variable was inherited and names another one
    for (stream, prefixed) in [("$(stat -Lc %d:%i /proc/$$/fd/2)", true), ("1:2", false)] {
        let script = format!("exec 2>log; JOURNAL_STREAM={stream} exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_pagar")]).current_dir(site.path(""));
        let mut pagar = Pagar::launch(&mut command, &site.path("pagar.toml"), &[]);
        site.write("notices/1.json", "{");
        wait_until("the broken notice is logged", || fs::read_to_string(site.path("log")).unwrap().contains("1.json"));
        pagar.signal(Signal::TERM);
        assert_eq!(pagar.wait().code(), Some(0));
        let log = fs::read_to_string(site.path("log")).unwrap();
        assert!(log.lines().all(|line| line.starts_with('<') == prefixed), "{log}");
        assert_eq!(log.contains("<3>ERROR") && log.contains("<6> INFO stopping"), prefixed, "{log}");
        site.remove("notices/1.json");
    }
}
