//! [`Server`]: one upstream, with what is known of it, and how it is asked.
//!
//! ```text
//!   ask --> UDP --answer-----------------------------> answer
//!            |--FORMERR, no OPT--> UDP without OPT --> answer
//!            |--BADCOOKIE--> UDP, the new cookie ----> answer
//!            |--TC, BADCOOKIE again, no cookie although it knows them--> TCP --> answer
//! ```
//!
//! Every answer of whatever kind is a sign of life for the [`Breaker`], and nothing else is.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::breaker::{Breaker, Probe, State};
use super::cookie::{Cookie, Jar};
use super::exchange::Stream;
use super::latency::Latency;
use super::message::Edns;
use super::socket::Peer;
use super::sockets::Sockets;
use super::{DATAGRAMS, PATIENCE, udp};
use crate::dns::UpstreamConfig;
use crate::dns::answer::{Answer, Bad};
use crate::dns::clock::{Clock, Millis};
use crate::dns::resolve::{Failure, Question};
use crate::dns::wire::{IN, rcode, rtype};
use crate::model::DnsName;
use crate::observe::metrics::{UpstreamError, UpstreamMetrics, UpstreamSeries};

/// How long a probe is waited for.
const PROBE: Duration = Duration::from_millis(1_500);
/// How often it is looked whether a probe is due.
const TICK: Duration = Duration::from_millis(250);
/// Bounds of the time after which a hedge goes out.
const HEDGE: (Duration, Duration) = (Duration::from_millis(20), PATIENCE);

/// Why one try gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum TryError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Bad(#[from] Bad),
    #[error("by TCP: {0}")]
    Stream(io::Error),
    /// The question has been sent to this upstream as often as may be (RFC 9520 §3.1).
    #[error("no try is left")]
    Spent,
}

impl TryError {
    /// What it says about the question; nothing if no try was made.
    pub(super) fn failure(&self) -> Option<Failure> {
        match self {
            Self::Stream(error) if error.kind() == io::ErrorKind::TimedOut => Some(Failure::Silence),
            Self::Io(_) | Self::Stream(_) => Some(Failure::Network),
            Self::Bad(_) => Some(Failure::Garbage),
            Self::Spent => None,
        }
    }
}

/// Which way a try goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// UDP, and TCP where that is what the answer asks for.
    Datagram,
    /// TCP.
    Stream,
}

/// How often one question has been sent to one upstream.
#[derive(Debug, Default)]
pub(super) struct Sent {
    datagrams: AtomicU32,
    stream: AtomicBool,
}

impl Sent {
    fn datagram(&self) -> Result<(), TryError> {
        if self.datagrams.fetch_add(1, Relaxed) < DATAGRAMS { Ok(()) } else { Err(TryError::Spent) }
    }

    /// Once; the connection sends it again by itself if it was a dead one.
    fn stream(&self) -> Result<(), TryError> {
        if self.stream.swap(true, Relaxed) { Err(TryError::Spent) } else { Ok(()) }
    }
}

/// One upstream with what is known of it.
pub(super) struct Server {
    config: UpstreamConfig,
    sockets: Sockets,
    stream: Stream,
    series: UpstreamSeries,
    clock: Clock,
    known: Mutex<Known>,
}

struct Known {
    breaker: Breaker,
    latency: Latency,
    jar: Jar,
}

impl Server {
    /// `descriptors` are those its UDP sockets may take, with others.
    pub(super) fn new(
        config: UpstreamConfig,
        metrics: &UpstreamMetrics,
        clock: Clock,
        descriptors: Arc<Semaphore>,
    ) -> Self {
        let now = clock.now();
        let known = Known { breaker: Breaker::new(now), latency: Latency::default(), jar: Jar::new(now) };
        let series = metrics.declare(&config.address.to_string());
        let stream = Stream::new(config.address, config.trust_ad, series.mismatches.clone());
        let peer = Peer { address: config.address, trust_ad: config.trust_ad, mismatches: series.mismatches.clone() };
        let sockets = Sockets::new(peer, descriptors);
        Self { config, sockets, stream, series, clock, known: Mutex::new(known) }
    }

    /// Whether it can go on serving under this configuration, with what is known of it.
    pub(super) fn is(&self, config: &UpstreamConfig) -> bool {
        let same = (self.config.address, self.config.trust_ad) == (config.address, config.trust_ad);
        same && probe(&self.config) == probe(config)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.config.address
    }

    pub(super) fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    /// Whether it is in use, half trusted or asked last.
    pub(super) fn state(&self) -> State {
        self.lock().breaker.state()
    }

    /// Whether something came from it by UDP at this time or later.
    pub(super) fn is_heard_since(&self, then: Millis) -> bool {
        self.lock().breaker.is_heard_since(then)
    }

    /// What an answer takes on average; zero if it has not been asked yet, so that it will be.
    pub(super) fn latency(&self) -> Duration {
        self.lock().latency.smoothed().unwrap_or_default()
    }

    /// After which time an answer is late; `None` as long as too little is known.
    pub(super) fn late_after(&self) -> Option<Duration> {
        self.lock().latency.p95().map(|p95| p95.clamp(HEDGE.0, HEDGE.1))
    }

    /// The cookie for a question from this address of ours.
    pub(super) fn cookie(&self, own: IpAddr) -> Cookie {
        self.lock().jar.cookie(self.config.address.ip(), own, self.clock.now())
    }

    /// Takes over the upstream's half of a cookie.
    pub(super) fn learn(&self, sent: &Cookie, theirs: &[u8]) {
        self.lock().jar.learn(sent, theirs);
    }

    /// One try: sends the question, listens as long as the caller waits.
    pub(super) async fn ask(
        &self,
        question: &Question,
        over: Over,
        cookies: bool,
        sent: &Sent,
    ) -> Result<Answer, TryError> {
        let mut trial = Trial { server: self, started: Instant::now(), over: false };
        let outcome = if over == Over::Stream || self.lock().breaker.is_stream_only() {
            self.by_stream(question, true, sent).await
        } else {
            self.by_datagram(question, cookies, sent).await
        };
        trial.end(&outcome);
        outcome
    }

    async fn by_datagram(&self, question: &Question, cookies: bool, sent: &Sent) -> Result<Answer, TryError> {
        let mut edns = if cookies && self.takes_cookie(sent) { Edns::Cookie } else { Edns::Plain };
        let mut is_second = false;
        loop {
            sent.datagram()?;
            self.series.requests.inc();
            self.lock().breaker.ask(self.clock.now());
            let received = udp::exchange(self, question, edns).await?;
            self.change(|known, now| known.breaker.hear(now));
            if received.misses_cookie {
                self.lock().jar.forget(); // if TCP has none either, it has stopped using them
            }
            let answer = match (received.rcode(), received.outcome) {
                _ if received.misses_cookie || received.cut => return self.by_stream(question, true, sent).await,
                (Some(rcode::FORMERR), _) if edns != Edns::None && !received.has_opt => {
                    // it dislikes the cookie, or is from before EDNS (RFC 6891 §6.2.2)
                    edns = if edns == Edns::Cookie { Edns::Plain } else { Edns::None };
                    continue;
                }
                (Some(rcode::BADCOOKIE), _) if !is_second => {
                    is_second = true;
                    continue;
                }
                (Some(rcode::BADCOOKIE), _) => return self.by_stream(question, true, sent).await, // RFC 7873 §5.3
                (_, Ok(mut answer)) => {
                    if edns == Edns::None && question.dnssec_ok {
                        answer.keep = 0; // without DO in the question it lacks signatures that may be there
                    }
                    answer
                }
                (_, Err(bad)) => return Err(bad.into()),
            };
            if !answer.truncated {
                return Ok(answer);
            }
            self.series.truncated.inc();
            return self.by_stream(question, edns != Edns::None, sent).await.or_else(|error| {
                tracing::debug!(upstream = %self.config.address, %error, "TCP after TC failed");
                Ok(answer) // if nobody else has the whole, the client sees TC and may try TCP itself
            });
        }
    }

    /// Whether the next datagram has a cookie: a retry has none unless the upstream knows them, for there are filters
    /// that drop what they do not know.
    fn takes_cookie(&self, sent: &Sent) -> bool {
        sent.datagrams.load(Relaxed) == 0 || self.lock().jar.is_known()
    }

    async fn by_stream(&self, question: &Question, edns: bool, sent: &Sent) -> Result<Answer, TryError> {
        sent.stream()?;
        self.series.requests.inc();
        self.lock().breaker.ask_stream(self.clock.now());
        let outcome = self.stream.ask(question, edns).await.map_err(TryError::Stream)?;
        self.change(|known, now| known.breaker.hear_stream(now));
        Ok(outcome?)
    }

    /// Probes it when that is due, and closes sockets that have had their time, for as long as the task lives.
    pub(super) async fn mind(self: Arc<Self>) {
        loop {
            let now = self.clock.now();
            if self.lock().breaker.due() <= now {
                self.probe(now).await;
            }
            self.sockets.sweep();
            sleep(TICK).await;
        }
    }

    async fn probe(&self, now: Millis) {
        let tries_stream = {
            let mut known = self.lock();
            known.breaker.probe(now);
            known.breaker.tries_stream()
        };
        let question = probe(&self.config);
        let datagram = timeout(PROBE, udp::exchange(self, &question, Edns::Plain));
        let stream = async {
            match tries_stream {
                true => self.stream.ask(&question, true).await.is_ok(),
                false => false,
            }
        };
        let (datagram, stream) = tokio::join!(datagram, stream);
        let found = match (datagram, stream) {
            (Ok(Ok(_)), _) => Probe::Datagram,
            (_, true) => Probe::Stream,
            _ => Probe::Nothing,
        };
        self.series.probes[usize::from(found == Probe::Nothing)].inc();
        self.change(|known, then| known.breaker.probed(found, now, then));
    }

    /// Changes what is known, and tells when that changes the state.
    fn change(&self, change: impl FnOnce(&mut Known, Millis)) {
        let mut known = self.lock();
        let before = known.breaker.state();
        change(&mut known, self.clock.now());
        let after = known.breaker.state();
        if before == after {
            return;
        }
        self.series.state(after as usize); // they have the order of UPSTREAM_STATES; locked, so that the last one stays
        drop(known);
        let upstream = self.config.address;
        match after {
            State::Open => tracing::warn!(%upstream, "upstream is silent: asked last until it answers"),
            State::HalfOpen => tracing::info!(%upstream, "upstream answers again: on trial"),
            State::Closed => tracing::info!(%upstream, "upstream is in use again"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner) // plain values: a panic leaves them whole
    }
}

/// What an upstream answers or refuses at once if it is alive: the name servers of the root, which every resolver knows by
/// heart, or, if it is not asked for the root, the SOA of its first zone.
fn probe(config: &UpstreamConfig) -> Question {
    let zone = config.zones.first().filter(|_| !config.zones.iter().any(DnsName::is_root));
    let (name, qtype) = zone.map_or((&[0][..], rtype::NS), |zone| (zone.as_wire(), rtype::SOA));
    let section = [name, &qtype.to_be_bytes(), &IN.to_be_bytes()].concat();
    Question { section, dnssec_ok: false, checking_disabled: false }
}

/// Whether the code says that this server could not or would not, so that another may be asked.
fn is_refusal(code: u16) -> bool {
    matches!(code, rcode::FORMERR | rcode::SERVFAIL | rcode::NOTIMP | rcode::REFUSED | 16..)
}

/// Whether an answer ends the search. A failure does not, unless it is the verdict of validation (EDE 6 to 12) or the
/// upstream's own policy (15 to 17): nobody is asked until one lets it pass.
pub(super) fn is_final(answer: &Answer) -> bool {
    let is_verdict = |code: u16| matches!(code, 6..=12 | 15..=17);
    !answer.truncated && (!is_refusal(answer.rcode()) || answer.ede().any(is_verdict))
}

/// A try under way.
struct Trial<'a> {
    server: &'a Server,
    started: Instant,
    over: bool,
}

impl Trial<'_> {
    fn end(&mut self, outcome: &Result<Answer, TryError>) {
        self.over = true;
        let took = self.started.elapsed();
        let series = &self.server.series;
        match outcome {
            Ok(answer) => {
                series.duration.observe(took.as_secs_f64());
                if is_refusal(answer.rcode()) && !is_final(answer) {
                    self.server.lock().latency.penalise(PATIENCE);
                    series.failed(UpstreamError::Rcode);
                } else {
                    self.server.lock().latency.record(took);
                }
            }
            Err(TryError::Spent) => {}
            Err(error) => {
                tracing::debug!(upstream = %self.server.config.address, %error, "a try failed");
                self.server.lock().latency.penalise(PATIENCE);
                series.failed(match error.failure() {
                    Some(Failure::Garbage) => UpstreamError::Malformed,
                    Some(Failure::Silence) => UpstreamError::Timeout,
                    Some(Failure::Network | Failure::Broken) | None => UpstreamError::Network,
                });
            }
        }
    }
}

/// Dropped with its race while still waiting: if it had its time, it counts as silence.
impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let took = self.started.elapsed();
        self.server.lock().latency.record_at_least(took);
        if took >= PATIENCE {
            self.server.series.failed(UpstreamError::Timeout);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_is_for_what_the_upstream_is_there_for() {
        let section = |zones: &[&str]| {
            let zones = zones.iter().map(|zone| zone.parse().unwrap()).collect();
            probe(&UpstreamConfig { address: ([192, 0, 2, 53], 53).into(), trust_ad: false, zones }).section
        };
        assert_eq!(section(&["."]), b"\0\0\x02\0\x01");
        assert_eq!(section(&["corp.example", "."]), b"\0\0\x02\0\x01");
        assert_eq!(section(&["Corp.example", "lab.example"]), b"\x04corp\x07example\0\0\x06\0\x01");
    }
}
