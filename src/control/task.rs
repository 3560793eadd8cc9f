//! The one writer of the policy: a thread that takes what the sources report, compiles, publishes, and minds the time.
//!
//! It runs at low priority beside the workers (DESIGN §4). Nothing it meets ends it: a problem is logged, counted and
//! shown in the status, and the last good policy stays.

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

use super::SIGNED;
use super::asker::{Answer, Asker, Job};
use super::clock::{self, Clock};
use super::command::{OperatorReply, OperatorRequest};
use super::docket::{self, Bench, Decided, Docket, Effect, ListVersion, Signed};
use super::explain::hex;
use super::handle::{Handle, SourceStatus};
use super::publish::Publisher;
use super::recent;
use super::serial::{Serial, SerialError};
use super::sources::Sources;
use super::state::{Census, Place, Standing, State};
use super::store::{Store, Versions};
use super::stored::{self, Stored, StoredDocument, Unusable};
use super::together::{self, Together};
use crate::ingest::{
    CODES, Document, DocumentKey, Kind, Known, Loader, Mode, Problem, Severity, Source, Update, Watch, low_priority,
    watch,
};
use crate::ledger::seal::Key;
use crate::ledger::{Digest, Event, Ledger, LedgerError};
use crate::model::{Authority, DnsName, Exemptions, Item, Notice, Order, Scope, Sensitivity};
use crate::observe::labels::Labels;
use crate::observe::metrics::Metrics;
use crate::policy::index::Full;
use crate::policy::lifts::Lifts;
use crate::policy::register::Merged;
use crate::policy::verdict::Consider;
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

#[derive(Debug)]
enum Command {
    /// What the watch of this number saw.
    Update(u64, Box<Update>),
    /// A configuration and the first look at each of its sources that is new or has changed.
    /// Whoever waits hears when it is in force.
    Reload(Box<Config>, Vec<Option<First>>, Sender<()>),
    /// Changes of the policy have been merged; nothing if that panicked.
    Merged(Option<Box<Merged>>),
    /// A person asks for something; whoever waits is answered.
    Operator(OperatorRequest, Sender<OperatorReply>),
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
struct First {
    loader: Loader,
    update: Update,
}

impl First {
    fn look(source: &Source, known: Option<Known>, guard: &Arc<Guard>) -> Self {
        let mut loader = Loader::new(source.clone()).knowing(known).guarded(guard.clone());
        let update = loader.scan(Timestamp::now(), Mode::Now);
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
        held: BTreeMap::new(),
        asker: None,
        asking: config.asking.clone(),
        asked: 0,
        next_ask: None,
    };
    let handle = Handle::new(reader.clone(), task.status.clone(), task.exempt.clone());
    task.metrics.policy.declare_refusals(CODES);
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
        let mut changes = Changes::default();
        for command in commands {
            match command {
                Command::Update(number, update) if self.waits(number, &update) => self.together.hold((number, update)),
                Command::Update(number, update) => self.update(number, *update, &mut changes),
                Command::Reload(config, first, done) => {
                    self.update_long(false, &mut changes);
                    self.reload(*config, first);
                    tracing::info!("configuration reloaded");
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
                    let reply = self.operate(request, &mut changes);
                    let _ = answer.send(reply); // nobody waits any more
                }
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
        self.mind_the_time();
        self.show_census();
        self.ask(); // may wait for the disk
        self.publisher.sweep();
        self.store(false);
        false
    }

    /// Takes over the policy of an earlier run, if there is one: the layers, then what came after them; says what is known
    /// of each source.
    fn restore(&mut self, sources: &[Source]) -> Vec<Option<Known>> {
        let read = self.store.read();
        let mut stored = self.usable(stored::FILE, read);
        let read = self.store.read_recent();
        let mut recent = self.usable(recent::FILE, read).unwrap_or_default();
        if recent.left_out > 0 {
            let notices = recent.left_out;
            tracing::warn!(
                notices,
                "stored secret notices are not used: [ledger] key_file is missing or has another key"
            );
            self.metrics.policy.state_read_failures.inc();
        }
        let count = |stored: &Option<Stored>| stored.as_ref().map_or(0, |stored| stored.documents.len());
        let before = count(&stored);
        // an order that the configuration has no more must not come back, whether its source can be read or not
        let judges = &self.bench;
        let stays = |document: &StoredDocument| {
            is_signed(document) || sources.iter().any(|source| is_of(document, source, judges))
        };
        stored.iter_mut().for_each(|stored| stored.documents.retain(stays));
        recent.documents.retain(|recent| stays(&recent.document));
        recent.leave_out(stored.as_ref().map_or(&[], |stored| &stored.documents));
        let recents = recent.documents.iter().map(|recent| &recent.document);
        let documents: Vec<_> = recents.chain(stored.iter().flat_map(|stored| &stored.documents)).collect();
        let known = sources.iter().map(|source| {
            let document = documents.iter().find(|document| is_of(document, source, judges))?;
            self.found.insert(source.name.clone(), document.problems.clone());
            Some(Known { digest: document.notice.digest, problems: document.problems.clone() })
        });
        let known = known.collect();
        self.store.take_over(&recent.documents, count(&stored) == before);
        if let Some(stored) = stored {
            let now = self.now();
            self.state.restore(stored, &self.pages, now);
        }
        self.state.restore_recent(recent.documents);
        known
    }

    /// What was stored, if it can be used.
    fn usable<T>(&self, file: &str, read: Result<Option<T>, Unusable>) -> Option<T> {
        read.unwrap_or_else(|error| {
            let file = self.store.file(file);
            let file = file.display();
            tracing::warn!(%file, %error, "the stored policy is not used: all lists are read, and it is written anew");
            self.metrics.policy.state_read_failures.inc();
            None
        })
    }

    /// Has the policy written to the state directory if it has changed and it is time, or in any case at the `end`.
    fn store(&mut self, end: bool) {
        let register = self.state.register();
        let versions = Versions { layers: register.version(), recent: Some(register.moves()) };
        let Some(has_layers) = self.store.due(versions, end) else { return };
        let layers = has_layers.then(|| register.layers());
        let Self { state, watched, found, store, .. } = self;
        let reading = |source: &str| {
            let watched = watched.iter().find(|watched| watched.source.name == source);
            watched.map_or_else(String::new, |watched| self.bench.reading(&watched.source))
        };
        let document = |standing: &Standing<'_>| StoredDocument {
            source: standing.place.0.clone(),
            key: standing.place.1.clone(),
            reading: reading(&standing.place.0),
            slot: standing.slot,
            names: standing.names,
            notice: Notice::clone(standing.notice),
            problems: found.get(&standing.place.0).cloned().unwrap_or_default(),
        };
        store.held().update(state.standing(), document, |slots| state.recent(slots));
        let in_layers = || state.standing().filter(|standing| standing.in_layers).map(|standing| document(&standing));
        let stored = layers.map(|layers| Stored { documents: in_layers().collect(), layers });
        store.write(stored, versions, end);
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

    /// Takes the first look at a source and watches it from then on.
    fn open(&mut self, source: Source, First { mut loader, update }: First, changes: &mut Changes) -> Watched {
        if update.failure.is_some() {
            let last_good = self.state.notices_of(&source.name);
            if !last_good.is_empty() {
                tracing::warn!(source = source.name, "what the source gave before the start stays in force");
            }
            loader.hold(last_good); // so that it says which of them are gone when it can be read
        } else {
            // it may have been another kind of source before: what it does not say any more is lifted
            let stays = |key: &DocumentKey| update.put.contains_key(key) || update.settled.contains(key);
            let gone = self.state.keys_of(&source.name).into_iter().filter(|key| !stays(key));
            gone.for_each(|key| self.state.remove(&(source.name.clone(), key)));
        }
        self.take(&source, update, changes);
        self.watches += 1;
        let (number, commands) = (self.watches, self.commands.clone());
        let deliver = move |update| {
            let _ = commands.send(Command::Update(number, Box::new(update))); // the task is gone: so are we, soon
        };
        let watch = watch(loader, deliver);
        let watch = watch.inspect_err(|error| tracing::error!(source = source.name, %error, "cannot watch the source"));
        Watched { source, number, watch: watch.ok() }
    }

    /// Whether an update waits for others: it is long and another source is being read, or one before it waits.
    fn waits(&self, number: u64, update: &Update) -> bool {
        let names: usize = update.put.values().map(|document| document.targets.len()).sum();
        self.together.has(|(of, _)| *of == number) || (names > LONG && self.is_reading())
    }

    /// Whether a long update may be about to come.
    fn is_reading(&self) -> bool {
        self.watched.iter().filter_map(|watched| watched.watch.as_ref()).any(Watch::is_looking)
    }

    /// Takes the long updates that need not wait any more.
    fn update_long(&mut self, reading: bool, changes: &mut Changes) {
        for (number, update) in self.together.take(reading) {
            self.update(number, *update, changes);
        }
    }

    fn update(&mut self, number: u64, update: Update, changes: &mut Changes) {
        let watched = self.watched.iter().find(|watched| watched.number == number);
        if let Some(source) = watched.map(|watched| watched.source.clone()) {
            self.take(&source, update, changes);
        }
    }

    /// Takes the documents of an update into the state and reports the rest of it.
    fn take(&mut self, source: &Source, mut update: Update, changes: &mut Changes) {
        let keys = update.put.keys().chain(update.signed.keys()).chain(&update.removed).chain(&update.settled);
        let keys: Vec<_> = keys.cloned().collect();
        self.sources.changed(&source.name, &keys);
        let (put, removed) = (std::mem::take(&mut update.put), std::mem::take(&mut update.removed));
        let signed = std::mem::take(&mut update.signed).into_iter();
        changes.signed.extend(signed.map(|(key, octets)| Signed {
            source: source.name.clone(),
            file: source.file(&key),
            octets,
            received_at: update.at,
            again: false,
        }));
        let mut documents: Vec<_> =
            put.into_iter().map(|(key, document)| ((source.name.clone(), key), document)).collect();
        if let Kind::List { .. } = source.kind {
            documents.retain(|(_, document)| !self.is_held(source, document, &mut update.problems));
        }
        let before = documents.len();
        // what goes makes room for what comes: a notice may move to a file of another name
        update.settled.iter().for_each(|key| self.docket.forget(&source.file(key)));
        removed.into_iter().for_each(|key| {
            let place = (source.name.clone(), key);
            if let Some(notice) = self.state.notice(&place) {
                self.docket.ask_no_more(&(notice.authority.clone(), notice.id.clone()));
            }
            self.state.remove(&place);
            changes.removed.push(update.at);
        });
        if let Kind::List { .. } = source.kind
            && !documents.is_empty()
        {
            self.found.insert(source.name.clone(), update.problems.iter().take(PROBLEMS).cloned().collect());
        }
        let places: Vec<_> = documents.iter().map(|(place, _)| place.clone()).collect();
        let refused = self.state.put(documents);
        changes.put.extend(std::iter::repeat_n(update.at, before - refused.len()));
        let taken = places.into_iter().filter(|place| !refused.iter().any(|(other, _)| other == place));
        taken.for_each(|place| self.taken(source, &place, &mut update));
        for ((_, key), problem) in refused {
            update.problems.push(Problem { file: source.file(&key), ..problem });
        }
        self.sources.report(update);
        if changes.any() {
            self.retry();
        }
        self.show_sources();
    }

    /// A document was taken over: it is recorded if it is a list, and asked for if it is in force.
    fn taken(&mut self, source: &Source, place: &Place, update: &mut Update) {
        let Some(notice) = self.state.notice(place).cloned() else { return };
        let (authority, id) = (notice.authority.clone(), notice.id.clone());
        if let Kind::List { .. } = source.kind {
            let (digest, names) = (Digest::new(notice.digest), self.state.names_of(&source.name));
            let (source, authority, notice) = (source.name.clone(), authority.clone(), id.clone());
            self.docket.later(Event::ListRead { source, authority, notice, digest, names });
        }
        let sample = update.samples.remove(&place.1).unwrap_or_default();
        if notice.validity.contains(self.time) && !sample.is_empty() {
            let item = |(n, target): (usize, _)| Item { id: n.to_string().into(), target: Ok(target) };
            self.docket.ask_about((authority, id), sample.into_iter().enumerate().map(item).collect());
        }
    }

    /// Gives refused documents another chance: what was in their way may be gone.
    fn retry(&mut self) {
        let before = self.state.refused();
        let still: Vec<_> = self.state.retry().into_iter().map(|(place, _)| place).collect();
        for (source, key) in before.into_iter().filter(|place| !still.contains(place)) {
            tracing::info!(source, file = key, "a notice refused before is accepted now");
            self.sources.changed(&source, &[key]);
        }
    }

    /// Reports documents that a new configuration does not allow any more.
    fn report_refused(&mut self, refused: Vec<(Place, Problem)>) {
        for ((name, key), problem) in refused {
            let source = self.watched.iter().find(|watched| watched.source.name == name);
            let file = source.map_or_else(|| problem.file.clone(), |watched| watched.source.file(&key));
            self.sources.add_problem(&name, Problem { file, ..problem });
        }
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

/// The docket as the ledger has it. A ledger that cannot be opened is no reason not to serve what is stored.
fn open_docket(config: &Config, metrics: &Arc<Metrics>) -> Result<Docket, StartError> {
    let ledger = Ledger::open(&config.state, config.key.clone());
    Ok(Docket::open(ledger, &config.state, config.key.clone(), metrics.clone(), Timestamp::now())?)
}

//------ signed notices and people -----------------------------------------------------------------------------------------

impl Task {
    /// Drops stored notices that the ledger says nothing of, or not any more.
    fn reconcile(&mut self) {
        if self.docket.is_read_only() {
            return; // what is stored is all there is
        }
        let wanted = self.docket.wanted_places();
        for key in self.state.keys_of(SIGNED) {
            let place = (SIGNED.to_owned(), key);
            if !wanted.contains(&place) {
                self.state.remove(&place);
            }
        }
    }

    /// The first policy is in force.
    fn started(&mut self) {
        let policy = Some(Digest::new(self.publisher.current().digest));
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let now = self.now();
        self.docket.record(Event::Started { program: "pagar".to_owned(), version, policy }, now);
    }

    /// Takes signed files in, lets time pass for signed notices, and puts what they say now into the state.
    fn turn(&mut self, changes: &mut Changes) {
        let now = self.now();
        let signed = std::mem::take(&mut changes.signed);
        let mut effects = self.docket.pass(now);
        let retry = self.docket.is_waiting() && self.docket.may_retry(Instant::now());
        if !signed.is_empty() || retry {
            let Self { state, bench, docket, .. } = self;
            let is_taken = |order: &Order| state.is_taken(order);
            let Judges { keyring, authorities, guard, key, .. } = bench;
            let bench = Bench { keyring, authorities, guard, has_key: key.is_some(), is_taken: &is_taken };
            let taken = docket.take(signed, &bench, now);
            effects.extend(taken.effects);
            for (source, file) in taken.settled {
                let key = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                self.sources.changed(&source, &[key]);
            }
            taken.problems.into_iter().for_each(|(source, problem)| self.sources.add_problem(&source, problem));
            self.show_sources();
        }
        self.apply(effects, changes);
        changes.other |= self.docket.lifts_changed();
    }

    fn apply(&mut self, effects: Vec<Effect>, changes: &mut Changes) {
        let mut documents = Vec::new();
        changes.other |= !effects.is_empty();
        for (place, document) in docket::last_of_each(effects) {
            match document {
                Some(document) => documents.push((place, document)),
                None => self.state.remove(&place),
            }
        }
        for ((_, key), problem) in self.state.put(documents) {
            // it was judged before it was recorded: a configuration that has changed is what is left
            tracing::error!(notice = key, "{problem}");
            self.metrics.policy.refused_items.with_label_values(&[problem.code]).inc();
        }
    }

    /// Lets time pass for the policy.
    fn mind_the_time(&mut self) {
        let now = self.now();
        let published = self.publisher.mind_the_time(self.state.register(), now);
        published.into_iter().for_each(|event| self.docket.later(event));
    }

    /// The node answers queries: it asks itself about all that is in force and was not asked for.
    fn answering(&mut self) {
        let Some(asking) = self.asking.clone() else { return };
        let commands = self.commands.clone();
        let deliver = move |answer| {
            let _ = commands.send(Command::Asked(answer)); // the task is gone: so are we, soon
        };
        match Asker::start(asking, self.metrics.selftest.clone(), deliver) {
            Ok(asker) => self.asker = Some(asker),
            Err(error) => tracing::error!(%error, "the node cannot ask itself: no notice will be called enforced"),
        }
    }

    /// Asks about what has changed, and again about what was not answered as it should.
    fn ask(&mut self) {
        let due = self.next_ask.is_none_or(|next| next <= Instant::now() || self.docket.has_news());
        if let Some(asker) = self.asker.as_ref().filter(|_| due && self.docket.has_questions()) {
            let policy = self.publisher.current();
            let queries = self.docket.queries(&policy);
            let kinds = self.bench.authorities.iter().map(|authority| (authority.id.clone(), authority.kind)).collect();
            if !queries.is_empty() {
                self.asked += 1;
                asker.ask(Job { queries, serial: policy.serial, digest: hex(&policy.digest), kinds });
            }
        }
        if self.asked == 0 {
            let now = self.now();
            self.docket.finish(now); // otherwise with the answers, in one append
        }
    }

    /// Carries out what a person asks.
    fn operate(&mut self, request: OperatorRequest, changes: &mut Changes) -> OperatorReply {
        let policy = self.publisher.current();
        let listed = |name: &DnsName| {
            let verdict = policy.decide(name.as_wire(), Consider::All)?;
            // the notice that answers may be public and outrank a secret one
            let mut reaching = policy
                .listings(name.as_wire())
                .filter(|(_, scope, target)| *scope == Scope::Subtree || *target == name.as_wire());
            let is_secret = reaching.any(|(notice, ..)| notice.sensitivity == Sensitivity::Secret);
            Some(if is_secret { Sensitivity::Secret } else { verdict.entry.notice.sensitivity })
        };
        let (reply, Decided { lifts, list }) = self.docket.ask_for(request, listed, self.time);
        changes.other |= lifts;
        if let Some(version) = list
            && let Some((_, document)) = self.held.remove(&version.source).filter(|(held, _)| *held == version)
        {
            let at = Timestamp::now();
            let refused = self.state.put(vec![((version.source.clone(), String::new()), document)]);
            for (_, problem) in refused {
                self.sources.add_problem(&version.source, problem);
            }
            self.sources.changed(&version.source, &[String::new()]);
            changes.put.push(at);
        }
        reply
    }

    /// Whether a new version of a list has to wait for people; then it does.
    fn is_held(&mut self, source: &Source, document: &Document, problems: &mut Vec<Problem>) -> bool {
        let (before, after) = (self.state.names_of(&source.name), document.targets.len() as u64);
        let Some(hold) = self.bench.sizes.judge(&source.name, before, after) else {
            self.held.remove(&source.name);
            self.docket.list_taken(&source.name);
            return false;
        };
        let key = (document.notice.authority.clone(), document.notice.id.clone());
        let digest = Some(Digest::new(document.notice.digest));
        let version = ListVersion { source: source.name.clone(), digest, before, after };
        if !self.docket.holds_list(&key, version.clone(), &hold, self.time) {
            self.held.remove(&source.name);
            return false;
        }
        self.held.insert(source.name.clone(), (version, document.clone()));
        problems.push(Problem {
            severity: Severity::Error,
            file: source.file(&String::new()),
            line: None,
            column: None,
            message: format!("the list is held, and its last good version stays in force: {hold}"),
            hint: Some("pagar approve --list shows its number; one person may approve it".to_owned()),
            code: hold.code(),
        });
        true
    }

    /// Opens the ledger again after it was lent.
    fn take_back(&mut self) {
        let Judges { state, key, .. } = &self.bench;
        let mut ledger = Ledger::open(state, key.clone());
        for _ in 0..RETAKES {
            if !matches!(ledger, Err(LedgerError::InUse(_))) {
                break;
            }
            std::thread::sleep(RETAKE); // the other process is about to end
            ledger = Ledger::open(state, key.clone());
        }
        match Docket::open(ledger, state, key.clone(), self.metrics.clone(), self.time) {
            Ok(mut docket) => {
                // the other process may have recorded something before it gave up
                docket.inherit(&mut self.docket);
                self.docket = docket;
                self.reconcile();
            }
            Err(error) => tracing::error!(%error, "the ledger cannot be taken back; nothing signed is taken in"),
        }
    }
}

/// Whether a stored document is a signed notice, which is of no source.
fn is_signed(document: &StoredDocument) -> bool {
    document.source == SIGNED && document.reading.is_empty()
}

/// Whether a stored document is one that this source may still give.
fn is_of(document: &StoredDocument, source: &Source, judges: &Judges) -> bool {
    let same_order = match &source.kind {
        Kind::List { notice, .. } => document.notice == Notice { digest: document.notice.digest, ..(**notice).clone() },
        Kind::Directory { allow_unsigned, .. } => *allow_unsigned,
    };
    document.source == source.name && document.reading == judges.reading(source) && same_order
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

#[cfg(test)]
mod tests;
