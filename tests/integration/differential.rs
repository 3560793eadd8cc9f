//! The same random questions to Pagar and to unbound, both forwarding to one nsd: the replies must be the same, but for
//! the differences that [`compare::ALLOWED`] lists with their reasons.
//!
//! `cargo test` asks 5,000 questions. The long run, and a run again:
//!
//! ```sh
//! PAGAR_DIFFERENTIAL=1000000 PAGAR_SEED=7 cargo test --release differential -- --nocapture
//! ```
//!
//! It prints how often each difference was met. The seed makes the questions; what is in the caches when they come
//! depends on the clock as well.

mod compare;
mod questions;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use compare::{ALLOWED, Pair};
use questions::{Question, Random};

use crate::client::{Over, PATIENCE, frame, read_frame, tcp, udp};
use crate::harness::{Site, peer};
use crate::peers::{ZONES, nsd, unbound};

/// Clients beside each other, each with one question at a time.
const CLIENTS: u64 = 4;

/// What makes unbound a plain forwarder with a cache, its answers as complete as ours and no larger.
const PLAIN: &str = " module-config: iterator\n minimal-responses: no\n rrset-roundrobin: no\n edns-buffer-size: 1232\n \
                     max-udp-size: 1232\n cache-max-ttl: 3600\n cache-max-negative-ttl: 3600\n ede: yes\n \
                     qname-minimisation: no\n outgoing-range: 512\n incoming-num-tcp: 64\n";

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

#[test]
fn pagar_and_unbound_answer_alike() {
    let (Some(nsd_program), Some(unbound_program)) = (peer("nsd"), peer("unbound")) else { return };
    let (count, seed) = (setting("PAGAR_DIFFERENTIAL", 5_000), setting("PAGAR_SEED", 1));
    println!("{count} questions, PAGAR_SEED={seed}");
    let others = Site::new("");
    let authoritative = nsd(&others, &nsd_program, &ZONES);
    let theirs = unbound(&others, &unbound_program, authoritative.address, "example.", PLAIN);
    let site = Site::with(&[authoritative.address]);
    let pagar = site.start();
    let tally = Mutex::new(Tally { met: vec![0; ALLOWED.len()], ..Tally::default() });
    let started = Instant::now();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let mut random = Random::new(seed * CLIENTS + client);
            let mut servers = [Server::new(pagar.address(), 1), Server::new(theirs.address, TRIES)];
            let tally = &tally;
            scope.spawn(move || {
                for _ in 0..count / CLIENTS {
                    let question = Question::random(&mut random);
                    let [ours, theirs] = servers.each_mut().map(|server| server.ask(&question));
                    tally.lock().unwrap().add(&question, ours, theirs, started);
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap();
    println!(
        "{} questions in {:.1} s, {} with a difference",
        tally.asked,
        started.elapsed().as_secs_f64(),
        tally.differ
    );
    for (allowed, met) in ALLOWED.iter().zip(&tally.met) {
        println!("{met:>9}  {}: {}", allowed.what, allowed.why);
    }
    for (what, (times, first)) in &tally.faults {
        println!("--- {times} times {what}\n{first}");
    }
    assert!(tally.faults.is_empty(), "the replies differ, see above: {:?}", tally.faults.keys());
    assert_eq!(tally.asked, count / CLIENTS * CLIENTS);
    assert_eq!(pagar.metric("pagar_dns_dropped_total{reason=\"panic\"}"), 0.0);
}

#[derive(Default)]
struct Tally {
    asked: u64,
    differ: u64,
    met: Vec<u64>,
    /// What differs without an explanation, how often, and the first such replies.
    faults: BTreeMap<String, (u64, String)>,
}

impl Tally {
    fn add(&mut self, question: &Question, ours: Option<Vec<u8>>, theirs: Option<Vec<u8>>, started: Instant) {
        self.asked += 1;
        let (Some(ours), Some(theirs)) = (&ours, &theirs) else {
            let silent = if ours.is_none() { "pagar" } else { "unbound" };
            return self.fault(&format!("{silent} is silent"), &question.to_string());
        };
        let pair = match Pair::read(question, [ours, theirs], started.elapsed()) {
            Ok(pair) => pair,
            Err(error) => return self.fault(&error, &question.to_string()),
        };
        let differences = pair.differences();
        self.differ += u64::from(!differences.is_empty());
        let mut unexplained = Vec::new();
        for difference in differences {
            match pair.allowed(difference) {
                Some(number) => self.met[number] += 1,
                None => unexplained.push(difference),
            }
        }
        if !unexplained.is_empty() {
            self.fault(&format!("{unexplained:?}"), &pair.side_by_side());
        }
    }

    fn fault(&mut self, what: &str, shown: &str) {
        let entry = self.faults.entry(what.to_owned()).or_insert_with(|| (0, shown.to_owned()));
        entry.0 += 1;
    }
}

/// How often unbound is asked, with a share of [`PATIENCE`] each: it sends a hundred errors a second and leaves more of
/// them unanswered.
const TRIES: u32 = 50;

/// A server with a socket and, from the first use on, a connection to it.
struct Server {
    address: SocketAddr,
    socket: UdpSocket,
    /// How often it is asked.
    tries: u32,
    stream: Option<TcpStream>,
}

impl Server {
    fn new(address: SocketAddr, tries: u32) -> Self {
        let socket = udp(address.ip());
        socket.connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE / tries)).unwrap();
        Self { address, socket, tries, stream: None }
    }

    fn ask(&mut self, question: &Question) -> Option<Vec<u8>> {
        (0..self.tries).find_map(|nth| match question.over {
            Over::Udp => self.by_datagram(&question.octets),
            Over::Tcp => {
                std::thread::sleep(if nth == 0 { Duration::ZERO } else { PATIENCE / self.tries });
                self.by_stream(&question.octets).or_else(|| self.by_stream(&question.octets))
            }
        })
    }

    /// The reply; late ones to earlier questions are passed over.
    fn by_datagram(&self, octets: &[u8]) -> Option<Vec<u8>> {
        self.socket.send(octets).unwrap();
        let mut reply = vec![0; 65_535];
        loop {
            let len = self.socket.recv(&mut reply).ok()?;
            if reply[..2] == octets[..2] && len >= 12 {
                reply.truncate(len);
                return Some(reply);
            }
        }
    }

    /// The reply; `None` also if the connection had been idle for too long, and is to be opened anew.
    fn by_stream(&mut self, octets: &[u8]) -> Option<Vec<u8>> {
        let mut stream = self.stream.take().unwrap_or_else(|| tcp(self.address));
        stream.write_all(&frame(octets)).ok()?;
        let reply = read_frame(&mut stream).filter(|reply| reply.len() >= 12 && reply[..2] == octets[..2])?;
        self.stream = Some(stream);
        Some(reply)
    }
}
