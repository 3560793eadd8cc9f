//! The command line: what can be typed, a file per command. Parsing does no I/O; exit codes are those of
//! [`ExitError`].

mod api;
mod approve;
mod cache;
mod check;
mod completions;
mod keys;
mod ledger;
mod lift;
mod notice;
mod operator;
mod preview;
mod screen;
mod why;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use tracing::Level;

use crate::error::ExitError;
use crate::observe::log;

/// What `--version` says.
static VERSION: LazyLock<String> = LazyLock::new(|| version(crate::serve::COMMIT));

/// The release, and the commit it was built from if the build named one.
fn version(commit: Option<&str>) -> String {
    let release = env!("CARGO_PKG_VERSION");
    commit.map_or_else(|| release.to_owned(), |commit| format!("{release} (commit {commit})"))
}

/// Carries out statutory restriction notices in the DNS.
#[derive(Debug, Parser)]
#[command(name = "pagar", version = VERSION.as_str(), about, max_term_width = 100, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Global {
    /// Log more; twice for the most
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Log errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Colour in what is for people: results, and the log
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    color: Color,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer queries in the foreground; SIGHUP reloads, SIGUSR2 hands over to a new process, SIGTERM drains and ends
    Serve {
        /// The configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Log for people or for machines; default: the configuration's [log] format
        #[arg(long, value_name = "FORMAT", value_enum)]
        log: Option<LogFormat>,
        /// Do not start if the ledger is damaged, in place of serving the stored policy
        #[arg(long)]
        strict: bool,
    },
    /// Check configuration, sources and notices; exit code 0, 2 (configuration) or 3 (data)
    Check(check::Options),
    /// Say which notice restricts a name, and why; exit code 0 listed, 1 not listed
    Why(why::Options),
    /// Write, check, sign, verify and deliver notices
    #[command(subcommand)]
    Notice(notice::Command),
    /// Make and show Ed25519 keys
    #[command(subcommand)]
    Keys(keys::Command),
    /// Lift a name at once, whichever notice lists it; exit code 0 lifted, 1 refused, 4 no server
    Lift(lift::Options),
    /// Approve what the guard holds: a list alone, an item as the second of two persons
    Approve(approve::Options),
    /// Act on the cache of a running server
    #[command(subcommand)]
    Cache(cache::Command),
    /// Count what a notice would block of the queries of a running server, without putting it in force
    Preview(preview::Options),
    /// Verify or export the record of what the node was told and did
    #[command(subcommand)]
    Ledger(ledger::Command),
    /// Print what a shell completes
    Completions {
        /// For this shell
        shell: completions::Known,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Auto,
    Human,
    Json,
}

/// Runs what was typed.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = error.to_string();
            if !text.is_empty() {
                let _ = writeln!(io::stderr(), "{}", text.trim_end()); // nobody is listening any more
            }
            error.code()
        }
    }
}

fn run(cli: Cli) -> Result<(), ExitError> {
    let Global { verbose, quiet, color } = cli.global;
    let level = match (quiet, verbose) {
        (true, _) => Some(Level::ERROR),
        (false, 0) => None,
        (false, 1) => Some(Level::DEBUG),
        (false, _) => Some(Level::TRACE),
    };
    let colour = match color {
        Color::Auto => None,
        Color::Always => Some(true),
        Color::Never => Some(false),
    };
    let screen = screen::Screen::new(colour);
    match cli.command {
        Command::Serve { config, log, strict } => {
            let format = log.map(|format| match format {
                LogFormat::Auto => log::Format::Auto,
                LogFormat::Human => log::Format::Human,
                LogFormat::Json => log::Format::Json,
            });
            let logging = crate::serve::Logging { format, level, colour };
            crate::serve::serve(&config, crate::serve::Options { logging, strict })
        }
        Command::Check(options) => check::run(&options),
        Command::Why(options) => why::run(&options),
        Command::Notice(command) => notice::run(&command, screen),
        Command::Keys(command) => keys::run(&command),
        Command::Lift(options) => lift::run(&options),
        Command::Approve(options) => approve::run(&options),
        Command::Cache(command) => cache::run(&command),
        Command::Preview(options) => preview::run(&options),
        Command::Ledger(command) => ledger::run(&command),
        Command::Completions { shell } => completions::run(shell),
    }
}

/// Prints to standard output. A reader that has gone away (`pagar … | head`) is no failure.
fn print(text: &str) -> Result<(), ExitError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(ExitError::Runtime(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints a value as JSON.
fn print_json(value: &impl serde::Serialize) -> Result<(), ExitError> {
    let text = serde_json::to_string_pretty(value).map_err(|error| ExitError::Runtime(error.to_string()))?;
    print(&format!("{text}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_names_the_commit_if_the_build_did() {
        assert_eq!(version(Some("abc123")), concat!(env!("CARGO_PKG_VERSION"), " (commit abc123)"));
        assert_eq!(version(None), env!("CARGO_PKG_VERSION"));
    }
}
