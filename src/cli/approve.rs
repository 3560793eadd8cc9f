//! `pagar approve`: a person approves what the guard holds, or asks what that is.

use clap::Args;

use super::operator::Server;
use crate::control::command::Ask;
use crate::error::ExitError;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The number of what is held, as --list shows it
    #[arg(required_unless_present = "list", requires = "reason")]
    id: Option<u64>,
    /// Why: a line of text that goes into the ledger
    #[arg(long, value_name = "TEXT", requires = "id")]
    reason: Option<String>,
    /// List what is held
    #[arg(long, conflicts_with_all = ["id", "reason"])]
    list: bool,
    #[command(flatten)]
    server: Server,
}

pub(super) fn run(options: &Options) -> Result<(), ExitError> {
    let ask = match (options.id, &options.reason) {
        (Some(id), Some(reason)) => Ask::Approve { id, reason: reason.clone() },
        _ => Ask::Held {},
    };
    options.server.ask(&ask)
}
