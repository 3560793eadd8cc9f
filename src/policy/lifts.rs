//! [`Lifts`]: names that people have lifted in an emergency. They and all names below them resolve, whatever notices say.
//!
//! There are few, and hardly ever any: they stand beside the index, and cost a listed name one comparison.

use std::collections::BTreeSet;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::model::DnsName;
use crate::model::name::parent;

/// See the module's header. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lifts(Arc<BTreeSet<Box<[u8]>>>);

impl Lifts {
    /// Of these names.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a DnsName>) -> Self {
        Self(Arc::new(names.into_iter().map(|name| name.as_wire().into()).collect()))
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a canonical wire name or one above it is lifted.
    pub fn cover(&self, name: &[u8]) -> bool {
        let mut names = std::iter::successors(Some(name), |name| parent(name));
        names.any(|name| self.0.contains(name))
    }

    /// The digest of a policy with these lifts on top.
    pub(super) fn digest(&self, policy: [u8; 32]) -> [u8; 32] {
        if self.is_empty() {
            return policy;
        }
        let mut hash = Sha256::new();
        hash.update(b"lifts");
        hash.update(policy);
        self.0.iter().for_each(|name| hash.update(name)); // a wire name ends itself
        hash.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lift_is_about_its_name_and_those_below_it() {
        let name = |text: &str| DnsName::from_text(text).unwrap();
        let lifts = Lifts::new([&name("www.bad.example")]);
        for (text, lifted) in [
            ("www.bad.example", true),
            ("a.www.bad.example", true),
            ("bad.example", false),
            ("xwww.bad.example", false),
        ] {
            assert_eq!(lifts.cover(name(text).as_wire()), lifted, "{text}");
        }
        assert_ne!(lifts.digest([1; 32]), [1; 32]);
        assert_eq!(Lifts::default().digest([1; 32]), [1; 32]);
        assert!(!Lifts::default().cover(name("www.bad.example").as_wire()));
    }
}
