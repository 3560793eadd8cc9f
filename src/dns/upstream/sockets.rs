//! [`Sockets`]: the ports an upstream is asked from.
//!
//! There are [`PLACES`] for sockets, empty at first. A question draws one of them at random; if it is empty, or its socket
//! has had its time, a new one is opened there. So whoever is not on the path has to guess the port as well as the id, as
//! with a socket for each question (RFC 5452 §4.5, §9.2): an upstream that is seldom asked gets a new port nearly every
//! time, and one that is asked often has hundreds, each of which goes after some hundred questions or some seconds. A
//! socket that has had its time is listened to until the last who waits on it has his answer or has gone.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Semaphore;

use super::cookie::Cookie;
use super::message::Edns;
use super::socket::{Peer, Socket, Waiting};
use crate::dns::resolve::Question;

/// Sockets an upstream is asked from at a time.
const PLACES: usize = 512;

/// See the module's header.
pub(super) struct Sockets {
    peer: Peer,
    /// Leave to have a socket, for all upstreams together. One that has none yet may do without.
    descriptors: Arc<Semaphore>,
    places: Mutex<Box<[Option<Arc<Socket>>]>>,
}

impl Sockets {
    pub(super) fn new(peer: Peer, descriptors: Arc<Semaphore>) -> Self {
        Self { peer, descriptors, places: Mutex::new(vec![None; PLACES].into()) }
    }

    /// Sends the question from one of them. If that fails, which may be about the socket, once more from a new one.
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
        let now = Instant::now();
        for place in &mut *self.lock() {
            place.take_if(|socket| socket.is_spent(now));
        }
    }

    /// A socket for a question that has drawn this place.
    fn socket(&self, drawn: usize) -> io::Result<Arc<Socket>> {
        let mut places = self.lock();
        let now = Instant::now();
        let place = places.get(drawn).and_then(Option::as_ref);
        if let Some(socket) = place.filter(|socket| !socket.is_spent(now)) {
            return Ok(socket.clone());
        }
        let (before, after) = places.split_at(drawn);
        let other = after.iter().chain(before).flatten().find(|socket| !socket.has_ended()).cloned();
        let permit = self.descriptors.clone().try_acquire_owned().ok();
        if let (Some(other), None) = (&other, &permit) {
            return Ok(other.clone()); // no descriptor is left: the next one there is, even one that has had its time
        }
        match (Socket::open(self.peer.clone(), permit), other) {
            (Ok(socket), _) => {
                let socket = Arc::new(socket);
                places[drawn] = Some(socket.clone());
                Ok(socket)
            }
            (Err(_), Some(other)) => Ok(other),
            (Err(error), None) => Err(error),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Box<[Option<Arc<Socket>>]>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner) // every change is one step
    }
}
