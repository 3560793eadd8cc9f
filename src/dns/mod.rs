//! The data plane: takes questions off the wire and answers them, from the policy, the cache or an upstream.
//!
//! ```text
//!  listen::udp ----batch---+                      +--> reply (listed)      -+
//!  (a thread a core)       |--> core::fast: query |--> cache (kept)         |--> one sendmmsg
//!  listen::stream --frame--+     parse -> decide -+--> error               -+
//!  (tokio)                                        |
//!                                                 +--> local zones
//!                                                 +--> core::wait --> flight --> upstream --> cache
//!                                                                       |  (one for all who ask the same)
//!                                                                       +--> on_targets --> reply, each his own
//! ```
//!
//! It can reach the policy reader and [`observe`](crate::observe), nothing else: no query ever waits for a disk, a lock of
//! the control plane or a download. Order: access, notices, cache, local zones, upstream.
//!
//! What is deliberately not here: recursion and DNSSEC validation (the upstreams' work), interception of queries that were
//! sent to somebody else (REGULATION §4, SAC127), any record of who asked what.

pub mod access;
pub mod answer;
pub mod cache;
mod chain;
pub mod clock;
pub mod core;
pub mod decide;
mod flight;
mod foresee;
pub mod identity;
pub mod listen;
pub mod local;
pub mod miss;
pub mod near;
pub mod query;
pub mod reply;
pub mod resolve;
mod selftest;
pub mod upstream;
pub mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use crate::model::{DnsName, Exemptions, Networks};
use crate::observe::metrics::Metrics;
use crate::policy::{Asking, PolicyReader};

use self::cache::Cache;
use self::clock::Clock;
use self::core::Core;
use self::identity::Identity;
use self::listen::Sockets;
use self::listen::stream::Limits;
use self::listen::stream::accept::Acceptor;
use self::listen::stream::places::Places;
use self::listen::udp::{Stop, Worker};
use self::local::{Local, LocalConfig};
use self::upstream::Pool;

/// Different questions that may be under way at a time.
const MAX_MISSES: u32 = 4_096;
/// UDP sockets towards all upstreams together, where file descriptors allow it, and where there are few.
const SOCKETS: (u64, u64) = (8_192, 64);
/// File descriptors kept for everything but those and the TCP clients: listeners, files, and the few sockets each upstream
/// has in any case.
const RESERVE: u64 = 1_024;
/// How long questions under way are waited for on shutdown.
const DRAIN: Duration = Duration::from_secs(3);
/// How long connections are read from once the server stops. Clients ask again what was lost with a connection (RFC
/// 7766 §6.2.4), but those that have just connected, or have a query on its way, should not have to.
const LAST_READS: Duration = Duration::from_secs(1);

/// The whole of `[dns]`, `[[upstream]]`, `[forwarding]` and `[cache]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Addresses to answer on, each by UDP and TCP. Port 0 takes a free port, the same for both.
    pub listen: Vec<SocketAddr>,
    /// UDP worker threads, at least one.
    pub workers: usize,
    /// Whether each has a core of its own, and is given what arrives there.
    pub pin_workers: bool,
    /// Bound of the answer cache in bytes; 0 turns it off.
    pub cache_size: u64,
    /// Which zones are answered here. Whoever starts the data plane reads them and puts them into [`Settings::local`].
    pub local: LocalConfig,
    /// What a reload may change.
    pub settings: Settings,
}

/// What the data plane takes over on a reload without a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Client networks that are served; others get REFUSED.
    pub allow: Networks,
    /// In order of preference; one of them at least is for the root zone.
    pub upstreams: Vec<UpstreamConfig>,
    /// How they are asked.
    pub forwarding: Forwarding,
    /// Longest TTL in seconds that leaves to a client, and longest stay in the cache.
    pub max_ttl: u32,
    /// Cookies, and how often clients are answered.
    pub access: access::Settings,
    /// Clients that are not restricted.
    pub exempt: Exemptions,
    /// What the server says about itself.
    pub identity: Identity,
    /// The zones answered here.
    pub local: Arc<Local>,
    /// Whether answers that are asked for are fetched anew before they expire.
    pub prefetch: bool,
    /// Whether expired answers are used when no upstream answers (RFC 8767).
    pub stale: Option<Stale>,
    /// What TCP connections of clients may cost.
    pub tcp: Limits,
    /// Balancers: what comes from them begins with a PROXY header.
    pub proxy: Networks,
}

/// How expired answers are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale {
    /// How long a client waits for a fresh answer first.
    pub client_timeout: Duration,
    /// How long after its TTL an answer may still be used.
    pub max: Duration,
}

/// One upstream server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// Where it answers plain DNS over UDP and TCP.
    pub address: SocketAddr,
    /// Whether its AD bit is passed on.
    pub trust_ad: bool,
    /// What it is asked for: names in these zones, of which the longest that encloses a name counts; never empty.
    pub zones: Vec<DnsName>,
}

/// How upstreams are asked: `[forwarding]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarding {
    /// Who is asked first.
    pub strategy: Strategy,
    /// Whether another is asked beside an upstream that is late.
    pub hedge: bool,
    /// Whether cookies are sent (RFC 7873 §5.1).
    pub cookies: bool,
}

impl Default for Forwarding {
    fn default() -> Self {
        Self { strategy: Strategy::Ordered, hedge: true, cookies: true }
    }
}

/// Which of the upstreams that are in use is asked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// The first in the configuration.
    Ordered,
    /// The one that has answered fastest lately.
    Fastest,
    /// Each in turn.
    Spread,
}

/// How many UDP sockets towards upstreams there may be with so many file descriptors, of which so many are for TCP clients.
fn max_sockets(files: u64, connections: usize) -> usize {
    let (most, fewest) = SOCKETS;
    files.saturating_sub(RESERVE + connections as u64).clamp(fewest, most) as usize
}

/// The running data plane.
pub struct Dns {
    core: Arc<Core>,
    pool: Arc<Pool>,
    workers: Vec<(JoinHandle<()>, Stop)>,
    stop_streams: watch::Sender<bool>,
    places: Arc<Places>,
    /// File descriptors the process may have.
    files: u64,
    /// UDP sockets towards upstreams that there may be: fixed when it starts.
    sockets: usize,
    streams: Vec<tokio::task::JoinHandle<()>>,
}

impl Dns {
    /// Starts answering on sockets that are already bound. To be called within the runtime that carries the misses.
    /// `files` is how many file descriptors the process may have, `asking` how the node's own questions are known.
    pub fn start(
        config: &Config,
        sockets: Vec<Sockets>,
        policy: PolicyReader,
        metrics: &Arc<Metrics>,
        clock: Clock,
        files: u64,
        asking: &Arc<Asking>,
    ) -> io::Result<Self> {
        let settings = config.settings.clone();
        let cache = Arc::new(Cache::new(config.cache_size));
        metrics.cache_bytes.read_from({
            let cache = cache.clone();
            move || cache.bytes()
        });
        let places = Places::new(files, metrics.tcp.clone());
        places.warn(&settings.tcp);
        let towards = max_sockets(files, settings.tcp.connections.min(places.most()));
        let pool = Arc::new(Pool::new(&settings, metrics.clone(), clock.clone(), towards));
        let runtime = tokio::runtime::Handle::current();
        let core = Arc::new(Core::new(policy, settings, cache, pool.clone(), MAX_MISSES, clock, runtime.clone()));
        let async_counters = metrics.worker();
        let (stop_streams, stopped) = watch::channel(false);
        let mut per_worker: Vec<Vec<_>> = (0..config.workers).map(|_| Vec::new()).collect();
        let mut streams = Vec::new();
        let acceptor = Acceptor::new(core.clone(), async_counters.clone(), places.clone(), metrics.tcp.clone());
        for sockets in sockets {
            // more sockets than workers: from before a hand-over, and none may be closed with queries in it
            for (n, socket) in sockets.udp.into_iter().enumerate() {
                per_worker[n % config.workers].push(socket);
            }
            let listener = tokio::net::TcpListener::from_std(sockets.tcp)?;
            streams.push(tokio::spawn(acceptor.clone().listen(listener, stopped.clone())));
        }
        let mut workers = Vec::new();
        let pinned = config.pin_workers;
        for (n, sockets) in per_worker.into_iter().enumerate() {
            let (counters, asking) = (metrics.worker(), asking.clone());
            let (worker, stop) =
                Worker::new(core.clone(), sockets, runtime.clone(), counters, async_counters.clone(), asking)?;
            let thread = std::thread::Builder::new().name(format!("pagar-udp-{n}")).spawn(move || {
                if pinned {
                    worker.pin(n);
                }
                worker.run();
            })?;
            workers.push((thread, stop));
        }
        Ok(Self { core, pool, workers, stop_streams, places, files, sockets: towards, streams })
    }

    /// Takes over reloaded settings; no query is lost.
    pub fn reconfigure(&self, settings: Settings) {
        self.pool.reconfigure(&settings);
        self.places.warn(&settings.tcp);
        let (started_with, left) =
            (self.sockets, max_sockets(self.files, settings.tcp.connections.min(self.places.most())));
        if left < started_with {
            tracing::warn!(
                started_with,
                left,
                "more TCP connections leave fewer file descriptors for sockets to upstreams than are counted on: \
                 restart, or SIGUSR2"
            );
        }
        self.core.reconfigure(settings);
    }

    /// Forgets cached names on behalf of somebody who does not know this plane: the canonical wire name, whether the
    /// names below it too, and back comes how many entries it was.
    pub fn flusher(&self) -> impl Fn(&[u8], bool) -> u64 + Send + Sync + 'static {
        let core = self.core.clone();
        move |name, subtree| core.flush(name, subtree)
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
            let _ = tokio::time::timeout(LAST_READS, self.places.emptied()).await;
            self.places.shut_down();
            self.core.drained().await;
            self.places.emptied().await;
        })
        .await;
    }
}
