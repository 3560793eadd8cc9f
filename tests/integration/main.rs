//! Everything that is tested from outside, in one binary so that it links once. A table of contents:
//!
//! | module | what |
//! |---|---|
//! | [`allocations`] | the fast path allocates nothing |
//! | [`layering`] | who may use whom in `src/` (the crate's map in `lib.rs`) |
//! | [`scenario`] | DNS conversations as text (`tests/scenarios/*.rpl`) against the real core, without sockets |

mod allocations;
mod layering;
mod scenario;
