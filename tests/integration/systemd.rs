//! What the service manager is told (sd_notify(3)), and sockets it opened (sd_listen_fds(3)), without one: the test is
//! it.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::{Arc, Mutex};

use hickory_proto::rr::RecordType;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::Signal;

use crate::client::{Over, ask, ask_a, is_block};
use crate::harness::{Ended, Heir, Pagar, Site, config, notice, peer, run, wait_until};

fn nobody() -> SocketAddr {
    "127.0.0.1:9".parse().unwrap()
}

/// What arrived at a notification socket, in order.
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn at(site: &Site) -> Self {
        let socket = UnixDatagram::bind(site.path("notify")).unwrap();
        let told = Arc::<Mutex<Vec<String>>>::default();
        let keep = told.clone();
        std::thread::spawn(move || {
            let mut message = [0; 4_096];
            while let Ok(len) = socket.recv(&mut message) {
                keep.lock().unwrap().push(String::from_utf8(message[..len].to_vec()).unwrap());
            }
        });
        Self(told)
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// Waits for a message that begins so, after the `since` first ones; returns how many there are up to it.
    fn wait(&self, words: &str, since: usize) -> usize {
        let position = || self.all().iter().skip(since).position(|message| message.starts_with(words));
        wait_until(&format!("it says {words} (so far {:?})", self.all()), || position().is_some());
        since + position().unwrap() + 1
    }
}

#[test]
fn a_service_manager_hears_of_every_stage() {
    let site = Site::new(&config(&[nobody()]));
    site.put("1.json", &notice(1, "listed.example", "subtree"));
    let told = Told::at(&site);
    let mut command = Command::new(env!("CARGO_BIN_EXE_pagar"));
    command.args(["serve", "--config"]).arg(site.path("pagar.toml"));
    command.env("NOTIFY_SOCKET", site.path("notify")).env("WATCHDOG_USEC", "2000000");
    let mut pagar = Pagar::spawn(&mut command);
    assert_eq!(told.all()[0], "STATUS=reading the sources\n");
    let at = told.wait("READY=1\nSTATUS=serving policy 1: 1 names in force; 1 of 1 upstreams in use\n", 0);
    let at = told.wait("WATCHDOG=1\n", at);
    let at = told.wait("WATCHDOG=1\n", at);
    pagar.signal(Signal::HUP);
    let at = told.wait("RELOADING=1\nMONOTONIC_USEC=", at);
    let at = told.wait("READY=1\n", at);
    site.write("pagar.toml", "version = 2");
    pagar.signal(Signal::HUP);
    let at = told.wait("RELOADING=1\n", at);
    let at = told.wait("READY=1\n", at);
    assert!(pagar.log().contains("not reloaded"));
    site.write("pagar.toml", &config(&[nobody()]));
    pagar.signal(Signal::USR2);
    let at = told.wait("MAINPID=", at);
    let heir = Heir(told.all()[at - 1].trim().strip_prefix("MAINPID=").unwrap().parse().unwrap());
    let at = told.wait("READY=1\nSTATUS=serving policy 1001: ", at);
    assert_eq!(pagar.wait().code(), Some(0), "{}", pagar.log());
    let at = told.wait("WATCHDOG=1\n", at);
    heir.signal(Signal::TERM);
    let at = told.wait("STOPPING=1\n", at);
    told.wait("EXTEND_TIMEOUT_USEC=", at);
    wait_until("it ends", || heir.has_ended());
    let stopping = told.all().iter().filter(|message| message.starts_with("STOPPING")).count();
    assert_eq!(stopping, 1, "the one that hands over does not stop the service");
}

/// A UDP and a TCP socket on one port of an address, opened without SO_REUSEPORT.
fn opened(ip: &str) -> (UdpSocket, TcpListener) {
    loop {
        let tcp = TcpListener::bind((ip, 0)).unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
            return (udp, tcp);
        }
    }
}

/// A command that starts the program with these descriptors as systemd would; `None` without bash.
fn activated(site: &Site, descriptors: &[BorrowedFd<'_>]) -> Option<Command> {
    let mut words = String::new();
    for (n, descriptor) in descriptors.iter().enumerate() {
        fcntl_setfd(descriptor, FdFlags::empty()).unwrap(); // the shell finds it under its own number
        words += &format!("exec {}<&{}; ", n + 103, descriptor.as_raw_fd());
    }
    for n in 0..descriptors.len() {
        words += &format!("exec {}<&{}; ", n + 3, n + 103);
    }
    words += &format!("LISTEN_PID=$$ LISTEN_FDS={} exec \"$0\" serve --config \"$1\"", descriptors.len());
    let mut command = Command::new(peer("bash")?);
    command.args(["-c", &words, env!("CARGO_BIN_EXE_pagar")]).arg(site.path("pagar.toml"));
    Some(command)
}

#[test]
fn sockets_of_systemd_are_used_and_shared_by_the_workers() {
    let ((udp, tcp), web) = (opened("0.0.0.0"), TcpListener::bind("127.0.0.1:0").unwrap());
    let (dns, http) = (tcp.local_addr().unwrap(), web.local_addr().unwrap());
    let text = config(&[nobody()]).replacen("127.0.0.1:0", &dns.to_string(), 1);
    let site = Site::new(&text.replacen("127.0.0.1:0", &http.to_string(), 1));
    site.put("1.json", &notice(1, "listed.example", "subtree"));
    let Some(mut command) = activated(&site, &[web.as_fd(), udp.as_fd(), tcp.as_fd()]) else { return };
    let mut pagar = Pagar::spawn(&mut command);
    drop((udp, tcp, web));
    assert_eq!((pagar.dns(), pagar.url()), (vec![dns], format!("http://{http}")));
    // PKTINFO is asked for: the answer comes from the address that was asked, which the client checks
    for ip in ["127.0.0.1", "127.0.0.7"] {
        let server = SocketAddr::new(ip.parse().unwrap(), dns.port());
        for _ in 0..50 {
            assert!(is_block(&ask_a(server, "listed.example.")));
        }
        assert!(is_block(&ask(server, Over::Tcp, "listed.example.", RecordType::A)));
    }
    wait_until("it is ready", || pagar.get("/readyz").0 == 200);
    pagar.signal(Signal::TERM);
    assert_eq!(pagar.wait().code(), Some(0), "{}", pagar.log());
}

#[test]
fn a_socket_that_is_missing_is_bound() {
    let (udp, tcp) = opened("127.0.0.1");
    let dns = tcp.local_addr().unwrap();
    drop(tcp);
    let site = Site::new(&config(&[nobody()]).replacen("127.0.0.1:0", &dns.to_string(), 1));
    site.put("1.json", &notice(1, "listed.example", "subtree"));
    let Some(mut command) = activated(&site, &[udp.as_fd()]) else { return };
    let pagar = Pagar::spawn(&mut command);
    assert!(is_block(&ask_a(dns, "listed.example.")));
    assert!(is_block(&ask(dns, Over::Tcp, "listed.example.", RecordType::A)));
    drop(pagar);
}

fn refused(site: &Site, descriptors: &[BorrowedFd<'_>], words: &str) {
    let Some(mut command) = activated(site, descriptors) else { return };
    let ended: Ended = run(&mut command);
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(ended.err.contains(words), "{words}: {ended:?}");
}

#[test]
fn a_socket_that_nobody_asks_for_or_that_cannot_be_used_is_named() {
    let site = Site::new(&config(&[nobody()]));
    let (udp, tcp) = opened("127.0.0.8");
    let address = tcp.local_addr().unwrap();
    refused(&site, &[udp.as_fd()], &format!("systemd opened {address} (udp)"));
    refused(&site, &[tcp.as_fd()], &format!("systemd opened {address} (tcp)"));
    let local = UnixDatagram::unbound().unwrap();
    refused(&site, &[local.as_fd()], "socket 1 of those systemd opened");
    // a wildcard of both families: clients with IPv4 would come as IPv6
    if let Ok(both) = UdpSocket::bind("[::]:0") {
        let address = both.local_addr().unwrap();
        let site = Site::new(&config(&[nobody()]).replacen("127.0.0.1:0", &address.to_string(), 1));
        refused(&site, &[both.as_fd()], "BindIPv6Only=ipv6-only");
    }
}
