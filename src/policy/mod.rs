//! rules
pub mod pages;
