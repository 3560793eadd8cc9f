//! The client of the self-test against servers that answer well, badly and not at all.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use AuthorityKind::{Operator, Statutory};
use Expected::{Blocked, Lifted};
use Scope::{Exact, Subtree};
use hickory_proto::op::Edns;
use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{Name, RData, Record};

use super::*;
use crate::observe::metrics::Metrics;

/// A server on loopback; `answer` makes its messages of a question's octets and the number of the question.
fn server(answer: impl Fn(&[u8], usize) -> Vec<Vec<u8>> + Send + 'static) -> (SocketAddr, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (address, asked) = (socket.local_addr().unwrap(), Arc::<AtomicUsize>::default());
    let count = asked.clone();
    std::thread::spawn(move || {
        let mut octets = [0; 4_096];
        while let Ok((len, peer)) = socket.recv_from(&mut octets) {
            for message in answer(&octets[..len], count.fetch_add(1, Relaxed)) {
                socket.send_to(&message, peer).unwrap();
            }
        }
    });
    (address, asked)
}

/// An answer to these octets; with this Extended DNS Error, if it is not 0.
fn answer(question: &[u8], code: ResponseCode, error: u16) -> Message {
    let question = Message::from_vec(question).unwrap();
    let mut message = Message::response(question.metadata.id, question.metadata.op_code);
    message.metadata.response_code = code;
    message.add_query(question.queries[0].clone());
    let mut edns = Edns::new();
    if error > 0 {
        edns.options_mut().insert(EdnsOption::Unknown(15, error.to_be_bytes().to_vec()));
    }
    message.set_edns(edns);
    message
}

fn with_page(mut message: Message) -> Message {
    let name = message.queries[0].name().clone();
    message.add_answer(Record::from_rdata(name, 30, RData::A(A::new(192, 0, 2, 80))));
    message
}

fn with_soa(mut message: Message) -> Message {
    let soa = SOA::new(Name::root(), Name::root(), 1, 30, 30, 30, 30);
    message.add_authority(Record::from_rdata(message.queries[0].name().clone(), 30, RData::SOA(soa)));
    message
}

fn octets(message: &Message) -> Vec<Vec<u8>> {
    vec![message.to_vec().unwrap()]
}

fn question(name: &str, scope: Scope, expected: Expected) -> Question {
    Question { name: DnsName::from_text(name).unwrap(), scope, expected }
}

fn selftest(listeners: &[SocketAddr]) -> SelfTest {
    let metrics = Metrics::new("0", "0").unwrap();
    SelfTest::new(Arc::new(Asking::new(listeners.iter().copied())), metrics.selftest)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// What is found where one question is answered so, expected to be blocked by a statutory notice, by an operator's, and
/// to be lifted.
fn found(answer: impl Fn(&[u8], usize) -> Vec<Vec<u8>> + Send + 'static) -> [Option<Failure>; 3] {
    let (address, _) = server(answer);
    let mut test = selftest(&[address]);
    test.patience = Duration::from_millis(100);
    [Blocked(Statutory), Blocked(Operator), Lifted].map(|expected| {
        let outcome = test.ask(&[question("a.example", Exact, expected)], soon());
        assert_eq!(outcome.asked, 1);
        outcome.failed.get(&0).copied()
    })
}

#[test]
fn every_kind_of_block_is_one_by_its_error() {
    use ResponseCode::{NXDomain, NoError, Refused};
    let still = Some(Failure::StillBlocked);
    for error in [16, 15] {
        let statutory = (error == 15).then_some(Failure::NotBlocked);
        assert_eq!(found(move |q, _| octets(&with_page(answer(q, NoError, error)))), [statutory, None, still]);
        assert_eq!(found(move |q, _| octets(&with_soa(answer(q, NoError, error)))), [statutory, None, still]);
        assert_eq!(found(move |q, _| octets(&with_soa(answer(q, NXDomain, error)))), [statutory, None, still]);
        assert_eq!(found(move |q, _| octets(&answer(q, Refused, error))), [statutory, None, still]);
    }
}

#[test]
fn an_answer_without_the_error_is_no_block_and_what_no_notice_orders_is_none() {
    use ResponseCode::{NXDomain, NoError, Refused, ServFail};
    let not = [Some(Failure::NotBlocked), Some(Failure::NotBlocked), None];
    assert_eq!(found(|q, _| octets(&with_page(answer(q, NoError, 0)))), not);
    assert_eq!(found(|q, _| octets(&with_soa(answer(q, NoError, 0)))), not);
    assert_eq!(found(|q, _| octets(&with_soa(answer(q, NXDomain, 0)))), not);
    assert_eq!(found(|q, _| octets(&answer(q, Refused, 20))), not, "as this server says of what is not listed");
    assert_eq!(found(|q, _| octets(&answer(q, ServFail, 22))), not, "an upstream's failure is no block");
    assert_eq!(found(|q, _| octets(&answer(q, ServFail, 16))), not, "nor what a notice cannot order");
    assert_eq!(found(|q, _| octets(&answer(q, NoError, 16))), not);
}

#[test]
fn silence_and_what_is_no_answer_to_the_question_is_none() {
    let none = [Some(Failure::NoAnswer); 3];
    assert_eq!(found(|_, _| Vec::new()), none);
    let of_another = |change: fn(&mut Vec<u8>)| {
        move |q: &[u8], _| {
            let mut message = octets(&answer(q, ResponseCode::Refused, 16)).remove(0);
            change(&mut message);
            vec![message]
        }
    };
    assert_eq!(found(of_another(|message| message[0] ^= 1)), none, "id");
    assert_eq!(found(of_another(|message| message[13] ^= 1)), none, "name");
    assert_eq!(found(of_another(|message| message[2] = 0)), none, "no response");
    assert_eq!(found(of_another(|message| message.truncate(30))), none);
    assert_eq!(found(of_another(|message| message.truncate(1))), none);
}

#[test]
fn nobody_who_listens_is_no_answer() {
    let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let outcome = selftest(&[address]).ask(&[question("a.example", Exact, Lifted)], soon());
    assert_eq!(outcome.failed[&0], Failure::NoAnswer);
}

#[test]
fn a_lost_answer_is_asked_for_again_and_a_false_one_before_it_is_ignored() {
    let (address, asked) = server(|q, n| {
        let good = octets(&answer(q, ResponseCode::Refused, 16)).remove(0);
        let mut false_one = octets(&answer(q, ResponseCode::Refused, 0)).remove(0);
        false_one[1] ^= 0xff;
        if n < 2 { Vec::new() } else { vec![false_one, good] }
    });
    let outcome = selftest(&[address]).ask(&[question("a.example", Exact, Blocked(Statutory))], soon());
    assert_eq!(outcome, Outcome { asked: 1, failed: BTreeMap::new(), failures: 0 });
    assert_eq!(asked.load(Relaxed), 3);
}

#[test]
fn of_a_subtree_a_name_below_it_is_asked_too() {
    // the name alone is blocked, as if the subtree were taken for an exact target
    let of_name = |q: &[u8], _| {
        let error = if q[12] == 1 { 16 } else { 0 };
        octets(&answer(q, ResponseCode::Refused, error))
    };
    let (address, asked) = server(of_name);
    let mut test = selftest(&[address]);
    let questions = [Exact, Subtree].map(|scope| question("a.example", scope, Blocked(Statutory)));
    let outcome = test.ask(&questions, soon());
    assert_eq!((outcome.asked, asked.load(Relaxed)), (3, 3));
    assert_eq!(outcome.failed, BTreeMap::from([(1, Failure::NotBlocked)]));
    assert_eq!((test.metrics.questions.get(), outcome.failures), (3, 1));
}

#[test]
fn every_listener_is_asked_and_one_that_fails_is_enough() {
    let (good, _) = server(|q, _| octets(&answer(q, ResponseCode::Refused, 16)));
    let (bad, _) = server(|q, _| octets(&answer(q, ResponseCode::Refused, 0)));
    let questions = [question("a.example", Exact, Blocked(Statutory))];
    assert_eq!(
        selftest(&[good, good]).ask(&questions, soon()),
        Outcome { asked: 2, failed: BTreeMap::new(), failures: 0 }
    );
    assert_eq!(selftest(&[good, bad]).ask(&questions, soon()).failed[&0], Failure::NotBlocked);
}

#[test]
fn a_thousand_are_asked_in_windows_and_each_has_its_own_outcome() {
    let (address, asked) = server(|q, _| {
        let error = if q[13..20].ends_with(b"7") { 0 } else { 16 };
        octets(&answer(q, ResponseCode::Refused, error))
    });
    let name = |n: usize| question(&format!("{n:07}.example"), Exact, Blocked(Statutory));
    let questions: Vec<_> = (0..1_000).map(name).collect();
    let outcome = selftest(&[address]).ask(&questions, soon());
    assert_eq!(asked.load(Relaxed), 1_000);
    assert!(outcome.failed.keys().copied().eq((0..1_000).filter(|n| n % 10 == 7)), "{:?}", outcome.failed);
}

#[test]
fn at_the_deadline_the_rest_is_late() {
    let (address, asked) = server(|_, _| Vec::new());
    let questions: Vec<_> = (0..200).map(|n| question(&format!("{n}.example"), Exact, Lifted)).collect();
    let started = Instant::now();
    let outcome = selftest(&[address]).ask(&questions, started + Duration::from_millis(100));
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(outcome.failed.len(), 200);
    assert!(outcome.failed.values().all(|why| *why == Failure::Late), "{:?}", outcome.failed);
    assert!(asked.load(Relaxed) <= WINDOW);
}

#[test]
fn a_question_ends_with_the_token_and_asks_for_no_recursion() {
    let asking = Asking::new([]);
    let probes: Vec<_> = Probe::all(0, &question("a.example", Subtree, Lifted)).collect();
    for probe in &probes {
        let octets = probe.message(7, asking.option());
        assert!(asking.has_signed(&octets));
        let message = Message::from_vec(&octets).unwrap();
        assert!(!message.metadata.recursion_desired && message.edns.is_some());
    }
    let names: Vec<_> = probes.iter().map(|probe| probe.section.len()).collect();
    assert_eq!(names, [11 + 4, 11 + 4 + 1 + LABEL]);
    assert_ne!(below(b"\0"), below(b"\0"));
}

#[test]
fn the_longest_names_have_room_for_a_short_label_or_none() {
    let name =
        |len: usize| DnsName::from_text(&[&"a".repeat(61), ".b".repeat((len - 63) / 2).as_str()].concat()).unwrap();
    for (len, below_it) in [(253, Some(255)), (255, None)] {
        let name = name(len);
        assert_eq!(name.as_wire().len(), len);
        let found = below(name.as_wire());
        assert_eq!(found.as_ref().map(Vec::len), below_it);
        assert!(found.is_none_or(|wire| DnsName::from_wire(&wire).is_ok()));
    }
}

#[test]
fn a_sample_is_spread_over_all_and_has_no_index_twice() {
    assert_eq!(sample_indices(3, 1_000), [0, 1, 2]);
    for len in [1_001, 1_500, 20_000_000] {
        let sample = sample_indices(len, 1_000);
        assert_eq!(sample.len(), 1_000);
        assert!(sample.is_sorted_by(|a, b| a < b) && sample[999] < len);
        assert!(sample[0] < len.div_ceil(1_000) && sample[999] >= len - len.div_ceil(1_000));
    }
    assert!(sample_indices(0, 1_000).is_empty() && sample_indices(9, 0).is_empty());
}
