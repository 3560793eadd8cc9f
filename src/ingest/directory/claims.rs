//! Which file of a directory carries which notice. A notice's id and its sequence number are unique per authority; of two
//! files that claim one, the file known first keeps it.

use std::collections::HashMap;

use super::Severity;
use crate::model::{AuthorityId, Notice, NoticeId};

/// What of a notice must be unique.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    authority: AuthorityId,
    id: NoticeId,
    sequence: u64,
    /// Of the payload.
    pub(super) digest: [u8; 32],
}

impl Claim {
    pub(super) fn of(notice: &Notice) -> Self {
        Self {
            authority: notice.authority.clone(),
            id: notice.id.clone(),
            sequence: notice.sequence,
            digest: notice.digest,
        }
    }

    /// Whether this is another state of that notice.
    pub(super) fn is_same_notice(&self, other: &Self) -> bool {
        (&self.authority, &self.id) == (&other.authority, &other.id)
    }
}

/// The claims in force.
#[derive(Debug, Default)]
pub(super) struct Claims {
    by_id: HashMap<(AuthorityId, NoticeId), (String, [u8; 32])>,
    by_sequence: HashMap<(AuthorityId, u64), String>,
}

impl Claims {
    pub(super) fn add(&mut self, file: &str, claim: &Claim) {
        self.by_id.insert((claim.authority.clone(), claim.id.clone()), (file.to_owned(), claim.digest));
        self.by_sequence.insert((claim.authority.clone(), claim.sequence), file.to_owned());
    }

    /// What stands against a claim of yet another file.
    pub(super) fn collision(&self, file: &str, claim: &Claim) -> Option<(Severity, &'static str, String)> {
        let Claim { authority, id, sequence, digest } = claim;
        let notice = format!("notice {id} of {authority}");
        if let Some((other, theirs)) = self.by_id.get(&(authority.clone(), id.clone())) {
            return Some(if theirs == digest {
                let message = format!("{notice} is in {other} and, word for word, in {file}; the copy is not used");
                (Severity::Warning, "duplicate-id", message)
            } else {
                let message =
                    format!("{notice} is in {other} and, with other content, in {file}; {file} is not carried out");
                (Severity::Error, "duplicate-id", message)
            });
        }
        let other = self.by_sequence.get(&(authority.clone(), *sequence))?;
        let message = format!(
            "{notice} in {file} has sequence {sequence}, and so has another in {other}; {file} is not carried out"
        );
        Some((Severity::Error, "sequence", message))
    }
}

impl<'a> FromIterator<(&'a String, &'a Claim)> for Claims {
    fn from_iter<I: IntoIterator<Item = (&'a String, &'a Claim)>>(all: I) -> Self {
        let mut claims = Self::default();
        for (file, claim) in all {
            claims.add(file, claim);
        }
        claims
    }
}
