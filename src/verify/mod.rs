//! What stands between a document and the policy: [`guard`], the names no notice may block, and [`check`], whether the
//! authority may order this at all. Signatures come here too, once notices carry them.

pub mod check;
pub mod guard;
