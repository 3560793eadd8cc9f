//! [`Domains`]: how many questions wait for upstreams, and how many of them are about one domain.
//!
//! A flood of random names below one domain (a *water torture*) passes every cache; each name waits for a server that
//! is dead by then, and the waiting ones take the places of everybody else. So while half of the places are taken, one
//! domain may hold an eighth of them. While there is room no domain is limited: a popular one with many slow names is
//! not hurt.
//!
//! A domain is what somebody registered: one label more than the public suffix, of those in the list's ICANN part only.
//! Names under a private suffix (`github.io`) are answered by the servers of whoever runs it, so a flood there is one
//! flood.

use std::hash::Hasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use psl::{List, Psl, Type};
use siphasher::sip::SipHasher13;

use crate::model::name::{MAX_NAME, wire_len};
use crate::observe::counters::Shed;

/// Counters; two domains that share one share its bound, which is one pair in as many. Nobody can look for a pair: the
/// hash has a key of this process.
const COUNTERS: usize = 1 << 16;
/// The part of the places that one domain may hold when they are scarce.
const SHARE: u32 = 8;

impl Shed {
    /// What the client is told (RFC 8914 EXTRA-TEXT).
    pub fn text(self) -> &'static [u8] {
        match self {
            Self::Domain => b"too many questions about this domain wait for answers",
            Self::Queue => b"too many questions wait for answers",
            Self::Waiting => b"too many queries wait for answers",
            Self::Joined => b"too many queries wait for this answer",
        }
    }
}

/// See the module's header.
#[derive(Debug)]
pub struct Domains {
    places: u32,
    taken: AtomicU32,
    of_domain: Box<[AtomicU32]>,
    seed: [u8; 16],
}

/// A place among the questions that wait; given back when dropped.
#[derive(Debug)]
pub struct Place {
    domains: Arc<Domains>,
    at: usize,
}

impl Domains {
    /// So many places, all free; `seed` is random.
    pub fn new(places: u32, seed: [u8; 16]) -> Self {
        let of_domain = (0..COUNTERS).map(|_| AtomicU32::new(0)).collect();
        Self { places, taken: AtomicU32::new(0), of_domain, seed }
    }

    /// A place for a question about a wire name, whatever its case.
    pub fn enter(self: &Arc<Self>, name: &[u8]) -> Result<Place, Shed> {
        let at = self.counter(name);
        let place = Place { domains: self.clone(), at }; // from here on what is counted is given back
        let before = self.taken.fetch_add(1, Relaxed);
        let mine = self.of_domain.get(at).map_or(0, |count| count.fetch_add(1, Relaxed));
        if before >= self.places {
            Err(Shed::Queue)
        } else if before >= self.places / 2 && mine >= (self.places / SHARE).max(1) {
            Err(Shed::Domain)
        } else {
            Ok(place)
        }
    }

    fn counter(&self, name: &[u8]) -> usize {
        let mut lower = [0; MAX_NAME];
        let name = wire_len(name).and_then(|len| name.get(..len)).unwrap_or_default();
        lower.iter_mut().zip(name).for_each(|(to, from)| *to = from.to_ascii_lowercase());
        let mut hash = SipHasher13::new_with_key(&self.seed);
        hash.write(registrable(&lower[..name.len()]));
        hash.finish() as usize % COUNTERS
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.domains.taken.fetch_sub(1, Relaxed);
        if let Some(count) = self.domains.of_domain.get(self.at) {
            count.fetch_sub(1, Relaxed);
        }
    }
}

/// The registered domain a lower-case wire name belongs to; the name itself if it is a public suffix.
fn registrable(name: &[u8]) -> &[u8] {
    let mut starts = [0_usize; MAX_NAME / 2 + 1];
    let mut count = 0;
    let mut at = 0;
    while let (Some(&len @ 1..), Some(start)) = (name.get(at), starts.get_mut(count)) {
        (*start, at, count) = (at, at + 1 + usize::from(len), count + 1);
    }
    let starts = &starts[..count];
    let label = |start: usize| {
        let end = start + 1 + name.get(start).map_or(0, |len| usize::from(*len));
        name.get(start + 1..end).unwrap_or_default()
    };
    // the suffix in labels; a private one is looked up again without its first label
    let mut labels = count;
    loop {
        let found = List.find(starts[count - labels..].iter().rev().map(|start| label(*start)));
        let suffix = labels_in(found.len, starts[count - labels..].iter().rev().map(|start| label(*start).len()));
        if found.typ == Some(Type::Private) && suffix > 1 && suffix <= labels {
            labels = suffix - 1;
            continue;
        }
        let first = count.saturating_sub(suffix + 1);
        return starts.get(first).and_then(|start| name.get(*start..)).unwrap_or(name);
    }
}

/// How many labels, from the last on, make up `len` octets of dotted text.
fn labels_in(len: usize, lengths: impl Iterator<Item = usize>) -> usize {
    let mut octets = 0;
    lengths
        .take_while(|length| {
            octets += length + usize::from(octets > 0);
            octets <= len
        })
        .count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::DnsName;

    fn wire(name: &str) -> Vec<u8> {
        DnsName::from_text(name).unwrap().as_wire().to_vec()
    }

    fn domains(places: u32) -> Arc<Domains> {
        Arc::new(Domains::new(places, *b"0123456789abcdef"))
    }

    #[test]
    fn a_domain_is_what_somebody_registered() {
        for (name, domain) in [
            ("a.b.example.com", "example.com"),
            ("example.com", "example.com"),
            ("com", "com"),
            ("x.y.example.com.my", "example.com.my"),
            ("com.my", "com.my"),
            ("www.unknown-tld.example", "unknown-tld.example"),
            ("random.somebody.github.io", "github.io"),
            ("bucket.s3.eu-west-1.amazonaws.com", "amazonaws.com"),
            ("a.b.c.kawasaki.jp", "b.c.kawasaki.jp"),
            ("www.city.kawasaki.jp", "city.kawasaki.jp"),
        ] {
            assert_eq!(registrable(&wire(name)), wire(domain), "{name}");
        }
        assert_eq!(registrable(b"\x00"), b"\x00");
        assert_eq!(registrable(b"\x05a.b\x00c\x03com\x00"), b"\x05a.b\x00c\x03com\x00", "octets, not text");
        assert_eq!(registrable(b"\x03x.y\x02q.\x03com\x00"), b"\x02q.\x03com\x00");
    }

    #[test]
    fn while_there_is_room_no_domain_is_limited() {
        let domains = domains(64);
        let name = wire("slow.example.com");
        let held: Vec<_> = (0..32).map(|_| domains.enter(&name).unwrap()).collect();
        assert_eq!(domains.enter(&name).unwrap_err(), Shed::Domain, "half is taken");
        let others: Vec<_> = (0..32).map(|n| domains.enter(&wire(&format!("www.d{n}.com"))).unwrap()).collect();
        assert_eq!(domains.enter(&wire("one.more.com")).unwrap_err(), Shed::Queue);
        drop((held, others));
        assert_eq!(domains.taken.load(Relaxed), 0);
        assert!(domains.of_domain.iter().all(|count| count.load(Relaxed) == 0));
        domains.enter(&name).unwrap();
    }

    #[test]
    fn a_flood_of_random_names_leaves_places_for_the_others() {
        let domains = domains(64);
        let base: Vec<_> = (0..32).map(|n| domains.enter(&wire(&format!("www.d{n}.com"))).unwrap()).collect();
        let flood: Vec<_> = (0..500).map(|n| domains.enter(&wire(&format!("r{n}.viCtim.com")))).collect();
        assert_eq!(flood.iter().filter(|place| place.is_ok()).count(), 8, "an eighth");
        assert!(domains.enter(&wire("www.victim.org")).is_ok());
        drop(base);
        assert!(domains.enter(&wire("www.victim.com")).is_ok(), "room again");
    }

    #[test]
    fn one_place_is_a_place() {
        let domains = domains(1);
        let place = domains.enter(b"\x00").unwrap();
        assert_eq!(domains.enter(b"\x00").unwrap_err(), Shed::Queue);
        drop(place);
        domains.enter(b"\x00").unwrap();
    }

    proptest! {
        #[test]
        fn any_labels_have_a_domain(labels in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..9), 0..28)) {
            let mut name: Vec<u8> = labels.iter().flat_map(|label| [&[label.len() as u8], &label[..]].concat()).collect();
            name.push(0);
            name.make_ascii_lowercase();
            let domain = registrable(&name);
            prop_assert!(name.ends_with(domain) && wire_len(domain) == Some(domain.len()));
            domains(4).enter(&name).unwrap();
        }
    }
}
