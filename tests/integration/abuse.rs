//! Whoever pushes without right, too much, too slowly or again and again: what they are told, what it costs, and that
//! queries go on meanwhile. A [`Witness`] asks for listed and for cached names all the time: none of its questions may be
//! lost, and what its answers take is printed, with the abuse and without. The node is that of a debug build with other
//! tests beside it, so no figure is held to more than [`PATIENT`].
//!
//! ```sh
//! cargo test --release --test integration -- --ignored --nocapture --test-threads 1 abuse
//! ```
//!
//! does more of it, one scene after the other.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::client::{exchange_udp, is_block, query, udp};
use crate::harness::{LIMIT, Pagar, skip};
use crate::signed::{Signed, is_blocked, until};
use crate::web_access::{api, client};

/// From one question of the witness to the next.
const PACE: Duration = Duration::from_millis(2);
/// Longest that all but one in a hundred of its answers may take, on a machine that has other work too.
const PATIENT: Duration = Duration::from_secs(2);
/// How long it asks before the abuse begins.
const QUIET: Duration = Duration::from_millis(500);
/// KiB that a scene may take: 48 MiB of bodies, what is made of them, and what the allocator keeps.
const MEMORY: u64 = 150 << 10;

//------ who looks on ------

/// Asks for a listed and a cached name in turn until it is told to end.
struct Witness {
    done: Over,
    asking: JoinHandle<Vec<Duration>>,
}

/// Says that it is over when it is dropped: also when a test fails.
struct Over(Arc<AtomicBool>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

impl Witness {
    fn start(server: SocketAddr) -> Self {
        let over = Arc::<AtomicBool>::default();
        let done = Over(over.clone());
        let asking = std::thread::spawn(move || {
            let (socket, mut took) = (udp(server.ip()), Vec::new());
            let questions = [("listed.example.", true), ("cached.example.", false)]
                .map(|(name, listed)| (query(name, RecordType::A).to_vec().unwrap(), listed));
            while !over.load(Relaxed) {
                let (octets, listed) = &questions[took.len() % 2];
                let asked = Instant::now();
                let answer = exchange_udp(&socket, server, octets).expect("a question was lost");
                took.push(asked.elapsed());
                assert_eq!(is_block(&Message::from_vec(&answer).unwrap()), *listed);
                std::thread::sleep(PACE);
            }
            took
        });
        Self { done, asking }
    }

    /// What its answers took, shortest first.
    fn end(self) -> Vec<Duration> {
        drop(self.done);
        let mut took = self.asking.join().expect("the witness has seen something wrong");
        took.sort_unstable();
        took
    }
}

fn at(percent: usize, sorted: &[Duration]) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

/// A node that lists `listed.example`, number 1 of `mcmc`.
struct Yard {
    signed: Signed,
    pagar: Pagar,
}

impl Yard {
    /// With more configuration.
    fn new(more: &str) -> Self {
        let signed = Signed::with(1, more);
        signed.order("1.jws", &signed.mcmc.restrict(1, &["listed.example"]));
        let pagar = signed.start();
        assert!(until(|| is_blocked(&pagar, "listed.example.")));
        signed.receipt("1.jws", "enforced");
        Self { signed, pagar }
    }

    fn connect(&self) -> Connection {
        Connection::new(TcpStream::connect(api(&self.pagar, "http")).unwrap())
    }

    /// From another address of this machine.
    fn connect_from(&self, address: IpAddr) -> Connection {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((address, 0)).into()).unwrap();
        socket.connect(&api(&self.pagar, "http").into()).unwrap();
        Connection::new(socket.into())
    }

    /// Records in the ledger.
    fn records(&self) -> f64 {
        self.pagar.metric("pagar_ledger_records_total")
    }

    /// Notices that the node has seen to be enforced.
    fn enforced(&self) -> f64 {
        self.pagar.metric("pagar_notice_enforce_seconds_count")
    }

    /// Carries out a scene, and looks at answers and memory meanwhile.
    fn under<T>(&self, scene: &str, abuse: impl FnOnce() -> T) -> T {
        let quiet = Witness::start(self.pagar.address());
        std::thread::sleep(QUIET);
        let quiet = quiet.end();
        fs::write(format!("/proc/{}/clear_refs", self.pagar.id()), "5").unwrap(); // the peak begins anew
        let before = self.kib("VmRSS:");
        let (witness, begun) = (Witness::start(self.pagar.address()), Instant::now());
        let outcome = abuse();
        let (lasted, took) = (begun.elapsed(), witness.end());
        let (peak, after) = (self.kib("VmHWM:").saturating_sub(before), self.kib("VmRSS:").saturating_sub(before));
        println!(
            "{scene}: {lasted:.1?}, {} questions, none lost; p50 {:.1?}, p99 {:.1?}, longest {:.1?}; without it p50 {:.1?}, \
             p99 {:.1?}; memory {:.1} MiB more at most, {:.1} afterwards",
            took.len(),
            at(50, &took),
            at(99, &took),
            at(100, &took),
            at(50, &quiet),
            at(99, &quiet),
            peak as f64 / 1024.0,
            after as f64 / 1024.0,
        );
        assert!(at(99, &took) < PATIENT);
        assert!(peak < MEMORY, "{scene}: {peak} KiB");
        outcome
    }

    /// What the kernel says of the process.
    fn kib(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pagar.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }
}

//------ who abuses ------

/// A connection to the API, which stays as long as the node lets it.
struct Connection(TcpStream);

/// A status and the body with it.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Value,
}

impl Answer {
    /// What a refused client is told: a problem by its stable word, and when to come again if that helps.
    fn code(&self) -> &str {
        let code = self.body["code"].as_str().unwrap_or_else(|| panic!("{self:?}"));
        assert_eq!(self.body["type"], format!("urn:pagar:problem:{code}"));
        assert!(![429, 503].contains(&self.status) || self.head.contains("\r\nretry-after: "), "{self:?}");
        code
    }
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// Sends an order for the client with this token, or for nobody; the answer is to be read.
    fn send(&mut self, token: Option<&str>, envelope: &str) {
        let request = head(token, envelope.len()) + envelope;
        self.0.write_all(request.as_bytes()).unwrap();
    }

    fn push(&mut self, token: Option<&str>, envelope: &str) -> Answer {
        self.send(token, envelope);
        self.read()
    }

    fn read(&mut self) -> Answer {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut octet = [0];
            self.0.read_exact(&mut octet).unwrap_or_else(|error| panic!("{error} after {head:?}"));
            head.extend(octet);
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect(&head);
        let mut body = vec![0; length.parse().unwrap()];
        self.0.read_exact(&mut body).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, body: serde_json::from_slice(&body).unwrap(), head }
    }
}

/// The head of a push with a body of this length.
fn head(token: Option<&str>, length: usize) -> String {
    let authorization = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    format!(
        "POST /v1/notices HTTP/1.1\r\nhost: localhost\r\n{authorization}content-type: application/jose+json\r\n\
         content-length: {length}\r\n\r\n"
    )
}

/// The gateway of `mcmc`, whose token is `gateway-token`.
fn gateway() -> String {
    client("gateway", "authority", "authority = \"mcmc\"\n")
}

/// How many of each.
fn tally<T: Ord>(of: impl IntoIterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    of.into_iter().for_each(|one| *counts.entry(one).or_default() += 1);
    counts
}

//------ scenes ------

/// Guesses tokens from one address, on one connection.
fn tokens_are_guessed(guesses: usize) {
    let yard = Yard::new(&gateway());
    let records = yard.records();
    let order = yard.signed.mcmc.sign(&yard.signed.mcmc.restrict(2, &["two.example"]));
    let told = yard.under("wrong tokens", || {
        let mut guesser = yard.connect_from("127.0.0.2".parse().unwrap());
        let guess = |n| guesser.push(Some(&format!("guess-{n}")), &order).code().to_owned();
        tally((0..guesses).map(guess))
    });
    assert_eq!(told, BTreeMap::from([("unauthenticated".into(), 20), ("guessing".into(), guesses - 20)]));
    let mut guesser = yard.connect_from("127.0.0.2".parse().unwrap());
    assert_eq!(guesser.push(Some("gateway-token"), &order).code(), "guessing", "a right one tells nothing now");
    assert_eq!(yard.records(), records, "nobody's orders are recorded");
    assert_eq!(yard.connect().push(Some("gateway-token"), &order).status, 201, "from elsewhere it is served");
}

/// Sends orders that another authority has signed, with the token of this one.
fn a_foreign_authority_is_pushed_for(times: usize) {
    let yard = Yard::new(&gateway());
    let records = yard.records();
    let mut order = yard.signed.isp.restrict(1, &["two.example"]);
    order["id"] = "I-1".into();
    let order = yard.signed.isp.sign(&order);
    let mut forged = yard.signed.mcmc.restrict(2, &["three.example"]);
    forged["id"] = "F-1".into();
    let forged = yard.signed.isp.sign(&forged);
    let told = yard.under("foreign orders", || {
        let mut connection = yard.connect();
        let push = |n| {
            let answer = connection.push(Some("gateway-token"), [order.as_str(), &forged][n % 2]);
            (answer.status, answer.code().to_owned())
        };
        tally((0..times).map(push))
    });
    println!("{told:?}");
    let count = |status, code: &str| told.get(&(status, code.to_owned())).copied().unwrap_or_default();
    let (foreign, unknown, rate) = (count(403, "foreign-authority"), count(403, "unknown-key"), count(429, "rate"));
    assert!(foreign > 0 && unknown > 0 && foreign + unknown + rate == times, "{told:?}");
    assert!(!is_blocked(&yard.pagar, "two.example.") && !is_blocked(&yard.pagar, "three.example."));
    assert_eq!(yard.records(), records, "the ledger is not theirs to fill");
}

/// Bodies that are larger than any order, said to be so or not; others that never end.
fn bodies_are_too_large_or_too_slow(large: usize, slow: usize) {
    const LARGEST: usize = 16 << 20;
    let yard = Yard::new(&gateway());
    let token = Some("gateway-token");
    let told = yard.under("large and slow bodies", || {
        let piece = vec![b' '; 1 << 20];
        let mut hung: Vec<_> = (0..slow).map(|_| yard.connect()).collect();
        for Connection(stream) in &mut hung {
            let _ = stream.write_all(head(token, LARGEST).as_bytes()).and_then(|()| stream.write_all(&piece)); // it may be refused by then
        }
        let mut told = Vec::new();
        for n in 0..large {
            let mut connection = yard.connect();
            if n % 2 == 0 {
                connection.0.write_all(head(token, LARGEST + 1).as_bytes()).unwrap();
            } else {
                let chunked = head(token, 0).replace("content-length: 0", "transfer-encoding: chunked");
                connection.0.write_all(chunked.as_bytes()).unwrap();
                let chunk = [b"100000\r\n", &piece[..], b"\r\n"].concat();
                (0..17).for_each(|_| drop(connection.0.write_all(&chunk))); // likewise
            }
            told.push(connection.read());
        }
        told.extend(hung.iter_mut().map(Connection::read));
        tally(told.iter().map(|answer| (answer.status, answer.code().to_owned())))
    });
    println!("{told:?}");
    let count = |status| told.iter().filter(|((of, _), _)| *of == status).map(|(_, count)| count).sum::<usize>();
    assert!(count(413) >= large / 2 && count(408) > 0, "{told:?}");
    assert_eq!(count(413) + count(408) + count(503) + count(429), large + slow, "{told:?}");
    let order = yard.signed.mcmc.sign(&yard.signed.mcmc.restrict(2, &["two.example"]));
    assert!(until(|| yard.connect().push(token, &order).status == 201), "there is room again");
}

/// So many valid orders at once, each on a connection of its own; those that are told to come again do.
fn orders_come_all_at_once(orders: u64) {
    let limits = getrlimit(Resource::Nofile);
    if limits.maximum.is_some_and(|most| most < 3_000) {
        return skip("needs 3,000 file descriptors");
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(limits.current.unwrap_or(4_096).max(4_096)), ..limits })
        .unwrap();
    let yard = Yard::new(&gateway());
    let name = |n: u64| format!("n{n}.crowd.example");
    let sign = |n: u64| (n, yard.signed.mcmc.sign(&yard.signed.mcmc.restrict(n, &[&name(n)])));
    let mut waiting: Vec<(u64, String)> = (2..2 + orders).map(sign).collect();
    yard.under(&format!("{orders} orders at once"), || {
        let mut rounds = 0;
        while !waiting.is_empty() {
            rounds += 1;
            assert!(rounds < 60, "{} are never taken", waiting.len());
            let send = |(_, envelope): &(u64, String)| {
                let mut connection = yard.connect();
                let last =
                    head(Some("gateway-token"), envelope.len()).replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
                connection.0.write_all((last + envelope).as_bytes()).unwrap();
                connection
            };
            let mut connections: Vec<_> = waiting.iter().map(send).collect();
            let answers: Vec<_> = connections.iter_mut().map(Connection::read).collect();
            println!("round {rounds}: {:?}", tally(answers.iter().map(|answer| answer.status)));
            let mut answers = answers.iter();
            waiting.retain(|_| {
                let answer = answers.next().unwrap();
                if ![200, 201].contains(&answer.status) {
                    assert!(["rate", "busy", "not-ready"].contains(&answer.code()), "{answer:?}");
                }
                ![200, 201].contains(&answer.status)
            });
            if !waiting.is_empty() {
                std::thread::sleep(Duration::from_secs(1)); // what they are told
            }
        }
        assert!(until(|| yard.enforced() > orders as f64));
    });
    (2..2 + orders).for_each(|n| assert!(is_blocked(&yard.pagar, &name(n)), "{n} was taken and lost"));
    let exported = yard.signed.site.run(&["ledger", "verify"]);
    assert_eq!(exported.code, Some(0), "{exported:?}");
}

/// The same order again and again, on a few connections at a time.
fn an_order_is_replayed(times: usize) {
    const CONNECTIONS: usize = 4;
    let yard = Yard::new("");
    let envelope = yard.signed.mcmc.sign(&yard.signed.mcmc.restrict(2, &["two.example"]));
    assert_eq!(yard.connect().push(None, &envelope).status, 201);
    assert!(until(|| yard.enforced() == 2.0));
    let records = yard.records();
    yard.under(&format!("{times} replays"), || {
        std::thread::scope(|scope| {
            for _ in 0..CONNECTIONS {
                scope.spawn(|| {
                    let mut connection = yard.connect();
                    for _ in 0..times / CONNECTIONS {
                        let answer = connection.push(None, &envelope);
                        assert_eq!((answer.status, &answer.body["receipt"]["state"]), (200, &json!("enforced")));
                    }
                });
            }
        });
    });
    assert_eq!(yard.records(), records, "an order is recorded once");
}

#[test]
fn guessed_tokens_shut_out_the_guesser_and_nobody_else() {
    tokens_are_guessed(1_000);
}

#[test]
fn orders_of_a_foreign_authority_are_refused_and_not_recorded() {
    a_foreign_authority_is_pushed_for(600);
}

#[test]
fn large_and_slow_bodies_take_little_and_are_given_up() {
    bodies_are_too_large_or_too_slow(10, 60);
}

#[test]
fn a_thousand_orders_at_once_are_all_taken_and_enforced() {
    orders_come_all_at_once(1_000);
}

#[test]
fn the_same_order_two_thousand_times_is_one_order() {
    an_order_is_replayed(2_000);
}

#[test]
#[ignore = "some minutes, one scene after the other: see the header"]
fn much_more_of_it() {
    tokens_are_guessed(20_000);
    a_foreign_authority_is_pushed_for(5_000);
    bodies_are_too_large_or_too_slow(100, 150);
    orders_come_all_at_once(2_500);
    an_order_is_replayed(20_000);
}
