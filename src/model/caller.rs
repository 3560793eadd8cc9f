//! [`Caller`]: who asks for something over HTTP, and what that client may do.

use super::authority::AuthorityId;

/// What a client of the API may do. Each role may do what the ones before it may, but [`Role::Authority`] only what is its
/// own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Reads.
    Viewer,
    /// Sends orders of one authority and reads what became of them.
    Authority,
    /// Reads, forwards orders of any authority, decides what waits for people.
    Operator,
}

/// A client that has shown who it is, or somebody on this machine where no client is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its name in the configuration: in the log, in the ledger, and what tells two persons apart.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Whose orders it sends; `Some` with [`Role::Authority`], and with no other.
    pub authority: Option<AuthorityId>,
    /// Whether names of the secret class are shown to it.
    pub secret: bool,
    /// Whether it has shown a credential; without one it is somebody on this machine, whoever that may be.
    pub is_known: bool,
}

impl Caller {
    /// Somebody on this machine, where no client is configured: reads, and forwards orders, which are believed for their
    /// signatures; decides nothing for people, since nobody knows who it is.
    pub fn local() -> Self {
        Self { name: "local".to_owned(), role: Role::Operator, authority: None, secret: false, is_known: false }
    }

    /// Whether orders of this authority are its affair.
    pub fn may_order(&self, authority: &AuthorityId) -> bool {
        match (self.role, &self.authority) {
            (Role::Viewer, _) => false,
            (Role::Authority, own) => own.as_ref() == Some(authority),
            (Role::Operator, _) => true,
        }
    }

    /// Whether it may read what became of this authority's orders.
    pub fn may_read(&self, authority: &AuthorityId) -> bool {
        self.authority.as_ref().is_none_or(|own| own == authority)
    }
}

impl Role {
    /// As written in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Authority => "authority",
            Self::Operator => "operator",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_orders_and_reads_what_is_its_own() {
        let (mcmc, court) = (AuthorityId::new("mcmc"), AuthorityId::new("court"));
        let caller = |role, authority: Option<&AuthorityId>| Caller {
            role,
            authority: authority.cloned(),
            is_known: true,
            ..Caller::local()
        };
        for (caller, orders, reads) in [
            (caller(Role::Authority, Some(&mcmc)), [true, false], [true, false]),
            (caller(Role::Operator, None), [true, true], [true, true]),
            (caller(Role::Viewer, None), [false, false], [true, true]),
        ] {
            assert_eq!([&mcmc, &court].map(|whose| caller.may_order(whose)), orders, "{caller:?}");
            assert_eq!([&mcmc, &court].map(|whose| caller.may_read(whose)), reads, "{caller:?}");
        }
    }
}
