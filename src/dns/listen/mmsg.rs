//! Batches of datagrams: recvmmsg(2), sendmmsg(2) and the address a datagram was sent to (IP_PKTINFO, IPV6_PKTINFO).
//!
//! All `unsafe` code of the program is in this file: three system calls and the control messages they carry. The buffers
//! the kernel writes live in [`Batch`] or [`Few`]; what it reads lives there, with the caller, or on the stack of the
//! function that calls. Pointers to any of it are made right before each call and are not used after it.
#![allow(unsafe_code)]

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;

use libc::{c_int, c_void, cmsghdr, in_pktinfo, in6_pktinfo, iovec, mmsghdr, msghdr, sockaddr_storage};

/// Datagrams a call takes.
pub const BATCH: usize = 64;
/// Largest message taken. A longer query arrives cut off and is answered FORMERR; after a longer answer of an upstream it is
/// asked again by TCP.
pub const RECEIVE: usize = 4_096;
/// Octets by which two buffers are further apart than a page: what begins at the same place of every page has its place
/// in the same few lines of a processor's cache, too few for a batch.
const APART: usize = 64;
/// Largest answer sent.
pub const SEND: usize = crate::dns::reply::UDP_SIZE;

/// Room for one PKTINFO control message, aligned as the kernel wants it.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

const CONTROL: usize = 64;
const _: () = assert!(CONTROL >= size_of::<cmsghdr>() + size_of::<in6_pktinfo>() + 8);

/// Buffers for one batch in and one batch out. About 340 KiB; one per worker and never reallocated.
pub struct Batch {
    received: Vec<[u8; RECEIVE + APART]>,
    replies: Vec<[u8; SEND]>,
    peers: Vec<sockaddr_storage>,
    controls: Vec<Control>,
    /// Per datagram received: octets, octets of peer address, octets of control data.
    lengths: Vec<(usize, u32, usize)>,
    /// Per reply queued: the datagram it answers, its octets.
    queued: Vec<(usize, usize)>,
    iovecs: Vec<iovec>,
    headers: Vec<mmsghdr>,
}

/// Datagrams a call takes from a socket that seldom has more than one.
pub const FEW: usize = 4;

/// Buffers for a connected socket, whose datagrams all come from where they may: 16 KiB, one per thread that reads.
pub struct Few {
    received: [[u8; RECEIVE]; FEW],
    lengths: [usize; FEW],
}

impl Default for Few {
    fn default() -> Self {
        Self { received: [[0; RECEIVE]; FEW], lengths: [0; FEW] }
    }
}

impl Few {
    /// Takes what waits in the socket's queue, up to [`FEW`] datagrams, without waiting for any. What comes back are all
    /// of them; if they are fewer, the queue was empty.
    pub fn receive(&mut self, socket: &impl AsRawFd) -> io::Result<impl ExactSizeIterator<Item = &[u8]>> {
        let mut iovecs =
            self.received.each_mut().map(|buffer| iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: RECEIVE });
        // SAFETY: all-zero octets are a valid mmsghdr: one that wants neither addresses nor control messages
        let mut headers = [unsafe { zeroed::<mmsghdr>() }; FEW];
        for (header, iov) in headers.iter_mut().zip(&mut iovecs) {
            header.msg_hdr.msg_iov = &raw mut *iov;
            header.msg_hdr.msg_iovlen = 1;
        }
        let timeout = std::ptr::null_mut(); // as in Batch::receive()
        // SAFETY: every header points to one buffer of the length it states, alive in `self`
        let count = unsafe {
            libc::recvmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), FEW as u32, libc::MSG_DONTWAIT, timeout)
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for (len, header) in self.lengths.iter_mut().zip(&headers[..count]) {
            *len = (header.msg_len as usize).min(RECEIVE);
        }
        Ok(self.received.iter().zip(&self.lengths).map(|(buffer, len)| &buffer[..*len]).take(count))
    }
}

/// Where a datagram came from and was sent to, for a reply outside the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The client.
    pub peer: SocketAddr,
    /// The address it asked, if the socket is bound to all addresses.
    pub local: Option<IpAddr>,
    /// Its interface, for link-local addresses only: elsewhere routing decides (DESIGN §5).
    scope: u32,
}

impl Default for Batch {
    fn default() -> Self {
        // SAFETY: all-zero octets are a valid value of these C structs
        let (peer, header) = unsafe { (zeroed::<sockaddr_storage>(), zeroed::<mmsghdr>()) };
        let empty = iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        Self {
            received: vec![[0; RECEIVE + APART]; BATCH],
            replies: vec![[0; SEND]; BATCH],
            peers: vec![peer; BATCH],
            controls: vec![Control([0; CONTROL]); BATCH],
            lengths: Vec::with_capacity(BATCH),
            queued: Vec::with_capacity(BATCH),
            iovecs: vec![empty; BATCH],
            headers: vec![header; BATCH],
        }
    }
}

impl Batch {
    /// Takes what waits in the socket's queue, up to [`BATCH`] datagrams; 0 if nothing does.
    pub fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        self.lengths.clear();
        self.queued.clear();
        for n in 0..BATCH {
            self.iovecs[n] = iovec { iov_base: self.received[n].as_mut_ptr().cast(), iov_len: RECEIVE };
            self.headers[n].msg_hdr = msghdr {
                msg_name: (&raw mut self.peers[n]).cast(),
                msg_namelen: size_of::<sockaddr_storage>() as u32,
                msg_iov: &raw mut self.iovecs[n],
                msg_iovlen: 1,
                msg_control: self.controls[n].0.as_mut_ptr().cast(),
                msg_controllen: CONTROL as _,
                msg_flags: 0,
            };
        }
        // no timeout argument: it is only looked at after each datagram (recvmmsg(2), BUGS)
        let timeout = std::ptr::null_mut();
        // SAFETY: every header points to buffers of the lengths it states, all alive in `self`
        let count = unsafe {
            libc::recvmmsg(socket.as_raw_fd(), self.headers.as_mut_ptr(), BATCH as u32, libc::MSG_DONTWAIT, timeout)
        };
        let Ok(count) = usize::try_from(count) else {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::WouldBlock { Ok(0) } else { Err(error) };
        };
        for header in &self.headers[..count] {
            let head = &header.msg_hdr;
            let len = (header.msg_len as usize).min(RECEIVE);
            self.lengths.push((len, head.msg_namelen, head.msg_controllen));
        }
        Ok(count)
    }

    /// Datagram `n` of the last batch and the buffer for its reply.
    pub fn exchange(&mut self, n: usize) -> (&[u8], &mut [u8]) {
        (&self.received[n][..self.lengths[n].0], &mut self.replies[n])
    }

    /// Who sent datagram `n` and where to; `None` if the kernel's words make no sense.
    pub fn route(&self, n: usize) -> Option<Route> {
        let peer = read_address(&self.peers[n])?;
        let (local, scope) = self.pktinfo(n).unzip();
        Some(Route { peer, local, scope: scope.unwrap_or(0) })
    }

    fn pktinfo(&self, n: usize) -> Option<(IpAddr, u32)> {
        // SAFETY: all-zero octets are a valid msghdr
        let mut head: msghdr = unsafe { zeroed() };
        head.msg_control = self.controls[n].0.as_ptr().cast_mut().cast();
        head.msg_controllen = self.lengths[n].2 as _;
        // SAFETY: the control buffer was filled by the kernel up to this length and is only read here
        unsafe {
            let message = libc::CMSG_FIRSTHDR(&raw const head);
            if message.is_null() {
                return None;
            }
            let data = libc::CMSG_DATA(message);
            match ((*message).cmsg_level, (*message).cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let info = data.cast::<in_pktinfo>().read_unaligned();
                    Some((Ipv4Addr::from_bits(u32::from_be(info.ipi_addr.s_addr)).into(), 0))
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let info = data.cast::<in6_pktinfo>().read_unaligned();
                    let address = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                    let scope = if address.is_unicast_link_local() { info.ipi6_ifindex } else { 0 };
                    Some((address.into(), scope as u32))
                }
                _ => None,
            }
        }
    }

    /// Puts the reply to datagram `n`, `len` octets of its buffer, into the outgoing batch.
    pub fn queue(&mut self, n: usize, len: usize) {
        self.queued.push((n, len));
    }

    /// Sends the outgoing batch; returns how many of the replies the kernel did not take.
    ///
    /// Replies are best effort: a full socket buffer or an unreachable client loses that reply, as the network would.
    pub fn send(&mut self, socket: &UdpSocket) -> usize {
        let total = self.queued.len();
        for at in 0..total {
            let (n, len) = self.queued[at];
            // where the kernel did not say, there is nothing to say
            let route = if self.lengths[n].2 > 0 { self.route(n) } else { None };
            self.iovecs[at] = iovec { iov_base: self.replies[n].as_mut_ptr().cast(), iov_len: len };
            let control = route.map_or(0, |route| write_pktinfo(&mut self.controls[n], &route));
            self.headers[at].msg_hdr = msghdr {
                msg_name: (&raw mut self.peers[n]).cast(),
                msg_namelen: self.lengths[n].1,
                msg_iov: &raw mut self.iovecs[at],
                msg_iovlen: 1,
                msg_control: if control == 0 { std::ptr::null_mut() } else { self.controls[n].0.as_mut_ptr().cast() },
                msg_controllen: control as _,
                msg_flags: 0,
            };
        }
        let lost = send_headers(socket, &mut self.headers[..total]);
        self.queued.clear();
        lost
    }
}

/// Replies outside a batch that one call sends.
const REPLIES: usize = 16;

/// Sends replies outside a batch, each from the address that was asked; returns how many the kernel did not take.
pub fn send<'m>(socket: &UdpSocket, replies: impl IntoIterator<Item = (Route, &'m [u8])>) -> usize {
    let mut replies = replies.into_iter();
    let mut lost = 0;
    loop {
        let (count, not_taken) = send_some(socket, &mut replies);
        lost += not_taken;
        if count < REPLIES {
            return lost;
        }
    }
}

/// Sends the next [`REPLIES`] of them, if there are so many: how many there were, and how many were not taken.
fn send_some<'m>(socket: &UdpSocket, replies: impl Iterator<Item = (Route, &'m [u8])>) -> (usize, usize) {
    // SAFETY: all-zero octets are a valid value of these C structs
    let (mut headers, mut peers) = unsafe { ([zeroed::<mmsghdr>(); REPLIES], [zeroed::<sockaddr_storage>(); REPLIES]) };
    let mut iovecs = [iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; REPLIES];
    let mut controls = [Control([0; CONTROL]); REPLIES];
    let mut count = 0;
    for (n, (route, message)) in replies.take(REPLIES).enumerate() {
        let (peer, peer_len) = write_address(route.peer);
        peers[n] = peer;
        iovecs[n] = iovec { iov_base: message.as_ptr().cast_mut().cast(), iov_len: message.len() };
        let control = write_pktinfo(&mut controls[n], &route);
        let head = &mut headers[n].msg_hdr;
        (head.msg_name, head.msg_namelen) = ((&raw mut peers[n]).cast(), peer_len);
        (head.msg_iov, head.msg_iovlen) = (&raw mut iovecs[n], 1);
        if control > 0 {
            (head.msg_control, head.msg_controllen) = (controls[n].0.as_mut_ptr().cast(), control as _);
        }
        count = n + 1;
    }
    (count, send_headers(socket, &mut headers[..count]))
}

/// Sends what the headers say; returns how many of them the kernel did not take.
fn send_headers(socket: &UdpSocket, headers: &mut [mmsghdr]) -> usize {
    let (mut at, mut lost) = (0, 0);
    while at < headers.len() {
        let rest = &mut headers[at..];
        // SAFETY: every header points to buffers of the lengths it states, all alive where the headers were made
        let sent =
            unsafe { libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr(), rest.len() as u32, libc::MSG_DONTWAIT) };
        match usize::try_from(sent) {
            Ok(sent) if sent > 0 => at += sent,
            _ => (at, lost) = (at + 1, lost + 1), // the error is the first message's: skip it
        }
    }
    lost
}

/// Asks the kernel to say which address each datagram was sent to.
pub fn want_pktinfo(socket: &UdpSocket, v6: bool) -> io::Result<()> {
    match v6 {
        true => set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1),
        false => set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1),
    }
}

/// Keeps the kernel from believing path MTUs it is told of: a forged one would make it send answers in fragments, which can
/// be forged in turn (RFC 9715 §3).
pub fn ignore_path_mtu(socket: &UdpSocket, v6: bool) -> io::Result<()> {
    match v6 {
        true => set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_OMIT),
        false => set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_OMIT),
    }
}

fn set_option(socket: &UdpSocket, level: c_int, option: c_int, value: c_int) -> io::Result<()> {
    let value = (&raw const value).cast::<c_void>();
    // SAFETY: `value` points to a c_int of the stated size
    match unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value, size_of::<c_int>() as u32) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Fills the control buffer so that the reply leaves from the address asked; returns its length, 0 for none.
fn write_pktinfo(control: &mut Control, route: &Route) -> usize {
    // SAFETY: the buffer is aligned and larger than either message (asserted above); the all-zero structs are valid
    unsafe {
        let message = control.0.as_mut_ptr().cast::<cmsghdr>();
        let data = libc::CMSG_DATA(message);
        match route.local {
            Some(IpAddr::V4(local)) => {
                let mut info: in_pktinfo = zeroed();
                info.ipi_spec_dst.s_addr = local.to_bits().to_be();
                data.cast::<in_pktinfo>().write_unaligned(info);
                let len = size_of::<in_pktinfo>() as u32;
                (*message).cmsg_level = libc::IPPROTO_IP;
                (*message).cmsg_type = libc::IP_PKTINFO;
                (*message).cmsg_len = libc::CMSG_LEN(len) as _;
                libc::CMSG_SPACE(len) as usize
            }
            Some(IpAddr::V6(local)) => {
                let mut info: in6_pktinfo = zeroed();
                info.ipi6_addr.s6_addr = local.octets();
                info.ipi6_ifindex = route.scope as _;
                data.cast::<in6_pktinfo>().write_unaligned(info);
                let len = size_of::<in6_pktinfo>() as u32;
                (*message).cmsg_level = libc::IPPROTO_IPV6;
                (*message).cmsg_type = libc::IPV6_PKTINFO;
                (*message).cmsg_len = libc::CMSG_LEN(len) as _;
                libc::CMSG_SPACE(len) as usize
            }
            None => 0,
        }
    }
}

fn read_address(storage: &sockaddr_storage) -> Option<SocketAddr> {
    let at = (&raw const *storage).cast::<u8>();
    match c_int::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: sockaddr_storage is large enough and aligned for every address family
            let v4 = unsafe { at.cast::<libc::sockaddr_in>().read() };
            let address = Ipv4Addr::from_bits(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddrV4::new(address, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above
            let v6 = unsafe { at.cast::<libc::sockaddr_in6>().read() };
            let address = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Some(SocketAddrV6::new(address, u16::from_be(v6.sin6_port), 0, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

fn write_address(address: SocketAddr) -> (sockaddr_storage, u32) {
    // SAFETY: all-zero octets are a valid sockaddr_storage, which is large enough and aligned for both families
    unsafe {
        let mut storage: sockaddr_storage = zeroed();
        let at = (&raw mut storage).cast::<u8>();
        let len = match address {
            SocketAddr::V4(v4) => {
                let mut raw: libc::sockaddr_in = zeroed();
                raw.sin_family = libc::AF_INET as _;
                raw.sin_port = v4.port().to_be();
                raw.sin_addr.s_addr = v4.ip().to_bits().to_be();
                at.cast::<libc::sockaddr_in>().write(raw);
                size_of::<libc::sockaddr_in>()
            }
            SocketAddr::V6(v6) => {
                let mut raw: libc::sockaddr_in6 = zeroed();
                raw.sin6_family = libc::AF_INET6 as _;
                raw.sin6_port = v6.port().to_be();
                raw.sin6_addr.s6_addr = v6.ip().octets();
                raw.sin6_scope_id = v6.scope_id();
                at.cast::<libc::sockaddr_in6>().write(raw);
                size_of::<libc::sockaddr_in6>()
            }
        };
        (storage, len as u32)
    }
}
