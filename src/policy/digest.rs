//! [`Digests`]: one digest over those of all notices in force, for the price of the notices that changed.
//!
//! It is the SHA-256 of 256 digests, one for each first octet: of the notices' digests that begin with it, in order, end
//! to end (a notice that is in force twice counts twice). Whoever has the notices can compute it; nodes that enforce
//! the same have the same.

use sha2::{Digest, Sha256};

/// See the module's header.
#[derive(Debug)]
pub(super) struct Digests {
    /// By first octet, in order.
    notices: Vec<Vec<[u8; 32]>>,
    digests: Vec<[u8; 32]>,
}

impl Default for Digests {
    fn default() -> Self {
        Self { notices: vec![Vec::new(); 256], digests: vec![Sha256::digest([]).into(); 256] }
    }
}

impl Digests {
    /// A notice with this digest is in force from now on.
    pub(super) fn add(&mut self, digest: [u8; 32]) {
        let notices = &mut self.notices[usize::from(digest[0])];
        notices.insert(notices.partition_point(|other| *other < digest), digest);
        self.refresh(digest[0]);
    }

    /// One is no more.
    pub(super) fn remove(&mut self, digest: [u8; 32]) {
        let notices = &mut self.notices[usize::from(digest[0])];
        if let Ok(at) = notices.binary_search(&digest) {
            notices.remove(at);
        }
        self.refresh(digest[0]);
    }

    fn refresh(&mut self, first: u8) {
        let mut hash = Sha256::new();
        self.notices[usize::from(first)].iter().for_each(|digest| hash.update(digest));
        self.digests[usize::from(first)] = hash.finalize().into();
    }

    /// The digest over all.
    pub(super) fn total(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        self.digests.iter().for_each(|digest| hash.update(digest));
        hash.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_the_notices_however_they_came() {
        let of = |n: u32| -> [u8; 32] { Sha256::digest(n.to_be_bytes()).into() };
        let (mut there, mut back) = (Digests::default(), Digests::default());
        (0..1_000).for_each(|n| there.add(of(n)));
        (0..2_000).rev().for_each(|n| back.add(of(n)));
        assert_ne!(there.total(), back.total());
        (1_000..2_000).for_each(|n| back.remove(of(n)));
        assert_eq!(there.total(), back.total());
        there.add(of(7));
        assert_ne!(there.total(), back.total(), "twice is not once");
        there.remove(of(7));
        assert_eq!(there.total(), back.total());
    }
}
