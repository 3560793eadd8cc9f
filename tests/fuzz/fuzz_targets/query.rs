//! A client's message: never a panic; what is called a query, hickory reads as the same question; every error that is
//! written can be read.
#![no_main]

use hickory_proto::op::Message;
use libfuzzer_sys::fuzz_target;
use pagar::dns::query::{Parsed, parse};
use pagar::dns::reply::{Ede, error, malformed, no_question};

fuzz_target!(|octets: &[u8]| {
    let mut out = [0; 512];
    let len = match parse(octets) {
        Parsed::Query(query) => {
            // hickory also reads what follows the question, and refuses records we pass over
            if let Ok(message) = Message::from_vec(octets) {
                let labels = message.queries[0].name().iter();
                let theirs: Vec<u8> = labels
                    .flat_map(|label| [&[label.len() as u8], label].concat().to_ascii_lowercase())
                    .chain([0])
                    .collect();
                assert_eq!(query.name(), theirs);
                assert_eq!(u16::from(message.queries[0].query_type()), query.qtype);
            }
            error(&query, 2, Ede::NETWORK_ERROR, &mut out)
        }
        Parsed::NoQuestion(asked) => no_question(octets, asked, 23, Some([7; 24]), Some(Ede::RATE_LIMITED), &mut out),
        Parsed::Malformed(fault) => malformed(octets, fault, Some(Ede::PROHIBITED), &mut out),
        Parsed::Drop(_) => return,
    };
    let reply = Message::from_vec(&out[..len]).expect("our own words can be read");
    assert_eq!(reply.metadata.id, u16::from_be_bytes([octets[0], octets[1]]));
});
