//! [`Asker`]: a thread that asks the node's own sockets about notices, so that the control plane need not wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use super::docket::{Found, Query};
use super::selftest::{Expected, Question, SelfTest, sample_indices};
use crate::model::{AuthorityId, AuthorityKind, Item};
use crate::observe::metrics::SelftestMetrics;
use crate::policy::Asking;

/// Names asked for of a notice that has more; those of shorter ones are all asked for.
const SAMPLE: usize = 1_000;
/// Longest time for one notice.
const PATIENCE: Duration = Duration::from_secs(10);

/// What to ask about, under which policy.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) queries: Vec<Query>,
    pub(super) serial: u32,
    pub(super) digest: String,
    /// The authorities, for what their answers look like.
    pub(super) kinds: BTreeMap<AuthorityId, AuthorityKind>,
}

/// What was found.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) found: Vec<Found>,
    pub(super) serial: u32,
    pub(super) digest: String,
}

/// See the module's header. Dropped, it ends once it has answered what it was given.
#[derive(Debug)]
pub(super) struct Asker {
    jobs: Sender<Job>,
}

impl Asker {
    /// Starts the thread; answers go to `deliver`.
    pub(super) fn start(
        asking: Arc<Asking>,
        metrics: SelftestMetrics,
        mut deliver: impl FnMut(Answer) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (jobs, inbox) = channel::<Job>();
        std::thread::Builder::new().name("pagar-asker".into()).spawn(move || {
            // at the priority of the workers: a receipt must not wait until they have nothing to do, and a thousand questions
            // are answered in milliseconds
            let mut test = SelfTest::new(asking, metrics);
            for Job { queries, serial, digest, kinds } in inbox {
                let found = queries.into_iter().map(|query| ask(&mut test, query, &kinds)).collect();
                deliver(Answer { found, serial, digest });
            }
        })?;
        Ok(Self { jobs })
    }

    /// Has it ask.
    pub(super) fn ask(&self, job: Job) {
        let _ = self.jobs.send(job); // the thread ends only with us
    }
}

fn ask(test: &mut SelfTest, query: Query, kinds: &BTreeMap<AuthorityId, AuthorityKind>) -> Found {
    let kind = kinds.get(&query.key.0).copied().unwrap_or_default();
    let blocked = questions(&query.blocked, Expected::Blocked(kind));
    let lifted = questions(&query.lifted, Expected::Lifted);
    let questions: Vec<_> = blocked.chain(lifted).collect();
    let outcome = test.ask(&questions, Instant::now() + PATIENCE);
    let failed = outcome.failed.values().next().map(|failure| failure.as_str());
    Found {
        key: query.key,
        number: query.number,
        asked: questions.len() as u64,
        had_blocked: !query.blocked.is_empty(),
        lifted: query.lifted,
        failed,
        failures: outcome.failures,
    }
}

fn questions(items: &[Item], expected: Expected) -> impl Iterator<Item = Question> {
    let sampled = sample_indices(items.len(), SAMPLE).into_iter().filter_map(|index| items.get(index));
    sampled.filter_map(move |item| {
        let (name, scope) = item.target.as_ref().ok()?;
        Some(Question { name: name.clone(), scope: *scope, expected })
    })
}
