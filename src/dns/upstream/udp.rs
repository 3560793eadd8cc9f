//! One question to one upstream over UDP: a socket of its own on a random port, a random id (RFC 5452 §9.2).
//!
//! The socket is connected, so the kernel lets only the upstream's address and port through and reports a refused port
//! at once. What does not carry our id, our question and, if it has one, our cookie is ignored and listening goes on
//! (RFC 5452 §9.1, RFC 7873 §5.3).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::UdpSocket;

use super::cookie::{Cookie, Returned};
use super::message::{self, Edns};
use super::server::Server;
use crate::dns::answer::{Answer, Bad};
use crate::dns::resolve::Question;
use crate::dns::wire::{HEADER, option, options, record, rtype, u16_at};

/// Attempts at a random port before the kernel chooses one.
const PORT_ATTEMPTS: usize = 8;
/// Largest datagram taken: upstreams may ignore the size offered.
const RECEIVE: usize = 4_096;

/// A message that answers the question.
pub(super) struct Received {
    pub(super) outcome: Result<Answer, Bad>,
    /// It had an OPT record.
    pub(super) has_opt: bool,
    /// It should have had a cookie.
    pub(super) misses_cookie: bool,
    /// It is longer than the buffer: the kernel has cut it.
    pub(super) cut: bool,
}

impl Received {
    /// The response code, as far as it can be told.
    pub(super) fn rcode(&self) -> Option<u16> {
        match &self.outcome {
            Ok(answer) => Some(answer.rcode()),
            Err(Bad::Error(code)) => Some(u16::from(*code)),
            Err(Bad::Malformed | Bad::Mismatch) => None,
        }
    }
}

/// Sends the question and waits for its answer for as long as the caller does.
pub(super) async fn exchange(server: &Server, question: &Question, edns: Edns) -> io::Result<Received> {
    let socket = bind(server.address())?;
    socket.connect(server.address()).await?;
    let id: [u8; 2] = rand::random();
    let cookie = match edns {
        Edns::Cookie => Some(server.cookie(socket.local_addr()?.ip())),
        Edns::Plain | Edns::None => None,
    };
    socket.send(&message::write(id, question, edns, cookie.as_ref())).await?;
    let mut buffer = vec![0; RECEIVE];
    loop {
        let len = socket.recv(&mut buffer).await?;
        match received(server, &buffer[..len], id, question, cookie.as_ref()) {
            Some(received) => return Ok(received),
            None => server.series().mismatches.inc(),
        }
    }
}

/// The message, if it is the answer.
fn received(
    server: &Server,
    message: &[u8],
    id: [u8; 2],
    question: &Question,
    cookie: Option<&Cookie>,
) -> Option<Received> {
    if !message.starts_with(&id) {
        return None;
    }
    let outcome = Answer::parse(message, &question.section, server.trusts_ad());
    if outcome == Err(Bad::Mismatch) {
        return None;
    }
    let opt = opt(message, question.section.len());
    let returned = cookie.map_or(Returned::None, |cookie| cookie.judge(opt.flatten()));
    match (returned, cookie) {
        (Returned::Foreign, _) => return None,
        (Returned::Ours(Some(theirs)), Some(cookie)) => server.learn(cookie, theirs),
        _ => {}
    }
    let cut = outcome == Err(Bad::Malformed) && message.len() == RECEIVE;
    Some(Received { outcome, has_opt: opt.is_some(), misses_cookie: returned == Returned::Missing, cut })
}

/// The OPT record of a message with our question or none, and the COOKIE option in it.
pub(super) fn opt(message: &[u8], question: usize) -> Option<Option<&[u8]>> {
    let mut at = HEADER + if u16_at(message, 4)? == 0 { 0 } else { question };
    let records = [6, 8, 10].map(|place| u16_at(message, place).unwrap_or(0)).map(u32::from).iter().sum();
    for _ in 0..records {
        let record = record(message, at)?; // at least 11 octets each, so the message bounds the loop
        if record.rtype == rtype::OPT {
            let mut all = options(&message[record.rdata..record.end]);
            return Some(all.find_map(|each| each.filter(|(code, _)| *code == option::COOKIE)).map(|(_, data)| data));
        }
        at = record.end;
    }
    None
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn question() -> Question {
        let section = b"\x03www\x07example\x00\x00\x01\x00\x01".to_vec();
        Question { section, dnssec_ok: true, checking_disabled: true }
    }

    proptest! {
        #[test]
        fn no_message_panics(octets in proptest::collection::vec(any::<u8>(), 0..200), counts in any::<[u8; 8]>()) {
            let asked = message::write([1, 2], &question(), Edns::Plain, None);
            let mut forged = asked[..HEADER + question().section.len()].to_vec();
            forged[4..12].copy_from_slice(&counts.map(|count| count & 1));
            forged.extend(octets);
            let _ = opt(&forged, question().section.len());
        }
    }
}
