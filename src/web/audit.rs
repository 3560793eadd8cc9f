//! What clients do: [`record`] says in the log what one of them changed, or tried to, and [`count`] counts every request.
//!
//! A line has the client, its role, the method, the route (the pattern, never what a client wrote in its place), the status
//! and the code of a refusal; neither a name nor a token can get into it. What becomes part of the policy is in the ledger
//! besides, with the client's name. Reading leaves no line: it changes nothing, and what people look at is their own affair.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use super::problem::Said;
use crate::model::Caller;
use crate::observe::Metrics;

/// What its lines are found by.
pub(super) const TARGET: &str = "pagar::audit";

/// Stands behind the look at who calls.
pub(super) async fn record(request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let (method, route) = (word(request.method()), route(&request));
    let caller: Option<Caller> = request.extensions().get().cloned();
    let response = next.run(request).await;
    let (client, role) = caller.as_ref().map_or(("?", "?"), |caller| (caller.name.as_str(), caller.role.as_str()));
    let status = response.status().as_u16();
    let code = response.extensions().get::<Said>().map_or("done", |Said(code)| code);
    tracing::info!(target: TARGET, client, role, method, route = route.as_str(), status, code, "a client has asked for a change");
    response
}

/// Stands before everything else.
pub(super) async fn count(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let (method, route, started) = (word(request.method()), route(&request), Instant::now());
    let response = next.run(request).await;
    metrics.web.answered(&route, method, response.status().as_str(), started.elapsed().as_secs_f64());
    response
}

/// The pattern of its path: so many as there are endpoints.
fn route(request: &Request) -> String {
    request.extensions().get().map_or("other", MatchedPath::as_str).to_owned()
}

/// Clients may invent methods.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::header::HOST;

    use crate::web::tests::{authorised, clients, send};

    #[tokio::test]
    async fn requests_are_counted_by_bounded_words() {
        let state = clients();
        for (method, path, token) in [
            ("GET", "/v1/check?name=bad.example", "viewer"),
            ("GET", "/v1/check?name=worse.example", "viewer"),
            ("GET", "/v1/check?name=worse.example", "stranger"),
            ("POST", "/v1/cache/flush?name=bad.example", "operator"),
            ("BREW", "/v1/policy", "operator"),
            ("GET", "/bad.example", "operator"),
        ] {
            let request = authorised(method, path, token).header(HOST, "localhost").body(Body::empty()).unwrap();
            send(state.clone(), request).await;
        }
        let text = state.metrics.text();
        for series in [
            r#"pagar_web_requests_total{method="GET",route="/v1/check",status="200"} 2"#,
            r#"pagar_web_requests_total{method="GET",route="/v1/check",status="401"} 1"#,
            r#"pagar_web_requests_total{method="POST",route="/v1/cache/flush",status="200"} 1"#,
            r#"pagar_web_requests_total{method="other",route="/v1/policy",status="405"} 1"#,
            r#"pagar_web_requests_total{method="GET",route="other",status="404"} 1"#,
            r#"pagar_web_request_duration_seconds_count{route="/v1/check"} 3"#,
        ] {
            assert!(text.contains(series), "{series}\n{text}");
        }
        assert!(!text.contains("example") && !text.contains("stranger"), "{text}");
    }
}
