//! What the figures were measured on.

use std::fs;
use std::io;
use std::path::PathBuf;

use jiff::Timestamp;

use crate::args::Args;
use crate::responder::BUFFER;

/// Facts for the head of the report.
pub(crate) fn facts(args: &Args) -> Vec<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory =
        memory.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0.0) / f64::from(1 << 20);
    let kernel = read("/proc/sys/kernel/osrelease");
    let small = [Buffer("rmem_default"), Buffer("wmem_default")]
        .iter()
        .any(|buffer| read(&buffer.path()).parse().is_ok_and(|octets: usize| octets < BUFFER));
    let hint = if small {
        "; bind9, knot-resolver and dnsmasq set none and lose what does not fit: --set-buffers"
    } else {
        ""
    };
    let buffers = Buffer::ALL.map(|buffer| format!("{} {}", buffer.name(), read(&buffer.path()))).join(", ");
    vec![
        format!("{}", Timestamp::now().strftime("%Y-%m-%d %H:%M UTC")),
        format!("{cores} cores of {}, {memory:.0} GiB, Linux {kernel}", model.map_or("?", |(_, name)| name)),
        "the server's threads on core 0; the generator and the upstream on core 1; loopback".to_owned(),
        format!("{} names (70 % exact, 30 % subtree), {} names in the caches", args.names(), args.cached()),
        format!("{} rounds of {} s a server and a workload, medians", args.rounds(), args.measured().as_secs()),
        format!("closed loop: {} questions on their way; open loop: {} a second", args.window, args.rate),
        format!("questions {} EDNS; a blocked answer is an address", if args.edns { "with" } else { "without" }),
        format!("net.core: {buffers}{hint}"),
    ]
}

fn read(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| "?".to_owned(), |text| text.trim().to_owned())
}

/// One of the kernel's sizes of socket buffers.
#[derive(Clone, Copy)]
struct Buffer(&'static str);

impl Buffer {
    const ALL: [Self; 4] = [Self("rmem_max"), Self("wmem_max"), Self("rmem_default"), Self("wmem_default")];

    fn name(self) -> &'static str {
        self.0
    }

    fn path(self) -> String {
        format!("/proc/sys/net/core/{}", self.0)
    }
}

/// Socket buffers as they were before; they are again, with the end of the value.
pub(crate) struct OldBuffers(Vec<(PathBuf, String)>);

impl OldBuffers {
    /// Sets all of them to so many octets.
    pub(crate) fn replace(octets: usize) -> io::Result<Self> {
        let mut old = Self(Vec::new());
        for buffer in Buffer::ALL {
            let path = PathBuf::from(buffer.path());
            let before = fs::read_to_string(&path)?;
            fs::write(&path, octets.to_string())?;
            old.0.push((path, before));
        }
        Ok(old)
    }
}

impl Drop for OldBuffers {
    fn drop(&mut self) {
        for (path, value) in &self.0 {
            if let Err(error) = fs::write(path, value) {
                eprintln!("{} is not as it was: {error}", path.display());
            }
        }
    }
}
