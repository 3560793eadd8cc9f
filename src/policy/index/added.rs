//! [`Added`]: the names that are to be added, on their way into the order of their hashes.
//!
//! Names by the million are not sorted at once: that would take more memory beside them than they take themselves.
//! They are dealt out to as many as 256 parts by the first bits of their hashes, still coded, and a part at a time is
//! decoded and sorted. What has been read gives its memory back: the targets as they are dealt out, each part as it is
//! taken. So what is left of the names shrinks as the index grows that they go into.

use std::collections::HashMap;

use super::Member;
use super::laid::Key;
use crate::model::Targets;
use crate::model::name::{MAX_NAME, WireName};
use crate::model::pile::Pile;
use crate::model::symbols::Symbols;
use crate::model::targets::Record;

/// A part has no more names than this, on average, as long as there are not [`MOST_PARTS`].
const AT_ONCE: usize = 1 << 12;
/// A power of two.
const MOST_PARTS: usize = 256;
/// Octets of a chunk: some four make a part, but mappings are not to be had without end, and not too short.
const CHUNK: std::ops::RangeInclusive<usize> = 16 << 10..=1 << 20;
/// Stands where a target's first octet is: where the targets that follow are from, its [`Origin`], comes next.
const CHANGE: u8 = 0xff;

/// See the module's header.
pub(super) struct Added<'t> {
    targets: &'t mut [(u32, Targets)],
    key: Key,
    parts: Vec<Pile>,
    /// How many parts were taken.
    taken: usize,
}

impl<'t> Added<'t> {
    /// Takes the targets out.
    pub(super) fn new(targets: &'t mut [(u32, Targets)], key: Key) -> Self {
        let names: usize = targets.iter().map(|(_, targets)| targets.len()).sum();
        let octets: usize = targets.iter().map(|(_, targets)| targets.octets()).sum();
        let parts = names.div_ceil(AT_ONCE).next_power_of_two().clamp(1, MOST_PARTS);
        let chunk = (octets / parts / 4).next_multiple_of(4096).clamp(*CHUNK.start(), *CHUNK.end());
        let heap = if parts == 1 { chunk } else { 0 };
        let mut added = Self { targets, key, parts: vec![Pile::new(heap, chunk); parts], taken: 0 };
        added.deal();
        added
    }

    fn deal(&mut self) {
        let shift = self.parts.len().ilog2();
        let mut last = vec![None; self.parts.len()]; // where the last one there is from
        let mut name = [0; MAX_NAME];
        for (number, (_, targets)) in self.targets.iter_mut().enumerate() {
            targets.drain(|stretch, symbols, record| {
                let Some(len) = record.decode(symbols, &mut name) else { return };
                let at = self.key.hash(&name[..len]).checked_shr(64 - shift).unwrap_or(0) as usize;
                let from = Origin { targets: number as u32, stretch: stretch as u32 }; // entries have such numbers, too
                if last[at] != Some(from) {
                    last[at] = Some(from);
                    self.parts[at].push(&[CHANGE], &from.octets());
                }
                self.parts[at].push(record.octets, &[]);
            });
        }
    }

    /// Takes the next part out, in order; whether there was one.
    pub(super) fn take(&mut self, part: &mut Part) -> bool {
        part.octets.clear();
        part.items.clear();
        let Some(pile) = self.parts.get_mut(self.taken) else { return false };
        self.taken += 1;
        let targets = &*self.targets;
        read(pile, |from, record| {
            if let Some((notice, targets)) = targets.get(from.targets as usize) {
                part.add(record, targets.symbols(from.stretch as usize), *notice, &self.key);
            }
        });
        part.sort();
        true
    }

    /// Puts the names back where they came from: those of `part`, those of the parts that were not taken, and of
    /// `others` what was added.
    pub(super) fn give_back(mut self, part: &mut Part, others: impl Iterator<Item = (WireName, Member)>) {
        let places: HashMap<u32, usize> =
            self.targets.iter().enumerate().map(|(at, (notice, _))| (*notice, at)).collect();
        let put = |targets: &mut [(u32, Targets)], wire: &[u8], member: Member| {
            if let Some((_, targets)) = places.get(&member.notice).and_then(|at| targets.get_mut(*at)) {
                targets.push_wire(wire, member.scope);
            }
        };
        others.for_each(|(name, member)| put(self.targets, &name, member));
        loop {
            for same in part.names() {
                same.iter().for_each(|item| put(self.targets, part.wire(item), item.member));
            }
            if !self.take(part) {
                return;
            }
        }
    }
}

/// Where a target was.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Origin {
    /// Number of the targets among the added ones.
    targets: u32,
    /// Number of the stretch of them.
    stretch: u32,
}

impl Origin {
    fn octets(self) -> [u8; 8] {
        (u64::from(self.targets) << 32 | u64::from(self.stretch)).to_le_bytes()
    }

    fn read(octets: [u8; 8]) -> Self {
        let both = u64::from_le_bytes(octets);
        Self { targets: (both >> 32) as u32, stretch: both as u32 }
    }
}

/// Reads a part to its end.
fn read(pile: &mut Pile, mut each: impl FnMut(Origin, Record<'_>)) {
    let mut from = Origin { targets: 0, stretch: 0 };
    for chunk in pile.drain() {
        let mut rest = &*chunk;
        loop {
            if let Some(([CHANGE, of @ ..], behind)) = rest.split_first_chunk::<9>() {
                from = Origin::read(*of);
                rest = behind;
            } else if let Some((record, behind)) = Record::split(rest) {
                each(from, record);
                rest = behind;
            } else {
                break;
            }
        }
    }
}

/// Names in order of hash, with the reasons why they are added.
#[derive(Default)]
pub(super) struct Part {
    /// Their wire octets, as they came.
    octets: Vec<u8>,
    items: Vec<Item>,
}

/// A reason that is to be added.
#[derive(Clone, Copy)]
pub(super) struct Item {
    pub(super) hash: u64,
    start: u32,
    len: u8,
    pub(super) member: Member,
}

impl Part {
    fn add(&mut self, record: Record<'_>, symbols: Option<&Symbols>, notice: u32, key: &Key) {
        let mut name = [0; MAX_NAME];
        let (Some(len), Ok(start)) = (record.decode(symbols, &mut name), u32::try_from(self.octets.len())) else {
            return; // neither can be: a part of 4 GiB has more names than an index
        };
        let wire = &name[..len];
        self.octets.extend_from_slice(wire);
        let member = Member { notice, scope: record.scope() };
        self.items.push(Item { hash: key.hash(wire), start, len: len as u8, member });
    }

    fn sort(&mut self) {
        let Self { octets, items } = self;
        let wire = |item: &Item| &octets[item.start as usize..][..usize::from(item.len)];
        items.sort_unstable_by(|a, b| a.hash.cmp(&b.hash).then_with(|| wire(a).cmp(wire(b))));
    }

    /// How many names there are of which a reason is `wanted`, and how many such reasons.
    pub(super) fn count(&self, wanted: impl Fn(&Item) -> bool) -> (u64, u64) {
        self.names().fold((0, 0), |(names, reasons), same| {
            let here = same.iter().filter(|item| wanted(item)).count() as u64;
            (names + u64::from(here > 0), reasons + here)
        })
    }

    /// The name of an item.
    pub(super) fn wire(&self, item: &Item) -> &[u8] {
        self.octets.get(item.start as usize..).and_then(|rest| rest.get(..usize::from(item.len))).unwrap_or_default()
    }

    /// The reasons of each name.
    pub(super) fn names(&self) -> impl Iterator<Item = &[Item]> {
        self.items.chunk_by(|a, b| a.hash == b.hash && self.wire(a) == self.wire(b))
    }
}
