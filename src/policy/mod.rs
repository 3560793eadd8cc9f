//! The rules in force, and how they change.
//!
//! ```text
//! notices + names --compile::index--> Index --compile::resolve(now)--> Snapshot --store--> every worker
//!                                       |                                 |
//!                                       +--- kept while only time passes  +--- diff against the one before
//! ```
//!
//! [`index::Index`] holds every name of every known notice, in force or not: the only copy of the names. [`Snapshot`] says,
//! for one instant, which notice wins for each of them, so a notice that takes effect or expires costs no rebuild.

pub mod compile;
pub mod diff;
pub mod index;
pub mod pages;
pub mod store;
pub mod verdict;

pub use compile::{Entry, Slots};
pub use index::Index;
pub use pages::{Page, PageRule, Pages};
pub use store::{PolicyReader, PolicyWriter};
pub use verdict::{Snapshot, Verdict};

#[cfg(test)]
mod model_tests;
