//! Floods, hoards of connections, silence and shortage on the loopback: what clients that ask for listed and kept names
//! notice of it, and how soon all is as it was.
//!
//! `cargo test` does each for a second or two, with bounds that a machine busy with other tests can keep. The full
//! measure, whose table is the published one:
//!
//! ```sh
//! PAGAR_ATTACK_SECONDS=20 cargo test --release attacks -- --nocapture --test-threads 1
//! ```
//!
//! Spoofed sources are real sockets on addresses of 127.0.0.0/8. Attackers and attacked share the machine, so a flood
//! that takes all of it shows in the delays whatever the server does.

mod meter;
mod scene;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use hickory_proto::rr::RecordType;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

use crate::client::{Over, ask, frame, query};
use scene::{Bound, LARGE, LISTED, Scene, Start, attack};

/// The n-th of many addresses an attack comes from.
fn source(number: usize) -> SocketAddr {
    let [_, _, high, low] = (number as u32).to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(127, 66, high, low), 0))
}

/// Does something so many times a second, on time on the whole, as long as the attack lasts.
fn paced(scene: &Scene, rate: u32, mut each: impl FnMut(u32)) {
    let started = Instant::now();
    let mut done = 0;
    while started.elapsed() < scene.measure.attack {
        let due = 1 + (started.elapsed().as_secs_f64() * f64::from(rate)) as u32;
        (done..due).for_each(&mut each);
        done = due.max(done);
        thread::sleep(Duration::from_millis(1));
    }
}

//------ Floods ------

/// Questions for names that do not exist, or are never answered, below one zone.
fn random_subdomains(scene: &Scene, zone: &str) -> String {
    let socket = UdpSocket::bind(source(1)).unwrap();
    socket.connect(scene.server()).unwrap();
    let before = scene.upstream.asked();
    paced(scene, scene.measure.flood, |number| {
        let name = format!("{:08x}.{zone}.example.", number.wrapping_mul(0x9e37_79b1));
        let _ = socket.send(&query(&name, RecordType::A).to_vec().unwrap());
    });
    format!("{} a second, {} reached the upstream", scene.measure.flood, scene.upstream.asked() - before)
}

#[test]
fn random_subdomains_of_a_silent_zone() {
    attack("random subdomains, upstream silent", Bound(0.05), Start::default(), |scene| {
        random_subdomains(scene, "silent")
    });
}

#[test]
fn random_subdomains_that_do_not_exist() {
    attack("random subdomains, NXDOMAIN", Bound(0.05), Start::default(), |scene| random_subdomains(scene, "nx"));
}

/// Questions for listed and kept names from many addresses, as a reflector's victims would seem to ask; not more octets
/// come back for each than `most`.
fn spoofed(scene: &Scene, most: f64) -> String {
    let sockets: Vec<_> = (0..250).map(|number| UdpSocket::bind(source(number)).unwrap()).collect();
    sockets.iter().for_each(|socket| socket.set_nonblocking(true).unwrap());
    let questions = [(LISTED, RecordType::A), (LISTED, RecordType::ANY), (LARGE, RecordType::TXT)]
        .map(|(name, rtype)| query(name, rtype).to_vec().unwrap());
    let (mut sent, mut got, mut octets) = (0, 0, [0; 2_000]);
    paced(scene, scene.measure.flood, |number| {
        let number = number as usize;
        let socket = &sockets[number % sockets.len()];
        sent += socket.send_to(&questions[number % questions.len()], scene.server()).unwrap_or_default();
        while let Ok(len) = socket.recv(&mut octets) {
            got += len;
        }
    });
    let factor = got as f64 / sent as f64;
    assert!(factor < most, "{factor} octets came back for each of the question");
    format!("{} a second from {} addresses, {factor:.2} octets for each", scene.measure.flood, sockets.len())
}

#[test]
fn spoofed_sources() {
    attack("many sources, kept answers", Bound(0.05), Start::default(), |scene| spoofed(scene, 12.0));
}

#[test]
fn spoofed_sources_with_a_limit() {
    let start = Start { config: "[dns.rrl]\nresponses_per_second = 5", ..Start::default() };
    attack("the same with RRL, clients with cookies", Bound(0.05), start, |scene| spoofed(scene, 2.0));
}

//------ Connections ------

/// Connections from so many addresses, as many as there may be files; whether they are accepted is not waited for.
fn connections(scene: &Scene, count: usize, addresses: usize) -> Vec<Socket> {
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard }).unwrap();
    let most = hard.map_or(count, |hard| count.min(hard as usize - 1_000));
    let mut sockets = Vec::new();
    for number in 0..most {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&source(number % addresses).into()).unwrap();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&scene.server().into()); // under way
        sockets.push(socket);
    }
    sockets
}

/// How many there are, and how many of them the server has not closed.
fn told(sockets: &[Socket]) -> String {
    let is_open = |mut socket: &Socket| {
        let ended = matches!(socket.read(&mut [0; 1]), Ok(0));
        socket.peer_addr().is_ok() && !ended && socket.take_error().unwrap().is_none()
    };
    format!("{} tried, {} open at the end", sockets.len(), sockets.iter().filter(|socket| is_open(socket)).count())
}

fn idle(scene: &Scene, count: usize, addresses: usize) -> String {
    let sockets = connections(scene, count, addresses);
    thread::sleep(scene.measure.attack);
    told(&sockets)
}

#[test]
fn idle_connections() {
    attack("idle connections, 1,000 addresses", Bound(0.02), Start::default(), |scene| {
        idle(scene, scene.measure.connections, 1_000)
    });
}

#[test]
fn idle_connections_of_one_client() {
    attack("idle connections, one address", Bound(0.02), Start::default(), |scene| {
        idle(scene, scene.measure.connections, 1)
    });
}

/// More connections than the server may have files.
#[test]
fn no_file_descriptors() {
    attack("256 files, idle connections", Bound(0.02), Start { files: Some(256), ..Start::default() }, |scene| {
        idle(scene, 600, 600)
    });
}

/// Many questions for a large answer, and nothing read.
#[test]
fn slow_readers() {
    attack("slow readers", Bound(0.02), Start::default(), |scene| {
        assert_eq!(ask(scene.server(), Over::Tcp, LARGE, RecordType::TXT).answers.len(), 1);
        let sockets = connections(scene, scene.measure.connections / 10, 100);
        let questions = frame(&query(LARGE, RecordType::TXT).to_vec().unwrap()).repeat(100);
        let mut written = 0;
        paced(scene, 10, |_| {
            for mut socket in &sockets {
                written += socket.write(&questions).unwrap_or_default(); // as much as goes
            }
        });
        format!("{} tried, {written} octets of questions taken", sockets.len())
    });
}

/// Questions that come an octet a second and never end.
#[test]
fn slow_writers() {
    attack("slow writers", Bound(0.02), Start::default(), |scene| {
        let sockets = connections(scene, scene.measure.connections / 2, 1_000);
        let question = frame(&query(LISTED, RecordType::A).to_vec().unwrap());
        let mut octets = question[..question.len() - 1].iter();
        paced(scene, 1, |_| {
            let Some(octet) = octets.next() else { return };
            sockets.iter().for_each(|mut socket| _ = socket.write(&[*octet]));
        });
        told(&sockets)
    });
}

//------ The other side ------

/// The only upstream answers nothing, while new names are asked for; then it answers again.
#[test]
fn a_silent_upstream() {
    attack("upstream silent, then back", Bound(0.02), Start::default(), |scene| {
        scene.upstream.set_dark(true);
        let socket = UdpSocket::bind(source(1)).unwrap();
        socket.connect(scene.server()).unwrap();
        paced(scene, scene.measure.flood / 10, |number| {
            let question = query(&format!("new-{number}.example."), RecordType::A);
            let _ = socket.send(&question.to_vec().unwrap());
        });
        scene.upstream.set_dark(false);
        format!("{} new names a second", scene.measure.flood / 10)
    });
}
