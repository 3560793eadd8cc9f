//! [`Server`]: the running server, for the commands of persons: by its operators' socket, where the system says who asks,
//! or by its API, where a credential does.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use super::api::{Api, Credentials};
use super::{print, print_json};
use crate::config;
use crate::control::command::{Ask, HeldItem, OperatorReply};
use crate::error::ExitError;

/// How long a reply may take: an approved list is read, compiled and put in force in that time.
const PATIENCE: Duration = Duration::from_secs(120);
/// Octets of a reply that are read.
const LONGEST: u64 = 64 << 20;

/// Where the API takes what persons decide, and lists what waits for them.
const OVERRIDES: &str = "/v1/overrides";

#[derive(Deserialize)]
struct Done {
    text: String,
    ledger: Option<u64>,
}

#[derive(Deserialize)]
struct Held {
    held: Vec<HeldItem>,
}

/// Which server, and how its reply is shown.
#[derive(Debug, Args)]
pub(super) struct Server {
    /// Ask the server of this configuration, by its operators' socket
    #[arg(long, value_name = "FILE", required_unless_present_any = ["socket", "api"], conflicts_with_all = ["socket", "api"])]
    config: Option<PathBuf>,
    /// Ask the server of this socket, e.g. /var/lib/pagar/control.sock
    #[arg(long, value_name = "PATH", conflicts_with = "api")]
    socket: Option<PathBuf>,
    /// Ask this server over HTTP, e.g. https://node.isp.example:8053; the credential says who asks
    #[arg(long, value_name = "URL")]
    api: Option<String>,
    /// Print the reply as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    credentials: Credentials,
}

impl Server {
    /// Asks, and says what it says.
    pub(super) fn ask(&self, ask: &Ask) -> Result<(), ExitError> {
        let reply = match &self.api {
            Some(api) => self.over_http(api, ask)?,
            None => self.over_socket(ask)?,
        };
        self.show(&reply)
    }

    fn over_http(&self, api: &str, ask: &Ask) -> Result<OperatorReply, ExitError> {
        let api = Api::patient(api, &self.credentials, PATIENCE)?;
        if matches!(ask, Ask::Held {}) {
            return api.get(OVERRIDES, &[]).map(|Held { held }| OperatorReply::List(held));
        }
        let body = serde_json::to_vec(ask).map_err(|error| ExitError::Runtime(error.to_string()))?;
        let answer = api.deliver(OVERRIDES, &[], "application/json", &body)?;
        match answer.problem() {
            // it was heard and is refused; what is wrong with the connection or the server is another matter
            Some(problem) if (400..500).contains(&answer.status) => {
                let hint = problem.hint.map(|hint| format!(" (hint: {hint})")).unwrap_or_default();
                Ok(OperatorReply::refused(&problem.code, problem.detail + &hint))
            }
            _ => api.read(OVERRIDES, &answer).map(|Done { text, ledger }| OperatorReply::Ok { text, ledger }),
        }
    }

    fn over_socket(&self, ask: &Ask) -> Result<OperatorReply, ExitError> {
        let path = self.path()?;
        let failed = |error: io::Error| ExitError::Runtime(format!("{}: {error}", path.display()));
        let stream = UnixStream::connect(&path).map_err(|error| {
            ExitError::Runtime(format!("{}: no server can be asked: {error}{}", path.display(), hint(&error)))
        })?;
        exchange(stream, ask).map_err(failed)
    }

    fn path(&self) -> Result<PathBuf, ExitError> {
        let Some(path) = &self.config else { return Ok(self.socket.clone().unwrap_or_default()) };
        let config = config::load(path).map_err(|errors| ExitError::Config(errors.to_string()))?;
        Ok(config.operators.socket)
    }

    fn show(&self, reply: &OperatorReply) -> Result<(), ExitError> {
        if self.json {
            print_json(reply)?;
        }
        match reply {
            OperatorReply::Refused { code, reason } => {
                if !self.json {
                    eprintln!("refused ({code}): {reason}");
                }
                Err(ExitError::Negative)
            }
            _ if self.json => Ok(()),
            OperatorReply::Ok { text, ledger: None } => print(&format!("{text}\n")),
            OperatorReply::Ok { text, ledger: Some(number) } => print(&format!("{text} (ledger {number})\n")),
            OperatorReply::List(held) if held.is_empty() => print("nothing is held\n"),
            OperatorReply::List(held) => print(&held.iter().map(|item| format!("{item}\n")).collect::<String>()),
        }
    }
}

fn exchange(mut stream: UnixStream, ask: &Ask) -> io::Result<OperatorReply> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(ask)?;
    line.push(b'\n');
    // a server that refuses unread has closed its end and replied all the same
    let _ = stream.write_all(&line).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut reply = Vec::new();
    stream.take(LONGEST).read_to_end(&mut reply)?;
    if reply.is_empty() {
        return Err(io::Error::other("the server ended without a reply: ask again, pagar approve --list what is held"));
    }
    serde_json::from_slice(&reply).map_err(|error| io::Error::other(format!("not the reply of a pagar: {error}")))
}

/// What to do about it, for the usual causes.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            "; is pagar serve running, with this state directory?"
        }
        io::ErrorKind::PermissionDenied => "; the socket is for the server's user and root",
        _ => "",
    }
}
