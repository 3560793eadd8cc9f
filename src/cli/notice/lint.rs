//! `pagar notice lint`: what is wrong with notices.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::super::check::{Finding, finding};
use super::super::{print, print_json};
use super::input::{has_errors, lines, octets};
use crate::error::ExitError;
use crate::ingest::format::notice;
use crate::ingest::{Problem, Severity};
use crate::verify::jose::{Envelope, jws};

#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// Notices: JSON, or JWS in any serialisation
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Linted<'a> {
    file: String,
    signed: bool,
    problems: Vec<Finding<'a>>,
}

pub(super) fn run(options: &Options) -> Result<(), ExitError> {
    let mut bad = 0;
    let mut reports = Vec::new();
    for path in &options.files {
        let (signed, problems) = linted(path);
        bad += usize::from(has_errors(&problems));
        if options.json {
            let problems: Vec<_> = problems.iter().map(finding).collect();
            reports.push(json!(Linted { file: path.display().to_string(), signed, problems }));
        } else if problems.is_empty() {
            print(&format!("{}: in order\n", path.display()))?;
        } else {
            print(&lines(&problems))?;
        }
    }
    if options.json {
        print_json(&reports)?;
    }
    match (bad, options.files.len()) {
        (0, _) => Ok(()),
        (bad, all) => Err(ExitError::Data(format!("{bad} of {all} notices with errors"))),
    }
}

/// Whether a file is signed, and what is wrong with it. The places are those in the payload.
fn linted(path: &Path) -> (bool, Vec<Problem>) {
    let problem = |code, message, hint: Option<&str>| Problem {
        severity: Severity::Error,
        file: path.to_owned(),
        line: None,
        column: None,
        message,
        hint: hint.map(str::to_owned),
        code,
    };
    let octets = match octets(path) {
        Ok(octets) => octets,
        Err(error) => return (false, vec![problem("io", error.to_string(), None)]),
    };
    if !jws::is_meant(&octets) {
        return (false, notice::parse(&octets, path).problems);
    }
    match Envelope::parse(&octets) {
        Ok(envelope) => (true, notice::parse(envelope.payload(), path).problems),
        Err(error) => (true, vec![problem(error.code(), error.to_string(), Some(error.hint()))]),
    }
}
