//! [`Pool`]: asks the upstreams that are configured for a name until one answers.
//!
//! | file | owns |
//! |---|---|
//! | `mod` | which upstreams a question may go to: the longest zone that encloses its name |
//! | `group` | in which order, by strategy and health; the budget of hedges |
//! | `race` | the tries of one question: when the next goes out, what ends it |
//! | `server` | one upstream: a try, the retries within it, probes |
//! | `breaker` | whether an upstream is in use |
//! | `latency`, `cookie` | what is known of an upstream's speed and cookies |
//! | `message` | what is sent, by either way |
//! | `udp`, `sockets`, `socket` | the wire by UDP: what is an answer, which port a question leaves from, one port |
//! | `exchange`, `connection` | the wire by TCP |

mod breaker;
mod connection;
mod cookie;
mod exchange;
mod group;
mod latency;
mod message;
mod race;
mod server;
mod socket;
mod sockets;
mod udp;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::{BoxFuture, FutureExt};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use crate::model::DnsName;
use crate::model::name::parent;
use crate::observe::metrics::Metrics;

use super::answer::Answer;
use super::clock::Clock;
use super::resolve::{Failure, Outages, Question, Resolve};
use super::wire::{rtype, u16_at};
use super::{Forwarding, Settings, UpstreamConfig};

use self::group::Group;
use self::race::Race;
use self::server::Server;

/// How long a question may take in all.
const DEADLINE: Duration = Duration::from_millis(2_500);
/// How long a try is waited for before the next goes out beside it, if nothing is known of the upstream's speed.
const PATIENCE: Duration = Duration::from_millis(600);
/// Datagrams a question and upstream (RFC 9520 §3.1).
const DATAGRAMS: u32 = 3;

/// The upstreams in force.
pub struct Pool {
    table: ArcSwap<Table>,
    metrics: Arc<Metrics>,
    clock: Clock,
    runtime: Handle,
    /// For the sockets towards all upstreams, but for the few that each may have in any case.
    descriptors: Arc<Semaphore>,
}

/// Who is asked for what, and how.
#[derive(Default)]
struct Table {
    /// By the canonical wire name of the zone; the root is everything that is in no other.
    groups: BTreeMap<Box<[u8]>, Arc<Group>>,
    minded: Vec<Arc<Minded>>,
    forwarding: Forwarding,
}

/// A server and the task that probes it, which ends with the value.
struct Minded {
    server: Arc<Server>,
    task: AbortHandle,
}

impl Drop for Minded {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Pool {
    /// A pool of the upstreams in these settings, which are asked from `sockets` UDP sockets in all. To be called within
    /// the runtime that carries the questions.
    pub fn new(settings: &Settings, metrics: Arc<Metrics>, clock: Clock, sockets: usize) -> Self {
        let descriptors = Arc::new(Semaphore::new(sockets));
        let pool = Self { table: ArcSwap::default(), metrics, clock, runtime: Handle::current(), descriptors };
        pool.reconfigure(settings);
        pool
    }

    /// Takes over reloaded upstreams; those that stay keep their health, cookies and connections.
    pub fn reconfigure(&self, settings: &Settings) {
        let old = self.table.load_full();
        let minded = settings.upstreams.iter().map(|config| {
            let same = old.minded.iter().find(|minded| minded.server.is(config)).cloned();
            same.unwrap_or_else(|| Arc::new(self.mind(config)))
        });
        let minded: Vec<_> = minded.collect();
        let mut zones = BTreeMap::<Box<[u8]>, Vec<_>>::new();
        for (config, minded) in settings.upstreams.iter().zip(&minded) {
            for zone in &config.zones {
                zones.entry(zone.as_wire().into()).or_default().push(minded.server.clone());
            }
        }
        let group = |(zone, servers): (Box<[u8]>, _)| {
            let outages = old.groups.get(&zone).map(|group| group.outages.clone()).unwrap_or_default();
            (zone, Arc::new(Group::new(servers, outages)))
        };
        let groups = zones.into_iter().map(group).collect();
        self.table.store(Arc::new(Table { groups, minded, forwarding: settings.forwarding }));
        let stays = |address| settings.upstreams.iter().any(|config| config.address == address);
        for gone in old.minded.iter().map(|minded| minded.server.address()).filter(|address| !stays(*address)) {
            self.metrics.upstreams.forget(&gone.to_string());
        }
    }

    fn mind(&self, config: &UpstreamConfig) -> Minded {
        let server = Arc::new(Server::new(
            config.clone(),
            &self.metrics.upstreams,
            self.clock.clone(),
            self.descriptors.clone(),
        ));
        let task = self.runtime.spawn(server.clone().mind()).abort_handle();
        Minded { server, task }
    }
}

impl Table {
    /// The upstreams of the longest zone that encloses the name asked. The DS of a zone's apex belongs to the zone above
    /// (RFC 4035 §3.1.4.1).
    fn group(&self, question: &Question) -> Option<&Arc<Group>> {
        let (name, tail) = question.section.split_at_checked(question.section.len().checked_sub(4)?)?;
        let is_above = u16_at(tail, 0) == Some(rtype::DS);
        let first = if is_above { parent(name).unwrap_or(name) } else { name };
        std::iter::successors(Some(first), |name| parent(name)).find_map(|name| self.groups.get(name))
    }
}

impl Resolve for Pool {
    fn resolve<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Answer, Failure>> {
        async move {
            let table = self.table.load_full();
            let Some(group) = table.group(question) else { return Err(Failure::Network) }; // there is always a root
            let hedges = &self.metrics.upstreams.hedges;
            let since = self.clock.now();
            Race { group, question, forwarding: table.forwarding, hedges, since }.run().await
        }
        .boxed()
    }

    fn is_healthy(&self, question: &Question) -> bool {
        self.table.load().group(question).is_some_and(|group| group.is_healthy())
    }

    fn outages(&self, question: &Question) -> Arc<Outages> {
        self.table.load().group(question).map(|group| group.outages.clone()).unwrap_or_default()
    }
}

impl Settings {
    /// The zones that have upstreams of their own: their names are forwarded, special ones as well
    /// (but for `resolver.arpa.`). That none is a `[[local_zone]]` is the configuration's business.
    pub fn forwarded_zones(&self) -> impl Iterator<Item = &DnsName> {
        self.upstreams.iter().flat_map(|upstream| &upstream.zones).filter(|zone| !zone.is_root())
    }
}

#[cfg(test)]
mod tests;
