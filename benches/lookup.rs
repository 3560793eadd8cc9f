//! Look-ups in an index of a million names: `cargo bench --bench lookup`.
//!
//! The names have the shapes of real lists (2 to 5 labels, 70 % exact, 30 % subtree); the questions are listed names, names
//! below listed ones, siblings, and unlisted names, in an order the processor cannot foresee.

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use pagar::model::{DnsName, Scope, Targets};
use pagar::policy::{Index, compile};

const NAMES: u32 = 1_000_000;
const QUESTIONS: usize = 1 << 16;

/// Spreads consecutive numbers over all 32 bits (a step of the Murmur3 finaliser).
fn mix(n: u32) -> u32 {
    let n = (n ^ n >> 16).wrapping_mul(0x85eb_ca6b);
    (n ^ n >> 13).wrapping_mul(0xc2b2_ae35)
}

fn name(n: u32) -> String {
    let word = mix(n);
    let suffix = ["com", "net", "co.example", "my", "org"][word as usize % 5];
    match word % 10 {
        0..=4 => format!("shop-{word:x}.{suffix}"),
        5..=7 => format!("www.site{word}.{suffix}"),
        8 => format!("a.b.user{word}.{suffix}"),
        _ => format!("{word:x}.pages.{suffix}"),
    }
}

fn index() -> Index {
    let mut targets = Targets::default();
    for n in 0..NAMES {
        let scope = if mix(n) % 10 < 7 { Scope::Exact } else { Scope::Subtree };
        targets.push(&DnsName::from_text(&name(n)).expect("a valid name"), scope);
    }
    compile::index(&Index::default(), &[], &[(0, targets)]).expect("it fits")
}

fn questions(make: impl Fn(u32) -> String) -> Vec<DnsName> {
    (0..QUESTIONS as u32).map(|n| DnsName::from_text(&make(mix(n) % NAMES)).expect("a valid name")).collect()
}

fn bench(criterion: &mut Criterion) {
    let started = Instant::now();
    let index = index();
    let names = index.len();
    println!(
        "{names} names built in {:?}, {:.1} octets a name",
        started.elapsed(),
        index.bytes() as f64 / names as f64
    );
    let kinds: [(&str, Vec<DnsName>); 4] = [
        ("listed", questions(name)),
        ("below_listed", questions(|n| format!("x.y.{}", name(n)))),
        ("sibling", questions(|n| format!("z{}", name(n)))),
        ("unlisted", questions(|n| format!("www.other{n}.example.org"))),
    ];
    let mut group = criterion.benchmark_group("lookup_1m");
    for (kind, questions) in &kinds {
        let mut at = 0;
        group.bench_function(*kind, |bencher| {
            bencher.iter(|| {
                at = (at + 1) % QUESTIONS;
                index.walk(black_box(questions[at].as_wire())).next()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
