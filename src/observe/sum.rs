//! [`Sum`]: the blocks of all query threads added up, as metric families. Names and labels are in [`super::metrics`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::counters::{CookieResult, Counters, Dropped, LocalKind, Path, Shed, Transport};
use super::family::Family;
use super::labels::{Labels, MAX_BLOCKED, MAX_HITS};
use super::metrics::{
    BLOCKED, CACHE_FAILURES, CACHE_HITS, CACHE_MISSES, CACHE_PREFETCHES, CACHE_STALE, COOKIES, DROPPED, DURATION,
    EXEMPT, HITS, JOINED, LOCAL, OTHER, QUERIES, RATE_LIMITED, RCODE_LABELS, RESPONSES, RRL_EXCESS, RRL_SLIPPED, SHED,
};

/// The blocks given out so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Blocks(Arc<Mutex<Vec<Arc<Counters>>>>);

impl Blocks {
    pub(super) fn lock(&self) -> MutexGuard<'_, Vec<Arc<Counters>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner) // a list of pointers: a panic leaves it whole
    }
}

/// Adds up the blocks of all threads.
pub(super) struct Sum {
    labels: Arc<Labels>,
    blocks: Blocks,
    descs: Vec<Desc>,
}

impl Collector for Sum {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let blocks = self.blocks.lock().clone();
        let sum = |read: &dyn Fn(&Counters) -> u64| blocks.iter().map(|block| read(block)).sum::<u64>() as f64;
        let single = |family: Family, read: &dyn Fn(&Counters) -> u64| family.with(vec![family.value(&[], sum(read))]);
        let each = |family: Family, labels: &[&str], read: &dyn Fn(&Counters, usize) -> u64| {
            let series = |(n, label): (usize, &&str)| family.value(&[label], sum(&|block| read(block, n)));
            family.with(labels.iter().enumerate().map(series).collect())
        };
        let duration = |(path, label): (Path, &str)| {
            DURATION.histogram(&[label], blocks.iter().map(|block| &block.durations[path as usize]))
        };
        vec![
            each(QUERIES, &Transport::ALL.map(|(_, label)| label), &|block, n| block.queries[n].get()),
            each(RESPONSES, &RCODE_LABELS, &|block, n| block.responses[n].get()),
            each(DROPPED, &Dropped::ALL.map(|(_, label)| label), &|block, n| block.dropped[n].get()),
            self.blocked(&blocks),
            self.hits(&blocks),
            DURATION.with(Path::ALL.map(duration).into()),
            each(SHED, &Shed::ALL.map(|(_, label)| label), &|block, n| block.shed[n].get()),
            each(COOKIES, &CookieResult::ALL.map(|(_, label)| label), &|block, n| block.cookies[n].get()),
            single(RATE_LIMITED, &|block| block.rate_limited.get()),
            single(RRL_EXCESS, &|block| block.rrl_excess.get()),
            single(RRL_SLIPPED, &|block| block.rrl_slipped.get()),
            single(EXEMPT, &|block| block.exempt.get()),
            each(LOCAL, &LocalKind::ALL.map(|(_, label)| label), &|block, n| block.local[n].get()),
            single(CACHE_HITS, &|block| block.cache_hits.get()),
            single(CACHE_MISSES, &|block| block.cache_misses.get()),
            single(CACHE_STALE, &|block| block.cache_stale.get()),
            single(CACHE_FAILURES, &|block| block.cache_failures.get()),
            single(CACHE_PREFETCHES, &|block| block.cache_prefetches.get()),
            single(JOINED, &|block| block.joined.get()),
        ]
    }
}

impl Sum {
    pub(super) fn new(labels: Arc<Labels>, blocks: Blocks, descs: Vec<Desc>) -> Self {
        Self { labels, blocks, descs }
    }

    fn blocked(&self, blocks: &[Arc<Counters>]) -> MetricFamily {
        let counts = totals(blocks, MAX_BLOCKED, |block, slot| block.blocked[slot].get());
        let series = |([authority, category, action], count): (&[&str; 3], u64)| {
            BLOCKED.value(&[action, authority, category], count as f64)
        };
        let combinations = self.labels.blocked_combinations();
        let combinations: Vec<_> = combinations.iter().map(|labels| labels.each_ref().map(String::as_str)).collect();
        BLOCKED.with(owned(&combinations, &[OTHER; 3], &counts).map(series).collect())
    }

    fn hits(&self, blocks: &[Arc<Counters>]) -> MetricFamily {
        let counts = totals(blocks, MAX_HITS, |block, slot| block.hits[slot].get());
        let notices = self.labels.hits();
        let notices: Vec<_> = notices.iter().map(String::as_str).collect();
        let series = |(notice, count): (&&str, u64)| HITS.value(&[notice], count as f64);
        HITS.with(owned(&notices, &OTHER, &counts).map(series).collect())
    }
}

/// Sums of all slots. Read before the labels: a slot has its owner before it is ever counted in, so no count is found
/// without one.
fn totals(blocks: &[Arc<Counters>], slots: usize, read: impl Fn(&Counters, usize) -> u64) -> Vec<u64> {
    (0..slots).map(|slot| blocks.iter().map(|block| read(block, slot)).sum()).collect()
}

/// The owners of the slots with their counts, and `other` with that of the last slot. An owner who is really called
/// `other` is counted there: the same series twice would make Prometheus refuse the whole scrape.
fn owned<'a, L: PartialEq>(owners: &'a [L], other: &'a L, counts: &[u64]) -> impl Iterator<Item = (&'a L, u64)> {
    let counted = owners.iter().zip(counts.iter().copied());
    let last = counts.last().copied().unwrap_or(0);
    let rest = last + counted.clone().filter(|(owner, _)| *owner == other).map(|(_, count)| count).sum::<u64>();
    counted.filter(move |(owner, _)| *owner != other).chain([(other, rest)])
}
