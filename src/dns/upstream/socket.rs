//! [`Socket`]: one port towards an upstream, with the questions that are under way on it.
//!
//! It is connected, so the kernel lets only the upstream's address and port through and reports a refused port at once.
//! Its port is random over the whole range; each question has an id of its own among those that were asked here. Answers
//! are taken and read by a task, which ends with the socket: when nobody will use it any more and the last who waits on it
//! has gone, or at its first error, which all who wait hear. After [`FORGED`] messages that answer no question its port may
//! be known: no new question uses it.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus::IntCounter;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::task::AbortHandle;

use super::PATIENCE;
use super::cookie::Cookie;
use super::message::{self, Edns};
use super::udp::{Received, received};
use crate::dns::listen::mmsg::{FEW, Few};
use crate::dns::resolve::Question;

/// Questions a socket is used for: so many at random, that nobody can tell from outside when it goes.
const QUESTIONS: std::ops::Range<u32> = 64..192;
/// Milliseconds a socket is used for.
const AGE: std::ops::Range<u64> = 5_000..15_000;
/// Messages that answer no question, after which a socket is not used any more.
const FORGED: u32 = 8;
/// Attempts at a random port before the kernel chooses one.
const PORT_ATTEMPTS: usize = 8;
/// Ports drawn for these attempts: most may be reserved.
const PORTS_DRAWN: usize = 64;
/// Where the kernel says which ports are reserved, for both families.
const RESERVED_PORTS: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";

thread_local! {
    /// What a reader reads into, between two awaits.
    static FEWS: std::cell::RefCell<Box<Few>> = std::cell::RefCell::default();
}

/// What an upstream's messages are judged by.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) trust_ad: bool,
    /// Counts the messages that answer no question.
    pub(super) mismatches: IntCounter,
}

/// See the module's header. Dropped, it is closed.
pub(super) struct Socket {
    shared: Arc<Shared>,
    /// Our address towards the upstream.
    own: IpAddr,
    /// Questions it is still to be used for.
    left: AtomicU32,
    until: Instant,
    reader: AbortHandle,
}

struct Shared {
    udp: UdpSocket,
    table: Mutex<Table>,
    /// No new question is to use it. So it is whenever the table has ended.
    spent: AtomicBool,
    /// Messages that answered no question.
    forged: AtomicU32,
    peer: Peer,
    /// A descriptor's; given back when it is closed.
    _permit: Option<OwnedSemaphorePermit>,
}

/// Who waits for what.
#[derive(Default)]
struct Table {
    /// By the id of the message; none for askers that have gone, whose answers may still come.
    asked: HashMap<[u8; 2], Option<Asker>>,
    /// The reader has ended.
    ended: bool,
}

struct Asker {
    section: Vec<u8>,
    cookie: Option<Cookie>,
    answer: oneshot::Sender<io::Result<Received>>,
}

impl Socket {
    /// A new one. To be called within the runtime that carries it.
    pub(super) fn open(peer: Peer, permit: Option<OwnedSemaphorePermit>) -> io::Result<Self> {
        let udp = bind(peer.address)?;
        udp.connect(peer.address)?;
        udp.set_nonblocking(true)?;
        let own = udp.local_addr()?.ip();
        let shared = Arc::new(Shared {
            udp: UdpSocket::from_std(udp)?,
            table: Mutex::default(),
            spent: AtomicBool::new(false),
            forged: AtomicU32::new(0),
            peer,
            _permit: permit,
        });
        Ok(Self {
            own,
            left: AtomicU32::new(rand::random_range(QUESTIONS)),
            until: Instant::now() + Duration::from_millis(rand::random_range(AGE)),
            reader: tokio::spawn(Reader(shared.clone()).run()).abort_handle(),
            shared,
        })
    }

    /// Whether another should take its place: it has had its time, or something went wrong on it.
    pub(super) fn is_spent(&self, now: Instant) -> bool {
        self.shared.spent.load(Relaxed) || self.left.load(Relaxed) == 0 || self.until <= now
    }

    /// Whether nothing can be asked here any more.
    pub(super) fn has_ended(&self) -> bool {
        self.shared.lock().ended
    }

    /// Sends the question under an id of its own; the cookie is made for our address.
    pub(super) fn ask(
        self: Arc<Self>,
        question: &Question,
        edns: Edns,
        cookie: impl FnOnce(IpAddr) -> Option<Cookie>,
    ) -> io::Result<Waiting> {
        let cookie = cookie(self.own);
        let (sender, receiver) = oneshot::channel();
        let asker = Asker { section: question.section.clone(), cookie: cookie.clone(), answer: sender };
        let id = self.shared.lock().enter(asker)?;
        let message = message::write(id, question, edns, cookie.as_ref());
        let _ = self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
        let waiting = Waiting { socket: self, id, cookie, receiver, since: Instant::now(), over: false };
        let shared = &waiting.socket.shared;
        match shared.send(&message) {
            Ok(()) => Ok(waiting),
            Err(error) => {
                if error.kind() == io::ErrorKind::ConnectionRefused {
                    shared.end(&error); // it was about a question before this one: whose it was cannot be told
                } else {
                    shared.spend(); // about this one: what was sent before may still be answered
                }
                Err(error)
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Shared {
    fn send(&self, message: &[u8]) -> io::Result<()> {
        match rustix::net::send(&self.udp, message, rustix::net::SendFlags::DONTWAIT) {
            // no room in the queue of what is to be sent: as lost as on the network
            Ok(_) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::NOBUFS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives each message that waits to whom it answers. An error of [`WouldBlock`](io::ErrorKind::WouldBlock) says that
    /// none is left.
    fn hand_out(&self, few: &mut Few) -> io::Result<()> {
        let messages = few.receive(&self.udp)?;
        let are_all = messages.len() < FEW;
        for message in messages {
            if !self.lock().answered(message, self.peer.trust_ad) {
                self.mismatch();
            }
        }
        if are_all { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    }

    /// Counts a message that answers no question. Who waits is still listened for.
    fn mismatch(&self) {
        self.peer.mismatches.inc();
        if self.forged.fetch_add(1, Relaxed) + 1 >= FORGED {
            self.spend();
        }
    }

    /// Keeps new questions away.
    fn spend(&self) {
        self.spent.store(true, Relaxed);
    }

    /// Nothing can be asked here any more; tells all who wait. Spent first: who finds the table ended draws another.
    fn end(&self, error: &io::Error) {
        self.spend();
        self.lock().end(error);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner) // every change is one step: a panic leaves it whole
    }
}

impl Table {
    /// Takes the asker in, under an id no other has had here since somebody may still answer it.
    fn enter(&mut self, asker: Asker) -> io::Result<[u8; 2]> {
        if self.ended {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let mut id = rand::random();
        while self.asked.contains_key(&id) {
            id = rand::random(); // most are free: a socket is not used for long
        }
        self.asked.insert(id, Some(asker));
        Ok(id)
    }

    /// Gives the message to whom it answers; false if it answers nobody. To an asker who has gone it is merely late.
    fn answered(&mut self, message: &[u8], trust_ad: bool) -> bool {
        let Some(id) = message.first_chunk() else { return false };
        let asker = match self.asked.get(id) {
            None => return false,
            Some(None) => return self.asked.remove(id).is_some(),
            Some(Some(asker)) => asker,
        };
        let Some(received) = received(message, &asker.section, asker.cookie.as_ref(), trust_ad) else { return false };
        if let Some(Some(asker)) = self.asked.remove(id) {
            let _ = asker.answer.send(Ok(received)); // he may be about to go
        }
        true
    }

    /// Tells all who wait that nothing will come.
    fn end(&mut self, error: &io::Error) {
        self.ended = true;
        for asker in std::mem::take(&mut self.asked).into_values().flatten() {
            let _ = asker.answer.send(Err(error.kind().into()));
        }
    }
}

/// Takes what comes. Dropped, for whatever reason, it leaves nobody waiting.
struct Reader(Arc<Shared>);

impl Reader {
    async fn run(self) {
        let Self(shared) = &self;
        // a round that is told "would block" waits for more; a connected socket's errors are not readable to tokio
        let read = || FEWS.with_borrow_mut(|few| shared.hand_out(few));
        loop {
            match shared.udp.async_io(Interest::READABLE | Interest::ERROR, read).await {
                Ok(()) => tokio::task::yield_now().await, // there is more, but others want their turn
                Err(error) => return shared.end(&error),
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.end(&io::ErrorKind::ConnectionAborted.into());
    }
}

/// A question under way on a socket, which lives at least as long.
pub(super) struct Waiting {
    socket: Arc<Socket>,
    id: [u8; 2],
    cookie: Option<Cookie>,
    receiver: oneshot::Receiver<io::Result<Received>>,
    since: Instant,
    over: bool,
}

impl Waiting {
    /// Its answer, or the error the socket ended with.
    pub(super) async fn answer(&mut self) -> io::Result<Received> {
        let outcome = (&mut self.receiver).await;
        self.over = true;
        outcome.unwrap_or_else(|_| Err(io::ErrorKind::ConnectionAborted.into()))
    }

    /// The cookie it was asked with.
    pub(super) fn cookie(&self) -> Option<&Cookie> {
        self.cookie.as_ref()
    }
}

/// The asker goes without an answer. If he has waited for long, the socket is given up: perhaps our address is one that
/// nothing comes back to any more.
impl Drop for Waiting {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        // closed first: if he has been answered meanwhile, his id may be somebody else's, who still listens
        self.receiver.close();
        if let Some(asker) = self.socket.shared.lock().asked.get_mut(&self.id) {
            asker.take_if(|asker| asker.answer.is_closed());
        }
        if self.since.elapsed() >= PATIENCE {
            self.socket.shared.spend();
        }
    }
}

/// A socket on a port nobody can guess: chosen over the whole range, since the kernel's own choice covers half of it.
fn bind(upstream: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let any = |port| match upstream {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
    };
    let drawn = std::iter::repeat_with(|| rand::random_range(1_024..=u16::MAX)).take(PORTS_DRAWN);
    for port in drawn.filter(|port| !is_reserved(*port)).take(PORT_ATTEMPTS) {
        if let Ok(socket) = std::net::UdpSocket::bind(any(port)) {
            return Ok(socket);
        }
    }
    std::net::UdpSocket::bind(any(0))
}

/// Has it read which ports are reserved, if it has not yet: at the start, not when a question waits.
pub(super) fn read_reserved() {
    LazyLock::force(&RESERVED);
}

/// Whether the operator keeps the port for a service that may start later: the kernel minds that only where it chooses.
fn is_reserved(port: u16) -> bool {
    RESERVED.iter().any(|range| range.contains(&port))
}

/// The reserved ports, as they were when the first upstream was set up.
static RESERVED: LazyLock<Vec<RangeInclusive<u16>>> = LazyLock::new(|| match std::fs::read_to_string(RESERVED_PORTS) {
    Ok(text) => reserved(&text),
    Err(error) => {
        tracing::info!(%error, "{RESERVED_PORTS} cannot be read: questions to upstreams may take reserved ports");
        Vec::new()
    }
});

/// What the kernel writes there: `8053,9100-9110`. What is not such a list is left out.
fn reserved(text: &str) -> Vec<RangeInclusive<u16>> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
    };
    text.split(',').filter_map(range).collect()
}

#[cfg(test)]
mod tests;
