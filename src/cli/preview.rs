//! `pagar preview`: what a notice would have done to the queries of a running server, before it is put in force.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use jiff::SignedDuration;

use super::api::{Api, Credentials};
use super::{print, print_json};
use crate::control::preview::{self, DEFAULT, LONGEST, MAX_SIZE, PreviewReport};
use crate::error::ExitError;
use crate::model::Scope;

const PATH: &str = "/v1/preview";
/// How often the server is asked whether it has ended, once its time is over.
const LOOK: Duration = Duration::from_millis(100);
/// How long after its time it may end.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct Options {
    /// A notice (JSON), or a list with one name a line
    file: PathBuf,
    /// How long to count: 60s, 5m, at most 1h
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = parse_time)]
    time: Duration,
    /// How far the names of a list reach
    #[arg(long, value_name = "SCOPE", default_value = "subtree", value_parser = ["exact", "subtree"])]
    scope: String,
    /// The server of this configuration, at the address of its `web` table
    #[arg(long, value_name = "FILE", required_unless_present = "api", conflicts_with = "api")]
    config: Option<PathBuf>,
    /// This running server, e.g. http://127.0.0.1:8053
    #[arg(long, value_name = "URL")]
    api: Option<String>,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    credentials: Credentials,
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("write a time such as {}s or 5m, of whole seconds up to 1h", DEFAULT.as_secs());
    let time = text.parse::<SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok()).ok_or_else(wrong)?;
    let is_good = (Duration::from_secs(1)..=LONGEST).contains(&time) && time.subsec_nanos() == 0;
    is_good.then_some(time).ok_or_else(wrong)
}

pub(super) fn run(options: &Options) -> Result<(), ExitError> {
    let Options { file, time, scope, config, api, json, credentials } = options;
    let octets = read(file, scope)?;
    let api = Api::of(config.as_deref(), api.as_deref(), credentials)?;
    let query = [("seconds", time.as_secs().to_string()), ("scope", scope.clone())];
    let started: PreviewReport = api.send(PATH, &query, &octets)?;
    if std::io::stderr().is_terminal() {
        eprintln!("counting for {time:?} what {} names would block", started.candidate);
    }
    let report = ended(&api, *time)?;
    if *json {
        return print_json(&report);
    }
    let PreviewReport { queries, names, seconds, .. } = report;
    print(&format!("would have blocked {queries} queries under {names} names in the last {seconds} s\n"))
}

/// The candidate as it is sent, seen to be one here: what is wrong with it is no failure of the server.
fn read(file: &Path, scope: &str) -> Result<Vec<u8>, ExitError> {
    let wrong = |why: String| ExitError::Data(format!("{}: {why}", file.display()));
    let octets = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    if octets.len() > MAX_SIZE {
        return Err(wrong(format!("larger than {} MiB", MAX_SIZE >> 20)));
    }
    let scope = if scope == Scope::Exact.as_str() { Scope::Exact } else { Scope::Subtree };
    let candidate = preview::candidate(&octets, scope).map_err(|error| {
        let hint = error.hint.as_ref().map_or_else(String::new, |hint| format!(" (hint: {hint})"));
        wrong(format!("{error}{hint}"))
    })?;
    if candidate.refused > 0 {
        eprintln!("{}: {} items or lines would be refused and are left out", file.display(), candidate.refused);
    }
    Ok(octets)
}

/// Waits until the server has ended it.
fn ended(api: &Api, time: Duration) -> Result<PreviewReport, ExitError> {
    let last = Instant::now() + time + PATIENCE;
    sleep(time);
    loop {
        let report: PreviewReport = api.get(PATH, &[])?;
        if !report.running {
            return Ok(report);
        }
        if Instant::now() > last {
            return Err(ExitError::Runtime(
                "the server goes on counting after its time: is it another preview?".into(),
            ));
        }
        sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_and_an_end() {
        assert_eq!(parse_time("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(parse_time("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse_time("1h"), Ok(LONGEST));
        for wrong in ["", "60", "0s", "-5s", "2h", "1500ms", "soon"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }
}
