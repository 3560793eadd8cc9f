//! [`Running`]: a server that was started on its core and answers for its whole list.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::args::Args;
use crate::generator::Expect;
use crate::names::{Half, List, mix};
use crate::probe::{Answer, Probe};
use crate::proc::{self, SERVER_CORE};
use crate::process::Process;
use crate::questions::packet;
use crate::servers::{self, Server};
use crate::site::Site;

/// Longest wait for a server's first right answer.
const LIMIT: Duration = Duration::from_secs(300);
/// Listed names that are asked for then, besides those that mark the list.
const SOME: u32 = 500;
/// Time a server gets to settle before its memory is read.
const SETTLE: Duration = Duration::from_secs(1);
/// How long one answer is waited for meanwhile.
const PATIENCE: Duration = Duration::from_millis(50);

/// See the file.
pub(crate) struct Running {
    pub(crate) server: Box<dyn Server>,
    pub(crate) site: Site,
    pub(crate) version: String,
    pub(crate) start: Start,
    process: Process,
}

/// How it started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Start {
    /// From the start to the first right answer for a listed name.
    pub(crate) took: Duration,
    /// Resident memory soon after, in octets.
    pub(crate) resident: u64,
    /// More than with an empty list, a name.
    pub(crate) octets_a_name: f64,
}

impl Running {
    /// Starts it twice: with an empty list, for its memory, and with the whole.
    pub(crate) fn start(server: Box<dyn Server>, parent: &Path, upstream: SocketAddr, args: &Args) -> io::Result<Self> {
        let program = servers::find(&server.program()).ok_or(io::ErrorKind::NotFound)?;
        let version = if server.is_reflector() { String::new() } else { servers::version(&program, server.version()) };
        let site = Site::new(parent, server.name(), upstream)?;
        server.configure(&site)?;
        let full = List { half: Half::A, names: args.names() };
        let empty = List { names: 0, ..full };
        let (process, with_none) = launch(server.as_ref(), &program, &site, empty)?;
        drop(process);
        let (process, mut start) = launch(server.as_ref(), &program, &site, full)?;
        start.octets_a_name = (start.resident as f64 - with_none.resident as f64) / f64::from(args.names());
        Ok(Self { server, site, version, start, process })
    }

    /// What its answers are held against.
    pub(crate) fn expect(&self) -> Expect {
        if self.server.is_reflector() { Expect::Echo } else { Expect::Answer }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Its resident memory in octets.
    pub(crate) fn resident(&self) -> io::Result<u64> {
        proc::resident(self.pid())
    }
}

/// Listed names from all over the list.
fn some(list: List) -> impl Iterator<Item = String> {
    let count = if list.names == 0 { 0 } else { SOME };
    (0..count).map(move |n| list.name(mix(n) % list.names))
}

/// Starts it with this list and waits for its first right answer.
fn launch(server: &dyn Server, program: &Path, site: &Site, list: List) -> io::Result<(Process, Start)> {
    site.prepare(list, server.lists())?;
    site.place(list, server.lists())?;
    let output = site.path("output");
    let begun = Instant::now();
    let mut process = Process::start(program, &server.arguments(site), SERVER_CORE, &output)?;
    let mut probe = Probe::new(site.dns, PATIENCE)?;
    let mut took = Duration::ZERO;
    for n in 0.. {
        took = begun.elapsed();
        let name = format!("x{n}.{}", list.subtree_marker()); // another one each time, which no cache knows
        let right = match server.is_reflector() {
            true => probe.is_echoed(&packet(&name, false)),
            false => {
                let markers = [name, list.exact_marker()];
                // some answer first, and load the list name by name
                markers.iter().cloned().chain(some(list)).all(|name| probe.name(&name) == Answer::Blocked)
            }
        };
        if right {
            break;
        }
        if process.has_ended()? || begun.elapsed() > LIMIT {
            let said = fs::read_to_string(&output).unwrap_or_default();
            return Err(io::Error::other(format!("does not block a listed name; it said: {said}")));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    std::thread::sleep(SETTLE);
    let resident = proc::resident(process.id())?;
    Ok((process, Start { took, resident, octets_a_name: 0.0 }))
}
