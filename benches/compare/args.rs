//! [`Args`]: the command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use crate::closed::MOST;

/// Pagar beside other servers, on one machine and under one load.
#[derive(Parser)]
#[command(name = "cargo bench --bench compare --", max_term_width = 120)]
pub(crate) struct Cli {
    /// Cargo says so to every bench.
    #[arg(long, hide = true, global = true)]
    bench: bool,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Measures, and writes a table and a plot.
    Run(Args),
    /// The floor: sends every packet back.
    #[command(hide = true)]
    Reflector { at: SocketAddr },
    /// Becomes a program on a core.
    #[command(hide = true)]
    On {
        core: usize,
        program: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Whom the servers forward to.
    #[command(hide = true)]
    Upstream { at: SocketAddr },
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// CPU time an answer, saturated.
    Cpu,
    /// Delays at a steady rate.
    Latency,
    /// The whole list swapped every 2 s at a steady rate.
    Swap,
    /// One name added and lifted.
    One,
}

/// How it is measured.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// To see that it works: 100,000 names, two rounds of 2 s. The figures mean nothing.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Names in the list [default: 1000000].
    #[arg(long)]
    names: Option<u32>,
    /// Rounds; each asks all servers, beginning with another one and at another place of the questions [default: 5].
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds measured a server, a workload and a round, after one that is not [default: 5].
    #[arg(long)]
    seconds: Option<u64>,
    /// Seconds of swaps [default: 30].
    #[arg(long)]
    swap_seconds: Option<u64>,
    /// Questions a second of the open loop.
    #[arg(long, default_value_t = 20_000)]
    pub(crate) rate: u32,
    /// Questions on their way in the closed loop.
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u16).range(1..=MOST as i64))]
    pub(crate) window: u16,
    /// Ask with EDNS: Pagar then says by which notice a name is blocked, and the others say nothing more.
    #[arg(long)]
    pub(crate) edns: bool,
    /// Only these servers.
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Only these parts.
    #[arg(long, value_enum, value_delimiter = ',')]
    part: Vec<Part>,
    /// Swap the list of the other servers, too, and add one name to theirs; some fall silent for long.
    #[arg(long)]
    pub(crate) peers_too: bool,
    /// Another program than the one cargo has built.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) pagar: Option<PathBuf>,
    /// Further builds of Pagar beside it, as pagar-2, pagar-3, …
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) beside: Vec<PathBuf>,
    /// Give servers that set no socket buffers 4 MiB: as root, by net.core.{r,w}mem_{default,max}, put back at the end.
    #[arg(long)]
    pub(crate) set_buffers: bool,
    /// Where the table and the plot go [default: target/compare].
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
}

impl Args {
    fn or(&self, given: Option<u64>, quick: u64, full: u64) -> u64 {
        given.unwrap_or(if self.quick { quick } else { full })
    }

    /// Names in the list.
    pub(crate) fn names(&self) -> u32 {
        self.or(self.names.map(u64::from), 100_000, 1_000_000) as u32
    }

    /// Rounds.
    pub(crate) fn rounds(&self) -> usize {
        self.or(self.rounds.map(|n| n as u64), 2, 5).max(1) as usize
    }

    /// Time measured.
    pub(crate) fn measured(&self) -> Duration {
        Duration::from_secs(self.or(self.seconds, 2, 5).max(1))
    }

    /// Time of swaps.
    pub(crate) fn swapping(&self) -> Duration {
        Duration::from_secs(self.or(self.swap_seconds, 9, 30).max(3))
    }

    /// Unlisted names that are asked for again and again; every server's cache holds them.
    pub(crate) fn cached(&self) -> u32 {
        if self.quick { 2_000 } else { 20_000 }
    }

    /// Times one name is added and lifted.
    pub(crate) fn changes(&self) -> u32 {
        if self.quick { 5 } else { 21 }
    }

    /// Whether this part is wanted.
    pub(crate) fn wants(&self, part: Part) -> bool {
        self.part.is_empty() || self.part.contains(&part)
    }

    /// Whether this server is wanted.
    pub(crate) fn wants_server(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}
