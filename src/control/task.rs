//! The one writer of the policy: a thread that takes what the sources report, compiles, publishes, and minds the time.
//!
//! It runs at low priority beside the workers (DESIGN §4). Nothing it meets ends it: a problem is logged, counted and shown
//! in the status, and the last good policy stays.

use std::collections::BTreeMap;
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
use super::publish::Publisher;
use super::serial::{Serial, SerialError};
use super::sources::Sources;
use super::state::State;
use crate::ingest::{CODES, Loader, Mode, Problem, Source, Update, Watch, watch};
use crate::model::{Authority, Notice, Sensitivity};
use crate::observe::labels::Labels;
use crate::observe::metrics::Metrics;
use crate::policy::{Pages, PolicyReader, Slots};

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

impl Config {
    /// The place of each source, by name.
    pub(super) fn order(&self) -> BTreeMap<String, u32> {
        self.sources.iter().map(|source| (source.name.clone(), source.order)).collect()
    }
}

/// The running control plane. Dropped, it stops its thread and its sources.
#[derive(Debug)]
pub struct Control {
    commands: Sender<Command>,
    thread: Option<JoinHandle<()>>,
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
    #[error("no source can be read, so there is no policy to put in force:{}", lines(.0))]
    NoPolicy(Vec<Problem>),
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}

#[derive(Debug)]
enum Command {
    /// What the watch of this number saw.
    Update(u64, Box<Update>),
    Reload(Box<Config>),
    Stop,
}

/// Reads all sources, publishes the first policy, then watches for changes. Nothing is answered before this returns.
pub fn start(config: Config, metrics: Arc<Metrics>) -> Result<(Control, PolicyReader, Handle), StartError> {
    let serial = Serial::open(&config.state)?;
    let (commands, inbox) = channel();
    let (publisher, reader) = Publisher::new(serial, metrics.clone());
    let mut task = Task {
        state: State::default(),
        pages: config.pages.clone(),
        publisher,
        sources: Sources::new(metrics.clone()),
        status: Arc::default(),
        labels: metrics.labels.clone(),
        metrics,
        commands: commands.clone(),
        watched: Vec::new(),
        watches: 0,
    };
    let handle = Handle::new(reader.clone(), task.status.clone());
    task.metrics.policy.declare_refusals(CODES);
    let sources = config.sources.len();
    task.reload(config);
    let failures = task.sources.failures();
    if sources > 0 && failures.len() == sources {
        return Err(StartError::NoPolicy(failures));
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

struct Task {
    state: State,
    pages: Pages,
    publisher: Publisher,
    sources: Sources,
    /// What the faces see of the sources.
    status: Arc<ArcSwap<Vec<SourceStatus>>>,
    labels: Arc<Labels>,
    metrics: Arc<Metrics>,
    commands: Sender<Command>,
    /// The sources of the configuration in force, in its order.
    watched: Vec<Watched>,
    /// Watches made so far; numbers them.
    watches: u64,
}

struct Watched {
    source: Source,
    /// Its updates carry this number; those of a watch that has been replaced are not taken any more.
    number: u64,
    /// `None` if the system gave no thread: then it is only read on reload.
    _watch: Option<Watch>,
}

impl Task {
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
        let next = self.publisher.next_change(now).map(|at| now.duration_until(at));
        next.and_then(|wait| Duration::try_from(wait).ok()).map_or(LOOK, |wait| wait.min(LOOK))
    }

    /// Carries out all commands at hand, then publishes once. Returns whether to stop.
    fn work(&mut self, commands: impl Iterator<Item = Command>) -> bool {
        let started = Instant::now();
        let mut changes = Changes::default();
        for command in commands {
            match command {
                Command::Update(number, update) => {
                    if self.watched.iter().any(|watched| watched.number == number) {
                        self.update(*update, &mut changes);
                    }
                }
                Command::Reload(config) => {
                    self.reload(*config);
                    tracing::info!("configuration reloaded");
                }
                Command::Stop => return true,
            }
        }
        if changes.any() {
            self.publish(started);
            changes.observe(&self.metrics);
        }
        self.publisher.mind_the_time();
        self.publisher.sweep();
        self.publisher.show_census(self.state.census(Timestamp::now()));
        false
    }

    /// Takes over a configuration: sources that stay are not read again, new and changed ones are, the rest is lifted.
    fn reload(&mut self, config: Config) {
        let started = Instant::now();
        for problem in self.state.configure(config.authorities.clone(), config.order()) {
            tracing::error!("{problem}");
        }
        self.sources.configure(config.sources.iter().map(|source| source.name.as_str()));
        self.pages = config.pages;
        let mut old = std::mem::take(&mut self.watched);
        for source in config.sources {
            let stays = |watched: &Watched| watched.source.name == source.name && watched.source.kind == source.kind;
            let watched = match old.iter().position(stays) {
                Some(at) => Watched { source, ..old.swap_remove(at) },
                None => self.open(source),
            };
            self.watched.push(watched);
        }
        self.publish(started);
        self.publisher.show_census(self.state.census(Timestamp::now()));
    }

    /// Reads a source for the first time and watches it from then on.
    fn open(&mut self, source: Source) -> Watched {
        let mut loader = Loader::new(source.clone());
        let first = loader.scan(Timestamp::now(), Mode::Now);
        self.take(&source, first, &mut Changes::default());
        self.watches += 1;
        let (number, commands) = (self.watches, self.commands.clone());
        let deliver = move |update| {
            let _ = commands.send(Command::Update(number, Box::new(update))); // the task is gone: so are we, soon
        };
        let watch = watch(loader, deliver);
        let watch = watch.inspect_err(|error| tracing::error!(source = source.name, %error, "cannot watch the source"));
        Watched { source, number, _watch: watch.ok() }
    }

    fn update(&mut self, update: Update, changes: &mut Changes) {
        let source = self.watched.iter().find(|watched| watched.source.name == update.source);
        if let Some(source) = source.map(|watched| watched.source.clone()) {
            self.take(&source, update, changes);
        }
    }

    /// Takes the documents of an update into the state and reports the rest of it.
    fn take(&mut self, source: &Source, mut update: Update, changes: &mut Changes) {
        let keys: Vec<_> = update.put.keys().chain(&update.removed).chain(&update.settled).cloned().collect();
        self.sources.changed(&source.name, &keys);
        for (key, document) in std::mem::take(&mut update.put) {
            let file = source.file(&key);
            match self.state.put((source.name.clone(), key), document) {
                Some(problem) => update.problems.push(Problem { file, ..problem }),
                None => changes.put.push(update.at),
            }
        }
        for key in std::mem::take(&mut update.removed) {
            self.state.remove(&(source.name.clone(), key));
            changes.removed.push(update.at);
        }
        self.sources.report(update);
        self.status.store(Arc::new(self.sources.statuses(&self.state)));
    }

    fn publish(&mut self, started: Instant) {
        match self.state.compile() {
            Ok(index) => {
                let entries = self.state.entries(&self.pages, |notice| slots(&self.labels, notice));
                self.publisher.publish(index, entries, self.pages.ttl, started);
            }
            Err(error) => tracing::error!(%error, "the policy cannot be compiled; the last good one stays in force"),
        }
        self.status.store(Arc::new(self.sources.statuses(&self.state)));
    }
}

/// When the documents that changed were read, for the figures.
#[derive(Default)]
struct Changes {
    put: Vec<Timestamp>,
    removed: Vec<Timestamp>,
}

impl Changes {
    fn any(&self) -> bool {
        !self.put.is_empty() || !self.removed.is_empty()
    }

    fn observe(&self, metrics: &Metrics) {
        let now = Timestamp::now();
        let seconds = |at: &Timestamp| now.duration_since(*at).as_secs_f64().max(0.0);
        self.put.iter().for_each(|at| metrics.policy.enforce_seconds.observe(seconds(at)));
        self.removed.iter().for_each(|at| metrics.policy.lift_seconds.observe(seconds(at)));
    }
}

/// Where hits of a notice are counted: those of the secret class by category only.
fn slots(labels: &Labels, notice: &Notice) -> Slots {
    let secret = notice.sensitivity == Sensitivity::Secret;
    Slots {
        blocked: labels.blocked(notice.authority.as_str(), notice.category.as_str(), notice.action.as_str()),
        hit: (!secret).then(|| labels.hit(notice.id.as_str())),
    }
}
