//! What a list costs in memory: resident, and at most while it is read and put in force, over a process without one.
//!
//! `cargo test` does it with a short list, to see that it works. The full measure, and that of a very long list:
//!
//! ```sh
//! PAGAR_MEMORY_NAMES=1000000 cargo test --release memory:: -- --nocapture
//! PAGAR_MEMORY_NAMES=20000000 PAGAR_MEMORY_SWAPS=1 cargo test --release memory:: -- --nocapture
//! ```
//!
//! The names are those of `benches/lookup`. Each list has other names than the one before, and takes its place by a
//! rename every two seconds.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::client::{ask_a, is_block};
use crate::harness::{Pagar, Site, config, wait_at_most};
use crate::upstream::Scripted;

/// Time between two swaps.
const PERIOD: Duration = Duration::from_secs(2);
/// After this a process has given back what it will.
const SETTLED: Duration = Duration::from_millis(500);
/// Longest wait for a list of twenty million names, on a machine that has other work too.
const LONG: Duration = Duration::from_secs(300);

const SOURCE: &str = r#"[[source]]
kind = "list"
path = "long.domains"
format = "domains"
notice = { id = "S-1", authority = "mcmc", category = "scam", power = "s.263(2)", scope = "subtree" }
"#;

fn setting(name: &str, default: u32) -> u32 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// Spreads consecutive numbers over all 32 bits, as in `benches/lookup`.
fn mix(n: u32) -> u32 {
    let n = (n ^ n >> 16).wrapping_mul(0x85eb_ca6b);
    (n ^ n >> 13).wrapping_mul(0xc2b2_ae35)
}

fn name(n: u32, into: &mut String) {
    let word = mix(n);
    let suffix = ["com", "net", "co.example", "my", "org"][word as usize % 5];
    into.clear();
    match word % 10 {
        0..=4 => write!(into, "shop-{word:x}.{suffix}"),
        5..=7 => write!(into, "www.site{word}.{suffix}"),
        8 => write!(into, "a.b.user{word}.{suffix}"),
        _ => write!(into, "{word:x}.pages.{suffix}"),
    }
    .unwrap();
}

/// Writes the list of this number.
fn write(path: &Path, list: u32, names: u32) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    let mut text = String::new();
    for n in 0..names {
        name(list * names + n, &mut text);
        writeln!(file, "{text}").unwrap();
    }
    file.flush().unwrap();
}

/// What the kernel says of a process, in octets.
#[derive(Clone, Copy, Debug)]
struct Memory {
    resident: f64,
    peak: f64,
}

impl Memory {
    fn of(pagar: &Pagar) -> Self {
        let status = fs::read_to_string(format!("/proc/{}/status", pagar.id())).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse::<f64>().unwrap() * 1024.0
        };
        Self { resident: field("VmRSS:"), peak: field("VmHWM:") }
    }

    /// Lets the peak begin anew.
    fn forget_peak(pagar: &Pagar) {
        fs::write(format!("/proc/{}/clear_refs", pagar.id()), "5").unwrap();
    }
}

/// Processor time a process has taken; on a busy machine this says more than the time it took.
fn processor_seconds(pagar: &Pagar) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pagar.id())).unwrap();
    let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0 // user and system
}

#[test]
fn a_list_takes_little_more_memory_than_its_index() {
    let (names, swaps) = (setting("PAGAR_MEMORY_NAMES", 20_000), setting("PAGAR_MEMORY_SWAPS", 5));
    let upstream = Scripted::with_address("198.51.100.7");
    let plain = config(&[upstream.address]);
    let empty = {
        let pagar = Site::new(&plain).start();
        std::thread::sleep(SETTLED);
        Memory::of(&pagar).resident
    };
    let site = Site::new(&plain.replace("[ledger]", &format!("{SOURCE}[ledger]")));
    write(&site.path("long.domains"), 0, names);
    let begun = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pagar"));
    let command = command.args(["serve", "--config"]).arg(site.path("pagar.toml"));
    let pagar = Pagar::spawn_within(command, LONG);
    let mut text = String::new();
    name(0, &mut text);
    assert!(is_block(&ask_a(pagar.address(), &text)));
    println!(
        "{names} names, the first answer after {:.2} s, {:.2} s of a processor",
        begun.elapsed().as_secs_f64(),
        processor_seconds(&pagar)
    );
    std::thread::sleep(SETTLED);
    let index = pagar.metric("pagar_policy_bytes") / f64::from(names);
    println!("a process without them {:.1} MB; octets a name over it, index {index:.1}:", empty / 1e6);
    let each = |octets: f64| (octets - empty) / f64::from(names);
    let first = Memory::of(&pagar);
    println!("after the start: {:.1} resident, {:.1} at most", each(first.resident), each(first.peak));
    for swap in 1..=swaps {
        write(&site.path("next"), swap, names);
        Memory::forget_peak(&pagar);
        let cpu = processor_seconds(&pagar);
        let (begun, serial) = (Instant::now(), pagar.metric("pagar_policy_serial"));
        fs::rename(site.path("next"), site.path("long.domains")).unwrap();
        wait_at_most(LONG, "the swap is in force", || pagar.metric("pagar_policy_serial") > serial);
        let took = begun.elapsed();
        std::thread::sleep(PERIOD.saturating_sub(took).max(SETTLED));
        let Memory { resident, peak } = Memory::of(&pagar);
        let (resident, peak) = (each(resident), each(peak));
        let cpu = processor_seconds(&pagar) - cpu;
        println!(
            "swap {swap}, {:.2} s, {cpu:.2} s of a processor: {resident:.1} resident, {peak:.1} at most, {:.2} times",
            took.as_secs_f64(),
            peak / resident
        );
    }
    let total = |part| pagar.metric(&format!("pagar_policy_swap_duration_seconds_{part}"));
    println!("compiled and published in {:.2} s in the mean", total("sum") / total("count"));
}
