//! An upstream's message: never a panic, whatever leaves fits and is whole if what came was, and its answer section
//! answers the question.
#![no_main]

use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RData, RecordType};
use libfuzzer_sys::fuzz_target;
use pagar::dns::answer::{Answer, Sections, Shown};
use pagar::dns::query::{Parsed, parse};

const QUERY: &[u8] =
    b"\xab\xcd\x01\x10\0\x01\0\0\0\0\0\x01\x03wWw\x07eXample\0\0\x01\0\x01\0\0\x29\x04\xd0\0\0\x80\0\0\0";
const QUESTION: &[u8] = b"\x03www\x07example\0\0\x01\0\x01";

fuzz_target!(|octets: &[u8]| {
    // the body alone is fuzzed: header and question of a proper answer go before it
    let Some((counts, body)) = octets.split_first_chunk::<6>() else { return };
    let small = counts.map(|count| count & 0x0f);
    let head = [0, 7, 0x81, 0x80, 0, 1, 0, small[0], 0, small[1], 0, small[2]];
    let message = [&head[..], QUESTION, body].concat();
    let Ok(answer) = Answer::parse(&message, QUESTION, small[3] & 1 == 1) else { return };
    let Parsed::Query(query) = parse(QUERY) else { unreachable!() };
    let limit = 512 + usize::from(small[4]) * 40;
    let mut out = vec![0; 65_535];
    let shown = (Shown::After(u32::from(small[5])), Sections::All);
    let (len, _) = answer.render(&query, shown, 3_600, limit, &mut out);
    assert!(len <= limit);
    if let Ok(left) = Message::from_vec(&out[..len]) {
        assert!(answers(&left), "{left:?}");
    }
    let counts = |octets: &[u8]| Message::from_vec(octets).map(|m| (m.answers.len(), m.authorities.len()));
    if let (Ok(came), Ok(went)) = (counts(&message), counts(&out[..len])) {
        assert!(went == came || out[2] & 0x02 != 0, "{came:?} {went:?}");
    }
});

/// Whether every record of the answer section is of a name the CNAMEs lead to from the question, or a DNAME's.
fn answers(message: &Message) -> bool {
    let mut names: Vec<Name> = message.queries.iter().map(|query| query.name().clone()).collect();
    for _ in 0..message.answers.len() {
        for record in &message.answers {
            if let RData::CNAME(target) = &record.data
                && names.contains(&record.name)
            {
                names.push(target.0.clone());
            }
        }
    }
    message.answers.iter().all(|record| {
        let may_stand_above = matches!(record.record_type(), RecordType::RRSIG | RecordType::DNAME);
        names.contains(&record.name) || may_stand_above && names.iter().any(|name| record.name.zone_of(name))
    })
}
