//! [`Scripted`]: the upstream of a scenario. It answers from the file, keeps a list of what it was asked, and takes every
//! answer through [`Answer::parse`] as the real one does with what it receives.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use pagar::dns::answer::Answer;
use pagar::dns::resolve::{Failure, Outages, Question, Resolve};
use tokio::sync::Notify;

use super::message;
use super::script::{Entry, Mood};

/// See the module's header.
pub(super) struct Scripted {
    trust_ad: bool,
    inner: Mutex<Inner>,
    changed: Notify,
    outages: Arc<Outages>,
}

struct Inner {
    mood: Mood,
    /// Looked through from the front; the first that fits answers.
    entries: Vec<Entry>,
    asked: Vec<String>,
    mistakes: Vec<String>,
}

impl Scripted {
    pub(super) fn new(trust_ad: bool) -> Self {
        let inner = Inner { mood: Mood::Answers, entries: Vec::new(), asked: Vec::new(), mistakes: Vec::new() };
        Self { trust_ad, inner: Mutex::new(inner), changed: Notify::new(), outages: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over how it behaves and what it answers from now on; questions it held are answered now.
    pub(super) fn script(&self, mood: Mood, entries: Vec<Entry>) {
        let mut inner = self.lock();
        (inner.mood, inner.entries) = (mood, entries);
        drop(inner);
        self.changed.notify_waiters();
    }

    /// What it was asked since the last time this was asked.
    pub(super) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().asked)
    }

    /// What the file has no answer for, since the last time this was asked.
    pub(super) fn mistakes(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().mistakes)
    }

    async fn answer(&self, question: &Question) -> Result<Answer, Failure> {
        let asked = describe(question);
        self.lock().asked.push(asked.clone());
        loop {
            let changed = self.changed.notified();
            match self.lock().mood {
                Mood::Answers => break,
                Mood::Silent | Mood::Dead => return Err(Failure::Silence),
                Mood::Unreachable => return Err(Failure::Network),
                Mood::Holds => {}
            }
            changed.await;
        }
        let message = self.find(question).unwrap_or_else(|mistake| {
            self.lock().mistakes.push(format!("the upstream was asked {asked}: {mistake}"));
            Vec::new()
        });
        Answer::parse(&message, &question.section, self.trust_ad).map_err(|_| Failure::Garbage)
    }

    fn find(&self, question: &Question) -> Result<Vec<u8>, String> {
        let inner = self.lock();
        let asked = split(question);
        let fits = |entry: &&Entry| {
            entry.reply.questions.iter().any(|known| known.line().eq_ignore_ascii_case(&asked.line()))
                && entry.dnssec_ok.is_none_or(|wanted| wanted == question.dnssec_ok)
                && entry.checking_disabled.is_none_or(|wanted| wanted == question.checking_disabled)
        };
        let entry = inner.entries.iter().find(fits).ok_or("the file has no ENTRY for it")?;
        entry.raw.clone().map_or_else(|| entry.reply.encode(0x5050), Ok)
    }
}

impl Resolve for Scripted {
    fn resolve<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Answer, Failure>> {
        self.answer(question).boxed()
    }

    fn is_healthy(&self, _question: &Question) -> bool {
        self.lock().mood != Mood::Dead
    }

    fn outages(&self, _question: &Question) -> Arc<Outages> {
        self.outages.clone()
    }
}

fn split(question: &Question) -> message::Question {
    let (name, [t0, t1, c0, c1]) = question.section.split_last_chunk().expect("a question has type and class");
    message::Question {
        name: name.to_vec(),
        qtype: u16::from_be_bytes([*t0, *t1]),
        class: u16::from_be_bytes([*c0, *c1]),
    }
}

fn describe(question: &Question) -> String {
    let dnssec_ok = if question.dnssec_ok { " DO" } else { "" };
    let checking_disabled = if question.checking_disabled { " CD" } else { "" };
    format!("{}{dnssec_ok}{checking_disabled}", split(question).line())
}
