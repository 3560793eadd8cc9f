//! Upstreams that lie, are slow, silent, half dead, die and come back (RFC 5452, 7873, 9520): the client gets the right
//! answer in time, and the metrics say what happened.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::sleep;
use std::time::{Duration, Instant};

use hickory_proto::op::{Edns, Message, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::rdata::{NULL, TXT};
use hickory_proto::rr::{DNSClass, RData, RecordType};

use crate::client::{BOTH, Over, addresses, ask, ask_a, ede_codes, exchange, is_block, query, rcode, send};
use crate::harness::{Pagar, Site, config, notice, peer, wait_until};
use crate::peers::daemon;
use crate::upstream::{Asked, Scripted, a, name, record};

const TRUE: &str = "198.51.100.1";
const FALSE: &str = "203.0.113.66";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A site with these upstreams and more of a configuration.
fn site(upstreams: &[&Scripted], more: &str) -> Site {
    let addresses: Vec<_> = upstreams.iter().map(|upstream| upstream.address).collect();
    Site::new(&(config(&addresses) + more))
}

/// The value of a series of an upstream, with the labels before `upstream`.
fn count(pagar: &Pagar, family: &str, labels: &str, upstream: SocketAddr) -> f64 {
    pagar.metric(&format!("pagar_upstream_{family}{{{labels}upstream=\"{upstream}\"}}"))
}

/// Whether the upstream is in this state.
fn is(pagar: &Pagar, upstream: SocketAddr, state: &str) -> bool {
    count(pagar, "state", &format!("state=\"{state}\","), upstream) == 1.0
}

/// Failures of the upstream for this reason.
fn errors(pagar: &Pagar, reason: &str, upstream: &Scripted) -> f64 {
    count(pagar, "errors_total", &format!("reason=\"{reason}\","), upstream.address)
}

/// An answer with this code and an OPT with this option, if any.
fn refusal(asked: &Asked, code: ResponseCode, option: Option<(u16, Vec<u8>)>) -> Message {
    let mut answer = asked.answer([]);
    answer.metadata.response_code = code;
    let mut edns = Edns::new();
    if let Some((code, data)) = option {
        edns.options_mut().insert(EdnsOption::Unknown(code, data));
    }
    answer.set_edns(edns);
    answer
}

fn with_cookie(mut answer: Message, cookie: Vec<u8>) -> Message {
    let mut edns = Edns::new();
    edns.options_mut().insert(EdnsOption::Unknown(10, cookie));
    answer.set_edns(edns);
    answer
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
    assert!(ports.len() > 48 && ids.len() > 55, "{ports:?} {ids:?}");
    let spread = |of: &BTreeSet<u16>| of.last().unwrap() - of.first().unwrap();
    assert!(spread(&ports) > 20_000 && spread(&ids) > 20_000, "{ports:?} {ids:?}");
    let steps = |of: Vec<u16>| of.windows(2).filter(|pair| pair[1].wrapping_sub(pair[0]) <= 2).count();
    assert!(steps(asked.iter().map(|asked| asked.from.port()).collect()) < 5, "in sequence");
    assert!(steps(asked.iter().map(|asked| asked.message.metadata.id).collect()) < 5, "in sequence");
}

/// Has the lie told before the truth, and checks that only the truth is believed; how many messages were ignored.
fn told(lie: impl Fn(&Asked, Message) -> Vec<Message> + Send + Sync + 'static) -> f64 {
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
    assert_eq!(errors(&pagar, "malformed", &upstream), 0.0);
    count(&pagar, "mismatches_total", "", upstream.address)
}

#[test]
fn an_answer_with_another_id_is_ignored() {
    let ignored = told(|asked, mut lie| {
        lie.metadata.id = asked.message.metadata.id.wrapping_add(1);
        vec![lie]
    });
    assert!(ignored >= 10.0);
}

#[test]
fn an_answer_to_another_question_is_ignored() {
    let ignored = told(|_, lie| {
        let (mut other, mut rtype, mut class, mut none) = (lie.clone(), lie.clone(), lie.clone(), lie);
        class.queries[0].set_query_class(DNSClass::CH);
        other.queries[0].set_name(name("other.example."));
        rtype.queries[0].set_query_type(RecordType::AAAA);
        none.queries.clear();
        vec![other, rtype, class, none]
    });
    assert!(ignored >= 40.0);
}

#[test]
fn a_query_sent_back_is_no_answer() {
    let ignored = told(|asked, _| vec![asked.message.clone()]);
    assert!(ignored >= 10.0);
}

#[test]
fn an_answer_from_another_port_or_address_is_ignored() {
    let ignored = told(|asked, lie| {
        let octets = lie.to_vec().unwrap();
        for from in ["127.0.0.1:0", "127.0.0.2:0"] {
            let socket = UdpSocket::bind(from).unwrap();
            (0..3).for_each(|_| drop(socket.send_to(&octets, asked.from)));
        }
        vec![]
    });
    assert_eq!(ignored, 0.0, "the kernel lets none through");
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
    wait_until("it is asked last", || is(&pagar, silent.address, "open"));
    let of = |family, address| count(&pagar, family, "", address);
    assert!(of("failures_total", silent.address) >= 1.0);
    assert_eq!(
        of("failures_total", silent.address),
        count(&pagar, "errors_total", "reason=\"timeout\",", silent.address)
    );
    assert_eq!((of("healthy", silent.address), of("healthy", second.address)), (0.0, 1.0));
    assert!(count(&pagar, "probes_total", "result=\"unanswered\",", silent.address) >= 2.0);
    assert!(of("requests_total", second.address) >= 6.0);
    assert!(of("duration_seconds_count", second.address) >= 6.0);
    let before = silent.asked().len();
    (0..5).for_each(|n| drop(ask_a(pagar.address(), &format!("later{n}.example."))));
    assert_eq!(silent.asked().len(), before, "the second answers first");
}

#[test]
fn one_lost_datagram_is_sent_again() {
    let lost = AtomicBool::new(false);
    let upstream = Scripted::start(move |asked| match asked.is_probe() || lost.swap(true, Relaxed) {
        true => vec![asked.address(TRUE)],
        false => vec![],
    });
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
    for over in BOTH {
        let sent = upstream.asked().iter().filter(|asked| asked.over == over).count();
        assert!(sent <= 6, "three tries a question and transport at most (RFC 9520 s3.1): {sent}");
    }
    assert_eq!(pagar.get("/readyz").0, 200, "listed names are still answered");
    speaks.store(true, Relaxed);
    wait_until("it has recovered", || addresses(&ask_a(pagar.address(), "dark.example.")) == [ip(TRUE)]);
    wait_until("it is in use again", || is(&pagar, upstream.address, "closed"));
    assert_eq!(count(&pagar, "healthy", "", upstream.address), 1.0);
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

//------ response codes ------------------------------------------------------------------------------------------------

#[test]
fn a_server_that_could_not_or_would_not_is_not_the_last_word() {
    let first = Scripted::start(|asked| {
        let code = match asked.name().as_str() {
            "servfail.example." => ResponseCode::ServFail,
            "refused.example." => ResponseCode::Refused,
            "notimp.example." => ResponseCode::NotImp,
            _ => ResponseCode::FormErr,
        };
        vec![refusal(asked, code, None)]
    });
    let second = Scripted::with_address(TRUE);
    let site = site(&[&first, &second], "");
    let pagar = site.start();
    for n in ["servfail", "refused", "notimp", "formerr"] {
        for over in BOTH {
            assert_eq!(addresses(&ask(pagar.address(), over, &format!("{n}.example."), RecordType::A)), [ip(TRUE)]);
        }
        assert!(first.count(&format!("{n}.example.")) >= 1, "{n}");
    }
    assert!(errors(&pagar, "rcode", &first) >= 4.0);
    assert!(count(&pagar, "failures_total", "", first.address) >= 4.0);
    assert!(is(&pagar, first.address, "closed"), "codes say nothing about its health");
}

#[test]
fn when_all_refuse_the_answer_that_gives_a_reason_comes_back() {
    let first = Scripted::start(|asked| vec![refusal(asked, ResponseCode::ServFail, Some((15, vec![0, 22])))]);
    let second = Scripted::start(|asked| vec![refusal(asked, ResponseCode::Refused, None)]);
    let site = site(&[&first, &second], "");
    let pagar = site.start();
    for (over, name) in BOTH.into_iter().zip(["a.example.", "b.example."]) {
        let answer = ask(pagar.address(), over, name, RecordType::A);
        assert_eq!(
            (rcode(&answer), ede_codes(&answer)),
            (ResponseCode::ServFail, vec![22]),
            "a failure that is not kept"
        );
    }
}

#[test]
fn the_verdict_of_validation_and_an_upstreams_own_block_are_not_asked_around() {
    let first = Scripted::start(|asked| {
        let code = if asked.name() == "bogus.example." { 6 } else { 15 };
        vec![refusal(asked, ResponseCode::ServFail, Some((15, vec![0, code])))]
    });
    let second = Scripted::with_address(FALSE);
    let site = site(&[&first, &second], "");
    let pagar = site.start();
    let answer = ask_a(pagar.address(), "bogus.example.");
    assert_eq!((rcode(&answer), ede_codes(&answer)), (ResponseCode::ServFail, vec![6]));
    assert_eq!(rcode(&ask_a(pagar.address(), "blocked.example.")), ResponseCode::ServFail);
    assert!(second.asked().is_empty());
}

#[test]
fn formerr_to_edns_is_asked_again_without_it_each_time() {
    let upstream = Scripted::start(|asked| {
        let mut answer = asked.address(TRUE);
        if asked.message.edns.is_some() {
            answer = asked.answer([]);
            answer.metadata.response_code = ResponseCode::FormErr;
        }
        vec![answer]
    });
    let site = site(&[&upstream], "");
    let pagar = site.start();
    for n in 0..3 {
        assert_eq!(addresses(&ask_a(pagar.address(), &format!("n{n}.example."))), [ip(TRUE)]);
    }
    for n in 0..3 {
        let of = |asked: &Asked| asked.name() == format!("n{n}.example.");
        let asked: Vec<_> = upstream.asked().into_iter().filter(of).map(|asked| asked.message.edns.is_some()).collect();
        assert!(asked[0] && asked.contains(&false), "not remembered: a forgery must not take DNSSEC away: {asked:?}");
    }
    assert_eq!(errors(&pagar, "rcode", &upstream), 0.0);
}

#[test]
fn a_cookie_it_cannot_read_costs_no_signatures_and_an_answer_without_do_is_not_kept() {
    let upstream = Scripted::start(|asked| {
        let knows_edns = asked.name().starts_with("edns");
        let edns = asked.message.edns.as_ref();
        let has_cookie = edns.is_some_and(|edns| edns.option(EdnsCode::Cookie).is_some());
        if has_cookie || edns.is_some() && !knows_edns {
            let mut answer = asked.answer([]);
            answer.metadata.response_code = ResponseCode::FormErr;
            answer.edns = None;
            return vec![answer];
        }
        vec![asked.address(TRUE)]
    });
    let site = site(&[&upstream], "");
    let pagar = site.start();
    let times = |name: &str| {
        for _ in 0..2 {
            let mut question = query(name, RecordType::A);
            question.set_edns(Edns::new()).edns.as_mut().unwrap().set_dnssec_ok(true);
            assert_eq!(addresses(&send(pagar.address(), Over::Udp, &question)), [ip(TRUE)]);
        }
        upstream.asked().into_iter().filter(|asked| asked.name() == name).map(|asked| asked.message.edns).collect()
    };
    let asked: Vec<_> = times("edns.example.");
    assert!(asked.last().unwrap().as_ref().is_some_and(|edns| edns.flags().dnssec_ok), "{asked:?}");
    assert!(asked.iter().all(Option::is_some));
    let asked: Vec<_> = times("old.example.");
    assert_eq!(asked.iter().filter(|edns| edns.is_none()).count(), 2, "{asked:?}");
}

//------ slow and half dead --------------------------------------------------------------------------------------------

#[test]
fn a_late_upstream_is_hedged() {
    let first = Scripted::start(|asked| {
        if asked.name().starts_with("slow") {
            sleep(Duration::from_secs(2));
        }
        vec![asked.address(TRUE)]
    });
    let second = Scripted::with_address(TRUE);
    let site = site(&[&first, &second], "");
    let pagar = site.start();
    let mut n = 0;
    wait_until("one was hedged", || {
        n += 1;
        (0..25).for_each(|m| drop(ask_a(pagar.address(), &format!("quick{n}-{m}.example."))));
        assert_eq!(addresses(&ask_a(pagar.address(), &format!("slow{n}.example."))), [ip(TRUE)]);
        pagar.metric("pagar_upstream_hedges_total") >= 1.0
    });
}

#[test]
fn slow_answers_count_and_those_behind_the_deadline_harm_nobody() {
    let upstream = Scripted::start(|asked| {
        match asked.name().split('.').next() {
            Some("slow") => sleep(Duration::from_millis(1_000)),
            Some("late") => sleep(Duration::from_millis(4_000)),
            _ => {}
        }
        vec![asked.address(TRUE)]
    });
    let site = site(&[&upstream], "");
    let pagar = site.start();
    assert_eq!(addresses(&ask_a(pagar.address(), "slow.example.")), [ip(TRUE)]);
    let started = Instant::now();
    let answer = ask_a(pagar.address(), "late.example.");
    assert_eq!((rcode(&answer), ede_codes(&answer)), (ResponseCode::ServFail, vec![22]));
    assert!(started.elapsed() < Duration::from_secs(8), "2.5 s are meant");
    sleep(Duration::from_secs(2)); // the late answers arrive now
    assert_eq!(addresses(&ask_a(pagar.address(), "next.example.")), [ip(TRUE)]);
    assert!(errors(&pagar, "timeout", &upstream) >= 1.0);
    assert!(is(&pagar, upstream.address, "closed"));
}

#[test]
fn an_idle_upstream_with_a_dead_zone_does_not_look_dead() {
    let upstream =
        Scripted::start(|asked| if asked.name().contains("dead") { vec![] } else { vec![asked.address(TRUE)] });
    let site = site(&[&upstream], "");
    let pagar = site.start();
    for n in 0..3 {
        let answer = ask_a(pagar.address(), &format!("n{n}.dead.example."));
        assert_eq!((rcode(&answer), ede_codes(&answer)), (ResponseCode::ServFail, vec![22]));
        assert!(is(&pagar, upstream.address, "closed"), "7 s of silence, but the probes are answered");
    }
    assert!(count(&pagar, "probes_total", "result=\"answered\",", upstream.address) >= 2.0);
    assert!(errors(&pagar, "timeout", &upstream) >= 3.0);
}

#[test]
fn every_other_datagram_lost_costs_no_answer() {
    let parity = AtomicUsize::new(0);
    let upstream = Scripted::start(move |asked| match asked.is_probe() || parity.fetch_add(1, Relaxed) % 2 == 1 {
        true => vec![asked.address(TRUE)],
        false => vec![],
    });
    let site = site(&[&upstream], "");
    let pagar = site.start();
    for n in 0..6 {
        assert_eq!(addresses(&ask_a(pagar.address(), &format!("n{n}.example."))), [ip(TRUE)]);
    }
    assert!(is(&pagar, upstream.address, "closed"));
}

#[test]
fn one_that_answers_by_tcp_only_is_asked_by_tcp() {
    let udp = Arc::new(AtomicBool::new(false));
    let speaks = udp.clone();
    let upstream = Scripted::start(move |asked| match asked.over == Over::Tcp || speaks.load(Relaxed) {
        true => vec![asked.address(TRUE)],
        false => vec![],
    });
    let site = site(&[&upstream], "");
    let pagar = site.start();
    let mut n = 0;
    let mut asked_over = |over| {
        n += 1;
        let name = format!("n{n}.example.");
        assert_eq!(addresses(&ask_a(pagar.address(), &name)), [ip(TRUE)]);
        upstream.asked().iter().filter(|asked| asked.name() == name).all(|asked| asked.over == over)
    };
    wait_until("it is asked by TCP at once", || asked_over(Over::Tcp));
    assert_eq!(count(&pagar, "healthy", "", upstream.address), 1.0, "it answers");
    udp.store(true, Relaxed);
    wait_until("it is asked by UDP again", || asked_over(Over::Udp));
}

#[test]
fn truncated_and_dead_by_tcp_is_asked_elsewhere_and_passed_on_if_nobody_knows_better() {
    let truncating = || {
        Scripted::start(|asked| match asked.over {
            Over::Udp => {
                let mut answer = asked.answer([]);
                answer.metadata.truncation = true;
                vec![answer]
            }
            Over::Tcp => vec![],
        })
    };
    let (first, second) = (truncating(), Scripted::with_address(TRUE));
    let site_of_two = site(&[&first, &second], "");
    let pagar = site_of_two.start();
    for over in BOTH {
        assert_eq!(addresses(&ask(pagar.address(), over, "a.example.", RecordType::A)), [ip(TRUE)]);
    }
    assert!(count(&pagar, "truncated_total", "", first.address) >= 1.0);
    let alone = site(&[&first], "");
    let pagar = alone.start();
    let answer = ask(pagar.address(), Over::Udp, "a.example.", RecordType::A);
    assert!(answer.metadata.truncation && rcode(&answer) == ResponseCode::NoError, "{answer:?}");
    let answer = ask(pagar.address(), Over::Tcp, "b.example.", RecordType::A);
    assert_eq!((rcode(&answer), ede_codes(&answer)), (ResponseCode::ServFail, vec![23]));
}

#[test]
fn one_that_flaps_costs_no_answer() {
    let speaks = Arc::new(AtomicBool::new(false));
    let heard = speaks.clone();
    let first = Scripted::start(move |asked| if heard.load(Relaxed) { vec![asked.address(TRUE)] } else { vec![] });
    let second = Scripted::with_address(TRUE);
    let site = site(&[&first, &second], "");
    let pagar = site.start();
    let mut n = 0;
    let mut until = |state| {
        wait_until(state, || {
            n += 1;
            assert_eq!(addresses(&ask_a(pagar.address(), &format!("n{n}.example."))), [ip(TRUE)]);
            is(&pagar, first.address, state)
        });
    };
    for state in ["open", "closed", "open"] {
        speaks.store(state == "closed", Relaxed);
        until(state);
    }
    let log = pagar.log();
    assert!(log.contains("upstream is silent: asked last") && log.contains("upstream is in use again"), "{log}");
}

//------ garbage -------------------------------------------------------------------------------------------------------

#[test]
fn garbage_is_asked_elsewhere() {
    // a CNAME whose name breaks off
    let broken = |owner: &str| record(owner, 300, RData::Unknown { code: 5.into(), rdata: NULL::with(vec![5, 97]) });
    let first = Scripted::start(move |asked| vec![asked.answer([broken(&asked.name())])]);
    let second = Scripted::with_address(TRUE);
    let site = site(&[&first, &second], "");
    let pagar = site.start();
    assert_eq!(addresses(&ask_a(pagar.address(), "a.example.")), [ip(TRUE)]);
    assert!(errors(&pagar, "malformed", &first) >= 1.0);
}

#[test]
fn records_that_were_not_asked_for_answer_no_other_question() {
    let upstream = Scripted::start(|asked| {
        let mut answer = asked.address(TRUE);
        answer.add_answer(a("victim.example.", FALSE));
        answer.add_additional(a("victim.example.", FALSE));
        vec![answer]
    });
    let site = site(&[&upstream], "");
    let pagar = site.start();
    ask_a(pagar.address(), "bait.example.");
    assert!(addresses(&ask_a(pagar.address(), "victim.example.")).contains(&ip(TRUE)));
    assert!(upstream.count("victim.example.") >= 1, "asked, not taken from what came unasked");
}

#[test]
fn by_tcp_too_other_answers_are_ignored_and_records_nobody_can_read_are_passed_on() {
    // no data at all; an HTTPS record with an ALPN list that breaks off
    let odd = [(731, vec![]), (65, vec![0, 1, 0, 0, 1, 0, 1, 9])];
    let of = odd.clone();
    let upstream = Scripted::start(move |asked| {
        let mut cut = asked.answer([]);
        cut.metadata.truncation = true;
        if asked.over == Over::Udp {
            return vec![cut];
        }
        let asked_for = u16::from(asked.message.queries[0].query_type());
        let data = of.iter().find(|(code, data)| *code == asked_for && !data.is_empty());
        let rdata = data.map_or_else(NULL::new, |(_, data)| NULL::with(data.clone()));
        let answer = asked.answer([record(&asked.name(), 300, RData::Unknown { code: asked_for.into(), rdata })]);
        let (mut id, mut other) = (asked.address(FALSE), asked.address(FALSE));
        id.metadata.id = id.metadata.id.wrapping_add(1);
        other.queries[0].set_name(name("other.example."));
        vec![id, other, answer]
    });
    let site = site(&[&upstream], "");
    let pagar = site.start();
    for (code, data) in odd {
        let query = query("odd.example.", code.into());
        let answer = exchange(pagar.address(), Over::Tcp, &query.to_vec().unwrap()).unwrap();
        assert!(Message::from_vec(&answer).is_err(), "or the test shows nothing");
        assert_eq!(answer[3] & 15, 0, "NOERROR");
        assert_eq!(answer[6..8], [0, 1], "a record");
        let len = u16::try_from(data.len()).unwrap().to_be_bytes();
        let tail = [&len[..], &data, &[0, 0, 41]].concat(); // then our OPT record
        assert!(answer.windows(tail.len()).any(|octets| octets == tail), "{answer:?}");
    }
    assert!(count(&pagar, "mismatches_total", "", upstream.address) >= 4.0);
    assert_eq!(errors(&pagar, "malformed", &upstream) + errors(&pagar, "timeout", &upstream), 0.0);
}

#[test]
fn a_datagram_larger_than_anybody_sends_is_fetched_over_tcp() {
    let texts =
        || (0..60).map(|n| record("huge.example.", 300, RData::TXT(TXT::new(vec![format!("{n:03}").repeat(60)]))));
    let upstream = Scripted::start(move |asked| vec![asked.answer(texts())]);
    let site = site(&[&upstream], "");
    let pagar = site.start();
    let answer = ask(pagar.address(), Over::Tcp, "huge.example.", RecordType::TXT);
    assert_eq!(answer.answers.len(), 60, "more than 11,000 octets");
    assert!(ask(pagar.address(), Over::Udp, "huge.example.", RecordType::TXT).metadata.truncation);
}

//------ cookies -------------------------------------------------------------------------------------------------------

/// Answers by UDP only who sends back the cookie it gave out.
fn cookie_server(address: &str) -> Scripted {
    Scripted::start_at(format!("{address}:0").parse().unwrap(), |asked| {
        let Some(cookie) = asked.cookie() else { return vec![asked.address(TRUE)] };
        let full = [&cookie[..8], &[0xc5; 16]].concat();
        if cookie == full {
            return vec![with_cookie(asked.address(TRUE), full)];
        }
        vec![refusal(asked, ResponseCode::BADCOOKIE, Some((10, full)))]
    })
}

#[test]
fn cookies_are_learned_and_sent_back() {
    let (first, second) = (cookie_server("127.0.0.1"), cookie_server("127.0.5.4"));
    let site = site(&[&first, &second], "[forwarding]\nstrategy = \"spread\"\n");
    let pagar = site.start();
    for n in 0..12 {
        assert_eq!(addresses(&ask_a(pagar.address(), &format!("n{n}.example."))), [ip(TRUE)]);
    }
    let ours = |server: &Scripted| {
        let cookies: Vec<_> = server.asked().iter().filter_map(Asked::cookie).collect();
        let halves: BTreeSet<_> = cookies.iter().map(|cookie| cookie[..8].to_vec()).collect();
        assert_eq!(halves.len(), 1, "one for an upstream");
        let refused = cookies.iter().filter(|cookie| cookie.len() == 8).count();
        assert!((1..=3).contains(&refused), "learned: {refused}");
        halves
    };
    assert_ne!(ours(&first), ours(&second), "each has another");
    assert_eq!(errors(&pagar, "rcode", &first), 0.0);
}

#[test]
fn bind_that_requires_cookies_gets_them() {
    let Some(program) = peer("named") else { return };
    let below = Site::new("");
    let directory = below.path("").display().to_string();
    below.write("example.zone", "$TTL 300\n@ SOA ns h 1 2 3 4 60\n@ NS ns\nns A 127.0.0.1\n* A 198.51.100.1\n");
    let named = daemon(&program, "example.", |address| {
        let (ip, port) = (address.ip(), address.port());
        let text = format!(
            "options {{ directory \"{directory}\"; listen-on port {port} {{ {ip}; }}; listen-on-v6 {{ none; }}; \
             pid-file none; session-keyfile none; recursion no; require-server-cookie yes; dnssec-validation no; }};\n\
             controls {{}};\nzone \"example\" {{ type primary; file \"example.zone\"; }};\n"
        );
        below.write("named.conf", &text);
        ["-g", "-n", "1", "-c", below.path("named.conf").to_str().unwrap()].map(String::from).to_vec()
    });
    let address = named.address;
    let site = Site::with(&[address]);
    let pagar = site.start();
    for n in 0..10 {
        assert_eq!(addresses(&ask_a(pagar.address(), &format!("n{n}.example."))), [ip(TRUE)]);
    }
    let requests = count(&pagar, "requests_total", "", address);
    assert!(requests < 20.0, "the cookie is learned, not asked for each time: {requests}");
    assert_eq!(count(&pagar, "errors_total", "reason=\"rcode\",", address), 0.0);
}

#[test]
fn where_cookies_are_dropped_the_retry_has_none() {
    let upstream = Scripted::start(|asked| if asked.cookie().is_some() { vec![] } else { vec![asked.address(TRUE)] });
    let site = site(&[&upstream], "");
    let pagar = site.start();
    for n in 0..2 {
        assert_eq!(addresses(&ask_a(pagar.address(), &format!("n{n}.example."))), [ip(TRUE)]);
    }
    assert!(is(&pagar, upstream.address, "closed"));
}

#[test]
fn no_cookies_if_they_are_switched_off() {
    let upstream = cookie_server("127.0.0.1");
    let site = site(&[&upstream], "[forwarding]\ncookies = false\n");
    let pagar = site.start();
    assert_eq!(addresses(&ask_a(pagar.address(), "a.example.")), [ip(TRUE)]);
    assert!(upstream.asked().iter().all(|asked| asked.message.edns.as_ref().unwrap().options().options.is_empty()));
}

#[test]
fn an_answer_with_another_cookie_is_ignored() {
    let ignored = told(|asked, lie| {
        let cookie = asked.cookie().unwrap_or_else(|| vec![0; 8]);
        let other = [&[cookie[0] ^ 1][..], &cookie[1..8], &[7; 8]].concat();
        vec![with_cookie(lie.clone(), other), with_cookie(lie, cookie[..7].to_vec())]
    });
    assert!(ignored >= 20.0);
}

#[test]
fn an_answer_without_the_cookie_it_should_have_is_checked_by_tcp() {
    let forged = Arc::new(AtomicBool::new(false));
    let lies = forged.clone();
    let upstream = Scripted::start(move |asked| match (asked.over, asked.cookie()) {
        (Over::Udp, Some(_)) if lies.load(Relaxed) => vec![asked.address(FALSE)],
        (Over::Udp, Some(cookie)) => vec![with_cookie(asked.address(TRUE), [&cookie[..8], &[1; 8]].concat())],
        _ => vec![asked.address(TRUE)],
    });
    let site = site(&[&upstream], "");
    let pagar = site.start();
    wait_until("it has learned the cookie", || {
        ask_a(pagar.address(), &format!("n{}.example.", upstream.asked().len()));
        upstream.asked().last().unwrap().cookie().is_some_and(|cookie| cookie.len() == 16)
    });
    forged.store(true, Relaxed);
    assert_eq!(addresses(&ask_a(pagar.address(), "checked.example.")), [ip(TRUE)]);
    assert!(upstream.asked().iter().any(|asked| asked.over == Over::Tcp));
    assert!(upstream.asked().iter().all(|asked| asked.over == Over::Udp || asked.name() == "checked.example."));
}

#[test]
fn badcookie_twice_is_asked_by_tcp() {
    let upstream = Scripted::start(|asked| match (asked.over, asked.cookie()) {
        (Over::Udp, Some(cookie)) => {
            vec![refusal(
                asked,
                ResponseCode::BADCOOKIE,
                Some((10, [&cookie[..8], &rand::random::<[u8; 8]>()].concat())),
            )]
        }
        _ => vec![asked.address(TRUE)],
    });
    let site = site(&[&upstream], "[forwarding]\nhedge = false\n");
    let pagar = site.start();
    assert_eq!(addresses(&ask_a(pagar.address(), "a.example.")), [ip(TRUE)]);
    let ways: Vec<_> = upstream.asked().iter().map(|asked| asked.over).collect();
    assert!(ways.contains(&Over::Tcp) && ways.iter().filter(|over| **over == Over::Udp).count() <= 3, "{ways:?}");
}

#[test]
fn the_clients_options_never_reach_the_upstream() {
    let upstream = Scripted::start(|asked| {
        let mut answer = asked.address(TRUE);
        answer.metadata.truncation = asked.over == Over::Udp && asked.name() == "tcp.example.";
        vec![answer]
    });
    let site = site(&[&upstream], "");
    let pagar = site.start();
    for name in ["udp.example.", "tcp.example."] {
        let mut question = query(name, RecordType::A);
        let options = question.edns.as_mut().unwrap().options_mut();
        for (code, data) in [
            (3, vec![]),                       // NSID
            (8, vec![0, 1, 24, 0, 192, 0, 2]), // Client Subnet
            (10, b"clients!".to_vec()),        // cookie
            (12, vec![0; 64]),                 // padding
            (65001, b"private".to_vec()),
        ] {
            options.insert(EdnsOption::Unknown(code, data));
        }
        assert_eq!(addresses(&send(pagar.address(), Over::Udp, &question)), [ip(TRUE)]);
    }
    assert!(upstream.asked().iter().any(|asked| asked.over == Over::Tcp));
    for asked in upstream.asked() {
        let options = &asked.message.edns.as_ref().unwrap().options().options;
        let codes: Vec<_> = options.iter().map(|(code, _)| u16::from(*code)).collect();
        assert!(codes.is_empty() || codes == [10] && asked.over == Over::Udp, "ours alone: {codes:?}");
        assert!(asked.cookie().is_none_or(|cookie| cookie != b"clients!"));
    }
    assert!(upstream.asked().iter().any(|asked| asked.cookie().is_some()), "ours");
}

//------ who is asked --------------------------------------------------------------------------------------------------

#[test]
fn a_zone_has_its_own_upstreams_and_never_falls_back() {
    let silent = Arc::new(AtomicBool::new(false));
    let quiet = silent.clone();
    let public = Scripted::with_address(FALSE);
    let private = Scripted::start(move |asked| if quiet.load(Relaxed) { vec![] } else { vec![asked.address(TRUE)] });
    let zones =
        format!("[[upstream]]\naddress = \"{}\"\nzones = [\"Corp.example\", \"10.in-addr.arpa\"]\n", private.address);
    let site = site(&[&public], &zones);
    let pagar = site.start();
    for name in ["corp.example.", "wWw.cORP.example.", "1.2.3.10.in-addr.arpa."] {
        assert_eq!(addresses(&ask_a(pagar.address(), name)), [ip(TRUE)], "{name}");
    }
    for name in ["example.", "notcorp.example.", "corp.example.net."] {
        assert_eq!(addresses(&ask_a(pagar.address(), name)), [ip(FALSE)], "{name}");
    }
    ask(pagar.address(), Over::Udp, "corp.example.", RecordType::DS);
    silent.store(true, Relaxed);
    let answer = ask_a(pagar.address(), "secret.corp.example.");
    assert_eq!((rcode(&answer), ede_codes(&answer)), (ResponseCode::ServFail, vec![22]));
    assert_eq!(addresses(&ask_a(pagar.address(), "other.example.")), [ip(FALSE)]);
    let leaked = public.asked().into_iter().filter(|asked| asked.name().ends_with("corp.example."));
    let types: Vec<_> = leaked.map(|asked| (asked.name(), asked.message.queries[0].query_type())).collect();
    assert!(types.iter().all(|(name, _)| name == "notcorp.example." || name == "corp.example."), "{types:?}");
    assert!(types.contains(&("corp.example.".into(), RecordType::DS)), "the DS is the parent's");
    assert!(!types.contains(&("corp.example.".into(), RecordType::A)), "{types:?}");
}

#[test]
fn spread_asks_each_in_turn() {
    let (first, second) = (Scripted::with_address(TRUE), Scripted::with_address(TRUE));
    let site = site(&[&first, &second], "[forwarding]\nstrategy = \"spread\"\n");
    let pagar = site.start();
    (0..20).for_each(|n| drop(ask_a(pagar.address(), &format!("n{n}.example."))));
    assert!(first.asked().len() >= 8 && second.asked().len() >= 8);
}

#[test]
fn fastest_asks_the_one_that_answers_soonest() {
    let slow = Scripted::start(|asked| {
        sleep(Duration::from_millis(300));
        vec![asked.address(TRUE)]
    });
    let fast = Scripted::with_address(TRUE);
    let site = site(&[&slow, &fast], "[forwarding]\nstrategy = \"fastest\"\nhedge = false\n");
    let pagar = site.start();
    (0..40).for_each(|n| drop(ask_a(pagar.address(), &format!("n{n}.example."))));
    let (slow, fast) = (slow.asked().len(), fast.asked().len());
    assert!(slow >= 1 && fast > slow, "{slow} {fast}");
}
