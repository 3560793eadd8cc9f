//! A validating resolver behind us: unbound with a trust anchor forwards to Pagar, Pagar to nsd, which serves a signed zone
//! and one it delegates. An exact notice on the delegated apex must not turn the unlisted names below it bogus: it lets DS
//! and DNSKEY through (INTERFACES.md).

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;

use crate::client::{Over, addresses, ask, ask_a, is_block, query, rcode, send};
use crate::harness::{Reaped, Site, notice, peer, wait_until};

/// The DS of the zone `signed.example.`, whose key made `zones/signed.example.zone`.
const ANCHOR: &str =
    "signed.example. IN DS 41384 13 2 ab55bfb9d7f8e52b7d026b7c11fc323734a8f99f176d965652d8facaaec731ee";

/// Starts a daemon that wants to be told its port: `arguments` writes its configuration for one that is free.
pub(crate) fn daemon(
    program: &Path,
    probe: &str,
    arguments: impl Fn(SocketAddr) -> Vec<String>,
) -> (Reaped, SocketAddr) {
    for _ in 0..5 {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap(); // free again
        let mut command = Command::new(program);
        command.args(arguments(address)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = Reaped(command.spawn().unwrap());
        let mut ended = false;
        wait_until(&format!("{} answers", program.display()), || {
            ended = child.0.try_wait().unwrap().is_some();
            ended || answers(address, probe)
        });
        if !ended {
            return (child, address);
        } // somebody took the port meanwhile
    }
    panic!("{} does not start", program.display());
}

fn answers(address: SocketAddr, probe: &str) -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let octets = query(probe, RecordType::SOA).to_vec().unwrap();
    socket.connect(address).is_ok() && socket.send(&octets).is_ok() && socket.recv(&mut [0; 4_096]).is_ok()
}

fn nsd(site: &Site, program: &Path) -> (Reaped, SocketAddr) {
    let zones = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/zones");
    let directory = site.path("nsd");
    std::fs::create_dir(&directory).unwrap();
    for zone in ["signed.example.zone", "kid.signed.example.zone"] {
        std::fs::copy(zones.join(zone), directory.join(zone)).unwrap();
    }
    daemon(program, "signed.example.", |address| {
        let (ip, port, directory) = (address.ip(), address.port(), directory.display());
        let text = format!(
            "server:\n ip-address: {ip}@{port}\n server-count: 1\n username: \"\"\n chroot: \"\"\n database: \"\"\n \
             zonesdir: \"{directory}\"\n pidfile: \"\"\n zonelistfile: \"{directory}/zone.list\"\n \
             xfrdfile: \"{directory}/xfrd.state\"\n xfrdir: \"{directory}\"\nremote-control:\n control-enable: no\n\
             zone:\n name: signed.example\n zonefile: signed.example.zone\n\
             zone:\n name: kid.signed.example\n zonefile: kid.signed.example.zone\n"
        );
        site.write("nsd.conf", &text);
        ["-d", "-c", site.path("nsd.conf").to_str().unwrap()].map(String::from).to_vec()
    })
}

fn unbound(site: &Site, program: &Path, forward: SocketAddr) -> (Reaped, SocketAddr) {
    daemon(program, "signed.example.", |address| {
        let (ip, port, directory) = (address.ip(), address.port(), site.path("").display().to_string());
        let text = format!(
            "server:\n interface: {ip}\n port: {port}\n access-control: 127.0.0.0/8 allow\n username: \"\"\n \
             chroot: \"\"\n pidfile: \"\"\n directory: \"{directory}\"\n use-syslog: no\n do-daemonize: no\n \
             num-threads: 1\n do-ip6: no\n do-not-query-localhost: no\n module-config: \"validator iterator\"\n \
             trust-anchor: \"{ANCHOR}\"\nremote-control:\n control-enable: no\n\
             forward-zone:\n name: \".\"\n forward-addr: {}@{}\n",
            forward.ip(),
            forward.port()
        );
        site.write("unbound.conf", &text);
        ["-d", "-p", "-c", site.path("unbound.conf").to_str().unwrap()].map(String::from).to_vec()
    })
}

/// Asks for an address with DO: whether it came validated.
fn validated(server: SocketAddr, name: &str) -> Message {
    let mut question = query(name, RecordType::A);
    question.edns.as_mut().unwrap().set_dnssec_ok(true);
    send(server, Over::Udp, &question)
}

#[test]
fn an_unlisted_name_below_an_exact_listed_signed_apex_stays_secure() {
    let (Some(nsd_program), Some(unbound_program)) = (peer("nsd"), peer("unbound")) else { return };
    let below = Site::new("");
    let (_nsd, authoritative) = nsd(&below, &nsd_program);
    let site = Site::with(&[authoritative]);
    site.put("1.json", &notice(1, "kid.signed.example", "exact"));
    let pagar = site.start();
    assert!(is_block(&ask_a(pagar.address(), "kid.signed.example.")));
    for rtype in [RecordType::DS, RecordType::DNSKEY] {
        assert!(!ask(pagar.address(), Over::Udp, "kid.signed.example.", rtype).answers.is_empty(), "{rtype}");
    }
    for rtype in [RecordType::SOA, RecordType::NS, RecordType::ANY] {
        assert!(is_block(&ask(pagar.address(), Over::Udp, "kid.signed.example.", rtype)), "{rtype}");
    }

    let (_unbound, resolver) = unbound(&below, &unbound_program, pagar.address());
    let answer = validated(resolver, "www.kid.signed.example.");
    assert_eq!((rcode(&answer), addresses(&answer).len()), (ResponseCode::NoError, 1), "{answer:?}");
    assert!(answer.metadata.authentic_data, "secure, not bogus and not merely insecure: {answer:?}");
    let answer = validated(resolver, "none.kid.signed.example.");
    assert!(rcode(&answer) == ResponseCode::NXDomain && answer.metadata.authentic_data, "{answer:?}");
    // the block itself cannot be made to look signed: a validating client gets no answer rather than a wrong one
    assert_eq!(rcode(&validated(resolver, "kid.signed.example.")), ResponseCode::ServFail);
}

#[test]
fn a_subtree_notice_on_a_signed_apex_blocks_its_keys_as_well() {
    let (Some(nsd_program), Some(unbound_program)) = (peer("nsd"), peer("unbound")) else { return };
    let below = Site::new("");
    let (_nsd, authoritative) = nsd(&below, &nsd_program);
    let site = Site::with(&[authoritative]);
    site.put("1.json", &notice(1, "kid.signed.example", "subtree"));
    let pagar = site.start();
    for rtype in [RecordType::DS, RecordType::DNSKEY] {
        assert!(is_block(&ask(pagar.address(), Over::Udp, "kid.signed.example.", rtype)), "{rtype}");
    }
    let (_unbound, resolver) = unbound(&below, &unbound_program, pagar.address());
    assert_eq!(rcode(&validated(resolver, "www.kid.signed.example.")), ResponseCode::ServFail);
    let answer = validated(resolver, "ns.signed.example.");
    assert!(answer.metadata.authentic_data && addresses(&answer).len() == 1, "the zone above is untouched: {answer:?}");
}
