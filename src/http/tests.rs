//! The client against listeners of the test: where it goes, what it shows, where it stops.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Instant;

use ::ring::rand::SystemRandom;
use ::ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use data_encoding::BASE64;

use super::*;

const PATIENCE: Duration = Duration::from_secs(5);

fn secret(path: &Path, text: &str, mode: u32) {
    let mut file = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(mode).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A server of one answer; returns what it was asked.
fn serve(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = vec![0; 4096];
        let length = stream.read(&mut asked).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8_lossy(&asked[..length]).into_owned()
    });
    (url, server)
}

#[test]
fn plain_http_stays_on_this_machine_and_urls_carry_no_credentials() {
    let allowed = |url: &str| check_url(url).is_ok();
    for url in ["https://feed.example/a/", "http://127.0.0.1:8053", "http://[::1]:8053/x", "http://localhost/"] {
        assert!(allowed(url), "{url}");
    }
    for url in [
        "http://feed.example/",
        "http://192.0.2.1/",
        "http://localhost.feed.example/",
        "ftp://127.0.0.1/",
        "https://user:pass@feed.example/",
        "https://",
        "/feed/",
        "feed.example",
        "",
    ] {
        assert!(!allowed(url), "{url}");
    }
}

#[test]
fn the_token_is_sent_and_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    secret(&path, "s3cret-token\n", 0o640);
    let access = Access { token: Some(path), ..Access::default() };
    let (url, server) = serve("HTTP/1.1 204 No Content\r\n\r\n");
    let client = Client::new(&url, &access, PATIENCE).unwrap();
    assert_eq!(client.get(&url).call().unwrap().status(), 204);
    let asked = server.join().unwrap();
    assert!(asked.contains("authorization: Bearer s3cret-token\r\n"), "{asked}");
    assert!(!format!("{client:?}").contains("s3cret"));
}

#[test]
fn a_token_that_others_can_read_or_that_is_none_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let access = Access { token: Some(path.clone()), ..Access::default() };
    let refused = || Client::new("http://127.0.0.1:1", &access, PATIENCE).unwrap_err().to_string();
    assert!(refused().contains("No such file"));
    secret(&path, "token", 0o644);
    assert!(refused().contains("chmod 640"));
    for text in ["", "two words", "two\nlines", "t\u{f6}ken"] {
        secret(&path, text, 0o600);
        assert!(refused().contains("RFC 6750"), "{text}");
    }
}

#[test]
fn redirects_are_answers_and_are_not_followed() {
    let (url, server) = serve("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n");
    let client = Client::new(&url, &Access::default(), PATIENCE).unwrap();
    assert_eq!(client.get(&url).call().unwrap().status(), 302);
    server.join().unwrap();
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap(); // accepts in the kernel, answers never
    let url = format!("http://{}", listener.local_addr().unwrap());
    let client = Client::new(&url, &Access::default(), Duration::from_millis(200)).unwrap();
    let since = Instant::now();
    assert!(matches!(client.get(&url).call(), Err(ureq::Error::Timeout(_))));
    assert!(since.elapsed() < PATIENCE);
}

#[test]
fn files_of_certificates_and_keys_are_looked_at_before_anybody_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let (ca, key) = (dir.path().join("ca.pem"), dir.path().join("key.pem"));
    let ask = |access: &Access| Client::new("https://feed.example/", access, PATIENCE).unwrap_err().to_string();
    let pinned = Access { ca: Some(ca.clone()), ..Access::default() };
    for (text, says) in [
        ("", "no certificate in PEM"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "a certificate that is none"),
        ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", "not PEM"),
    ] {
        fs::write(&ca, text).unwrap();
        assert!(ask(&pinned).contains(says), "{text}");
    }
    fs::write(&ca, include_str!("tests/ca.pem")).unwrap();
    Client::new("https://feed.example/", &pinned, PATIENCE).unwrap();
    let ours = Access { certificate: Some((ca, key.clone())), ..pinned };
    secret(&key, "", 0o600);
    assert!(ask(&ours).contains("no private key in PEM"));
    let random = SystemRandom::new();
    let other = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
    let other = BASE64.encode(other.as_ref());
    secret(&key, &format!("-----BEGIN PRIVATE KEY-----\n{other}\n-----END PRIVATE KEY-----\n"), 0o600);
    assert!(ask(&ours).contains("cannot be used with"), "the key of another certificate");
}
