//! [`Api`]: asks a running server over HTTP, and says what it says is wrong in words rather than as JSON.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::Body;
use ureq::http::Response;

use crate::config;
use crate::error::ExitError;

/// How long an answer may take. Forgetting everything walks through the whole cache.
const PATIENCE: Duration = Duration::from_secs(30);

/// One resource of a running server.
pub(super) struct Api {
    url: String,
    agent: ureq::Agent,
}

/// Where a server is to be asked: by what `--config` says, or `--api`.
pub(super) fn server(config: Option<&Path>, api: Option<&str>) -> Result<String, ExitError> {
    let Some(path) = config else { return Ok(api.unwrap_or_default().to_owned()) };
    let config = config::load(path).map_err(|errors| ExitError::Config(errors.to_string()))?;
    let web = config.web.map(|web| web.listen).filter(|listen| listen.port() != 0);
    let web = web.ok_or_else(|| {
        ExitError::Config(format!("{}: no [web] listen with a port, so there is nobody to ask", path.display()))
    })?;
    Ok(format!("http://{web}"))
}

/// What is read of an `application/problem+json` (RFC 9457).
#[derive(Deserialize)]
struct Problem {
    detail: String,
    hint: Option<String>,
}

impl Api {
    /// `server` is what `--api` says, `path` begins with a slash.
    pub(super) fn new(server: &str, path: &str) -> Result<Self, ExitError> {
        if !server.starts_with("http://") {
            return Err(ExitError::Config(format!("--api {server:?}: write it like http://127.0.0.1:8053")));
        }
        let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false);
        Ok(Self {
            url: format!("{}{path}", server.trim_end_matches('/')),
            agent: ureq::Agent::new_with_config(config.build()),
        })
    }

    /// Reads it.
    pub(super) fn get<T: DeserializeOwned>(&self, query: &[(&str, String)]) -> Result<T, ExitError> {
        let query = query.iter().map(|(key, value)| (*key, value));
        self.read(self.agent.get(&self.url).query_pairs(query).call())
    }

    /// Asks it to act.
    pub(super) fn post<T: DeserializeOwned>(&self, query: &[(&str, String)]) -> Result<T, ExitError> {
        let query = query.iter().map(|(key, value)| (*key, value));
        self.read(self.agent.post(&self.url).query_pairs(query).send_empty())
    }

    /// Asks it to act on these octets.
    pub(super) fn send<T: DeserializeOwned>(&self, query: &[(&str, String)], body: &[u8]) -> Result<T, ExitError> {
        let query = query.iter().map(|(key, value)| (*key, value));
        self.read(self.agent.post(&self.url).query_pairs(query).send(body))
    }

    fn read<T: DeserializeOwned>(&self, response: Result<Response<Body>, ureq::Error>) -> Result<T, ExitError> {
        let failed = |error: String| ExitError::Runtime(format!("{}: {error}", self.url));
        let mut response = response.map_err(|error| failed(error.to_string()))?;
        let body = response.body_mut().read_to_string().map_err(|error| failed(error.to_string()))?;
        if !response.status().is_success() {
            return Err(failed(in_words(&body).unwrap_or_else(|| format!("{}: {body}", response.status()))));
        }
        serde_json::from_str(&body).map_err(|error| failed(format!("not the answer of a pagar: {error}")))
    }
}

/// A problem as the log would say it; `None` if it is none, since anybody may answer there.
fn in_words(body: &str) -> Option<String> {
    let Problem { detail, hint } = serde_json::from_str(body).ok()?;
    Some(match hint {
        Some(hint) => format!("{detail} (hint: {hint})"),
        None => detail,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_said_in_words_and_anything_else_is_none() {
        let problem = r#"{"title":"Bad Request","status":400,"detail":"no name","hint":"write one"}"#;
        assert_eq!(in_words(problem).unwrap(), "no name (hint: write one)");
        assert_eq!(in_words(r#"{"title":"Bad Request","status":400,"detail":"no name"}"#).unwrap(), "no name");
        assert_eq!(in_words("<html>"), None);
    }
}
