//! [`check`]: what holds for every request: the `Host` it must name, the headers of its answer. [`not_from_a_page`]:
//! what holds for those that change something.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, HOST, ORIGIN, X_CONTENT_TYPE_OPTIONS};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;

/// Lets a request through if it was meant for this machine, and marks the answer as not to be sniffed or stored: a
/// policy of a minute ago, from some cache, would be taken for the one in force.
pub(super) async fn check(request: Request, next: Next) -> Response {
    let mut response = match host(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A page that had its own name resolve to 127.0.0.1 still sends that name here, because a browser fills in `Host`
/// itself.
///
/// An absolute request target replaces `Host` (RFC 9112 §3.2.2), so both are looked at.
fn host(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "a request has exactly one Host header"));
    };
    let host = Authority::try_from(host.as_bytes()).ok();
    if host.as_ref().is_some_and(is_loopback) && uri.authority().is_none_or(is_loopback) {
        return Ok(());
    }
    Err(Problem::new(StatusCode::FORBIDDEN, "this listener serves its own machine only")
        .hint("ask for localhost or a loopback address, whatever the name resolves to"))
}

/// Refuses what a page in a browser can send: browsers put `Origin` on every POST and `Sec-Fetch-Site` on every request
/// (Fetch §3.1, Fetch Metadata §2.3), and no page can take them off. `none` is somebody who typed the address.
pub(super) fn not_from_a_page(headers: &HeaderMap) -> Result<(), Problem> {
    let from_elsewhere = headers.get_all("sec-fetch-site").iter().any(|site| site != "none");
    if headers.contains_key(ORIGIN) || from_elsewhere {
        return Err(Problem::new(StatusCode::FORBIDDEN, "a page in a browser may not change anything here")
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
    use axum::http::Method;

    use super::super::tests::request;
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
