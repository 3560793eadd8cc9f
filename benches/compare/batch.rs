//! [`Batch`]: up to 64 datagrams that come with one system call and leave with one, for the reflector, the generator
//! and the upstream.
//!
//! It shares no code with the server's own `dns/listen/mmsg.rs`: a floor must not move with what is measured against
//! it. It has no unsafe code either: `recvmmsg` is nix's; `sendmmsg` is rustix's, because nix's does not say how many
//! left.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};

/// Datagrams a call takes.
pub(crate) const BATCH: usize = 64;
/// Largest datagram; no question and no answer of the benchmark comes near it.
pub(crate) const SIZE: usize = 768;

/// Buffers for a batch, with the lengths and the other ends of the datagrams in them.
pub(crate) struct Batch {
    buffers: Box<[[u8; SIZE]]>,
    lengths: [usize; BATCH],
    peers: [SocketAddrAny; BATCH],
    count: usize,
    headers: MultiHeaders<SockaddrIn>,
}

impl Default for Batch {
    fn default() -> Self {
        let nobody = SocketAddrAny::from(SocketAddrV4::new([0; 4].into(), 0));
        Self {
            buffers: vec![[0; SIZE]; BATCH].into(),
            lengths: [0; BATCH],
            peers: std::array::from_fn(|_| nobody.clone()),
            count: 0,
            headers: MultiHeaders::preallocate(BATCH, None),
        }
    }
}

impl Batch {
    /// Takes what waits; if nothing does and `wait` is set, waits for the first datagram, as long as the socket's read
    /// timeout says. Returns the number of datagrams.
    pub(crate) fn receive(&mut self, socket: &UdpSocket, wait: bool) -> io::Result<usize> {
        let flags = if wait { MsgFlags::MSG_WAITFORONE } else { MsgFlags::MSG_DONTWAIT };
        let mut buffers = self.buffers.iter_mut();
        let mut slices: [[IoSliceMut; 1]; BATCH] =
            std::array::from_fn(|_| [IoSliceMut::new(buffers.next().map_or(&mut [][..], |buffer| &mut buffer[..]))]);
        self.count = 0;
        match recvmmsg(socket.as_raw_fd(), &mut self.headers, slices.iter_mut(), flags, None) {
            Ok(messages) => {
                for message in messages {
                    self.lengths[self.count] = message.bytes;
                    if let Some(peer) = message.address {
                        self.peers[self.count] = SocketAddrV4::from(peer).into();
                    }
                    self.count += 1;
                }
                Ok(self.count)
            }
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED) => Ok(0), // refused: while the server starts
            Err(error) => Err(error.into()),
        }
    }

    /// Datagrams in it.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Datagram `n` as it came.
    pub(crate) fn datagram(&self, n: usize) -> &[u8] {
        &self.buffers[n][..self.lengths[n]]
    }

    /// Changes datagram `n` in place: gets the whole buffer and the length, returns the new length.
    pub(crate) fn change(&mut self, n: usize, change: impl FnOnce(&mut [u8; SIZE], usize) -> usize) {
        self.lengths[n] = change(&mut self.buffers[n], self.lengths[n]);
    }

    /// Adds a datagram that `write` makes; returns whether the batch is full now.
    pub(crate) fn push(&mut self, write: impl FnOnce(&mut [u8; SIZE]) -> usize) -> bool {
        self.lengths[self.count] = write(&mut self.buffers[self.count]);
        self.count += 1;
        self.count == BATCH
    }

    /// Sends every datagram back to where it came from, and forgets them.
    pub(crate) fn send_back(&mut self, socket: &UdpSocket) {
        self.send(socket, true);
    }

    /// Sends every datagram to the peer the socket is connected to, and forgets them.
    pub(crate) fn send_on(&mut self, socket: &UdpSocket) {
        self.send(socket, false);
    }

    fn send(&mut self, socket: &UdpSocket, back: bool) {
        let slices: [[IoSlice; 1]; BATCH] =
            std::array::from_fn(|n| [IoSlice::new(&self.buffers[n][..self.lengths[n].min(SIZE)])]);
        let mut controls: [SendAncillaryBuffer; BATCH] = std::array::from_fn(|_| SendAncillaryBuffer::default());
        let mut controls = controls.iter_mut();
        let mut headers: [MMsgHdr; BATCH] = std::array::from_fn(|n| {
            let control = controls.next().expect("one a datagram");
            match back {
                true => MMsgHdr::new_with_addr(&self.peers[n], &slices[n], control),
                false => MMsgHdr::new(&slices[n], control),
            }
        });
        let mut at = 0;
        while at < self.count {
            match sendmmsg(socket, &mut headers[at..self.count], SendFlags::empty()) {
                Ok(sent) if sent > 0 => at += sent,
                _ => at += 1, // the error is the first one's: it is lost, as on a network
            }
        }
        self.count = 0;
    }
}
