//! Upstreams that lie, are silent, die and come back (RFC 5452; issue: dead upstreams).

use std::collections::BTreeSet;
use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;

use crate::client::{BOTH, Over, addresses, ask, ask_a, ede_codes, exchange, is_block, query, rcode};
use crate::harness::{Site, notice, wait_until};
use crate::upstream::{Asked, Scripted, name};

const TRUE: &str = "198.51.100.1";
const FALSE: &str = "203.0.113.66";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn every_try_has_a_fresh_port_and_id() {
    let upstream = Scripted::with_address(TRUE);
    let site = Site::with(&[upstream.address]);
    let pagar = site.start();
    for n in 0..60 {
        let mut question = query(&format!("n{n}.example."), RecordType::A);
        question.metadata.id = 4711;
        exchange(pagar.address(), Over::Udp, &question.to_vec().unwrap()).unwrap();
    }
    let asked = upstream.asked();
    assert!(asked.len() >= 60);
    let ports: BTreeSet<_> = asked.iter().map(|asked| asked.from.port()).collect();
    let ids: BTreeSet<_> = asked.iter().map(|asked| asked.message.metadata.id).collect();
    assert!(ports.len() > 55 && ids.len() > 55, "{ports:?} {ids:?}");
    let spread = |of: &BTreeSet<u16>| of.last().unwrap() - of.first().unwrap();
    assert!(spread(&ports) > 20_000 && spread(&ids) > 20_000, "{ports:?} {ids:?}");
    let steps = |of: Vec<u16>| of.windows(2).filter(|pair| pair[1].wrapping_sub(pair[0]) <= 2).count();
    assert!(steps(asked.iter().map(|asked| asked.from.port()).collect()) < 5, "in sequence");
    assert!(steps(asked.iter().map(|asked| asked.message.metadata.id).collect()) < 5, "in sequence");
}

/// Has the lie told before the truth, and checks that only the truth is believed.
fn told(lie: impl Fn(&Asked, Message) -> Vec<Message> + Send + Sync + 'static) {
    let upstream = Scripted::start(move |asked| {
        let mut answers = lie(asked, asked.address(FALSE));
        answers.push(asked.address(TRUE));
        answers
    });
    let site = Site::with(&[upstream.address]);
    let pagar = site.start();
    for n in 0..10 {
        let answer = ask_a(pagar.address(), &format!("n{n}.example."));
        assert_eq!(addresses(&answer), [ip(TRUE)]);
        let answer = ask_a(pagar.address(), &format!("n{n}.example."));
        assert_eq!(addresses(&answer), [ip(TRUE)], "from the cache");
    }
    assert!(upstream.counts().values().all(|count| *count <= 3), "no more tries for a lie (RFC 9520 s3.1)");
}

#[test]
fn an_answer_with_another_id_is_ignored() {
    told(|asked, mut lie| {
        lie.metadata.id = asked.message.metadata.id.wrapping_add(1);
        vec![lie]
    });
}

#[test]
fn an_answer_to_another_question_is_ignored() {
    told(|_, lie| {
        let (mut other, mut rtype, mut none) = (lie.clone(), lie.clone(), lie);
        other.queries[0].set_name(name("other.example."));
        rtype.queries[0].set_query_type(RecordType::AAAA);
        none.queries.clear();
        vec![other, rtype, none]
    });
}

#[test]
fn a_query_sent_back_is_no_answer() {
    told(|asked, _| vec![asked.message.clone()]);
}

#[test]
fn an_answer_from_another_port_or_address_is_ignored() {
    told(|asked, lie| {
        let octets = lie.to_vec().unwrap();
        for from in ["127.0.0.1:0", "127.0.0.2:0"] {
            let socket = UdpSocket::bind(from).unwrap();
            (0..3).for_each(|_| drop(socket.send_to(&octets, asked.from)));
        }
        vec![]
    });
}

#[test]
fn the_second_upstream_answers_when_the_first_is_silent() {
    let (silent, second) = (Scripted::start(|_| vec![]), Scripted::with_address(TRUE));
    let site = Site::with(&[silent.address, second.address]);
    let pagar = site.start();
    for n in 0..6 {
        let answer = ask(pagar.address(), BOTH[n % 2], &format!("n{n}.example."), RecordType::A);
        assert_eq!(addresses(&answer), [ip(TRUE)]);
    }
    let of = |family: &str, address| pagar.metric(&format!("pagar_upstream_{family}{{upstream=\"{address}\"}}"));
    assert!(of("failures_total", silent.address) >= 3.0);
    assert_eq!(of("healthy", silent.address), 0.0, "asked last from now on");
    assert_eq!(of("healthy", second.address), 1.0);
    assert!(of("requests_total", second.address) >= 6.0);
    assert!(of("duration_seconds_count", second.address) >= 6.0);
}

#[test]
fn one_lost_datagram_is_sent_again() {
    let lost = AtomicBool::new(false);
    let upstream =
        Scripted::start(move |asked| if lost.swap(true, Relaxed) { vec![asked.address(TRUE)] } else { vec![] });
    let site = Site::with(&[upstream.address]);
    let pagar = site.start();
    assert_eq!(addresses(&ask_a(pagar.address(), "a.example.")), [ip(TRUE)]);
    let asked = upstream.asked();
    assert!(asked.len() >= 2);
    assert_ne!(asked[0].from.port(), asked[1].from.port());
}

#[test]
fn when_all_are_silent_listed_names_are_answered_and_the_rest_fails_until_one_returns() {
    let speaks = Arc::new(AtomicBool::new(false));
    let heard = speaks.clone();
    let upstream = Scripted::start(move |asked| if heard.load(Relaxed) { vec![asked.address(TRUE)] } else { vec![] });
    let site = Site::with(&[upstream.address]);
    site.put("1.json", &notice(1, "listed.example", "subtree"));
    let pagar = site.start();
    for over in BOTH {
        let answer = ask(pagar.address(), over, "dark.example.", RecordType::A);
        assert_eq!((rcode(&answer), ede_codes(&answer)[0]), (ResponseCode::ServFail, 22));
        let asked = Instant::now();
        assert!(is_block(&ask(pagar.address(), over, "www.listed.example.", RecordType::A)));
        assert!(asked.elapsed() < Duration::from_secs(2), "a block waits for nobody");
    }
    assert!(upstream.count("dark.example.") <= 6, "three tries a question at most (RFC 9520 s3.1)");
    assert_eq!(pagar.get("/readyz").0, 200, "listed names are still answered");
    speaks.store(true, Relaxed);
    wait_until("it has recovered", || addresses(&ask_a(pagar.address(), "dark.example.")) == [ip(TRUE)]);
    assert_eq!(pagar.metric(&format!("pagar_upstream_healthy{{upstream=\"{}\"}}", upstream.address)), 1.0);
}

#[test]
fn when_all_have_died_it_says_so_and_recovers_when_one_is_started_again() {
    // an address of their own, where no other test can take the port meanwhile
    let start =
        |port| Scripted::start_at(format!("127.0.5.3:{port}").parse().unwrap(), |asked| vec![asked.address(TRUE)]);
    let (first, second) = (start(0), start(0));
    let addresses_of = [first.address, second.address];
    let site = Site::with(&addresses_of);
    site.put("1.json", &notice(1, "listed.example", "subtree"));
    let pagar = site.start();
    assert_eq!(addresses(&ask_a(pagar.address(), "before.example.")), [ip(TRUE)]);
    drop((first, second));
    for over in BOTH {
        let asked = Instant::now();
        let answer = ask(pagar.address(), over, "dark.example.", RecordType::A);
        assert_eq!((rcode(&answer), ede_codes(&answer)[0]), (ResponseCode::ServFail, 23));
        assert!(asked.elapsed() < Duration::from_secs(2), "nobody is waited for who cannot answer");
        assert!(is_block(&ask(pagar.address(), over, "listed.example.", RecordType::A)));
        let kept = ask(pagar.address(), over, "before.example.", RecordType::A);
        assert_eq!(addresses(&kept), [ip(TRUE)], "from the cache");
    }
    let _returned = start(addresses_of[1].port());
    wait_until("it has recovered", || addresses(&ask_a(pagar.address(), "dark.example.")) == [ip(TRUE)]);
}
