//! Whether an authority may order what a notice says: it must be configured, and the category must be its own.

use crate::model::{Action, Authority, AuthorityId, Category, Notice, Scope, Targets};

/// Why a whole notice is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// No `[[authority]]` of that id.
    #[error("authority \"{0}\" is not configured")]
    UnknownAuthority(AuthorityId),
    /// `categories` of the authority does not hold it.
    #[error("authority \"{authority}\" may not order category \"{category}\"")]
    Category {
        /// Who ordered.
        authority: AuthorityId,
        /// What.
        category: Category,
    },
    /// RFC 8020: NXDOMAIN for an exact target would deny the names below it.
    #[error("action \"nxdomain\" needs scope \"subtree\" on every target (RFC 8020)")]
    NxDomainExact,
    /// It ends before it starts.
    #[error("expires_at is not after effective_at")]
    NeverInForce,
    /// What only rehearses restricts nothing.
    #[error("authority \"{0}\" is for tests: only its signed notices are taken, and they block nothing")]
    Test(AuthorityId),
}

impl Rejection {
    /// The stable word for it.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownAuthority(_) => "authority",
            Self::Category { .. } => "category",
            Self::NxDomainExact => "nxdomain-exact",
            Self::NeverInForce => "dates",
            Self::Test(_) => "test-authority",
        }
    }
}

/// Checks a notice against the configured authorities; returns the one that issued it.
pub fn notice<'a>(
    notice: &Notice,
    targets: &Targets,
    authorities: &'a [Authority],
) -> Result<&'a Authority, Rejection> {
    let authority = authorities
        .iter()
        .find(|known| known.id == notice.authority)
        .ok_or_else(|| Rejection::UnknownAuthority(notice.authority.clone()))?;
    if !authority.may_order(&notice.category) {
        return Err(Rejection::Category { authority: authority.id.clone(), category: notice.category.clone() });
    }
    if notice.action == Action::NxDomain && targets.has(Scope::Exact) {
        return Err(Rejection::NxDomainExact);
    }
    if notice.validity.expires_at.is_some_and(|end| end <= notice.validity.effective_at) {
        return Err(Rejection::NeverInForce);
    }
    Ok(authority)
}
