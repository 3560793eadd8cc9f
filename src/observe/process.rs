//! [`Process`]: what the process uses now, read from `/proc/self` at scrape.
//!
//! The `process` feature of `prometheus` does this with more crates and whole seconds of CPU time; four small files are
//! enough. Where `/proc` is missing (other systems, a hardened mount) the series are absent, never zero.

use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Metric, MetricFamily};

use super::family::Family;
use super::metrics::PROCESS;

/// Reads it whenever metrics are collected.
pub(super) struct Process {
    started: f64,
    descs: Vec<Desc>,
}

impl Process {
    /// `started` in seconds since the epoch, `descs` those of [`PROCESS`].
    pub(super) fn new(started: f64, descs: Vec<Desc>) -> Self {
        Self { started, descs }
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let usage = Usage::now();
        let values = [Some(self.started), usage.cpu_seconds, usage.resident_bytes, usage.open_fds, usage.max_fds];
        let series = |(family, value): (&Family, Option<f64>)| {
            family.with(value.into_iter().map(|value| family.value(&[], value)).collect::<Vec<Metric>>())
        };
        PROCESS.iter().zip(values).map(series).collect()
    }
}

/// What one scrape found; `None` where the kernel does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Usage {
    cpu_seconds: Option<f64>,
    resident_bytes: Option<f64>,
    open_fds: Option<f64>,
    max_fds: Option<f64>,
}

impl Usage {
    /// Reads it.
    fn now() -> Self {
        let read = |file| fs::read_to_string(file).ok();
        Self {
            cpu_seconds: read("/proc/self/stat").as_deref().and_then(cpu_seconds),
            resident_bytes: read("/proc/self/status").as_deref().and_then(resident_bytes),
            // one of the entries is the listing itself
            open_fds: fs::read_dir("/proc/self/fd").ok().map(|list| list.count().saturating_sub(1) as f64),
            max_fds: read("/proc/self/limits").as_deref().and_then(max_fds),
        }
    }
}

/// Ticks a second in `/proc/self/stat`: USER_HZ, fixed by the kernel's ABI on every architecture Rust supports.
const USER_HZ: f64 = 100.0;

/// Fields 14 and 15 (proc_pid_stat(5)), user and system time; field 2 is the program's name and may hold anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((ticks()? + ticks()?) as f64 / USER_HZ)
}

fn resident_bytes(status: &str) -> Option<f64> {
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(kib.trim().strip_suffix(" kB")?.parse::<u64>().ok()? as f64 * 1024.0)
}

/// The soft limit.
fn max_fds(limits: &str) -> Option<f64> {
    let values = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match values.split_ascii_whitespace().next()? {
        "unlimited" => Some(f64::INFINITY),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_blanks_and_brackets_does_not_shift_the_fields() {
        let stat = "42 (a) (b c) S 1 42 42 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 4 0 1234 5678 90";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds("nonsense"), None);
    }

    #[test]
    fn sizes_and_limits_are_read() {
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2_097_152.0));
        assert_eq!(resident_bytes("Name:\tx\n"), None);
        assert_eq!(
            max_fds("Max open files            1024                 4096                 files\n"),
            Some(1024.0)
        );
        assert_eq!(
            max_fds("Max open files            unlimited            unlimited            files\n"),
            Some(f64::INFINITY)
        );
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_uses_something() {
        let usage = Usage::now();
        assert!(usage.resident_bytes.unwrap() > 0.0);
        assert!(usage.open_fds.unwrap() >= 1.0);
        assert!(usage.cpu_seconds.is_some());
    }
}
