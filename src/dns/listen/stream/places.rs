//! [`Places`]: who may have how many connections, and who gives way when all places are taken.
//!
//! Clients and strangers have places of their own, so strangers can never keep clients out. A *client* here is one
//! IPv4 address or one IPv6 /56 ([`Prefixes::CLIENT`]), which is what a subscriber has. When its own places or all
//! places are taken, a connection that is idle gives way to the new one: of the client with most connections, the one
//! that has been idle for longest. If none is idle, the new one is refused. So whoever opens many pays first, and a
//! connection in use is never taken away.
//!
//! A mutex is held for some map operations whenever a connection comes, goes, begins or ends to be idle; never while a
//! message is answered.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

use super::Limits;
use crate::dns::access::prefix::Prefixes;
use crate::observe::counters::Closed;
use crate::observe::metrics::TcpMetrics;

/// Least idle time however full it is: a client on a slow path must be able to send its next query.
const LEAST_IDLE: Duration = Duration::from_millis(500);
/// Connections that are always possible, however few file descriptors there are.
const LEAST_PLACES: usize = 16;

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// `[dns] allow` names it.
    Client,
    /// It does not: to hear REFUSED, and no more.
    Stranger,
}

/// The places of all listeners together.
#[derive(Debug)]
pub struct Places {
    inner: Mutex<Inner>,
    /// Places taken, of clients and of strangers; written under the lock.
    taken: [AtomicUsize; 2],
    /// Most places of clients, whatever the configuration says: half of the file descriptors.
    most: usize,
    metrics: TcpMetrics,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    shut_down: bool,
    tables: [Table; 2],
}

impl Places {
    /// `files` is how many file descriptors the process may have.
    pub fn new(files: u64, metrics: TcpMetrics) -> Arc<Self> {
        let most = usize::try_from(files / 2).unwrap_or(usize::MAX).max(LEAST_PLACES);
        let (inner, taken, changed) = Default::default();
        Arc::new(Self { inner, taken, most, metrics, changed })
    }

    /// Most connections of clients, whatever the limits say.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Logs when the limits ask for more than that.
    pub fn warn(&self, limits: &Limits) {
        let (most, connections) = (self.most, limits.connections);
        if connections > most {
            tracing::warn!(most, connections, "fewer TCP connections than configured: raise the limit of open files");
        }
    }

    /// A place for a new connection, or `None` if it is to be closed, which is counted.
    pub fn take(self: &Arc<Self>, client: IpAddr, class: Class, limits: &Limits) -> Option<Place> {
        let limits = self.limits(class, limits);
        let mut inner = self.lock();
        if inner.shut_down {
            return None;
        }
        let id = inner.next;
        inner.next += 1;
        let table = &mut inner.tables[class as usize];
        let client = Prefixes::CLIENT.of(client);
        let crowded = table.connections_of(client) >= limits.per_client;
        let room = if crowded { table.evict_of(client) } else { true };
        if !room || table.len() >= limits.connections && !crowded && !table.evict() {
            self.metrics.closed(Closed::Limit);
            return None;
        }
        let (tell, told) = oneshot::channel();
        table.insert(id, client, tell);
        self.taken[class as usize].store(table.len(), Relaxed);
        self.metrics.connections.inc();
        Some(Place { places: self.clone(), id, class, told: Some(told) })
    }

    /// Ends one idle connection of anybody, because something other than places ran out; returns whether there was one.
    pub fn evict(&self) -> bool {
        let mut inner = self.lock();
        let evicted = inner.tables.iter_mut().rev().any(Table::evict); // a stranger's first
        for (taken, table) in self.taken.iter().zip(&inner.tables) {
            taken.store(table.len(), Relaxed);
        }
        evicted
    }

    /// Tells every connection to end when it has answered what it has read, and lets nobody in any more.
    pub fn shut_down(&self) {
        let mut inner = self.lock();
        inner.shut_down = true;
        inner.tables.iter_mut().for_each(|table| table.tell_all(Closed::Shutdown));
    }

    /// Waits until no connection is left.
    pub async fn emptied(&self) {
        loop {
            let changed = self.changed.notified();
            if self.metrics.connections.get() <= 0 {
                return;
            }
            changed.await;
        }
    }

    /// The limits for a class, within what this process can have.
    fn limits(&self, class: Class, limits: &Limits) -> Limits {
        match class {
            Class::Client => Limits { connections: limits.connections.min(self.most), ..*limits },
            Class::Stranger => Limits::STRANGERS,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner) // nothing in here panics half done
    }
}

/// The place of one connection; given back when dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    id: u64,
    class: Class,
    told: Option<oneshot::Receiver<Closed>>,
}

impl Place {
    /// The limits for this connection, of those configured.
    pub(super) fn limits(&self, limits: &Limits) -> Limits {
        self.places.limits(self.class, limits)
    }

    /// How long it may be idle: less from the moment half of the places are taken (RFC 7766 §6.2.3, RFC 9210 §4.3).
    pub(super) fn idle(&self, limits: &Limits) -> Duration {
        let free = self.free(limits);
        if 2 * free >= limits.connections {
            return limits.idle;
        }
        let share = 2.0 * free as f64 / limits.connections as f64;
        limits.idle.mul_f64(share).max(LEAST_IDLE.min(limits.idle))
    }

    /// The idle time a client is told (RFC 7828): none, which asks it to close, when no place is free or we stop.
    pub(super) fn offered(&self, limits: &Limits, ending: bool) -> Duration {
        if ending || self.free(limits) == 0 { Duration::ZERO } else { self.idle(limits) }
    }

    fn free(&self, limits: &Limits) -> usize {
        limits.connections.saturating_sub(self.places.taken[self.class as usize].load(Relaxed))
    }

    /// Says since when the connection has been idle, `None` that it is in use.
    pub(super) fn mark(&self, idle_since: Option<Instant>) {
        self.places.lock().tables[self.class as usize].mark(self.id, idle_since);
    }

    /// Whether the connection is to end, and why.
    pub(super) fn told(&mut self, cx: &mut Context<'_>) -> Poll<Closed> {
        let Some(told) = &mut self.told else { return Poll::Pending };
        let Poll::Ready(told) = Pin::new(told).poll(cx) else { return Poll::Pending };
        self.told = None;
        Poll::Ready(told.unwrap_or(Closed::Shutdown))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.places.lock();
        let table = &mut inner.tables[self.class as usize];
        table.remove(self.id);
        self.places.taken[self.class as usize].store(table.len(), Relaxed);
        drop(inner);
        self.places.metrics.connections.dec();
        self.places.changed.notify_waiters();
    }
}

/// The connections of one class.
#[derive(Debug, Default)]
struct Table {
    connections: HashMap<u64, Entry>,
    clients: HashMap<u128, Client>,
    /// The clients with an idle connection: how many connections, since when the first of them has been idle.
    idle: BTreeSet<(usize, Reverse<Instant>, u128)>,
}

#[derive(Debug)]
struct Entry {
    client: u128,
    idle_since: Option<Instant>,
    tell: oneshot::Sender<Closed>,
}

#[derive(Debug, Default)]
struct Client {
    connections: usize,
    idle: BTreeSet<(Instant, u64)>,
}

impl Client {
    /// Its line in [`Table::idle`].
    fn rank(&self, key: u128) -> Option<(usize, Reverse<Instant>, u128)> {
        self.idle.first().map(|(since, _)| (self.connections, Reverse(*since), key))
    }
}

impl Table {
    fn len(&self) -> usize {
        self.connections.len()
    }

    fn connections_of(&self, client: u128) -> usize {
        self.clients.get(&client).map_or(0, |client| client.connections)
    }

    /// Changes a client and keeps its rank right.
    fn change(&mut self, key: u128, change: impl FnOnce(&mut Client)) {
        let client = self.clients.entry(key).or_default();
        if let Some(rank) = client.rank(key) {
            self.idle.remove(&rank);
        }
        change(client);
        match client.rank(key) {
            Some(rank) => drop(self.idle.insert(rank)),
            None if client.connections == 0 => drop(self.clients.remove(&key)),
            None => {}
        }
    }

    /// A new connection is idle until its first query.
    fn insert(&mut self, id: u64, client: u128, tell: oneshot::Sender<Closed>) {
        self.connections.insert(id, Entry { client, idle_since: None, tell });
        self.change(client, |client| client.connections += 1);
        self.mark(id, Some(Instant::now()));
    }

    fn mark(&mut self, id: u64, idle_since: Option<Instant>) {
        let Some(entry) = self.connections.get_mut(&id) else { return }; // it gave way and is about to end
        let (client, before) = (entry.client, std::mem::replace(&mut entry.idle_since, idle_since));
        self.change(client, |client| {
            before.map(|since| client.idle.remove(&(since, id)));
            idle_since.map(|since| client.idle.insert((since, id)));
        });
    }

    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.connections.remove(&id)?;
        self.change(entry.client, |client| {
            client.connections -= 1;
            entry.idle_since.map(|since| client.idle.remove(&(since, id)));
        });
        Some(entry)
    }

    /// Ends the connection that has been idle for longest, of the client with most.
    fn evict(&mut self) -> bool {
        let Some(&(_, _, client)) = self.idle.last() else { return false };
        self.evict_of(client)
    }

    /// The same among one client's.
    fn evict_of(&mut self, client: u128) -> bool {
        let oldest = self.clients.get(&client).and_then(|client| client.idle.first()).map(|(_, id)| *id);
        let Some(entry) = oldest.and_then(|id| self.remove(id)) else { return false };
        let _ = entry.tell.send(Closed::Evicted); // it may just be ending by itself
        true
    }

    /// Leaves them in the table until they have ended.
    fn tell_all(&mut self, why: Closed) {
        for entry in self.connections.values_mut() {
            let (deaf, _) = oneshot::channel();
            let _ = std::mem::replace(&mut entry.tell, deaf).send(why);
        }
    }
}
