//! `pagar cache flush`: a running server forgets a name.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{print, print_json};
use crate::config;
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
}

pub(super) fn run(command: &Command) -> Result<(), ExitError> {
    let Command::Flush(options) = command;
    let name = control::explain::asked(&options.name)
        .map_err(|error| ExitError::Config(format!("{:?}: {error}", options.name)))?;
    let flushed = flush(&api(options)?, &name.to_string(), options.subtree)?;
    if options.json {
        return print_json(&flushed);
    }
    let below = if flushed.subtree { " and below" } else { "" };
    print(&format!("{}{below}: {} entries forgotten\n", flushed.name, flushed.flushed))
}

/// Where the server is to be asked.
fn api(options: &Options) -> Result<String, ExitError> {
    let Some(path) = &options.config else {
        let api = options.api.clone().unwrap_or_default();
        let known = api.starts_with("http://");
        return known
            .then_some(api.clone())
            .ok_or_else(|| ExitError::Config(format!("--api {api:?}: write it like http://127.0.0.1:8053")));
    };
    let config = config::load(path).map_err(|errors| ExitError::Config(errors.to_string()))?;
    let web = config.web.filter(|web| web.port() != 0);
    let web = web.ok_or_else(|| {
        ExitError::Config(format!("{}: no [web] listen with a port, so there is nobody to ask", path.display()))
    })?;
    Ok(format!("http://{web}"))
}

fn flush(api: &str, name: &str, subtree: bool) -> Result<Flushed, ExitError> {
    let url = format!("{}/v1/cache/flush", api.trim_end_matches('/'));
    let failed = |error: String| ExitError::Runtime(format!("{url}: {error}"));
    let agent = ureq::Agent::new_with_config(
        ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(30))).http_status_as_error(false).build(),
    );
    let request = agent.post(&url).query("name", name).query("subtree", subtree.to_string());
    let mut response = request.send_empty().map_err(|error| failed(error.to_string()))?;
    let body = response.body_mut().read_to_string().map_err(|error| failed(error.to_string()))?;
    if !response.status().is_success() {
        return Err(failed(format!("{}: {body}", response.status())));
    }
    serde_json::from_str(&body).map_err(|error| failed(format!("not an outcome: {error}")))
}
