//! [`Sources`]: how each source is doing, in log, metrics and status.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::handle::SourceStatus;
use super::state::State;
use crate::ingest::pull::{self, FeedState};
use crate::ingest::{DocumentKey, Problem, Severity, Update};
use crate::observe::metrics::Metrics;
use crate::verify::checkpoint::Fault;

/// Problems logged from one look at a source, and kept as text from one file; the rest is counted.
const SHOWN: usize = 50;

/// See the module's header.
pub(super) struct Sources {
    metrics: Arc<Metrics>,
    status: BTreeMap<String, SourceStatus>,
    /// Why sources cannot be read now.
    failures: BTreeMap<String, Problem>,
    /// Why sources cannot be watched now.
    unwatched: BTreeMap<String, Problem>,
    /// What is wrong with files as they are now, by source and file.
    problems: BTreeMap<(String, PathBuf), Findings>,
}

/// What is wrong with one file.
#[derive(Default)]
struct Findings {
    /// Something ordered there is not in force.
    is_error: bool,
    /// How many there are.
    count: usize,
    /// The first of them, as text.
    texts: Vec<String>,
}

impl Sources {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        let (status, failures, unwatched, problems) = Default::default();
        Self { metrics, status, failures, unwatched, problems }
    }

    /// Forgets the sources that are not among these, and shows new ones from the start.
    pub(super) fn configure<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        let names: BTreeSet<&str> = names.collect();
        self.status.keys().filter(|name| !names.contains(name.as_str())).for_each(|gone| {
            self.metrics.sources.forget(gone);
            self.metrics.sources.forget_feed(gone, pull::faults());
        });
        self.status.retain(|name, _| names.contains(name.as_str()));
        self.failures.retain(|name, _| names.contains(name.as_str()));
        self.unwatched.retain(|name, _| names.contains(name.as_str()));
        self.problems.retain(|(name, _), _| names.contains(name.as_str()));
        names.iter().for_each(|name| self.metrics.sources.declare(name));
    }

    /// Shows a feed from the start, before it has been looked at.
    pub(super) fn declare_feed(&self, source: &str) {
        self.metrics.sources.declare_feed(source, pull::faults());
    }

    /// Whether a source could not be read when it was looked at last.
    pub(super) fn is_failing(&self, source: &str) -> bool {
        self.failures.contains_key(source)
    }

    /// The failures of the sources that cannot be read now.
    pub(super) fn failures(&self) -> Vec<Problem> {
        self.failures.values().cloned().collect()
    }

    /// Files of which something ordered is not in force.
    pub(super) fn files_with_errors(&self) -> usize {
        self.problems.values().filter(|findings| findings.is_error).count()
    }

    /// Takes note that documents changed: what was wrong with their files before is past.
    pub(super) fn changed(&mut self, source: &str, keys: &[DocumentKey]) {
        self.problems.retain(|(of, file), _| {
            let is_file =
                |key: &DocumentKey| key.is_empty() || file.file_name().is_some_and(|name| name == key.as_str());
            of != source || !keys.iter().any(is_file)
        });
        self.refresh(source);
    }

    /// Logs, counts and remembers what one look at a source found wrong.
    pub(super) fn report(&mut self, update: Update) {
        let Update { source, at, failure, unwatched, problems, feed, faults, .. } = update;
        self.report_feed(&source, feed, &faults);
        self.report_problems(&source, &problems);
        self.report_unwatched(&source, unwatched);
        self.refresh(&source);
        let status = self.status.entry(source.clone()).or_insert_with(|| SourceStatus::new(&source));
        let metrics = &self.metrics.sources;
        match failure {
            Some(problem) => {
                let message = problem.to_string();
                if status.last_error.as_ref() != Some(&message) {
                    tracing::error!(source, "{message}");
                    if status.last_success.is_some() {
                        tracing::error!(source, "what the source gave before stays in force");
                    }
                }
                status.last_error = Some(message);
                metrics.failures.with_label_values(&[&source]).inc();
                self.failures.insert(source, problem);
            }
            None => {
                if status.last_error.take().is_some() {
                    tracing::info!(source, "the source can be read again");
                }
                status.last_success = Some(at);
                metrics.last_success.with_label_values(&[&source]).set(at.as_second() as f64);
                self.failures.remove(&source);
            }
        }
    }

    /// Reports a problem that comes from the configuration rather than from a look at the source.
    pub(super) fn add_problem(&mut self, source: &str, problem: Problem) {
        self.report_problems(source, &[problem]);
        self.refresh(source);
    }

    /// Shows the problems of a source as they are now.
    fn refresh(&mut self, source: &str) {
        let current = || self.problems.iter().filter(|((of, _), _)| of == source).map(|(_, findings)| findings);
        let unwatched = self.unwatched.get(source);
        let status = self.status.entry(source.to_owned()).or_insert_with(|| SourceStatus::new(source));
        let texts = current().flat_map(|findings| findings.texts.iter().cloned());
        status.problems = texts.chain(unwatched.map(ToString::to_string)).collect();
        let count = current().map(|findings| findings.count).sum::<usize>() + usize::from(unwatched.is_some());
        self.metrics.sources.problems.with_label_values(&[source]).set(count as i64);
    }

    fn report_unwatched(&mut self, source: &str, unwatched: Option<Problem>) {
        match unwatched {
            Some(problem) if self.unwatched.get(source) != Some(&problem) => {
                tracing::warn!(source, "{problem}");
                self.unwatched.insert(source.to_owned(), problem);
            }
            Some(_) => {}
            None if self.unwatched.remove(source).is_some() => tracing::info!(source, "the source is watched again"),
            None => {}
        }
    }

    fn report_feed(&self, source: &str, feed: Option<FeedState>, faults: &[Fault]) {
        let metrics = &self.metrics.sources;
        for fault in faults {
            metrics.feed_faults.with_label_values(&[source, fault.as_str()]).inc();
        }
        let Some(FeedState { highest, expires_at, missing }) = feed else { return };
        metrics.checkpoint_expiry.with_label_values(&[source]).set(expires_at.as_second() as f64);
        metrics.checkpoint_highest.with_label_values(&[source]).set(i64::try_from(highest).unwrap_or(i64::MAX));
        metrics.checkpoint_missing.with_label_values(&[source]).set(missing as i64);
    }

    fn report_problems(&mut self, source: &str, problems: &[Problem]) {
        let files: BTreeSet<_> = problems.iter().map(|problem| &problem.file).collect();
        self.problems.retain(|(of, file), _| of != source || !files.contains(file));
        for problem in problems.iter().take(SHOWN) {
            match problem.severity {
                Severity::Error => tracing::error!(source, "{problem}"),
                Severity::Warning => tracing::warn!(source, "{problem}"),
            }
        }
        if let Some(more) = problems.len().checked_sub(SHOWN + 1) {
            tracing::error!(source, "and {} problems more: run pagar check", more + 1);
        }
        for problem in problems {
            self.metrics.policy.refused_items.with_label_values(&[problem.code]).inc();
            let findings = self.problems.entry((source.to_owned(), problem.file.clone())).or_default();
            findings.is_error |= problem.severity == Severity::Error;
            findings.count += 1;
            if findings.texts.len() < SHOWN {
                findings.texts.push(problem.to_string());
            }
        }
    }

    /// The status of every source, in config order.
    pub(super) fn statuses(&self, state: &State) -> Vec<SourceStatus> {
        let mut statuses: Vec<_> = self.status.values().cloned().collect();
        for status in &mut statuses {
            status.entries = state.names_of(&status.name);
            self.metrics.sources.entries.with_label_values(&[&status.name]).set(status.entries as i64);
        }
        statuses.sort_by_key(|status| state.order_of(&status.name));
        statuses
    }
}
