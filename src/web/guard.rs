//! [`check`]: what holds for every request: the `Host` it must name, where nobody is asked who he is; that no page in a
//! browser changes anything; the headers of its answer.
//!
//! A page elsewhere can point a name of its own at this address (DNS rebinding) and then read the answers as its own. It
//! cannot send a token it does not have, and TLS has shown the browser that the name is not ours: so where callers have
//! credentials any `Host` will do. What a page can do then is have the browser send a client certificate along: it sees no
//! answer, since no answer carries a CORS header, and what it sends to change something is refused.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, HOST, ORIGIN, X_CONTENT_TYPE_OPTIONS};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::auth::Access;
use super::problem::{Code, Problem};

/// Lets a request through if it is what its sender meant, and marks the answer as not to be sniffed or stored: a policy
/// of a minute ago, from some cache, would be taken for the one in force. An endpoint may say otherwise of its own.
pub(super) async fn check(State(access): State<Access>, request: Request, next: Next) -> Response {
    let host = if access.asks() { Ok(()) } else { host(request.uri(), request.headers()) };
    let mut response = match host.and_then(|()| not_from_a_page(request.method(), request.headers())) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// A page that had its own name resolve to 127.0.0.1 still sends that name here, because a browser fills in `Host`
/// itself.
///
/// An absolute request target replaces `Host` (RFC 9112 §3.2.2), so both are looked at.
pub(super) fn host(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(Problem::new(Code::Host, "a request has exactly one Host header"));
    };
    let host = Authority::try_from(host.as_bytes()).ok();
    if host.as_ref().is_some_and(is_loopback) && uri.authority().is_none_or(is_loopback) {
        return Ok(());
    }
    Err(Problem::new(Code::ForeignHost, "this listener serves its own machine only")
        .hint("ask for localhost or a loopback address, whatever the name resolves to"))
}

/// Refuses what a page in a browser can send: browsers put `Origin` on every POST and `Sec-Fetch-Site` on every request
/// (Fetch §3.1, Fetch Metadata §2.3), and no page can take them off. `none` is somebody who typed the address.
///
/// What only reads is let through: a page sees nothing of the answer.
fn not_from_a_page(method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    let from_elsewhere = headers.get_all("sec-fetch-site").iter().any(|site| site != "none");
    if !method.is_safe() && (headers.contains_key(ORIGIN) || from_elsewhere) {
        return Err(Problem::new(Code::FromPage, "a page in a browser may not change anything here")
            .hint("use the command line, or a program that sends neither Origin nor Sec-Fetch-Site"));
    }
    Ok(())
}

fn is_loopback(authority: &Authority) -> bool {
    let host = authority.host();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let loopback = address.parse().is_ok_and(|address: IpAddr| address.to_canonical().is_loopback());
    (loopback || host.eq_ignore_ascii_case("localhost")) && !authority.as_str().contains('@')
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::StatusCode;

    use super::super::tests::{authorised, clients, request, send};
    use super::*;

    #[tokio::test]
    async fn only_a_loopback_host_is_served() {
        for host in ["127.0.0.1", "127.0.0.1:8053", "127.3.2.1", "[::1]:8053", "localhost", "LOCALHOST:80"] {
            assert_eq!(request(Method::GET, host, "/healthz").await.0, StatusCode::OK, "{host}");
        }
        for host in
            ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8053", "192.0.2.1", "127.0.0.1@x", ""]
        {
            let (status, headers, _) = request(Method::GET, host, "/healthz").await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{host}");
            assert_eq!(headers["content-type"], "application/problem+json");
        }
    }

    #[tokio::test]
    async fn an_absolute_target_is_held_to_the_same() {
        assert_eq!(request(Method::GET, "localhost", "http://evil.example/healthz").await.0, StatusCode::FORBIDDEN);
        assert_eq!(request(Method::GET, "localhost", "http://127.0.0.1/healthz").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn whoever_shows_a_credential_may_call_us_by_any_name() {
        for host in ["pagar.isp.example", "192.0.2.1:8053", "localhost"] {
            let request = authorised("GET", "/v1/policy", "viewer").header(HOST, host).body(Body::empty()).unwrap();
            assert_eq!(send(clients(), request).await.0, StatusCode::OK, "{host}");
        }
    }

    #[tokio::test]
    async fn a_page_in_a_browser_changes_nothing_whoever_uses_the_browser() {
        for (header, value) in [
            ("origin", "http://localhost:8053"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-origin"),
        ] {
            for (method, path) in [
                ("POST", "/v1/cache/flush?name=a.example"),
                ("POST", "/v1/preview"),
                ("DELETE", "/v1/preview"),
                ("PUT", "/nothing"),
            ] {
                let request = authorised(method, path, "operator").header(HOST, "localhost").header(header, value);
                let (status, _, body) = send(clients(), request.body(Body::empty()).unwrap()).await;
                assert_eq!(status, StatusCode::FORBIDDEN, "{method} {path} {header}: {value}");
                assert!(body.contains("\"code\":\"from-page\""), "{body}");
            }
            let read = authorised("GET", "/v1/policy", "viewer").header(HOST, "localhost").header(header, value);
            assert_eq!(send(clients(), read.body(Body::empty()).unwrap()).await.0, StatusCode::OK);
        }
        let typed = authorised("POST", "/v1/cache/flush?name=a.example", "operator").header("sec-fetch-site", "none");
        let typed = typed.header(HOST, "localhost").body(Body::empty()).unwrap();
        assert_eq!(send(clients(), typed).await.0, StatusCode::OK);
    }

    #[test]
    fn a_request_without_host_or_with_two_is_malformed() {
        let uri = Uri::from_static("/");
        let mut headers = HeaderMap::new();
        assert!(host(&uri, &headers).is_err());
        headers.append(HOST, HeaderValue::from_static("localhost"));
        assert!(host(&uri, &headers).is_ok());
        headers.append(HOST, HeaderValue::from_static("evil.example"));
        assert!(host(&uri, &headers).is_err());
    }
}
