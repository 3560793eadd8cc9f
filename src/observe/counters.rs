//! [`Counters`]: what one thread counts while it answers, summed over all threads when `/metrics` is read.
//!
//! Each thread owns one block, so no cache line is written by two of them. Plain arrays indexed by small enums:
//! counting is one relaxed add, it never allocates and never locks.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::labels::{MAX_BLOCKED, MAX_HITS};

/// A count that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// `n` more. Nothing more costs nothing: an addition that others could see is twenty of others.
    pub fn add(&self, n: u64) {
        if n > 0 {
            self.0.fetch_add(n, Relaxed);
        }
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// How a query came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Plain UDP.
    Udp,
    /// Plain TCP.
    Tcp,
}

impl Transport {
    /// Every transport, with its metric label.
    pub const ALL: [(Self, &'static str); 2] = [(Self::Udp, "udp"), (Self::Tcp, "tcp")];
}

/// Why a message got no answer at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// Shorter than a header.
    Short,
    /// A response sent to us (QR=1); answering would feed a loop.
    Response,
    /// The kernel did not take the reply.
    Send,
    /// A worker panicked over it; the worker goes on.
    Panic,
    /// Response rate limiting held the answer back.
    Rrl,
    /// A balancer's, without a PROXY header of version 2.
    Proxy,
}

impl Dropped {
    /// Every reason, with its metric label.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Short, "short"),
        (Self::Response, "response"),
        (Self::Send, "send"),
        (Self::Panic, "panic"),
        (Self::Rrl, "rrl"),
        (Self::Proxy, "proxy"),
    ];
}

/// Why a query does not wait for an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shed {
    /// Its domain holds its share of the places of questions under way, and places are scarce.
    Domain,
    /// All places of questions are taken.
    Queue,
    /// As many queries wait as may, whatever for.
    Waiting,
    /// As many queries wait for this question as may.
    Joined,
}

impl Shed {
    /// Every reason, with its metric label.
    pub const ALL: [(Self, &'static str); 4] =
        [(Self::Domain, "domain"), (Self::Queue, "queue"), (Self::Waiting, "waiting"), (Self::Joined, "joined")];
}

/// Why a TCP connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// By the client, or the network lost it.
    Client,
    /// It was idle for too long.
    Idle,
    /// It was idle and gave way to another.
    Evicted,
    /// There was no place for it.
    Limit,
    /// A frame without room for a header, or no PROXY header where there must be one.
    Framing,
    /// The client did not finish a frame, or did not read its answers.
    Slow,
    /// The server stops.
    Shutdown,
}

impl Closed {
    /// Every reason, with its metric label.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Client, "client"),
        (Self::Idle, "idle"),
        (Self::Evicted, "evicted"),
        (Self::Limit, "limit"),
        (Self::Framing, "framing"),
        (Self::Slow, "slow"),
        (Self::Shutdown, "shutdown"),
    ];
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// The policy.
    Blocked,
    /// The cache.
    Cached,
    /// An upstream.
    Forwarded,
    /// This program itself: local zones, its identity, ANY.
    Local,
}

impl Path {
    /// Every path, with its metric label.
    pub const ALL: [(Self, &'static str); 4] =
        [(Self::Blocked, "blocked"), (Self::Cached, "cached"), (Self::Forwarded, "forwarded"), (Self::Local, "local")];
}

/// Whose zone a name was answered from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalKind {
    /// A special-use or locally served one (RFC 6761, RFC 6303).
    Special,
    /// One of the operator's.
    Operator,
}

impl LocalKind {
    /// Every kind, with its metric label.
    pub const ALL: [(Self, &'static str); 2] = [(Self::Special, "special"), (Self::Operator, "operator")];
}

/// What a client's COOKIE option is worth (RFC 7873).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieResult {
    /// Ours, and given to this address.
    Valid,
    /// The client's half alone, or with a server's half that is not ours or too old.
    Fresh,
    /// Of a length it must not have: FORMERR.
    Malformed,
}

impl CookieResult {
    /// Every result, with its metric label.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Valid, "valid"), (Self::Fresh, "fresh"), (Self::Malformed, "malformed")];
}

/// Upper bounds of the duration buckets in microseconds; the last bucket is everything above.
pub const BUCKETS_US: [u64; 16] =
    [10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 2_500_000];

/// A histogram of durations over [`BUCKETS_US`].
#[derive(Debug, Default)]
pub struct Histogram {
    /// Not cumulative; one more than the bounds.
    pub buckets: [Counter; BUCKETS_US.len() + 1],
    /// Sum of all durations in microseconds.
    pub sum_us: Counter,
}

impl Histogram {
    /// `n` answers that took this long each.
    pub fn observe(&self, duration: Duration, n: u64) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.buckets[BUCKETS_US.partition_point(|bound| *bound < us)].add(n);
        self.sum_us.add(us.saturating_mul(n));
    }
}

/// Response codes counted by themselves: 0 to 23 (IANA DNS RCODEs in use); the last slot is any other.
pub const RCODES: usize = 25;

/// One thread's counts. Field names follow the metrics of INTERFACES.md.
#[derive(Debug)]
#[repr(align(128))] // no two threads' blocks share a pair of cache lines
pub struct Counters {
    /// `dns_queries_total{transport}`
    pub queries: [Counter; Transport::ALL.len()],
    /// `dns_responses_total{rcode}`
    pub responses: [Counter; RCODES],
    /// `dns_dropped_total{reason}`
    pub dropped: [Counter; Dropped::ALL.len()],
    /// `dns_blocked_total{authority,category,action}`
    pub blocked: Box<[Counter]>,
    /// `dns_notice_hits_total{notice}`
    pub hits: Box<[Counter]>,
    /// `dns_request_duration_seconds{path}`
    pub durations: [Histogram; Path::ALL.len()],
    /// `dns_local_total{kind}`
    pub local: [Counter; LocalKind::ALL.len()],
    /// `cache_hits_total`
    pub cache_hits: Counter,
    /// `cache_misses_total`
    pub cache_misses: Counter,
    /// `dns_shed_total{reason}`
    pub shed: [Counter; Shed::ALL.len()],
    /// `dns_cookies_total{result}`
    pub cookies: [Counter; CookieResult::ALL.len()],
    /// `dns_rate_limited_total`
    pub rate_limited: Counter,
    /// `dns_rrl_excess_total`
    pub rrl_excess: Counter,
    /// `dns_rrl_slipped_total`
    pub rrl_slipped: Counter,
    /// `dns_exempt_total`
    pub exempt: Counter,
    /// `cache_stale_total`
    pub cache_stale: Counter,
    /// `cache_failures_total`
    pub cache_failures: Counter,
    /// `cache_prefetches_total`
    pub cache_prefetches: Counter,
    /// `dns_joined_total`
    pub joined: Counter,
    /// Milliseconds since the process started at which the thread was last seen working; 0 if it keeps no beat.
    pub beat_ms: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            queries: Default::default(),
            responses: Default::default(),
            dropped: Default::default(),
            blocked: (0..MAX_BLOCKED).map(|_| Counter::default()).collect(),
            hits: (0..MAX_HITS).map(|_| Counter::default()).collect(),
            durations: Default::default(),
            local: Default::default(),
            cache_hits: Counter::default(),
            cache_misses: Counter::default(),
            shed: Default::default(),
            cookies: Default::default(),
            rate_limited: Counter::default(),
            rrl_excess: Counter::default(),
            rrl_slipped: Counter::default(),
            exempt: Counter::default(),
            cache_stale: Counter::default(),
            cache_failures: Counter::default(),
            cache_prefetches: Counter::default(),
            joined: Counter::default(),
            beat_ms: AtomicU64::new(0),
        }
    }
}

impl Counters {
    /// A query arrived.
    pub fn query(&self, transport: Transport) {
        self.queries(transport, 1);
    }

    /// So many queries arrived.
    pub fn queries(&self, transport: Transport, n: u64) {
        self.queries[transport as usize].add(n);
    }

    /// An answer with this (extended) response code leaves.
    pub fn response(&self, rcode: u16) {
        self.responses[usize::from(rcode).min(RCODES - 1)].inc();
    }

    /// A message gets no answer. (Not called `drop`: through an `Arc` that name is the destructor's.)
    pub fn dropped(&self, reason: Dropped) {
        self.dropped[reason as usize].inc();
    }

    /// A listed name was answered; the slots are those of [`super::labels::Labels`].
    pub fn block(&self, blocked: u16, hit: Option<u16>) {
        if let Some(counter) = self.blocked.get(usize::from(blocked)) {
            counter.inc();
        }
        if let Some(counter) = hit.and_then(|hit| self.hits.get(usize::from(hit))) {
            counter.inc();
        }
    }

    /// A name of a local zone was asked.
    pub fn local(&self, kind: LocalKind) {
        self.local[kind as usize].inc();
    }

    /// A cookie was judged.
    pub fn cookie(&self, result: CookieResult) {
        self.cookies[result as usize].inc();
    }

    /// `n` answers of one path took this long each.
    pub fn took(&self, path: Path, duration: Duration, n: u64) {
        if n > 0 {
            self.durations[path as usize].observe(duration, n);
        }
    }
}
