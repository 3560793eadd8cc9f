//! Stories: `tests/scenarios/notices/*.txt`, each a life of notices as a lawyer would tell it, carried out on a [`Node`] with
//! signatures, ledger and receipts.
//!
//! Every story is told four times: as it stands; with the node started anew after every line; with a crash after every
//! order, before the node has asked itself about it; and with both. The policy and the receipts must be the same
//! after each line, and the ledger must tell each notice's life without a break.
//!
//! # The language
//!
//! One statement a line behind its instant, which is the node's time: `YYYY-MM-DD HH:MM` or with seconds, in Malaysia (UTC+8,
//! no summer time) unless an offset (`Z`, `-03:00`) follows. Times within a statement are RFC 3339, as in notices. `#` begins
//! a comment; a statement in parentheses is one too, but time passes until then. A notice's number is the one at the end
//! of its id; its file is called as it is.
//!
//! | statement | what it does |
//! |---|---|
//! | `mcmc orders N-1: block NAME, NAME and all below it` | a notice comes; its items are numbered from 1. Clauses behind `;`: `from T`, `until T`, `enforce by T`, `issued T`, `number N`, `file F`, `secret` |
//! | `mcmc orders N-1 to N-9: block n#.example` | nine at once, `#` is the number |
//! | `mcmc amends N-1 by N-2: block …` | clauses as above |
//! | `mcmc revokes N-1, N-3 by N-4` | clauses: `items 1, 2`, `from T`, and as above. `suspends`, `resumes` likewise |
//! | `mcmc sends N-1 again as F` | the same payload in another file |
//! | `alice approves item 1 of N-1`, `alice lifts NAME`, `alice restores NAME` | a person acts |
//! | `alice cannot approve item 1 of N-1: CODE`, `alice cannot lift NAME: CODE` | tries to, in vain |
//! | `the node stops`, `the node starts` | what comes meanwhile lies in its directory |
//! | `the configuration is read again` | |
//! | `the node gets no answers`, `the node gets answers again` | from its own sockets |
//!
//! | statement | what must hold then |
//! |---|---|
//! | `NAME, NAME are blocked`, `NAME resolves` | |
//! | `receipt of N-1 says STATE`, `… says STATE, CODE` | the order as a whole |
//! | `receipt of N-1 says item 2 STATE`, `… says N-3 STATE` | an item; an earlier notice it is about |
//! | `receipt of N-1 says in time`, `… says too late`, `… says in force since T`, `… says lifted at T` | |
//! | `there is no receipt of N-1` | |
//! | `of mcmc 2 numbers are missing`, `… 1 number is missing` | |
//! | `nothing changes` | the policy is what it was after the line before |

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::node::{AUTHORITIES, Node, payload};
use crate::control::command::{OperatorReply, OperatorRequest};
use crate::ledger::Event;
use crate::ledger::event::Action;
use crate::model::DnsName;

/// When the node is started anew while a story is told.
#[derive(Clone, Copy, Debug)]
struct Starts {
    after_lines: bool,
    before_asking: bool,
}

#[test]
fn every_story_ends_as_it_is_told_however_often_the_node_is_started_anew() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/notices");
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|file| file.extension().is_some_and(|ending| ending == "txt")).collect();
    files.sort();
    assert!(files.len() >= 14, "{}", files.len());
    for file in files {
        let (text, name) = (fs::read_to_string(&file).unwrap(), file.file_name().unwrap().to_string_lossy());
        assert!(text.starts_with("# "), "{name} opens with what it shows");
        let plain = tell(&text, &name, Starts { after_lines: false, before_asking: false });
        for (after_lines, before_asking) in [(true, false), (false, true), (true, true)] {
            let starts = Starts { after_lines, before_asking };
            let again = tell(&text, &name, starts);
            for (line, told) in &plain {
                assert_eq!(told.0, again[line].0, "{name}:{line}: the policy with {starts:?}");
                for (file, receipt) in &told.1 {
                    let mut other = again[line].1.get(file).cloned().unwrap_or_default();
                    if receipt["lifted_at"].is_null() && before_asking {
                        // after a crash it asks for what may have been blocked
                        let _ = other.as_object_mut().and_then(|members| members.remove("lifted_at"));
                    }
                    assert_eq!(*receipt, other, "{name}:{line}: {file} with {starts:?}");
                }
            }
        }
    }
}

#[test]
fn what_is_no_statement_is_said() {
    for wrong in ["mcmc forbids N-1: block a.example", "a.example is blcoked", "alice sings", ""] {
        let tell =
            || tell(&format!("2026-01-01 00:00 {wrong}"), "wrong", Starts { after_lines: false, before_asking: false });
        assert!(std::panic::catch_unwind(tell).is_err(), "{wrong}");
    }
}

/// What holds after a line: the policy's digest, and all receipts.
type Told = (Option<[u8; 32]>, BTreeMap<String, Value>);

/// Tells a story; what holds after each of its lines.
fn tell(text: &str, file: &str, starts: Starts) -> BTreeMap<usize, Told> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let (mut told, mut teller) = (BTreeMap::new(), None);
    for (number, line) in lines {
        let teller: &mut Teller = teller.get_or_insert_with(|| Teller::new(time_of(line).unwrap().0, starts));
        teller.line(line).unwrap_or_else(|why| panic!("{file}:{number}: {line}\n{why}\n{starts:?}"));
        if starts.after_lines && teller.node.is_running() {
            teller.node.reopen();
        }
        told.insert(number, teller.told());
    }
    let mut teller = teller.unwrap();
    teller.node.reopen();
    teller.check_ledger().unwrap_or_else(|why| panic!("{file}: {why}\n{starts:?}"));
    told
}

/// The instant before a statement, and the statement.
fn time_of(line: &str) -> Result<(Timestamp, &str), String> {
    let words = line.trim().splitn(3, ' ').collect::<Vec<_>>();
    let [date, time, rest] = words[..] else { return Err("a line is a date, a time and a statement".to_owned()) };
    let rest = rest.trim_start();
    let (offset, rest) = match rest.split_once(' ') {
        Some((word, rest)) if word == "Z" || word.starts_with(['+', '-']) => (word, rest.trim_start()),
        _ => ("+08:00", rest),
    };
    let seconds = if time.len() == 5 { ":00" } else { "" };
    let at = format!("{date}T{time}{seconds}{offset}").parse().map_err(|error| format!("{date} {time}: {error}"))?;
    Ok((at, rest))
}

struct Teller {
    node: Node,
    starts: Starts,
    /// The policy after the line before.
    before: [u8; 32],
}

type Done = Result<(), String>;

impl Teller {
    fn new(now: Timestamp, starts: Starts) -> Self {
        let mut node = Node::new(now);
        let before = node.digest();
        Self { node, starts, before }
    }

    fn told(&mut self) -> Told {
        if !self.node.is_running() {
            return (None, BTreeMap::new());
        }
        self.before = self.node.digest();
        (Some(self.before), self.node.receipts())
    }

    fn line(&mut self, line: &str) -> Done {
        let (at, statement) = time_of(line)?;
        if at < self.node.now {
            return Err("time goes on".to_owned());
        }
        self.node.pass(at);
        if statement.starts_with('(') {
            return Ok(());
        }
        let word = statement.split(' ').next().unwrap_or_default();
        if AUTHORITIES.iter().any(|(id, _)| *id == word) {
            return self.order(word, statement[word.len()..].trim_start());
        }
        statement.split("; ").try_for_each(|part| self.statement(part))
    }

    //------ orders ---

    fn order(&mut self, authority: &str, rest: &str) -> Done {
        if let Some((id, file)) = rest.strip_prefix("sends ").and_then(|rest| rest.split_once(" again as ")) {
            self.node.copy(id, file);
            return self.comes(vec![file.to_owned()]);
        }
        let (head, clauses) = rest.split_once(": ").unwrap_or((rest, ""));
        let (verb, ids) = head.split_once(' ').ok_or("what?")?;
        let (ids, by) = ids.split_once(" by ").map_or((ids, None), |(ids, by)| (ids, Some(by)));
        let mut files = Vec::new();
        match (verb, by) {
            ("orders", None) => {
                for id in all_ids(ids)? {
                    files.push(self.sign(authority, &id, "restrict", json!({}), clauses)?);
                }
            }
            ("amends", Some(by)) => files.push(self.sign(authority, by, "amend", json!({ "amends": ids }), clauses)?),
            ("revokes", Some(by)) => {
                files.push(self.sign(authority, by, "revoke", json!({ "revokes": all_ids(ids)? }), clauses)?);
            }
            ("suspends", Some(by)) => {
                files.push(self.sign(authority, by, "suspend", json!({ "suspends": all_ids(ids)? }), clauses)?);
            }
            ("resumes", Some(by)) => {
                files.push(self.sign(authority, by, "resume", json!({ "resumes": all_ids(ids)? }), clauses)?);
            }
            _ => return Err(format!("{verb}: an authority orders, or amends, revokes, suspends, resumes by a notice")),
        }
        self.comes(files)
    }

    /// Signs a notice with these clauses; the name of its file.
    fn sign(
        &mut self,
        authority: &str,
        id: &str,
        kind: &str,
        mut more: Value,
        clauses: &str,
    ) -> Result<String, String> {
        let digits = id.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        let (mut number, mut file) = (digits.parse().unwrap_or(0), id.to_owned());
        let mut issued = self.node.now.to_string();
        if matches!(kind, "restrict" | "amend") {
            (more["category"], more["action"]) = ("scam".into(), "block-page".into());
        }
        for clause in clauses.split("; ").filter(|clause| !clause.is_empty()) {
            let (word, rest) = clause.split_once(' ').unwrap_or((clause, ""));
            match word {
                "block" => more["targets"] = targets(&rest.replace('#', digits)),
                "items" => more["targets"] = rest.split(", ").map(|item| json!({ "item": item })).collect(),
                "from" => more["effective_at"] = rest.into(),
                "until" => more["expires_at"] = rest.into(),
                "enforce" => more["deadline_at"] = rest.trim_start_matches("by ").into(),
                "issued" => issued = rest.to_owned(),
                "number" => number = rest.parse().map_err(|_| format!("{rest} is no number"))?,
                "file" => file = rest.to_owned(),
                "secret" => more["sensitivity"] = "secret".into(),
                _ => return Err(format!("{clause}: no clause begins so")),
            }
        }
        self.node.sign(authority, &file, &payload(authority, id, number, kind, &issued, more));
        Ok(file)
    }

    /// Files come, all at once.
    fn comes(&mut self, files: Vec<String>) -> Done {
        if self.node.is_running() {
            self.node.asks = !self.starts.before_asking;
            self.node.turn(files);
            if self.starts.before_asking {
                self.node.asks = true;
                self.node.reopen();
            }
        }
        Ok(())
    }

    //------ what else happens ---

    fn statement(&mut self, part: &str) -> Done {
        match part {
            "the node stops" => self.node.stop(),
            "the node starts" => self.node.start(),
            "the configuration is read again" => {
                self.node.configure();
                self.node.turn(Vec::new());
            }
            "the node gets no answers" => self.node.answers = false,
            "the node gets answers again" => {
                self.node.answers = true;
                self.node.turn(Vec::new());
            }
            "nothing changes" => {
                let now = self.node.digest();
                return same(now, self.before);
            }
            _ => {
                return self
                    .person(part)
                    .or_else(|| self.look(part))
                    .unwrap_or_else(|| Err("no statement reads so".to_owned()));
            }
        }
        Ok(())
    }

    /// A person acts.
    fn person(&mut self, part: &str) -> Option<Done> {
        let (person, deed) = part.split_once(' ')?;
        let (deed, wanted) = match deed.strip_prefix("cannot ") {
            Some(deed) => deed.split_once(": ")?,
            None => (deed, "done"),
        };
        let (verb, what) = deed.split_once(' ')?;
        let (reason, person) = ("because".to_owned(), person.to_owned());
        let reply = match verb {
            "approve" | "approves" => {
                let (item, notice) = what.strip_prefix("item ")?.split_once(" of ")?;
                let held = AUTHORITIES.iter().find_map(|(authority, _)| self.node.held(authority, notice, item));
                self.node.operate(OperatorRequest::Approve { id: held.unwrap_or(0), reason, person })
            }
            "lift" | "lifts" => {
                let name = DnsName::from_text(what).ok()?;
                self.node.operate(OperatorRequest::Lift { name, reason, person })
            }
            "restore" | "restores" => {
                let name = DnsName::from_text(what).ok()?;
                self.node.operate(OperatorRequest::Restore { name, reason, person })
            }
            _ => return None,
        };
        Some(same(OperatorReply::word(&reply), wanted))
    }

    //------ what must hold ---

    fn look(&mut self, part: &str) -> Option<Done> {
        if let Some((file, said)) = part.strip_prefix("receipt of ").and_then(|rest| rest.split_once(" says ")) {
            return Some(self.receipt(file, said));
        }
        if let Some(file) = part.strip_prefix("there is no receipt of ") {
            return Some(same(self.node.receipt(file), None));
        }
        if let Some((authority, count)) = part.strip_prefix("of ").and_then(|rest| rest.split_once(' ')) {
            let count = count.split(' ').next()?.parse().ok()?;
            return Some(same(self.node.missing(authority), count));
        }
        let endings = [(" is blocked", true), (" are blocked", true), (" resolves", false), (" resolve", false)];
        let (names, blocked) = endings.iter().find_map(|(end, blocked)| Some((part.strip_suffix(end)?, *blocked)))?;
        Some(names.split(", ").try_for_each(|name| {
            let is = self.node.blocks(name);
            if is == blocked { Ok(()) } else { Err(format!("{name} is {}blocked", if is { "" } else { "not " })) }
        }))
    }

    fn receipt(&self, file: &str, said: &str) -> Done {
        let receipt = self.node.receipt(file).ok_or_else(|| format!("there is no receipt of {file}"))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let listed = |list: &str, key: &str, wanted: &str| {
            let all = receipt[list].as_array().cloned().unwrap_or_default();
            all.into_iter().find(|it| it[key] == wanted).unwrap_or_default()
        };
        let stands = |it: &Value, wanted: &str| {
            let (state, code) = (text(&it["state"]), text(&it["code"]));
            let told = if code.is_empty() { state } else { format!("{state}, {code}") };
            same(told.as_str(), wanted).map_err(|why| format!("{why}\n{receipt:#}"))
        };
        let words: Vec<_> = said.split(' ').collect();
        match words[..] {
            ["in", "time"] => same(&receipt["in_time"], &json!(true)),
            ["too", "late"] => same(&receipt["in_time"], &json!(false)),
            ["in", "force", "since", at] => same(text(&receipt["enforced_at"]), at.to_owned()),
            ["lifted", "at", at] => same(text(&receipt["lifted_at"]), at.to_owned()),
            ["item", item, ..] => stands(
                &listed("items", "item", item),
                said.trim_start_matches("item ").split_once(' ').unwrap_or_default().1,
            ),
            [notice, _]
                if notice.contains('-') && !notice.ends_with(',') && notice.ends_with(|c: char| c.is_ascii_digit()) =>
            {
                stands(&listed("notices", "notice", notice), said.split_once(' ').unwrap_or_default().1)
            }
            _ => stands(&receipt, said),
        }
    }

    /// The life of every notice, as the ledger has it, is one: each step begins where the one before ended.
    fn check_ledger(&mut self) -> Done {
        let mut stands: BTreeMap<_, String> = BTreeMap::new();
        let mut lifts = 0;
        for event in self.node.records() {
            match event {
                Event::Transition { authority, notice, from, to, .. } => {
                    let before = stands.insert((authority, notice.clone()), to);
                    let before = before.unwrap_or_else(|| "received".to_owned());
                    same(from, before).map_err(|why| format!("{notice} in the ledger: {why}"))?;
                }
                Event::Operator { action: Action::Lift, .. } => lifts += 1,
                Event::LiftEnded { .. } => lifts -= 1,
                _ => {}
            }
        }
        if lifts < 0 { Err("more lifts ended than there were".to_owned()) } else { Ok(()) }
    }
}

fn same<T: PartialEq + std::fmt::Debug>(is: T, wanted: T) -> Done {
    if is == wanted { Ok(()) } else { Err(format!("it is {is:?}, not {wanted:?}")) }
}

/// `N-1`, `N-1, N-2` or `N-1 to N-9`.
fn all_ids(text: &str) -> Result<Vec<String>, String> {
    let Some((first, last)) = text.split_once(" to ") else {
        return Ok(text.split(", ").map(str::to_owned).collect());
    };
    let parts = |id: &str| {
        let (stem, number) = id.rsplit_once('-')?;
        Some((stem.to_owned(), number.parse::<u64>().ok()?))
    };
    let ((stem, first), (_, last)) = parts(first).zip(parts(last)).ok_or_else(|| format!("{text}: no ids"))?;
    Ok((first..=last).map(|number| format!("{stem}-{number}")).collect())
}

/// `a.example, b.example and all below it`.
fn targets(text: &str) -> Value {
    let target = |(n, name): (usize, &str)| {
        let (name, scope) = name.strip_suffix(" and all below it").map_or((name, "exact"), |name| (name, "subtree"));
        json!({ "item": (n + 1).to_string(), "name": name, "scope": scope })
    };
    text.split(", ").enumerate().map(target).collect()
}
