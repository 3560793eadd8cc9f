//! Pagar beside the servers an operator would use in its place, on one machine:
//!
//! ```sh
//! cargo bench --bench compare -- run --set-buffers    # 20 minutes, as root, on a machine that does nothing else
//! cargo bench --bench compare -- run --quick          # four minutes, to see that it works
//! cargo bench --bench compare -- run --help
//! ```
//!
//! The peers are Debian's packages unbound, knot-resolver, pdns-recursor, dnsdist, bind9 and dnsmasq-base; one that is
//! not installed is passed over, and the report says so. Nothing here leaves 127.0.0.0/8. What is started is ended by
//! its id, or by the kernel if this program is killed; files are in a temporary directory.
//!
//! How it is measured: a server's threads are on core 0, alone; generator and upstream on core 1. All servers run all
//! the time, and each round asks each of them the same questions, beginning at another place and with another server.
//! Before that each has shown that it answers rightly. Costs are CPU time over answers, and a ratio to the reflector
//! of the same round: machines differ, and one machine differs from minute to minute. Delays count from when a
//! question was due.
//!
//! | file | what it owns |
//! |---|---|
//! | `names`, `questions` | the lists and the workloads |
//! | `batch`, `generator`, `closed`, `open` | the generator, saturating or by schedule |
//! | `responder` | the reflector and the upstream, started as processes of this program |
//! | `servers/`, `templates/` | the servers, a file each, and their configurations |
//! | `site`, `process`, `running`, `probe`, `check` | starting a server and seeing that it is right |
//! | `swap`, `one` | changes of the list |
//! | `suite`, `leavings` | one part after the other, and tidying up |
//! | `proc`, `machine`, `stats` | what the kernel says, medians |
//! | `results`, `report`, `plot` | what comes of it |

mod args;
mod batch;
mod check;
mod closed;
mod generator;
mod leavings;
mod machine;
mod names;
mod one;
mod open;
mod plot;
mod probe;
mod proc;
mod process;
mod questions;
mod report;
mod responder;
mod results;
mod running;
mod servers;
mod site;
mod stats;
mod suite;
mod swap;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::args::{Cli, Command};

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Some(Command::Run(args)) => suite::run(&args),
        Some(Command::On { core, program, arguments }) => process::become_on(core, &program, &arguments),
        Some(Command::Reflector { at }) => responder::reflect(at),
        Some(Command::Upstream { at }) => responder::upstream(at),
        // a plain `cargo bench` runs all benches, and this one takes a while
        None => Cli::command().print_help(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}
