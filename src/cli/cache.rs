//! `pagar cache flush`: a running server forgets a name.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::api::{Api, Credentials};
use super::{print, print_json};
use crate::control;
use crate::error::ExitError;
use crate::serve::Flushed;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Forget what is cached of a name: answers, denials, failures, expired answers
    Flush(Options),
}

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The name, in presentation format; "." with --subtree is everything
    name: String,
    /// Forget the names below it too
    #[arg(long)]
    subtree: bool,
    /// Ask the server of this configuration, at the address of its `web` table
    #[arg(long, value_name = "FILE", required_unless_present = "api", conflicts_with = "api")]
    config: Option<PathBuf>,
    /// Ask this running server, e.g. http://127.0.0.1:8053
    #[arg(long, value_name = "URL")]
    api: Option<String>,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    credentials: Credentials,
}

pub(super) fn run(command: &Command) -> Result<(), ExitError> {
    let Command::Flush(options) = command;
    let name = control::explain::asked(&options.name)
        .map_err(|error| ExitError::Config(format!("{:?}: {error}", options.name)))?;
    let query = [("name", name.to_string()), ("subtree", options.subtree.to_string())];
    let api = Api::of(options.config.as_deref(), options.api.as_deref(), &options.credentials)?;
    let flushed: Flushed = api.post("/v1/cache/flush", &query)?;
    if options.json {
        return print_json(&flushed);
    }
    let below = if flushed.subtree { " and below" } else { "" };
    print(&format!("{}{below}: {} entries forgotten\n", flushed.name, flushed.flushed))
}
