//! The words between those who want an answer and those who ask upstreams for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use futures_util::future::BoxFuture;

use super::answer::Answer;
use super::reply::Ede;

/// Asks upstreams. A trait so that scenarios can script the answers.
pub trait Resolve: Send + Sync {
    /// The answer to a question, from whichever upstream gave one.
    fn resolve<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Answer, Failure>>;

    /// Whether one of the upstreams this question may go to is in use. If none is, a failure says nothing about the name.
    fn is_healthy(&self, question: &Question) -> bool;

    /// The outages of these upstreams.
    fn outages(&self, question: &Question) -> Arc<Outages>;
}

/// The times in which none of the upstreams of a zone answered anybody. What is known of their silence from before the
/// end of one says nothing any more.
#[derive(Debug, Default)]
pub struct Outages {
    under_way: AtomicBool,
    over: AtomicU64,
}

impl Outages {
    /// None is in use, and a question has failed.
    pub fn begin(&self) {
        self.under_way.store(true, Relaxed);
    }

    /// One has answered.
    pub fn end(&self) {
        if self.under_way.load(Relaxed) && self.under_way.swap(false, Relaxed) {
            self.over.fetch_add(1, Relaxed);
        }
    }

    /// How many have ended.
    pub fn over(&self) -> u64 {
        self.over.load(Relaxed)
    }
}

/// What is asked of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The question section to send: canonical name, type, class.
    pub section: Vec<u8>,
    /// DO: send DNSSEC records.
    pub dnssec_ok: bool,
    /// CD: do not validate.
    pub checking_disabled: bool,
}

/// Why no upstream's answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// None answered in time: EDE 22.
    Silence,
    /// None could be sent to: EDE 23.
    Network,
    /// What came could not be used: EDE 23.
    Garbage,
    /// A mistake of ours: EDE 0.
    Broken,
}

impl Failure {
    /// What a client is told.
    pub fn ede(self) -> Ede {
        match self {
            Self::Silence => Ede::NO_REACHABLE_AUTHORITY,
            Self::Network | Self::Garbage => Ede::NETWORK_ERROR,
            Self::Broken => Ede::OTHER,
        }
    }
}
