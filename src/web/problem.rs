//! [`Problem`]: an error as `application/problem+json` (RFC 9457), and [`Code`]: the table of what can be wrong.
//!
//! `type` is `urn:pagar:problem:<code>`, `code` the same word by itself: programs go by it, and none is renamed without a
//! changelog entry. `title` belongs to the code, `detail` says what went wrong here, `hint` what to do instead. What is
//! refused for its content (a notice, a decision) has the code of who refused it: [`Problem::refused`].

use std::borrow::Cow;

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

/// What can be wrong with a request, whatever it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// Nothing is served at this path.
    NotFound,
    /// The path does not take this method.
    Method,
    /// Not exactly one `Host`.
    Host,
    /// A `Host` that is not this machine, where nobody is asked who he is.
    ForeignHost,
    /// A page in a browser asks for a change.
    FromPage,
    /// The body is none of the requests that are understood.
    Request,
    /// A parameter is missing, unknown or not what it must be.
    Parameters,
    /// No credential, or none of a client.
    Unauthenticated,
    /// The client's role does not allow it.
    Role,
    /// Somebody who has shown no credential decides nothing for people.
    UnknownPerson,
    /// Too many wrong credentials from one address.
    Guessing,
    /// Too many requests of one client.
    Rate,
    /// The body did not come in time.
    SlowBody,
    /// The body broke off, or is not framed as HTTP says.
    Body,
    /// The body is not of a kind that is read here.
    MediaType,
    /// The body is larger than any that is read.
    TooLarge,
    /// There is no room for another body.
    Busy,
    /// The node cannot do its work.
    NotReady,
    /// The candidate of a preview cannot be read.
    Candidate,
    /// A preview runs already.
    PreviewRunning,
    /// There has been no preview.
    NoPreview,
    /// The preview could not be started.
    PreviewFailed,
    /// No such order was taken, or none that this client may see.
    NoNotice,
    /// Secret notices are not for this client.
    Secret,
    /// The orders of another authority are not for this client.
    OtherAuthority,
    /// The feed has nothing to give yet.
    Unpublished,
    /// The server failed over it.
    Internal,
}

impl Code {
    /// Every one of them, for the API's description.
    pub(super) const ALL: [Self; 27] = [
        Self::NotFound,
        Self::Method,
        Self::Host,
        Self::ForeignHost,
        Self::FromPage,
        Self::Request,
        Self::Parameters,
        Self::Unauthenticated,
        Self::Role,
        Self::UnknownPerson,
        Self::Guessing,
        Self::Rate,
        Self::SlowBody,
        Self::Body,
        Self::MediaType,
        Self::TooLarge,
        Self::Busy,
        Self::NotReady,
        Self::Candidate,
        Self::PreviewRunning,
        Self::NoPreview,
        Self::PreviewFailed,
        Self::NoNotice,
        Self::Secret,
        Self::OtherAuthority,
        Self::Unpublished,
        Self::Internal,
    ];

    /// The table: status, code, title.
    const fn row(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::NotFound => (S::NOT_FOUND, "not-found", "Nothing is served there"),
            Self::Method => (S::METHOD_NOT_ALLOWED, "method", "The path does not take this method"),
            Self::Host => (S::BAD_REQUEST, "host", "The Host header is missing, or there are two"),
            Self::ForeignHost => (S::FORBIDDEN, "foreign-host", "The request is not meant for this machine"),
            Self::FromPage => (S::FORBIDDEN, "from-page", "A page in a browser may not change anything"),
            Self::Request => (S::UNPROCESSABLE_ENTITY, "request", "The request is not understood"),
            Self::Parameters => (S::BAD_REQUEST, "parameters", "A parameter is not what it must be"),
            Self::Unauthenticated => (S::UNAUTHORIZED, "unauthenticated", "No credential of a client"),
            Self::Role => (S::FORBIDDEN, "role", "The client's role does not allow it"),
            Self::UnknownPerson => (S::FORBIDDEN, "unknown-person", "Nobody knows who asks"),
            Self::Guessing => (S::TOO_MANY_REQUESTS, "guessing", "Too many wrong credentials"),
            Self::Rate => (S::TOO_MANY_REQUESTS, "rate", "Too many requests"),
            Self::SlowBody => (S::REQUEST_TIMEOUT, "slow-body", "The body did not come in time"),
            Self::Body => (S::BAD_REQUEST, "body", "The body did not come to its end"),
            Self::MediaType => (S::UNSUPPORTED_MEDIA_TYPE, "media-type", "The body is not of a kind that is read here"),
            Self::TooLarge => (S::PAYLOAD_TOO_LARGE, "too-large", "The body is too large"),
            Self::Busy => (S::SERVICE_UNAVAILABLE, "busy", "There is no room for another body now"),
            Self::NotReady => (S::SERVICE_UNAVAILABLE, "not-ready", "The node cannot do its work"),
            Self::Candidate => (S::UNPROCESSABLE_ENTITY, "candidate", "The candidate of a preview cannot be read"),
            Self::PreviewRunning => (S::CONFLICT, "preview-running", "A preview runs already"),
            Self::NoPreview => (S::NOT_FOUND, "no-preview", "There has been no preview"),
            Self::PreviewFailed => (S::SERVICE_UNAVAILABLE, "preview-failed", "The preview could not be started"),
            Self::NoNotice => (S::NOT_FOUND, "no-notice", "No such order was taken"),
            Self::Secret => (S::FORBIDDEN, "secret", "Secret notices are not for this client"),
            Self::OtherAuthority => {
                (S::FORBIDDEN, "foreign-authority", "Another authority's orders are not for this client")
            }
            Self::Unpublished => (S::SERVICE_UNAVAILABLE, "unpublished", "The feed has nothing to give yet"),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "The server failed over it"),
        }
    }

    /// Its status.
    pub(super) const fn status(self) -> StatusCode {
        self.row().0
    }

    /// The word programs go by.
    pub(super) const fn as_str(self) -> &'static str {
        self.row().1
    }

    /// What kind of error it is, for people.
    pub(super) const fn title(self) -> &'static str {
        self.row().2
    }
}

/// An error of the API. Boxed, so that results are as small as what went well.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Problem(Box<Inner>);

#[derive(Clone, Debug, Serialize)]
struct Inner {
    #[serde(rename = "type")]
    uri: String,
    title: Cow<'static, str>,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    code: Cow<'static, str>,
    #[serde(flatten)]
    members: Map<String, Value>,
    #[serde(skip)]
    retry_after: Option<u64>,
    #[serde(skip)]
    challenge: Option<&'static str>,
}

impl Problem {
    /// An error of this kind; `detail` is for people.
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self::refused(code.status(), code.as_str(), code.title(), detail)
    }

    /// What was understood and refused for its content, with the word of who refused it.
    pub(super) fn refused(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        title: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> Self {
        let (code, title, detail) = (code.into(), title.into(), detail.into());
        let uri = format!("urn:pagar:problem:{code}");
        let (hint, retry_after, challenge, members) = (None, None, None, Map::new());
        Self(Box::new(Inner {
            uri,
            title,
            status: status.as_u16(),
            detail,
            hint,
            code,
            members,
            retry_after,
            challenge,
        }))
    }

    /// With what to do about it.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// With another member; nothing is added where there is nothing to say.
    pub(super) fn with(mut self, member: &str, value: impl Serialize) -> Self {
        match serde_json::to_value(value) {
            Ok(Value::Null) | Err(_) => {}
            Ok(value) => drop(self.0.members.insert(member.to_owned(), value)),
        }
        self
    }

    /// With after how many seconds to try again.
    pub(super) fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// With how to show who one is (RFC 9110 §11.6.1).
    pub(super) fn challenge(mut self, challenge: &'static str) -> Self {
        self.0.challenge = Some(challenge);
        self
    }

    /// The word programs go by.
    #[cfg(test)]
    pub(super) fn code(&self) -> &str {
        &self.0.code
    }
}

/// The code of a problem, beside the answer, for whoever counts and records.
#[derive(Clone, Debug)]
pub(super) struct Said(pub(super) Cow<'static, str>);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (said, retry_after, challenge) = (Said(self.0.code.clone()), self.0.retry_after, self.0.challenge);
        let mut response = (status, Json(self)).into_response();
        response.extensions_mut().insert(said);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        retry_after.map(|seconds| headers.insert(RETRY_AFTER, seconds.into()));
        challenge.map(|challenge| headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge)));
        response
    }
}

/// For every path nothing is served at.
pub(super) async fn not_found(uri: Uri) -> Problem {
    Problem::new(Code::NotFound, format!("nothing is served at {}", uri.path())).hint("GET / lists what is")
}

/// For a known path; axum adds `Allow`.
pub(super) async fn wrong_method(method: Method, uri: Uri) -> Problem {
    Problem::new(Code::Method, format!("{} does not take {method}", uri.path()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_problem_names_its_type_and_leaves_out_what_says_nothing() {
        let problem = Problem::new(Code::Parameters, "no").with("cause", None::<u8>).with("line", 7);
        let expected = json!({
            "type": "urn:pagar:problem:parameters",
            "title": "A parameter is not what it must be",
            "status": 400,
            "detail": "no",
            "code": "parameters",
            "line": 7,
        });
        assert_eq!(serde_json::to_value(&problem.0).unwrap(), expected);
        let refused = Problem::refused(StatusCode::CONFLICT, "same-person", "Refused", "d").hint("another must");
        let refused = serde_json::to_value(&refused.0).unwrap();
        assert_eq!(refused["type"], "urn:pagar:problem:same-person");
        assert_eq!((&refused["hint"], &refused["status"]), (&"another must".into(), &409.into()));
    }

    #[test]
    fn what_belongs_into_the_header_is_there_and_only_there() {
        let problem = Problem::new(Code::Busy, "full").retry_after(3).challenge("Bearer");
        assert_eq!(problem.code(), "busy");
        let body = serde_json::to_string(&problem.0).unwrap();
        assert!(!body.contains("Bearer") && !body.contains("retry"), "{body}");
        let response = problem.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        let headers = response.headers();
        assert_eq!(
            (&headers[RETRY_AFTER], &headers[WWW_AUTHENTICATE]),
            (&"3".parse().unwrap(), &"Bearer".parse().unwrap())
        );
        assert_eq!(headers[CONTENT_TYPE], "application/problem+json");
    }

    /// Programs go by these words; a change here is a breaking one.
    #[test]
    fn the_codes_are_these() {
        let table: String = Code::ALL.map(|code| format!("{} {}\n", code.status().as_u16(), code.as_str())).concat();
        assert_eq!(
            table,
            "404 not-found\n405 method\n400 host\n403 foreign-host\n403 from-page\n422 request\n400 parameters\n\
             401 unauthenticated\n403 role\n403 unknown-person\n429 guessing\n429 rate\n408 slow-body\n400 body\n\
             415 media-type\n413 too-large\n503 busy\n503 not-ready\n422 candidate\n409 preview-running\n\
             404 no-preview\n503 preview-failed\n404 no-notice\n403 secret\n403 foreign-authority\n503 unpublished\n\
             500 internal\n"
        );
        let codes: BTreeSet<_> = Code::ALL.map(Code::as_str).into();
        assert_eq!(codes.len(), Code::ALL.len());
        assert!(Code::ALL.iter().all(|code| !code.title().ends_with('.')));
    }
}
