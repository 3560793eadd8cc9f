//! Who may call the API: clients with tokens and certificates, their roles, TLS, what each may take; and persons who decide
//! over HTTP. The client is curl, the certificates are openssl's.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Signal, getrlimit, setrlimit};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::client::{ask_a, is_block};
use crate::harness::{LIMIT, Pagar, Site, config, peer, run, skip, wait_until};
use crate::signed::{Signed, is_blocked, until};

const WHERE_NOBODY_ASKS: &str = "127.0.0.1:9";

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// A client whose token is `NAME-token`.
pub(crate) fn client(name: &str, role: &str, more: &str) -> String {
    let digest = hex(&Sha256::digest(format!("{name}-token")));
    format!("[[web.client]]\nname = \"{name}\"\nrole = \"{role}\"\ntoken_sha256 = \"{digest}\"\n{more}")
}

/// One of each role, and a second operator.
fn clients() -> String {
    client("noc", "viewer", "")
        + &client("gateway", "authority", "authority = \"mcmc\"\n")
        + &client("alice", "operator", "")
        + &client("bob", "operator", "secret = true\n")
}

fn site(more: &str) -> Site {
    Site::new(&(config(&[WHERE_NOBODY_ASKS.parse().unwrap()]) + more))
}

/// Where the API is.
pub(crate) fn api(pagar: &Pagar, scheme: &str) -> SocketAddr {
    let line = |line: &str| line.strip_prefix(&format!("listening {scheme} "))?.parse().ok();
    pagar.announced.lines().find_map(line).unwrap_or_else(|| panic!("{}", pagar.announced))
}

/// What curl gets: the status, 0 if there was none, and the body.
fn curl(arguments: &[&str]) -> (u16, String) {
    let program = peer("curl").expect("looked for before");
    let mut words = vec!["--silent", "--show-error", "--max-time", "20", "--write-out", "\n%{http_code}"];
    words.extend(arguments);
    let ended = run(Command::new(program).args(words));
    let (body, status) = ended.out.rsplit_once('\n').unwrap_or_else(|| panic!("{ended:?}"));
    (status.parse().unwrap(), body.to_owned() + &ended.err)
}

/// The same by the client of this name.
fn curl_as(name: &str, arguments: &[&str]) -> (u16, String) {
    let header = format!("Authorization: Bearer {name}-token");
    let mut words = vec!["--header", &header];
    words.extend(arguments);
    curl(&words)
}

fn code(body: &str) -> String {
    let problem: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
    let code = problem["code"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned();
    assert_eq!(problem["type"], format!("urn:pagar:problem:{code}"));
    code
}

/// A certificate `NAME.pem` and its key `NAME.key` in the site; its SHA-256.
pub(crate) fn certificate(site: &Site, openssl: &Path, name: &str) -> String {
    let path = |end: &str| site.path(&format!("{name}.{end}"));
    let made = run(Command::new(openssl)
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .arg("-keyout")
        .arg(path("key"))
        .arg("-out")
        .arg(path("pem")));
    assert_eq!(made.code, Some(0), "{made:?}");
    fs::set_permissions(path("key"), fs::Permissions::from_mode(0o600)).unwrap();
    let printed =
        run(Command::new(openssl).args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]).arg(path("pem")));
    printed.out.trim().rsplit_once('=').unwrap().1.to_owned()
}

/// Puts the certificate of one name in the place of another, as tools that renew do.
fn replace(site: &Site, from: &str, to: &str) {
    for end in ["pem", "key"] {
        let aside = site.path("aside");
        fs::copy(site.path(&format!("{from}.{end}")), &aside).unwrap();
        fs::rename(aside, site.path(&format!("{to}.{end}"))).unwrap();
    }
}

#[test]
fn a_token_shows_who_calls_and_a_role_what_for() {
    if peer("curl").is_none() {
        return;
    }
    let site = site(&clients());
    let pagar = site.start();
    let url = |path: &str| pagar.url() + path;
    let flush = url("/v1/cache/flush?name=very.private.example");
    assert_eq!(curl(&[&url("/healthz")]).0, 200);
    assert_eq!(curl(&[&url("/metrics")]).0, 200, "from this machine");
    assert_eq!(curl(&["--header", "Host: evil.example", &url("/metrics")]).0, 401, "from a page on it");
    let (status, body) = curl(&["--include", &url("/v1/policy")]);
    assert!(status == 401 && body.to_ascii_lowercase().contains("www-authenticate: bearer"), "{body}");
    let (status, body) = curl_as("stranger", &[&url("/v1/policy")]);
    assert_eq!((status, code(&body).as_str()), (401, "unauthenticated"));
    assert_eq!(curl_as("noc", &[&url("/v1/policy")]).0, 200);
    assert_eq!(curl_as("noc", &["--header", "Host: pagar.isp.example", &url("/v1/check?name=a.example")]).0, 200);
    for (name, expected) in [("noc", 403), ("gateway", 403), ("alice", 200)] {
        let (status, body) = curl_as(name, &["--request", "POST", &flush]);
        assert!(status == expected && (expected == 200 || code(&body) == "role"), "{name}: {body}");
    }
    // a client that is taken out is nobody from then on
    site.write("pagar.toml", &(config(&[WHERE_NOBODY_ASKS.parse().unwrap()]) + &client("alice", "viewer", "")));
    pagar.signal(Signal::HUP);
    wait_until("the clients have changed", || curl_as("noc", &[&url("/v1/policy")]).0 == 401);
    assert_eq!(curl_as("alice", &["--request", "POST", &flush]).0, 403, "a viewer by now");
    // a broken configuration changes nothing
    site.write("pagar.toml", &(config(&[WHERE_NOBODY_ASKS.parse().unwrap()]) + "[[web.client]]\nname = \"mallory\"\n"));
    pagar.signal(Signal::HUP);
    wait_until("it is refused", || pagar.log().contains("missing key \"role\" in [[web.client]]"));
    assert_eq!(curl_as("alice", &[&url("/v1/policy")]).0, 200);
    // what was changed is on record; what was shown or asked for is not
    let log = pagar.log();
    assert!(log.contains("a client has asked for a change"), "{log}");
    for word in ["client=\"alice\"", "route=\"/v1/cache/flush\"", "code=\"role\"", "code=\"done\""] {
        assert!(log.contains(word), "{word}: {log}");
    }
    assert!(!log.contains("-token") && !log.contains("very.private"), "{log}");
    let metrics = pagar.metrics();
    assert_eq!(metrics[r#"pagar_web_requests_total{method="POST",route="/v1/cache/flush",status="403"}"#], 3.0);
    assert!(metrics[r#"pagar_web_auth_failures_total{reason="wrong"}"#] >= 1.0);
}

#[test]
fn tls_shows_who_we_are_and_a_certificate_who_calls() {
    let (Some(_), Some(openssl)) = (peer("curl"), peer("openssl")) else { return };
    let site = site("");
    let fingerprint = certificate(&site, &openssl, "gateway");
    for name in ["server", "stranger", "renewed"] {
        certificate(&site, &openssl, name);
    }
    let text = |clients: &str| {
        config(&[WHERE_NOBODY_ASKS.parse().unwrap()])
            + "tls = { certificate = \"server.pem\", key = \"server.key\" }\n"
            + clients
    };
    let by_certificate = format!(
        "[[web.client]]\nname = \"gateway\"\nrole = \"authority\"\nauthority = \"mcmc\"\n\
         certificate_sha256 = \"{fingerprint}\"\n"
    );
    site.write("pagar.toml", &text(&(client("noc", "viewer", "") + &by_certificate)));
    let pagar = site.start();
    let address = api(&pagar, "https");
    let policy = format!("https://localhost:{}/v1/policy", address.port());
    let path = |file: &str| site.path(file).to_str().unwrap().to_owned();
    let (ca, renewed) = (path("server.pem"), path("renewed.pem"));
    let trusting = ["--resolve", "localhost:0:127.0.0.1", "--cacert", &ca, &policy];
    assert_eq!(curl_as("noc", &trusting).0, 200);
    assert_eq!(curl(&trusting).0, 401);
    for version in [["--tlsv1.2", "--tls-max", "1.2"], ["--tlsv1.3", "--tls-max", "1.3"]] {
        assert_eq!(curl_as("noc", &[&version[..], &trusting[..]].concat()).0, 200, "{version:?}");
        let with = |name: &str| {
            let (certificate, key) = (path(&format!("{name}.pem")), path(&format!("{name}.key")));
            curl(&[&version[..], &["--cert", &certificate, "--key", &key], &trusting[..]].concat())
        };
        assert_eq!(with("gateway").0, 200, "{version:?}");
        let (status, said) = with("stranger");
        assert!(status == 0 && said.contains("alert"), "{version:?}: {said}");
    }
    let (status, body) = curl(&[&policy.replace("https://", "http://")]);
    assert_eq!((status, code(&body).as_str()), (400, "not-tls"));
    // a connection that is not over has no say in what comes after it
    let mut silent = TcpStream::connect(address).unwrap();
    // renewed while it serves: the next connection sees the new one
    let new = ["--cacert", &renewed, &policy];
    assert_eq!(curl_as("noc", &new).0, 0);
    replace(&site, "renewed", "server");
    wait_until("the renewed certificate is served", || curl_as("noc", &new).0 == 200);
    // and a broken one is not
    fs::write(site.path("server.pem"), "-----BEGIN CERTIFICATE-----\n").unwrap();
    wait_until("it is said", || pagar.log().contains("the certificate has changed and cannot be used"));
    assert_eq!(curl_as("noc", &new).0, 200);
    replace(&site, "renewed", "server");
    // without its certificate in the configuration the client is nobody
    site.write("pagar.toml", &text(&client("noc", "viewer", "")));
    pagar.signal(Signal::HUP);
    wait_until("the configuration is reloaded", || pagar.log().contains("configuration reloaded"));
    let (certificate, key) = (path("gateway.pem"), path("gateway.key"));
    assert_eq!(curl(&[&["--cert", &certificate, "--key", &key], &new[..]].concat()).0, 0);
    let metrics = format!("https://127.0.0.1:{}/metrics", address.port());
    let (status, text) = curl(&["--cacert", &renewed, &metrics]);
    assert_eq!(status, 200);
    for series in [
        "pagar_web_connections_refused_total{reason=\"certificate\"} 3",
        "pagar_web_connections_refused_total{reason=\"not-tls\"} 1",
        "pagar_web_certificate_failures_total 1",
    ] {
        assert!(text.contains(series), "{series}: {text}");
    }
    assert!(!text.contains("pagar_web_certificate_expiry_timestamp_seconds 0"));
    silent.set_read_timeout(Some(LIMIT)).unwrap();
    assert_eq!(silent.read(&mut [0]).unwrap_or(0), 0, "closed for its silence");
}

#[test]
fn a_listener_for_others_asks_who_calls_and_has_tls() {
    let Some(openssl) = peer("openssl") else { return };
    let site = site("");
    certificate(&site, &openssl, "server");
    let base = config(&[WHERE_NOBODY_ASKS.parse().unwrap()])
        .replace("[web]\nlisten = \"127.0.0.1:0\"", "[web]\nlisten = \"0.0.0.0:0\"");
    for (more, word) in [
        (String::new(), "without asking who calls"),
        (client("noc", "viewer", ""), "without TLS"),
        ("tls = { certificate = \"server.pem\", key = \"server.key\" }\n".to_owned(), "without asking who calls"),
        (
            format!("tls = {{ certificate = \"server.key\", key = \"server.key\" }}\n{}", client("noc", "viewer", "")),
            "no certificate in PEM",
        ),
    ] {
        site.write("pagar.toml", &(base.clone() + &more));
        let ended = site.run(&["check"]);
        assert!(ended.code == Some(2) && ended.err.contains(word) && ended.err.contains("hint: "), "{ended:?}");
    }
    let good =
        "tls = { certificate = \"server.pem\", key = \"server.key\" }\n".to_owned() + &client("noc", "viewer", "");
    site.write("pagar.toml", &(base + &good));
    assert_eq!(site.run(&["check"]).code, Some(0));
}

#[test]
fn bodies_that_are_slow_or_many_are_given_up_and_queries_go_on() {
    let site = site(&clients());
    site.put("1.json", &crate::harness::notice(1, "listed.example", "subtree"));
    let pagar = site.start();
    let address = api(&pagar, "http");
    let before = resident(&pagar);
    // 100 bodies of 1 MiB, of which half comes: more than there is room for together
    let half = vec![b'#'; 512 * 1024];
    let started = Instant::now();
    let slow: Vec<_> = (0..100)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            stream.set_write_timeout(Some(LIMIT)).unwrap();
            let header = "POST /v1/preview HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer alice-token\r\n\
                          content-length: 1048576\r\n\r\n";
            let _ = stream.write_all(header.as_bytes()).and_then(|()| stream.write_all(&half)); // it may be refused by then
            stream
        })
        .collect();
    for _ in 0..50 {
        let asked = Instant::now();
        assert!(is_block(&ask_a(pagar.address(), "listed.example.")));
        assert!(asked.elapsed() < Duration::from_secs(1));
    }
    let grown = resident(&pagar).saturating_sub(before);
    assert!(grown < 160 << 10, "{grown} KiB for bodies");
    let answers: Vec<String> = slow
        .into_iter()
        .map(|mut stream| {
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer);
            answer
        })
        .collect();
    let count = |status: &str| answers.iter().filter(|answer| answer.starts_with(status)).count();
    let (late, full) = (count("HTTP/1.1 408 "), count("HTTP/1.1 503 "));
    assert!(late > 0 && full > 0 && late + full == 100, "{late} {full} {answers:?}");
    assert!(answers.iter().all(|answer| !answer.contains(" 503 ") || answer.contains("retry-after: ")));
    assert!(started.elapsed() < Duration::from_secs(30));
    let (status, body) = (pagar.get("/healthz").0, pagar.get("/readyz"));
    assert_eq!((status, body.0), (200, 200), "{}", body.1);
}

#[test]
fn a_thousand_connections_are_served_in_turn() {
    let limits = getrlimit(Resource::Nofile);
    if limits.maximum.is_some_and(|most| most < 3_000) {
        return skip("needs 3,000 file descriptors");
    }
    let wanted = rustix::process::Rlimit { current: Some(limits.current.unwrap_or(4_096).max(4_096)), ..limits };
    setrlimit(Resource::Nofile, wanted).unwrap();
    let site = site(&clients());
    let pagar = site.start();
    let address = api(&pagar, "http");
    let before = resident(&pagar);
    let request =
        b"GET /v1/policy HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer noc-token\r\nconnection: close\r\n\r\n";
    let mut all: Vec<_> = (0..1_000)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            stream.write_all(request).unwrap();
            stream
        })
        .collect();
    let mut tally = std::collections::BTreeMap::<String, u32>::new();
    for stream in &mut all {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        *tally.entry(answer.split(' ').nth(1).unwrap_or_default().to_owned()).or_default() += 1;
    }
    // a client may send 500 at once, and some more a second
    assert!(tally.keys().all(|status| ["200", "429"].contains(&status.as_str())), "{tally:?}");
    assert!(tally["200"] >= 500, "{tally:?}");
    let grown = resident(&pagar).saturating_sub(before);
    assert!(grown < 64 << 10, "{grown} KiB for connections");
    drop(all);
    assert_eq!(pagar.get("/healthz").0, 200);
}

#[test]
fn two_clients_are_two_persons_and_secret_names_are_for_who_may_see_them() {
    if peer("curl").is_none() {
        return;
    }
    let signed = Signed::with(1, &clients());
    let text = fs::read_to_string(signed.site.path("pagar.toml")).unwrap();
    signed.site.write("names.key", &"0123456789abcdef".repeat(4));
    fs::set_permissions(signed.site.path("names.key"), fs::Permissions::from_mode(0o600)).unwrap();
    signed.site.write("pagar.toml", &text.replace("[ledger]\n", "[ledger]\nkey_file = \"names.key\"\n"));
    let pagar = signed.start();
    let overrides = pagar.url() + "/v1/overrides";
    signed.order("1.jws", &signed.mcmc.restrict(1, &["bad.example", "com.my"]));
    let mut secret = signed.mcmc.restrict(2, &["hidden.example", "gov.my"]);
    secret["sensitivity"] = "secret".into();
    signed.order("2.jws", &secret);
    signed.receipt("2.jws", "enforced");
    let held = |name: &str| -> Vec<Value> {
        let (status, body) = curl_as(name, &[&overrides]);
        assert_eq!(status, 200, "{body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        body["held"].as_array().unwrap().clone()
    };
    assert!(until(|| held("noc").len() == 2));
    let names = |of: &str| held(of).iter().map(|item| item["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names("noc"), [json!("com.my."), Value::Null]);
    assert_eq!(names("bob"), [json!("com.my."), json!("gov.my.")]);
    let target = |of: &str| {
        let (_, body) = curl_as(of, &[&(pagar.url() + "/v1/check?name=www.hidden.example")]);
        serde_json::from_str::<Value>(&body).unwrap()["rule"]["target"].clone()
    };
    assert_eq!((target("alice"), target("bob")), (json!("(secret)"), json!("hidden.example.")));
    // the first proposes, the second carries out
    let id = held("noc")[0]["id"].as_u64().unwrap();
    let decide = |of: &str, ask: Value| {
        let body = ask.to_string();
        curl_as(of, &["--header", "Content-Type: application/json", "--data", &body, &overrides])
    };
    let approve = || json!({ "approve": { "id": id, "reason": "seen with the authority" } });
    for of in ["noc", "gateway"] {
        assert_eq!(decide(of, approve()).0, 403);
    }
    let (status, body) = decide("alice", approve());
    assert!(status == 200 && body.contains("second person"), "{body}");
    let (status, body) = decide("alice", approve());
    assert_eq!((status, code(&body).as_str()), (409, "same-person"));
    assert!(!is_blocked(&pagar, "any.com.my."));
    assert_eq!(decide("bob", approve()).0, 200);
    assert!(until(|| is_blocked(&pagar, "any.com.my.")));
    // one lifts at once
    let (status, body) = decide("bob", json!({ "lift": { "name": "hidden.example", "reason": "a hospital" } }));
    assert_eq!(status, 200, "{body}");
    assert!(until(|| !is_blocked(&pagar, "hidden.example.")));
    let exported = signed.site.run(&["ledger", "export"]).out;
    assert!(exported.contains("\"alice\"") && exported.contains("\"bob\""), "{exported}");
    let log = pagar.log();
    assert!(log.contains("client=\"bob\"") && log.contains("route=\"/v1/overrides\""), "{log}");
    for name in ["hidden.example", "gov.my", "-token"] {
        assert!(!log.contains(name), "{name}: {log}");
    }
}

#[test]
fn without_clients_nobody_is_a_person() {
    if peer("curl").is_none() {
        return;
    }
    let pagar = site("").start();
    let overrides = pagar.url() + "/v1/overrides";
    assert_eq!(curl(&[&overrides]).0, 200);
    let lift = r#"{"lift":{"name":"a.example","reason":"r"}}"#;
    let (status, body) = curl(&["--header", "Content-Type: application/json", "--data", lift, &overrides]);
    assert!(status == 403 && code(&body) == "unknown-person" && body.contains("pagar lift"), "{body}");
}

/// Needs root: only root can be two accounts.
#[test]
fn two_accounts_of_the_group_are_two_persons() {
    const NOBODY: u32 = 65_534;
    if !rustix::process::geteuid().is_root() {
        return skip("needs root");
    }
    let python = Path::new("/usr/bin/python3"); // not one that only root may run
    if !python.is_file() {
        return skip("needs /usr/bin/python3");
    }
    let signed = Signed::new(1);
    let text = fs::read_to_string(signed.site.path("pagar.toml")).unwrap();
    fs::create_dir(signed.site.path("run")).unwrap();
    for directory in ["", "run"] {
        fs::set_permissions(signed.site.path(directory), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let with = format!("{text}[operators]\nsocket = \"run/control.sock\"\n");
    signed.site.write("pagar.toml", &(with.clone() + &format!("group = \"{NOBODY}\"\n")));
    let pagar = signed.start();
    signed.order("1.jws", &signed.mcmc.restrict(1, &["bad.example", "com.my"]));
    signed.receipt("1.jws", "enforced");
    let socket = signed.site.path("run/control.sock");
    let held: Value = serde_json::from_str(&signed.site.run(&["approve", "--list", "--json"]).out).unwrap();
    let id = held["list"][0]["id"].to_string();
    let as_user = |user: u32| {
        let script = "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n\
                      s.sendall(sys.argv[2].encode() + b'\\n')\nprint(s.makefile().read())";
        let ask = format!(r#"{{"approve":{{"id":{id},"reason":"seen"}}}}"#);
        let mut command = Command::new(python);
        command.args(["-c", script]).arg(&socket).arg(ask).current_dir("/").uid(user).gid(NOBODY);
        run(&mut command)
    };
    let first = as_user(NOBODY);
    assert!(first.out.contains("second person"), "{first:?}");
    assert!(as_user(NOBODY).out.contains("same-person"));
    let second = as_user(NOBODY - 1);
    assert!(second.out.contains("approved"), "{second:?}");
    assert!(until(|| is_blocked(&pagar, "any.com.my.")));
    let exported = signed.site.run(&["ledger", "export"]).out;
    assert!(exported.contains("(uid 65534)") && exported.contains("unnamed (uid 65533)"), "{exported}");
    // without the group the door is shut, at once
    signed.site.write("pagar.toml", &with);
    pagar.signal(Signal::HUP);
    wait_until("it is reloaded", || pagar.log().contains("configuration reloaded"));
    let refused = as_user(NOBODY);
    assert!(refused.err.contains("Permission denied"), "{refused:?}");
    // and a group that is none is an error that changes nothing
    signed.site.write("pagar.toml", &(with + "group = \"no-such-group\"\n"));
    pagar.signal(Signal::HUP);
    wait_until("it is refused", || pagar.log().contains("there is no group \"no-such-group\""));
}

/// KiB of memory in use.
pub(crate) fn resident(pagar: &Pagar) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", pagar.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
