//! [`Desk`]: where orders are handed in one by one, by whoever waits for the answer, and where what became of orders is
//! asked for. It speaks with the control thread; what is asked there waits while a long list is compiled.
//!
//! | asked | answered |
//! |---|---|
//! | [`Desk::push`] | when the order is recorded |
//! | [`Desk::await_receipt`] | when the receipt of an order that was taken is final |
//! | [`Desk::rehearse`] | what the order would change; nothing is recorded |
//! | [`Desk::look`] | from the docket as it is: receipts, notices, the ledger |
//!
//! Nobody's patience is the control thread's affair: an answer that nobody waits for any more is thrown away.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::oneshot;

use super::docket::{Docket, Look};
use super::task::Command;
pub use crate::ingest::Problem;
use crate::model::{AuthorityId, NoticeId};

/// Source of what is handed in, in records and in the log: `push:` and the client's name.
pub const PUSHED: &str = "push:";

/// See the module's header. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Desk {
    commands: Sender<Command>,
}

/// An order as it was handed in.
#[derive(Debug)]
pub struct Push {
    /// The envelope.
    pub octets: Vec<u8>,
    /// Whose client has it; stands in the ledger.
    pub client: String,
    /// The client may send orders of this authority only.
    pub only: Option<AuthorityId>,
}

/// What came of it.
#[derive(Debug)]
pub enum Pushed {
    /// It was taken, now or before.
    Taken {
        /// What is said of it.
        told: Box<Told>,
        /// Whether it was taken just now.
        is_new: bool,
    },
    /// It was not, and will not be as it is.
    Refused(Box<Refusal>),
    /// Not now: the ledger cannot be written.
    Unavailable(String),
}

/// What is said of an order that was taken.
#[derive(Clone, Debug)]
pub struct Told {
    /// Whose order.
    pub authority: AuthorityId,
    /// Its id.
    pub notice: NoticeId,
    /// Whether its receipt says all there is to say for now.
    pub is_final: bool,
    /// The receipt, signed by the node.
    pub receipt: Value,
}

/// Why an order was not taken.
#[derive(Debug)]
pub struct Refusal {
    /// A stable word.
    pub code: &'static str,
    /// For people.
    pub reason: String,
    /// What to do instead.
    pub hint: Option<String>,
    /// Whose order, if that is known.
    pub authority: Option<AuthorityId>,
    /// Its id and number, likewise.
    pub notice: Option<(NoticeId, u64)>,
    /// All that is wrong with it, where that is more.
    pub problems: Vec<Problem>,
    /// The refusal as the node signs it, if its sender is known.
    pub receipt: Option<Value>,
}

/// What an order would change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rehearsal {
    /// Whose order.
    pub authority: String,
    /// Its id.
    pub notice: String,
    /// What it does, as written in it.
    pub kind: String,
    /// Its number.
    pub sequence: u64,
    /// It was taken before: sending it again changes nothing.
    pub known: bool,
    /// Its authority only rehearses: nothing of it would be in force.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub test: bool,
    /// When it would take effect.
    pub effective_at: Timestamp,
    /// Names it would newly restrict, and how many of these other notices list already.
    pub adds: usize,
    /// See [`Self::adds`].
    pub already_listed: usize,
    /// Names it would take out, and how many of these other notices go on listing.
    pub removes: usize,
    /// See [`Self::removes`].
    pub still_listed: usize,
    /// Names that stay as they are.
    pub unchanged: usize,
    /// Items that would not come into force, with the reason.
    pub items: Vec<RehearsedItem>,
    /// All that in a line.
    pub text: String,
}

/// An item that would not come into force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RehearsedItem {
    /// Its number in the order.
    pub item: String,
    /// `quarantined` or `refused`.
    pub state: String,
    /// Why.
    pub code: String,
}

/// The control plane is not there any more, or panicked over the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the control plane gave no answer")]
pub struct NoAnswer;

/// Those who wait for an answer, by the number of their order.
pub(super) type Tickets = BTreeMap<u64, oneshot::Sender<Pushed>>;

/// A question to the docket.
pub(super) type Question = Box<dyn FnOnce(&Docket, Timestamp) + Send>;

impl Desk {
    pub(super) fn new(commands: Sender<Command>) -> Self {
        Self { commands }
    }

    /// One where nobody answers.
    #[cfg(test)]
    pub(crate) fn unattended() -> Self {
        Self::new(std::sync::mpsc::channel().0)
    }

    /// Hands an order in. Dropping the future takes nothing back.
    pub async fn push(&self, push: Push) -> Result<Pushed, NoAnswer> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(Command::Push(push, answer)).map_err(|_| NoAnswer)?;
        answered.await.map_err(|_| NoAnswer)
    }

    /// What an order would change if it were handed in now.
    pub async fn rehearse(&self, push: Push) -> Result<Result<Rehearsal, Box<Refusal>>, NoAnswer> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(Command::Rehearse(push, answer)).map_err(|_| NoAnswer)?;
        answered.await.map_err(|_| NoAnswer)
    }

    /// The receipt of an order as soon as it is final; `None` if no such order was taken.
    pub async fn await_receipt(&self, key: (AuthorityId, NoticeId)) -> Result<Option<Told>, NoAnswer> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(Command::Await(key, answer)).map_err(|_| NoAnswer)?;
        Ok(answered.await.ok())
    }

    /// Looks into the docket; the question runs on the control thread, so it has to be short.
    pub async fn look<T: Send + 'static>(
        &self,
        question: impl FnOnce(Look<'_>) -> T + Send + 'static,
    ) -> Result<T, NoAnswer> {
        let (answer, answered) = oneshot::channel();
        let look = Box::new(move |docket: &Docket, now| {
            let _ = answer.send(question(Look::new(docket, now))); // nobody waits any more
        });
        self.commands.send(Command::Look(look)).map_err(|_| NoAnswer)?;
        answered.await.map_err(|_| NoAnswer)
    }
}
