//! `GET /healthz` and `GET /readyz`: whether the process runs, and whether it can do its work.
//!
//! Ready means: a policy has been published, every worker thread moves, every DNS address answers a real message by UDP
//! and TCP, and nobody has asked the server to stop.
//! That upstreams are dead does not make it unready: listed names are still answered, and a load balancer that took all
//! nodes out of service would make a bad day worse.
//!
//! The message is a header alone with opcode STATUS (RFC 1035 §4.1.1), to which a server answers NOTIMP or REFUSED
//! whatever its policy: nothing is looked up, counted as a hit or forwarded. A probe is good for a second, and requests
//! that come while one runs wait for it, so asking often costs the resolver nothing. It is sent from a loopback
//! address, which nobody elsewhere can forge: sent from the service address, it would share the response rate limit of
//! that network, and whoever uses that up by forged queries could take the node out of service. If loopback is one of
//! the balancers that must send a PROXY header, so must the probe.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::routing::{MethodRouter, get};
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::problem::{Code, Problem};
use crate::control::Handle;
use crate::model::Networks;
use crate::observe::Metrics;
use crate::observe::beats::stuck;

/// How long a socket has to answer.
const ANSWER: Duration = Duration::from_millis(500);
/// How long a finding is good for.
const FRESH: Duration = Duration::from_secs(1);
/// A DNS header (RFC 1035 §4.1.1).
const HEADER: usize = 12;
/// A PROXY header of version 2 by which a balancer speaks for itself: command LOCAL, nothing more (its §2.2).
const LOCAL: &[u8; 16] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// The data plane, as seen from outside. Cheap to clone; clones share their findings.
#[derive(Clone, Debug)]
pub struct Health {
    started: Instant,
    sockets: Arc<[SocketAddr]>,
    balancers: Arc<ArcSwap<Networks>>,
    found: Arc<Mutex<Option<Finding>>>,
    stopping: Arc<AtomicBool>,
}

/// What a probe of all sockets found.
#[derive(Debug)]
struct Finding {
    at: Instant,
    wrong: Vec<String>,
}

impl Health {
    /// `started` is the instant beats are counted from, `sockets` what is bound for UDP and TCP each.
    pub fn new(started: Instant, sockets: Vec<SocketAddr>) -> Self {
        let (balancers, found, stopping) = Default::default();
        Self { started, sockets: sockets.into(), balancers, found, stopping }
    }

    /// Who must begin with a PROXY header, `[dns.proxy] from`: said once and after every reload.
    pub fn set_balancers(&self, balancers: Networks) {
        self.balancers.store(Arc::new(balancers));
    }

    /// From here on it is not ready, although it still answers: whoever sends clients here is to send them elsewhere.
    pub fn stop(&self) {
        self.stopping.store(true, Relaxed);
    }

    /// What is wrong with the sockets, now or less than a second ago.
    async fn sockets(&self) -> Vec<String> {
        let mut found = self.found.lock().await; // held while probing: others wait and read what was found
        if let Some(finding) = found.as_ref().filter(|finding| finding.at.elapsed() < FRESH) {
            return finding.wrong.clone();
        }
        let wrong = probe_all(&self.sockets, &self.balancers.load_full()).await;
        *found = Some(Finding { at: Instant::now(), wrong: wrong.clone() });
        wrong
    }
}

/// What readiness depends on.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) control: Handle,
    pub(super) metrics: Arc<Metrics>,
    pub(super) health: Health,
}

pub(super) fn alive() -> MethodRouter {
    get(async || "ok\n")
}

pub(super) fn ready(state: State) -> MethodRouter {
    get(readiness).with_state(state)
}

async fn readiness(axum::extract::State(state): axum::extract::State<State>) -> Result<&'static str, Problem> {
    let mut wrong = Vec::new();
    if state.health.stopping.load(Relaxed) {
        wrong.push("the server is stopping".to_owned());
    }
    if !state.control.is_ready() {
        wrong.push("no policy has been published".to_owned());
    }
    wrong.extend(stuck(&state.metrics.beats(), state.health.started.elapsed()));
    wrong.extend(state.health.sockets().await);
    if wrong.is_empty() {
        return Ok("ready\n");
    }
    Err(Problem::new(Code::NotReady, format!("not ready: {}", wrong.join("; "))).with("causes", wrong))
}

async fn probe_all(sockets: &[SocketAddr], balancers: &Networks) -> Vec<String> {
    let probes = sockets.iter().map(|socket| async move {
        let target = reachable(*socket);
        let (udp, tcp) = (probe_udp(target, balancers), probe_tcp(target, balancers));
        let (udp, tcp) = tokio::join!(timeout(ANSWER, udp), timeout(ANSWER, tcp));
        let wrong = |transport, result| match result {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("{socket}/{transport}: {error}")),
            Err(_) => Some(format!("{socket}/{transport}: no answer within {} ms", ANSWER.as_millis())),
        };
        [wrong("udp", udp), wrong("tcp", tcp)]
    });
    join_all(probes).await.into_iter().flatten().flatten().collect()
}

/// An address to reach a socket by that is bound to all of them.
fn reachable(mut socket: SocketAddr) -> SocketAddr {
    match socket.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => socket.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => socket.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    socket
}

/// What a message of ours must begin with.
fn header(own: SocketAddr, balancers: &Networks) -> &'static [u8] {
    if balancers.contains(own.ip()) { LOCAL } else { &[] }
}

/// Where a probe comes from. The kernel carries it to any address of this machine, those of scope link included.
fn source(target: SocketAddr) -> SocketAddr {
    let loopback = if target.is_ipv4() { IpAddr::from(Ipv4Addr::LOCALHOST) } else { Ipv6Addr::LOCALHOST.into() };
    SocketAddr::new(loopback, 0)
}

async fn probe_udp(target: SocketAddr, balancers: &Networks) -> io::Result<()> {
    let socket = UdpSocket::bind(source(target)).await?;
    socket.connect(target).await?;
    let id = rand::random();
    socket.send(&[header(socket.local_addr()?, balancers), &status_query(id)].concat()).await?;
    let mut answer = [0; HEADER];
    while !answers(&answer, id) {
        socket.recv(&mut answer).await?; // whatever else arrives is not for us; the time limit is the caller's
    }
    Ok(())
}

async fn probe_tcp(target: SocketAddr, balancers: &Networks) -> io::Result<()> {
    let socket = if target.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.bind(source(target))?;
    let mut stream = socket.connect(target).await?;
    let id = rand::random();
    let mut framed = [0; 2 + HEADER];
    framed[1] = HEADER as u8;
    framed[2..].copy_from_slice(&status_query(id));
    stream.write_all(&[header(stream.local_addr()?, balancers), &framed].concat()).await?;
    stream.read_exact(&mut framed).await?; // no answer is shorter than a header
    let [_, _, answer @ ..] = framed;
    if answers(&answer, id) { Ok(()) } else { Err(io::Error::other("answered something else")) }
}

/// Opcode 2, no sections.
fn status_query(id: u16) -> [u8; HEADER] {
    let [high, low] = id.to_be_bytes();
    [high, low, 2 << 3, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

fn answers(message: &[u8; HEADER], id: u16) -> bool {
    message[..2] == id.to_be_bytes() && message[2] & 0x80 != 0
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use axum::http::StatusCode;
    use tokio::net::TcpListener;

    use super::super::tests::{get, problem, state};
    use super::*;

    /// Answers on UDP and TCP like a server that does not know STATUS; counts the UDP queries.
    async fn responder() -> (SocketAddr, Arc<AtomicUsize>) {
        let (tcp, udp) = pair().await;
        let address = tcp.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        tokio::spawn(async move {
            let mut query = [0; 512];
            while let Ok((length, client)) = udp.recv_from(&mut query).await {
                count.fetch_add(1, Relaxed);
                assert_eq!((length, query[2]), (12, 0x10));
                udp.send_to(&[0xff; 12], client).await.unwrap(); // not the answer
                query[2] |= 0x80;
                udp.send_to(&query[..length], client).await.unwrap();
            }
        });
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                let mut query = [0; 14];
                stream.read_exact(&mut query).await.unwrap();
                query[4] |= 0x80;
                stream.write_all(&query).await.unwrap();
            }
        });
        (address, asked)
    }

    /// Both transports on one free port.
    async fn pair() -> (TcpListener, UdpSocket) {
        loop {
            let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                return (tcp, udp);
            }
        }
    }

    fn over(sockets: Vec<SocketAddr>) -> State {
        let state = state();
        let started = Instant::now() - Duration::from_secs(10);
        State { control: state.control, metrics: state.metrics, health: Health::new(started, sockets) }
    }

    async fn causes(state: &State) -> Vec<String> {
        match readiness(axum::extract::State(state.clone())).await {
            Ok(_) => Vec::new(),
            Err(problem) => serde_json::from_value(serde_json::to_value(problem).unwrap()["causes"].clone()).unwrap(),
        }
    }

    #[tokio::test]
    async fn it_is_ready_when_everything_answers() {
        let (address, _) = responder().await;
        let state = over(vec![address]);
        let worker = state.metrics.worker();
        worker.beat_ms.store(9_000, Relaxed);
        assert_eq!(causes(&state).await, [] as [&str; 0]);
        state.health.clone().stop();
        assert_eq!(causes(&state).await, ["the server is stopping"]);
    }

    #[tokio::test]
    async fn whatever_does_not_answer_is_named() {
        // closed again; no other test binds this address
        let free = TcpListener::bind("127.0.0.9:0").await.unwrap().local_addr().unwrap();
        let silent = pair().await;
        let mute = silent.0.local_addr().unwrap();
        let state = over(vec![free, mute]);
        let (stuck, moving) = (state.metrics.worker(), state.metrics.worker());
        stuck.beat_ms.store(1_000, Relaxed);
        moving.beat_ms.store(9_900, Relaxed);
        let causes = causes(&state).await;
        assert_eq!(causes.len(), 5, "{causes:?}");
        assert_eq!(causes[0], "worker 0 has not moved for 9 s");
        assert!(causes[1].starts_with(&format!("{free}/udp: Connection refused")), "{causes:?}");
        assert!(causes[2].starts_with(&format!("{free}/tcp: Connection refused")), "{causes:?}");
        assert_eq!(causes[3], format!("{mute}/udp: no answer within 500 ms"));
        assert_eq!(causes[4], format!("{mute}/tcp: no answer within 500 ms"));
    }

    #[tokio::test]
    async fn many_requests_make_one_probe_and_a_second_later_another() {
        let (address, asked) = responder().await;
        let health = over(vec![address]).health;
        let found = join_all((0..50).map(|_| health.sockets())).await;
        assert!(found.iter().all(Vec::is_empty));
        assert_eq!(asked.load(Relaxed), 1);
        *health.found.lock().await = Some(Finding { at: Instant::now() - FRESH, wrong: Vec::new() });
        health.sockets().await;
        assert_eq!(asked.load(Relaxed), 2);
    }

    #[tokio::test]
    async fn the_endpoints_say_so() {
        assert_eq!(get("/healthz").await.2, "ok\n");
        let (status, body) = problem("/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body["causes"][0], "no DNS worker has begun");
    }

    #[test]
    fn sockets_bound_to_every_address_are_reached_through_loopback() {
        let reached = |socket: &str| reachable(socket.parse().unwrap()).to_string();
        assert_eq!(reached("0.0.0.0:53"), "127.0.0.1:53");
        assert_eq!(reached("[::]:53"), "[::1]:53");
        assert_eq!(reached("192.0.2.1:53"), "192.0.2.1:53");
    }
}
