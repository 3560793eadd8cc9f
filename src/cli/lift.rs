//! `pagar lift`: one person lifts a name at once, because waiting for the authority would do harm; or takes
//! that back.

use clap::Args;

use super::operator::Server;
use crate::control::command::Ask;
use crate::error::ExitError;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The name, in presentation format
    name: String,
    /// Why: a line of text that goes into the ledger
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Take the lift back: notices that list the name block it again
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    server: Server,
}

pub(super) fn run(options: &Options) -> Result<(), ExitError> {
    let (name, reason) = (options.name.clone(), options.reason.clone());
    options.server.ask(&if options.undo { Ask::Restore { name, reason } } else { Ask::Lift { name, reason } })
}
