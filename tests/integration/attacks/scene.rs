//! Where attacks happen: Pagar between a [`Meter`] and an upstream that can be silent, and the table of results.

use std::fmt;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};

use super::meter::{Meter, PATIENCE, Phase, Witness};
use crate::client::{Over, ask, query, send};
use crate::harness::{LIMIT, Pagar, Site, config, notice};

/// How long and how hard: a second or two each, or `PAGAR_ATTACK_SECONDS`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measure {
    pub(super) attack: Duration,
    /// Before the attack, and after it at least.
    calm: Duration,
    /// Questions a second of the meter.
    probe: u32,
    /// Questions a second of a flood.
    pub(super) flood: u32,
    /// Connections that do nothing.
    pub(super) connections: usize,
    /// Whether it is the long measure, whose figures are published.
    long: bool,
}

impl Measure {
    pub(super) fn of_this_run() -> Self {
        match std::env::var("PAGAR_ATTACK_SECONDS") {
            Err(_) => Self {
                attack: Duration::from_millis(1_500),
                calm: Duration::from_secs(1),
                probe: 500,
                flood: 2_000,
                connections: 1_500,
                long: false,
            },
            Ok(seconds) => Self {
                attack: Duration::from_secs(seconds.parse().unwrap()),
                calm: Duration::from_secs(5),
                probe: 2_000,
                flood: 20_000,
                connections: 10_000,
                long: true,
            },
        }
    }
}

/// Pagar with its upstream, under the meter's eyes.
pub(super) struct Scene {
    pub(super) pagar: Pagar,
    pub(super) upstream: Upstream,
    pub(super) measure: Measure,
    _site: Site,
}

/// What the names mean: listed, kept since before, large.
pub(super) const LISTED: &str = "www.listed.example.";
const CACHED: &str = "cached.example.";
pub(super) const LARGE: &str = "large.example.";

impl Scene {
    fn new(measure: Measure, start: Start) -> Self {
        let upstream = Upstream::start();
        let text = config(&[upstream.address]);
        let site = Site::new(&text.replace("[block]", &format!("{}\n[block]", start.config)));
        site.put("1.json", &notice(1, "listed.example", "subtree"));
        let config = site.path("pagar.toml");
        let pagar = match start.files {
            None => Pagar::start(&config, &[]),
            Some(files) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_pagar")]);
                Pagar::launch(&mut shell, &config, &[])
            }
        };
        Self { pagar, upstream, measure, _site: site }
    }

    pub(super) fn server(&self) -> SocketAddr {
        self.pagar.address()
    }
}

/// What is not as always.
#[derive(Clone, Copy, Default)]
pub(super) struct Start {
    /// How many files it may have open.
    pub(super) files: Option<u64>,
    /// Tables of the configuration. With some, the meter's clients are proven by a cookie.
    pub(super) config: &'static str,
}

/// One attack: before, during, after; prints its row of the table and checks it.
///
/// `harm` does it for as long as the measure says, undoes it, and tells how much it was. Afterwards all must be calm again.
pub(super) fn attack(what: &str, bound: Bound, start: Start, harm: impl FnOnce(&Scene) -> String) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner); // another attack's failure is not ours
    let measure = Measure::of_this_run();
    let scene = Scene::new(measure, start);
    let server = scene.server();
    for name in [LISTED, CACHED] {
        assert_eq!(ask(server, Over::Udp, name, RecordType::A).answers.len(), 1);
    }
    let resident = resident(&scene.pagar);
    let cookie = (!start.config.is_empty()).then(|| cookie(server));
    let question = |name| with_cookie(query(name, RecordType::A), cookie.as_ref()).to_vec().unwrap();
    let questions = [LISTED, CACHED].map(question).to_vec();
    let meter = Meter::start(server, measure.probe, measure.calm * 2 + measure.attack + LIMIT * 3, questions);
    let tcp = Witness::start(&meter, move || newcomer_by_tcp(server));
    let fresh = Witness::start(&meter, fresh_question(server));
    thread::sleep(measure.calm);
    let begun = meter.now();
    let told = harm(&scene);
    let ended = meter.now();
    thread::sleep(measure.calm.max(PATIENCE) + PATIENCE); // the last second is known
    while meter.phase(meter.now() - PATIENCE * 2, meter.now() - PATIENCE).lost > 0 && meter.now() < ended + LIMIT {
        thread::sleep(Duration::from_millis(100));
    }
    let last = meter.now() - PATIENCE;
    let (tcp, fresh) = (tcp.stop(), fresh.stop());
    let before = meter.phase(Duration::from_millis(100), begun);
    let result = Row {
        what,
        told,
        before,
        during: meter.phase(begun, ended),
        after: meter.phase(ended, last),
        calm_after: calm_after(&meter, begun, ended, last),
        tcp: Tried::of(&tcp, begun, ended),
        fresh: Tried::of(&fresh, begun, ended),
        resident: [resident, self::resident(&scene.pagar)],
    };
    HEAD.call_once(|| print!("{TITLES}"));
    println!("{result}");
    assert!(measure.long || result.during.loss() <= bound.0, "{result}: lost more than {} of the probes", bound.0);
    let last_window = meter.phase(last - PATIENCE, last);
    assert_eq!(last_window.lost, 0, "{result}: no end of losses after the attack");
    assert!(result.tcp.after.is_some() && result.fresh.after.is_some(), "{result}: not served again");
    assert_eq!(scene.pagar.metric("pagar_dns_dropped_total{reason=\"panic\"}"), 0.0);
    assert!(!scene.pagar.log().contains("panic"), "{}", scene.pagar.log());
}

/// Which part of the probes may be lost while it lasts, on a machine that does much else.
pub(super) struct Bound(pub(super) f64);

/// How long after the attack's end something is lost, or the 99th percentile is more than twice what it was in the worst
/// half second before (and more than a millisecond): the end of the last half second for which that holds.
fn calm_after(meter: &Meter, begun: Duration, ended: Duration, last: Duration) -> Duration {
    const WINDOW: Duration = Duration::from_millis(500);
    let windows = |from: Duration, until: Duration| {
        let starts = (0..).map(move |number| from + WINDOW * number).take_while(move |start| *start + WINDOW <= until);
        starts.map(|start| (start + WINDOW, meter.phase(start, start + WINDOW)))
    };
    let before = windows(Duration::ZERO, begun).map(|(_, phase)| phase.p99).max().unwrap_or_default();
    let limit = (before * 2).max(Duration::from_millis(1));
    let uneasy = windows(ended, last).filter(|(_, phase)| phase.lost > 0 || phase.p99 > limit);
    uneasy.last().map_or(Duration::ZERO, |(end, _)| end - ended)
}

/// A cookie the server made for us (RFC 7873 §5.2.3).
fn cookie(server: SocketAddr) -> Vec<u8> {
    let answer = send(server, Over::Udp, &with_cookie(query(LISTED, RecordType::A), Some(&vec![7; 8])));
    match answer.edns.as_ref().and_then(|edns| edns.option(EdnsCode::Cookie)) {
        Some(EdnsOption::Unknown(_, cookie)) => cookie.clone(),
        other => panic!("no cookie: {other:?}"),
    }
}

fn with_cookie(mut query: Message, cookie: Option<&Vec<u8>>) -> Message {
    if let Some(cookie) = cookie {
        query.edns.as_mut().unwrap().options_mut().insert(EdnsOption::Unknown(10, cookie.clone()));
    }
    query
}

/// Whether somebody who comes now gets an answer by TCP.
fn newcomer_by_tcp(server: SocketAddr) -> bool {
    use std::io::Write as _;
    let Ok(mut stream) = std::net::TcpStream::connect_timeout(&server, PATIENCE) else { return false };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let question = query(LISTED, RecordType::A).to_vec().unwrap();
    stream.write_all(&crate::client::frame(&question)).is_ok() && crate::client::read_frame(&mut stream).is_some()
}

/// Whether a name nobody has asked for yet is resolved.
fn fresh_question(server: SocketAddr) -> impl FnMut() -> bool + Send {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut number = 0_u16;
    move || {
        number += 1;
        let mut question = query(&format!("fresh-{number}.example."), RecordType::A);
        question.metadata.id = number;
        socket.send(&question.to_vec().unwrap()).unwrap();
        let mut reply = [0; 1_500];
        loop {
            let Ok(len) = socket.recv(&mut reply) else { return false };
            if len > 12 && reply[..2] == number.to_be_bytes() {
                return reply[6..8] == [0, 1];
            } // else it is late
        }
    }
}

fn resident(pagar: &Pagar) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", pagar.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1_024
}

//------ The table ------

static HEAD: Once = Once::new();
/// Delays in milliseconds, all other times in seconds.
const TITLES: &str = "
| attack | of which | lost before | lost during | lost after | p50 / p99 before | p50 / p99 during | calm after | new by TCP \
during, again after | fresh names during, again after | MiB before, after |
|---|---|---|---|---|---|---|---|---|---|---|
";

struct Row<'a> {
    what: &'a str,
    told: String,
    before: Phase,
    during: Phase,
    after: Phase,
    calm_after: Duration,
    tcp: Tried,
    fresh: Tried,
    resident: [u64; 2],
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { what, told, before, during, after, tcp, fresh, resident: [was, is], .. } = self;
        write!(f, "| {what} | {told} |")?;
        for phase in [before, during, after] {
            write!(f, " {} of {} |", phase.lost, phase.asked)?;
        }
        for phase in [before, during] {
            let [p50, p99] = [phase.p50, phase.p99].map(|delay| delay.as_secs_f64() * 1e3);
            write!(f, " {p50:.2} / {p99:.2} |")?;
        }
        write!(f, " {:.1} | {tcp} | {fresh} | {was}, {is} |", self.calm_after.as_secs_f64())
    }
}

/// How something that was tried again and again went.
struct Tried {
    worked: usize,
    times: usize,
    /// From the attack's end to the beginning of the first attempt that worked.
    after: Option<Duration>,
}

impl Tried {
    fn of(seen: &[(Duration, bool)], begun: Duration, ended: Duration) -> Self {
        let during = || seen.iter().filter(|(at, _)| (begun..ended).contains(at));
        let after = seen.iter().find(|(at, worked)| *at >= ended && *worked).map(|(at, _)| *at - ended);
        Self { worked: during().filter(|(_, worked)| *worked).count(), times: during().count(), after }
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} of {}, ", self.worked, self.times)?;
        match self.after {
            Some(after) => write!(f, "{:.1}", after.as_secs_f64()),
            None => f.write_str("never"),
        }
    }
}

//------ Upstream ------

/// Answers fast and by UDP only: names below `silent.example` not at all, those below `nx.example` with NXDOMAIN, TXT with
/// a kilobyte, all others with an address. It can be silent altogether.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    dark: Arc<AtomicBool>,
    asked: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Upstream {
    fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let address = socket.local_addr().unwrap();
        let [dark, stop] = [(); 2].map(|()| Arc::<AtomicBool>::default());
        let asked = Arc::<AtomicU32>::default();
        let (darkness, stopped, counter) = (dark.clone(), stop.clone(), asked.clone());
        let thread = Some(thread::spawn(move || {
            let mut octets = [0; 1_500];
            while !stopped.load(Relaxed) {
                let Ok((len, from)) = socket.recv_from(&mut octets) else { continue };
                counter.fetch_add(1, Relaxed);
                if !darkness.load(Relaxed)
                    && let Some(reply) = reply(&octets[..len])
                {
                    let _ = socket.send_to(&reply, from); // who asked may be gone
                }
            }
        }));
        Self { address, dark, asked, stop, thread }
    }

    /// Answers nothing from now on, or again.
    pub(super) fn set_dark(&self, dark: bool) {
        self.dark.store(dark, Relaxed);
    }

    /// How many questions have reached it.
    pub(super) fn asked(&self) -> u32 {
        self.asked.load(Relaxed)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn reply(query: &[u8]) -> Option<Vec<u8>> {
    const HOUR: [u8; 4] = 3_600_u32.to_be_bytes();
    let name = 12 + query.get(12..)?.iter().position(|octet| *octet == 0)? + 1; // no zero octets in these names
    let below = |suffix: &[u8]| query[12..name].to_ascii_lowercase().ends_with(suffix);
    if below(b"\x06silent\x07example\0") {
        return None;
    }
    let mut reply = query[..name + 4].to_vec();
    reply[2..4].copy_from_slice(&[0x81, 0x80]);
    reply[4..12].copy_from_slice(&[0, 1, 0, 1, 0, 0, 0, 0]);
    if below(b"\x02nx\x07example\0") {
        reply[3] |= 3;
        reply[6..10].copy_from_slice(&[0, 0, 0, 1]);
        reply.extend_from_slice(b"\x07example\0\0\x06\0\x01\0\0\0\x3c\0\x16\0\0");
        reply.extend([7_u32, 3_600, 600, 86_400, 60].map(u32::to_be_bytes).concat());
    } else if query[name..name + 2] == [0, 16] {
        reply.extend_from_slice(&[b"\xc0\x0c\0\x10\0\x01", &HOUR[..], b"\x03\xec"].concat());
        reply.extend([&[250][..], &[b't'; 250]].concat().repeat(4));
    } else {
        reply.extend_from_slice(&[b"\xc0\x0c\0\x01\0\x01", &HOUR[..], b"\0\x04\xc6\x33\x64\x01"].concat());
    }
    Some(reply)
}
