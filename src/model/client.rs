//! [`Client`]: who may call the API, and how it shows that it is the one.

use super::caller::Caller;

/// A client of the API as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Who it is once it has shown its credential.
    pub caller: Caller,
    /// What it has to show.
    pub credential: Credential,
}

/// What a client shows, known here only by its digest: whoever reads the configuration cannot call in its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Credential {
    /// SHA-256 of a bearer token.
    Token([u8; 32]),
    /// SHA-256 of a TLS certificate in DER.
    Certificate([u8; 32]),
}
