//! SIGTERM: questions under way are answered, then it ends with exit code 0, three seconds later at most; with a delay
//! before it, in which it answers and is not ready.

use std::io::Write;
use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use rustix::process::Signal;

use crate::client::{Over, addresses, ask, ask_a, frame, query, read_frame, tcp, udp};
use crate::harness::{Site, config, wait_until};
use crate::upstream::Scripted;

/// Three seconds of draining, and what a loaded machine takes to end a process.
const ENDED: Duration = Duration::from_secs(8);

#[test]
fn questions_under_way_are_answered_before_it_ends() {
    for signal in [Signal::TERM, Signal::INT] {
        let upstream = Scripted::start(|asked| {
            std::thread::sleep(Duration::from_millis(1_000));
            vec![asked.address("198.51.100.1")]
        });
        let site = Site::with(&[upstream.address]);
        let mut pagar = site.start();
        let (datagrams, mut stream) = (udp(pagar.address().ip()), tcp(pagar.address()));
        let octets = |name| query(name, RecordType::A).to_vec().unwrap();
        datagrams.send_to(&octets("udp.example."), pagar.address()).unwrap();
        stream.write_all(&frame(&octets("tcp.example."))).unwrap();
        wait_until("both are under way", || upstream.count("udp.example.") > 0 && upstream.count("tcp.example.") > 0);
        let asked = Instant::now();
        pagar.signal(signal);
        let mut answer = [0; 1_500];
        let len = datagrams.recv(&mut answer).expect("an answer over UDP");
        assert_eq!(addresses(&Message::from_vec(&answer[..len]).unwrap()).len(), 1);
        let answer = read_frame(&mut stream).expect("an answer over TCP");
        assert_eq!(addresses(&Message::from_vec(&answer).unwrap()).len(), 1);
        assert_eq!(pagar.wait().code(), Some(0), "{}", pagar.log());
        assert!(asked.elapsed() < ENDED);
    }
}

#[test]
fn it_ends_in_time_whatever_is_still_open() {
    let upstream = Scripted::start(|_| vec![]);
    let site = Site::with(&[upstream.address]);
    let mut pagar = site.start();
    let idle: Vec<_> = (0..20).map(|_| tcp(pagar.address())).collect();
    let http = tcp(pagar.url().strip_prefix("http://").unwrap().parse().unwrap());
    let octets = query("dark.example.", RecordType::A).to_vec().unwrap();
    let socket = udp(pagar.address().ip());
    socket.send_to(&octets, pagar.address()).unwrap();
    wait_until("it is under way", || upstream.count("dark.example.") > 0);
    let asked = Instant::now();
    pagar.signal(Signal::TERM);
    assert_eq!(pagar.wait().code(), Some(0), "{}", pagar.log());
    assert!(asked.elapsed() < ENDED);
    drop((idle, http));
}

#[test]
fn it_starts_again_at_once_on_the_same_port_and_continues_its_serials() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = Site::with(&[upstream.address]);
    let mut pagar = site.start();
    let address = pagar.address();
    let stream = tcp(address); // leaves the port in TIME_WAIT
    let serial = pagar.metric("pagar_policy_serial");
    pagar.signal(Signal::TERM);
    assert_eq!(pagar.wait().code(), Some(0));
    drop(stream);
    let text = config(&[upstream.address]);
    site.write("pagar.toml", &text.replacen("127.0.0.1:0", &address.to_string(), 1));
    let again = site.start();
    assert_eq!(again.address(), address);
    assert!(again.metric("pagar_policy_serial") > serial);
}

#[test]
fn a_query_on_its_way_over_a_connection_is_answered() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = Site::with(&[upstream.address]);
    let mut pagar = site.start();
    let mut stream = tcp(pagar.address());
    for name in ["before.example.", "after.example."] {
        stream.write_all(&frame(&query(name, RecordType::A).to_vec().unwrap())).unwrap();
        let answer = read_frame(&mut stream).unwrap_or_else(|| panic!("{name}: no answer"));
        assert_eq!(addresses(&Message::from_vec(&answer).unwrap()).len(), 1);
        if name.starts_with("before") {
            pagar.signal(Signal::TERM);
        }
    }
    assert_eq!(read_frame(&mut stream), None, "closed");
    assert_eq!(pagar.wait().code(), Some(0), "{}", pagar.log());
}

#[test]
fn before_a_delayed_end_it_answers_and_is_not_ready_until_it_is_told_again() {
    let upstream = Scripted::with_address("198.51.100.1");
    let site = Site::new(&(config(&[upstream.address]) + "[process]\nstop_delay = \"10m\"\n"));
    let mut pagar = site.start();
    wait_until("it is ready", || pagar.get("/readyz").0 == 200);
    pagar.signal(Signal::TERM);
    wait_until("it is not ready", || pagar.get("/readyz").0 == 503);
    assert!(pagar.get("/readyz").1.contains("the server is stopping"));
    assert_eq!(pagar.get("/healthz").0, 200);
    for _ in 0..50 {
        assert_eq!(addresses(&ask_a(pagar.address(), "still.example.")).len(), 1);
    }
    assert_eq!(addresses(&ask(pagar.address(), Over::Tcp, "still.example.", RecordType::A)).len(), 1);
    pagar.signal(Signal::HUP); // changes nothing any more
    pagar.signal(Signal::TERM);
    assert_eq!(pagar.wait().code(), Some(0), "{}", pagar.log());
}
