//! Upstreams inside the test: [`Authoritative`], hickory-server's Catalog, which answers as it should, and [`Scripted`],
//! which answers whatever a test says, lies included.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{Name, RData, Record};
use hickory_server::Server;
use hickory_server::net::runtime::TokioRuntimeProvider;
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use tokio::runtime::{Builder, Runtime};

use crate::client::{Over, read_frame};
use crate::harness::LIMIT;

/// Longest pause of a thread before it looks whether it is to end.
const LOOK: Duration = Duration::from_millis(20);

pub(crate) fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

pub(crate) fn record(owner: &str, ttl: u32, data: RData) -> Record {
    Record::from_rdata(name(owner), ttl, data)
}

pub(crate) fn a(owner: &str, address: &str) -> Record {
    record(owner, 300, RData::A(A(address.parse().unwrap())))
}

/// With a MINIMUM of 60 seconds.
pub(crate) fn soa(owner: &str) -> Record {
    let (host, contact) = (name("ns.example."), name("nobody.invalid."));
    record(owner, 300, RData::SOA(SOA::new(host, contact, 7, 3600, 600, 86400, 60)))
}

/// A port that is free for UDP and TCP.
fn bind(address: SocketAddr) -> (UdpSocket, TcpListener) {
    let started = Instant::now();
    loop {
        if let Ok(tcp) = TcpListener::bind(address)
            && let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap())
        {
            return (udp, tcp);
        }
        assert!(started.elapsed() < LIMIT, "{address} cannot be bound");
        thread::sleep(LOOK);
    }
}

//------ Authoritative ------

/// Answers for the zone `example.`; everything else is refused.
pub(crate) struct Authoritative {
    pub(crate) address: SocketAddr,
    _runtime: Runtime,
}

impl Authoritative {
    pub(crate) fn start(records: impl IntoIterator<Item = Record>) -> Self {
        let origin = name("example.");
        let mut zone =
            InMemoryZoneHandler::<TokioRuntimeProvider>::empty(origin.clone(), ZoneType::Primary, AxfrPolicy::Deny);
        for record in [soa("example.")].into_iter().chain(records) {
            assert!(zone.upsert_mut(record, 7));
        }
        let mut catalog = Catalog::new();
        catalog.upsert(origin.into(), vec![Arc::new(zone)]);
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (udp, tcp) = bind("127.0.0.1:0".parse().unwrap());
        let address = udp.local_addr().unwrap();
        udp.set_nonblocking(true).unwrap();
        tcp.set_nonblocking(true).unwrap();
        let (started, ready) = std::sync::mpsc::channel();
        runtime.spawn(async move {
            let mut server = Server::new(catalog);
            server.register_socket(tokio::net::UdpSocket::from_std(udp).unwrap());
            server.register_listener(tokio::net::TcpListener::from_std(tcp).unwrap(), LIMIT, 64);
            started.send(()).unwrap();
            server.block_until_done().await.unwrap();
        });
        ready.recv().unwrap();
        Self { address, _runtime: runtime }
    }
}

//------ Scripted ------

/// A query as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) from: SocketAddr,
    pub(crate) over: Over,
    pub(crate) message: Message,
}

impl Asked {
    /// The name asked, lower case, with its last dot.
    pub(crate) fn name(&self) -> String {
        self.message.queries[0].name().to_string().to_ascii_lowercase()
    }

    /// The answer with these records; no records make an answer without data.
    pub(crate) fn answer(&self, records: impl IntoIterator<Item = Record>) -> Message {
        let mut answer = self.message.clone().into_response();
        answer.metadata.recursion_available = true;
        answer.edns = None;
        answer.add_answers(records);
        answer
    }

    /// Whether it only wants to know whether somebody is there.
    pub(crate) fn is_probe(&self) -> bool {
        self.name() == "."
    }

    /// The data of its COOKIE option.
    pub(crate) fn cookie(&self) -> Option<Vec<u8>> {
        let options = &self.message.edns.as_ref()?.options().options;
        options.iter().find_map(|(code, option)| match option {
            EdnsOption::Unknown(_, data) if u16::from(*code) == 10 => Some(data.clone()),
            _ => None,
        })
    }

    /// The answer with one address, whatever octets the name asked has.
    pub(crate) fn address(&self, address: &str) -> Message {
        let owner = self.message.queries[0].name().clone();
        self.answer([Record::from_rdata(owner, 300, RData::A(A(address.parse().unwrap())))])
    }
}

/// Sends what the script returns for each query, from the address that was asked.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

type Script = dyn Fn(&Asked) -> Vec<Message> + Send + Sync;

impl Scripted {
    pub(crate) fn start(script: impl Fn(&Asked) -> Vec<Message> + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), script)
    }

    /// Every name has this address.
    pub(crate) fn with_address(address: &'static str) -> Self {
        Self::start(move |asked| vec![asked.address(address)])
    }

    pub(crate) fn start_at(
        address: SocketAddr,
        script: impl Fn(&Asked) -> Vec<Message> + Send + Sync + 'static,
    ) -> Self {
        let (udp, tcp) = bind(address);
        let address = udp.local_addr().unwrap();
        let (asked, stop) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicBool>::default());
        let script: Arc<Script> = Arc::new(script);
        let stage = Stage { asked: asked.clone(), stop: stop.clone(), script };
        let other = stage.clone();
        let threads = vec![thread::spawn(move || stage.datagrams(udp)), thread::spawn(move || other.streams(&tcp))];
        Self { address, asked, stop, threads }
    }

    /// All queries so far but the probes.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How many queries for a name there were.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.asked().iter().filter(|asked| asked.name() == name).count()
    }

    /// How many names were asked how often.
    pub(crate) fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        self.asked().iter().for_each(|asked| *counts.entry(asked.name()).or_default() += 1);
        counts
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

#[derive(Clone)]
struct Stage {
    asked: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<AtomicBool>,
    script: Arc<Script>,
}

impl Stage {
    /// A thread a datagram, so that a script may take its time.
    fn datagrams(&self, socket: UdpSocket) {
        socket.set_read_timeout(Some(LOOK)).unwrap();
        let socket = Arc::new(socket);
        let mut octets = [0; 4_096];
        while !self.stop.load(Relaxed) {
            let Ok((len, from)) = socket.recv_from(&mut octets) else { continue };
            let message = Message::from_vec(&octets[..len]).unwrap();
            let (stage, socket) = (self.clone(), socket.clone());
            thread::spawn(move || {
                for answer in stage.play(Asked { from, over: Over::Udp, message }) {
                    let _ = socket.send_to(&answer.to_vec().unwrap(), from); // who asked may be gone
                }
            });
        }
    }

    fn streams(&self, listener: &TcpListener) {
        listener.set_nonblocking(true).unwrap();
        while !self.stop.load(Relaxed) {
            let Ok((mut stream, from)) = listener.accept() else {
                thread::sleep(LOOK);
                continue;
            };
            let stage = self.clone();
            thread::spawn(move || {
                stream.set_nonblocking(false).unwrap();
                stream.set_read_timeout(Some(LIMIT)).unwrap();
                while let Some(octets) = read_frame(&mut stream) {
                    let message = Message::from_vec(&octets).unwrap();
                    for answer in stage.play(Asked { from, over: Over::Tcp, message }) {
                        let _ = stream.write_all(&crate::client::frame(&answer.to_vec().unwrap()));
                    }
                }
            });
        }
    }

    fn play(&self, asked: Asked) -> Vec<Message> {
        if !asked.is_probe() {
            self.asked.lock().unwrap().push(asked.clone());
        }
        (self.script)(&asked)
    }
}
