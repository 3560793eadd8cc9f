//! Reads the files of the local zones: what the data plane may not do and the configuration does not.

use std::path::Path;

use crate::dns::local::{Local, LocalConfig, Mistake, Zone, parse};
use crate::ingest::{Problem, Severity};
use crate::model::DnsName;

/// Largest zone file read, in octets: these zones are small, and are kept twice while a reload compares them.
const MAX_FILE: u64 = 16 << 20;

/// The zones of a configuration and what is wrong with their files.
#[derive(Debug)]
pub struct Loaded {
    /// What is served: a zone whose file is wrong is answered with SERVFAIL.
    pub local: Local,
    /// How many are not served.
    pub broken: usize,
    /// What is wrong, with its place.
    pub problems: Vec<Problem>,
}

/// Reads them all.
pub fn load(config: &LocalConfig) -> Loaded {
    let (mut zones, mut broken, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for (name, path) in &config.zones {
        match read(name, path) {
            Ok(zone) => zones.push(zone),
            Err(wrong) => {
                broken.push(name.clone());
                problems.extend(wrong);
            }
        }
    }
    let local = Local::new(config.special_names, &config.forward, zones, &broken);
    Loaded { local, broken: broken.len(), problems }
}

fn read(name: &DnsName, path: &Path) -> Result<Zone, Vec<Problem>> {
    let unread = |message: String, hint: &str| {
        vec![problem(path, Mistake { line: None, column: None, message, hint: None }, Some(hint), "io")]
    };
    let size = std::fs::metadata(path).map(|file| file.len());
    if size.is_ok_and(|size| size > MAX_FILE) {
        return Err(unread("the zone file has more than 16 MiB".into(), "serve large zones from a name server"));
    }
    let text = std::fs::read(path)
        .map_err(|error| unread(format!("the zone file cannot be read: {error}"), "see path in [[local_zone]]"))?;
    parse(name, &text).map_err(|mistakes| {
        let of_zone = |mistake: Mistake| {
            let hint = mistake.hint;
            problem(path, mistake, hint, "zone")
        };
        mistakes.into_iter().map(of_zone).collect()
    })
}

fn problem(path: &Path, mistake: Mistake, hint: Option<&str>, code: &'static str) -> Problem {
    Problem {
        severity: Severity::Error,
        file: path.to_owned(),
        line: mistake.line,
        column: mistake.column,
        message: mistake.message,
        hint: hint.map(str::to_owned),
        code,
    }
}
