//! What both loops of the generator have in common: its socket, and what it holds an answer against.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use socket2::SockRef;

use crate::questions::HEADER;
use crate::responder::BUFFER;

/// Longest sleep while nothing comes.
const WAIT: Duration = Duration::from_millis(20);

/// What a good answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// NOERROR with a record.
    Answer,
    /// The question itself, from the reflector.
    Echo,
}

impl Expect {
    /// The id, if this can be an answer.
    pub(crate) fn id(self, message: &[u8]) -> Option<u16> {
        let response = message.len() >= HEADER && (message[2] & 0x80 != 0 || self == Self::Echo);
        response.then(|| u16::from_be_bytes([message[0], message[1]]))
    }

    /// Whether it is a good one.
    pub(crate) fn is_met(self, message: &[u8]) -> bool {
        self == Self::Echo || message[3] & 0x0f == 0 && message[6..8] != [0, 0]
    }
}

/// A socket to a server.
pub(crate) fn connect(server: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    SockRef::from(&socket).set_recv_buffer_size(BUFFER)?;
    SockRef::from(&socket).set_send_buffer_size(BUFFER)?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(WAIT))?;
    Ok(socket)
}
