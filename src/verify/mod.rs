//! What stands between a document and the policy: [`keyring`], whether enough of an authority's keys have signed it;
//! [`check`], whether the authority may order this at all; and [`guard`], the names no notice may block. [`jose`] is what
//! signatures and keys are written in, [`checkpoint`] what says which notices a feed has.

pub mod check;
pub mod checkpoint;
pub mod guard;
pub mod jose;
pub mod keyring;
