//! `pagar notice`: what an authority does with a notice before it sends it, and what anybody does to believe one. A file
//! per command.
//!
//! A notice is a JSON file, or a JWS around one ([`jws`](crate::verify::jose::jws)). Nothing here prints a target, whatever
//! its sensitivity: counts say enough to know which notice it is.

mod input;
mod lint;
mod sign;
mod verify;

use clap::Subcommand;

use crate::error::ExitError;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check notices, signed or not; exit code 0, or 3 if one has an error
    Lint(lint::Options),
    /// Sign a notice, or add a signature to a signed one
    Sign(sign::Options),
    /// Say whether a signed notice is good; exit code 0 good, 1 not good, 3 unreadable
    Verify(verify::Options),
}

pub(super) fn run(command: &Command) -> Result<(), ExitError> {
    match command {
        Command::Lint(options) => lint::run(options),
        Command::Sign(options) => sign::run(options),
        Command::Verify(options) => verify::run(options),
    }
}
