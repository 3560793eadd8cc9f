//! [`Http`]: the parts of a feed over HTTP, each with a bound. Redirects are not followed and nothing is decompressed.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use ureq::http::StatusCode;
use ureq::http::header::{CONTENT_LENGTH, ETAG, HeaderMap, IF_NONE_MATCH, RETRY_AFTER};

use crate::http::{Access, Client, HttpError};

/// The longest that a server may ask us to wait: it must not freeze us by it.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);
/// Octets of an entity tag that is kept.
const MAX_ETAG: usize = 256;

/// Gives parts of a feed by their path below its URL.
pub(super) trait Server {
    /// `etag` is that of what is at hand, `most` how many octets there may be.
    fn get(&mut self, path: &str, etag: Option<&str>, most: u64) -> Result<Answer, Trouble>;
}

/// What a server gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// What is at hand is what there is.
    Same,
    /// This is what there is.
    Body(Vec<u8>, Option<String>),
}

/// Why it gives nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It says that this is not there, or not for us.
    Missing(u16),
    /// It has more than there may be.
    Oversized,
    /// It took too long.
    Slow,
    /// It does not want to be asked now.
    Busy(Option<Duration>),
    /// It cannot be asked.
    Unreachable(String),
}

/// A feed on a web server.
pub(super) struct Http {
    url: String,
    client: Client,
}

impl Http {
    /// `patience` is how long a request may take.
    pub(super) fn new(url: &str, access: &Access, patience: Duration) -> Result<Self, HttpError> {
        Ok(Self { url: url.to_owned(), client: Client::new(url, access, patience)? })
    }
}

impl Server for Http {
    fn get(&mut self, path: &str, etag: Option<&str>, most: u64) -> Result<Answer, Trouble> {
        let mut request = self.client.get(&format!("{}{path}", self.url));
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let mut response = request.call().map_err(trouble)?;
        let (status, headers) = (response.status(), response.headers());
        match status {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if etag.is_some() => return Ok(Answer::Same),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::GONE => {
                return Err(Trouble::Missing(status.as_u16()));
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                return Err(Trouble::Busy(retry_after(headers, Timestamp::now())));
            }
            other => return Err(Trouble::Unreachable(format!("the server answers {other}"))),
        }
        let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > most) {
            return Err(Trouble::Oversized);
        }
        let etag = headers.get(ETAG).and_then(|etag| etag.to_str().ok()).filter(|etag| etag.len() <= MAX_ETAG);
        let etag = etag.map(str::to_owned);
        // the limit is said to be passed when it is reached
        let octets = response.body_mut().with_config().limit(most + 1).read_to_vec().map_err(trouble)?;
        if octets.len() as u64 > most { Err(Trouble::Oversized) } else { Ok(Answer::Body(octets, etag)) }
    }
}

fn trouble(error: ureq::Error) -> Trouble {
    match error {
        ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
            Trouble::Unreachable(error.to_string())
        }
        ureq::Error::Timeout(_) => Trouble::Slow,
        ureq::Error::BodyExceedsLimit(_) | ureq::Error::LargeResponseHeader(..) => Trouble::Oversized,
        error => Trouble::Unreachable(error.to_string()),
    }
}

/// Seconds or a date (RFC 9110 §10.2.3).
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = rfc2822::parse(text).ok()?.timestamp();
            Duration::try_from(now.duration_until(at)).unwrap_or_default() // past: now
        }
    };
    Some(wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_may_say_when_to_come_again_in_two_ways() {
        let now = "2026-11-01T00:00:00Z".parse().unwrap();
        let wait = |value: &str| {
            let headers = [(RETRY_AFTER, value.parse().unwrap())].into_iter().collect();
            retry_after(&headers, now).map(|wait| wait.as_secs())
        };
        assert_eq!(wait("120"), Some(120));
        assert_eq!(wait("Sun, 01 Nov 2026 00:02:00 GMT"), Some(120));
        assert_eq!(wait("Sat, 31 Oct 2026 00:02:00 GMT"), Some(0));
        assert_eq!(wait("999999999"), Some(900), "not for ever");
        assert_eq!(wait("soon"), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
