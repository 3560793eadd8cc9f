//! [`SelfTest`]: asks the node's own listening sockets whether they answer as a notice orders. *Enforced* is said of
//! nothing else (INTERFACES).
//!
//! Each name is asked at every UDP listener with type A; of a subtree a name below it that nobody can have foreseen, too.
//! The questions come from a socket that sits at the listener's place ([`Asking`]), so that they are answered whatever
//! `[dns] allow` says and count as nobody's. They come without RD: what is not listed is REFUSED then, and no upstream
//! hears which names are asked for. An OPT record is with them, since an answer says that it is a block in its Extended
//! DNS Error only. Another notice may list the same name and win with another action, so what kind of block it is does
//! not matter; that a statutory notice is answered as one does.
//!
//! The kernel gives all questions of one socket to one worker: with several workers an address, it is one of them that is
//! asked. They all read the same policy.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};

use crate::model::name::MAX_NAME;
use crate::model::{AuthorityKind, DnsName, Scope};
use crate::observe::metrics::SelftestMetrics;
use crate::policy::Asking;
use crate::policy::asking::Place;

#[cfg(test)]
mod tests;

/// Questions that are under way at a time: no more than a worker takes in one batch.
const WINDOW: usize = 64;
/// How often a question is asked before it has no answer.
const TRIES: usize = 3;
/// How long an answer is waited for, each time it is asked for.
const PATIENCE: Duration = Duration::from_millis(250);
/// Octets of a message header, and of an OPT record without options (RFC 6891 §6.1.2).
const HEADER: usize = 12;
const OPT: usize = 11;
/// Octets of the label below a subtree: 80 random bits.
const LABEL: usize = 16;
/// Largest answer taken; ours have no reason to be longer.
const ANSWER: usize = 1_232;

/// See the module's header.
#[derive(Debug)]
pub struct SelfTest {
    asking: Arc<Asking>,
    /// Sockets stay until the next test, so that what is late is still known for ours.
    seats: Vec<Seat>,
    metrics: SelftestMetrics,
    /// How long an answer is waited for.
    patience: Duration,
}

/// What to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The listed name, or one that was.
    pub name: DnsName,
    /// How far the notice reaches from it.
    pub scope: Scope,
    /// What is to be found.
    pub expected: Expected,
}

/// What a question is to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A block, by right of this kind of authority or a higher one: EDE 16, and for an operator's notice also 15.
    Blocked(AuthorityKind),
    /// No block: whatever else is said.
    Lifted,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Questions that were asked at the listeners, subtrees twice.
    pub asked: usize,
    /// Which of the questions failed, by index, and at the first listener where they did.
    pub failed: BTreeMap<usize, Failure>,
    /// How many that were, each listener by itself. Whether they count is for those to say who know what has changed since.
    pub failures: u64,
}

/// Why a question failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing came, or nothing that is an answer, however often it was asked; or the socket could not be asked.
    NoAnswer,
    /// The time was over before it was answered.
    Late,
    /// The answer is no block, or not of the kind it should be.
    NotBlocked,
    /// The answer is a block.
    StillBlocked,
}

impl Failure {
    /// The word for it in records and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoAnswer => "no-answer",
            Self::Late => "late",
            Self::NotBlocked => "not-blocked",
            Self::StillBlocked => "still-blocked",
        }
    }
}

impl Expected {
    /// Whether this is found in an answer.
    fn judge(self, answer: &Message) -> Result<(), Failure> {
        match (self, block(answer)) {
            (Self::Blocked(AuthorityKind::Operator), Some(_))
            | (Self::Blocked(AuthorityKind::Statutory), Some(AuthorityKind::Statutory))
            | (Self::Lifted, None) => Ok(()),
            (Self::Blocked(_), _) => Err(Failure::NotBlocked),
            (Self::Lifted, Some(_)) => Err(Failure::StillBlocked),
        }
    }
}

impl SelfTest {
    /// Of the listeners that `asking` has places for; counts its questions.
    pub fn new(asking: Arc<Asking>, metrics: SelftestMetrics) -> Self {
        Self { asking, seats: Vec::new(), metrics, patience: PATIENCE }
    }

    /// Asks all questions at every listener, until `deadline` at most. What is not answered by then has failed.
    pub fn ask(&mut self, questions: &[Question], deadline: Instant) -> Outcome {
        let probes: Vec<_> = (0..).zip(questions).flat_map(|(index, question)| Probe::all(index, question)).collect();
        let (mut outcome, metrics) = (Outcome::default(), &self.metrics);
        self.seats.clear();
        for place in self.asking.places() {
            let mut failed = |probe: &Probe, why| {
                outcome.failures += 1;
                outcome.failed.entry(probe.index).or_insert(why);
            };
            match Seat::take(place.clone(), self.patience) {
                Ok(seat) => {
                    outcome.asked += probes.len();
                    metrics.questions.inc_by(probes.len() as u64);
                    seat.ask_all(&probes, self.asking.option(), deadline, failed);
                    self.seats.push(seat);
                }
                Err(error) => {
                    tracing::warn!(listener = %place.target(), %error, "the self-test cannot ask a listener");
                    probes.iter().for_each(|probe| failed(probe, Failure::NoAnswer));
                }
            }
        }
        outcome
    }
}

/// Which of `len` questions to ask where all would be too many: all up to `at_least`, else so many, one at random out of
/// each stretch of equal length.
pub fn sample_indices(len: usize, at_least: usize) -> Vec<usize> {
    if len <= at_least {
        return (0..len).collect();
    }
    let bound = |n: usize| (n as u128 * len as u128 / at_least as u128) as usize; // no more than len
    (0..at_least).map(|n| rand::random_range(bound(n)..bound(n + 1))).collect()
}

//------ one question ------------------------------------------------------------------------------------------------------

/// A question on the wire.
struct Probe {
    /// Of the question it is for.
    index: usize,
    /// Name, type A, class IN.
    section: Vec<u8>,
    expected: Expected,
}

impl Probe {
    /// Of the name itself, and of one below it if those are meant too and there is room for one.
    fn all(index: usize, question: &Question) -> impl Iterator<Item = Self> {
        let Question { name, scope, expected } = question;
        let below = (*scope == Scope::Subtree).then(|| below(name.as_wire())).flatten();
        let probe = move |mut section: Vec<u8>| {
            section.extend_from_slice(&[0, 1, 0, 1]);
            Self { index, section, expected: *expected }
        };
        [Some(name.as_wire().to_vec()), below].into_iter().flatten().map(probe)
    }

    /// The message: no RD, an OPT record that ends with the token.
    fn message(&self, id: u16, token: &[u8]) -> Vec<u8> {
        let mut message = Vec::with_capacity(HEADER + self.section.len() + OPT + token.len());
        message.extend_from_slice(&id.to_be_bytes());
        message.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
        message.extend_from_slice(&self.section);
        message.extend_from_slice(&[0, 0, 41]);
        message.extend_from_slice(&(ANSWER as u16).to_be_bytes());
        message.extend_from_slice(&[0; 4]);
        message.extend_from_slice(&(token.len() as u16).to_be_bytes());
        message.extend_from_slice(token);
        message
    }

    /// Whether octets that begin with the right id answer this question: QR, and the question as it was asked.
    fn is_answered(&self, octets: &[u8]) -> bool {
        let is_response = octets.get(2).is_some_and(|flags| flags & 0x80 != 0);
        is_response && octets.get(HEADER..HEADER + self.section.len()) == Some(&self.section)
    }
}

/// A name below this one that nobody has ever asked for; `None` if there is no room.
fn below(name: &[u8]) -> Option<Vec<u8>> {
    let room = MAX_NAME.checked_sub(name.len() + 1).filter(|room| *room > 0)?;
    let letters = (0..LABEL.min(room)).map(|_| b"abcdefghijklmnopqrstuvwxyz234567"[rand::random_range(0..32)]);
    let label: Vec<_> = letters.collect();
    Some([&[label.len() as u8], &label[..], name].concat())
}

/// By what right an answer is a block of the policy; `None` if it is none. Its error must say so, and what it says must be
/// what a notice can order.
fn block(answer: &Message) -> Option<AuthorityKind> {
    let kind = errors(answer).find_map(|code| match code {
        16 => Some(AuthorityKind::Statutory),
        15 => Some(AuthorityKind::Operator),
        _ => None,
    })?;
    let has_soa = answer.authorities.iter().any(|record| record.record_type() == RecordType::SOA);
    let is_one = match answer.metadata.response_code {
        ResponseCode::NoError => !answer.answers.is_empty() || has_soa,
        ResponseCode::NXDomain => answer.answers.is_empty() && has_soa,
        ResponseCode::Refused => answer.answers.is_empty(),
        _ => false,
    };
    is_one.then_some(kind)
}

/// The codes of its Extended DNS Errors (RFC 8914 §2).
fn errors(answer: &Message) -> impl Iterator<Item = u16> {
    let options = answer.edns.iter().flat_map(|edns| &edns.options().options);
    options.filter_map(|option| match option {
        (EdnsCode::Unknown(15), EdnsOption::Unknown(_, data)) => data.first_chunk().copied().map(u16::from_be_bytes),
        _ => None,
    })
}

//------ one listener ------------------------------------------------------------------------------------------------------

/// A socket whose questions a listener knows for ours.
#[derive(Debug)]
struct Seat {
    place: Arc<Place>,
    socket: UdpSocket,
    patience: Duration,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.place.leave();
    }
}

impl Seat {
    /// On loopback, which nobody outside can forge; the kernel carries it to any address of this machine.
    fn take(place: Arc<Place>, patience: Duration) -> io::Result<Self> {
        let target = place.target();
        let loopback = if target.is_ipv4() { IpAddr::from(Ipv4Addr::LOCALHOST) } else { Ipv6Addr::LOCALHOST.into() };
        let socket = UdpSocket::bind(SocketAddr::new(loopback, 0))?;
        socket.connect(target)?; // it hears nobody else
        place.sit(socket.local_addr()?);
        Ok(Self { place, socket, patience })
    }

    /// Asks, a window at a time, and says what has failed.
    fn ask_all(&self, probes: &[Probe], token: &[u8], deadline: Instant, mut failed: impl FnMut(&Probe, Failure)) {
        for window in probes.chunks(WINDOW) {
            let (first, mut open) = (rand::random(), vec![true; window.len()]);
            for _ in 0..TRIES {
                if open.contains(&true) && Instant::now() < deadline {
                    self.send(window, &open, first, token);
                    self.hear(window, &mut open, first, deadline, &mut failed);
                }
            }
            let why = if Instant::now() < deadline { Failure::NoAnswer } else { Failure::Late };
            window.iter().zip(open).filter(|(_, open)| *open).for_each(|(probe, _)| failed(probe, why));
        }
    }

    /// Sends what is still open; ids count from `first`, the same each time.
    fn send(&self, window: &[Probe], open: &[bool], first: u16, token: &[u8]) {
        for (n, (probe, _)) in (0..).zip(window.iter().zip(open)).filter(|(_, (_, open))| **open) {
            // what is not sent is not answered: it is sent again, and fails in the end
            let _ = self.socket.send(&probe.message(first.wrapping_add(n), token));
        }
    }

    /// Takes answers until all are there or nothing comes for a while.
    fn hear(
        &self,
        window: &[Probe],
        open: &mut [bool],
        first: u16,
        deadline: Instant,
        mut failed: impl FnMut(&Probe, Failure),
    ) {
        let until = deadline.min(Instant::now() + self.patience);
        let mut octets = [0; ANSWER];
        while open.contains(&true) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.socket.set_read_timeout(Some(left)).is_err() {
                return;
            }
            let Ok(len) = self.socket.recv(&mut octets) else { continue }; // too late, or nobody is there: yet
            let octets = octets.get(..len).unwrap_or_default();
            let Some(id) = octets.first_chunk().copied().map(u16::from_be_bytes) else { continue };
            let n = usize::from(id.wrapping_sub(first));
            let (Some(probe), Some(open)) = (window.get(n), open.get_mut(n).filter(|open| **open)) else { continue };
            let Some(answer) = probe.is_answered(octets).then(|| Message::from_vec(octets).ok()).flatten() else {
                continue;
            };
            *open = false;
            if let Err(why) = probe.expected.judge(&answer) {
                failed(probe, why);
            }
        }
    }
}
