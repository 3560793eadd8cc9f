//! [`Local`]: zones this program answers by itself, with authority, instead of asking an upstream: special-use names and
//! the operator's own small zones. Behind it stands hickory-server's `Catalog`; no other file knows its traits.
//!
//! ```text
//!  Settings.local --kind: closest entry above the name--+--> none, or forwarded: not ours
//!                                                        `--> answer: Catalog -> Handler -> Zone, CNAMEs followed --> Answer
//! ```
//!
//! It is asked after the notices and after the cache, which never holds a name of these zones: cached answers pay nothing.
//! Nothing waits here: the handlers answer at once, so their futures are polled once. One that does not is a bug, reported
//! as SERVFAIL.

mod join;
mod special;
mod text;
mod zone;

use std::collections::HashMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::FutureExt;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{LowerName, RData, Record, RecordType, TSigResponseContext};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};
use hickory_server::net::NetError;
use hickory_server::net::runtime::TokioTime;
use hickory_server::net::xfer::Protocol;
use hickory_server::server::{Request, RequestHandler, RequestInfo, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::{AuthLookup, AxfrPolicy, Catalog, LookupControlFlow, LookupError, LookupOptions};
use hickory_server::zone_handler::{LookupRecords, MessageResponse, ZoneHandler, ZoneType};

pub use text::{Mistake, parse};
pub use zone::Zone;

use crate::model::DnsName;
use crate::model::name::{labels, parent};
use crate::observe::counters::LocalKind;
use crate::observe::throttle::Throttle;

use super::answer::{Answer, question_of};
use super::query::Query;
use super::wire::{IN, rtype};
use zone::{Found, hickory_name};

/// CNAMEs followed in one answer; more are a loop or as good as one.
const MAX_CHAIN: usize = 8;

/// That a zone did not answer at once, which any query might bring about.
static SAID: Throttle = Throttle::new();

/// `[dns.local]` and `[[local_zone]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalConfig {
    /// Whether special-use names are answered here.
    pub special_names: bool,
    /// Zones that go upstream all the same; a special zone at or below one of these is not served, and a name below a served
    /// one is forwarded if it is at or below one of these.
    pub forward: Vec<DnsName>,
    /// The operator's zones and the files they are in.
    pub zones: Vec<(DnsName, PathBuf)>,
}

/// How far an entry of `forward` reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwardable {
    /// It is, holds or stands below a special zone.
    Special,
    /// It is `resolver.arpa.` or below it.
    Never,
    /// There is no such zone: the entry would do nothing.
    Unknown,
}

/// What forwarding this name would mean.
pub fn forwardable(name: &DnsName) -> Forwardable {
    let never = DnsName::from_text(special::NEVER_FORWARDED);
    if never.is_ok_and(|never| name.is_at_or_below(&never)) {
        return Forwardable::Never;
    }
    let known = special::names().any(|zone| name.is_at_or_below(&zone) || zone.is_at_or_below(name));
    if known && !name.is_root() { Forwardable::Special } else { Forwardable::Unknown }
}

/// Who answers for a name and everything below it, up to the next entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Here {
        kind: LocalKind,
        /// DS of the name itself is its parent's.
        ds_forwarded: bool,
    },
    /// The operator's zone could not be read.
    Broken,
    Forward,
}

/// See the module's header.
#[derive(Default)]
pub struct Local {
    places: HashMap<Box<[u8]>, Place>,
    zones: Vec<Arc<Zone>>,
    catalog: Catalog,
    /// Most labels an entry of `places` has.
    depth: usize,
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("places", &self.places).finish_non_exhaustive()
    }
}

impl PartialEq for Local {
    fn eq(&self, other: &Self) -> bool {
        self.places == other.places && self.zones == other.zones
    }
}

impl Eq for Local {}

impl Local {
    /// Joins the zones. Of an operator's zone and a special one with the same name the operator's counts.
    ///
    /// `forward` is [`LocalConfig::forward`] and every zone an upstream of its own is configured for; `broken` are zones that
    /// could not be read and are answered with SERVFAIL: asking others would be worse.
    pub fn new(special_names: bool, forward: &[DnsName], zones: Vec<Zone>, broken: &[DnsName]) -> Self {
        let excepted = |zone: &Zone| {
            forwardable(zone.origin()) != Forwardable::Never
                && forward.iter().any(|above| !above.is_root() && zone.origin().is_at_or_below(above))
        };
        let special = special::zones().filter(|(zone, _)| special_names && !excepted(zone));
        let forward: Vec<_> = forward.iter().filter(|zone| forwardable(zone) != Forwardable::Never).collect();
        let mut all: Vec<_> = special.map(|(zone, ds_forwarded)| (zone, LocalKind::Special, ds_forwarded)).collect();
        all.extend(zones.into_iter().map(|zone| (zone, LocalKind::Operator, true)));
        // what is answered elsewhere exists all the same: NXDOMAIN above it would deny it as well (RFC 8020 §2)
        let origins: Vec<_> = all.iter().map(|(zone, ..)| zone.origin().clone()).collect();
        for (zone, ..) in &mut all {
            forward.iter().copied().chain(&origins).chain(broken).for_each(|name| zone.exists(name));
        }
        let mut local = Self::default();
        forward.into_iter().for_each(|zone| local.place(zone, Place::Forward));
        all.into_iter().for_each(|(zone, kind, ds_forwarded)| local.serve(zone, kind, ds_forwarded));
        broken.iter().for_each(|zone| local.place(zone, Place::Broken));
        local
    }

    fn serve(&mut self, zone: Zone, kind: LocalKind, ds_forwarded: bool) {
        let zone = Arc::new(zone);
        let Some(name) = hickory_name(zone.origin().as_wire()) else { return };
        self.place(zone.origin(), Place::Here { kind, ds_forwarded });
        let origin = LowerName::new(&name);
        self.catalog.upsert(origin.clone(), vec![Arc::new(Handler { origin, zone: zone.clone() })]);
        self.zones.push(zone);
    }

    fn place(&mut self, zone: &DnsName, place: Place) {
        self.depth = self.depth.max(zone.label_count());
        self.places.insert(zone.as_wire().into(), place);
    }

    /// Whose name this is, if it is answered here. Allocates nothing.
    pub fn kind(&self, name: &[u8], qtype: u16) -> Option<LocalKind> {
        if self.places.is_empty() {
            return None;
        }
        match self.place_of(name, qtype)? {
            Place::Here { kind, .. } => Some(kind),
            Place::Broken => Some(LocalKind::Operator),
            Place::Forward => None,
        }
    }

    /// The entry that counts for this name and type: DS is the parent's data (RFC 4035 §3.1.4.1), and the parent may be
    /// ours.
    fn place_of(&self, name: &[u8], qtype: u16) -> Option<Place> {
        let parents = qtype == rtype::DS
            && matches!(self.places.get(name), Some(Place::Here { ds_forwarded: true, .. } | Place::Forward));
        self.closest(if parents { parent(name)? } else { name })
    }

    /// The entry at the name or the nearest one above it.
    fn closest(&self, name: &[u8]) -> Option<Place> {
        let above = labels(name).count().saturating_sub(self.depth); // no entry has so many labels
        let mut at = Some(name);
        for _ in 0..above {
            at = at.and_then(parent);
        }
        while let Some(name) = at {
            if let Some(place) = self.places.get(name) {
                return Some(*place);
            }
            at = parent(name);
        }
        None
    }

    /// Answers a question about a name [`Self::kind`] says is ours.
    pub fn answer(&self, query: &Query) -> Said {
        let (name, qtype) = (query.name(), query.qtype);
        if self.place_of(name, qtype) == Some(Place::Broken) {
            return Said::NotReady;
        }
        let Some(mut message) = self.ask(name, qtype) else { return Said::Failed };
        let question = question_of(query);
        let (mut chain, mut targets) = (Vec::new(), Vec::new());
        while let Some(target) = leads_on(&message, qtype) {
            if chain.len() + message.answers.len() > MAX_CHAIN {
                return Said::Failed;
            }
            chain.append(&mut message.answers);
            targets.extend_from_slice(&target);
            if self.place_of(&target, qtype) == Some(Place::Broken) {
                return Said::NotReady;
            }
            if self.kind(&target, qtype).is_none() {
                let message = Message::response(0, hickory_proto::op::OpCode::Query);
                let head = written(message, chain, &question);
                return head.map_or(Said::Failed, |head| Said::Elsewhere(Chain { head, question, targets, target }));
            }
            let Some(next) = self.ask(&target, qtype) else { return Said::Failed };
            message = next;
        }
        chain.append(&mut message.answers);
        let octets = written(message, chain, &question);
        octets.and_then(|octets| ours(&octets, &question)).map_or(Said::Failed, Said::Answer)
    }

    /// What the catalog says.
    fn ask(&self, name: &[u8], qtype: u16) -> Option<Message> {
        let mut question = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        question.extend_from_slice(name);
        question.extend_from_slice(&qtype.to_be_bytes());
        question.extend_from_slice(&IN.to_be_bytes());
        let nobody = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let request = Request::from_bytes(question, nobody, Protocol::Tcp).ok()?;
        let collect = Collect::default();
        let handled = self.catalog.handle_request::<_, TokioTime>(&request, collect.clone()).now_or_never();
        if handled.is_none()
            && let Some(more) = SAID.pass()
        {
            tracing::error!(more, "a local zone did not answer at once: this is a bug");
        }
        let octets = std::mem::take(&mut *collect.lock());
        Message::from_vec(&octets).ok()
    }
}

/// What the local zones say.
#[derive(Debug)]
pub enum Said {
    /// The whole answer.
    Answer(Answer),
    /// A CNAME leads to a name that is not ours.
    Elsewhere(Chain),
    /// The zone could not be read.
    NotReady,
    /// A loop of CNAMEs, or a bug.
    Failed,
}

/// CNAMEs of ours that lead to a name of somebody else.
#[derive(Debug)]
pub struct Chain {
    /// A message with the question and the CNAMEs.
    head: Vec<u8>,
    question: Vec<u8>,
    /// Canonical wire names the CNAMEs lead to, end to end.
    targets: Vec<u8>,
    /// The last of them.
    target: Vec<u8>,
}

impl Chain {
    /// Canonical wire names it leads through, end to end.
    pub fn targets(&self) -> &[u8] {
        &self.targets
    }

    /// The question section to ask an upstream for the rest.
    pub fn rest(&self) -> Vec<u8> {
        let tail = self.question.split_last_chunk::<4>().map_or(&[][..], |(_, tail)| tail);
        [&self.target, tail].concat()
    }

    /// The key of the rest in the cache, for the query that led here.
    pub fn key(&self, query: &Query) -> Vec<u8> {
        [&self.target[..], &query.key()[query.name().len()..]].concat()
    }

    /// The CNAMEs alone, for whoever wants nobody asked.
    pub fn alone(&self) -> Option<Answer> {
        ours(&self.head, &self.question)
    }

    /// The CNAMEs and the rest, which is `age` seconds old. An error stays one, without records, and so does an answer
    /// that was cut off. `None` if the two are no chain: a loop, more than 16 links, over 64 KiB.
    pub fn join(&self, rest: &Answer, age: u32) -> Option<Answer> {
        if rest.is_error() || rest.truncated {
            return Answer::parse(&join::without_records(&self.question, rest), &self.question, false).ok();
        }
        ours(&join::behind(&self.head, &self.question, rest, age)?, &self.question)
    }
}

/// The target of the CNAME an answer ends in, if the type asked is another.
fn leads_on(message: &Message, qtype: u16) -> Option<Vec<u8>> {
    if qtype == rtype::CNAME || qtype == rtype::ANY {
        return None;
    }
    let Some(RData::CNAME(target)) = message.answers.last().map(|record| &record.data) else { return None };
    target.0.to_lowercase().to_bytes().ok()
}

/// The message with these answers to `question`, which takes the place of its own.
fn written(mut message: Message, answers: Vec<Record>, question: &[u8]) -> Option<Vec<u8>> {
    let name = hickory_name(question)?;
    let qtype = question.len().checked_sub(4).and_then(|at| super::wire::u16_at(question, at))?;
    message.queries = vec![hickory_proto::op::Query::query(name, RecordType::from(qtype))];
    message.answers = answers;
    message.to_vec().ok()
}

/// The message as an answer of ours, with authority for the name asked (RFC 1035 §4.1.1).
fn ours(message: &[u8], question: &[u8]) -> Option<Answer> {
    Answer::parse(message, question, false).ok().map(Answer::of_ours)
}

//------ hickory-server's traits -------------------------------------------------------------------------------------------

/// One zone in the catalog.
struct Handler {
    origin: LowerName,
    zone: Arc<Zone>,
}

#[async_trait]
impl ZoneHandler for Handler {
    fn zone_type(&self) -> ZoneType {
        ZoneType::Primary
    }

    fn axfr_policy(&self) -> AxfrPolicy {
        AxfrPolicy::Deny
    }

    fn origin(&self) -> &LowerName {
        &self.origin
    }

    async fn lookup(
        &self,
        name: &LowerName,
        rtype: RecordType,
        _info: Option<&RequestInfo<'_>>,
        _options: LookupOptions,
    ) -> LookupControlFlow<AuthLookup> {
        let found = name.to_bytes().map(|name| self.zone.find(&name, rtype.into()));
        LookupControlFlow::Break(match found {
            Ok(Found::Records(records)) => Ok(AuthLookup::answers(LookupRecords::Section(records), None)),
            Ok(Found::NoData) => Err(LookupError::NameExists),
            Ok(Found::NxDomain) => Err(LookupError::ResponseCode(ResponseCode::NXDomain)),
            Err(error) => Err(error.into()),
        })
    }

    async fn search(
        &self,
        request: &Request,
        options: LookupOptions,
    ) -> (LookupControlFlow<AuthLookup>, Option<TSigResponseContext>) {
        let found = match request.request_info() {
            Ok(info) => self.lookup(info.query.name(), info.query.query_type(), Some(&info), options).await,
            Err(error) => LookupControlFlow::Break(Err(error)),
        };
        (found, None)
    }

    /// The zones are not signed.
    async fn nsec_records(&self, _: &LowerName, _: LookupOptions) -> LookupControlFlow<AuthLookup> {
        LookupControlFlow::Break(Ok(AuthLookup::default()))
    }
}

/// Takes the catalog's message.
#[derive(Clone, Default)]
struct Collect(Arc<Mutex<Vec<u8>>>);

impl Collect {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner) // octets: a panic leaves them whole
    }
}

#[async_trait]
impl ResponseHandler for Collect {
    async fn send_response<'a>(
        &mut self,
        response: MessageResponse<
            '_,
            'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
        >,
    ) -> Result<ResponseInfo, NetError> {
        let mut octets = Vec::new();
        let info = response.destructive_emit(&mut BinEncoder::new(&mut octets))?;
        *self.lock() = octets;
        Ok(info)
    }
}

#[cfg(test)]
mod tests;
