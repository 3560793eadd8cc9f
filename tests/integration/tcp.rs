//! TCP as a full transport (RFC 7766, RFC 9210), its limits, and the PROXY protocol, over real sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};
use socket2::{Domain, Socket, Type};

use crate::client::{
    Over, PATIENCE, addresses, ask, ask_a, ede_codes, exchange_udp, frame, is_block, query, rcode, read_frame, tcp, udp,
};
use crate::harness::{LIMIT, Pagar, Site, config, notice, peer, run, wait_until};
use crate::upstream::Scripted;

/// With more lines for `[dns]`, which may be tables, and one listed name.
fn site(upstream: &Scripted, more: &str) -> Site {
    let site = Site::new(&text(upstream, more));
    site.put("1.json", &notice(1, "listed.example", "subtree"));
    site
}

fn text(upstream: &Scripted, more: &str) -> String {
    config(&[upstream.address]).replace("workers = 2", &format!("workers = 2\n{more}"))
}

/// Names that begin with `slow` are answered after this time.
const SLOW: Duration = Duration::from_millis(1_500);

fn slow_upstream() -> Scripted {
    Scripted::start(|asked| {
        if asked.name().starts_with("slow") {
            std::thread::sleep(SLOW);
        }
        vec![asked.address("198.51.100.1")]
    })
}

fn question(id: u16, name: &str) -> Vec<u8> {
    let mut message = query(name, RecordType::A);
    message.metadata.id = id;
    message.to_vec().unwrap()
}

/// A connection from an address of this machine.
fn tcp_from(source: [u8; 4], server: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect_timeout(&server.into(), LIMIT).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Whether the server answers on this connection.
fn answers(stream: &mut TcpStream, name: &str) -> bool {
    stream.write_all(&frame(&question(7, name))).is_ok() && read_frame(stream).is_some()
}

/// Whether the server has closed the connection; asks nothing.
fn is_closed(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let read = (&mut &*stream).read(&mut [0; 1]);
    stream.set_nonblocking(false).unwrap();
    match read {
        Ok(len) => len == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

fn closed(pagar: &Pagar, reason: &str) -> f64 {
    pagar.metric(&format!("pagar_tcp_closed_total{{reason=\"{reason}\"}}"))
}

fn id(answer: &[u8]) -> u16 {
    u16::from_be_bytes([answer[0], answer[1]])
}

//------ the transport -------------------------------------------------------------------------------------------------

#[test]
fn a_listed_and_a_quick_name_overtake_a_slow_one_and_a_half_close_loses_nothing() {
    let upstream = slow_upstream();
    let site = site(&upstream, "");
    let pagar = site.start();
    let mut stream = tcp(pagar.address());
    let names = ["slow.example.", "quick.example.", "www.listed.example."];
    let octets: Vec<u8> = (1..).zip(names).flat_map(|(id, name)| frame(&question(id, name))).collect();
    stream.write_all(&octets).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let ids: Vec<u16> = (0..3).map(|_| id(&read_frame(&mut stream).expect("every query is answered"))).collect();
    assert_eq!(ids[2], 1, "the slow one comes last: {ids:?}");
    assert_eq!(read_frame(&mut stream), None);
    wait_until("its end is counted", || closed(&pagar, "client") == 1.0);
    assert_eq!(pagar.metric("pagar_tcp_connections"), 0.0);
}

#[test]
fn dig_and_kdig_keep_a_connection_open() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = site(&upstream, "");
    let pagar = site.start();
    let (address, port) = (format!("@{}", pagar.address().ip()), pagar.address().port().to_string());
    if let Some(kdig) = peer("kdig") {
        let mut command = Command::new(kdig);
        command.args([&address, "-p", &port, "+tcp", "+keepopen", "+timeout=10"]);
        command.args(["one.example", "A", "two.example", "A", "www.listed.example", "A"]);
        let ended = run(&mut command);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(ended.out.matches("198.51.100.1").count(), 2, "{}", ended.out);
        assert_eq!(ended.out.matches("192.0.2.80").count(), 1, "{}", ended.out);
    }
    if let Some(dig) = peer("dig") {
        let mut command = Command::new(dig);
        command.args([&address, "-p", &port, "+tcp", "+keepalive", "+keepopen", "+time=10", "one.example", "A"]);
        let ended = run(command.args(["two.example", "A"]));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.out.contains("TCP KEEPALIVE: 10.0 secs") || ended.out.contains("TCP-KEEPALIVE"), "{}", ended.out);
    }
}

#[test]
fn keepalive_is_offered_over_tcp_only_and_only_when_asked_for() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = site(&upstream, "tcp = { idle = \"7s\" }");
    let pagar = site.start();
    // the OPT record of the query ends the message; its last two octets are the length of its options
    let mut octets = question(1, "www.listed.example.");
    let without = octets.clone();
    let at = octets.len() - 2;
    octets[at..].copy_from_slice(&[0, 4]);
    octets.extend_from_slice(&[0, 11, 0, 0]);
    let told = |answer: &[u8]| answer.windows(6).any(|octets| octets == [0, 11, 0, 2, 0, 70]);
    let option = |answer: &[u8]| answer.windows(4).any(|octets| octets == [0, 11, 0, 2]);
    let mut stream = tcp(pagar.address());
    for (octets, expected) in [(&octets, true), (&without, false)] {
        stream.write_all(&frame(octets)).unwrap();
        let answer = read_frame(&mut stream).unwrap();
        assert_eq!((told(&answer), option(&answer)), (expected, expected), "{answer:02x?}");
    }
    let answer = exchange_udp(&udp(pagar.address().ip()), pagar.address(), &octets).unwrap();
    assert!(!option(&answer), "{answer:02x?}");
}

//------ limits --------------------------------------------------------------------------------------------------------

#[test]
fn one_client_cannot_take_the_places_of_others() {
    let upstream = slow_upstream();
    let site = site(&upstream, "[dns.tcp]\nper_client = 3\nconnections = 5\nidle = \"5m\"");
    let pagar = site.start();
    let mut held: Vec<_> = (0..3).map(|_| tcp_from([127, 0, 0, 2], pagar.address())).collect();
    for stream in &mut held {
        assert!(answers(stream, "www.listed.example."));
    }
    // its fourth takes the place of one of its own
    let mut fourth = tcp_from([127, 0, 0, 2], pagar.address());
    assert!(answers(&mut fourth, "www.listed.example."));
    wait_until("one gave way", || held.iter().any(is_closed));
    held.retain(|stream| !is_closed(stream));
    assert_eq!((held.len(), closed(&pagar, "evicted")), (2, 1.0));
    // with all three in use, another is refused
    held.push(fourth);
    for stream in &mut held {
        stream.write_all(&frame(&question(1, "slow.example."))).unwrap();
    }
    wait_until("they are under way", || upstream.count("slow.example.") > 0 && in_use(&pagar) >= 7.0);
    assert!(!answers(&mut tcp_from([127, 0, 0, 2], pagar.address()), "www.listed.example."));
    assert_eq!(closed(&pagar, "limit"), 1.0);
    assert!(answers(&mut tcp_from([127, 0, 0, 3], pagar.address()), "www.listed.example."), "nobody else is");
    for stream in &mut held {
        assert!(read_frame(stream).is_some(), "a connection in use is left alone");
    }
    // all five places: the client with most gives way to newcomers
    let mut others: Vec<_> = (4..8).map(|n| tcp_from([127, 0, 0, n], pagar.address())).collect();
    for stream in &mut others {
        assert!(answers(stream, "www.listed.example."));
    }
    wait_until("two of three gave way", || held.iter().filter(|stream| is_closed(stream)).count() == 2);
    assert!(others.iter().all(|stream| !is_closed(stream)));
}

/// TCP queries received.
fn in_use(pagar: &Pagar) -> f64 {
    pagar.metric("pagar_dns_queries_total{transport=\"tcp\"}")
}

#[test]
fn strangers_take_no_place_of_clients() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = site(&upstream, "allow = [\"127.0.0.1/32\"]\n[dns.tcp]\nconnections = 2\nper_client = 2");
    let pagar = site.start();
    let mut client = tcp(pagar.address());
    assert!(answers(&mut client, "www.listed.example."));
    let mut strangers: Vec<_> = (0..70).map(|_| tcp_from([127, 0, 0, 2], pagar.address())).collect();
    let stranger = strangers.last_mut().unwrap();
    stranger.write_all(&frame(&question(1, "www.listed.example."))).unwrap();
    let refused = Message::from_vec(&read_frame(stranger).unwrap()).unwrap();
    assert_eq!((rcode(&refused), ede_codes(&refused)), (ResponseCode::Refused, vec![18]));
    assert!(answers(&mut client, "www.listed.example."));
    wait_until("strangers are gone after a second", || strangers.iter().all(is_closed));
    assert!(answers(&mut client, "www.listed.example."));
}

#[test]
fn a_reload_changes_the_limits_and_closes_nothing() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = site(&upstream, "tcp = { per_client = 3, idle = \"5m\" }");
    let pagar = site.start();
    let mut held: Vec<_> = (0..3).map(|_| tcp(pagar.address())).collect();
    assert!(held.iter_mut().all(|stream| answers(stream, "www.listed.example.")));
    site.write("pagar.toml", &text(&upstream, "tcp = { per_client = 1, idle = \"5m\" }"));
    pagar.signal(Signal::HUP);
    wait_until("it is logged", || pagar.log().contains("configuration reloaded"));
    assert!(held.iter_mut().all(|stream| answers(stream, "www.listed.example.")));
    assert_eq!(pagar.metric("pagar_tcp_connections"), 3.0);
    assert!(answers(&mut tcp(pagar.address()), "www.listed.example."), "a new one takes the place of an old one");
    wait_until("the old one ended", || held.iter().filter(|stream| is_closed(stream)).count() == 1);
}

#[test]
fn a_frame_that_trickles_in_and_an_idle_connection_are_closed() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = site(&upstream, "tcp = { idle = \"1s\" }");
    let pagar = site.start();
    let mut trickling = tcp(pagar.address());
    let idle = tcp(pagar.address());
    let started = Instant::now();
    for octet in frame(&question(1, &format!("{}.example.", "n".repeat(60)))) {
        if trickling.write_all(&[octet]).is_err() || is_closed(&trickling) {
            break;
        }
        std::thread::sleep(Duration::from_millis(400)); // half a minute in all
    }
    assert!(started.elapsed() < Duration::from_secs(20), "closed before it was whole");
    assert!(is_closed(&idle));
    wait_until("both are counted", || closed(&pagar, "slow") == 1.0 && closed(&pagar, "idle") == 1.0);
}

#[test]
fn thousands_of_idle_connections_do_not_hold_up_udp() {
    let files = getrlimit(Resource::Nofile);
    let most = files.current.unwrap_or(65_536).min(files.maximum.unwrap_or(65_536)) as usize;
    let count = 10_000.min(most / 2 - most / 10);
    let upstream = Scripted::with_address("198.51.100.1");
    let site = site(&upstream, "tcp = { connections = 20000, per_client = 20000, idle = \"5m\" }");
    let pagar = site.start();
    let resident = || pagar.metric("process_resident_memory_bytes");
    let before = resident();
    assert_eq!(addresses(&ask_a(pagar.address(), "cached.example.")).len(), 1);
    let mut held = Vec::with_capacity(count);
    for n in 0..count {
        let mut stream = tcp_from([127, 0, 1, (n % 200) as u8 + 1], pagar.address());
        if n % 2 == 0 {
            stream.write_all(&[0]).unwrap(); // half of a length: slow, not idle
        }
        held.push(stream);
    }
    let open = || pagar.metric("pagar_tcp_connections");
    wait_until("the idle ones are all there", || open() >= (count / 2) as f64);
    let each = (resident() - before) / open();
    println!("{count} connections, {each:.0} octets each");
    assert!(each < 8_192.0, "{each} octets a connection");
    let socket = udp(pagar.address().ip());
    for _ in 0..500 {
        let answer =
            exchange_udp(&socket, pagar.address(), &question(1, "cached.example.")).expect("an answer is lost");
        assert_eq!(addresses(&Message::from_vec(&answer).unwrap()).len(), 1);
    }
    assert_eq!(upstream.count("cached.example."), 1);
    assert_eq!(addresses(&ask(pagar.address(), Over::Tcp, "fresh.example.", RecordType::A)).len(), 1);
}

#[test]
fn without_file_descriptors_it_waits_logs_once_and_goes_on() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = site(&upstream, "tcp = { idle = \"5m\" }");
    let pagar = site.start();
    assert_eq!(addresses(&ask_a(pagar.address(), "cached.example.")).len(), 1);
    let few = pagar.metric("process_open_fds") as u64 + 6;
    let limit = Rlimit { current: Some(few), maximum: Some(few) };
    let id = Pid::from_raw(i32::try_from(pagar.id()).unwrap());
    prlimit(id, Resource::Nofile, limit).unwrap();
    // more than there are descriptors: idle ones give way, and whoever comes is served in the end
    let mut held: Vec<_> = (0..30).map(|_| tcp(pagar.address())).collect();
    let cpu = pagar_cpu(&pagar);
    std::thread::sleep(Duration::from_secs(2));
    assert!(pagar_cpu(&pagar) - cpu < 1.0, "it spins");
    assert_eq!(addresses(&ask_a(pagar.address(), "cached.example.")).len(), 1, "UDP goes on");
    assert!(answers(held.last_mut().unwrap(), "www.listed.example."));
    drop(held);
    assert_eq!(pagar.log().matches("no TCP connection can be accepted").count(), 1, "{}", pagar.log());
    wait_until("it is counted", || pagar.metric("pagar_tcp_accept_errors_total") >= 2.0);
    assert!(answers(&mut tcp(pagar.address()), "www.listed.example."));
}

/// Seconds of CPU time, read from outside: `/metrics` needs a descriptor.
fn pagar_cpu(pagar: &Pagar) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pagar.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

//------ PROXY protocol ------------------------------------------------------------------------------------------------

const BALANCER: [u8; 4] = [127, 0, 0, 10];

/// A header of version 2 for a client, or the balancer's own.
fn header(client: Option<IpAddr>) -> Vec<u8> {
    let (command, family, addresses) = match client {
        None => (0x20, 0, Vec::new()),
        Some(IpAddr::V4(v4)) => (0x21, 0x12, [&v4.octets()[..], &[127, 0, 0, 1, 0xc0, 0, 0, 53]].concat()),
        Some(IpAddr::V6(v6)) => (0x21, 0x22, [&v6.octets()[..], &[0; 20]].concat()),
    };
    let len = u16::try_from(addresses.len() + 5).unwrap().to_be_bytes();
    let tlv = b"\xe0\0\x02hi"; // of a type nobody has given a meaning
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, family], &len[..], &addresses, tlv].concat()
}

#[test]
fn a_balancer_says_who_asks_by_tcp() {
    let upstream = Scripted::with_address("198.51.100.1");
    let more =
        "allow = [\"192.0.2.0/24\", \"2001:db8::/32\", \"127.0.0.1/32\"]\nproxy = { from = [\"127.0.0.10/32\"] }";
    let site = site(&upstream, more);
    let pagar = site.start();
    let code = |client: Option<&str>| {
        let mut stream = tcp_from(BALANCER, pagar.address());
        let octets = [header(client.map(|text| text.parse().unwrap())), frame(&question(1, "free.example."))].concat();
        for piece in octets.chunks(9) {
            stream.write_all(piece).unwrap();
        }
        rcode(&Message::from_vec(&read_frame(&mut stream).expect("an answer")).unwrap())
    };
    assert_eq!(code(Some("192.0.2.7")), ResponseCode::NoError);
    assert_eq!(code(Some("2001:db8::7")), ResponseCode::NoError);
    assert_eq!(code(Some("198.51.100.7")), ResponseCode::Refused, "the client counts, not the balancer");
    assert_eq!(code(None), ResponseCode::Refused, "the balancer itself is not allowed");
    // without a header, with one of version 1, or with half of one: closed
    let v1 = b"PROXY TCP4 192.0.2.7 127.0.0.1 1234 53\r\n".to_vec();
    for octets in [frame(&question(1, "free.example.")), v1, header(None)[..12].to_vec()] {
        let mut stream = tcp_from(BALANCER, pagar.address());
        stream.write_all(&octets).unwrap();
        let _ = stream.shutdown(Shutdown::Write); // it may be closed already
        assert_eq!(read_frame(&mut stream), None);
    }
    wait_until("they are counted", || pagar.metric("pagar_dns_dropped_total{reason=\"proxy\"}") == 3.0);
    // from anybody else it is not looked for
    assert_eq!(rcode(&ask(pagar.address(), Over::Tcp, "free.example.", RecordType::A)), ResponseCode::NoError);
    let mut stream = tcp(pagar.address());
    stream.write_all(&[header(Some("192.0.2.7".parse().unwrap())), frame(&question(1, "x."))].concat()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_frame(&mut stream), None, "the header is a frame that never becomes whole");
}

#[test]
fn a_balancer_on_the_same_machine_does_not_make_it_unready() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = site(&upstream, "proxy = { from = [\"127.0.0.1/32\"] }");
    let pagar = site.start();
    wait_until("it is ready", || pagar.get("/readyz").0 == 200);
    site.write("pagar.toml", &text(&upstream, ""));
    pagar.signal(Signal::HUP);
    wait_until("it is logged", || pagar.log().contains("configuration reloaded"));
    wait_until("without balancers it is ready as well", || {
        std::thread::sleep(Duration::from_millis(1_100)); // a finding is good for a second
        pagar.get("/readyz").0 == 200
    });
    assert_eq!(pagar.metric("pagar_dns_dropped_total{reason=\"proxy\"}"), 0.0);
}

#[test]
fn a_balancer_says_who_asks_by_udp() {
    let upstream = Scripted::with_address("198.51.100.1");
    let more = "allow = [\"192.0.2.0/24\", \"127.0.0.1/32\"]\nproxy = { from = [\"127.0.0.10/32\"] }";
    let site = site(&upstream, more);
    let pagar = site.start();
    let balancer = UdpSocket::bind((Ipv4Addr::from(BALANCER), 0)).unwrap();
    balancer.set_read_timeout(Some(PATIENCE)).unwrap();
    let send = |client: Option<&str>, name| {
        let octets = [header(client.map(|text| text.parse().unwrap())), question(9, name)].concat();
        Message::from_vec(&exchange_udp(&balancer, pagar.address(), &octets).expect("an answer")).unwrap()
    };
    // forwarded, kept, listed; then who is not allowed
    for _ in 0..2 {
        assert_eq!(addresses(&send(Some("192.0.2.7"), "free.example.")).len(), 1);
    }
    assert_eq!(upstream.count("free.example."), 1);
    assert!(is_block(&send(Some("192.0.2.7"), "www.listed.example.")));
    assert_eq!(rcode(&send(Some("198.51.100.7"), "free.example.")), ResponseCode::Refused);
    assert_eq!(rcode(&send(None, "free.example.")), ResponseCode::Refused);
    // bare queries and broken headers are dropped; the answer that comes is that of the good one behind them
    for octets in [question(1, "free.example."), header(None)[..15].to_vec(), b"PROXY UNKNOWN\r\n".to_vec()] {
        balancer.send_to(&octets, pagar.address()).unwrap();
    }
    assert_eq!(send(Some("192.0.2.7"), "free.example.").metadata.id, 9);
    assert_eq!(pagar.metric("pagar_dns_dropped_total{reason=\"proxy\"}"), 3.0);
    // from anybody else a header is a message that makes no sense
    let octets = [header(Some("192.0.2.7".parse().unwrap())), question(9, "free.example.")].concat();
    let answer = exchange_udp(&udp(pagar.address().ip()), pagar.address(), &octets).expect("an error");
    assert_eq!(answer[3] & 15, 4, "opcode 1, as the signature reads: NOTIMP");
    assert_eq!(rcode(&ask_a(pagar.address(), "free.example.")), ResponseCode::NoError);
}
