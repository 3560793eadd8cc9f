//! stub
mod message;
mod script;
mod upstream;
mod words;
mod world;

use std::fs;
use std::path::{Path, PathBuf};

/// The scenario files.
fn files() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rpl"));
    files.sort();
    files
}

fn name(file: &Path) -> String {
    format!("tests/scenarios/{}", file.file_name().unwrap().to_string_lossy())
}

#[test]
fn every_scenario_holds() {
    let files = files();
    let run = |file: &PathBuf| world::run(&name(file), &fs::read_to_string(file).unwrap());
    let failures: Vec<_> = files.iter().flat_map(run).collect();
    assert!(!files.is_empty(), "there are no scenarios");
    assert!(failures.is_empty(), "{} failures\n\n{}\n", failures.len(), failures.join("\n\n"));
}
