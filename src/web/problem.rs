//! [`Problem`]: an error as `application/problem+json` (RFC 9457).
//!
//! The type is always `about:blank`, which may be left out: the status says what kind of error it is, `detail` what
//! went wrong here, `hint` what to write instead.

use axum::Json;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// An error of the API.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Problem {
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<String>,
}

impl Problem {
    /// An error of this kind; `detail` is for people.
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            detail: detail.into(),
            hint: None,
            causes: Vec::new(),
        }
    }

    /// With what to do about it.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// With the list of what led to it.
    pub(super) fn causes(self, causes: Vec<String>) -> Self {
        Self { causes, ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let content_type = HeaderValue::from_static("application/problem+json");
        (status, [(CONTENT_TYPE, content_type)], Json(self)).into_response()
    }
}

/// For every path nothing is served at.
pub(super) async fn not_found(uri: Uri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("nothing is served at {}", uri.path())).hint("GET / lists what is")
}

/// For a known path; axum adds `Allow`.
pub(super) async fn wrong_method(method: Method, uri: Uri) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{} does not take {method}", uri.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_that_say_nothing_are_left_out() {
        let problem = serde_json::to_value(Problem::new(StatusCode::BAD_REQUEST, "no")).unwrap();
        assert_eq!(problem, serde_json::json!({ "title": "Bad Request", "status": 400, "detail": "no" }));
    }
}
