//! The ledger: what the node was told and did. So far only what it seals with.

pub mod seal;
