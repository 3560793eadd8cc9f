//! [`build`]: layers from the index before and the targets that came.
//!
//! The names go into the new layers in the order of their hashes. Those of the index before come out of it in that
//! order, so they are merged in without being kept anywhere. The added ones come in parts ([`Added`]), whose memory goes
//! back as the layers grow: at no time are there more than the two indexes and a part of the names.
//!
//! Names that a secret notice lists stand in a layer of their own, so that they can be stored encrypted. Nothing of them
//! is in the other layer, its symbols included.

use std::collections::HashMap;
use std::iter::Peekable;
use std::sync::Arc;

use super::added::{Added, Part};
use super::bucket::{self, Buckets, ENTRY, Filling, MOST, Record, WORD};
use super::image::{DEEP, Header, Places};
use super::layer::Layer;
use super::octets::Octets;
use super::sets::Interner;
use super::symbols::Coder;
use super::{Index, Member, SetId};
use crate::model::Targets;
use crate::model::name::{WireName, labels};

/// Names a bucket, on average.
const BUCKET: u64 = 7;
/// Names from which symbols are chosen.
const SAMPLE: usize = 4096;
/// So many times as many old names are looked at for them.
const LOOK: usize = 16;

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
/// A reason that is given twice counts once. The added names are taken out; if they do not fit they are all there again,
/// in another order and each once.
pub fn build(previous: &Index, counts: &[u64], slots: &[Slot], added: &mut [(u32, Targets)]) -> Result<Built, Full> {
    build_at_most(previous, counts, slots, added, u64::MAX)
}

/// The same for no more names than `most` in a layer.
pub(super) fn build_at_most(
    previous: &Index,
    counts: &[u64],
    slots: &[Slot],
    added: &mut [(u32, Targets)],
    most: u64,
) -> Result<Built, Full> {
    let before = Before { index: previous, counts, slots };
    let total = |kind: Slot, added: &[(u32, Targets)]| -> u64 {
        let here = added.iter().filter(|(notice, _)| before.slot(*notice) == kind);
        here.map(|(_, targets)| targets.len() as u64).sum()
    };
    let (open, secret) = (total(Slot::Open, added), total(Slot::Secret, added));
    let (mut added, mut part) = (Added::new(added, previous.key), Part::default());
    added.take(&mut part);
    let writer = |kind: Slot, new: u64| {
        // as many of all the targets are repeats as of the first; those are too few to say how many there are in all
        let (names, reasons) = part.count(|item| before.slot(item.member.notice) == kind);
        let distinct = if reasons == 0 { new } else { (new * names).div_ceil(reasons) };
        let sample = sample(before, kind, &part, (open + secret) as usize);
        Writer::new(previous.secret, before.survivors(kind) + distinct, &sample, most)
    };
    // secret names have nowhere else to go, so there is a place for them however few there are
    let secret = slots.contains(&Slot::Secret).then(|| writer(Slot::Secret, secret)).transpose();
    let (Ok(open), Ok(secret)) = (writer(Slot::Open, open), secret) else {
        added.give_back(&mut part, std::iter::empty());
        return Err(Full);
    };
    let mut merge = Merge::new([Some(open), secret], before, before.index.names().peekable());
    let built = merge.all(&mut added, &mut part);
    if built.is_err() {
        added.give_back(&mut part, merge.written());
    }
    built
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
fn sample(before: Before, kind: Slot, first: &Part, added: usize) -> Vec<Box<[u8]>> {
    let share = (SAMPLE * before.index.len()).checked_div(before.index.len() + added).unwrap_or(0);
    let old = before.index.iter().take(LOOK * SAMPLE); // all of a kind may be few among many
    let old = old.filter(|(_, set)| before.kind(before.index.members(*set)) == kind);
    let old = old.take(share).map(|(name, _)| name.to_vec().into());
    let new = first.names().flatten().filter(|item| before.slot(item.member.notice) == kind);
    old.chain(new.map(|item| first.wire(item).into())).take(SAMPLE).collect()
}

/// Two streams in order of hash on their way into one.
struct Merge<'a, I: Iterator<Item = (u64, WireName, SetId)>> {
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

impl<'a, I: Iterator<Item = (u64, WireName, SetId)>> Merge<'a, I> {
    fn new(writers: [Option<Writer>; 2], from: Before<'a>, before: Peekable<I>) -> Self {
        let carried = vec![None; from.index.sets()];
        let (sets, moves) = Default::default();
        Self { writers, before, from, sets, moves, kinds: Vec::new(), carried, members: Vec::new() }
    }

    /// Takes in the part that was taken, all that follow, and what is left of the old names.
    fn all(&mut self, added: &mut Added, part: &mut Part) -> Result<Built, Full> {
        loop {
            self.add(part)?;
            if !added.take(part) {
                break;
            }
        }
        while let Some(old) = self.before.next() {
            self.carry(old)?;
        }
        for writer in self.writers.iter_mut().flatten() {
            writer.end()?; // all of it, before an image leaves: names are given back out of images
        }
        let [open, secret] = &mut self.writers;
        let layers = [secret, open].into_iter().flatten().map(|writer| writer.finish().map(Arc::new));
        let layers = layers.collect::<Result<_, Full>>()?;
        let index = Index::new(self.from.index.secret, layers, self.sets.sets().clone());
        Ok(Built { index, sets: std::mem::take(&mut self.sets), moves: std::mem::take(&mut self.moves) })
    }

    /// The names that are in, with their reasons.
    fn written(&self) -> impl Iterator<Item = (WireName, Member)> {
        let members = |set: SetId| self.sets.sets().get(set as usize).map_or(&[][..], |members| members);
        let reasons = move |(name, set): (WireName, SetId)| members(set).iter().map(move |of| (name.clone(), *of));
        self.writers.iter().flatten().flat_map(Writer::names).flat_map(reasons)
    }

    /// Takes in a part of the added names, and all old ones up to its last.
    fn add(&mut self, part: &Part) -> Result<(), Full> {
        for same in part.names() {
            let Some(first) = same.first() else { continue };
            let here = (first.hash, part.wire(first));
            while let Some(old) = self.next_before(|place| place < here) {
                self.carry(old)?;
            }
            let both = self.next_before(|place| place == here).map(|(_, _, set)| set);
            self.members.clear();
            self.members.extend(same.iter().map(|item| item.member));
            self.members.extend(both.into_iter().flat_map(|set| self.from.members(set)));
            let set = self.number();
            self.moves.count(both, Some(set));
            self.put(here.0, here.1, set)?;
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
    fn next_before(&mut self, right: impl FnOnce((u64, &[u8])) -> bool) -> Option<(u64, WireName, SetId)> {
        let (hash, name, _) = self.before.peek()?;
        if right((*hash, name)) { self.before.next() } else { None }
    }

    /// Takes in an old name, if it stays.
    fn carry(&mut self, (hash, name, old): (u64, WireName, SetId)) -> Result<(), Full> {
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
    /// More names do not fit.
    most: u64,
}

impl Writer {
    /// Starts an image for about this many names.
    fn new(key: u128, names: u64, sample: &[Box<[u8]>], most: u64) -> Result<Self, Full> {
        let buckets = u32::try_from(names.div_ceil(BUCKET).max(1)).map_err(|_| Full)?; // more may come than expected
        let header = Header { key, buckets, ..Header::default() };
        let places = header.places().ok_or(Full)?;
        let mut coder = Coder::train(sample);
        let mut image = Octets::with_capacity(places.buckets + expected(names, sample, &mut coder));
        image.zero_to(places.symbols);
        coder.symbols().write(&mut image);
        image.align();
        Ok(Self { image, header, places, coder, bucket: Filling::default(), number: 0, most })
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
        if self.bucket.len() > MOST || self.header.names > self.most { Err(Full) } else { Ok(()) }
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

    /// The names put so far.
    fn names(&self) -> impl Iterator<Item = (WireName, SetId)> {
        let directory = &self.image[self.places.directory..][..ENTRY * self.number];
        let records = Buckets::new(&[], directory, &self.image[self.places.buckets..]).records();
        let name =
            |record: Record| (WireName::from_fn(|octets| record.decode(self.coder.symbols(), octets)), record.set);
        records.chain(self.bucket.records()).map(name)
    }

    /// Ends the last bucket.
    fn end(&mut self) -> Result<(), Full> {
        self.go_to(self.header.buckets as usize)
    }

    fn finish(&mut self) -> Result<Layer, Full> {
        self.header.octets = (self.image.len() - self.places.buckets) as u64;
        self.header.write(&mut self.image);
        self.image.trim();
        Layer::new(std::mem::take(&mut self.image), self.header, self.coder.symbols().clone()).ok_or(Full)
    }
}

/// Octets that the buckets of so many names will need, and some more: what is too much is given back.
fn expected(names: u64, sample: &[Box<[u8]>], coder: &mut Coder) -> usize {
    let mut codes = |wire: &[u8]| coder.code(wire).map_or(wire.len() - 1, <[u8]>::len);
    let of_sample: usize = sample.iter().map(|wire| codes(wire) + 4).sum();
    (of_sample as u64 * names).checked_div(sample.len() as u64).map_or(0, |octets| octets + octets / 32) as usize
}
