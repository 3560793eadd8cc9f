//! Transports: each takes messages off the wire, calls [`Core::fast`](super::core::Core::fast) and, when that says so,
//! [`Core::wait`](super::core::Core::wait) and [`Core::conclude`](super::core::Core::conclude), and puts the answers back
//! on. A new transport is a file here.

pub mod mmsg;
mod outbox;
pub mod proxy;
pub mod stream;
pub mod udp;

use std::net::{SocketAddr, TcpListener, UdpSocket};

/// The bound sockets of one listen address.
#[derive(Debug)]
pub struct Sockets {
    /// The address, with the port the kernel chose where the configuration says 0.
    pub address: SocketAddr,
    /// Bound first and without SO_REUSEPORT: the lock against a second instance.
    pub tcp: TcpListener,
    /// One a worker, sharing the port by SO_REUSEPORT.
    pub udp: Vec<UdpSocket>,
}
