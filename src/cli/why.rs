//! `pagar why`: one name explained, from the configuration on disk or by a running server.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use hickory_proto::rr::RecordType;
use jiff::Timestamp;

use super::api::{Api, Credentials};
use super::{print, print_json};
use crate::config;
use crate::control::{self, Explanation};
use crate::error::ExitError;
use crate::model::DnsName;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The name, in presentation format
    name: String,
    /// The record type: a mnemonic or TYPEnnn
    #[arg(long = "type", value_name = "TYPE", default_value = "A", value_parser = parse_type)]
    qtype: RecordType,
    /// Say whether this client is exempt
    #[arg(long, value_name = "ADDRESS")]
    client: Option<IpAddr>,
    /// Explain for another time (RFC 3339), of what the sources say now
    #[arg(long, value_name = "TIME", conflicts_with = "api")]
    at: Option<Timestamp>,
    /// Read this configuration and its sources
    #[arg(long, value_name = "FILE", required_unless_present = "api", conflicts_with = "api")]
    config: Option<PathBuf>,
    /// Ask this running server, e.g. http://127.0.0.1:8053
    #[arg(long, value_name = "URL")]
    api: Option<String>,
    /// Print the explanation as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    credentials: Credentials,
}

fn parse_type(text: &str) -> Result<RecordType, String> {
    let known = crate::model::rtype::parse(text).map(RecordType::from);
    known.ok_or_else(|| "not a record type: write a mnemonic like AAAA, or TYPE65".into())
}

pub(super) fn run(options: &Options) -> Result<(), ExitError> {
    let name = control::explain::asked(&options.name)
        .map_err(|error| ExitError::Config(format!("{:?}: {error}", options.name)))?;
    let explanation = match (&options.config, &options.api) {
        (Some(config), _) => offline(config, &name, options)?,
        (None, Some(api)) => online(api, &name, options)?,
        (None, None) => return Err(ExitError::Config("--config or --api is needed".into())),
    };
    if options.json {
        print_json(&explanation)?;
    } else {
        print(&format!("{explanation}\n"))?;
    }
    if explanation.listed { Ok(()) } else { Err(ExitError::Negative) }
}

fn offline(path: &std::path::Path, name: &DnsName, options: &Options) -> Result<Explanation, ExitError> {
    let config = config::load(path).map_err(|errors| ExitError::Config(errors.to_string()))?;
    let at = options.at.unwrap_or_else(Timestamp::now);
    let (policy, updates) = control::compile_once(&crate::serve::control_config(&config), at);
    for problem in updates.iter().flat_map(|update| update.failure.iter().chain(&update.problems)) {
        eprintln!("{problem}");
    }
    let explanation = Explanation::of(&policy, name, options.qtype.into(), at, None);
    let explanation = match options.client {
        Some(client) => explanation.for_client(client, &config.dns.settings.exempt),
        None => explanation,
    };
    if !explanation.listed && updates.iter().any(|update| update.failure.is_some()) {
        return Err(ExitError::Data("not every source can be read, so \"not listed\" cannot be said".into()));
    }
    Ok(explanation)
}

fn online(api: &str, name: &DnsName, options: &Options) -> Result<Explanation, ExitError> {
    let mut query = vec![("name", name.to_string()), ("type", u16::from(options.qtype).to_string())];
    query.extend(options.client.map(|client| ("client", client.to_string())));
    Api::new(api, &options.credentials)?.get("/v1/check", &query)
}
