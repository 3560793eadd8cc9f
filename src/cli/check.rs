//! `pagar check`: everything `pagar serve` would read, without answering anything.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::{print, print_json};
use crate::config;
use crate::control::{self, explain};
use crate::error::ExitError;
use crate::ingest::{Problem, Severity, Update};
use crate::policy::Snapshot;
use crate::zones;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    names: u64,
    notices: usize,
    in_force: usize,
    digest: String,
    errors: usize,
    warnings: usize,
    problems: Vec<Finding<'a>>,
}

/// A problem as JSON.
#[derive(Serialize)]
pub(super) struct Finding<'a> {
    severity: String,
    file: String,
    line: Option<usize>,
    column: Option<usize>,
    code: &'a str,
    message: &'a str,
    hint: Option<&'a str>,
}

pub(super) fn run(options: &Options) -> Result<(), ExitError> {
    let config = config::load(&options.config).map_err(|errors| ExitError::Config(errors.to_string()))?;
    if !config.warnings.is_empty() {
        eprintln!("{}", config.warnings);
    }
    let at = Timestamp::now();
    let (policy, updates) = control::compile_once(&crate::serve::control_config(&config), at);
    let local = zones::load(&config.dns.local);
    let problems: Vec<&Problem> = updates.iter().flat_map(problems_of).chain(&local.problems).collect();
    let mut report = report(&policy, &problems, at);
    report.warnings += config.warnings.len();
    report.problems.splice(0..0, config.warnings.iter().map(of_config));
    if options.json {
        print_json(&report)?;
    } else {
        print(&text(&report, &problems))?;
    }
    match report.errors {
        0 => Ok(()),
        1 => Err(ExitError::Data("1 error: what it is about will not be in force".into())),
        errors => Err(ExitError::Data(format!("{errors} errors: what they are about will not be in force"))),
    }
}

fn problems_of(update: &Update) -> impl Iterator<Item = &Problem> {
    update.failure.iter().chain(&update.problems)
}

fn report<'a>(policy: &Snapshot, problems: &[&'a Problem], at: Timestamp) -> Report<'a> {
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    Report {
        names: policy.names(),
        notices: policy.notices(),
        in_force: policy.entries().filter(|entry| entry.notice.validity.contains(at)).count(),
        digest: explain::hex(&policy.digest),
        errors,
        warnings: problems.len() - errors,
        problems: problems.iter().map(|problem| finding(problem)).collect(),
    }
}

pub(super) fn finding(problem: &Problem) -> Finding<'_> {
    Finding {
        severity: problem.severity.to_string(),
        file: problem.file.display().to_string(),
        line: problem.line,
        column: problem.column,
        code: problem.code,
        message: &problem.message,
        hint: problem.hint.as_deref(),
    }
}

fn of_config(warning: &config::Diagnostic) -> Finding<'_> {
    Finding {
        severity: warning.severity.to_string(),
        file: warning.file.display().to_string(),
        line: warning.line,
        column: warning.column,
        code: "config",
        message: &warning.message,
        hint: warning.hint.as_deref(),
    }
}

fn text(report: &Report, problems: &[&Problem]) -> String {
    let mut text: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    text.push_str(&format!(
        "{} names in force by {} of {} notices; {} errors, {} warnings\n",
        report.names, report.in_force, report.notices, report.errors, report.warnings
    ));
    text
}
