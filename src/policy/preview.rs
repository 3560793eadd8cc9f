//! [`Preview`]: what a notice that is not in force would do to the queries of today, counted and nothing more.
//!
//! While there is one, the data plane looks up in it each name that it does not block. What is kept is how many queries
//! there were for how many of the candidate's names: no name that was asked, no client. There is none most of the time,
//! and then it costs one look a batch.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::index::Index;
use super::verdict::Consider;
use crate::model::{Scope, Targets};

/// See the module's header.
#[derive(Debug)]
pub struct Preview {
    /// The candidate's names; their sets are their numbers.
    index: Index,
    /// By number: whether the name stands for all below it, too.
    subtrees: Bits<u64>,
    /// By number: whether it has been asked for.
    asked: Bits<AtomicU64>,
    queries: AtomicU64,
    started: Instant,
}

/// A bit a number.
type Bits<Word> = Box<[Word]>;

/// What a preview has counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Queries that the candidate would have blocked and the policy in force did not.
    pub queries: u64,
    /// Names of the candidate that they were for, or below.
    pub names: u64,
    /// Names the candidate has.
    pub candidate: u64,
    /// For how long it has counted.
    pub time: Duration,
}

impl Preview {
    /// Of these targets, counting from `now` on.
    pub fn new(targets: &Targets, now: Instant) -> Self {
        let mut index = Index::default();
        let mut subtrees = Vec::new();
        for (wire, scope) in targets.iter() {
            let number = index.find(&wire).unwrap_or_else(|| {
                let next = index.len() as u32; // of a notice that fits into memory as text
                index.put(&wire, next, 0);
                next
            });
            let (word, bit) = place(number);
            subtrees.resize(subtrees.len().max(word + 1), 0);
            subtrees[word] |= u64::from(scope == Scope::Subtree) << bit;
        }
        let asked = subtrees.iter().map(|_| AtomicU64::new(0)).collect();
        Self { index, subtrees: subtrees.into(), asked, queries: AtomicU64::new(0), started: now }
    }

    /// The number of the longest target that lists a canonical wire name. Takes no lock and allocates nothing.
    pub fn find(&self, name: &[u8], consider: Consider) -> Option<u32> {
        let mut found = None;
        self.index.walk(name, |number, suffix| {
            let whole = suffix.len() == name.len() && consider == Consider::All;
            if whole || self.is_subtree(number) {
                found = Some(number);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        found
    }

    fn is_subtree(&self, number: u32) -> bool {
        let (word, bit) = place(number);
        self.subtrees.get(word).is_some_and(|word| word >> bit & 1 == 1)
    }

    /// Counts a query for a name that [`Self::find`] has found.
    pub fn count(&self, number: u32) {
        self.queries.fetch_add(1, Relaxed);
        let (word, bit) = place(number);
        let Some(word) = self.asked.get(word) else { return };
        if word.load(Relaxed) >> bit & 1 == 0 {
            word.fetch_or(1 << bit, Relaxed); // once a name: others go on reading it from their own cache
        }
    }

    /// What has been counted up to `now`.
    pub fn counted(&self, now: Instant) -> Counted {
        Counted {
            queries: self.queries.load(Relaxed),
            names: self.asked.iter().map(|word| u64::from(word.load(Relaxed).count_ones())).sum(),
            candidate: self.index.len() as u64,
            time: now.saturating_duration_since(self.started),
        }
    }
}

/// Word and bit of a number.
fn place(number: u32) -> (usize, u32) {
    ((number / u64::BITS) as usize, number % u64::BITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DnsName;

    use Scope::{Exact, Subtree};

    fn name(text: &str) -> DnsName {
        DnsName::from_text(text).unwrap()
    }

    fn preview(targets: &[(&str, Scope)]) -> Preview {
        let targets: Vec<_> = targets.iter().map(|(text, scope)| (name(text), *scope)).collect();
        Preview::new(&targets.iter().map(|(name, scope)| (name, *scope)).collect(), Instant::now())
    }

    fn finds(preview: &Preview, text: &str, consider: Consider) -> bool {
        preview.find(name(text).as_wire(), consider).is_some()
    }

    #[test]
    fn it_lists_what_a_notice_would() {
        let preview = preview(&[("exact.example", Exact), ("all.example", Subtree)]);
        for listed in ["exact.example", "all.example", "www.all.example", "a.b.all.example"] {
            assert!(finds(&preview, listed, Consider::All), "{listed}");
        }
        for other in ["www.exact.example", "example", "ball.example"] {
            assert!(!finds(&preview, other, Consider::All), "{other}");
        }
        assert!(!finds(&preview, "exact.example", Consider::SubtreesOnly), "as for DS");
        assert!(finds(&preview, "all.example", Consider::SubtreesOnly));
    }

    #[test]
    fn a_name_with_both_scopes_is_one_name() {
        let preview = preview(&[("a.example", Exact), ("a.example", Subtree), ("a.example", Exact)]);
        assert!(finds(&preview, "www.a.example", Consider::All));
        assert_eq!(preview.counted(Instant::now()).candidate, 1);
    }

    #[test]
    fn queries_are_counted_one_by_one_and_names_once() {
        let names: Vec<_> = (0..1_000).map(|n| format!("n{n}.example")).collect();
        let preview = preview(&names.iter().map(|name| (&**name, Subtree)).collect::<Vec<_>>());
        for text in names.iter().take(300).chain(names.iter().take(200)) {
            preview.count(preview.find(name(&format!("www.{text}")).as_wire(), Consider::All).unwrap());
        }
        let later = preview.started + Duration::from_secs(60);
        let time = Duration::from_secs(60);
        assert_eq!(preview.counted(later), Counted { queries: 500, names: 300, candidate: 1_000, time });
    }
}
