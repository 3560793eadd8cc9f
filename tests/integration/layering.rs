//! The layers of `src/lib.rs` as a test: which top-level module may name which. It replaces the walls that separate crates
//! would be.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A module and the modules it may use besides itself.
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("http", &[]),
    ("policy", &["model"]),
    ("ledger", &["model"]),
    ("observe", &["model"]),
    ("dns", &["model", "policy", "observe"]),
    ("verify", &["model"]),
    ("ingest", &["model", "verify", "http"]),
    ("control", &["model", "policy", "ledger", "observe", "verify", "ingest"]),
    ("feed", &["model", "observe", "verify", "ingest"]),
    ("report", &["model"]),
    ("tls", &[]),
    ("web", &["model", "observe", "control", "report", "tls", "feed"]),
    ("config", &["model", "policy", "ledger", "verify", "ingest", "control", "dns", "observe", "http", "tls", "feed"]),
    ("process", &["dns"]),
    ("error", &[]),
    ("zones", &["model", "ingest", "dns"]),
    (
        "serve",
        &["model", "policy", "observe", "dns", "control", "tls", "web", "config", "process", "zones", "error", "feed"],
    ),
    (
        "cli",
        &[
            "model", "policy", "observe", "ledger", "verify", "ingest", "control", "report", "config", "zones",
            "serve", "http", "tls", "error",
        ],
    ),
];

#[test]
fn no_layer_uses_what_stands_below_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for file in rust_files(&source) {
        let inner = file.strip_prefix(&source).unwrap();
        let first = inner.components().next().unwrap().as_os_str().to_str().unwrap();
        let module = first.trim_end_matches(".rs");
        if ["lib", "main", "manual"].contains(&module) {
            continue;
        }
        let Some((name, allowed)) = MAY_USE.iter().find(|(name, _)| *name == module) else {
            panic!("{module} is not in the table of layers");
        };
        seen.insert(*name);
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap(); // tests may reach further
        for used in crate_paths(code) {
            if used != module && !allowed.contains(&used.as_str()) {
                wrong.insert(format!("{} may not use {used}", inner.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "see src/lib.rs:\n{}", wrong.into_iter().collect::<Vec<_>>().join("\n"));
    assert_eq!(seen.len(), MAY_USE.len(), "a module of the table is gone");
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
    files
}

/// The first segment behind every `crate::` outside comments.
fn crate_paths(code: &str) -> BTreeSet<String> {
    let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    code.split("crate::")
        .skip(1)
        .map(|rest| rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect())
        .inspect(|name: &String| assert!(!name.is_empty(), "write `use crate::module::…`, a line each, for this test"))
        .collect()
}
