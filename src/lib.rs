//! Pagar carries out statutory restriction notices in an ISP's DNS: a forwarder that answers listed names with the block
//! page and everything else with the truth.
//!
//! This page is the map; [`manual`] explains. Two planes meet in two places: the control plane publishes a
//! [`policy::Snapshot`] that the data plane reads, and both count into [`observe`].
//!
//! Words: [`model`] holds names, notices, authorities, actions and client networks, without I/O or a clock.
//!
//! Rules and records: [`policy`] compiles notices into an index and publishes it; [`ledger`] keeps what the node was told
//! and did; [`observe`] counts and logs.
//!
//! Data plane: [`dns`] takes questions off the wire and answers them. It uses words and rules, nothing else.
//!
//! Control plane: [`ingest`] reads sources, [`verify`] says what may be ordered, [`control`] decides what is in force. It
//! never uses [`dns`].
//!
//! Words for people: [`report`] writes what receipts say as tables and letters.
//!
//! Faces: [`web`] answers the API, metrics and health, [`tls`] has its certificates; [`feed`] publishes an authority's notices
//! for others to fetch.
//!
//! Beside all of these: [`http`] asks other programs.
//!
//! Assembly: [`config`] reads the configuration, [`cli`] the command line, [`process`] deals with the operating system,
//! [`zones`] reads the operator's zone files, [`serve`] puts everything together and is the only file that sees both planes.
//!
//! `tests/integration/layering.rs` checks who uses whom.
//!
//! Where a newcomer adds: *a list syntax* `ingest/format/<x>.rs`; *a source* `ingest/<x>.rs` and a variant of
//! [`ingest::Kind`]; *an action* a variant of [`model::Action`]; *a transport* `dns/listen/<x>.rs`; *a metric* a field in
//! `observe/metrics.rs`; *an endpoint* `web/api/<x>.rs`; *a command* `cli/<x>.rs`; *a config key* `config/keys.rs`.

#![deny(unsafe_code)] // dns/listen/mmsg.rs alone is excepted

pub mod cli;
pub mod config;
pub mod control;
pub mod dns;
pub mod error;
pub mod feed;
pub mod http;
pub mod ingest;
pub mod ledger;
pub mod manual;
pub mod model;
pub mod observe;
pub mod policy;
pub mod process;
pub mod report;
pub mod serve;
pub mod tls;
pub mod verify;
pub mod web;
pub mod zones;
