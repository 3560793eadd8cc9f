//! The one writer of the policy: a thread that takes what the sources report, compiles, publishes, and minds the time.
//!
//! It runs at low priority beside the workers (DESIGN §4). Nothing it meets ends it: a problem is logged, counted and shown
//! in the status, and the last good policy stays.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use jiff::Timestamp;

use super::handle::{Handle, SourceStatus};
use super::serial::{Serial, SerialError};
use super::state::State;
use crate::ingest::{DocumentKey, Loader, Mode, Problem, Severity, Source, Update, Watch, watch};
use crate::model::{Authority, Notice, Sensitivity};
use crate::observe::metrics::Metrics;
use crate::policy::diff::Diff;
use crate::policy::store::store;
use crate::policy::{Entry, Pages, PolicyReader, PolicyWriter, Slots, Snapshot, compile};

/// Longest sleep: the wall clock may be set at any time, so the timers look at it this often.
const LOOK: Duration = Duration::from_secs(1);

/// What the control plane is configured with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who may order.
    pub authorities: Vec<Authority>,
    /// What listed names are answered with.
    pub pages: Pages,
    /// Where notices come from.
    pub sources: Vec<Source>,
    /// The state directory.
    pub state: PathBuf,
}

/// The running control plane. Dropped, it stops its thread and its sources.
#[derive(Debug)]
pub struct Control {
    commands: Sender<Command>,
    thread: Option<JoinHandle<()>>,
}

enum Command {
    Update(Box<Update>),
    Reload(Box<Config>),
    Stop,
}

/// The control plane cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] SerialError),
    /// The system gives no thread.
    #[error("cannot start the control plane: {0}")]
    Thread(#[from] io::Error),
    /// Not one source can be read: answering now would lift every restriction.
    #[error("no source can be read, so there is no policy to put in force:{}", list(.0))]
    NoPolicy(Vec<Problem>),
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}

/// Reads all sources, publishes the first policy, then watches for changes. Nothing is answered before this returns.
pub fn start(config: Config, metrics: Arc<Metrics>) -> Result<(Control, PolicyReader, Handle), StartError> {
    let serial = Serial::open(&config.state)?;
    let (commands, inbox) = channel();
    let (mut task, reader) = Task::new(config.pages.clone(), serial, metrics, commands.clone());
    let handle = Handle::new(reader.clone(), task.sources.clone());
    let sources = config.sources.len();
    task.reload(config);
    if sources > 0 && task.failures.len() == sources {
        return Err(StartError::NoPolicy(task.failures.into_values().collect()));
    }
    let thread = std::thread::Builder::new().name("pagar-control".into()).spawn(move || task.run(&inbox))?;
    Ok((Control { commands, thread: Some(thread) }, reader, handle))
}

impl Control {
    /// Takes over a reloaded configuration; what stays the same is not interrupted.
    pub fn reload(&self, config: Config) {
        let _ = self.commands.send(Command::Reload(Box::new(config))); // the thread ends only with us
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A policy compiled once from all sources, published nowhere: for `pagar check` and `pagar why`.
pub fn compile_once(config: &Config, at: Timestamp) -> (Snapshot, Vec<Update>) {
    let mut state = State::default();
    let _ = state.configure(config.authorities.clone(), order(&config.sources)); // nothing is known yet
    let mut updates = Vec::new();
    for source in &config.sources {
        let mut update = Loader::new(source.clone()).scan(at, Mode::Now);
        for (key, document) in std::mem::take(&mut update.put) {
            let file = source.file(&key);
            let refused = state.put((source.name.clone(), key), document);
            update.problems.extend(refused.map(|problem| Problem { file, ..problem }));
        }
        updates.push(update);
    }
    let index = state.compile().unwrap_or_default();
    let entries = state.entries(&config.pages, |_| Slots::default());
    (compile::resolve(index, entries, config.pages.ttl, at, 1), updates)
}

fn order(sources: &[Source]) -> BTreeMap<String, u32> {
    sources.iter().map(|source| (source.name.clone(), source.order)).collect()
}

struct Task {
    state: State,
    pages: Pages,
    serial: Serial,
    writer: PolicyWriter,
    metrics: Arc<Metrics>,
    commands: Sender<Command>,
    /// In config order, with the thread that watches each.
    watches: Vec<(Source, Option<Watch>)>,
    /// The sources of the configuration in force.
    configured: Vec<Source>,
    status: BTreeMap<String, SourceStatus>,
    /// Why sources cannot be read now, by source.
    failures: BTreeMap<String, Problem>,
    /// What is wrong with files as they are now, by source and file.
    problems: BTreeMap<(String, PathBuf), Vec<String>>,
    sources: Arc<ArcSwap<Vec<SourceStatus>>>,
    entries: Arc<[Entry]>,
    /// The instant the policy in force was resolved for.
    resolved_at: Timestamp,
}

impl Task {
    fn new(pages: Pages, serial: Serial, metrics: Arc<Metrics>, commands: Sender<Command>) -> (Self, PolicyReader) {
        let entries: Arc<[Entry]> = Arc::default();
        let now = Timestamp::now();
        let (writer, reader) = store(compile::resolve(Arc::default(), entries.clone(), pages.ttl, now, 0));
        let task = Self {
            state: State::default(),
            pages,
            serial,
            writer,
            metrics,
            commands,
            watches: Vec::new(),
            configured: Vec::new(),
            status: BTreeMap::new(),
            failures: BTreeMap::new(),
            problems: BTreeMap::new(),
            sources: Arc::default(),
            entries,
            resolved_at: now,
        };
        (task, reader)
    }

    fn run(mut self, inbox: &Receiver<Command>) {
        // on Linux a priority is a thread's: compiling must not take time from the workers
        if let Err(error) = rustix::process::setpriority_process(None, 19) {
            tracing::warn!(%error, "cannot lower the priority of the control plane");
        }
        loop {
            let first = match inbox.recv_timeout(self.sleep()) {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut stop = false;
            let work = AssertUnwindSafe(|| stop = self.work(first.into_iter().chain(inbox.try_iter())));
            if catch_unwind(work).is_err() {
                tracing::error!("the control plane panicked over a change; the last good policy stays in force");
            }
            if stop {
                return;
            }
        }
    }

    /// Until the next notice takes effect or expires, at most [`LOOK`].
    fn sleep(&self) -> Duration {
        let now = Timestamp::now();
        let next = compile::next_change(&self.entries, now).map(|at| now.duration_until(at));
        next.and_then(|wait| Duration::try_from(wait).ok()).map_or(LOOK, |wait| wait.min(LOOK))
    }

    /// Carries out all commands at hand, then publishes once. Returns whether to stop.
    fn work(&mut self, commands: impl Iterator<Item = Command>) -> bool {
        let started = Instant::now();
        let mut changes = Changes::default();
        for command in commands {
            match command {
                Command::Update(update) => changes.join(self.update(*update)),
                Command::Reload(config) => {
                    self.reload(*config);
                    tracing::info!("configuration reloaded");
                }
                Command::Stop => return true,
            }
        }
        if changes.any {
            self.recompile(started, &changes);
            self.show();
        } else if self.time_changed() {
            self.publish(started);
            self.show();
        }
        self.writer.sweep();
        self.count_notices();
        false
    }

    fn time_changed(&self) -> bool {
        let now = Timestamp::now();
        now < self.resolved_at || compile::next_change(&self.entries, self.resolved_at).is_some_and(|at| at <= now)
    }

    /// Takes over a configuration: sources that stay are not read again, new and changed ones are, the rest is lifted.
    fn reload(&mut self, config: Config) {
        let started = Instant::now();
        self.pages = config.pages;
        let mut old = std::mem::take(&mut self.watches);
        old.retain(|(source, _)| config.sources.iter().any(|new| new.name == source.name && new.kind == source.kind));
        let known: BTreeSet<_> = config.sources.iter().map(|source| source.name.clone()).collect();
        for gone in self.status.keys().filter(|name| !known.contains(*name)) {
            self.metrics.sources.forget(gone);
        }
        self.status.retain(|name, _| known.contains(name));
        self.failures.retain(|name, _| known.contains(name));
        self.problems.retain(|(name, _), _| known.contains(name));
        for problem in self.state.configure(config.authorities, order(&config.sources)) {
            tracing::error!("{problem}");
        }
        self.configured = config.sources.clone();
        for source in config.sources {
            let kept = old.iter().position(|(known, _)| known.name == source.name).map(|at| old.swap_remove(at).1);
            let watch = kept.unwrap_or_else(|| self.open(&source));
            self.watches.push((source, watch));
        }
        self.recompile(started, &Changes::default());
        self.show();
        self.count_notices();
    }

    /// Reads a source for the first time and watches it from then on.
    fn open(&mut self, source: &Source) -> Option<Watch> {
        self.metrics.sources.declare(&source.name);
        let mut loader = Loader::new(source.clone());
        self.update(loader.scan(Timestamp::now(), Mode::Now));
        let commands = self.commands.clone();
        let deliver = move |update| {
            let _ = commands.send(Command::Update(Box::new(update))); // the task is gone: so are we, soon
        };
        let watch = watch(loader, deliver);
        watch.inspect_err(|error| tracing::error!(source = source.name, %error, "cannot watch the source")).ok()
    }

    fn update(&mut self, mut update: Update) -> Changes {
        let mut changes = Changes { any: !update.put.is_empty() || !update.removed.is_empty(), ..Changes::default() };
        self.problems.retain(|(source, file), _| {
            let is_new =
                |key: &DocumentKey| key.is_empty() || file.file_name().is_some_and(|name| name == key.as_str());
            *source != update.source || !update.put.keys().chain(&update.removed).any(is_new)
        });
        for (key, document) in std::mem::take(&mut update.put) {
            let file =
                self.configured.iter().find(|source| source.name == update.source).map(|source| source.file(&key));
            let refused = self.state.put((update.source.clone(), key), document);
            let refused = refused.map(|problem| Problem { file: file.unwrap_or_default(), ..problem });
            if refused.is_none() {
                changes.put.push(update.at);
            }
            update.problems.extend(refused);
        }
        for key in std::mem::take(&mut update.removed) {
            self.state.remove(&(update.source.clone(), key));
            changes.removed.push(update.at);
        }
        self.report(update);
        changes
    }

    /// Logs, counts and remembers what is wrong with a source.
    fn report(&mut self, update: Update) {
        let Update { source, at, failure, problems, .. } = update;
        let files: BTreeSet<_> = problems.iter().map(|problem| problem.file.clone()).collect();
        self.problems.retain(|(of, file), _| *of != source || !files.contains(file));
        for problem in &problems {
            self.problems.entry((source.clone(), problem.file.clone())).or_default().push(problem.to_string());
            match problem.severity {
                Severity::Error => tracing::error!(source, "{problem}"),
                Severity::Warning => tracing::warn!(source, "{problem}"),
            }
            self.metrics.policy.refused_items.with_label_values(&[problem.code]).inc();
        }
        let status = self.status.entry(source.clone()).or_insert_with(|| SourceStatus::new(&source));
        let current = self.problems.iter().filter(|((of, _), _)| *of == source);
        status.problems = current.flat_map(|(_, problems)| problems.clone()).collect();
        match failure {
            Some(problem) => {
                let message = problem.to_string();
                if status.last_error.as_ref() != Some(&message) {
                    tracing::error!(source, "{problem}; what it gave before stays in force");
                }
                status.last_error = Some(message);
                self.metrics.sources.failures.with_label_values(&[&source]).inc();
                self.failures.insert(source.clone(), problem);
            }
            None => {
                self.failures.remove(&source);
                if status.last_error.take().is_some() {
                    tracing::info!(source, "the source can be read again");
                }
                status.last_success = Some(at);
                self.metrics.sources.last_success.with_label_values(&[&source]).set(at.as_second() as f64);
            }
        }
        self.metrics.sources.problems.with_label_values(&[&source]).set(status.problems.len() as i64);
        self.sources.store(Arc::new(self.statuses()));
    }

    fn recompile(&mut self, started: Instant, changes: &Changes) {
        let index = match self.state.compile() {
            Ok(index) => index,
            Err(error) => return tracing::error!(%error, "the policy could not be compiled; the last good one stays"),
        };
        let labels = self.metrics.labels.clone();
        self.entries = self.state.entries(&self.pages, |notice| slots(&labels, notice));
        self.publish_index(index, started);
        let now = Timestamp::now();
        let seconds = |at: &Timestamp| now.duration_since(*at).as_secs_f64().max(0.0);
        changes.put.iter().for_each(|at| self.metrics.policy.enforce_seconds.observe(seconds(at)));
        changes.removed.iter().for_each(|at| self.metrics.policy.lift_seconds.observe(seconds(at)));
    }

    fn publish(&mut self, started: Instant) {
        let index = self.writer.current().index().clone();
        self.publish_index(index, started);
    }

    /// Compares with the policy in force and publishes what is new.
    fn publish_index(&mut self, index: Arc<crate::policy::Index>, started: Instant) {
        let now = Timestamp::now();
        let current = self.writer.current();
        let mut next = compile::resolve(index, self.entries.clone(), self.pages.ttl, now, current.serial);
        self.resolved_at = now;
        let diff = Diff::between(&current, &next);
        let same = next.digest == current.digest && next.ttl == current.ttl && same_answers(&current, &next);
        if !same || current.serial == 0 {
            let (serial, written) = self.serial.take();
            next.serial = serial;
            if let Err(error) = written {
                tracing::error!(%error, "the state directory cannot be written; the policy is published all the same");
                self.metrics.policy.state_write_failures.inc();
            }
            tracing::info!(serial, names = next.names(), added = diff.added, lifted = diff.lifted, "policy published");
        }
        drop(current);
        self.writer.publish(next);
        self.metrics.policy.swap_duration.observe(started.elapsed().as_secs_f64());
    }

    /// Puts the figures of the policy in force where the NOC sees them.
    fn show(&mut self) {
        let policy = self.writer.current();
        let figures = &self.metrics.policy;
        figures.names.set(policy.names() as i64);
        figures.serial.set(i64::from(policy.serial));
        figures.built_timestamp.set(policy.built_at.as_millisecond() as f64 / 1000.0);
        figures.bytes.set(policy.bytes() as i64);
        self.sources.store(Arc::new(self.statuses()));
    }

    /// Counts the notices anew: deadlines pass without anything else changing.
    fn count_notices(&self) {
        let figures = &self.metrics.policy;
        let census = self.state.census(Timestamp::now());
        figures.past_deadline.set(census.past_deadline);
        let states = [
            ("in force", census.in_force),
            ("scheduled", census.scheduled),
            ("expired", census.expired),
            ("refused", census.refused),
        ];
        for (state, count) in states {
            figures.notices.with_label_values(&[state]).set(count);
        }
    }

    fn statuses(&self) -> Vec<SourceStatus> {
        let mut statuses: Vec<_> = self.status.values().cloned().collect();
        for status in &mut statuses {
            status.entries = self.state.names_of(&status.name);
            self.metrics.sources.entries.with_label_values(&[&status.name]).set(status.entries as i64);
        }
        let order = |status: &SourceStatus| self.watches.iter().position(|(source, _)| source.name == status.name);
        statuses.sort_by_key(order);
        statuses
    }
}

/// When the documents that changed were read, for the figures.
#[derive(Default)]
struct Changes {
    any: bool,
    put: Vec<Timestamp>,
    removed: Vec<Timestamp>,
}

impl Changes {
    fn join(&mut self, mut other: Self) {
        self.any |= other.any;
        self.put.append(&mut other.put);
        self.removed.append(&mut other.removed);
    }
}

/// Whether two policies of the same digest answer the same: pages and kinds come from the configuration.
fn same_answers(old: &Snapshot, new: &Snapshot) -> bool {
    let answers = |snapshot: &Snapshot| -> Vec<_> {
        snapshot.entries().iter().map(|entry| (entry.notice.digest, entry.kind, entry.rank, entry.page)).collect()
    };
    answers(old) == answers(new)
}

fn slots(labels: &crate::observe::labels::Labels, notice: &Notice) -> Slots {
    let secret = notice.sensitivity == Sensitivity::Secret;
    Slots {
        blocked: labels.blocked(notice.authority.as_str(), notice.category.as_str(), notice.action.as_str()),
        hit: (!secret).then(|| labels.hit(notice.id.as_str())),
    }
}
