//! [`Index`]: every listed name, immutable, exact.
//!
//! The names stand in [`Layer`]s, which are built for many names at once, and in an overlay of those that have changed
//! since: a single change costs the overlay, not the list. All of them share one hash, so a question is hashed once. Who
//! has a name last says what its set is: first the overlay, then the layers in their order. The octets of a name always
//! decide, never its hash: a false positive blocks an innocent site.
//!
//! Which notices list a name, and with which scope, is a *set*; names that share a set share its number, so a million
//! names of one list cost one set. Sets say nothing about time or precedence: that is [`super::verdict::Snapshot`].

use std::ops::ControlFlow;
use std::sync::Arc;

mod added;
mod bucket;
mod build;
mod image;
mod laid;
mod layer;
mod octets;
mod overlay;
mod sets;
mod symbols;
#[cfg(test)]
mod tests;

pub use build::{Built, Full, Moves, Slot, build};
use image::DEEP;
use laid::{BLOCK, Key, Laid};
pub use layer::Layer;
use overlay::Overlay;
pub use sets::Interner;

use super::chunked::Chunked;
use crate::model::Scope;
use crate::model::name::WireName;

/// Hashes [`Index::warm`] looks at at a time.
const AHEAD: usize = 64;

/// Number of a set of [`Member`]s.
pub type SetId = u32;

/// The sets by their numbers.
pub type Sets = Chunked<Arc<[Member]>>;

/// One reason why a name is in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Member {
    /// The slot of the notice.
    pub notice: u32,
    /// How far it reaches from the name.
    pub scope: Scope,
}

/// The names of all known notices. See the module's header. A copy costs some pointers.
#[derive(Clone, Debug)]
pub struct Index {
    key: Key,
    /// What `key` is made of.
    secret: u128,
    /// Who has a name first has the say.
    layers: Arc<[Arc<Layer>]>,
    overlay: Arc<Overlay>,
    sets: Sets,
    names: usize,
    /// Bit n: there is a name of n labels; bit [`DEEP`]: of so many or more.
    depths: u64,
    /// Most labels of a name.
    deepest: u32,
}

impl Default for Index {
    fn default() -> Self {
        Self::new(rand::random(), Vec::new(), Sets::default())
    }
}

impl Index {
    /// An index of layers that were built together, the one that has the say first; `None` if they were not.
    pub fn of(layers: Vec<Arc<Layer>>, sets: Sets) -> Option<Self> {
        let secret = layers.first()?.secret();
        layers.iter().all(|layer| layer.secret() == secret).then(|| Self::new(secret, layers, sets))
    }

    fn new(secret: u128, layers: Vec<Arc<Layer>>, sets: Sets) -> Self {
        Self {
            key: Key::new(secret),
            secret,
            names: layers.iter().map(|layer| layer.len()).sum(),
            depths: layers.iter().fold(0, |depths, layer| depths | layer.depths()),
            deepest: layers.iter().map(|layer| layer.deepest()).max().unwrap_or(0),
            layers: layers.into(),
            overlay: Arc::default(),
            sets,
        }
    }

    /// Gives a canonical wire name its set, in place of the one it has; `edit` is the number of the change. The sets are
    /// [`Self::set_sets`]'s business.
    pub fn put(&mut self, wire: &[u8], set: SetId, edit: u64) {
        let hash = self.key.hash(wire);
        self.names += usize::from(self.find(wire).is_none());
        let overlay = Arc::make_mut(&mut self.overlay);
        overlay.put(hash, wire, set, edit);
        self.depths |= overlay.depths();
        self.deepest = self.deepest.max(overlay.deepest());
    }

    /// Says what the numbers of sets mean.
    pub fn set_sets(&mut self, sets: Sets) {
        self.sets = sets;
    }

    /// Names that have changed since the layers were built.
    pub fn changed(&self) -> usize {
        self.overlay.len()
    }

    /// The names that changed after the change of this number, with their sets.
    pub fn changed_since(&self, edit: u64) -> impl Iterator<Item = (&[u8], SetId)> {
        self.overlay.since(edit).map(|(_, wire, set)| (wire, set))
    }

    /// All names that have changed since the layers were built, with their sets.
    pub fn all_changed(&self) -> impl Iterator<Item = (&[u8], SetId)> {
        self.overlay.all().map(|(_, wire, set)| (wire, set))
    }

    /// The layers, the one that has the say first.
    pub fn layers(&self) -> &[Arc<Layer>] {
        &self.layers
    }

    /// Calls `visit` with the sets of the names at and above `name`, the longest first, until it breaks; each with the
    /// suffix of `name` it belongs to.
    ///
    /// `name` is a canonical wire name. Takes no lock and allocates nothing.
    #[inline]
    pub fn walk<'n>(&self, name: &'n [u8], mut visit: impl FnMut(SetId, &'n [u8]) -> ControlFlow<()>) {
        let mut name = Laid::new(name);
        if !name.lay() {
            return;
        }
        let mut first = name.labels().saturating_sub(self.deepest as usize);
        let mut hashes = [0; BLOCK];
        while first <= name.labels() {
            let mut mask = self.candidates(&name, first, &mut hashes);
            while mask != 0 {
                let nth = mask.trailing_zeros() as usize;
                mask &= mask - 1;
                let start = name.start(first + nth);
                let Some(set) = hashes.get(nth).and_then(|hash| self.set(*hash, &name, start)) else { continue };
                if visit(set, name.wire().get(start as usize..).unwrap_or_default()).is_break() {
                    return;
                }
            }
            first += BLOCK;
        }
    }

    /// Of the suffixes with `first` labels left out and more, [`BLOCK`] of them: their hashes, and which of them may be
    /// listed.
    #[inline]
    fn candidates(&self, name: &Laid, first: usize, hashes: &mut [u64; BLOCK]) -> u16 {
        let mut possible = 0u16;
        name.suffixes(&self.key, first, |skipped, state| {
            let depth = name.labels() - skipped;
            if self.depths >> depth.min(DEEP) & 1 == 0 {
                return;
            }
            let Some(hash) = hashes.get_mut(skipped - first) else { return };
            *hash = self.key.finish(state);
            possible |= 1 << (skipped - first);
        });
        let mut mask = 0;
        for layer in &*self.layers {
            let buckets = layer.buckets();
            mask |= passing(possible, hashes, |hash| buckets.passes(hash));
        }
        if self.overlay.len() > 0 {
            mask |= passing(possible, hashes, |hash| self.overlay.passes(hash));
        }
        mask
    }

    /// The set of the suffix of `name` that begins at `at` and has this hash.
    #[inline]
    fn set(&self, hash: u64, name: &Laid, at: u32) -> Option<SetId> {
        if self.overlay.len() > 0
            && let Some(set) = self.overlay.find(hash, name.wire().get(at as usize..).unwrap_or_default())
        {
            return Some(set);
        }
        self.layers.iter().find_map(|layer| layer.find(hash, name, at))
    }

    /// Reads what a walk over each of these names will read, for all of them at once: a processor waits for many reads
    /// from memory as long as for one, if none needs another's result.
    pub fn warm<'n>(&self, names: impl Iterator<Item = &'n [u8]>) {
        let Some(layer) = self.layers.last() else { return }; // the longest; the others are in the cache
        let (mut hashes, mut count) = ([0; AHEAD], 0);
        for wire in names {
            let mut name = Laid::new(wire);
            if !name.lay() {
                continue;
            }
            let first = name.labels().saturating_sub(self.deepest as usize);
            name.suffixes(&self.key, first, |skipped, state| {
                let depth = name.labels() - skipped;
                if layer.depths() >> depth.min(DEEP) & 1 == 1
                    && let Some(hash) = hashes.get_mut(count)
                {
                    *hash = self.key.finish(state);
                    count += 1;
                }
            });
        }
        let buckets = layer.buckets();
        let mut likely = 0;
        for n in 0..count {
            let hash = hashes[n];
            hashes[likely] = hash; // without a branch that would wait for the filter
            likely += usize::from(buckets.passes(hash));
        }
        let likely = hashes.get(..likely).unwrap_or_default();
        // first what needs nothing else, so that as much as can be is under way at a time
        let entries = likely.iter().fold(0, |read, hash| read ^ buckets.touch_entry(*hash));
        let records = likely.iter().fold(0, |read, hash| read ^ buckets.touch(*hash));
        std::hint::black_box((entries, records)); // or nothing would be read
    }

    /// The set of exactly this canonical wire name.
    pub fn find(&self, wire: &[u8]) -> Option<SetId> {
        let mut name = Laid::new(wire);
        let hash = name.lay().then(|| name.hash(&self.key))?;
        self.set(hash, &name, 0)
    }

    /// Why the names of a set are listed, in order.
    pub fn members(&self, set: SetId) -> &[Member] {
        self.sets.get(set as usize).map_or(&[], |members| members)
    }

    /// The sets by number.
    pub fn all_sets(&self) -> &Sets {
        &self.sets
    }

    /// How many sets there are; set numbers are below it.
    pub fn sets(&self) -> usize {
        self.sets.len()
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.names
    }

    /// Whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every name with its set, in the order of their hashes: as good as shuffled, and another one with each key.
    pub fn iter(&self) -> impl Iterator<Item = (WireName, SetId)> {
        self.names().map(|(_, name, set)| (name, set))
    }

    /// The same with the hashes.
    fn names(&self) -> impl Iterator<Item = (u64, WireName, SetId)> {
        let overlay: Box<dyn Iterator<Item = _>> = Box::new(self.overlay.names());
        let layers = self.layers.iter().map(|layer| Box::new(layer.names(self.key)) as _);
        Ordered { heads: Vec::new(), rest: std::iter::once(overlay).chain(layers).collect() }.start()
    }

    /// Octets held on the heap.
    pub fn bytes(&self) -> usize {
        self.layers.iter().map(|layer| layer.bytes()).sum::<usize>() + self.overlay.bytes() + self.sets.bytes()
    }
}

/// Which of the `possible` hashes pass.
#[inline]
fn passing(possible: u16, hashes: &[u64; BLOCK], passes: impl Fn(u64) -> bool) -> u16 {
    let (mut mask, mut rest) = (0, possible);
    while rest != 0 {
        let nth = rest.trailing_zeros() as usize;
        rest &= rest - 1;
        mask |= u16::from(hashes.get(nth).is_some_and(|hash| passes(*hash))) << nth;
    }
    mask
}

/// Names in the order of their hashes, out of several lists that have that order. Of those that have the same name, the
/// first has the say.
struct Ordered<'a> {
    heads: Vec<Option<(u64, WireName, SetId)>>,
    rest: Vec<Box<dyn Iterator<Item = (u64, WireName, SetId)> + 'a>>,
}

impl Ordered<'_> {
    fn start(mut self) -> Self {
        self.heads = self.rest.iter_mut().map(Iterator::next).collect();
        self
    }
}

impl Iterator for Ordered<'_> {
    type Item = (u64, WireName, SetId);

    fn next(&mut self) -> Option<Self::Item> {
        let mut first: Option<usize> = None;
        for (at, head) in self.heads.iter().enumerate() {
            let Some((hash, name, _)) = head else { continue };
            let is_before = first.and_then(|first| self.heads[first].as_ref());
            if is_before.is_none_or(|(other, before, _)| (*hash, &**name) < (*other, &**before)) {
                first = Some(at);
            }
        }
        let first = first?;
        let taken = std::mem::replace(&mut self.heads[first], self.rest[first].next())?;
        for (head, rest) in self.heads.iter_mut().zip(&mut self.rest) {
            if head.as_ref().is_some_and(|(hash, name, _)| *hash == taken.0 && **name == *taken.1) {
                *head = rest.next();
            }
        }
        Some(taken)
    }
}
