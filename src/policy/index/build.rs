//! [`build`]: an index from the one before and the targets that came.
//!
//! The names go into the new index in the order of their hashes. Those of the index before come out of it in that
//! order, so they are merged in without being kept anywhere. The added ones come in parts ([`Added`]), whose memory goes
//! back as the index grows: at no time are there more than the two indexes and a part of the names.

use std::iter::Peekable;

use super::added::{Added, Part, hash};
use super::bucket::{self, Buckets, ENTRY, Filling, MOST, Record, WORD};
use super::image::{DEEP, Header, Places};
use super::laid::Key;
use super::octets::Octets;
use super::sets::Interner;
use super::symbols::Coder;
use super::{Index, Listed, Member, SetId};
use crate::model::Targets;
use crate::model::name::{WireName, labels};

/// Names a bucket, on average.
const BUCKET: u64 = 7;
/// Names from which symbols are chosen.
const SAMPLE: usize = 4096;

/// There are too many names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the names of all notices together exceed 4 GiB")]
pub struct Full;

/// Puts the names together: those of `previous` whose entry is kept, under its new number, and the added ones.
///
/// `kept[old]` is the new number of an entry of the previous index, or `None` if it is gone or replaced. A reason that
/// is given twice counts once. The added names are taken out; if they do not fit they are all there again, in another
/// order and each once.
pub fn build(previous: &Index, kept: &[Option<u32>], added: &mut [(u32, Targets)]) -> Result<Index, Full> {
    build_at_most(previous, kept, added, u64::MAX)
}

/// The same for no more names than `most`.
pub(super) fn build_at_most(
    previous: &Index,
    kept: &[Option<u32>],
    added: &mut [(u32, Targets)],
    most: u64,
) -> Result<Index, Full> {
    let before = Before { index: previous, kept };
    let total: usize = added.iter().map(|(_, targets)| targets.len()).sum();
    let (mut added, mut part) = (Added::new(added, previous.key), Part::default());
    added.take(&mut part);
    // as many of all the targets are repeats as of the first; there are too few of them to say how many there are in all
    let distinct = (total as u64 * part.names().count() as u64).checked_div(part.len() as u64).unwrap_or(total as u64);
    let names = before.survivors() + distinct;
    let Ok(writer) = Writer::new(previous.header.key, names, &sample(before, &part, total), most) else {
        added.give_back(&mut part, std::iter::empty());
        return Err(Full);
    };
    let mut merge = Merge::new(writer, before, before.names().peekable());
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
    kept: &'a [Option<u32>],
}

impl<'a> Before<'a> {
    /// The members of one of its sets that stay, under their new numbers.
    fn members(self, set: SetId) -> impl Iterator<Item = Member> + 'a {
        self.index.members(set).filter_map(move |member| {
            let notice = self.kept.get(member.notice as usize).copied().flatten()?;
            Some(Member { notice, ..member })
        })
    }

    /// How many names stay.
    fn survivors(self) -> u64 {
        let stays = |set: &SetId| self.members(*set).next().is_some();
        (0..self.index.sets() as SetId).filter(stays).map(|set| self.index.names_in(set)).sum()
    }

    /// The names with their hashes and old sets, also those that go.
    fn names(self) -> impl Iterator<Item = (u64, Listed, SetId)> + 'a {
        self.index.iter().map(|(name, set)| (hash(&name, &self.index.key), name, set))
    }
}

/// Names to choose symbols by, old and new ones in proportion. What comes first by hash is as good as drawn by lot.
fn sample(before: Before, first: &Part, added: usize) -> Vec<Box<[u8]>> {
    let old = (SAMPLE * before.index.len()).checked_div(before.index.len() + added).unwrap_or(0);
    let old = before.index.iter().take(old).map(|(name, _)| name.to_vec().into());
    old.chain(first.names().flatten().map(|item| first.wire(item).into())).take(SAMPLE).collect()
}

/// Two streams in order of hash on their way into one.
struct Merge<'a, I: Iterator<Item = (u64, Listed, SetId)>> {
    writer: Writer,
    before: Peekable<I>,
    from: Before<'a>,
    sets: Interner,
    /// New numbers of old sets, as far as they are known.
    carried: Vec<Option<SetId>>,
    members: Vec<Member>,
}

impl<'a, I: Iterator<Item = (u64, Listed, SetId)>> Merge<'a, I> {
    fn new(writer: Writer, from: Before<'a>, before: Peekable<I>) -> Self {
        let carried = vec![None; from.index.sets()];
        Self { writer, before, from, sets: Interner::default(), carried, members: Vec::new() }
    }

    /// Takes in the part that was taken, all that follow, and what is left of the old names.
    fn all(&mut self, added: &mut Added, part: &mut Part) -> Result<Index, Full> {
        loop {
            self.add(part)?;
            if !added.take(part) {
                break;
            }
        }
        while let Some(old) = self.before.next() {
            self.carry(old)?;
        }
        self.writer.finish(&self.sets)
    }

    /// The names that are in, with their reasons.
    fn written(&self) -> impl Iterator<Item = (WireName, Member)> {
        let reasons = |(name, set): (WireName, SetId)| self.sets.members(set).iter().map(move |of| (name.clone(), *of));
        self.writer.names().flat_map(reasons)
    }

    /// Takes in a part of the added names, and all old ones up to its last.
    fn add(&mut self, part: &Part) -> Result<(), Full> {
        for same in part.names() {
            let Some(first) = same.first() else { continue };
            let here = (first.hash, part.wire(first));
            while let Some(old) = self.next_before(|place| place < here) {
                self.carry(old)?;
            }
            let both = self.next_before(|place| place == here);
            self.members.clear();
            self.members.extend(same.iter().map(|item| item.member));
            self.members.extend(both.into_iter().flat_map(|(_, _, set)| self.from.members(set)));
            self.members.sort_unstable();
            self.members.dedup();
            let set = self.sets.number(&self.members);
            self.sets.count(set);
            self.writer.put(here.0, here.1, set)?;
        }
        Ok(())
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
                    return Ok(());
                }
                self.members.sort_unstable();
                let set = self.sets.number(&self.members);
                if let Some(place) = self.carried.get_mut(old as usize) {
                    *place = Some(set);
                }
                set
            }
        };
        self.sets.count(set);
        self.writer.put(hash, &name, set)
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
        let buckets = u32::try_from(names.div_ceil(BUCKET)).map_err(|_| Full)?;
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

    fn finish(&mut self, sets: &Interner) -> Result<Index, Full> {
        self.go_to(self.header.buckets as usize)?;
        self.header.octets = (self.image.len() - self.places.buckets) as u64;
        self.image.align();
        (self.header.sets, self.header.members) = sets.write(&mut self.image).ok_or(Full)?;
        self.header.write(&mut self.image);
        self.image.trim();
        Ok(Index {
            places: self.header.places().ok_or(Full)?,
            key: Key::new(self.header.key),
            header: self.header,
            symbols: Box::new(self.coder.symbols().clone()),
            image: std::mem::take(&mut self.image),
        })
    }
}

/// Octets that the buckets of so many names will need, and some more: what is too much is given back.
fn expected(names: u64, sample: &[Box<[u8]>], coder: &mut Coder) -> usize {
    let mut codes = |wire: &[u8]| coder.code(wire).map_or(wire.len() - 1, <[u8]>::len);
    let of_sample: usize = sample.iter().map(|wire| codes(wire) + 4).sum();
    (of_sample as u64 * names).checked_div(sample.len() as u64).map_or(0, |octets| octets + octets / 32) as usize
}
