//! What concerns the process as a whole: sockets bound before anything else, limits, signals.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::dns::listen::Sockets;
use crate::dns::listen::mmsg::{ignore_path_mtu, want_pktinfo};

/// Buffers asked for each UDP socket in octets; the kernel grants up to net.core.rmem_max (deploy/ has a sysctl file).
const UDP_BUFFER: usize = 4 << 20;
/// TCP connections the kernel holds until they are accepted.
const BACKLOG: i32 = 1_024;
/// How long octets may stay unacknowledged, or the client's window shut, before the kernel gives a connection up; by
/// default it keeps what we closed for a quarter of an hour. More than [`Limits`](crate::dns::listen::stream::Limits)
/// allow for writing. Keepalives are not asked for: no connection is idle for so long.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(15);
/// Attempts to find a port that is free for TCP and UDP, where the configuration says 0.
const PORT_ATTEMPTS: usize = 16;

/// A socket could not be bound.
#[derive(Debug)]
pub struct BindError {
    address: SocketAddr,
    transport: &'static str,
    error: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, transport, error } = self;
        write!(f, "cannot listen on {address} ({transport}): {error}")?;
        match error.kind() {
            io::ErrorKind::AddrInUse => {
                write!(f, "; is another resolver, or another pagar, running? ss -lnptu 'sport = :{}'", address.port())
            }
            io::ErrorKind::PermissionDenied => {
                f.write_str("; ports below 1024 need CAP_NET_BIND_SERVICE (the systemd unit grants it)")
            }
            io::ErrorKind::AddrNotAvailable => f.write_str("; the address is not one of this machine's"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for BindError {}

/// Binds every listen address: TCP first and without SO_REUSEPORT, since that would hide a port in use and give half
/// the queries to whoever has it; then one UDP socket a worker.
pub fn bind_dns(listen: &[SocketAddr], workers: usize) -> Result<Vec<Sockets>, BindError> {
    listen.iter().map(|address| bind_one(*address, workers)).collect()
}

fn bind_one(address: SocketAddr, workers: usize) -> Result<Sockets, BindError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let tcp = bind_tcp(address)?;
        let at = |error| BindError { address, transport: "tcp", error };
        let bound = tcp.local_addr().map_err(at)?;
        let udp: io::Result<Vec<_>> = (0..workers).map(|_| bind_udp(bound)).collect();
        match udp {
            Ok(udp) => return Ok(Sockets { address: bound, tcp, udp }),
            Err(_) if address.port() == 0 && attempt < PORT_ATTEMPTS => {}
            Err(error) => return Err(BindError { address: bound, transport: "udp", error }),
        }
    }
}

/// Binds a TCP listener that no other process can share.
pub fn bind_tcp(address: SocketAddr) -> Result<TcpListener, BindError> {
    let bind = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?; // connections of a former run in TIME_WAIT do not keep us out
        socket.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT))?; // its connections inherit it
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    bind().map_err(|error| BindError { address, transport: "tcp", error })
}

fn bind_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    let _ = socket.set_recv_buffer_size(UDP_BUFFER); // as much as the system allows
    let _ = socket.set_send_buffer_size(UDP_BUFFER);
    socket.bind(&address.into())?;
    let socket = UdpSocket::from(socket);
    ignore_path_mtu(&socket, address.is_ipv6())?;
    if address.ip().is_unspecified() {
        want_pktinfo(&socket, address.is_ipv6())?;
    }
    Ok(socket)
}

/// Raises the limit of open files to what the system allows, since every question that waits for an upstream holds
/// sockets; returns the limit.
pub fn raise_file_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        Ok(()) => limit.maximum.unwrap_or(u64::MAX),
        Err(error) => {
            tracing::warn!(%error, "cannot raise the limit of open files");
            limit.current.unwrap_or(u64::MAX)
        }
    }
}

/// What the operating system asks of a running server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// SIGHUP.
    Reload,
    /// SIGTERM or SIGINT.
    Stop,
}

/// Waits for signals.
#[derive(Debug)]
pub struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the signals over from their defaults. To be called within a runtime.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The next request.
    pub async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.hangup.recv() => Request::Reload,
            _ = self.terminate.recv() => Request::Stop,
            _ = self.interrupt.recv() => Request::Stop,
        }
    }
}
