//! x
pub mod config;
pub mod dns;
pub mod ingest;
pub mod model;
pub mod observe;
pub mod policy;
pub mod verify;
