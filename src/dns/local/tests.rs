//! Zones as text: what is refused and where; who answers for a name; reading back what was written.

use proptest::prelude::*;

use super::super::query::{Parsed, parse as parse_query};
use super::*;
use crate::dns::wire::rcode;

fn name(text: &str) -> DnsName {
    DnsName::from_text(text).unwrap()
}

const HEAD: &str = "@ 300 IN SOA ns hostmaster 1 3600 600 604800 60\n@ NS ns\nns A 192.0.2.53\n";

fn zone(text: &str) -> Result<Zone, Vec<Mistake>> {
    parse(&name("portal.example."), text.as_bytes())
}

/// Line and message of each mistake.
fn mistakes(text: &str) -> Vec<(Option<usize>, String)> {
    let found = zone(text).unwrap_err();
    assert!(found.iter().all(|mistake| mistake.hint.is_some()), "{found:?}");
    found.into_iter().map(|mistake| (mistake.line, mistake.message)).collect()
}

fn query(wire: &[u8], qtype: u16) -> Vec<u8> {
    let mut message = b"\xab\xcd\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
    message.extend_from_slice(wire);
    message.extend_from_slice(&qtype.to_be_bytes());
    message.extend_from_slice(&IN.to_be_bytes());
    message
}

/// The answer of `local`, as hickory reads it.
fn asked(local: &Local, owner: &str, qtype: u16) -> Option<Message> {
    let message = query(name(owner).as_wire(), qtype);
    let Parsed::Query(query) = parse_query(&message) else { panic!("{owner}") };
    local.kind(query.name(), qtype)?;
    let Said::Answer(answer) = local.answer(&query) else { panic!("{owner}") };
    let mut out = [0; 4_096];
    let shown = (crate::dns::answer::Shown::After(0), crate::dns::answer::Sections::All);
    let (len, _) = answer.of_ours().render(&query, shown, 604_800, 4_096, &mut out);
    Some(Message::from_vec(&out[..len]).unwrap())
}

#[test]
fn a_zone_that_contradicts_itself_is_refused_line_by_line() {
    assert!(zone(HEAD).is_ok());
    assert!(zone(HEAD.trim_end()).is_ok(), "the last line needs no end");
    for (line, message) in [
        ("www.elsewhere.example. A 192.0.2.1", "www.elsewhere.example. is outside the zone portal.example."),
        (
            "kid NS ns.kid",
            "kid.portal.example. is delegated: a client cannot follow it, and it would not be asked for them",
        ),
        ("ns CNAME www", "CNAME at ns.portal.example., which has other records"),
        ("@ SOA ns hostmaster 2 3600 600 604800 60", "a second SOA"),
        ("x SOA ns hostmaster 2 3600 600 604800 60", "SOA at x.portal.example."),
        ("x DNAME y", "DNAME is not supported"),
        ("x TYPE250 \\# 0", "TYPE250 is nothing a zone holds"),
        ("$INCLUDE other.zone", "$INCLUDE is not supported"),
    ] {
        assert_eq!(mistakes(&format!("{HEAD}{line}\n")), [(Some(4), message.to_owned())], "{line}");
    }
    let two = format!("{HEAD}c CNAME ns\nc A 192.0.2.1\nd A 192.0.2.2\ne.other. A 192.0.2.1\n");
    assert_eq!(mistakes(&two).iter().map(|(line, _)| *line).collect::<Vec<_>>(), [Some(5), Some(7)]);
    let missing: Vec<_> = mistakes("a A 192.0.2.1\n").into_iter().map(|(_, message)| message).collect();
    assert_eq!(missing, ["no SOA at the zone's own name", "no NS at the zone's own name"]);
}

#[test]
fn text_that_is_none_is_refused_with_its_line() {
    for line in
        ["x A 192.0.2", "x A", "x NOTYPE 1", "$ORIGINAL x.", "x TXT \"open", "x TYPE1 \\# 3 c00002", "( x A 192.0.2.1"]
    {
        let found = mistakes(&format!("{HEAD}; a comment\n{line}\n"));
        assert!(found.len() == 1 && found[0].0.is_some_and(|at| (5..=6).contains(&at)), "{line}: {found:?}");
    }
    assert!(zone("\u{0}\u{1}").is_err());
}

#[test]
fn names_and_data_of_every_shape_are_served() {
    let text = format!("{HEAD}_sip._udp SRV 0 0 5060 ns\n\\000\\.\\255 TXT \"\\000\\\"\"\nnew TYPE65280 \\# 2 abcd\n");
    let local = Local::new(false, &[], vec![zone(&text).unwrap()], &[]);
    assert_eq!(asked(&local, "_sip._udp.portal.example", 33).unwrap().answers.len(), 1);
    assert_eq!(asked(&local, "\\000\\.\\255.portal.example", 16).unwrap().answers.len(), 1);
    assert_eq!(asked(&local, "new.portal.example", 65_280).unwrap().answers.len(), 1);
    assert_eq!(asked(&local, "_udp.portal.example", 33).unwrap().metadata.response_code, ResponseCode::NoError);
    assert!(asked(&local, "example", 16).is_none() && asked(&local, "xportal.example", 16).is_none());
}

#[test]
fn the_closest_entry_says_who_answers() {
    let zones = vec![zone(HEAD).unwrap(), parse(&name("test"), HEAD.as_bytes()).unwrap()];
    let forward = [name("sub.portal.example"), name("168.192.in-addr.arpa"), name("arpa")];
    let local = Local::new(true, &forward, zones, &[name("broken.example")]);
    let kind = |text: &str, qtype| local.kind(name(text).as_wire(), qtype);
    let (operator, special) = (Some(LocalKind::Operator), Some(LocalKind::Special));
    for (text, qtype, expected) in [
        ("portal.example", rtype::A, operator),
        ("a.b.c.d.e.f.portal.example", rtype::A, operator),
        ("sub.portal.example", rtype::A, None),
        ("x.sub.portal.example", rtype::A, None),
        ("sub.portal.example", rtype::DS, operator),
        ("x.sub.portal.example", rtype::DS, None),
        ("168.192.in-addr.arpa", rtype::DS, None),
        ("portal.example", rtype::DS, None),
        ("www.portal.example", rtype::DS, operator),
        ("example", rtype::A, None),
        (".", rtype::A, None),
        ("x.test", rtype::A, operator),
        ("x.invalid", rtype::A, special),
        ("x.10.in-addr.arpa", rtype::A, None),
        ("x.resolver.arpa", rtype::A, special),
        ("broken.example", rtype::A, operator),
    ] {
        assert_eq!(kind(text, qtype), expected, "{text} {qtype}");
    }
    let local = Local::new(true, &[name("sub.broken.example")], Vec::new(), &[name("broken.example")]);
    for (owner, qtype) in [("x.broken.example", rtype::A), ("sub.broken.example", rtype::DS)] {
        let message = query(name(owner).as_wire(), qtype);
        let Parsed::Query(query) = parse_query(&message) else { panic!() };
        assert!(matches!(local.answer(&query), Said::NotReady), "{owner}");
    }
}

#[test]
fn no_zone_denies_what_is_answered_elsewhere() {
    let inner = parse(&name("in.a.portal.example"), HEAD.as_bytes()).unwrap();
    let local = Local::new(
        true,
        &[name("f.b.portal.example")],
        vec![zone(HEAD).unwrap(), inner],
        &[name("broken.c.portal.example")],
    );
    for owner in ["a", "b", "c"] {
        let above = asked(&local, &format!("{owner}.portal.example"), rtype::A).unwrap();
        assert_eq!(above.metadata.response_code, ResponseCode::NoError, "{owner}");
    }
    assert_eq!(asked(&local, "d.portal.example", rtype::A).unwrap().metadata.response_code, ResponseCode::NXDomain);
    let ds = asked(&local, "f.b.portal.example", rtype::DS).unwrap();
    assert_eq!((ds.metadata.response_code, ds.authorities.len()), (ResponseCode::NoError, 1));
}

#[test]
fn an_entry_of_forward_is_judged_by_what_it_would_do() {
    for (text, expected) in [
        ("10.in-addr.arpa", Forwardable::Special),
        ("1.168.192.in-addr.arpa", Forwardable::Special),
        ("in-addr.arpa", Forwardable::Special),
        ("localhost", Forwardable::Special),
        ("resolver.arpa", Forwardable::Never),
        ("x.resolver.arpa", Forwardable::Never),
        ("15.172.in-addr.arpa", Forwardable::Unknown),
        ("isp.example", Forwardable::Unknown),
        (".", Forwardable::Unknown),
    ] {
        assert_eq!(forwardable(&name(text)), expected, "{text}");
    }
}

#[test]
fn the_same_zones_are_the_same() {
    let local = |text: &str| Local::new(true, &[], vec![zone(text).unwrap()], &[]);
    assert_eq!(local(HEAD), local(HEAD));
    assert_ne!(local(HEAD), local(&HEAD.replace("192.0.2.53", "192.0.2.54")));
    assert_ne!(local(HEAD), Local::new(true, &[], Vec::new(), &[]));
}

proptest! {
    #[test]
    fn no_zone_text_panics(text in "[ -~\\n\\t]{0,200}") {
        let _ = zone(&format!("{HEAD}{text}"));
    }

    /// Every name gets an answer: never a panic, never silence, and SOA or records in it.
    #[test]
    fn no_name_below_a_local_zone_is_without_an_answer(
        labels in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..12), 0..6),
        qtype in any::<u16>(),
        which in 0usize..4,
    ) {
        let text = format!("{HEAD}*.w TXT x\na.w A 192.0.2.1\nloop CNAME loop\n");
        let local = Local::new(true, &[], vec![zone(&text).unwrap()], &[]);
        let mut wire: Vec<u8> = labels.iter().flat_map(|label| [&[label.len() as u8][..], label].concat()).collect();
        let zones = ["portal.example", "localhost", "10.in-addr.arpa", "resolver.arpa"];
        wire.extend_from_slice(name(zones[which]).as_wire());
        let message = query(&wire, qtype);
        let Parsed::Query(query) = parse_query(&message) else { panic!() };
        prop_assume!(local.kind(query.name(), qtype).is_some() && qtype != rtype::AXFR);
        match local.answer(&query) {
            Said::Answer(answer) => prop_assert!([rcode::NOERROR, rcode::NXDOMAIN].contains(&answer.rcode())),
            other => prop_assert!(query.name().starts_with(b"\x04loop"), "{other:?}"),
        }
    }
}
