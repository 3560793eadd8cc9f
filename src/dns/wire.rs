//! Reading and writing the octets of DNS messages in place: names with compression, records, a bounded writer.
//!
//! Every read is checked against the end of the message and every loop ends: pointers only go backwards (RFC 1035 §4.1.4).

use crate::model::name::{MAX_LABEL, MAX_NAME, wire_len};

/// Octets of a message header.
pub const HEADER: usize = 12;

/// Record types this program looks at (IANA DNS parameters).
pub mod rtype {
    #![expect(missing_docs, reason = "the mnemonics are the documentation")]
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const CNAME: u16 = 5;
    pub const SOA: u16 = 6;
    pub const HINFO: u16 = 13;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const DNAME: u16 = 39;
    pub const OPT: u16 = 41;
    pub const DS: u16 = 43;
    pub const RRSIG: u16 = 46;
    pub const NSEC: u16 = 47;
    pub const DNSKEY: u16 = 48;
    pub const NSEC3: u16 = 50;
    pub const SVCB: u16 = 64;
    pub const HTTPS: u16 = 65;
    pub const IXFR: u16 = 251;
    pub const AXFR: u16 = 252;
    pub const ANY: u16 = 255;
}

/// EDNS options this program reads or writes (IANA DNS EDNS0 option codes).
pub mod option {
    #![expect(missing_docs, reason = "the registry's names are the documentation")]
    pub const NSID: u16 = 3;
    pub const COOKIE: u16 = 10;
    pub const KEEPALIVE: u16 = 11;
    pub const EDE: u16 = 15;
    /// draft-ietf-dnsop-structured-dns-error; IANA registry of October 2026.
    pub const STRUCTURED_ERRORS: u16 = 26;
}

/// Response codes this program sets (IANA DNS RCODEs); 16 and above need an OPT record.
pub mod rcode {
    #![expect(missing_docs, reason = "the mnemonics are the documentation")]
    pub const NOERROR: u16 = 0;
    pub const FORMERR: u16 = 1;
    pub const SERVFAIL: u16 = 2;
    pub const NXDOMAIN: u16 = 3;
    pub const NOTIMP: u16 = 4;
    pub const REFUSED: u16 = 5;
    pub const YXDOMAIN: u16 = 6;
    pub const BADVERS: u16 = 16;
    pub const BADCOOKIE: u16 = 23;
}

/// Class IN.
pub const IN: u16 = 1;
/// Class CH: what a server says about itself.
pub const CH: u16 = 3;

/// The two octets at `at`.
pub fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*message.get(at..)?.first_chunk()?))
}

/// The four octets at `at`.
pub fn u32_at(message: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*message.get(at..)?.first_chunk()?))
}

/// Where the name at `at` ends in the message; checks its labels up to the end or the first pointer.
pub fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    let start = at;
    loop {
        let len = *message.get(at)?;
        match len {
            0 => return Some(at + 1),
            0xc0.. => return (at + 1 < message.len()).then_some(at + 2),
            _ if usize::from(len) <= MAX_LABEL => at += 1 + usize::from(len),
            _ => return None, // label types 01 and 10 are reserved
        }
        if at - start >= MAX_NAME {
            return None;
        }
    }
}

/// Appends the name at `at`, decompressed and in lower case, to `out`; the root label included.
pub fn read_name(message: &[u8], mut at: usize, out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    let mut limit = at; // a pointer must lead before the place it was read from
    loop {
        let len = *message.get(at)?;
        match len {
            0 => {
                out.push(0);
                return (out.len() - start <= MAX_NAME).then_some(());
            }
            0xc0.. => {
                let to = usize::from(u16_at(message, at)? & 0x3fff);
                if to >= limit {
                    return None;
                }
                (at, limit) = (to, to);
            }
            _ if usize::from(len) <= MAX_LABEL => {
                let label = message.get(at..at + 1 + usize::from(len))?;
                if out.len() - start + label.len() >= MAX_NAME {
                    return None;
                }
                out.extend(label.iter().map(u8::to_ascii_lowercase)); // the length octet is below b'A'
                at += label.len();
            }
            _ => return None,
        }
    }
}

/// The uncompressed names that stand end to end in `octets`.
pub fn names(mut octets: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (name, rest) = octets.split_at_checked(wire_len(octets)?)?;
        octets = rest;
        Some(name)
    })
}

/// One resource record, by the places of its parts.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Start of the owner name.
    pub start: usize,
    /// Type.
    pub rtype: u16,
    /// Class, or the payload size of an OPT.
    pub class: u16,
    /// Start of the four TTL octets.
    pub ttl_at: usize,
    /// TTL, or the flags of an OPT.
    pub ttl: u32,
    /// Start of the RDATA.
    pub rdata: usize,
    /// End of the record.
    pub end: usize,
}

/// Reads the record at `at`.
pub fn record(message: &[u8], at: usize) -> Option<Record> {
    let fixed = skip_name(message, at)?;
    let rdata = fixed + 10;
    let end = rdata + usize::from(u16_at(message, fixed + 8)?);
    (end <= message.len()).then_some(())?;
    Some(Record {
        start: at,
        rtype: u16_at(message, fixed)?,
        class: u16_at(message, fixed + 2)?,
        ttl_at: fixed + 4,
        ttl: u32_at(message, fixed + 4)?,
        rdata,
        end,
    })
}

/// Walks the options of an OPT record's RDATA (RFC 6891 §6.1.2): `None` if one runs past the end.
pub fn options(rdata: &[u8]) -> impl Iterator<Item = Option<(u16, &[u8])>> {
    let mut rest = rdata;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let option = (|| {
            let (head, tail) = rest.split_first_chunk::<4>()?;
            let [c0, c1, l0, l1] = *head;
            let len = usize::from(u16::from_be_bytes([l0, l1]));
            rest = tail.get(len..)?;
            Some((u16::from_be_bytes([c0, c1]), &tail[..len]))
        })();
        if option.is_none() {
            rest = &[];
        }
        Some(option)
    })
}

/// Writes into a fixed buffer; what does not fit is left out and remembered.
#[derive(Debug)]
pub struct Writer<'o> {
    out: &'o mut [u8],
    len: usize,
    overflow: bool,
}

impl<'o> Writer<'o> {
    /// Starts at the beginning of `out`.
    pub fn new(out: &'o mut [u8]) -> Self {
        Self { out, len: 0, overflow: false }
    }

    /// Appends octets.
    pub fn put(&mut self, octets: &[u8]) {
        match self.out.get_mut(self.len..self.len + octets.len()) {
            Some(place) if !self.overflow => {
                place.copy_from_slice(octets);
                self.len += octets.len();
            }
            _ => self.overflow = true,
        }
    }

    /// Appends two octets.
    pub fn u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    /// Appends four octets.
    pub fn u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    /// Octets there is still room for.
    pub fn room(&self) -> usize {
        self.out.len().saturating_sub(self.len)
    }

    /// Octets written, or `None` if they did not fit.
    pub fn finish(self) -> Option<usize> {
        (!self.overflow).then_some(self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_only_go_backwards() {
        let mut message = vec![0u8; HEADER];
        message.extend_from_slice(b"\x01A\x00"); // 12
        message.extend_from_slice(b"\x01b\xc0\x0c"); // 15
        message.extend_from_slice(b"\xc0\x13"); // 19: to itself
        message.extend_from_slice(b"\xc0\x17\xc0\x15"); // 21, 23: to each other
        let read = |at| {
            let mut out = Vec::new();
            read_name(&message, at, &mut out).map(|()| out)
        };
        assert_eq!(read(15).unwrap(), b"\x01b\x01a\x00");
        assert_eq!([read(19), read(21), read(23), read(99)], [None, None, None, None]);
        assert_eq!(skip_name(&message, 15), Some(19));
        assert_eq!(skip_name(b"\x41a\x00", 0), None);
    }

    #[test]
    fn a_decompressed_name_is_bounded() {
        let mut message = vec![0u8; HEADER];
        let mut last = message.len();
        message.extend_from_slice(b"\x00");
        for _ in 0..10 {
            let here = message.len();
            message.push(63);
            message.extend_from_slice(&[b'a'; 63]);
            message.extend_from_slice(&(0xc000 | last as u16).to_be_bytes());
            last = here;
        }
        assert_eq!(read_name(&message, last, &mut Vec::new()), None);
    }
}
