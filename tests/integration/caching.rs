//! What is kept, seen from outside: one question upstream for a burst of the same one, stale answers when upstreams
//! die, and a cache that forgets a name when it is told to.

use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, RecordType};

use crate::client::{BOTH, addresses, ask, ask_a, ede_codes, rcode};
use crate::harness::{Pagar, Site, config, pagar, wait_until};
use crate::upstream::{Scripted, record};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_burst_of_one_question_is_one_question() {
    let upstream = Scripted::start(|asked| {
        thread::sleep(Duration::from_millis(200));
        vec![asked.address("198.51.100.1")]
    });
    let site = Site::with(&[upstream.address]);
    let pagar = site.start();
    let server = pagar.address();
    thread::scope(|scope| {
        for n in 0..100 {
            scope.spawn(move || {
                let answer = ask(server, BOTH[n % 2], "bUrst.example.", RecordType::A);
                assert_eq!(addresses(&answer), [ip("198.51.100.1")]);
            });
        }
    });
    assert!(upstream.count("burst.example.") <= 3, "the tries of one question: {:?}", upstream.counts());
    let metrics = pagar.metrics();
    assert!(metrics["pagar_dns_joined_total"] + metrics["pagar_cache_hits_total"] >= 99.0);
    assert_eq!(metrics["pagar_dns_shed_total{reason=\"waiting\"}"], 0.0);
}

#[test]
fn stale_answers_go_out_when_the_upstream_has_died_if_they_are_switched_on() {
    for (cache, stale) in [("", false), ("[cache]\nserve_stale = { client_timeout = \"500ms\", max = \"1h\" }\n", true)]
    {
        let upstream = Scripted::start(|asked| {
            vec![asked.answer([record("old.example.", 1, RData::A(A([198, 51, 100, 7].into())))])]
        });
        let site = Site::new(&(config(&[upstream.address]) + cache));
        let pagar = site.start();
        assert_eq!(addresses(&ask_a(pagar.address(), "old.example.")), [ip("198.51.100.7")]);
        drop(upstream);
        thread::sleep(Duration::from_millis(1_500));
        let answer = ask_a(pagar.address(), "old.example.");
        if stale {
            assert_eq!((addresses(&answer), answer.answers[0].ttl), (vec![ip("198.51.100.7")], 30));
            assert_eq!(ede_codes(&answer), [3]);
            assert_eq!(pagar.metric("pagar_cache_stale_total"), 1.0);
        } else {
            assert_eq!(rcode(&answer), ResponseCode::ServFail);
        }
    }
}

#[test]
fn a_failure_is_not_asked_for_again_at_once_and_says_so() {
    let upstream = Scripted::start(|asked| {
        let mut answer = asked.answer([]);
        answer.metadata.response_code = ResponseCode::ServFail;
        vec![answer]
    });
    let site = Site::with(&[upstream.address]);
    let pagar = site.start();
    wait_until("two questions came within a second", || {
        assert_eq!(rcode(&ask_a(pagar.address(), "broken.example.")), ResponseCode::ServFail);
        ede_codes(&ask_a(pagar.address(), "broken.example.")) == [13]
    });
    assert!(pagar.metric("pagar_cache_failures_total") >= 1.0);
}

/// Asks for both names and says how often the upstream was asked for each so far.
fn asked(pagar: &Pagar, upstream: &Scripted) -> [usize; 2] {
    ["www.shop.example.", "other.example."].map(|name| {
        assert_eq!(addresses(&ask_a(pagar.address(), name)), [ip("198.51.100.1")]);
        upstream.count(name)
    })
}

#[test]
fn the_command_line_makes_a_running_server_forget_a_name() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = Site::with(&[upstream.address]);
    let server = site.start();
    let [shop, other] = asked(&server, &upstream);
    assert_eq!(asked(&server, &upstream), [shop, other], "kept");

    let ended = pagar(&["cache", "flush", "SHOP.example", "--api", &server.url()]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), "shop.example.: 0 entries forgotten\n"), "{}", ended.err);
    let ended = pagar(&["cache", "flush", "shop.example", "--subtree", "--api", &server.url()]);
    assert_eq!(ended.out, "shop.example. and below: 1 entries forgotten\n", "{}", ended.err);
    let [shop_again, other_again] = asked(&server, &upstream);
    assert!(shop_again > shop && other_again == other, "asked again, the other is kept");

    let listen = server.url().replace("http://", "");
    site.write(
        "known.toml",
        &config(&[upstream.address]).replace("listen = \"127.0.0.1:0\"", &format!("listen = \"{listen}\"")),
    );
    let known = site.path("known.toml");
    let ended = pagar(&["cache", "flush", ".", "--subtree", "--json", "--config", known.to_str().unwrap()]);
    let outcome: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert!(outcome["flushed"].as_u64().unwrap() >= 2 && outcome["name"] == ".", "{outcome}");
    assert!(asked(&server, &upstream)[1] > other_again);
}

#[test]
fn a_flush_that_cannot_be_said_is_said_why() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = Site::with(&[upstream.address]);
    let ended = site.run(&["cache", "flush", "a.example"]);
    assert_eq!(ended.code, Some(2), "port 0 is nobody's address: {}", ended.err);
    assert!(ended.err.contains("[web] listen"), "{}", ended.err);
    assert_eq!(pagar(&["cache", "flush", "a.example"]).code, Some(2), "whom to ask is missing");
    assert_eq!(pagar(&["cache", "flush", "a..example", "--api", "http://127.0.0.1:1"]).code, Some(2));
    assert_eq!(pagar(&["cache", "flush", "a.example", "--api", "127.0.0.1:1"]).code, Some(2));
    assert_eq!(pagar(&["cache", "flush", "a.example", "--api", "http://127.0.0.1:1"]).code, Some(4), "nobody there");
    // what the server says is wrong is said in words
    let server = site.start();
    let api = format!("{}/elsewhere/", server.url());
    for (words, path) in [(&["cache", "flush"][..], "/v1/cache/flush"), (&["why"], "/v1/check")] {
        let ended = pagar(&[words, &["a.example", "--api", &api]].concat());
        let said = format!("{api}{}: nothing is served at /elsewhere{path} (hint: GET / lists what is)", &path[1..]);
        assert_eq!((ended.code, ended.err.trim_end()), (Some(4), &said[..]));
    }
}
