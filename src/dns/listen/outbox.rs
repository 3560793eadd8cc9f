//! [`Outbox`]: replies that become ready one by one, sent together.
//!
//! The first reply starts a task that lets others of the runtime run once before it sends: answers of upstreams come many
//! at a time, and their replies then mostly leave with one call. No reply waits for a timer, or for one that is not ready.

use std::net::UdpSocket;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::mmsg::{self, Route};
use crate::dns::miss::Permit;
use crate::observe::counters::{Counters, Dropped, Path};

/// See the module's header. One per listening socket.
pub(super) struct Outbox {
    socket: Arc<UdpSocket>,
    counters: Arc<Counters>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    /// The messages, end to end.
    octets: Vec<u8>,
    replies: Vec<Reply>,
}

/// A reply whose message ends there.
struct Reply {
    end: usize,
    route: Route,
    path: Path,
    /// When its question came.
    since: Instant,
    /// Whoever waits until nobody waits any more waits for it to be sent, too.
    _permit: Permit,
}

impl Outbox {
    /// For replies from this socket.
    pub(super) fn new(socket: Arc<UdpSocket>, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self { socket, counters, queue: Mutex::default() })
    }

    /// Puts a reply in. To be called within the runtime.
    pub(super) fn put(self: &Arc<Self>, message: &[u8], route: Route, path: Path, since: Instant, permit: Permit) {
        let mut queue = self.lock();
        queue.octets.extend_from_slice(message);
        let end = queue.octets.len();
        queue.replies.push(Reply { end, route, path, since, _permit: permit });
        if queue.replies.len() > 1 {
            return; // somebody is about to send
        }
        let outbox = self.clone();
        tokio::spawn(async move {
            tokio::task::yield_now().await;
            outbox.send();
        });
    }

    fn send(&self) {
        let Queue { octets, replies } = std::mem::take(&mut *self.lock());
        let mut start = 0;
        let messages = replies.iter().map(|reply| {
            let message = &octets[start..reply.end];
            start = reply.end;
            (reply.route, message)
        });
        let lost = mmsg::send(&self.socket, messages);
        self.counters.dropped[Dropped::Send as usize].add(lost as u64);
        let now = Instant::now();
        for reply in &replies {
            self.counters.took(reply.path, now.duration_since(reply.since), 1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner) // a panic may cost replies, of which each has its own end
    }
}
