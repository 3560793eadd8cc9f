//! Notices of every kind, put together from the octets and then damaged: never a panic; what is refused says why; no name
//! of a notice that is secret, or may be, stands in a message; and an order that is written again is the same order.
#![no_main]

use std::sync::Arc;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use pagar::ingest::Severity;
use pagar::ingest::format::notice;
use pagar::model::{Act, NoticeId, Order, Restriction, Sensitivity};
use serde_json::{Map, Value, json};

/// Stands in every name, and nowhere else.
const MARK: &str = "qzxjwv";

fuzz_target!(|octets: &[u8]| {
    check(octets, false);
    let mut octets = octets.iter().copied();
    let text = damaged(composed(&mut octets).to_string(), &mut octets);
    check(text.as_bytes(), true);
});

fn check(octets: &[u8], marked: bool) {
    let parsed = notice::parse(octets, "n.json".as_ref());
    let Some(order) = parsed.order else {
        assert!(parsed.problems.iter().any(|problem| problem.severity == Severity::Error));
        if marked && may_be_secret(octets) {
            silent(&parsed.problems);
        }
        return;
    };
    if marked && order.sensitivity == Sensitivity::Secret {
        silent(&parsed.problems);
    }
    assert_eq!(parsed.document.is_some(), matches!(order.act, Act::Restrict(_)));
    if let Some(written) = written(&order) {
        let text = written.to_string();
        let again = notice::parse(text.as_bytes(), "n.json".as_ref());
        let again = again.order.unwrap_or_else(|| panic!("{text}: {:?}", again.problems));
        assert_eq!(undigested(again), undigested(order), "{text}");
    }
}

/// Whether a refused notice counts as secret: it says so, says it with an unknown word, or is no JSON. One that says
/// nothing of it, `null` included, is public.
fn may_be_secret(octets: &[u8]) -> bool {
    let Ok(notice) = serde_json::from_slice::<Value>(octets) else { return true };
    notice.get("sensitivity").is_some_and(|word| !word.is_null() && word != "public" && word != "restricted")
}

fn silent(problems: &[pagar::ingest::Problem]) {
    for problem in problems {
        if problem.code == "unknown-key" {
            assert!(!problem.message.contains('.'), "{problem}"); // a key is shown if it cannot be a name
            continue;
        }
        let said = format!("{problem}").to_ascii_lowercase();
        assert!(!said.contains(MARK), "{said}");
    }
}

//------ putting together ---

type Octets<'a> = std::iter::Copied<std::slice::Iter<'a, u8>>;

fn pick<T: Copy, const N: usize>(from: [T; N], octets: &mut Octets<'_>) -> T {
    from[usize::from(octets.next().unwrap_or(0)) % N]
}

/// A notice: its kind's keys, and now and then one too few, or one of another kind.
fn composed(octets: &mut Octets<'_>) -> Value {
    const KINDS: [&str; 6] = ["restrict", "amend", "revoke", "suspend", "resume", "annul"];
    let kind = pick(KINDS, octets);
    let mut notice = Map::new();
    let all = [
        "version",
        "kind",
        "id",
        "sequence",
        "authority",
        "legal_basis",
        "issued_at",
        "effective_at",
        "expires_at",
        "deadline_at",
        "review_by",
        "sensitivity",
        "category",
        "action",
        "contact",
        "appeal",
        "text",
        "amends",
        "revokes",
        "suspends",
        "resumes",
        "targets",
        "note",
    ];
    for key in all {
        let chance = octets.next().unwrap_or(0);
        let belongs = match key {
            "amends" => kind == "amend",
            "revokes" => kind == "revoke",
            "suspends" => kind == "suspend",
            "resumes" => kind == "resume",
            "category" | "action" | "sensitivity" => matches!(kind, "restrict" | "amend"),
            "targets" => matches!(kind, "restrict" | "amend") || (kind == "revoke" && chance < 128),
            "note" => false,
            "version" | "kind" | "id" | "sequence" | "authority" | "legal_basis" | "issued_at" => true,
            _ => matches!(kind, "restrict" | "amend") && chance < 160,
        };
        if belongs != (chance == 255) {
            notice.insert(key.to_owned(), value(key, kind, octets));
        }
    }
    notice.into()
}

fn value(key: &str, kind: &str, octets: &mut Octets<'_>) -> Value {
    let odd = [json!(null), json!(true), json!(-1), json!(1.5), json!(""), json!([]), json!({}), json!([[1]])];
    if octets.next() == Some(7) {
        return odd[usize::from(octets.next().unwrap_or(0)) % odd.len()].clone();
    }
    match key {
        "version" => json!(1),
        "kind" => kind.into(),
        "sequence" => pick([0, 1, 7, u64::MAX], octets).into(),
        "id" | "amends" => pick(["N-1", "N-2", "a b", " N", "\u{fc}"], octets).into(),
        "authority" | "category" => pick(["mcmc", "scam", "a.b-c_d", "a b", ""], octets).into(),
        "legal_basis" => json!({ "power": pick(["CMA s.263", " ", "\u{1f4dc}"], octets), "offence": "s.233" }),
        "sensitivity" => pick(["secret", "secret", "Secret", "public", "restricted"], octets).into(),
        "action" => pick(["block-page", "nodata", "nxdomain", "refused", "block"], octets).into(),
        "contact" => json!(["mailto:a@mcmc.example"]),
        "appeal" => json!({ "body": "court", "uri": "https://court.example/" }),
        "text" => json!({ "en": "why", "ms": "sebab" }),
        "revokes" | "suspends" | "resumes" => {
            let many = octets.next().unwrap_or(1) % 4;
            (0..many).map(|_| pick(["N-1", "N-2", "N-3", ""], octets)).collect()
        }
        "targets" => (0..octets.next().unwrap_or(1) % 5).map(|_| target(octets)).collect(),
        "note" => 1.into(),
        _ => pick(
            [
                "2026-11-01T09:00:00+08:00",
                "2026-11-01T01:00:00Z",
                "2026-10-25T02:30:00-03:00",
                "2027-01-01t00:00:00.5z",
                "9999-12-31T23:59:59Z",
                "0000-01-01T00:00:00+23:59",
                "2026-11-01",
                "2026-02-30T00:00:00Z",
            ],
            octets,
        )
        .into(),
    }
}

fn target(octets: &mut Octets<'_>) -> Value {
    let label = String::from_utf8_lossy(&octets.by_ref().take(4).collect::<Vec<_>>()).into_owned();
    let name = match octets.next().unwrap_or(0) % 12 {
        0 => format!("https://{MARK}.example/"),
        1 => format!("{MARK}..example"),
        2 => MARK.to_owned(),
        3 => format!("*.{MARK}.example"),
        4 => format!("{label}.{MARK}.example"),
        5 => format!("{MARK}.example.{}", "long-label-that-is-repeated.".repeat(9)),
        6 => format!("B\u{fc}cher.{MARK}.example"),
        _ => format!("{MARK}.example"),
    };
    let mut target = json!({
        "item": pick(["1", "2", "3", "", "a b"], octets), "name": name, "scope": pick(["exact", "subtree", "all"], octets),
    });
    if octets.next() == Some(9) {
        target[format!("{MARK}.example")] = 1.into(); // a name in the place of a key
    }
    target
}

/// Some octets are others, or gone.
fn damaged(text: String, octets: &mut Octets<'_>) -> String {
    let mut text = text.into_bytes();
    for _ in 0..octets.next().unwrap_or(0) % 4 {
        let at = u16::from_le_bytes([octets.next().unwrap_or(0), octets.next().unwrap_or(0)]);
        let (at, with) = (usize::from(at) % text.len().max(1), octets.next().unwrap_or(0));
        match with % 3 {
            0 if at < text.len() => drop(text.remove(at)),
            1 if at < text.len() => text[at] = with & 0x7f,
            _ => text.truncate(at),
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

//------ writing again ---

/// The order as a notice; `None` if it does not know all that was written.
fn written(order: &Order) -> Option<Value> {
    let time = |at: Timestamp| (0..253_402_300_800).contains(&at.as_second()).then(|| json!(at.to_string()));
    let mut notice = json!({
        "version": 1, "kind": order.act.kind(), "id": order.id.to_string(), "sequence": order.sequence,
        "authority": order.authority.to_string(), "legal_basis": { "power": "Act" }, "issued_at": time(order.issued_at)?,
        "effective_at": time(order.effective_at)?,
    });
    let ids = |ids: &[NoticeId]| ids.iter().map(ToString::to_string).collect::<Value>();
    match &order.act {
        Act::Restrict(restriction) => restricts(&mut notice, restriction, time)?,
        Act::Amend { amends, restriction } => {
            notice["amends"] = amends.to_string().into();
            restricts(&mut notice, restriction, time)?;
        }
        Act::Revoke { notices, items } => {
            notice["revokes"] = ids(notices);
            if !items.is_empty() {
                notice["targets"] = items.iter().map(|item| json!({ "item": &**item })).collect();
            }
        }
        Act::Suspend(notices) => notice["suspends"] = ids(notices),
        Act::Resume(notices) => notice["resumes"] = ids(notices),
    }
    Some(notice)
}

fn restricts(into: &mut Value, restriction: &Restriction, time: impl Fn(Timestamp) -> Option<Value>) -> Option<()> {
    let Restriction { notice, items } = restriction;
    into["legal_basis"] = json!({ "power": notice.legal_basis.power });
    if let Some(offence) = &notice.legal_basis.offence {
        into["legal_basis"]["offence"] = offence.as_str().into();
    }
    for (key, at) in [
        ("expires_at", notice.validity.expires_at),
        ("deadline_at", notice.deadline_at),
        ("review_by", notice.review_by),
    ] {
        if let Some(at) = at {
            into[key] = time(at)?;
        }
    }
    into["category"] = notice.category.to_string().into();
    into["sensitivity"] = notice.sensitivity.as_str().into();
    into["action"] = notice.action.as_str().into();
    into["contact"] = notice.contact.iter().map(String::as_str).collect();
    into["text"] = json!(notice.text);
    if let Some(appeal) = &notice.appeal {
        into["appeal"] = json!({ "body": appeal.body });
        if let Some(uri) = &appeal.uri {
            into["appeal"]["uri"] = uri.as_str().into();
        }
    }
    let mut targets = Vec::new();
    for item in items {
        let (name, scope) = item.target.as_ref().ok()?;
        targets.push(json!({ "item": &*item.id, "name": name.to_string(), "scope": scope.as_str() }));
    }
    into["targets"] = targets.into();
    Some(())
}

/// The digest is that of the octets.
fn undigested(mut order: Order) -> Order {
    order.digest = [0; 32];
    if let Act::Restrict(restriction) | Act::Amend { restriction, .. } = &mut order.act {
        Arc::make_mut(&mut restriction.notice).digest = [0; 32];
    }
    order
}
