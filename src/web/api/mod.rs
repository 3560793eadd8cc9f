//! The JSON API, a resource a file.

pub(super) mod check;
pub(super) mod policy;
