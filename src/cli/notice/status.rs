//! `pagar notice status`: what became of one notice, of several, or of all: by a running server, or by receipts that were
//! kept. As a table for the terminal, JSON, CSV, or as a letter to be printed: the reply that is owed to the authority.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use jiff::tz::Offset;
use serde_json::Value;

use super::super::api::{Api, Credentials};
use super::super::screen::{Screen, plain};
use super::super::{keys, print};
use super::input::Input;
use super::push::{path_of, patiently};
use super::receipt::{self, Signed};
use crate::error::ExitError;
use crate::ingest::format::notice;
use crate::model::Receipt;
use crate::report::letter::{self, Names};
use crate::report::status::Line;
use crate::report::{Language, Letterhead, Status, csv, parse_offset};

#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// The notices; none for all
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// The running server, e.g. https://node.isp.example:8053
    #[arg(long, value_name = "URL", env = "PAGAR_API", required_unless_present = "receipt")]
    api: Option<String>,
    /// By these receipts, which were kept, in place of a server
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "ids")]
    receipt: Vec<PathBuf>,
    /// Of this authority only
    #[arg(long, value_name = "ID")]
    authority: Option<String>,
    /// Of notices in this state only
    #[arg(long, value_name = "STATE", conflicts_with = "ids")]
    state: Option<String>,
    /// How it is written
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The same as --format json
    #[arg(long)]
    json: bool,
    /// Write here, where no file is yet; default: standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Public keys of nodes: believe no receipt that is not signed by one of them
    #[arg(long, value_name = "JWK", num_args = 1..)]
    node_key: Vec<PathBuf>,
    #[command(flatten)]
    paper: Paper,
    #[command(flatten)]
    credentials: Credentials,
}

/// What letters are written with.
#[derive(Debug, Args)]
#[command(next_help_heading = "Letters")]
struct Paper {
    /// The language: en, ms, or both
    #[arg(long, value_name = "LANGUAGE", default_value = "both", value_parser = parse_language)]
    lang: Language,
    /// The offset that times are written with
    #[arg(long, value_name = "OFFSET", env = "PAGAR_OFFSET", default_value = "+00:00", value_parser = parse_offset, allow_hyphen_values = true)]
    offset: Offset,
    /// Who writes
    #[arg(long, value_name = "NAME")]
    from: Option<String>,
    /// To whom; default: the authority's id
    #[arg(long, value_name = "NAME")]
    to: Option<String>,
    /// The notice itself, whose names are put into the letter; without it, items are numbers
    #[arg(long, value_name = "NOTICE")]
    with_names: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Csv,
    Html,
}

fn parse_language(text: &str) -> Result<Language, String> {
    Language::of(text).ok_or_else(|| "write en, ms or both".to_owned())
}

pub(super) fn run(options: &Options, screen: Screen) -> Result<(), ExitError> {
    let format = if options.json { Format::Json } else { options.format };
    let text = match (&options.api, &*options.ids) {
        (_, _) if !options.receipt.is_empty() => of_files(options, format, screen)?,
        (Some(api), [id]) => one(options, &by_id(options, api, id)?, format, screen)?,
        (Some(api), _) => several(options, api, format, screen)?,
        (None, _) => return Err(ExitError::Config("--api or --receipt is needed".to_owned())),
    };
    match &options.out {
        Some(path) => keys::write_new(path, &text, 0o644),
        None => print(&text),
    }
}

impl Options {
    fn letterhead(&self) -> Letterhead {
        let Paper { lang, offset, from, to, .. } = &self.paper;
        Letterhead { language: *lang, offset: *offset, from: from.clone(), to: to.clone() }
    }

    /// A receipt that may be shown.
    fn believed(&self, signed: Signed, what: &str) -> Result<Signed, ExitError> {
        if !self.node_key.is_empty() {
            let nodes = receipt::node_keys(&self.node_key)?;
            let verified = signed.verify(&nodes, Timestamp::now());
            verified.map_err(|(_, doubt)| ExitError::Data(format!("{what}: the receipt is not good: {doubt}")))?;
        }
        Ok(signed)
    }
}

//------ one notice ----------------------------------------------------------------------------------------------------

fn by_id(options: &Options, api: &str, id: &str) -> Result<Signed, ExitError> {
    let api = Api::new(api, &options.credentials)?;
    let query: Vec<_> = options.authority.clone().map(|authority| ("authority", authority)).into_iter().collect();
    let answer = patiently(|| api.fetch(&path_of(id), &query))?;
    if answer.status == 404 {
        eprintln!("{}", plain(&answer.in_words()));
        return Err(ExitError::Negative);
    }
    if !answer.is_success() {
        return Err(ExitError::Runtime(plain(&answer.in_words())));
    }
    let signed = Signed::parse(&answer.body).map_err(|error| ExitError::Runtime(format!("{id}: {error}")))?;
    options.believed(signed, id)
}

fn one(options: &Options, signed: &Signed, format: Format, screen: Screen) -> Result<String, ExitError> {
    let receipt = &signed.receipt;
    Ok(match format {
        Format::Text => receipt::text(receipt, screen),
        Format::Json => serde_json::to_string_pretty(&signed.json).unwrap_or_default() + "\n",
        Format::Csv => csv::receipts([receipt]),
        Format::Html => letter::html(receipt, &names(options, receipt)?, &options.letterhead()),
    })
}

/// The names of the notice that a receipt is of, by its items.
fn names(options: &Options, receipt: &Receipt) -> Result<Names, ExitError> {
    let Some(path) = &options.paper.with_names else { return Ok(Names::new()) };
    let input = Input::read(path)?;
    let order = notice::parse(input.payload(), path).order;
    let digest = order.as_ref().map(|order| crate::control::explain::hex(&order.digest));
    let Some(order) = order.filter(|_| digest == receipt.payload) else {
        return Err(ExitError::Data(format!("{}: this is not the notice that the receipt is of", path.display())));
    };
    let items = order.act.restriction().into_iter().flat_map(|restriction| &restriction.items);
    let named = items.filter_map(|item| {
        let (name, _) = item.target.as_ref().ok()?;
        Some((item.id.to_string(), name.to_string()))
    });
    Ok(named.collect())
}

//------ several -------------------------------------------------------------------------------------------------------

/// The server counts them, and writes what is to be printed.
fn several(options: &Options, api: &str, format: Format, screen: Screen) -> Result<String, ExitError> {
    let api = Api::new(api, &options.credentials)?;
    let mut query: Vec<_> = options.ids.iter().map(|id| ("notice", id.clone())).collect();
    query.extend(options.authority.clone().map(|authority| ("authority", authority)));
    query.extend(options.state.clone().map(|state| ("state", state)));
    if format == Format::Csv {
        query.push(("format", "csv".to_owned()));
    }
    let answer = patiently(|| api.fetch(RECEIPTS, &query))?;
    if format == Format::Csv {
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        return if answer.is_success() { Ok(body) } else { Err(ExitError::Runtime(plain(&answer.in_words()))) };
    }
    let value: Value = api.read(RECEIPTS, &answer)?;
    let status: Status = api.read(RECEIPTS, &answer)?;
    Ok(counted(options, &status, &value, format, screen))
}

/// Where a server counts receipts.
const RECEIPTS: &str = "/v1/receipts";

fn of_files(options: &Options, format: Format, screen: Screen) -> Result<String, ExitError> {
    let read = |path: &PathBuf| options.believed(Signed::read(path)?, &path.display().to_string());
    let signed: Vec<Signed> = options.receipt.iter().map(read).collect::<Result<_, _>>()?;
    if let [signed] = &*signed {
        return one(options, signed, format, screen);
    }
    let is_of = |receipt: &&Receipt| options.authority.is_none() || receipt.authority == options.authority;
    let is_in = |receipt: &&Receipt| options.state.as_deref().is_none_or(|state| receipt.state == state);
    let receipts: Vec<_> = signed.iter().map(|signed| &signed.receipt).filter(is_of).filter(is_in).collect();
    if format == Format::Csv {
        return Ok(csv::receipts(receipts));
    }
    // what is later than the newest receipt, none of them knows
    let cut_off = receipts.iter().map(|receipt| receipt.written_at).max().unwrap_or_else(Timestamp::now);
    let status = Status::of(receipts, cut_off);
    let value = serde_json::to_value(&status).unwrap_or_default();
    Ok(counted(options, &status, &value, format, screen))
}

fn counted(options: &Options, status: &Status, value: &Value, format: Format, screen: Screen) -> String {
    match format {
        Format::Html => status.html(&options.letterhead()),
        Format::Json => serde_json::to_string_pretty(value).unwrap_or_default() + "\n",
        Format::Text | Format::Csv => table(status, screen),
    }
}

fn table(status: &Status, screen: Screen) -> String {
    let time = |at: Option<Timestamp>| at.map(|at| format!("{at:.0}")).unwrap_or_default();
    let rows: Vec<_> = status
        .notices
        .iter()
        .map(|line| {
            let Line { items, .. } = line;
            let done = format!("{}/{}", items.enforced, items.ordered);
            let kept = items.refused + items.quarantined;
            [
                line.notice.clone().unwrap_or_else(|| "?".to_owned()),
                line.kind.clone().unwrap_or_default(),
                line.state.clone(),
                time(Some(line.received_at)),
                time(line.enforced_at.or(line.lifted_at)),
                if items.ordered > 0 { done } else { String::new() },
                if kept > 0 { kept.to_string() } else { String::new() },
                if line.late { "late".to_owned() } else { String::new() },
            ]
        })
        .collect();
    let heads = ["NOTICE", "KIND", "STATE", "RECEIVED", "ENFORCED", "ITEMS", "NOT DONE", ""];
    let Status { cut_off, orders, orders_refused, late, items, .. } = status;
    format!(
        "{}as of {cut_off:.0}: {orders} notices, {orders_refused} refused, {late} late; {} items ordered: {} enforced, {} \
         waiting, {} tested, {} quarantined, {} refused, {} lifted, {} replaced\n",
        screen.table(heads, 2, &rows),
        items.ordered,
        items.enforced,
        items.waiting,
        items.tested,
        items.quarantined,
        items.refused,
        items.lifted,
        items.replaced
    )
}
