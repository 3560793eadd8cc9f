//! `[dns.identity]`: what the server says about itself. Nothing, unless written: a version helps attackers as well.

use super::values::{self, optional};
use crate::config::diagnostic::Reporter;
use crate::config::spec::{self, Spanned, Version};
use crate::dns::identity::{Identity, MAX_NSID, MAX_TEXT};

pub(super) fn identity(written: &spec::Identity, report: &mut Reporter<'_>) -> Option<Identity> {
    let version = optional(written.version.as_ref(), |version| match version.as_ref() {
        Version::Release(false) => Some(None),
        Version::Release(true) => Some(Some(concat!("pagar ", env!("CARGO_PKG_VERSION")).to_owned())),
        Version::Text(text) => {
            short(&Spanned::new(version.span(), text.clone()), "version", MAX_TEXT, report).map(Some)
        }
    });
    let server_id = optional(written.server_id.as_ref(), |text| short(text, "server_id", MAX_TEXT, report));
    let nsid = optional(written.nsid.as_ref(), |text| short(text, "nsid", MAX_NSID, report));
    Some(Identity { version: version?.flatten(), server_id: server_id?, nsid: nsid? })
}

fn short(written: &Spanned<String>, what: &str, max: usize, report: &mut Reporter<'_>) -> Option<String> {
    let text = values::text(written, what, report)?;
    if text.len() > max {
        report
            .error(written.span(), format!("{what} has {} octets", text.len()))
            .hint(format!("write at most {max}: it is sent in DNS messages"));
        return None;
    }
    Some(text.to_owned())
}
