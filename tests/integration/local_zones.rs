//! Zones the program answers by itself: the operator's, from files, read again on SIGHUP; special-use names.

use std::net::SocketAddr;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use rustix::process::Signal;

use crate::client::{BOTH, Over, addresses, ask, ask_a, dig, ede_codes, is_block, rcode};
use crate::harness::{Site, config, notice, wait_until};
use crate::upstream::Scripted;

const ZONE: &str = "$TTL 300\n@ IN SOA ns hostmaster 1 3600 600 604800 60\n  IN NS ns\nns IN A 192.0.2.53\n\
                    www IN A 192.0.2.10 ; the portal\n_acme-challenge.www IN TXT ( \"a b\" \"c\\034\" )\n\
                    new IN TYPE65280 \\# 2 abcd\nout IN CNAME www.elsewhere.example.\n";

fn site(upstream: SocketAddr, dns: &str, zone: &str) -> Site {
    let zones = "[[local_zone]]\nzone = \"portal.isp.example\"\npath = \"portal.zone\"\n";
    let text = config(&[upstream]).replace("workers = 2\n", &format!("workers = 2\n{dns}")) + zones;
    let site = Site::new(&text);
    site.write("portal.zone", zone);
    site
}

#[test]
fn the_operators_zone_is_answered_with_authority_and_never_forwarded() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = site(upstream.address, "", ZONE);
    site.put("1.json", &notice(1, "listed.portal.isp.example", "subtree"));
    let pagar = site.start();
    let server = pagar.address();
    for over in BOTH {
        let answer = ask(server, over, "wWw.portal.isp.example.", RecordType::A);
        assert!(answer.metadata.authoritative && answer.metadata.recursion_available);
        assert_eq!(addresses(&answer), ["192.0.2.10".parse::<std::net::IpAddr>().unwrap()]);
        let none = ask(server, over, "nothing.portal.isp.example.", RecordType::A);
        assert_eq!((rcode(&none), none.authorities.len()), (ResponseCode::NXDomain, 1));
        let held = ask(server, over, "x.listed.portal.isp.example.", RecordType::A);
        assert!(!is_block(&held), "a notice for one's own names waits for people");
    }
    assert!(pagar.log().contains("listed.portal.isp.example. is held"), "{}", pagar.log());
    let out = ask_a(server, "out.portal.isp.example.");
    assert_eq!(out.answers.len(), 2, "where it leads is an upstream's to say: {out:?}");
    for printed in dig(server, &["+norec", "_acme-challenge.www.portal.isp.example.", "TXT"]) {
        assert!(printed.contains(r#""a b" "c\"""#) && printed.contains("aa"), "{printed}");
    }
    for printed in dig(server, &["new.portal.isp.example.", "TYPE65280"]) {
        assert!(printed.to_lowercase().contains("abcd") && printed.contains("NOERROR"), "{printed}");
    }
    let series = |kind: &str| pagar.metric(&format!("pagar_dns_local_total{{kind=\"{kind}\"}}"));
    assert!(series("operator") >= 5.0 && series("special") == 0.0);
    assert!(pagar.metric("pagar_dns_request_duration_seconds_count{path=\"local\"}") >= 4.0);
}

#[test]
fn special_names_are_answered_here_unless_they_are_forwarded() {
    let upstream = Scripted::with_address("198.51.100.1");
    let dns = "local = { forward = [\"1.168.192.in-addr.arpa\", \"10.in-addr.arpa\"] }\n\
               identity = { version = true, server_id = \"kl-1\", nsid = \"kl-1\" }\n";
    let site = site(upstream.address, dns, ZONE);
    let pagar = site.start();
    let server = pagar.address();
    let code = |name: &str| rcode(&ask(server, Over::Udp, name, RecordType::A));
    assert_eq!(addresses(&ask_a(server, "db.localhost.")), ["127.0.0.1".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(code("1.2.168.192.in-addr.arpa."), ResponseCode::NXDomain);
    assert_eq!(code("x.onion."), ResponseCode::NXDomain);
    assert_eq!(code("1.1.168.192.in-addr.arpa."), ResponseCode::NoError, "forwarded");
    assert_eq!(code("1.2.3.10.in-addr.arpa."), ResponseCode::NoError, "forwarded");
    for printed in dig(server, &["+nsid", "version.bind.", "TXT", "CH"]) {
        assert!(printed.contains(concat!("\"pagar ", env!("CARGO_PKG_VERSION"), "\"")), "{printed}");
        assert!(printed.contains("kl-1"), "the NSID: {printed}");
    }
}

#[test]
fn a_reload_reads_the_zones_again_and_a_broken_one_changes_nothing() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = site(upstream.address, "", ZONE);
    let pagar = site.start();
    let shown = || addresses(&ask_a(pagar.address(), "www.portal.isp.example.")).first().map(ToString::to_string);
    assert_eq!(shown().as_deref(), Some("192.0.2.10"));
    site.write("portal.zone", &ZONE.replace("192.0.2.10", "192.0.2.11"));
    pagar.signal(Signal::HUP);
    wait_until("the zone is read again", || shown().as_deref() == Some("192.0.2.11"));
    site.write("portal.zone", &ZONE.replace("192.0.2.10", "192.0.2"));
    pagar.signal(Signal::HUP);
    wait_until("it is refused", || pagar.log().contains("portal.zone:5"));
    assert_eq!(shown().as_deref(), Some("192.0.2.11"));
    assert_eq!(pagar.metric("pagar_config_reload_failures_total"), 1.0);
    // a name that was forwarded and kept turns local: what was kept is forgotten
    assert_eq!(addresses(&ask_a(pagar.address(), "www.later.example.")).len(), 1);
    site.write("portal.zone", ZONE);
    site.write("later.zone", ZONE);
    let text = std::fs::read_to_string(site.path("pagar.toml")).unwrap();
    site.write("pagar.toml", &(text + "[[local_zone]]\nzone = \"later.example\"\npath = \"later.zone\"\n"));
    pagar.signal(Signal::HUP);
    wait_until("the new zone is served", || ask_a(pagar.address(), "www.later.example.").metadata.authoritative);
}

#[test]
fn a_broken_zone_is_told_by_check_and_does_not_stop_the_start() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = site(upstream.address, "", &format!("{ZONE}www IN CNAME ns\n"));
    let checked = site.run(&["check"]);
    assert_eq!(checked.code, Some(3), "{checked:?}");
    assert!(checked.out.contains("portal.zone:9: error: CNAME at www.portal.isp.example."), "{checked:?}");
    site.remove("portal.zone");
    assert!(site.run(&["check"]).out.contains("portal.zone: error: the zone file cannot be read"));
    let pagar = site.start();
    assert!(pagar.log().contains("portal.zone"));
    let answer = ask_a(pagar.address(), "www.portal.isp.example.");
    assert_eq!((rcode(&answer), ede_codes(&answer)), (ResponseCode::ServFail, vec![14]));
    assert_eq!(addresses(&ask_a(pagar.address(), "www.other.example.")).len(), 1);
    assert_eq!(pagar.metric("pagar_local_zones_broken"), 1.0);
    site.write("portal.zone", ZONE);
    pagar.signal(Signal::HUP);
    wait_until("it is mended", || pagar.metric("pagar_local_zones_broken") == 0.0);
    assert!(ask_a(pagar.address(), "www.portal.isp.example.").metadata.authoritative);
}
