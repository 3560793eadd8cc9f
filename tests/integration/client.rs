//! Clients that are not ours: `dig`, `kdig`, and plain sockets with hickory's parser.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, RData, RecordType};

use crate::harness::{LIMIT, peer, run};

/// How long one answer is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Udp,
    Tcp,
}

pub(crate) const BOTH: [Over; 2] = [Over::Udp, Over::Tcp];

/// A query with RD and an OPT of 1,232 octets; the id is the sender's to set.
pub(crate) fn query(name: &str, rtype: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), rtype));
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    message.set_edns(edns);
    message
}

/// Asks and returns the answer; there must be one.
pub(crate) fn ask(server: SocketAddr, over: Over, name: &str, rtype: RecordType) -> Message {
    send(server, over, &query(name, rtype))
}

/// Asks for the IPv4 address over UDP.
pub(crate) fn ask_a(server: SocketAddr, name: &str) -> Message {
    ask(server, Over::Udp, name, RecordType::A)
}

/// Sends a message and returns the answer, checked to be one.
pub(crate) fn send(server: SocketAddr, over: Over, message: &Message) -> Message {
    let octets = message.to_vec().unwrap();
    let answer = exchange(server, over, &octets).unwrap_or_else(|| panic!("no answer to {message:?}"));
    let question = 12..12 + message.queries[0].name().len() + 4;
    assert_eq!(answer[..2], octets[..2], "the id");
    assert_eq!(answer[question.clone()], octets[question], "the question, octet for octet: its case is kept");
    Message::from_vec(&answer).unwrap()
}

/// Sends octets and returns those of the answer, if one came.
pub(crate) fn exchange(server: SocketAddr, over: Over, octets: &[u8]) -> Option<Vec<u8>> {
    match over {
        Over::Udp => exchange_udp(&udp(server.ip()), server, octets),
        Over::Tcp => {
            let mut stream = tcp(server);
            stream.write_all(&frame(octets)).unwrap();
            read_frame(&mut stream)
        }
    }
}

/// A UDP socket of the family of `server`, on any address and port.
pub(crate) fn udp(server: IpAddr) -> UdpSocket {
    let socket = UdpSocket::bind(if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Sends a datagram and takes the answer if it came from where the datagram went.
pub(crate) fn exchange_udp(socket: &UdpSocket, server: SocketAddr, octets: &[u8]) -> Option<Vec<u8>> {
    socket.send_to(octets, server).unwrap();
    let mut answer = vec![0; 65_535];
    let (len, from) = socket.recv_from(&mut answer).ok()?;
    assert_eq!(from, server, "answered from another address than was asked");
    answer.truncate(len);
    Some(answer)
}

pub(crate) fn tcp(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&server, LIMIT).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A message with its length before it (RFC 1035 §4.2.2).
pub(crate) fn frame(octets: &[u8]) -> Vec<u8> {
    let len = u16::try_from(octets.len()).unwrap();
    [&len.to_be_bytes()[..], octets].concat()
}

/// The next message on a connection; `None` if it ends or nothing comes.
pub(crate) fn read_frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut len = [0; 2];
    stream.read_exact(&mut len).ok()?;
    let mut octets = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut octets).ok()?;
    Some(octets)
}

/// The Extended DNS Errors of an answer: code and text (RFC 8914 §2).
pub(crate) fn ede(message: &Message) -> Vec<(u16, String)> {
    let options = message.edns.iter().flat_map(|edns| &edns.options().options);
    let of = |(code, option): &(EdnsCode, EdnsOption)| match (code, option) {
        (EdnsCode::Unknown(15), EdnsOption::Unknown(_, data)) => {
            let text = String::from_utf8(data[2..].to_vec()).unwrap();
            Some((u16::from_be_bytes([data[0], data[1]]), text))
        }
        _ => None,
    };
    options.filter_map(of).collect()
}

/// The codes of [`ede`].
pub(crate) fn ede_codes(message: &Message) -> Vec<u16> {
    ede(message).into_iter().map(|(code, _)| code).collect()
}

/// The addresses in the answer section.
pub(crate) fn addresses(message: &Message) -> Vec<IpAddr> {
    message.answers.iter().filter_map(|record| record.data.ip_addr()).collect()
}

/// Whether an answer is a block: it says so in its Extended DNS Error.
pub(crate) fn is_block(message: &Message) -> bool {
    ede_codes(message).iter().any(|code| [15, 16].contains(code))
}

pub(crate) fn rcode(message: &Message) -> ResponseCode {
    message.metadata.response_code
}

/// The SOA in the authority section: owner, serial, TTL.
pub(crate) fn soa(message: &Message) -> Option<(String, u32, u32)> {
    message.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some((record.name.to_string(), soa.serial, record.ttl)),
        _ => None,
    })
}

/// What `dig` and `kdig`, as far as they are installed, print about a question.
pub(crate) fn dig(server: SocketAddr, words: &[&str]) -> Vec<String> {
    let programs = [("dig", ["+time=10", "+tries=1"]), ("kdig", ["+timeout=10", "+retry=0"])];
    let mut printed = Vec::new();
    for (program, options) in programs {
        let Some(path) = peer(program) else { continue };
        let mut command = Command::new(path);
        command.args([&format!("@{}", server.ip()), "-p", &server.port().to_string(), "+edns"]).args(options);
        let ended = run(command.args(words));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        printed.push(ended.out);
    }
    printed
}
