//! Real sockets on the loopback, with a test as the upstream at the other end.

use std::collections::BTreeSet;
use std::net::UdpSocket as Plain;
use std::sync::atomic::AtomicUsize;
use std::thread;

use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::*;
use crate::dns::upstream::connection::tests::{PATIENCE as LONG, answer, question};
use crate::dns::upstream::sockets::{FEWEST, Sockets};

/// An upstream that waits to be told what to do, and those who ask it.
struct Site {
    upstream: Plain,
    sockets: Sockets,
    peer: Peer,
    descriptors: Arc<Semaphore>,
}

impl Site {
    fn new(descriptors: usize) -> Self {
        let upstream = Plain::bind("127.0.0.1:0").unwrap();
        upstream.set_read_timeout(Some(LONG)).unwrap();
        let mismatches = IntCounter::new("mismatches", "mismatches").unwrap();
        let peer = Peer { address: upstream.local_addr().unwrap(), trust_ad: false, mismatches };
        let descriptors = Arc::new(Semaphore::new(descriptors));
        Self { sockets: Sockets::new(peer.clone(), descriptors.clone()), upstream, peer, descriptors }
    }

    /// A socket that nobody else uses.
    fn socket(&self) -> Arc<Socket> {
        Arc::new(Socket::open(self.peer.clone(), None).unwrap())
    }

    fn ask(&self, label: &str) -> io::Result<Waiting> {
        self.sockets.ask(&question(label), Edns::Plain, |_| None)
    }

    /// The next query, and where it came from.
    fn query(&self) -> (Vec<u8>, SocketAddr) {
        let mut query = vec![0; 512];
        let (len, from) = self.upstream.recv_from(&mut query).unwrap();
        query.truncate(len);
        (query, from)
    }
}

async fn heard(mut waiting: Waiting) -> io::Result<Received> {
    timeout(LONG, waiting.answer()).await.unwrap()
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..LONG.as_millis() / 10 {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came true: {what}");
}

#[tokio::test]
async fn what_is_forged_is_ignored_and_listening_goes_on() {
    let site = Site::new(8);
    let waiting = site.ask("www").unwrap();
    let (query, from) = site.query();
    let truth = answer(&query);
    for (host, port) in [("127.0.0.1", 0), ("127.0.0.2", site.peer.address.port())] {
        Plain::bind((host, port)).unwrap().send_to(&truth, from).unwrap(); // the kernel keeps it from us
    }
    let mut other_id = truth.clone();
    other_id[1] ^= 1;
    let mut other_question = truth.clone();
    other_question[13] ^= 1;
    for forged in [&other_id, &other_question, &truth[..1].to_vec(), &Vec::new()] {
        site.upstream.send_to(forged, from).unwrap();
    }
    until("the forgeries are counted", || site.peer.mismatches.get() == 4).await;
    site.upstream.send_to(&truth, from).unwrap();
    assert!(heard(waiting).await.unwrap().outcome.is_ok());
    assert_eq!(site.peer.mismatches.get(), 4);
}

#[tokio::test]
async fn a_cookie_of_somebody_else_is_ignored() {
    let site = Site::new(8);
    let mut jar = super::super::cookie::Jar::new(0);
    let cookie = jar.cookie(site.peer.address.ip(), site.peer.address.ip(), 0);
    let waiting = site.sockets.ask(&question("www"), Edns::Cookie, |_| Some(cookie.clone())).unwrap();
    let (query, from) = site.query();
    let mut truth = query.clone(); // its OPT record with our cookie stays at its end
    truth[2] |= 0x80;
    let mut forged = truth.clone();
    *forged.last_mut().unwrap() ^= 1;
    site.upstream.send_to(&forged, from).unwrap();
    site.upstream.send_to(&truth, from).unwrap();
    assert!(heard(waiting).await.unwrap().outcome.is_ok());
    assert_eq!(site.peer.mismatches.get(), 1);
}

#[tokio::test]
async fn an_answer_belongs_to_the_socket_its_question_left_from() {
    let site = Site::new(8);
    let (first, second) = (site.socket(), site.socket());
    let waiting = first.ask(&question("www"), Edns::Plain, |_| None).unwrap();
    let other = second.shared.udp.local_addr().unwrap();
    let (query, from) = site.query();
    site.upstream.send_to(&answer(&query), ("127.0.0.1", other.port())).unwrap();
    until("the other one has it", || site.peer.mismatches.get() == 1).await;
    site.upstream.send_to(&answer(&query), from).unwrap();
    assert!(heard(waiting).await.is_ok());
}

#[tokio::test]
async fn no_two_questions_of_a_socket_have_one_id() {
    let site = Site::new(8);
    let socket = site.socket();
    let waiting: Vec<_> =
        (0..5_000).map(|_| socket.clone().ask(&question("www"), Edns::Plain, |_| None).unwrap()).collect();
    let ids: BTreeSet<_> = waiting.iter().map(|waiting| u16::from_be_bytes(waiting.id)).collect();
    assert_eq!(ids.len(), waiting.len());
    assert!(*ids.first().unwrap() < 1_000 && *ids.last().unwrap() > 64_000, "over the whole range");
    let in_sequence = waiting
        .windows(2)
        .filter(|pair| u16::from_be_bytes(pair[1].id).wrapping_sub(u16::from_be_bytes(pair[0].id)) <= 8);
    assert!(in_sequence.count() < 20);
    drop(waiting);
    let again = socket.clone().ask(&question("www"), Edns::Plain, |_| None).unwrap();
    assert!(!ids.contains(&u16::from_be_bytes(again.id)), "what was asked may still be answered");
}

#[tokio::test]
async fn ports_are_drawn_over_the_whole_range() {
    let upstream = Plain::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ports: Vec<_> = (0..300).map(|_| bind(upstream).unwrap().local_addr().unwrap().port()).collect();
    let (low, high) = (ports.iter().min().unwrap(), ports.iter().max().unwrap());
    assert!((1_024..4_000).contains(low) && *high > 62_500, "{low} to {high}");
    let sixteenths: BTreeSet<_> = ports.iter().map(|port| port / 4_096).collect();
    assert_eq!(sixteenths.len(), 16, "no part of it is left out");
    let steps = ports.windows(2).filter(|pair| pair[1].wrapping_sub(pair[0]) <= 8).count();
    assert!(steps < 5, "in sequence");
}

#[test]
fn reserved_ports_are_read_as_the_kernel_writes_them() {
    assert_eq!(reserved("8053,9100-9110,65535\n"), [8_053..=8_053, 9_100..=9_110, 65_535..=65_535]);
    assert_eq!(reserved("\n"), []);
    assert_eq!(reserved("x,1-y,70000,5353"), [5_353..=5_353], "what makes no sense is left out");
}

#[tokio::test]
async fn after_some_forgeries_a_socket_gets_no_new_question_and_listening_goes_on() {
    let site = Site::new(8);
    let socket = site.socket();
    let waiting = socket.clone().ask(&question("www"), Edns::Plain, |_| None).unwrap();
    let (query, from) = site.query();
    let truth = answer(&query);
    let mut forged = truth.clone();
    forged[1] ^= 1;
    for count in 1..=FORGED {
        assert!(!socket.is_spent(Instant::now()), "{count}");
        site.upstream.send_to(&forged, from).unwrap();
        until("it is counted", || site.peer.mismatches.get() == u64::from(count)).await;
    }
    until("it is spent", || socket.is_spent(Instant::now())).await;
    assert!(!socket.has_ended());
    site.upstream.send_to(&truth, from).unwrap();
    assert!(heard(waiting).await.unwrap().outcome.is_ok());
}

#[tokio::test]
async fn who_goes_unheard_takes_nothing_from_who_has_his_id_now() {
    let site = Site::new(8);
    let socket = site.socket();
    let first = socket.clone().ask(&question("www"), Edns::Plain, |_| None).unwrap();
    let (query, from) = site.query();
    site.upstream.send_to(&answer(&query), from).unwrap();
    until("it is there", || socket.shared.lock().asked.is_empty()).await;
    let mut second = socket.clone().ask(&question("www"), Edns::Plain, |_| None).unwrap();
    let asker = socket.shared.lock().asked.remove(&second.id).unwrap();
    socket.shared.lock().asked.insert(first.id, asker);
    second.id = first.id; // as if it had been drawn again
    drop(first);
    let truth = answer(&query);
    site.upstream.send_to(&truth, from).unwrap();
    assert!(heard(second).await.unwrap().outcome.is_ok());
}

#[tokio::test]
async fn a_question_that_cannot_be_sent_fails_alone() {
    let site = Site::new(8);
    let socket = site.socket();
    let waiting = socket.clone().ask(&question("www"), Edns::Plain, |_| None).unwrap();
    let (query, from) = site.query();
    let mut long = question("www");
    long.section = vec![0; 70_000]; // EMSGSIZE
    let error = socket.clone().ask(&long, Edns::Plain, |_| None).map(drop).unwrap_err();
    assert_ne!(error.kind(), io::ErrorKind::ConnectionRefused);
    assert!(socket.is_spent(Instant::now()) && !socket.has_ended());
    site.upstream.send_to(&answer(&query), from).unwrap();
    assert!(heard(waiting).await.unwrap().outcome.is_ok());
}

#[tokio::test]
async fn each_question_draws_its_socket_and_descriptors_are_bounded() {
    let site = Site::new(100);
    let mut ports = Vec::new();
    for n in 0..1_000 {
        let waiting = site.ask(&format!("n{n}")).unwrap();
        let (query, from) = site.query();
        site.upstream.send_to(&answer(&query), from).unwrap();
        assert!(heard(waiting).await.is_ok());
        ports.push(from.port());
    }
    let different: BTreeSet<_> = ports.iter().collect();
    assert_eq!((different.len(), site.descriptors.available_permits()), (100 + FEWEST, 0));
    let first: BTreeSet<_> = ports[..100].iter().collect();
    assert!(first.len() > 80, "{}: they are opened as they are needed", first.len());
    let repeated = ports[100..].windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert!(repeated < 100, "{repeated}");
}

#[tokio::test]
async fn a_socket_that_has_had_its_time_is_replaced_and_listened_to() {
    let site = Site::new(2);
    let socket = site.socket();
    assert!(!socket.is_spent(Instant::now()) && socket.is_spent(Instant::now() + Duration::from_millis(AGE.end)));
    let left = socket.left.load(Relaxed);
    assert!(QUESTIONS.contains(&left));
    let mut waiting: Vec<_> =
        (0..left).map(|_| socket.clone().ask(&question("www"), Edns::Plain, |_| None).unwrap()).collect();
    assert!(socket.is_spent(Instant::now()));
    let (query, from) = site.query();
    let first = waiting.remove(0);
    drop((socket, waiting));
    assert_eq!(first.id, query[..2]);
    site.upstream.send_to(&answer(&query), from).unwrap();
    assert!(heard(first).await.is_ok(), "the last who waits keeps it");
    until("it is closed", || Plain::bind(("0.0.0.0", from.port())).is_ok()).await;
}

#[tokio::test]
async fn what_is_spent_is_swept_away() {
    let site = Site::new(64);
    let waiting: Vec<_> = (0..32).map(|n| site.ask(&format!("n{n}")).unwrap()).collect();
    let open = 64 - site.descriptors.available_permits();
    assert!(open > 20);
    site.sockets.sweep();
    assert_eq!(64 - site.descriptors.available_permits(), open, "they are good");
    waiting.iter().for_each(|waiting| waiting.socket.shared.spend());
    site.sockets.sweep();
    assert_eq!(64 - site.descriptors.available_permits(), open, "somebody waits");
    drop(waiting);
    until("all are closed", || site.descriptors.available_permits() == 64).await;
}

#[tokio::test]
async fn a_refused_port_ends_all_questions_of_its_socket_at_once() {
    let Site { upstream, sockets, peer, .. } = Site::new(8);
    drop(upstream);
    let started = Instant::now();
    let asked: Vec<_> = (0..100).map(|_| sockets.ask(&question("www"), Edns::Plain, |_| None)).collect();
    for asked in asked {
        let error = match asked {
            Ok(waiting) => heard(waiting).await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    let upstream = Plain::bind(peer.address).unwrap();
    let waiting = sockets.ask(&question("www"), Edns::Plain, |_| None).unwrap();
    let mut query = [0; 512];
    let (len, from) = upstream.recv_from(&mut query).unwrap();
    upstream.send_to(&answer(&query[..len]), from).unwrap();
    assert!(heard(waiting).await.is_ok(), "it is back");
}

#[tokio::test]
async fn a_late_answer_is_no_forgery_and_a_second_one_is() {
    let site = Site::new(8);
    let socket = site.socket();
    let ask = |label| socket.clone().ask(&question(label), Edns::Plain, |_| None).unwrap();
    drop(ask("gone"));
    let (query, from) = site.query();
    site.upstream.send_to(&answer(&query), from).unwrap();
    let next = ask("next");
    let (other, _) = site.query();
    site.upstream.send_to(&answer(&other), from).unwrap();
    assert!(heard(next).await.is_ok());
    assert_eq!(site.peer.mismatches.get(), 0);
    site.upstream.send_to(&answer(&query), from).unwrap();
    until("once more is once too often", || site.peer.mismatches.get() == 1).await;
}

#[tokio::test]
async fn who_goes_after_a_long_wait_leaves_a_socket_nobody_uses_again() {
    let site = Site::new(8);
    let mut waiting = site.ask("www").unwrap();
    let socket = waiting.socket.clone();
    waiting.since -= PATIENCE;
    drop(waiting);
    assert!(socket.is_spent(Instant::now()));
    let waiting = site.ask("www").unwrap();
    let socket = waiting.socket.clone();
    drop(waiting);
    assert!(!socket.is_spent(Instant::now()), "he had no reason to complain");
}

#[tokio::test]
async fn thousands_of_questions_at_once_get_their_answers() {
    const COUNT: usize = 4_000;
    let site = Site::new(128);
    let come = Arc::new(AtomicUsize::new(0));
    let (upstream, count) = (site.upstream.try_clone().unwrap(), come.clone());
    let answering = thread::spawn(move || {
        let mut queries = Vec::new();
        while queries.len() < COUNT {
            let mut query = [0; 512];
            let (len, from) = upstream.recv_from(&mut query).unwrap();
            queries.push((query[..len].to_vec(), from));
            count.fetch_add(1, Relaxed);
        }
        for (query, from) in queries.into_iter().rev() {
            upstream.send_to(&answer(&query), from).unwrap();
        }
    });
    let mut waiting = Vec::new();
    for n in 0..COUNT {
        waiting.push(site.ask(&format!("n{n}")).unwrap());
        if n % 100 == 0 {
            until("the upstream keeps up", || come.load(Relaxed) >= n).await; // its queue is a short one
        }
    }
    assert!(join_all(waiting.into_iter().map(heard)).await.iter().all(Result::is_ok));
    answering.join().unwrap();
    assert_eq!(site.peer.mismatches.get(), 0);
}
