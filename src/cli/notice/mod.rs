//! `pagar notice`: what an authority does with a notice before it sends it, and what anybody does to believe one. A file
//! per command.
//!
//! A notice is a JSON file, or a JWS around one ([`jws`](crate::verify::jose::jws)). Nothing here prints a target, whatever
//! its sensitivity: counts say enough to know which notice it is. The exception is `new`, where the author types them.

mod draft;
mod drill;
mod input;
mod lint;
mod names;
mod new;
mod push;
mod receipt;
mod revoke;
mod sign;
mod status;
mod verify;

use clap::Subcommand;

use super::screen::Screen;
use crate::error::ExitError;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write a notice from options and a list of names; exit code 3 if a name cannot be ordered
    New(Box<new::Options>),
    /// Check notices, signed or not; exit code 0, or 3 if one has an error
    Lint(lint::Options),
    /// Sign a notice, or add a signature to a signed one
    Sign(sign::Options),
    /// Say whether a signed notice is good; exit code 0 good, 1 not good, 3 unreadable
    Verify(verify::Options),
    /// Hand signed notices to a running server; exit code 0 as ordered, 1 refused or not wholly enforced, 4 no server
    Push(push::Options),
    /// Revoke notices, or items of one
    Revoke(Box<revoke::Options>),
    /// Rehearse with a running server: send what is good and what is not; exit code 0 all as expected, 1 something is not
    Drill(drill::Options),
    /// Say what became of notices: one, several, or all
    Status(status::Options),
}

pub(super) fn run(command: &Command, screen: Screen) -> Result<(), ExitError> {
    match command {
        Command::New(options) => new::run(options),
        Command::Lint(options) => lint::run(options),
        Command::Sign(options) => sign::run(options),
        Command::Verify(options) => verify::run(options, screen),
        Command::Push(options) => push::run(options, screen),
        Command::Revoke(options) => revoke::run(options, screen),
        Command::Drill(options) => drill::run(options, screen),
        Command::Status(options) => status::run(options, screen),
    }
}
