//! A validating resolver behind us: unbound with a trust anchor forwards to Pagar, Pagar to nsd, which serves a signed zone
//! and one it delegates. An exact notice on the delegated apex must not turn the unlisted names below it bogus: it lets DS
//! and DNSKEY through (INTERFACES.md).

use std::net::SocketAddr;
use std::path::Path;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;

use crate::client::{Over, addresses, ask, ask_a, is_block, query, rcode, send};
use crate::harness::{Site, notice, peer};
use crate::peers::{Daemon, nsd, unbound};

/// The DS of the zone `signed.example.`, whose key made `zones/signed.example.zone`.
const ANCHOR: &str =
    "signed.example. IN DS 41384 13 2 ab55bfb9d7f8e52b7d026b7c11fc323734a8f99f176d965652d8facaaec731ee";

/// The signed zone and the one it delegates.
const ZONES: [(&str, &str); 2] =
    [("signed.example.", "signed.example.zone"), ("kid.signed.example.", "kid.signed.example.zone")];

/// A validating resolver.
fn validator(site: &Site, program: &Path, forward: SocketAddr) -> Daemon {
    let options = format!(" module-config: \"validator iterator\"\n trust-anchor: \"{ANCHOR}\"\n");
    unbound(site, program, forward, "signed.example.", &options)
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
    let authoritative = nsd(&below, &nsd_program, &ZONES);
    let site = Site::with(&[authoritative.address]);
    site.put("1.json", &notice(1, "kid.signed.example", "exact"));
    let pagar = site.start();
    assert!(is_block(&ask_a(pagar.address(), "kid.signed.example.")));
    for rtype in [RecordType::DS, RecordType::DNSKEY] {
        assert!(!ask(pagar.address(), Over::Udp, "kid.signed.example.", rtype).answers.is_empty(), "{rtype}");
    }
    for rtype in [RecordType::SOA, RecordType::NS, RecordType::ANY] {
        assert!(is_block(&ask(pagar.address(), Over::Udp, "kid.signed.example.", rtype)), "{rtype}");
    }

    let resolver = validator(&below, &unbound_program, pagar.address());
    let answer = validated(resolver.address, "www.kid.signed.example.");
    assert_eq!((rcode(&answer), addresses(&answer).len()), (ResponseCode::NoError, 1), "{answer:?}");
    assert!(answer.metadata.authentic_data, "secure, not bogus and not merely insecure: {answer:?}");
    let answer = validated(resolver.address, "none.kid.signed.example.");
    assert!(rcode(&answer) == ResponseCode::NXDomain && answer.metadata.authentic_data, "{answer:?}");
    // the block itself cannot be made to look signed: a validating client gets no answer rather than a wrong one
    assert_eq!(rcode(&validated(resolver.address, "kid.signed.example.")), ResponseCode::ServFail);
}

#[test]
fn a_subtree_notice_on_a_signed_apex_blocks_its_keys_as_well() {
    let (Some(nsd_program), Some(unbound_program)) = (peer("nsd"), peer("unbound")) else { return };
    let below = Site::new("");
    let authoritative = nsd(&below, &nsd_program, &ZONES);
    let site = Site::with(&[authoritative.address]);
    site.put("1.json", &notice(1, "kid.signed.example", "subtree"));
    let pagar = site.start();
    for rtype in [RecordType::DS, RecordType::DNSKEY] {
        assert!(is_block(&ask(pagar.address(), Over::Udp, "kid.signed.example.", rtype)), "{rtype}");
    }
    let resolver = validator(&below, &unbound_program, pagar.address());
    assert_eq!(rcode(&validated(resolver.address, "www.kid.signed.example.")), ResponseCode::ServFail);
    let answer = validated(resolver.address, "ns.signed.example.");
    assert!(answer.metadata.authentic_data && addresses(&answer).len() == 1, "the zone above is untouched: {answer:?}");
}
