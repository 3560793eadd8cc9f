//! What no client should send, against the real sockets: nothing may crash, hang, or be answered when it must not be.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;

use crate::client::{BOTH, Over, addresses, ask, exchange, exchange_udp, frame, is_block, query, read_frame, tcp, udp};
use crate::harness::{Pagar, Site, notice};
use crate::upstream::Scripted;

const NOERROR: u8 = 0;
const FORMERR: u8 = 1;
const NOTIMP: u8 = 4;
const REFUSED: u8 = 5;

struct Target {
    pagar: Pagar,
    _site: Site,
    _upstream: Scripted,
}

impl Target {
    fn start() -> Self {
        let upstream = Scripted::start(|asked| match asked.message.queries[0].query_type() {
            RecordType::A => vec![asked.address("198.51.100.1")],
            _ => vec![asked.answer([])],
        });
        let site = Site::with(&[upstream.address]);
        site.put("1.json", &notice(1, "listed.example", "subtree"));
        Self { pagar: site.start(), _site: site, _upstream: upstream }
    }

    fn server(&self) -> SocketAddr {
        self.pagar.address()
    }

    fn dropped(&self, reason: &str) -> f64 {
        self.pagar.metric(&format!("pagar_dns_dropped_total{{reason=\"{reason}\"}}"))
    }
}

impl Drop for Target {
    /// Whatever came: it answers, listed and unlisted, and nothing has panicked.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for over in BOTH {
            assert!(is_block(&ask(self.server(), over, "www.listed.example.", RecordType::A)));
            assert_eq!(addresses(&ask(self.server(), over, "free.example.", RecordType::A)).len(), 1);
        }
        assert_eq!(self.dropped("panic"), 0.0);
        assert!(!self.pagar.log().contains("panic"), "{}", self.pagar.log());
        assert_eq!(self.pagar.get("/readyz").0, 200);
    }
}

/// Id 0xabcd, these flags and counts, then the rest.
fn message(flags: u16, counts: [u16; 4], rest: &[u8]) -> Vec<u8> {
    let mut octets = vec![0xab, 0xcd];
    [flags].iter().chain(&counts).for_each(|word| octets.extend(word.to_be_bytes()));
    octets.extend_from_slice(rest);
    octets
}

const RD: u16 = 0x0100;
const ONE: [u16; 4] = [1, 0, 0, 0];
const QUESTION: &[u8] = b"\x06listed\x07example\x00\x00\x01\x00\x01";

#[test]
fn what_is_no_query_gets_no_answer() {
    let target = Target::start();
    let socket = udp(target.server().ip());
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let short = [vec![], vec![0], message(RD, ONE, &[])[..11].to_vec()];
    for octets in &short {
        assert_eq!(exchange_udp(&socket, target.server(), octets), None, "{octets:?}");
    }
    assert_eq!(target.dropped("short"), 3.0);
    for flags in [0x8000, 0x8180, 0xffff] {
        let response = message(flags, ONE, QUESTION);
        assert_eq!(exchange_udp(&socket, target.server(), &response), None, "a loop of two servers");
    }
    assert_eq!(target.dropped("response"), 3.0);
}

#[test]
fn a_broken_query_gets_its_error() {
    let long_label = [&b"\x40"[..], &[b'a'; 64], b"\x07example\x00\x00\x01\x00\x01"].concat();
    let long_name = [&[b"\x3f", &[b'a'; 63][..]].concat().repeat(4)[..], b"\x00\x00\x01\x00\x01"].concat();
    let opt = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00";
    let with = |extra: &[u8]| [QUESTION, extra].concat();
    let cases: [(&str, Vec<u8>, u8); 19] = [
        ("a header alone", message(RD, [0; 4], &[]), FORMERR),
        ("no question", message(RD, [0; 4], QUESTION), FORMERR),
        ("two questions", message(RD, [2, 0, 0, 0], &[QUESTION, QUESTION].concat()), FORMERR),
        ("65,535 questions", message(RD, [0xffff; 4], QUESTION), FORMERR),
        ("a question that is not there", message(RD, ONE, &[]), FORMERR),
        ("half a question", message(RD, ONE, &QUESTION[..10]), FORMERR),
        ("a name that points to itself", message(RD, ONE, b"\xc0\x0c\x00\x01\x00\x01"), FORMERR),
        ("a name that points ahead", message(RD, ONE, b"\x01a\xc0\x14\x00\x01\x00\x01\x00\xc0\x0c"), FORMERR),
        ("two names that point to each other", message(RD, ONE, b"\xc0\x0e\xc0\x0c\x00\x01\x00\x01"), FORMERR),
        ("a label of 64 octets", message(RD, ONE, &long_label), FORMERR),
        ("a label of the reserved kind", message(RD, ONE, b"\x80a\x00\x00\x01\x00\x01"), FORMERR),
        ("a name of 257 octets", message(RD, ONE, &long_name), FORMERR),
        ("octets behind the end", message(RD, ONE, &with(b"more")), FORMERR),
        ("two OPT records", message(RD, [1, 0, 0, 2], &with(&[&opt[..], opt].concat())), FORMERR),
        (
            "an option past its end",
            message(RD, [1, 0, 0, 1], &with(b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x09")),
            FORMERR,
        ),
        ("STATUS", message(0x1000, ONE, QUESTION), NOTIMP),
        ("UPDATE", message(0x2800, ONE, QUESTION), NOTIMP),
        ("class CH", message(RD, ONE, b"\x06listed\x07example\x00\x00\x10\x00\x03"), REFUSED),
        ("a zone transfer", message(RD, ONE, b"\x04free\x07example\x00\x00\xfc\x00\x01"), REFUSED),
    ];
    let target = Target::start();
    for over in BOTH {
        for (what, octets, code) in &cases {
            let Some(answer) = exchange(target.server(), over, octets) else { panic!("{over:?}: {what}: no answer") };
            assert_eq!(answer[..2], octets[..2], "{what}");
            assert_eq!((answer[2] & 0x80, answer[3] & 0x0f), (0x80, *code), "{over:?}: {what}: {answer:?}");
            assert_eq!(answer[6..8], [0, 0], "{what}: no data");
        }
    }
}

#[test]
fn any_octet_may_stand_in_a_label() {
    let target = Target::start();
    let labels: [&[u8]; 5] = [b"\x03a\x00b", b"\x02\x80\xff", b"\x03a.b", b"\x01 ", b"\x04\\000"];
    for label in labels {
        for parent in [&b"\x04free\x07example\x00"[..], b"\x06listed\x07example\x00"] {
            let octets = message(RD, ONE, &[label, parent, b"\x00\x01\x00\x01"].concat());
            for over in BOTH {
                let answer = exchange(target.server(), over, &octets).unwrap();
                assert_eq!(answer[12..octets.len()], octets[12..], "the question comes back as it was");
                assert_eq!((answer[3] & 0x0f, answer[7]), (NOERROR, 1), "{label:?}");
                let page = answer.windows(4).any(|four| four == [192, 0, 2, 80]);
                assert_eq!(page, parent.starts_with(b"\x06listed"), "{label:?} under {parent:?}");
            }
        }
    }
    // a dot inside a label is no border of labels: this is not below listed.example
    let octets = message(RD, ONE, b"\x0ewww.listed\x07example\x00\x00\x01\x00\x01".as_slice());
    assert_eq!(exchange(target.server(), Over::Udp, &octets).unwrap()[3] & 0x0f, FORMERR, "its length is wrong");
    let octets = message(RD, ONE, b"\x0awww.listed\x07example\x00\x00\x01\x00\x01".as_slice());
    let answer = exchange(target.server(), Over::Udp, &octets).unwrap();
    assert!(!answer.windows(4).any(|four| four == [192, 0, 2, 80]));
}

#[test]
fn a_datagram_larger_than_any_query_does_no_harm() {
    let target = Target::start();
    let socket = udp(target.server().ip());
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    for len in [1_233, 4_096, 4_097, 9_000, 65_000] {
        let mut octets = message(RD, ONE, QUESTION);
        octets.resize(len, 0);
        if let Some(answer) = exchange_udp(&socket, target.server(), &octets) {
            assert_eq!(answer[3] & 0x0f, FORMERR, "{len}");
        }
    }
}

#[test]
fn a_frame_without_room_for_a_header_ends_the_connection() {
    let target = Target::start();
    for len in [0, 1, 11] {
        let mut stream = tcp(target.server());
        let asked = query("listed.example.", RecordType::A).to_vec().unwrap();
        stream.write_all(&[frame(&asked), frame(&vec![0; len])].concat()).unwrap();
        assert!(read_frame(&mut stream).is_some(), "what came before is answered");
        let waited = Instant::now();
        assert_eq!(read_frame(&mut stream), None);
        assert!(waited.elapsed() < Duration::from_secs(8), "closed, not left to idle");
    }
}

#[test]
fn a_frame_that_breaks_off_ends_only_its_connection() {
    let target = Target::start();
    let whole = frame(&query("listed.example.", RecordType::A).to_vec().unwrap());
    for cut in [1, 2, 3, whole.len() - 1] {
        let mut stream = tcp(target.server());
        stream.write_all(&whole).unwrap();
        stream.write_all(&whole[..cut]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert!(read_frame(&mut stream).is_some(), "the whole one is answered after a half-close");
        assert_eq!(read_frame(&mut stream), None);
    }
    let mut reset = tcp(target.server());
    reset.write_all(&whole[..5]).unwrap();
}

#[test]
fn two_hundred_queries_in_one_write_are_all_answered() {
    let target = Target::start();
    let mut octets = Vec::new();
    for id in 0..200u16 {
        let name = if id % 2 == 0 { "www.listed.example.".to_owned() } else { format!("n{}.example.", id % 50) };
        let mut question = query(&name, RecordType::A);
        question.metadata.id = id;
        octets.extend(frame(&question.to_vec().unwrap()));
    }
    let mut stream = tcp(target.server());
    stream.write_all(&octets).unwrap();
    let mut ids = BTreeSet::new();
    for _ in 0..200 {
        let answer = Message::from_vec(&read_frame(&mut stream).unwrap()).unwrap();
        assert!(ids.insert(answer.metadata.id));
        assert_eq!(is_block(&answer), answer.metadata.id.is_multiple_of(2));
        assert_eq!(addresses(&answer).len(), 1);
    }
    assert_eq!(target.pagar.metric("pagar_dns_queries_total{transport=\"tcp\"}"), 200.0);
}

#[test]
fn a_query_may_come_octet_by_octet() {
    let target = Target::start();
    let mut stream = tcp(target.server());
    for name in ["listed.example.", "free.example."] {
        for octet in frame(&query(name, RecordType::A).to_vec().unwrap()) {
            stream.write_all(&[octet]).unwrap();
            std::thread::sleep(Duration::from_millis(2)); // a segment each
        }
        let answer = Message::from_vec(&read_frame(&mut stream).unwrap()).unwrap();
        assert_eq!(is_block(&answer), name == "listed.example.");
    }
}

#[test]
fn random_octets_are_survived() {
    let target = Target::start();
    let socket = udp(target.server().ip());
    // xorshift: the same octets every run
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for n in 0..2_000 {
        if n % 50 == 0 {
            assert!(is_block(&ask(target.server(), Over::Udp, "listed.example.", RecordType::A))); // all before are read
        }
        let len = random() as usize % 120;
        let mut octets: Vec<u8> = (0..len).map(|_| random() as u8).collect();
        if random() % 2 == 0 && len > 12 {
            octets[2..12].copy_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, (random() % 2) as u8]);
        }
        socket.send_to(&octets, target.server()).unwrap();
    }
}
