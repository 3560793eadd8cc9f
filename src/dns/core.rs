//! [`Core`]: the one brain behind every transport.
//!
//! Two functions. [`Core::fast`] answers what it can without waiting: listed names, cached names, errors; it takes no lock
//! of the control plane, allocates nothing and reads no clock. [`Core::miss`], in `miss`, does the rest and may wait for an
//! upstream.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::Semaphore;

use crate::observe::counters::{Counters, Path};
use crate::policy::{PolicyReader, Snapshot, Verdict};

use super::Settings;
use super::access::Access;
use super::cache::{Cache, Kept};
use super::clock::{Clock, Millis};
use super::decide::{Decision, decide, on_targets};
use super::local::Said;
use super::query::{Keepalive, Options, Parsed, Query, parse};
use super::reply::{self, Ede, UDP_SIZE};
use super::resolve::Resolve;
use super::wire::{HEADER, rcode};

/// How a message was answered without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fast {
    /// This many octets are in the output buffer; the path is `None` for errors.
    Reply(usize, Option<Path>),
    /// No answer.
    Drop,
    /// The answer does not leave: too many like it do already, towards a source that nobody has shown to have asked.
    Held,
    /// Neither listed nor cached: for [`Core::miss`].
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
    pub(super) cache: Cache,
    pub(super) upstreams: Arc<dyn Resolve>,
    pub(super) access: Access,
    pub(super) misses: Arc<Semaphore>,
    /// How many misses may wait at a time.
    pub(super) max_misses: u32,
    /// The time every part of the data plane goes by.
    pub clock: Clock,
}

impl Core {
    /// Puts the parts together; at most `max_misses` questions wait for upstreams at a time.
    pub fn new(
        policy: PolicyReader,
        settings: Settings,
        cache: Cache,
        upstreams: Arc<dyn Resolve>,
        max_misses: u32,
        clock: Clock,
    ) -> Self {
        Self {
            policy,
            access: Access::new(&settings.access, max_misses, clock.clone()),
            settings: ArcSwap::from_pointee(settings),
            cache,
            upstreams,
            misses: Arc::new(Semaphore::new(max_misses as usize)),
            max_misses,
            clock,
        }
    }

    /// The policy in force: load once per batch, drop before waiting.
    pub fn policy(&self) -> Guard<Arc<Snapshot>> {
        self.policy.load()
    }

    /// The settings in force: load once per batch, drop before waiting.
    pub fn settings(&self) -> Guard<Arc<Settings>> {
        self.settings.load()
    }

    /// Takes over reloaded settings for every batch that starts from now on.
    ///
    /// Answers of other upstreams, or believed under other terms, are forgotten, and so are all when other zones are answered
    /// here: the cache never holds a name of a local zone.
    pub fn reconfigure(&self, settings: Settings) {
        self.access.prepare(&settings.access);
        let old = self.settings.swap(Arc::new(settings));
        let new = self.settings.load();
        if old.upstreams != new.upstreams || old.local != new.local {
            self.cache.clear();
        }
    }

    /// Answers what needs no waiting. `out` has room for the largest answer of the transport, at least 512 octets.
    pub fn fast(&self, message: &[u8], from: &Asker, view: &View, out: &mut [u8]) -> Fast {
        let mut query = match parse(message) {
            Parsed::Query(query) => query,
            Parsed::NoQuestion(asked) => return self.access.no_question(message, asked, from, view, out),
            Parsed::Malformed(error) => return self.access.malformed(message, error, from, view, out),
            Parsed::Drop(reason) => {
                view.counters.dropped(reason);
                return Fast::Drop;
            }
        };
        query.options = options(&query, from, view.settings);
        let out = within(from.size.limit(&query), out);
        let source = match self.access.judge(&mut query, from, &view.settings.access, view.now) {
            Ok(source) => source,
            Err(error) => return self.access.malformed(message, error, from, view, out),
        };
        let refused = self.access.admit(&query, source, from, view, out);
        let fast = refused.unwrap_or_else(|| self.decided(&query, from, view, out));
        self.access.leave(&query, source, fast, from, view, out)
    }

    /// Answers a query of a client we serve.
    fn decided(&self, query: &Query, from: &Asker, view: &View, out: &mut [u8]) -> Fast {
        if from.size == Size::Stream && query.edns.is_some_and(|edns| edns.keepalive == Keepalive::WithData) {
            return view.error(query, rcode::FORMERR, Ede::OTHER, out); // RFC 7828 §3.2.1; over UDP it means nothing
        }
        let exempt = || {
            let exempt = self.access.is_exempt(from.client, view);
            view.counters.exempt.add(exempt.into());
            exempt
        };
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

    fn cached(&self, query: &Query, from: &Asker, view: &View, out: &mut [u8]) -> Fast {
        let Some(kept) = self.cache.get(query.key(), view.now) else {
            // names of local zones are never kept, so that cached ones need not be looked for there
            return self.local(query, from, view, out).unwrap_or_else(|| {
                view.counters.cache_misses.inc();
                Fast::Miss
            });
        };
        view.counters.cache_hits.inc();
        self.answer(query, &kept, from, Path::Cached, view, out)
    }

    /// Answers with what an upstream said, or a local zone, unless it leads to a listed name and the client is not exempt.
    pub(super) fn answer(
        &self,
        query: &Query,
        kept: &Kept,
        from: &Asker,
        path: Path,
        view: &View,
        out: &mut [u8],
    ) -> Fast {
        if let Some(verdict) = on_targets(kept.answer.targets(), query.qtype, view.policy) {
            if !self.access.is_exempt(from.client, view) {
                return view.block(query, &verdict, true, out);
            }
            // a listed name has been counted already
            let listed = on_targets(query.name(), query.qtype, view.policy).is_some();
            view.counters.exempt.add((!listed).into());
        }
        let (age, limit) = (kept.age(view.now), from.size.limit(query));
        let (len, code) = kept.answer.render(query, age, view.settings.max_ttl, limit, out);
        view.counters.response(code);
        Fast::Reply(len, Some(path))
    }

    /// Answers a name of a local zone; `None` if it is of none.
    fn local(&self, query: &Query, from: &Asker, view: &View, out: &mut [u8]) -> Option<Fast> {
        let local = &view.settings.local;
        let kind = local.kind(query.name(), query.qtype)?;
        view.counters.local(kind);
        let answer = match local.answer(query) {
            Said::Answer(answer) => Some(answer),
            Said::Elsewhere(chain) if query.recursion_desired() => {
                let Some(rest) = self.cache.get(&chain.key(query), view.now) else {
                    view.counters.cache_misses.inc();
                    return Some(Fast::Miss);
                };
                view.counters.cache_hits.inc();
                chain.join(Some((&rest.answer, rest.age(view.now))))
            }
            Said::Elsewhere(chain) => chain.join(None),
            Said::NotReady => return Some(view.error(query, rcode::SERVFAIL, Ede::NOT_READY, out)),
            Said::Failed => None,
        };
        let Some(answer) = answer else { return Some(view.error(query, rcode::SERVFAIL, Ede::OTHER, out)) };
        let kept = Kept::new(answer.of_ours(), view.now, view.settings.max_ttl);
        Some(self.answer(query, &kept, from, Path::Local, view, out))
    }
}

/// The part of a buffer an answer may take.
pub(super) fn within(limit: usize, out: &mut [u8]) -> &mut [u8] {
    let limit = limit.min(out.len());
    &mut out[..limit]
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
}

const _: () = assert!(HEADER + 255 + 4 <= 512, "header and question always fit");
