//! The composition root: every part is made and joined here, in the order in which it must happen. The only file that
//! sees both planes.

mod vitals;

use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tracing::Level;

use crate::config::{self, Config};
use crate::control::{self, Control, Handle, StartError};
use crate::dns::clock::Clock;
use crate::dns::local::Local;
use crate::dns::{self, Dns};
use crate::error::ExitError;
use crate::feed;
use crate::model::name::wire_to_text;
use crate::model::{Client, Sensitivity};
use crate::observe::{log, metrics::Metrics, panics};
use crate::policy::{Asking, PolicyReader};
use crate::process::signals::{Request, Signals};
use crate::process::sockets::{self, Bound, Inherited};
use crate::process::systemd::Manager;
use crate::process::upgrade::{Estate, Heritage, Predecessor, Successor};
use crate::process::{self, watchdog};
use crate::tls::Files;
pub use crate::web::api::cache::Flushed;
use crate::web::api::overrides::Operators;
use crate::web::health::Health;
use crate::web::{self, operator};
use crate::zones;
use vitals::Vitals;

/// How often the service manager gets a fresh status line.
const STATUS: Duration = Duration::from_secs(5);

/// The commit it was built from, if the build named one.
pub const COMMIT: Option<&str> = option_env!("PAGAR_COMMIT");

/// What the command line says beside the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How it logs.
    pub logging: Logging,
    /// Whether a damaged ledger is a reason not to start.
    pub strict: bool,
}

/// What the command line says about logging; `None` leaves it to the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Logging {
    /// For people or for machines.
    pub format: Option<log::Format>,
    /// The least that is logged.
    pub level: Option<Level>,
    /// Colour in the log; `None` leaves it to the terminal and `NO_COLOR`.
    pub colour: Option<bool>,
}

/// Answers queries until SIGTERM, or until another process has taken over.
pub fn serve(path: &Path, options: Options) -> Result<(), ExitError> {
    let failed = |error: &dyn std::fmt::Display| ExitError::Runtime(error.to_string());
    // before there are threads: it changes the environment
    let given = Given::take().map_err(|error| failed(&error))?;
    let config = config::load(path).map_err(|errors| ExitError::Config(errors.to_string()))?;
    start_log(&config, options.logging);
    panics::report();
    warn(&config);
    let files = process::raise_file_limit();
    process::allow_core_dumps(config.process.core_dumps);

    let commit = COMMIT.unwrap_or("unknown");
    let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION"), commit).map_err(|error| failed(&error))?);
    // sockets first: a second instance must stop before it touches anything, and ports need privileges
    let claimed = sockets::claim(
        &config.dns.listen,
        config.web.as_ref().map(|web| web.listen),
        config.dns.workers,
        given.sockets,
    );
    let mut bound = claimed.map_err(|error| failed(&error))?;
    let control_runtime = runtime("pagar-web", 1).map_err(|error| failed(&error))?;
    // signals before anything takes long: one that comes while a list is read is obeyed afterwards
    let signals = {
        let _within = control_runtime.enter();
        Signals::new().map_err(|error| failed(&error))?
    };
    Manager.status("reading the sources");
    // rules before answers: what the sources say now is in force before the first query is read
    let mut settings = config.dns.settings.clone();
    settings.local = Arc::new(local_zones(&config, &metrics));
    let asking = Arc::new(Asking::new(bound.dns.iter().map(|sockets| sockets.address)));
    let control_config =
        control::Config { asking: Some(asking.clone()), strict: options.strict, ..control_config(&config) };
    let started_control = control::start(control_config, given.state, metrics.clone());
    let (control, policy, handle) = started_control.map_err(|error| match error {
        StartError::NoPolicy(_) | StartError::Full(_) | StartError::Ledger(_) | StartError::NoLedger(_) => {
            ExitError::Data(error.to_string())
        }
        StartError::State(_) | StartError::Thread(_) => failed(&error),
    })?;
    let data_runtime = runtime("pagar-async", config.dns.workers).map_err(|error| failed(&error))?;
    // the other process answers until here; what arrives from now on waits in the sockets for a moment
    given.predecessor.map_or(Ok(()), Predecessor::relieve).map_err(|error| failed(&error))?;
    bound.complete(config.dns.workers).map_err(|error| failed(&error))?;
    let estate = estate(&bound, &control).map_err(|error| failed(&error))?;
    let addresses: Vec<_> = bound.dns.iter().map(|sockets| sockets.address).collect();
    let started = Instant::now();
    let dns = {
        let _within = data_runtime.enter();
        let dns = dns::Config { settings, ..config.dns.clone() };
        Dns::start(&dns, bound.dns, policy.clone(), &metrics, Clock::System(started), files, &asking)
            .map_err(|error| failed(&error))?
    };
    let health = Health::new(started, addresses.clone());
    health.set_balancers(config.dns.settings.proxy.clone());
    let (stop_web, stopped) = watch::channel(false);
    let operators_stopped = stopped.clone();
    let operators: operator::Handler = Arc::new(control.operators());
    let access = web::Access::new(clients(&config), metrics.clone());
    let tls = web::Tls::new(access.clone(), metrics.clone());
    tls.serve(tls.read(certificate(&config)).map_err(|error| ExitError::Config(error.to_string()))?);
    let web_address = bound.web.as_ref().and_then(|listener| listener.local_addr().ok());
    if let Some(listener) = bound.web {
        let (flush, desk) = (web::api::cache::Flush::new(dns.flusher()), control.desk());
        let feeds = feed::start(&config.feeds, &metrics.feeds).map_err(|error| failed(&error))?;
        let operators = Operators(operators.clone());
        let (control, metrics, health) = (handle.clone(), metrics.clone(), health.clone());
        let (access, tls) = (access.clone(), tls.clone());
        let state = web::State { control, metrics, health, flush, desk, operators, feeds, access, tls };
        start_web(&control_runtime, listener, state, stopped).map_err(|error| failed(&error))?;
    }
    let operators = start_operators(&control_runtime, &config.operators, operators, operators_stopped);
    control.answering();
    let control_thread = control.alive();
    let vitals =
        Vitals { started, metrics, control: handle.clone(), control_thread, runtime: data_runtime.handle().clone() };
    let stop_delay = config.process.stop_delay;
    let has_tls = certificate(&config).is_some();
    let mut server = Server {
        path: path.to_owned(),
        started_with: config,
        stop_delay,
        control,
        asking,
        dns,
        estate,
        vitals,
        health,
        access,
        tls,
        signals,
        stop_web,
        operators,
    };
    announce(&addresses, web_address, has_tls, &handle, &policy);
    Manager.ready(&server.vitals.status());
    let telling = control_runtime.spawn(tell(server.vitals.clone()));
    let end = control_runtime.block_on(server.obey());
    telling.abort();
    control_runtime.block_on(server.end(end));
    control_runtime.shutdown_timeout(Duration::from_millis(100));
    data_runtime.shutdown_timeout(Duration::from_millis(100));
    Ok(())
}

/// What was there before this process: sockets that systemd opened, or all of a process that hands over.
#[derive(Default)]
struct Given {
    sockets: Inherited,
    state: Option<OwnedFd>,
    predecessor: Option<Predecessor>,
}

impl Given {
    fn take() -> Result<Self, Box<dyn std::error::Error>> {
        let sockets = Inherited::from_systemd()?;
        Ok(match Heritage::take()? {
            Some(Heritage { sockets, state, predecessor }) => Self { sockets, state, predecessor: Some(predecessor) },
            None => Self { sockets, ..Self::default() },
        })
    }
}

/// What a process that takes over gets, copied while it is at hand.
fn estate(bound: &Bound, control: &Control) -> std::io::Result<Estate> {
    Ok(Estate { sockets: bound.copies()?, state: control.state().try_clone_to_owned()? })
}

/// Keeps the service manager informed: that all is well, and how it is doing.
async fn tell(vitals: Vitals) {
    let status = async {
        loop {
            tokio::time::sleep(STATUS).await;
            Manager.status(&vitals.status());
        }
    };
    match Manager.watchdog() {
        Some(interval) => {
            let check = || {
                let vitals = vitals.clone();
                async move { vitals.wrong().await }
            };
            tokio::join!(status, watchdog::feed(interval, || Manager.alive(), check));
        }
        None => status.await,
    }
}

/// What the control plane takes from the configuration; how the node asks itself is not in there.
pub fn control_config(config: &Config) -> control::Config {
    control::Config {
        authorities: config.authorities.clone(),
        keyring: config.keyring.clone(),
        pages: config.pages.clone(),
        sources: config.sources.clone(),
        state: config.ledger.clone(),
        key: config.ledger_key.clone(),
        exempt: config.dns.settings.exempt.clone(),
        guard: config.guard.clone(),
        sizes: config.sizes.clone(),
        asking: None,
        strict: false,
    }
}

fn start_log(config: &Config, logging: Logging) {
    let format = logging.format.unwrap_or(config.log.format);
    log::init(format, logging.level.unwrap_or(config.log.level), logging.colour);
}

fn warn(config: &Config) {
    for warning in config.warnings.iter() {
        let hint = warning.hint.as_deref();
        tracing::warn!(hint, "{}", warning.to_string().lines().next().unwrap_or_default());
    }
    if config.sources.is_empty() {
        tracing::warn!("no [[source]] is configured: no notice is read, nothing is restricted");
    }
}

/// The zones answered here. One that is broken does not keep the rest from being answered.
fn local_zones(config: &Config, metrics: &Metrics) -> Local {
    let loaded = zones::load(&config.dns.local);
    metrics.broken_zones.set(loaded.broken as i64);
    for problem in &loaded.problems {
        tracing::error!("{problem}; names of this zone are answered with SERVFAIL");
    }
    loaded.local
}

fn runtime(name: &str, threads: usize) -> std::io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(threads).thread_name(name).enable_all().build()
}

fn start_web(
    runtime: &Runtime,
    listener: std::net::TcpListener,
    state: web::State,
    stopped: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let _within = runtime.enter();
    let listener = tokio::net::TcpListener::from_std(listener)?;
    runtime.spawn(web::serve(listener, state, until(stopped)));
    Ok(())
}

/// Who may call the API.
fn clients(config: &Config) -> Vec<Client> {
    config.web.as_ref().map(|web| web.clients.clone()).unwrap_or_default()
}

/// What the API is served with.
fn certificate(config: &Config) -> Option<Files> {
    config.web.as_ref().and_then(|web| web.tls.clone())
}

/// The operators' socket. Queries are answered whether it is there or not, so that it cannot be made is said and not fatal.
fn start_operators(
    runtime: &Runtime,
    settings: &config::Operators,
    operators: operator::Handler,
    stopped: watch::Receiver<bool>,
) -> Option<operator::Place> {
    let path = &settings.socket;
    let bound = operator::Socket::bind(path, settings.group).or_else(|error| match settings.group {
        Some(_) => {
            tracing::error!(path = %path.display(), %error, "the operators' socket is for the server's user alone");
            operator::Socket::bind(path, None)
        }
        None => Err(error),
    });
    let bound = bound.inspect_err(|error| {
        tracing::error!(path = %path.display(), %error, "no operators' socket: pagar lift and approve cannot reach us");
    });
    let (socket, place) = bound.ok()?;
    runtime.spawn(async move {
        let served = socket.serve(operators, until(stopped)).await;
        let _ = served.inspect_err(|error| tracing::error!(%error, "the operators' socket cannot be served"));
    });
    Some(place)
}

/// Waits for the word to stop; its sender gone is the word as well.
async fn until(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// Says where it listens and what it serves, on standard output: scripts read the `listening` lines.
fn announce(dns: &[SocketAddr], web: Option<SocketAddr>, tls: bool, handle: &Handle, policy: &PolicyReader) {
    let mut text = String::new();
    for address in dns {
        text.push_str(&format!("listening udp {address}\nlistening tcp {address}\n"));
    }
    if let Some(web) = web {
        let scheme = if tls { "https" } else { "http" };
        text.push_str(&format!("listening {scheme} {web}\n"));
    }
    let status = handle.status();
    let sources = status.sources.len();
    let (serial, names, notices) = (status.serial, status.names, status.notices);
    text.push_str(&format!(
        "serving policy {serial}: {names} names in force, {notices} notices known, {sources} sources\n"
    ));
    if let Some(address) = dns.first() {
        let dig = format!("dig @{} -p {}", address.ip(), address.port());
        if let Some(name) = listed_name(policy) {
            text.push_str(&format!("try a listed name:    {dig} {name} A\n"));
        }
        text.push_str(&format!("try an unlisted name: {dig} example.com A\n"));
    }
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush()); // nobody reads: answering matters more
}

/// A name in force that may be shown: the first by alphabet of a thousand, since the index has no order of its own.
fn listed_name(policy: &PolicyReader) -> Option<String> {
    let policy = policy.load();
    let names = policy.index().iter().take(1_000).filter_map(|(wire, _)| {
        let verdict = policy.decide(&wire, crate::policy::verdict::Consider::All)?;
        (verdict.entry.notice.sensitivity == Sensitivity::Public).then(|| wire_to_text(&wire))
    });
    names.min()
}

struct Server {
    path: std::path::PathBuf,
    /// Of this some keys are in force to the end of the process, whatever reloads say.
    started_with: Config,
    /// `[process] stop_delay` of the last configuration that was taken over.
    stop_delay: Duration,
    control: Control,
    /// How the node asks itself: of the sockets it started with.
    asking: Arc<Asking>,
    dns: Dns,
    estate: Estate,
    vitals: Vitals,
    health: Health,
    access: web::Access,
    tls: web::Tls,
    signals: Signals,
    /// Stops the operators' socket as well.
    stop_web: watch::Sender<bool>,
    /// Where that socket is, to be taken away.
    operators: Option<operator::Place>,
}

/// Why it ends.
enum End {
    /// It was asked to.
    Stop,
    /// Another process is ready.
    Successor(Successor),
}

impl Server {
    /// Does what signals ask until there is a reason to end.
    async fn obey(&mut self) -> End {
        let mut successor = None;
        let mut reload_again = false;
        loop {
            tokio::select! {
                request = self.signals.next() => match request {
                    Request::Stop => return End::Stop,
                    Request::Upgrade if successor.is_some() => tracing::warn!("an upgrade is under way already"),
                    Request::Upgrade => successor = self.upgrade(),
                    Request::Reload => {
                        reload_again = successor.is_some(); // it may have read the configuration before the change
                        self.reload();
                    }
                },
                ready = process::upgrade::readiness(&mut successor) => match (ready, successor.take()) {
                    (Ok(()), Some(successor)) => {
                        if reload_again {
                            successor.reload();
                        }
                        return End::Successor(successor);
                    }
                    (result, successor) => {
                        drop(successor); // it ends, and leaves the ledger
                        self.not_upgraded(&result.err().unwrap_or_default());
                    }
                },
            }
        }
    }

    fn upgrade(&self) -> Option<Successor> {
        self.control.lend(); // the new process has to read it
        match Successor::start(&self.estate) {
            Ok(successor) => {
                tracing::info!(process = successor.pid(), "upgrade: a new process gets ready");
                Some(successor)
            }
            Err(error) => {
                self.not_upgraded(&error);
                None
            }
        }
    }

    fn not_upgraded(&self, why: &dyn std::fmt::Display) {
        self.control.take_back();
        tracing::error!("not upgraded, this process goes on: {why}");
        self.vitals.metrics.upgrade_failures.inc();
    }

    /// Ends without losing a query that has arrived.
    async fn end(mut self, end: End) {
        match end {
            End::Stop => {
                self.leave().await;
                self.dns.stop().await;
                self.dns.drained().await;
                let _ = self.stop_web.send(true); // /readyz says no until the end
                if let Some(place) = &self.operators {
                    place.remove();
                }
            }
            End::Successor(successor) => {
                let process = successor.pid();
                self.control.retire();
                Manager.hand_over(process);
                let _ = self.stop_web.send(true); // the next connection is for the new process, by its own socket too
                self.dns.stop().await;
                match successor.go() {
                    Ok(()) => tracing::info!(process, "upgrade: the new process answers; ending"),
                    Err(error) => tracing::error!(process, %error, "upgrade: the new process is gone; ending"),
                }
                self.dns.drained().await;
            }
        }
    }

    /// Says that it stops, and goes on answering for as long as the configuration says or until it is asked again.
    async fn leave(&mut self) {
        let delay = self.stop_delay;
        self.health.stop();
        if delay.is_zero() {
            tracing::info!("stopping");
            Manager.stopping(delay, "answering what is under way");
            return;
        }
        tracing::info!("stopping in {delay:?}; not ready any more");
        Manager.stopping(delay, "not ready any more, still answering: clients are to go elsewhere");
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = self.signals.stop() => {}
        }
        tracing::info!("stopping now");
    }

    /// Reads the configuration again. What is wrong is reported and changes nothing; what needs a restart is named.
    fn reload(&mut self) {
        Manager.reloading();
        let reloaded = self.take_over_configuration();
        self.control.count_reload(reloaded.is_ok());
        match reloaded {
            Ok(()) => tracing::info!("configuration reloaded"), // all of it: both planes have it
            Err(why) => tracing::error!("configuration not reloaded, the old one stays in force:\n{why}"),
        }
        Manager.ready(&self.vitals.status());
    }

    fn take_over_configuration(&mut self) -> Result<(), String> {
        let config = config::load(&self.path).map_err(|errors| errors.to_string())?;
        warn(&config);
        let loaded = zones::load(&config.dns.local);
        if !loaded.problems.is_empty() {
            return Err(control::Lines(&loaded.problems).to_string());
        }
        for key in needs_restart(&self.started_with, &config) {
            tracing::warn!("{key} has changed: it takes effect after a restart, or an upgrade by SIGUSR2");
        }
        let asking = Some(self.asking.clone());
        let certificate = self.tls.read(certificate(&config)).map_err(|error| error.to_string())?;
        let reloaded = self.control.reload(control::Config { asking, ..control_config(&config) });
        reloaded.map_err(|problems| control::Lines(&problems).to_string())?;
        if let Some(Err(error)) = self.operators.as_ref().map(|place| place.permit(config.operators.group)) {
            tracing::error!(%error, "the operators' socket is for the server's user alone");
        }
        self.access.set_clients(clients(&config));
        self.tls.serve(certificate);
        self.health.set_balancers(config.dns.settings.proxy.clone());
        self.vitals.metrics.broken_zones.set(0); // one would have refused the reload
        let local = Arc::new(loaded.local);
        self.dns.reconfigure(dns::Settings { local, ..config.dns.settings.clone() });
        self.stop_delay = config.process.stop_delay;
        Ok(())
    }
}

/// The keys whose value this process cannot take over: compared with what it runs with, not with what was read last, so
/// that each reload says so until it is true.
fn needs_restart(running: &Config, read: &Config) -> impl Iterator<Item = &'static str> {
    let listens = |config: &Config| config.web.as_ref().map(|web| web.listen);
    let changed = [
        ("dns.listen", read.dns.listen != running.dns.listen),
        ("dns.workers", read.dns.workers != running.dns.workers),
        ("dns.pin_workers", read.dns.pin_workers != running.dns.pin_workers),
        ("cache.size", read.dns.cache_size != running.dns.cache_size),
        ("ledger.path", read.ledger != running.ledger),
        ("ledger.key_file", read.ledger_key != running.ledger_key),
        ("operators.socket", read.operators.socket != running.operators.socket),
        ("web.listen", listens(read) != listens(running)),
        ("feed", read.feeds != running.feeds),
        ("log", read.log != running.log),
        ("process.core_dumps", read.process.core_dumps != running.process.core_dumps),
    ];
    changed.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key)
}
