//! What the kernel says about a process, from `/proc`, and which core this thread runs on.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

/// Where the server under test runs, alone.
pub(crate) const SERVER_CORE: usize = 0;
/// Where the generator and the upstream run.
pub(crate) const OTHER_CORE: usize = 1;

/// Time all threads of a process have spent on a processor. `schedstat` has nanoseconds; a kernel without it has ticks.
pub(crate) fn cpu(pid: u32) -> io::Result<Duration> {
    let mut total = Duration::ZERO;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?.path();
        match fs::read_to_string(task.join("schedstat")) {
            Ok(text) => total += Duration::from_nanos(number(text.split(' ').next())),
            Err(_) => total += ticks(&fs::read_to_string(task.join("stat"))?),
        }
    }
    Ok(total)
}

/// `utime` and `stime` of a line of `/proc/…/stat`, in ticks of 10 ms.
fn ticks(stat: &str) -> Duration {
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let mut fields = after_name.split(' ').skip(11);
    Duration::from_millis(10 * (number(fields.next()) + number(fields.next())))
}

/// Time the server's core was not idle, whoever used it, in ticks of 10 ms: it also has what the kernel did outside of
/// any thread of the server.
pub(crate) fn core_busy() -> io::Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let name = format!("cpu{SERVER_CORE} ");
    let line = stat.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or_default();
    let fields: Vec<u64> = line.split(' ').map(|field| number(Some(field))).collect();
    // user nice system idle iowait irq softirq; what is stolen is nobody's here, and guests are in user already
    let busy = fields.iter().take(7).sum::<u64>() - fields.iter().skip(3).take(2).sum::<u64>();
    Ok(Duration::from_millis(10 * busy))
}

/// Resident memory of a process in octets.
pub(crate) fn resident(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(1_024 * number(line.and_then(|line| line.split_whitespace().next())))
}

fn number(text: Option<&str>) -> u64 {
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// Keeps this thread, and those it starts, on one core.
pub(crate) fn pin(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None::<Pid>, &set)?)
}
