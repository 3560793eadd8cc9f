//! One question to one upstream over UDP: a socket of its own on a random port, a random id (RFC 5452 §9.2).
//!
//! The socket is connected, so the kernel lets only the upstream's address and port through and reports a refused port at
//! once. What does not carry our id and question is ignored and listening goes on (RFC 5452 §9.1).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::UdpSocket;

use super::TryError;
use crate::dns::UpstreamConfig;
use crate::dns::answer::{Answer, Bad};
use crate::dns::reply::UDP_SIZE;
use crate::dns::resolve::Question;
use crate::dns::wire::{HEADER, rtype};

/// Attempts at a random port before the kernel chooses one.
const PORT_ATTEMPTS: usize = 8;
/// Largest datagram taken: upstreams may ignore the size offered.
const RECEIVE: usize = 4_096;

/// Sends the question and waits for its answer for as long as the caller does.
pub(super) async fn exchange(upstream: &UpstreamConfig, question: &Question) -> Result<Answer, TryError> {
    let socket = bind(upstream.address)?;
    socket.connect(upstream.address).await?;
    let id: [u8; 2] = rand::random();
    socket.send(&message(id, question)).await?;
    let mut buffer = vec![0; RECEIVE];
    loop {
        let len = socket.recv(&mut buffer).await?;
        if buffer[..len].starts_with(&id) {
            match Answer::parse(&buffer[..len], &question.section, upstream.trust_ad) {
                Err(Bad::Mismatch) => {}
                outcome => return Ok(outcome?),
            }
        }
    }
}

/// A socket on a port nobody can guess: chosen over the whole range, since the kernel's own choice covers half of it.
fn bind(upstream: SocketAddr) -> io::Result<UdpSocket> {
    let any = |port| match upstream {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
    };
    for _ in 0..PORT_ATTEMPTS {
        if let Ok(socket) = std::net::UdpSocket::bind(any(rand::random_range(1_024..=u16::MAX))) {
            return from_std(socket);
        }
    }
    from_std(std::net::UdpSocket::bind(any(0))?)
}

fn from_std(socket: std::net::UdpSocket) -> io::Result<UdpSocket> {
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// The message for an upstream: RD, AD (RFC 6840 §5.7), CD as asked, an OPT of ours and nothing of the client's.
fn message(id: [u8; 2], question: &Question) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER + question.section.len() + 11);
    message.extend_from_slice(&id);
    message.extend_from_slice(&[0x01, 0x20 | u8::from(question.checking_disabled) << 4]);
    for count in [1u16, 0, 0, 1] {
        message.extend_from_slice(&count.to_be_bytes());
    }
    message.extend_from_slice(&question.section);
    message.push(0);
    message.extend_from_slice(&rtype::OPT.to_be_bytes());
    message.extend_from_slice(&(UDP_SIZE as u16).to_be_bytes());
    message.extend_from_slice(&[0, 0, u8::from(question.dnssec_ok) << 7, 0, 0, 0]);
    message
}
