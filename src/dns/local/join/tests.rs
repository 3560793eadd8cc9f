//! The octets of joined answers, as hickory reads them, and what it does not read.

use hickory_proto::op::{Message, MessageType, OpCode, Query as HickoryQuery};
use hickory_proto::rr::rdata::{A, CNAME, MX, NS, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record as Hickory, RecordType};
use proptest::prelude::*;

use super::*;
use crate::dns::local::{Local, Said, parse as zone};
use crate::dns::query::{Parsed, parse};
use crate::dns::wire::IN;
use crate::model::DnsName;

const ZONE: &str = "@ 300 IN SOA ns hostmaster 1 3600 600 604800 60\n@ NS ns\nns A 192.0.2.53\n\
                    out CNAME www.open.example.\nin CNAME mail\nmail CNAME www.portal.example.\nwww CNAME out\n";

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn record(owner: &str, data: RData) -> Hickory {
    Hickory::from_rdata(name(owner), 100, data)
}

/// The chain of ours that begins at `owner`, and its question.
fn chain(owner: &str, qtype: u16) -> (crate::dns::local::Chain, Vec<u8>) {
    let zone = zone(&DnsName::from_text("portal.example").unwrap(), ZONE.as_bytes()).unwrap();
    let local = Local::new(false, &[], vec![zone], &[]);
    let mut message = b"\xab\xcd\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
    message.extend_from_slice(DnsName::from_text(owner).unwrap().as_wire());
    message.extend_from_slice(&qtype.to_be_bytes());
    message.extend_from_slice(&IN.to_be_bytes());
    let Parsed::Query(query) = parse(&message) else { panic!() };
    let Said::Elsewhere(chain) = local.answer(&query) else { panic!() };
    (chain, message[HEADER..].to_vec())
}

/// An upstream's message for `www.open.example.`
fn rest(qtype: u16, [answers, authorities, additionals]: [Vec<Hickory>; 3]) -> Message {
    let mut message = Message::new(7, MessageType::Response, OpCode::Query);
    message.queries.push(HickoryQuery::query(name("www.open.example."), RecordType::from(qtype)));
    (message.answers, message.authorities, message.additionals) = (answers, authorities, additionals);
    message
}

/// What an upstream's octets are behind the chain from `owner`, without the OPT record.
fn joined(owner: &str, qtype: u16, octets: &[u8]) -> Option<Vec<u8>> {
    let (chain, _) = chain(owner, qtype);
    let answer = Answer::parse(octets, &chain.rest(), false).unwrap();
    chain.join(&answer, 0).map(|whole| whole.aged(0))
}

#[test]
fn data_nobody_here_can_read_pass_behind_a_cname_of_ours() {
    // SvcParams without values: refused by hickory, passed on to whoever asks for the name itself
    let https = b"\x00\x01\x00\x00\x03\x00\x02\x00\x01\x00\x01\x00\x00";
    let mut octets = rest(rtype::HTTPS, Default::default()).to_vec().unwrap();
    octets[7] = 1;
    octets.extend_from_slice(b"\xc0\x0c\x00\x41\x00\x01\x00\x00\x00\x64\x00\x0d");
    octets.extend_from_slice(https);
    assert!(Message::from_vec(&octets).is_err());
    let whole = joined("out.portal.example", rtype::HTTPS, &octets).unwrap();
    assert!(whole.ends_with(https) && u16_at(&whole, 6) == Some(2));
    // an MX without a name, and one whose name runs over its end
    for broken in [&b"\x00\x01\x07"[..], b"\x00\x0a\x03mx"] {
        let mut octets = rest(15, Default::default()).to_vec().unwrap();
        octets[7] = 1;
        octets.extend_from_slice(b"\xc0\x0c\x00\x0f\x00\x01\x00\x00\x00\x64\x00");
        octets.push(broken.len() as u8);
        octets.extend_from_slice(broken);
        assert!(joined("out.portal.example", 15, &octets).unwrap().ends_with(broken));
    }
}

#[test]
fn a_name_that_moves_out_of_the_reach_of_pointers_is_written_out() {
    let long = |n: usize| record("www.open.example.", RData::TXT(TXT::new(vec![format!("{n:0200}")])));
    let far: Vec<_> = (0..75).map(long).collect();
    let glue: Vec<_> = (0..60).map(|n| format!("g{}.far{n}.example.", n % 7)).collect();
    let glue: Vec<_> = glue.iter().flat_map(|at| [at, at]).map(|at| record(at, RData::A(A::new(1, 2, 3, 4)))).collect();
    let message = rest(16, [far.clone(), glue.clone(), Vec::new()]);
    let whole = joined("in.portal.example", 16, &message.to_vec().unwrap()).unwrap();
    assert!(whole.len() > MAX_PLACE + 100, "{}", whole.len());
    let whole = Message::from_vec(&whole).unwrap();
    assert_eq!((&whole.answers[4..], &whole.authorities), (&far[..], &glue));
}

#[test]
fn a_joined_answer_is_hardly_longer_than_its_parts() {
    let at = |n: u8| record("www.open.example.", RData::A(A::new(192, 0, 2, n)));
    let octets = rest(rtype::A, [(0..30).map(at).collect(), Vec::new(), Vec::new()]).to_vec().unwrap();
    let (chain, _) = chain("out.portal.example", rtype::A);
    let alone = chain.alone().unwrap().aged(0).len();
    let whole = joined("out.portal.example", rtype::A, &octets).unwrap().len();
    assert_eq!(whole - alone, octets.len() - HEADER - chain.rest().len(), "pointers stay pointers");
}

fn any_record() -> impl Strategy<Value = Hickory> {
    let owner =
        prop::sample::select(vec!["open.example.", "www.open.example.", "a.b.example.", "Mail.open.example.", "."]);
    let target = prop::sample::select(vec!["www.open.example.", "mail.OPEN.example.", "x.y.z.test.", "example."]);
    (owner, target, 0u8..6).prop_map(|(owner, target, which)| {
        let target = name(target);
        let data = match which {
            0 => RData::A(A::new(192, 0, 2, 1)),
            1 => RData::NS(NS(target)),
            2 => RData::MX(MX::new(10, target)),
            3 => RData::SRV(SRV::new(1, 2, 3, target)),
            4 => RData::SOA(SOA::new(target.clone(), target, 1, 2, 3, 4, 100)),
            _ => RData::TXT(TXT::new(vec!["text".into()])),
        };
        record(owner, data)
    })
}

proptest! {
    /// Whatever an upstream's records are, they come out behind ours as they went in.
    #[test]
    fn what_is_joined_is_what_hickory_reads_in_both(
        which in 0usize..2,
        links in 0usize..4,
        authorities in prop::collection::vec(any_record(), 0..8),
        additionals in prop::collection::vec(any_record(), 0..8),
    ) {
        let at = |n: usize| if n == 0 { "www.open.example.".to_owned() } else { format!("n{n}.open.example.") };
        let mut answers: Vec<_> = (0..links).map(|n| record(&at(n), RData::CNAME(CNAME(name(&at(n + 1)))))).collect();
        answers.push(record(&at(links), RData::MX(MX::new(1, name("mx.open.example.")))));
        let octets = rest(15, [answers.clone(), authorities, additionals]).to_vec().unwrap();
        let (owner, ours) = [("out.portal.example", 1), ("in.portal.example", 4)][which];
        let (chain, question) = chain(owner, 15);
        let answer = Answer::parse(&octets, &chain.rest(), false).unwrap();
        let theirs = Message::from_vec(&answer.aged(7)).unwrap();
        let whole = chain.join(&answer, 7).unwrap();
        prop_assert!(whole.aged(0)[HEADER..].starts_with(&question));
        let whole = Message::from_vec(&whole.aged(0)).unwrap();
        prop_assert_eq!(whole.answers.len(), ours + links + 1);
        prop_assert_eq!(&whole.answers[ours..], &theirs.answers[..]);
        prop_assert_eq!(whole.authorities, theirs.authorities);
        prop_assert_eq!(whole.additionals, theirs.additionals);
    }

    #[test]
    fn no_answer_panics_behind_a_cname_of_ours(
        changes in prop::collection::vec((12usize..300, any::<u8>()), 0..8),
        records in prop::collection::vec(any_record(), 0..8),
    ) {
        let mut octets = rest(rtype::A, [Vec::new(), records.clone(), records]).to_vec().unwrap();
        for (at, value) in changes {
            if let Some(octet) = octets.get_mut(at) {
                *octet = value;
            }
        }
        let (chain, _) = chain("in.portal.example", rtype::A);
        if let Ok(answer) = Answer::parse(&octets, &chain.rest(), false) {
            let _ = chain.join(&answer, 1);
        }
    }
}
