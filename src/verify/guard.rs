//! Names no notice may block, whatever it says: blocking them would be wider than any order.
//!
//! The root and bare top-level domains for now; the public suffix list, protected names and quarantine belong here too.

use crate::model::name::labels;

/// Why an item is refused. The words of [`Refusal::code`] go into receipts and metrics and stay stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `.` would block everything (1Hosts, May 2025).
    #[error("the root cannot be listed: it would block every name")]
    Root,
    /// A single label.
    #[error("a bare top-level domain cannot be listed")]
    TopLevel,
}

impl Refusal {
    /// The stable word for it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::TopLevel => "tld",
        }
    }
}

/// Whether a canonical wire name may be listed.
pub fn check(wire: &[u8]) -> Result<(), Refusal> {
    match labels(wire).take(2).count() {
        0 => Err(Refusal::Root),
        1 => Err(Refusal::TopLevel),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_and_single_labels_are_refused() {
        assert_eq!(check(b"\x00"), Err(Refusal::Root));
        assert_eq!(check(b"\x02my\x00"), Err(Refusal::TopLevel));
        assert_eq!(check(b"\x01a\x02my\x00"), Ok(()));
    }
}
