//! `pagar ledger`: the record of what the node was told and did, verified and exported. A server may write to it
//! meanwhile.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{print, print_json};
use crate::config;
use crate::error::ExitError;
use crate::ledger::seal::Key;
use crate::ledger::verify::{Break, Report, VerifyError, verify};
use crate::ledger::{Digest, Head, Ledger, LedgerError};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check every record and payload; exit code 0 whole, 1 changed, 3 not readable
    Verify(Verify),
    /// Print the records as JSON, one a line; names of secret notices are not among them
    Export(Export),
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    #[command(flatten)]
    place: Place,
    /// Say which record has this head; exit code 1 if none has. The head is kept from a receipt or metric
    #[arg(long, value_name = "HASH", value_parser = parse_digest)]
    head: Option<Digest>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Export {
    #[command(flatten)]
    place: Place,
    /// From this record on
    #[arg(long, value_name = "SEQUENCE", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    from: u64,
}

#[derive(Debug, Args)]
struct Place {
    /// Of the server with this configuration; its key opens sealed payloads
    #[arg(long, value_name = "FILE", required_unless_present = "dir", conflicts_with = "dir")]
    config: Option<PathBuf>,
    /// In this state directory, or a copy of it
    #[arg(long, value_name = "DIRECTORY")]
    dir: Option<PathBuf>,
}

fn parse_digest(text: &str) -> Result<Digest, String> {
    Digest::from_text(text).ok_or_else(|| "not a hash: 64 hexadecimal digits are wanted".into())
}

pub(super) fn run(command: &Command) -> Result<(), ExitError> {
    match command {
        Command::Verify(options) => verified(options),
        Command::Export(options) => exported(options),
    }
}

/// The state directory, and what sealed payloads are opened with.
fn find(place: &Place) -> Result<(PathBuf, Option<Key>), ExitError> {
    let Some(path) = &place.config else { return Ok((place.dir.clone().unwrap_or_default(), None)) };
    let config = config::load(path).map_err(|errors| ExitError::Config(errors.to_string()))?;
    Ok((config.ledger, config.ledger_key))
}

fn verified(options: &Verify) -> Result<(), ExitError> {
    let (directory, key) = find(&options.place)?;
    let outcome = match verify(&directory, key, options.head.as_ref()) {
        Ok(report) => Ok(report),
        Err(VerifyError::Break(found)) => Err(found),
        Err(VerifyError::Unreadable(error)) => return Err(unreadable(&error)),
    };
    let lost = options.head.is_some() && matches!(outcome, Ok(Report { found: None, .. }));
    if options.json {
        print_json(&as_json(&outcome, lost))?;
    } else {
        print(&as_text(&outcome, options.head.as_ref()))?;
    }
    if outcome.is_err() || lost { Err(ExitError::Negative) } else { Ok(()) }
}

fn unreadable(error: &LedgerError) -> ExitError {
    ExitError::Data(error.to_string())
}

fn as_json(outcome: &Result<Report, Break>, lost: bool) -> serde_json::Value {
    match outcome {
        Ok(report) => json!({ "whole": !lost, "report": report }),
        Err(found) => json!({ "whole": false, "break": found, "message": found.to_string() }),
    }
}

fn as_text(outcome: &Result<Report, Break>, wanted: Option<&Digest>) -> String {
    let Report { head, payloads, sealed, found } = match outcome {
        Ok(report) => report,
        Err(found) => return format!("{found}\nall records before it are as they were written\n"),
    };
    let mut text = format!("{} records are as they were written, {payloads} payloads with them", head.sequence);
    if *sealed > 0 {
        text += &format!("; {sealed} more are sealed and were not opened: --config names the key");
    }
    text += &format!("\nhead {}\n", head.hash);
    match (wanted, found) {
        (None, _) => (),
        (Some(wanted), Some(sequence)) => text += &format!("record {sequence} has the head {wanted}\n"),
        (Some(wanted), None) => {
            text +=
                &format!("no record has the head {wanted}: the ledger was cut or written anew, or it is another's\n");
        }
    }
    text
}

fn exported(options: &Export) -> Result<(), ExitError> {
    let (directory, key) = find(&options.place)?;
    let mut ledger = Ledger::inspect(&directory, key).map_err(|error| unreadable(&error))?;
    // with the one before, whose hash is the first that the reader needs
    let records = ledger.records(options.from.max(2) - 1).map_err(|error| unreadable(&error))?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut before = Head::origin();
    for stored in records {
        let stored = stored.map_err(|error| unreadable(&error))?;
        if stored.head.sequence >= options.from {
            let line = stored.as_json(&before).map_err(ExitError::Data)?;
            if !written(writeln!(out, "{line}"))? {
                return Ok(());
            }
        }
        before = stored.head;
    }
    written(out.flush()).map(drop)
}

/// Whether anybody still reads.
fn written(written: io::Result<()>) -> Result<bool, ExitError> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(ExitError::Runtime(format!("cannot write to standard output: {error}"))),
    }
}
