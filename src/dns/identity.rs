//! What this server says about itself, where the operator wants it to: TXT questions of class CH (RFC 4892) and the NSID
//! option (RFC 5001). All of it is off unless configured; a question about what is off is REFUSED like any of class CH.

use super::query::Query;
use super::reply;
use super::wire::rtype;

/// Longest NSID in octets: longer ones would cost answers their room.
pub const MAX_NSID: usize = 128;
/// Longest text of a TXT record's one string (RFC 1035 §3.3.14).
pub const MAX_TEXT: usize = 255;

/// `[dns.identity]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Answers `version.bind` and `version.server`; [`MAX_TEXT`] octets at most.
    pub version: Option<String>,
    /// Answers `id.server` and `hostname.bind`; [`MAX_TEXT`] octets at most.
    pub server_id: Option<String>,
    /// The NSID; [`MAX_NSID`] octets at most.
    pub nsid: Option<String>,
}

impl Identity {
    /// Writes the answer to a question of class CH; `None` if there is none.
    pub fn answer(&self, query: &Query, out: &mut [u8]) -> Option<usize> {
        let text = match query.name() {
            b"\x07version\x04bind\x00" | b"\x07version\x06server\x00" => self.version.as_ref(),
            b"\x02id\x06server\x00" | b"\x08hostname\x04bind\x00" => self.server_id.as_ref(),
            _ => None,
        };
        let text = text.filter(|_| matches!(query.qtype, rtype::TXT | rtype::ANY))?;
        Some(reply::about_us(query, text.as_bytes(), out))
    }
}
