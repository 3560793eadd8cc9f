//! Look-ups in an index of a million names: `cargo bench --bench lookup`.
//!
//! The names have the shapes of real lists (2 to 5 labels, 70 % exact, 30 % subtree); the questions are listed names,
//! names below listed ones, siblings, and unlisted names, in an order the processor cannot foresee. `NAMES=20000000`
//! asks for another number of them, `LIST=file` takes the names of a file instead, one a line.
//!
//! Before that it prints the time of the build, the octets a name of the index, and what the process has grown by; then
//! how long it takes from a notice of one name to the policy that has it, and from its end to the one that has not,
//! beside that list.

use std::fs;
use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use jiff::Timestamp;
use pagar::ingest::Document;
use pagar::ingest::format::notice::parse;
use pagar::model::{AuthorityKind, DnsName, Notice, Scope, Targets};
use pagar::policy::store::store;
use pagar::policy::{Entry, Page, Pages, Register, Slots};

/// Names added and lifted, one after the other.
const CHANGES: u32 = 1_000;
const QUESTIONS: usize = 1 << 16;

/// Spreads consecutive numbers over all 32 bits (a step of the Murmur3 finaliser).
fn mix(n: u32) -> u32 {
    let n = (n ^ n >> 16).wrapping_mul(0x85eb_ca6b);
    (n ^ n >> 13).wrapping_mul(0xc2b2_ae35)
}

/// Where the names come from.
enum Names {
    Made(u32),
    Read(Vec<String>),
}

impl Names {
    fn new() -> Self {
        let of = |key| std::env::var(key).ok();
        let Some(path) = of("LIST") else {
            return Self::Made(of("NAMES").map_or(1_000_000, |number| number.parse().expect("a number")));
        };
        let text = fs::read_to_string(path).expect("a list that can be read");
        Self::Read(text.lines().filter(|line| DnsName::from_text(line).is_ok()).map(str::to_owned).collect())
    }

    fn count(&self) -> u32 {
        match self {
            Self::Made(count) => *count,
            Self::Read(names) => names.len() as u32,
        }
    }

    fn name(&self, n: u32) -> String {
        let word = match self {
            Self::Made(_) => mix(n),
            Self::Read(names) => return names[n as usize].clone(),
        };
        let suffix = ["com", "net", "co.example", "my", "org"][word as usize % 5];
        match word % 10 {
            0..=4 => format!("shop-{word:x}.{suffix}"),
            5..=7 => format!("www.site{word}.{suffix}"),
            8 => format!("a.b.user{word}.{suffix}"),
            _ => format!("{word:x}.pages.{suffix}"),
        }
    }

    fn targets(&self) -> Targets {
        let mut targets = Targets::default();
        for n in 0..self.count() {
            let scope = if mix(n) % 10 < 7 { Scope::Exact } else { Scope::Subtree };
            targets.push(&DnsName::from_text(&self.name(n)).expect("a valid name"), scope);
        }
        targets
    }

    /// Questions made from names of the list; what would be too long for a name is left out.
    fn questions(&self, make: impl Fn(u32) -> String) -> Vec<DnsName> {
        let numbers = (0..QUESTIONS as u32).map(|n| mix(n) % self.count());
        numbers.filter_map(|n| DnsName::from_text(&make(n)).ok()).collect()
    }
}

/// Resident octets of the process.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).and_then(|line| line.split_whitespace().next());
    line.and_then(|number| number.parse().ok()).map_or(0, |kib: usize| kib * 1024)
}

/// The notice with this number, as it comes in a file.
fn order(number: u32) -> Document {
    let text = format!(
        r#"{{ "version": 1, "id": "N-{number}", "sequence": {number}, "authority": "mcmc", "kind": "restrict",
        "legal_basis": {{ "power": "CMA" }}, "category": "scam", "issued_at": "2026-01-01T00:00:00Z",
        "action": "block-page", "targets": [ {{ "item": "1", "name": "n{number}.new.example", "scope": "subtree" }} ] }}"#
    );
    parse(text.as_bytes(), Path::new("notice")).document.expect("a notice")
}

fn entry(notice: Notice) -> Entry {
    let pages = Pages { default: Page::default(), rules: Vec::new(), ttl: 30 };
    Entry::new(Arc::new(notice), AuthorityKind::Statutory, 0, &pages, Slots::default())
}

fn register(names: &Names) -> Register {
    let mut targets = names.targets();
    let mut register = Register::default();
    let (before, started) = (resident(), Instant::now());
    register.change(&[], vec![(entry(order(1).notice), &mut targets)], Timestamp::now()).expect("it fits");
    let (took, index) = (started.elapsed(), register.snapshot(30, 1).index().clone());
    let count = index.len() as f64;
    println!(
        "{count} names built in {took:?}, {:.1} octets a name, {:.1} resident",
        index.bytes() as f64 / count,
        resident().saturating_sub(before) as f64 / count
    );
    register
}

/// Adds and lifts one name at a time, and publishes each time.
fn changes(register: &mut Register) {
    let (mut writer, _reader) = store(register.snapshot(30, 1));
    let (mut added, mut lifted) = (Vec::new(), Vec::new());
    let mut timed =
        |register: &mut Register, gone: &[u32], new: Vec<(Entry, &mut Targets)>, into: &mut Vec<Duration>| {
            let started = Instant::now();
            let (given, _) = register.change(gone, new, Timestamp::now()).expect("it fits");
            writer.publish(register.snapshot(30, 1));
            into.push(started.elapsed());
            writer.sweep();
            given
        };
    for number in 2..CHANGES + 2 {
        let Document { notice, mut targets } = order(number);
        let given = timed(register, &[], vec![(entry(notice), &mut targets)], &mut added);
        timed(register, &given, Vec::new(), &mut lifted);
    }
    for (what, mut times) in [("added", added), ("lifted", lifted)] {
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100];
        println!("one name {what} and published: p50 {:?}, p99 {:?}, longest {:?}", at(50), at(99), at(100));
    }
}

fn bench(criterion: &mut Criterion) {
    let names = Names::new();
    let mut register = register(&names);
    let index = register.snapshot(30, 1).index().clone();
    changes(&mut register);
    let kinds = [
        ("listed", names.questions(|n| names.name(n))),
        ("below_listed", names.questions(|n| format!("x.y.{}", names.name(n)))),
        ("sibling", names.questions(|n| format!("z{}", names.name(n)))),
        ("unlisted", names.questions(|n| format!("www.other{n}.example.org"))),
    ];
    let mut group = criterion.benchmark_group("lookup");
    for (kind, questions) in &kinds {
        let mut at = 0;
        group.bench_function(*kind, |bencher| {
            bencher.iter(|| {
                at = (at + 1) % questions.len();
                let mut found = None;
                index.walk(black_box(questions[at].as_wire()), |set, _| {
                    found = Some(set);
                    ControlFlow::Break(())
                });
                found
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
