//! The syntaxes notices and lists are written in, a file each. All are pure: bytes in, a document or names and the
//! problems out; no file, no clock. They read what anybody may have written, so they never panic and never guess.
//!
//! [`notice`] is the JSON notice; [`hosts`] and [`domains`] are lists, on the common scanner of [`lines`]. `target` is
//! the one place that says what text may name a target, `json` keeps serde's messages free of what the file says, and
//! `place` counts lines and columns.

pub mod domains;
pub mod hosts;
mod json;
pub mod lines;
pub mod notice;
mod place;
mod target;

use crate::model::DnsName;

/// Why a text names no target; for whoever writes a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoTarget {
    /// Stable word, see [`crate::ingest::Problem::code`].
    pub code: &'static str,
    /// What is wrong; the text is in it if it may be shown.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

/// Reads the name of a target as it may stand in a notice.
pub fn target_name(text: &str, may_be_shown: bool) -> Result<DnsName, NoTarget> {
    target::read(text).map_err(|refused| NoTarget {
        code: refused.code,
        message: refused.message(may_be_shown.then_some(text)),
        hint: refused.hint(may_be_shown),
    })
}

/// Windows editors put it before UTF-8; it is not part of the text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
