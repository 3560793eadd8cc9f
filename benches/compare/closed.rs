//! [`saturate`]: the closed loop. So many questions are on their way at any time, each answer makes room for the next,
//! and the server never has nothing to do. It tells what an answer costs.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::batch::Batch;
use crate::generator::{Expect, connect};
use crate::proc;
use crate::questions::Workload;

/// What has not come by then is lost, and its place is taken by another question.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked for what is lost.
const SWEEP: Duration = Duration::from_millis(100);
/// Bits of an id that say which of the places a question has; the others count its users.
const PLACE_BITS: u32 = 10;
/// Most questions that can be on their way.
pub(crate) const MOST: usize = 1 << PLACE_BITS;

/// How a server is driven.
pub(crate) struct Drive {
    pub(crate) server: SocketAddr,
    pub(crate) expect: Expect,
    /// Questions on their way.
    pub(crate) window: usize,
    /// The place in the workload to begin at.
    pub(crate) from: usize,
    /// Time that does not count, at the beginning.
    pub(crate) warm: Duration,
    /// Time that does.
    pub(crate) measured: Duration,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Saturated {
    pub(crate) answered: u64,
    pub(crate) lost: u64,
    /// Answers with another code than NOERROR or without a record.
    pub(crate) wrong: u64,
    pub(crate) took: Duration,
    /// On-CPU time of the server's threads.
    pub(crate) cpu: Duration,
    /// Time its core was busy.
    pub(crate) core: Duration,
}

impl Saturated {
    /// Microseconds of the server's threads an answer.
    pub(crate) fn cost(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.answered.max(1) as f64
    }

    /// Answers a second.
    pub(crate) fn rate(&self) -> f64 {
        self.answered as f64 / self.took.as_secs_f64().max(1e-9)
    }

    /// Part of the core the server's threads had. Well below 1: not the server was the limit.
    pub(crate) fn share(&self) -> f64 {
        self.cpu.as_secs_f64() / self.took.as_secs_f64().max(1e-9)
    }

    /// Microseconds of its whole core an answer.
    pub(crate) fn core_cost(&self) -> f64 {
        self.core.as_secs_f64() * 1e6 / self.answered.max(1) as f64
    }

    fn counts(&self) -> [u64; 3] {
        [self.answered, self.lost, self.wrong]
    }
}

/// Drives the process `pid` and measures.
pub(crate) fn saturate(drive: &Drive, workload: &mut Workload, pid: u32) -> io::Result<Saturated> {
    let socket = connect(drive.server)?;
    let mut loop_ = Loop::new(drive, &socket);
    loop_.run(workload, drive.warm)?;
    let before = (Instant::now(), proc::cpu(pid)?, proc::core_busy()?, loop_.seen.counts());
    loop_.run(workload, drive.measured)?;
    let seen = loop_.seen.counts();
    let [answered, lost, wrong] = std::array::from_fn(|n| seen[n] - before.3[n]);
    let (cpu, core) = (proc::cpu(pid)? - before.1, proc::core_busy()? - before.2);
    let measured = Saturated { answered, lost, wrong, took: before.0.elapsed(), cpu, core };
    loop_.drain()?;
    Ok(measured)
}

struct Loop<'a> {
    socket: &'a UdpSocket,
    expect: Expect,
    places: Vec<Place>,
    free: Vec<u16>,
    next: usize,
    now: Instant,
    swept: Instant,
    outgoing: Batch,
    incoming: Batch,
    seen: Saturated,
}

#[derive(Clone, Copy)]
struct Place {
    user: u16,
    since: Option<Instant>,
}

impl<'a> Loop<'a> {
    fn new(drive: &Drive, socket: &'a UdpSocket) -> Self {
        let window = drive.window.min(MOST);
        let now = Instant::now();
        Self {
            socket,
            expect: drive.expect,
            places: vec![Place { user: 0, since: None }; window],
            free: (0..window as u16).collect(),
            next: drive.from,
            now,
            swept: now,
            outgoing: Batch::default(),
            incoming: Batch::default(),
            seen: Saturated::default(),
        }
    }

    fn run(&mut self, workload: &mut Workload, time: Duration) -> io::Result<()> {
        let until = Instant::now() + time;
        loop {
            self.now = Instant::now();
            if self.now >= until {
                return Ok(());
            }
            self.ask(workload);
            self.incoming.receive(self.socket, true)?;
            self.take();
            self.sweep();
        }
    }

    fn ask(&mut self, workload: &mut Workload) {
        while let Some(place) = self.free.pop() {
            let at = &mut self.places[usize::from(place)];
            at.user = at.user.wrapping_add(1);
            at.since = Some(self.now);
            let id = at.user << PLACE_BITS | place;
            let number = self.next;
            self.next += 1;
            if self.outgoing.push(|to| workload.write(number, id, to)) {
                self.outgoing.send_on(self.socket);
            }
        }
        if self.outgoing.len() > 0 {
            self.outgoing.send_on(self.socket);
        }
    }

    fn take(&mut self) {
        for n in 0..self.incoming.len() {
            let message = self.incoming.datagram(n);
            let Some(id) = self.expect.id(message) else { continue };
            let place = id & (MOST as u16 - 1);
            let Some(at) = self.places.get_mut(usize::from(place)) else { continue };
            if at.since.is_none() || at.user << PLACE_BITS != id & !(MOST as u16 - 1) {
                continue; // too late, and counted as lost
            }
            at.since = None;
            self.free.push(place);
            if self.expect.is_met(message) { self.seen.answered += 1 } else { self.seen.wrong += 1 }
        }
    }

    fn sweep(&mut self) {
        if self.now.duration_since(self.swept) < SWEEP {
            return;
        }
        self.swept = self.now;
        for (n, place) in self.places.iter_mut().enumerate() {
            if place.since.is_some_and(|since| self.now.duration_since(since) > PATIENCE) {
                place.since = None;
                self.free.push(n as u16);
                self.seen.lost += 1;
            }
        }
    }

    /// Takes what is still on its way, so that the next server is not disturbed.
    fn drain(&mut self) -> io::Result<()> {
        let until = Instant::now() + PATIENCE;
        while self.free.len() < self.places.len() && Instant::now() < until {
            self.incoming.receive(self.socket, true)?;
            self.take();
        }
        Ok(())
    }
}
