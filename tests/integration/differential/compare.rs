//! What two replies to one question differ in, and which differences are allowed: [`ALLOWED`], each with its reason.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{RData, Record, RecordType};

use super::questions::{META_TYPES, Question};

/// A question and both replies, as octets and as read; a reply that cannot be read is `None`.
pub(super) struct Pair<'a> {
    pub(super) question: &'a Question,
    pub(super) octets: [&'a [u8]; 2],
    /// Ours, theirs.
    pub(super) replies: [Message; 2],
    /// How far TTLs may be apart: as long as the caches have been filled, and a little for the rounding.
    pub(super) tolerance: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    Rcode,
    /// AA, TC or RA.
    Flag(&'static str),
    /// In our reply: the question is not what was asked, octet for octet; RD or CD is not as asked; Z or AD is set, which
    /// nobody here can vouch for.
    Echo,
    /// OPT there and not there, or of another version or DO.
    Opt,
    /// Codes of Extended DNS Errors.
    Errors,
    /// Other options in the OPT record.
    Options,
    /// Ours is more than the client takes.
    Size,
    Answer,
    Authority,
    Additional,
    /// The same records, with TTLs further apart than can be.
    Ttl,
}

/// A difference that is no fault.
pub(super) struct Allowed {
    pub(super) what: &'static str,
    pub(super) why: &'static str,
    applies: fn(&Pair, Difference) -> bool,
}

use Difference::{Additional, Answer, Authority, Echo, Errors, Flag, Opt, Options, Rcode, Size, Ttl};

const DNAME: u16 = 39;

/// The first that applies counts.
pub(super) const ALLOWED: &[Allowed] = &[
    Allowed {
        what: "ANY",
        why: "RFC 8482 lets everybody answer it as he likes",
        applies: |pair, _| pair.question.rtype == 255,
    },
    Allowed {
        what: "meta types",
        why: "both refuse what is no data; the standards leave the rcode open, and unbound looks some of them up",
        applies: |pair, _| {
            let refused = [ResponseCode::Refused, ResponseCode::NotImp, ResponseCode::FormErr].contains(&pair.rcode(0));
            META_TYPES.contains(&pair.question.rtype) && refused && pair.replies[0].answers.is_empty()
        },
    },
    Allowed {
        what: "circles",
        why: "CNAMEs in a circle: unbound follows until it gives up with SERVFAIL, we pass on what the upstream said",
        applies: |pair, _| pair.rcode(1) == ResponseCode::ServFail && pair.is_circle(),
    },
    Allowed {
        what: "class ANY",
        why: "we serve class IN alone; unbound looks class ANY up as if it were IN",
        applies: |pair, _| pair.question.class == 255 && pair.rcode(0) == ResponseCode::Refused,
    },
    Allowed {
        what: "extended errors",
        why: "we give a reason with every refusal (RFC 8914), unbound 1.17 with fewer; of two it may give the other",
        applies: |pair, difference| {
            let refused = [0, 1].iter().all(|side| pair.rcode(*side) == ResponseCode::Refused);
            difference == Errors && (pair.errors(1).is_empty() || refused)
        },
    },
    Allowed {
        what: "truncated",
        why: "with TC=1 from both the client asks again by TCP; we leave the sections empty, unbound fills them",
        applies: |pair, _| [0, 1].iter().all(|side| pair.flags(*side) & 0x0200 != 0),
    },
    Allowed {
        what: "authority",
        why: "what unbound puts together from single RRsets of its cache comes without the NS records they came with",
        applies: |pair, difference| difference == Authority && pair.has_data() && pair.theirs_is_part(1),
    },
    Allowed {
        what: "additional",
        why: "the same for the addresses of the name servers",
        applies: |pair, difference| difference == Additional && pair.has_data() && pair.theirs_is_part(2),
    },
    Allowed {
        what: "TTL of a CNAME from a DNAME",
        why: "RFC 6672 §3.1 gives it the DNAME's TTL; unbound says 0 when it makes one from its cache",
        applies: |pair, difference| difference == Ttl && pair.is_below_dname(),
    },
];

impl<'a> Pair<'a> {
    /// Reads both replies; the text says which cannot be read.
    pub(super) fn read(question: &'a Question, octets: [&'a [u8]; 2], age: Duration) -> Result<Self, String> {
        let read = |octets: &[u8]| Message::from_vec(octets).map_err(|error| format!("{error}: {octets:02x?}"));
        let replies = [read(octets[0])?, read(octets[1])?];
        Ok(Self { question, octets, replies, tolerance: age.as_secs() as u32 + 2 })
    }

    fn rcode(&self, side: usize) -> ResponseCode {
        self.replies[side].metadata.response_code
    }

    /// Codes of the Extended DNS Errors.
    fn errors(&self, side: usize) -> BTreeSet<u16> {
        crate::client::ede_codes(&self.replies[side]).into_iter().collect()
    }

    /// Codes of all other options.
    fn options(&self, side: usize) -> BTreeSet<u16> {
        let options = self.replies[side].edns.iter().flat_map(|edns| &edns.options().options);
        options.map(|(code, _)| u16::from(*code)).filter(|code| *code != 15).collect()
    }

    fn opt(&self, side: usize) -> Option<(u8, bool)> {
        self.replies[side].edns.as_ref().map(|edns| (edns.version(), edns.flags().dnssec_ok))
    }

    fn sections(&self, side: usize) -> [(Difference, &[Record]); 3] {
        let Message { answers, authorities, additionals, .. } = &self.replies[side];
        [(Answer, answers), (Authority, authorities), (Additional, additionals)]
    }

    fn flags(&self, side: usize) -> u16 {
        u16::from_be_bytes([self.octets[side][2], self.octets[side][3]])
    }

    /// Whether our answer is nothing but CNAMEs that lead to each other.
    fn is_circle(&self) -> bool {
        let answers = &self.replies[0].answers;
        let leads_back = |record: &Record| match &record.data {
            RData::CNAME(target) => answers.iter().any(|other| other.name == target.0),
            _ => false,
        };
        !answers.is_empty() && answers.iter().all(leads_back)
    }

    /// Whether both have an answer.
    fn has_data(&self) -> bool {
        self.rcode(0) == self.rcode(1) && self.replies.iter().all(|reply| !reply.answers.is_empty())
    }

    fn is_below_dname(&self) -> bool {
        self.replies[0].answers.iter().any(|record| u16::from(record.record_type()) == DNAME)
    }

    /// Whether they have nothing in this section that we have not.
    fn theirs_is_part(&self, section: usize) -> bool {
        let [ours, theirs] = [0, 1].map(|side| canonical(self.sections(side)[section].1));
        theirs.iter().all(|(theirs, _)| ours.iter().any(|(ours, _)| ours == theirs))
    }

    /// Everything the replies differ in.
    pub(super) fn differences(&self) -> Vec<Difference> {
        let mut found = Vec::new();
        let mut check = |same: bool, difference| {
            if !same {
                found.push(difference)
            }
        };
        let section = self.question.section();
        let [asked, flags] = [&self.question.octets[..], self.octets[0]].map(|octets| &octets[..4]);
        let echoed = [flags[2] & 0x01, flags[3] & 0x70] == [asked[2] & 0x01, asked[3] & 0x10];
        check(echoed && self.octets[0][4..6] == [0, 1] && self.octets[0][12..].starts_with(section), Echo);
        check(self.octets[0].len() <= self.question.limit(), Size);
        check(self.rcode(0) == self.rcode(1), Rcode);
        let flags = [("AA", 10), ("TC", 9), ("RA", 7)];
        let differ = self.flags(0) ^ self.flags(1);
        flags.iter().for_each(|(name, bit)| check(differ >> bit & 1 == 0, Flag(name)));
        check(self.opt(0) == self.opt(1), Opt);
        check(self.errors(0) == self.errors(1), Errors);
        check(self.options(0) == self.options(1), Options);
        for ((section, ours), (_, theirs)) in self.sections(0).into_iter().zip(self.sections(1)) {
            let (ours, theirs) = (canonical(ours), canonical(theirs));
            let data = |records: &[(String, u32)]| records.iter().map(|(data, _)| data.clone()).collect::<Vec<_>>();
            if data(&ours) != data(&theirs) {
                check(false, section);
            } else {
                let near = ours.iter().zip(&theirs).all(|((_, a), (_, b))| a.abs_diff(*b) <= self.tolerance);
                check(near, Ttl);
            }
        }
        found
    }

    /// The entry of [`ALLOWED`] that explains a difference; for some there is no excuse.
    pub(super) fn allowed(&self, difference: Difference) -> Option<usize> {
        if matches!(difference, Echo | Opt | Size) {
            return None;
        }
        ALLOWED.iter().position(|allowed| (allowed.applies)(self, difference))
    }

    /// Both messages, one below the other, line by line where they differ.
    pub(super) fn side_by_side(&self) -> String {
        let [ours, theirs] = [0, 1].map(|side| self.lines(side));
        let mut text = format!("{}\n", self.question);
        for n in 0..ours.len().max(theirs.len()) {
            let [ours, theirs] = [&ours, &theirs].map(|lines| lines.get(n).map_or("", String::as_str));
            let mark = if ours == theirs { ' ' } else { '!' };
            writeln!(text, "{mark} {ours:<90.90} | {theirs:.90}").unwrap();
        }
        text
    }

    fn lines(&self, side: usize) -> Vec<String> {
        let head = format!("{} flags {:04x}, {} octets", self.rcode(side), self.flags(side), self.octets[side].len());
        let opt = format!("OPT {:?} errors {:?} options {:?}", self.opt(side), self.errors(side), self.options(side));
        let mut lines = vec![["pagar", "unbound"][side].to_owned(), head, opt];
        for (section, records) in self.sections(side) {
            lines.push(format!("{section:?}"));
            lines.extend(canonical(records).into_iter().map(|(data, ttl)| format!("  {ttl} {data}")));
        }
        lines
    }
}

/// Records in an order of their own, each with its TTL: owner, class, type and data; case matters where it is data.
fn canonical(records: &[Record]) -> Vec<(String, u32)> {
    let mut texts: Vec<_> = records.iter().map(|record| (canonical_data(record), record.ttl)).collect();
    texts.sort();
    texts
}

fn canonical_data(record: &Record) -> String {
    use RecordType::{ANAME, CNAME, HTTPS, MX, NAPTR, NS, NSEC, PTR, RRSIG, SOA, SRV, SVCB};
    let rtype = record.record_type();
    let owner = record.name.to_string().to_ascii_lowercase();
    let data = format!("{:?}", record.data);
    let holds_names = [ANAME, CNAME, HTTPS, MX, NAPTR, NS, NSEC, PTR, RRSIG, SOA, SRV, SVCB].contains(&rtype);
    let data = if holds_names || u16::from(rtype) == DNAME { data.to_ascii_lowercase() } else { data };
    format!("{owner} {} {rtype} {data}", record.dns_class)
}
