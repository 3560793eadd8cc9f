//! [`Metrics`]: every metric of the program, its name, its help and its labels. A new metric is a field or a `Family`
//! here.
//!
//! Two kinds of values. The control plane and the upstreams write `prometheus` types directly. The query threads write
//! their own [`Counters`] block each, which `sum` adds up for [`Metrics::text`]; a block outlives its thread, so that
//! no count goes back.
//!
//! Names begin with `pagar_` (INTERFACES), but for `process_*`, which every dashboard knows without a prefix. Series of
//! a fixed label set exist from the start with the value 0, because `rate()` misses the first step of a series that
//! appears with 1. No label holds a domain name or a client address; labels that come from notices are bounded by
//! [`Labels`].

mod web;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricType;
use prometheus::{Encoder, Error, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge};
use prometheus::{GaugeVec, IntGaugeVec, Opts, Registry, TextEncoder};

use super::counters::{Closed, Counters, RCODES};
use super::family::Family;
use super::labels::Labels;
use super::process::Process;
use super::sampled::Sampled;
use super::sum::{Blocks, Sum};
pub use web::{AuthFailure, Refused, WebMetrics};

/// The values of `state` in `pagar_notices`: the words of `control::explain::state_at`, and files of which something is
/// refused.
pub const NOTICE_STATES: [&str; 6] = ["scheduled", "in force", "suspended", "revoked", "expired", "refused"];

/// The values of `reason` in `pagar_guard_quarantined_total`: the codes of `verify::guard::Quarantine`, for items, and of
/// `verify::guard::size::Hold`, for lists.
pub const QUARANTINE_REASONS: [&str; 8] =
    ["public-suffix", "own-name", "block-page", "authority-name", "protected", "shrunk", "grown", "emptied"];

/// Everything the program counts.
#[derive(Debug)]
pub struct Metrics {
    /// The policy and how it changes.
    pub policy: PolicyMetrics,
    /// The sources of notices and lists.
    pub sources: SourceMetrics,
    /// What is published for other nodes.
    pub feeds: FeedMetrics,
    /// The servers that are forwarded to.
    pub upstreams: UpstreamMetrics,
    /// The record of what the node was told and did.
    pub ledger: LedgerMetrics,
    /// `pagar_cache_bytes`
    pub cache_bytes: Sampled,
    /// The clients' TCP connections.
    pub tcp: TcpMetrics,
    /// `pagar_local_zones_broken`
    pub broken_zones: IntGauge,
    /// `pagar_upgrade_failures_total`
    pub upgrade_failures: IntCounter,
    /// What the node finds when it asks itself.
    pub selftest: SelftestMetrics,
    /// Who calls the API, and what comes of it.
    pub web: WebMetrics,
    /// Slots of the labels that come from notices.
    pub labels: Arc<Labels>,
    blocks: Blocks,
    registry: Registry,
}

impl Metrics {
    /// Registers all metrics; fails only on a mistake in this file.
    pub fn new(version: &str, commit: &str) -> Result<Self, Error> {
        let registry = Registry::new();
        let (labels, blocks) = (Arc::<Labels>::default(), Blocks::default());
        registry.register(Box::new(Sum::new(labels.clone(), blocks.clone(), descs(&SUMMED)?)))?;
        registry.register(Box::new(Process::new(since_epoch(), descs(&PROCESS)?)))?;
        let build = opts("build_info", "Which build this is; always 1.").const_label("version", version);
        let build = registered(&registry, IntGauge::with_opts(build.const_label("commit", commit)))?;
        build.set(1);
        let broken =
            opts("local_zones_broken", "Operator's zones that could not be read and are answered with SERVFAIL.");
        let upgrades = opts("upgrade_failures_total", "Upgrades on SIGUSR2 after which this process went on.");
        Ok(Self {
            policy: PolicyMetrics::new(&registry)?,
            sources: SourceMetrics::new(&registry)?,
            feeds: FeedMetrics::new(&registry)?,
            upstreams: UpstreamMetrics::new(&registry)?,
            ledger: LedgerMetrics::new(&registry)?,
            cache_bytes: registered(&registry, Sampled::new(CACHE_BYTES))?,
            tcp: TcpMetrics::new(&registry)?,
            broken_zones: registered(&registry, IntGauge::with_opts(broken))?,
            upgrade_failures: registered(&registry, IntCounter::with_opts(upgrades))?,
            selftest: SelftestMetrics::new(&registry)?,
            web: WebMetrics::new(&registry)?,
            labels,
            blocks,
            registry,
        })
    }

    /// A block for one thread to count in. The block of a thread that ended is handed out again, counts and all.
    pub fn worker(&self) -> Arc<Counters> {
        let mut blocks = self.blocks.lock();
        if let Some(idle) = blocks.iter().find(|block| Arc::strong_count(block) == 1) {
            idle.beat_ms.store(0, Relaxed);
            return idle.clone();
        }
        blocks.push(Arc::default());
        blocks[blocks.len() - 1].clone()
    }

    /// `beat_ms` of every block that keeps a beat. A thread that died and was not replaced stays in, with its last one.
    pub fn beats(&self) -> Vec<u64> {
        self.blocks.lock().iter().map(|block| block.beat_ms.load(Relaxed)).filter(|beat| *beat > 0).collect()
    }

    /// All metrics in the text format 0.0.4, families and series in alphabetical order.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics are incomplete");
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// The policy and how it changes; written by the control task.
#[derive(Debug)]
pub struct PolicyMetrics {
    /// `pagar_policy_names`
    pub names: IntGauge,
    /// `pagar_policy_lifted_names`
    pub lifted_names: IntGauge,
    /// `pagar_policy_serial`
    pub serial: IntGauge,
    /// `pagar_policy_built_timestamp_seconds`
    pub built_timestamp: Gauge,
    /// `pagar_policy_swap_duration_seconds`
    pub swap_duration: Histogram,
    /// `pagar_policy_bytes`
    pub bytes: IntGauge,
    /// `pagar_notices{state}`; the states are [`NOTICE_STATES`].
    pub notices: IntGaugeVec,
    /// `pagar_notices_past_deadline`
    pub past_deadline: IntGauge,
    /// `pagar_notices_past_review`
    pub past_review: IntGauge,
    /// `pagar_notice_enforce_seconds`
    pub enforce_seconds: Histogram,
    /// `pagar_notice_lift_seconds`
    pub lift_seconds: Histogram,
    /// `pagar_notice_signature_failures_total`
    pub signature_failures: IntCounter,
    /// `pagar_receipt_write_failures_total`
    pub receipt_failures: IntCounter,
    /// `pagar_notice_sequence_gaps{authority}`
    pub sequence_gaps: IntGaugeVec,
    /// `pagar_guard_refused_total{reason}`; the reasons are the codes of `verify::guard` and of the formats.
    pub refused_items: IntCounterVec,
    /// `pagar_guard_quarantined_total{reason}`; the reasons are [`QUARANTINE_REASONS`].
    pub quarantined: IntCounterVec,
    /// `pagar_state_read_failures_total`
    pub state_read_failures: IntCounter,
    /// `pagar_state_write_failures_total`
    pub state_write_failures: IntCounter,
    /// `pagar_clock_held`
    pub clock_held: IntGauge,
    /// `pagar_policy_compile_failures_total`
    pub compile_failures: IntCounter,
    /// `pagar_config_reload_failures_total`
    pub reload_failures: IntCounter,
    /// `pagar_config_last_reload_successful`
    pub reloaded: IntGauge,
}

impl PolicyMetrics {
    fn new(registry: &Registry) -> Result<Self, Error> {
        let gauge = |name, help| registered(registry, IntGauge::with_opts(opts(name, help)));
        let histogram = |name, help, buckets: &[f64]| {
            let opts = HistogramOpts::new(full(name), help).buckets(buckets.to_vec());
            registered(registry, Histogram::with_opts(opts))
        };
        let built = opts("policy_built_timestamp_seconds", "When the policy in force was compiled.");
        let notices = opts("notices", "Notices known by their place in time, and files of which something is refused.");
        let refused =
            opts("guard_refused_total", "Targets, lines and notices that were refused or look wrong, by reason code.");
        let quarantined = "Items and versions of lists that wait for persons instead of taking effect, by reason code.";
        let quarantined = opts("guard_quarantined_total", quarantined);
        let signatures =
            "Signed files that nobody is known to have sent: no envelope, no known key, a wrong signature.";
        let signatures = opts("notice_signature_failures_total", signatures);
        let receipts = "Receipts that could not be written beside their notices; they are tried again.";
        let receipts = opts("receipt_write_failures_total", receipts);
        let gaps = opts("notice_sequence_gaps", "Numbers of notices that are missing between the first and the last.");
        let reads = opts("state_read_failures_total", "Stored policies that could not be used at the start.");
        let writes = opts("state_write_failures_total", "Failed writes to the state directory.");
        let compiles =
            opts("policy_compile_failures_total", "Changes that could not be compiled; the policy before stays.");
        let reloads = opts("config_reload_failures_total", "Configurations that were not taken over on SIGHUP.");
        let policy = Self {
            names: gauge("policy_names", "Names in force.")?,
            lifted_names: gauge(
                "policy_lifted_names",
                "Names that persons have lifted in an emergency, each with all below.",
            )?,
            serial: gauge("policy_serial", "Serial of the policy in force.")?,
            built_timestamp: registered(registry, Gauge::with_opts(built))?,
            swap_duration: histogram("policy_swap_duration_seconds", "From a change to its publication.", &SWAP)?,
            bytes: gauge("policy_bytes", "Memory held by the policy in force.")?,
            notices: registered(registry, IntGaugeVec::new(notices, &["state"]))?,
            past_deadline: gauge("notices_past_deadline", "Notices not enforced by their deadline.")?,
            past_review: gauge("notices_past_review", "Notices in force whose authority was to review them by now.")?,
            enforce_seconds: histogram("notice_enforce_seconds", "From receipt of a notice to its enforcement.", &ACT)?,
            lift_seconds: histogram("notice_lift_seconds", "From the end of a notice to its names resolving.", &ACT)?,
            signature_failures: registered(registry, IntCounter::with_opts(signatures))?,
            receipt_failures: registered(registry, IntCounter::with_opts(receipts))?,
            sequence_gaps: registered(registry, IntGaugeVec::new(gaps, &["authority"]))?,
            refused_items: registered(registry, IntCounterVec::new(refused, &["reason"]))?,
            quarantined: registered(registry, IntCounterVec::new(quarantined, &["reason"]))?,
            state_read_failures: registered(registry, IntCounter::with_opts(reads))?,
            state_write_failures: registered(registry, IntCounter::with_opts(writes))?,
            clock_held: gauge("clock_held", "1 while the wall clock is not believed, and expiries wait for it.")?,
            compile_failures: registered(registry, IntCounter::with_opts(compiles))?,
            reload_failures: registered(registry, IntCounter::with_opts(reloads))?,
            reloaded: gauge("config_last_reload_successful", LAST_RELOAD)?,
        };
        policy.reloaded.set(1);
        for state in NOTICE_STATES {
            policy.notices.with_label_values(&[state]);
        }
        for reason in QUARANTINE_REASONS {
            policy.quarantined.with_label_values(&[reason]);
        }
        Ok(policy)
    }

    /// Starts the series of these reason codes at 0.
    pub fn declare_refusals<'a>(&self, codes: impl IntoIterator<Item = &'a str>) {
        for code in codes {
            self.refused_items.with_label_values(&[code]);
        }
    }
}

/// Questions the node asks itself; written by the self-test. They count in no other metric.
#[derive(Clone, Debug)]
pub struct SelftestMetrics {
    /// `pagar_selftest_questions_total`
    pub questions: IntCounter,
    /// `pagar_selftest_failures_total`
    pub failures: IntCounter,
}

impl SelftestMetrics {
    fn new(registry: &Registry) -> Result<Self, Error> {
        let questions = opts("selftest_questions_total", "Questions the node asked itself about notices.");
        let failures = opts("selftest_failures_total", "Those whose answer was not what the notice orders, or none.");
        Ok(Self {
            questions: registered(registry, IntCounter::with_opts(questions))?,
            failures: registered(registry, IntCounter::with_opts(failures))?,
        })
    }
}

/// The sources of notices and lists; `source` is the path as written in the configuration.
#[derive(Debug)]
pub struct SourceMetrics {
    /// `pagar_source_last_success_timestamp_seconds{source}`
    pub last_success: GaugeVec,
    /// `pagar_source_failures_total{source}`
    pub failures: IntCounterVec,
    /// `pagar_source_entries{source}`
    pub entries: IntGaugeVec,
    /// `pagar_source_problems{source}`
    pub problems: IntGaugeVec,
    /// `pagar_source_checkpoint_expiry_timestamp_seconds{source}`
    pub checkpoint_expiry: GaugeVec,
    /// `pagar_source_checkpoint_highest{source}`
    pub checkpoint_highest: IntGaugeVec,
    /// `pagar_source_checkpoint_missing{source}`
    pub checkpoint_missing: IntGaugeVec,
    /// `pagar_source_feed_faults_total{source,fault}`
    pub feed_faults: IntCounterVec,
}

impl SourceMetrics {
    fn new(registry: &Registry) -> Result<Self, Error> {
        let success = "When the source was last read without failure; 0 if never.";
        let success = opts("source_last_success_timestamp_seconds", success);
        let failures = opts("source_failures_total", "Times the source could not be read.");
        let entries = opts("source_entries", "Names the source lists, in force or not.");
        let problems = opts(
            "source_problems",
            "Problems with the source now; of a list's bad lines the first 20, and one for all others.",
        );
        let expiry = opts(
            "source_checkpoint_expiry_timestamp_seconds",
            "Until when the feed's last good checkpoint is good; 0 if there is none.",
        );
        let highest =
            opts("source_checkpoint_highest", "The highest number that the feed's last good checkpoint lists.");
        let missing = opts("source_checkpoint_missing", "Notices that the feed lists and that have not come yet.");
        let faults = opts("source_feed_faults_total", "Looks at the feed that found this wrong with it.");
        Ok(Self {
            last_success: registered(registry, GaugeVec::new(success, &["source"]))?,
            failures: registered(registry, IntCounterVec::new(failures, &["source"]))?,
            entries: registered(registry, IntGaugeVec::new(entries, &["source"]))?,
            problems: registered(registry, IntGaugeVec::new(problems, &["source"]))?,
            checkpoint_expiry: registered(registry, GaugeVec::new(expiry, &["source"]))?,
            checkpoint_highest: registered(registry, IntGaugeVec::new(highest, &["source"]))?,
            checkpoint_missing: registered(registry, IntGaugeVec::new(missing, &["source"]))?,
            feed_faults: registered(registry, IntCounterVec::new(faults, &["source", "fault"]))?,
        })
    }

    /// Starts the series of a source at 0, so that one that is never read is seen.
    pub fn declare(&self, source: &str) {
        self.last_success.with_label_values(&[source]);
        self.failures.with_label_values(&[source]);
        self.entries.with_label_values(&[source]);
        self.problems.with_label_values(&[source]);
    }

    /// Starts the series of a feed at 0.
    pub fn declare_feed<'a>(&self, source: &str, faults: impl Iterator<Item = &'a str>) {
        self.checkpoint_expiry.with_label_values(&[source]);
        self.checkpoint_highest.with_label_values(&[source]);
        self.checkpoint_missing.with_label_values(&[source]);
        faults.for_each(|fault| drop(self.feed_faults.with_label_values(&[source, fault])));
    }

    /// Ends the series of a feed that left the configuration.
    pub fn forget_feed<'a>(&self, source: &str, faults: impl Iterator<Item = &'a str>) {
        let _ = self.checkpoint_expiry.remove_label_values(&[source]);
        let _ = self.checkpoint_highest.remove_label_values(&[source]);
        let _ = self.checkpoint_missing.remove_label_values(&[source]);
        faults.for_each(|fault| drop(self.feed_faults.remove_label_values(&[source, fault])));
    }

    /// Ends the series of a source that left the configuration.
    pub fn forget(&self, source: &str) {
        // an error here means that there was no such series
        let _ = self.last_success.remove_label_values(&[source]);
        let _ = self.failures.remove_label_values(&[source]);
        let _ = self.entries.remove_label_values(&[source]);
        let _ = self.problems.remove_label_values(&[source]);
    }
}

/// What is published for other nodes to fetch.
#[derive(Clone, Debug)]
pub struct FeedMetrics {
    /// `pagar_feed_notices{authority}`
    pub notices: IntGaugeVec,
    /// `pagar_feed_missing{authority}`
    pub missing: IntGaugeVec,
    /// `pagar_feed_problems{authority}`
    pub problems: IntGaugeVec,
    /// `pagar_feed_checkpoint_expiry_timestamp_seconds{authority}`
    pub expiry: GaugeVec,
    /// `pagar_feed_failures_total{authority}`
    pub failures: IntCounterVec,
}

impl FeedMetrics {
    fn new(registry: &Registry) -> Result<Self, Error> {
        let notices = opts("feed_notices", "Notices that the published feed lists.");
        let missing = opts("feed_missing", "Notices that it lists and whose file has gone.");
        let problems = opts("feed_problems", "Files in its directory that it does not list.");
        let expiry = opts(
            "feed_checkpoint_expiry_timestamp_seconds",
            "Until when its checkpoint is good; 0 if nothing has been published.",
        );
        let failures = opts("feed_failures_total", "Times a new checkpoint could not be published.");
        Ok(Self {
            notices: registered(registry, IntGaugeVec::new(notices, &["authority"]))?,
            missing: registered(registry, IntGaugeVec::new(missing, &["authority"]))?,
            problems: registered(registry, IntGaugeVec::new(problems, &["authority"]))?,
            expiry: registered(registry, GaugeVec::new(expiry, &["authority"]))?,
            failures: registered(registry, IntCounterVec::new(failures, &["authority"]))?,
        })
    }

    /// Starts the series of an authority's feed at 0.
    pub fn declare(&self, authority: &str) {
        self.notices.with_label_values(&[authority]);
        self.missing.with_label_values(&[authority]);
        self.problems.with_label_values(&[authority]);
        self.expiry.with_label_values(&[authority]);
        self.failures.with_label_values(&[authority]);
    }
}

/// The servers that are forwarded to; `upstream` is the address.
#[derive(Debug)]
pub struct UpstreamMetrics {
    /// `pagar_upstream_requests_total{upstream}`
    pub requests: IntCounterVec,
    /// `pagar_upstream_failures_total{upstream}`
    pub failures: IntCounterVec,
    /// `pagar_upstream_duration_seconds{upstream}`
    pub duration: HistogramVec,
    /// `pagar_upstream_healthy{upstream}`
    pub healthy: IntGaugeVec,
    /// `pagar_upstream_state{upstream,state}`; the states are [`UPSTREAM_STATES`].
    pub state: IntGaugeVec,
    /// `pagar_upstream_errors_total{upstream,reason}`; the reasons are those of [`UpstreamError`].
    pub errors: IntCounterVec,
    /// `pagar_upstream_probes_total{upstream,result}`; the results are [`PROBE_RESULTS`].
    pub probes: IntCounterVec,
    /// `pagar_upstream_truncated_total{upstream}`
    pub truncated: IntCounterVec,
    /// `pagar_upstream_mismatches_total{upstream}`
    pub mismatches: IntCounterVec,
    /// `pagar_upstream_hedges_total`
    pub hedges: IntCounter,
}

/// The values of `state` in `pagar_upstream_state`.
pub const UPSTREAM_STATES: [&str; 3] = ["closed", "half_open", "open"];
/// The values of `result` in `pagar_upstream_probes_total`.
pub const PROBE_RESULTS: [&str; 2] = ["answered", "unanswered"];

/// Why an upstream's answer is none: `reason` in `pagar_upstream_errors_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamError {
    /// It did not come in time.
    Timeout,
    /// The question could not be sent, or the connection broke.
    Network,
    /// It could not be used.
    Malformed,
    /// SERVFAIL, REFUSED or another code that says that this server could not or would not.
    Rcode,
}

impl UpstreamError {
    /// In the order of their numbers.
    const WORDS: [&str; 4] = ["timeout", "network", "malformed", "rcode"];
}

/// The series of one upstream.
#[derive(Clone, Debug)]
pub struct UpstreamSeries {
    /// Questions sent to it.
    pub requests: IntCounter,
    /// Time to its answers.
    pub duration: Histogram,
    /// Answers with TC by UDP.
    pub truncated: IntCounter,
    /// Messages that were not taken for its answer.
    pub mismatches: IntCounter,
    /// By [`PROBE_RESULTS`].
    pub probes: [IntCounter; 2],
    failures: IntCounter,
    errors: [IntCounter; 4],
    healthy: IntGauge,
    state: [IntGauge; 3],
}

impl UpstreamSeries {
    /// It gave no answer that could be used.
    pub fn failed(&self, why: UpstreamError) {
        self.failures.inc();
        self.errors[why as usize].inc();
    }

    /// It is in this one of [`UPSTREAM_STATES`].
    pub fn state(&self, at: usize) {
        self.healthy.set(i64::from(at + 1 < UPSTREAM_STATES.len())); // all but open
        self.state.iter().enumerate().for_each(|(each, gauge)| gauge.set(i64::from(each == at)));
    }
}

impl UpstreamMetrics {
    fn new(registry: &Registry) -> Result<Self, Error> {
        let requests = opts("upstream_requests_total", "Queries sent to the upstream, retries included.");
        let failures = opts("upstream_failures_total", "Queries the upstream did not answer, or not properly.");
        let duration = HistogramOpts::new(full("upstream_duration_seconds"), "Time to the upstream's answer.");
        let healthy = opts("upstream_healthy", "1 if the upstream is in use, 0 if it is silent and asked last.");
        let state = opts("upstream_state", "1 for the state the upstream is in, 0 for the others.");
        let errors = opts("upstream_errors_total", "The failures by reason; rcode: SERVFAIL, REFUSED and the like.");
        let probes = opts("upstream_probes_total", "Questions asked only to see whether the upstream answers.");
        let truncated = opts("upstream_truncated_total", "Answers with TC, asked for again over TCP.");
        let mismatches = opts(
            "upstream_mismatches_total",
            "Messages from the upstream's address with another id, question or cookie, ignored: mistaken or forged.",
        );
        let hedges = opts("upstream_hedges_total", "Questions sent to another upstream because the first was late.");
        Ok(Self {
            requests: registered(registry, IntCounterVec::new(requests, &["upstream"]))?,
            failures: registered(registry, IntCounterVec::new(failures, &["upstream"]))?,
            duration: registered(registry, HistogramVec::new(duration.buckets(UPSTREAM.to_vec()), &["upstream"]))?,
            healthy: registered(registry, IntGaugeVec::new(healthy, &["upstream"]))?,
            state: registered(registry, IntGaugeVec::new(state, &["upstream", "state"]))?,
            errors: registered(registry, IntCounterVec::new(errors, &["upstream", "reason"]))?,
            probes: registered(registry, IntCounterVec::new(probes, &["upstream", "result"]))?,
            truncated: registered(registry, IntCounterVec::new(truncated, &["upstream"]))?,
            mismatches: registered(registry, IntCounterVec::new(mismatches, &["upstream"]))?,
            hedges: registered(registry, IntCounter::with_opts(hedges))?,
        })
    }

    /// How many upstreams are in use, and how many there are.
    pub fn in_use(&self) -> (usize, usize) {
        let families = self.healthy.collect();
        let all = families.iter().flat_map(prometheus::proto::MetricFamily::get_metric);
        all.fold((0, 0), |(used, all), one| (used + usize::from(one.get_gauge().get_value() > 0.0), all + 1))
    }

    /// Starts the series of an upstream at 0 and takes it for healthy until it is found not to be.
    pub fn declare(&self, upstream: &str) -> UpstreamSeries {
        let counter = |family: &IntCounterVec, label: &str| family.with_label_values(&[upstream, label]);
        let series = UpstreamSeries {
            requests: self.requests.with_label_values(&[upstream]),
            duration: self.duration.with_label_values(&[upstream]),
            truncated: self.truncated.with_label_values(&[upstream]),
            mismatches: self.mismatches.with_label_values(&[upstream]),
            probes: PROBE_RESULTS.map(|result| counter(&self.probes, result)),
            failures: self.failures.with_label_values(&[upstream]),
            errors: UpstreamError::WORDS.map(|reason| counter(&self.errors, reason)),
            healthy: self.healthy.with_label_values(&[upstream]),
            state: UPSTREAM_STATES.map(|state| self.state.with_label_values(&[upstream, state])),
        };
        series.state(0);
        series
    }

    /// Ends the series of an upstream that left the configuration.
    pub fn forget(&self, upstream: &str) {
        // an error here means that there was no such series
        let _ = self.requests.remove_label_values(&[upstream]);
        let _ = self.failures.remove_label_values(&[upstream]);
        let _ = self.duration.remove_label_values(&[upstream]);
        let _ = self.healthy.remove_label_values(&[upstream]);
        let _ = self.truncated.remove_label_values(&[upstream]);
        let _ = self.mismatches.remove_label_values(&[upstream]);
        UPSTREAM_STATES.iter().for_each(|state| drop(self.state.remove_label_values(&[upstream, state])));
        UpstreamError::WORDS.iter().for_each(|reason| drop(self.errors.remove_label_values(&[upstream, reason])));
        PROBE_RESULTS.iter().for_each(|result| drop(self.probes.remove_label_values(&[upstream, result])));
    }
}

/// The record of what the node was told and did; written by the control task.
#[derive(Clone, Debug)]
pub struct LedgerMetrics {
    /// `pagar_ledger_records_total`
    pub records: IntCounter,
    /// `pagar_ledger_append_failures_total`
    pub append_failures: IntCounter,
    /// `pagar_ledger_damaged`
    pub damaged: IntGauge,
    head_sequence: IntGauge,
    head_info: IntGaugeVec,
}

impl LedgerMetrics {
    fn new(registry: &Registry) -> Result<Self, Error> {
        let records = opts("ledger_records_total", "Records this process has appended to the ledger.");
        let failures =
            opts("ledger_append_failures_total", "Appends to the ledger that failed and are to be tried again.");
        let damaged = "1 if the ledger cannot be trusted: the stored policy is served, and nothing new is taken in.";
        let damaged = opts("ledger_damaged", damaged);
        let sequence = opts("ledger_head_sequence", "The number of the ledger's last record.");
        let info = opts("ledger_head_info", "The hash of the ledger's last record; always 1 once there is a ledger.");
        let ledger = Self {
            records: registered(registry, IntCounter::with_opts(records))?,
            append_failures: registered(registry, IntCounter::with_opts(failures))?,
            damaged: registered(registry, IntGauge::with_opts(damaged))?,
            head_sequence: registered(registry, IntGauge::with_opts(sequence))?,
            head_info: registered(registry, IntGaugeVec::new(info, &["hash"]))?,
        };
        ledger.head_info.with_label_values(&[""]).set(0);
        Ok(ledger)
    }

    /// The last record is this one now.
    pub fn head(&self, sequence: u64, hash: &str) {
        self.head_sequence.set(sequence.try_into().unwrap_or(i64::MAX));
        self.head_info.reset();
        self.head_info.with_label_values(&[hash]).set(1);
    }
}

/// The clients' TCP connections; written by the async side when one comes or goes.
#[derive(Clone, Debug)]
pub struct TcpMetrics {
    /// `pagar_tcp_connections`
    pub connections: IntGauge,
    /// `pagar_tcp_accept_errors_total`
    pub accept_errors: IntCounter,
    /// `pagar_tcp_closed_total{reason}`, in the order of [`Closed::ALL`].
    closed: [IntCounter; Closed::ALL.len()],
}

impl TcpMetrics {
    fn new(registry: &Registry) -> Result<Self, Error> {
        let connections = opts("tcp_connections", "TCP connections of clients that are open.");
        let errors = opts("tcp_accept_errors_total", "Times accepting failed, as for want of file descriptors.");
        let closed = opts("tcp_closed_total", "TCP connections that ended or were refused, by reason.");
        let closed = registered(registry, IntCounterVec::new(closed, &["reason"]))?;
        Ok(Self {
            connections: registered(registry, IntGauge::with_opts(connections))?,
            accept_errors: registered(registry, IntCounter::with_opts(errors))?,
            closed: Closed::ALL.map(|(_, reason)| closed.with_label_values(&[reason])),
        })
    }

    /// A connection ended, or was refused.
    pub fn closed(&self, why: Closed) {
        self.closed[why as usize].inc();
    }
}

const LAST_RELOAD: &str = "1 if the configuration read last is in force, 0 if it was refused on SIGHUP.";

/// Buckets of a swap, in seconds: one notice to a list of millions.
const SWAP: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];
/// Buckets of carrying out a notice, in seconds: a file dropped here to the hours a deadline allows.
const ACT: [f64; 12] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0, 3_600.0, 21_600.0];
/// Buckets of an upstream's answer, in seconds: a neighbour's cache to the last retry.
const UPSTREAM: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

const fn counter(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Family {
    Family { name, help, kind: MetricType::COUNTER, labels }
}

const fn gauge(name: &'static str, help: &'static str) -> Family {
    Family { name, help, kind: MetricType::GAUGE, labels: &[] }
}

pub(super) const QUERIES: Family = counter("pagar_dns_queries_total", "Queries received.", &["transport"]);
pub(super) const RESPONSES: Family = counter(
    "pagar_dns_responses_total",
    "Answers made; those that response rate limiting holds back count in pagar_dns_dropped_total as well.",
    &["rcode"],
);
pub(super) const DROPPED: Family = counter("pagar_dns_dropped_total", "Messages that got no answer.", &["reason"]);
pub(super) const BLOCKED: Family = counter(
    "pagar_dns_blocked_total",
    "Queries answered from the policy, by authority, category and action.",
    &["action", "authority", "category"],
);
pub(super) const HITS: Family = counter(
    "pagar_dns_notice_hits_total",
    "Queries answered by a notice; the first 1000 notices of a process by themselves, secret ones never.",
    &["notice"],
);
pub(super) const DURATION: Family = Family {
    name: "pagar_dns_request_duration_seconds",
    help: "From receipt of a query to its answer, by where the answer came from.",
    kind: MetricType::HISTOGRAM,
    labels: &["path"],
};
pub(super) const LOCAL: Family = counter(
    "pagar_dns_local_total",
    "Queries for names of special-use zones and of the operator's own zones.",
    &["kind"],
);
const CACHE_BYTES: Family = gauge("pagar_cache_bytes", "Memory held by cached answers and failures.");
pub(super) const CACHE_HITS: Family =
    counter("pagar_cache_hits_total", "Queries answered from the cache, within the TTL.", &[]);
pub(super) const CACHE_MISSES: Family =
    counter("pagar_cache_misses_total", "Queries the cache had no answer for.", &[]);
pub(super) const SHED: Family = counter(
    "pagar_dns_shed_total",
    "Queries that do not wait for an upstream because too many do: SERVFAIL, or a stale answer.",
    &["reason"],
);
pub(super) const COOKIES: Family = counter(
    "pagar_dns_cookies_total",
    "Queries with a DNS cookie: valid, fresh (the client's half alone, or a server's that is not ours), malformed.",
    &["result"],
);
pub(super) const RATE_LIMITED: Family =
    counter("pagar_dns_rate_limited_total", "Queries beyond the limit of their client.", &[]);
pub(super) const RRL_EXCESS: Family =
    counter("pagar_dns_rrl_excess_total", "Answers beyond the limit of [dns.rrl], whatever was done with them.", &[]);
pub(super) const RRL_SLIPPED: Family =
    counter("pagar_dns_rrl_slipped_total", "Answers beyond the limit of [dns.rrl] that left empty and with TC.", &[]);
pub(super) const EXEMPT: Family =
    counter("pagar_dns_exempt_total", "Queries of exempt clients that others would be restricted for.", &[]);
pub(super) const CACHE_STALE: Family =
    counter("pagar_cache_stale_total", "Queries answered from the cache after the TTL (RFC 8767).", &[]);
pub(super) const CACHE_FAILURES: Family =
    counter("pagar_cache_failures_total", "Queries answered with a failure of a short time before (RFC 9520).", &[]);
pub(super) const CACHE_PREFETCHES: Family =
    counter("pagar_cache_prefetches_total", "Answers fetched anew before they expired.", &[]);
pub(super) const JOINED: Family =
    counter("pagar_dns_joined_total", "Queries that waited for a question another query had asked already.", &[]);
#[rustfmt::skip] // in rows
const SUMMED: [Family; 19] = [
    QUERIES, RESPONSES, DROPPED, BLOCKED, HITS, DURATION, LOCAL, SHED, JOINED, COOKIES, RATE_LIMITED, RRL_EXCESS,
    RRL_SLIPPED, EXEMPT, CACHE_HITS, CACHE_MISSES, CACHE_STALE, CACHE_FAILURES, CACHE_PREFETCHES,
];

const STARTED: Family = gauge("process_start_time_seconds", "When the process started, since the epoch.");
const CPU: Family = counter("process_cpu_seconds_total", "User and system time used.", &[]);
const RESIDENT: Family = gauge("process_resident_memory_bytes", "Memory in RAM.");
const OPEN_FDS: Family = gauge("process_open_fds", "Open file descriptors.");
const MAX_FDS: Family = gauge("process_max_fds", "Most file descriptors the process may open.");
pub(super) const PROCESS: [Family; 5] = [STARTED, CPU, RESIDENT, OPEN_FDS, MAX_FDS];

/// Mnemonics of the response codes (IANA DNS RCODEs); `other` is the last slot.
#[rustfmt::skip] // in rows
pub(super) const RCODE_LABELS: [&str; RCODES] = [
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET",
    "NXRRSET", "NOTAUTH", "NOTZONE", "DSOTYPENI", "RCODE12", "RCODE13", "RCODE14", "RCODE15",
    "BADVERS", "BADKEY", "BADTIME", "BADMODE", "BADNAME", "BADALG", "BADTRUNC", "BADCOOKIE", OTHER,
];
pub(super) const OTHER: &str = "other";

fn full(name: &str) -> String {
    format!("pagar_{name}")
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(full(name), help)
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, metric: Result<C, Error>) -> Result<C, Error> {
    let metric = metric?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn descs(families: &[Family]) -> Result<Vec<Desc>, Error> {
    families.iter().map(Family::desc).collect()
}

fn since_epoch() -> f64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::super::counters::{Dropped, Path, Transport};
    use super::super::labels::{MAX_BLOCKED, MAX_HITS};
    use super::*;

    fn metrics() -> Metrics {
        Metrics::new("0.1.0", "abc").unwrap()
    }

    #[track_caller]
    fn has(text: &str, line: &str) {
        assert!(text.lines().any(|l| l == line), "no line {line:?} in:\n{text}");
    }

    #[test]
    fn the_blocks_of_two_threads_are_summed() {
        let metrics = metrics();
        let (a, b) = (metrics.worker(), metrics.worker());
        a.query(Transport::Udp);
        b.query(Transport::Udp);
        b.query(Transport::Tcp);
        a.response(0);
        b.response(3);
        a.response(16);
        b.response(4_000);
        a.dropped(Dropped::Panic);
        b.cache_hits.add(7);
        let text = metrics.text();
        has(&text, r#"pagar_dns_queries_total{transport="udp"} 2"#);
        has(&text, r#"pagar_dns_queries_total{transport="tcp"} 1"#);
        has(&text, r#"pagar_dns_responses_total{rcode="NXDOMAIN"} 1"#);
        has(&text, r#"pagar_dns_responses_total{rcode="BADVERS"} 1"#);
        has(&text, r#"pagar_dns_responses_total{rcode="other"} 1"#);
        has(&text, r#"pagar_dns_dropped_total{reason="panic"} 1"#);
        has(&text, "pagar_cache_hits_total 7");
    }

    #[test]
    fn the_histogram_is_cumulative_and_ends_in_inf() {
        let metrics = metrics();
        let (a, b) = (metrics.worker(), metrics.worker());
        a.took(Path::Blocked, Duration::from_micros(10), 2);
        b.took(Path::Blocked, Duration::from_micros(11), 1);
        b.took(Path::Blocked, Duration::from_secs(9), 1);
        let text = metrics.text();
        let bucket = |le: &str, n: u64| {
            has(&text, &format!(r#"pagar_dns_request_duration_seconds_bucket{{path="blocked",le="{le}"}} {n}"#));
        };
        bucket("0.00001", 2);
        bucket("0.000025", 3);
        bucket("2.5", 3);
        bucket("+Inf", 4);
        has(&text, r#"pagar_dns_request_duration_seconds_count{path="blocked"} 4"#);
        has(&text, r#"pagar_dns_request_duration_seconds_sum{path="blocked"} 9.000031"#);
        has(&text, r#"pagar_dns_request_duration_seconds_count{path="cached"} 0"#);
    }

    #[test]
    fn hits_stand_under_their_notice_and_values_are_escaped() {
        let metrics = metrics();
        let worker = metrics.worker();
        let hit = metrics.labels.hit("N\"1\\\n");
        let blocked = metrics.labels.blocked("mcmc", "scam", "block-page");
        worker.block(blocked, Some(hit));
        worker.block(blocked, None); // secret: counted by category only
        let text = metrics.text();
        has(&text, r#"pagar_dns_notice_hits_total{notice="N\"1\\\n"} 1"#);
        has(&text, r#"pagar_dns_notice_hits_total{notice="other"} 0"#);
        has(&text, r#"pagar_dns_blocked_total{action="block-page",authority="mcmc",category="scam"} 2"#);
    }

    #[test]
    fn a_notice_called_other_makes_no_second_series() {
        let metrics = metrics();
        let worker = metrics.worker();
        let blocked = metrics.labels.blocked(OTHER, OTHER, OTHER);
        worker.block(blocked, Some(metrics.labels.hit(OTHER)));
        worker.block((MAX_BLOCKED - 1) as u16, Some((MAX_HITS - 1) as u16));
        let text = metrics.text();
        has(&text, r#"pagar_dns_notice_hits_total{notice="other"} 2"#);
        has(&text, r#"pagar_dns_blocked_total{action="other",authority="other",category="other"} 2"#);
        assert_eq!(text.matches("\npagar_dns_notice_hits_total{").count(), 1);
    }

    #[test]
    fn fixed_series_are_there_from_the_start() {
        let text = metrics().text();
        has(&text, r#"pagar_dns_responses_total{rcode="SERVFAIL"} 0"#);
        has(&text, r#"pagar_notices{state="in force"} 0"#);
        has(&text, "pagar_state_write_failures_total 0");
        has(&text, "pagar_clock_held 0");
        has(&text, r#"pagar_guard_quarantined_total{reason="public-suffix"} 0"#);
        has(&text, r#"pagar_guard_quarantined_total{reason="emptied"} 0"#);
        has(&text, r#"pagar_dns_local_total{kind="special"} 0"#);
        has(&text, r#"pagar_dns_request_duration_seconds_count{path="local"} 0"#);
        has(&text, r#"pagar_dns_shed_total{reason="waiting"} 0"#);
        has(&text, r#"pagar_dns_cookies_total{result="malformed"} 0"#);
        has(&text, "pagar_config_last_reload_successful 1");
        has(&text, "pagar_cache_bytes 0");
        has(&text, r#"pagar_build_info{commit="abc",version="0.1.0"} 1"#);
    }

    #[test]
    fn a_sampled_gauge_is_read_when_it_is_asked_for() {
        let metrics = metrics();
        let value = Arc::new(std::sync::atomic::AtomicU64::new(7));
        let source = value.clone();
        metrics.cache_bytes.read_from(move || source.load(Relaxed));
        has(&metrics.text(), "pagar_cache_bytes 7");
        value.store(8, Relaxed);
        has(&metrics.text(), "pagar_cache_bytes 8");
    }

    #[test]
    fn sources_and_upstreams_are_declared_and_forgotten() {
        let metrics = metrics();
        metrics.sources.declare("notices");
        metrics.upstreams.declare("192.0.2.1:53");
        metrics.policy.declare_refusals(["root"]);
        let text = metrics.text();
        has(&text, r#"pagar_source_failures_total{source="notices"} 0"#);
        has(&text, r#"pagar_upstream_healthy{upstream="192.0.2.1:53"} 1"#);
        has(&text, r#"pagar_upstream_state{state="closed",upstream="192.0.2.1:53"} 1"#);
        has(&text, r#"pagar_upstream_state{state="open",upstream="192.0.2.1:53"} 0"#);
        has(&text, r#"pagar_upstream_errors_total{reason="rcode",upstream="192.0.2.1:53"} 0"#);
        has(&text, r#"pagar_upstream_probes_total{result="unanswered",upstream="192.0.2.1:53"} 0"#);
        has(&text, "pagar_upstream_hedges_total 0");
        has(&text, r#"pagar_guard_refused_total{reason="root"} 0"#);
        metrics.sources.forget("notices");
        assert!(!metrics.text().contains(r#"source="notices""#));
        metrics.upstreams.forget("192.0.2.1:53");
        assert!(!metrics.text().contains(r#"upstream="192.0.2.1:53""#));
    }

    #[test]
    fn the_ledger_has_one_head() {
        let metrics = metrics();
        has(&metrics.text(), r#"pagar_ledger_head_info{hash=""} 0"#);
        for (sequence, hash) in [(7, "ab"), (8, "cd")] {
            metrics.ledger.head(sequence, hash);
            let text = metrics.text();
            has(&text, &format!(r#"pagar_ledger_head_info{{hash="{hash}"}} 1"#));
            has(&text, &format!("pagar_ledger_head_sequence {sequence}"));
            assert_eq!(text.matches("\npagar_ledger_head_info{").count(), 1);
        }
        has(&metrics.text(), "pagar_ledger_records_total 0");
        has(&metrics.text(), "pagar_ledger_append_failures_total 0");
    }

    #[test]
    fn an_upstream_is_in_one_state_and_its_failures_have_reasons() {
        let metrics = metrics();
        let series = metrics.upstreams.declare("a");
        series.failed(UpstreamError::Timeout);
        series.failed(UpstreamError::Rcode);
        for (at, healthy) in [(2, 0), (1, 1), (0, 1), (2, 0)] {
            series.state(at);
            let text = metrics.text();
            has(&text, &format!(r#"pagar_upstream_healthy{{upstream="a"}} {healthy}"#));
            for (each, state) in UPSTREAM_STATES.iter().enumerate() {
                let value = i32::from(each == at);
                has(&text, &format!(r#"pagar_upstream_state{{state="{state}",upstream="a"}} {value}"#));
            }
        }
        let text = metrics.text();
        has(&text, r#"pagar_upstream_failures_total{upstream="a"} 2"#);
        has(&text, r#"pagar_upstream_errors_total{reason="timeout",upstream="a"} 1"#);
        has(&text, r#"pagar_upstream_errors_total{reason="rcode",upstream="a"} 1"#);
    }

    #[test]
    fn the_block_of_a_thread_that_ended_is_used_again_and_loses_nothing() {
        let metrics = metrics();
        let first = metrics.worker();
        first.query(Transport::Udp);
        first.beat_ms.store(5, Relaxed);
        assert_eq!(metrics.beats(), [5]);
        drop(first);
        assert_eq!(metrics.beats(), [5], "a dead worker is not forgotten");
        metrics.worker().query(Transport::Udp);
        assert_eq!(metrics.beats(), [] as [u64; 0]);
        assert_eq!(metrics.blocks.lock().len(), 1);
        has(&metrics.text(), r#"pagar_dns_queries_total{transport="udp"} 2"#);
    }

    #[test]
    fn two_scrapes_have_the_same_order() {
        let metrics = metrics();
        let names = || metrics.text().lines().map(|l| l.rsplit_once(' ').unwrap().0.to_owned()).collect::<Vec<_>>();
        assert_eq!(names(), names());
    }

    #[test]
    fn promtool_accepts_the_text() {
        let required = std::env::var("PAGAR_PEERS").is_ok_and(|peers| peers == "required");
        let metrics = metrics();
        metrics.sources.declare("lists/scam.hosts");
        metrics.upstreams.declare("192.0.2.1:53");
        metrics.policy.declare_refusals(["root", "tld"]);
        metrics.labels.hit("MCMC-2026-000123");
        let promtool = Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).spawn();
        let mut promtool = match promtool {
            Ok(promtool) => promtool,
            Err(error) if required => panic!("promtool: {error}"),
            Err(_) => return eprintln!("skipped: needs promtool (Debian package prometheus)"),
        };
        promtool.stdin.take().unwrap().write_all(metrics.text().as_bytes()).unwrap();
        assert!(promtool.wait().unwrap().success());
    }
}
