//! What the clients notice: [`Meter`] asks at a steady pace, answered or not, and [`Witness`] tries something again and
//! again. Both note when.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What has not come by then is lost.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// Sockets the questions are spread over, so that every worker gets some.
const SOCKETS: usize = 8;
/// What a lost answer has for a delay.
const LOST: u32 = u32::MAX;
/// A question the meter itself was late with by so much is not asked: it would tell of this machine, not of the server.
const TOO_LATE: Duration = Duration::from_millis(100);

/// Asks so many questions a second, each at its time: a slow server does not slow it down. Every delay counts from when the
/// question was due.
pub(super) struct Meter {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    started: Instant,
    rate: u32,
    sent: AtomicUsize,
    /// Microseconds, by question; 0 for those that were not asked.
    delays: Vec<AtomicU32>,
    stop: AtomicBool,
}

impl Shared {
    fn due(&self, number: usize) -> Duration {
        Duration::from_secs(number as u64) / self.rate
    }
}

impl Meter {
    /// Puts the questions in turn, for `longest` at most; each must get one answer record and NOERROR.
    pub(super) fn start(server: SocketAddr, rate: u32, longest: Duration, questions: Vec<Vec<u8>>) -> Self {
        let delays = (0..longest.as_secs() as usize * rate as usize).map(|_| AtomicU32::new(LOST)).collect();
        let (sent, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let shared = Arc::new(Shared { started: Instant::now(), rate, sent, delays, stop });
        let sockets: Vec<_> = (0..SOCKETS).map(|_| Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap())).collect();
        let mut threads = Vec::new();
        for socket in &sockets {
            socket.connect(server).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            let (socket, shared) = (socket.clone(), shared.clone());
            threads.push(thread::spawn(move || receive(&socket, &shared)));
        }
        let to_send = shared.clone();
        threads.push(thread::spawn(move || send(&sockets, &to_send, questions)));
        Self { shared, threads }
    }

    /// The time its results go by.
    pub(super) fn now(&self) -> Duration {
        self.shared.started.elapsed()
    }

    /// What came of the questions that were due from then until then; asked no earlier than [`PATIENCE`] later.
    pub(super) fn phase(&self, from: Duration, until: Duration) -> Phase {
        let number = |time: Duration| (time.as_secs_f64() * f64::from(self.shared.rate)).ceil() as usize;
        let numbers = number(from)..number(until).min(self.shared.delays.len());
        let delays = numbers.map(|number| self.shared.delays[number].load(Relaxed));
        let mut delays: Vec<u32> = delays.filter(|delay| *delay > 0).collect();
        delays.sort_unstable();
        let answered = delays.partition_point(|delay| *delay <= PATIENCE.as_micros() as u32);
        let at = |part: f64| delays[..answered].get((answered as f64 * part) as usize).copied().unwrap_or_default();
        let (p50, p99) = (Duration::from_micros(at(0.5).into()), Duration::from_micros(at(0.99).into()));
        Phase { asked: delays.len(), lost: delays.len() - answered, p50, p99 }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

/// What came of some questions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phase {
    pub(super) asked: usize,
    pub(super) lost: usize,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

impl Phase {
    pub(super) fn loss(&self) -> f64 {
        self.lost as f64 / self.asked.max(1) as f64
    }
}

fn send(sockets: &[Arc<UdpSocket>], shared: &Shared, mut questions: Vec<Vec<u8>>) {
    let kinds = questions.len();
    for number in 0..shared.delays.len() {
        if let Some(wait) = shared.due(number).checked_sub(shared.started.elapsed()) {
            thread::sleep(wait);
        }
        if shared.stop.load(Relaxed) {
            return;
        }
        if shared.started.elapsed() > shared.due(number) + TOO_LATE {
            shared.delays[number].store(0, Relaxed);
            continue;
        }
        let question = &mut questions[number % kinds];
        question[..2].copy_from_slice(&(number as u16).to_be_bytes());
        shared.sent.store(number, Relaxed);
        let _ = sockets[number / kinds % SOCKETS].send(question); // a full buffer is a loss
    }
}

fn receive(socket: &UdpSocket, shared: &Shared) {
    let mut reply = [0; 1_500];
    while !shared.stop.load(Relaxed) {
        let Ok(len) = socket.recv(&mut reply) else { continue };
        let sent = shared.sent.load(Relaxed);
        let id = u16::from_be_bytes([reply[0], reply[1]]);
        let number = sent.checked_sub(usize::from((sent as u16).wrapping_sub(id))); // the last one with this id
        let good = len > 12 && reply[3] & 0x0f == 0 && reply[6..8] == [0, 1];
        if let (Some(number), true) = (number, good) {
            let delay = shared.started.elapsed().saturating_sub(shared.due(number));
            shared.delays[number].fetch_min(delay.as_micros().max(1) as u32, Relaxed);
        }
    }
}

/// Tries something every [`Self::PERIOD`] and notes whether it worked.
pub(super) struct Witness {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<(Duration, bool)>>>,
}

impl Witness {
    const PERIOD: Duration = Duration::from_millis(200);

    pub(super) fn start(meter: &Meter, mut attempt: impl FnMut() -> bool + Send + 'static) -> Self {
        let (started, stop) = (meter.shared.started, Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        let thread = Some(thread::spawn(move || {
            let mut seen = Vec::new();
            while !stopped.load(Relaxed) {
                let at = started.elapsed();
                seen.push((at, attempt()));
                thread::sleep(Self::PERIOD.saturating_sub(started.elapsed() - at));
            }
            seen
        }));
        Self { stop, thread }
    }

    /// Ends it; what was seen, by the meter's time of each attempt's beginning.
    pub(super) fn stop(mut self) -> Vec<(Duration, bool)> {
        self.stop.store(true, Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

#[test]
fn the_meter_counts_what_is_lost_and_what_is_late() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let meter = Meter::start(address, 100, Duration::from_secs(3), vec![vec![0; 17], vec![0; 17]]);
    let mut seen = 0;
    let mut octets = [0; 17];
    while meter.now() < Duration::from_secs(2) {
        server.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let Ok((len, from)) = server.recv_from(&mut octets) else { continue };
        seen += 1;
        octets[7] = u8::from(seen % 5 != 0); // every fifth has no answer record
        server.send_to(&octets[..len], from).unwrap();
        if seen == 50 {
            thread::sleep(Duration::from_millis(300)); // what is due meanwhile waits, and counts as late
        }
    }
    let phase = meter.phase(Duration::ZERO, Duration::from_millis(900));
    assert!(phase.asked <= 90 && (1..45).contains(&phase.lost), "{phase:?}"); // 18 of 90 but on a stalled machine
    assert!(phase.p99 > Duration::from_millis(150), "{phase:?}");
}
