//! `pagar completions`: what shells complete, made from the definition of the command line.

use clap::{CommandFactory, ValueEnum};
use clap_complete::Shell;

use super::{Cli, print};
use crate::error::ExitError;

/// The shells that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Known {
    /// GNU Bash
    Bash,
    /// Z shell
    Zsh,
    /// fish
    Fish,
}

pub(super) fn run(shell: Known) -> Result<(), ExitError> {
    let shell = match shell {
        Known::Bash => Shell::Bash,
        Known::Zsh => Shell::Zsh,
        Known::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "pagar", &mut script);
    print(&String::from_utf8_lossy(&script))
}
