//! Response rate limiting (ISC-TN-2012-1): how many like answers leave by UDP towards one network, when nobody has
//! shown that the addresses there asked for them.
//!
//! Whoever forges the address of a victim gets us to send it answers. They are told from others by being many and
//! alike: a bucket for each network and kind of answer. A kind is what a forger cannot vary at will: for data the name
//! asked; for a name or type that is not there the zone that says so, whatever the random name below it; for errors
//! nothing more. One more bucket a network, if configured, counts all answers: for forgers who ask for many names, or
//! for random ones below a wildcard or a listed subtree, where each has data.
//!
//! Of the answers beyond the limit every so-manieth leaves all the same, without data and with TC, so that a client
//! that really asked comes by TCP (*slip*). The answer itself is read, so the rule is the same for listed, cached and
//! forwarded names and for errors.

use std::hash::Hasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use siphasher::sip::SipHasher13;

use super::buckets::{Buckets, Limit};
use super::prefix::Prefixes;
use crate::dns::clock::Millis;
use crate::dns::wire::{HEADER, rcode, skip_name, u16_at};
use crate::model::name::MAX_NAME;

/// Seconds over which a limit is a mean (ISC-TN-2012-1 §2.2.2).
const WINDOW: u32 = 15;
/// Counters of slips: chosen by the bucket, so that one flood does not decide for another.
const SLIPS: usize = 256;

/// `[dns.rrl]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Like answers a second for each network, at least 1.
    pub responses_per_second: u32,
    /// Answers of any kind a second for each network; 0 is no limit.
    pub all_per_second: u32,
    /// Every so-manieth answer beyond the limit leaves with TC; 0: none, 1: all.
    pub slip: u32,
    /// What a network is.
    pub prefixes: Prefixes,
    /// Nothing is held back, only counted.
    pub log_only: bool,
}

impl Settings {
    /// So many like answers a second, the rest as in ISC-TN-2012-1 §2.2.
    pub fn new(responses_per_second: u32) -> Self {
        let prefixes = Prefixes::NETWORK;
        Self { responses_per_second, all_per_second: 0, slip: 2, prefixes, log_only: false }
    }
}

/// What is done with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It leaves.
    Within,
    /// It leaves without data and with TC.
    Slip,
    /// It does not leave.
    Hold,
}

/// The answers that left lately.
#[derive(Debug)]
pub struct Responses {
    buckets: Buckets,
    slips: Box<[AtomicU32]>,
}

impl Responses {
    /// None yet; `seed` is random.
    pub fn new(sets: usize, seed: [u8; 16]) -> Self {
        Self { buckets: Buckets::new(sets, seed), slips: (0..SLIPS).map(|_| AtomicU32::new(0)).collect() }
    }

    /// Judges an answer to `client`, a whole message, and charges it.
    pub fn judge(&self, response: &[u8], client: IpAddr, settings: &Settings, now: Millis) -> Judgement {
        let mut hash = self.buckets.hasher();
        hash.write_u128(settings.prefixes.of(client));
        let all = hash;
        write_kind(&mut hash, response);
        let mut within = self.take(&hash, settings.responses_per_second, now);
        if settings.all_per_second > 0 {
            within &= self.take(&all, settings.all_per_second, now);
        }
        if within {
            return Judgement::Within;
        }
        let slips = self.slips.get(hash.finish() as usize % SLIPS);
        let slips = slips.filter(|_| settings.slip > 0).is_some_and(|slips| {
            let held = slips.fetch_add(1, Relaxed).wrapping_add(1);
            held.is_multiple_of(settings.slip)
        });
        if slips { Judgement::Slip } else { Judgement::Hold }
    }

    fn take(&self, hash: &SipHasher13, per_second: u32, now: Millis) -> bool {
        self.buckets.take(hash, &Limit::with_penalty(per_second, WINDOW), now)
    }
}

/// The kind of an answer, as far as it tells one bucket from another.
fn write_kind(hash: &mut SipHasher13, response: &[u8]) {
    const TC: u8 = 0x02;
    let [answers, authorities] = [6, 8].map(|at| u16_at(response, at).unwrap_or(0));
    let flags = response.get(2..4).unwrap_or(&[0, 0]);
    let code = u16::from(flags[1] & 0x0f);
    match code {
        rcode::NOERROR if answers > 0 || flags[0] & TC != 0 => {
            hash.write_u8(1);
            write_name(hash, response, HEADER);
        }
        rcode::NOERROR | rcode::NXDOMAIN => {
            hash.write_u8(2 + code as u8);
            // the owner of the SOA; behind a CNAME it is not looked for, and they all share a bucket
            let soa = skip_name(response, HEADER).map(|end| end + 4);
            if let Some(at) = soa.filter(|_| answers == 0 && authorities > 0) {
                write_name(hash, response, at);
            }
        }
        _ => hash.write_u8(0x80 | code as u8),
    }
}

/// The name at `at`, in lower case; pointers are followed as in `wire::read_name`, which needs a vector.
fn write_name(hash: &mut SipHasher13, message: &[u8], mut at: usize) {
    let mut name = [0; MAX_NAME];
    let (mut len, mut limit) = (0, at);
    while let Some(&label) = message.get(at) {
        match label {
            0 => break,
            0xc0.. => {
                let to = u16_at(message, at).map_or(usize::MAX, |pointer| usize::from(pointer & 0x3fff));
                if to >= limit {
                    break;
                }
                (at, limit) = (to, to);
            }
            _ => {
                let octets = message.get(at..at + 1 + usize::from(label)).unwrap_or_default();
                let Some(to) = name.get_mut(len..len + octets.len()).filter(|_| !octets.is_empty()) else { break };
                to.iter_mut().zip(octets).for_each(|(to, from)| *to = from.to_ascii_lowercase());
                len += octets.len();
                at += octets.len();
            }
        }
    }
    hash.write(name.get(..len).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn table() -> Responses {
        Responses::new(64, *b"0123456789abcdef")
    }

    fn five() -> Settings {
        Settings::new(5)
    }

    /// An answer to a question for A of `name` (wire form), with this code, counts and what follows the question.
    fn response(name: &[u8], code: u8, counts: [u8; 2], rest: &[u8]) -> Vec<u8> {
        let mut message = vec![0, 0, 0x81, 0x80 | code, 0, 1, 0, counts[0], 0, counts[1], 0, 0];
        message.extend_from_slice(name);
        message.extend_from_slice(b"\x00\x01\x00\x01");
        message.extend_from_slice(rest);
        message
    }

    fn data(name: &[u8]) -> Vec<u8> {
        response(name, 0, [1, 0], b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x1e\x00\x04\xc0\x00\x02\x50")
    }

    fn within(table: &Responses, settings: &Settings, messages: &mut dyn Iterator<Item = Vec<u8>>) -> usize {
        messages.filter(|message| table.judge(message, CLIENT, settings, 9) == Judgement::Within).count()
    }

    #[test]
    fn like_answers_are_limited_together_whatever_their_case() {
        let names = [&b"\x03www\x07example\x00"[..], b"\x03wWw\x07exAmple\x00"];
        assert_eq!(within(&table(), &five(), &mut (0..20).map(|n| data(names[n % 2]))), 5);
        let table = table();
        assert_eq!(within(&table, &five(), &mut (0..20).map(|n| data(&[1, b'a' + n as u8, 0]))), 20);
        let total = Settings { all_per_second: 8, ..five() };
        assert_eq!(within(&table, &total, &mut (0..20).map(|n| data(&[1, b'a' + n as u8, 0]))), 8);
    }

    #[test]
    fn random_names_that_are_not_there_are_one_kind_for_their_zone() {
        let below = |n: u8, code, zone: &[u8]| response(&[&[1, b'a' + n], zone].concat(), code, [0, 1], b"\xc0\x0e");
        for code in [0, 3] {
            let answers = &mut (0..20).map(|n| below(n, code, b"\x07example\x00"));
            assert_eq!(within(&table(), &five(), answers), 5);
            let two = &mut (0..20).map(|n| below(n, code, [&b"\x01a\x00"[..], b"\x01b\x00"][usize::from(n % 2)]));
            assert_eq!(within(&table(), &five(), two), 10);
        }
        let mixed = &mut (0..20).map(|n| below(n, 3 * (n % 2), b"\x07example\x00"));
        assert_eq!(within(&table(), &five(), mixed), 10, "no name and no data are two kinds");
    }

    #[test]
    fn errors_are_one_kind_each_and_oddities_do_no_harm() {
        let errors = &mut (0..20).map(|n| response(&[1, b'a' + n, 0], 5, [0, 0], b""));
        assert_eq!(within(&table(), &five(), errors), 5);
        for odd in [&b""[..], b"\x00", &[0xff; 40], &response(b"\xc0\x0c", 0, [1, 0], b""), &data(b"\x3fab")] {
            table().judge(odd, CLIENT, &five(), 9);
        }
    }

    #[test]
    fn networks_have_their_own_buckets() {
        let (table, answer) = (table(), data(b"\x01a\x00"));
        let count = |clients: &dyn Fn(u8) -> IpAddr| {
            (0..20).filter(|n| table.judge(&answer, clients(*n), &five(), 9) == Judgement::Within).count()
        };
        assert_eq!(count(&|n| [192, 0, 2, n].into()), 5, "a /24");
        assert_eq!(count(&|n| [192, 0, 100 + n, 1].into()), 20);
        assert_eq!(count(&|n| [0x2001, 0xdb8, 0, 0x1ff, 0, 0, 0, n.into()].into()), 5, "a /56");
        assert_eq!(count(&|n| [0x2001, 0xdb8, 1, u16::from(n) << 8, 0, 0, 0, 1].into()), 20);
    }

    #[test]
    fn every_second_third_or_none_of_the_held_slips() {
        for (slip, expected) in [(0, 0), (1, 60), (2, 30), (3, 20)] {
            let (table, settings) = (table(), Settings { slip, ..five() });
            let judged = |_| table.judge(&data(b"\x01a\x00"), CLIENT, &settings, 9);
            let judged: Vec<_> = (0..65).map(judged).collect();
            assert_eq!(judged.iter().filter(|one| **one == Judgement::Within).count(), 5);
            assert_eq!(judged.iter().filter(|one| **one == Judgement::Slip).count(), expected, "{slip}");
        }
    }

    #[test]
    fn a_flood_is_let_in_again_when_its_mean_is_below_the_limit() {
        let (table, answer) = (table(), data(b"\x01a\x00"));
        let judge = |now| table.judge(&answer, CLIENT, &five(), now);
        assert_eq!((0..1_000).filter(|n| judge(*n) == Judgement::Within).count(), 5);
        assert_ne!(judge(10_000), Judgement::Within);
        assert_eq!(judge(30_000), Judgement::Within);
    }
}
