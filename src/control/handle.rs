//! [`Handle`]: what the faces (API, console, command line) may ask of the control plane.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use serde::Serialize;

use super::explain::{Explanation, hex};
use super::preview::Previewer;
use crate::model::{Caller, DnsName, Exemptions};
use crate::policy::PolicyReader;

/// Asks the control plane; cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    policy: PolicyReader,
    sources: Arc<ArcSwap<Vec<SourceStatus>>>,
    exempt: Arc<ArcSwap<Exemptions>>,
    previewer: Previewer,
}

/// The policy in force (`GET /v1/policy`).
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Serial of the publication.
    pub serial: u32,
    /// Digest over the notices in force, hexadecimal.
    pub digest: String,
    /// Names in force.
    pub names: u64,
    /// Notices known, in force or not.
    pub notices: usize,
    /// When it was compiled.
    pub built_at: Timestamp,
    /// The sources, in config order.
    pub sources: Vec<SourceStatus>,
}

/// How a source is doing.
#[derive(Clone, Debug, Serialize)]
pub struct SourceStatus {
    /// Its label: the path as written in the configuration.
    pub name: String,
    /// Names it lists, those not in force included.
    pub entries: u64,
    /// When it was last read without failure.
    pub last_success: Option<Timestamp>,
    /// Seconds since then, at the time of asking.
    pub age_seconds: Option<i64>,
    /// Why it cannot be read now; its last good content stays in force.
    pub last_error: Option<String>,
    /// Problems found in its files when they last changed.
    pub problems: Vec<String>,
}

impl SourceStatus {
    /// A source nothing is known of yet.
    pub fn new(name: &str) -> Self {
        let name = name.to_owned();
        Self { name, entries: 0, last_success: None, age_seconds: None, last_error: None, problems: Vec::new() }
    }
}

impl Handle {
    /// Joins the parts; the control task writes `sources` and `exempt`.
    pub fn new(
        policy: PolicyReader,
        sources: Arc<ArcSwap<Vec<SourceStatus>>>,
        exempt: Arc<ArcSwap<Exemptions>>,
    ) -> Self {
        Self { previewer: Previewer::new(policy.clone()), policy, sources, exempt }
    }

    /// What the policy in force does with a name and type, and why; for this client, if one is named, as this caller may see
    /// it.
    pub fn check(&self, name: &DnsName, qtype: u16, client: Option<IpAddr>, caller: Option<&Caller>) -> Explanation {
        let explanation = Explanation::of(&self.policy.load(), name, qtype, Timestamp::now(), caller);
        match client {
            Some(client) => explanation.for_client(client, &self.exempt.load()),
            None => explanation,
        }
    }

    /// The policy in force and its sources.
    pub fn status(&self) -> Status {
        let now = Timestamp::now();
        let policy = self.policy.load();
        let mut sources = Vec::clone(&self.sources.load());
        for source in &mut sources {
            source.age_seconds = source.last_success.map(|at| now.as_second() - at.as_second());
        }
        Status {
            serial: policy.serial,
            digest: hex(&policy.digest),
            names: policy.names(),
            notices: policy.notices(),
            built_at: policy.built_at,
            sources,
        }
    }

    /// What counts what a notice would do that is not in force.
    pub fn preview(&self) -> &Previewer {
        &self.previewer
    }

    /// Whether a policy has been published.
    pub fn is_ready(&self) -> bool {
        self.policy.load().serial > 0
    }
}
