//! [`run`]: accepts connections and bounds what they may cost; axum's own server has no limits.
//!
//! | bound | why |
//! |---|---|
//! | connections at a time | the rest waits in the kernel's backlog, without memory of ours |
//! | connections of an address, but for this machine's own | no stranger can take all places |
//! | time for the handshake of TLS | slow clients cannot hold a place |
//! | time for a request's header, the wait for it on an idle connection included | nor later |
//! | life of a connection, then time to finish a request | neither can one that reads its answer slowly |
//! | octets of header | memory of a connection |
//! | time and octets still read after the last answer | a client that is still sending may read why it was refused |
//!
//! Without TLS only this machine is served, whatever address the socket has: it may be of an older configuration.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, sink};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::places::Places;
use super::tls::Tls;
use crate::observe::Metrics;
use crate::observe::metrics::Refused;
use crate::tls::fingerprint;

/// Who is at the other end of a connection, as far as the connection says; part of each request's extensions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    /// Where it connects from.
    pub(super) address: SocketAddr,
    /// SHA-256 of the certificate it has shown in TLS.
    pub(super) certificate: Option<[u8; 32]>,
}

/// What a client may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    connections: usize,
    header: Duration,
    life: Duration,
    finish: Duration,
    linger: Duration,
}

impl Limits {
    /// Ample for authorities' gateways, scrapers and persons; none is a setting, because none has ever needed to be.
    pub(super) const DEFAULT: Self = Self {
        connections: 256,
        header: Duration::from_secs(10),
        life: Duration::from_secs(300),
        finish: Duration::from_secs(2),
        linger: Duration::from_secs(5),
    };
}

/// Octets of a request's header.
const BUFFER: usize = 64 * 1024;
/// Octets that are read and thrown away after the last answer: a body of the size that is refused.
const LINGER: u64 = 32 << 20;

/// What every connection needs.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) router: Router,
    pub(super) tls: Tls,
    pub(super) metrics: Arc<Metrics>,
    pub(super) limits: Limits,
}

/// Serves until `shutdown`; returns when the requests under way are answered or the time to finish them is over.
/// Dropping the future ends every connection at once.
pub(super) async fn run(listener: TcpListener, server: Server, shutdown: impl Future<Output = ()>) {
    let mut shutdown = pin!(shutdown);
    let (stop, stopping) = watch::channel(());
    let (mut connections, places) = (JoinSet::new(), Places::default());
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {} // a place is free
            accepted = listener.accept(), if connections.len() < server.limits.connections => match accepted {
                Ok((stream, address)) => match places.take(address.ip()) {
                    Some(place) => {
                        let (server, stopping) = (server.clone(), stopping.clone());
                        connections.spawn(async move {
                            server.accepted(stream, address, stopping).await;
                            drop(place);
                        });
                    }
                    None => server.metrics.web.closed(Refused::Places),
                },
                Err(error) => refused(&error).await,
            }
        }
        server.metrics.web.connections.set(connections.len().try_into().unwrap_or(i64::MAX));
    }
    drop(listener);
    drop(stop); // the connections see it go
    let _ = timeout(server.limits.finish, async { while connections.join_next().await.is_some() {} }).await;
}

impl Server {
    async fn accepted(self, stream: TcpStream, address: SocketAddr, stopping: watch::Receiver<()>) {
        let Some(acceptor) = self.tls.acceptor() else {
            if address.ip().to_canonical().is_loopback() {
                let peer = Peer { address, certificate: None };
                return connection(stream, peer, self.router, self.limits, stopping).await;
            }
            return self.metrics.web.closed(Refused::Plain);
        };
        match timeout(self.limits.header, handshake(stream, acceptor)).await {
            Ok(Ok(stream)) => {
                let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                let peer = Peer { address, certificate: shown.map(fingerprint) };
                connection(stream, peer, self.router, self.limits, stopping).await;
            }
            Ok(Err((why, error))) => {
                tracing::debug!(%address, %error, "no TLS with a client of the API");
                self.metrics.web.closed(why);
            }
            Err(_) => self.metrics.web.closed(Refused::Slow),
        }
    }
}

/// TLS, or why there is none. Whoever speaks HTTP is told, in HTTP, what is spoken here.
async fn handshake(mut stream: TcpStream, acceptor: TlsAcceptor) -> Result<TlsStream<TcpStream>, (Refused, io::Error)> {
    let mut first = [0];
    let _ = stream.peek(&mut first).await.map_err(|error| (Refused::Handshake, error))?;
    if first[0].is_ascii_uppercase() {
        let _ = stream.write_all(NOT_TLS.as_bytes()).await; // it may have gone
        let _ = linger(stream).await;
        return Err((Refused::NotTls, io::Error::other("it speaks HTTP")));
    }
    acceptor.accept(stream).await.map_err(|error| {
        use rustls::CertificateError::ApplicationVerificationFailure as OfNobody;
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
        let of_nobody = matches!(cause, Some(rustls::Error::InvalidCertificate(OfNobody)));
        (if of_nobody { Refused::Certificate } else { Refused::Handshake }, error)
    })
}

/// The answer to a request without TLS; written out, since nothing has parsed the request.
const NOT_TLS: &str = concat!(
    "HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\nconnection: close\r\n\r\n",
    r#"{"type":"urn:pagar:problem:not-tls","title":"TLS is spoken here","status":400,"#,
    r#""detail":"the request came without TLS","hint":"write https:// in place of http://","code":"not-tls"}"#,
    "\n"
);

/// Serves one; how it ends is the client's affair.
async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    router: Router,
    limits: Limits,
    mut stopping: watch::Receiver<()>,
) {
    let inner = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        Box::pin(inner.call(request.map(Body::new)))
    });
    let mut served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    let ended = tokio::select! {
        ended = poll_fn(|cx| served.poll_without_shutdown(cx)) => ended.is_ok(),
        _ = stopping.changed() => false,
        () = sleep(limits.life) => false,
    };
    if !ended {
        Pin::new(&mut served).graceful_shutdown();
        let _ = timeout(limits.finish, poll_fn(|cx| served.poll_without_shutdown(cx))).await;
    }
    let _ = timeout(limits.linger, linger(served.into_parts().io.into_inner())).await;
}

/// Closed with octets unread, a connection is reset, and the client may lose the answer.
async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    stream.shutdown().await?;
    copy(&mut stream.take(LINGER), &mut sink()).await.map(drop)
}

/// A client that gave up is nothing; anything else (no file descriptors left) gets time to pass, or this would spin.
async fn refused(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionReset) {
        tracing::error!(%error, "cannot accept HTTP connections");
        sleep(Duration::from_secs(1)).await;
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::sync::{Notify, oneshot};
    use tokio::task::JoinHandle;

    use super::super::auth::Access;
    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

    async fn start(router: Router, limits: Limits) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let metrics = Arc::new(Metrics::new("0", "0").unwrap());
        let tls = Tls::new(Access::new(Vec::new(), metrics.clone()), metrics.clone());
        let server = Server { router, tls, metrics, limits };
        let server = tokio::spawn(async move { run(listener, server, async { drop(stopped.await) }).await });
        (address, stop, server)
    }

    async fn ask(address: SocketAddr) -> TcpStream {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(REQUEST).await.unwrap();
        client
    }

    async fn answer(stream: &mut TcpStream) -> String {
        let mut answer = vec![0; 4096];
        let length = stream.read(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }

    /// A handler that takes a while, and a sign that it has begun.
    fn slow(takes: Duration) -> (Router, Arc<Notify>) {
        let begun = Arc::new(Notify::new());
        let begins = begun.clone();
        let handler = get(async move || {
            begins.notify_one();
            sleep(takes).await;
            "done"
        });
        (Router::new().route("/", handler), begun)
    }

    #[tokio::test]
    async fn a_request_under_way_is_answered_before_the_end() {
        let (router, begun) = slow(Duration::from_millis(100));
        let (address, stop, server) = start(router, Limits::DEFAULT).await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        let mut client = ask(address).await;
        begun.notified().await;
        stop.send(()).unwrap();
        assert!(answer(&mut client).await.ends_with("done"));
        server.await.unwrap();
        assert_eq!(idle.read(&mut [0]).await.unwrap_or(0), 0, "closed");
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn a_request_that_never_ends_does_not_hold_up_the_end() {
        let (router, begun) = slow(Duration::from_secs(3_600));
        let limits = Limits { finish: Duration::from_millis(50), ..Limits::DEFAULT };
        let (address, stop, server) = start(router, limits).await;
        let _client = ask(address).await;
        begun.notified().await;
        stop.send(()).unwrap();
        timeout(Duration::from_secs(5), server).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn more_connections_than_places_wait_and_are_served_when_one_is_free() {
        let limits = Limits { connections: 2, ..Limits::DEFAULT };
        let (address, _stop, _server) = start(Router::new().route("/", get(async || "served")), limits).await;
        let (mut first, mut second) = (ask(address).await, ask(address).await);
        assert!(answer(&mut first).await.ends_with("served"));
        assert!(answer(&mut second).await.ends_with("served"));
        let mut late = ask(address).await; // the first two are kept alive
        assert!(timeout(Duration::from_millis(100), answer(&mut late)).await.is_err());
        drop(first);
        assert!(answer(&mut late).await.ends_with("served"));
    }

    #[tokio::test]
    async fn a_header_that_does_not_come_to_its_end_is_cut_off() {
        let limits = Limits { header: Duration::from_millis(50), ..Limits::DEFAULT };
        let (address, _stop, _server) = start(Router::new(), limits).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HT").await.unwrap();
        let end = timeout(Duration::from_secs(5), client.read_to_end(&mut Vec::new())).await;
        assert!(end.is_ok(), "still open");
    }

    #[tokio::test]
    async fn so_is_a_connection_that_is_kept_alive_for_nothing() {
        let limits = Limits { header: Duration::from_millis(100), ..Limits::DEFAULT };
        let (address, _stop, _server) = start(Router::new().route("/", get(async || "served")), limits).await;
        let mut client = ask(address).await;
        let mut all = Vec::new();
        let end = timeout(Duration::from_secs(5), client.read_to_end(&mut all)).await;
        assert!(end.is_ok() && all.ends_with(b"served"), "still open");
    }

    #[tokio::test]
    async fn so_is_a_connection_that_outlives_its_time() {
        let (router, _) = slow(Duration::from_secs(3_600));
        let short = Duration::from_millis(50);
        let (address, _stop, _server) = start(router, Limits { life: short, finish: short, ..Limits::DEFAULT }).await;
        let mut client = ask(address).await;
        let end = timeout(Duration::from_secs(5), client.read_to_end(&mut Vec::new())).await;
        assert!(end.is_ok(), "still open");
    }

    #[tokio::test]
    async fn a_header_of_megabytes_is_refused() {
        let (address, _stop, _server) = start(Router::new(), Limits::DEFAULT).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        let header = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(1 << 20));
        let _ = client.write_all(header.as_bytes()).await; // an error says that the server has closed already
        let mut answer = Vec::new();
        let end = timeout(Duration::from_secs(5), client.read_to_end(&mut answer)).await;
        assert!(end.is_ok(), "still open");
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431 "), "{answer:?}");
    }
}
