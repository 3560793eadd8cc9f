//! [`Pool`]: asks the configured upstreams until one answers.
//!
//! Tries go out one after another, [`PATIENCE`] apart or as soon as one fails; earlier ones are still listened to, so a slow
//! answer is not lost to a retry. An upstream gets at most [`TRIES`] tries a question (RFC 9520 §3.1), a question at most
//! [`DEADLINE`]. Upstreams that have been silent for a while are asked last, never left out: if all are, all are used.

mod exchange;
mod udp;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};

use hickory_resolver::net::NetError;
use prometheus::{Histogram, IntCounter, IntGauge};

use crate::observe::metrics::{Metrics, UpstreamMetrics};

use super::UpstreamConfig;
use super::answer::{Answer, Bad};
use super::clock::{Clock, Millis};
use super::core::{Failure, Question, Resolve};

/// How long a question may take in all.
const DEADLINE: Duration = Duration::from_millis(2_500);
/// How long a try is waited for before the next goes out beside it.
const PATIENCE: Duration = Duration::from_millis(600);
/// Tries a question and upstream.
const TRIES: usize = 3;
/// Silent tries in a row after which an upstream is asked last.
const SILENT_TRIES: u32 = 3;
/// For how long it is asked last before it is tried first again.
const DEMOTED: Millis = 5_000;

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

    /// The tries of one question in order: those not silent first, round by round.
    fn plan(&self, now: Millis) -> Vec<Arc<Upstream>> {
        let upstreams = self.upstreams.load();
        let (mut first, last): (Vec<_>, Vec<_>) = upstreams.iter().cloned().partition(|u| !u.is_demoted(now));
        first.extend(last);
        let round = first.len();
        first.iter().cycle().take(round * TRIES).cloned().collect()
    }

    async fn race(&self, question: &Question) -> Result<Answer, Failure> {
        let mut plan = self.plan(self.clock.now()).into_iter();
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
            tries.extend(next.map(|upstream| async move { upstream.ask(question, &self.clock).await }));
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
}

/// Why one try gave no answer.
#[derive(Debug, thiserror::Error)]
enum TryError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Bad(#[from] Bad),
    #[error(transparent)]
    Stream(#[from] NetError),
}

impl From<TryError> for Failure {
    fn from(error: TryError) -> Self {
        match error {
            TryError::Io(_) | TryError::Stream(_) => Self::Network,
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
    /// Silent tries since the last answer.
    silent: AtomicU32,
    /// Asked last until then.
    demoted_until: AtomicU64,
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
            silent: AtomicU32::new(0),
            demoted_until: AtomicU64::new(0),
        }
    }

    fn is_demoted(&self, now: Millis) -> bool {
        now < self.demoted_until.load(Relaxed)
    }

    async fn ask(&self, question: &Question, clock: &Clock) -> Result<Answer, TryError> {
        let mut waiting = Waiting { upstream: self, since: clock.now(), clock, over: false };
        let started = Instant::now();
        self.requests.inc();
        let outcome = self.exchange(question).await;
        waiting.over = true;
        match &outcome {
            Ok(_) => {
                self.duration.observe(started.elapsed().as_secs_f64());
                self.heard();
            }
            Err(error) => {
                tracing::debug!(upstream = %self.config.address, %error, "a try failed");
                self.failures.inc();
                if !matches!(error, TryError::Bad(_)) {
                    self.unheard(clock.now());
                }
            }
        }
        outcome
    }

    async fn exchange(&self, question: &Question) -> Result<Answer, TryError> {
        let answer = udp::exchange(&self.config, question).await?;
        if !answer.truncated {
            return Ok(answer);
        }
        match self.stream.ask(question).await {
            Ok(message) => Ok(Answer::parse(&message, &question.section, self.config.trust_ad)?),
            Err(error) => {
                tracing::debug!(upstream = %self.config.address, %error, "TCP after TC failed");
                Ok(answer) // the client sees TC and may try TCP itself
            }
        }
    }

    fn heard(&self) {
        if self.silent.swap(0, Relaxed) >= SILENT_TRIES {
            tracing::info!(upstream = %self.config.address, "upstream answers again");
        }
        self.demoted_until.store(0, Relaxed);
        self.healthy.set(1);
    }

    fn unheard(&self, now: Millis) {
        let silent = self.silent.fetch_add(1, Relaxed) + 1;
        if silent < SILENT_TRIES {
            return;
        }
        self.demoted_until.store(now + DEMOTED, Relaxed);
        self.healthy.set(0);
        if silent == SILENT_TRIES {
            tracing::warn!(upstream = %self.config.address, "upstream is silent: asked last until it answers");
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
