//! The command line for people: a notice from a list of names to the receipt and the letter, and back. What talks to a
//! server talks to the real one; how a busy, refusing or lying one is met, is tested with a script in its place.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use pagar::verify::jose::{Alg, PrivateKey, jws};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::{Ended, pagar};
use crate::signed::{Signed, is_blocked, until};

/// Runs `pagar` in a site: words that start with `@` are files there.
fn desk(signed: &Signed, words: &[&str]) -> Ended {
    let words: Vec<String> = words
        .iter()
        .map(|word| match word.strip_prefix('@') {
            Some(file) => signed.site.path(file).display().to_string(),
            None => (*word).to_owned(),
        })
        .collect();
    pagar(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

#[track_caller]
fn ends(signed: &Signed, code: i32, words: &[&str]) -> Ended {
    let ended = desk(signed, words);
    assert_eq!(ended.code, Some(code), "{words:?}: {ended:?}");
    ended
}

/// The options that every notice has.
fn head<'a>(number: &'a str, id: &'a str) -> [&'a str; 8] {
    ["--id", id, "--sequence", number, "--authority", "mcmc", "--power", "CMA 1998 s.263(2)"]
}

/// `notice new` with a category, on top of these.
fn new(signed: &Signed, code: i32, number: &str, more: &[&str]) -> Ended {
    let id = format!("N-{number}");
    let words = [&["notice", "new"][..], &head(number, &id), &["--category", "scam"], more].concat();
    ends(signed, code, &words)
}

/// Signs `FILE.json` into `FILE.jws` with the key that the site's regulator has.
fn sign(signed: &Signed, name: &str) {
    signed.site.write("mcmc.key.jwk", &signed.mcmc.keys[0].to_jwk().to_string());
    let _ = std::process::Command::new("chmod").arg("600").arg(signed.site.path("mcmc.key.jwk")).status();
    let (from, to) = (format!("@{name}.json"), format!("@{name}.jws"));
    ends(signed, 0, &["notice", "sign", "--key", "@mcmc.key.jwk", "--out", &to, &from]);
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

//------ authoring -----------------------------------------------------------------------------------------------------

#[test]
fn a_spreadsheet_becomes_a_notice_and_what_was_changed_in_it_is_said() {
    let signed = Signed::new(1);
    let rows = "\u{feff}Item;Name;Scope\r\n1;Bad.Example.;subtree\r\n2;http://www.other.example/;exact\r\n3;*.third.example;\r\n";
    signed.site.write("names.csv", rows);
    let more = ["--csv", "@names.csv", "--out", "@n.json", "--deadline", "6h", "--issued", "2026-11-01T09:00:00+08:00"];
    let written =
        new(&signed, 0, "1", &[&more[..], &["--offset", "+08:00", "--contact", "mailto:a@b.example"]].concat());
    for said in ["names.csv:3: warning:", "only the host of the URL is taken", "names.csv:4: warning:", "3 targets"] {
        assert!(written.err.contains(said), "{said}: {written:?}");
    }
    let notice = json(&fs::read_to_string(signed.site.path("n.json")).unwrap());
    let targets = json!([
        { "item": "1", "name": "bad.example", "scope": "subtree" },
        { "item": "2", "name": "www.other.example", "scope": "exact" },
        { "item": "3", "name": "third.example", "scope": "subtree" },
    ]);
    assert_eq!(notice["targets"], targets);
    assert_eq!((&notice["kind"], &notice["action"]), (&json!("restrict"), &json!("block-page")));
    assert_eq!(notice["issued_at"], "2026-11-01T09:00:00+08:00");
    assert_eq!(notice["deadline_at"], "2026-11-01T15:00:00+08:00");
    ends(&signed, 0, &["notice", "lint", "@n.json"]);
    let again = new(&signed, 2, "1", &more);
    assert!(again.err.contains("nothing is overwritten"), "{again:?}");
}

#[test]
fn what_the_dns_cannot_block_is_refused_with_its_line_and_nothing_is_written() {
    let signed = Signed::new(1);
    signed.site.write("names.csv", "good.example\nhttp://bad.example/page\n192.0.2.1\nbad.example:8080\n");
    let refused = new(&signed, 3, "1", &["--scope", "exact", "--csv", "@names.csv", "--out", "@n.json"]);
    for said in ["names.csv:2: error:", "names.csv:3: error:", "names.csv:4: error:", "nothing is written"] {
        assert!(refused.err.contains(said), "{said}: {refused:?}");
    }
    assert!(!signed.site.path("n.json").exists() && refused.out.is_empty());
    let scopeless = new(&signed, 3, "1", &["a.example"]);
    assert!(scopeless.err.contains("--scope exact"), "{scopeless:?}");
    new(&signed, 2, "1", &["--scope", "exact"]);
    new(&signed, 3, "1", &["--scope", "exact", "--action", "nxdomain", "a.example"]);
    let secret = new(&signed, 3, "1", &["--scope", "exact", "--sensitivity", "secret", "http://zqxj.example/x"]);
    assert!(!secret.err.contains("zqxj"), "{secret:?}");
}

#[test]
fn the_other_kinds_of_notices_are_written_too() {
    let signed = Signed::new(1);
    let amended = new(&signed, 0, "2", &["--amends", "N-1", "--scope", "exact", "a.example"]);
    assert_eq!((&json(&amended.out)["kind"], &json(&amended.out)["amends"]), (&json!("amend"), &json!("N-1")));
    for (option, kind, key) in [("--suspends", "suspend", "suspends"), ("--resumes", "resume", "resumes")] {
        let words = [&["notice", "new"][..], &head("3", "N-3"), &[option, "N-1", "N-2"]].concat();
        let written = json(&ends(&signed, 0, &words).out);
        assert_eq!((&written["kind"], &written[key]), (&json!(kind), &json!(["N-1", "N-2"])));
        assert!(written.get("action").is_none() && written.get("targets").is_none());
        ends(&signed, 2, &[&words[..], &["--scope", "exact"]].concat());
    }
    let revoke =
        |more: &[&'static str]| [&["notice", "revoke"][..], &head("4", "N-4"), &["--revokes", "N-1"], more].concat();
    let part = json(&ends(&signed, 0, &revoke(&["--item", "1", "3"])).out);
    assert_eq!(part["targets"], json!([{ "item": "1" }, { "item": "3" }]));
    signed.site.write("mcmc.key.jwk", &signed.mcmc.keys[0].to_jwk().to_string());
    ends(&signed, 0, &revoke(&["--sign-with", "@mcmc.key.jwk", "--out", "@r.jws"]));
    let good = ends(&signed, 0, &["notice", "verify", "@r.jws", "--keys", "@keys/mcmc.jwk"]);
    assert!(good.out.contains("N-4, number 4 of mcmc: revoke"), "a revocation is a notice: {good:?}");
    ends(&signed, 2, &revoke(&["--api", "http://127.0.0.1:1"]));
}

#[test]
fn a_notice_is_signed_whose_items_are_bad_in_part_and_none_whose_all_are() {
    let signed = Signed::new(1);
    let mut notice = signed.mcmc.restrict(1, &["a.example", "http://b.example/page"]);
    signed.site.write("n.json", &notice.to_string());
    sign(&signed, "n");
    let again = desk(&signed, &["notice", "sign", "--key", "@mcmc.key.jwk", "@n.json"]);
    assert!(again.err.contains("nodes will refuse some items") && again.err.contains("warning:"), "{again:?}");
    notice["targets"].as_array_mut().unwrap().remove(0);
    signed.site.write("n.json", &notice.to_string());
    let refused = ends(&signed, 3, &["notice", "sign", "--key", "@mcmc.key.jwk", "@n.json"]);
    assert!(refused.err.contains("correct it first"), "{refused:?}");
}

//------ receipts ------------------------------------------------------------------------------------------------------

#[test]
fn receipts_are_verified_counted_and_printed_without_a_server() {
    let signed = Signed::new(1);
    let pagar = signed.start();
    let mut notice = signed.mcmc.restrict(1, &["bad.example", "com.my", "http://c.example/page"]);
    notice["deadline_at"] = json!("2099-01-01T00:00:00+08:00");
    signed.order("1.jws", &notice);
    signed.receipt("1.jws", "enforced");
    signed.order("2.jws", &signed.mcmc.restrict(2, &["other.example"]));
    signed.receipt("2.jws", "enforced");
    drop(pagar);

    let (receipt, node) = ("@notices/1.receipt.json", "@state/node.pub.jwk");
    let good = ends(&signed, 0, &["notice", "verify", receipt, "--node-key", node]);
    for said in ["good: signed by the node", "N-1 of mcmc, number 1: enforced", "public-suffix: names of many"] {
        assert!(good.out.contains(said), "{said}: {good:?}");
    }
    ends(&signed, 0, &["notice", "verify", receipt, "--config", "@pagar.toml"]);
    assert!(ends(&signed, 2, &["notice", "verify", receipt, "--keys", "@keys/mcmc.jwk"]).err.contains("--node-key"));
    ends(&signed, 3, &["notice", "verify", "@notices/1.jws", "--node-key", node]);
    assert!(ends(&signed, 1, &["notice", "verify", receipt, "--node-key", "@keys/mcmc.jwk"]).out.contains("not given"));
    let changed = fs::read_to_string(signed.site.path("notices/1.receipt.json")).unwrap();
    signed.site.write("changed.json", &changed.replacen("\"quarantined\"", "\"enforced\"", 1));
    let shown = ends(&signed, 1, &["notice", "verify", "@changed.json", "--node-key", node]);
    assert!(shown.out.contains("is not what is signed"), "{shown:?}");

    let status =
        |more: &[&str]| ends(&signed, 0, &[&["notice", "status", "--receipt", receipt][..], more].concat()).out;
    let table = status(&["--format", "csv"]);
    assert!(table.contains("\r\nN-1,mcmc,restrict,1,2,quarantined,public-suffix,"), "{table}");
    assert_eq!(table.matches("\r\n").count(), 4);
    let letter = status(&["--format", "html", "--lang", "en", "--from", "ISP <1>", "--node-key", node]);
    assert!(letter.contains("<td>ISP &lt;1&gt;</td>") && !letter.contains("bad.example"), "{letter}");
    let named = status(&["--format", "html", "--with-names", "@notices/1.jws"]);
    assert!(named.contains("1<br><strong>bad.example.</strong>"), "{named}");
    let other = ["notice", "status", "--receipt", receipt, "--format", "html", "--with-names", "@notices/2.jws"];
    ends(&signed, 3, &other);

    let both = ["notice", "status", "--receipt", receipt, "@notices/2.receipt.json"];
    let counted = ends(&signed, 0, &both);
    assert!(
        counted.out.contains("2 notices, 0 refused, 0 late; 4 items ordered: 2 enforced, 0 waiting"),
        "{counted:?}"
    );
    assert!(!counted.out.contains('\u{1b}'), "no colour in a pipe");
    let coloured = ends(&signed, 0, &[&both[..], &["--color", "always"]].concat());
    assert!(coloured.out.contains("\u{1b}[32menforced\u{1b}[0m"), "{coloured:?}");
    let counted = json(&ends(&signed, 0, &[&both[..], &["--json"]].concat()).out);
    assert_eq!((&counted["items"]["ordered"], &counted["items"]["quarantined"]), (&json!(4), &json!(1)));
    let page = ends(&signed, 0, &[&both[..], &["--format", "html", "--out", "@status.html"]].concat());
    assert!(page.out.is_empty() && signed.site.path("status.html").exists());
}

//------ a script in place of a server ---------------------------------------------------------------------------------

/// Answers each request with the next of these; hands back what it was asked.
struct Script {
    address: SocketAddr,
    asked: Receiver<String>,
}

impl Script {
    fn new(answers: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, asked) = channel();
        std::thread::spawn(move || {
            for answer in answers {
                let Ok((mut stream, _)) = listener.accept() else { return };
                let _ = tell.send(request(&mut stream));
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Self { address, asked }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The lines of what it was asked so far.
    fn lines(&self) -> Vec<String> {
        self.asked.try_iter().map(|request| request.lines().next().unwrap_or_default().to_owned()).collect()
    }
}

/// A request with its body.
fn request(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut octets = Vec::new();
    let mut piece = [0; 4_096];
    loop {
        let text = String::from_utf8_lossy(&octets).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length:").and_then(|length| length.trim().parse().ok())
            });
            if body.len() >= length.unwrap_or(0usize) {
                return text;
            }
        }
        match stream.read(&mut piece) {
            Ok(length) if length > 0 => octets.extend_from_slice(&piece[..length]),
            _ => return text,
        }
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}")
}

/// A signed notice in the site, a node's key, and receipts of it.
struct Sent {
    signed: Signed,
    node: PrivateKey,
    payload: String,
}

impl Sent {
    fn new() -> Self {
        let signed = Signed::new(1);
        let notice = signed.mcmc.restrict(1, &["a.example"]).to_string();
        signed.site.write("n.jws", &jws::sign(notice.as_bytes(), &[&signed.mcmc.keys[0]]));
        let node = PrivateKey::generate(None, Alg::EdDsa, Default::default()).unwrap();
        signed.site.write("node.pub.jwk", &node.public().to_jwk().to_string());
        let digest = Sha256::digest(notice.as_bytes());
        let payload = digest.iter().map(|octet| format!("{octet:02x}")).collect();
        Self { signed, node, payload }
    }

    fn receipt(&self, state: &str, more: Value) -> String {
        let mut receipt = json!({
            "version": 1, "node": self.node.public().thumbprint().to_string(), "authority": "mcmc", "notice": "N-1",
            "kind": "restrict", "sequence": 1, "payload": self.payload, "state": state,
            "received_at": "2026-11-01T01:00:00Z", "written_at": "2026-11-01T01:00:01Z",
            "items": [{ "item": "1", "state": state }],
        });
        receipt.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        jws::flattened(receipt.to_string().as_bytes(), &self.node)
    }

    fn push(&self, code: i32, script: &Script, more: &[&str]) -> Ended {
        let url = script.url();
        ends(&self.signed, code, &[&["notice", "push", "@n.jws", "--api", &url][..], more].concat())
    }
}

#[test]
fn a_busy_server_is_asked_again_and_a_receipt_is_awaited_and_kept() {
    let sent = Sent::new();
    let (open, done) = (sent.receipt("published", json!({})), sent.receipt("enforced", json!({})));
    let script = Script::new(vec![
        answer("503 Service Unavailable", "retry-after: 0\r\n", "{}"),
        answer("429 Too Many Requests", "retry-after: 0\r\n", "{}"),
        answer("201 Created", "", &open),
        answer("200 OK", "", &done),
    ]);
    let ended = sent.push(0, &script, &["--node-key", "@node.pub.jwk"]);
    assert!(ended.out.contains("N-1 of mcmc, number 1: enforced") && ended.out.contains("receipt: "), "{ended:?}");
    assert!(ended.err.is_empty(), "progress is for terminals: {ended:?}");
    let lines = script.lines();
    assert_eq!(lines.len(), 4);
    assert!(lines[2].starts_with("POST /v1/notices?wait=30 "), "{lines:?}");
    assert!(
        lines[3].starts_with("GET /v1/notices/N%2D1/receipt?wait=") && lines[3].contains("authority=mcmc"),
        "{lines:?}"
    );
    let verify = ["notice", "verify", "@n.receipt.json", "--node-key", "@node.pub.jwk"];
    ends(&sent.signed, 0, &verify);
}

#[test]
fn what_is_not_wholly_enforced_is_a_negative_answer() {
    let sent = Sent::new();
    let items =
        json!({ "items": [{ "item": "1", "state": "enforced" }, { "item": "2", "state": "refused", "code": "url" }] });
    let script = Script::new(vec![answer("200 OK", "", &sent.receipt("enforced", items))]);
    let ended = sent.push(1, &script, &["--json", "--receipt-dir", "@notices"]);
    let report = json(&ended.out);
    assert_eq!((&report[0]["done"], &report[0]["new"]), (&json!(false), &json!(false)));
    assert_eq!(report[0]["receipt"]["items"][1]["code"], "url");
    assert!(sent.signed.site.path("notices/n.receipt.json").exists());
    let script = Script::new(vec![answer("201 Created", "", &sent.receipt("published", json!({})))]);
    sent.push(1, &script, &["--wait", "0s"]);
    let refusal = json!({
        "type": "urn:pagar:problem:sequence", "title": "The order is refused", "status": 409, "code": "sequence",
        "detail": "number 1 is used", "hint": "use the next",
        "problems": [{ "message": "look\u{1b}[2J here", "line": 3, "hint": null, "column": null, "code": "x" }],
        "receipt": json(&sent.receipt("refused", json!({}))),
    });
    let script =
        Script::new(vec![answer("409 Conflict", "content-type: application/problem+json\r\n", &refusal.to_string())]);
    let ended = sent.push(1, &script, &[]);
    for said in ["refused: number 1 is used (sequence)", "hint: use the next", "line 3: look [2J here", "receipt: "] {
        assert!(ended.out.contains(said), "{said}: {ended:?}");
    }
}

#[test]
fn a_receipt_that_cannot_be_believed_is_not_kept_and_a_missing_server_is_said() {
    let sent = Sent::new();
    let other = sent.receipt("enforced", json!({ "payload": "00" }));
    let stranger = Sent { node: PrivateKey::generate(None, Alg::EdDsa, Default::default()).unwrap(), ..Sent::new() };
    for (receipt, said) in
        [(other, "of another notice"), (stranger.receipt("enforced", json!({ "payload": sent.payload })), "not given")]
    {
        let script = Script::new(vec![answer("201 Created", "", &receipt)]);
        let ended = sent.push(4, &script, &["--node-key", "@node.pub.jwk"]);
        assert!(ended.err.contains(said), "{ended:?}");
        assert!(!sent.signed.site.path("n.receipt.json").exists());
    }
    let busy = || answer("503 Service Unavailable", "retry-after: 0\r\n", "{\"detail\":\"the disk is full\"}");
    let script = Script::new((0..10).map(|_| busy()).collect());
    let ended = sent.push(4, &script, &[]);
    assert!(ended.err.contains("asked 6 times: the disk is full"), "{ended:?}");
    assert_eq!(script.lines().len(), 6, "it has an end");
    let nobody = ends(&sent.signed, 4, &["notice", "push", "@n.jws", "--api", "http://127.0.0.1:1"]);
    assert!(nobody.err.contains("nobody listens there"), "{nobody:?}");
    ends(&sent.signed, 2, &["notice", "push", "@n.jws", "--api", "http://isp.example"]);
    sent.signed.site.write("bare.json", "{}");
    ends(&sent.signed, 3, &["notice", "push", "@n.jws", "@bare.json", "--api", "http://127.0.0.1:1"]);
}

#[test]
fn a_server_counts_several_notices_and_says_where_one_stands() {
    let sent = Sent::new();
    let items = json!({
        "ordered": 3, "enforced": 2, "waiting": 0, "tested": 0, "quarantined": 1, "refused": 0, "lifted": 0, "replaced": 0,
    });
    let line = json!({
        "notice": "N-1", "authority": "mcmc", "kind": "restrict", "sequence": 1, "state": "enforced", "late": false,
        "received_at": "2026-11-01T01:00:00Z", "enforced_at": null, "lifted_at": null, "deadline_at": null, "items": items,
    });
    let status = json!({
        "cut_off": "2026-11-02T01:00:00Z", "orders": 1, "orders_refused": 0, "late": 0, "items": items, "notices": [line],
        "not_carried_out": [],
    });
    let unknown = json!({ "code": "no-notice", "detail": "no order with the id \"N-9\" was taken", "status": 404 });
    let script = Script::new(vec![
        answer("200 OK", "", &status.to_string()),
        answer("200 OK", "", "notice\r\n"),
        answer("200 OK", "", &sent.receipt("enforced", json!({}))),
        answer("404 Not Found", "", &unknown.to_string()),
    ]);
    let url = script.url();
    let ask =
        |code, words: &[&str]| ends(&sent.signed, code, &[&["notice", "status", "--api", &url][..], words].concat());
    let all = ask(0, &["N-1", "N-2", "--authority", "mcmc"]);
    assert!(all.out.contains("as of 2026-11-02T01:00:00Z: 1 notices") && all.out.contains("2/3"), "{all:?}");
    assert_eq!(ask(0, &["--format", "csv", "--state", "enforced"]).out, "notice\r\n");
    assert!(ask(0, &["N-1", "--node-key", "@node.pub.jwk"]).out.contains("N-1 of mcmc, number 1: enforced"));
    assert!(ask(1, &["N-9"]).err.contains("no order with the id"));
    let lines = script.lines();
    assert!(lines[0].starts_with("GET /v1/receipts?notice=N-1&notice=N-2&authority=mcmc "), "{lines:?}");
    assert!(lines[1].starts_with("GET /v1/receipts?state=enforced&format=csv "), "{lines:?}");
}

#[test]
fn persons_ask_over_the_api_with_their_credential() {
    let signed = Signed::new(1);
    signed.site.write("token", "tok-1");
    let _ = std::process::Command::new("chmod").arg("600").arg(signed.site.path("token")).status();
    let done = json!({ "text": "lifted", "ledger": 9 });
    let refused = json!({ "code": "same-person", "detail": "a second person must approve", "status": 409 });
    let script = Script::new(vec![
        answer("200 OK", "", &done.to_string()),
        answer("409 Conflict", "", &refused.to_string()),
        answer("200 OK", "", "{\"held\":[]}"),
    ]);
    let url = script.url();
    let ask = |code, words: &[&str]| ends(&signed, code, &[words, &["--api", &url, "--token-file", "@token"]].concat());
    assert_eq!(ask(0, &["lift", "a.example", "--reason", "ticket 7"]).out, "lifted (ledger 9)\n");
    let no = ask(1, &["approve", "7", "--reason", "seen"]);
    assert!(no.err.contains("refused (same-person): a second person must approve"), "{no:?}");
    assert_eq!(ask(0, &["approve", "--list"]).out, "nothing is held\n");
    let asked: Vec<String> = script.asked.try_iter().collect();
    assert!(asked.iter().all(|request| request.contains("authorization: Bearer tok-1")), "{asked:?}");
    assert!(
        asked[0].starts_with("POST /v1/overrides ")
            && asked[0].ends_with(r#"{"lift":{"name":"a.example","reason":"ticket 7"}}"#)
    );
    assert!(asked[2].starts_with("GET /v1/overrides "), "{asked:?}");
}

/// As `deploy/operator.md` has it: each by the token of a client of its own.
#[test]
fn two_persons_approve_over_the_api_and_one_is_not_two() {
    let signed = Signed::with(1, &crate::web_access::clients());
    let node = signed.start();
    for name in ["alice", "bob", "noc"] {
        let file = format!("{name}.token");
        signed.site.write(&file, &format!("{name}-token\n"));
        let _ = std::process::Command::new("chmod").arg("600").arg(signed.site.path(&file)).status();
    }
    signed.order("1.jws", &signed.mcmc.restrict(1, &["bad.example", "com.my"]));
    signed.receipt("1.jws", "enforced");
    let url = node.url();
    let ask = |code, who: &str, words: &[&str]| {
        let token = format!("@{who}.token");
        ends(&signed, code, &[words, &["--token-file", &token, "--api", &url]].concat())
    };
    let held = json(&ask(0, "alice", &["approve", "--list", "--json"]).out);
    assert_eq!(held["list"].as_array().unwrap().len(), 1, "{held}");
    let id = held["list"][0]["id"].to_string();
    let approve = ["approve", &id, "--reason", "confirmed by telephone, ticket 12"];
    assert!(ask(1, "noc", &approve).err.contains("refused (role)"), "a viewer decides nothing");
    let proposed = ask(0, "alice", &approve);
    assert!(proposed.out.contains("second person") && proposed.out.contains("(ledger "), "{proposed:?}");
    assert!(ask(1, "alice", &approve).err.contains("refused (same-person)"));
    assert!(!is_blocked(&node, "any.com.my."));
    ask(0, "bob", &["approve", &id, "--reason", "seen the order, ticket 12"]);
    assert!(until(|| is_blocked(&node, "any.com.my.")));
    assert_eq!(ask(0, "bob", &["approve", "--list"]).out, "nothing is held\n");
    let recorded = signed.site.run(&["ledger", "export"]).out;
    for said in ["alice", "bob", "confirmed by telephone, ticket 12", "seen the order, ticket 12"] {
        assert!(recorded.contains(said), "{said}: {recorded}");
    }
}

#[test]
fn shells_complete_every_command() {
    for (shell, sign) in [("bash", "_pagar()"), ("zsh", "#compdef pagar"), ("fish", "complete -c pagar")] {
        let script = pagar(&["completions", shell]);
        assert_eq!(script.code, Some(0), "{script:?}");
        for word in [sign, "revoke", "dry-run", "completions"] {
            assert!(script.out.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(pagar(&["completions", "tcsh"]).code, Some(2));
}
