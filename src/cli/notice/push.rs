//! `pagar notice push`: hands signed notices to a running server, waits until it has seen them work, and keeps the receipts.
//!
//! Handing over the same notice again does no harm, so whoever is not sure does it again. A server that is busy is asked
//! again when it says, a bounded number of times.

use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::api::{Answer, Api, Credentials, Problem};
use super::super::screen::{Screen, plain};
use super::super::{print, print_json};
use super::input::{octets, said};
use super::receipt::{self, Signed};
use crate::control::explain::hex;
use crate::error::ExitError;
use crate::model::Receipt;
use crate::verify::jose::{Envelope, PublicKey};

/// How often a busy server is asked.
const TRIES: u32 = 6;
/// How long it is left alone at most, whatever it says.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long a server holds a reply back, at most.
const LONGEST_HOLD: Duration = Duration::from_secs(60);
/// How long a reply may take beyond that.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// Signed notices: JWS in any serialisation
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The running server, e.g. https://192.0.2.53:8053
    #[arg(long, value_name = "URL", env = "PAGAR_API")]
    api: String,
    /// Ask what each would do, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    delivery: Delivery,
}

/// How notices are handed over.
#[derive(Debug, Args)]
pub(super) struct Delivery {
    /// How long to wait until the server has seen the notice work
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_wait)]
    wait: Duration,
    /// Keep receipts in this directory; default: beside the notices
    #[arg(long, value_name = "DIRECTORY")]
    receipt_dir: Option<PathBuf>,
    /// Public keys of nodes: believe no receipt that is not signed by one of them
    #[arg(long, value_name = "JWK", num_args = 1..)]
    node_key: Vec<PathBuf>,
    /// Print what became of each as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    credentials: Credentials,
}

fn parse_wait(text: &str) -> Result<Duration, String> {
    let wait = text.parse::<SignedDuration>().ok().and_then(|wait| Duration::try_from(wait).ok());
    wait.filter(|wait| *wait <= Duration::from_secs(3_600))
        .ok_or_else(|| "write a time such as 30s or 5m, up to 1h".into())
}

pub(super) fn run(options: &Options, screen: Screen) -> Result<(), ExitError> {
    if options.dry_run {
        return rehearse(options, screen);
    }
    files(&options.files, &options.api, &options.delivery, screen)
}

/// Hands over files, one after the other: later ones may be about earlier ones.
pub(super) fn files(files: &[PathBuf], api: &str, delivery: &Delivery, screen: Screen) -> Result<(), ExitError> {
    let notices = read_all(files)?;
    let nodes = receipt::node_keys(&delivery.node_key)?;
    let api = Api::patient(api, &delivery.credentials, LONGEST_HOLD + PATIENCE)?;
    let courier = Courier { api, delivery, nodes };
    let (mut reports, mut all_done) = (Vec::new(), true);
    let mut failure = None;
    for (path, octets) in files.iter().zip(&notices) {
        progress(&format!("{}: handed over, waiting until the node has seen it work", path.display()));
        let outcome = courier.carry(octets);
        progress("");
        let saved = match outcome.as_ref().map(Outcome::receipt) {
            Ok(Some(signed)) => Some(courier.keep(signed, path)?),
            _ => None,
        };
        match outcome {
            Ok(outcome) => {
                all_done &= outcome.is_done();
                match delivery.json {
                    true => reports.push(outcome.json(path, saved.as_deref())),
                    false => print(&outcome.text(path, saved.as_deref(), screen))?,
                }
            }
            Err(error) => {
                failure = Some(error); // it would not take the next one either
                break;
            }
        }
    }
    if delivery.json {
        print_json(&reports)?;
    }
    match (failure, all_done) {
        (Some(error), _) => Err(error),
        (None, true) => Ok(()),
        (None, false) => Err(ExitError::Negative),
    }
}

/// All of them are read before the first is sent, so that a wrong name stops everything.
fn read_all(files: &[PathBuf]) -> Result<Vec<Vec<u8>>, ExitError> {
    let read = |path: &PathBuf| {
        let octets = octets(path)?;
        match Envelope::parse(&octets) {
            Ok(_) => Ok(octets),
            Err(error) => Err(ExitError::Data(said(path, &error.to_string(), error.hint()))),
        }
    };
    files.iter().map(read).collect()
}

/// A line that is replaced, on a terminal only.
pub(super) fn progress(text: &str) {
    if stderr().is_terminal() {
        eprint!("\r\u{1b}[K{text}");
    }
}

//------ one notice ----------------------------------------------------------------------------------------------------

struct Courier<'a> {
    api: Api,
    delivery: &'a Delivery,
    nodes: Vec<PublicKey>,
}

/// What became of a notice.
enum Outcome {
    /// The server has it.
    Taken { signed: Box<Signed>, is_new: bool },
    /// It does not want it.
    Refused { problem: Problem, status: u16, signed: Option<Box<Signed>> },
}

impl Courier<'_> {
    fn carry(&self, octets: &[u8]) -> Result<Outcome, ExitError> {
        let end = Instant::now() + self.delivery.wait;
        let media =
            if octets.trim_ascii_start().starts_with(b"{") { "application/jose+json" } else { "application/jose" };
        let answer = patiently(|| self.api.deliver("/v1/notices", &self.hold(end), media, octets))?;
        if !answer.is_success() {
            return refused(&answer);
        }
        let (mut signed, is_new) = (self.believed(&answer.body, octets)?, answer.status == 201);
        while receipt::is_open(&signed.receipt) && Instant::now() < end {
            let Some(path) = receipt_path(&signed.receipt) else { break };
            let mut query = self.hold(end);
            query.extend(signed.receipt.authority.clone().map(|authority| ("authority", authority)));
            let answer = patiently(|| self.api.fetch(&path, &query))?;
            if !answer.is_success() {
                break; // it has taken the notice; that is what counts
            }
            signed = self.believed(&answer.body, octets)?;
        }
        Ok(Outcome::Taken { signed: Box::new(signed), is_new })
    }

    /// How long the server may hold the reply back.
    fn hold(&self, end: Instant) -> Vec<(&'static str, String)> {
        let left = end.saturating_duration_since(Instant::now()).min(LONGEST_HOLD);
        vec![("wait", left.as_secs_f64().ceil().to_string())]
    }

    /// A receipt of just this notice, signed by a node we know if any are given.
    fn believed(&self, body: &[u8], octets: &[u8]) -> Result<Signed, ExitError> {
        let wrong = |what: String| ExitError::Runtime(format!("the receipt is not to be believed: {what}"));
        let signed = Signed::parse(body).map_err(wrong)?;
        let payload = Envelope::parse(octets).map(|envelope| hex(&Sha256::digest(envelope.payload())));
        if signed.receipt.payload != payload.ok() {
            return Err(wrong("it is of another notice".to_owned()));
        }
        if !self.nodes.is_empty() {
            signed.verify(&self.nodes, Timestamp::now()).map_err(|(_, what)| wrong(what))?;
        }
        Ok(signed)
    }

    fn keep(&self, signed: &Signed, notice: &Path) -> Result<PathBuf, ExitError> {
        let place = receipt::place(notice, self.delivery.receipt_dir.as_deref());
        signed.keep(&place).map(|()| place)
    }
}

/// Asks again while the server is busy, a bounded number of times.
pub(super) fn patiently(mut ask: impl FnMut() -> Result<Answer, ExitError>) -> Result<Answer, ExitError> {
    let mut tries = 1;
    loop {
        let answer = ask()?;
        if ![429, 503].contains(&answer.status) {
            return Ok(answer);
        }
        if tries == TRIES {
            return Err(ExitError::Runtime(format!("it was asked {TRIES} times: {}", answer.in_words())));
        }
        let pause = answer.retry_after.unwrap_or_else(|| Duration::from_secs(1 << (tries - 1))).min(LONGEST_PAUSE);
        progress(&format!("the server is busy; it is asked again in {pause:?}"));
        sleep(pause);
        tries += 1;
    }
}

/// Where the receipt of an order is read.
pub(super) fn receipt_path(receipt: &Receipt) -> Option<String> {
    receipt.notice.as_deref().map(path_of)
}

/// The same by its id.
pub(super) fn path_of(id: &str) -> String {
    format!("/v1/notices/{}/receipt", utf8_percent_encode(id, NON_ALPHANUMERIC))
}

/// The server's word against it; anything else that is no success is no word at all.
fn refused(answer: &Answer) -> Result<Outcome, ExitError> {
    let Some(problem) = answer.problem() else { return Err(ExitError::Runtime(answer.in_words())) };
    let signed = problem.receipt.as_ref().and_then(|receipt| Signed::parse(receipt.to_string().as_bytes()).ok());
    Ok(Outcome::Refused { problem, status: answer.status, signed: signed.map(Box::new) })
}

impl Outcome {
    fn receipt(&self) -> Option<&Signed> {
        match self {
            Self::Taken { signed, .. } => Some(signed),
            Self::Refused { signed, .. } => signed.as_deref(),
        }
    }

    fn is_done(&self) -> bool {
        match self {
            Self::Taken { signed, .. } => receipt::is_done(&signed.receipt),
            Self::Refused { .. } => false,
        }
    }

    fn json(&self, file: &Path, saved: Option<&Path>) -> Value {
        let mut report = json!({
            "file": file.display().to_string(),
            "done": self.is_done(),
            "saved": saved.map(|path| path.display().to_string()),
            "receipt": self.receipt().map(|signed| &signed.receipt),
        });
        match self {
            Self::Taken { is_new, .. } => report["new"] = json!(is_new),
            Self::Refused { problem, status, .. } => {
                let Problem { code, detail, hint, .. } = problem;
                report["problem"] = json!({ "status": status, "code": code, "detail": detail, "hint": hint });
            }
        }
        report
    }

    fn text(&self, file: &Path, saved: Option<&Path>, screen: Screen) -> String {
        let mut text = match self {
            Self::Taken { signed, is_new } => {
                let known = if *is_new { "" } else { "it was known already\n" };
                format!("{known}{}", receipt::text(&signed.receipt, screen))
            }
            Self::Refused { problem, .. } => refusal(file, problem, screen),
        };
        if let Some(saved) = saved {
            text += &format!("receipt: {}\n", saved.display());
        }
        text
    }
}

fn refusal(file: &Path, problem: &Problem, screen: Screen) -> String {
    let Problem { code, detail, hint, problems, .. } = problem;
    let mut text = format!("{}: {}: {} ({})\n", file.display(), screen.state("refused"), plain(detail), plain(code));
    text += &hint.as_ref().map(|hint| format!("  hint: {}\n", plain(hint))).unwrap_or_default();
    for finding in problems.iter().filter(|finding| finding.message != *detail) {
        let line = finding.line.map(|line| format!("line {line}: ")).unwrap_or_default();
        let hint = finding.hint.as_ref().map(|hint| format!(" (hint: {})", plain(hint))).unwrap_or_default();
        text += &format!("  {line}{}{hint}\n", plain(&finding.message));
    }
    text
}

//------ --dry-run -----------------------------------------------------------------------------------------------------

fn rehearse(options: &Options, screen: Screen) -> Result<(), ExitError> {
    let Options { files, api, delivery, .. } = options;
    let notices = read_all(files)?;
    let api = Api::new(api, &delivery.credentials)?;
    let (mut reports, mut all_good) = (Vec::new(), true);
    for (path, octets) in files.iter().zip(&notices) {
        let media =
            if octets.trim_ascii_start().starts_with(b"{") { "application/jose+json" } else { "application/jose" };
        let query = [("dry_run", "true".to_owned())];
        let answer = patiently(|| api.deliver("/v1/notices", &query, media, octets))?;
        let report: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        all_good &= answer.is_success();
        match delivery.json {
            true => reports
                .push(json!({ "file": path.display().to_string(), "good": answer.is_success(), "report": report })),
            false => print(&format!("{}: {}\n", path.display(), rehearsed(&answer, &report, screen)))?,
        }
    }
    if delivery.json {
        print_json(&reports)?;
    }
    if all_good { Ok(()) } else { Err(ExitError::Negative) }
}

/// What the server says it would do.
fn rehearsed(answer: &Answer, report: &Value, screen: Screen) -> String {
    if !answer.is_success() {
        return format!("would be refused: {}", plain(&answer.in_words()));
    }
    let text = report["text"].as_str().map_or_else(|| format!("would be taken: {report}"), plain);
    let items = report["items"].as_array().into_iter().flatten();
    let word = |item: &Value, key: &str| item[key].as_str().map_or_else(String::new, plain);
    let rows: Vec<_> = items.map(|item| ["item", "state", "code"].map(|key| word(item, key))).collect();
    if rows.is_empty() { text } else { text + "\n" + screen.table(["ITEM", "STATE", "REASON"], 1, &rows).trim_end() }
}
