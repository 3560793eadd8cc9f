//! [`Baseline`]: counts and what they were made with, as a file that people read too.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Error};
use std::path::PathBuf;
use std::process::Command;

/// How much longer than before a scene may become, in percent.
const ALLOWED: f64 = 3.0;

/// Counts of one run.
pub(crate) struct Baseline {
    /// Everything the counts depend on but the code.
    pub(crate) environment: String,
    /// Scene, instructions for one operation.
    pub(crate) counts: Vec<(String, f64)>,
}

/// What the counts of this machine depend on: compiler, target, valgrind, C library, and whether the processor that
/// valgrind plays has AVX2, by which the C library chooses how it copies.
pub(crate) fn environment(valgrind: &str) -> io::Result<String> {
    let rustc = said(&std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into()), &["-vV"])?;
    let version = rustc.lines().next().unwrap_or_default();
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
    let libc = said("getconf", &["GNU_LIBC_VERSION"]).unwrap_or_else(|_| "another libc".into());
    #[cfg(target_arch = "x86_64")]
    let avx2 = if std::is_x86_feature_detected!("avx2") { ", AVX2" } else { "" };
    #[cfg(not(target_arch = "x86_64"))]
    let avx2 = "";
    Ok(format!("{version}, {host}, {valgrind}, {}{avx2}", libc.trim()))
}

/// What a program prints.
fn said(program: &str, arguments: &[&str]) -> io::Result<String> {
    let output = Command::new(program).args(arguments).output()?;
    output.status.success().then_some(()).ok_or_else(|| Error::other(format!("{program} failed")))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/instructions/baseline.txt")
}

impl Baseline {
    /// What is checked in; nothing if the file is not there.
    pub(crate) fn load() -> io::Result<Self> {
        let text = match fs::read_to_string(path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        let mut lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let environment = lines.next().unwrap_or_default().to_owned();
        let count = |line: &str| {
            let (number, name) = line.trim_start().split_once(' ')?;
            Some((name.trim().to_owned(), number.parse().ok()?))
        };
        let counts: Option<_> = lines.map(count).collect();
        Ok(Self { environment, counts: counts.ok_or_else(|| Error::other("baseline.txt: a line is not a count"))? })
    }

    /// Writes the file.
    pub(crate) fn save(&self) -> io::Result<()> {
        let mut text = String::from(
            "# Instructions for one operation, written by `cargo bench --bench instructions -- --save`; what they were\n\
             # counted with first, since they depend on it.\n",
        );
        text += &format!("{}\n\n", self.environment);
        self.counts.iter().for_each(|(name, count)| text += &format!("{count:8.1} {name}\n"));
        fs::write(path(), text)
    }

    fn of(&self, name: &str) -> Option<f64> {
        self.counts.iter().find(|(other, _)| other == name).map(|(_, count)| *count)
    }

    /// Percent that each scene takes more than before, in the order of [`Self::counts`]; `None` if it is new.
    fn differences(&self, before: &Self) -> impl Iterator<Item = Option<f64>> {
        self.counts.iter().map(|(name, count)| before.of(name).map(|before| (count / before - 1.0) * 100.0))
    }

    /// All of it, beside what was before, for people.
    pub(crate) fn table(&self, before: &Self) -> String {
        let mut table = format!("instructions for one operation, counted with {}\n\n", self.environment);
        let _ = writeln!(table, "{:<28} {:>12} {:>12} {:>8}", "scene", "instructions", "baseline", "%");
        for ((name, count), difference) in self.counts.iter().zip(self.differences(before)) {
            let shown = |number: Option<f64>| number.map_or_else(|| "-".into(), |number| format!("{number:.1}"));
            let mark = if difference.is_some_and(|more| more > ALLOWED) { "  <<< LONGER" } else { "" };
            let percent = difference.map_or_else(|| "new".into(), |more| format!("{more:+.1}"));
            let _ = writeln!(table, "{name:<28} {count:>12.1} {:>12} {percent:>8}{mark}", shown(before.of(name)));
        }
        table
    }

    /// Says what the table means; `false` if a scene takes too many instructions, and they can be compared.
    pub(crate) fn verdict(&self, before: &Self) -> bool {
        if self.environment != before.environment {
            println!("\nno verdict: the baseline was counted with {}", before.environment);
            return true;
        }
        let longer = self.differences(before).flatten().filter(|more| *more > ALLOWED).count();
        let shorter = self.differences(before).flatten().filter(|more| *more < -ALLOWED).count();
        let save = "`cargo bench --bench instructions -- --save`, and commit the file with the change";
        if longer > 0 {
            println!(
                "\nREGRESSION: {longer} scenes take over {ALLOWED} % more instructions. If it is worth it: {save}."
            );
        } else if shorter > 0 {
            println!("\n{shorter} scenes take over {ALLOWED} % fewer instructions. To hold them to it: {save}.");
        }
        longer == 0
    }
}
