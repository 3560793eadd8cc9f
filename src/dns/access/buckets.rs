//! [`Buckets`]: how much each of very many keys has used lately: a table of fixed size that all threads share without a
//! lock.
//!
//! A bucket is one atomic number: 24 bits of the key's hash and 40 bits of time, the instant by which everything taken
//! so far is paid for (the *theoretical arrival time* of GCRA, which is a token bucket seen from the other side). Eight
//! buckets are a set and one cache line; a key may stand in any of the eight of its set, and takes the place of the one
//! that is paid for soonest.
//!
//! Mistakes are to the client's favour. A table that is too small for an attack forgets, and what is forgotten starts
//! with a full bucket: spoofed addresses can never use up somebody else's. The exception is two keys of one set with
//! the same 24 bits, one pair in two million; the hash has a key of this process, so nobody can look for such a pair.

use std::hash::Hasher;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use siphasher::sip::SipHasher13;

use crate::dns::clock::Millis;

/// Buckets of a set: 64 octets, a cache line.
const WAYS: usize = 8;
/// Low bits of a bucket: microseconds, modulo 12 days.
const TIME_BITS: u32 = 40;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
/// How often a bucket that others write at the same moment is tried; after that the client is believed.
const TRIES: usize = 16;
const MICROS: u64 = 1_000_000;

/// How much may be taken out of a bucket; times in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What one costs.
    interval: u64,
    /// What may be owed.
    burst: u64,
    /// How much further the debt grows by asking for more all the same.
    penalty: u64,
}

impl Limit {
    /// So many a second, and so many at once after a rest. What is refused costs nothing, so whoever asks for too much
    /// gets what he may have. `per_second` is between 1 and 100,000; above 10,000 rounding makes it up to 5 % more or
    /// less.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let interval = (MICROS + u64::from(per_second) / 2) / u64::from(per_second.max(1));
        Self { interval: interval.max(1), burst: interval.max(1) * u64::from(burst.max(1)), penalty: 0 }
    }

    /// So many a second and at once; what is refused is charged as well, so whoever asks for too much gets nothing
    /// until the mean over `window` seconds is below the limit (ISC-TN-2012-1 §2.2.3).
    pub fn with_penalty(per_second: u32, window: u32) -> Self {
        Self { penalty: u64::from(window) * MICROS, ..Self::new(per_second, per_second) }
    }

    /// What a bucket owes after one more, and whether that is granted.
    fn charge(&self, owed: u64) -> (u64, bool) {
        let more = owed + self.interval;
        match self.penalty {
            _ if more <= self.burst => (more, true),
            0 => (owed, false),
            penalty => (more.min(self.burst + penalty), false),
        }
    }
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Set([AtomicU64; WAYS]);

/// See the module's header.
#[derive(Debug)]
pub struct Buckets {
    sets: Box<[Set]>,
    seed: [u8; 16],
}

impl Buckets {
    /// A table of `sets` times eight empty buckets; `seed` is this process's secret.
    pub fn new(sets: usize, seed: [u8; 16]) -> Self {
        Self { sets: (0..sets.max(1)).map(|_| Set::default()).collect(), seed }
    }

    /// Makes the hash of a key.
    pub fn hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_key(&self.seed)
    }

    /// Takes one out of the bucket of the key with this hash; `false` if the limit is reached.
    pub fn take(&self, hash: &SipHasher13, limit: &Limit, now: Millis) -> bool {
        let hash = hash.finish();
        let (tag, now) = (hash >> TIME_BITS, now.wrapping_mul(1_000) & TIME_MASK);
        // the low half chooses the set, the high bits are the tag
        let at = (u64::from(hash as u32) * self.sets.len() as u64) >> 32;
        let Some(Set(set)) = self.sets.get(at as usize) else { return true };
        // older than any debt can be: idle, or so long ago that the clock has gone round
        let owed = |bucket: u64| {
            let owed = (bucket & TIME_MASK).wrapping_sub(now) & TIME_MASK;
            if owed > limit.burst + limit.penalty { 0 } else { owed }
        };
        let own = |bucket: &&AtomicU64| bucket.load(Relaxed) >> TIME_BITS == tag;
        let place = set.iter().find(own).or_else(|| set.iter().min_by_key(|bucket| owed(bucket.load(Relaxed))));
        let Some(place) = place else { return true };
        for _ in 0..TRIES {
            let bucket = place.load(Relaxed);
            let before = if bucket >> TIME_BITS == tag { owed(bucket) } else { 0 };
            let (after, granted) = limit.charge(before);
            let changed = tag << TIME_BITS | (now + after) & TIME_MASK;
            if changed == bucket || place.compare_exchange_weak(bucket, changed, Relaxed, Relaxed).is_ok() {
                return granted;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn table(sets: usize) -> Buckets {
        Buckets::new(sets, *b"0123456789abcdef")
    }

    fn take(table: &Buckets, key: u64, limit: &Limit, now: Millis) -> bool {
        let mut hash = table.hasher();
        hash.write_u64(key);
        table.take(&hash, limit, now)
    }

    #[test]
    fn a_burst_then_the_rate_and_no_more() {
        let (table, limit) = (table(16), Limit::new(10, 5));
        let granted = |now| (0..20).filter(|_| take(&table, 7, &limit, now)).count();
        assert_eq!(granted(50), 5);
        assert_eq!(granted(50), 0);
        assert_eq!(granted(149), 0);
        assert_eq!(granted(150), 1, "a tenth of a second earns one");
        assert_eq!(granted(100_000), 5, "rest earns a burst, never more");
        let hour: usize = (0..3_600).map(|second| granted(200_000 + second * 1_000)).sum();
        assert_eq!(hour, 5 * 3_600, "a second earns ten, of which five can be kept");
    }

    #[test]
    fn what_is_refused_under_a_penalty_is_charged() {
        let (table, limit) = (table(16), Limit::with_penalty(10, 15));
        let mut granted = 0;
        for tenth in 0..600 {
            granted += (0..10).filter(|_| take(&table, 7, &limit, tenth * 100)).count();
        }
        assert!((10..=12).contains(&granted), "a flood gets its first burst and nothing more: {granted}");
        assert!(!take(&table, 7, &limit, 60_000 + 14_000));
        assert!(take(&table, 7, &limit, 60_000 + 30_000), "the window ends");
        // at the rate nothing is ever refused
        assert!((0..1_000).all(|n| take(&table, 8, &limit, 100_000 + n * 100)));
    }

    #[test]
    fn long_rest_and_a_clock_that_has_gone_round_leave_a_full_bucket() {
        let (table, limit) = (table(16), Limit::with_penalty(1, 15));
        let days = |days: u64| days * 86_400_000;
        for start in [0, days(6), days(13), days(200), u64::MAX / 1_000 - 1] {
            assert!(take(&table, 7, &limit, start), "{start}");
            assert!(!take(&table, 7, &limit, start), "{start}");
        }
    }

    #[test]
    fn a_flood_of_other_keys_never_limits_one_that_keeps_to_the_limit() {
        let (table, limit) = (table(4), Limit::new(10, 10));
        let mut refused = 0;
        for n in 0..20_000_u64 {
            take(&table, 1_000 + n, &limit, n / 20);
            if n % 2_000 == 0 {
                refused += usize::from(!take(&table, 1, &limit, n / 20));
            }
        }
        assert_eq!(refused, 0);
    }

    #[test]
    fn a_heavy_user_is_not_washed_out_by_light_ones() {
        let (table, limit) = (table(1), Limit::new(10, 10));
        while take(&table, 1, &limit, 0) {}
        let light = (0..1_000).filter(|key| take(&table, 10 + key, &limit, 0)).count();
        assert_eq!(light, 1_000);
        assert!(!take(&table, 1, &limit, 0), "those that owe least give way");
    }

    #[test]
    fn threads_share_one_bucket() {
        let (table, limit) = (table(16), Limit::new(1, 1_000));
        let granted: usize = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..2_000).filter(|_| take(&table, 7, &limit, 5)).count())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        // one that is believed after sixteen tries is possible, and rare
        assert!((1_000..1_100).contains(&granted), "{granted}");
    }

    proptest! {
        /// Against a bucket of tokens in exact arithmetic, for few keys in a table with room for all.
        #[test]
        fn it_grants_what_a_bucket_of_tokens_grants(
            rate in 1_u32..200,
            burst in 1_u32..50,
            steps in proptest::collection::vec((0_u64..4, 0_u64..300), 1..400),
        ) {
            let (table, limit) = (table(64), Limit::new(rate, burst));
            let interval = limit.interval as i64;
            let full = interval * i64::from(burst);
            let mut model: HashMap<u64, (u64, i64)> = HashMap::new();
            let mut now = 1_000_000;
            for (key, wait) in steps {
                now += wait;
                let (since, tokens) = model.entry(key).or_insert((now, full));
                *tokens = full.min(*tokens + (now - *since) as i64 * 1_000);
                *since = now;
                let expected = *tokens >= interval;
                *tokens -= if expected { interval } else { 0 };
                prop_assert_eq!(take(&table, key, &limit, now), expected);
            }
        }
    }
}
