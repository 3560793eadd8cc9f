//! Notices dropped as files into a directory, one notice a file: `*.jws` and `*.json`; hidden files, subdirectories, receipts
//! and other names are not looked at.
//!
//! A signed notice is handed on as it is, each time its file's octets change: what becomes of it is decided by the control
//! plane, and does not depend on the file any more. The rest is about unsigned notices, where a directory allows them.
//!
//! What a file gave stays in force until the file gives something else or is deleted. A file that no longer parses, cannot
//! be read or collides with another changes nothing; a directory that is gone or cannot be read is a failure of the source
//! and changes nothing either (DESIGN §4).

mod claims;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use self::claims::{Claim, Claims};
use super::file::{self, Content, Fingerprint};
use super::format::notice;
use super::loader::{ABSENCE, Mode};
use super::{Document, Problem, Severity, Update};
use crate::model::Notice;
use crate::verify::jose::jws;

/// Octets of signed notices that are handed on at one look, and one file more.
const SIGNED_AT_ONCE: usize = 64 << 20;
/// What a receipt's file name ends in.
pub const RECEIPT: &str = ".receipt.json";
/// A notice file is taken unasked when it has not changed for this long.
const QUIET: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    allow_unsigned: bool,
    identity: Option<(u64, u64)>, // device and inode, when its files were last looked at
    files: BTreeMap<String, Known>,
    told: BTreeSet<OsString>, // files of no use that were reported
    again: Option<Duration>,
}

/// What is remembered of one file.
#[derive(Debug, Default)]
struct Known {
    seen: Option<Fingerprint>, // of the state last read; `None` if it must be read
    digest: Option<[u8; 32]>,  // of the octets last read
    said: Option<String>,      // the last message about the file as a whole; not repeated every look
    absent_since: Option<Instant>,
    in_force: Option<Claim>,
    waiting: bool, // parses, and stands back behind another file
}

impl Directory {
    pub(super) fn new(path: PathBuf, allow_unsigned: bool) -> Self {
        Self { path, allow_unsigned, identity: None, files: BTreeMap::new(), told: BTreeSet::new(), again: None }
    }

    /// Takes over which notices are in force, without having looked.
    pub(super) fn hold(&mut self, notices: BTreeMap<String, &Notice>) {
        for (file, notice) in notices {
            self.files.entry(file).or_default().in_force.get_or_insert_with(|| Claim::of(notice));
        }
    }

    pub(super) fn again(&self) -> Option<Duration> {
        self.again
    }

    pub(super) fn scan(&mut self, update: &mut Update, mode: Mode<'_>) {
        self.again = None;
        let names = match self.names(mode) {
            Ok(names) => names,
            Err(error) => {
                update.failure = Some(file::io_problem(&self.path, "the directory cannot be read", &error));
                return;
            }
        };
        if let Some(problem) = self.is_another(names.is_empty()) {
            update.failure = Some(problem);
            return;
        }
        let names = self.usable(names, update);
        let mut released = self.drop_absent(&names, update, mode);
        let mut fresh = BTreeMap::new();
        for name in names {
            if let Some(document) = self.look_at(&name, update, mode) {
                fresh.insert(name, document);
            }
        }
        // What stands back behind another file comes into force when that one gives way, which may free yet another.
        loop {
            if released {
                self.look_at_waiting(&mut fresh, update, mode);
            }
            if fresh.is_empty() {
                break;
            }
            released = self.admit(std::mem::take(&mut fresh), update);
            if !released {
                break;
            }
        }
        update.problems.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    }

    //------ what is there ---

    /// An empty directory in the place of one with notices in force is no order to lift them: a file system was unmounted,
    /// or the directory made anew. Deleting the files one by one is.
    fn is_another(&mut self, is_empty: bool) -> Option<Problem> {
        let identity = identity(&self.path);
        let in_force = self.files.values().any(|known| known.in_force.is_some());
        if is_empty && in_force && identity != self.identity {
            let message = "another, empty directory stands here; its last good notices stay in force".to_owned();
            let hint = "mount or fill it; to lift them all, take the source out of the configuration";
            let file = self.path.clone();
            let (line, column, hint) = (None, None, Some(hint.into()));
            return Some(Problem { severity: Severity::Error, file, line, column, message, hint, code: "empty" });
        }
        self.identity = identity;
        None
    }

    /// The names of files that are meant for us.
    fn names(&self, mode: Mode<'_>) -> io::Result<BTreeSet<OsString>> {
        let stands = || self.identity.is_some() && self.identity == identity(&self.path);
        if let Some(named) = mode.only()
            && stands()
        {
            let names = self.names_but_for(named)?;
            if stands() {
                return Ok(names); // otherwise they are missing with all the rest
            }
        }
        let mut names = BTreeSet::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            if is_candidate(&entry.file_name()) && !entry.file_type()?.is_dir() {
                names.insert(entry.file_name());
            }
        }
        Ok(names)
    }

    /// As [`Self::names`], where nothing but these files has changed: among thousands of files the one that came should not
    /// wait until the directory is read.
    fn names_but_for(&self, named: &BTreeSet<OsString>) -> io::Result<BTreeSet<OsString>> {
        let mut names: BTreeSet<_> = self.told.iter().cloned().collect();
        let mut uncertain: BTreeSet<_> = named.iter().filter(|name| is_candidate(name)).cloned().collect();
        for (name, known) in &self.files {
            let is_certain = known.seen.is_some() && known.absent_since.is_none();
            if is_certain { &mut names } else { &mut uncertain }.insert(name.into());
        }
        for name in uncertain {
            match self.path.join(&name).symlink_metadata() {
                Ok(found) if !found.is_dir() => names.insert(name),
                Ok(_) => names.remove(&name),
                Err(error) if error.kind() == io::ErrorKind::NotFound => names.remove(&name),
                Err(error) => return Err(error),
            };
        }
        Ok(names)
    }

    /// Sorts out what cannot be read yet or at all, and says so once a file.
    fn usable(&mut self, names: BTreeSet<OsString>, update: &mut Update) -> BTreeSet<String> {
        let gone = self.told.iter().filter(|name| !names.contains(*name));
        update.settled.extend(gone.map(|name| name.to_string_lossy().into_owned()));
        self.told.retain(|name| names.contains(name));
        let mut usable = BTreeSet::new();
        for name in names {
            let (code, message) = match name.to_str() {
                Some(text) => {
                    usable.insert(text.to_owned());
                    continue;
                }
                None => ("file-name", "the file name is not UTF-8; the notice is not carried out"),
            };
            if self.told.insert(name.clone()) {
                update.problems.push(self.problem(&name, Severity::Error, code, message));
            }
        }
        usable
    }

    /// Lifts what is deleted. Returns whether a notice that another file may carry was let go.
    fn drop_absent(&mut self, names: &BTreeSet<String>, update: &mut Update, mode: Mode<'_>) -> bool {
        let mut gone = Vec::new();
        for (name, known) in &mut self.files {
            if !names.contains(name) && !mode.holds(name.as_ref()) {
                let since = *known.absent_since.get_or_insert_with(Instant::now);
                if mode.is_ready(name.as_ref()) || since.elapsed() >= ABSENCE {
                    gone.push(name.clone());
                } else {
                    self.again = Some(ABSENCE);
                }
            }
        }
        let mut released = false;
        for name in gone {
            if self.files.remove(&name).is_some_and(|known| known.in_force.is_some()) {
                update.removed.push(name);
                released = true;
            } else {
                update.settled.push(name);
            }
        }
        released
    }

    //------ reading ---

    /// Reads a file if it changed; its notice if it has one that is new.
    fn look_at(&mut self, name: &str, update: &mut Update, mode: Mode<'_>) -> Option<Document> {
        if mode.holds(name.as_ref()) {
            self.files.entry(name.to_owned()).or_default().absent_since = None;
            return None;
        }
        let (named, ready) = (mode.names(name.as_ref()), mode.is_ready(name.as_ref()));
        let path = self.path.join(name);
        let known = self.files.entry(name.to_owned()).or_default();
        if known.seen.is_some() && known.absent_since.is_none() && mode.spares(name.as_ref()) {
            return None; // among thousands of files the one that came should not wait for the others
        }
        match Fingerprint::of(&path) {
            // Deleted since the directory was read.
            Err(_) if path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) => {
                self.again = Some(ABSENCE);
                None
            }
            // A symbolic link into a directory that is being replaced.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !ready => {
                if known.absent_since.get_or_insert_with(Instant::now).elapsed() < ABSENCE {
                    self.again = Some(ABSENCE);
                    return None;
                }
                self.unreadable(name, &error, update);
                None
            }
            Err(error) => {
                self.unreadable(name, &error, update);
                None
            }
            Ok(print) => {
                known.absent_since = None;
                if Some(print) == known.seen && !named {
                    return None;
                }
                // An empty file that is ready was perhaps only created, and its writer comes back.
                if !print.is_settled(update.at, QUIET) && (!ready || (named && print.size == 0)) {
                    self.again = Some(QUIET);
                    return None;
                }
                if update.signed.values().map(Vec::len).sum::<usize>() > SIGNED_AT_ONCE {
                    self.again = Some(QUIET); // the rest at the next look
                    return None;
                }
                self.read(name, update, false)
            }
        }
    }

    fn look_at_waiting(&mut self, fresh: &mut BTreeMap<String, Document>, update: &mut Update, mode: Mode<'_>) {
        let is_due = |(name, known): &(&String, &Known)| {
            known.waiting && !fresh.contains_key(*name) && !mode.holds(name.as_str().as_ref())
        };
        let names: Vec<String> = self.files.iter().filter(is_due).map(|(name, _)| name.clone()).collect();
        for name in names {
            if let Some(document) = self.read(&name, update, true) {
                fresh.insert(name, document);
            }
        }
    }

    /// Reads a file; its notice if its octets are new, or in any case if it was `waiting` for its turn.
    fn read(&mut self, name: &str, update: &mut Update, waiting: bool) -> Option<Document> {
        let path = self.path.join(name);
        let (bytes, print) = match file::read(&path, jws::MAX_SIZE as u64) {
            Ok(Content::Whole(bytes, print)) => (bytes, print),
            Ok(Content::TooLarge) => {
                self.say_once(name, notice::too_large(&path), update);
                return None;
            }
            Ok(Content::Changing) => {
                self.again = Some(QUIET);
                return None;
            }
            Err(error) => {
                self.unreadable(name, &error, update);
                return None;
            }
        };
        let known = self.files.entry(name.to_owned()).or_default();
        known.seen = print.is_reliable(update.at).then_some(print);
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        let is_new = known.digest != Some(digest);
        known.digest = Some(digest);
        if !is_new && !waiting {
            return None;
        }
        known.waiting = false;
        if is_signed(name, &bytes) {
            known.said = None;
            // a notice that was believed without a signature before is what this file says no more
            if known.in_force.take().is_some() {
                update.removed.push(name.to_owned());
            }
            update.signed.insert(name.to_owned(), bytes);
            return None;
        }
        if !self.allow_unsigned {
            let message = "the notice is not signed, and this source does not allow that; it is not carried out";
            let mut problem = self.problem(name.as_ref(), Severity::Error, "unsigned", message);
            problem.hint = Some("sign it with pagar notice sign; for a trial write allow_unsigned = true".to_owned());
            update.problems.push(problem);
            return None;
        }
        let parsed = notice::parse(&bytes, &path);
        let only_signed = parsed.order.as_ref().filter(|_| parsed.document.is_none()).map(|order| order.act.kind());
        if is_new {
            known.said = None;
            update.problems.extend(parsed.problems);
        }
        // Repaired to what is in force already.
        let is_in_force = known.in_force.as_ref().zip(parsed.document.as_ref());
        let is_in_force = is_in_force.is_some_and(|(claim, document)| claim.digest == document.notice.digest);
        if let Some(kind) = only_signed.filter(|_| is_new) {
            let message = format!("a notice of kind \"{kind}\" must be signed; it is not carried out");
            update.problems.push(self.problem(name.as_ref(), Severity::Error, "unsigned", &message));
        }
        let document = parsed.document?;
        if is_in_force {
            update.settled.push(name.to_owned());
            return None;
        }
        Some(document)
    }

    //------ several files, one notice ---

    /// Puts new documents in force unless another file was first. Returns whether a notice was let go.
    fn admit(&mut self, fresh: BTreeMap<String, Document>, update: &mut Update) -> bool {
        let standing = self.files.iter().filter(|(name, _)| !fresh.contains_key(*name));
        let mut claims = Claims::from_iter(standing.filter_map(|(name, known)| Some((name, known.in_force.as_ref()?))));
        let mut order: Vec<_> = fresh.into_iter().collect();
        // A file that keeps its notice comes before one that takes it up; otherwise they come by name.
        order.sort_by_key(|(name, document)| {
            let held = self.files.get(name).and_then(|known| known.in_force.as_ref());
            !held.is_some_and(|claim| claim.is_same_notice(&Claim::of(&document.notice)))
        });
        let mut released = false;
        let mut refused = Vec::new();
        for (name, document) in order {
            let claim = Claim::of(&document.notice);
            if let Some((severity, code, message)) = claims.collision(&name, &claim) {
                self.stand_back(&name, severity, code, message, update);
                refused.push(name);
                continue;
            }
            claims.add(&name, &claim);
            let known = self.files.entry(name.clone()).or_default();
            let before = known.in_force.replace(claim);
            released |= before.is_some_and(|before| known.in_force.as_ref() != Some(&before));
            (known.waiting, known.said) = (false, None);
            update.put.insert(name, document);
        }
        for name in refused {
            released |= self.give_up_if_taken(name, &mut claims, update);
        }
        released
    }

    fn stand_back(&mut self, name: &str, severity: Severity, code: &'static str, message: String, update: &mut Update) {
        let problem = self.problem(name.as_ref(), severity, code, &message);
        let known = self.files.entry(name.to_owned()).or_default();
        known.waiting = true;
        if known.said.as_ref() != Some(&message) {
            known.said = Some(message);
            update.problems.push(problem);
        }
    }

    /// A refused file's last good notice stays, unless another file took that very notice up in the same look.
    fn give_up_if_taken(&mut self, name: String, claims: &mut Claims, update: &mut Update) -> bool {
        let Some(known) = self.files.get_mut(&name) else { return false };
        let Some(claim) = &known.in_force else { return false };
        if claims.collision(&name, claim).is_none() {
            claims.add(&name, claim);
            return false;
        }
        known.in_force = None;
        update.removed.push(name);
        true
    }

    //------ problems ---

    fn unreadable(&mut self, name: &str, error: &io::Error, update: &mut Update) {
        let problem = file::io_problem(&self.path.join(name), "the file cannot be read", error);
        self.say_once(name, problem, update);
    }

    /// Reports what keeps a file from being read. It is tried again at every look: nothing tells when the cause is gone.
    fn say_once(&mut self, name: &str, problem: Problem, update: &mut Update) {
        let known = self.files.entry(name.to_owned()).or_default();
        (known.seen, known.digest) = (None, None);
        if known.said.as_ref() != Some(&problem.message) {
            known.said = Some(problem.message.clone());
            update.problems.push(problem);
        }
    }

    fn problem(&self, name: &OsStr, severity: Severity, code: &'static str, message: &str) -> Problem {
        let (file, message) = (self.path.join(name), message.to_owned());
        Problem { severity, file, line: None, column: None, message, hint: None, code }
    }
}

/// Device and inode of a directory that is there.
fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// Whether a file name in the directory is one of a notice.
pub(super) fn is_candidate(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    let has = |suffix: &str| {
        bytes.len() > suffix.len() && bytes[bytes.len() - suffix.len()..].eq_ignore_ascii_case(suffix.as_bytes())
    };
    !bytes.starts_with(b".") && (has(".json") || has(".jws")) && !has(RECEIPT)
}

/// Whether a file is a signed notice: by its name, or as the JSON serialisation of a JWS has it.
fn is_signed(name: &str, bytes: &[u8]) -> bool {
    !name.to_ascii_lowercase().ends_with(".json") || jws::is_meant(bytes)
}

#[cfg(test)]
mod tests;
