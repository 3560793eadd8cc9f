//! [`Worker`]: one OS thread that answers UDP queries.
//!
//! Each worker owns a socket per listen address (SO_REUSEPORT: the kernel spreads clients over the workers), takes what
//! waits in batches, has the policy read ahead for them, answers what needs no waiting into the same batch and sends it
//! with one call. Per batch: one look at the policy, two at the clock (and one a wake-up); per query no allocation but
//! those [`Core::fast`] owns up to, and no lock where the worker has the answer at hand ([`Near`]). The misses of a batch
//! go to the async side together, once the rest is answered; it replies by itself.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use socket2::SockRef;

use super::mmsg::{BATCH, Batch, Route, SEND};
use super::outbox::Outbox;
use super::proxy;
use crate::dns::Settings;
use crate::dns::core::{Asker, Core, Fast, View};
use crate::dns::miss::Permit;
use crate::dns::near::{self, AHEAD, Near};
use crate::dns::query::first_name;
use crate::dns::wire::{HEADER, u16_at};
use crate::model::name::MAX_NAME;
use crate::observe::counters::{Counters, Dropped, Path, Transport};
use crate::policy::Snapshot;
use crate::policy::asking::{Asking, Place};

/// Longest wait for traffic before the worker shows it is alive.
const BEAT: Duration = Duration::from_secs(1);
/// Batches still answered from each socket after the word to stop: some 16,000 queries.
const LAST_BATCHES: usize = 256;
const WAKE: Token = Token(usize::MAX);

/// See the module's header.
pub struct Worker {
    core: Arc<Core>,
    sockets: Vec<Listener>,
    poll: Poll,
    runtime: tokio::runtime::Handle,
    counters: Arc<Counters>,
    async_counters: Arc<Counters>,
    asking: Arc<Asking>,
    /// What the node's own questions count in, and nobody reads.
    unread: Counters,
    stop: Arc<AtomicBool>,
}

/// One socket.
struct Listener {
    socket: Arc<UdpSocket>,
    outbox: Arc<Outbox>,
    /// Where the node's own questions to it come from.
    place: Arc<Place>,
}

/// A query that has to wait.
struct Miss {
    message: Box<[u8]>,
    asker: Asker,
    route: Route,
    since: Instant,
    permit: Permit,
}

/// Stops a worker from outside.
#[derive(Debug)]
pub struct Stop {
    stop: Arc<AtomicBool>,
    waker: Waker,
}

impl Stop {
    /// Ends the worker after the batch it is at.
    pub fn stop(&self) {
        self.stop.store(true, Relaxed);
        let _ = self.waker.wake(); // it wakes by itself within a beat
    }
}

impl Worker {
    /// A worker over one socket per listen address. `async_counters` is the block of the async side, `asking` knows the
    /// node's own questions.
    pub fn new(
        core: Arc<Core>,
        sockets: Vec<UdpSocket>,
        runtime: tokio::runtime::Handle,
        counters: Arc<Counters>,
        async_counters: Arc<Counters>,
        asking: Arc<Asking>,
    ) -> io::Result<(Self, Stop)> {
        let poll = Poll::new()?;
        for (n, socket) in sockets.iter().enumerate() {
            poll.registry().register(&mut SourceFd(&socket.as_raw_fd()), Token(n), Interest::READABLE)?;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let handle = Stop { stop: stop.clone(), waker: Waker::new(poll.registry(), WAKE)? };
        let listener = |socket: UdpSocket| {
            let place = asking.place(socket.local_addr()?);
            let socket = Arc::new(socket);
            Ok(Listener { outbox: Outbox::new(socket.clone(), async_counters.clone()), socket, place })
        };
        let sockets = sockets.into_iter().map(listener).collect::<io::Result<_>>()?;
        let unread = Counters::default();
        Ok((Self { core, sockets, poll, runtime, counters, async_counters, asking, unread, stop }, handle))
    }

    /// Keeps the calling thread, the worker's `n`th, to one of the cores that the process may use, and has the kernel prefer
    /// its sockets for what arrives on that core (SO_INCOMING_CPU): so a datagram stays in one core's caches.
    pub fn pin(&self, n: usize) {
        if let Err(error) = self.try_pin(n) {
            tracing::warn!(%error, "a worker cannot be kept to a core; it runs wherever the system likes");
        }
    }

    fn try_pin(&self, n: usize) -> io::Result<()> {
        let may = sched_getaffinity(None)?;
        let cores: Vec<_> = (0..CpuSet::MAX_CPU).filter(|core| may.is_set(*core)).collect();
        let Some(core) = cores.get(n % cores.len().max(1)) else { return Ok(()) };
        let mut own = CpuSet::new();
        own.set(*core);
        sched_setaffinity(None, &own)?;
        self.sockets.iter().try_for_each(|listener| SockRef::from(&*listener.socket).set_cpu_affinity(*core))
    }

    /// Answers until stopped.
    pub fn run(mut self) {
        let (mut batch, near) = (Batch::default(), Near::default());
        let mut events = Events::with_capacity(self.sockets.len() + 1);
        let mut ready = vec![true; self.sockets.len()]; // edge-triggered: datagrams may have come before we registered
        while !self.stop.load(Relaxed) {
            self.counters.beat_ms.store(self.core.clock.now().max(1), Relaxed);
            let busy = ready.contains(&true);
            let timeout = if busy { Duration::ZERO } else { BEAT };
            if let Err(error) = self.poll.poll(&mut events, Some(timeout)) {
                if error.kind() != io::ErrorKind::Interrupted {
                    tracing::error!(%error, "waiting for queries failed");
                    std::thread::sleep(Duration::from_millis(100));
                }
                continue;
            }
            for event in &events {
                if let Some(ready) = ready.get_mut(event.token().0) {
                    *ready = true;
                }
            }
            if events.is_empty() {
                ready.fill(true); // a beat passed: whatever an error left in a queue is looked at now
            }
            for (listener, ready) in self.sockets.iter().zip(&mut ready).filter(|(_, ready)| **ready) {
                // fewer than a full batch: the queue was empty, and the next datagram makes a new edge
                *ready = self.batch(&mut batch, &near, listener) == BATCH;
            }
        }
        self.finish(&mut batch, &near);
    }

    /// Answers what was already in the sockets' queues when it was told to stop.
    fn finish(&self, batch: &mut Batch, near: &Near) {
        for listener in &self.sockets {
            let full = (0..LAST_BATCHES).take_while(|_| self.batch(batch, near, listener) == BATCH).count();
            if full == LAST_BATCHES {
                tracing::warn!("stopped under full load: queries that came meanwhile are lost");
            }
        }
    }

    /// Answers one batch from a socket; returns how many datagrams it had.
    fn batch(&self, batch: &mut Batch, near: &Near, listener: &Listener) -> usize {
        let count = match batch.receive(&listener.socket) {
            Ok(0) => return 0,
            Ok(count) => count,
            Err(error) => {
                tracing::debug!(%error, "receiving failed");
                return 0;
            }
        };
        let started = Instant::now();
        let (mut queries, mut paths) = (0, [0; Path::ALL.len()]);
        let mut misses = Vec::new();
        {
            let (policy, settings, preview) = (self.core.policy(), self.core.settings(), self.core.preview());
            let now = self.core.clock.at(started);
            near.follow(self.core.cache_generation());
            let view = View {
                policy: &policy,
                settings: &settings,
                counters: &self.counters,
                now,
                near: Some(near),
                preview: preview.as_deref(),
            };
            let own_port = listener.place.port();
            for n in 0..count {
                if n % AHEAD == 0 {
                    let queries = n..count.min(n + AHEAD);
                    // whatever panics here is met again, and counted, when its query is answered
                    let _ = catch_unwind(AssertUnwindSafe(|| look_ahead(batch, queries, view.policy, near)));
                }
                let route = batch.route(n);
                if let Some(Route { peer, .. }) = route
                    && peer.port() == own_port
                    && self.is_own(batch.exchange(n).0, peer, listener)
                {
                    self.answer_oneself(batch, n, &view);
                    continue;
                }
                let fast = self.answer(batch, n, route, started, &view, &mut misses);
                queries += u64::from(fast != Fast::Drop);
                if let Fast::Reply(_, Some(path)) = fast {
                    paths[path as usize] += 1;
                }
            }
        }
        self.counters.queries(Transport::Udp, queries);
        let lost = batch.send(&listener.socket);
        self.counters.dropped[Dropped::Send as usize].add(lost as u64);
        self.wait(misses, &listener.outbox);
        let took = started.elapsed();
        for (path, _) in Path::ALL {
            self.counters.took(path, took, paths[path as usize]);
        }
        count
    }

    /// Answers one datagram into the batch.
    fn answer(
        &self,
        batch: &mut Batch,
        n: usize,
        route: Option<Route>,
        since: Instant,
        view: &View,
        misses: &mut Vec<Miss>,
    ) -> Fast {
        let Some(route) = route else { return Fast::Drop };
        let (datagram, out) = batch.exchange(n);
        let Some((message, client)) = without_header(datagram, route.peer.ip(), view.settings) else {
            self.counters.dropped(Dropped::Proxy);
            return Fast::Drop;
        };
        let asker = Asker::datagram(client);
        let answer = || {
            let fast = self.core.fast(message, &asker, view, out);
            if fast != Fast::Miss {
                return fast;
            }
            match self.core.permit(message) {
                Ok(permit) => {
                    misses.push(Miss { message: message.into(), asker, route, since, permit });
                    Fast::Miss
                }
                Err(shed) => self.core.overloaded(message, &asker, shed, &self.counters, out),
            }
        };
        // the answer is written from scratch and counters are atomic: a panic leaves nothing half done
        let fast = catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|_| {
            self.counters.dropped(Dropped::Panic);
            Fast::Drop
        });
        if let Fast::Reply(len, _) = fast {
            batch.queue(n, len);
        }
        fast
    }

    /// Whether a datagram from the port of the self-test is a question of the node's own. A balancer's header is not
    /// looked for: the node does not speak through one.
    #[cold]
    fn is_own(&self, datagram: &[u8], peer: SocketAddr, listener: &Listener) -> bool {
        listener.place.is(peer) && self.asking.has_signed(datagram)
    }

    /// Answers a question of the node's own into the batch. It counts nowhere.
    #[cold]
    fn answer_oneself(&self, batch: &mut Batch, n: usize, view: &View) {
        let (message, out) = batch.exchange(n);
        let view = View { counters: &self.unread, ..*view };
        // as in answer(): a panic leaves nothing half done, and the self-test finds that there is no answer
        let answered = catch_unwind(AssertUnwindSafe(|| self.core.ask_oneself(message, &view, out)));
        if let Ok(Fast::Reply(len, _)) = answered {
            batch.queue(n, len);
        }
    }

    /// Hands the misses of a batch over, all at once: the thread that takes them is woken once, and often shares the core.
    fn wait(&self, misses: Vec<Miss>, outbox: &Arc<Outbox>) {
        if misses.is_empty() {
            return;
        }
        let (core, counters, outbox) = (self.core.clone(), self.async_counters.clone(), outbox.clone());
        self.runtime.spawn(async move {
            for miss in misses {
                tokio::spawn(miss.end(core.clone(), counters.clone(), outbox.clone()));
            }
        });
    }
}

impl Miss {
    /// Waits, and replies. One block without names for its parts: a task has room for each once, and small tasks are
    /// cheaper to make.
    fn end(self, core: Arc<Core>, counters: Arc<Counters>, outbox: Arc<Outbox>) -> impl Future<Output = ()> + Send {
        let panicked = counters.clone();
        let answer = async move {
            let awaited = core.wait(&self.message, &counters).await;
            let mut out = [0; SEND];
            let fast = core.conclude(&self.message, &self.asker, awaited, &counters, &mut out);
            if let Fast::Reply(len, path) = fast {
                outbox.put(&out[..len], self.route, path.unwrap_or(Path::Forwarded), self.since, self.permit);
            }
        };
        AssertUnwindSafe(answer).catch_unwind().map(move |ended| {
            if ended.is_err() {
                panicked.dropped(Dropped::Panic);
            }
        })
    }
}

/// Has policy and answers at hand read for these queries of a batch, so that they wait for memory together. Nothing
/// depends on it: what comes with a PROXY header is not understood, and answered no worse.
fn look_ahead(batch: &mut Batch, queries: Range<usize>, policy: &Snapshot, near: &Near) {
    if queries.len() < 2 {
        return;
    }
    let mut names = [const { [0; MAX_NAME] }; AHEAD];
    let (mut lens, mut hashes) = ([0; AHEAD], [0; AHEAD]);
    let count = queries.len();
    for (((name, len), hash), n) in names.iter_mut().zip(&mut lens).zip(&mut hashes).zip(queries) {
        let message = batch.exchange(n).0;
        *len = first_name(message, name);
        *hash = near::hash(&name[..*len], u16_at(message, HEADER + *len).unwrap_or(0));
    }
    near.warm(hashes.into_iter().take(count));
    policy.warm(names.iter().zip(lens).map(|(name, len)| &name[..len]).filter(|name| !name.is_empty()));
}

/// The message in a datagram and whose it is; `None` if a balancer's header should be there and is not.
fn without_header<'a>(datagram: &'a [u8], peer: IpAddr, settings: &Settings) -> Option<(&'a [u8], IpAddr)> {
    if !settings.proxy.contains(peer) {
        return Some((datagram, peer));
    }
    let header = proxy::parse(datagram).ok()?;
    Some((datagram.get(header.len..)?, header.client.unwrap_or(peer)))
}
