//! [`run`]: one part after the other.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::args::{Args, Part};
use crate::check::check;
use crate::closed::{Drive, saturate};
use crate::leavings::Leavings;
use crate::machine::{self, OldBuffers};
use crate::one::one;
use crate::open::{self, Schedule};
use crate::plot;
use crate::proc::{OTHER_CORE, pin};
use crate::process::Process;
use crate::questions::Workload;
use crate::report;
use crate::responder::BUFFER;
use crate::results::{Results, Row};
use crate::running::Running;
use crate::servers;
use crate::site;
use crate::swap::swap;

/// Time in the closed loop that does not count.
const WARM: Duration = Duration::from_secs(1);

/// Measures what is wanted and writes the report.
pub(crate) fn run(args: &Args) -> io::Result<()> {
    pin(OTHER_CORE).map_err(|error| io::Error::other(format!("this needs two cores: {error}")))?;
    let old_buffers = args.set_buffers.then(|| OldBuffers::replace(BUFFER)).transpose()?;
    let (_leavings, directory) = Leavings::new(old_buffers)?; // the last to go
    let upstream = site::free_address()?;
    let _upstream = start_upstream(upstream, &directory)?;
    let mut suite = Suite::new(args);
    suite.start(&directory, upstream)?;
    if args.wants(Part::Cpu) {
        suite.measure_cpu();
    }
    if args.wants(Part::Latency) {
        suite.measure_latency();
    }
    if args.wants(Part::One) {
        suite.measure_one();
    }
    if args.wants(Part::Swap) {
        suite.measure_swap();
    }
    write(&suite.results, &out(args))
}

fn start_upstream(at: SocketAddr, directory: &Path) -> io::Result<Process> {
    let arguments = ["upstream".to_owned(), at.to_string()];
    Process::start(&std::env::current_exe()?, &arguments, OTHER_CORE, &directory.join("upstream.output"))
}

fn out(args: &Args) -> PathBuf {
    args.out.clone().unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("compare"))
}

fn write(results: &Results, out: &Path) -> io::Result<()> {
    let text = report::markdown(results).map_err(io::Error::other)?;
    fs::create_dir_all(out)?;
    fs::write(out.join("compare.md"), &text)?;
    fs::write(out.join("compare.svg"), plot::svg(results).map_err(io::Error::other)?)?;
    println!("{text}\nwritten to {}", out.display());
    Ok(())
}

/// The servers that run, and what is known of them: a row each, in the same order.
struct Suite<'a> {
    args: &'a Args,
    workloads: [Workload; 3],
    running: Vec<Running>,
    results: Results,
}

impl<'a> Suite<'a> {
    fn new(args: &'a Args) -> Self {
        let workloads = [Workload::listed(args), Workload::cached(args), Workload::mixed(args)];
        let results = Results { facts: machine::facts(args), ..Results::default() };
        Self { args, workloads, running: Vec::new(), results }
    }

    /// Starts all servers that are there and answer rightly.
    fn start(&mut self, directory: &Path, upstream: SocketAddr) -> io::Result<()> {
        for server in servers::all(self.args) {
            let name = server.name().to_owned();
            if servers::find(&server.program()).is_none() {
                self.note(format!("{name}: {} is not installed", server.program().display()));
                continue;
            }
            eprintln!("{name}: starting");
            let is_floor = server.is_reflector();
            let started = Running::start(server, directory, upstream, self.args).map_err(|error| error.to_string());
            let checked = started.and_then(|running| {
                check(&running, self.args, &self.workloads[0], &self.workloads[1])?;
                Ok(running)
            });
            match checked {
                Ok(running) => {
                    let name = format!("{name} {}", running.version).trim_end().to_owned();
                    self.results.rows.push(Row { name, start: running.start, ..Row::default() });
                    self.running.push(running);
                }
                Err(error) if is_floor => return Err(io::Error::other(format!("{name}: {error}"))),
                Err(error) => self.note(format!("{name}: {error}")),
            }
        }
        Ok(())
    }

    fn note(&mut self, note: String) {
        eprintln!("left out: {note}");
        self.results.notes.push(note);
    }

    /// The servers that are well, beginning with another one each round.
    fn turn(&self, round: usize) -> Vec<usize> {
        let all = self.running.len();
        (0..all).map(|n| (n + round) % all).filter(|n| !self.results.rows[*n].failed).collect()
    }

    /// Keeps a measurement, or says why there is none of this server any more.
    fn keep<T>(&mut self, server: usize, measured: io::Result<T>, keep: impl FnOnce(&mut Row, T)) {
        let row = &mut self.results.rows[server];
        match measured {
            Ok(measured) => keep(row, measured),
            Err(error) => {
                row.failed = true;
                let note = format!("{}: {error}", row.name);
                self.note(note);
            }
        }
    }

    fn measure_cpu(&mut self) {
        let rounds = self.args.rounds();
        for round in 0..rounds {
            for workload in 0..self.workloads.len() {
                eprintln!("round {} of {rounds}: {}", round + 1, self.workloads[workload].name);
                for server in self.turn(round) {
                    let (running, questions) = (&self.running[server], &mut self.workloads[workload]);
                    let drive = Drive {
                        server: running.site.dns,
                        expect: running.expect(),
                        window: usize::from(self.args.window),
                        from: questions.place(round, rounds),
                        warm: WARM,
                        measured: self.args.measured(),
                    };
                    let measured = saturate(&drive, questions, running.pid());
                    self.keep(server, measured, |row, measured| row.cpu[workload].push(measured));
                }
            }
        }
    }

    fn measure_latency(&mut self) {
        let rounds = self.args.rounds();
        for round in 0..rounds {
            eprintln!("round {} of {rounds}: delays", round + 1);
            for server in self.turn(round) {
                let (running, questions) = (&self.running[server], &mut self.workloads[1]);
                let schedule = Schedule {
                    server: running.site.dns,
                    expect: running.expect(),
                    rate: self.args.rate,
                    time: self.args.measured(),
                    from: questions.place(round, rounds),
                };
                let measured = open::ask(&schedule, questions);
                self.keep(server, measured, |row, measured| row.delays.push(measured));
            }
        }
    }

    /// The servers whose list is changed.
    fn changing(&self) -> Vec<usize> {
        let all = self.turn(0).into_iter().filter(|n| !self.running[*n].server.is_reflector());
        all.filter(|n| self.args.peers_too || self.running[*n].server.is_ours()).collect()
    }

    fn measure_one(&mut self) {
        for server in self.changing() {
            eprintln!("{}: one name added and lifted", self.results.rows[server].name);
            if let Some(measured) = one(&self.running[server], self.args.changes()) {
                self.keep(server, measured, |row, measured| row.changes = Some(measured));
            }
        }
    }

    fn measure_swap(&mut self) {
        for server in self.changing() {
            eprintln!("{}: the list is swapped", self.results.rows[server].name);
            let measured = swap(&self.running[server], self.args, &mut self.workloads[1]);
            self.keep(server, measured, |row, measured| row.swapped = Some(measured));
        }
    }
}
