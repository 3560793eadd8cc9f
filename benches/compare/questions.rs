//! [`Workload`]: what is asked, as packets that are ready to be sent but for their ids.

use crate::args::Args;
use crate::batch::SIZE;
use crate::names::{Half, List, Scope, mix};

/// Questions of a workload before it begins anew.
const LENGTH: u32 = 1 << 18;
/// Where the question begins: after the header.
pub(crate) const HEADER: usize = 12;
/// Hexadecimal digits in the names of misses.
const DIGITS: usize = 8;

/// A sequence of questions.
pub(crate) struct Workload {
    /// As in the tables.
    pub(crate) name: &'static str,
    packets: Vec<Vec<u8>>,
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
        Self { name, packets: Vec::new(), order: Vec::new(), next_miss: 0, miss }
    }

    /// W1: listed names, and names below those that stand for their subtrees.
    pub(crate) fn listed(args: &Args) -> Self {
        let mut workload = Self::new("W1 listed", args);
        let list = List { half: Half::A, names: args.names() };
        let asked = LENGTH.min(args.names());
        workload.packets = (0..asked).map(|n| packet(&listed(list, mix(n) % list.names), args.edns)).collect();
        workload.order = (0..asked).map(Item::Packet).collect();
        workload
    }

    /// W2: names that are not listed and are in the cache once each has been asked for.
    pub(crate) fn cached(args: &Args) -> Self {
        let mut workload = Self::new("W2 cached", args);
        workload.packets = (0..args.cached()).map(|n| packet(&unlisted(n), args.edns)).collect();
        workload.order = (0..LENGTH).map(|n| Item::Packet(mix(n) % args.cached())).collect();
        workload
    }

    /// W3: 2 % listed, 93 % cached, 5 % that nobody has asked for before.
    pub(crate) fn mixed(args: &Args) -> Self {
        let mut workload = Self::new("W3 mixed", args);
        let (listed, cached) = (Self::listed(args), Self::cached(args));
        let at = listed.packets.len() as u32;
        workload.order = (0..LENGTH)
            .map(|n| match mix(n ^ 0x5a5a_5a5a) % 100 {
                0..2 => Item::Packet(mix(n) % at),
                2..7 => Item::Miss,
                _ => Item::Packet(at + mix(n) % args.cached()),
            })
            .collect();
        workload.packets = listed.packets;
        workload.packets.extend(cached.packets);
        workload
    }

    /// Writes question `n` (the sequence repeats) with this id; returns its length. A miss is another one each time.
    pub(crate) fn write(&mut self, n: usize, id: u16, to: &mut [u8; SIZE]) -> usize {
        let packet = match self.order[n % self.order.len()] {
            Item::Packet(packet) => &self.packets[packet as usize],
            Item::Miss => {
                let digits = format_hex(self.next_miss);
                self.miss[HEADER + 1..][..DIGITS].copy_from_slice(&digits);
                self.next_miss += 1;
                &self.miss
            }
        };
        to[..packet.len()].copy_from_slice(packet);
        to[..2].copy_from_slice(&id.to_be_bytes());
        packet.len()
    }

    /// Each question that is no miss, once.
    pub(crate) fn packets(&self) -> &[Vec<u8>] {
        &self.packets
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

fn format_hex(n: u32) -> [u8; DIGITS] {
    std::array::from_fn(|at| b"0123456789abcdef"[(n >> (28 - 4 * at) & 15) as usize])
}
