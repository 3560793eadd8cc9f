//! [`Cache`]: upstreams' answers as bytes, and the questions that failed, each bounded in octets, shared by all
//! workers.
//!
//! The key is name, type, DO and CD of the question (the class is always IN): what an upstream's answer depends on.
//! Policy is not in it; it is decided on every hit, on the name asked and on the names the answer leads to.
//!
//! - An NXDOMAIN for the name asked itself is kept under type 0, which is never looked up, and found for every type of
//!   that name (RFC 2308 §5). Whichever of the two is newer takes the place of what is past its TTL. A question for DS
//!   goes to the zone above the name's (RFC 4035 §3.1.4.1), which may be another upstream's, or public where the name is
//!   ours: what is said to it counts for DS alone.
//! - An answer past its TTL stays until its octets are needed: it may be served stale (RFC 8767), as [`super::core`]
//!   decides.
//! - Failures (RFC 9520) have a map of their own, so that a flood of names that fail pushes out no answer. They are
//!   kept with `[cache] size = 0` as well.
//!
//! A UDP worker has answers that it gave lately at hand ([`near`](super::near)) and asks here seldom.
//!
//! What is under way while the cache is emptied must not come in afterwards: it carries the [`Cache::epoch`] it began
//! in.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

use quick_cache::sync::DefaultLifecycle;
use quick_cache::{DefaultHashBuilder, Lifecycle, Weighter};
use smallvec::SmallVec;

use crate::model::name::{MAX_NAME, is_at_or_below, wire_len};

use super::answer::Answer;
use super::clock::Millis;
use super::query::KEY_TAIL;
use super::reply::Ede;
use super::resolve::{Failure, Outages};
use super::wire::{rcode, rtype, u16_at};

/// Octets an entry costs besides its key and content: map, list and two allocations' heads.
const OVERHEAD: usize = 128;
/// Bound of the kept failures in octets: some 40,000 of them.
const FAILURES: u64 = 8 << 20;
/// How long the first failure of a question is kept (RFC 9520 §3.2: at least 1 s); each that follows twice as long.
const FIRST_FAILURE: Millis = 1_000;
/// How long a failure is kept at most (RFC 9520 §3.2: no more than 5 minutes).
const LONGEST_FAILURE: Millis = 60_000;
/// How long a question must be free of failures to begin anew.
const FORGIVEN: Millis = 300_000;
/// Shortest stay of an answer that is worth fetching ahead.
const WORTH_PREFETCH: Millis = 10_000;

/// Name, type, DO and CD; within the entry if the name is no longer than most, since one more allocation is one more
/// wait for memory.
type Key = SmallVec<[u8; 40]>;

type Map<V, L = DefaultLifecycle<Key, Arc<V>>> = quick_cache::sync::Cache<Key, Arc<V>, Octets, DefaultHashBuilder, L>;

/// See the module's header. A look-up takes one shard's lock for reading and allocates nothing; one that does not find
/// an answer of its type takes another.
#[derive(Debug)]
pub struct Cache {
    answers: Option<Map<Kept, Marks>>,
    failures: Map<Failed>,
    epoch: AtomicU64,
    generation: AtomicU64,
}

/// An answer and its times.
#[derive(Debug)]
pub struct Kept {
    /// The answer.
    pub answer: Answer,
    stored: Millis,
    until: Millis,
    /// Something newer has taken its place, or it had to make room. Not told of what was cleared or flushed: that is what
    /// [`Cache::generation`] is for.
    replaced: AtomicBool,
    /// Whether it is being fetched ahead, or has been.
    prefetched: AtomicBool,
    /// Until when it is served stale without asking again.
    rests_until: AtomicU64,
}

/// A failure of a question.
#[derive(Debug)]
pub struct Failed {
    /// The response code to answer with.
    pub code: u16,
    /// The INFO-CODEs it came with: the upstream's, or ours.
    pub errors: Box<[u16]>,
    /// There is an answer, but too long for UDP and not to be had by TCP: a client may try that way.
    pub truncated: bool,
    /// If no upstream's answer came: their outages, and how many were over by then.
    silent: Option<(Arc<Outages>, u64)>,
    until: Millis,
    lasts: Millis,
}

/// What a look-up finds.
#[derive(Debug)]
pub enum Found {
    /// An answer within its TTL.
    Fresh(Arc<Kept>),
    /// An answer past its TTL.
    Expired(Arc<Kept>),
    /// None.
    Nothing,
}

#[derive(Clone, Debug)]
struct Octets;

/// Has answers marked that leave the map for another, so that nobody goes on with them at hand.
#[derive(Clone, Debug, Default)]
struct Marks(DefaultLifecycle<Key, Arc<Kept>>);

impl Lifecycle<Key, Arc<Kept>> for Marks {
    type RequestState = <DefaultLifecycle<Key, Arc<Kept>> as Lifecycle<Key, Arc<Kept>>>::RequestState;

    fn begin_request(&self) -> Self::RequestState {
        self.0.begin_request()
    }

    fn on_evict(&self, state: &mut Self::RequestState, key: Key, kept: Arc<Kept>) {
        kept.give_up();
        self.0.on_evict(state, key, kept); // freed when the lock is
    }
}

/// Octets of an entry but for its content.
fn entry(key: &Key) -> usize {
    OVERHEAD + size_of::<Key>() + if key.spilled() { key.len() } else { 0 }
}

impl Weighter<Key, Arc<Kept>> for Octets {
    fn weight(&self, key: &Key, kept: &Arc<Kept>) -> u64 {
        (entry(key) + size_of::<Kept>() - size_of::<Answer>() + kept.answer.size()) as u64
    }
}

impl Weighter<Key, Arc<Failed>> for Octets {
    fn weight(&self, key: &Key, failed: &Arc<Failed>) -> u64 {
        (entry(key) + size_of::<Failed>() + failed.errors.len() * 2) as u64
    }
}

impl Kept {
    /// An answer that came at `now` and is kept at most `max_ttl` seconds.
    pub fn new(answer: Answer, now: Millis, max_ttl: u32) -> Self {
        let until = now + u64::from(answer.keep.min(max_ttl)) * 1000;
        let (prefetched, rests_until) = (AtomicBool::new(false), AtomicU64::new(0));
        Self { answer, stored: now, until, replaced: AtomicBool::new(false), prefetched, rests_until }
    }

    /// Whether it is within its TTL, and still what is known.
    pub fn is_good(&self, now: Millis) -> bool {
        now < self.until && !self.replaced.load(Relaxed)
    }

    /// It is not what is known any more.
    fn give_up(&self) {
        self.replaced.store(true, Relaxed);
    }

    /// Whole seconds since it came.
    pub fn age(&self, now: Millis) -> u32 {
        u32::try_from(now.saturating_sub(self.stored) / 1000).unwrap_or(u32::MAX)
    }

    /// Milliseconds since its TTL ended.
    pub fn stale_for(&self, now: Millis) -> Millis {
        now.saturating_sub(self.until)
    }

    /// Whether a refresh failed so lately that it is not tried again (RFC 8767 §5, failure recheck timer).
    pub fn rests(&self, now: Millis) -> bool {
        now < self.rests_until.load(Relaxed)
    }

    /// Whether it is to be fetched ahead: asked for in the last tenth of its time, and the first to see it. Says so
    /// once.
    pub fn wants_prefetch(&self, now: Millis) -> bool {
        let (whole, left) = (self.until - self.stored, self.until.saturating_sub(now));
        let due = whole >= WORTH_PREFETCH && left * 10 < whole && !self.prefetched.load(Relaxed);
        due && !self.prefetched.swap(true, Relaxed)
    }

    /// It could not be fetched ahead now: the next to ask may try.
    pub fn not_prefetched(&self) {
        self.prefetched.store(false, Relaxed);
    }
}

impl Failed {
    fn new(code: u16, errors: impl Into<Box<[u16]>>) -> Self {
        Self { code, errors: errors.into(), truncated: false, silent: None, until: 0, lasts: 0 }
    }

    /// Kept from `now` on, twice as long as `before` unless that was long ago.
    fn after(self, before: Option<&Self>, now: Millis) -> Self {
        let before = before.filter(|before| now < before.until + FORGIVEN);
        let lasts = before.map_or(FIRST_FAILURE, |before| (before.lasts * 2).min(LONGEST_FAILURE));
        Self { until: now + lasts, lasts, ..self }
    }
}

/// The key under which the NXDOMAIN of a name is kept, from the key of any of its types; DS keeps its own.
struct AllTypes([u8; MAX_NAME + KEY_TAIL], usize);

impl AllTypes {
    fn of(key: &[u8]) -> Self {
        let len = key.len().min(MAX_NAME + KEY_TAIL);
        let mut octets = [0; MAX_NAME + KEY_TAIL];
        octets[..len].copy_from_slice(&key[..len]);
        let name = len.saturating_sub(KEY_TAIL);
        if u16_at(key, name) != Some(rtype::DS) {
            octets[name..len.saturating_sub(1)].fill(0);
        }
        Self(octets, len)
    }

    fn key(&self) -> &[u8] {
        &self.0[..self.1]
    }
}

//------ looking up
//--------------------------------------------------------------------------------------------------------

impl Cache {
    /// A cache of answers of at most `size` octets; 0 keeps none.
    pub fn new(size: u64) -> Self {
        let items = |size: u64| usize::try_from(size / 512).unwrap_or(usize::MAX).clamp(64, 4 << 20);
        Self {
            answers: (size > 0).then(|| Map::with(items(size), size, Octets, Default::default(), Marks::default())),
            failures: Map::with_weighter(items(FAILURES), FAILURES, Octets),
            epoch: AtomicU64::new(0),
            generation: AtomicU64::new(0),
        }
    }

    /// What there is under `key`, or for all types of its name.
    #[inline]
    pub fn find(&self, key: &[u8], now: Millis) -> Found {
        let Some(answers) = &self.answers else { return Found::Nothing };
        let exact = match answers.get(key) {
            Some(kept) if now < kept.until => return Found::Fresh(kept),
            exact => exact,
        };
        match (exact, answers.get(AllTypes::of(key).key())) {
            (_, Some(denied)) if now < denied.until => Found::Fresh(denied),
            (Some(exact), Some(denied)) => Found::Expired(if exact.stored > denied.stored { exact } else { denied }),
            (Some(kept), None) | (None, Some(kept)) => Found::Expired(kept),
            (None, None) => Found::Nothing,
        }
    }

    /// The failure kept under `key`, if the question is not to be asked again yet.
    pub fn failed(&self, key: &[u8], now: Millis) -> Option<Arc<Failed>> {
        let is_over = |(outages, then): &(Arc<Outages>, u64)| outages.over() != *then;
        let counts = |failed: &Arc<Failed>| now < failed.until && !failed.silent.as_ref().is_some_and(is_over);
        self.failures.get(key).filter(counts)
    }

    /// Octets in use.
    pub fn bytes(&self) -> u64 {
        self.answers.as_ref().map_or(0, Map::weight) + self.failures.weight()
    }
}

//------ keeping
//-----------------------------------------------------------------------------------------------------------

impl Cache {
    /// Which time between two clearings this is.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(SeqCst)
    }

    /// Which time since a clearing was over this is: what was found before is not to be used any more.
    pub fn generation(&self) -> u64 {
        self.generation.load(SeqCst)
    }

    /// Keeps an answer to a question that was asked in `epoch`. It takes the place of what was known, also if it may
    /// not be kept itself; an NXDOMAIN does so for all types that are past their TTL, anything else for the name's
    /// NXDOMAIN. To be called once for an answer.
    pub fn keep(&self, key: &[u8], kept: &Arc<Kept>, epoch: u64) {
        if epoch != self.epoch() {
            return;
        }
        self.failures.remove(key);
        let Some(answers) = &self.answers else { return };
        let all_types = AllTypes::of(key);
        let (place, refuted) = if kept.answer.denies_name() { (all_types.key(), key) } else { (key, all_types.key()) };
        let remove = |key: &[u8]| answers.remove(key).iter().for_each(|(_, old)| old.give_up());
        remove(refuted);
        if kept.stored < kept.until {
            answers.insert(place.into(), kept.clone()); // what was there is marked
        } else {
            remove(place);
        }
        if epoch != self.epoch() {
            remove(place); // cleared while we did this
            kept.give_up(); // perhaps a worker has it at hand already
        }
    }

    /// Keeps that an upstream answered with an error (RFC 9520 §3.2).
    pub fn keep_error(&self, key: &[u8], answer: &Answer, now: Millis, epoch: u64) {
        // an extended code speaks of the upstream's hop
        let code = if answer.rcode() > 15 { rcode::SERVFAIL } else { answer.rcode() };
        self.fail(key, Failed::new(code, answer.ede().collect::<Vec<_>>()), now, epoch);
    }

    /// Keeps that an answer was too long for UDP and could not be had by TCP.
    pub fn keep_truncated(&self, key: &[u8], now: Millis, epoch: u64) {
        let failed = Failed::new(rcode::SERVFAIL, [Ede::NETWORK_ERROR.0]);
        self.fail(key, Failed { truncated: true, ..failed }, now, epoch);
    }

    /// Keeps that no answer came; it counts until one of these `outages` ends.
    pub fn keep_failure(&self, key: &[u8], failure: Failure, outages: Arc<Outages>, now: Millis, epoch: u64) {
        let over = outages.over();
        let failed = Failed::new(rcode::SERVFAIL, [failure.ede().0]);
        self.fail(key, Failed { silent: Some((outages, over)), ..failed }, now, epoch);
    }

    fn fail(&self, key: &[u8], failed: Failed, now: Millis, epoch: u64) {
        let before = self.failures.get(key);
        let failed = failed.after(before.as_deref(), now);
        if epoch == self.epoch() {
            self.failures.insert(key.into(), Arc::new(failed));
        }
    }

    /// Lets the answers a question has be served stale until `until` without asking again.
    pub fn rest(&self, key: &[u8], until: Millis) {
        let Some(answers) = &self.answers else { return };
        for key in [key, AllTypes::of(key).key()] {
            if let Some(kept) = answers.peek(key) {
                kept.rests_until.store(until, Relaxed);
            }
        }
    }
}

//------ forgetting
//--------------------------------------------------------------------------------------------------------

impl Cache {
    /// Forgets everything, and what is under way.
    pub fn clear(&self) {
        self.epoch.fetch_add(1, SeqCst);
        if let Some(answers) = &self.answers {
            answers.clear();
        }
        self.failures.clear();
        self.generation.fetch_add(1, SeqCst);
    }

    /// Forgets what is kept for `name` (canonical, wire) or, with `subtree`, for the names below it too: answers of
    /// every type, answers of other names that lead there, NXDOMAINs, failures, and whatever is under way. Returns how
    /// many entries it was. It looks at every entry, so it is for people, not for the packet path.
    pub fn flush(&self, name: &[u8], subtree: bool) -> u64 {
        self.epoch.fetch_add(1, SeqCst);
        let hit = |other: &[u8]| other == name || subtree && is_at_or_below(other, name);
        let key_hit = |key: &[u8]| key.split_last_chunk::<KEY_TAIL>().is_some_and(|(name, _)| hit(name));
        let count = Cell::new(0);
        let keep = |found: bool| {
            count.set(count.get() + u64::from(found));
            !found
        };
        if let Some(answers) = &self.answers {
            answers.retain(|key, kept| keep(key_hit(key) || names(kept.answer.targets()).any(hit)));
        }
        self.failures.retain(|key, _| keep(key_hit(key)));
        self.generation.fetch_add(1, SeqCst);
        count.get()
    }
}

/// The names that stand end to end.
fn names(mut all: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (name, rest) = all.split_at_checked(wire_len(all)?)?;
        all = rest;
        Some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"\x03www\x07example\x00\x00\x01\x00";
    const OTHER_TYPE: &[u8] = b"\x03www\x07example\x00\x00\x1c\x00";
    const QUESTION: &[u8] = b"\x03www\x07example\x00\x00\x01\x00\x01";

    /// An answer that is kept for 100 s; `rcode` 3 is a denial with an SOA.
    fn answer(rcode: u8) -> Answer {
        let (answers, authorities) = if rcode == 0 { (1, 0) } else { (0, 1) };
        let mut message = vec![0, 0, 0x81, 0x80 | rcode, 0, 1, 0, answers, 0, authorities, 0, 0];
        message.extend_from_slice(QUESTION);
        match rcode {
            0 => message.extend_from_slice(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x64\x00\x04\xc0\x00\x02\x07"),
            _ => {
                message.extend_from_slice(b"\x00\x00\x06\x00\x01\x00\x00\x00\x64\x00\x16\x00\x00");
                message.extend_from_slice(&[0, 0, 0, 100].repeat(5));
            }
        }
        Answer::parse(&message, QUESTION, false).unwrap()
    }

    fn kept(rcode: u8, now: Millis) -> Arc<Kept> {
        Arc::new(Kept::new(answer(rcode), now, 3_600))
    }

    #[track_caller]
    fn rcode_of(found: Found) -> (u16, &'static str) {
        match found {
            Found::Fresh(kept) => (kept.answer.rcode(), "fresh"),
            Found::Expired(kept) => (kept.answer.rcode(), "expired"),
            Found::Nothing => (0, "nothing"),
        }
    }

    #[test]
    fn of_an_answer_and_a_denial_past_their_ttl_the_newer_counts() {
        let cache = Cache::new(1 << 20);
        cache.keep(KEY, &kept(0, 0), 0);
        cache.keep(OTHER_TYPE, &kept(3, 50_000), 0);
        assert_eq!(rcode_of(cache.find(KEY, 99_999)), (0, "fresh"), "data within its TTL stays");
        assert_eq!(rcode_of(cache.find(KEY, 100_000)), (3, "fresh"), "then the name's denial takes its place");
        assert_eq!(rcode_of(cache.find(KEY, 200_000)), (3, "expired"));
        assert_eq!(rcode_of(cache.find(b"\x01a\x00\x00\x01\x00", 0)), (0, "nothing"));
        cache.keep(KEY, &kept(0, 200_000), 0);
        assert_eq!(rcode_of(cache.find(OTHER_TYPE, 200_000)), (0, "nothing"), "data refutes the denial");
        cache.keep(KEY, &kept(3, 300_000), 0);
        assert_eq!(rcode_of(cache.find(KEY, 400_001)), (3, "expired"), "a denial takes the place of its type's data");
    }

    #[test]
    fn what_is_said_of_ds_counts_for_ds_alone() {
        const DS: &[u8] = b"\x03www\x07example\x00\x00\x2b\x00";
        let cache = Cache::new(1 << 20);
        cache.keep(DS, &kept(3, 0), 0);
        assert_eq!(rcode_of(cache.find(DS, 0)), (3, "fresh"));
        assert_eq!(rcode_of(cache.find(KEY, 0)), (0, "nothing"));
        cache.keep(DS, &kept(3, 1_000), 0);
        cache.keep(KEY, &kept(3, 1_000), 0);
        cache.keep(DS, &kept(0, 2_000), 0);
        assert_eq!(rcode_of(cache.find(DS, 2_000)), (0, "fresh"));
        assert_eq!(rcode_of(cache.find(OTHER_TYPE, 2_000)), (3, "fresh"), "nor does it refute anything");
    }

    #[test]
    fn what_began_before_the_cache_was_emptied_is_not_kept() {
        let cache = Cache::new(1 << 20);
        let epoch = cache.epoch();
        cache.clear();
        cache.keep(KEY, &kept(0, 0), epoch);
        cache.keep_failure(KEY, Failure::Silence, Arc::default(), 0, epoch);
        assert_eq!(rcode_of(cache.find(KEY, 0)), (0, "nothing"));
        assert!(cache.failed(KEY, 0).is_none());
    }

    #[test]
    fn what_makes_room_or_way_is_marked() {
        let cache = Cache::new(1 << 20);
        let (first, second, denial) = (kept(0, 0), kept(0, 0), kept(3, 0));
        cache.keep(KEY, &first, 0);
        cache.keep(KEY, &second, 0);
        assert!(!first.is_good(1) && second.is_good(1), "for something newer");
        cache.keep(OTHER_TYPE, &denial, 0);
        cache.keep(KEY, &kept(0, 0), 0);
        assert!(!second.is_good(1) && !denial.is_good(1), "of all types");
        let many: Vec<_> = (0..20_000_u32)
            .map(|n| {
                let (key, kept) = ([&[4][..], &n.to_be_bytes(), &[0, 0, 1, 0]].concat(), kept(0, 0));
                cache.keep(&key, &kept, 0);
                (key, kept)
            })
            .collect();
        let is_there = |key: &[u8]| matches!(cache.find(key, 1), Found::Fresh(_));
        assert!(many.iter().all(|(key, kept)| kept.is_good(1) == is_there(key)));
        let left = many.iter().filter(|(_, kept)| kept.is_good(1)).count();
        assert!((1..10_000).contains(&left), "{left}");
    }

    #[test]
    fn failures_are_kept_twice_as_long_each_time_up_to_a_minute() {
        let cache = Cache::new(0);
        let (mut now, mut lasted) = (0, Vec::new());
        for _ in 0..8 {
            cache.keep_failure(KEY, Failure::Silence, Arc::default(), now, 0);
            let end = (now..).step_by(500).find(|at| cache.failed(KEY, *at).is_none()).unwrap();
            lasted.push((end - now) / 1_000);
            now = end;
        }
        assert_eq!(lasted, [1, 2, 4, 8, 16, 32, 60, 60]);
        now += FORGIVEN;
        cache.keep_failure(KEY, Failure::Silence, Arc::default(), now, 0);
        assert!(cache.failed(KEY, now + 999).is_some() && cache.failed(KEY, now + 1_000).is_none(), "long ago");
        assert!(cache.failed(OTHER_TYPE, now).is_none());
    }

    #[test]
    fn a_flood_of_failures_is_bounded_and_pushes_out_no_answer() {
        let cache = Cache::new(1 << 20);
        cache.keep(KEY, &kept(0, 0), 0);
        let answers = cache.bytes();
        for n in 0..200_000_u32 {
            let key = [&[4][..], &n.to_be_bytes(), &[0, 0, 1, 0]].concat();
            cache.keep_failure(&key, Failure::Silence, Arc::default(), 0, 0);
        }
        assert_eq!(rcode_of(cache.find(KEY, 0)), (0, "fresh"));
        assert!((FAILURES / 2..=FAILURES).contains(&(cache.bytes() - answers)), "{}", cache.bytes());
    }

    #[test]
    fn an_answer_is_fetched_ahead_once_in_the_last_tenth_of_its_time() {
        let kept = kept(0, 0);
        assert!(!kept.wants_prefetch(90_000));
        assert!(kept.wants_prefetch(90_001) && !kept.wants_prefetch(90_001));
        kept.not_prefetched();
        assert!(kept.wants_prefetch(99_999));
        let short = Kept::new(answer(0), 0, 9);
        assert!(!short.wants_prefetch(8_999));
    }
}
