//! Puts an upstream's records behind ours, octet by octet: what may stand in them need not be known here.
//!
//! Pointers are what changes, since everything moves (RFC 1035 §4.1.4). A name is copied label by label; a pointer stays
//! one where what it points at has been copied, else the labels behind it take its place. So nothing is longer than it
//! came, but for a few octets. In RDATA only the types that may be compressed are looked into (RFC 3597 §4), and those whose
//! RFCs forbid it and some servers do it all the same.

use std::collections::HashMap;

use crate::dns::answer::Answer;
use crate::dns::wire::{HEADER, Record, option, record, rtype, skip_name, u16_at};
use crate::model::name::{MAX_LABEL, MAX_NAME};

/// Highest place a pointer can name.
const MAX_PLACE: usize = 0x3fff;

/// A message with the answers of `head`, all sections of `rest`, which is `age` seconds old, and an OPT record with its
/// Extended DNS Errors. `question` is the section of `head`, whose last CNAME leads to the question of `rest`. `None` if a
/// name in either cannot be read.
pub(super) fn behind(head: &[u8], question: &[u8], rest: &Answer, age: u32) -> Option<Vec<u8>> {
    let from = rest.aged(age);
    let mut copy = Copy { from: &from, to: head.to_vec(), places: HashMap::new() };
    copy.know_target(HEADER + question.len())?;
    let mut at = skip_name(&from, HEADER)? + 4;
    for place in [6, 8, 10] {
        let mut count = u16_at(head, place)?;
        for _ in 0..u16_at(&from, place)? {
            let record = record(&from, at)?;
            copy.record(&record)?;
            count = count.checked_add(1)?;
            at = record.end;
        }
        copy.to[place..place + 2].copy_from_slice(&count.to_be_bytes());
    }
    let mut message = copy.to;
    message[2..4].copy_from_slice(&from[2..4]);
    add_opt(&mut message, rest);
    Some(message)
}

/// The message that says no more than the response code, TC and the Extended DNS Errors of `rest`.
pub(super) fn without_records(question: &[u8], rest: &Answer) -> Vec<u8> {
    let mut message = rest.aged(0);
    message.truncate(HEADER);
    message[4..].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    message.extend_from_slice(question);
    add_opt(&mut message, rest);
    message
}

/// Says in an OPT record what an [`Answer`] has out of one.
fn add_opt(message: &mut Vec<u8>, rest: &Answer) {
    let errors: Vec<u8> = rest.ede().flat_map(u16::to_be_bytes).collect();
    let Some(count) = u16_at(message, 10).and_then(|count| count.checked_add(1)) else { return };
    message[10..12].copy_from_slice(&count.to_be_bytes());
    let [high, _] = (rest.rcode() << 4).to_be_bytes();
    message.extend_from_slice(&[0, 0, rtype::OPT as u8, 0x04, 0xd0, high, 0, 0, 0]);
    message.extend_from_slice(&((errors.len() * 3) as u16).to_be_bytes());
    for code in errors.chunks(2) {
        message.extend_from_slice(&[0, option::EDE as u8, 0, 2]);
        message.extend_from_slice(code);
    }
}

/// Records on their way from one message into another.
struct Copy<'m> {
    from: &'m [u8],
    to: Vec<u8>,
    /// Where labels of `from` stand in `to`, as far as a pointer reaches.
    places: HashMap<usize, u16>,
}

impl Copy<'_> {
    /// Lets pointers to the question of `from` lead to the target of the last CNAME in `to`, where its name stands too.
    fn know_target(&mut self, mut at: usize) -> Option<()> {
        let mut last = None;
        for _ in 0..u16_at(&self.to, 6)? {
            let record = record(&self.to, at)?;
            (at, last) = (record.end, Some(record.rdata));
        }
        let (ours, theirs) = (labels(&self.to, last?)?, labels(self.from, HEADER)?);
        for (ours, theirs) in ours.into_iter().zip(theirs) {
            self.know(theirs, ours);
        }
        Some(())
    }

    fn know(&mut self, from: usize, to: usize) {
        if let Some(place) = u16::try_from(to).ok().filter(|_| to <= MAX_PLACE) {
            self.places.entry(from).or_insert(place);
        }
    }

    /// Takes back what was written from `len` on.
    fn back_to(&mut self, len: usize) {
        self.to.truncate(len);
        self.places.retain(|_, place| usize::from(*place) < len);
    }

    fn record(&mut self, record: &Record) -> Option<()> {
        self.name(record.start)?;
        self.to.extend_from_slice(self.from.get(record.ttl_at - 4..record.rdata)?);
        let rdata = self.to.len();
        if self.rdata(record).is_none() {
            self.back_to(rdata); // not what its type says: whatever it is, it has no names
            self.to.extend_from_slice(self.from.get(record.rdata..record.end)?);
        }
        let len = u16::try_from(self.to.len() - rdata).ok()?;
        self.to[rdata - 2..rdata].copy_from_slice(&len.to_be_bytes());
        Some(())
    }

    fn rdata(&mut self, record: &Record) -> Option<()> {
        let (skip, names) = names_in(self.from.get(record.rdata..record.end)?, record.rtype)?;
        let mut at = record.rdata + skip;
        self.to.extend_from_slice(self.from.get(record.rdata..at)?);
        for _ in 0..names {
            let end = skip_name(self.from, at).filter(|end| *end <= record.end)?;
            self.name(at)?;
            at = end;
        }
        self.to.extend_from_slice(self.from.get(at..record.end)?);
        Some(())
    }

    /// Copies the name at `at`.
    fn name(&mut self, mut at: usize) -> Option<()> {
        let start = self.to.len();
        let mut limit = at; // a pointer must lead before the place it was read from
        loop {
            let len = usize::from(*self.from.get(at)?);
            match len {
                0 => {
                    self.to.push(0);
                    return Some(());
                }
                0xc0.. => {
                    let aim = usize::from(u16_at(self.from, at)?) & MAX_PLACE;
                    if aim >= limit {
                        return None;
                    }
                    if let Some(place) = self.places.get(&aim) {
                        self.to.extend_from_slice(&(0xc000 | place).to_be_bytes());
                        return Some(());
                    }
                    (at, limit) = (aim, aim);
                }
                1..=MAX_LABEL => {
                    let label = self.from.get(at..at + 1 + len)?;
                    self.know(at, self.to.len());
                    self.to.extend_from_slice(label);
                    at += label.len();
                }
                _ => return None,
            }
            if self.to.len() - start >= MAX_NAME {
                return None;
            }
        }
    }
}

/// Where each label of the name at `at` stands.
fn labels(message: &[u8], mut at: usize) -> Option<Vec<usize>> {
    let (mut labels, mut limit) = (Vec::new(), at);
    loop {
        let len = usize::from(*message.get(at)?);
        match len {
            0 => return Some(labels),
            0xc0.. => {
                let aim = usize::from(u16_at(message, at)?) & MAX_PLACE;
                if aim >= limit {
                    return None;
                }
                (at, limit) = (aim, aim);
            }
            _ => {
                labels.push(at);
                at += 1 + len;
            }
        }
    }
}

/// How many octets of RDATA of this type stand before its names, and how many names there are.
fn names_in(rdata: &[u8], rtype: u16) -> Option<(usize, usize)> {
    Some(match rtype {
        // NS, MD, MF, CNAME; MB, MG, MR; PTR, NXT, DNAME, NSEC
        2..=5 | 7..=9 | 12 | 30 | 39 | 47 => (0, 1),
        // SOA, MINFO, RP
        6 | 14 | 17 => (0, 2),
        // MX, AFSDB, RT, KX, SVCB, HTTPS
        15 | 18 | 21 | 36 | 64 | 65 => (2, 1),
        // PX
        26 => (2, 2),
        // SRV
        33 => (6, 1),
        // SIG, RRSIG
        24 | 46 => (18, 1),
        // NAPTR: three strings before its name
        35 => ((0..3).try_fold(4, |at, _| Some(at + 1 + usize::from(*rdata.get(at)?)))?, 1),
        _ => (0, 0),
    })
}

#[cfg(test)]
mod tests;
