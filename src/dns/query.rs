//! [`parse`]: a message from a client, read in place and without allocating.
//!
//! Everything after this file can rely on: one question with an uncompressed name, opcode QUERY, EDNS version 0 or none.
//! What is not that is answered here, or dropped when answering would be wrong (RFC 8906 §3: silence only for what is no
//! query at all).

use crate::model::name::{MAX_NAME, wire_len};
use crate::observe::counters::Dropped;

use super::wire::{HEADER, Record, option, options, rcode, record, rtype, skip_name, u16_at};

/// What a client's OPT record says (RFC 6891 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns<'m> {
    /// Largest UDP answer the client takes; at least 512 (RFC 6891 §6.2.3).
    pub udp_size: u16,
    /// DNSSEC records wanted (RFC 3225).
    pub dnssec_ok: bool,
    /// The client reads structured DNS errors, so a block page is not flagged as Forged Answer.
    pub structured_errors: bool,
    /// The client asks for the name of this server (RFC 5001 §2.1).
    pub nsid: bool,
    /// Whether the client understands edns-tcp-keepalive; only over streams does that mean anything.
    pub keepalive: Keepalive,
    /// The COOKIE option as sent, its length not checked (RFC 7873 §5.2).
    pub cookie: Option<&'m [u8]>,
}

/// edns-tcp-keepalive of a query (RFC 7828 §3.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keepalive {
    /// It is not there.
    #[default]
    No,
    /// It is there.
    Asked,
    /// It is there with data, as only a server may send it: FORMERR over streams, ignored over UDP.
    WithData,
}

/// Options of ours for the OPT record of an answer, besides its errors. They are about this client and this hop, so they are
/// never cached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options<'a> {
    /// COOKIE: the client's half and ours (RFC 7873 §5.2.3, RFC 9018 §4).
    pub cookie: Option<[u8; 24]>,
    /// NSID, 128 octets at most (RFC 5001 §2.2).
    pub nsid: Option<&'a [u8]>,
    /// edns-tcp-keepalive: how long an idle connection stays, in units of 100 ms (RFC 7828 §3.2.2).
    pub keepalive: Option<u16>,
}

/// Octets of a cache key behind the canonical name: the type, and whether DO and CD were set. The class is always IN.
pub(super) const KEY_TAIL: usize = 3;

/// A well-formed query with one question.
#[derive(Clone, Debug)]
pub struct Query<'m> {
    message: &'m [u8],
    /// Canonical name, then the rest of the cache key.
    key: [u8; MAX_NAME + KEY_TAIL],
    name_len: usize,
    /// QTYPE.
    pub qtype: u16,
    /// QCLASS.
    pub qclass: u16,
    /// The OPT record, if there was one.
    pub edns: Option<Edns<'m>>,
    /// What our OPT record is to say, if there is one.
    pub options: Options<'m>,
}

impl Query<'_> {
    /// The canonical wire name asked.
    pub fn name(&self) -> &[u8] {
        &self.key[..self.name_len]
    }

    /// The key of the answer in the cache.
    pub fn key(&self) -> &[u8] {
        &self.key[..self.name_len + KEY_TAIL]
    }

    /// The question section as the client wrote it, case included.
    pub fn question(&self) -> &[u8] {
        &self.message[HEADER..HEADER + self.name_len + 4]
    }

    /// The message id.
    pub fn id(&self) -> [u8; 2] {
        [self.message[0], self.message[1]]
    }

    /// RD: recursion desired.
    pub fn recursion_desired(&self) -> bool {
        self.message[2] & 0x01 != 0
    }

    /// AD: the client understands the AD bit (RFC 6840 §5.7).
    pub fn authentic_data(&self) -> bool {
        self.message[3] & 0x20 != 0
    }

    /// CD: checking disabled.
    pub fn checking_disabled(&self) -> bool {
        self.message[3] & 0x10 != 0
    }

    /// DO of the OPT record.
    pub fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }
}

/// A message that is answered with an error and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The (extended) response code.
    pub rcode: u16,
    /// Octets of the question section to echo; 0 if it could not be read.
    pub question: usize,
    /// Whether an OPT record was read, so that the answer has one (RFC 6891 §7).
    pub edns: bool,
    /// DO of that record, to be echoed (RFC 3225 §3).
    pub dnssec_ok: bool,
}

/// A query without a question, but with a COOKIE option: a client that wants nothing else (RFC 7873 §5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoQuestion<'m> {
    /// The option, its length not checked.
    pub cookie: &'m [u8],
    /// DO, to be echoed (RFC 3225 §3).
    pub dnssec_ok: bool,
}

/// What a message turned out to be.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "lives on the stack of one call")]
pub enum Parsed<'m> {
    /// To be answered.
    Query(Query<'m>),
    /// To be answered with a cookie.
    NoQuestion(NoQuestion<'m>),
    /// To be answered with this error.
    Malformed(Malformed),
    /// Not to be answered.
    Drop(Dropped),
}

/// Reads a message.
pub fn parse(message: &[u8]) -> Parsed<'_> {
    let Some(flags) = message.get(..HEADER).map(|header| header[2]) else { return Parsed::Drop(Dropped::Short) };
    if flags & 0x80 != 0 {
        return Parsed::Drop(Dropped::Response);
    }
    let opcode = (flags >> 3) & 0x0f;
    let question = question(message);
    let end = question.map_or_else(|| questions_end(message), |(_, end)| Some(end));
    let opt = end.and_then(|end| additional(message, end));
    let mut malformed = Malformed {
        rcode: rcode::FORMERR,
        question: question.map_or(0, |(_, end)| end - HEADER),
        edns: matches!(opt, Some(Opt::Version0(_) | Opt::Other { .. })),
        dnssec_ok: matches!(opt, Some(Opt::Version0(Edns { dnssec_ok: true, .. }) | Opt::Other { dnssec_ok: true })),
    };
    match (question, opt) {
        _ if opcode != 0 => malformed.rcode = rcode::NOTIMP,
        (_, Some(Opt::Other { .. })) => malformed.rcode = rcode::BADVERS,
        (None, Some(Opt::Version0(Edns { cookie: Some(cookie), dnssec_ok, .. }))) if u16_at(message, 4) == Some(0) => {
            return Parsed::NoQuestion(NoQuestion { cookie, dnssec_ok });
        }
        (Some((name_len, _)), Some(Opt::None)) => return Parsed::Query(query(message, name_len, None)),
        (Some((name_len, _)), Some(Opt::Version0(edns))) => return Parsed::Query(query(message, name_len, Some(edns))),
        _ => {}
    }
    Parsed::Malformed(malformed)
}

/// Writes the canonical name a message asks for first; the octets it takes, 0 if there is none. Whether the message is a
/// query is left open: this is for looking ahead.
pub fn first_name(message: &[u8], name: &mut [u8; MAX_NAME]) -> usize {
    let wire = message.get(HEADER..).and_then(|rest| rest.get(..wire_len(rest)?)).unwrap_or_default();
    put_lower(name, wire);
    wire.len()
}

/// Puts a name in lower case to the beginning of `place`, which has room for it and zeros behind it. Length octets are
/// below b'A'.
#[inline]
fn put_lower(place: &mut [u8], name: &[u8]) {
    place[..name.len()].copy_from_slice(name);
    let whole = name.len().next_multiple_of(8).min(place.len());
    let (words, rest) = place[..whole].as_chunks_mut();
    for word in words {
        *word = lower(u64::from_ne_bytes(*word)).to_ne_bytes();
    }
    rest.make_ascii_lowercase();
}

/// Eight octets in lower case.
#[inline]
fn lower(octets: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let low = octets & !HIGH;
    // the high bit of each octet: from b'A' on; behind b'Z'
    let (from_a, behind_z) = (low + ONES * (0x80 - b'A' as u64), low + ONES * (0x7f - b'Z' as u64));
    octets | (from_a & !behind_z & !octets & HIGH) >> 2
}

/// Where the question section ends, however many questions it has: an OPT behind them is answered with one even then.
fn questions_end(message: &[u8]) -> Option<usize> {
    let mut at = HEADER;
    for _ in 0..u16_at(message, 4)? {
        at = skip_name(message, at)? + 4; // at least 5 octets each, so the message bounds the loop
    }
    (at <= message.len()).then_some(at)
}

/// Length of the one question's name and where the section ends.
fn question(message: &[u8]) -> Option<(usize, usize)> {
    if u16_at(message, 4)? != 1 {
        return None; // RFC 9619 §4
    }
    let name_len = wire_len(&message[HEADER..])?;
    let end = HEADER + name_len + 4;
    (end <= message.len()).then_some((name_len, end))
}

enum Opt<'m> {
    None,
    Version0(Edns<'m>),
    /// A version this program does not speak (RFC 6891 §6.1.3).
    Other {
        dnssec_ok: bool,
    },
}

/// Walks the records after the question to the end of the message; `None` if they are not what the header says.
fn additional(message: &[u8], mut at: usize) -> Option<Opt<'_>> {
    let [answers, authorities, additionals] = [u16_at(message, 6)?, u16_at(message, 8)?, u16_at(message, 10)?];
    let before = u32::from(answers) + u32::from(authorities);
    let mut opt = Opt::None;
    for number in 0..before + u32::from(additionals) {
        let record = record(message, at)?; // at least 11 octets each, so the message bounds the loop
        if record.rtype == rtype::OPT {
            let misplaced = number < before || record.rdata - record.start != 11; // the owner is the root
            if misplaced || !matches!(opt, Opt::None) {
                return None;
            }
            opt = read_opt(message, &record)?;
        }
        at = record.end;
    }
    (at == message.len()).then_some(opt)
}

fn read_opt<'m>(message: &'m [u8], record: &Record) -> Option<Opt<'m>> {
    let [_, version, flags, _] = record.ttl.to_be_bytes();
    let dnssec_ok = flags & 0x80 != 0;
    if version != 0 {
        return Some(Opt::Other { dnssec_ok }); // its options may have another shape (RFC 6891 §6.1.3)
    }
    let mut edns = Edns {
        udp_size: record.class.max(512),
        dnssec_ok,
        structured_errors: false,
        nsid: false,
        keepalive: Keepalive::No,
        cookie: None,
    };
    for option in options(&message[record.rdata..record.end]) {
        match option? {
            (option::NSID, _) => edns.nsid = true,
            (option::COOKIE, cookie) => edns.cookie = edns.cookie.or(Some(cookie)),
            (option::KEEPALIVE, []) if edns.keepalive == Keepalive::No => edns.keepalive = Keepalive::Asked,
            (option::KEEPALIVE, data) if !data.is_empty() => edns.keepalive = Keepalive::WithData,
            (option::STRUCTURED_ERRORS, _) => edns.structured_errors = true,
            _ => {} // RFC 6891 §6.1.2: unknown ones are ignored
        }
    }
    Some(Opt::Version0(edns))
}

#[inline]
fn query<'m>(message: &'m [u8], name_len: usize, edns: Option<Edns<'m>>) -> Query<'m> {
    let tail = message.get(HEADER + name_len..).and_then(|tail| tail.first_chunk()).copied();
    let [t0, t1, c0, c1] = tail.unwrap_or_default(); // the question was seen to be whole
    // made where it is to be: it is too much to move
    let mut query = Query {
        message,
        key: [0; MAX_NAME + KEY_TAIL],
        name_len,
        qtype: u16::from_be_bytes([t0, t1]),
        qclass: u16::from_be_bytes([c0, c1]),
        edns,
        options: Options::default(),
    };
    put_lower(&mut query.key, &message[HEADER..HEADER + name_len]);
    let flags = u8::from(query.dnssec_ok()) << 1 | u8::from(query.checking_disabled());
    query.key[name_len..name_len + KEY_TAIL].copy_from_slice(&[t0, t1, flags]);
    query
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::{Edns as HickoryEdns, Message, MessageType};
    use hickory_proto::rr::rdata::opt::EdnsOption;
    use hickory_proto::rr::{DNSClass, Name, RecordType};
    use hickory_proto::serialize::binary::BinEncodable;
    use proptest::prelude::*;

    use super::*;

    /// Header with RD, the question `wWw.example. A IN`, and what follows.
    fn message(counts: [u16; 4], rest: &[u8]) -> Vec<u8> {
        let mut message = vec![0xab, 0xcd, 0x01, 0x00];
        counts.iter().for_each(|count| message.extend(count.to_be_bytes()));
        message.extend_from_slice(b"\x03wWw\x07example\x00\x00\x01\x00\x01");
        message.extend_from_slice(rest);
        message
    }

    const OPT: &[u8] = b"\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x00";

    const PLAIN: Edns = Edns {
        udp_size: 512,
        dnssec_ok: false,
        structured_errors: false,
        nsid: false,
        keepalive: Keepalive::No,
        cookie: None,
    };

    fn malformed(message: &[u8]) -> Malformed {
        match parse(message) {
            Parsed::Malformed(malformed) => malformed,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_query_is_read_with_its_case_kept_and_its_name_lowered() {
        let bytes = message([1, 0, 0, 1], OPT);
        let Parsed::Query(query) = parse(&bytes) else { panic!() };
        assert_eq!(query.name(), b"\x03www\x07example\x00");
        assert_eq!(&query.question()[..4], b"\x03wWw");
        assert_eq!(query.edns, Some(Edns { udp_size: 1232, dnssec_ok: true, ..PLAIN }));
        assert!(query.recursion_desired() && !query.checking_disabled());
        assert_eq!(&query.key()[query.name().len()..], [0, 1, 0b10]);
    }

    #[test]
    fn eight_octets_are_lowered_as_one_by_one() {
        for octet in 0..=u8::MAX {
            for place in 0..8 {
                let mut octets = *b"Az@[`{\x80\xff";
                octets[place] = octet;
                let lowered = lower(u64::from_ne_bytes(octets)).to_ne_bytes();
                assert_eq!(lowered, octets.map(|octet| octet.to_ascii_lowercase()), "{octets:02x?}");
            }
        }
        for len in 0..MAX_NAME {
            let mut place = [0; MAX_NAME];
            put_lower(&mut place, &[b'X'; MAX_NAME][..len]);
            assert!(place[..len].iter().all(|octet| *octet == b'x') && place[len..].iter().all(|octet| *octet == 0));
        }
    }

    #[test]
    fn what_is_no_query_is_dropped() {
        assert!(matches!(parse(b""), Parsed::Drop(Dropped::Short)));
        assert!(matches!(parse(&[0; 11]), Parsed::Drop(Dropped::Short)));
        let mut response = message([1, 0, 0, 0], b"");
        response[2] |= 0x80;
        assert!(matches!(parse(&response), Parsed::Drop(Dropped::Response)));
    }

    #[test]
    fn question_counts_other_than_one_are_formerr_without_a_question() {
        for count in [0, 2, 0xffff] {
            let error = malformed(&message([count, 0, 0, 0], b"\x00\x00\x01\x00\x01"));
            assert_eq!((error.rcode, error.question), (rcode::FORMERR, 0));
        }
        let two = [b"\x00\x00\x01\x00\x01", OPT].concat();
        assert!(malformed(&message([2, 0, 0, 1], &two)).edns, "an OPT behind them is answered with one");
        let header_only = [&message([0, 0, 0, 1], b"")[..HEADER], OPT].concat();
        assert!(malformed(&header_only).edns);
    }

    #[test]
    fn dnssec_ok_is_read_wherever_the_opt_record_can_be() {
        let asked = |version: u8, flags: u8| {
            let opt = [b"\x00\x00\x29\x04\xd0\x00", &[version, flags, 0, 0, 0][..]].concat();
            let mut status = message([1, 0, 0, 1], &opt);
            status[2] = 2 << 3;
            let two = message([2, 0, 0, 1], &[b"\x00\x00\x01\x00\x01", &opt[..]].concat());
            [status, two, message([1, 0, 0, 1], &opt)]
        };
        for version in [0, 1, 255] {
            for (flags, expected) in [(0x80, true), (0x7f, false), (0, false)] {
                for message in asked(version, flags) {
                    match parse(&message) {
                        Parsed::Malformed(error) => assert_eq!((error.edns, error.dnssec_ok), (true, expected)),
                        Parsed::Query(query) => assert_eq!((version, query.dnssec_ok()), (0, expected)),
                        other => panic!("{other:?}"),
                    }
                }
            }
        }
    }

    #[test]
    fn no_question_is_legal_for_a_cookie_alone() {
        let bare = |counts, rest: &[u8]| [&message(counts, b"")[..HEADER], rest].concat();
        let opt = b"\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x0c\x00\x0a\x00\x08clientck";
        let bytes = bare([0, 0, 0, 1], opt);
        let Parsed::NoQuestion(asked) = parse(&bytes) else { panic!() };
        assert_eq!(asked, NoQuestion { cookie: b"clientck", dnssec_ok: true });
        let mut status = bytes.clone();
        status[2] = 2 << 3;
        assert_eq!(malformed(&status).rcode, rcode::NOTIMP);
        let record = b"\x00\x00\x01\x00\x01\x00\x00\x00\x00\x00\x00";
        for bytes in [bare([0, 0, 0, 1], OPT), bare([2, 0, 0, 1], opt), bare([0, 0, 0, 1], &[opt, &b"x"[..]].concat())]
        {
            assert_eq!(malformed(&bytes).rcode, rcode::FORMERR);
        }
        assert!(matches!(parse(&bare([0, 1, 0, 1], &[record, &opt[..]].concat())), Parsed::NoQuestion(_)));
    }

    #[test]
    fn garbled_messages_are_formerr() {
        let two_opts = [OPT, OPT].concat();
        let owner = b"\x01x\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00";
        let option_overrun = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x01";
        for (counts, rest) in [
            ([1, 0, 0, 0], &b"trailing"[..]),
            ([1, 0, 0, 1], b""),
            ([1, 0, 0, 1], &OPT[..10]),
            ([1, 0, 0, 2], &two_opts),
            ([1, 1, 0, 0], OPT),
            ([1, 0, 0, 1], owner),
            ([1, 0, 0, 1], option_overrun),
            ([1, 0xffff, 0xffff, 0xffff], b""),
        ] {
            assert_eq!(malformed(&message(counts, rest)).rcode, rcode::FORMERR, "{rest:?}");
        }
        let mut header = message([1, 0, 0, 0], b"")[..HEADER].to_vec();
        for name in [&b"\xc0\x0c\x00\x01\x00\x01"[..], b"\x40a\x00\x00\x01\x00\x01", b"\x03www"] {
            header.truncate(HEADER);
            header.extend_from_slice(name);
            assert_eq!(
                malformed(&header),
                Malformed { rcode: rcode::FORMERR, question: 0, edns: false, dnssec_ok: false }
            );
        }
    }

    #[test]
    fn opcodes_and_edns_versions_we_do_not_speak_are_named() {
        let mut status = message([1, 0, 0, 1], OPT);
        status[2] = 2 << 3;
        assert_eq!(malformed(&status), Malformed { rcode: rcode::NOTIMP, question: 17, edns: true, dnssec_ok: true });
        assert_eq!(
            malformed(&status[..HEADER]),
            Malformed { rcode: rcode::NOTIMP, question: 0, edns: false, dnssec_ok: false }
        );
        for options in [b"\x12\x34\x00\x00", b"\xff\xff\xff\xff"] {
            let version_1 = [b"\x00\x00\x29\x04\xd0\x00\x01\x00\x00\x00\x04", &options[..]].concat();
            let error = malformed(&message([1, 0, 0, 1], &version_1));
            assert_eq!((error.rcode, error.edns), (rcode::BADVERS, true));
        }
    }

    #[test]
    fn options_are_noticed_and_small_sizes_raised() {
        let opt = b"\x00\x00\x29\x00\x00\x00\x00\x00\x00\x00\x0c\xff\xf0\x00\x04abcd\x00\x1a\x00\x00";
        let bytes = message([1, 0, 0, 1], opt);
        let Parsed::Query(query) = parse(&bytes) else { panic!() };
        assert_eq!(query.edns, Some(Edns { structured_errors: true, ..PLAIN }));
        let opt =
            b"\x00\x00\x29\x02\x00\x00\x00\x00\x00\x00\x14\x00\x03\x00\x00\x00\x0a\x00\x08clientck\x00\x0b\x00\x00";
        let bytes = message([1, 0, 0, 1], opt);
        let Parsed::Query(query) = parse(&bytes) else { panic!() };
        assert_eq!(
            query.edns,
            Some(Edns { nsid: true, keepalive: Keepalive::Asked, cookie: Some(b"clientck"), ..PLAIN })
        );
    }

    #[test]
    fn any_octet_is_legal_in_a_label() {
        let mut bytes = message([1, 0, 0, 0], b"");
        bytes[13..16].copy_from_slice(b"\x00.\x80");
        let Parsed::Query(query) = parse(&bytes) else { panic!() };
        assert_eq!(&query.name()[..4], b"\x03\x00.\x80");
    }

    //------ against hickory-proto ------

    /// A query as other people's code writes it, with some of the options.
    fn written(labels: &[Vec<u8>], [qtype, qclass, payload]: [u16; 3], [edns, dnssec_ok]: [bool; 2]) -> Vec<u8> {
        let mut asked = hickory_proto::op::Query::query(
            Name::from_labels(labels.iter().map(Vec::as_slice)).unwrap(),
            RecordType::from(qtype),
        );
        asked.set_query_class(DNSClass::from(qclass));
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.add_query(asked);
        if edns {
            let mut edns = HickoryEdns::new();
            edns.set_max_payload(payload);
            edns.set_dnssec_ok(dnssec_ok);
            edns.options_mut().insert(EdnsOption::Unknown(option::NSID, Vec::new()));
            edns.options_mut().insert(EdnsOption::Unknown(65_001, vec![1, 2, 3]));
            message.set_edns(edns);
        }
        message.to_vec().unwrap()
    }

    fn any_query() -> impl Strategy<Value = Vec<u8>> {
        let label = proptest::collection::vec(any::<u8>(), 1..20);
        let labels = proptest::collection::vec(label, 0..5);
        let qtype = prop_oneof![Just(1u16), Just(28), Just(65), Just(255), any::<u16>()];
        let qclass = prop_oneof![9 => Just(1u16), 1 => any::<u16>()];
        (labels, (qtype, qclass, any::<u16>()), any::<[bool; 2]>())
            .prop_map(|(labels, (qtype, qclass, payload), edns)| written(&labels, [qtype, qclass, payload], edns))
    }

    #[derive(Clone, Debug)]
    enum Change {
        Flip(usize, u8),
        Cut(usize),
        Splice(usize, Vec<u8>),
        Count(usize, u8),
    }

    fn any_change() -> impl Strategy<Value = Change> {
        prop_oneof![
            4 => (any::<usize>(), 1u8..).prop_map(|(at, value)| Change::Flip(at, value)),
            1 => any::<usize>().prop_map(Change::Cut),
            2 => (any::<usize>(), proptest::collection::vec(any::<u8>(), 1..14))
                .prop_map(|(at, octets)| Change::Splice(at, octets)),
            2 => (0usize..4, 0u8..3).prop_map(|(which, count)| Change::Count(which, count)),
        ]
    }

    fn changed(mut message: Vec<u8>, changes: Vec<Change>) -> Vec<u8> {
        for change in changes {
            let len = message.len();
            match change {
                Change::Flip(at, value) if len > 0 => message[at % len] ^= value,
                Change::Cut(at) => message.truncate(at % (len + 1)),
                Change::Splice(at, octets) => drop(message.splice(at % (len + 1)..at % (len + 1), octets)),
                Change::Count(which, count) if len >= HEADER => message[5 + 2 * which] = count,
                _ => {}
            }
        }
        message
    }

    /// Where the two may differ, and why. Everything else is a mistake of one of them.
    fn hickory_is_stricter(message: &[u8]) -> bool {
        // It decodes the data of every record and of the options it knows; we look at none but the OPT's own shape, since an
        // unknown option or record is ignored (RFC 6891 §6.1.2). So it may refuse what we accept if there are records at all.
        message[6..HEADER].iter().any(|octet| *octet != 0)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn what_is_read_is_what_hickory_reads(
            message in any_query(),
            changes in proptest::collection::vec(any_change(), 0..4),
        ) {
            let message = changed(message, changes);
            let theirs = Message::from_vec(&message);
            match (parse(&message), theirs) {
                (Parsed::Query(ours), Ok(theirs)) => {
                    prop_assert_eq!(theirs.queries.len(), 1);
                    let asked = &theirs.queries[0];
                    prop_assert_eq!(asked.name().to_lowercase().to_bytes().unwrap(), ours.name());
                    prop_assert_eq!(u16::from(asked.query_type()), ours.qtype);
                    prop_assert_eq!(u16::from(asked.query_class()), ours.qclass);
                    prop_assert_eq!(theirs.metadata.id.to_be_bytes(), ours.id());
                    prop_assert_eq!(theirs.metadata.recursion_desired, ours.recursion_desired());
                    prop_assert_eq!(theirs.metadata.checking_disabled, ours.checking_disabled());
                    prop_assert_eq!(theirs.metadata.authentic_data, ours.authentic_data());
                    prop_assert_eq!(theirs.edns.is_some(), ours.edns.is_some());
                    if let (Some(theirs), Some(ours)) = (theirs.edns, ours.edns) {
                        prop_assert_eq!(theirs.max_payload().max(512), ours.udp_size);
                        prop_assert_eq!(theirs.flags().dnssec_ok, ours.dnssec_ok);
                        prop_assert_eq!(theirs.version(), 0);
                    }
                }
                (Parsed::Query(_), Err(_)) => prop_assert!(hickory_is_stricter(&message), "{message:02x?}"),
                (Parsed::Malformed(_), _) => {}
                (Parsed::NoQuestion(_), Ok(theirs)) => prop_assert!(theirs.queries.is_empty() && theirs.edns.is_some()),
                (Parsed::NoQuestion(_), Err(_)) => prop_assert!(hickory_is_stricter(&message)),
                // silence is for what is no query only (RFC 8906 §3)
                (Parsed::Drop(_), Ok(theirs)) => prop_assert_eq!(theirs.metadata.message_type, MessageType::Response),
                (Parsed::Drop(_), Err(_)) => prop_assert!(message.len() < HEADER || message[2] & 0x80 != 0),
            }
        }

        #[test]
        fn a_plain_query_is_never_turned_away(message in any_query()) {
            // Nothing was changed: other people's code calls it a query with one question, and so do we.
            prop_assert!(matches!(parse(&message), Parsed::Query(_)), "{message:02x?}");
        }
    }

    proptest! {
        #[test]
        fn no_message_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn no_change_to_a_message_panics(at in 0usize..40, value: u8, cut in 0usize..40) {
            let mut bytes = message([1, 0, 0, 1], OPT);
            bytes[at] = value;
            bytes.truncate(cut.max(at));
            if let Parsed::Query(query) = parse(&bytes) {
                prop_assert!(query.question().len() <= bytes.len() - HEADER);
            }
        }
    }
}
