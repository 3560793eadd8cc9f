//! [`Zone`]: the records of a small zone in memory and what they say about a name (RFC 1034 §4.3.2, wildcards RFC 4592).
//!
//! There are no delegations below the apex and no signatures: [`Builder::add`] refuses them, since a client of a forwarder
//! can follow neither.

use std::collections::HashMap;

use hickory_proto::rr::{Name, Record};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, BinEncodable};

use crate::dns::wire::rtype;
use crate::model::DnsName;
use crate::model::name::{is_at_or_below, parent};

/// A zone whose records are complete and do not contradict each other.
#[derive(Debug)]
pub struct Zone {
    origin: DnsName,
    /// What stands at each canonical name; empty where only names below it have records.
    nodes: HashMap<Box<[u8]>, Vec<Records>>,
    /// The records as octets, in the order they came: two zones with the same ones are the same.
    image: Vec<u8>,
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.origin == other.origin && self.image == other.image
    }
}

impl Eq for Zone {}

#[derive(Debug)]
struct Records {
    rtype: u16,
    records: Vec<Record>,
}

/// What a zone says about a name and a type.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    /// These records; a CNAME if another type was asked.
    Records(Vec<Record>),
    /// The name exists, the type does not.
    NoData,
    /// The name does not exist.
    NxDomain,
}

impl Zone {
    /// The name of the zone.
    pub fn origin(&self) -> &DnsName {
        &self.origin
    }

    /// Makes a name of the zone exist, and with it those between it and the apex, with no data unless they have some.
    pub(super) fn exists(&mut self, name: &DnsName) {
        let mut at = Some(name.as_wire());
        while let Some(here) = at.filter(|here| is_at_or_below(here, self.origin.as_wire())) {
            self.nodes.entry(here.into()).or_default();
            at = parent(here);
        }
    }

    /// Looks up a canonical name within the zone.
    pub(super) fn find(&self, name: &[u8], qtype: u16) -> Found {
        if let Some(node) = self.nodes.get(name) {
            return found(node, qtype, None);
        }
        // the closest encloser is the nearest ancestor that exists; only its wildcard counts (RFC 4592 §3.3.1)
        let mut encloser = name;
        while let Some(up) = parent(encloser) {
            encloser = up;
            if self.nodes.contains_key(up) {
                break;
            }
        }
        let wildcard = [b"\x01*", encloser].concat();
        match self.nodes.get(&wildcard[..]) {
            Some(node) => found(node, qtype, hickory_name(name)),
            None => Found::NxDomain,
        }
    }
}

/// `owner` takes the place of a wildcard's name.
fn found(node: &[Records], qtype: u16, owner: Option<Name>) -> Found {
    let asked = |set: &&Records| set.rtype == qtype || set.rtype == rtype::CNAME || qtype == rtype::ANY;
    let mut records: Vec<Record> = node.iter().filter(asked).flat_map(|set| set.records.iter().cloned()).collect();
    if let Some(owner) = owner {
        records.iter_mut().for_each(|record| record.name = owner.clone());
    }
    if records.is_empty() { Found::NoData } else { Found::Records(records) }
}

/// Why a record cannot be part of the zone, or the zone cannot be one: what is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// What is wrong.
    pub(super) message: String,
    /// What to write or do instead.
    pub(super) hint: &'static str,
}

fn refused<T>(message: impl Into<String>, hint: &'static str) -> Result<T, Refused> {
    Err(Refused { message: message.into(), hint })
}

/// Makes a [`Zone`] out of records, one at a time, so that each mistake has its line.
#[derive(Debug)]
pub(super) struct Builder {
    zone: Zone,
}

impl Builder {
    pub(super) fn new(origin: DnsName) -> Self {
        let nodes = HashMap::from([(origin.as_wire().into(), Vec::new())]);
        Self { zone: Zone { origin, nodes, image: Vec::new() } }
    }

    /// Adds a record. A repeated one is left out; one with another TTL than the rest of its set lowers theirs or takes theirs
    /// (RFC 2181 §5.2).
    pub(super) fn add(&mut self, mut record: Record) -> Result<(), Refused> {
        let owner = record.name.to_bytes().map_err(|_| ()).and_then(|wire| DnsName::from_wire(&wire).map_err(|_| ()));
        let Ok(owner) = owner else { return refused("the owner is not a name", "") };
        let rtype = u16::from(record.record_type());
        self.check(&owner, rtype)?;
        let Some(name) = hickory_name(owner.as_wire()) else { return refused("the owner is not a name", "") };
        record.name = name; // in lower case, so that it is compressed against the question
        let Ok(octets) = record.to_bytes() else { return refused("the record cannot be written", "") };
        self.zone.image.extend(octets);
        self.zone.exists(&owner);
        let node = self.zone.nodes.entry(owner.as_wire().into()).or_default();
        match node.iter_mut().find(|set| set.rtype == rtype) {
            None => node.push(Records { rtype, records: vec![record] }),
            Some(set) => {
                if !set.records.iter().any(|other| other.data == record.data) {
                    set.records.push(record.clone());
                }
                let ttl = set.records.iter().map(|other| other.ttl).min().unwrap_or(0).min(record.ttl);
                set.records.iter_mut().for_each(|other| other.ttl = ttl);
            }
        }
        Ok(())
    }

    /// As [`Zone::exists`].
    pub(super) fn exists(&mut self, name: &DnsName) {
        self.zone.exists(name);
    }

    fn check(&self, owner: &DnsName, rtype: u16) -> Result<(), Refused> {
        let (origin, types) = (&self.zone.origin, self.zone.nodes.get(owner.as_wire()));
        let here = |asked: &dyn Fn(u16) -> bool| types.is_some_and(|sets| sets.iter().any(|set| asked(set.rtype)));
        if !owner.is_at_or_below(origin) {
            return refused(format!("{owner} is outside the zone {origin}"), "write it into a zone of its own");
        }
        match rtype {
            rtype::NS if owner != origin => refused(
                format!("{owner} is delegated: a client cannot follow it, and it would not be asked for them"),
                "write its records here, or take the delegation out",
            ),
            rtype::DNAME => refused("DNAME is not supported", "write the records themselves, or CNAME for each name"),
            rtype::RRSIG | rtype::NSEC | rtype::NSEC3 => {
                refused("the zone is signed, and signatures are not served from here", "give the unsigned zone")
            }
            rtype::SOA if owner != origin => refused(format!("SOA at {owner}"), "it stands at the zone's own name"),
            rtype::SOA if here(&|rtype| rtype == rtype::SOA) => refused("a second SOA", "keep one of the two"),
            rtype::CNAME if here(&|_| true) => {
                refused(format!("CNAME at {owner}, which has other records"), "CNAME stands alone (RFC 1034 §3.6.2)")
            }
            _ if here(&|rtype| rtype == rtype::CNAME) => {
                refused(format!("another record at {owner}, which is a CNAME"), "CNAME stands alone (RFC 1034 §3.6.2)")
            }
            0 | rtype::OPT | 128..=255 => refused(format!("TYPE{rtype} is nothing a zone holds"), "take it out"),
            _ => Ok(()),
        }
    }

    /// The zone, if it is one.
    pub(super) fn finish(self) -> Result<Zone, Vec<Refused>> {
        let apex = self.zone.nodes.get(self.zone.origin.as_wire());
        let lacks = |rtype| !apex.is_some_and(|sets| sets.iter().any(|set: &Records| set.rtype == rtype));
        let missing: Vec<Refused> = [
            (rtype::SOA, "no SOA at the zone's own name", "write one: @ IN SOA ns hostmaster 1 3600 600 604800 300"),
            (rtype::NS, "no NS at the zone's own name", "write one: @ IN NS ns"),
        ]
        .into_iter()
        .filter(|(rtype, ..)| lacks(*rtype))
        .map(|(_, message, hint)| Refused { message: message.to_owned(), hint })
        .collect();
        if missing.is_empty() { Ok(self.zone) } else { Err(missing) }
    }
}

/// A wire name in hickory's form.
pub(super) fn hickory_name(wire: &[u8]) -> Option<Name> {
    Name::read(&mut BinDecoder::new(wire)).ok()
}
