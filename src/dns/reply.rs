//! Messages this program writes itself: blocked answers, errors, what it says about itself. The only `match` on [`Action`] in
//! the data plane.
//!
//! Nothing here allocates. The output buffer is as long as the answer may be, 512 octets at least. Everything a message
//! cannot do without fits into those, also for a name of 255 octets; of the OPT record the rest gives way, see
//! [`write_opt`]. So nothing written here is ever truncated.

use crate::model::{Action, AuthorityKind};
use crate::policy::Verdict;

use super::query::{Malformed, NoQuestion, Options, Query};
use super::wire::{CH, HEADER, IN, Writer, option, rcode, rtype};

/// Largest UDP answer sent and the size our OPT records offer (DNS flag day 2020).
pub const UDP_SIZE: usize = 1232;

/// An Extended DNS Error's INFO-CODE (RFC 8914 §4, IANA registry).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ede(pub u16);

impl Ede {
    #![expect(missing_docs, reason = "the registry's names are the documentation")]
    pub const OTHER: Self = Self(0);
    pub const STALE_ANSWER: Self = Self(3);
    pub const FORGED_ANSWER: Self = Self(4);
    pub const CACHED_ERROR: Self = Self(13);
    pub const NOT_READY: Self = Self(14);
    pub const BLOCKED: Self = Self(15);
    pub const CENSORED: Self = Self(16);
    pub const FILTERED: Self = Self(17);
    pub const PROHIBITED: Self = Self(18);
    pub const STALE_NXDOMAIN: Self = Self(19);
    pub const NOT_AUTHORITATIVE: Self = Self(20);
    pub const NOT_SUPPORTED: Self = Self(21);
    pub const NO_REACHABLE_AUTHORITY: Self = Self(22);
    pub const NETWORK_ERROR: Self = Self(23);
    pub const RATE_LIMITED: Self = Self(31);
}

/// RNAME of our SOA records, and nothing anybody can mail to.
const RNAME: &[u8] = b"\x06nobody\x07invalid\x00";

/// Writes the answer for a listed name; returns its length and response code.
///
/// `out` is as long as the answer may be, at least 512 octets. The SOA's owner is the target, or the name asked when it was listed only through a CNAME
/// or SVCB target (`cloaked`).
pub fn blocked(query: &Query, verdict: &Verdict, serial: u32, ttl: u32, cloaked: bool, out: &mut [u8]) -> (usize, u16) {
    let entry = verdict.entry;
    let mut page: ([u8; 16], usize) = ([0; 16], 0);
    let code = match entry.notice.action {
        Action::BlockPage => {
            match (query.qtype, entry.page.v4, entry.page.v6) {
                (rtype::A, Some(v4), _) => page = (widen(v4.octets()), 4),
                (rtype::AAAA, _, Some(v6)) => page = (v6.octets(), 16),
                _ => {}
            }
            rcode::NOERROR
        }
        Action::NoData => rcode::NOERROR,
        // the name asked is not listed, and NXDOMAIN would deny its other types and all below it (RFC 8020)
        Action::NxDomain if cloaked => rcode::NOERROR,
        Action::NxDomain => rcode::NXDOMAIN, // of a subtree: with an exact target a notice is refused (verify::check)
        Action::Refused => rcode::REFUSED,
    };
    let page = &page.0[..page.1];
    let soa = page.is_empty() && code != rcode::REFUSED;
    let mut writer = Writer::new(out);
    header(&mut writer, query, code, [!page.is_empty(), soa, query.edns.is_some()]);
    if !page.is_empty() {
        writer.u16(0xc000 | HEADER as u16);
        writer.u16(query.qtype);
        writer.u16(IN);
        writer.u32(ttl);
        writer.u16(page.len() as u16);
        writer.put(page);
    }
    if soa {
        let above = if cloaked { 0 } else { query.name().len() - verdict.target.len() };
        write_soa(&mut writer, 0xc000 | (HEADER + above) as u16, serial, ttl);
    }
    if let Some(edns) = query.edns {
        let forged = !page.is_empty() && !edns.structured_errors;
        let first = match entry.kind {
            AuthorityKind::Statutory => Ede::CENSORED,
            AuthorityKind::Operator => Ede::BLOCKED,
        };
        let second = [(Ede::FORGED_ANSWER, &b""[..])];
        let options = [(first, &*entry.extra_text)].into_iter().chain(second.into_iter().filter(|_| forged));
        write_opt(&mut writer, &query.options, edns.dnssec_ok, code, options);
    }
    (writer.finish().unwrap_or(0), code)
}

fn widen(v4: [u8; 4]) -> [u8; 16] {
    let mut octets = [0; 16];
    octets[..4].copy_from_slice(&v4);
    octets
}

/// The SOA of a negative answer (RFC 2308 §3): its TTL and MINIMUM are how long the block may be kept.
fn write_soa(writer: &mut Writer, owner: u16, serial: u32, ttl: u32) {
    writer.u16(owner);
    writer.u16(rtype::SOA);
    writer.u16(IN);
    writer.u32(ttl);
    writer.u16(2 + RNAME.len() as u16 + 20);
    writer.u16(owner); // MNAME
    writer.put(RNAME);
    for value in [serial, 3_600, 600, 86_400, ttl] {
        writer.u32(value);
    }
}

/// Writes the answer to a question of type ANY about a name of others; returns its length.
///
/// It is a synthesised HINFO (RFC 8482 §4.2): what a server has at hand of a name helps nobody but who wants large answers.
pub fn hinfo(query: &Query, ttl: u32, out: &mut [u8]) -> usize {
    own_record(query, [rtype::HINFO, IN], ttl, &[b"\x07RFC8482", b"\x00"], out)
}

/// Writes the TXT record that says something about this server (RFC 4892 §2); returns its length. Of a text longer than 255
/// octets nothing is written.
pub fn about_us(query: &Query, text: &[u8], out: &mut [u8]) -> usize {
    let Ok(len) = u8::try_from(text.len()) else { return 0 };
    let written = own_record(query, [rtype::TXT, CH], 0, &[&[len], text], out);
    if let Some(flags) = out.get_mut(2) {
        *flags |= 0x04; // nobody else knows
    }
    written
}

/// An answer with one record at the name asked.
fn own_record(query: &Query, [rtype, class]: [u16; 2], ttl: u32, rdata: &[&[u8]], out: &mut [u8]) -> usize {
    let mut writer = Writer::new(out);
    header(&mut writer, query, rcode::NOERROR, [true, false, query.edns.is_some()]);
    writer.u16(0xc000 | HEADER as u16);
    writer.u16(rtype);
    writer.u16(class);
    writer.u32(ttl);
    writer.u16(rdata.iter().map(|part| part.len()).sum::<usize>() as u16);
    rdata.iter().for_each(|part| writer.put(part));
    if let Some(edns) = query.edns {
        write_opt(&mut writer, &query.options, edns.dnssec_ok, rcode::NOERROR, []);
    }
    writer.finish().unwrap_or(0)
}

/// Writes an error in answer to a query; returns its length. `out` as for [`blocked`].
pub fn error(query: &Query, code: u16, ede: Ede, out: &mut [u8]) -> usize {
    error_with(query, code, [(ede, &b""[..])], out)
}

/// The same with any Extended DNS Errors, eight at the most.
pub fn error_with<'e>(
    query: &Query,
    code: u16,
    errors: impl IntoIterator<Item = (Ede, &'e [u8]), IntoIter: Clone>,
    out: &mut [u8],
) -> usize {
    let mut writer = Writer::new(out);
    header(&mut writer, query, code, [false, false, query.edns.is_some()]);
    if let Some(edns) = query.edns {
        write_opt(&mut writer, &query.options, edns.dnssec_ok, code, errors);
    }
    writer.finish().unwrap_or(0)
}

/// Writes an answer without data and with TC, so that the client comes by TCP; returns its length.
pub fn truncated(query: &Query, ede: Ede, out: &mut [u8]) -> usize {
    const TC: u8 = 0x02;
    let len = error(query, rcode::NOERROR, ede, out);
    if let Some(flags) = out.get_mut(2) {
        *flags |= TC;
    }
    len
}

/// Writes the error a message that is no proper query gets; returns its length.
///
/// `message` has at least a header. Id, opcode, RD, what could be read of the question (RFC 8906 §8) and DO (RFC 3225 §3)
/// are echoed.
pub fn malformed(message: &[u8], error: Malformed, ede: Option<Ede>, out: &mut [u8]) -> usize {
    bare(message, error, &Options::default(), ede, out)
}

/// Writes the answer to a query without a question (RFC 7873 §5.4); returns its length. `message` as for [`malformed`].
pub fn no_question(
    message: &[u8],
    asked: NoQuestion,
    code: u16,
    cookie: Option<[u8; 24]>,
    ede: Option<Ede>,
    out: &mut [u8],
) -> usize {
    let options = Options { cookie, ..Options::default() };
    let error = Malformed { rcode: code, question: 0, edns: true, dnssec_ok: asked.dnssec_ok };
    bare(message, error, &options, ede, out)
}

fn bare(message: &[u8], error: Malformed, options: &Options, ede: Option<Ede>, out: &mut [u8]) -> usize {
    let mut writer = Writer::new(out);
    writer.put(&message[..2]);
    writer.put(&[0x80 | message[2] & 0x79, 0x80 | (error.rcode & 0x0f) as u8]);
    writer.u16(u16::from(error.question > 0));
    writer.u32(0);
    writer.u16(u16::from(error.edns));
    writer.put(&message[HEADER..HEADER + error.question]);
    if error.edns {
        let errors = ede.map(|ede| (ede, &b""[..]));
        write_opt(&mut writer, options, error.dnssec_ok, error.rcode, errors);
    }
    writer.finish().unwrap_or(0)
}

/// Header and question of an answer: QR, RA, opcode 0, RD and CD as asked (RFC 1035 §4.1.1, RFC 4035 §3.2.2); AA and AD
/// clear.
fn header(writer: &mut Writer, query: &Query, code: u16, sections: [bool; 3]) {
    writer.put(&query.id());
    writer.put(&flags(query, code));
    writer.u16(1);
    for present in sections {
        writer.u16(u16::from(present));
    }
    writer.put(query.question());
}

/// The two flag octets of an answer to `query`.
pub fn flags(query: &Query, code: u16) -> [u8; 2] {
    let cd = u8::from(query.checking_disabled()) << 4;
    [0x80 | u8::from(query.recursion_desired()), 0x80 | cd | (code & 0x0f) as u8]
}

/// Octets [`write_opt`] takes with these options and errors.
pub fn opt_len<'e>(options: &Options, errors: impl IntoIterator<Item = (Ede, &'e [u8])>) -> usize {
    let cookie = options.cookie.map_or(0, |cookie| 4 + cookie.len());
    let nsid = options.nsid.map_or(0, |nsid| 4 + nsid.len());
    let keepalive = options.keepalive.map_or(0, |_| 6);
    let errors = errors.into_iter().map(|(_, text)| 6 + text.len()).sum::<usize>();
    11 + cookie + nsid + keepalive + errors
}

/// Octets of the OPT record that nothing gives way for: what the protocol needs.
pub fn least_opt(options: &Options) -> usize {
    opt_len(&Options { nsid: None, ..*options }, [])
}

/// The OPT record of an answer (RFC 6891 §6.1.2) with its options and Extended DNS Errors.
///
/// Where the writer has no room for all of it, NSID gives way first, then the texts of the errors, then the errors (RFC 8914
/// §2). The cookie and the keepalive stay.
pub fn write_opt<'e>(
    writer: &mut Writer,
    options: &Options,
    dnssec_ok: bool,
    code: u16,
    errors: impl IntoIterator<Item = (Ede, &'e [u8]), IntoIter: Clone>,
) {
    let (errors, room) = (errors.into_iter(), writer.room());
    let short = Options { nsid: None, ..*options };
    let bare = errors.clone().filter(|(ede, _)| *ede != Ede::OTHER).map(|(ede, _)| (ede, &b""[..]));
    let all = opt_len(options, errors.clone()) <= room;
    let texts = all || opt_len(&short, errors.clone()) <= room;
    let codes = texts || opt_len(&short, bare) <= room;
    let options = if all { options } else { &short };
    let says = |(ede, _): &(Ede, &[u8])| codes && (texts || *ede != Ede::OTHER); // "other" says nothing without its text
    let errors = errors.filter(says).map(|(ede, text)| (ede, if texts { text } else { b"" }));
    writer.put(&[0]);
    writer.u16(rtype::OPT);
    writer.u16(UDP_SIZE as u16);
    writer.put(&[(code >> 4) as u8, 0, u8::from(dnssec_ok) << 7, 0]);
    writer.u16((opt_len(options, errors.clone()) - 11) as u16);
    for (Ede(info_code), text) in errors {
        writer.u16(option::EDE);
        writer.u16(2 + text.len() as u16);
        writer.u16(info_code);
        writer.put(text);
    }
    if let Some(cookie) = options.cookie {
        writer.u16(option::COOKIE);
        writer.u16(cookie.len() as u16);
        writer.put(&cookie);
    }
    if let Some(nsid) = options.nsid {
        writer.u16(option::NSID);
        writer.u16(nsid.len() as u16);
        writer.put(nsid);
    }
    if let Some(keepalive) = options.keepalive {
        writer.u16(option::KEEPALIVE);
        writer.u16(2);
        writer.u16(keepalive);
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Message;
    use proptest::prelude::*;

    use super::super::query::{Parsed, parse};
    use super::*;

    const NSID: [u8; 128] = [b'n'; 128];
    const TEXT: [u8; 128] = [b't'; 128];

    /// A query for a name of these labels; with an OPT record if `edns`.
    fn asked(labels: &[Vec<u8>], edns: bool) -> Vec<u8> {
        let mut message = vec![0xab, 0xcd, 0x01, 0x10, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)];
        for label in labels {
            message.push(label.len() as u8);
            message.extend_from_slice(label);
        }
        message.extend_from_slice(b"\x00\x00\x01\x00\x01");
        if edns {
            message.extend_from_slice(b"\x00\x00\x29\x02\x00\x00\x00\x80\x00\x00\x00");
        }
        message
    }

    /// Names of up to 255 octets.
    fn any_name() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let label = proptest::collection::vec(any::<u8>(), 1..=63);
        proptest::collection::vec(label, 0..8).prop_map(|mut labels| {
            while labels.iter().map(|label| 1 + label.len()).sum::<usize>() > 254 {
                labels.pop();
            }
            labels
        })
    }

    fn options_of(message: &[u8]) -> Vec<u16> {
        let edns = Message::from_vec(message).unwrap().edns.unwrap();
        edns.options().as_ref().iter().map(|(code, _)| u16::from(*code)).collect()
    }

    proptest! {
        #[test]
        fn what_is_written_fits_and_says_what_was_asked(
            labels in any_name(),
            edns: bool,
            limit in 512usize..700,
            [cookie, nsid, keepalive]: [bool; 3],
            which in 0usize..3,
        ) {
            let message = asked(&labels, edns);
            let Parsed::Query(mut query) = parse(&message) else { panic!() };
            query.options = Options {
                cookie: cookie.then_some([7; 24]),
                nsid: nsid.then_some(&NSID),
                keepalive: keepalive.then_some(100),
            };
            let mut out = vec![0xff; limit];
            let len = match which {
                0 => error(&query, rcode::SERVFAIL, Ede::NETWORK_ERROR, &mut out),
                1 => hinfo(&query, 60, &mut out),
                _ => {
                    let mut writer = Writer::new(&mut out);
                    header(&mut writer, &query, rcode::NXDOMAIN, [false, true, edns]);
                    write_soa(&mut writer, 0xc000 | HEADER as u16, 1, 30);
                    if edns {
                        write_opt(&mut writer, &query.options, true, rcode::NXDOMAIN, [(Ede::CENSORED, &TEXT[..])]);
                    }
                    writer.finish().unwrap_or(0)
                }
            };
            prop_assert!((HEADER..=limit).contains(&len));
            let read = Message::from_vec(&out[..len]).unwrap();
            prop_assert_eq!(&out[HEADER..HEADER + query.question().len()], query.question());
            prop_assert_eq!(read.edns.is_some(), edns);
            prop_assert!(!read.metadata.truncation);
            if edns {
                let there = options_of(&out[..len]);
                prop_assert_eq!(there.contains(&option::COOKIE), cookie, "what the protocol needs stays");
                prop_assert_eq!(there.contains(&option::KEEPALIVE), keepalive);
            }
        }
    }

    #[test]
    fn nsid_gives_way_first_then_the_text_then_the_error() {
        let message = asked(&[], true);
        let Parsed::Query(mut query) = parse(&message) else { panic!() };
        query.options = Options { nsid: Some(&NSID), ..Options::default() };
        let written = |room: usize| {
            let mut out = vec![0; room];
            let mut writer = Writer::new(&mut out);
            header(&mut writer, &query, 0, [false, false, true]);
            write_opt(&mut writer, &query.options, true, 0, [(Ede::CENSORED, &TEXT[..]), (Ede::OTHER, &TEXT[..])]);
            let len = writer.finish().unwrap();
            let options = Message::from_vec(&out[..len]).unwrap().edns.unwrap();
            let sizes = options.options().as_ref().iter().map(|(_, option)| option.len());
            sizes.map(usize::from).collect::<Vec<_>>()
        };
        let bare = HEADER + 5 + 11;
        assert_eq!(written(bare + 268 + 132), [130, 130, 128]);
        assert_eq!(written(bare + 268 + 131), [130, 130]);
        assert_eq!(written(bare + 267), [2], "an error without a name is nothing without its text");
        assert_eq!(written(bare + 5), [] as [usize; 0]);
    }
}
