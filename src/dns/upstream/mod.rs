//! [`Pool`]: asks the configured upstreams until one answers.
//!
//! Tries go out one after another, [`PATIENCE`] apart or as soon as one fails; earlier ones are still listened to, so a slow
//! answer is not lost to a retry. An upstream gets at most [`TRIES`] tries a question (RFC 9520 §3.1), a question at most
//! [`DEADLINE`]. Upstreams that have been silent for a while are asked last, never left out: if all are, all are used. Now and
//! then a question goes to one of them as well, so that it is found out when it answers again and no client waits for that.

mod exchange;
mod udp;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};

use prometheus::{Histogram, IntCounter, IntGauge};

use crate::observe::metrics::{Metrics, UpstreamMetrics};

use super::UpstreamConfig;
use super::answer::{Answer, Bad};
use super::clock::{Clock, Millis};
use super::resolve::{Failure, Question, Resolve};

/// How long a question may take in all.
const DEADLINE: Duration = Duration::from_millis(2_500);
/// How long a try is waited for before the next goes out beside it.
const PATIENCE: Duration = Duration::from_millis(600);
/// Tries a question and upstream.
const TRIES: usize = 3;
/// How long an upstream must have answered nothing at all, though asked, to be asked last. One dead zone is not enough: while
/// others ask for other names, it is heard all the time.
const SILENCE: Millis = 3_000;
/// How often an upstream that is asked last gets one question beside the one that is asked first.
const PROBE: Millis = 5_000;

/// The upstreams in force.
pub struct Pool {
    upstreams: ArcSwap<Vec<Arc<Upstream>>>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

impl Pool {
    /// A pool of these upstreams, in order of preference.
    pub fn new(configs: &[UpstreamConfig], metrics: Arc<Metrics>, clock: Clock) -> Self {
        let pool = Self { upstreams: ArcSwap::default(), metrics, clock };
        pool.reconfigure(configs);
        pool
    }

    /// Takes over reloaded upstreams; those that stay keep their health and connections.
    pub fn reconfigure(&self, configs: &[UpstreamConfig]) {
        let old = self.upstreams.load_full();
        let upstream = |config: &UpstreamConfig| {
            let same = old.iter().find(|upstream| upstream.config == *config).cloned();
            same.unwrap_or_else(|| Arc::new(Upstream::new(config.clone(), &self.metrics.upstreams)))
        };
        self.upstreams.store(Arc::new(configs.iter().map(upstream).collect()));
        for gone in old.iter().filter(|old| !configs.iter().any(|config| config.address == old.config.address)) {
            self.metrics.upstreams.forget(&gone.config.address.to_string());
        }
    }

    /// The tries of one question in order: those that are heard first, round by round.
    fn plan(&self) -> Vec<Arc<Upstream>> {
        let upstreams = self.upstreams.load();
        let (mut first, last): (Vec<_>, Vec<_>) = upstreams.iter().cloned().partition(|upstream| !upstream.is_silent());
        first.extend(last);
        let round = first.len();
        first.iter().cycle().take(round * TRIES).cloned().collect()
    }

    /// Asks silent upstreams that are due the same question, aside: nobody waits for them, and a slow answer counts.
    fn probe(&self, question: &Question) {
        let now = self.clock.now();
        for upstream in self.upstreams.load().iter().filter(|upstream| upstream.is_due(now)) {
            let (upstream, question, clock) = (upstream.clone(), question.clone(), self.clock.clone());
            tokio::spawn(async move {
                let _ = tokio::time::timeout(DEADLINE, upstream.ask(&question, &clock)).await; // it counts by itself
            });
        }
    }

    async fn race(&self, question: &Question) -> Result<Answer, Failure> {
        let mut plan = self.plan().into_iter();
        let ask = |upstream: Arc<Upstream>| async move { upstream.ask(question, &self.clock).await };
        self.probe(question);
        let mut tries = FuturesUnordered::new();
        let mut failure = Failure::Silence;
        let deadline = tokio::time::sleep(DEADLINE);
        tokio::pin!(deadline);
        loop {
            let next = plan.next();
            let last = next.is_none();
            if last && tries.is_empty() {
                return Err(failure);
            }
            tries.extend(next.map(ask));
            tokio::select! {
                () = &mut deadline => return Err(failure),
                Some(outcome) = tries.next() => match outcome {
                    Ok(answer) => return Ok(answer),
                    Err(error) => failure = error.into(),
                },
                () = tokio::time::sleep(PATIENCE), if !last => {}
            }
        }
    }
}

impl Resolve for Pool {
    fn resolve<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Answer, Failure>> {
        self.race(question).boxed()
    }

    fn is_healthy(&self, _question: &Question) -> bool {
        self.upstreams.load().iter().any(|upstream| !upstream.is_silent())
    }
}

/// Why one try gave no answer.
#[derive(Debug, thiserror::Error)]
enum TryError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Bad(#[from] Bad),
}

impl From<TryError> for Failure {
    fn from(error: TryError) -> Self {
        match error {
            TryError::Io(_) => Self::Network,
            TryError::Bad(_) => Self::Garbage,
        }
    }
}

/// One upstream with what is known of it.
struct Upstream {
    config: UpstreamConfig,
    stream: exchange::Stream,
    requests: IntCounter,
    failures: IntCounter,
    duration: Histogram,
    healthy: IntGauge,
    /// When it was first asked in vain since it was last heard; 0 if it was not.
    unheard_since: AtomicU64,
    /// When it is next asked beside the others; 0 while it is not silent.
    next_probe: AtomicU64,
}

impl Upstream {
    fn new(config: UpstreamConfig, metrics: &UpstreamMetrics) -> Self {
        let label = config.address.to_string();
        metrics.declare(&label);
        let healthy = metrics.healthy.with_label_values(&[&label]);
        healthy.set(1);
        Self {
            stream: exchange::Stream::new(config.address),
            config,
            requests: metrics.requests.with_label_values(&[&label]),
            failures: metrics.failures.with_label_values(&[&label]),
            duration: metrics.duration.with_label_values(&[&label]),
            healthy,
            unheard_since: AtomicU64::new(0),
            next_probe: AtomicU64::new(0),
        }
    }

    /// Whether it is asked last.
    fn is_silent(&self) -> bool {
        self.next_probe.load(Relaxed) != 0
    }

    /// Whether it is silent and this question is to find out if it still is; true for one question in [`PROBE`].
    fn is_due(&self, now: Millis) -> bool {
        let due = self.next_probe.load(Relaxed);
        let is_due = due != 0 && due <= now;
        is_due && self.next_probe.compare_exchange(due, now + PROBE, Relaxed, Relaxed).is_ok()
    }

    async fn ask(&self, question: &Question, clock: &Clock) -> Result<Answer, TryError> {
        let mut waiting = Waiting { upstream: self, since: clock.now(), clock, over: false };
        let started = Instant::now();
        self.requests.inc();
        let outcome = self.exchange(question).await;
        waiting.over = true;
        if let Err(error) = &outcome {
            tracing::debug!(upstream = %self.config.address, %error, "a try failed");
            self.failures.inc();
        }
        match &outcome {
            Ok(_) | Err(TryError::Bad(_)) => self.heard(),
            Err(TryError::Io(_)) => self.unheard(clock.now()),
        }
        if outcome.is_ok() {
            self.duration.observe(started.elapsed().as_secs_f64());
        }
        outcome
    }

    async fn exchange(&self, question: &Question) -> Result<Answer, TryError> {
        let answer = udp::exchange(&self.config, question).await?;
        if !answer.truncated {
            return Ok(answer);
        }
        self.heard(); // whatever becomes of TCP
        match self.stream.ask(question).await {
            Ok(message) => Ok(Answer::parse(&message, &question.section, self.config.trust_ad)?),
            Err(error) => {
                tracing::debug!(upstream = %self.config.address, %error, "TCP after TC failed");
                Ok(answer) // the client sees TC and may try TCP itself
            }
        }
    }

    fn heard(&self) {
        self.unheard_since.store(0, Relaxed);
        if self.next_probe.swap(0, Relaxed) != 0 {
            tracing::info!(upstream = %self.config.address, "upstream answers again");
            self.healthy.set(1);
        }
    }

    /// A try had its time or could not be sent.
    fn unheard(&self, now: Millis) {
        let now = now.max(1); // 0 says never
        let since = match self.unheard_since.compare_exchange(0, now, Relaxed, Relaxed) {
            Ok(_) => now,
            Err(since) => since,
        };
        let is_news = || self.next_probe.compare_exchange(0, now + PROBE, Relaxed, Relaxed).is_ok();
        if now - since.min(now) >= SILENCE && is_news() {
            tracing::warn!(upstream = %self.config.address, "upstream is silent: asked last until it answers");
            self.healthy.set(0);
        }
    }
}

/// A try in flight. Dropped with its race while still waiting, it counts as silence if it had its time.
struct Waiting<'a> {
    upstream: &'a Upstream,
    since: Millis,
    clock: &'a Clock,
    over: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let now = self.clock.now();
        if !self.over && now.saturating_sub(self.since) >= PATIENCE.as_millis() as Millis {
            self.upstream.failures.inc();
            self.upstream.unheard(now);
        }
    }
}
