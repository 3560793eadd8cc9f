//! [`Register`]: the notices and names as the control plane changes them; a [`Snapshot`] is taken of it.
//!
//! ```text
//! notices and names --change--> slots, sets, rules, digest --snapshot--> Snapshot
//!                                 |                   ^
//!                                 +--merge--> (another thread) --install
//! ```
//!
//! A change costs what it changes, however many names there are. Each notice has a *slot*, whose number stands in the sets of its
//! names. A notice that comes puts its names into the overlay of the [`Index`]; one that goes leaves its names where
//! they are, in sets that no notice in force is left of. Only rules of sets that a changed notice is in are decided
//! anew. When much has piled up, a [`Merge`] is due; a change that is itself large builds the layers at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

use super::chunked::Chunked;
use super::compile::{Entry, Rule, rule};
use super::diff::Diff;
use super::digest::Digests;
use super::index::{Built, Full, Index, Interner, Layer, Member, Moves, SetId, Slot, build};
use super::lifts::Lifts;
use super::pages::Page;
use super::verdict::Snapshot;
use crate::model::{AuthorityKind, DnsName, Sensitivity, Targets};

/// When a register does what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// A change of more names than this builds the layers anew.
    pub(super) large: usize,
    /// Names in the overlay, or slots and sets that are of no use any more, from which a merge is due.
    pub(super) due: usize,
    /// Names in the overlay that no change may exceed without building the layers anew.
    pub(super) most: usize,
}

const LIMITS: Limits = Limits { large: 4_096, due: 4_096, most: 65_536 };

/// Entries by slot; a slot without a notice has none.
pub type Entries = Chunked<Option<Arc<Entry>>>;

/// What came of a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The targets that came into force and were lifted.
    pub diff: Diff,
    /// Whether some name may be answered otherwise than before.
    pub differs: bool,
}

/// See the module's header.
#[derive(Debug)]
pub struct Register {
    index: Index,
    sets: Interner,
    rules: Chunked<Rule>,
    entries: Entries,
    slots: Vec<State>,
    /// Slots that may be given to another notice.
    free: Vec<u32>,
    /// Slots without a notice that sets may still have.
    gone: Vec<u32>,
    /// When slots change by themselves.
    timeline: BTreeSet<(Timestamp, u32)>,
    digests: Digests,
    /// The instant the rules are decided for.
    now: Timestamp,
    /// Names in force.
    names: u64,
    /// Notices, in force or not.
    notices: usize,
    /// Number of the last change.
    edit: u64,
    /// How many names had each set after the last build.
    built: Vec<u64>,
    /// Notices that have gone while their names stood in layers.
    left: u64,
    /// Notices that have come or gone.
    moves: u64,
    /// Counts builds, so that a merge that was overtaken by one is not installed.
    builds: u64,
    /// A merge is under way.
    merging: bool,
    lifts: Lifts,
    limits: Limits,
}

/// What is known of a slot.
#[derive(Clone, Debug, Default)]
struct State {
    /// Its notice is in force.
    live: bool,
    kind: Slot,
    /// The sets it is in.
    sets: Vec<SetId>,
}

/// What decides about the answers of a notice in force.
type Answer = ([u8; 32], AuthorityKind, u32, Page);

/// What a change has done so far.
#[derive(Default)]
struct Batch {
    /// Sets whose rules are to be decided anew.
    dirty: BTreeSet<SetId>,
    /// Names that had another set before.
    moved: HashMap<Box<[u8]>, (Option<SetId>, SetId)>,
    /// How many more notices there are now that answer so.
    answers: HashMap<Answer, i64>,
}

impl Default for Register {
    fn default() -> Self {
        Self::new(Timestamp::UNIX_EPOCH)
    }
}

impl std::ops::Add for Change {
    type Output = Self;

    /// One after the other.
    fn add(self, next: Self) -> Self {
        let diff = Diff { added: self.diff.added + next.diff.added, lifted: self.diff.lifted + next.diff.lifted };
        Self { diff, differs: self.differs || next.differs }
    }
}

impl Register {
    /// Without notices, at an instant.
    pub fn new(now: Timestamp) -> Self {
        Self::with_limits(now, LIMITS)
    }

    /// As small as it takes to see every way a change goes: see [`Limits`].
    #[cfg(test)]
    pub(crate) fn small(large: usize, due: usize, most: usize) -> Self {
        Self::with_limits(Timestamp::UNIX_EPOCH, Limits { large, due, most })
    }

    pub(super) fn with_limits(now: Timestamp, limits: Limits) -> Self {
        Self {
            limits,
            index: Index::default(),
            sets: Interner::default(),
            rules: Chunked::default(),
            entries: Chunked::default(),
            slots: Vec::new(),
            free: Vec::new(),
            gone: Vec::new(),
            timeline: BTreeSet::new(),
            digests: Digests::default(),
            now,
            names: 0,
            notices: 0,
            edit: 0,
            built: Vec::new(),
            left: 0,
            moves: 0,
            builds: 0,
            merging: false,
            lifts: Lifts::default(),
        }
    }

    /// Takes notices out and in, all at once, and lets time pass until `now`; returns the slots of the new ones. Of
    /// many names the memory is given back on the way. If there are too many, nothing changes.
    ///
    /// `gone` are slots that this gave out before.
    pub fn change(
        &mut self,
        gone: &[u32],
        mut new: Vec<(Entry, &mut Targets)>,
        now: Timestamp,
    ) -> Result<(Vec<u32>, Change), Full> {
        let names = new.iter().map(|(_, targets)| targets.len()).sum::<usize>();
        let large = names > self.limits.large || names + self.index.changed() > self.limits.most;
        let given = self.numbers(new.len());
        let built = if large { Some(self.build(gone, &given, &mut new)?) } else { None };
        let mut batch = Batch::default();
        self.edit += 1;
        self.free.truncate(self.free.len().saturating_sub(given.len()));
        gone.iter().for_each(|slot| self.take_out(*slot, &mut batch));
        for (slot, (entry, targets)) in given.iter().zip(new) {
            self.take_in(*slot, entry, &mut batch);
            if built.is_none() {
                targets.iter().for_each(|(wire, scope)| self.list(&wire, Member { notice: *slot, scope }, &mut batch));
            }
        }
        self.pass(now, &mut batch);
        let differs = batch.answers.values().any(|count| *count != 0);
        let diff = match built {
            Some(built) => self.replace(built),
            None => self.decide(batch),
        };
        Ok((given, Change { diff, differs }))
    }

    /// Lets time pass.
    pub fn at(&mut self, now: Timestamp) -> Change {
        self.change(&[], Vec::new(), now).map(|(_, change)| change).unwrap_or_default() // adds no name
    }

    /// Prepares notices anew, after what they are prepared by has changed.
    pub fn update(&mut self, entries: impl Iterator<Item = (u32, Entry)>) -> Change {
        let mut batch = Batch::default();
        for (slot, entry) in entries {
            let live = self.is_live(slot);
            if let Some(old) = self.entry(slot).filter(|_| live) {
                *batch.answers.entry(answer(old)).or_default() -= 1;
                *batch.answers.entry(answer(&entry)).or_default() += 1;
            }
            batch.dirty.extend(self.slots.get(slot as usize).into_iter().flat_map(|state| &state.sets));
            self.entries.set(slot as usize, Some(Arc::new(entry)));
        }
        let differs = batch.answers.values().any(|count| *count != 0);
        Change { diff: self.decide(batch), differs }
    }

    /// When the next notice takes effect or expires.
    pub fn next_change(&self) -> Option<Timestamp> {
        self.timeline.first().map(|(at, _)| *at)
    }

    /// How many notices it has, in force or not.
    pub fn notices(&self) -> usize {
        self.notices
    }

    /// The instant the rules are decided for.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The policy as it is now.
    pub fn snapshot(&self, ttl: u32, serial: u32) -> Snapshot {
        Snapshot {
            serial,
            built_at: self.now,
            digest: self.lifts.digest(self.digests.total()),
            ttl,
            index: self.index.clone(),
            rules: self.rules.clone(),
            entries: self.entries.clone(),
            names: self.names,
            notices: self.notices,
            lifts: self.lifts.clone(),
        }
    }

    /// Takes over the names that people have lifted; returns whether they are others than before.
    pub fn lift(&mut self, lifts: Lifts) -> bool {
        let differ = lifts != self.lifts;
        self.lifts = lifts;
        differ
    }

    /// The names a slot's notice lists. Reads all names.
    pub fn targets(&self, slot: u32) -> Targets {
        let mut targets = Targets::default();
        for (wire, set) in self.index.iter() {
            for member in self.index.members(set).iter().filter(|member| member.notice == slot) {
                if let Ok(name) = DnsName::from_wire(&wire) {
                    targets.push(&name, member.scope);
                }
            }
        }
        targets
    }

    /// Numbers for new notices.
    fn numbers(&self, count: usize) -> Vec<u32> {
        self.free.iter().rev().copied().chain(self.slots.len() as u32..).take(count).collect()
    }

    fn entry(&self, slot: u32) -> Option<&Entry> {
        self.entries.get(slot as usize)?.as_deref()
    }

    fn is_live(&self, slot: u32) -> bool {
        self.slots.get(slot as usize).is_some_and(|state| state.live)
    }

    fn take_out(&mut self, slot: u32, batch: &mut Batch) {
        let Some(entry) = self.entries.get(slot as usize).cloned().flatten() else { return };
        if let Some(at) = entry.notice.validity.next_change(self.now) {
            self.timeline.remove(&(at, slot));
        }
        self.set_live(slot, false, batch);
        self.entries.set(slot as usize, None);
        let state = &mut self.slots[slot as usize];
        state.kind = Slot::Gone;
        self.left += u64::from(state.sets.iter().any(|set| (*set as usize) < self.built.len()));
        self.gone.push(slot);
        self.moves += 1;
        self.notices -= 1;
    }

    fn take_in(&mut self, slot: u32, entry: Entry, batch: &mut Batch) {
        let kind = kind(&entry);
        if self.slots.len() <= slot as usize {
            self.slots.resize(slot as usize + 1, State::default());
        }
        self.slots[slot as usize] = State { live: false, kind, sets: Vec::new() };
        let validity = entry.notice.validity;
        self.entries.set(slot as usize, Some(Arc::new(entry)));
        self.moves += 1;
        self.notices += 1;
        if let Some(at) = validity.next_change(self.now) {
            self.timeline.insert((at, slot));
        }
        if validity.contains(self.now) {
            self.set_live(slot, true, batch);
        }
    }

    /// Its notice is in force from now on, or no more.
    fn set_live(&mut self, slot: u32, live: bool, batch: &mut Batch) {
        let Some(state) = self.slots.get_mut(slot as usize).filter(|state| state.live != live) else { return };
        state.live = live;
        batch.dirty.extend(&state.sets);
        let Some(entry) = self.entries.get(slot as usize).and_then(Option::as_deref) else { return };
        *batch.answers.entry(answer(entry)).or_default() += if live { 1 } else { -1 };
        match live {
            true => self.digests.add(entry.notice.digest),
            false => self.digests.remove(entry.notice.digest),
        }
    }

    /// Lists a name for one more reason.
    fn list(&mut self, wire: &[u8], member: Member, batch: &mut Batch) {
        let before = self.index.find(wire);
        let mut members: Vec<_> = before.map_or(&[][..], |set| self.index.members(set)).to_vec();
        members.retain(|member| self.slots.get(member.notice as usize).is_some_and(|slot| slot.kind != Slot::Gone));
        members.push(member);
        members.sort_unstable();
        members.dedup();
        let set = self.number(&members, batch);
        self.sets.count(set);
        if let Some(before) = before {
            self.sets.discount(before);
        }
        self.index.put(wire, set, self.edit);
        batch.moved.entry(wire.into()).or_insert((before, set)).1 = set;
    }

    /// The number of a set.
    fn number(&mut self, members: &[Member], batch: &mut Batch) -> SetId {
        let set = self.sets.number(members);
        if set as usize == self.index.sets() {
            self.index.set_sets(self.sets.sets().clone());
            self.mention(set, members);
            batch.dirty.insert(set);
        }
        set
    }

    fn mention(&mut self, set: SetId, members: &[Member]) {
        for member in members {
            if let Some(state) = self.slots.get_mut(member.notice as usize)
                && state.sets.last() != Some(&set)
            {
                state.sets.push(set);
            }
        }
    }

    /// Lets time pass; where it goes back, all notices are looked at.
    fn pass(&mut self, now: Timestamp, batch: &mut Batch) {
        if now < self.now {
            self.timeline.clear();
            let slots = self.slots.len() as u32;
            (0..slots).for_each(|slot| self.look(slot, now, batch));
        }
        while let Some((_, slot)) = self.timeline.first().copied().filter(|(at, _)| *at <= now) {
            self.timeline.pop_first();
            self.look(slot, now, batch);
        }
        self.now = now;
    }

    /// Looks whether a notice is in force, and when to look again.
    fn look(&mut self, slot: u32, now: Timestamp, batch: &mut Batch) {
        let Some(validity) = self.entry(slot).map(|entry| entry.notice.validity) else { return };
        self.set_live(slot, validity.contains(now), batch);
        if let Some(at) = validity.next_change(now) {
            self.timeline.insert((at, slot));
        }
    }

    /// Decides the rules of a batch's sets, and counts what that changes.
    fn decide(&mut self, batch: Batch) -> Diff {
        let mut moved: HashMap<(Option<SetId>, SetId), u64> = HashMap::new();
        let mut arrived: HashMap<SetId, u64> = HashMap::new();
        for way in batch.moved.into_values() {
            *moved.entry(way).or_default() += 1;
            *arrived.entry(way.1).or_default() += 1;
        }
        let before: HashMap<_, _> =
            moved.keys().filter_map(|(from, _)| *from).map(|set| (set, self.rule(set))).collect();
        let mut diff = Diff::default();
        for set in batch.dirty {
            let (old, new) = (self.rule(set), self.decided(set));
            let stayed = self.sets.names_in(set) - arrived.get(&set).copied().unwrap_or(0);
            self.count(&mut diff, old, new, stayed);
            self.rules.set(set as usize, new);
        }
        for ((from, to), names) in moved {
            let old = from.and_then(|from| before.get(&from)).copied().unwrap_or_default();
            self.count(&mut diff, old, self.rule(to), names);
        }
        diff
    }

    fn count(&mut self, diff: &mut Diff, before: Rule, after: Rule, names: u64) {
        diff.count(before, after, names);
        self.names = self.names + u64::from(after.is_live()) * names - u64::from(before.is_live()) * names;
    }

    fn rule(&self, set: SetId) -> Rule {
        self.rules.get(set as usize).copied().unwrap_or_default()
    }

    fn decided(&self, set: SetId) -> Rule {
        rule(self.index.members(set), |slot| self.entry(slot).filter(|_| self.is_live(slot)))
    }

    /// Builds layers of all names that stay and the new ones.
    fn build(&self, gone: &[u32], given: &[u32], new: &mut [(Entry, &mut Targets)]) -> Result<Built, Full> {
        let mut slots: Vec<_> = self.slots.iter().map(|state| state.kind).collect();
        gone.iter().for_each(|slot| slots[*slot as usize] = Slot::Gone);
        for (slot, (entry, _)) in given.iter().zip(&*new) {
            slots.resize(slots.len().max(*slot as usize + 1), Slot::Gone);
            slots[*slot as usize] = kind(entry);
        }
        let taken = given.iter().zip(&mut *new).map(|(slot, (_, targets))| (*slot, std::mem::take(*targets)));
        let mut added: Vec<_> = taken.collect();
        let built = build(&self.index, self.sets.counts(), &slots, &mut added);
        if built.is_err() {
            new.iter_mut().zip(added).for_each(|((_, place), (_, targets))| **place = targets);
        }
        built
    }

    /// Puts new layers in the place of index and sets.
    fn replace(&mut self, built: Built) -> Diff {
        let Built { index, sets, moves } = built;
        let old = std::mem::take(&mut self.rules);
        self.put_in(index, sets);
        let rule = |rules: &Chunked<Rule>, set: Option<SetId>| {
            set.and_then(|set| rules.get(set as usize)).copied().unwrap_or_default()
        };
        let mut diff = Diff::default();
        for ((from, to), names) in moves.all() {
            let (before, after) = (rule(&old, from), rule(&self.rules, to));
            self.count(&mut diff, before, after, names);
        }
        self.free.append(&mut self.gone);
        diff
    }

    fn put_in(&mut self, index: Index, sets: Interner) {
        (self.index, self.sets) = (index, sets);
        self.slots.iter_mut().for_each(|state| state.sets.clear());
        for set in 0..self.index.sets() as SetId {
            let members = self.index.members(set).to_vec();
            self.mention(set, &members);
        }
        self.rules = (0..self.index.sets() as SetId).map(|set| self.decided(set)).collect();
        (self.built, self.builds) = (self.sets.counts().to_vec(), self.builds + 1);
    }

    /// Changes with what there is to store: layers that are built, and notices of theirs that go.
    pub fn version(&self) -> u64 {
        self.builds + self.left
    }

    /// How many notices have come or gone so far.
    pub fn moves(&self) -> u64 {
        self.moves
    }

    /// What the notices of these slots list, for those whose names stand in no layer. Reads the names that have changed
    /// since the layers were built, not all.
    pub fn recent(&self, slots: &BTreeSet<u32>) -> BTreeMap<u32, Targets> {
        let mut recent: BTreeMap<u32, Targets> = slots.iter().map(|slot| (*slot, Targets::default())).collect();
        for (wire, set) in self.index.all_changed() {
            for member in self.index.members(set) {
                if let Some(targets) = recent.get_mut(&member.notice) {
                    targets.push_wire(wire, member.scope);
                }
            }
        }
        recent
    }

    /// The layers as they were built, for a file. Their sets may have slots without a notice.
    pub fn layers(&self) -> Layers {
        let sets = self.index.all_sets().iter().cloned();
        Layers { layers: self.index.layers().to_vec(), sets: sets.zip(self.built.iter().copied()).collect() }
    }

    /// The slots that stand in the sets of the layers.
    pub fn slots_in_layers(&self) -> impl Iterator<Item = u32> {
        let sets = self.index.all_sets().iter().take(self.built.len());
        sets.flat_map(|members| members.iter()).map(|member| member.notice)
    }

    /// Takes over layers from a file and the notices they are about, by their slots; to be done before anything else.
    pub fn restore(&mut self, stored: Layers, notices: Vec<(u32, Entry)>, now: Timestamp) {
        let sets = Interner::of(stored.sets.into_iter());
        let Some(index) = Index::of(stored.layers, sets.sets().clone()) else { return };
        let mut moves = Moves::default();
        (0..).zip(sets.counts()).for_each(|(set, names)| moves.count_all(None, Some(set), *names));
        self.now = now;
        let mut batch = Batch::default(); // all rules are decided anyway
        notices.into_iter().for_each(|(slot, entry)| self.take_in(slot, entry, &mut batch));
        let slots =
            sets.sets().iter().flat_map(|members| members.iter()).map(|member| member.notice as usize + 1).max();
        self.slots.resize(self.slots.len().max(slots.unwrap_or(0)), State::default());
        self.replace(Built { index, sets, moves });
        self.gone = (0..self.slots.len() as u32).filter(|slot| self.entry(*slot).is_none()).collect();
    }

    /// What there is to merge, if it is time; to be carried out by another thread.
    pub fn merge(&mut self) -> Option<Merge> {
        let useless = self.gone.len().max(self.index.sets() - self.built.len()).max(self.dead());
        if self.merging || self.index.changed().max(useless) < self.limits.due {
            return None;
        }
        self.merging = true;
        Some(Merge {
            index: self.index.clone(),
            counts: self.sets.counts().to_vec(),
            slots: self.slots.iter().map(|state| state.kind).collect(),
            gone: self.gone.clone(),
            edit: self.edit,
            builds: self.builds,
        })
    }

    /// Names that no notice lists any more, if they are many among all.
    fn dead(&self) -> usize {
        let is_gone =
            |member: &Member| self.slots.get(member.notice as usize).is_none_or(|slot| slot.kind == Slot::Gone);
        let counts = (0..).zip(self.sets.counts());
        let dead =
            counts.filter(|(set, _)| self.index.members(*set).iter().all(is_gone)).map(|(_, names)| *names as usize);
        Some(dead.sum()).filter(|dead| *dead > self.index.len() / 4).unwrap_or(0)
    }

    /// What was to be merged will not be: it is due again.
    pub fn merge_later(&mut self) {
        self.merging = false;
    }

    /// Takes over what has been merged, and what has changed meanwhile. No answer changes.
    pub fn install(&mut self, merged: Merged) {
        self.merging = false;
        let Merged { built, gone, edit, builds } = merged;
        let Ok(built) = built else { return }; // too many names: the next change will say so
        if builds != self.builds {
            return;
        }
        let old = std::mem::take(&mut self.index);
        self.put_in(built.index, built.sets);
        let later: Vec<_> = old.changed_since(edit).collect();
        self.edit += 1;
        let mut batch = Batch::default();
        for (wire, set) in later {
            let there = |member: &&Member| self.slots[member.notice as usize].kind != Slot::Gone;
            let members: Vec<_> = old.members(set).iter().filter(there).copied().collect();
            let before = self.index.find(wire);
            let set = self.number(&members, &mut batch);
            self.sets.count(set);
            before.into_iter().for_each(|before| self.sets.discount(before));
            self.index.put(wire, set, self.edit);
        }
        for set in batch.dirty {
            self.rules.set(set as usize, self.decided(set));
        }
        self.gone.drain(..gone.len()); // more have only been added behind them
        self.free.extend(gone);
    }
}

/// The layers of a [`Register`] as a file keeps them.
#[derive(Clone, Debug)]
pub struct Layers {
    /// As in [`Index::layers`].
    pub layers: Vec<Arc<Layer>>,
    /// The sets by number, each with how many names have it.
    pub sets: Vec<(Arc<[Member]>, u64)>,
}

/// The layers and the overlay of a register, to be made into new layers.
#[derive(Debug)]
pub struct Merge {
    index: Index,
    counts: Vec<u64>,
    slots: Vec<Slot>,
    gone: Vec<u32>,
    edit: u64,
    builds: u64,
}

impl Merge {
    /// Does it; takes its time.
    pub fn run(self) -> Merged {
        let Self { index, counts, slots, gone, edit, builds } = self;
        Merged { built: build(&index, &counts, &slots, &mut []), gone, edit, builds }
    }
}

/// What came of a [`Merge`].
#[derive(Debug)]
pub struct Merged {
    built: Result<Built, Full>,
    gone: Vec<u32>,
    edit: u64,
    builds: u64,
}

fn kind(entry: &Entry) -> Slot {
    if entry.notice.sensitivity == Sensitivity::Secret { Slot::Secret } else { Slot::Open }
}

fn answer(entry: &Entry) -> Answer {
    (entry.notice.digest, entry.kind, entry.rank, entry.page)
}
