//! The words of the house: names, notices, authorities, actions, client networks.
//!
//! Nothing here does I/O or reads a clock; every other layer may use these types, and they use none of the others.

pub mod action;
pub mod authority;
pub mod caller;
pub mod client;
pub mod name;
pub mod notice;
pub mod order;
pub(crate) mod pile;
pub mod receipt;
pub mod rtype;
pub(crate) mod symbols;
pub mod targets;
pub mod view;

pub use action::Action;
pub use authority::{Authority, AuthorityId, AuthorityKind};
pub use caller::{Caller, Role};
pub use client::{Client, Credential};
pub use name::{DnsName, NameError};
pub use notice::{Category, LegalBasis, Notice, NoticeId, Scope, Sensitivity, Validity};
pub use order::{Act, Item, ItemId, Order, Restriction};
pub use receipt::Receipt;
pub use targets::Targets;
pub use view::{Exemption, Exemptions, Network, NetworkError, Networks};
