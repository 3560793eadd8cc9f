//! [`Core`]: the one brain behind every transport.
//!
//! [`Core::fast`] answers what it can without waiting: listed names, cached names, names of local zones, errors. It takes
//! no lock of the control plane and reads no clock. It allocates nothing, but for two things: the task that fetches an
//! answer anew before it expires, once an answer; and names of local zones, whose answers hickory-server puts together
//! ([`local`](super::local)): octets, records and a lock nobody else holds, for each query. For the rest [`Core::wait`]
//! has an upstream asked and [`Core::conclude`] answers; they are in `miss`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::observe::counters::{Counters, Path};
use crate::policy::{PolicyReader, Preview, Snapshot, Verdict};

use super::Settings;
use super::access::Access;
use super::access::domains::Domains;
use super::answer::{Answer, Sections, Shown, relayed};
use super::cache::{Cache, Failed, Found, Kept};
use super::clock::{Clock, Millis};
use super::decide::{Decision, decide, lists_additional, on_targets};
use super::flight::Flights;
use super::local::{Chain, Said};
use super::near::Near;
use super::query::{Keepalive, Options, Parsed, Query, parse};
use super::reply::{self, Ede, UDP_SIZE};
use super::resolve::Resolve;
use super::wire::{HEADER, rcode};

/// Queries that may wait for each question that may be under way.
const WAITING_A_MISS: u32 = 4;

/// How a message was answered without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fast {
    /// This many octets are in the output buffer; the path is `None` for errors.
    Reply(usize, Option<Path>),
    /// No answer.
    Drop,
    /// The answer does not leave: too many like it do already, towards a source that nobody has shown to have asked.
    Held,
    /// Neither listed nor cached: for [`Core::wait`].
    Miss,
}

/// Largest answer a transport carries for a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// What the client's OPT says, at most [`UDP_SIZE`]; 512 without one (RFC 6891 §6.2.3).
    Datagram,
    /// A two-octet length.
    Stream,
}

impl Size {
    pub(super) fn limit(self, query: &Query) -> usize {
        match (self, query.edns) {
            (Self::Stream, _) => usize::from(u16::MAX),
            (Self::Datagram, Some(edns)) => usize::from(edns.udp_size).min(UDP_SIZE),
            (Self::Datagram, None) => 512,
        }
    }
}

/// See the module's header.
pub struct Core {
    pub(super) policy: PolicyReader,
    pub(super) settings: ArcSwap<Settings>,
    pub(super) cache: Arc<Cache>,
    pub(super) flights: Arc<Flights>,
    pub(super) access: Access,
    pub(super) waiting: Arc<Semaphore>,
    /// Who waits, by domain.
    pub(super) waiters: Arc<Domains>,
    /// How many queries may wait at a time.
    pub(super) max_waiting: u32,
    /// The time every part of the data plane goes by.
    pub clock: Clock,
}

impl Core {
    /// Puts the parts together; at most `max_misses` different questions are under way at a time, as tasks of
    /// `runtime`, and [`WAITING_A_MISS`] times as many queries wait for them.
    pub fn new(
        policy: PolicyReader,
        settings: Settings,
        cache: Arc<Cache>,
        upstreams: Arc<dyn Resolve>,
        max_misses: u32,
        clock: Clock,
        runtime: Handle,
    ) -> Self {
        // one at the least: it hears why there is no place for its question
        let max_waiting = max_misses.saturating_mul(WAITING_A_MISS).max(1);
        let access = Access::new(&settings.access, max_misses, clock.clone());
        Self {
            policy,
            settings: ArcSwap::from_pointee(settings),
            flights: Flights::new(access.domains.clone(), runtime, upstreams, cache.clone(), clock.clone()),
            access,
            cache,
            waiting: Arc::new(Semaphore::new(max_waiting as usize)),
            waiters: Arc::new(Domains::new(max_waiting, rand::random())),
            max_waiting,
            clock,
        }
    }

    /// The cache's [`generation`](Cache::generation): for what a worker has at hand.
    pub fn cache_generation(&self) -> u64 {
        self.cache.generation()
    }

    /// The policy in force: load once per batch, drop before waiting.
    pub fn policy(&self) -> Guard<Arc<Snapshot>> {
        self.policy.load()
    }

    /// What a candidate is counted in, if one is: load once per batch, drop before waiting.
    pub fn preview(&self) -> Guard<Option<Arc<Preview>>> {
        self.policy.preview()
    }

    /// The settings in force: load once per batch, drop before waiting.
    pub fn settings(&self) -> Guard<Arc<Settings>> {
        self.settings.load()
    }

    /// Takes over reloaded settings for every batch that starts from now on.
    ///
    /// Answers of other upstreams, or believed under other terms, are forgotten; so are all when other zones are answered
    /// here, since the cache is asked first, and when answers may not stay as long as they could.
    pub fn reconfigure(&self, settings: Settings) {
        self.access.prepare(&settings.access);
        let old = self.settings.swap(Arc::new(settings));
        let new = self.settings.load();
        if old.upstreams != new.upstreams || old.local != new.local || new.max_ttl < old.max_ttl {
            self.flights.forget();
            self.cache.clear();
        }
    }

    /// Forgets a name, as [`Cache::flush`] says; what is under way for any name is not kept when it comes.
    pub fn flush(&self, name: &[u8], subtree: bool) -> u64 {
        self.flights.forget();
        self.cache.flush(name, subtree)
    }

    /// Answers what needs no waiting. `out` has room for the largest answer of the transport, at least 512 octets.
    pub fn fast(&self, message: &[u8], from: &Asker, view: &View, out: &mut [u8]) -> Fast {
        let mut parsed = parse(message); // it stays where it is: a query is too much to move
        let query = match &mut parsed {
            Parsed::Query(query) => query,
            Parsed::NoQuestion(asked) => return self.access.no_question(message, *asked, from, view, out),
            Parsed::Malformed(error) => return self.access.malformed(message, *error, from, view, out),
            Parsed::Drop(reason) => {
                view.counters.dropped(*reason);
                return Fast::Drop;
            }
        };
        query.options = options(query, from, view.settings);
        let out = within(from.size.limit(query), out);
        let source = match self.access.judge(query, from, view) {
            Ok(source) => source,
            Err(error) => return self.access.malformed(message, error, from, view, out),
        };
        let refused = self.access.admit(query, source, from, view, out);
        let exempt = || {
            let exempt = self.access.is_exempt(from.client, view);
            view.counters.exempt.add(exempt.into());
            exempt
        };
        let fast = refused.unwrap_or_else(|| self.decided(query, from, exempt, view, out));
        self.access.leave(query, source, fast, from, view, out)
    }

    /// Answers a query of a client we serve. Whether he is `exempt` is asked of listed names only.
    #[inline]
    pub(super) fn decided(
        &self,
        query: &Query,
        from: &Asker,
        exempt: impl Fn() -> bool,
        view: &View,
        out: &mut [u8],
    ) -> Fast {
        if from.size == Size::Stream && query.edns.is_some_and(|edns| edns.keepalive == Keepalive::WithData) {
            return view.error(query, rcode::FORMERR, Ede::OTHER, out); // RFC 7828 §3.2.1; over UDP it means nothing
        }
        if let Some(preview) = view.preview {
            self.foresee(query, preview, from, view);
        }
        match decide(query, view.policy, exempt) {
            Decision::Block(verdict) => view.block(query, &verdict, false, out),
            Decision::Error(code, ede) => view.error(query, code, ede, out),
            Decision::Identity => match view.settings.identity.answer(query, out) {
                Some(len) => view.ours(len),
                None => view.error(query, rcode::REFUSED, Ede::NOT_SUPPORTED, out),
            },
            Decision::LocalOnly => self
                .local(query, from, view, out)
                .unwrap_or_else(|| view.error(query, rcode::REFUSED, Ede::NOT_AUTHORITATIVE, out)),
            Decision::Any => self
                .local(query, from, view, out)
                .unwrap_or_else(|| view.ours(reply::hinfo(query, view.settings.max_ttl, out))),
            Decision::Resolve => self.cached(query, from, view, out),
        }
    }

    #[inline]
    fn cached(&self, query: &Query, from: &Asker, view: &View, out: &mut [u8]) -> Fast {
        let epoch = self.cache.epoch(); // before the look-up: what it finds may be about to be forgotten
        if let Some(kept) = view.near.and_then(|near| near.get(query, view.now)) {
            return self.fresh(query, &kept, epoch, from, view, out);
        }
        match self.known(query.key(), view) {
            Known::Fresh(kept) => {
                let fast = self.fresh(query, &kept, epoch, from, view, out);
                if let Some(near) = view.near {
                    near.put(query, kept);
                }
                fast
            }
            Known::Stale(kept) => self.show(query, What::stale(None, &kept), from, Path::Cached, view, out),
            Known::Failed(failed) => view.kept_failure(query, &failed, from.size, out),
            // of local zones at most the DS of an apex is kept, so that cached names need not be looked for there
            Known::Nothing => self.local(query, from, view, out).unwrap_or_else(|| view.miss()),
        }
    }

    /// Answers with what the cache has.
    fn fresh(&self, query: &Query, kept: &Kept, epoch: u64, from: &Asker, view: &View, out: &mut [u8]) -> Fast {
        view.counters.cache_hits.inc();
        if view.settings.prefetch && kept.wants_prefetch(view.now) {
            self.prefetch(query, kept, epoch, view);
        }
        self.show(query, What::fresh(None, kept, view), from, Path::Cached, view, out)
    }

    /// What is to be said under a key without asking anybody.
    #[inline]
    fn known(&self, key: &[u8], view: &View) -> Known {
        let found = self.cache.find(key, view.now);
        if let Found::Fresh(kept) = found {
            return Known::Fresh(kept);
        }
        let failed = self.cache.failed(key, view.now);
        match (found.stale(view.settings, view.now), failed) {
            (Some(kept), failed) if failed.is_some() || kept.rests(view.now) => Known::Stale(kept),
            (None, Some(failed)) => Known::Failed(failed),
            _ => Known::Nothing,
        }
    }

    /// Has an answer fetched anew beside this query, within the bounds on questions under way.
    fn prefetch(&self, query: &Query, kept: &Kept, epoch: u64, view: &View) {
        if self.flights.prefetch(query, epoch, view.settings.max_ttl) {
            view.counters.cache_prefetches.inc();
        } else {
            kept.not_prefetched();
        }
    }

    /// Answers with what an upstream said, or a local zone, unless it leads to a listed name and the client is not
    /// exempt.
    pub(super) fn show(
        &self,
        query: &Query,
        what: What,
        from: &Asker,
        path: Path,
        view: &View,
        out: &mut [u8],
    ) -> Fast {
        let What { chain: None, kept, shown } = what else { return self.joined(query, what, from, path, view, out) };
        if let Some(verdict) = on_targets(kept.answer.targets(), query.qtype, view.policy) {
            if !self.access.is_exempt(from.client, view) {
                return view.block(query, &verdict, true, out);
            }
            // a listed name has been counted already
            let listed = on_targets(query.name(), query.qtype, view.policy).is_some();
            view.counters.exempt.add((!listed).into());
        }
        view.counters.cache_stale.add((shown == Shown::Stale).into());
        let withheld =
            lists_additional(kept.answer.additional(), view.policy) && !self.access.is_exempt(from.client, view);
        let sections = if withheld { Sections::Required } else { Sections::All };
        let (max_ttl, limit) = (view.settings.max_ttl, from.size.limit(query));
        let (len, code) = kept.answer.render(query, (shown, sections), max_ttl, limit, out);
        view.counters.response(code);
        Fast::Reply(len, Some(path))
    }

    /// Whether one of these names is listed, and the client is not exempt.
    pub(super) fn listed<'a>(
        &self,
        names: &'a [u8],
        query: &Query,
        from: &Asker,
        view: &View<'a>,
    ) -> Option<Verdict<'a>> {
        on_targets(names, query.qtype, view.policy).filter(|_| !self.access.is_exempt(from.client, view))
    }

    /// Answers a name of a local zone; `None` if it is of none.
    fn local(&self, query: &Query, from: &Asker, view: &View, out: &mut [u8]) -> Option<Fast> {
        let local = &view.settings.local;
        let kind = local.kind(query.name(), query.qtype)?;
        view.counters.local(kind);
        Some(match local.answer(query) {
            Said::Elsewhere(chain) if query.recursion_desired() => self.leads_out(query, &chain, from, view, out),
            said => self.said(query, said, from, view, out),
        })
    }

    /// Answers a name of ours that leads to somebody else's with what is known of that one.
    fn leads_out(&self, query: &Query, chain: &Chain, from: &Asker, view: &View, out: &mut [u8]) -> Fast {
        if let Some(verdict) = self.listed(chain.targets(), query, from, view) {
            return view.block(query, &verdict, true, out);
        }
        match self.known(&chain.key(query), view) {
            Known::Fresh(rest) => {
                view.counters.cache_hits.inc();
                self.show(query, What::fresh(Some(chain), &rest, view), from, Path::Local, view, out)
            }
            Known::Stale(rest) => self.show(query, What::stale(Some(chain), &rest), from, Path::Local, view, out),
            Known::Failed(failed) => view.kept_failure(query, &failed, from.size, out),
            Known::Nothing => view.miss(),
        }
    }

    /// Answers with what the local zones say by themselves.
    pub(super) fn said(&self, query: &Query, said: Said, from: &Asker, view: &View, out: &mut [u8]) -> Fast {
        let answer = match said {
            Said::Answer(answer) => Some(answer),
            Said::Elsewhere(chain) => chain.alone(),
            Said::NotReady => return view.error(query, rcode::SERVFAIL, Ede::NOT_READY, out),
            Said::Failed => None,
        };
        let Some(answer) = answer else { return view.error(query, rcode::SERVFAIL, Ede::OTHER, out) };
        let kept = view.just_now(answer);
        self.show(query, What::fresh(None, &kept, view), from, Path::Local, view, out)
    }

    /// Answers with CNAMEs of ours and the rest as one answer.
    fn joined(&self, query: &Query, what: What, from: &Asker, path: Path, view: &View, out: &mut [u8]) -> Fast {
        let (age, shown) = match what.shown {
            Shown::After(age) => (age, Shown::After(0)),
            Shown::Stale => (0, Shown::Stale),
        };
        let Some(whole) = what.chain.and_then(|chain| chain.join(&what.kept.answer, age)) else {
            return view.error(query, rcode::SERVFAIL, Ede::OTHER, out);
        };
        let whole = view.just_now(whole);
        self.show(query, What { chain: None, kept: &whole, shown }, from, path, view, out)
    }
}

/// What is to be shown.
#[derive(Clone, Copy)]
pub(super) struct What<'a> {
    /// CNAMEs of ours that lead to it.
    chain: Option<&'a Chain>,
    kept: &'a Kept,
    shown: Shown,
}

impl<'a> What<'a> {
    /// An answer within its TTL, behind CNAMEs of ours if those lead to it.
    pub(super) fn fresh(chain: Option<&'a Chain>, kept: &'a Kept, view: &View) -> Self {
        Self { chain, kept, shown: Shown::After(kept.age(view.now)) }
    }

    /// One past its TTL.
    pub(super) fn stale(chain: Option<&'a Chain>, kept: &'a Kept) -> Self {
        Self { chain, kept, shown: Shown::Stale }
    }
}

/// What is to be said about a question without asking anybody.
enum Known {
    Fresh(Arc<Kept>),
    /// Past its TTL, and a refresh has failed a short time ago.
    Stale(Arc<Kept>),
    Failed(Arc<Failed>),
    Nothing,
}

/// The part of a buffer an answer may take.
pub(super) fn within(limit: usize, out: &mut [u8]) -> &mut [u8] {
    let limit = limit.min(out.len());
    &mut out[..limit]
}

impl Found {
    /// The answer past its TTL, if these settings allow to use it.
    pub(super) fn stale(self, settings: &Settings, now: Millis) -> Option<Arc<Kept>> {
        let max = u64::try_from(settings.stale?.max.as_millis()).unwrap_or(u64::MAX);
        match self {
            Self::Expired(kept) if kept.stale_for(now) < max => Some(kept),
            _ => None,
        }
    }
}

/// Who asks, and how.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// The client's address.
    pub client: IpAddr,
    /// How large an answer may be.
    pub size: Size,
    /// How long an idle connection stays; zero for datagrams.
    pub idle: Duration,
}

impl Asker {
    /// Somebody who asks by datagram.
    pub fn datagram(client: IpAddr) -> Self {
        Self { client, size: Size::Datagram, idle: Duration::ZERO }
    }

    /// Somebody who asks over a stream that may be idle for so long.
    pub fn stream(client: IpAddr, idle: Duration) -> Self {
        Self { client, size: Size::Stream, idle }
    }
}

/// What our OPT record is to say to this asker besides errors.
pub(super) fn options<'a>(query: &Query<'a>, from: &Asker, settings: &'a Settings) -> Options<'a> {
    let Some(edns) = query.edns else { return Options::default() };
    let units = u16::try_from(from.idle.as_millis() / 100).unwrap_or(u16::MAX);
    let keepalive = (edns.keepalive == Keepalive::Asked && from.size == Size::Stream).then_some(units);
    let nsid = settings.identity.nsid.as_ref().filter(|_| edns.nsid).map(String::as_bytes);
    Options { keepalive, nsid, ..Options::default() }
}

/// What a batch of messages is answered by and counted in: loaded once, dropped before waiting.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The policy.
    pub policy: &'a Snapshot,
    /// The settings.
    pub settings: &'a Settings,
    /// The thread's counters.
    pub counters: &'a Counters,
    /// The time.
    pub now: Millis,
    /// What the thread has at hand, if it answers by itself.
    pub near: Option<&'a Near>,
    /// What a candidate is counted in, if one is.
    pub preview: Option<&'a Preview>,
}

impl View<'_> {
    /// Answers a listed name, or one that leads to a listed name (`cloaked`).
    pub(super) fn block(&self, query: &Query, verdict: &Verdict, cloaked: bool, out: &mut [u8]) -> Fast {
        let (len, code) = reply::blocked(query, verdict, self.policy.serial, self.policy.ttl, cloaked, out);
        let slots = verdict.entry.slots;
        self.counters.response(code);
        self.counters.block(slots.blocked, slots.hit);
        Fast::Reply(len, Some(Path::Blocked))
    }

    /// An answer that came this moment.
    fn just_now(&self, answer: Answer) -> Kept {
        Kept::new(answer, self.now, self.settings.max_ttl)
    }

    /// An upstream has to be asked.
    fn miss(&self) -> Fast {
        self.counters.cache_misses.inc();
        Fast::Miss
    }

    /// Answers with an error.
    fn error(&self, query: &Query, code: u16, ede: Ede, out: &mut [u8]) -> Fast {
        self.counters.response(code);
        Fast::Reply(reply::error(query, code, ede, out), None)
    }

    /// Answers with what is written already.
    fn ours(&self, len: usize) -> Fast {
        self.counters.response(rcode::NOERROR);
        Fast::Reply(len, Some(Path::Local))
    }

    /// Answers with a failure of a short time ago: its code and errors, and that it is kept (RFC 8914 §4.14).
    pub(super) fn kept_failure(&self, query: &Query, failed: &Failed, size: Size, out: &mut [u8]) -> Fast {
        self.counters.cache_failures.inc();
        if failed.truncated && size == Size::Datagram {
            self.counters.response(rcode::NOERROR);
            return Fast::Reply(reply::truncated(query, Ede::CACHED_ERROR, out), Some(Path::Cached));
        }
        self.counters.response(failed.code);
        let kept = [(Ede::CACHED_ERROR, &b""[..])];
        let errors = failed.errors.iter().map(|code| relayed(*code)).chain(kept);
        let octets = HEADER + query.question().len() + reply::opt_len(&query.options, errors.clone());
        let len = if octets <= size.limit(query) {
            reply::error_with(query, failed.code, errors, out)
        } else {
            reply::error(query, failed.code, Ede::CACHED_ERROR, out)
        };
        Fast::Reply(len, Some(Path::Cached))
    }
}

const _: () = assert!(HEADER + 255 + 4 <= 512, "header and question always fit");
