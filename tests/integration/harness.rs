//! What every test stands on: a [`Site`] (a directory with a configuration and its sources), the real program over it
//! ([`Pagar`]), and other people's programs ([`peer`]). Nothing here uses the crate: the program is known by what it
//! prints, answers and exits with.
//!
//! A test that needs a program which is not installed says `skipped: needs …` and passes; with `PAGAR_PEERS=required` in
//! the environment it fails instead.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longest wait for anything that is to happen; a loaded machine is slow, not wrong.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Where a program that is not ours is installed.
pub(crate) fn peer(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let found = std::env::split_paths(&path).chain(system).map(|dir| dir.join(program)).find(|file| file.is_file());
    if found.is_none() {
        let required = std::env::var_os("PAGAR_PEERS").is_some_and(|value| value == "required");
        assert!(!required, "{program} is not installed, and PAGAR_PEERS=required");
        skip(&format!("needs {program}"));
    }
    found
}

/// Says that a test, or a part of it, cannot be carried out on this machine.
pub(crate) fn skip(why: &str) {
    println!("skipped: {why}");
}

/// Waits until it holds, [`LIMIT`] at most.
pub(crate) fn wait_until(what: &str, holds: impl FnMut() -> bool) {
    wait_at_most(LIMIT, what, holds);
}

/// Waits until it holds, this long at most.
pub(crate) fn wait_at_most(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < limit, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A child that does not outlive its test.
pub(crate) struct Reaped(pub(crate) Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended by itself
        let _ = self.0.wait();
    }
}

//------ Site ------

/// A directory with `pagar.toml` and the directory `notices`, removed with the value.
pub(crate) struct Site {
    directory: TempDir,
}

impl Site {
    /// With this configuration.
    pub(crate) fn new(config: &str) -> Self {
        let site = Self { directory: tempfile::tempdir().unwrap() };
        fs::create_dir(site.path("notices")).unwrap();
        site.write("pagar.toml", config);
        site
    }

    /// With [`config`] for these upstreams.
    pub(crate) fn with(upstreams: &[SocketAddr]) -> Self {
        Self::new(&config(upstreams))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file the proper way: aside, then renamed.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let aside = self.path(&format!("{name}.new"));
        fs::write(&aside, text).unwrap();
        fs::rename(&aside, self.path(name)).unwrap();
    }

    /// Writes `notices/FILE`.
    pub(crate) fn put(&self, file: &str, notice: &Value) {
        self.write(&format!("notices/{file}"), &notice.to_string());
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    /// Starts the program and waits until it serves.
    pub(crate) fn start(&self) -> Pagar {
        Pagar::start(&self.path("pagar.toml"), &[])
    }

    /// Runs a command on this site's configuration to its end.
    pub(crate) fn run(&self, command: &[&str]) -> Ended {
        let config = self.path("pagar.toml");
        let mut words = command.to_vec();
        words.extend(["--config", config.to_str().unwrap()]);
        pagar(&words)
    }
}

/// A configuration on free ports of 127.0.0.1 with two workers, two authorities and the notices in `notices`.
pub(crate) fn config(upstreams: &[SocketAddr]) -> String {
    let upstreams: String = upstreams.iter().map(|at| format!("[[upstream]]\naddress = \"{at}\"\n")).collect();
    format!(
        r#"version = 1
[dns]
listen = ["127.0.0.1:0"]
workers = 2
{upstreams}
[block]
page_v4 = "192.0.2.80"
page_v6 = "2001:db8::80"
[[authority]]
id = "mcmc"
[[authority]]
id = "isp"
kind = "operator"
[[source]]
kind = "directory"
path = "notices"
allow_unsigned = true
[ledger]
path = "state"
[web]
listen = "127.0.0.1:0"
"#
    )
}

/// A notice with one target and a block page, in force since long ago.
pub(crate) fn notice(sequence: u64, name: &str, scope: &str) -> Value {
    json!({
        "version": 1,
        "id": format!("N-{sequence}"),
        "sequence": sequence,
        "authority": "mcmc",
        "kind": "restrict",
        "legal_basis": { "power": "CMA 1998 s.263(2)" },
        "category": "scam",
        "issued_at": "2026-01-01T00:00:00+08:00",
        "action": "block-page",
        "targets": [ { "item": "1", "name": name, "scope": scope } ],
    })
}

//------ Pagar ------

/// The running program; killed and reaped with the value.
pub(crate) struct Pagar {
    child: Reaped,
    /// What it printed until it served.
    pub(crate) announced: String,
    log: Arc<Mutex<String>>,
}

impl Pagar {
    /// Starts `pagar serve` and waits until it serves.
    pub(crate) fn start(config: &Path, arguments: &[&str]) -> Self {
        Self::launch(&mut Command::new(env!("CARGO_BIN_EXE_pagar")), config, arguments)
    }

    /// The same by a command that runs the program with the arguments it gets.
    pub(crate) fn launch(command: &mut Command, config: &Path, arguments: &[&str]) -> Self {
        Self::spawn(command.args(["serve", "--config"]).arg(config).args(arguments))
    }

    /// Starts it by this command and waits until it serves.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self::spawn_within(command, LIMIT)
    }

    /// The same for what takes longer: each line it prints may take so long.
    pub(crate) fn spawn_within(command: &mut Command, limit: Duration) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Reaped(command.spawn().unwrap());
        let log = Arc::<Mutex<String>>::default();
        let (stderr, keep) = (child.0.stderr.take().unwrap(), log.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                *keep.lock().unwrap() += &(line + "\n");
            }
        });
        let (lines, printed) = channel();
        let stdout = child.0.stdout.take().unwrap();
        std::thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).for_each(|line| drop(lines.send(line)));
        });
        let mut announced = String::new();
        while !announced.contains("try an unlisted name") {
            let Ok(line) = printed.recv_timeout(limit) else {
                panic!("it did not start: {announced}{}", log.lock().unwrap());
            };
            announced += &(line + "\n");
        }
        Self { child, announced, log }
    }

    fn listening(&self, transport: &str) -> Vec<SocketAddr> {
        let of = |line: &str| line.strip_prefix("listening ")?.strip_prefix(transport)?.trim().parse().ok();
        self.announced.lines().filter_map(of).collect()
    }

    /// Where it answers DNS, by UDP and TCP.
    pub(crate) fn dns(&self) -> Vec<SocketAddr> {
        assert_eq!(self.listening("udp"), self.listening("tcp"));
        self.listening("udp")
    }

    /// The first of [`Self::dns`].
    pub(crate) fn address(&self) -> SocketAddr {
        self.dns()[0]
    }

    /// The address of the API.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.listening("http")[0])
    }

    /// Status and body of an HTTP answer.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let config = ureq::Agent::config_builder().timeout_global(Some(LIMIT)).http_status_as_error(false).build();
        let mut answer = ureq::Agent::new_with_config(config).get(self.url() + path).call().unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    }

    /// A JSON answer of the API.
    pub(crate) fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Every series of `/metrics`, as written there, with its value.
    pub(crate) fn metrics(&self) -> BTreeMap<String, f64> {
        let (_, text) = self.get("/metrics");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(|line| line.rsplit_once(' ')).map(|(k, v)| (k.to_owned(), v.parse().unwrap())).collect()
    }

    /// The value of one series.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        *self.metrics().get(series).unwrap_or_else(|| panic!("no series {series}"))
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.0.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child.0), signal).unwrap();
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("it has ended", || {
            status = self.child.0.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Pagar {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}{}", self.announced, self.log());
        }
    }
}

/// A process that took over from the one a test started: ours to end, but not our child.
pub(crate) struct Heir(pub(crate) u32);

impl Heir {
    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.0.cast_signed()).unwrap(), signal).unwrap();
    }

    /// Whether it has ended; one that nobody has waited for yet has.
    pub(crate) fn has_ended(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
    }
}

impl Drop for Heir {
    fn drop(&mut self) {
        if !self.has_ended() {
            self.signal(Signal::KILL);
        }
    }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the program to its end.
pub(crate) fn pagar(words: &[&str]) -> Ended {
    run(Command::new(env!("CARGO_BIN_EXE_pagar")).args(words))
}

/// Runs a program to its end, which it must reach within [`LIMIT`].
pub(crate) fn run(command: &mut Command) -> Ended {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Reaped(command.spawn().unwrap());
    let out = child.0.stdout.take().map(read_aside).unwrap();
    let err = child.0.stderr.take().map(read_aside).unwrap();
    wait_until(&format!("{command:?} has ended"), || child.0.try_wait().unwrap().is_some());
    let text = |reader: JoinHandle<Vec<u8>>| String::from_utf8(reader.join().unwrap()).unwrap();
    Ended { code: child.0.wait().unwrap().code(), out: text(out), err: text(err) }
}

fn read_aside(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut octets = Vec::new();
        let _ = from.read_to_end(&mut octets); // what came before an error is what there is
        octets
    })
}
