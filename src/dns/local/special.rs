//! Names nobody is to ask the public DNS for: special-use names (RFC 6761 and the IANA registry it founded) and locally
//! served reverse zones (RFC 6303, RFC 7793). Each is a zone of ours unless the operator forwards it.
//!
//! Not here, on purpose: `example.` and its kin (RFC 6761 §6.5: as any other name), `ipv4only.arpa.` and its reverse names
//! (RFC 8880 §7: nothing special without DNS64), `use-application-dns.net.` (whether browsers use this resolver is the
//! operator's policy: a `[[local_zone]]` or a notice can say so).

use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::rdata::{A, AAAA, NS, PTR, SOA};
use hickory_proto::rr::{RData, Record};

use crate::model::DnsName;

use super::zone::{Builder, Zone, hickory_name};

/// TTL and MINIMUM of these zones in seconds (RFC 6303 §3).
const TTL: u32 = 10_800;

/// What such a zone holds besides SOA and NS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    /// Nothing: every name below it is NXDOMAIN.
    Nothing,
    /// The loopback addresses, at every name (RFC 6761 §6.3).
    Loopback,
    /// Every name exists and has no data (RFC 9462 §6.4): what is not designated here is designated nowhere.
    NoData,
    /// A pointer to `localhost.` at the zone itself or at this name below it.
    PtrLocalhost(&'static str),
}

/// One of the zones.
#[derive(Clone, Copy, Debug)]
struct Special {
    name: &'static str,
    holds: Holds,
    /// Whether the public DNS delegates it, or proves that it does not exist, for whoever validates: DS of the zone itself is
    /// the parent's data and is forwarded (RFC 8375 §4 says so for `home.arpa.`).
    ds_forwarded: bool,
}

const fn name(name: &'static str, holds: Holds) -> Special {
    Special { name, holds, ds_forwarded: false }
}

const fn below_arpa(name: &'static str, holds: Holds) -> Special {
    Special { name, holds, ds_forwarded: true }
}

/// All but the runs 16-31.172 and 64-127.100, which [`all`] adds.
const NAMED: &[Special] = &[
    name("localhost.", Holds::Loopback),          // RFC 6761 §6.3
    name("test.", Holds::Nothing),                // RFC 6761 §6.2
    name("invalid.", Holds::Nothing),             // RFC 6761 §6.4
    name("onion.", Holds::Nothing),               // RFC 7686 §2
    name("local.", Holds::Nothing),               // RFC 6762 §22.1
    name("alt.", Holds::Nothing),                 // RFC 9476 §2
    name("internal.", Holds::Nothing),            // ICANN: private use
    name("resolver.arpa.", Holds::NoData),        // RFC 9462 §6.4
    below_arpa("home.arpa.", Holds::Nothing),     // RFC 8375 §4
    below_arpa("service.arpa.", Holds::Nothing),  // RFC 9665
    below_arpa("6tisch.arpa.", Holds::Nothing),   // RFC 9031
    below_arpa("eap.arpa.", Holds::Nothing),      // IANA special-use registry
    below_arpa("eap-noob.arpa.", Holds::Nothing), // RFC 9140
    // RFC 6303 §4.1 to §4.2
    below_arpa("10.in-addr.arpa.", Holds::Nothing),
    below_arpa("168.192.in-addr.arpa.", Holds::Nothing),
    below_arpa("0.in-addr.arpa.", Holds::Nothing),
    below_arpa("127.in-addr.arpa.", Holds::PtrLocalhost("1.0.0")),
    below_arpa("254.169.in-addr.arpa.", Holds::Nothing),
    below_arpa("2.0.192.in-addr.arpa.", Holds::Nothing),
    below_arpa("100.51.198.in-addr.arpa.", Holds::Nothing),
    below_arpa("113.0.203.in-addr.arpa.", Holds::Nothing),
    below_arpa("255.255.255.255.in-addr.arpa.", Holds::Nothing),
    // RFC 6303 §4.3 to §4.6
    below_arpa("0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa.", Holds::Nothing),
    below_arpa("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa.", Holds::PtrLocalhost("")),
    below_arpa("d.f.ip6.arpa.", Holds::Nothing),
    below_arpa("8.e.f.ip6.arpa.", Holds::Nothing),
    below_arpa("9.e.f.ip6.arpa.", Holds::Nothing),
    below_arpa("a.e.f.ip6.arpa.", Holds::Nothing),
    below_arpa("b.e.f.ip6.arpa.", Holds::Nothing),
    below_arpa("8.b.d.0.1.0.0.2.ip6.arpa.", Holds::Nothing),
];

/// The one zone that is never forwarded, whatever is configured (RFC 9462 §6.4): another resolver's designation would not
/// verify for this one.
pub(super) const NEVER_FORWARDED: &str = "resolver.arpa.";

/// The names of all zones.
pub(super) fn names() -> impl Iterator<Item = DnsName> {
    all().map(|(name, _)| name)
}

fn all() -> impl Iterator<Item = (DnsName, Special)> {
    let nothing = below_arpa("", Holds::Nothing);
    let private = (16..=31).map(|n| format!("{n}.172.in-addr.arpa.")); // RFC 1918
    let shared = (64..=127).map(|n| format!("{n}.100.in-addr.arpa.")); // RFC 7793
    let runs = private.chain(shared).map(move |text| (text, nothing));
    let named = NAMED.iter().map(|special| (special.name.to_owned(), *special));
    // every text of this file is a name, which a test proves
    named.chain(runs).filter_map(|(text, special)| Some((DnsName::from_text(&text).ok()?, special)))
}

/// The zones, and whether DS of each is forwarded.
pub(super) fn zones() -> impl Iterator<Item = (Zone, bool)> {
    all().filter_map(|(name, special)| Some((zone(name, special.holds)?, special.ds_forwarded)))
}

fn zone(origin: DnsName, holds: Holds) -> Option<Zone> {
    let mut builder = Builder::new(origin.clone());
    let apex = hickory_name(origin.as_wire())?;
    let nobody = hickory_name(b"\x06nobody\x07invalid\x00")?;
    let soa = SOA::new(apex.clone(), nobody, 1, 3_600, 1_200, 604_800, TTL); // RFC 6303 §3
    let mut add = |at: &DnsName, data| builder.add(Record::from_rdata(hickory_name(at.as_wire())?, TTL, data)).ok();
    add(&origin, RData::SOA(soa))?;
    add(&origin, RData::NS(NS(apex)))?;
    match holds {
        Holds::Nothing => {}
        Holds::Loopback => {
            for at in [origin.clone(), below("*", &origin)?] {
                add(&at, RData::A(A(Ipv4Addr::LOCALHOST)))?;
                add(&at, RData::AAAA(AAAA(Ipv6Addr::LOCALHOST)))?;
            }
        }
        Holds::NoData => builder.exists(&below("*", &origin)?),
        Holds::PtrLocalhost(labels) => {
            add(&below(labels, &origin)?, RData::PTR(PTR(hickory_name(b"\x09localhost\x00")?)))?;
        }
    }
    builder.finish().ok()
}

fn below(labels: &str, origin: &DnsName) -> Option<DnsName> {
    if labels.is_empty() {
        return Some(origin.clone());
    }
    DnsName::from_text(&format!("{labels}.{origin}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_becomes_a_zone() {
        assert_eq!(zones().count(), NAMED.len() + 16 + 64);
        assert_eq!(names().count(), zones().count());
        assert!(NAMED.iter().any(|special| special.name == NEVER_FORWARDED));
    }
}
