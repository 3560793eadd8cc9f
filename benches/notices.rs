//! How long a signed notice takes from the file, or the push over HTTP, to the answer and the receipt, and its revocation
//! back: `cargo bench --bench notices`, beside a list of a million names, with the real program. The site is made in the
//! directory `DIRECTORY` names or, without it, in the one for temporary files; that should be on the disk the ledger will
//! be on.
//!
//! One notice after the other is renamed into the directory, and the bench waits for the first answer that is another one
//! and for the receipt, asking and looking five thousand times a second. So nothing is in line, and each figure is that of
//! one notice: looking at the directory, the signature, one append to the ledger that waits for the disk, publication, the
//! node's own question, a second append, the receipt. Beside it stand what the disk needs for the least that could be
//! written, and the ledger's append by itself.
//!
//! The same over HTTP, on one connection that stays: pushed with `wait=30`, so that the answer comes when the notice is
//! enforced, by the sender's clock, while somebody else asks for the name; and pushed without, which is answered when it is
//! recorded.
//!
//! `NOTICES` (500) and `NAMES` (1,000,000) ask for other numbers. Without `--bench`, as `cargo test` runs it, it takes three
//! notices beside a thousand names to see that it works.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use jiff::Timestamp;
use pagar::ledger::{Event, Ledger};
use pagar::model::{AuthorityId, NoticeId};
use pagar::verify::jose::{Alg, PrivateKey, jws};
use serde_json::{Value, json};

/// From one look to the next.
const LOOK: Duration = Duration::from_micros(200);
/// Longest wait for anything.
const LIMIT: Duration = Duration::from_secs(60);
/// What listed names are answered with.
const PAGE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 80);

fn main() {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let number = |key: &str, few: u64, many: u64| {
        let asked = std::env::var(key).ok().map(|number| number.parse().expect("a number"));
        if measured { asked.unwrap_or(many) } else { few }
    };
    let (notices, names) = (number("NOTICES", 3, 500), number("NAMES", 1_000, 1_000_000));
    let directory = match std::env::var_os("DIRECTORY") {
        Some(directory) => tempfile::tempdir_in(directory),
        None => tempfile::tempdir(),
    };
    let directory = directory.expect("a directory that can be written");
    println!("{notices} notices of one name, one after the other, beside a list of {names} names");
    disk(directory.path(), notices);
    let site = Site::new(directory.path().to_owned(), names);
    let server = Server::start(&site.directory);
    let revokes = |n| json!({ "id": format!("R-{n}"), "kind": "revoke", "revokes": [format!("N-{n}")] });
    let enforced: Vec<_> = (1..=notices).map(|n| site.order(&server, n, n, restrict(n), "enforced", true)).collect();
    let of = |number| number + notices;
    let lifted: Vec<_> =
        (1..=notices).map(|n| site.order(&server, n, of(n), revokes(n), "carried-out", false)).collect();
    for (word, last, times) in [("block", "enforced", enforced), ("lift", "lifted", lifted)] {
        show(&format!("{word}: file to first answer"), times.iter().map(|one| one.answered).collect());
        show(&format!("{word}: file to receipt"), times.iter().map(|one| one.receipt).collect());
        show(&format!("{word}: received to {last}, it says"), times.iter().map(|one| one.told).collect());
    }
    pushes(&site, &server, 2 * notices, notices);
}

/// The same over HTTP; `before` numbers are used.
fn pushes(site: &Site, server: &Server, before: u64, notices: u64) {
    let api = Api::new(server);
    let sign = |n: u64| (format!("www.n{n}.bench.example."), site.sign(n, restrict(n)));
    let held = |n| {
        let (name, envelope) = sign(n);
        assert!(!server.is_blocked(&name), "{name}"); // and it is in the cache
        std::thread::scope(|scope| {
            let started = Instant::now();
            let asking = scope.spawn(move || {
                wait(started, "another answer", || server.is_blocked(&name).then_some(()));
                started.elapsed()
            });
            let receipt = api.push("?wait=30", &envelope);
            let told = started.elapsed();
            assert_eq!(receipt["state"], "enforced", "{receipt}");
            (told, asking.join().expect("an answer"))
        })
    };
    let (told, answered) = (before + 1..=before + notices).map(held).unzip();
    show("push: sent to first answer", answered);
    show("push: sent to 201, enforced", told);
    let taken = |n| {
        let (_, envelope) = sign(n);
        let started = Instant::now();
        api.push("", &envelope);
        let took = started.elapsed();
        api.settle(n); // so that nothing is in line before the next
        took
    };
    show("push: sent to 201, recorded", (before + notices + 1..=before + 2 * notices).map(taken).collect());
}

/// To block the name of this number.
fn restrict(n: u64) -> Value {
    json!({ "id": format!("N-{n}"), "kind": "restrict", "category": "scam", "action": "block-page",
        "targets": [{ "item": "1", "name": format!("n{n}.bench.example"), "scope": "subtree" }] })
}

/// The API of a server, on a connection that stays.
struct Api {
    agent: ureq::Agent,
    url: String,
}

impl Api {
    fn new(server: &Server) -> Self {
        let config = ureq::Agent::config_builder().timeout_global(Some(LIMIT)).http_status_as_error(false).build();
        Self { agent: ureq::Agent::new_with_config(config), url: format!("http://{}/v1/notices", server.api) }
    }

    /// Pushes what is new there; the receipt.
    fn push(&self, query: &str, envelope: &str) -> Value {
        let request = self.agent.post(format!("{}{query}", self.url)).header("Content-Type", "application/jose+json");
        let mut answer = request.send(envelope).expect("an answer");
        let body = answer.body_mut().read_to_string().expect("a body");
        assert_eq!(answer.status(), 201, "{body}");
        serde_json::from_str::<Value>(&body).expect("JSON")["receipt"].take()
    }

    /// Returns when the notice of this number is enforced.
    fn settle(&self, number: u64) {
        let mut answer = self.agent.get(format!("{}/N-{number}/receipt?wait=30", self.url)).call().expect("an answer");
        let body = answer.body_mut().read_to_string().expect("a body");
        assert_eq!(answer.status(), 200, "{body}");
    }
}

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("{what:36} p50 {:>9.1?}  p99 {:>9.1?}  longest {:>9.1?}", at(50), at(99), at(100));
}

/// What the disk needs for the least that could be written, and for an append to a ledger.
fn disk(directory: &Path, times: u64) {
    let timed = |mut work: Box<dyn FnMut()>| {
        let one = |_| {
            let started = Instant::now();
            work();
            started.elapsed()
        };
        (0..times).map(one).collect::<Vec<_>>()
    };
    let mut file = OpenOptions::new().append(true).create(true).open(directory.join("bare")).expect("a new file");
    let bare = timed(Box::new(move || {
        file.write_all(&[b'x'; 1_000]).expect("room");
        file.sync_data().expect("a disk");
    }));
    show("disk: 1,000 octets and fdatasync", bare);
    let mut ledger = Ledger::open(&directory.join("ledger"), None).expect("a new ledger");
    let (authority, notice) = (AuthorityId::new("mcmc"), NoticeId::new("N-1"));
    let event = Event::LiftSeen { authority, notice, serial: 1 };
    let appended = timed(Box::new(move || {
        ledger.append(Timestamp::now(), std::slice::from_ref(&event), &[]).expect("room");
    }));
    show("ledger: an append of one record", appended);
}

/// How long one order took.
struct Times {
    /// From the rename to the first answer that is another one.
    answered: Duration,
    /// From there to the receipt.
    receipt: Duration,
    /// What the receipt says itself.
    told: Duration,
}

/// Where the program runs, with a list and a key.
struct Site {
    directory: PathBuf,
    key: PrivateKey,
}

impl Site {
    fn new(directory: PathBuf, names: u64) -> Self {
        let key = PrivateKey::generate(Some("bench"), Alg::EdDsa, Default::default()).expect("a key");
        fs::create_dir(directory.join("notices")).expect("a new directory");
        fs::write(directory.join("key.jwk"), key.public().to_jwk().to_string()).expect("room");
        let mut list = String::new();
        for n in 0..names {
            let _ = writeln!(list, "name-{}.list-{}.example", n.wrapping_mul(0x9e37_79b9) % 100_000_007, n % 1_000);
        }
        fs::write(directory.join("list.domains"), list).expect("room");
        let config = format!(
            r#"version = 1
[dns]
listen = ["127.0.0.1:0"]
[[upstream]]
address = "{}"
[block]
page_v4 = "192.0.2.80"
page_v6 = "2001:db8::80"
[[authority]]
id = "mcmc"
keys = ["key.jwk"]
[[authority]]
id = "isp"
kind = "operator"
[[source]]
kind = "directory"
path = "notices"
[[source]]
kind = "list"
path = "list.domains"
format = "domains"
notice = {{ id = "LIST-1", authority = "isp", category = "scam", power = "policy", scope = "exact" }}
[ledger]
path = "state"
[web]
listen = "127.0.0.1:0"
"#,
            upstream()
        );
        fs::write(directory.join("pagar.toml"), config).expect("room");
        Self { directory, key }
    }

    /// Drops an order about a name and waits until it shows.
    fn order(&self, server: &Server, name: u64, number: u64, order: Value, done: &str, blocked: bool) -> Times {
        let name = format!("www.n{name}.bench.example.");
        let (aside, file) = (self.path(&format!(".{number}.jws")), self.path(&format!("{number}.jws")));
        fs::write(&aside, self.sign(number, order)).expect("room");
        assert_eq!(server.is_blocked(&name), !blocked, "{name}"); // and it is in the cache
        let started = Instant::now();
        fs::rename(&aside, &file).expect("the same file system");
        wait(started, "another answer", || (server.is_blocked(&name) == blocked).then_some(()));
        let answered = started.elapsed();
        let receipt = wait(started, done, || self.receipt(number).filter(|receipt| receipt["state"] == done));
        let at = |key: &str| receipt[key].as_str().and_then(|text| text.parse::<Timestamp>().ok()).expect(key);
        let last = at(if blocked { "enforced_at" } else { "lifted_at" });
        let told = last.duration_since(at("received_at")).try_into().unwrap_or_default();
        Times { answered, receipt: started.elapsed(), told }
    }

    /// An order with what every order has, signed.
    fn sign(&self, number: u64, order: Value) -> String {
        let mut notice = json!({ "version": 1, "sequence": number, "authority": "mcmc",
            "legal_basis": { "power": "CMA 1998 s.263(2)" }, "issued_at": "2026-01-01T00:00:00+08:00" });
        let members = notice.as_object_mut().expect("an object");
        members.extend(order.as_object().expect("an object").clone());
        jws::sign(notice.to_string().as_bytes(), &[&self.key])
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.join("notices").join(file)
    }

    fn receipt(&self, number: u64) -> Option<Value> {
        let text = fs::read_to_string(self.path(&format!("{number}.receipt.json"))).ok()?;
        Some(serde_json::from_str::<Value>(&text).expect("JSON")["receipt"].clone())
    }
}

/// Looks again and again until there is something.
fn wait<T>(started: Instant, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < LIMIT, "waited in vain for {what}");
        std::thread::sleep(LOOK);
    }
}

/// The real program; ended with the value.
struct Server {
    child: Child,
    address: SocketAddr,
    api: SocketAddr,
    socket: UdpSocket,
}

impl Server {
    fn start(directory: &Path) -> Self {
        let log = fs::File::create(directory.join("log")).expect("room");
        let mut command = Command::new(env!("CARGO_BIN_EXE_pagar"));
        command.args(["serve", "--config"]).arg(directory.join("pagar.toml"));
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().expect("the program");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let (mut address, mut api) = (None, None);
        for line in lines {
            let at = |transport| line.strip_prefix("listening ")?.strip_prefix(transport)?.trim().parse().ok();
            (address, api) = (address.or_else(|| at("udp")), api.or_else(|| at("http")));
            if line.starts_with("try an unlisted name") {
                break;
            }
        }
        let log = fs::read_to_string(directory.join("log")).unwrap_or_default();
        let (Some(address), Some(api)) = (address, api) else { panic!("it did not start: {log}") };
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.connect(address).expect("an address");
        socket.set_read_timeout(Some(LIMIT)).expect("a timeout");
        Self { child, address, api, socket }
    }

    fn is_blocked(&self, name: &str) -> bool {
        let mut query = Message::query();
        query.metadata.recursion_desired = true;
        query.add_query(Query::query(Name::from_ascii(name).expect("a name"), RecordType::A));
        self.socket.send(&query.to_vec().expect("a message")).expect("a socket");
        let mut answer = [0; 1_500];
        let len = self.socket.recv(&mut answer).unwrap_or_else(|error| panic!("{}: {error}", self.address));
        let answer = Message::from_vec(&answer[..len]).expect("a message");
        answer.answers.iter().any(|record| record.data == RData::A(A(PAGE)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
    }
}

/// A server that knows an address for every name.
fn upstream() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("an address");
    std::thread::spawn(move || {
        let mut octets = [0; 1_500];
        while let Ok((len, from)) = socket.recv_from(&mut octets) {
            let Ok(query) = Message::from_vec(&octets[..len]) else { continue };
            let Some(question) = query.queries.first().cloned() else { continue };
            let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
            answer.metadata.recursion_desired = true;
            answer.metadata.recursion_available = true;
            let data = RData::A(A::new(198, 51, 100, 1));
            answer.add_answer(Record::from_rdata(question.name().clone(), 300, data));
            answer.add_query(question);
            let _ = socket.send_to(&answer.to_vec().expect("a message"), from); // it asks again
        }
    });
    address
}
