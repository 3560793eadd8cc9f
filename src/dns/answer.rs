//! [`Answer`]: an upstream's message, checked once and then kept as bytes.
//!
//! A forwarder passes on what it does not know (RFC 3597, RFC 5625): rcode, all sections, unknown types. So nothing is
//! decoded that need not be: the places of the TTLs, the names the answer leads to, the EDE codes, how long it may be kept.
//! The OPT record is hop by hop (RFC 6891 §6.2.6) and is cut out here.
//!
//! What is no answer to the question is refused as a whole and never reaches the cache or a client: another question,
//! parts that contradict each other, records of another class, addresses of a wrong length, an answer section that is
//! not the question's CNAME chain ([`chain`](super::chain)). Additional data travels with its answer and answers
//! nothing by itself. The names it is about, and leads to, are known here, because the answer leaves without it when
//! one of them is listed; a section with more names than are looked at is not kept at all.
//!
//! [`Answer::render`] writes it for one client: id, flags and question case of the query, TTLs counted down, an OPT of ours
//! if the query had one, truncated if it does not fit.

use super::chain::Records;
use super::query::Query;
use super::reply::{self, Ede};
use super::wire::{
    HEADER, IN, Record, Writer, names, option, options, rcode, read_name, record, rtype, skip_name, u16_at, u32_at,
};

/// Longest TTL believed, a week (RFC 8767 §4 caps those with the top bit set as well).
const MAX_TTL: u32 = 604_800;
/// Longest stay of a negative answer, three hours (RFC 2308 §5).
const MAX_NEGATIVE: u32 = 10_800;
/// TTL of a stale answer (RFC 8767 §4).
const STALE_TTL: u32 = 30;
/// Octets of the names an answer may lead to: 64 of the longest.
const MAX_TARGETS: usize = 64 * 255;
/// Names of the additional section that are put to the policy for every answer; one with more goes without it. The 13
/// name servers of the root fit.
const MAX_ADDITIONAL: usize = 16;

/// Why an upstream's message is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Bad {
    /// Another question, or no answer at all: keep listening (RFC 5452 §9.1).
    #[error("it does not answer this question")]
    Mismatch,
    /// It breaks off, its parts contradict each other, or it holds records that answer something else.
    #[error("it is malformed")]
    Malformed,
    /// An error code without the question, as some servers and load balancers send it (RFC 8906 §3).
    #[error("it is an error without a question, rcode {0}")]
    Error(u8),
}

/// How an answer is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Seconds after it came, its TTLs counted down.
    After(u32),
    /// Past its TTLs, with the TTL and the Extended DNS Error that say so (RFC 8767 §4, RFC 8914 §4.4, §4.20).
    Stale,
}

/// Which sections of an answer are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sections {
    /// All of them.
    All,
    /// Not the additional section, which may be left out without TC (RFC 2181 §9).
    Required,
}

/// An upstream's answer, ready to be kept and rendered.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    parts: Parts,
    /// Octets up to the end of the authority section: additional data may be left out without TC (RFC 2181 §9).
    required: u16,
    rcode: u16,
    authentic: bool,
    /// AA was set and is believed: only of our own zones.
    authoritative: bool,
    /// TC was set: ask again over TCP.
    pub truncated: bool,
    /// Seconds it may be kept, 0 if not at all (RFC 2181 §8, RFC 2308 §5).
    pub keep: u32,
}

/// What an answer holds, in one allocation: a hit in the cache reads all of it, and each allocation more is a wait for
/// memory.
#[derive(Debug, PartialEq, Eq)]
struct Parts {
    octets: Box<[u8]>,
    /// Where the message, the places of its TTLs, the targets and the additional names end; the rest are INFO-CODEs.
    ends: [u32; 4],
}

impl Parts {
    fn new(message: &[u8], scan: &Scan) -> Self {
        let numbers = |all: &[u16]| all.iter().flat_map(|number| number.to_ne_bytes()).collect::<Vec<_>>();
        let parts = [message, &numbers(&scan.ttls), &scan.targets, &scan.additional, &numbers(&scan.ede)];
        let mut end = 0;
        let ends = [0, 1, 2, 3].map(|part| {
            end += parts[part].len() as u32; // of a message of 64 KiB
            end
        });
        Self { octets: parts.concat().into(), ends }
    }

    fn part(&self, number: usize) -> &[u8] {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        let end = self.ends.get(number).map_or(self.octets.len(), |end| *end as usize);
        self.octets.get(start..end).unwrap_or_default()
    }

    /// The message without its OPT record.
    fn message(&self) -> &[u8] {
        self.part(0)
    }

    /// Places of the TTL fields.
    fn ttls(&self) -> impl Iterator<Item = usize> {
        self.part(1).as_chunks().0.iter().map(|place| usize::from(u16::from_ne_bytes(*place)))
    }

    /// Canonical wire names of the CNAME, SVCB and HTTPS targets in the answer section, end to end.
    fn targets(&self) -> &[u8] {
        self.part(2)
    }

    /// Canonical wire names the additional section is about or leads to, end to end, [`MAX_ADDITIONAL`] at most.
    fn additional(&self) -> &[u8] {
        self.part(3)
    }

    /// INFO-CODEs the upstream sent; their texts are not kept, since they are anybody's words (RFC 8914 §6).
    fn ede(&self) -> impl Iterator<Item = u16> + Clone {
        self.part(4).as_chunks().0.iter().map(|code| u16::from_ne_bytes(*code))
    }
}

impl Answer {
    /// Checks that `message` answers `question` (its section as sent, octets compared without case) and takes it apart.
    ///
    /// `trust_ad` is whether the upstream's AD bit is believed.
    pub fn parse(message: &[u8], question: &[u8], trust_ad: bool) -> Result<Self, Bad> {
        let header = message.get(..HEADER).ok_or(Bad::Mismatch)?;
        let body = HEADER + question.len();
        let (is_answer, truncated, low_rcode) = (header[2] & 0xf8 == 0x80, header[2] & 0x02 != 0, header[3] & 0x0f);
        if is_answer && u16_at(message, 4) == Some(0) && low_rcode != 0 {
            return Err(Bad::Error(low_rcode));
        }
        let echoed = message.get(HEADER..body).ok_or(Bad::Mismatch)?;
        if !is_answer || u16_at(message, 4) != Some(1) || !same_question(echoed, question) {
            return Err(Bad::Mismatch);
        }
        let (qtype, class) = (tail_u16(question, 4), tail_u16(question, 2));
        let mut scan = Scan { message, qtype, class, end: body, ..Scan::default() };
        if scan.records(body).is_none() {
            if !truncated {
                return Err(Bad::Malformed);
            }
            // cut within a record: what is there is not looked at, TCP is asked (RFC 2181 §9)
            let cut = [&message[..6], &[0; 6], echoed].concat();
            scan = Scan { end: body, ..Scan::default() };
            return Ok(Self::new(&scan, &cut, low_rcode.into(), false, true));
        }
        let name = question[..question.len().saturating_sub(4)].to_ascii_lowercase();
        if !scan.answers.answers(&name) {
            return Err(Bad::Malformed);
        }
        let mut bytes = scan.without_opt().ok_or(Bad::Malformed)?;
        scan.answers.level_ttls(&mut bytes);
        scan.authorities.level_ttls(&mut bytes);
        scan.leave_out_crowd(&mut bytes);
        let rcode = u16::from(low_rcode) | scan.rcode_high << 4;
        if let Some(negative) = scan.negative_ttl(rcode) {
            scan.shorten_soa(&mut bytes, negative);
        }
        Ok(Self::new(&scan, &bytes, rcode, trust_ad && header[3] & 0x20 != 0, truncated))
    }

    fn new(scan: &Scan, bytes: &[u8], rcode: u16, authentic: bool, truncated: bool) -> Self {
        Self {
            keep: if truncated { 0 } else { scan.keep(rcode) },
            required: scan.required.unwrap_or(bytes.len()) as u16, // of 64 KiB at most
            parts: Parts::new(bytes, scan),
            rcode,
            authentic,
            authoritative: false,
            truncated,
        }
    }

    /// The same answer as data of ours: AA is set in what is sent (RFC 1035 §4.1.1).
    pub fn of_ours(self) -> Self {
        Self { authoritative: true, ..self }
    }

    /// Whether it answers the question of `query`: names compared without case, types exactly.
    pub(super) fn is_for(&self, query: &Query) -> bool {
        let question = query.question();
        let own = self.parts.message().get(HEADER..HEADER + question.len());
        own.is_some_and(|own| same_question(own, question))
    }

    /// Octets from both its ends.
    pub(super) fn some_octets(&self) -> u8 {
        let octets = &self.parts.octets;
        octets.first().copied().unwrap_or(0) ^ octets.last().copied().unwrap_or(0)
    }

    /// Canonical wire names the answer leads to, end to end.
    pub fn targets(&self) -> &[u8] {
        self.parts.targets()
    }

    /// Canonical wire names its additional section is about or leads to, end to end; few, and none without one.
    pub fn additional(&self) -> &[u8] {
        self.parts.additional()
    }

    /// The (extended) response code.
    pub fn rcode(&self) -> u16 {
        self.rcode
    }

    /// The message, without an OPT record, with its TTLs counted down.
    pub fn aged(&self, age: u32) -> Vec<u8> {
        let mut bytes = self.parts.message().to_vec();
        count_down(self.parts.ttls(), Shown::After(age), MAX_TTL, &mut bytes);
        bytes
    }

    /// Whether it says neither what there is nor that there is nothing: SERVFAIL, REFUSED and the like (RFC 9520 §2).
    ///
    /// YXDOMAIN with the DNAME that makes the name too long is what there is (RFC 6672 §2.2).
    pub fn is_error(&self) -> bool {
        match self.rcode {
            rcode::NOERROR | rcode::NXDOMAIN => false,
            rcode::YXDOMAIN => u16_at(self.parts.message(), 6) == Some(0),
            _ => true,
        }
    }

    /// Whether it denies the name asked itself, and so every type of it (RFC 2308 §5): NXDOMAIN without a CNAME before
    /// it.
    pub fn denies_name(&self) -> bool {
        self.rcode == rcode::NXDOMAIN && u16_at(self.parts.message(), 6) == Some(0)
    }

    /// The INFO-CODEs the upstream sent (RFC 8914 §4).
    pub fn ede(&self) -> impl Iterator<Item = u16> + Clone {
        self.parts.ede()
    }

    /// Octets it takes in the cache.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.parts.octets.len()
    }

    /// Writes these sections of the answer to `query` into `out`, with no TTL above `max_ttl` and no longer than
    /// `limit`; returns length and response code. Allocates nothing.
    pub fn render(
        &self,
        query: &Query,
        (shown, sections): (Shown, Sections),
        max_ttl: u32,
        limit: usize,
        out: &mut [u8],
    ) -> (usize, u16) {
        // an extended code needs an OPT, and speaks of our hop, not the client's
        let code = if self.rcode > 15 { rcode::SERVFAIL } else { self.rcode };
        let bare = if query.edns.is_some() { reply::least_opt(&query.options) } else { 0 };
        let limit = limit.min(out.len());
        let question = HEADER + query.question().len();
        // whole, without additional data, or cut down to the question with TC (RFC 2181 §9)
        let (message, required) = (self.parts.message(), usize::from(self.required));
        let all = if sections == Sections::All { message.len() } else { required };
        let fitting = [all, required].into_iter().find(|len| len + bare <= limit);
        let body = fitting.unwrap_or(question);
        // they give way to the answer (RFC 8914 §2)
        let errors = self.ede().map(relayed).chain(self.stale_error(shown));
        out[..body].copy_from_slice(&message[..body]);
        self.patch(query, code, fitting.is_none(), &mut out[..body]);
        count_down(self.parts.ttls(), shown, max_ttl, &mut out[..body]);
        let Some(edns) = query.edns else { return (body, code) };
        let additional = u16_at(out, 10).unwrap_or(0).saturating_add(1);
        out[10..12].copy_from_slice(&additional.to_be_bytes());
        let mut writer = Writer::new(&mut out[body..limit]);
        reply::write_opt(&mut writer, &query.options, edns.dnssec_ok, code, errors);
        (body + writer.finish().unwrap_or(0), code)
    }

    fn stale_error(&self, shown: Shown) -> Option<(Ede, &'static [u8])> {
        let code = if self.rcode == rcode::NXDOMAIN { Ede::STALE_NXDOMAIN } else { Ede::STALE_ANSWER };
        (shown == Shown::Stale).then_some((code, b""))
    }

    /// Makes the copy in `out` the answer to this query; its length says how much of the answer is there.
    fn patch(&self, query: &Query, code: u16, cut: bool, out: &mut [u8]) {
        let [mut high, mut low] = reply::flags(query, code);
        if cut || self.truncated {
            high |= 0x02;
        } else if self.authentic && (query.dnssec_ok() || query.authentic_data()) {
            low |= 0x20; // RFC 6840 §5.8
        }
        high |= u8::from(self.authoritative) << 2;
        out[..2].copy_from_slice(&query.id());
        out[2..4].copy_from_slice(&[high, low]);
        if cut {
            out[6..10].fill(0);
        }
        if out.len() < self.parts.message().len() {
            out[10..12].fill(0);
        }
        out[HEADER..HEADER + query.question().len()].copy_from_slice(query.question());
    }
}

/// Counts down the TTLs of a message, or of what is left of it.
fn count_down(places: impl Iterator<Item = usize>, shown: Shown, max_ttl: u32, message: &mut [u8]) {
    for at in places {
        let Some(field) = message.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<4>()) else {
            break;
        };
        let ttl = match shown {
            Shown::After(age) => u32::from_be_bytes(*field).saturating_sub(age),
            Shown::Stale => STALE_TTL,
        };
        *field = ttl.min(max_ttl).to_be_bytes();
    }
}

/// How an upstream's code is passed on: as it is, except where it would read as a block of ours.
pub(super) fn relayed(code: u16) -> (Ede, &'static [u8]) {
    match Ede(code) {
        Ede::FORGED_ANSWER => (Ede::OTHER, b"upstream: 4 (Forged Answer)"),
        Ede::BLOCKED => (Ede::OTHER, b"upstream: 15 (Blocked)"),
        Ede::CENSORED => (Ede::OTHER, b"upstream: 16 (Censored)"),
        Ede::FILTERED => (Ede::OTHER, b"upstream: 17 (Filtered)"),
        Ede::PROHIBITED => (Ede::OTHER, b"upstream: 18 (Prohibited)"),
        other => (other, b""),
    }
}

/// Whether two question sections of one length agree: the names without case, type and class exactly (as letters, the types
/// 65 and 97 would be the same).
fn same_question(a: &[u8], b: &[u8]) -> bool {
    let name = a.len().saturating_sub(4);
    a.len() == b.len() && a[..name].eq_ignore_ascii_case(&b[..name]) && a[name..] == b[name..]
}

fn tail_u16(octets: &[u8], from_end: usize) -> u16 {
    octets.len().checked_sub(from_end).and_then(|at| u16_at(octets, at)).unwrap_or(0)
}

/// What one pass over an upstream's message finds.
#[derive(Default)]
struct Scan<'m> {
    message: &'m [u8],
    qtype: u16,
    class: u16,
    answers: Records,
    authorities: Records,
    ttls: Vec<u16>,
    targets: Vec<u8>,
    additional: Vec<u8>,
    /// How many names those are; [`MAX_ADDITIONAL`] and one more: too many, or one cannot be read.
    named: usize,
    ede: Vec<u16>,
    rcode_high: u16,
    /// Where the additional section starts.
    required: Option<usize>,
    /// Where the OPT record starts.
    opt: Option<usize>,
    /// Where the last record ends.
    end: usize,
    /// Records after the OPT, to be moved.
    tail: Vec<Record>,
    min_ttl: Option<u32>,
    answered: bool,
    soa: Option<(usize, u32)>,
}

impl Scan<'_> {
    fn records(&mut self, mut at: usize) -> Option<()> {
        let counts = [6, 8, 10].map(|place| u16_at(self.message, place).unwrap_or(0));
        for (section, count) in counts.into_iter().enumerate() {
            if section == 2 {
                self.required = Some(at);
            }
            for _ in 0..count {
                let record = record(self.message, at)?;
                self.record(section, &record)?;
                at = record.end;
            }
        }
        self.end = at; // octets behind the last record are left behind
        Some(())
    }

    fn record(&mut self, section: usize, record: &Record) -> Option<()> {
        if record.rtype == rtype::OPT {
            return self.read_opt(section, record);
        }
        let wrong_length = match record.rtype {
            rtype::A => record.end - record.rdata != 4,
            rtype::AAAA => record.end - record.rdata != 16,
            _ => false,
        };
        if record.class != self.class || wrong_length {
            return None;
        }
        match section {
            0 => self.answers.push(self.message, record)?,
            1 => self.authorities.push(self.message, record)?,
            _ => self.beside(record),
        }
        let ttl = record.ttl.min(MAX_TTL);
        self.min_ttl = Some(self.min_ttl.map_or(ttl, |min| min.min(ttl)));
        if self.opt.is_some() {
            self.tail.push(*record);
            return Some(());
        }
        self.ttls.push(u16::try_from(record.ttl_at).ok()?);
        match (section, record.rtype) {
            (0, rtype::CNAME) => self.target(record, record.rdata)?,
            (0, rtype::SVCB | rtype::HTTPS) => self.target(record, record.rdata + 2)?,
            (1, rtype::SOA) if self.soa.is_none() => self.soa = Some((record.ttl_at, self.soa_ttl(record)?)),
            _ => {}
        }
        self.answered |= section == 0 && (record.rtype == self.qtype || self.qtype == rtype::ANY);
        Some(())
    }

    fn target(&mut self, record: &Record, at: usize) -> Option<()> {
        let start = self.targets.len();
        read_name(&self.message[..record.end], at, &mut self.targets)?;
        if self.targets[start..] == [0] {
            self.targets.truncate(start); // SVCB's "." is the owner itself (RFC 9460 §2.5)
        }
        (self.targets.len() <= MAX_TARGETS).then_some(())
    }

    /// Takes note of the names of an additional record.
    fn beside(&mut self, record: &Record) {
        let target = match record.rtype {
            rtype::CNAME => Some(record.rdata),
            rtype::SVCB | rtype::HTTPS => Some(record.rdata + 2),
            _ => None,
        };
        for at in [record.start].into_iter().chain(target) {
            if self.named > MAX_ADDITIONAL {
                return;
            }
            let start = self.additional.len();
            let is_read = read_name(&self.message[..record.end], at, &mut self.additional).is_some();
            let (known, name) = self.additional.split_at(start);
            let is_new = is_read && *name != [0] && names(known).all(|known| known != name);
            if is_new && self.named < MAX_ADDITIONAL {
                self.named += 1;
                continue;
            }
            self.additional.truncate(start);
            if is_new || !is_read {
                self.named = MAX_ADDITIONAL + 1;
            }
        }
    }

    /// Cuts off an additional section of which not every name can be looked at.
    fn leave_out_crowd(&mut self, bytes: &mut Vec<u8>) {
        if let Some(required) = self.required.filter(|_| self.named > MAX_ADDITIONAL) {
            bytes.truncate(required);
            bytes[10..12].fill(0);
            self.additional.clear();
            self.ttls.retain(|at| usize::from(*at) < required);
        }
    }

    /// min(TTL, MINIMUM) of an SOA, within bounds (RFC 2308 §5).
    fn soa_ttl(&self, record: &Record) -> Option<u32> {
        let rname = skip_name(self.message, record.rdata)?;
        let numbers = skip_name(self.message, rname)?;
        Some(record.ttl.min(u32_at(self.message, numbers + 16)?).min(MAX_NEGATIVE))
    }

    fn read_opt(&mut self, section: usize, record: &Record) -> Option<()> {
        if section != 2 || self.opt.is_some() || record.rdata - record.start != 11 {
            return None;
        }
        self.opt = Some(record.start);
        self.rcode_high = u16::from(record.ttl.to_be_bytes()[0]);
        for option in options(&self.message[record.rdata..record.end]) {
            match option? {
                (option::EDE, data) if self.ede.len() < 8 => self.ede.extend(u16_at(data, 0)),
                _ => {}
            }
        }
        Some(())
    }

    /// The message up to the OPT, then the records behind it moved to its place.
    ///
    /// They lose their compression, since a pointer behind the cut would miss. A record whose RDATA may itself be compressed
    /// (RFC 3597 §4: only the types of RFC 1035) is dropped instead: it is additional data, and no server sends one there.
    fn without_opt(&mut self) -> Option<Vec<u8>> {
        let mut bytes = self.message[..self.opt.unwrap_or(self.end)].to_vec();
        let mut additional = u16_at(&bytes, 10)?;
        additional -= u16::from(self.opt.is_some());
        for record in std::mem::take(&mut self.tail) {
            if matches!(record.rtype, 2..=9 | 12 | 14 | 15 | 17 | 18 | 21 | 24 | 26 | 30 | 33 | 35 | 36 | 39) {
                additional -= 1;
                continue;
            }
            read_name(self.message, record.start, &mut bytes)?;
            self.ttls.push(u16::try_from(bytes.len() + 4).ok()?);
            bytes.extend_from_slice(&self.message[record.ttl_at - 4..record.end]);
        }
        bytes[10..12].copy_from_slice(&additional.to_be_bytes());
        (bytes.len() <= usize::from(u16::MAX)).then_some(bytes)
    }

    /// How long a negative answer may be kept; `None` if it is positive or has no SOA (RFC 2308 §5).
    fn negative_ttl(&self, code: u16) -> Option<u32> {
        let negative = code == rcode::NXDOMAIN || code == rcode::NOERROR && !self.answered;
        self.soa.filter(|_| negative).map(|(_, ttl)| ttl)
    }

    fn keep(&self, code: u16) -> u32 {
        let lowest = self.min_ttl.unwrap_or(0);
        match code {
            rcode::NOERROR if self.answered => lowest,
            rcode::YXDOMAIN if !self.answers.is_empty() => lowest,
            rcode::NOERROR | rcode::NXDOMAIN => self.negative_ttl(code).map_or(0, |ttl| ttl.min(lowest)),
            _ => 0,
        }
    }

    fn shorten_soa(&self, bytes: &mut [u8], ttl: u32) {
        if let Some(field) = self.soa.and_then(|(at, _)| bytes.get_mut(at..at + 4)) {
            field.copy_from_slice(&ttl.to_be_bytes());
        }
    }
}

/// The question section this program sends for a query: its canonical name, its type, class IN.
pub fn question_of(query: &Query) -> Vec<u8> {
    let mut question = query.name().to_vec();
    question.extend_from_slice(&query.qtype.to_be_bytes());
    question.extend_from_slice(&IN.to_be_bytes());
    question
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query as HickoryQuery, ResponseCode};
    use hickory_proto::rr::rdata::opt::EdnsOption;
    use hickory_proto::rr::rdata::{A, CNAME, NULL, SOA};
    use hickory_proto::rr::{Name, RData, Record, RecordType};
    use proptest::prelude::*;

    use super::super::query::{Parsed, parse};
    use super::*;

    const QUESTION: &[u8] = b"\x03www\x07example\x00\x00\x01\x00\x01";

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn a(owner: &str, ttl: u32) -> Record {
        Record::from_rdata(name(owner), ttl, RData::A(A::new(192, 0, 2, 1)))
    }

    /// An upstream's message for `www.example. A`.
    fn message(answers: Vec<Record>) -> Message {
        let mut message = Message::new(7, MessageType::Response, OpCode::Query);
        message.queries.push(HickoryQuery::query(name("www.example."), RecordType::A));
        message.answers = answers;
        message
    }

    fn query_bytes(opt: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0xab, 0xcd, 0x01, 0x10, 0, 1, 0, 0, 0, 0, 0, u8::from(!opt.is_empty())];
        bytes.extend_from_slice(b"\x03wWw\x07eXample\x00\x00\x01\x00\x01");
        bytes.extend_from_slice(opt);
        bytes
    }

    const OPT: &[u8] = b"\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x00";

    fn rendered(answer: &Answer, opt: &[u8], age: u32, limit: usize) -> Message {
        let bytes = query_bytes(opt);
        let Parsed::Query(query) = parse(&bytes) else { panic!() };
        let mut out = vec![0xff; 65_535];
        let (len, _) = answer.render(&query, (Shown::After(age), Sections::All), 3_600, limit, &mut out);
        assert!(len <= limit);
        assert_eq!(&out[HEADER..HEADER + query.question().len()], query.question(), "the asker's case");
        Message::from_vec(&out[..len]).unwrap()
    }

    #[test]
    fn an_answer_goes_out_with_the_askers_id_case_and_its_age() {
        let cname = Record::from_rdata(name("www.example."), 100, RData::CNAME(CNAME(name("a.example."))));
        let bytes = message(vec![cname, a("a.example.", 90_000)]).to_vec().unwrap();
        let answer = Answer::parse(&bytes, QUESTION, false).unwrap();
        assert_eq!(answer.keep, 100);
        let out = rendered(&answer, OPT, 30, 1232);
        assert_eq!(
            (out.metadata.id, out.metadata.recursion_available, out.metadata.checking_disabled),
            (0xabcd, true, true)
        );
        assert_eq!(out.answers.iter().map(|r| r.ttl).collect::<Vec<_>>(), [70, 3_600]);
        assert!(out.edns.is_some_and(|edns| edns.flags().dnssec_ok));
        assert!(rendered(&answer, b"", 0, 512).edns.is_none());
    }

    #[test]
    fn the_opt_is_cut_out_wherever_it_stands() {
        let mut upstream = message(vec![a("www.example.", 60)]);
        upstream.additionals = vec![a("before.example.", 60), a("www.example.", 61)];
        let mut edns = Edns::new();
        edns.set_max_payload(4_096);
        edns.options_mut().insert(EdnsOption::Unknown(15, b"\x00\x09words".to_vec()));
        upstream.edns = Some(edns);
        let last = upstream.to_vec().unwrap();
        // the same message with its OPT, 22 octets, before the last record, 16 octets with a compressed owner
        let (head, tail) = last.split_at(last.len() - 22 - 16);
        let (record, opt) = tail.split_at(16);
        let middle = [head, opt, record].concat();
        for bytes in [last.clone(), middle] {
            let answer = Answer::parse(&bytes, QUESTION, false).unwrap();
            let out = rendered(&answer, b"", 1, 1232);
            let ttls: Vec<_> = out.additionals.iter().map(|r| (r.name.to_string().to_lowercase(), r.ttl)).collect();
            assert_eq!(ttls, [("before.example.".into(), 59), ("www.example.".into(), 60)]);
            let edns = rendered(&answer, OPT, 0, 1232).edns.unwrap();
            let options: Vec<_> = edns.options().as_ref().iter().map(|(_, option)| option.clone()).collect();
            assert_eq!(options, [EdnsOption::Unknown(15, b"\x00\x09".to_vec())], "the code is kept, the words are not");
        }
    }

    #[test]
    fn targets_are_collected_and_negative_answers_kept_by_their_soa() {
        let cname = Record::from_rdata(name("www.example."), 60, RData::CNAME(CNAME(name("Listed.TEST."))));
        let mut upstream = message(vec![cname]);
        let parse = |m: &Message| Answer::parse(&m.to_vec().unwrap(), QUESTION, false).unwrap();
        assert_eq!(parse(&upstream).targets(), b"\x06listed\x04test\x00");
        assert_eq!(parse(&upstream).keep, 0, "a chain that leads nowhere is not kept");
        let soa = SOA::new(name("ns.test."), name("h.test."), 1, 2, 3, 4, 20);
        upstream.authorities.push(Record::from_rdata(name("test."), 40, RData::SOA(soa)));
        let negative = parse(&upstream);
        assert_eq!(negative.keep, 20);
        assert_eq!(rendered(&negative, b"", 5, 512).authorities[0].ttl, 15, "the SOA counts down from its MINIMUM");
    }

    #[test]
    fn a_dname_that_makes_the_name_too_long_is_an_answer_and_a_bare_yxdomain_an_error() {
        let rdata = RData::Unknown { code: RecordType::from(39), rdata: NULL::with(b"\x04test\x00".to_vec()) };
        for (records, is_error, keep) in
            [(vec![Record::from_rdata(name("example."), 60, rdata)], false, 60), (vec![], true, 0)]
        {
            let mut upstream = message(records);
            upstream.metadata.response_code = ResponseCode::YXDomain;
            let answer = Answer::parse(&upstream.to_vec().unwrap(), QUESTION, false).unwrap();
            assert_eq!((answer.is_error(), answer.keep), (is_error, keep));
            assert_eq!(rendered(&answer, b"", 0, 512).metadata.response_code, ResponseCode::YXDomain);
        }
    }

    #[test]
    fn a_stale_answer_says_so_and_an_rrset_has_one_ttl() {
        let bytes = message(vec![a("www.example.", 100), a("WWW.example.", 40)]).to_vec().unwrap();
        let answer = Answer::parse(&bytes, QUESTION, false).unwrap();
        assert_eq!(rendered(&answer, b"", 10, 512).answers.iter().map(|r| r.ttl).collect::<Vec<_>>(), [30, 30]);
        let bytes = query_bytes(OPT);
        let Parsed::Query(query) = parse(&bytes) else { panic!() };
        let mut out = [0; 512];
        let (len, _) = answer.render(&query, (Shown::Stale, Sections::All), 3_600, 512, &mut out);
        let stale = Message::from_vec(&out[..len]).unwrap();
        assert_eq!(stale.answers.iter().map(|r| r.ttl).collect::<Vec<_>>(), [30, 30]);
        let options: Vec<_> = stale.edns.unwrap().options().as_ref().iter().map(|(_, o)| o.clone()).collect();
        assert_eq!(options, [EdnsOption::Unknown(15, b"\x00\x03".to_vec())]);
        let (len, _) = answer.render(&query, (Shown::Stale, Sections::All), 5, 512, &mut out);
        assert_eq!(Message::from_vec(&out[..len]).unwrap().answers[0].ttl, 5, "no TTL above max_ttl");
    }

    #[test]
    fn another_question_is_a_mismatch() {
        let bytes = message(vec![]).to_vec().unwrap();
        let other = b"\x03wwx\x07example\x00\x00\x01\x00\x01";
        assert_eq!(Answer::parse(&bytes, other, false), Err(Bad::Mismatch));
        assert_eq!(Answer::parse(&bytes[..11], QUESTION, false), Err(Bad::Mismatch));
        let mut https = message(vec![]);
        https.queries[0].set_query_type(RecordType::HTTPS);
        let type_97 = b"\x03www\x07example\x00\x00\x61\x00\x01";
        assert_eq!(Answer::parse(&https.to_vec().unwrap(), type_97, false), Err(Bad::Mismatch));
        let mut query = bytes.clone();
        query[2] &= 0x7f;
        assert_eq!(Answer::parse(&query, QUESTION, false), Err(Bad::Mismatch));
        let mut short = message(vec![a("www.example.", 1)]).to_vec().unwrap();
        short.pop();
        assert_eq!(Answer::parse(&short, QUESTION, false), Err(Bad::Malformed));
    }

    #[test]
    fn additional_data_gives_way_without_tc_and_answers_with_it() {
        let mut upstream = message(vec![a("www.example.", 60)]);
        upstream.additionals = (0..40).map(|n| a(&format!("glue{n}.example."), 60)).collect();
        let answer = Answer::parse(&upstream.to_vec().unwrap(), QUESTION, false).unwrap();
        let out = rendered(&answer, OPT, 0, 512);
        assert_eq!((out.metadata.truncation, out.answers.len(), out.additionals.len()), (false, 1, 0));
        upstream.answers = (0..40).map(|_| a("www.example.", 60)).collect();
        let answer = Answer::parse(&upstream.to_vec().unwrap(), QUESTION, false).unwrap();
        let out = rendered(&answer, OPT, 0, 512);
        assert_eq!((out.metadata.truncation, out.answers.len(), out.edns.is_some()), (true, 0, true));
    }

    #[test]
    fn no_more_additional_names_are_looked_at_than_the_bound_says() {
        let mut upstream = message(vec![a("www.example.", 60)]);
        let parse = |m: &Message| Answer::parse(&m.to_vec().unwrap(), QUESTION, false).unwrap();
        let count = |answer: &Answer| names(answer.additional()).count();
        assert_eq!(count(&parse(&upstream)), 0);
        let glue = |n: usize| a(&format!("glue{}.example.", n % MAX_ADDITIONAL), 60);
        upstream.additionals = (0..3 * MAX_ADDITIONAL).map(glue).collect();
        upstream.edns = Some(Edns::new());
        let answer = parse(&upstream);
        assert_eq!((count(&answer), rendered(&answer, b"", 0, 4_096).additionals.len()), (16, 48), "each name once");
        upstream.additionals.push(a("one.too.many.example.", 60));
        let answer = parse(&upstream);
        let out = rendered(&answer, OPT, 0, 4_096);
        assert_eq!((count(&answer), out.additionals.len(), out.answers.len()), (0, 0, 1));
        assert!(!out.metadata.truncation && out.edns.is_some());
    }

    #[test]
    fn additional_data_with_a_name_that_cannot_be_read_is_left_out() {
        let svcb = |target: &[u8]| {
            let mut bytes = message(vec![a("www.example.", 60)]).to_vec().unwrap();
            bytes[11] = 2;
            bytes.extend_from_slice(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x07");
            bytes.extend_from_slice(b"\xc0\x0c\x00\x41\x00\x01\x00\x00\x00\x3c\x00");
            bytes.push(2 + target.len() as u8);
            bytes.extend_from_slice(&[&[0, 1], target].concat());
            let answer = Answer::parse(&bytes, QUESTION, false).unwrap();
            let read = rendered(&answer, b"", 0, 512);
            (answer.additional().to_vec(), read.answers.len(), read.additionals.len())
        };
        assert_eq!(svcb(b"\x03Bad\x00"), (b"\x03www\x07example\x00\x03bad\x00".to_vec(), 1, 2));
        assert_eq!(svcb(b"\x00"), (b"\x03www\x07example\x00".to_vec(), 1, 2), "the owner itself");
        assert_eq!(svcb(b"\x03b"), (Vec::new(), 1, 0));
        assert_eq!(svcb(b"\x41b\x00"), (Vec::new(), 1, 0));
    }

    #[test]
    fn a_message_cut_within_a_record_is_truncated_and_an_error_without_a_question_an_error() {
        let mut bytes = message(vec![a("www.example.", 60)]).to_vec().unwrap();
        bytes[2] |= 0x02;
        bytes.truncate(bytes.len() - 3);
        let answer = Answer::parse(&bytes, QUESTION, true).unwrap();
        assert_eq!((answer.truncated, answer.keep), (true, 0));
        assert!(rendered(&answer, b"", 0, 512).metadata.truncation);
        let mut refused = bytes[..HEADER].to_vec();
        refused[3] |= 5;
        refused[4..].fill(0);
        assert_eq!(Answer::parse(&refused, QUESTION, false), Err(Bad::Error(5)));
    }

    /// A CNAME chain of `links` from `www.example.`, and an address at its end.
    fn chain(links: usize) -> Vec<Record> {
        let at = |n: usize| if n == 0 { "www.example.".to_owned() } else { format!("n{n}.example.") };
        let cname = |n| Record::from_rdata(name(&at(n)), 60, RData::CNAME(CNAME(name(&at(n + 1)))));
        (0..links).map(cname).chain([a(&at(links), 60)]).collect()
    }

    fn is_refused(answers: Vec<Record>) -> bool {
        Answer::parse(&message(answers).to_vec().unwrap(), QUESTION, false) == Err(Bad::Malformed)
    }

    #[test]
    fn an_answer_section_that_is_not_the_chain_is_refused() {
        assert!(!is_refused(Vec::new()) && !is_refused(chain(0)) && !is_refused(chain(16)));
        assert!(is_refused(chain(17)), "too long");
        assert!(is_refused([chain(2), vec![a("stranger.example.", 60)]].concat()));
        assert!(is_refused(vec![a("example.", 60)]), "an ancestor is a stranger");
        assert!(is_refused(chain(3).split_off(1)), "a chain that begins elsewhere");
        let mut looped = chain(3);
        looped[3] = Record::from_rdata(name("n3.example."), 60, RData::CNAME(CNAME(name("N1.example."))));
        assert!(is_refused(looped));
        let itself = Record::from_rdata(name("www.example."), 60, RData::CNAME(CNAME(name("WWW.example."))));
        assert!(is_refused(vec![itself]));
    }

    #[test]
    fn a_target_ends_with_its_record() {
        let read = |len: u8, types: [u8; 2]| {
            let question = [b"\x03www\x07example\x00\x00", &types[1..], b"\x00\x01"].concat();
            let mut bytes = [&[0, 0, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0][..], &question].concat();
            bytes.extend_from_slice(&[0xc0, 12, types[0], types[1], 0, 1, 0, 0, 0, 9, 0, len]);
            bytes.extend_from_slice(if types[1] == 65 { b"\x00\x01" } else { b"" });
            bytes.extend_from_slice(b"\x01x\x00");
            Answer::parse(&bytes, &question, false).map(|answer| answer.targets().to_vec())
        };
        for (types, whole) in [([0, 5], 3), ([0, 65], 5)] {
            assert_eq!(read(whole, types), Ok(b"\x01x\x00".to_vec()));
            assert_eq!(read(whole - 1, types), Err(Bad::Malformed), "its last octet is another record's");
        }
    }

    proptest! {
        #[test]
        fn a_chain_is_believed_in_any_order_and_with_nobody_elses_record(
            links in 0usize..=20,
            turn in 0usize..20,
            stranger in proptest::option::of(0usize..20),
            capital in any::<bool>(),
        ) {
            let mut answers = chain(links);
            let len = answers.len();
            answers.rotate_left(turn % len);
            if let Some(at) = stranger {
                answers.insert(at % (len + 1), a(if capital { "Xn1.example." } else { "example." }, 60));
            }
            prop_assert_eq!(is_refused(answers), links > 16 || stranger.is_some());
        }

        #[test]
        fn no_upstream_message_panics(
            changes in proptest::collection::vec((12usize..200, any::<u8>()), 0..8),
            cut in 12usize..250,
            limit in 512usize..600,
        ) {
            let mut upstream = message((0..4).map(|n| a("www.example.", n)).collect());
            upstream.authorities.push(Record::from_rdata(name("e."), 9, RData::CNAME(CNAME(name("x.www.example.")))));
            upstream.edns = Some(Edns::new());
            let mut bytes = upstream.to_vec().unwrap();
            for (at, value) in changes {
                if let Some(octet) = bytes.get_mut(at) {
                    *octet = value;
                }
            }
            bytes.truncate(cut);
            if let Ok(answer) = Answer::parse(&bytes, QUESTION, true) {
                let question = query_bytes(OPT);
                let Parsed::Query(query) = parse(&question) else { panic!() };
                let mut out = vec![0; 700];
                let (len, _) = answer.render(&query, (Shown::After(1), Sections::All), 3_600, limit, &mut out);
                prop_assert!(len <= limit);
            }
        }
    }
}
