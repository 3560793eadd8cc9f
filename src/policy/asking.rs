//! [`Asking`]: how the data plane knows the questions that the node asks itself.
//!
//! The self-test ([`control::selftest`](crate::control::selftest)) asks the listening sockets as a subscriber would. Its
//! questions are to be answered whoever else is served, and to count as nobody's, so the workers must know them. Two
//! things must be right:
//!
//! 1. the address and port they come from: those of the socket that sits at this listener's [`Place`] now. It is bound
//!    to loopback, which the kernel takes from nobody outside;
//! 2. the option they end with: 128 random bits of this process.
//!
//! Neither is worth forging. Whoever manages both makes the node answer himself at a loopback address.
//!
//! A worker looks at the port of its place once a batch, and compares a datagram's port with it; all else is for those few
//! where it is the same.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering::Relaxed};

/// The EDNS option with the token, of those for local use (RFC 6891 §9: 65001 to 65534).
const CODE: u16 = 65_311;
/// Octets of the token.
const TOKEN: usize = 16;

/// See the module's header.
#[derive(Debug)]
pub struct Asking {
    places: Box<[Arc<Place>]>,
    option: [u8; 4 + TOKEN],
}

/// Where questions to one listener come from.
#[derive(Debug)]
pub struct Place {
    listener: SocketAddr,
    /// 0: nobody asks.
    port: AtomicU16,
    /// The address, as IPv6; torn in two for a moment when it changes, which the token makes up for.
    address: [AtomicU64; 2],
}

impl Asking {
    /// For a node that listens on these addresses, their ports known, with a token of its own.
    pub fn new(listeners: impl IntoIterator<Item = SocketAddr>) -> Self {
        let mut option = [0; 4 + TOKEN];
        option[..2].copy_from_slice(&CODE.to_be_bytes());
        option[2..4].copy_from_slice(&(TOKEN as u16).to_be_bytes());
        option[4..].copy_from_slice(&rand::random::<[u8; TOKEN]>());
        Self { places: listeners.into_iter().map(|at| Arc::new(Place::new(at))).collect(), option }
    }

    /// The places, one a listener.
    pub fn places(&self) -> &[Arc<Place>] {
        &self.places
    }

    /// The place of a listener; one where nobody ever sits if there is no such listener.
    pub fn place(&self, listener: SocketAddr) -> Arc<Place> {
        let place = self.places.iter().find(|place| place.listener == listener);
        place.cloned().unwrap_or_else(|| Arc::new(Place::new(listener)))
    }

    /// What a question of ours ends with: code, length and data of the option.
    pub fn option(&self) -> &[u8] {
        &self.option
    }

    /// Whether a message ends with it.
    pub fn has_signed(&self, message: &[u8]) -> bool {
        message.ends_with(&self.option)
    }
}

impl Place {
    fn new(listener: SocketAddr) -> Self {
        Self { listener, port: AtomicU16::new(0), address: Default::default() }
    }

    /// Where to send questions: loopback for a socket that is bound to all addresses.
    pub fn target(&self) -> SocketAddr {
        let ip = match self.listener.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        let mut target = self.listener;
        target.set_ip(ip);
        target
    }

    /// From now on, until the next call, questions come from this address and port.
    pub fn sit(&self, asker: SocketAddr) {
        let [high, low] = halves(asker.ip());
        self.address[0].store(high, Relaxed);
        self.address[1].store(low, Relaxed);
        self.port.store(asker.port(), Relaxed);
    }

    /// Nobody asks any more.
    pub fn leave(&self) {
        self.port.store(0, Relaxed);
    }

    /// The port that questions come from; 0 if nobody asks. To be read after the datagrams it is compared with were
    /// received: who sends one sits already.
    #[inline]
    pub fn port(&self) -> u16 {
        self.port.load(Relaxed)
    }

    /// Whether questions come from there.
    pub fn is(&self, peer: SocketAddr) -> bool {
        let [high, low] = halves(peer.ip());
        let (port, own) = (self.port(), self.address.each_ref().map(|half| half.load(Relaxed)));
        port != 0 && port == peer.port() && own == [high, low]
    }
}

fn halves(ip: IpAddr) -> [u64; 2] {
    let bits = match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    };
    [(bits >> 64) as u64, bits as u64]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_place_is_who_sits_there_by_address_and_port() {
        let asking = Asking::new([at("0.0.0.0:53"), at("[::]:53")]);
        let (four, six) = (asking.place(at("0.0.0.0:53")), asking.place(at("[::]:53")));
        assert_eq!((four.target(), six.target()), (at("127.0.0.1:53"), at("[::1]:53")));
        assert!(!four.is(at("127.0.0.1:0")), "nobody sits there");
        four.sit(at("127.0.0.1:4000"));
        six.sit(at("[::1]:4001"));
        assert!(four.is(at("127.0.0.1:4000")) && six.is(at("[::1]:4001")));
        for stranger in ["127.0.0.1:4001", "127.0.0.2:4000", "[::1]:4000", "192.0.2.1:4000"] {
            assert!(!four.is(at(stranger)), "{stranger}");
        }
        four.leave();
        assert!(!four.is(at("127.0.0.1:4000")));
    }

    #[test]
    fn a_listener_that_is_not_known_has_a_place_of_its_own() {
        let asking = Asking::new([at("192.0.2.1:53")]);
        asking.place(at("192.0.2.2:53")).sit(at("127.0.0.1:4000"));
        assert_eq!(asking.place(at("192.0.2.2:53")).port(), 0);
        assert_eq!(asking.place(at("192.0.2.1:53")).target(), at("192.0.2.1:53"));
    }

    #[test]
    fn each_process_signs_otherwise() {
        let (one, other) = (Asking::new([]), Asking::new([]));
        let message = [b"message", one.option()].concat();
        assert!(one.has_signed(&message) && !other.has_signed(&message));
        assert!(!one.has_signed(&message[..message.len() - 1]));
    }
}
