//! [`Sockets`]: the ports an upstream is asked from.
//!
//! There are [`PLACES`] for sockets, empty at first. A question draws one of them at random; if it is empty, or its socket
//! has had its time, a new one is opened there. So whoever is not on the path has to guess the port as well as the id (RFC
//! 5452 §4.5, §9.2): an upstream that is seldom asked gets a new port nearly every time, and one that is asked often has
//! hundreds, each of which goes after some hundred questions or some seconds. What is weaker than with a socket for each
//! question: a port that somebody has found out has several questions under way, and more to come. So it gets no new
//! question after a few forged answers. A socket that has had its time is listened to until the last who waits on it has
//! his answer or has gone.
//!
//! All upstreams share a number of descriptors. When those are gone, each still has [`FEWEST`] of its own, and then its
//! questions share the sockets it has.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::cookie::Cookie;
use super::message::Edns;
use super::socket::{self, Peer, Socket, Waiting};
use crate::dns::resolve::Question;

/// Sockets an upstream is asked from at a time.
const PLACES: usize = 512;
/// Sockets an upstream may have although the others have taken all descriptors.
pub(super) const FEWEST: usize = 16;
/// How often those that have had their time are looked for because no descriptor is left.
const SWEEP: Duration = Duration::from_millis(100);

/// See the module's header.
pub(super) struct Sockets {
    peer: Peer,
    /// Leave to have a socket, for all upstreams together.
    descriptors: Arc<Semaphore>,
    /// Leave that is this upstream's alone.
    own: Arc<Semaphore>,
    places: Mutex<Places>,
}

struct Places {
    sockets: Box<[Option<Arc<Socket>>]>,
    /// When it was last looked whether sockets can be given up for others.
    swept: Option<Instant>,
    /// It has been told that descriptors are short.
    told: bool,
}

impl Sockets {
    pub(super) fn new(peer: Peer, descriptors: Arc<Semaphore>) -> Self {
        socket::read_reserved();
        let places = Places { sockets: vec![None; PLACES].into(), swept: None, told: false };
        Self { peer, descriptors, own: Arc::new(Semaphore::new(FEWEST)), places: Mutex::new(places) }
    }

    /// Sends the question from one of them. If that fails, which may be about the socket, once more from another.
    pub(super) fn ask(
        &self,
        question: &Question,
        edns: Edns,
        cookie: impl Fn(IpAddr) -> Option<Cookie>,
    ) -> io::Result<Waiting> {
        let drawn = rand::random_range(0..PLACES);
        match self.socket(drawn)?.ask(question, edns, &cookie) {
            Ok(waiting) => Ok(waiting),
            Err(_) => self.socket(drawn)?.ask(question, edns, cookie),
        }
    }

    /// Gives up those that have had their time.
    pub(super) fn sweep(&self) {
        self.lock().sweep(Instant::now());
    }

    /// A socket for a question that has drawn this place.
    fn socket(&self, drawn: usize) -> io::Result<Arc<Socket>> {
        let mut places = self.lock();
        let now = Instant::now();
        let place = places.sockets.get(drawn).and_then(Option::as_ref);
        if let Some(socket) = place.filter(|socket| !socket.is_spent(now)) {
            return Ok(socket.clone());
        }
        let mut permit = self.permit();
        let mut other = None;
        if permit.is_none() {
            other = places.other(drawn, now);
            if places.sweeps(now) {
                permit = self.permit(); // or later: what was swept is closed by the runtime
            }
            if !std::mem::replace(&mut places.told, true) {
                tracing::warn!(
                    upstream = %self.peer.address,
                    "no file descriptor is left for more sockets: its questions share those there are"
                );
            }
        }
        if let (Some(other), None) = (&other, &permit) {
            return Ok(other.clone());
        }
        match Socket::open(self.peer.clone(), permit) {
            Ok(socket) => {
                let socket = Arc::new(socket);
                places.sockets[drawn] = Some(socket.clone());
                Ok(socket)
            }
            Err(error) => other.or_else(|| places.other(drawn, now)).ok_or(error),
        }
    }

    /// Leave for one more.
    fn permit(&self) -> Option<OwnedSemaphorePermit> {
        let [all, own] = [&self.descriptors, &self.own].map(|leave| || leave.clone().try_acquire_owned().ok());
        all().or_else(own)
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner) // every change is one step
    }
}

impl Places {
    /// The next socket there is, at worst one that has had its time.
    fn other(&self, drawn: usize, now: Instant) -> Option<Arc<Socket>> {
        let (before, after) = self.sockets.split_at(drawn);
        let mut all = after.iter().chain(before).flatten();
        let good = all.clone().find(|socket| !socket.is_spent(now));
        good.or_else(|| all.find(|socket| !socket.has_ended())).cloned()
    }

    /// Sweeps, unless that was a moment ago: it looks at every place.
    fn sweeps(&mut self, now: Instant) -> bool {
        let due = self.swept.is_none_or(|then| now.duration_since(then) >= SWEEP);
        if due {
            self.sweep(now);
            self.swept = Some(now);
        }
        due
    }

    fn sweep(&mut self, now: Instant) {
        for place in &mut self.sockets {
            place.take_if(|socket| socket.is_spent(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use prometheus::IntCounter;
    use tokio::time::sleep;

    use super::*;
    use crate::dns::upstream::connection::tests::question;

    /// Those towards an upstream that is there for as long as the first value.
    fn towards(descriptors: usize) -> (UdpSocket, Sockets) {
        let upstream = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mismatches = IntCounter::new("mismatches", "mismatches").unwrap();
        let peer = Peer { address: upstream.local_addr().unwrap(), trust_ad: false, mismatches };
        (upstream, Sockets::new(peer, Arc::new(Semaphore::new(descriptors))))
    }

    async fn until(what: &str, holds: impl Fn() -> bool) {
        for _ in 0..1_000 {
            if holds() {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("it never came true: {what}");
    }

    #[tokio::test]
    async fn a_socket_that_ended_while_nobody_waited_is_not_drawn_again() {
        let (upstream, sockets) = towards(8);
        drop(upstream);
        let first = sockets.socket(3).unwrap();
        drop(first.clone().ask(&question("www"), Edns::Plain, |_| None));
        until("it is refused", || first.has_ended()).await;
        assert!(first.is_spent(Instant::now()));
        let next = sockets.socket(3).unwrap();
        assert!(!Arc::ptr_eq(&first, &next) && !next.is_spent(Instant::now()));
    }

    #[tokio::test]
    async fn an_upstream_has_some_sockets_although_others_took_all_descriptors() {
        let (_upstream, sockets) = towards(0);
        let first: Vec<_> = (0..FEWEST).map(|n| sockets.socket(n).unwrap()).collect();
        assert!((1..FEWEST).all(|n| !first[..n].iter().any(|other| Arc::ptr_eq(other, &first[n]))));
        let shares = |drawn: usize, with: &Arc<Socket>| Arc::ptr_eq(&sockets.socket(drawn).unwrap(), with);
        assert!(shares(FEWEST, &first[0]) && shares(PLACES - 1, &first[0]), "then they are shared");
    }

    #[tokio::test]
    async fn what_is_spent_makes_room_where_no_descriptor_is_left() {
        let (upstream, sockets) = towards(0);
        drop(upstream);
        for n in 0..FEWEST {
            let socket = sockets.socket(n).unwrap();
            drop(socket.clone().ask(&question("www"), Edns::Plain, |_| None));
            until("it is refused", || socket.has_ended()).await;
        }
        assert!(sockets.socket(PLACES - 1).is_ok());
        until("all but one may be opened again", || sockets.own.available_permits() >= FEWEST - 1).await;
    }
}
