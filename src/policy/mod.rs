//! The rules in force, and how they change.
//!
//! ```text
//! notices + names --> Register --snapshot--> Snapshot --store--> every worker
//!                        ^  |
//!     time passes -------+  +--merge--> layers, built aside
//! ```
//!
//! [`register::Register`] is what the control plane changes: every known notice, in force or not, and the
//! [`index::Index`] with their names, which is the only copy of them. A change, or a notice that takes effect or expires,
//! costs what it changes. [`Snapshot`] says, for one instant, which notice wins for each name.
//!
//! Beside it stand [`Preview`], which counts what a notice would do that is not in force, and [`Asking`], by which the data
//! plane knows the questions the node asks itself.

pub mod asking;
pub mod chunked;
pub mod compile;
pub mod diff;
mod digest;
pub mod index;
pub mod lifts;
pub mod pages;
pub mod preview;
pub mod register;
pub mod store;
pub mod verdict;

pub use asking::Asking;
pub use compile::{Entry, Slots};
pub use index::Index;
pub use pages::{Page, PageRule, Pages};
pub use preview::Preview;
pub use register::{Change, Register};
pub use store::{PolicyReader, PolicyWriter};
pub use verdict::{Snapshot, Verdict};

#[cfg(test)]
mod model_tests;
