//! [`build`]: layers from the index before and the targets that came.
//!
//! The names go into the new layers in the order of their hashes. Those of the index before come out of it in that
//! order, so they are merged in without being kept anywhere. The added ones are sorted, an eighth at a time where they
//! are many: the memory needed beside the two indexes is 8 octets for each added name.
//!
//! Names that a secret notice lists stand in a layer of their own, so that they can be stored encrypted. Nothing of them
//! is in the other layer, its symbols included.

use std::collections::HashMap;
use std::iter::Peekable;
use std::sync::Arc;

use super::bucket::{self, ENTRY, Filling, MOST, WORD};
use super::image::{DEEP, Header, Places};
use super::laid::Key;
use super::layer::Layer;
use super::octets::Octets;
use super::sets::Interner;
use super::symbols::Coder;
use super::{Index, Listed, Member, SetId};
use crate::model::Targets;
use crate::model::name::labels;

/// Names a bucket, on average.
const BUCKET: u64 = 7;
/// Up to this many added names are sorted at once.
const AT_ONCE: usize = 1 << 16;
/// From more, this many parts are made, a power of two.
const PARTS: u8 = 8;
/// Names from which symbols are chosen.
const SAMPLE: usize = 4096;

/// There are too many names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the names of all notices together exceed 4 GiB")]
pub struct Full;

/// What a build has to know of a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Slot {
    /// Its notice is gone: what it listed is left out.
    #[default]
    Gone,
    /// Its names may stand anywhere.
    Open,
    /// Its names are secret.
    Secret,
}

/// What came of a build.
#[derive(Debug)]
pub struct Built {
    /// The index, without changes on top of its layers.
    pub index: Index,
    /// Its sets and how many names have each.
    pub sets: Interner,
    /// What happened to the names.
    pub moves: Moves,
}

/// How many names had one set and have another now.
#[derive(Debug, Default)]
pub struct Moves {
    counts: HashMap<(Option<SetId>, Option<SetId>), u64>,
    /// Not yet in there: most names move as the one before did.
    last: ((Option<SetId>, Option<SetId>), u64),
}

impl Moves {
    /// A name that had this set, if any, has that one now.
    pub fn count(&mut self, from: Option<SetId>, to: Option<SetId>) {
        self.count_all(from, to, 1);
    }

    /// Likewise, of so many names.
    pub fn count_all(&mut self, from: Option<SetId>, to: Option<SetId>, names: u64) {
        if self.last.0 != (from, to) {
            self.flush();
            self.last.0 = (from, to);
        }
        self.last.1 += names;
    }

    fn flush(&mut self) {
        let (way, names) = std::mem::take(&mut self.last);
        if names > 0 {
            *self.counts.entry(way).or_default() += names;
        }
    }

    /// The ways names went, and how many.
    pub fn all(mut self) -> impl Iterator<Item = ((Option<SetId>, Option<SetId>), u64)> {
        self.flush();
        self.counts.into_iter()
    }
}

/// Puts the names together: those of `previous` that a notice in `slots` still lists, and the added ones. `counts` says
/// how many names of `previous` have each of its sets.
///
/// A reason that is given twice counts once.
pub fn build(previous: &Index, counts: &[u64], slots: &[Slot], added: &[(u32, &Targets)]) -> Result<Built, Full> {
    let before = Before { index: previous, counts, slots };
    let added = Added::new(added, previous.key);
    let first = added.part(0);
    let writer = |kind: Slot, new: u64, first: &[&Item]| {
        Writer::new(previous.secret, before.survivors(kind) + new, &sample(before, kind, first, added.len()))
    };
    let of = |kind: Slot| -> Vec<_> { first.iter().filter(|item| before.slot(item.member.notice) == kind).collect() };
    let (open, secret) = (of(Slot::Open), of(Slot::Secret));
    let open = Some(writer(Slot::Open, distinct(&open) * u64::from(added.parts()), &open)?);
    // secret names have nowhere else to go, so there is a place for them however few there are
    let secret = slots.contains(&Slot::Secret).then(|| writer(Slot::Secret, added.of(Slot::Secret, slots), &secret));
    let writers = [open, secret.transpose()?];
    let mut merge = Merge::new(writers, before, before.index.names().peekable());
    merge.add(&first)?;
    drop(first);
    for part in 1..added.parts() {
        merge.add(&added.part(part))?;
    }
    merge.finish()
}

/// A reason that is to be added.
struct Item<'a> {
    hash: u64,
    wire: &'a [u8],
    member: Member,
}

impl Item<'_> {
    fn place(&self) -> (u64, &[u8]) {
        (self.hash, self.wire)
    }
}

/// All of them.
struct Added<'a> {
    targets: &'a [(u32, &'a Targets)],
    key: Key,
    /// The part of each, if there are several.
    parts: Option<Box<[u8]>>,
}

impl<'a> Added<'a> {
    fn new(targets: &'a [(u32, &'a Targets)], key: Key) -> Self {
        let mut added = Self { targets, key, parts: None };
        if added.len() > AT_ONCE {
            added.parts = Some(added.targets().map(|(wire, _)| part_of(key.hash(wire))).collect());
        }
        added
    }

    fn len(&self) -> usize {
        self.targets.iter().map(|(_, targets)| targets.len()).sum()
    }

    /// How many there are for slots of a kind.
    fn of(&self, kind: Slot, slots: &[Slot]) -> u64 {
        let here = self.targets.iter().filter(|(notice, _)| slots.get(*notice as usize) == Some(&kind));
        here.map(|(_, targets)| targets.len() as u64).sum()
    }

    fn targets(&self) -> impl Iterator<Item = (&'a [u8], Member)> {
        let of = |(notice, targets): &'a (u32, &'a Targets)| {
            targets.iter().map(move |(wire, scope)| (wire, Member { notice: *notice, scope }))
        };
        self.targets.iter().flat_map(of)
    }

    fn parts(&self) -> u8 {
        if self.parts.is_some() { PARTS } else { 1 }
    }

    /// Those of one part in their order.
    fn part(&self, part: u8) -> Vec<Item<'a>> {
        let item = |(wire, member)| Item { hash: self.key.hash(wire), wire, member };
        let mut items: Vec<_> = match &self.parts {
            None => self.targets().map(item).collect(),
            Some(parts) => {
                let here = self.targets().zip(parts).filter(|(_, of)| **of == part);
                here.map(|(target, _)| item(target)).collect()
            }
        };
        items.sort_unstable_by(|a, b| a.place().cmp(&b.place()));
        items
    }
}

fn part_of(hash: u64) -> u8 {
    (hash >> (64 - PARTS.ilog2())) as u8
}

fn distinct(items: &[&Item]) -> u64 {
    items.chunk_by(|a, b| a.place() == b.place()).count() as u64
}

/// What stays of the index before.
#[derive(Clone, Copy)]
struct Before<'a> {
    index: &'a Index,
    counts: &'a [u64],
    slots: &'a [Slot],
}

impl<'a> Before<'a> {
    fn slot(self, notice: u32) -> Slot {
        self.slots.get(notice as usize).copied().unwrap_or_default()
    }

    /// Where the names of these members belong.
    fn kind(self, members: &[Member]) -> Slot {
        let kinds = || members.iter().map(|member| self.slot(member.notice));
        if kinds().any(|slot| slot == Slot::Secret) {
            Slot::Secret
        } else {
            kinds().find(|slot| *slot == Slot::Open).unwrap_or(Slot::Gone)
        }
    }

    /// The members of one of its sets that stay.
    fn members(self, set: SetId) -> impl Iterator<Item = Member> + 'a {
        self.index.members(set).iter().copied().filter(move |member| self.slot(member.notice) != Slot::Gone)
    }

    /// How many names of a kind stay.
    fn survivors(self, kind: Slot) -> u64 {
        let sets = self.counts.iter().enumerate();
        sets.filter(|(set, _)| self.kind(self.index.members(*set as SetId)) == kind).map(|(_, names)| names).sum()
    }
}

/// Names of a kind to choose symbols by, old and new ones in proportion. What comes first by hash is as good as drawn by
/// lot.
fn sample(before: Before, kind: Slot, first: &[&Item], added: usize) -> Vec<Box<[u8]>> {
    let share = (SAMPLE * before.index.len()).checked_div(before.index.len() + added).unwrap_or(0);
    let old = before.index.iter().filter(|(_, set)| before.kind(before.index.members(*set)) == kind);
    let old = old.take(share).map(|(name, _)| name.to_vec().into());
    old.chain(first.iter().map(|item| item.wire.into())).take(SAMPLE).collect()
}

/// Two streams in order of hash on their way into one.
struct Merge<'a, I: Iterator<Item = (u64, Listed, SetId)>> {
    /// Of the names that may stand anywhere, and of the secret ones.
    writers: [Option<Writer>; 2],
    before: Peekable<I>,
    from: Before<'a>,
    sets: Interner,
    moves: Moves,
    /// The kinds of the new sets.
    kinds: Vec<Slot>,
    /// New numbers of old sets, as far as they are known.
    carried: Vec<Option<SetId>>,
    members: Vec<Member>,
}

impl<'a, I: Iterator<Item = (u64, Listed, SetId)>> Merge<'a, I> {
    fn new(writers: [Option<Writer>; 2], from: Before<'a>, before: Peekable<I>) -> Self {
        let carried = vec![None; from.index.sets()];
        let (sets, moves) = Default::default();
        Self { writers, before, from, sets, moves, kinds: Vec::new(), carried, members: Vec::new() }
    }

    /// Takes in a part of the added names, and all old ones up to its last.
    fn add(&mut self, part: &[Item]) -> Result<(), Full> {
        for same in part.chunk_by(|a, b| a.place() == b.place()) {
            let Some(first) = same.first() else { continue };
            while let Some(old) = self.next_before(|place| place < first.place()) {
                self.carry(old)?;
            }
            let both = self.next_before(|place| place == first.place()).map(|(_, _, set)| set);
            self.members.clear();
            self.members.extend(same.iter().map(|item| item.member));
            self.members.extend(both.into_iter().flat_map(|set| self.from.members(set)));
            let set = self.number();
            self.moves.count(both, Some(set));
            self.put(first.hash, first.wire, set)?;
        }
        Ok(())
    }

    /// The number of the set of the members at hand.
    fn number(&mut self) -> SetId {
        self.members.sort_unstable();
        self.members.dedup();
        let set = self.sets.number(&self.members);
        if set as usize == self.kinds.len() {
            self.kinds.push(self.from.kind(&self.members));
        }
        set
    }

    /// The next old name, if its place is right. To look first costs less than to move a name out and in again.
    fn next_before(&mut self, right: impl FnOnce((u64, &[u8])) -> bool) -> Option<(u64, Listed, SetId)> {
        let (hash, name, _) = self.before.peek()?;
        if right((*hash, name)) { self.before.next() } else { None }
    }

    /// Takes in an old name, if it stays.
    fn carry(&mut self, (hash, name, old): (u64, Listed, SetId)) -> Result<(), Full> {
        let set = match self.carried.get(old as usize).copied().flatten() {
            Some(set) => set,
            None => {
                self.members.clear();
                self.members.extend(self.from.members(old));
                if self.members.is_empty() {
                    self.moves.count(Some(old), None);
                    return Ok(());
                }
                let set = self.number();
                if let Some(place) = self.carried.get_mut(old as usize) {
                    *place = Some(set);
                }
                set
            }
        };
        self.moves.count(Some(old), Some(set));
        self.put(hash, &name, set)
    }

    fn put(&mut self, hash: u64, wire: &[u8], set: SetId) -> Result<(), Full> {
        self.sets.count(set);
        let [open, secret] = &mut self.writers;
        match (self.kinds.get(set as usize), secret) {
            (Some(Slot::Secret), Some(secret)) => secret.put(hash, wire, set),
            _ => open.as_mut().map_or(Ok(()), |open| open.put(hash, wire, set)),
        }
    }

    fn finish(mut self) -> Result<Built, Full> {
        while let Some(old) = self.before.next() {
            self.carry(old)?;
        }
        let [open, secret] = self.writers;
        let layers = [secret, open].into_iter().flatten().map(|writer| writer.finish().map(Arc::new));
        let layers = layers.collect::<Result<_, Full>>()?;
        let index = Index::new(self.from.index.secret, layers, self.sets.sets().clone());
        Ok(Built { index, sets: self.sets, moves: self.moves })
    }
}

/// Writes an image.
struct Writer {
    image: Octets,
    header: Header,
    places: Places,
    coder: Coder,
    /// The bucket that fills, and its number.
    bucket: Filling,
    number: usize,
}

impl Writer {
    /// Starts an image for about this many names.
    fn new(key: u128, names: u64, sample: &[Box<[u8]>]) -> Result<Self, Full> {
        let buckets = u32::try_from(names.div_ceil(BUCKET)).map_err(|_| Full)?;
        let header = Header { key, buckets, ..Header::default() };
        let places = header.places().ok_or(Full)?;
        let mut coder = Coder::train(sample);
        let mut image = Octets::with_capacity(places.buckets + expected(names, sample, &mut coder));
        image.zero_to(places.symbols);
        coder.symbols().write(&mut image);
        image.align();
        Ok(Self { image, header, places, coder, bucket: Filling::default(), number: 0 })
    }

    /// Adds a name; they come in order of hash.
    fn put(&mut self, hash: u64, wire: &[u8], set: SetId) -> Result<(), Full> {
        self.go_to(bucket::number(hash, self.header.buckets as usize))?;
        let word = self.places.filter + WORD * self.number;
        for (octet, bits) in self.image[word..word + WORD].iter_mut().zip(bucket::filter_bits(hash).to_le_bytes()) {
            *octet |= bits;
        }
        match self.coder.code(wire) {
            Some(codes) => self.bucket.add(hash, set, codes, true),
            None => self.bucket.add(hash, set, &wire[..wire.len() - 1], false),
        }
        self.header.names += 1;
        let labels = labels(wire).count();
        self.header.depths |= 1 << labels.min(DEEP);
        self.header.deepest = self.header.deepest.max(labels as u32);
        if self.bucket.len() > MOST { Err(Full) } else { Ok(()) }
    }

    /// Ends the buckets before this one.
    fn go_to(&mut self, number: usize) -> Result<(), Full> {
        while self.number < number {
            let place = u32::try_from(self.image.len() - self.places.buckets).map_err(|_| Full)?;
            let entry = self.bucket.write(place, &mut self.image);
            let at = self.places.directory + ENTRY * self.number;
            self.image[at..at + ENTRY].copy_from_slice(&entry);
            self.number += 1;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Layer, Full> {
        self.go_to(self.header.buckets as usize)?;
        self.header.octets = (self.image.len() - self.places.buckets) as u64;
        self.header.write(&mut self.image);
        self.image.trim();
        Layer::new(self.image, self.header, self.coder.symbols().clone()).ok_or(Full)
    }
}

/// Octets that the buckets of so many names will need, and some more: what is too much is given back.
fn expected(names: u64, sample: &[Box<[u8]>], coder: &mut Coder) -> usize {
    let mut codes = |wire: &[u8]| coder.code(wire).map_or(wire.len() - 1, <[u8]>::len);
    let of_sample: usize = sample.iter().map(|wire| codes(wire) + 4).sum();
    (of_sample as u64 * names).checked_div(sample.len() as u64).map_or(0, |octets| octets + octets / 32) as usize
}
