//! What the standards want a forwarder to say to a client: every line of `tests/compliance.txt` is put to Pagar, and
//! to unbound and named beside it, by clients that are not ours (dig and dnspython).
//!
//! Pagar's replies must be as the line expects, and as the committed sheet `tests/compliance.md` shows them;
//! `PAGAR_BLESS=1` writes the sheet anew. Every run leaves its own in
//! `target/tmp/compliance.md`. The columns of the others are
//! for comparison: they differ with the versions, and a cell that is not as expected is marked, not judged.

use std::fmt;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::{Reaped, Site, notice, peer, run, skip};
use crate::peers::{ZONES, named, nsd, unbound};

const TABLE: &str = include_str!("../compliance.txt");
const CLIENT: &str = include_str!("compliance/probe.py");
/// The group of what is not yet as it should be: it must stay wrong there, and move when it is right.
const KNOWN: &str = "Known faults";
/// What dig is always told: one question, no cookie, no second thoughts.
const DIG: [&str; 7] = ["+time=6", "+tries=1", "+noad", "+nocookie", "+ignore", "+noednsnegotiation", "+nobadcookie"];
/// What dig and dnspython say about a reply that is not one to the query.
const COMPLAINTS: [&str; 5] = ["mismatch", "malformed", "another", "dnspython", "extra bytes"];

//------ The table ------

struct Probe {
    group: &'static str,
    standard: &'static str,
    what: &'static str,
    how: Vec<&'static str>,
    expected: &'static str,
}

impl Probe {
    /// Nobody but us has the list.
    fn is_ours(&self) -> bool {
        self.how.iter().any(|word| word.to_ascii_lowercase().contains("listed.example"))
    }
}

fn table() -> Vec<Probe> {
    let mut group = "";
    let mut probes = Vec::new();
    for line in TABLE.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            group = title;
        } else if !line.starts_with('#') && !line.is_empty() {
            let fields: Vec<_> = line.split(" | ").map(str::trim).collect();
            let [standard, what, how, expected] = fields[..] else { panic!("four fields: {line}") };
            probes.push(Probe { group, standard, what, how: how.split(' ').collect(), expected });
        }
    }
    probes
}

//------ What came back ------

#[derive(Debug)]
enum Outcome {
    Silence,
    Closed,
    Reply(Box<Reply>),
}

#[derive(Debug, Default)]
struct Reply {
    opcode: String,
    rcode: String,
    flags: Vec<String>,
    /// A bit of header or OPT that must be zero is not.
    reserved: bool,
    question: Option<String>,
    /// Records in answer, authority and additional section.
    counts: [usize; 3],
    /// Version, DO and options.
    edns: Option<(String, bool, Vec<String>)>,
    size: usize,
    complaints: Vec<String>,
}

/// Reads what dig, or `probe.py` in its manner, printed.
fn read(printed: &str) -> Outcome {
    let Some(header) = printed.lines().find(|line| line.starts_with(";; ->>HEADER<<-")) else {
        let closed = printed.contains(";; closed") || printed.contains("end of file");
        return if closed { Outcome::Closed } else { Outcome::Silence };
    };
    let mut reply = Reply { opcode: between(header, "opcode: ", ","), ..Reply::default() };
    reply.rcode = between(header, "status: ", ",");
    let mut lines = printed.lines();
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix(";; flags: ") {
            let (flags, counts) = rest.split_once(';').unwrap();
            reply.flags = flags.split_whitespace().map(str::to_owned).collect();
            let numbers = counts.split(',').map(|count| count.rsplit(' ').next().unwrap().parse().unwrap());
            let numbers: Vec<usize> = numbers.collect();
            reply.counts.copy_from_slice(&numbers[1..]);
        } else if let Some(rest) = line.strip_prefix("; EDNS: version: ") {
            let flags = between(rest, "flags:", ";");
            reply.edns = Some((between(rest, "", ","), flags.contains("do"), options(&mut lines)));
            reply.reserved |= rest.contains("MBZ");
        } else if line == ";; QUESTION SECTION:" {
            reply.question = lines.next().map(str::to_owned);
        } else if let Some(rest) = line.strip_prefix(";; MSG SIZE  rcvd: ") {
            reply.size = rest.parse().unwrap();
        }
        reply.reserved |= line.starts_with(";; flags") && line.contains("MBZ");
        if COMPLAINTS.iter().any(|complaint| line.contains(complaint)) {
            reply.complaints.push(line.to_owned());
        }
    }
    Outcome::Reply(Box::new(reply))
}

/// The names of the options in the lines that follow an OPT record.
fn options(lines: &mut std::str::Lines) -> Vec<String> {
    let mut names = Vec::new();
    while let Some(option) = lines.clone().next().and_then(|line| line.strip_prefix("; ")) {
        names.push(option.split(':').next().unwrap().trim().replace(' ', "-"));
        lines.next();
    }
    names
}

fn between(text: &str, before: &str, after: &str) -> String {
    let rest = text.split_once(before).map_or("", |(_, rest)| rest);
    rest.split(after).next().unwrap_or_default().to_owned()
}

/// A cell of the sheet. Sizes and lifetimes are left out: what stays equal from run to run is here.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let reply = match self {
            Self::Silence => return f.write_str("silence"),
            Self::Closed => return f.write_str("closed"),
            Self::Reply(reply) => reply,
        };
        write!(f, "{}", reply.rcode)?;
        for flag in reply.flags.iter().filter(|flag| *flag != "qr") {
            write!(f, " {flag}")?;
        }
        let [answer, authority, additional] = reply.counts;
        write!(f, " {answer}/{authority}/{additional}")?;
        let Some((version, dnssec_ok, options)) = &reply.edns else { return Ok(()) };
        write!(f, " EDNS{version}{}", if *dnssec_ok { " do" } else { "" })?;
        options.iter().try_for_each(|option| write!(f, " {option}"))
    }
}

//------ What was expected ------

/// What of the reply is not as the standard says; empty if all is well.
fn faults(probe: &Probe, outcome: &Outcome) -> Vec<String> {
    let words: Vec<_> = probe.expected.split(' ').collect();
    let reply = match outcome {
        Outcome::Silence | Outcome::Closed => {
            let expected = words[0].split('/').any(|word| word == outcome.to_string());
            return if expected { Vec::new() } else { vec![format!("{outcome}, expected {}", words[0])] };
        }
        Outcome::Reply(reply) => reply,
    };
    let mut faults: Vec<_> = words.iter().filter(|word| !holds(word, reply)).map(|word| (*word).to_owned()).collect();
    let opcode = words.iter().find_map(|word| word.strip_prefix("opcode=")).unwrap_or("QUERY");
    let asked = |question: &String| {
        let name = question.trim_start_matches(';').split_whitespace().next().unwrap_or_default();
        probe.how[0] != "dig" || probe.how.contains(&name)
    };
    let always = [
        (reply.flags.iter().any(|flag| flag == "qr"), "QR"),
        (reply.opcode == opcode, "the opcode is echoed"),
        (!reply.reserved, "reserved bits are clear"),
        (reply.complaints.is_empty(), "the client does not complain"),
        (reply.question.as_ref().is_none_or(asked), "the question comes back as it was asked"),
    ];
    faults.extend(always.iter().filter(|(holds, _)| !holds).map(|(_, what)| (*what).to_owned()));
    faults
}

fn holds(word: &str, reply: &Reply) -> bool {
    let has = |name: &str| reply.edns.as_ref().is_some_and(|(_, _, options)| options.iter().any(|has| has == name));
    let flag = |name: &str| match name {
        "do" => reply.edns.as_ref().is_some_and(|(_, dnssec_ok, _)| *dnssec_ok),
        _ => reply.flags.iter().any(|flag| flag == name),
    };
    match word {
        "answer" => reply.counts[0] > 0,
        "empty" => reply.counts[0] == 0,
        "edns" => reply.edns.as_ref().is_some_and(|(version, ..)| version == "0"),
        "noedns" => reply.edns.is_none(),
        "question" => reply.question.is_some(),
        "noquestion" => reply.question.is_none(),
        "options=none" => reply.edns.as_ref().is_none_or(|(_, _, options)| options.is_empty()),
        "aa" | "tc" | "rd" | "ra" | "ad" | "cd" | "do" => flag(word),
        _ if word.starts_with("opcode=") => true, // see above
        _ => {
            if let Some(name) = word.strip_prefix("option!=") {
                !has(name)
            } else if let Some(name) = word.strip_prefix("option=") {
                has(name)
            } else if let Some(most) = word.strip_prefix("size<=") {
                reply.size <= most.parse().unwrap()
            } else if let Some(name) = word.strip_prefix('!') {
                !flag(name)
            } else {
                assert!(
                    word.starts_with(|c: char| c.is_ascii_uppercase() || c == 'c' || c == 's'),
                    "unknown word {word}"
                );
                word.split('/').any(|rcode| rcode == reply.rcode)
            }
        }
    }
}

//------ Asking ------

/// A Python that has dnspython.
fn python() -> Option<PathBuf> {
    let candidates = [peer("python3")?, PathBuf::from("/usr/bin/python3")];
    let found =
        candidates.into_iter().find(|python| run(Command::new(python).args(["-c", "import dns"])).code == Some(0));
    if found.is_none() {
        assert!(
            std::env::var_os("PAGAR_PEERS").is_none_or(|value| value != "required"),
            "python3-dnspython is missing"
        );
        skip("needs python3-dnspython");
    }
    found
}

/// Puts the probes to a server, one after another; those it is not to be asked have no outcome.
fn ask_all(probes: &[Probe], server: SocketAddr, clients: &Clients, ours: bool) -> Vec<Option<Outcome>> {
    let asked: Vec<_> = probes.iter().map(|probe| ours || !probe.is_ours()).collect();
    let raw = probes.iter().zip(&asked).filter(|(probe, asked)| **asked && probe.how[0] != "dig");
    let mut raw = clients.send(server, raw.map(|(probe, _)| probe.how.join(" "))).into_iter();
    let outcome = |(probe, asked): (&Probe, &bool)| match probe.how[0] {
        _ if !asked => None,
        "dig" => Some(clients.dig(server, &probe.how[1..])),
        _ => raw.next(),
    };
    probes.iter().zip(&asked).map(outcome).collect()
}

struct Clients {
    dig: PathBuf,
    python: PathBuf,
    script: PathBuf,
}

impl Clients {
    fn dig(&self, server: SocketAddr, words: &[&str]) -> Outcome {
        let mut command = Command::new(&self.dig);
        command.arg(format!("@{}", server.ip())).args(["-p", &server.port().to_string()]).args(DIG).args(words);
        let ended = run(&mut command);
        assert!(matches!(ended.code, Some(0 | 9)), "9 is no reply: {ended:?}");
        read(&ended.out)
    }

    /// Messages in the words of `probe.py`.
    fn send(&self, server: SocketAddr, probes: impl Iterator<Item = String>) -> Vec<Outcome> {
        let mut command = Command::new(&self.python);
        command.arg(&self.script).args([server.ip().to_string(), server.port().to_string()]);
        let mut child = Reaped(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
        let mut words = child.0.stdin.take().unwrap();
        let text: String = probes.map(|probe| probe + "\n").collect();
        let writer = std::thread::spawn(move || words.write_all(text.as_bytes()).unwrap());
        let mut printed = String::new();
        std::io::Read::read_to_string(&mut child.0.stdout.take().unwrap(), &mut printed).unwrap();
        writer.join().unwrap();
        assert!(child.0.wait().unwrap().success(), "probe.py failed after: {printed}");
        printed.split_terminator("--\n").map(read).collect()
    }
}

//------ The sheet ------

struct Column {
    title: &'static str,
    version: String,
    outcomes: Vec<Option<Outcome>>,
}

impl Column {
    fn cell(&self, probe: &Probe, number: usize) -> String {
        match &self.outcomes[number] {
            None => "-".to_owned(),
            Some(outcome) if faults(probe, outcome).is_empty() => outcome.to_string(),
            Some(outcome) => format!("**{outcome}**"),
        }
    }
}

const HEAD: &str = "\
Written by `PAGAR_BLESS=1 cargo test compliance`. The exact probes, and what each must get, are in `compliance.txt`.
All servers forward to one nsd. A cell: rcode, flags but QR, records in answer/authority/additional section, EDNS
version, DO, options. **Bold**: not as expected, an option not offered included, or not readable for the client.

";

fn sheet(probes: &[Probe], columns: &[Column]) -> String {
    let mut text = "# Compliance sheet\n\n".to_owned();
    text += HEAD;
    columns.iter().for_each(|column| writeln!(text, "- {}: {}", column.title, column.version).unwrap());
    for column in columns {
        let asked = column.outcomes.iter().flatten().count();
        let bold = (0..probes.len()).filter(|n| column.cell(&probes[*n], *n).starts_with('*')).count();
        writeln!(text, "- {}: {} of {asked} as expected", column.title, asked - bold).unwrap();
    }
    let mut group = "";
    for (number, probe) in probes.iter().enumerate() {
        if probe.group != group {
            group = probe.group;
            write!(text, "\n## {group}\n\n| standard | probe |").unwrap();
            columns.iter().for_each(|column| write!(text, " {} |", column.title).unwrap());
            writeln!(text, "\n|---|---|{}", "---|".repeat(columns.len())).unwrap();
        }
        write!(text, "| {} | {} |", probe.standard, probe.what).unwrap();
        columns.iter().for_each(|column| write!(text, " {} |", column.cell(probe, number)).unwrap());
        text.push('\n');
    }
    text
}

/// Pagar's cell for each line of a sheet, by standard and probe.
fn ours(sheet: &str) -> Vec<[&str; 3]> {
    let rows = sheet.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| standard"));
    rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>())
        .map(|cells| [cells[1], cells[2], cells[3]])
        .collect()
}

fn version(program: &Path, argument: &str) -> String {
    let ended = run(Command::new(program).arg(argument));
    (ended.out + &ended.err).lines().next().unwrap_or_default().trim().to_owned()
}

#[test]
fn pagar_answers_every_probe_as_the_standards_say() {
    let (Some(nsd_program), Some(dig), Some(python)) = (peer("nsd"), peer("dig"), python()) else { return };
    let others = Site::new("");
    let authoritative = nsd(&others, &nsd_program, &ZONES);
    others.write("probe.py", CLIENT);
    let clients = Clients { dig, python, script: others.path("probe.py") };
    let site = Site::with(&[authoritative.address]);
    site.put("1.json", &notice(1, "listed.example", "subtree"));
    let pagar = site.start();
    let probes = table();
    let ask = |address, ours| ask_all(&probes, address, &clients, ours);
    let columns = std::thread::scope(|scope| {
        let ours = scope.spawn(|| Column {
            title: "Pagar",
            version: env!("CARGO_PKG_VERSION").to_owned(),
            outcomes: ask(pagar.address(), true),
        });
        let unbound = scope.spawn(|| {
            let program = peer("unbound")?;
            let running = unbound(&others, &program, authoritative.address, "example.", " module-config: iterator\n");
            Some(Column { title: "unbound", version: version(&program, "-V"), outcomes: ask(running.address, false) })
        });
        let named = scope.spawn(|| {
            let program = peer("named")?;
            let running = named(&others, &program, authoritative.address, "example.");
            Some(Column { title: "named", version: version(&program, "-v"), outcomes: ask(running.address, false) })
        });
        let columns = [ours.join().unwrap()].into_iter();
        columns.chain(unbound.join().unwrap()).chain(named.join().unwrap()).collect::<Vec<_>>()
    });
    let text = sheet(&probes, &columns);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("compliance.md"), &text).unwrap();
    let committed = root.join("tests/compliance.md");
    if std::env::var_os("PAGAR_BLESS").is_some() {
        fs::write(&committed, &text).unwrap();
    }

    let mut wrong = String::new();
    for (probe, outcome) in probes.iter().zip(&columns[0].outcomes) {
        let outcome = outcome.as_ref().expect("we are asked everything");
        let faults = faults(probe, outcome);
        if faults.is_empty() && probe.group == KNOWN {
            writeln!(wrong, "{} {}: no fault any more, it belongs elsewhere", probe.standard, probe.what).unwrap();
        } else if !faults.is_empty() && probe.group != KNOWN {
            let how = probe.how.join(" ");
            writeln!(wrong, "{} {}: {how}\n  got {outcome}, but not: {faults:?}", probe.standard, probe.what).unwrap();
        }
    }
    assert!(wrong.is_empty(), "against the standards:\n{wrong}");
    assert_eq!(pagar.metric("pagar_dns_dropped_total{reason=\"panic\"}"), 0.0);

    let committed = fs::read_to_string(committed).unwrap();
    for (now, then) in ours(&text).iter().zip(&ours(&committed)) {
        let known = now[..2] == then[..2] && [now, then].iter().all(|row| row[2].starts_with("**"));
        assert!(
            known || now == then,
            "{now:?}, {then:?}: the committed sheet says otherwise; PAGAR_BLESS=1 writes it anew"
        );
    }
    assert_eq!(ours(&text).len(), ours(&committed).len(), "PAGAR_BLESS=1 writes the sheet anew");
}
