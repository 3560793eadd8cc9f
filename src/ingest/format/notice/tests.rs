//! Every way a notice can be wrong, and what is said about it.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::name::wire_to_text;

fn sample() -> Value {
    json!({
        "version": 1, "id": "MCMC-2026-000123", "sequence": 123, "authority": "mcmc", "kind": "restrict",
        "legal_basis": { "power": "CMA 1998, s.263(2)", "offence": "s.233" },
        "category": "scam", "sensitivity": "public",
        "issued_at": "2026-11-01T09:00:00+08:00", "effective_at": "2026-11-02T09:00:00+08:00",
        "deadline_at": "2026-11-01T15:00:00+08:00", "expires_at": null, "review_by": "2027-05-01T00:00:00+08:00",
        "action": "block-page",
        "targets": [ { "item": "1", "name": "Bad.Example", "scope": "subtree" },
                     { "item": "2", "name": "www.other.example", "scope": "exact" } ],
        "contact": ["mailto:notices@authority.example"],
        "appeal": { "body": "High Court", "uri": "https://court.example" },
        "text": { "ms": "Disekat", "en": "Blocked" }
    })
}

/// The sample with one key replaced; `null` is as good as absent, but for `sensitivity`.
fn with(key: &str, value: Value) -> String {
    let mut notice = sample();
    notice[key] = value;
    notice.to_string()
}

fn with_names(names: &[&str], sensitivity: &str) -> String {
    let target = |(at, name): (usize, &&str)| json!({ "item": at.to_string(), "name": name, "scope": "subtree" });
    let mut notice = sample();
    notice["targets"] = names.iter().enumerate().map(target).collect();
    notice["sensitivity"] = sensitivity.into();
    notice.to_string()
}

fn read(text: &str) -> Parsed {
    parse(text.as_bytes(), Path::new("notices/a.json"))
}

fn codes(parsed: &Parsed) -> Vec<&'static str> {
    parsed.problems.iter().map(|problem| problem.code).collect()
}

fn names(parsed: &Parsed) -> Vec<String> {
    parsed
        .document
        .as_ref()
        .unwrap()
        .targets
        .iter()
        .map(|(wire, scope)| format!("{} {scope}", wire_to_text(&wire)))
        .collect()
}

#[test]
fn a_whole_notice_is_read() {
    let text = sample().to_string();
    let parsed = read(&text);
    assert_eq!(parsed.problems, []);
    assert_eq!(names(&parsed), ["bad.example. subtree", "www.other.example. exact"]);
    let notice = parsed.document.unwrap().notice;
    assert_eq!((notice.id.as_str(), notice.sequence, notice.authority.as_str()), ("MCMC-2026-000123", 123, "mcmc"));
    assert_eq!(notice.legal_basis.offence.as_deref(), Some("s.233"));
    assert_eq!(notice.validity.effective_at, "2026-11-02T01:00:00Z".parse().unwrap());
    assert_eq!(notice.validity.expires_at, None);
    assert_eq!(notice.deadline_at, Some("2026-11-01T07:00:00Z".parse().unwrap()));
    assert_eq!(notice.text["ms"], "Disekat");
    assert_eq!(notice.appeal.unwrap().body, "High Court");
    assert_eq!(notice.digest, <[u8; 32]>::from(Sha256::digest(text.as_bytes())));
}

#[test]
fn what_is_optional_has_its_default() {
    let mut notice = sample();
    for key in ["sensitivity", "effective_at", "deadline_at", "expires_at", "review_by", "contact", "appeal", "text"] {
        notice.as_object_mut().unwrap().remove(key);
    }
    notice["legal_basis"] = json!({ "power": "s.263" });
    let parsed = read(&notice.to_string());
    assert_eq!(parsed.problems, []);
    let notice = parsed.document.unwrap().notice;
    assert_eq!(notice.validity.effective_at, notice.issued_at);
    assert_eq!((notice.sensitivity, notice.appeal, notice.contact.len()), (Sensitivity::Public, None, 0));
}

#[test]
fn null_is_as_good_as_absent_but_not_where_secret_may_have_stood() {
    for key in ["effective_at", "deadline_at", "expires_at", "review_by", "contact", "appeal", "text"] {
        let parsed = read(&with(key, Value::Null));
        assert!(parsed.order.is_some() && parsed.problems.is_empty(), "{key}: {:?}", parsed.problems);
    }
    for kind in ["restrict", "amend"] {
        let mut notice = sample();
        (notice["kind"], notice["sensitivity"]) = (kind.into(), Value::Null);
        if kind == "amend" {
            notice["amends"] = "MCMC-2026-000100".into();
        }
        let parsed = read(&notice.to_string());
        assert!(parsed.order.is_none() && parsed.document.is_none(), "{kind}");
        assert_eq!(codes(&parsed), ["sensitivity"], "{kind}");
        let hint = parsed.problems[0].hint.as_deref().unwrap();
        assert!(hint.contains("public, restricted or secret, or leave it out"), "{hint}");
        assert!(!parsed.problems[0].to_string().contains("Bad.Example"));
    }
    let mut notice = sample();
    (notice["sensitivity"], notice["targets"][0]["name"]) = (Value::Null, "http://zqxj.example/".into());
    let parsed = read(&notice.to_string());
    assert!(parsed.problems.iter().all(|problem| !problem.to_string().contains("zqxj")), "{:?}", parsed.problems);
    // in what lists no names, there is no word to lose
    assert_eq!(codes(&later("revoke", json!({ "revokes": ["A-1"], "sensitivity": null }))), [""; 0]);
}

#[test]
fn every_required_key_is_asked_for_at_once() {
    for key in ["kind", "id", "sequence", "authority", "legal_basis", "category", "issued_at", "action", "targets"] {
        let parsed = read(&with(key, Value::Null));
        assert!(parsed.document.is_none(), "{key}");
        assert_eq!(codes(&parsed), ["missing-key"], "{key}");
        assert!(parsed.problems[0].message.contains(key), "{}", parsed.problems[0]);
    }
    let parsed = read(r#"{ "version": 1, "kind": "restrict" }"#);
    assert_eq!(parsed.problems.len(), 8);
    assert!(parsed.problems.iter().all(|problem| problem.line == Some(1)));
}

#[test]
fn a_wrong_value_is_refused_under_its_code_with_its_place() {
    let long_id = "x".repeat(129);
    for (key, value, code) in [
        ("version", json!(2), "version"),
        ("version", Value::Null, "version"),
        ("version", json!("1"), "type"),
        ("kind", json!("amend"), "missing-key"),
        ("kind", json!("revoke"), "unknown-key"),
        ("revokes", json!(["N-1"]), "unknown-key"),
        ("kind", json!("restrain"), "kind"),
        ("id", json!(""), "id"),
        ("id", json!(long_id), "id"),
        ("id", json!("ü"), "id"),
        ("id", json!(5), "type"),
        ("sequence", json!(-1), "type"),
        ("sequence", json!("1"), "type"),
        ("authority", json!("m c"), "authority"),
        ("category", json!(""), "category"),
        ("sensitivity", json!("hidden"), "sensitivity"),
        ("issued_at", json!("2026-11-01T09:00:00"), "time"),
        ("issued_at", json!("2026-11-01"), "time"),
        ("issued_at", json!("2026-11-01 09:00:00+08:00"), "time"),
        ("issued_at", json!("2026-11-01T09:00:00+08:00[Asia/Kuala_Lumpur]"), "time"),
        ("issued_at", json!("2026-11-01T09:00:00+08"), "time"),
        ("issued_at", json!("2026-02-30T09:00:00Z"), "time"),
        ("issued_at", json!("ü026-11-01T09:00:00Z"), "time"),
        ("issued_at", json!(1_700_000_000), "type"),
        ("expires_at", json!("2026-11-02T09:00:00+08:00"), "dates"),
        ("expires_at", json!("soon"), "time"),
        ("action", json!("nxdoman"), "action"),
        ("action", json!("nxdomain"), "nxdomain-exact"),
        ("targets", json!([]), "no-targets"),
        ("targets", json!({}), "type"),
        ("targets", json!(["bad.example"]), "type"),
        ("targets", json!([["1", "bad.example", "exact"]]), "type"),
        ("targets", json!([{ "item": "1", "name": "bad.example" }]), "missing-key"),
        ("targets", json!([{ "item": "1", "name": "bad.example", "scope": "all" }]), "scope"),
        ("targets", json!([{ "item": "1", "name": "bad.example", "scope": "exact", "x": 1 }]), "unknown-key"),
        ("legal_basis", json!({}), "missing-key"),
        ("legal_basis", json!({ "power": " " }), "power"),
        ("legal_basis", json!(["s.263"]), "type"),
        ("appeal", json!({ "uri": "https://court.example" }), "missing-key"),
        ("contact", json!("mailto:x@authority.example"), "type"),
        ("text", json!({ "en": 5 }), "type"),
        ("efective_at", json!("x"), "unknown-key"),
    ] {
        let parsed = read(&with(key, value.clone()));
        assert!(parsed.document.is_none(), "{key} = {value}");
        assert_eq!(codes(&parsed).first(), Some(&code), "{key} = {value}: {:?}", parsed.problems);
        let problem = &parsed.problems[0];
        assert!(problem.line.is_some() && problem.column.is_some(), "{problem}");
        assert_eq!(problem.severity, Severity::Error);
    }
}

#[test]
fn words_are_suggested() {
    for (key, value, meant) in [
        ("kind", "restricts", "restrict"),
        ("action", "nx-domain", "nxdomain"),
        ("sensitivity", "secrets", "secret"),
        ("efective_at", "x", "effective_at"),
    ] {
        let parsed = read(&with(key, value.into()));
        assert!(parsed.problems[0].hint.as_ref().unwrap().contains(meant), "{}", parsed.problems[0]);
    }
}

#[test]
fn places_are_exact() {
    let text = "{\r\n  \"version\": 1, \"kind\": \"restrict\",\r\n  \"issued_at\": \"2026-11-01T09:00:00\",\r\n  \"extra\": 1\r\n}";
    let problem = &read(text).problems[0];
    assert_eq!((problem.code, problem.line), ("unknown-key", Some(4)));
    let problems = read(&text.replace(",\r\n  \"extra\": 1", "")).problems;
    let time = problems.iter().find(|problem| problem.code == "time").unwrap();
    assert_eq!((time.line, time.column), (Some(3), Some(17)));
    let syntax = &read("{\n \"ü\": x}").problems[0];
    assert_eq!((syntax.code, syntax.line, syntax.column), ("syntax", Some(2), Some(7)));
}

#[test]
fn targets_that_cannot_be_carried_out_are_refused_and_the_rest_proceeds() {
    let long = format!("{}.example", "a".repeat(64));
    let too_long = ["a".repeat(62).as_str(); 5].join(".");
    for (name, code) in [
        ("https://bad.example/x", "url"),
        ("bad.example/x", "url"),
        ("bad.example:443", "url"),
        ("192.0.2.1", "address"),
        ("2001:db8::1", "address"),
        ("[2001:db8::1]", "address"),
        ("192.0.2.0/24", "address"),
        ("*.bad.example", "wildcard"),
        ("", "name"),
        (long.as_str(), "name"),
        (too_long.as_str(), "name"),
        ("bad\\999.example", "name"),
        ("bad.example\u{0}", "name"),
        (".", "root"),
        ("my", "tld"),
    ] {
        let parsed = read(&with_names(&["ok.example", name], "public"));
        assert_eq!(names(&parsed), ["ok.example. subtree"], "{name}");
        assert_eq!(codes(&parsed), [code], "{name}");
        let problem = &parsed.problems[0];
        assert!(problem.message.starts_with("item 1: ") && problem.line == Some(1), "{problem}");
        assert_eq!(problem.severity, Severity::Error);
        let alone = read(&with_names(&[name], "public"));
        assert!(alone.document.is_none(), "{name}");
        assert_eq!(codes(&alone), [code, "no-targets"], "{name}");
    }
}

#[test]
fn items_and_names_come_once() {
    let target = |item: &str, name: &str| json!({ "item": item, "name": name, "scope": "subtree" });
    let parsed =
        read(&with("targets", json!([target("1", "a.example"), target("1", "b.example"), target("", "c.example")])));
    assert_eq!(
        (names(&parsed), codes(&parsed)),
        (vec!["a.example. subtree".to_owned()], vec!["duplicate-item", "item"])
    );
    let parsed = read(&with("targets", json!([target("1", "a.example"), target("2", "A.EXAMPLE.")])));
    assert_eq!((names(&parsed).len(), codes(&parsed)), (1, vec!["duplicate"]));
    assert_eq!(parsed.problems[0].severity, Severity::Warning);
}

#[test]
fn a_secret_notice_is_not_quoted_whatever_is_wrong() {
    let bad = "bad.example";
    let refused =
        ["https://bad.example/x", "bad.example:1", "*.bad.example", "bad..bad.example", "b@bad.example", bad, bad];
    let mut texts = vec![with_names(&refused, "secret")];
    for (key, value) in [
        ("sensitivity", json!(bad)),
        ("id", json!({ bad: bad })),
        ("sequence", json!(bad)),
        ("authority", json!("bad.example/")),
        ("issued_at", json!(bad)),
        ("action", json!(bad)),
        ("targets", json!(bad)),
        ("targets", json!([bad])),
        ("targets", json!([{ "item": 1, "name": bad, "scope": "exact" }])),
        ("targets", json!([{ "item": bad, "name": "my", "scope": "exact" }])),
        ("targets", json!([{ "item": "1", "name": [bad], "scope": "exact" }])),
        ("targets", json!([{ "item": "1", "name": "x.example", "scope": bad }])),
        ("targets", json!([{ "item": "1", bad: "exact" }])),
        (bad, json!(1)),
    ] {
        let mut notice = sample();
        notice["sensitivity"] = "secret".into();
        notice[key] = value;
        texts.push(notice.to_string());
    }
    for text in texts {
        let parsed = read(&text);
        assert!(!parsed.problems.is_empty(), "{text}");
        for problem in parsed.problems {
            assert!(!problem.to_string().contains("bad"), "{problem}");
        }
    }
}

#[test]
fn a_broken_file_is_refused_with_its_place() {
    let deep =
        format!("{{\"version\": 1, \"kind\": \"restrict\", \"text\": {}{}}}", "[".repeat(200_000), "]".repeat(200_000));
    let deep_only = "[".repeat(200_000);
    let twice = sample().to_string().replacen('{', "{\"id\": \"x\",", 1);
    let trailing = format!("{} x", sample());
    for (text, code) in [
        ("", "syntax"),
        ("\u{feff}\r\n", "syntax"),
        ("{", "syntax"),
        ("{\"version\": 1,}", "syntax"),
        ("null", "type"),
        ("[1]", "type"),
        ("{}", "version"),
        (deep.as_str(), "type"),
        (deep_only.as_str(), "type"),
        (twice.as_str(), "duplicate-key"),
        (trailing.as_str(), "syntax"),
    ] {
        let parsed = read(text);
        assert!(parsed.document.is_none());
        assert_eq!(codes(&parsed), [code], "{}", &text[..text.len().min(80)]);
    }
    let parsed = parse(b"{\n\"id\": \"\xff\"}", Path::new("x"));
    let problem = &parsed.problems[0];
    assert_eq!((problem.code, problem.line, problem.column), ("encoding", Some(2), Some(8)));
    assert_eq!(codes(&parse(&vec![b' '; MAX_SIZE + 1], Path::new("x"))), ["size"]);
}

#[test]
fn byte_order_mark_and_crlf_are_tolerated_and_count_in_the_digest() {
    let text = format!("\u{feff}{}\r\n", serde_json::to_string_pretty(&sample()).unwrap().replace('\n', "\r\n"));
    let parsed = read(&text);
    assert_eq!(parsed.problems, []);
    assert_eq!(parsed.document.unwrap().notice.digest, <[u8; 32]>::from(Sha256::digest(text.as_bytes())));
}

proptest! {
    #[test]
    fn never_panics(bytes: Vec<u8>) {
        parse(&bytes, Path::new("x"));
    }

    #[test]
    fn never_panics_on_a_notice_with_a_few_octets_changed(changes in prop::collection::vec((0usize..900, any::<u8>()), 1..4)) {
        let mut bytes = sample().to_string().into_bytes();
        for (at, octet) in changes {
            let at = at % bytes.len();
            bytes[at] = octet;
        }
        parse(&bytes, Path::new("x"));
    }
}

//------ about earlier notices ---------------------------------------------------------------------------------------------

/// A notice of another kind, with these keys on top of what all need.
fn later(kind: &str, keys: Value) -> Parsed {
    let mut notice = json!({
        "version": 1, "id": "MCMC-2026-000124", "sequence": 124, "authority": "mcmc", "kind": kind,
        "legal_basis": { "power": "CMA 1998, s.263(2)" }, "issued_at": "2026-11-03T09:00:00+08:00",
    });
    notice.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    read(&notice.to_string())
}

fn act(parsed: Parsed) -> Act {
    assert!(parsed.document.is_none() && parsed.problems.is_empty(), "{:?}", parsed.problems);
    parsed.order.unwrap().act
}

fn ids(words: &[&str]) -> Vec<NoticeId> {
    words.iter().map(|word| NoticeId::new(word)).collect()
}

#[test]
fn each_kind_says_what_becomes_of_which_notices() {
    let all = Act::Revoke { notices: ids(&["A-1", "A-2"]), items: Vec::new() };
    assert_eq!(act(later("revoke", json!({ "revokes": ["A-2", "A-1", "A-2"] }))), all);
    let part = Act::Revoke { notices: ids(&["A-1"]), items: vec!["2".into(), "7".into()] };
    let targets = json!([{ "item": "7" }, { "item": "2", "name": "x.example", "scope": "exact" }]);
    assert_eq!(act(later("revoke", json!({ "revokes": ["A-1"], "targets": targets }))), part);
    assert_eq!(act(later("suspend", json!({ "suspends": ["A-1"] }))), Act::Suspend(ids(&["A-1"])));
    assert_eq!(act(later("resume", json!({ "resumes": ["A-1"] }))), Act::Resume(ids(&["A-1"])));
    let order = later("resume", json!({ "resumes": ["A-1"], "effective_at": "2026-12-01T00:00:00Z" })).order.unwrap();
    assert_eq!(order.effective_at, "2026-12-01T00:00:00Z".parse().unwrap());
    assert_eq!(order.issued_at, "2026-11-03T01:00:00Z".parse().unwrap());
}

#[test]
fn an_amendment_says_everything_anew_under_the_old_id() {
    let mut notice = sample();
    (notice["kind"], notice["amends"]) = ("amend".into(), "MCMC-2026-000100".into());
    let order = read(&notice.to_string()).order.unwrap();
    assert_eq!(order.id.as_str(), "MCMC-2026-000123");
    let Act::Amend { amends, restriction } = order.act else { panic!("{:?}", order.act) };
    assert_eq!((amends.as_str(), restriction.notice.id.as_str()), ("MCMC-2026-000100", "MCMC-2026-000100"));
    assert_eq!(restriction.items.len(), 2);
}

#[test]
fn what_an_order_about_others_must_not_say_is_refused() {
    let many: Vec<_> = (0..10_001).map(|n| format!("A-{n}")).collect();
    for (kind, keys, code) in [
        ("revoke", json!({}), "missing-key"),
        ("revoke", json!({ "revokes": [] }), "id"),
        ("revoke", json!({ "revokes": many }), "id"),
        ("revoke", json!({ "revokes": [""] }), "revokes"),
        ("revoke", json!({ "revokes": "A-1" }), "type"),
        ("revoke", json!({ "revokes": ["A-1"], "targets": [] }), "no-targets"),
        ("revoke", json!({ "revokes": ["A-1"], "targets": [{ "name": "x.example" }] }), "missing-key"),
        ("revoke", json!({ "revokes": ["A-1", "A-2"], "targets": [{ "item": "1" }] }), "item"),
        ("revoke", json!({ "revokes": ["A-1"], "category": "scam" }), "unknown-key"),
        ("suspend", json!({ "suspends": ["A-1"], "targets": [{ "item": "1" }] }), "unknown-key"),
        ("suspend", json!({ "resumes": ["A-1"] }), "unknown-key"),
        ("resume", json!({ "resumes": ["A-1"], "expires_at": "2027-01-01T00:00:00Z" }), "unknown-key"),
    ] {
        let parsed = later(kind, keys.clone());
        assert!(parsed.order.is_none(), "{kind} {keys}");
        assert_eq!(codes(&parsed).first(), Some(&code), "{kind} {keys}: {:?}", parsed.problems);
    }
}

#[test]
fn what_means_nothing_in_an_order_about_others_is_warned_of_and_taken() {
    for (kind, about) in [("revoke", "revokes"), ("suspend", "suspends"), ("resume", "resumes")] {
        let mut keys = json!({ "contact": ["mailto:a@b.example"], "appeal": { "body": "Court" }, "text": { "en": "x" } });
        keys[about] = json!(["A-1"]);
        let parsed = later(kind, keys);
        assert!(parsed.order.is_some(), "{kind}: {:?}", parsed.problems);
        let warned: Vec<_> = parsed.problems.iter().map(|problem| (problem.severity, problem.code)).collect();
        assert_eq!(warned, [(Severity::Warning, "unknown-key"); 3], "{kind}");
        assert!(parsed.problems[0].message.contains("\"contact\" means nothing"), "{}", parsed.problems[0]);
    }
    assert_eq!(read(&sample().to_string()).problems, []);
}

#[test]
fn every_item_is_there_with_its_name_or_the_reason_why_not() {
    let names = ["bad.example", "http://x.example/y", "192.0.2.1", "bad.example"];
    let order = read(&with_names(&names, "public")).order.unwrap();
    let items = &order.act.restriction().unwrap().items;
    let said: Vec<_> = items.iter().map(|item| (&*item.id, item.target.as_ref().err().copied())).collect();
    assert_eq!(said, [("0", None), ("1", Some("url")), ("2", Some("address")), ("3", None)]);
}
