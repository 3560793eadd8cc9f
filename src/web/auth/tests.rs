//! Who is known, who is not, and how often anybody may try.

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{HOST, RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::Value;

use super::*;
use crate::model::AuthorityId;
use crate::web::tests::{authorised, clients, send, send_from, state};

fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new("0", "0").unwrap())
}

fn client(name: &str, credential: Credential) -> Client {
    Client { caller: Caller { name: name.into(), is_known: true, ..Caller::local() }, credential }
}

fn token(token: &str) -> Credential {
    Credential::Token(Sha256::digest(token).into())
}

fn headers(authorization: &[&str]) -> HeaderMap {
    authorization.iter().map(|value| (AUTHORIZATION, value.parse().unwrap())).collect()
}

fn peer(address: &str, certificate: Option<[u8; 32]>) -> Peer {
    Peer { address: address.parse().unwrap(), certificate }
}

/// Who it is, or the code of the refusal.
fn ask(access: &Access, from: &str, authorization: &[&str], now: Instant) -> String {
    match access.caller(Some(&peer(from, None)), &headers(authorization), now) {
        Ok(caller) => caller.name,
        Err(problem) => problem.code().to_owned(),
    }
}

#[test]
fn without_clients_whoever_is_on_this_machine_is_known_as_that() {
    let access = Access::new(Vec::new(), metrics());
    let now = Instant::now();
    for from in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert_eq!(ask(&access, from, &[], now), "local");
        assert_eq!(ask(&access, from, &["Bearer anything"], now), "local");
    }
    // a listener that an older configuration opened to others
    for from in ["192.0.2.1:1", "[2001:db8::1]:1", "10.0.0.1:1"] {
        assert_eq!(ask(&access, from, &[], now), "unauthenticated");
    }
    assert!(access.caller(None, &headers(&[]), now).is_err());
}

#[test]
fn a_token_is_of_the_client_whose_digest_it_has() {
    let all =
        vec![client("a", token("first")), client("b", token("second")), client("c", Credential::Certificate([7; 32]))];
    let access = Access::new(all, metrics());
    let now = Instant::now();
    for (authorization, who) in [
        (&["Bearer first"][..], "a"),
        (&["bearer second"], "b"),
        (&["BEARER  second "], "b"),
        (&["Bearer third"], "unauthenticated"),
        (&["Bearer First"], "unauthenticated"),
        (&["Bearer firs"], "unauthenticated"),
        (&["Bearer"], "unauthenticated"),
        (&["Bearer "], "unauthenticated"),
        (&["Basic first"], "unauthenticated"),
        (&["first"], "unauthenticated"),
        (&[""], "unauthenticated"),
        (&["Bearer first", "Bearer second"], "unauthenticated"),
        (&[], "unauthenticated"),
    ] {
        assert_eq!(ask(&access, "127.0.0.1:1", authorization, now), who, "{authorization:?}");
    }
}

#[test]
fn a_certificate_counts_where_no_token_is_shown() {
    let access =
        Access::new(vec![client("a", token("first")), client("c", Credential::Certificate([7; 32]))], metrics());
    let who = |certificate, authorization: &[&str]| {
        let peer = peer("192.0.2.1:1", Some(certificate));
        let caller = access.caller(Some(&peer), &headers(authorization), Instant::now());
        caller.map_or_else(|problem| problem.code().to_owned(), |caller| caller.name)
    };
    assert_eq!(who([7; 32], &[]), "c");
    assert_eq!(who([8; 32], &[]), "unauthenticated");
    assert_eq!(who([7; 32], &["Bearer first"]), "a");
    assert_eq!(who([7; 32], &["Bearer other"]), "unauthenticated", "what is shown must be right");
    access.set_clients(vec![client("a", token("first"))]);
    assert_eq!(who([7; 32], &[]), "unauthenticated", "from the next request on");
}

#[test]
fn guessing_is_slow_and_holds_up_nobody_elsewhere() {
    let access = Access::new(vec![client("a", token("right"))], metrics());
    let start = Instant::now();
    for _ in 0..GUESSES {
        assert_eq!(ask(&access, "192.0.2.1:1", &["Bearer wrong"], start), "unauthenticated");
    }
    let later = start + Duration::from_secs(10);
    assert_eq!(ask(&access, "192.0.2.1:2", &["Bearer wrong"], later), "guessing");
    assert_eq!(ask(&access, "192.0.2.1:2", &["Bearer right"], later), "guessing", "or guessing would go on");
    assert_eq!(ask(&access, "192.0.2.2:1", &["Bearer right"], later), "a");
    assert_eq!(ask(&access, "192.0.2.1:1", &["Bearer right"], start + WINDOW), "a");
    // a request without a credential guesses nothing
    for _ in 0..2 * GUESSES {
        ask(&access, "192.0.2.3:1", &[], start);
    }
    assert_eq!(ask(&access, "192.0.2.3:1", &["Bearer right"], start), "a");
    // an IPv6 client has more addresses than one
    for n in 0..GUESSES {
        ask(&access, &format!("[2001:db8::{n:x}]:1"), &["Bearer wrong"], start);
    }
    assert_eq!(ask(&access, "[2001:db8::ffff]:1", &["Bearer right"], start), "guessing");
    assert_eq!(ask(&access, "[2001:db8:0:1::1]:1", &["Bearer right"], start), "a");
    let text = access.0.metrics.text();
    assert!(text.contains("pagar_web_auth_failures_total{reason=\"wrong\"} 40"), "{text}");
    assert!(text.contains("pagar_web_auth_failures_total{reason=\"limited\"} 3"), "{text}");
}

#[test]
fn the_table_of_guesses_is_bounded() {
    let start = Instant::now();
    let mut guesses = Guesses::default();
    let address = |n: u32| Some(IpAddr::V4(n.into()));
    for n in 0..2 * ADDRESSES as u32 {
        guesses.wrong(address(n), start);
    }
    assert_eq!(guesses.0.len(), ADDRESSES + 1);
    assert!(guesses.wait(address(9_999), start).is_some(), "those without a place share one count");
    assert!(guesses.wait(address(1), start).is_none());
    guesses.wrong(address(9_999), start + WINDOW);
    assert_eq!(guesses.0.len(), 1, "what is over is forgotten");
}

#[test]
fn a_client_sends_so_much_at_once_and_then_so_much_a_second() {
    let access = Access::new(vec![client("a", token("a")), client("b", token("b"))], metrics());
    let start = Instant::now();
    for _ in 0..BURST {
        assert_eq!(ask(&access, "127.0.0.1:1", &["Bearer a"], start), "a");
    }
    assert_eq!(ask(&access, "127.0.0.1:1", &["Bearer a"], start), "rate");
    assert_eq!(ask(&access, "127.0.0.1:1", &["Bearer b"], start), "b");
    let later = start + Duration::from_secs(1);
    for _ in 0..PER_SECOND {
        assert_eq!(ask(&access, "127.0.0.1:1", &["Bearer a"], later), "a");
    }
    assert_eq!(ask(&access, "127.0.0.1:1", &["Bearer a"], later), "rate");
    // whoever is gone takes no memory
    access.set_clients(vec![client("b", token("b"))]);
    assert_eq!(lock(&access.0.rates).len(), 1);
}

#[test]
fn roles_are_named_in_the_refusal() {
    let viewer = Caller { name: "noc".into(), role: Role::Viewer, ..Caller::local() };
    assert!(require(&viewer, READERS).is_ok());
    let refused = serde_json::to_string(&require(&viewer, SENDERS).unwrap_err().code().to_owned()).unwrap();
    assert_eq!(refused, "\"role\"");
    let authority = Caller { role: Role::Authority, authority: Some(AuthorityId::new("mcmc")), ..viewer };
    assert!(require(&authority, SENDERS).is_ok() && require(&authority, READERS).is_err());
    assert!(require(&Caller::local(), OPERATORS).is_ok());
}

//------ through the router --------------------------------------------------------------------------------------------

async fn status(method: &str, path: &str, who: Option<&str>) -> StatusCode {
    let request = match who {
        Some(token) => authorised(method, path, token),
        None => Request::builder().method(method).uri(path),
    };
    send_from("192.0.2.1:1", clients(), request.header(HOST, "pagar.example").body(Body::empty()).unwrap()).await.0
}

#[tokio::test]
async fn each_endpoint_is_for_its_roles() {
    let everybody = [200, 200, 200, 200];
    for (method, path, of_nobody_viewer_authority_operator) in [
        ("GET", "/", everybody),
        ("GET", "/healthz", everybody),
        ("GET", "/metrics", [401, 200, 403, 200]),
        ("GET", "/v1/check?name=bad.example", [401, 200, 200, 200]),
        ("GET", "/v1/policy", [401, 200, 200, 200]),
        ("GET", "/v1/preview", [401, 404, 403, 404]),
        ("POST", "/v1/preview", [401, 403, 403, 422]),
        ("DELETE", "/v1/preview", [401, 403, 403, 404]),
        ("POST", "/v1/cache/flush?name=a.example", [401, 403, 403, 200]),
        ("GET", "/nothing", [404, 404, 404, 404]),
    ] {
        let callers = [None, Some("viewer"), Some("authority"), Some("operator")];
        for (who, expected) in callers.into_iter().zip(of_nobody_viewer_authority_operator) {
            assert_eq!(status(method, path, who).await.as_u16(), expected, "{method} {path} by {who:?}");
        }
        let known = everybody == of_nobody_viewer_authority_operator || path == "/nothing";
        assert_eq!(status(method, path, Some("stranger")).await == StatusCode::UNAUTHORIZED, !known, "{path}");
    }
}

#[tokio::test]
async fn a_refusal_says_how_to_show_who_one_is() {
    let request = |token| authorised("GET", "/v1/policy", token).body(Body::empty()).unwrap();
    let (status, headers, body) = send(clients(), request("stranger")).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(headers[WWW_AUTHENTICATE], "Bearer error=\"invalid_token\"");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (&body["code"], &body["type"]),
        (&"unauthenticated".into(), &"urn:pagar:problem:unauthenticated".into())
    );
    assert!(!body.to_string().contains("stranger"), "{body}");
    let nobody = Request::builder().uri("/v1/policy").body(Body::empty()).unwrap();
    assert_eq!(send(clients(), nobody).await.1[WWW_AUTHENTICATE], "Bearer");
    let clients = clients();
    for _ in 0..GUESSES {
        send(clients.clone(), request("stranger")).await;
    }
    let (status, headers, _) = send(clients, request("viewer")).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert!((1..=60).contains(&headers[RETRY_AFTER].to_str().unwrap().parse().unwrap()));
}

#[tokio::test]
async fn metrics_are_for_programs_here_but_not_for_pages_here() {
    let get = |host: &str| Request::builder().uri("/metrics").header(HOST, host).body(Body::empty()).unwrap();
    assert_eq!(send(clients(), get("127.0.0.1:8053")).await.0, StatusCode::OK);
    assert_eq!(send(clients(), get("evil.example")).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(send_from("192.0.2.1:1", clients(), get("localhost")).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(send(state(), get("localhost")).await.0, StatusCode::OK);
    assert_eq!(send_from("192.0.2.1:1", state(), get("localhost")).await.0, StatusCode::UNAUTHORIZED);
}
