//! [`Previewer`]: what a notice would do that is not in force, counted for a while over the queries that come in.
//!
//! One candidate at a time, for an hour at most: whoever starts a preview may forget it. The end takes the candidate
//! away from the workers and keeps the figures. Names stand in no figure, message or log line, since a candidate may be
//! of any sensitivity.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::ingest::format::lines::Verdict;
use crate::ingest::format::{domains, notice};
use crate::ingest::{Problem, Severity, low_priority};
use crate::model::{Scope, Sensitivity, Targets};
use crate::policy::preview::Counted;
use crate::policy::{PolicyReader, Preview};

/// Longest time a preview counts.
pub const LONGEST: Duration = Duration::from_secs(3_600);
/// Time it counts if nothing else is said.
pub const DEFAULT: Duration = Duration::from_secs(60);
/// Octets of the longest candidate: those of a notice.
pub const MAX_SIZE: usize = notice::MAX_SIZE;

/// See the module's header. Cheap to clone; clones share the one preview.
#[derive(Clone, Debug)]
pub struct Previewer {
    policy: PolicyReader,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    running: Option<Running>,
    /// Figures of the last one that has ended.
    last: Option<PreviewReport>,
}

#[derive(Debug)]
struct Running {
    preview: Arc<Preview>,
    /// Gone with it, which its thread sees.
    _end: Sender<()>,
}

/// Figures of a preview (`GET /v1/preview`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewReport {
    /// Queries that the candidate would have blocked and the policy in force did not.
    pub queries: u64,
    /// Names of the candidate that they were for, or below.
    pub names: u64,
    /// Seconds it has counted.
    pub seconds: u64,
    /// Names the candidate has.
    pub candidate: u64,
    /// Whether it goes on counting.
    pub running: bool,
}

/// A preview cannot start.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// One at a time.
    #[error("a preview is running; it ends by itself")]
    Running,
    /// There would be nobody to end it.
    #[error("there is no thread for it: {0}")]
    Thread(#[from] std::io::Error),
}

/// What a preview is of.
#[derive(Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What it would block.
    pub targets: Targets,
    /// Items or lines that would be refused, and are left out.
    pub refused: usize,
}

/// A candidate cannot be read; without a name of it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CandidateError {
    /// What is wrong.
    pub message: String,
    /// What to write instead, if that is known.
    pub hint: Option<String>,
}

/// Reads a candidate: a notice, or a list with a name a line, whose targets have this `scope`.
pub fn candidate(octets: &[u8], scope: Scope) -> Result<Candidate, CandidateError> {
    let file = Path::new("candidate");
    let (targets, refused, problems) = if octets.trim_ascii_start().starts_with(b"{") {
        let parsed = notice::parse(octets, file);
        let errors = parsed.problems.iter().filter(|problem| problem.severity == Severity::Error).count();
        (parsed.document.map(|document| document.targets), errors, parsed.problems)
    } else {
        // as if it were secret: names get into no message
        let listed = domains::parse(octets, file, scope, Sensitivity::Secret);
        let is_list = listed.verdict() == Verdict::List;
        (is_list.then_some(listed.targets), listed.bad, listed.problems)
    };
    match targets.filter(|targets| !targets.is_empty()) {
        Some(targets) => Ok(Candidate { targets, refused }),
        None => Err(why_not(&problems)),
    }
}

/// By the code alone: the messages of a public notice have names in them.
fn why_not(problems: &[Problem]) -> CandidateError {
    let worst = problems.iter().find(|problem| problem.severity == Severity::Error).or_else(|| problems.first());
    let Some(Problem { code, line, .. }) = worst else {
        let message = "the candidate is empty".to_owned();
        return CandidateError { message, hint: Some("send a notice, or a list with one name a line".to_owned()) };
    };
    let at = line.map_or_else(String::new, |line| format!(", line {line}"));
    let message = format!("this is no notice and no list of names ({code}{at})");
    CandidateError { message, hint: Some("pagar check says more of a notice in a source".to_owned()) }
}

impl Previewer {
    /// Over the queries that are answered by this policy.
    pub fn new(policy: PolicyReader) -> Self {
        Self { policy, state: Arc::default() }
    }

    /// Has queries counted that these targets would block, for `time`, [`LONGEST`] at most. Takes time with the number
    /// of names.
    pub fn start(&self, targets: &Targets, time: Duration) -> Result<PreviewReport, PreviewError> {
        if self.lock().running.is_some() {
            return Err(PreviewError::Running);
        }
        let preview = Arc::new(Preview::new(targets, Instant::now()));
        let (end, ended) = channel();
        let mut state = self.lock();
        if state.running.is_some() {
            return Err(PreviewError::Running);
        }
        let (this, until) = (self.clone(), preview.clone());
        let wait = move || {
            low_priority();
            if ended.recv_timeout(time.min(LONGEST)) == Err(RecvTimeoutError::Timeout) {
                this.end(&until);
            }
            free(until);
        };
        std::thread::Builder::new().name("pagar-preview".into()).spawn(wait)?;
        let report = report(&preview.counted(Instant::now()), true);
        tracing::info!(names = report.candidate, ?time, "a preview counts");
        self.policy.set_preview(Some(preview.clone()));
        state.running = Some(Running { preview, _end: end });
        Ok(report)
    }

    /// The figures so far, or those of the last one; `None` if there has been none.
    pub fn report(&self) -> Option<PreviewReport> {
        let state = self.lock();
        let so_far = state.running.as_ref().map(|running| report(&running.preview.counted(Instant::now()), true));
        so_far.or(state.last)
    }

    /// Ends it before its time; the figures, or those of the last one.
    pub fn stop(&self) -> Option<PreviewReport> {
        let running = self.lock().running.as_ref().map(|running| running.preview.clone());
        if let Some(preview) = running {
            self.end(&preview);
        }
        self.report()
    }

    /// Ends this one, if it is running.
    fn end(&self, preview: &Arc<Preview>) {
        let mut state = self.lock();
        let is_it = |running: &mut Running| Arc::ptr_eq(&running.preview, preview);
        if state.running.take_if(is_it).is_none() {
            return;
        }
        self.policy.set_preview(None);
        let figures = report(&preview.counted(Instant::now()), false);
        state.last = Some(figures);
        tracing::info!(queries = figures.queries, names = figures.names, "a preview has ended");
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner) // what it holds is whole after each statement
    }
}

/// Frees a preview once no worker reads it any more: never on a query thread.
fn free(preview: Arc<Preview>) {
    while Arc::strong_count(&preview) > 1 {
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn report(counted: &Counted, running: bool) -> PreviewReport {
    let Counted { queries, names, candidate, time } = *counted;
    PreviewReport { queries, names, seconds: time.as_secs(), candidate, running }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DnsName;
    use crate::policy::compile::tests::snapshot;
    use crate::policy::store::store;
    use crate::policy::verdict::Consider;

    fn previewer() -> (Previewer, PolicyReader) {
        let (_, policy) = store(snapshot(&[], 100));
        (Previewer::new(policy.clone()), policy)
    }

    fn targets(text: &str) -> Targets {
        candidate(text.as_bytes(), Scope::Subtree).unwrap().targets
    }

    /// A query, as a worker counts it.
    fn ask(policy: &PolicyReader, name: &str) {
        let name = DnsName::from_text(name).unwrap();
        let preview = policy.preview();
        let Some(preview) = preview.as_deref() else { return };
        if let Some(number) = preview.find(name.as_wire(), Consider::All) {
            preview.count(number);
        }
    }

    #[test]
    fn it_counts_until_it_is_stopped_and_keeps_the_figures() {
        let (previewer, policy) = previewer();
        assert_eq!(previewer.report(), None);
        let started = previewer.start(&targets("a.example\nb.example\nc.example\n"), DEFAULT).unwrap();
        assert_eq!((started.queries, started.candidate, started.running), (0, 3, true));
        for name in ["www.a.example", "a.example", "b.example", "other.example"] {
            ask(&policy, name);
        }
        let figures = previewer.stop().unwrap();
        assert_eq!((figures.queries, figures.names, figures.running), (3, 2, false));
        ask(&policy, "a.example");
        assert_eq!((previewer.report(), previewer.stop()), (Some(figures), Some(figures)));
        assert!(policy.preview().is_none());
    }

    #[test]
    fn it_ends_by_itself_and_is_freed() {
        let (previewer, policy) = previewer();
        previewer.start(&targets("a.example"), Duration::from_millis(50)).unwrap();
        let preview = Arc::downgrade(policy.preview().as_ref().unwrap());
        let started = Instant::now();
        while previewer.report().unwrap().running || preview.strong_count() > 0 {
            assert!(started.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(policy.preview().is_none());
    }

    #[test]
    fn one_runs_at_a_time_and_the_end_of_one_is_not_the_end_of_the_next() {
        let (previewer, policy) = previewer();
        previewer.start(&targets("a.example"), Duration::from_millis(300)).unwrap();
        assert!(matches!(previewer.start(&targets("b.example"), DEFAULT), Err(PreviewError::Running)));
        previewer.stop();
        previewer.start(&targets("b.example"), DEFAULT).unwrap();
        std::thread::sleep(Duration::from_millis(500));
        ask(&policy, "b.example");
        let figures = previewer.report().unwrap();
        assert_eq!((figures.queries, figures.running), (1, true));
    }

    #[test]
    fn a_candidate_is_a_notice_or_a_list() {
        let notice = r#"{ "version": 1, "id": "N-1", "sequence": 1, "authority": "mcmc", "kind": "restrict",
            "legal_basis": { "power": "Act" }, "category": "scam", "issued_at": "2026-01-01T00:00:00+08:00",
            "action": "block-page", "targets": [ { "item": "1", "name": "a.example", "scope": "exact" } ] }"#;
        let read = candidate(notice.as_bytes(), Scope::Subtree).unwrap();
        assert_eq!((read.targets.len(), read.targets.has(Scope::Exact), read.refused), (1, true, 0));
        let url =
            notice.replace("] }", ", { \"item\": \"2\", \"name\": \"https://b.example/x\", \"scope\": \"exact\" } ] }");
        let read = candidate(url.as_bytes(), Scope::Subtree).unwrap();
        assert_eq!((read.targets.len(), read.refused), (1, 1));
        assert_eq!(targets("# a list\na.example\n\nb.example # two\n").len(), 2);
        assert!(candidate(b"a.example", Scope::Exact).unwrap().targets.has(Scope::Exact));
        assert_eq!(candidate(b"a.example\nb c\nd.example\n", Scope::Exact).unwrap().refused, 1);
    }

    #[test]
    fn what_is_wrong_is_said_without_a_name() {
        let secret = "hidden.example";
        for text in ["", "# nothing\n", "{", "{ \"version\": 1 }", "hidden.example x\n", "https://hidden.example/x\n"] {
            let error = candidate(text.as_bytes(), Scope::Subtree).unwrap_err();
            assert!(!error.message.is_empty() && !error.message.contains(secret), "{error}");
            assert!(error.hint.is_some_and(|hint| !hint.contains(secret)));
        }
    }
}
