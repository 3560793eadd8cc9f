//! What is not listed: passed on as the upstream said it, kept for as long as it said, over TCP where UDP was too small;
//! and the answers that lead to a listed name, which are blocks.

use std::net::IpAddr;

use hickory_proto::op::{Edns, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::rdata::{CNAME, HTTPS, MX, NULL, SVCB, TXT};
use hickory_proto::rr::{RData, RecordType};

use crate::client::{BOTH, Over, addresses, ask, ask_a, dig, ede, ede_codes, is_block, query, rcode, send, soa};
use crate::harness::{Site, notice};
use crate::upstream::{self, Authoritative, Scripted, a, name, record};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn unknown(owner: &str) -> hickory_proto::rr::Record {
    record(owner, 300, RData::Unknown { code: 65280.into(), rdata: NULL::with(vec![0xc0, 0x0c, 0, 0xff]) })
}

/// 3,000 octets in 20 records: too large for UDP, the upstream's own included.
fn large() -> impl Iterator<Item = hickory_proto::rr::Record> {
    (0..20).map(|n| record("large.example.", 300, RData::TXT(TXT::new(vec![format!("{n:03}").repeat(50)]))))
}

#[test]
fn a_real_authoritative_is_passed_on() {
    let upstream = Authoritative::start([
        a("www.example.", "198.51.100.1"),
        record("example.", 300, RData::MX(MX::new(10, name("www.example.")))),
        unknown("odd.example."),
    ]);
    let site = Site::with(&[upstream.address]);
    let pagar = site.start();
    for over in BOTH {
        let answer = ask(pagar.address(), over, "wWw.eXample.", RecordType::A);
        assert_eq!(addresses(&answer), [ip("198.51.100.1")]);
        assert_eq!(ede(&answer), []);
        assert!(answer.metadata.recursion_available && !answer.metadata.authoritative);
        let answer = ask(pagar.address(), over, "example.", RecordType::MX);
        assert!(matches!(&answer.answers[0].data, RData::MX(mx) if mx.preference == 10), "{answer:?}");
        let answer = ask(pagar.address(), over, "odd.example.", RecordType::from(65280));
        assert_eq!(answer.answers[0].data, unknown("odd.example.").data);
        let answer = ask(pagar.address(), over, "none.example.", RecordType::A);
        assert_eq!(rcode(&answer), ResponseCode::NXDomain);
        assert!(matches!(soa(&answer), Some((owner, 7, ttl)) if owner == "example." && ttl <= 60), "{answer:?}");
        let answer = ask(pagar.address(), over, "www.example.", RecordType::AAAA);
        assert_eq!((rcode(&answer), soa(&answer).unwrap().1), (ResponseCode::NoError, 7));
        let answer = ask(pagar.address(), over, "elsewhere.invalid-tld.", RecordType::A);
        assert_eq!(rcode(&answer), ResponseCode::Refused, "the upstream's own code");
        assert!(!is_block(&answer));
    }
}

#[test]
fn all_sections_flags_and_codes_arrive_unchanged() {
    let upstream = Scripted::start(|asked| {
        let mut answer = asked.answer([a(&asked.name(), "198.51.100.1"), unknown(&asked.name())]);
        answer.add_authority(upstream::soa("example."));
        answer.add_additional(a("ns.example.", "198.51.100.2"));
        answer.metadata.authentic_data = true;
        let mut edns = Edns::new();
        edns.options_mut().insert(EdnsOption::Unknown(15, b"\x00\x0athe upstream's words".to_vec()));
        edns.options_mut().insert(EdnsOption::Unknown(65001, b"private".to_vec()));
        answer.set_edns(edns);
        if asked.name() == "notzone.example." {
            answer.metadata.response_code = ResponseCode::NotZone;
        }
        vec![answer]
    });
    let site = Site::with(&[upstream.address]);
    let pagar = site.start();
    for over in BOTH {
        let mut question = query("all.example.", RecordType::A);
        question.edns.as_mut().unwrap().set_dnssec_ok(true);
        question.metadata.checking_disabled = true;
        let answer = send(pagar.address(), over, &question);
        assert_eq!(answer.answers[1].data, unknown("all.example.").data);
        assert_eq!((answer.answers.len(), answer.authorities.len(), answer.additionals.len()), (2, 1, 1));
        assert!(answer.metadata.authentic_data, "a loopback upstream is trusted");
        assert!(answer.metadata.checking_disabled && answer.edns.as_ref().unwrap().flags().dnssec_ok);
        assert_eq!(ede(&answer), [(10, String::new())], "the code, not the words");
        let answer = ask(pagar.address(), over, "notzone.example.", RecordType::A);
        assert_eq!(rcode(&answer), ResponseCode::NotZone);
    }
    let asked = upstream.asked();
    let message = &asked[0].message;
    assert!(message.metadata.checking_disabled && message.metadata.recursion_desired);
    assert!(message.edns.as_ref().unwrap().flags().dnssec_ok);
    assert_eq!(message.max_payload(), 1232);
    assert_eq!(message.edns.as_ref().unwrap().options().options.len(), 1, "our cookie");
}

#[test]
fn an_upstream_cannot_pass_its_own_policy_off_as_ours() {
    let upstream = Scripted::start(|asked| {
        let mut answer = asked.address("203.0.113.1");
        let mut edns = Edns::new();
        edns.options_mut().insert(EdnsOption::Unknown(15, b"\x00\x10N-1".to_vec()));
        answer.set_edns(edns);
        vec![answer]
    });
    let site = Site::with(&[upstream.address]);
    let pagar = site.start();
    let answer = ask_a(pagar.address(), "theirs.example.");
    assert_eq!(ede(&answer), [(0, "upstream: 16 (Censored)".into())]);
    assert_eq!(addresses(&answer), [ip("203.0.113.1")]);
}

#[test]
fn a_large_answer_is_truncated_over_udp_and_whole_over_tcp() {
    let upstream = Authoritative::start(large());
    let site = Site::with(&[upstream.address]);
    let pagar = site.start();
    let answer = ask(pagar.address(), Over::Udp, "large.example.", RecordType::TXT);
    assert!(answer.metadata.truncation && answer.answers.is_empty() && answer.edns.is_some(), "{answer:?}");
    let answer = ask(pagar.address(), Over::Tcp, "large.example.", RecordType::TXT);
    assert!(!answer.metadata.truncation);
    assert_eq!(answer.answers.len(), 20);
    for printed in dig(pagar.address(), &["large.example", "TXT"]) {
        assert_eq!(printed.matches("300\tIN\tTXT").count(), 20, "fetched over TCP by itself: {printed}");
    }
}

#[test]
fn what_the_upstream_truncates_is_fetched_over_tcp() {
    let upstream = Scripted::start(|asked| {
        let mut answer = asked.address("198.51.100.1");
        answer.metadata.truncation = asked.over == Over::Udp;
        if asked.over == Over::Udp {
            answer.answers.clear();
        }
        vec![answer]
    });
    let site = Site::with(&[upstream.address]);
    let pagar = site.start();
    for n in 0..3 {
        let answer = ask_a(pagar.address(), &format!("n{n}.example."));
        assert!(!answer.metadata.truncation);
        assert_eq!(addresses(&answer), [ip("198.51.100.1")]);
    }
    let over_tcp: Vec<_> = upstream.asked().into_iter().filter(|asked| asked.over == Over::Tcp).collect();
    assert!(over_tcp.len() >= 3);
    assert!(over_tcp.iter().all(|asked| asked.from == over_tcp[0].from), "on one connection");
}

#[test]
fn a_kept_answer_costs_the_upstream_nothing() {
    let upstream = Scripted::start(|asked| {
        let mut answer = asked.answer([]);
        match asked.name().as_str() {
            "none.example." => {
                answer.metadata.response_code = ResponseCode::NXDomain;
                answer.add_authority(upstream::soa("example."));
            }
            "bare.example." => answer.metadata.response_code = ResponseCode::NXDomain,
            "zero.example." => drop(answer.add_answer(record("zero.example.", 0, a("x.", "198.51.100.1").data))),
            name => drop(answer.add_answer(a(name, "198.51.100.1"))),
        }
        vec![answer]
    });
    let site = Site::with(&[upstream.address]);
    let pagar = site.start();
    let ask_all = |over| {
        let answer = ask(pagar.address(), over, "Kept.example.", RecordType::A);
        assert!(answer.answers[0].ttl <= 300 && answer.answers[0].ttl > 200);
        let answer = ask(pagar.address(), over, "none.example.", RecordType::A);
        assert_eq!(rcode(&answer), ResponseCode::NXDomain);
        assert!(soa(&answer).unwrap().2 <= 60, "no longer than MINIMUM (RFC 2308 s5)");
        for name in ["bare.example.", "zero.example."] {
            ask(pagar.address(), over, name, RecordType::A);
        }
    };
    ask_all(Over::Udp);
    let first = upstream.counts();
    [Over::Tcp, Over::Udp].into_iter().for_each(ask_all);
    let counts = upstream.counts();
    for name in ["kept.example.", "none.example."] {
        assert_eq!(counts[name], first[name], "{name} is kept");
    }
    for name in ["bare.example.", "zero.example."] {
        assert!(counts[name] >= first[name] + 2, "{name}: no SOA, a TTL of 0: not kept");
    }
    let mut dnssec = query("kept.example.", RecordType::A);
    dnssec.edns.as_mut().unwrap().set_dnssec_ok(true);
    send(pagar.address(), Over::Udp, &dnssec);
    assert!(upstream.count("kept.example.") > first["kept.example."], "with DO it is another answer");
    assert!(pagar.metric("pagar_cache_hits_total") >= 4.0);
    assert!(pagar.metric("pagar_cache_bytes") > 0.0);
}

#[test]
fn a_name_that_leads_to_a_listed_one_is_blocked_as_itself() {
    let target = || name("cdn.listed.example.");
    let https = record("app.example.", 300, RData::HTTPS(HTTPS(SVCB::new(1, target(), vec![]))));
    let upstream = Authoritative::start([
        record("shop.example.", 300, RData::CNAME(CNAME(name("hop.example.")))),
        record("hop.example.", 300, RData::CNAME(CNAME(target()))),
        a("cdn.listed.example.", "198.51.100.66"),
        https,
        a("app.example.", "198.51.100.1"),
    ]);
    let site = Site::with(&[upstream.address]);
    site.put("1.json", &notice(1, "listed.example", "subtree"));
    let pagar = site.start();
    for over in BOTH {
        for name in ["Shop.example.", "hop.example."] {
            let answer = ask(pagar.address(), over, name, RecordType::A);
            assert_eq!(addresses(&answer), [ip("192.0.2.80")]);
            assert_eq!((answer.answers.len(), ede_codes(&answer)), (1, vec![16, 4]), "the chain is dropped");
            assert_eq!(answer.answers[0].name.to_string().to_ascii_lowercase(), name.to_ascii_lowercase());
        }
        let answer = ask(pagar.address(), over, "app.example.", RecordType::HTTPS);
        assert_eq!((answer.answers.len(), ede_codes(&answer)), (0, vec![16]));
        assert_eq!(soa(&answer).unwrap().0, "app.example.", "the SOA stands at the name asked");
        let answer = ask(pagar.address(), over, "app.example.", RecordType::A);
        assert_eq!(addresses(&answer), [ip("198.51.100.1")], "its address leads nowhere else");
    }
    assert_eq!(pagar.metric("pagar_dns_notice_hits_total{notice=\"N-1\"}"), 6.0);
    site.remove("notices/1.json");
    crate::harness::wait_until("the chain is free", || {
        let answer = ask_a(pagar.address(), "shop.example.");
        addresses(&answer).contains(&ip("198.51.100.66")) && !is_block(&answer)
    });
}
