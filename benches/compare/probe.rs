//! [`Probe`]: asks one question at a time and understands the answer.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RData;

use crate::batch::SIZE;
use crate::names::{BLOCKED, TRUE};
use crate::questions::packet;

/// What a name is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// NOERROR and the address of the block page, nothing else.
    Blocked,
    /// NOERROR and the upstream's address, nothing else.
    True,
    /// Anything else, or nothing.
    Other,
}

/// A socket to one server.
pub(crate) struct Probe {
    socket: UdpSocket,
    id: u16,
}

impl Probe {
    /// Waits so long for each answer.
    pub(crate) fn new(server: SocketAddr, patience: Duration) -> io::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(patience))?;
        Ok(Self { socket, id: 0 })
    }

    /// Asks for the IPv4 address of a name.
    pub(crate) fn name(&mut self, name: &str) -> Answer {
        self.packet(&packet(name, false))
    }

    /// Asks this question, under an id of its own.
    pub(crate) fn packet(&mut self, question: &[u8]) -> Answer {
        self.exchange(question).map_or(Answer::Other, |message| understand(&message))
    }

    /// Whether the packet comes back as it is.
    pub(crate) fn is_echoed(&mut self, question: &[u8]) -> bool {
        self.exchange(question).is_some_and(|message| message[2..] == question[2..])
    }

    fn exchange(&mut self, question: &[u8]) -> Option<Vec<u8>> {
        self.id = self.id.wrapping_add(1);
        let mut packet = question.to_vec();
        packet[..2].copy_from_slice(&self.id.to_be_bytes());
        self.socket.send(&packet).ok()?;
        let mut answer = vec![0; SIZE];
        loop {
            let length = self.socket.recv(&mut answer).ok()?;
            if length >= packet.len().min(12) && answer[..2] == packet[..2] {
                answer.truncate(length);
                return Some(answer);
            } // else it is late, of another question
        }
    }
}

fn understand(message: &[u8]) -> Answer {
    let Ok(message) = Message::from_vec(message) else { return Answer::Other };
    let address = |data: &RData| match data {
        RData::A(address) => Some(address.0),
        _ => None,
    };
    let addresses: Vec<Option<Ipv4Addr>> = message.answers.iter().map(|record| address(&record.data)).collect();
    match (message.metadata.response_code, addresses.as_slice()) {
        (ResponseCode::NoError, [Some(BLOCKED)]) => Answer::Blocked,
        (ResponseCode::NoError, [Some(TRUE)]) => Answer::True,
        _ => Answer::Other,
    }
}
