//! Sources, notices and files for the tests of this module.

use std::path::Path;

use serde_json::json;

use super::format::notice;
use super::{Kind, ListFormat, Source};
use crate::model::{Notice, Scope};

/// The text of a notice that lists one name with its subtree.
pub(super) fn notice_text(id: &str, sequence: u64, name: &str) -> String {
    json!({
        "version": 1, "id": id, "sequence": sequence, "authority": "mcmc", "kind": "restrict",
        "legal_basis": { "power": "s.263" }, "category": "scam", "issued_at": "2026-11-01T09:00:00+08:00",
        "action": "block-page", "targets": [{ "item": "1", "name": name, "scope": "subtree" }]
    })
    .to_string()
}

pub(super) fn standing_notice() -> Notice {
    let text = notice_text("STANDING-1", 1, "any.example");
    notice::parse(text.as_bytes(), Path::new("config")).document.unwrap().notice
}

pub(super) fn list_source(path: &Path) -> Source {
    Source {
        name: "list".to_owned(),
        order: 0,
        kind: Kind::List {
            path: path.to_owned(),
            format: ListFormat::Domains,
            notice: Box::new(standing_notice()),
            scope: Scope::Subtree,
        },
    }
}

pub(super) fn directory_source(path: &Path) -> Source {
    Source {
        name: "notices".to_owned(),
        order: 0,
        kind: Kind::Directory { path: path.to_owned(), allow_unsigned: true },
    }
}
