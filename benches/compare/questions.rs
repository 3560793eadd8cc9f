//! [`Workload`]: what is asked, as packets that are ready to be sent but for their ids.

use crate::args::Args;
use crate::batch::SIZE;
use crate::names::{Half, List, Scope, mix};

/// Questions of a workload before it begins anew; W1 has the whole list.
const LENGTH: u32 = 1 << 18;
/// Listed names that W3 asks for.
const LISTED: u32 = 1 << 14;
/// A prime above the length of any list: so many entries further, again and again, is every entry once.
const STEP: u64 = 2_654_435_761;
/// Where the question begins: after the header.
pub(crate) const HEADER: usize = 12;
/// Hexadecimal digits in the names of misses.
const DIGITS: usize = 8;

/// A sequence of questions.
pub(crate) struct Workload {
    /// As in the tables.
    pub(crate) name: &'static str,
    /// All packets, one after the other.
    octets: Vec<u8>,
    /// Where each packet begins, and the last one ends.
    bounds: Vec<u32>,
    order: Vec<Item>,
    next_miss: u32,
    miss: Vec<u8>,
}

/// One place in the sequence.
#[derive(Clone, Copy)]
enum Item {
    Packet(u32),
    Miss,
}

impl Workload {
    fn new(name: &'static str, args: &Args) -> Self {
        let miss = packet(&format!("{:0DIGITS$x}.miss.org", 0), args.edns);
        Self { name, octets: Vec::new(), bounds: vec![0], order: Vec::new(), next_miss: 0, miss }
    }

    /// W1: listed names, and names below those that stand for their subtrees; all of the list, in no order.
    pub(crate) fn listed(args: &Args) -> Self {
        let mut workload = Self::new("W1 listed", args);
        let list = List { half: Half::A, names: args.names() };
        for n in 0..u64::from(list.names) {
            workload.push(&packet(&listed(list, (n * STEP % u64::from(list.names)) as u32), args.edns));
        }
        workload.order = (0..list.names).map(Item::Packet).collect();
        workload
    }

    /// W2: names that are not listed and are in the cache once each has been asked for.
    pub(crate) fn cached(args: &Args) -> Self {
        let mut workload = Self::new("W2 cached", args);
        (0..args.cached()).for_each(|n| workload.push(&packet(&unlisted(n), args.edns)));
        workload.order = (0..LENGTH).map(|n| Item::Packet(mix(n) % args.cached())).collect();
        workload
    }

    /// W3: 2 % listed, 93 % cached, 5 % that nobody has asked for before.
    pub(crate) fn mixed(args: &Args) -> Self {
        let mut workload = Self::cached(args);
        workload.name = "W3 mixed";
        let list = List { half: Half::A, names: args.names() };
        (0..LISTED).for_each(|n| workload.push(&packet(&listed(list, mix(n) % list.names), args.edns)));
        workload.order = (0..LENGTH)
            .map(|n| match mix(n ^ 0x5a5a_5a5a) % 100 {
                0..2 => Item::Packet(args.cached() + mix(n) % LISTED),
                2..7 => Item::Miss,
                _ => Item::Packet(mix(n) % args.cached()),
            })
            .collect();
        workload
    }

    fn push(&mut self, packet: &[u8]) {
        self.octets.extend_from_slice(packet);
        self.bounds.push(self.octets.len() as u32);
    }

    fn packet(&self, n: u32) -> &[u8] {
        &self.octets[self.bounds[n as usize] as usize..self.bounds[n as usize + 1] as usize]
    }

    /// Writes question `n` (the sequence repeats) with this id; returns its length. A miss is another one each time.
    pub(crate) fn write(&mut self, n: usize, id: u16, to: &mut [u8; SIZE]) -> usize {
        let packet = match self.order[n % self.order.len()] {
            Item::Packet(packet) => self.packet(packet),
            Item::Miss => {
                self.miss[HEADER + 1..][..DIGITS].copy_from_slice(&hexadecimal(self.next_miss));
                self.next_miss += 1;
                &self.miss
            }
        };
        to[..packet.len()].copy_from_slice(packet);
        to[..2].copy_from_slice(&id.to_be_bytes());
        packet.len()
    }

    /// Each question that is no miss, once.
    pub(crate) fn packets(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.bounds.len() as u32 - 1).map(|n| self.packet(n))
    }

    /// The place where this round begins.
    pub(crate) fn place(&self, round: usize, rounds: usize) -> usize {
        self.order.len() / rounds * round
    }
}

/// A name that list entry `n` blocks: itself, or every other time, if it stands for its subtree, one below it.
fn listed(list: List, n: u32) -> String {
    match list.scope(n) {
        Scope::Subtree if n % 2 == 1 => format!("x{}.{}", n % 7, list.name(n)),
        _ => list.name(n),
    }
}

/// A name that no list has, nor any of its ancestors.
pub(crate) fn unlisted(n: u32) -> String {
    let word = mix(n);
    match word % 3 {
        0 => format!("other-{word:x}.com"),
        1 => format!("www.other{word}.net"),
        _ => format!("cdn.host{word}.other.org"),
    }
}

/// A question for the IPv4 address of a name, with recursion desired.
pub(crate) fn packet(name: &str, edns: bool) -> Vec<u8> {
    let mut octets = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)];
    for label in name.split('.') {
        octets.push(label.len() as u8);
        octets.extend(label.as_bytes());
    }
    octets.extend([0, 0, 1, 0, 1]);
    if edns {
        octets.extend([0, 0, 41, 1232_u16.to_be_bytes()[0], 1232_u16.to_be_bytes()[1], 0, 0, 0, 0, 0, 0]);
    }
    octets
}

fn hexadecimal(n: u32) -> [u8; DIGITS] {
    std::array::from_fn(|at| b"0123456789abcdef"[(n >> (28 - 4 * at) & 15) as usize])
}
