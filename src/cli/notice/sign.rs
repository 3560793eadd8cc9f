//! `pagar notice sign`: a signature, or another one.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;

use super::super::{keys, print};
use super::input::{Input, Summary, has_errors, lines, said};
use crate::error::ExitError;
use crate::ingest::format::notice;
use crate::ingest::{Problem, Severity};
use crate::verify::jose::jws;

#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// The signer's private key: a JWK
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Write the compact serialisation, which carries one signature; default: the general one
    #[arg(long)]
    compact: bool,
    /// Write here, where no file is yet; default: standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The notice as JSON, or as JWS to have another signature
    notice: PathBuf,
}

pub(super) fn run(options: &Options) -> Result<(), ExitError> {
    let key = keys::signer(&options.key, Timestamp::now())?;
    let input = Input::read(&options.notice)?;
    let parsed = notice::parse(input.payload(), &options.notice);
    if parsed.order.is_none() {
        let refused = "a notice that cannot be carried out is not signed: correct it first";
        return Err(ExitError::Data(format!("{}{refused}", lines(&parsed.problems))));
    }
    let problems = as_warnings(parsed.problems);
    let signed = match (&input, options.compact) {
        (Input::Bare(payload), false) => jws::sign(payload, &[&*key]),
        (Input::Bare(payload), true) => jws::compact(payload, &key),
        (Input::Signed(envelope), false) => jws::add_signature(envelope, &key)
            .map_err(|error| ExitError::Config(said(&options.notice, &error.to_string(), error.hint())))?,
        (Input::Signed(_), true) => {
            let message = "the compact serialisation carries one signature, and this notice is signed already";
            return Err(ExitError::Config(said(&options.notice, message, "leave out --compact")));
        }
    };
    // To where it does not mix with the output: whoever signs is to see what.
    let summary = Summary::of(input.payload()).map(|summary| summary.text()).unwrap_or_default();
    eprintln!("{}{summary}signed by {}", lines(&problems), keys::one_line(key.public().kid()));
    match &options.out {
        Some(path) => keys::write_new(path, &format!("{signed}\n"), 0o644),
        None => print(&format!("{signed}\n")),
    }
}

/// Items that cannot be carried out are refused alone, and the rest of the notice proceeds: it may be signed.
fn as_warnings(mut problems: Vec<Problem>) -> Vec<Problem> {
    if has_errors(&problems) {
        eprintln!("nodes will refuse some items, and carry out the rest:");
    }
    problems.iter_mut().for_each(|problem| problem.severity = Severity::Warning);
    problems
}
