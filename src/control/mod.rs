//! The control plane: decides what is in force, publishes it, answers questions about it.
//!
//! ```text
//! ingest --Update--> task (the only writer) --state--> policy::compile --publish--> workers
//!                      |  timers: effective, expiry
//!                      +--> status, for handle: API, console, command line
//! ```
//!
//! It never sees a query but those it asks itself ([`selftest`]), and the data plane never waits for it.

mod asker;
pub mod clock;
pub mod command;
pub mod desk;
mod docket;
pub mod explain;
pub mod handle;
mod held;
pub mod life;
mod once;
pub mod preview;
mod publish;
pub mod recent;
pub mod selftest;
pub mod serial;
mod sources;
pub mod state;
mod store;
pub mod stored;
pub mod task;
mod together;

pub use desk::Desk;
pub use docket::{Look, OrderSummary, Selection, Summary};
pub use explain::Explanation;
pub use handle::{Handle, SourceStatus, Status};
pub use once::compile_once;
pub use selftest::SelfTest;
pub use task::{Config, Control, Lines, StartError, start};

/// The source of signed notices: they come through sources, and do not depend on them any more. No source of the
/// configuration is meant by it, and their `reading` is the empty string.
pub const SIGNED: &str = "signed notices";
