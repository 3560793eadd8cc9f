//! The manual for those who change the program. Modules without code: rendered and link-checked by `cargo doc`.
//!
//! | chapter | answers |
//! |---|---|
//! | [`architecture`] | which parts there are, which threads run them, what may use what, what happens at start and stop |
//! | [`query_path`] | what happens to a query, in which order, within which bounds |
//! | [`notice_path`] | what happens to a notice from a file to an answer and a receipt, and what is kept when something is wrong |
//! | [`decisions`] | what was decided, why, and what would change our mind |
//! | [`standards`] | what the RFCs require, where it is met, which test shows it |
//! | [`consequences`] | what laws and other people's mishaps require, where it is met, which test shows it |
//! | [`attacks`] | floods, hoards and silence: what clients notice, measured |
//! | [`figures`] | how fast and how small it is, measured; what was aimed at and is not reached |
//! | [`threat_model`] | whom we trust with what, what we defend against and what we do not |
//! | [`howto`] | the exact files to touch for a list syntax, a source, an action, a transport, a metric, a config key, a test |
//!
//! What operators rely on stands elsewhere: `README.md` to begin with, `deploy/man` for options, keys, signals and exit
//! codes, `config/pagar.toml` for every key in an example.
//!
//! Five tenets settle arguments, the earlier before the later: **lawful, correct, available, fast, flexible**. No
//! notice, no block; exactly what the notice says, never wider; lifting as fast as blocking. What is wrong at start
//! with the configuration, the sockets or the state directory is fatal, and so is that no source can be read. What goes
//! wrong later is reported and the last good policy stays.

pub mod architecture;
pub mod attacks;
pub mod consequences;
pub mod decisions;
pub mod figures;
pub mod howto;
pub mod notice_path;
pub mod query_path;
pub mod standards;
pub mod threat_model;
