//! The two servers of our own, each a process that runs until it is killed: the reflector, which is the floor of what a
//! server's sockets cost, and the upstream of all the others.

use std::net::{SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use crate::batch::{Batch, SIZE};
use crate::names::TRUE;
use crate::questions::HEADER;

/// As much as the servers get.
pub(crate) const BUFFER: usize = 4 << 20;
/// Seconds the upstream's answers may be kept: longer than any run.
const TTL: u32 = 86_400;
const OPT: [u8; 11] = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];

/// Sends back every packet as it came, in batches.
pub(crate) fn reflect(at: SocketAddr) -> std::io::Result<()> {
    let socket = bind(at)?;
    let mut batch = Batch::default();
    loop {
        batch.receive(&socket, true)?;
        batch.send_back(&socket);
    }
}

/// Says that every name has the address [`TRUE`], and no data of another type.
pub(crate) fn upstream(at: SocketAddr) -> std::io::Result<()> {
    let socket = bind(at)?;
    let mut batch = Batch::default();
    loop {
        for n in 0..batch.receive(&socket, true)? {
            batch.change(n, answer);
        }
        batch.send_back(&socket);
    }
}

fn bind(at: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(true)?;
    socket.set_recv_buffer_size(BUFFER)?;
    socket.set_send_buffer_size(BUFFER)?;
    socket.bind(&at.into())?;
    Ok(socket.into())
}

/// Turns a question into its answer; what is none is sent back as it came.
fn answer(message: &mut [u8; SIZE], length: usize) -> usize {
    let Some(end) = question_end(&message[..length]) else { return length };
    let has_opt = message[10..HEADER] != [0, 0];
    let kind = [message[end - 4], message[end - 3]];
    let (answers, authorities) = if kind == [0, 1] { (1, 0) } else { (0, 1) };
    message[2] = 0x84 | message[2] & 1; // a response with authority; RD as asked
    message[3] = 0x80;
    message[4..HEADER].copy_from_slice(&[0, 1, 0, answers, 0, authorities, 0, u8::from(has_opt)]);
    let mut at = end;
    let mut put = |octets: &[u8]| {
        message[at..at + octets.len()].copy_from_slice(octets);
        at += octets.len();
    };
    if answers == 1 {
        put(&[0xc0, HEADER as u8, 0, 1, 0, 1]); // the name asked for, A, IN
        put(&TTL.to_be_bytes());
        put(&[0, 4]);
        put(&TRUE.octets());
    } else {
        put(&[0, 0, 6, 0, 1]); // the root's SOA
        put(&TTL.to_be_bytes());
        put(&[0, 22, 0, 0]); // its two names are the root
        for number in [1, 3_600, 600, 86_400, TTL] {
            put(&number.to_be_bytes());
        }
    }
    if has_opt {
        put(&OPT);
    }
    at
}

/// Where the only question ends, if the message has one and is no response.
fn question_end(message: &[u8]) -> Option<usize> {
    if message.len() < HEADER || message[2] & 0x80 != 0 || message[4..6] != [0, 1] {
        return None;
    }
    let mut at = HEADER;
    loop {
        match *message.get(at)? {
            0 => break,
            label => at += 1 + usize::from(label),
        }
    }
    let end = at + 5;
    (end <= message.len() && end + 64 < SIZE).then_some(end)
}
