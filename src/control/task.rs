//! The one writer of the policy: a thread that takes what the sources report, compiles, publishes, and minds the time.
//!
//! It runs at low priority beside the workers (DESIGN §4). Nothing it meets ends it: a problem is logged, counted and
//! shown in the status, and the last good policy stays.

mod orders;
mod reading;
mod storing;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::oneshot;

use super::asker::{Answer, Asker};
use super::clock::{self, Clock};
use super::command::{OperatorReply, OperatorRequest};
use super::desk::{Desk, Push, Pushed, Question, Refusal, Rehearsal, Tickets, Told};
use super::docket::{Bench, Docket, ListVersion, REFUSALS, Signed};
use super::handle::{Handle, SourceStatus};
use super::life::Key as Case;
use super::publish::Publisher;
use super::serial::{Serial, SerialError};
use super::sources::Sources;
use super::state::{Census, State};
use super::store::Store;
use super::together::{self, Together};
use crate::ingest::{CODES, Document, Known, Loader, Problem, Source, Update, Watch, low_priority};
use crate::ledger::seal::Key;
use crate::ledger::{Event, Ledger};
use crate::model::{Authority, Exemptions, Notice, Order, Sensitivity};
use crate::observe::labels::Labels;
use crate::observe::metrics::Metrics;
use crate::policy::index::Full;
use crate::policy::lifts::Lifts;
use crate::policy::register::Merged;
use crate::policy::{Asking, Change, Pages, PolicyReader, Slots};
use crate::verify::guard::Guard;
use crate::verify::guard::size::SizeRules;
use crate::verify::keyring::Keyring;

/// Problems of a list that are remembered over a restart.
const PROBLEMS: usize = 100;

/// An update of more names waits for others that are being read.
const LONG: usize = 4_096;

/// How long a person waits for an answer.
const ANSWER: Duration = Duration::from_secs(30);

/// How often, and after how long, a ledger is opened again that another process is about to leave.
const RETAKES: u32 = 100;
const RETAKE: Duration = Duration::from_millis(50);

/// From one self-test that failed to the next.
const AGAIN: Duration = Duration::from_secs(10);

/// Longest sleep: the wall clock may be set at any time, so the timers look at it this often.
const LOOK: Duration = Duration::from_secs(1);

/// What the control plane is configured with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who may order.
    pub authorities: Vec<Authority>,
    /// Whose signatures are believed.
    pub keyring: Arc<Keyring>,
    /// What listed names are answered with.
    pub pages: Pages,
    /// Where notices come from.
    pub sources: Vec<Source>,
    /// The state directory.
    pub state: PathBuf,
    /// What secret names are sealed with there.
    pub key: Option<Key>,
    /// Clients that are not restricted, for those who ask why.
    pub exempt: Exemptions,
    /// Names that are not to be blocked unseen.
    pub guard: Arc<Guard>,
    /// How much a list may change unseen.
    pub sizes: SizeRules,
    /// Whether a damaged ledger is a reason not to start.
    pub strict: bool,
    /// How the node asks itself, once it answers; `None` where nothing is answered.
    pub asking: Option<Arc<Asking>>,
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
    /// The sources of the configuration in force.
    sources: Vec<Source>,
    /// What it was read with.
    guard: Arc<Guard>,
    metrics: Arc<Metrics>,
    /// The state directory, locked.
    state: OwnedFd,
    /// Gone with the thread.
    alive: Weak<()>,
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
    /// The ledger does not say what is to be in force, and that is not to be overlooked.
    #[error("{0}; pagar ledger verify says where it breaks, and without --strict the stored policy is served")]
    Ledger(String),
    /// Neither the ledger nor a stored policy says what is to be in force.
    #[error("{0}; pagar ledger verify says where it breaks, and no policy is stored that could be served in its place")]
    NoLedger(String),
    /// Not one notice could be put in force: answering now would lift every restriction.
    #[error("there is no policy to put in force: {0}")]
    Full(Full),
    /// Not one source can be read: answering now would lift every restriction.
    #[error("no source can be read, so there is no policy to put in force:\n{}", Lines(.0))]
    NoPolicy(Vec<Problem>),
}

/// Problems as text, one a line.
#[derive(Debug)]
pub struct Lines<'a>(pub &'a [Problem]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|problem| writeln!(f, "  {problem}"))
    }
}

pub(super) enum Command {
    /// What the watch of this number saw.
    Update(u64, Box<Update>),
    /// A configuration and the first look at each of its sources that is new or has changed.
    /// Whoever waits hears when it is in force.
    Reload(Box<Config>, Vec<Option<First>>, Sender<()>),
    /// Changes of the policy have been merged; nothing if that panicked.
    Merged(Option<Box<Merged>>),
    /// A person asks for something; whoever waits is answered.
    Operator(OperatorRequest, Sender<OperatorReply>),
    /// Somebody hands an order in and is answered when it is recorded.
    Push(Push, oneshot::Sender<Pushed>),
    /// Somebody asks what an order would change.
    Rehearse(Push, oneshot::Sender<Result<Rehearsal, Box<Refusal>>>),
    /// Somebody waits until an order's receipt is final; who asks for what is not known is dropped.
    Await(Case, oneshot::Sender<Told>),
    /// Somebody looks into the docket.
    Look(Question),
    /// The node answers queries: it can ask itself.
    Answering,
    /// It has asked itself.
    Asked(Answer),
    /// Another process reads the ledger; whoever waits hears that it may.
    Lend(Sender<()>),
    /// It does not take over after all.
    TakeBack,
    /// Another process takes over the state directory.
    Retire,
    Stop,
}

/// The first look at a source.
#[derive(Debug)]
pub(super) struct First {
    loader: Loader,
    update: Update,
}

impl First {
    fn look(source: &Source, known: Option<Known>, guard: &Arc<Guard>) -> Self {
        let mut loader = Loader::new(source.clone()).knowing(known).guarded(guard.clone());
        let update = loader.first(Timestamp::now());
        Self { loader, update }
    }
}

/// Reads all sources, publishes the first policy, then watches for changes. Nothing is answered before this returns.
/// `locked` is the state directory as a process that hands over has locked it.
pub fn start(
    config: Config,
    locked: Option<OwnedFd>,
    metrics: Arc<Metrics>,
) -> Result<(Control, PolicyReader, Handle), StartError> {
    let serial = Serial::open(&config.state, locked)?;
    let state = serial.lock().try_clone_to_owned()?;
    let (commands, inbox) = channel();
    let (publisher, reader) = Publisher::new(serial, metrics.clone());
    let docket = open_docket(&config, &metrics)?;
    let mut task = Task {
        state: State::default(),
        pages: config.pages.clone(),
        publisher,
        sources: Sources::new(metrics.clone()),
        status: Arc::default(),
        exempt: Arc::default(),
        metrics: metrics.clone(),
        commands: commands.clone(),
        watched: Vec::new(),
        watches: 0,
        store: Store::new(config.state.clone(), config.key.clone(), metrics.policy.state_write_failures.clone()),
        found: BTreeMap::new(),
        together: Together::new(),
        clock: Clock::new(docket.last_record()),
        time: Timestamp::UNIX_EPOCH,
        docket,
        bench: Judges::of(&config),
        tickets: Tickets::new(),
        pushes: 0,
        held: BTreeMap::new(),
        asker: None,
        asking: config.asking.clone(),
        asked: 0,
        next_ask: None,
    };
    let handle = Handle::new(reader.clone(), task.status.clone(), task.exempt.clone());
    task.metrics.policy.declare_refusals(CODES.into_iter().chain(REFUSALS));
    let (sources, guard) = (config.sources.clone(), config.guard.clone());
    let known = task.restore(&sources);
    let first =
        sources.iter().zip(known).map(|(source, known)| Some(First::look(source, known, &config.guard))).collect();
    if task.docket.is_read_only() && (config.strict || task.state.is_empty()) {
        let why = task.docket.trouble().to_owned();
        return Err(if task.state.is_empty() { StartError::NoLedger(why) } else { StartError::Ledger(why) });
    }
    task.reconcile();
    task.reload(config, first);
    task.started();
    let failures = task.sources.failures();
    if !sources.is_empty() && failures.len() == sources.len() && task.state.is_empty() {
        return Err(StartError::NoPolicy(failures));
    }
    if !task.state.is_empty() && task.state.register().notices() == 0 {
        return Err(StartError::Full(Full));
    }
    let living = Arc::new(());
    let alive = Arc::downgrade(&living);
    let thread = std::thread::Builder::new().name("pagar-control".into()).spawn(move || {
        let _living = living;
        task.run(&inbox);
    })?;
    Ok((Control { commands, thread: Some(thread), sources, guard, metrics, state, alive }, reader, handle))
}

impl Control {
    /// Takes over a reloaded configuration, and returns when it is in force; sources that stay the same are not
    /// interrupted and not read again.
    ///
    /// A source that is new or written differently must be readable: a slip of the pen in a path must not lift what the
    /// source of the old path lists. The problems say which is not; then everything stays as it was.
    pub fn reload(&mut self, config: Config) -> Result<(), Vec<Problem>> {
        let same_guard = self.guard == config.guard;
        let stays = |source: &&Source| {
            same_guard && self.sources.iter().any(|old| old.name == source.name && old.kind == source.kind)
        };
        // read here, so that the timers of the control thread do not wait for a long list
        let first: Vec<_> = config
            .sources
            .iter()
            .map(|source| (!stays(&source)).then(|| First::look(source, None, &config.guard)))
            .collect();
        let failures: Vec<_> = first.iter().flatten().filter_map(|first| first.update.failure.clone()).collect();
        if !failures.is_empty() {
            return Err(failures);
        }
        self.sources.clone_from(&config.sources);
        self.guard = config.guard.clone();
        let (done, in_force) = channel();
        let _ = self.commands.send(Command::Reload(Box::new(config), first, done)); // the thread ends only with us
        let _ = in_force.recv(); // an error: the thread panicked over it, and has said so
        Ok(())
    }

    /// The node answers queries from now on: it asks itself whether it does what notices order.
    pub fn answering(&self) {
        let _ = self.commands.send(Command::Answering); // the thread ends only with us
    }

    /// Where orders are handed in and asked for.
    pub fn desk(&self) -> Desk {
        Desk::new(self.commands.clone())
    }

    /// What carries out the requests of people; may take as long as a change of the policy does.
    pub fn operators(&self) -> impl Fn(OperatorRequest) -> OperatorReply + Send + Sync + 'static {
        let commands = std::sync::Mutex::new(self.commands.clone());
        move |request| {
            let (answer, answered) = channel();
            let sent = commands.lock().map(|commands| commands.send(Command::Operator(request, answer)));
            let reply = sent.ok().and_then(|_| answered.recv_timeout(ANSWER).ok());
            let why = "no answer within half a minute: whether it was done is in the ledger, or will be";
            reply.unwrap_or_else(|| OperatorReply::refused("late", why))
        }
    }

    /// Closes the ledger, so that a process that may take over can read it. Nothing signed is taken in until
    /// [`Self::take_back`].
    pub fn lend(&self) {
        let (done, lent) = channel();
        let _ = self.commands.send(Command::Lend(done)); // the thread ends only with us
        let _ = lent.recv();
    }

    /// Opens the ledger again: the other process does not take over.
    pub fn take_back(&self) {
        let _ = self.commands.send(Command::TakeBack); // the thread ends only with us
    }

    /// Stores nothing any more: from now on another process does.
    pub fn retire(&self) {
        let _ = self.commands.send(Command::Retire); // the thread ends only with us
    }

    /// The locked state directory, for a process that takes over.
    pub fn state(&self) -> BorrowedFd<'_> {
        self.state.as_fd()
    }

    /// Has a value as long as the thread runs. How long it takes over a change is no sign of death: a long list takes
    /// its time.
    pub fn alive(&self) -> Weak<()> {
        self.alive.clone()
    }

    /// Takes note of whether a configuration was taken over.
    pub fn count_reload(&self, successful: bool) {
        self.metrics.policy.reloaded.set(i64::from(successful));
        self.metrics.policy.reload_failures.inc_by(u64::from(!successful));
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
    /// What they see of the exemptions.
    exempt: Arc<ArcSwap<Exemptions>>,
    metrics: Arc<Metrics>,
    commands: Sender<Command>,
    /// The sources of the configuration in force, in its order.
    watched: Vec<Watched>,
    /// Watches made so far; numbers them.
    watches: u64,
    store: Store,
    /// What was wrong with lists when they were read, by source.
    found: BTreeMap<String, Vec<Problem>>,
    /// Long updates that wait for others.
    together: Together<(u64, Box<Update>)>,
    /// Whether the wall clock can be believed, and the time to go by when it was read last.
    clock: Clock,
    time: Timestamp,
    /// Signed notices, the ledger, what people decide.
    docket: Docket,
    /// What signed notices are judged by.
    bench: Judges,
    /// Who waits for the answer to an order that was handed in, and how many were.
    tickets: Tickets,
    pushes: u64,
    /// Versions of lists that wait for people, by source.
    held: BTreeMap<String, (ListVersion, Document)>,
    /// Asks the node's own sockets, once they are answered.
    asker: Option<Asker>,
    asking: Option<Arc<Asking>>,
    /// Jobs it has not answered.
    asked: usize,
    /// When to ask again what was not answered as it should.
    next_ask: Option<Instant>,
}

/// What signed notices and lists are judged by.
struct Judges {
    keyring: Arc<Keyring>,
    authorities: Vec<Authority>,
    guard: Arc<Guard>,
    sizes: SizeRules,
    state: PathBuf,
    key: Option<Key>,
    /// Tells this guard from others.
    guarded_by: String,
}

impl Judges {
    /// What signed notices are judged by; `is_taken` says whether an unsigned document has an order's id or number.
    fn bench<'a>(&'a self, is_taken: &'a dyn Fn(&Order) -> bool) -> Bench<'a> {
        let Self { keyring, authorities, guard, key, .. } = self;
        Bench { keyring, authorities, guard, has_key: key.is_some(), is_taken }
    }

    /// How a source's files are understood and what is left out of them: what is known of one holds as long as this stays.
    fn reading(&self, source: &Source) -> String {
        format!("{}, guard {}", source.reading(), self.guarded_by)
    }

    fn of(config: &Config) -> Self {
        Self {
            keyring: config.keyring.clone(),
            authorities: config.authorities.clone(),
            guard: config.guard.clone(),
            sizes: config.sizes.clone(),
            state: config.state.clone(),
            key: config.key.clone(),
            guarded_by: config.guard.fingerprint(),
        }
    }
}

struct Watched {
    source: Source,
    /// Its updates carry this number; those of a watch that has been replaced are not taken any more.
    number: u64,
    /// `None` if the system gave no thread: then it is only read on reload.
    watch: Option<Watch>,
}

impl Task {
    fn run(mut self, inbox: &Receiver<Command>) {
        low_priority();
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
                self.metrics.policy.compile_failures.inc();
            }
            if stop {
                return;
            }
        }
    }

    /// The time to go by; says when the wall clock cannot be believed, and when it can again.
    fn now(&mut self) -> Timestamp {
        let counted = clock_gettime(ClockId::Boottime); // goes on while the machine sleeps
        let counted = Duration::new(counted.tv_sec.unsigned_abs(), counted.tv_nsec.unsigned_abs() as u32);
        let reading = self.clock.read(Timestamp::now(), counted);
        if reading.changed {
            self.metrics.policy.clock_held.set(i64::from(reading.state.is_held()));
            match reading.state {
                clock::State::Held { wall, last } => {
                    tracing::error!(%wall, %last, "the wall clock cannot be right: time runs on without it");
                    self.docket.later(Event::ClockHeld { wall, last });
                }
                clock::State::Sane => {
                    tracing::info!("the wall clock is believed again");
                    self.docket.later(Event::ClockSane {});
                }
            }
        }
        self.time = reading.now;
        self.time
    }

    /// Until the next notice takes effect or expires, at most [`LOOK`].
    fn sleep(&mut self) -> Duration {
        let now = self.now();
        let next = self.state.register().next_change().map(|at| now.duration_until(at));
        let longest = if self.together.is_waiting() { together::LOOK } else { LOOK };
        let next = next.into_iter().chain(self.docket.next_change().map(|at| now.duration_until(at))).min();
        next.map_or(longest, |wait| Duration::try_from(wait).unwrap_or_default().min(longest)) // past: at once
    }

    /// Carries out all commands at hand, then publishes once. Returns whether to stop.
    fn work(&mut self, commands: impl Iterator<Item = Command>) -> bool {
        self.now();
        let started = Instant::now();
        let (mut changes, mut decided) = (Changes::default(), Vec::new());
        for command in commands {
            match command {
                Command::Update(number, update) if self.waits(number, &update) => self.together.hold((number, update)),
                Command::Update(number, update) => self.update(number, *update, &mut changes),
                Command::Reload(config, first, done) => {
                    self.update_long(false, &mut changes);
                    self.reload(*config, first);
                    let _ = done.send(()); // nobody waits any more
                }
                Command::Merged(Some(merged)) => {
                    self.state.register().install(*merged);
                    self.publisher.refresh(self.state.register());
                }
                Command::Merged(None) => {
                    self.state.register().merge_later();
                    self.metrics.policy.compile_failures.inc(); // the panic has been logged
                }
                Command::Operator(request, answer) => {
                    decided.push((answer, self.operate(request, &mut changes)));
                }
                Command::Push(push, answer) => self.push(push, answer, &mut changes),
                Command::Rehearse(push, answer) => {
                    let _ = answer.send(self.rehearse(push)); // nobody waits any more
                }
                Command::Await(key, answer) => self.docket.await_receipt(&key, answer, self.time),
                Command::Look(look) => look(&self.docket, self.time),
                Command::Answering => self.answering(),
                Command::Asked(Answer { found, serial, digest }) => {
                    self.asked = self.asked.saturating_sub(1);
                    let now = self.now();
                    self.docket.found(found, serial, &digest, now);
                    self.next_ask = Some(Instant::now() + AGAIN);
                }
                Command::Lend(done) => {
                    let now = self.now();
                    self.docket.lend(now);
                    let _ = done.send(()); // nobody waits any more
                }
                Command::TakeBack => {
                    self.take_back();
                    changes.other = true;
                }
                Command::Retire => self.store.retire(),
                Command::Stop => {
                    let now = self.now();
                    self.docket.record(Event::Stopped {}, now);
                    self.store(true);
                    reply(decided); // it is recorded
                    return true;
                }
            }
        }
        self.update_long(self.is_reading(), &mut changes);
        self.turn(&mut changes);
        if changes.any() {
            self.publish(false, started);
            changes.observe(&self.metrics);
        }
        reply(decided); // what a person has decided is in force when it is called done
        self.mind_the_time();
        self.show_census();
        self.ask(); // may wait for the disk
        self.publisher.sweep();
        self.store(false);
        false
    }

    /// Takes over a configuration: sources that stay keep their watch, the others come with their first look, the rest
    /// is lifted.
    fn reload(&mut self, config: Config, first: Vec<Option<First>>) {
        self.now();
        let (started, mut changes) = (Instant::now(), Changes::default());
        self.sources.configure(config.sources.iter().map(|source| source.name.as_str()));
        // the ledger and its key are those of the start
        let Judges { state, key, .. } = &self.bench;
        self.bench = Judges { state: state.clone(), key: key.clone(), ..Judges::of(&config) };
        self.docket.judge_again();
        for authority in config.authorities.iter().filter(|authority| !authority.test) {
            self.metrics.policy.sequence_gaps.with_label_values(&[authority.id.as_str()]); // 0 before its first notice
        }
        let refused = self.state.configure(config.authorities.clone(), config.order());
        self.pages = config.pages;
        self.exempt.store(Arc::new(config.exempt));
        let mut old = std::mem::take(&mut self.watched);
        for (source, first) in config.sources.into_iter().zip(first) {
            let kept = old.iter().position(|watched| watched.source.name == source.name).map(|at| old.swap_remove(at));
            let watched = match (first, kept) {
                (Some(first), _) => self.open(source, first, &mut changes),
                (None, Some(kept)) => Watched { source, ..kept },
                (None, None) => continue, // only a source that is watched comes without its first look
            };
            self.watched.push(watched);
        }
        self.retry(); // what was in the way of a notice may have gone with a later source
        self.found.retain(|source, _| self.watched.iter().any(|watched| watched.source.name == *source));
        self.report_refused(refused);
        let watched = |source: &String| self.watched.iter().any(|watched| watched.source.name == *source);
        let gone: Vec<_> = self.held.keys().filter(|source| !watched(source)).cloned().collect();
        for source in gone {
            self.held.remove(&source);
            self.docket.list_taken(&source);
        }
        self.turn(&mut changes);
        let Self { docket, state, .. } = self;
        docket.miss(|place| state.notice(place).is_some());
        self.publish(true, started);
        self.show_census();
    }

    /// Counts the notices; a file of which one item is refused counts as refused.
    fn show_census(&self) {
        let (now, refused) = (self.time, self.sources.files_with_errors() as i64);
        let (phases, late) = self.docket.census(now);
        let phase = |word| phases.get(word).copied().unwrap_or(0);
        let census = self.state.census(now);
        self.publisher.show_census(Census {
            refused,
            suspended: phase("suspended"),
            revoked: phase("revoked"),
            expired: census.expired + phase("expired"),
            past_deadline: census.past_deadline + late,
            ..census
        });
    }

    fn show_sources(&self) {
        self.status.store(Arc::new(self.sources.statuses(&self.state)));
    }

    /// Puts in force what has changed; `anew` after what notices are prepared by has changed as well.
    fn publish(&mut self, anew: bool, started: Instant) {
        let slots = |notice: &Notice| slots(&self.metrics.labels, notice);
        let changed = self.state.compile(&self.pages, slots, self.time);
        let mut change = changed.unwrap_or_else(|error| {
            tracing::error!(%error, "what has changed cannot be compiled; the last good policy stays in force");
            self.metrics.policy.compile_failures.inc();
            Change::default()
        });
        if anew {
            change = change + self.state.update(&self.pages, slots);
        }
        let lifts = Lifts::new(self.docket.lifts());
        self.metrics.policy.lifted_names.set(self.docket.lifts().count() as i64);
        change.differs |= self.state.register().lift(lifts);
        let published = self.publisher.publish(self.state.register(), change, self.pages.ttl, started);
        published.into_iter().for_each(|event| self.docket.later(event));
        self.merge();
        self.show_sources();
    }

    /// Has the changes that have piled up merged, on a thread of its own, if it is time.
    fn merge(&mut self) {
        let Some(merge) = self.state.register().merge() else { return };
        let commands = self.commands.clone();
        let work = move || {
            low_priority();
            let merged = catch_unwind(AssertUnwindSafe(|| merge.run())).ok().map(Box::new);
            let _ = commands.send(Command::Merged(merged)); // the task is gone: so are we, soon
        };
        if let Err(error) = std::thread::Builder::new().name("pagar-merge".into()).spawn(work) {
            tracing::warn!(%error, "cannot merge changes of the policy; they are in force all the same");
            self.state.register().merge_later();
        }
    }
}

/// Answers persons.
fn reply(decided: Vec<(Sender<OperatorReply>, OperatorReply)>) {
    for (answer, reply) in decided {
        let _ = answer.send(reply); // nobody waits any more
    }
}

/// The docket as the ledger has it. A ledger that cannot be opened is no reason not to serve what is stored.
fn open_docket(config: &Config, metrics: &Arc<Metrics>) -> Result<Docket, StartError> {
    let ledger = Ledger::open(&config.state, config.key.clone());
    Ok(Docket::open(ledger, &config.state, config.key.clone(), metrics.clone(), Timestamp::now())?)
}

/// When the documents that changed were read, for the figures.
#[derive(Default)]
struct Changes {
    put: Vec<Timestamp>,
    removed: Vec<Timestamp>,
    /// Signed files that came.
    signed: Vec<Signed>,
    /// Something else that has to be published.
    other: bool,
}

impl Changes {
    fn any(&self) -> bool {
        !self.put.is_empty() || !self.removed.is_empty() || self.other
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
