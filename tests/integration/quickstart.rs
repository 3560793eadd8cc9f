//! The newcomer's first minutes: the repository's `config/quickstart.toml`, with nothing replaced but ports, upstream and
//! state directory, asked with dig and kdig, read back from the metrics, the API and `pagar why`.

use std::fs;
use std::path::Path;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use serde_json::Value;

use crate::client::{BOTH, Over, addresses, ask, ask_a, dig, ede, is_block, query, rcode, send, soa};
use crate::harness::{Ended, Pagar, Site, pagar, peer, wait_until};
use crate::upstream::{Authoritative, a};

struct Quickstart {
    site: Site,
    pagar: Pagar,
    _upstream: Authoritative,
}

/// The repository's `config` directory, served.
fn quickstart() -> Quickstart {
    let unlisted = ["free", "shop", "login.www.shop", "slot-baru", "kempen-lama"];
    let upstream = Authoritative::start(unlisted.map(|name| a(&format!("{name}.example."), "198.51.100.1")));
    let site = Site::new(&configuration(&upstream));
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("config"), &site);
    Quickstart { pagar: site.start(), site, _upstream: upstream }
}

fn configuration(upstream: &Authoritative) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/quickstart.toml")).unwrap();
    let replaced = [
        ("127.0.0.1:5300", "127.0.0.1:0"),
        ("127.0.0.1:8053", "127.0.0.1:0"),
        ("\"system\"", &format!("\"{}\"", upstream.address)),
        ("\"../state\"", "\"state\""),
    ];
    replaced.iter().fold(text, |text, (old, new)| {
        assert!(text.contains(old), "the quick start has changed: {old} is gone");
        text.replace(old, new)
    })
}

fn copy(from: &Path, site: &Site) {
    fs::create_dir(site.path("lists")).unwrap();
    for directory in ["notices", "lists"] {
        for file in fs::read_dir(from.join(directory)).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), site.path(directory).join(file.file_name())).unwrap();
        }
    }
}

#[test]
fn it_says_where_it_listens_what_it_serves_and_what_to_try() {
    let quickstart = quickstart();
    let lines: Vec<_> = quickstart.pagar.announced.lines().collect();
    let port = quickstart.pagar.address().port();
    assert_ne!(port, 0);
    assert_eq!(lines[..2], [format!("listening udp 127.0.0.1:{port}"), format!("listening tcp 127.0.0.1:{port}")]);
    assert!(lines[2].starts_with("listening http 127.0.0.1:"), "{lines:?}");
    assert_eq!(lines[3], "serving policy 1: 10 names in force, 8 notices known, 2 sources");
    // both lines to try are typed as they stand
    for (line, listed) in [(lines[4], true), (lines[5], false)] {
        let words: Vec<_> = line.split_once("dig ").unwrap().1.split(' ').collect();
        assert_eq!(words[..3], ["@127.0.0.1", "-p", &port.to_string()]);
        for printed in dig(quickstart.pagar.address(), &words[3..]) {
            assert_eq!(printed.contains("192.0.2.8"), listed, "{line}: {printed}");
        }
    }
    assert_eq!(lines.len(), 6);
}

#[test]
fn dig_and_kdig_see_the_block_page_over_udp_and_tcp() {
    let quickstart = quickstart();
    let server = quickstart.pagar.address();
    let cases = [
        ("casino.example", "A", "192.0.2.80", "EDE: 16 (Censored)"),
        ("www.CASINO.example", "A", "192.0.2.80", "MCMC-2026-000101"),
        ("casino.example", "AAAA", "2001:db8::80", "EDE: 4 (Forged Answer)"),
        ("www.shop.example", "A", "192.0.2.81", "MCMC-2026-000102"),
        ("login-bank.example", "A", "192.0.2.80", "EDE: 15 (Blocked)"),
        ("parcel-fee.test", "AAAA", "2001:db8::80", "ISP-STANDING-1"),
        ("casino.example", "HTTPS", "nobody.invalid. 1 ", "EDE: 16 (Censored)"),
        ("casino.example", "ANY", "nobody.invalid. 1 ", "EDE: 16 (Censored)"),
        ("casino.example", "TYPE65280", "nobody.invalid. 1 ", "EDE: 16 (Censored)"),
        ("a.b.filem-percuma.example", "A", "NXDOMAIN", "EDE: 16 (Censored)"),
        ("xn--hadiah-bcher-klb.example", "A", "nobody.invalid. 1 ", "MCMC-2026-000107"),
    ];
    for transport in ["+notcp", "+tcp"] {
        for (name, rtype, data, error) in cases {
            for printed in dig(server, &[transport, name, rtype]) {
                assert!(printed.contains(data) && printed.contains(error), "{transport} {name} {rtype}: {printed}");
                assert!(printed.contains("lags: qr rd ra;"), "{printed}");
                assert_eq!(printed.contains("Forged"), data.contains("192.0.2") || data.contains("2001"), "{printed}");
            }
        }
    }
}

#[test]
fn every_type_of_a_listed_name_is_answered_from_the_policy() {
    let quickstart = quickstart();
    let server = quickstart.pagar.address();
    for over in BOTH {
        for rtype in [0x41, 0x40, 15, 16, 255, 43, 48, 2, 6, 65280].map(RecordType::from) {
            let answer = ask(server, over, "www.casino.example.", rtype);
            assert_eq!((rcode(&answer), answer.answers.len()), (ResponseCode::NoError, 0), "{rtype}");
            assert_eq!(soa(&answer), Some(("casino.example.".into(), 1, 30)), "{rtype}");
            assert_eq!(ede(&answer), [(16, "MCMC-2026-000101".into())], "{rtype}");
        }
        let mut signed = query("CaSiNo.example.", RecordType::A);
        signed.metadata.recursion_desired = false;
        signed.edns.as_mut().unwrap().set_dnssec_ok(true);
        let answer = send(server, over, &signed);
        assert_eq!(addresses(&answer), ["192.0.2.80".parse::<std::net::IpAddr>().unwrap()]);
        assert_eq!(answer.answers[0].ttl, 30);
        let flags = answer.metadata;
        assert!(!flags.recursion_desired && flags.recursion_available && !flags.authoritative && !flags.authentic_data);
        let mut plain = query("casino.example.", RecordType::A);
        plain.edns = None;
        let answer = send(server, over, &plain);
        assert!(answer.edns.is_none() && addresses(&answer).len() == 1);
    }
}

#[test]
fn what_is_scheduled_expired_beside_or_below_an_exact_target_is_forwarded() {
    let quickstart = quickstart();
    for name in
        ["free.example.", "slot-baru.example.", "kempen-lama.example.", "shop.example.", "login.www.shop.example."]
    {
        for over in BOTH {
            let answer = ask(quickstart.pagar.address(), over, name, RecordType::A);
            assert_eq!(addresses(&answer), ["198.51.100.1".parse::<std::net::IpAddr>().unwrap()], "{name}");
            assert!(!is_block(&answer), "{name}");
        }
    }
}

#[test]
fn hits_are_in_the_metrics() {
    let quickstart = quickstart();
    let server = quickstart.pagar.address();
    let before = quickstart.pagar.metrics();
    for over in [Over::Udp, Over::Udp, Over::Tcp] {
        ask(server, over, "casino.example.", RecordType::A);
    }
    ask_a(server, "www.shop.example.");
    ask_a(server, "login-bank.example.");
    ask_a(server, "x.filem-percuma.example.");
    for _ in 0..3 {
        ask_a(server, "free.example.");
    }
    let forwarded = "pagar_dns_request_duration_seconds_count{path=\"forwarded\"}";
    wait_until("its time is taken", || quickstart.pagar.metric(forwarded) == 1.0); // after it was sent
    let after = quickstart.pagar.metrics();
    let blocked = |action: &str, authority: &str, category: &str| {
        format!("pagar_dns_blocked_total{{action={action:?},authority={authority:?},category={category:?}}}")
    };
    let grown = [
        ("pagar_dns_queries_total{transport=\"udp\"}".into(), 8.0),
        ("pagar_dns_queries_total{transport=\"tcp\"}".into(), 1.0),
        (blocked("block-page", "mcmc", "gambling"), 3.0),
        (blocked("block-page", "mcmc", "scam"), 1.0),
        (blocked("block-page", "isp", "phishing"), 1.0),
        (blocked("nxdomain", "mcmc", "copyright"), 1.0),
        ("pagar_dns_notice_hits_total{notice=\"MCMC-2026-000101\"}".into(), 3.0),
        ("pagar_dns_notice_hits_total{notice=\"ISP-STANDING-1\"}".into(), 1.0),
        ("pagar_dns_notice_hits_total{notice=\"MCMC-2026-000104\"}".into(), 0.0),
        ("pagar_dns_responses_total{rcode=\"NXDOMAIN\"}".into(), 1.0),
        ("pagar_dns_request_duration_seconds_count{path=\"blocked\"}".into(), 6.0),
        (forwarded.into(), 1.0),
        ("pagar_dns_request_duration_seconds_count{path=\"cached\"}".into(), 2.0),
        ("pagar_cache_hits_total".into(), 2.0),
        ("pagar_cache_misses_total".into(), 1.0),
    ];
    for (series, by) in grown {
        assert_eq!(after[&series] - before[&series], by, "{series}");
    }
    let now = [
        ("pagar_policy_names", 10.0),
        ("pagar_policy_serial", 1.0),
        ("pagar_notices{state=\"in force\"}", 6.0),
        ("pagar_notices{state=\"scheduled\"}", 1.0),
        ("pagar_notices{state=\"expired\"}", 1.0),
        ("pagar_source_entries{source=\"lists/phishing.hosts\"}", 4.0),
    ];
    for (series, value) in now {
        assert_eq!(after[series], value, "{series}");
    }
}

#[test]
fn promtool_finds_nothing_to_say_about_the_metrics() {
    let Some(promtool) = peer("promtool") else { return };
    let quickstart = quickstart();
    ask_a(quickstart.pagar.address(), "casino.example.");
    quickstart.site.write("metrics", &quickstart.pagar.get("/metrics").1);
    let metrics = fs::File::open(quickstart.site.path("metrics")).unwrap();
    let output = std::process::Command::new(promtool).args(["check", "metrics"]).stdin(metrics).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn the_api_tells_health_policy_and_reason() {
    let quickstart = quickstart();
    let pagar = &quickstart.pagar;
    assert_eq!(pagar.get("/healthz"), (200, "ok\n".into()));
    assert_eq!(pagar.get("/readyz"), (200, "ready\n".into()));
    let policy = pagar.json("/v1/policy");
    assert_eq!((&policy["serial"], &policy["names"], &policy["notices"]), (&1.into(), &10.into(), &8.into()));
    let sources: Vec<_> = policy["sources"].as_array().unwrap().iter().map(|source| &source["name"]).collect();
    assert_eq!(sources, ["notices", "lists/phishing.hosts"]);
    let check = pagar.json("/v1/check?name=WWW.Casino.example&type=HTTPS");
    assert_eq!((&check["listed"], &check["qtype"]), (&true.into(), &65.into()));
    assert_eq!((&check["rule"]["notice"], &check["rule"]["scope"]), (&"MCMC-2026-000101".into(), &"subtree".into()));
    let check = pagar.json("/v1/check?name=login.www.shop.example");
    assert_eq!((&check["listed"], &check["rule"]), (&false.into(), &Value::Null));
    assert_eq!(pagar.get("/v1/check?tpye=A").0, 400);
    assert_eq!(pagar.get("/v1/chekc").0, 404);
}

#[test]
fn why_explains_from_the_files_and_from_the_running_server() {
    let quickstart = quickstart();
    let url = quickstart.pagar.url();
    let config = quickstart.site.path("pagar.toml");
    for from in [["--config", config.to_str().unwrap()], ["--api", &url]] {
        let why = |words: &[&str]| pagar(&[&["why"], words, &from].concat());
        let listed = why(&["Casino.EXAMPLE"]);
        assert_eq!(listed.code, Some(0), "{listed:?}");
        for word in
            ["casino.example. is listed", "MCMC-2026-000101 of mcmc (statutory)", "(subtree)", "block-page", "since: "]
        {
            assert!(listed.out.contains(word), "{word}: {listed:?}");
        }
        let below = why(&["login.www.shop.example"]);
        assert_eq!(below.code, Some(1), "{below:?}");
        assert!(below.out.contains("nearest listed ancestor: www.shop.example."), "{below:?}");
        let json: Value = serde_json::from_str(&why(&["casino.example", "--json", "--type", "DS"]).out).unwrap();
        assert_eq!((&json["listed"], &json["qtype"]), (&true.into(), &43.into()));
        let exact = why(&["www.shop.example", "--type", "DS"]);
        assert_eq!(exact.code, Some(1), "an exact target lets DS through: {exact:?}");
        assert_eq!(why(&["nothing.example"]).code, Some(1));
        assert_eq!(why(&["not a name"]).code, Some(2));
    }
    let at = |time: &str, name: &str| quickstart.site.run(&["why", name, "--at", time]).code;
    assert_eq!(at("2036-06-01T00:00:00+08:00", "slot-baru.example"), Some(0));
    assert_eq!(at("2035-06-01T00:00:00+08:00", "slot-baru.example"), Some(1));
    assert_eq!(at("2026-02-01T00:00:00+08:00", "kempen-lama.example"), Some(0));
    assert_eq!(at("yesterday", "kempen-lama.example"), Some(2));
    let nobody = pagar(&["why", "a.example", "--api", "http://127.0.0.1:1"]);
    assert_eq!(nobody.code, Some(4), "{nobody:?}");
}

#[test]
fn check_passes_the_quick_start() {
    let quickstart = quickstart();
    let good = quickstart.site.run(&["check"]);
    assert_eq!(good.code, Some(0), "{good:?}");
    assert_eq!(good.out, "10 names in force by 6 of 8 notices; 0 errors, 0 warnings\n");
    let json: Value = serde_json::from_str(&quickstart.site.run(&["check", "--json"]).out).unwrap();
    assert_eq!((&json["errors"], &json["names"]), (&0.into(), &10.into()));
}

#[test]
fn the_command_line_explains_itself() {
    let Ended { code, out, .. } = pagar(&["--version"]);
    assert_eq!((code, out), (Some(0), format!("pagar {}\n", env!("CARGO_PKG_VERSION"))));
    let help = pagar(&["--help"]);
    assert_eq!(help.code, Some(0));
    for command in ["serve", "check", "why"] {
        assert!(help.out.contains(command), "{help:?}");
        let help = pagar(&[command, "--help"]);
        assert!(help.code == Some(0) && help.out.contains("--config"), "{help:?}");
    }
    for wrong in [&["srve"][..], &["serve"], &["why", "a.example"], &["check", "--json"]] {
        let ended = pagar(wrong);
        assert!(ended.code == Some(2) && ended.err.contains("Usage"), "{ended:?}");
    }
}
