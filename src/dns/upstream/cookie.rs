//! [`Jar`]: DNS cookies towards one upstream (RFC 7873 §5.1, §5.3; RFC 9018 §3). They keep forgeries of hosts off the
//! path out, beside the random id and port.
//!
//! Our half is SipHash-2-4 over the upstream's address and ours under a secret of a day, so it names us to nobody else
//! and changes when our address does. The upstream's half is learned from its answers and sent back, together with the
//! half of ours it was made for.

use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip::SipHasher24;
use smallvec::SmallVec;

use crate::dns::clock::Millis;

/// How long a secret is used (RFC 7873 §7.1: no longer than 26 hours).
const SECRET: Millis = 24 * 3_600 * 1_000;
/// Octets of our half.
const CLIENT: usize = 8;
/// Octets of an upstream's half (RFC 7873 §4).
const SERVER: std::ops::RangeInclusive<usize> = 8..=32;

/// The cookies of one upstream.
#[derive(Debug)]
pub(super) struct Jar {
    secret: [u8; 16],
    made: Millis,
    /// Our half and the upstream's for it.
    known: Option<([u8; CLIENT], Vec<u8>)>,
}

/// A cookie as it was sent: our half, then the upstream's if it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cookie(SmallVec<[u8; CLIENT + 32]>);

/// What an answer's cookie says about the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Returned<'m> {
    /// Ours, with this half of the upstream's, if it sent one.
    Ours(Option<&'m [u8]>),
    /// There is none, and none was to be expected.
    None,
    /// There is none although this upstream knows cookies: perhaps it is not its answer.
    Missing,
    /// Not ours: certainly not its answer (RFC 7873 §5.3).
    Foreign,
}

impl Jar {
    pub(super) fn new(now: Millis) -> Self {
        Self { secret: rand::random(), made: now, known: None }
    }

    /// The cookie for a question to `upstream` from `own`.
    pub(super) fn cookie(&mut self, upstream: IpAddr, own: IpAddr, now: Millis) -> Cookie {
        if now.saturating_sub(self.made) >= SECRET {
            *self = Self::new(now);
        }
        let mut hasher = SipHasher24::new_with_key(&self.secret);
        for address in [upstream, own] {
            match address {
                IpAddr::V4(v4) => hasher.write(&v4.octets()),
                IpAddr::V6(v6) => hasher.write(&v6.octets()),
            }
        }
        let mut cookie = SmallVec::from_slice(&hasher.finish().to_be_bytes());
        if let Some((client, server)) = &self.known
            && cookie[..] == client[..]
        {
            cookie.extend_from_slice(server);
        }
        Cookie(cookie)
    }

    /// Keeps the upstream's half for the next question.
    pub(super) fn learn(&mut self, sent: &Cookie, server: &[u8]) {
        if sent.0.get(CLIENT..) != Some(server) {
            self.known = sent.0.first_chunk().map(|client| (*client, server.to_vec()));
        }
    }

    /// Whether the upstream has shown that it knows cookies.
    pub(super) fn is_known(&self) -> bool {
        self.known.is_some()
    }

    /// The upstream may have stopped using cookies: the next answer may come without.
    pub(super) fn forget(&mut self) {
        self.known = None;
    }
}

impl Cookie {
    /// The option's data.
    pub(super) fn octets(&self) -> &[u8] {
        &self.0
    }

    /// Judges the COOKIE option of an answer to a question with this cookie.
    pub(super) fn judge<'m>(&self, option: Option<&'m [u8]>) -> Returned<'m> {
        let (client, server) = self.0.split_at(CLIENT);
        match option {
            None if server.is_empty() => Returned::None,
            None => Returned::Missing,
            // some servers echo what they do not know
            Some(option) if option == client => Returned::Ours(None),
            Some(option) => match option.split_at_checked(CLIENT) {
                Some((ours, theirs)) if ours == client && SERVER.contains(&theirs.len()) => {
                    Returned::Ours(Some(theirs))
                }
                _ => Returned::Foreign,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPSTREAM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 53));
    const OWN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn our_half_is_stable_and_differs_by_address_and_jar() {
        let mut jar = Jar::new(0);
        let cookie = jar.cookie(UPSTREAM, OWN, 1);
        assert_eq!(cookie.octets().len(), 8);
        assert_eq!(jar.cookie(UPSTREAM, OWN, SECRET - 1), cookie);
        assert_ne!(jar.cookie(OTHER, OWN, 1), cookie);
        assert_ne!(jar.cookie(UPSTREAM, OTHER, 1), cookie);
        assert_ne!(Jar::new(0).cookie(UPSTREAM, OWN, 1), cookie);
    }

    #[test]
    fn the_upstreams_half_goes_back_with_the_half_it_was_made_for() {
        let mut jar = Jar::new(0);
        let first = jar.cookie(UPSTREAM, OWN, 0);
        jar.learn(&first, &[7; 16]);
        let second = jar.cookie(UPSTREAM, OWN, 1);
        assert_eq!(second.octets(), [first.octets(), &[7; 16]].concat());
        assert_eq!(jar.cookie(UPSTREAM, OTHER, 1).octets().len(), 8, "our address has changed");
        let next_day = jar.cookie(UPSTREAM, OWN, SECRET);
        assert_eq!(next_day.octets().len(), 8, "a new secret");
        assert_ne!(next_day.octets(), first.octets());
    }

    #[test]
    fn an_answer_is_judged_by_our_half() {
        let mut jar = Jar::new(0);
        let cookie = jar.cookie(UPSTREAM, OWN, 0);
        let ours = cookie.octets().to_vec();
        let with = |len: usize| [&ours[..], &vec![9; len]].concat();
        assert_eq!(cookie.judge(None), Returned::None);
        assert_eq!(cookie.judge(Some(&ours)), Returned::Ours(None));
        assert_eq!(cookie.judge(Some(&with(16))), Returned::Ours(Some(&[9; 16])));
        for wrong in [with(7), with(33), ours[..7].to_vec(), Vec::new(), vec![0; 24]] {
            assert_eq!(cookie.judge(Some(&wrong)), Returned::Foreign, "{wrong:?}");
        }
        jar.learn(&cookie, &[9; 16]);
        let cookie = jar.cookie(UPSTREAM, OWN, 0);
        assert_eq!(cookie.judge(None), Returned::Missing);
        jar.forget();
        assert_eq!(jar.cookie(UPSTREAM, OWN, 0).judge(None), Returned::None);
    }
}
