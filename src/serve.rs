//! The composition root: every part is made and joined here, in the order in which it must happen. The only file that sees
//! both planes.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tracing::Level;

use crate::config::{self, Config};
use crate::control::{self, Control, Handle, StartError};
use crate::dns::Dns;
use crate::dns::clock::Clock;
use crate::error::ExitError;
use crate::model::Sensitivity;
use crate::model::name::wire_to_text;
use crate::observe::{log, metrics::Metrics};
use crate::policy::PolicyReader;
use crate::process::{self, Request, Signals};
use crate::web;
pub use crate::web::api::cache::Flushed;

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

/// Answers queries until SIGTERM.
pub fn serve(path: &Path, logging: Logging) -> Result<(), ExitError> {
    let config = config::load(path).map_err(|errors| ExitError::Config(errors.to_string()))?;
    start_log(&config, logging);
    warn(&config);
    let files = process::raise_file_limit();
    let failed = |error: &dyn std::fmt::Display| ExitError::Runtime(error.to_string());

    let commit = option_env!("PAGAR_COMMIT").unwrap_or("unknown");
    let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION"), commit).map_err(|error| failed(&error))?);
    // sockets first: a second instance must stop before it touches anything, and ports need privileges
    let sockets = process::bind_dns(&config.dns.listen, config.dns.workers).map_err(|error| failed(&error))?;
    let addresses: Vec<_> = sockets.iter().map(|sockets| sockets.address).collect();
    let web = config.web.map(process::bind_tcp).transpose().map_err(|error| failed(&error))?;
    let control_runtime = runtime("pagar-web", 1).map_err(|error| failed(&error))?;
    // signals before anything takes long: one that comes while a list is read is obeyed afterwards
    let signals = {
        let _within = control_runtime.enter();
        Signals::new().map_err(|error| failed(&error))?
    };
    // rules before answers: what the sources say now is in force before the first query is read
    let started_control = control::start(control_config(&config), metrics.clone());
    let (control, policy, handle) = started_control.map_err(|error| match error {
        StartError::NoPolicy(_) => ExitError::Data(error.to_string()),
        StartError::State(_) | StartError::Thread(_) => failed(&error),
    })?;
    let data_runtime = runtime("pagar-async", config.dns.workers).map_err(|error| failed(&error))?;
    let started = Instant::now();
    let dns = {
        let _within = data_runtime.enter();
        Dns::start(&config.dns, sockets, policy.clone(), &metrics, Clock::System(started), files)
            .map_err(|error| failed(&error))?
    };
    let health = web::health::Health::new(started, addresses.clone());
    health.set_balancers(config.dns.settings.proxy.clone());
    let mut server = Server { path: path.to_owned(), config, control, dns, health: health.clone() };
    let web_address = web.as_ref().and_then(|listener| listener.local_addr().ok());
    let (stop_web, stopped) = watch::channel(false);
    if let Some(listener) = web {
        let flush = web::api::cache::Flush::new(server.dns.flusher());
        let state = web::State { control: handle.clone(), metrics: metrics.clone(), health, flush };
        start_web(&control_runtime, listener, state, stopped).map_err(|error| failed(&error))?;
    }
    announce(&addresses, web_address, &handle, &policy);
    control_runtime.block_on(server.obey(signals));
    tracing::info!("stopping");
    let _ = stop_web.send(true);
    data_runtime.block_on(server.dns.drain());
    drop(server.control);
    data_runtime.shutdown_timeout(Duration::from_millis(100));
    control_runtime.shutdown_timeout(Duration::from_millis(100));
    Ok(())
}

/// What the control plane takes from the configuration.
pub fn control_config(config: &Config) -> control::Config {
    control::Config {
        authorities: config.authorities.clone(),
        pages: config.pages.clone(),
        sources: config.sources.clone(),
        state: config.ledger.clone(),
        exempt: config.dns.settings.exempt.clone(),
    }
}

fn start_log(config: &Config, logging: Logging) {
    let format = logging.format.unwrap_or(config.log.format);
    log::init(format, logging.level.unwrap_or(config.log.level), logging.colour);
}

fn warn(config: &Config) {
    for warning in config.warnings.iter() {
        tracing::warn!("{}", warning.to_string().lines().next().unwrap_or_default());
    }
    if config.sources.is_empty() {
        tracing::warn!("no [[source]] is configured: no notice is read, nothing is restricted");
    }
}

fn runtime(name: &str, threads: usize) -> std::io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(threads).thread_name(name).enable_all().build()
}

fn start_web(
    runtime: &Runtime,
    listener: std::net::TcpListener,
    state: web::State,
    mut stopped: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let _within = runtime.enter();
    let listener = tokio::net::TcpListener::from_std(listener)?;
    runtime.spawn(async move {
        let stop = async move {
            let _ = stopped.wait_for(|stop| *stop).await; // the sender is gone: stop as well
        };
        web::serve(listener, state, stop).await;
    });
    Ok(())
}

/// Says where it listens and what it serves, on standard output: scripts read the `listening` lines.
fn announce(dns: &[SocketAddr], web: Option<SocketAddr>, handle: &Handle, policy: &PolicyReader) {
    let mut text = String::new();
    for address in dns {
        text.push_str(&format!("listening udp {address}\nlistening tcp {address}\n"));
    }
    if let Some(web) = web {
        text.push_str(&format!("listening http {web}\n"));
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

/// A name in force that may be shown.
fn listed_name(policy: &PolicyReader) -> Option<String> {
    let policy = policy.load();
    policy.index().iter().take(1_000).find_map(|(wire, _)| {
        let verdict = policy.decide(wire, crate::policy::verdict::Consider::All)?;
        (verdict.entry.notice.sensitivity == Sensitivity::Public).then(|| wire_to_text(wire))
    })
}

struct Server {
    path: std::path::PathBuf,
    config: Config,
    control: Control,
    dns: Dns,
    health: web::health::Health,
}

impl Server {
    /// Does what signals ask until they ask to stop.
    async fn obey(&mut self, mut signals: Signals) {
        while signals.next().await == Request::Reload {
            self.reload();
        }
    }

    /// Reads the configuration again. What is wrong is reported and changes nothing; what needs a restart is named.
    fn reload(&mut self) {
        let config = match config::load(&self.path) {
            Ok(config) => config,
            Err(errors) => return self.not_reloaded(&errors),
        };
        warn(&config);
        let needs_restart = [
            ("dns.listen", config.dns.listen != self.config.dns.listen),
            ("dns.workers", config.dns.workers != self.config.dns.workers),
            ("cache.size", config.dns.cache_size != self.config.dns.cache_size),
            ("ledger.path", config.ledger != self.config.ledger),
            ("web.listen", config.web != self.config.web),
            ("log", config.log != self.config.log),
        ];
        for (key, _) in needs_restart.iter().filter(|(_, changed)| *changed) {
            tracing::warn!("{key} has changed: it takes effect after a restart");
        }
        match self.control.reload(control_config(&config)) {
            Ok(()) => {
                self.health.set_balancers(config.dns.settings.proxy.clone());
                self.dns.reconfigure(config.dns.settings.clone());
                self.config = config;
            }
            Err(problems) => self.not_reloaded(&control::Lines(&problems)),
        }
    }

    fn not_reloaded(&self, why: &dyn std::fmt::Display) {
        tracing::error!("configuration not reloaded, the old one stays in force:\n{why}");
        self.control.count_failed_reload();
    }
}
