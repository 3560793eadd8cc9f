//! The data plane: takes questions off the wire and answers them, from the policy, the cache or an upstream.
//!
//! ```text
//!  listen::udp ----batch---+                      +--> reply (listed)      -+
//!  (a thread a core)       |--> core::fast: query |--> cache (kept)         |--> one sendmmsg
//!  listen::stream --frame--+     parse -> decide -+--> error               -+
//!  (tokio)                                        |
//!                                                 +--> core::miss --> upstream --> cache --> on_targets --> reply
//! ```
//!
//! It can reach the policy reader and [`observe`](crate::observe), nothing else: no query ever waits for a disk, a lock of
//! the control plane or a download. Order: access, notices, cache, upstream; local zones will stand before the cache.
//!
//! What is deliberately not here: recursion and DNSSEC validation (the upstreams' work), interception of queries that were
//! sent to somebody else (REGULATION §4, SAC127), any record of who asked what.

pub mod access;
pub mod answer;
pub mod cache;
pub mod clock;
pub mod core;
pub mod decide;
pub mod listen;
pub mod miss;
pub mod query;
pub mod reply;
pub mod resolve;
pub mod upstream;
pub mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use crate::model::{Exemptions, Networks};
use crate::observe::metrics::Metrics;
use crate::policy::PolicyReader;

use self::cache::Cache;
use self::clock::Clock;
use self::core::Core;
use self::listen::Sockets;
use self::listen::stream::Limits;
use self::listen::udp::{Stop, Worker};
use self::upstream::Pool;

/// Questions that may wait for upstreams at a time, where file descriptors allow it.
const MAX_MISSES: u64 = 4_096;
/// Sockets a waiting question holds at the most: a new one every 600 ms over 2.5 s.
const SOCKETS_A_MISS: u64 = 5;
/// File descriptors kept for everything else: listeners, TCP clients, files.
const RESERVE: u64 = 2_048;
/// How long questions under way are waited for on shutdown.
const DRAIN: Duration = Duration::from_secs(3);

/// The whole of `[dns]`, `[[upstream]]` and `[cache]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Addresses to answer on, each by UDP and TCP. Port 0 takes a free port, the same for both.
    pub listen: Vec<SocketAddr>,
    /// UDP worker threads, at least one.
    pub workers: usize,
    /// Bound of the answer cache in bytes; 0 turns it off.
    pub cache_size: u64,
    /// What a reload may change.
    pub settings: Settings,
}

/// What the data plane takes over on a reload without a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Client networks that are served; others get REFUSED.
    pub allow: Networks,
    /// In order of preference; never empty.
    pub upstreams: Vec<UpstreamConfig>,
    /// Longest TTL in seconds that leaves to a client, and longest stay in the cache.
    pub max_ttl: u32,
    /// Cookies, and how often clients are answered.
    pub access: access::Settings,
    /// Clients that are not restricted.
    pub exempt: Exemptions,
}

/// One upstream server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// Where it answers plain DNS over UDP and TCP.
    pub address: SocketAddr,
    /// Whether its AD bit is passed on.
    pub trust_ad: bool,
}

/// How many questions may wait at a time with so many file descriptors.
fn max_misses(files: u64) -> u32 {
    let enough = files.saturating_sub(RESERVE) / SOCKETS_A_MISS;
    enough.clamp(16, MAX_MISSES) as u32
}

/// The running data plane.
pub struct Dns {
    core: Arc<Core>,
    pool: Arc<Pool>,
    workers: Vec<(JoinHandle<()>, Stop)>,
    stop_streams: watch::Sender<bool>,
    streams: Vec<tokio::task::JoinHandle<()>>,
}

impl Dns {
    /// Starts answering on sockets that are already bound. To be called within the runtime that carries the misses.
    /// `files` is how many file descriptors the process may have.
    pub fn start(
        config: &Config,
        sockets: Vec<Sockets>,
        policy: PolicyReader,
        metrics: &Arc<Metrics>,
        clock: Clock,
        files: u64,
    ) -> io::Result<Self> {
        let settings = config.settings.clone();
        let pool = Arc::new(Pool::new(&settings.upstreams, metrics.clone(), clock.clone()));
        let cache = Cache::new(config.cache_size, metrics.cache_bytes.clone());
        let core = Arc::new(Core::new(policy, settings, cache, pool.clone(), max_misses(files), clock));
        let async_counters = metrics.worker();
        let (stop_streams, stopped) = watch::channel(false);
        let mut per_worker: Vec<Vec<_>> = (0..config.workers).map(|_| Vec::new()).collect();
        let mut streams = Vec::new();
        let limits = Limits::default();
        for sockets in sockets {
            // more sockets than workers: from before a hand-over, and none may be closed with queries in it
            for (n, socket) in sockets.udp.into_iter().enumerate() {
                per_worker[n % config.workers].push(socket);
            }
            let listener = tokio::net::TcpListener::from_std(sockets.tcp)?;
            let (core, counters, stop) = (core.clone(), async_counters.clone(), stopped.clone());
            streams.push(tokio::spawn(listen::stream::listen(listener, core, limits.clone(), counters, stop)));
        }
        let mut workers = Vec::new();
        for (n, sockets) in per_worker.into_iter().enumerate() {
            let runtime = tokio::runtime::Handle::current();
            let (worker, stop) = Worker::new(core.clone(), sockets, runtime, metrics.worker(), async_counters.clone())?;
            let thread = std::thread::Builder::new().name(format!("pagar-udp-{n}")).spawn(|| worker.run())?;
            workers.push((thread, stop));
        }
        Ok(Self { core, pool, workers, stop_streams, streams })
    }

    /// Takes over reloaded settings; no query is lost.
    pub fn reconfigure(&self, settings: Settings) {
        self.pool.reconfigure(&settings.upstreams);
        self.core.reconfigure(settings);
    }

    /// Stops reading from the listening sockets; what was read, and connections that were accepted, go on.
    ///
    /// After this another process may read from the same sockets.
    pub async fn stop(&mut self) {
        for (_, stop) in &self.workers {
            stop.stop();
        }
        let _ = self.stop_streams.send(true);
        for (thread, _) in self.workers.drain(..) {
            let _ = thread.join(); // within some batches; its panics are caught inside
        }
        for stream in self.streams.drain(..) {
            let _ = stream.await;
        }
    }

    /// Waits at most three seconds for questions under way and for connections to end. After [`Self::stop`].
    pub async fn drained(self) {
        let _ = tokio::time::timeout(DRAIN, async {
            self.core.drained().await;
            self.stop_streams.closed().await; // every connection has a receiver
        })
        .await;
    }
}
