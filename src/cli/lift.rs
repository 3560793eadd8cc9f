//! `pagar lift`: one person lifts a name at once, because waiting for the authority would do harm.

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
    #[command(flatten)]
    server: Server,
}

pub(super) fn run(options: &Options) -> Result<(), ExitError> {
    options.server.ask(&Ask::Lift { name: options.name.clone(), reason: options.reason.clone() })
}
