//! Notices fetched from a feed: by a node from another node that publishes one, and from a web server of somebody else's
//! (Python's, over TLS) that is made to lie.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use pagar::model::AuthorityId;
use pagar::verify::checkpoint::{Checkpoint, Draft, Entry, Hash};
use pagar::verify::jose::{Alg, Envelope, PrivateKey};
use serde_json::json;

use crate::harness::{Pagar, Reaped, Site, peer, run, wait_until};
use crate::signed::{Regulator, TRUE, is_blocked, signed_config, until};
use crate::upstream::Scripted;

/// A site that reads `mcmc`'s feed at a URL every second.
struct Node {
    site: Site,
    url: String,
    _upstream: Scripted,
}

impl Node {
    /// `feed_key` in `keys/feed.jwk`, `more` keys in its source.
    fn new(url: &str, more: &str, mcmc: &PrivateKey, feed_key: &PrivateKey) -> Self {
        let upstream = Scripted::with_address(TRUE);
        let source = format!(
            "kind = \"pull\"\nurl = \"{url}\"\nauthority = \"mcmc\"\nkeys = [\"keys/feed.jwk\"]\ninterval = \"1s\"\n{more}"
        );
        let config = signed_config(upstream.address, 1);
        let site = Site::new(&config.replace("kind = \"directory\"\npath = \"notices\"\n", &source));
        fs::create_dir(site.path("keys")).unwrap();
        Regulator::new(&site, "isp", 1);
        for (file, key) in [("mcmc", mcmc), ("feed", feed_key)] {
            site.write(&format!("keys/{file}.jwk"), &key.public().to_jwk().to_string());
        }
        Self { site, url: url.to_owned(), _upstream: upstream }
    }

    fn start(&self) -> Pagar {
        self.site.start()
    }

    fn metric(&self, pagar: &Pagar, name: &str) -> f64 {
        pagar.metric(&format!("pagar_source_{name}{{source=\"{}\"}}", self.url))
    }

    fn faults(&self, pagar: &Pagar, fault: &str) -> f64 {
        pagar.metric(&format!("pagar_source_feed_faults_total{{fault=\"feed-{fault}\",source=\"{}\"}}", self.url))
    }

    /// No fault was ever found.
    fn is_faultless(&self, pagar: &Pagar) -> bool {
        let all =
            pagar.metrics().into_iter().filter(|(series, _)| series.starts_with("pagar_source_feed_faults_total"));
        all.into_iter().inspect(|(series, count)| assert!(*count == 0.0, "{series}")).count() > 0
    }
}

fn key(kid: &str) -> PrivateKey {
    PrivateKey::generate(Some(kid), Alg::EdDsa, Default::default()).unwrap()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

//------ Gateway: a node that publishes ---

struct Gateway {
    site: Site,
    mcmc: Regulator,
    feed_key: PrivateKey,
    port: u16,
    _upstream: Scripted,
}

impl Gateway {
    fn new() -> Self {
        let (upstream, port, feed_key) = (Scripted::with_address(TRUE), free_port(), key("feed"));
        let config = signed_config(upstream.address, 1)
            .replace("kind = \"directory\"\npath = \"notices\"\n", "")
            .replace("[[source]]\n", "")
            .replace("[web]\nlisten = \"127.0.0.1:0\"", &format!("[web]\nlisten = \"127.0.0.1:{port}\""))
            + "[[feed]]\nauthority = \"mcmc\"\nkey = \"keys/feed.private.jwk\"\nnotices = \"notices\"\nvalidity = \"1h\"\n";
        let site = Site::new(&config);
        fs::create_dir(site.path("keys")).unwrap();
        let mcmc = Regulator::new(&site, "mcmc", 1);
        Regulator::new(&site, "isp", 1);
        site.write("keys/feed.private.jwk", &feed_key.to_jwk().to_string());
        fs::set_permissions(site.path("keys/feed.private.jwk"), fs::Permissions::from_mode(0o600)).unwrap();
        Self { site, mcmc, feed_key, port, _upstream: upstream }
    }

    /// Starts it, and waits until it lists as many notices.
    fn start(&self, notices: f64) -> Pagar {
        let pagar = self.site.start();
        wait_until("the feed is published", || pagar.metric("pagar_feed_notices{authority=\"mcmc\"}") == notices);
        pagar
    }

    fn order(&self, number: u64, names: &[&str]) {
        self.site.write(&format!("notices/{number}.jws"), &self.mcmc.sign(&self.mcmc.restrict(number, names)));
    }

    fn node(&self) -> Node {
        let url = format!("http://127.0.0.1:{}/v1/feed/mcmc/", self.port);
        Node::new(&url, "", &self.mcmc.keys[0], &self.feed_key)
    }
}

#[test]
fn a_node_catches_up_from_a_gateway_and_both_survive_restarts() {
    let gateway = Gateway::new();
    gateway.order(1, &["one.example"]);
    gateway.order(2, &["two.example"]);
    let publishing = gateway.start(2.0);
    let node = gateway.node();
    let pagar = node.start();
    assert!(is_blocked(&pagar, "one.example.") && is_blocked(&pagar, "two.example."), "before the first answer");
    // a new notice and a revocation
    gateway.order(3, &["three.example"]);
    assert!(until(|| is_blocked(&pagar, "three.example.")));
    let revocation = gateway.mcmc.notice(4, "revoke", json!({ "revokes": ["N-1"] }));
    gateway.site.write("notices/4.jws", &gateway.mcmc.sign(&revocation));
    assert!(until(|| !is_blocked(&pagar, "one.example.")));
    assert!(until(|| node.metric(&pagar, "checkpoint_highest") == 4.0));
    assert_eq!(node.metric(&pagar, "checkpoint_missing"), 0.0);
    assert!(node.is_faultless(&pagar));
    // the gateway is away: nothing changes but an alarm
    drop(publishing);
    assert!(until(|| node.metric(&pagar, "failures_total") > 0.0));
    assert!(is_blocked(&pagar, "two.example.") && !is_blocked(&pagar, "one.example."));
    // the node restarts without it
    drop(pagar);
    let pagar = node.start();
    assert!(is_blocked(&pagar, "two.example.") && is_blocked(&pagar, "three.example."));
    assert!(!is_blocked(&pagar, "one.example."));
    assert_eq!(node.metric(&pagar, "checkpoint_missing"), 0.0);
    // and the gateway comes back with something new
    gateway.order(5, &["five.example"]);
    let _publishing = gateway.start(5.0);
    assert!(until(|| is_blocked(&pagar, "five.example.")));
    assert!(until(|| node.metric(&pagar, "checkpoint_highest") == 5.0));
    assert!(node.is_faultless(&pagar), "the restarted gateway goes on where it was");
    drop(pagar);
    let ledger = node.site.run(&["ledger", "export"]).out;
    assert_eq!(ledger.matches("\"event\":\"accepted\"").count(), 5, "each was taken once: {ledger}");
    assert!(ledger.contains("\"event\":\"source-failed\""), "{ledger}");
}

#[test]
fn what_a_feed_gives_needs_the_signatures_of_its_authority() {
    let gateway = Gateway::new();
    gateway.order(1, &["one.example"]);
    let _publishing = gateway.start(1.0);
    // this node believes the feed, and another key for notices
    let url = format!("http://127.0.0.1:{}/v1/feed/mcmc/", gateway.port);
    let node = Node::new(&url, "", &key("mcmc-1"), &gateway.feed_key);
    let pagar = node.start();
    assert!(until(|| pagar.metric("pagar_notice_signature_failures_total") == 1.0));
    assert!(!is_blocked(&pagar, "one.example."));
    assert!(node.is_faultless(&pagar));
}

#[test]
fn secret_notices_come_to_nodes_that_may_see_secrets_and_to_no_others() {
    let gateway = Gateway::new();
    let mut clients = String::new();
    for (name, secret) in [("trusted", true), ("other", false)] {
        let hash = Hash::of(format!("token-of-{name}").as_bytes());
        clients += &format!(
            "[[web.client]]\nname = \"{name}\"\nrole = \"viewer\"\ntoken_sha256 = \"{hash}\"\nsecret = {secret}\n"
        );
    }
    gateway.site.write("pagar.toml", &(fs::read_to_string(gateway.site.path("pagar.toml")).unwrap() + &clients));
    let mut secret = gateway.mcmc.restrict(1, &["hidden.example"]);
    secret["sensitivity"] = "secret".into();
    gateway.site.write("notices/1.jws", &gateway.mcmc.sign(&secret));
    gateway.order(2, &["public.example"]);
    let _publishing = gateway.start(2.0);
    let node = |name: &str| {
        let url = format!("http://127.0.0.1:{}/v1/feed/mcmc/", gateway.port);
        let node = Node::new(&url, "token_file = \"token\"\n", &gateway.mcmc.keys[0], &gateway.feed_key);
        let config = fs::read_to_string(node.site.path("pagar.toml")).unwrap();
        node.site.write("pagar.toml", &config.replace("[ledger]\n", "[ledger]\nkey_file = \"names.key\"\n"));
        for (file, text) in [("token", format!("token-of-{name}\n")), ("names.key", "0123456789abcdef".repeat(4))] {
            node.site.write(file, &text);
            fs::set_permissions(node.site.path(file), fs::Permissions::from_mode(0o600)).unwrap();
        }
        node
    };
    let trusted = node("trusted");
    let pagar = trusted.start();
    assert!(is_blocked(&pagar, "hidden.example.") && is_blocked(&pagar, "public.example."));
    assert!(trusted.is_faultless(&pagar) && !pagar.log().contains("hidden"));
    let other = node("other");
    let pagar = other.start();
    assert!(is_blocked(&pagar, "public.example.") && !is_blocked(&pagar, "hidden.example."));
    assert!(until(|| other.faults(&pagar, "withheld") > 0.0));
    let stranger = node("nobody").site.run(&["serve"]);
    assert!(stranger.code == Some(3) && stranger.err.contains("401"), "{stranger:?}");
}

#[test]
fn a_node_that_has_never_seen_its_feed_does_not_answer_without_it() {
    let node = Node::new("http://127.0.0.1:1/feed/", "", &key("mcmc"), &key("feed"));
    let ended = node.site.run(&["serve"]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.err.contains("no source can be read"), "{}", ended.err);
    let check = node.site.run(&["check"]);
    assert_eq!(check.code, Some(0), "nobody is asked: {check:?}");
}

//------ Static: a web server that serves what the test wrote ---

/// Serves a directory with entity tags, over TLS if it has a certificate, to clients that a CA vouches for if it has one. A file `NAME.status` next to `NAME` makes it
/// answer with that status instead. What it was asked and answered goes to `requests`.
const SERVER: &str = r#"
import hashlib, http.server, os, ssl, sys
root, port = sys.argv[1], int(sys.argv[2])
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self, status, body=b"", headers=()):
        with open(os.path.join(root, "requests"), "a") as log:
            print(status, self.path, file=log, flush=True)
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        path = os.path.normpath(os.path.join(root, self.path.lstrip("/")))
        if os.path.exists(path + ".status"):
            status, *retry = open(path + ".status").read().split()
            return self.answer(int(status), b"", [("Retry-After", retry[0])] if retry else [])
        if not path.startswith(root) or not os.path.isfile(path):
            return self.answer(404)
        body = open(path, "rb").read()
        tag = '"' + hashlib.sha256(body).hexdigest() + '"'
        if self.headers.get("If-None-Match") == tag:
            return self.answer(304, b"", [("ETag", tag)])
        self.answer(200, body, [("ETag", tag)])
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
if len(sys.argv) > 3:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[3], sys.argv[4])
    if len(sys.argv) > 5:
        context.load_verify_locations(sys.argv[5])
        context.verify_mode = ssl.CERT_REQUIRED
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"#;

struct Static {
    dir: tempfile::TempDir,
    mcmc: Regulator,
    feed_key: PrivateKey,
    entries: Vec<Entry>,
    last: Option<Checkpoint>,
    address: SocketAddr,
    _server: Option<Reaped>,
}

impl Static {
    fn new() -> Self {
        let (dir, site) = (tempfile::tempdir().unwrap(), Site::new(""));
        fs::create_dir(site.path("keys")).unwrap();
        for part in ["feed/pages", "feed/notices"] {
            fs::create_dir_all(dir.path().join(part)).unwrap();
        }
        let (mcmc, feed_key) = (Regulator::new(&site, "mcmc", 1), key("feed"));
        let address = ([127, 0, 0, 1], free_port()).into();
        Self { dir, mcmc, feed_key, entries: Vec::new(), last: None, address, _server: None }
    }

    /// Runs it; over TLS with a certificate, its key, and the CA of its clients.
    fn run(&mut self, python: &Path, tls: &[&str]) {
        let mut command = Command::new(python);
        command.args(["-c", SERVER]).arg(self.dir.path()).arg(self.address.port().to_string());
        command.args(tls.iter().map(|file| self.dir.path().join(file)));
        self._server = Some(Reaped(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()));
        wait_until("the web server answers", || std::net::TcpStream::connect(self.address).is_ok());
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join("feed").join(name)
    }

    fn order(&mut self, number: u64, name: &str) {
        let octets = self.mcmc.sign(&self.mcmc.restrict(number, &[name]));
        let payload = Hash::of(Envelope::parse(octets.as_bytes()).unwrap().payload());
        let (envelope, size) = (Hash::of(octets.as_bytes()), octets.len() as u64);
        fs::write(self.file(&format!("notices/{number}")), octets).unwrap();
        self.entries.push(Entry { sequence: number, payload, envelope, size });
    }

    /// Publishes all that was ordered, good for so many seconds.
    fn publish(&mut self, seconds: i64) {
        let now = Timestamp::now();
        let (expires, previous) = (now + SignedDuration::from_secs(seconds), self.last.as_ref().map(|last| last.hash));
        let draft = Draft::new(&AuthorityId::new("mcmc"), &self.entries, now, expires, previous).unwrap();
        let (checkpoint, octets) = draft.sign(&self.feed_key);
        for (sha256, page) in &draft.pages {
            fs::write(self.file(&format!("pages/{sha256}")), page).unwrap();
        }
        fs::write(self.file("checkpoint.new"), octets).unwrap();
        fs::rename(self.file("checkpoint.new"), self.file("checkpoint")).unwrap();
        self.last = Some(checkpoint);
    }

    fn requests(&self, what: &str) -> usize {
        let text = fs::read_to_string(self.dir.path().join("requests")).unwrap_or_default();
        text.lines().filter(|line| *line == what).count()
    }

    fn node(&self, scheme: &str, more: &str) -> Node {
        let url = format!("{scheme}://localhost:{}/feed/", self.address.port());
        Node::new(&url, more, &self.mcmc.keys[0], &self.feed_key)
    }
}

#[test]
fn a_feed_that_lies_is_alarmed_and_everything_stays_in_force() {
    let Some(python) = peer("python3") else { return };
    let mut feed = Static::new();
    feed.order(1, "one.example");
    feed.publish(3600);
    feed.run(&python, &[]);
    let node = feed.node("http", "");
    let pagar = node.start();
    let in_force = |names: &[&str]| names.iter().for_each(|name| assert!(is_blocked(&pagar, name), "{name}"));
    in_force(&["one.example."]);
    assert!(until(|| feed.requests("304 /feed/checkpoint") > 0), "what is at hand is not sent again");
    assert_eq!(feed.requests("200 /feed/notices/1"), 1);
    // rolled back
    let old = fs::read(feed.file("checkpoint")).unwrap();
    feed.order(2, "two.example");
    feed.publish(3600);
    let new = fs::read(feed.file("checkpoint")).unwrap();
    assert!(until(|| is_blocked(&pagar, "two.example.")));
    assert!(node.is_faultless(&pagar));
    fs::write(feed.file("checkpoint"), old).unwrap();
    assert!(until(|| node.faults(&pagar, "rollback") > 0.0));
    in_force(&["one.example.", "two.example."]);
    assert_eq!(node.metric(&pagar, "checkpoint_highest"), 2.0);
    assert!(pagar.log().contains("the feed went back") || pagar.log().contains("is older than"), "{}", pagar.log());
    let policy = pagar.json("/v1/policy");
    assert!(policy["sources"][0]["last_error"].is_string(), "{policy}");
    fs::write(feed.file("checkpoint"), new).unwrap();
    let looks = || node.metric(&pagar, "last_success_timestamp_seconds");
    let before = looks();
    assert!(until(|| looks() > before), "it is believed again");
    // a notice is withheld, the one behind it comes
    feed.order(3, "three.example");
    feed.order(4, "four.example");
    fs::write(feed.file("notices/3.status"), "404").unwrap();
    feed.publish(3600);
    assert!(until(|| node.faults(&pagar, "withheld") > 0.0));
    assert!(until(|| is_blocked(&pagar, "four.example.")));
    assert_eq!(node.metric(&pagar, "checkpoint_missing"), 1.0);
    in_force(&["one.example.", "two.example."]);
    fs::remove_file(feed.file("notices/3.status")).unwrap();
    assert!(until(|| is_blocked(&pagar, "three.example.")));
    assert!(until(|| node.metric(&pagar, "checkpoint_missing") == 0.0));
    // frozen
    feed.publish(2);
    assert!(until(|| node.faults(&pagar, "frozen") > 0.0));
    in_force(&["one.example.", "two.example.", "three.example.", "four.example."]);
    let expiry = node.metric(&pagar, "checkpoint_expiry_timestamp_seconds");
    assert!(expiry > 0.0 && expiry < Timestamp::now().as_second() as f64 + 1.0);
    // a node that restarts remembers all that
    drop(pagar);
    let pagar = node.start();
    assert!(is_blocked(&pagar, "four.example."));
    assert!(until(|| node.faults(&pagar, "frozen") > 0.0));
    assert_eq!(feed.requests("200 /feed/notices/1"), 1, "nothing is fetched twice");
    // signed by somebody else
    feed.feed_key = key("feed");
    feed.order(5, "five.example");
    feed.publish(3600);
    assert!(until(|| node.faults(&pagar, "signature") > 0.0));
    assert!(!is_blocked(&pagar, "five.example."));
    drop(pagar);
    let ledger = node.site.run(&["ledger", "export"]).out;
    assert!(ledger.contains("\"event\":\"source-failed\""), "{ledger}");
    assert_eq!(ledger.matches("\"event\":\"accepted\"").count(), 4, "{ledger}");
}

#[test]
fn a_busy_server_is_left_alone_as_long_as_it_asks() {
    let Some(python) = peer("python3") else { return };
    let mut feed = Static::new();
    feed.order(1, "one.example");
    feed.publish(3600);
    feed.run(&python, &[]);
    let node = feed.node("http", "");
    let pagar = node.start();
    fs::write(feed.file("checkpoint.status"), "503 4").unwrap();
    assert!(until(|| feed.requests("503 /feed/checkpoint") == 1));
    fs::remove_file(feed.file("checkpoint.status")).unwrap();
    let (since, before) = (Instant::now(), feed.requests("304 /feed/checkpoint"));
    assert!(until(|| feed.requests("304 /feed/checkpoint") > before));
    assert!(since.elapsed() > Duration::from_secs(3), "{:?}", since.elapsed());
    assert!(is_blocked(&pagar, "one.example.") && node.is_faultless(&pagar));
}

/// Makes a CA and a certificate of localhost by it.
fn certificates(openssl: &Path, site: &Path, ca: &str) {
    let script = format!(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {ca}.key -out {ca}.pem \
           -days 2 -subj /CN={ca} -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign && \
         openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {ca}.server.key -out {ca}.csr \
           -subj /CN=localhost && \
         printf 'subjectAltName=DNS:localhost\\nextendedKeyUsage=serverAuth,clientAuth\\n' > {ca}.ext && \
         openssl x509 -req -in {ca}.csr -CA {ca}.pem -CAkey {ca}.key -CAcreateserial -days 2 -extfile {ca}.ext \
           -out {ca}.server.pem"
    )
    .replace("openssl ", &format!("{} ", openssl.display()));
    let made = run(Command::new("sh").args(["-c", &script]).current_dir(site));
    assert_eq!(made.code, Some(0), "{}", made.err);
}

#[test]
fn over_tls_each_side_knows_the_other_by_the_authority_that_is_pinned() {
    let (Some(python), Some(openssl)) = (peer("python3"), peer("openssl")) else { return };
    let mut feed = Static::new();
    let dir = feed.dir.path().to_owned();
    certificates(&openssl, &dir, "ours");
    certificates(&openssl, &dir, "other");
    feed.order(1, "one.example");
    feed.publish(3600);
    feed.run(&python, &["ours.server.pem", "ours.server.key", "other.pem"]);
    let known = |more: String| {
        let file = |name: &str| dir.join(name).display().to_string();
        let (certificate, key) = (file("other.server.pem"), file("other.server.key"));
        feed.node("https", &format!("certificate = \"{certificate}\"\ncertificate_key = \"{key}\"\n{more}"))
    };
    let pinned = |ca: &str| known(format!("ca = \"{}\"\n", dir.join(ca).display()));
    let node = pinned("ours.pem");
    let pagar = node.start();
    assert!(is_blocked(&pagar, "one.example."));
    assert!(until(|| feed.requests("304 /feed/checkpoint") > 0));
    assert!(node.is_faultless(&pagar));
    let stranger = pinned("other.pem").site.run(&["serve"]);
    assert_eq!(stranger.code, Some(3), "{stranger:?}");
    assert!(stranger.err.contains("certificate"), "{}", stranger.err);
    let nobody = feed.node("https", &format!("ca = \"{}\"\n", dir.join("ours.pem").display())).site.run(&["serve"]);
    assert_eq!(nobody.code, Some(3), "the server wants to know who asks: {nobody:?}");
    let system = known("system_ca = true\n".to_owned()).site.run(&["serve"]);
    assert_eq!(system.code, if Path::new("/etc/ssl/certs/ca-certificates.crt").exists() { Some(3) } else { Some(2) });
}
