//! [`World`]: the real [`Core`] and the real [`State`] with injected clocks, a scripted upstream and no sockets, and the
//! steps of a scenario carried out on them one by one.
//!
//! What `control::task` and `dns::listen` do between these parts is done here in the same order: compile, resolve for the
//! wall clock, publish under the next serial; `fast`, and `miss` where that says so.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use pagar::control::state::State;
use pagar::dns::cache::Cache;
use pagar::dns::clock::Clock;
use pagar::dns::core::{Asker, Core, Fast, View};
use pagar::dns::listen::stream::Limits;
use pagar::dns::local::{Local, parse as parse_zone};
use pagar::dns::miss::Permit;
use pagar::dns::near::Near;
use pagar::dns::{Forwarding, Settings, Stale};
use pagar::ingest::Document;
use pagar::model::{
    Authority, AuthorityId, Category, DnsName, LegalBasis, Network, Networks, Notice, NoticeId, Sensitivity, Validity,
};
use pagar::observe::counters::{Counters, Transport};
use pagar::observe::metrics::Metrics;
use pagar::policy::store::store;
use pagar::policy::{Change, Page, Pages, PolicyWriter, Register, Slots};
use sha2::{Digest, Sha256};
use tokio::runtime::{Builder, Runtime};

use super::check::{Asked, DATAGRAM, Got, differs, same};
use super::script::{Act, Ask, BEGIN, Config, Entry, Expected, Mood, Order, Script, Step, parse};
use super::upstream::Scripted;

/// How often a question under way may give way to others before it is said to wait.
const TURNS: usize = 50;

/// Runs a scenario; returns what went wrong, each with its place. Every step is tried, also after a failed one.
pub(super) fn run(file: &str, text: &str) -> Vec<String> {
    let script = match parse(text) {
        Ok(script) => script,
        Err((line, mistake)) => return vec![format!("{file}:{line}: {mistake}")],
    };
    let mut failures = Vec::new();
    let mut world = World::new(&script);
    for step in &script.steps {
        let place = format!("{file}:{}: STEP {} {}", step.line, step.number, step.keyword);
        let outcome = world.step(&script, step).map_err(|failure| vec![failure]);
        let mistakes = world.upstream.mistakes();
        let all = outcome.err().into_iter().flatten().chain(mistakes);
        failures.extend(all.map(|failure| format!("{place}: {failure}")));
    }
    if let Some(number) = world.unchecked() {
        failures.push(format!("{file}: the answer to STEP {number} is never checked"));
    }
    failures
}

/// See the module's header.
struct World {
    runtime: Runtime,
    core: Arc<Core>,
    /// What a UDP worker has at hand.
    near: Near,
    upstream: Arc<Scripted>,
    metrics: Metrics,
    counters: Arc<Counters>,
    state: State,
    pages: Pages,
    writer: PolicyWriter,
    wall: Timestamp,
    monotonic: Arc<AtomicU64>,
    /// The upstream's entries by the last UPSTREAM step; before that those of the ranges.
    mood: Mood,
    entries: Option<Vec<Entry>>,
    /// Queries whose answer is still to be checked, and the last one, by label.
    asked: BTreeMap<String, Asked>,
}

impl World {
    fn new(script: &Script) -> Self {
        let config = &script.config;
        let wall: Timestamp = "2026-11-01T09:00:00+08:00".parse().expect("a time");
        let page = Page { v4: config.page_v4, v6: config.page_v6 };
        let pages = Pages { default: page, rules: Vec::new(), ttl: config.block_ttl };
        let (writer, reader) = store(Register::new(wall).snapshot(pages.ttl, 0));
        let metrics = Metrics::new("0", "test").expect("the metrics of the program");
        let monotonic = Arc::new(AtomicU64::new(BEGIN.unsigned_abs() * 1_000));
        let upstream = Arc::new(Scripted::new(config.trust_ad));
        // tokio's clock goes on with TIME_PASSES only, as the other two
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        let clock = Clock::Manual(monotonic.clone());
        let (cache, handle) = (Arc::new(Cache::new(config.cache)), runtime.handle().clone());
        let core = Core::new(reader, settings(config), cache, upstream.clone(), config.places, clock, handle);
        Self {
            runtime,
            core: Arc::new(core),
            near: Near::default(),
            upstream,
            counters: metrics.worker(),
            metrics,
            state: configured(script),
            pages,
            writer,
            wall,
            monotonic,
            mood: Mood::Answers,
            entries: None,
            asked: BTreeMap::new(),
        }
    }

    fn step(&mut self, script: &Script, step: &Step) -> Result<(), String> {
        let in_range = |(first, last, _): &&(u32, u32, Vec<Entry>)| (*first..=*last).contains(&step.number);
        let ranges = script.ranges.iter().filter(in_range).flat_map(|(.., entries)| entries.clone());
        let entries = self.entries.clone().unwrap_or_else(|| ranges.collect());
        self.upstream.script(self.mood, entries);
        let outcome = self.act(step);
        self.runtime.block_on(turns()); // what goes on behind an answer
        outcome
    }

    fn act(&mut self, step: &Step) -> Result<(), String> {
        match &step.act {
            Act::Notice(order) => self.notice(order),
            Act::Withdraw(id) => self.withdraw(id),
            Act::Query(ask) => self.query(step.number, ask),
            Act::CheckAnswer(expected) => self.check_answer(expected),
            Act::TimePasses { wall, monotonic } => {
                self.time_passes(*wall, *monotonic);
                Ok(())
            }
            Act::Upstream(mood, entries) => {
                self.mood = *mood;
                if !entries.is_empty() {
                    self.entries = Some(entries.clone());
                }
                Ok(())
            }
            Act::Flush { name, subtree, count } => {
                let flushed = self.core.flush(name.as_wire(), *subtree);
                same("entries flushed", &[count.to_string()], &[flushed.to_string()])
            }
            Act::CheckUpstream(asked) => same("the upstream was asked", asked, &self.upstream.asked()),
            Act::CheckMetric { series, value } => self.check_metric(series, value),
        }
    }

    fn unchecked(&self) -> Option<u32> {
        self.asked.values().find(|asked| !asked.checked).map(|asked| asked.number)
    }
}

/// Lets every task go as far as it can.
async fn turns() {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
}

fn settings(config: &Config) -> Settings {
    let read = |(origin, text): &(DnsName, String)| {
        parse_zone(origin, text.as_bytes()).unwrap_or_else(|mistakes| panic!("{origin}: {mistakes:?}"))
    };
    let zones = config.zones.iter().map(read).collect();
    let local = Arc::new(Local::new(config.special_names, &config.forward, zones, &[]));
    let allow = config.allow.iter().map(|network| network.parse::<Network>().expect("a network"));
    let stale = |max| Stale { client_timeout: Duration::from_millis(1_800), max: Duration::from_secs(max) };
    Settings {
        allow: allow.collect(),
        upstreams: Vec::new(),
        forwarding: Forwarding::default(),
        max_ttl: config.max_ttl,
        access: config.access.clone(),
        exempt: config.exempt.clone(),
        prefetch: config.prefetch,
        stale: config.serve_stale.map(stale),
        tcp: Limits::default(),
        proxy: Networks::default(),
        identity: config.identity.clone(),
        local,
    }
}

/// A state that knows the authorities and sources the file's notices come from.
fn configured(script: &Script) -> State {
    let mut authorities = BTreeMap::new();
    let mut sources = BTreeMap::new();
    for step in &script.steps {
        if let Act::Notice(order) = &step.act {
            sources.insert(source(order), order.order);
            if let Some(kind) = order.kind {
                let id = AuthorityId::new(&order.authority);
                let name = order.authority.clone();
                let authority = Authority {
                    id,
                    kind,
                    name,
                    keys: Vec::new(),
                    required_signatures: 1,
                    categories: None,
                    test: false,
                };
                authorities.insert(order.authority.clone(), authority);
            }
        }
    }
    let mut state = State::default();
    state.configure(authorities.into_values().collect(), sources);
    state
}

fn source(order: &Order) -> String {
    format!("source-{}", order.order)
}

//------ notices and time --------------------------------------------------------------------------------------------------

impl World {
    fn notice(&mut self, order: &Order) -> Result<(), String> {
        let place = (source(order), order.id.clone());
        let document = Document { notice: self.document(order), targets: to_targets(order) };
        let refused = self.state.put(vec![(place, document)]).pop().map(|(_, problem)| problem.code.to_owned());
        self.compile()?;
        match (&refused, &order.refused) {
            (got, expected) if got == expected => Ok(()),
            (got, expected) => Err(differs(
                "the notice is refused as",
                expected.as_deref().unwrap_or("nothing, it is accepted"),
                got.as_deref().unwrap_or("nothing, it is accepted"),
            )),
        }
    }

    fn document(&self, order: &Order) -> Notice {
        let at = |seconds| self.wall + SignedDuration::from_secs(seconds);
        Notice {
            id: NoticeId::new(&order.id),
            sequence: 0, // a scenario's notices have none
            authority: AuthorityId::new(&order.authority),
            legal_basis: LegalBasis { power: "CMA 1998 s.263(2)".into(), offence: None },
            category: Category::new(&order.category),
            sensitivity: order.sensitivity,
            issued_at: self.wall,
            validity: Validity { effective_at: at(order.from), expires_at: order.expires.map(at) },
            deadline_at: None,
            review_by: None,
            action: order.action,
            contact: Vec::new(),
            appeal: None,
            text: BTreeMap::new(),
            digest: Sha256::digest(&order.text).into(),
        }
    }

    fn withdraw(&mut self, id: &str) -> Result<(), String> {
        let before = self.writer.current().notices();
        for order in 0..16 {
            self.state.remove(&(format!("source-{order}"), id.to_owned()));
        }
        self.compile()?;
        let known = self.writer.current().notices() < before;
        known.then_some(()).ok_or_else(|| format!("no notice {id} was accepted"))
    }

    fn time_passes(&mut self, wall: i64, monotonic: i64) {
        self.wall += SignedDuration::from_secs(wall);
        self.monotonic.fetch_add(monotonic.unsigned_abs() * 1_000, Relaxed);
        self.runtime.block_on(tokio::time::advance(Duration::from_secs(monotonic.unsigned_abs())));
        let change = self.state.register().at(self.wall);
        self.publish(change);
    }

    /// What the control task does after every change.
    fn compile(&mut self) -> Result<(), String> {
        let labels = &self.metrics.labels;
        let slots = |notice: &Notice| Slots {
            blocked: labels.blocked(notice.authority.as_str(), notice.category.as_str(), notice.action.as_str()),
            hit: (notice.sensitivity != Sensitivity::Secret).then(|| labels.hit(notice.id.as_str())),
        };
        let change = self.state.compile(&self.pages, slots, self.wall).map_err(|error| error.to_string())?;
        self.publish(change);
        Ok(())
    }

    /// As there, a serial is only spent on a policy that differs.
    fn publish(&mut self, change: Change) {
        let serial = self.writer.current().serial + u32::from(change.differs);
        self.writer.publish(self.state.register().snapshot(self.pages.ttl, serial));
        self.writer.sweep();
    }
}

fn to_targets(order: &Order) -> pagar::model::Targets {
    order.targets.iter().map(|(name, scope)| (name, *scope)).collect()
}

//------ queries and answers -----------------------------------------------------------------------------------------------

impl World {
    fn query(&mut self, number: u32, ask: &Ask) -> Result<(), String> {
        let id = 0x1000 + number as u16;
        let sent = ask.raw.clone().map_or_else(|| ask.message.encode(id), Ok)?;
        let got = self.exchange(&sent, ask.client, ask.tcp);
        let asked = Asked { number, ask: ask.clone(), sent, got, checked: false };
        match self.asked.insert(ask.label.clone(), asked).filter(|before| !before.checked) {
            None => Ok(()),
            Some(before) => Err(format!("the answer to STEP {} is never checked", before.number)),
        }
    }

    fn exchange(&self, sent: &[u8], client: IpAddr, tcp: bool) -> Got {
        let asker = if tcp { Asker::stream(client, Duration::from_secs(10)) } else { Asker::datagram(client) };
        let mut out = vec![0; if tcp { usize::from(u16::MAX) } else { DATAGRAM }];
        let fast = {
            let (policy, settings) = (self.core.policy(), self.core.settings());
            let now = self.core.clock.now();
            self.near.follow(self.core.cache_generation());
            let near = (!tcp).then_some(&self.near);
            let view =
                View { policy: &policy, settings: &settings, counters: &self.counters, now, near, preview: None };
            self.core.fast(sent, &asker, &view, &mut out)
        };
        if fast != Fast::Drop {
            self.counters.query(if tcp { Transport::Tcp } else { Transport::Udp });
        }
        match fast {
            Fast::Reply(len, _) => Got::Answer(out[..len].to_vec()),
            Fast::Drop | Fast::Held => Got::Nothing,
            Fast::Miss => match self.core.permit(sent) {
                Ok(permit) => self.settle(self.miss(sent.to_vec(), asker, permit, out)),
                Err(shed) => match self.core.overloaded(sent, &asker, shed, &self.counters, &mut out) {
                    Fast::Reply(len, _) => Got::Answer(out[..len].to_vec()),
                    _ => Got::Nothing,
                },
            },
        }
    }

    fn miss(&self, sent: Vec<u8>, asker: Asker, permit: Permit, mut out: Vec<u8>) -> Got {
        let (core, counters) = (self.core.clone(), self.counters.clone());
        Got::Waiting(self.runtime.spawn(async move {
            let awaited = core.wait(&sent, &counters).await;
            let fast = core.conclude(&sent, &asker, awaited, &counters, &mut out);
            drop(permit);
            match fast {
                Fast::Reply(len, _) => Some(out[..len].to_vec()),
                Fast::Drop | Fast::Held | Fast::Miss => None,
            }
        }))
    }

    /// Lets a question under way go as far as it can.
    fn settle(&self, got: Got) -> Got {
        let Got::Waiting(task) = got else { return got };
        self.runtime.block_on(async {
            turns().await;
            if !task.is_finished() {
                return Got::Waiting(task);
            }
            task.await.expect("the core does not panic").map_or(Got::Nothing, Got::Answer)
        })
    }

    fn check_answer(&mut self, expected: &Expected) -> Result<(), String> {
        let mut asked = self.asked.remove(&expected.label).ok_or("nothing was asked")?;
        asked.got = self.settle(asked.got);
        asked.checked = !expected.waiting;
        let outcome = asked.check(expected);
        self.asked.insert(expected.label.clone(), asked);
        outcome
    }

    fn check_metric(&self, series: &str, value: &str) -> Result<(), String> {
        let text = self.metrics.text();
        let got = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        let got = got.unwrap_or("none");
        if got == value { Ok(()) } else { Err(differs(series, value, got)) }
    }
}
