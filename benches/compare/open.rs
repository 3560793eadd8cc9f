//! [`ask`]: the open loop. Every question has a time at which it is due, whatever became of those before it, and its
//! delay counts from then: a server that stalls delays all that fall due meanwhile.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::batch::Batch;
use crate::generator::{Expect, connect};
use crate::questions::{HEADER, Workload};
use crate::stats::percentile;

/// What has not come by then, after its time, is lost.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// What is asked of whom.
pub(crate) struct Schedule {
    pub(crate) server: SocketAddr,
    pub(crate) expect: Expect,
    /// Questions a second.
    pub(crate) rate: u32,
    pub(crate) time: Duration,
    /// The place in the workload to begin at.
    pub(crate) from: usize,
}

impl Schedule {
    fn due(&self, number: usize) -> Duration {
        Duration::from_nanos(number as u64 * 1_000_000_000 / u64::from(self.rate))
    }

    fn questions(&self) -> usize {
        (self.time.as_secs_f64() * f64::from(self.rate)) as usize
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Delays {
    pub(crate) asked: usize,
    pub(crate) lost: usize,
    /// Answers with another code than NOERROR or without a record; they count as lost, too.
    pub(crate) wrong: usize,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) p999: Duration,
    /// Longest time without any answer.
    pub(crate) silence: Duration,
    /// How late the generator itself was, for 999 of 1,000 questions: what it cannot see below.
    pub(crate) own: Duration,
}

/// Asks by schedule, from this thread, which never sleeps but lets others go first.
pub(crate) fn ask(schedule: &Schedule, workload: &mut Workload) -> io::Result<Delays> {
    let socket = connect(schedule.server)?;
    let mut asker = Asker::new(schedule, &socket);
    let total = schedule.questions();
    while asker.next < total {
        asker.send_due(workload, total);
        asker.receive()?;
    }
    while asker.started.elapsed() < schedule.time + PATIENCE && !asker.pending.is_empty() {
        asker.receive()?;
    }
    Ok(asker.delays())
}

struct Asker<'a> {
    schedule: &'a Schedule,
    socket: &'a UdpSocket,
    started: Instant,
    next: usize,
    /// By id: the number of the question, and the question itself, since ids come round again.
    pending: HashMap<u16, (usize, Vec<u8>)>,
    outgoing: Batch,
    incoming: Batch,
    delays: Vec<u64>,
    lateness: Vec<u64>,
    wrong: usize,
    last: Duration,
    silence: Duration,
}

impl<'a> Asker<'a> {
    fn new(schedule: &'a Schedule, socket: &'a UdpSocket) -> Self {
        Self {
            schedule,
            socket,
            started: Instant::now(),
            next: 0,
            pending: HashMap::new(),
            outgoing: Batch::default(),
            incoming: Batch::default(),
            delays: Vec::with_capacity(schedule.questions()),
            lateness: Vec::with_capacity(schedule.questions()),
            wrong: 0,
            last: Duration::ZERO,
            silence: Duration::ZERO,
        }
    }

    fn send_due(&mut self, workload: &mut Workload, total: usize) {
        let now = self.started.elapsed();
        while self.next < total && self.schedule.due(self.next) <= now {
            let (number, id) = (self.next, self.next as u16);
            self.next += 1;
            let mut question = Vec::new();
            let full = self.outgoing.push(|to| {
                let length = workload.write(self.schedule.from + number, id, to);
                question.extend_from_slice(&to[HEADER..length]);
                length
            });
            self.pending.insert(id, (number, question)); // one that is still there has waited for seconds: lost
            self.lateness.push((now - self.schedule.due(number)).as_nanos() as u64);
            if full {
                self.outgoing.send_on(self.socket);
            }
        }
        if self.outgoing.len() > 0 {
            self.outgoing.send_on(self.socket);
        }
    }

    fn receive(&mut self) -> io::Result<()> {
        if self.incoming.receive(self.socket, false)? == 0 {
            std::thread::yield_now();
            return Ok(());
        }
        let now = self.started.elapsed();
        for n in 0..self.incoming.len() {
            let message = self.incoming.datagram(n);
            let Some(id) = self.schedule.expect.id(message) else { continue };
            let Some((number, question)) = self.pending.get(&id) else { continue };
            let asked = &question[..name_end(question)];
            let delay = now - self.schedule.due(*number);
            if !message[HEADER..].starts_with(asked) || delay > PATIENCE {
                continue; // of a question that is lost
            }
            self.pending.remove(&id);
            if self.schedule.expect.is_met(message) {
                self.delays.push(delay.as_nanos() as u64);
                self.silence = self.silence.max(now - self.last);
                self.last = now;
            } else {
                self.wrong += 1;
            }
        }
        Ok(())
    }

    fn delays(mut self) -> Delays {
        self.delays.sort_unstable();
        self.lateness.sort_unstable();
        let at = |part| Duration::from_nanos(percentile(&self.delays, part));
        Delays {
            asked: self.next,
            lost: self.next - self.delays.len(),
            wrong: self.wrong,
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            silence: self.silence.max(self.schedule.time.saturating_sub(self.last)),
            own: Duration::from_nanos(percentile(&self.lateness, 0.999)),
        }
    }
}

/// Length of the name and its type and class, at the beginning of what follows a header.
fn name_end(question: &[u8]) -> usize {
    let name = question.iter().position(|octet| *octet == 0).unwrap_or(question.len());
    (name + 5).min(question.len())
}
