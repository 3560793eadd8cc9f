//! Names of secret notices: after a run in which everything happens to them that can, they are in nothing the program
//! wrote, printed, logged or answered, at the most talkative log level, in no form a person could find them by.
//!
//! Left out are the files that others wrote: the authority's own notices, lists, configuration. Where somebody asks for a
//! name, the echo of the question is taken out of the answer. Panics are tested in `src/observe/panics.rs`: nothing from
//! outside provokes one.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER};
use hickory_proto::rr::RecordType;
use pagar::verify::jose::{Alg, PrivateKey, jws};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::client::{Over, ask};
use crate::harness::{Ended, Heir, Pagar, wait_until};
use crate::signed::{Signed, is_blocked, until};

/// A label that stands nowhere else.
fn label() -> String {
    let letter = |_| char::from(b"bcdfghjkmnpqrstvwxz"[usize::from(rand::random::<u8>()) % 19]);
    std::iter::once('q').chain((0..19).map(letter)).collect()
}

/// The forms a label might be found by: text and wire octets are the same; base64 at all three alignments, without the
/// letters that what stands before and behind has a part in.
fn forms(label: &str) -> Vec<(String, String)> {
    let mut forms = vec![
        ("text".to_owned(), label.to_owned()),
        ("hexadecimal digits".to_owned(), HEXLOWER.encode(label.as_bytes())),
        ("numbers".to_owned(), label.bytes().map(|octet| octet.to_string()).collect::<Vec<_>>().join(",")),
        ("numbers, spaced".to_owned(), label.bytes().map(|octet| octet.to_string()).collect::<Vec<_>>().join(", ")),
    ];
    for shift in 0..3 {
        let shifted = ["\0".repeat(shift).as_bytes(), label.as_bytes()].concat();
        let whole = shifted.len() / 3 * 4; // letters of whole groups
        let skipped = [0, 2, 3][shift]; // letters that the octets before have a part in
        for (name, alphabet) in [("base64", &BASE64_NOPAD), ("base64url", &BASE64URL_NOPAD)] {
            let text = alphabet.encode(&shifted);
            forms.push((format!("{name} at {shift}"), text[skipped..whole].to_owned()));
        }
    }
    forms
}

/// Everything a run produced, by what it is.
#[derive(Default)]
struct Produced(Vec<(String, Vec<u8>)>);

impl Produced {
    fn add(&mut self, what: impl Into<String>, octets: impl Into<Vec<u8>>) {
        self.0.push((what.into(), octets.into()));
    }

    fn ended(&mut self, what: &str, ended: &Ended) {
        self.add(format!("{what}: stdout"), ended.out.as_bytes());
        self.add(format!("{what}: stderr"), ended.err.as_bytes());
    }

    /// An answer of the API, without the echo of what was asked.
    fn get(&mut self, pagar: &Pagar, path: &str, echo: &str) -> Value {
        let (_, body) = pagar.get(path);
        self.add(format!("GET {}", if echo.is_empty() { path } else { "a name" }), body.replace(echo, ""));
        serde_json::from_str(&body).unwrap_or_default()
    }

    /// All files below a directory but these.
    fn files(&mut self, directory: &Path, inputs: &BTreeSet<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.files(&path, inputs);
            } else if path.is_file() && !inputs.contains(&path) {
                self.add(path.display().to_string(), fs::read(&path).unwrap());
                self.add("a file's name", path.display().to_string());
            }
        }
    }

    fn process(&mut self, id: u32) {
        for file in ["environ", "cmdline", "comm", "status", "maps"] {
            self.add(format!("/proc/…/{file}"), fs::read(format!("/proc/{id}/{file}")).unwrap_or_default());
        }
    }

    /// Where labels stand in it, in whatever form.
    fn leaks(&self, labels: &[String]) -> Vec<String> {
        let forms: Vec<_> =
            labels.iter().flat_map(|label| forms(label).into_iter().map(move |form| (label, form))).collect();
        let mut leaks = Vec::new();
        for (what, octets) in &self.0 {
            let lower = octets.to_ascii_lowercase();
            for (label, (form, needle)) in &forms {
                let haystack = if form.starts_with("base64") { octets } else { &lower };
                if let Some(at) = memmem(haystack, needle.as_bytes()) {
                    let around = &octets[at.saturating_sub(200)..octets.len().min(at + 100)];
                    leaks.push(format!("{label} as {form} in {what}: …{}…", String::from_utf8_lossy(around)));
                }
            }
        }
        leaks
    }

    #[track_caller]
    fn holds_none_of(&self, labels: &[String]) {
        let leaks = self.leaks(labels);
        assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks[..leaks.len().min(20)].join("\n"));
    }
}

fn memmem(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[test]
fn every_form_of_a_name_is_found() {
    let label = label();
    let wire = [&[label.len() as u8], label.as_bytes(), b"\x07example\0"].concat();
    let mut hidden = vec![wire.clone(), label.to_uppercase().into_bytes(), HEXLOWER.encode(&wire).into_bytes()];
    hidden.push(format!("{:?}", label.as_bytes()).into_bytes());
    for before in ["", "a", "ab", "abc"] {
        let text = format!("{before}{label}.example");
        hidden.push(BASE64_NOPAD.encode(text.as_bytes()).into_bytes());
        hidden.push(BASE64URL_NOPAD.encode(text.as_bytes()).into_bytes());
    }
    for octets in hidden {
        let mut produced = Produced::default();
        produced.add("it", [b"before ", &octets[..], b" behind"].concat());
        assert!(!produced.leaks(std::slice::from_ref(&label)).is_empty(), "{}", String::from_utf8_lossy(&octets));
    }
    let mut produced = Produced::default();
    produced.add("nothing", self::label());
    produced.holds_none_of(&[label]);
}

/// A site with a key for secrets, a secret list, and an authority that may order scams only.
fn site(list: &str, with_key: bool) -> Signed {
    let source = "[[source]]\nkind = \"list\"\npath = \"list.txt\"\nformat = \"domains\"\nnotice = { id = \"S-1\", authority = \
        \"isp\", category = \"scam\", power = \"policy\", scope = \"exact\", sensitivity = \"secret\" }\n";
    let signed = Signed::with(1, source);
    let text = fs::read_to_string(signed.site.path("pagar.toml")).unwrap();
    let text = text.replace("id = \"mcmc\"\n", "id = \"mcmc\"\ncategories = [\"scam\"]\n");
    let text = if with_key { text.replace("[ledger]", "[ledger]\nkey_file = \"names.key\"") } else { text };
    signed.site.write("pagar.toml", &text);
    signed.site.write("names.key", &"0123456789abcdef".repeat(4));
    fs::set_permissions(signed.site.path("names.key"), PermissionsExt::from_mode(0o600)).unwrap();
    signed.site.write("list.txt", list);
    signed
}

/// The files that others wrote.
fn inputs(signed: &Signed) -> BTreeSet<PathBuf> {
    let notices = fs::read_dir(signed.site.path("notices")).unwrap().map(|entry| entry.unwrap().path());
    let given = notices.filter(|path| !path.to_string_lossy().ends_with(".receipt.json"));
    given.chain(["pagar.toml", "list.txt", "names.key"].map(|file| signed.site.path(file))).collect()
}

#[test]
fn secret_names_are_in_nothing_that_a_run_leaves_behind() {
    let labels: Vec<_> = (0..13).map(|_| label()).collect();
    let [listed, urls, held, amended, ended, lifted, far, category, broken, forged, list, below, beside] = &labels[..]
    else {
        panic!()
    };
    let name = |label: &str| format!("{label}.example");
    let under = |label: &str| format!("{label}.public.example");
    let mut lines: Vec<_> = (0..200).map(|n| format!("n{n}.{}", name(list))).collect();
    lines.push(under(beside));
    let signed = site(&lines.join("\n"), true);
    let pagar = Pagar::start(&signed.site.path("pagar.toml"), &["-vv"]);
    let mut produced = Produced::default();
    let mcmc = &signed.mcmc;
    let secret = |number: u64, names: &[String]| {
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let mut notice = mcmc.restrict(number, &names);
        notice["sensitivity"] = "secret".into();
        notice
    };

    // enforced in part: a URL cannot be carried out, a name right below ".ck" waits for people
    let (url, suffix) = (format!("https://{}/a", name(urls)), format!("{held}.ck"));
    signed.order("1.jws", &secret(1, &[name(listed), url, suffix, under(below)]));
    signed.order("2.jws", &secret(2, &[name(amended), name(ended), name(lifted)]));
    let receipt = signed.receipt("1.jws", "enforced");
    assert_eq!((&receipt["items"][1]["code"], &receipt["items"][2]["state"]), (&json!("url"), &json!("quarantined")));
    signed.receipt("2.jws", "enforced");
    let asks = |names: &[String]| {
        for name in names {
            for over in [Over::Udp, Over::Tcp] {
                ask(pagar.address(), over, &format!("w.{name}."), RecordType::A);
                ask(pagar.address(), over, &format!("{name}."), RecordType::HTTPS);
            }
        }
    };
    assert!(is_blocked(&pagar, &format!("{}.", name(listed))));
    asks(&[name(listed), name(amended), name(lifted)]);

    // what people do
    let list_held = signed.site.run(&["approve", "--list"]);
    assert!(list_held.out.contains("a name withheld"), "{list_held:?}");
    let id = list_held.out.split(':').next().unwrap().trim().to_owned();
    produced.ended("approve --list", &list_held);
    produced.ended("approve", &signed.site.run(&["approve", &id, "--reason", "seen"]));
    produced.ended("approve again", &signed.site.run(&["approve", &id, "--reason", "seen"]));
    let lift = |name: &str| {
        let lift = signed.site.run(&["lift", name, "--reason", "hospital"]);
        assert_eq!(lift.code, Some(0), "{lift:?}");
        lift
    };
    produced.ended("lift", &lift(&name(lifted)));
    // a public order for a name above ends the lift of a secret one, and outranks a secret list
    produced.ended("lift", &lift(&under(below)));
    signed.order("23.jws", &mcmc.restrict(23, &["public.example"]));
    signed.receipt("23.jws", "enforced");
    assert!(is_blocked(&pagar, &format!("{}.", under(below))));
    produced.ended("lift", &lift(&under(beside)));

    // changes, and files that are refused
    let mut amendment = secret(3, &[name(lifted), name(far)]);
    (amendment["kind"], amendment["amends"]) = ("amend".into(), "N-2".into());
    signed.order("3.jws", &amendment);
    signed.receipt("3.jws", "enforced");
    signed.order("4.jws", &mcmc.notice(4, "suspend", json!({ "suspends": ["N-1"] })));
    signed.receipt("4.jws", "carried-out");
    signed.order("5.jws", &mcmc.notice(5, "resume", json!({ "resumes": ["N-1"] })));
    signed.receipt("1.jws", "enforced");
    signed.order("6.jws", &mcmc.notice(6, "revoke", json!({ "revokes": ["N-2"], "targets": [{ "item": "2" }] })));
    signed.receipt("6.jws", "carried-out");
    let mut wrong = secret(7, &[name(category)]);
    wrong["category"] = "gambling".into();
    signed.order("7.jws", &wrong);
    assert_eq!(signed.receipt("7.jws", "refused")["code"], "category");
    for (n, (key, value)) in (8..).zip([
        ("targets", json!([{ "item": "1", "name": name(broken), "scope": "all" }])),
        ("targets", json!([{ "item": "1", "name": name(broken), name(broken): 1, "scope": "exact" }])),
        ("targets", json!([{ "item": "1", "name": { "x": name(broken) }, "scope": "exact" }])),
        ("targets", json!([{ "item": name(broken), "name": format!("{broken}..example"), "scope": "exact" }])),
        ("expires_at", name(broken).into()),
        ("action", name(broken).into()),
        ("sensitivity", name(broken).into()),
        ("kind", name(broken).into()),
        ("version", json!(2)),
        ("issued_at", "2099-01-01T00:00:00Z".into()),
    ]) {
        let mut wrong = secret(n, &[name(broken)]);
        wrong[key] = value;
        signed.order(&format!("{n}.jws"), &wrong);
        assert!(until(|| signed.receipt_now(&format!("{n}.jws")).is_some()), "{key}");
    }
    let stranger = PrivateKey::generate(Some("mcmc-1"), Alg::EdDsa, Default::default()).unwrap();
    signed.send("forged.jws", &jws::compact(secret(20, &[name(forged)]).to_string().as_bytes(), &stranger));
    signed.receipt("forged.jws", "refused");
    signed.send("cut.jws", &mcmc.sign(&secret(21, &[name(forged)]))[..200]);
    signed.receipt("cut.jws", "refused");
    signed.site.write("notices/bare.json", &secret(22, &[name(forged)]).to_string());
    wait_until("the bare notice is refused", || pagar.log().contains("bare.json"));

    // a list that grows by rubbish, and then shrinks so much that it waits
    lines.push(format!("http://{}/", name(list)));
    signed.site.write("list.txt", &lines.join("\n"));
    wait_until("the list is read again", || pagar.log().contains("list.txt"));
    signed.site.write("list.txt", &name(list));
    wait_until("the list is held", || pagar.log().contains("the list is held"));
    produced.ended("approve --list", &signed.site.run(&["approve", "--list"]));

    // what the node says
    asks(&labels.iter().map(|label| name(label)).collect::<Vec<_>>());
    for label in &labels {
        let echo = format!("w.{}", name(label));
        let explained = produced.get(&pagar, &format!("/v1/check?name={echo}"), &echo);
        let target = &explained["rule"]["target"];
        assert!(target.is_null() || target == "(secret)", "{explained}");
        let why = signed.site.run(&["why", &echo]);
        produced.add("why", (why.out + &why.err).replace(&echo, ""));
        let why = signed.site.run(&["why", &echo, "--json"]);
        produced.add("why --json", (why.out + &why.err).replace(&echo, ""));
    }
    for path in ["/", "/metrics", "/readyz", "/healthz", "/v1/policy", "/v1/check?name=example", "/v1/nothing"] {
        produced.get(&pagar, path, "");
    }
    for command in [&["check"][..], &["ledger", "export"], &["ledger", "verify"]] {
        produced.ended(&command.join(" "), &signed.site.run(command));
    }

    // core dumps are forbidden
    let limits = fs::read_to_string(format!("/proc/{}/limits", pagar.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");

    // read again, handed over, ended
    pagar.signal(Signal::HUP);
    wait_until("the configuration is read again", || pagar.log().contains("configuration reloaded"));
    assert!(is_blocked(&pagar, &format!("{}.", name(listed))));
    produced.process(pagar.id());
    pagar.signal(Signal::USR2);
    wait_until("a new process answers", || pagar.log().contains("the new process answers"));
    let log = pagar.log();
    let number = log.rsplit_once("the new process answers").unwrap().1.split_once("process=").unwrap().1;
    let heir = Heir(number.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap());
    assert!(is_blocked(&pagar, &format!("{}.", name(listed))));
    produced.process(heir.0);
    produced.get(&pagar, "/metrics", "");
    heir.signal(Signal::TERM);
    wait_until("it has ended", || heir.has_ended());

    produced.add("printed", pagar.announced.as_bytes());
    wait_until("its last words are read", || pagar.log().contains("stopping"));
    produced.add("the log", pagar.log());
    for command in [&["ledger", "export"][..], &["ledger", "verify"]] {
        produced.ended(&command.join(" "), &signed.site.run(command));
    }
    produced.files(&signed.site.path(""), &inputs(&signed));
    assert!(produced.0.iter().any(|(what, _)| what.ends_with("ledger.redb")));
    produced.holds_none_of(&labels);
}

#[test]
fn without_a_key_a_secret_notice_is_refused_and_nothing_of_it_is_stored() {
    let labels = vec![label(), label()];
    let signed = site("public.example\n", false);
    let pagar = Pagar::start(&signed.site.path("pagar.toml"), &["-vv"]);
    let mut notice = signed.mcmc.restrict(1, &[&format!("{}.example", labels[0])]);
    notice["sensitivity"] = "secret".into();
    signed.order("1.jws", &notice);
    assert_eq!(signed.receipt("1.jws", "refused")["code"], "needs-key");
    // whether it is secret is not known here
    notice["sensitivity"] = format!("{}.example", labels[1]).into();
    signed.order("2.jws", &notice);
    signed.receipt("2.jws", "refused");
    assert!(!is_blocked(&pagar, &format!("{}.", labels[1])));
    let mut produced = Produced::default();
    produced.add("the log", pagar.log());
    produced.get(&pagar, "/metrics", "");
    drop(pagar);
    let export = signed.site.run(&["ledger", "export"]);
    assert!(export.out.contains("\"kept\":false") && !export.out.contains("\"kept\":true"), "{}", export.out);
    produced.ended("ledger export", &export);
    produced.files(&signed.site.path(""), &inputs(&signed));
    produced.holds_none_of(&labels);
    // with the key it is taken
    let text = fs::read_to_string(signed.site.path("pagar.toml")).unwrap();
    signed.site.write("pagar.toml", &text.replace("[ledger]", "[ledger]\nkey_file = \"names.key\""));
    let _pagar = signed.start();
    signed.receipt("1.jws", "enforced");
}
