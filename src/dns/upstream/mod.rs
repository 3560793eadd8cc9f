//! [`Pool`]: asks the configured upstreams until one answers.
//!
//! Tries go out one after another, [`PATIENCE`] apart or as soon as one fails; earlier ones are still listened to, so a slow
//! answer is not lost to a retry. An upstream gets at most [`TRIES`] tries a question (RFC 9520 §3.1), a question at most
//! [`DEADLINE`]. Upstreams that have been silent for a while are asked last, never left out: if all are, all are used.

mod exchange;
mod udp;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::observe::metrics::{Metrics, UpstreamSeries};

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
            same.unwrap_or_else(|| Arc::new(Upstream::new(config.clone(), &self.metrics)))
        };
        self.upstreams.store(Arc::new(configs.iter().map(upstream).collect()));
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
        let now = self.clock.now();
        let mut plan = self.plan(now).into_iter();
        let mut tries = FuturesUnordered::new();
        let mut failure = Failure::Silence;
        let deadline = tokio::time::sleep(DEADLINE);
        tokio::pin!(deadline);
        loop {
            let next = plan.next();
            let more = next.is_some();
            tries.extend(next.map(|upstream| async move { (upstream.ask(question).await, upstream) }));
            let patience = tokio::time::sleep(PATIENCE);
            tokio::select! {
                () = &mut deadline => {
                    return Err(failure);
                }
                Some((outcome, upstream)) = tries.next() => match outcome {
                    Ok(answer) => {
                        upstream.heard(now);
                        return Ok(answer);
                    }
                    Err(error) => {
                        failure = upstream.failed(&error, self.clock.now());
                        if !more && tries.is_empty() {
                            return Err(failure);
                        }
                    }
                },
                () = patience, if more => {}
            }
        }
    }
}

impl Resolve for Pool {
    fn resolve<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Answer, Failure>> {
        self.race(question).boxed()
    }
}

/// One upstream with what is known of it.
struct Upstream {
    config: UpstreamConfig,
    series: UpstreamSeries,
    stream: exchange::Stream,
    /// Silent tries since the last answer.
    silent: AtomicU32,
    /// Asked last until then.
    demoted_until: AtomicU64,
}

impl Upstream {
    fn new(config: UpstreamConfig, metrics: &Metrics) -> Self {
        let series = metrics.upstreams.series(&config.address.to_string());
        series.healthy.set(1);
        let stream = exchange::Stream::new(config.address);
        Self { config, series, stream, silent: AtomicU32::new(0), demoted_until: AtomicU64::new(0) }
    }

    fn is_demoted(&self, now: Millis) -> bool {
        now < self.demoted_until.load(Relaxed)
    }
}
