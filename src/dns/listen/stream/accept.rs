//! [`Acceptor`]: takes connections from the kernel and finds out whose they are.
//!
//! Errors of accept(2) are of two kinds. Those of the connection that was to be taken (it is gone already, or the
//! network reports something about it) cost that connection. Those of this process, above all that no file descriptor
//! is left (EMFILE, ENFILE), would come back at once: an idle connection gives way, and accepting rests, for longer the
//! longer it lasts. The kernel keeps what arrives meanwhile. The log is told once a minute, the metric each time.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::connection::serve;
use super::places::{Class, Place, Places};
use crate::dns::core::Core;
use crate::dns::listen::proxy;
use crate::observe::counters::{Closed, Counters, Dropped};
use crate::observe::metrics::TcpMetrics;

/// First rest after accepting failed; doubled each time.
const SHORT_PAUSE: Duration = Duration::from_millis(10);
/// Longest one.
const LONG_PAUSE: Duration = Duration::from_secs(1);
/// Least time between two lines in the log.
const LOG_PAUSE: Duration = Duration::from_secs(60);
/// Connections of balancers that may be without their header at a time.
const MAX_HEADERS: usize = 1_024;

/// What every listener needs; clones share it.
#[derive(Clone)]
pub struct Acceptor {
    core: Arc<Core>,
    counters: Arc<Counters>,
    places: Arc<Places>,
    metrics: TcpMetrics,
    headers: Arc<Semaphore>,
}

impl Acceptor {
    /// Connections take their places from `places` and are counted in `counters` and `metrics`.
    pub fn new(core: Arc<Core>, counters: Arc<Counters>, places: Arc<Places>, metrics: TcpMetrics) -> Self {
        Self { core, counters, places, metrics, headers: Arc::new(Semaphore::new(MAX_HEADERS)) }
    }

    /// Accepts connections until `stop` turns true. Those that are there then go on.
    pub async fn listen(self, listener: TcpListener, mut stop: watch::Receiver<bool>) {
        let mut failing = Failing::default();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let pause = match accepted {
                Ok((stream, peer)) => {
                    failing.pause = Duration::ZERO;
                    self.admit(stream, peer);
                    continue;
                }
                Err(error) if is_of_the_connection(&error) => continue,
                Err(error) => {
                    self.metrics.accept_errors.inc();
                    self.places.evict();
                    failing.again(&error)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr) {
        let _ = stream.set_nodelay(true); // answers are written whole: waiting for more gains nothing
        let peer = peer.ip();
        if self.core.settings().proxy.contains(peer) {
            return self.admit_proxied(stream, peer);
        }
        if let Some(place) = self.place(peer) {
            tokio::spawn(self.clone().serve(stream, peer, place));
        }
    }

    /// The header says who asks, so it is read before there is a place.
    fn admit_proxied(&self, mut stream: TcpStream, balancer: IpAddr) {
        let Ok(permit) = self.headers.clone().try_acquire_owned() else { return self.metrics.closed(Closed::Limit) };
        let acceptor = self.clone();
        tokio::spawn(async move {
            let limit = acceptor.core.settings().tcp.frame;
            let header = timeout(limit, read_header(&mut stream)).await;
            drop(permit);
            let Ok(Ok(header)) = header else {
                acceptor.counters.dropped(Dropped::Proxy);
                return acceptor.metrics.closed(Closed::Framing);
            };
            let client = header.client.unwrap_or(balancer);
            if let Some(place) = acceptor.place(client) {
                acceptor.serve(stream, client, place).await;
            }
        });
    }

    fn place(&self, client: IpAddr) -> Option<Place> {
        let settings = self.core.settings();
        let class = if settings.allow.contains(client) { Class::Client } else { Class::Stranger };
        self.places.take(client, class, &settings.tcp)
    }

    async fn serve(self, stream: TcpStream, client: IpAddr, place: Place) {
        let why = serve(stream, client, place, self.core, self.counters).await;
        self.metrics.closed(why);
    }
}

/// Reads a PROXY header and nothing behind it.
async fn read_header(stream: &mut TcpStream) -> io::Result<proxy::Header> {
    let invalid = |fault| io::Error::new(io::ErrorKind::InvalidData, fault);
    let mut prefix = [0; proxy::PREFIX];
    stream.read_exact(&mut prefix).await?;
    let mut octets = prefix.to_vec();
    octets.resize(proxy::length(&prefix).map_err(invalid)?, 0);
    stream.read_exact(&mut octets[proxy::PREFIX..]).await?;
    proxy::parse(&octets).map_err(invalid)
}

/// Errors that say something about one connection: accept(2) passes on what the network reported about it.
fn is_of_the_connection(error: &io::Error) -> bool {
    const PASSED_ON: [i32; 11] = [
        libc::ECONNABORTED,
        libc::ECONNRESET,
        libc::EINTR,
        libc::EPROTO,
        libc::ENETDOWN,
        libc::ENOPROTOOPT,
        libc::EHOSTDOWN,
        libc::ENONET,
        libc::EHOSTUNREACH,
        libc::EOPNOTSUPP,
        libc::ENETUNREACH,
    ];
    error.raw_os_error().is_some_and(|code| PASSED_ON.contains(&code))
}

/// How accepting has been failing.
#[derive(Default)]
struct Failing {
    pause: Duration,
    logged: Option<Instant>,
}

impl Failing {
    /// Once more; returns for how long to rest.
    fn again(&mut self, error: &io::Error) -> Duration {
        self.pause = (self.pause * 2).clamp(SHORT_PAUSE, LONG_PAUSE);
        if self.logged.is_none_or(|logged| logged.elapsed() >= LOG_PAUSE) {
            self.logged = Some(Instant::now());
            tracing::warn!(%error, "no TCP connection can be accepted for now; not said again within a minute");
        }
        self.pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_of_our_own_are_a_reason_to_rest() {
        let of = |code| is_of_the_connection(&io::Error::from_raw_os_error(code));
        assert!(of(libc::ECONNABORTED) && of(libc::EPROTO));
        assert!(!of(libc::EMFILE) && !of(libc::ENFILE) && !of(libc::ENOBUFS) && !of(libc::ENOMEM));
    }

    #[test]
    fn the_rest_grows_and_has_an_end() {
        let (mut failing, error) = (Failing::default(), io::Error::from_raw_os_error(libc::EMFILE));
        let pauses: Vec<_> = (0..10).map(|_| failing.again(&error)).collect();
        assert_eq!(pauses[..3], [10, 20, 40].map(Duration::from_millis));
        assert_eq!(pauses[9], LONG_PAUSE);
    }
}
