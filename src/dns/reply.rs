//! Messages this program writes itself: blocked answers and errors. The only `match` on [`Action`] in the data plane.
//!
//! Nothing here allocates. Every message fits the 512 octets a client without EDNS takes: the longest is a block of a
//! 255-octet name with its SOA and a notice id of 128 octets.

use crate::model::{Action, AuthorityKind};
use crate::policy::Verdict;

use super::query::{Malformed, NoQuestion, Options, Query};
use super::wire::{HEADER, IN, Writer, option, rcode, rtype};

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
/// `out` has room for 512 octets. The SOA's owner is the target, or the name asked when it was listed only through a CNAME
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
        Action::NxDomain => rcode::NXDOMAIN,
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

/// Writes an error in answer to a query; returns its length.
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
/// `message` has at least a header. Id, opcode, RD and what could be read of the question are echoed (RFC 8906 §8).
pub fn malformed(message: &[u8], error: Malformed, out: &mut [u8]) -> usize {
    bare(message, error, &Options::default(), false, out)
}

/// Writes the answer to a query without a question (RFC 7873 §5.4); returns its length. `message` as for [`malformed`].
pub fn no_question(message: &[u8], asked: NoQuestion, code: u16, cookie: Option<[u8; 24]>, out: &mut [u8]) -> usize {
    let options = Options { cookie, ..Options::default() };
    bare(message, Malformed { rcode: code, question: 0, edns: true }, &options, asked.dnssec_ok, out)
}

fn bare(message: &[u8], error: Malformed, options: &Options, dnssec_ok: bool, out: &mut [u8]) -> usize {
    let mut writer = Writer::new(out);
    writer.put(&message[..2]);
    writer.put(&[0x80 | message[2] & 0x79, 0x80 | (error.rcode & 0x0f) as u8]);
    writer.u16(u16::from(error.question > 0));
    writer.u32(0);
    writer.u16(u16::from(error.edns));
    writer.put(&message[HEADER..HEADER + error.question]);
    if error.edns {
        write_opt(&mut writer, options, dnssec_ok, error.rcode, []);
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

/// The OPT record of an answer (RFC 6891 §6.1.2) with its options and Extended DNS Errors.
pub fn write_opt<'e>(
    writer: &mut Writer,
    options: &Options,
    dnssec_ok: bool,
    code: u16,
    errors: impl IntoIterator<Item = (Ede, &'e [u8]), IntoIter: Clone>,
) {
    let errors = errors.into_iter();
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
