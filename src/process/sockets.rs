//! [`claim`]: every listening socket of the program, wherever it comes from.
//!
//! Sockets that are open already are taken first: those systemd opened (`LISTEN_FDS`, sd_listen_fds(3)) or those of the
//! process that hands over to this one ([`super::upgrade`]). They are known by type and address, never by number or
//! name. What is missing is bound here; what systemd opened and nobody wants is an error, because its queries would
//! wait for ever.
//!
//! An address may come with another number of UDP sockets than there are workers. More: the workers share them out, so
//! that none is closed with queries in it. Fewer: further ones are bound beside them, which the kernel allows to the
//! same user if SO_REUSEPORT is set on all; if it refuses, several workers read one socket, and one queue.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::Duration;

use listenfd::ListenFd;
use rustix::io::fcntl_dupfd_cloexec;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::dns::listen::Sockets;
use crate::dns::listen::mmsg::{ignore_path_mtu, want_pktinfo};

/// Buffers asked for each UDP socket in octets; the kernel grants up to net.core.rmem_max (deploy/ has a sysctl file).
const UDP_BUFFER: usize = 4 << 20;
/// TCP connections the kernel holds until they are accepted; it grants up to net.core.somaxconn.
const BACKLOG: i32 = 1_024;
/// How long octets may stay unacknowledged, or the client's window shut, before the kernel gives a connection up; by
/// default it keeps what we closed for a quarter of an hour. More than [`Limits`](crate::dns::listen::stream::Limits)
/// allow for writing. Keepalives are not asked for: no connection is idle for so long.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(15);
/// Attempts to find a port that is free for TCP and UDP, where the configuration says 0.
const PORT_ATTEMPTS: usize = 16;

/// The sockets are not as the configuration wants them.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// A socket could not be bound.
    #[error("cannot listen on {address} ({transport}): {error}{}", hint(*.address, .error))]
    Bind {
        /// Where.
        address: SocketAddr,
        /// `udp` or `tcp`.
        transport: &'static str,
        /// What the system says.
        error: io::Error,
    },
    /// A descriptor of systemd is no socket that DNS or HTTP can be served on.
    #[error(
        "socket {number} of those systemd opened: {error}; \
         the socket unit needs ListenDatagram and ListenStream of addresses with a port"
    )]
    Unusable {
        /// Its place among them, from 1.
        number: usize,
        /// What it is not.
        error: io::Error,
    },
    /// systemd opened a socket that no key of the configuration asks for.
    #[error(
        "systemd opened {address} ({transport}), and neither [dns] listen nor [web] listen has it: \
         take it out of the socket unit, or write it there"
    )]
    Surplus {
        /// Where it listens.
        address: SocketAddr,
        /// `udp` or `tcp`.
        transport: &'static str,
    },
    /// An IPv6 wildcard that takes IPv4 as well: its clients would have other addresses than `allow` says.
    #[error("{address} ({transport}) was opened for IPv4 too: write BindIPv6Only=ipv6-only in the socket unit")]
    BothFamilies {
        /// Where it listens.
        address: SocketAddr,
        /// `udp` or `tcp`.
        transport: &'static str,
    },
}

/// What to do about it, for the usual causes.
fn hint(address: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("; is another resolver, or another pagar, running? ss -lnptu 'sport = :{}'", address.port())
        }
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need CAP_NET_BIND_SERVICE (the systemd unit grants it)".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => "; the address is not one of this machine's".to_owned(),
        _ => String::new(),
    }
}

/// Sockets that were open before this process began.
#[derive(Debug, Default)]
pub struct Inherited {
    /// For DNS; from systemd, also for HTTP.
    pub tcp: Vec<TcpListener>,
    /// For DNS.
    pub udp: Vec<UdpSocket>,
    /// For HTTP, where the giver says so.
    pub web: Vec<TcpListener>,
    /// Whether the operator must be told about what is left over: it is a mistake in the socket unit. What is left over
    /// after a hand-over is an address that the new configuration gave up.
    pub must_be_used: bool,
}

impl Inherited {
    /// What systemd opened; nothing if it opened nothing. To be called once, before there are threads: it takes the
    /// variables out of the environment, which a process started later must not see.
    pub fn from_systemd() -> Result<Self, SocketError> {
        let mut given = ListenFd::from_env();
        let mut inherited = Self { must_be_used: true, ..Self::default() };
        for n in 0..given.len() {
            if let Ok(Some(socket)) = given.take_udp_socket(n) {
                inherited.udp.push(socket);
                continue;
            }
            match given.take_tcp_listener(n) {
                Ok(listener) => inherited.tcp.extend(listener),
                Err(error) => return Err(SocketError::Unusable { number: n + 1, error }),
            }
        }
        Ok(inherited)
    }

    /// The address of a TCP and a UDP socket for an entry of `[dns] listen`, `port` 0 being any port.
    fn dns_address(&self, wanted: SocketAddr) -> Option<SocketAddr> {
        let tcp = self.tcp.iter().filter_map(|socket| socket.local_addr().ok());
        let udp = self.udp.iter().filter_map(|socket| socket.local_addr().ok());
        let mut all = tcp.chain(udp);
        if wanted.port() == 0 { all.find(|one| one.ip() == wanted.ip()) } else { all.find(|one| *one == wanted) }
    }

    fn take_tcp(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let at = self.tcp.iter().position(|socket| socket.local_addr().is_ok_and(|own| own == address))?;
        Some(self.tcp.swap_remove(at))
    }

    fn take_udp(&mut self, address: SocketAddr) -> Vec<UdpSocket> {
        self.udp.extract_if(.., |socket| socket.local_addr().is_ok_and(|own| own == address)).collect()
    }

    fn take_web(&mut self, wanted: SocketAddr) -> Option<TcpListener> {
        let fits = |own: SocketAddr| own == wanted || wanted.port() == 0 && own.ip() == wanted.ip();
        let at = self.web.iter().position(|socket| socket.local_addr().is_ok_and(fits));
        at.map(|at| self.web.swap_remove(at)).or_else(|| self.take_tcp(wanted))
    }

    /// Ends what nobody took.
    fn close(self) -> Result<(), SocketError> {
        let udp = self.udp.iter().filter_map(|socket| Some((socket.local_addr().ok()?, "udp")));
        let tcp = self.tcp.iter().chain(&self.web).filter_map(|socket| Some((socket.local_addr().ok()?, "tcp")));
        for (address, transport) in udp.chain(tcp) {
            if self.must_be_used {
                return Err(SocketError::Surplus { address, transport });
            }
            tracing::info!(%address, transport, "no longer in the configuration: closed");
        }
        Ok(())
    }
}

/// The listening sockets.
#[derive(Debug)]
pub struct Bound {
    /// One for each entry of `[dns] listen`, in its order.
    pub dns: Vec<Sockets>,
    /// `[web] listen`.
    pub web: Option<TcpListener>,
}

/// Takes what is open already and binds the rest, so that a second instance stops before it touches anything.
///
/// Bound is TCP first and without SO_REUSEPORT, since that would hide a port in use and give half the queries to
/// whoever has it; then one UDP socket a worker. Where there are inherited ones, further ones have to wait for
/// [`Bound::complete`]: from the moment they are bound, the kernel gives them queries.
pub fn claim(
    listen: &[SocketAddr],
    web: Option<SocketAddr>,
    workers: usize,
    mut inherited: Inherited,
) -> Result<Bound, SocketError> {
    let web = web.map(|address| match inherited.take_web(address) {
        Some(listener) => adopt_tcp(listener, address),
        None => bind_tcp(address),
    });
    let web = web.transpose()?;
    let mut found: Vec<Option<Sockets>> = listen.iter().map(|_| None).collect();
    // those with a port first: one with port 0 takes what is left
    for any_port in [false, true] {
        for (wanted, found) in listen.iter().zip(&mut found).filter(|(wanted, _)| (wanted.port() == 0) == any_port) {
            *found = inherited.dns_address(*wanted).map(|address| adopt(address, &mut inherited)).transpose()?;
        }
    }
    inherited.close()?;
    let bound = listen.iter().zip(found).map(|(address, found)| found.map_or_else(|| bind_one(*address, workers), Ok));
    Ok(Bound { dns: bound.collect::<Result<_, _>>()?, web })
}

impl Bound {
    /// Sees to it that there is a UDP socket for every worker. To be called right before the workers start.
    pub fn complete(&mut self, workers: usize) -> Result<(), SocketError> {
        for Sockets { address, udp, .. } in &mut self.dns {
            let at = |error| SocketError::Bind { address: *address, transport: "udp", error };
            let had = udp.len();
            let mut shared = false;
            while udp.len() < workers {
                match bind_udp(*address) {
                    Ok(socket) => udp.push(socket),
                    Err(_) if had > 0 => {
                        shared = true;
                        udp.push(udp[udp.len() % had].try_clone().map_err(at)?);
                    }
                    Err(error) => return Err(at(error)),
                }
            }
            if shared {
                tracing::info!(%address, sockets = had, workers, "the workers share the UDP sockets they were given");
            }
        }
        Ok(())
    }

    /// A copy of every descriptor, for a process that comes after this one.
    pub fn copies(&self) -> io::Result<Copies> {
        let mut copies = Copies::default();
        for sockets in &self.dns {
            copies.tcp.push(fcntl_dupfd_cloexec(&sockets.tcp, 0)?);
            for socket in &sockets.udp {
                copies.udp.push(fcntl_dupfd_cloexec(socket, 0)?);
            }
        }
        copies.web = self.web.iter().map(|web| fcntl_dupfd_cloexec(web, 0)).collect::<Result<_, _>>()?;
        Ok(copies)
    }
}

/// Copies of the descriptors of a [`Bound`], by what they are for.
#[derive(Debug, Default)]
pub struct Copies {
    /// DNS over UDP.
    pub udp: Vec<OwnedFd>,
    /// DNS over TCP.
    pub tcp: Vec<OwnedFd>,
    /// HTTP.
    pub web: Vec<OwnedFd>,
}

/// Makes inherited sockets of one address fit for use.
fn adopt(address: SocketAddr, inherited: &mut Inherited) -> Result<Sockets, SocketError> {
    let tcp = inherited.take_tcp(address).map_or_else(|| bind_tcp(address), |tcp| adopt_tcp(tcp, address))?;
    let udp = inherited.take_udp(address);
    for socket in &udp {
        prepare(SockRef::from(socket), address, "udp")?;
        configure_udp(socket, address).map_err(|error| SocketError::Bind { address, transport: "udp", error })?;
    }
    Ok(Sockets { address, tcp, udp })
}

fn adopt_tcp(listener: TcpListener, address: SocketAddr) -> Result<TcpListener, SocketError> {
    prepare(SockRef::from(&listener), address, "tcp")?;
    let timeout = SockRef::from(&listener).set_tcp_user_timeout(Some(TCP_USER_TIMEOUT));
    timeout.map_err(|error| SocketError::Bind { address, transport: "tcp", error })?;
    let listening = SockRef::from(&listener).listen(BACKLOG); // it listens already: only the backlog changes
    listening.map_err(|error| SocketError::Bind { address, transport: "tcp", error })?;
    Ok(listener)
}

/// What every socket of ours has and one opened by others may not have.
fn prepare(socket: SockRef<'_>, address: SocketAddr, transport: &'static str) -> Result<(), SocketError> {
    let at = |error| SocketError::Bind { address, transport, error };
    socket.set_nonblocking(true).map_err(at)?;
    // cannot be changed once it is bound
    if address.is_ipv6() && address.ip().is_unspecified() && !socket.only_v6().map_err(at)? {
        return Err(SocketError::BothFamilies { address, transport });
    }
    Ok(())
}

fn bind_one(address: SocketAddr, workers: usize) -> Result<Sockets, SocketError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let tcp = bind_tcp(address)?;
        let at = |error| SocketError::Bind { address, transport: "tcp", error };
        let bound = tcp.local_addr().map_err(at)?;
        let udp: io::Result<Vec<_>> = (0..workers).map(|_| bind_udp(bound)).collect();
        match udp {
            Ok(udp) => return Ok(Sockets { address: bound, tcp, udp }),
            Err(_) if address.port() == 0 && attempt < PORT_ATTEMPTS => {}
            Err(error) => return Err(SocketError::Bind { address: bound, transport: "udp", error }),
        }
    }
}

/// Binds a TCP listener that no other process can share.
fn bind_tcp(address: SocketAddr) -> Result<TcpListener, SocketError> {
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
    bind().map_err(|error| SocketError::Bind { address, transport: "tcp", error })
}

fn bind_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    let socket = UdpSocket::from(socket);
    configure_udp(&socket, address)?;
    Ok(socket)
}

/// Buffers, path MTU and the address a query came to.
fn configure_udp(socket: &UdpSocket, address: SocketAddr) -> io::Result<()> {
    let buffers = SockRef::from(socket);
    let _ = buffers.set_recv_buffer_size(UDP_BUFFER); // as much as the system allows
    let _ = buffers.set_send_buffer_size(UDP_BUFFER);
    ignore_path_mtu(socket, address.is_ipv6())?;
    if address.ip().is_unspecified() {
        want_pktinfo(socket, address.is_ipv6())?;
    }
    Ok(())
}
