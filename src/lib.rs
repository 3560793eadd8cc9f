//! x
pub mod control;
pub mod dns;
pub mod ingest;
pub mod model;
pub mod observe;
pub mod policy;
pub mod verify;
pub mod web;
