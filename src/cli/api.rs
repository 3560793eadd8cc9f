//! [`Api`]: asks a running server over HTTP, and says what it says is wrong in words rather than as JSON; [`Credentials`]:
//! the options that say who asks.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::Body;
use ureq::http::Response;

use crate::config;
use crate::error::ExitError;
use crate::http::{Access, Client};
use crate::tls::{self, Files};

/// How long an answer may take. Forgetting everything walks through the whole cache.
const PATIENCE: Duration = Duration::from_secs(30);
/// Octets of an answer that are read: a receipt of the largest notice, written twice.
const LARGEST: u64 = 64 << 20;

/// Who asks, and how the server is known.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Access to the API")]
pub(super) struct Credentials {
    /// The file with the bearer token
    #[arg(long, value_name = "FILE", env = "PAGAR_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// The client certificate with its chain (PEM)
    #[arg(long, value_name = "FILE", env = "PAGAR_CERT", requires = "key")]
    cert: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long = "cert-key", visible_alias = "key", value_name = "FILE", env = "PAGAR_CERT_KEY", requires = "cert")]
    key: Option<PathBuf>,
    /// The certificates that the server's must lead to (PEM); default: the system's
    #[arg(long, value_name = "FILE", env = "PAGAR_CA")]
    ca: Option<PathBuf>,
}

impl Credentials {
    fn access(&self) -> Access {
        Access {
            ca: self.ca.clone(),
            certificate: self.cert.clone().zip(self.key.clone()),
            token: self.token_file.clone(),
        }
    }
}

/// One running server.
pub(super) struct Api {
    server: String,
    client: Client,
}

/// What it answered.
pub(super) struct Answer {
    /// The status code.
    pub(super) status: u16,
    /// How long it wants to be left alone.
    pub(super) retry_after: Option<Duration>,
    /// The body.
    pub(super) body: Vec<u8>,
}

/// An `application/problem+json` (RFC 9457) with the members of a refused notice; anybody may answer there, so all of it
/// may be missing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Problem {
    pub(super) code: String,
    pub(super) title: String,
    pub(super) detail: String,
    pub(super) hint: Option<String>,
    /// Each thing that is wrong with a notice.
    pub(super) problems: Vec<Finding>,
    /// The signed refusal, where the sender is known.
    pub(super) receipt: Option<Value>,
}

/// One thing that is wrong with a notice.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Finding {
    pub(super) message: String,
    pub(super) hint: Option<String>,
    pub(super) line: Option<u64>,
    pub(super) column: Option<u64>,
}

type Query<'a> = [(&'a str, String)];

impl Api {
    /// `server` is what `--api` says.
    pub(super) fn new(server: &str, credentials: &Credentials) -> Result<Self, ExitError> {
        Self::patient(server, credentials, PATIENCE)
    }

    /// The server of this configuration, or that of `--api`. A certificate that is its own issuer leads to itself, so the
    /// configuration's file is believed unless `--ca` names another.
    pub(super) fn of(config: Option<&Path>, api: Option<&str>, credentials: &Credentials) -> Result<Self, ExitError> {
        let Some(path) = config else { return Self::new(api.unwrap_or_default(), credentials) };
        let config = config::load(path).map_err(|errors| ExitError::Config(errors.to_string()))?;
        let web = config.web.filter(|web| web.listen.port() != 0).ok_or_else(|| {
            ExitError::Config(format!("{}: no [web] listen with a port, so there is nobody to ask", path.display()))
        })?;
        let Some(Files { certificate, .. }) = web.tls else {
            return Self::new(&format!("http://{}", web.listen), credentials);
        };
        let mut credentials = credentials.clone();
        if credentials.ca.is_none()
            && tls::is_self_issued(&certificate).map_err(|error| ExitError::Config(error.to_string()))?
        {
            credentials.ca = Some(certificate);
        }
        Self::new(&format!("https://{}", web.listen), &credentials)
    }

    /// For answers that take this long.
    pub(super) fn patient(server: &str, credentials: &Credentials, patience: Duration) -> Result<Self, ExitError> {
        let client = Client::new(server, &credentials.access(), patience)
            .map_err(|error| ExitError::Config(format!("--api: {error}")))?;
        Ok(Self { server: server.trim_end_matches('/').to_owned(), client })
    }

    /// Reads JSON.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str, query: &Query<'_>) -> Result<T, ExitError> {
        self.read(path, &self.fetch(path, query)?)
    }

    /// Asks it to act.
    pub(super) fn post<T: DeserializeOwned>(&self, path: &str, query: &Query<'_>) -> Result<T, ExitError> {
        let pairs = query.iter().map(|(key, value)| (*key, value));
        let sent = self.client.post(&self.url(path)).query_pairs(pairs).send_empty();
        self.read(path, &self.answer(path, sent)?)
    }

    /// Asks it to act on these octets.
    pub(super) fn send<T: DeserializeOwned>(&self, path: &str, query: &Query<'_>, body: &[u8]) -> Result<T, ExitError> {
        self.read(path, &self.deliver(path, query, "application/octet-stream", body)?)
    }

    /// Reads whatever it is.
    pub(super) fn fetch(&self, path: &str, query: &Query<'_>) -> Result<Answer, ExitError> {
        let pairs = query.iter().map(|(key, value)| (*key, value));
        self.answer(path, self.client.get(&self.url(path)).query_pairs(pairs).call())
    }

    /// Hands over a body of that type.
    pub(super) fn deliver(&self, path: &str, query: &Query<'_>, media: &str, body: &[u8]) -> Result<Answer, ExitError> {
        let pairs = query.iter().map(|(key, value)| (*key, value));
        let request = self.client.post(&self.url(path)).query_pairs(pairs).header("content-type", media);
        self.answer(path, request.send(body))
    }

    /// The same, but the body waits for leave to be sent (RFC 9110 §10.1.1): one that is not wanted is refused, and the
    /// refusal is heard.
    pub(super) fn offer(&self, path: &str, media: &str, body: &[u8]) -> Result<Answer, ExitError> {
        let request = self.client.post(&self.url(path)).header("content-type", media).header("expect", "100-continue");
        self.answer(path, request.send(body))
    }

    /// A body that should be JSON, or what is wrong.
    pub(super) fn read<T: DeserializeOwned>(&self, path: &str, answer: &Answer) -> Result<T, ExitError> {
        if !answer.is_success() {
            return Err(self.failed(path, answer.in_words()));
        }
        serde_json::from_slice(&answer.body)
            .map_err(|error| self.failed(path, format!("not the answer of a pagar: {error}")))
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server)
    }

    fn failed(&self, path: &str, error: impl std::fmt::Display) -> ExitError {
        ExitError::Runtime(format!("{}: {error}", self.url(path)))
    }

    fn answer(&self, path: &str, response: Result<Response<Body>, ureq::Error>) -> Result<Answer, ExitError> {
        let mut response = response.map_err(|error| self.failed(path, reason(&error)))?;
        let status = response.status().as_u16();
        let header = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let body = response.body_mut().with_config().limit(LARGEST).read_to_vec();
        let body = body.map_err(|error| self.failed(path, reason(&error)))?;
        Ok(Answer { status, retry_after: header.map(Duration::from_secs), body })
    }
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The problem it is; `None` if it is none.
    pub(super) fn problem(&self) -> Option<Problem> {
        let problem: Problem = serde_json::from_slice(&self.body).ok()?;
        (!self.is_success() && !problem.detail.is_empty()).then_some(problem)
    }

    /// What is wrong, as the log would say it.
    pub(super) fn in_words(&self) -> String {
        match self.problem() {
            Some(Problem { detail, hint: Some(hint), .. }) => format!("{detail} (hint: {hint})"),
            Some(Problem { detail, .. }) => detail,
            None => format!("status {}: {}", self.status, String::from_utf8_lossy(&self.body).trim()),
        }
    }
}

/// What went wrong on the way; a refused connection has the address already.
fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            "nobody listens there; is pagar serve running?".to_owned()
        }
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(status: u16, body: &str) -> String {
        Answer { status, retry_after: None, body: body.into() }.in_words()
    }

    #[test]
    fn a_problem_is_said_in_words_and_anything_else_as_it_came() {
        let problem = r#"{"title":"Bad Request","status":400,"detail":"no name","hint":"write one"}"#;
        assert_eq!(words(400, problem), "no name (hint: write one)");
        assert_eq!(words(400, r#"{"title":"Bad Request","status":400,"detail":"no name"}"#), "no name");
        assert_eq!(words(502, "<html>\n"), "status 502: <html>");
    }
}
