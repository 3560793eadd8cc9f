//! Who is answered, how often and as whom: cookies as `dig` and `kdig` use them and over a fleet, limits, exempt clients.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use rustix::process::Signal;

use crate::client::{Over, addresses, ask, ask_a, dig, ede_codes, exchange, is_block, query, rcode, send};
use crate::harness::{Site, config, notice, wait_until};
use crate::upstream::{Asked, Scripted};

const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";
const NEXT: &str = "445536bcd2513298075a5d379663c962";

/// The configuration with something more in `[dns]`'s place, behind it.
fn with(upstream: SocketAddr, more: &str) -> String {
    format!("{}{more}\n", config(&[upstream]))
}

fn with_cookie(name: &str, cookie: &[u8]) -> Message {
    let mut message = query(name, RecordType::A);
    let options = message.edns.as_mut().unwrap().options_mut();
    options.insert(EdnsOption::Unknown(10, cookie.to_vec()));
    message
}

/// The cookie a server answers with.
fn cookie(server: SocketAddr, sent: &[u8]) -> Vec<u8> {
    let answer = send(server, Over::Udp, &with_cookie("a.example.", sent));
    let options = &answer.edns.as_ref().unwrap().options().options;
    let cookie = options.iter().find_map(|(code, option)| match (code, option) {
        (EdnsCode::Cookie | EdnsCode::Unknown(10), EdnsOption::Unknown(_, data)) => Some(data.clone()),
        _ => None,
    });
    cookie.unwrap_or_else(|| panic!("no cookie in {answer:?}"))
}

/// Whether a server takes a cookie for one of its own: asked without a question (RFC 7873 §5.4).
fn accepts(server: SocketAddr, cookie: &[u8]) -> bool {
    let header = [0, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let message = [&header[..], b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x1c\x00\x0a\x00\x18", cookie].concat();
    let answer = exchange(server, Over::Udp, &message).unwrap();
    let code = answer[3] & 0x0f;
    assert!(code == 0 || code == 7, "NOERROR or BADCOOKIE, not {code}");
    code == 0
}

fn write_secrets(site: &Site, text: &str) {
    site.write("cookies.secret", text);
    fs::set_permissions(site.path("cookies.secret"), fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn dig_takes_our_cookie_and_finds_the_next_answer_good() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = Site::with(&[upstream.address]);
    let pagar = site.start();
    for printed in dig(pagar.address(), &["a.example", "A", "+cookie=0102030405060708"]) {
        assert!(printed.contains("198.51.100.1"), "{printed}");
        let lines: Vec<_> = printed.lines().filter(|line| line.contains("COOKIE")).collect();
        assert!(lines.iter().any(|line| line.len() > 48), "24 octets in hexadecimal: {printed}");
    }
    let theirs = |asked: &Asked| asked.cookie().is_some_and(|cookie| cookie.starts_with(&[1, 2, 3, 4, 5, 6, 7, 8]));
    assert!(!upstream.asked().iter().any(theirs), "hop by hop");
}

#[test]
fn a_fleet_accepts_each_others_cookies_and_rolls_its_secret_over() {
    let upstream = Scripted::with_address("198.51.100.1");
    let text = with(upstream.address, "[dns.cookies]\nsecret_file = \"cookies.secret\"");
    let sites = [Site::new(&text), Site::new(&text)];
    sites.iter().for_each(|site| write_secrets(site, &format!("{SECRET}\n")));
    let fleet = sites.each_ref().map(Site::start);
    let [a, b] = fleet.each_ref().map(crate::harness::Pagar::address);
    let first = cookie(a, &[1; 8]);
    assert_eq!(first.len(), 24);
    assert_eq!(cookie(b, &first), first, "good there too, so it comes back unchanged");
    // the next secret is accepted first, then used
    write_secrets(&sites[0], &format!("{NEXT}\n{SECRET}\n"));
    fleet[0].signal(Signal::HUP);
    wait_until("the new secret is used", || cookie(a, &first) != first);
    let second = cookie(a, &first);
    assert!(accepts(a, &second) && accepts(a, &first) && !accepts(b, &second));
    write_secrets(&sites[1], &format!("{SECRET}\n{NEXT}\n"));
    fleet[1].signal(Signal::HUP);
    wait_until("it is accepted there", || accepts(b, &second));
    for pagar in &fleet {
        assert!(!pagar.log().contains(SECRET) && !pagar.log().contains(NEXT));
    }
}

#[test]
fn a_secret_that_others_can_read_is_refused() {
    let text = with("127.0.0.1:9".parse().unwrap(), "[dns.cookies]\nsecret_file = \"cookies.secret\"");
    let site = Site::new(&text);
    for (mode, word) in [(0o644, "mode is 644"), (0o620, "mode is 620")] {
        site.write("cookies.secret", SECRET);
        fs::set_permissions(site.path("cookies.secret"), fs::Permissions::from_mode(mode)).unwrap();
        let ended = site.run(&["check"]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.err.contains(word) && !ended.err.contains(SECRET), "{ended:?}");
    }
    site.remove("cookies.secret");
    assert_eq!(site.run(&["check"]).code, Some(2));
    write_secrets(&site, SECRET);
    assert_eq!(site.run(&["check"]).code, Some(0));
}

#[test]
fn a_client_beyond_its_limit_is_sent_to_tcp_and_refused_there() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = Site::new(&with(upstream.address, "[dns.rate_limit]\nqueries_per_second = 1\nburst = 10"));
    let pagar = site.start();
    let server = pagar.address();
    let truncated = || ask_a(server, "a.example.").metadata.truncation;
    wait_until("the burst is used up", truncated);
    // they come by TCP after TC, and with the cookie after BADCOOKIE: both are limits of their own
    for words in [["a.example", "A", "+nocookie"], ["a.example", "A", "+cookie"]] {
        for printed in dig(server, &words) {
            assert!(printed.contains("198.51.100.1"), "{printed}");
        }
    }
    let refused = || {
        let answer = ask(server, Over::Tcp, "a.example.", RecordType::A);
        rcode(&answer) == ResponseCode::Refused && ede_codes(&answer) == [31]
    };
    wait_until("TCP has an end too", refused);
    assert!(pagar.metric("pagar_dns_rate_limited_total") >= 2.0);
    assert!(!pagar.log().contains("a.example"), "{}", pagar.log());
    // turned off by a reload
    site.write("pagar.toml", &config(&[upstream.address]));
    pagar.signal(Signal::HUP);
    wait_until("nobody is limited", || (0..20).all(|_| addresses(&ask_a(server, "a.example.")).len() == 1));
}

#[test]
fn response_rate_limiting_is_turned_on_by_a_reload_and_spares_tcp() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = Site::with(&[upstream.address]);
    site.put("1.json", &notice(1, "bad.example", "subtree"));
    let pagar = site.start();
    let server = pagar.address();
    assert!((0..20).all(|_| is_block(&ask_a(server, "bad.example."))));
    site.write("pagar.toml", &with(upstream.address, "[dns.rrl]\nresponses_per_second = 1\nslip = 1"));
    pagar.signal(Signal::HUP);
    wait_until("answers slip", || ask_a(server, "bad.example.").metadata.truncation);
    assert!(is_block(&ask(server, Over::Tcp, "bad.example.", RecordType::A)));
    let metrics = pagar.metrics();
    assert!(metrics["pagar_dns_rrl_slipped_total"] >= 1.0);
    assert_eq!(metrics["pagar_dns_rrl_slipped_total"], metrics["pagar_dns_rrl_excess_total"]);
    assert_eq!(metrics["pagar_dns_dropped_total{reason=\"rrl\"}"], 0.0);
}

#[test]
fn exempt_clients_are_answered_until_the_end_and_why_says_so() {
    let upstream = Scripted::with_address("198.51.100.1");
    let exempt = |until: &str| {
        let keys = format!("networks = [\"127.0.0.0/8\"]\nreason = \"police, order 7\"\nuntil = \"{until}\"");
        with(upstream.address, &format!("[[exempt]]\n{keys}"))
    };
    let site = Site::new(&exempt("2999-01-01T00:00:00+08:00"));
    site.put("1.json", &notice(1, "bad.example", "subtree"));
    let pagar = site.start();
    let server = pagar.address();
    assert_eq!(addresses(&ask_a(server, "bad.example.")), ["198.51.100.1".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(pagar.metric("pagar_dns_exempt_total"), 1.0);
    let check = |client: &str| pagar.json(&format!("/v1/check?name=bad.example&client={client}"));
    assert_eq!(check("127.0.0.1")["exempt"]["reason"], "police, order 7");
    assert!(check("192.0.2.1")["exempt"].is_null());
    let why = site.run(&["why", "bad.example", "--client", "127.0.0.1"]);
    assert!(why.code == Some(0) && why.out.contains("exempt until 2998-12-31T16:00:00Z (police, order 7)"), "{why:?}");
    let online = crate::harness::pagar(&["why", "bad.example", "--client", "127.0.0.1", "--api", &pagar.url()]);
    assert!(online.out.contains("exempt until"), "{online:?}");

    site.write("pagar.toml", &exempt("2020-01-01T00:00:00+08:00"));
    let checked = site.run(&["check"]);
    assert!(checked.code == Some(0) && checked.err.contains("the exemption has ended"), "{checked:?}");
    pagar.signal(Signal::HUP);
    wait_until("they are restricted", || is_block(&ask_a(server, "bad.example.")));
    assert!(check("127.0.0.1")["exempt"].is_null());
    assert!(!pagar.log().contains("bad.example"), "{}", pagar.log());
}
