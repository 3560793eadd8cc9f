//! [`Targets`]: the names of one notice, on their way into the index.
//!
//! There may be twenty million of them, while the index they go into is built and the one they replace still answers. So
//! the names of a long list stand coded, in half their octets, by symbols chosen from the first few thousand, and anew
//! where the names become others, as those of a list in order of the alphabet do. Their memory goes back to the system
//! as they are taken out.

use std::fmt;

use super::name::{DnsName, MAX_NAME, WireName};
use super::notice::Scope;
use super::pile::Pile;
use super::symbols::{Coder, Symbols};

/// Names are coded from this many octets on; with less it is not worth choosing symbols.
const LONG: usize = 60 << 10;
/// Most octets on the heap.
const HEAP: usize = 64 << 10;
/// Octets of a mapping.
const MAPPED: usize = 256 << 10;

/// How many names symbols are chosen from.
const SAMPLE: usize = 4096;
/// After so many names it is looked at how well the symbols do.
const WINDOW: usize = 1 << 14;

/// Bits of a target's first octet; the second is the number of those that follow.
const SUBTREE: u8 = 1;
const CODED: u8 = 2;

/// See the module's header.
#[derive(Clone, Default)]
pub struct Targets {
    stretches: Vec<Stretch>,
    /// Codes for the last stretch.
    coder: Option<Box<Coder>>,
    window: Window,
    len: usize,
    exact: usize,
}

/// Targets that stand coded by the same symbols; as they are, if there are none.
#[derive(Clone)]
struct Stretch {
    pile: Pile,
    symbols: Option<Box<Symbols>>,
}

/// How well the symbols do.
#[derive(Clone, Copy, Default)]
struct Window {
    names: usize,
    octets: usize,
    coded: usize,
    /// Octets of a thousand that were left at first.
    first: Option<usize>,
}

impl Window {
    fn count(&mut self, octets: usize, coded: usize) {
        self.names += 1;
        self.octets += octets;
        self.coded += coded;
    }

    /// Whether the names have become others than those the symbols are for.
    fn is_over(&mut self) -> bool {
        if self.names < WINDOW {
            return false;
        }
        let left = 1000 * self.coded / self.octets.max(1);
        let first = *self.first.get_or_insert(left);
        *self = Self { first: Some(first), ..Self::default() };
        left > first + first / 8
    }
}

impl Targets {
    /// Adds one target; duplicates are kept, the index folds them.
    pub fn push(&mut self, name: &DnsName, scope: Scope) {
        self.push_wire(name.as_wire(), scope);
    }

    /// Adds one target by its canonical wire octets.
    pub(crate) fn push_wire(&mut self, wire: &[u8], scope: Scope) {
        let is_due = match &self.coder {
            Some(_) => self.window.is_over(),
            None => self.stretches.last().is_some_and(|last| last.pile.len() >= LONG),
        };
        if is_due {
            self.train();
        }
        let codes = self.coder.as_mut().and_then(|coder| coder.code(wire));
        let kind = u8::from(scope == Scope::Subtree) * SUBTREE + u8::from(codes.is_some()) * CODED;
        let octets = codes.unwrap_or_else(|| wire.strip_suffix(&[0]).unwrap_or(wire));
        self.window.count(wire.len(), octets.len());
        if self.stretches.is_empty() {
            self.stretches.push(Stretch { pile: Pile::new(HEAP, MAPPED), symbols: None });
        }
        if let Some(last) = self.stretches.last_mut() {
            last.pile.push(&[kind, octets.len() as u8], octets); // less than MAX_NAME
        }
        self.len += 1;
        self.exact += usize::from(scope == Scope::Exact);
    }

    /// Begins a stretch with symbols chosen from the names before it.
    #[cold]
    fn train(&mut self) {
        let Some(last) = self.stretches.last() else { return };
        let records: Vec<_> = last.pile.chunks().last().into_iter().flat_map(Record::all).collect();
        let latest = &records[records.len().saturating_sub(SAMPLE)..];
        let name = |record: &Record| Box::from(&*record.name(last.symbols.as_deref()));
        let coder = Coder::train(&latest.iter().map(name).collect::<Vec<_>>());
        let symbols = Some(Box::new(coder.symbols().clone()));
        self.stretches.push(Stretch { pile: Pile::new(0, MAPPED), symbols });
        (self.coder, self.window) = (Some(Box::new(coder)), Window::default());
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether one of them has this scope.
    pub fn has(&self, scope: Scope) -> bool {
        match scope {
            Scope::Exact => self.exact > 0,
            Scope::Subtree => self.exact < self.len,
        }
    }

    /// The targets in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = (WireName, Scope)> {
        self.stretches.iter().flat_map(|Stretch { pile, symbols }| {
            let records = pile.chunks().flat_map(Record::all);
            records.map(|record| (record.name(symbols.as_deref()), record.scope()))
        })
    }

    /// Octets they take.
    pub(crate) fn octets(&self) -> usize {
        self.stretches.iter().map(|stretch| stretch.pile.len()).sum()
    }

    /// What the codes of a stretch stand for.
    pub(crate) fn symbols(&self, stretch: usize) -> Option<&Symbols> {
        self.stretches.get(stretch)?.symbols.as_deref()
    }

    /// Takes the targets out, each with the number of its stretch; their memory goes back to the system on the way. The
    /// symbols stay.
    pub(crate) fn drain(&mut self, mut each: impl FnMut(usize, Option<&Symbols>, Record<'_>)) {
        (self.len, self.exact) = (0, 0);
        for (number, stretch) in self.stretches.iter_mut().enumerate() {
            for chunk in stretch.pile.drain() {
                Record::all(&chunk).for_each(|record| each(number, stretch.symbols.as_deref(), record));
            }
        }
    }
}

impl PartialEq for Targets {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl Eq for Targets {}

impl fmt::Debug for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Targets").field("len", &self.len).finish_non_exhaustive()
    }
}

impl<'a> FromIterator<(&'a DnsName, Scope)> for Targets {
    fn from_iter<I: IntoIterator<Item = (&'a DnsName, Scope)>>(targets: I) -> Self {
        let mut all = Self::default();
        for (name, scope) in targets {
            all.push(name, scope);
        }
        all
    }
}

/// A target as it stands among others.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    /// All of it.
    pub(crate) octets: &'a [u8],
}

impl<'a> Record<'a> {
    /// The one that `octets` begin with, and what follows it.
    #[inline]
    pub(crate) fn split(octets: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (octets, rest) = octets.split_at_checked(2 + usize::from(*octets.get(1)?))?;
        Some((Self { octets }, rest))
    }

    fn all(mut octets: &'a [u8]) -> impl Iterator<Item = Self> {
        std::iter::from_fn(move || {
            let (record, rest) = Self::split(octets)?;
            octets = rest;
            Some(record)
        })
    }

    pub(crate) fn scope(self) -> Scope {
        if self.octets[0] & SUBTREE != 0 { Scope::Subtree } else { Scope::Exact }
    }

    fn name(self, symbols: Option<&Symbols>) -> WireName {
        WireName::from_fn(|octets| self.decode(symbols, octets))
    }

    /// Writes the wire name; returns its length.
    #[inline]
    pub(crate) fn decode(self, symbols: Option<&Symbols>, name: &mut [u8; MAX_NAME]) -> Option<usize> {
        let octets = &self.octets[2..];
        let len = if self.octets[0] & CODED != 0 {
            symbols?.decode(octets, name)?
        } else {
            name.get_mut(..octets.len())?.copy_from_slice(octets);
            octets.len()
        };
        *name.get_mut(len)? = 0;
        Some(len + 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn targets_come_back_in_order() {
        let (a, b) = (DnsName::from_text("a.example").unwrap(), DnsName::from_text("b").unwrap());
        let targets = Targets::from_iter([(&a, Scope::Exact), (&b, Scope::Subtree)]);
        let back: Vec<_> = targets.iter().map(|(name, scope)| (name.to_vec(), scope)).collect();
        assert_eq!(back, [(a.as_wire().to_vec(), Scope::Exact), (b.as_wire().to_vec(), Scope::Subtree)]);
        assert_eq!(targets.len(), 2);
        assert!(targets.has(Scope::Exact) && targets.has(Scope::Subtree));
        assert!(!Targets::from_iter([(&a, Scope::Exact)]).has(Scope::Subtree));
        assert!(!Targets::default().has(Scope::Exact) && !Targets::default().has(Scope::Subtree));
    }

    #[test]
    fn symbols_follow_the_names() {
        let listed = |range: std::ops::Range<u32>, name: fn(u32) -> String| -> Vec<_> {
            range.map(|n| DnsName::from_text(&name(n)).unwrap()).collect()
        };
        let names = [
            listed(0..40_000, |n| format!("shop-{n}.example")),
            listed(0..100_000, |n| format!("www.{:08x}.co.test", n.wrapping_mul(0x9e37_79b1))),
        ]
        .concat();
        let targets: Targets = names.iter().map(|name| (name, Scope::Exact)).collect();
        assert!((3..10).contains(&targets.stretches.len()), "{}", targets.stretches.len());
        assert!(targets.iter().map(|(name, _)| name.to_vec()).eq(names.iter().map(|name| name.as_wire().to_vec())));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn long_lists_too(names in prop::collection::vec(("([a-z0-9-]{1,20}\\.|\\\\[0-2][0-4][0-9]){1,5}(com|example)", any::<bool>()), 100..200)) {
            let names: Vec<_> = names.iter().filter_map(|(name, exact)| {
                let scope = if *exact { Scope::Exact } else { Scope::Subtree };
                Some((DnsName::from_text(name).ok()?, scope))
            }).collect();
            let many = || names.iter().cycle().take(20_000).map(|(name, scope)| (name, *scope));
            let mut targets = Targets::from_iter(many());
            prop_assert!(targets.octets() < many().map(|(name, _)| name.as_wire().len() + 1).sum::<usize>());
            let whole = |(name, scope): (&DnsName, Scope)| (name.as_wire().to_vec(), scope);
            let back = |targets: &Targets| targets.iter().map(|(name, scope)| (name.to_vec(), scope)).collect::<Vec<_>>();
            prop_assert_eq!(back(&targets), many().map(whole).collect::<Vec<_>>());
            let copy = targets.clone();
            prop_assert!(copy == targets);
            let mut drained = Vec::new();
            targets.drain(|_, symbols, record| drained.push((record.name(symbols).to_vec(), record.scope())));
            prop_assert_eq!(drained, back(&copy));
            prop_assert!(targets.is_empty() && copy != targets);
        }
    }
}
