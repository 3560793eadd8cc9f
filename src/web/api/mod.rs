//! The JSON API, a resource a file.

pub mod cache;
pub(super) mod check;
pub(super) mod ledger;
pub(super) mod notices;
pub mod overrides;
pub(super) mod policy;
pub(super) mod preview;
pub(super) mod receipts;
