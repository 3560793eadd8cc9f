//! The node asks itself: the real sockets, workers and control plane, with the self-test beside them. In one process with
//! the test, because nobody else can sit at a listener's place.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use pagar::control::selftest::{Expected, Failure, Outcome, Question, sample_indices};
use pagar::control::{self, Control, SelfTest};
use pagar::dns::Dns;
use pagar::dns::clock::Clock;
use pagar::model::{AuthorityKind, DnsName, Scope};
use pagar::observe::Metrics;
use pagar::policy::Asking;
use pagar::process::sockets::{self, Inherited};
use pagar::serve::control_config;
use serde_json::json;

use crate::client::{ede_codes, query, rcode};
use crate::harness::{Site, config, notice, wait_until};
use crate::upstream::{Asked, Scripted};

use AuthorityKind::{Operator, Statutory};
use Expected::{Blocked, Lifted};
use Scope::{Exact, Subtree};

/// A node that answers.
struct Node {
    addresses: Vec<SocketAddr>,
    asking: Arc<Asking>,
    metrics: Arc<Metrics>,
    dns: Option<Dns>,
    _control: Control,
    runtime: tokio::runtime::Runtime,
}

impl Node {
    fn start(site: &Site) -> Self {
        let config = pagar::config::load(&site.path("pagar.toml")).unwrap();
        let metrics = Arc::new(Metrics::new("0", "0").unwrap());
        let workers = config.dns.workers;
        let mut bound = sockets::claim(&config.dns.listen, None, workers, Inherited::default()).unwrap();
        let addresses: Vec<_> = bound.dns.iter().map(|sockets| sockets.address).collect();
        let asking = Arc::new(Asking::new(addresses.iter().copied()));
        // without the registry: it must not ask beside the test
        let (control, policy, _) = control::start(control_config(&config), None, metrics.clone()).unwrap();
        bound.complete(workers).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let dns = {
            let _within = runtime.enter();
            let clock = Clock::System(Instant::now());
            Dns::start(&config.dns, bound.dns, policy, &metrics, clock, 4_096, &asking).unwrap()
        };
        Self { addresses, asking, metrics, dns: Some(dns), _control: control, runtime }
    }

    fn ask(&self, questions: &[Question]) -> Outcome {
        self.selftest().ask(questions, Instant::now() + Duration::from_secs(20))
    }

    fn selftest(&self) -> SelfTest {
        SelfTest::new(self.asking.clone(), self.metrics.selftest.clone())
    }

    /// Every series that queries count in.
    fn counts(&self) -> Vec<String> {
        let counted = ["pagar_dns_", "pagar_cache_", "pagar_upstream_"];
        let text = self.metrics.text();
        text.lines().filter(|line| counted.iter().any(|family| line.starts_with(family))).map(str::to_owned).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut dns) = self.dns.take() {
            self.runtime.block_on(dns.stop());
        }
    }
}

fn question(name: &str, scope: Scope, expected: Expected) -> Question {
    Question { name: DnsName::from_text(name).unwrap(), scope, expected }
}

/// Two listeners, at which nobody on this machine is served, everybody is exempt, limited and has to come through a
/// balancer.
fn forbidding(upstream: SocketAddr) -> String {
    let listen = "listen = [\"0.0.0.0:0\", \"[::1]:0\"]\nallow = [\"192.0.2.0/24\"]";
    let more = r#"
[dns.rate_limit]
queries_per_second = 1
burst = 1
[dns.rrl]
responses_per_second = 1
[dns.proxy]
from = ["127.0.0.0/8", "::1/128"]
[[exempt]]
networks = ["127.0.0.0/8", "::1/128"]
reason = "test"
until = "2099-01-01T00:00:00+08:00"
"#;
    config(&[upstream]).replace("listen = [\"127.0.0.1:0\"]", listen) + more
}

#[test]
fn what_is_in_force_is_seen_whoever_is_served_and_counts_nowhere() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = Site::new(&forbidding(upstream.address));
    for (n, action) in (1..).zip(["block-page", "nodata", "nxdomain", "refused"]) {
        let mut order = notice(n, &format!("{action}.example"), "subtree");
        order["action"] = json!(action);
        site.put(&format!("{n}.json"), &order);
    }
    site.put("5.json", &notice(5, "exact.example", "exact"));
    let mut own = notice(6, "own.example", "subtree");
    own["authority"] = json!("isp");
    site.put("6.json", &own);
    let node = Node::start(&site);
    let before = node.counts();

    let names = ["block-page.example", "nodata.example", "nxdomain.example", "refused.example"];
    let mut questions: Vec<_> = names.iter().map(|name| question(name, Subtree, Blocked(Statutory))).collect();
    questions.push(question("exact.example", Exact, Blocked(Statutory)));
    questions.push(question("www.exact.example", Subtree, Lifted));
    questions.push(question("own.example", Subtree, Blocked(Operator)));
    questions.push(question("never.example", Subtree, Lifted));
    questions.push(question("localhost", Subtree, Lifted));
    let outcome = node.ask(&questions);
    assert_eq!((outcome.asked, &outcome.failed), (2 * 17, &Default::default()));

    let wrong = [
        question("never.example", Exact, Blocked(Statutory)),
        question("nodata.example", Exact, Lifted),
        question("own.example", Exact, Blocked(Statutory)),
        question("exact.example", Subtree, Blocked(Statutory)),
    ];
    let outcome = node.ask(&wrong);
    let found: Vec<_> = outcome.failed.into_iter().collect();
    let not = Failure::NotBlocked;
    assert_eq!(found, [(0, not), (1, Failure::StillBlocked), (2, not), (3, not)]);

    assert_eq!(node.counts(), before, "they count nowhere");
    assert!(upstream.asked().iter().all(Asked::is_probe), "and no upstream hears of them");
    assert_eq!((node.metrics.selftest.questions.get(), outcome.failures), (34 + 10, 8));
}

#[test]
fn a_name_is_lifted_when_it_is_and_whether_upstreams_answer_does_not_matter() {
    let silent = Scripted::start(|_| Vec::new());
    let site = Site::with(&[silent.address]);
    site.put("1.json", &notice(1, "bad.example", "subtree"));
    let node = Node::start(&site);
    assert!(node.ask(&[question("bad.example", Subtree, Blocked(Statutory))]).failed.is_empty());
    site.remove("notices/1.json");
    wait_until("it is lifted", || node.ask(&[question("bad.example", Subtree, Lifted)]).failed.is_empty());
    assert!(silent.asked().iter().all(Asked::is_probe));
}

/// Sends a message from a socket and returns the answer, if one comes.
fn from(socket: &UdpSocket, server: SocketAddr, octets: &[u8]) -> Option<Message> {
    socket.send_to(octets, server).unwrap();
    let mut answer = [0; 1_232];
    let (len, _) = socket.recv_from(&mut answer).ok()?;
    Some(Message::from_vec(&answer[..len]).unwrap())
}

#[test]
fn who_copies_the_option_or_the_port_alone_is_anybody() {
    let upstream = Scripted::with_address("198.51.100.1");
    let config = config(&[upstream.address]).replace("workers = 2", "workers = 1\nallow = [\"192.0.2.0/24\"]");
    let site = Site::new(&config);
    site.put("1.json", &notice(1, "bad.example", "subtree"));
    let node = Node::start(&site);
    let server = node.addresses[0];

    let mut message = query("bad.example.", RecordType::A);
    message.metadata.recursion_desired = false;
    let plain = message.to_vec().unwrap();
    let signed = |octets: &[u8]| {
        let mut octets = octets.to_vec();
        let rdlen = octets.len() - 2; // the OPT record has no option yet
        octets[rdlen + 1] = node.asking.option().len() as u8;
        [&octets, node.asking.option()].concat()
    };
    let queries = || node.metrics.text().lines().any(|line| line == "pagar_dns_queries_total{transport=\"udp\"} 3");

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let prohibited = |octets: &[u8]| {
        let answer = from(&socket, server, octets).unwrap();
        assert_eq!((rcode(&answer), ede_codes(&answer)), (ResponseCode::Refused, vec![18]), "a stranger");
    };
    prohibited(&signed(&plain)); // the option from a port where nobody sits
    let place = node.asking.place(server);
    place.sit(socket.local_addr().unwrap());
    prohibited(&plain); // the port without the option
    let another = Asking::new([server]);
    let [.., a, b] = [&plain[..plain.len() - 2], another.option()];
    prohibited(&[a, &[0, another.option().len() as u8], b].concat()); // another process's option
    assert!(queries(), "all three are anybody's and count");

    let own = from(&socket, server, &signed(&plain)).unwrap();
    assert_eq!(ede_codes(&own)[0], 16);
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let with_rd = query("other.example.", RecordType::A).to_vec().unwrap();
    assert!(from(&socket, server, &signed(&with_rd)).is_none(), "the self-test never asks so");
    place.sit(SocketAddr::new([127, 0, 0, 2].into(), socket.local_addr().unwrap().port()));
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert!(queries(), "the node's own do not count");
    prohibited(&signed(&plain)); // the port of another address
}

#[test]
fn a_thousand_of_a_long_list_take_little_time() {
    let upstream = Scripted::with_address("198.51.100.1");
    let standing = "[[source]]\nkind = \"list\"\npath = \"list\"\nformat = \"domains\"\nnotice = { id = \"S-1\", authority = \
                    \"mcmc\", category = \"scam\", power = \"Act\", scope = \"subtree\" }\n";
    let site = Site::new(&(config(&[upstream.address]) + standing));
    let names: Vec<_> = (0..100_000).map(|n| format!("n{n}.example")).collect();
    site.write("list", &names.join("\n"));
    let node = Node::start(&site);
    let sample = sample_indices(names.len(), 1_000);
    let questions: Vec<_> = sample.iter().map(|n| question(&names[*n], Subtree, Blocked(Statutory))).collect();
    let (started, cpu) = (Instant::now(), cpu_of_process());
    let outcome = node.ask(&questions);
    let (took, used) = (started.elapsed(), cpu_of_process() - cpu);
    assert_eq!((outcome.asked, outcome.failed.len()), (2_000, 0));
    println!("1,000 names, 2,000 questions: {took:?}, {used:?} of CPU time on both sides");
    assert!(took < Duration::from_secs(10), "{took:?}");
}

/// What all threads have used; other tests of this binary among them.
fn cpu_of_process() -> Duration {
    let of_thread = |file: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(file.path().join("schedstat")).ok()?;
        stat.split(' ').next()?.parse::<u64>().ok()
    };
    let threads = std::fs::read_dir("/proc/self/task").unwrap().filter_map(Result::ok);
    Duration::from_nanos(threads.filter_map(of_thread).sum())
}
