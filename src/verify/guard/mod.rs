//! Names no notice may block, whatever it says, and names whose blocking somebody has to look at first.
//!
//! | what | who says so | what happens |
//! |---|---|---|
//! | the root, a bare top-level domain | [`check`] | refused by the formats: it would be wider than any order |
//! | a public suffix, one of our own names, a protected name | [`Guard::judge`] | the item waits for two persons |
//! | a list that shrinks or grows out of all proportion | [`size::judge`] | the new version waits for one person |
//!
//! The guard asks nobody's kind: a statutory authority and the operator's own lists are judged alike, because the harm is
//! the same. It is made from the configuration once and never changes; a reload makes another.
//!
//! A lookup goes from the top-level domain down and ends at the first name that nothing is known of. For that the table
//! holds, beside every protected name, all names above it; what is above a protected name is what a subtree target must
//! not be.

pub mod names;
pub mod size;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use psl::{List, Psl};
use sha2::{Digest, Sha256};

use crate::model::name::{MAX_LABELS, is_at_or_below, labels, parent};
use crate::model::{DnsName, Scope};
use names::{Protected, Reach};

/// Why an item is refused. The words of [`Refusal::code`] go into receipts and metrics and stay stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `.` would block everything (1Hosts, May 2025).
    #[error("the root cannot be listed: it would block every name")]
    Root,
    /// A single label.
    #[error("a bare top-level domain cannot be listed")]
    TopLevel,
}

impl Refusal {
    /// The stable word for it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::TopLevel => "tld",
        }
    }
}

/// Whether a canonical wire name may be listed.
pub fn check(wire: &[u8]) -> Result<(), Refusal> {
    match labels(wire).take(2).count() {
        0 => Err(Refusal::Root),
        1 => Err(Refusal::TopLevel),
        _ => Ok(()),
    }
}

/// Why an item waits for persons. The words of [`Quarantine::code`] go into the ledger, receipts and metrics and stay
/// stable. Of several reasons the first in this order counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Quarantine {
    /// Many people register names below it.
    #[error("it is a public suffix, below which others register names, or stands right above such suffixes")]
    PublicSuffix,
    /// The resolver answers it itself, or is known by it.
    #[error("it is a name of this resolver, or stands above one")]
    OwnName,
    /// The page that tells people why a name is restricted.
    #[error("it is a name of the block page, or stands above one")]
    BlockPage,
    /// A notice against the one who issues notices is a slip.
    #[error("it is a name of an authority, or stands above one")]
    AuthorityName,
    /// On the shipped list or one of the operator's.
    #[error("it is a protected name, or stands above one")]
    Protected,
}

impl Quarantine {
    /// Every reason.
    pub const ALL: [Self; 5] =
        [Self::PublicSuffix, Self::OwnName, Self::BlockPage, Self::AuthorityName, Self::Protected];

    /// The stable word for it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::PublicSuffix => "public-suffix",
            Self::OwnName => "own-name",
            Self::BlockPage => "block-page",
            Self::AuthorityName => "authority-name",
            Self::Protected => "protected",
        }
    }
}

/// See the module's header.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Guard {
    known: HashMap<Box<[u8]>, Known>,
}

/// What is known of a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Known {
    /// It is protected itself.
    here: Option<Quarantine>,
    /// So is everything below it.
    below: Option<Quarantine>,
    /// A name below it is protected.
    above: Option<Quarantine>,
}

impl Guard {
    /// The guard over the names every resolver has (`names::resolver`) and these.
    pub fn new(protected: impl IntoIterator<Item = (Protected, Quarantine)>) -> Self {
        let mut guard = Self::default();
        let own = names::resolver().map(|name| (name, Quarantine::OwnName));
        own.chain(protected).for_each(|(name, why)| guard.protect(&name, why));
        guard
    }

    /// Whether a target has to wait, and why. `wire` is a canonical wire name.
    pub fn judge(&self, wire: &[u8], scope: Scope) -> Option<Quarantine> {
        let starts = Starts::of(wire);
        if is_public_suffix(wire, &starts, scope) {
            return Some(Quarantine::PublicSuffix);
        }
        self.look_up(wire, &starts, scope)
    }

    /// The protected name that a target would touch, for whoever has to decide; of several the first by wire octets.
    /// `None` where there is no conflict, and for a public suffix. It walks through all names: not for a whole list.
    pub fn touched(&self, wire: &[u8], scope: Scope) -> Option<DnsName> {
        let touches = |name: &[u8], known: &Known| {
            let equal = known.here.is_some() && name == wire;
            let within = known.below.is_some() && is_at_or_below(wire, name);
            let protected = known.here.or(known.below).is_some();
            equal || within || scope == Scope::Subtree && protected && is_at_or_below(name, wire)
        };
        let touched = self.known.iter().filter(|(name, known)| touches(name, known)).map(|(name, _)| name).min();
        touched.and_then(|name| DnsName::from_wire(name).ok())
    }

    /// Tells guards apart: two of the same names have the same.
    pub fn fingerprint(&self) -> String {
        let names: BTreeMap<_, _> = self.known.iter().map(|(name, known)| (name, format!("{known:?}"))).collect();
        let mut hash = Sha256::new();
        names.into_iter().for_each(|(name, known)| {
            hash.update(name); // a wire name ends itself
            hash.update(known);
            hash.update([0]);
        });
        hash.finalize().iter().take(8).map(|octet| format!("{octet:02x}")).collect()
    }

    /// How many names are protected.
    pub fn len(&self) -> usize {
        self.known.values().filter(|known| known.here.or(known.below).is_some()).count()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    fn protect(&mut self, protected: &Protected, why: Quarantine) {
        let wire = protected.name.as_wire();
        let known = self.known.entry(wire.into()).or_default();
        match protected.reach {
            Reach::Name => strengthen(&mut known.here, why),
            Reach::Subtree => strengthen(&mut known.below, why),
        }
        let mut above = parent(wire);
        while let Some(name) = above.filter(|name| name.len() > 1) {
            strengthen(&mut self.known.entry(name.into()).or_default().above, why);
            above = parent(name);
        }
    }

    fn look_up(&self, wire: &[u8], starts: &Starts, scope: Scope) -> Option<Quarantine> {
        let mut why = None;
        for start in starts.top_down() {
            let Some(known) = self.known.get(wire.get(start..)?) else { return why };
            let found = match (start, scope) {
                (0, Scope::Subtree) => [known.here, known.below, known.above],
                (0, Scope::Exact) => [known.here, known.below, None],
                _ => [None, known.below, None],
            };
            found.into_iter().flatten().for_each(|found| strengthen(&mut why, found));
        }
        why
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("names", &self.len()).finish_non_exhaustive()
    }
}

/// Keeps the reason that comes first.
fn strengthen(kept: &mut Option<Quarantine>, why: Quarantine) {
    *kept = Some(kept.map_or(why, |before| before.min(why)));
}

//------ labels from the top -------------------------------------------------------------------------------------------

/// Where the labels of a wire name start.
struct Starts {
    at: [u8; MAX_LABELS + 1],
    count: usize,
}

impl Starts {
    fn of(wire: &[u8]) -> Self {
        let mut starts = Self { at: [0; MAX_LABELS + 1], count: 0 };
        let mut at = 0;
        while let (Some(&len @ 1..), Some(start)) = (wire.get(at), starts.at.get_mut(starts.count)) {
            *start = at as u8; // a name has 255 octets at most
            (at, starts.count) = (at + 1 + usize::from(len), starts.count + 1);
        }
        starts
    }

    /// The last label's first.
    fn top_down(&self) -> impl Iterator<Item = usize> {
        self.at.iter().take(self.count).rev().map(|start| usize::from(*start))
    }
}

//------ public suffixes -----------------------------------------------------------------------------------------------

/// Stands for any label where the list has `*`; no rule spells it out.
const ANY: &[u8] = b"\0";

/// Whether a rule of the Public Suffix List, of its ICANN or its private section, makes the name a suffix; for a subtree
/// also whether a wildcard rule makes one of every name right below it. The list's default, that a top-level domain it
/// does not know is a suffix, is no rule.
fn is_public_suffix(wire: &[u8], starts: &Starts, scope: Scope) -> bool {
    let label = |start: usize| {
        let end = start + 1 + wire.get(start).map_or(0, |len| usize::from(*len));
        wire.get(start + 1..end).unwrap_or_default()
    };
    let below = (scope == Scope::Subtree).then_some(ANY);
    let found = List.find(starts.top_down().map(label).chain(below));
    // of text without a dot at its end: a wire name has an octet of length for every dot, one more, and the root
    found.typ.is_some() && starts.count > 0 && found.len + 2 >= wire.len()
}

#[cfg(test)]
mod tests;
