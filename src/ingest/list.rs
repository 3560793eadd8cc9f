//! A list of names in one file, issued under a standing notice of the configuration.
//!
//! The names of the last good state of the file stay in force until the file gives others. A list that is gone, empty or no
//! list at all is a failure of the source and lifts nothing (opnsense #6866): the way to lift a list is to take its source
//! out of the configuration.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::file::{self, Content, Fingerprint};
use super::format::lines::{Listed, Verdict};
use super::format::{domains, hosts};
use super::loader::{ABSENCE, Known, Mode};
use super::{Document, ListFormat, Problem, Severity, Update};
use crate::model::{Notice, Scope};

/// A list file is taken unasked when it has not changed for this long. Half a list parses as well as a whole one, so this is
/// longer than for notices.
pub(super) const QUIET: Duration = Duration::from_secs(2);

/// Largest list in octets: some fifty million names.
const MAX_SIZE: u64 = 1 << 30;

#[derive(Debug)]
pub(super) struct List {
    path: PathBuf,
    format: ListFormat,
    notice: Notice,
    scope: Scope,
    seen: Option<Fingerprint>, // of the state last read; `None` if it must be read
    digest: Option<[u8; 32]>,  // of the octets last read
    size: u64,                 // how many they were
    trouble: Option<Problem>,  // why those octets are no list
    unread: Option<Problem>,   // why nothing newer could be read
    in_force: bool,
    known: Option<Known>, // from an earlier run, until the file has been read once
    absent_since: Option<Instant>,
    again: Option<Duration>,
}

impl List {
    pub(super) fn new(path: PathBuf, format: ListFormat, notice: Notice, scope: Scope) -> Self {
        Self {
            path,
            format,
            notice,
            scope,
            seen: None,
            digest: None,
            size: 0,
            trouble: None,
            unread: None,
            in_force: false,
            known: None,
            absent_since: None,
            again: None,
        }
    }

    /// Its last good content is in force already.
    pub(super) fn know(&mut self, known: Known) {
        (self.in_force, self.known) = (true, Some(known));
    }

    pub(super) fn again(&self) -> Option<Duration> {
        self.again
    }

    pub(super) fn scan(&mut self, update: &mut Update, mode: Mode<'_>) {
        self.again = None;
        update.failure = self.standing();
        let name = self.path.file_name().unwrap_or_default();
        if mode.holds(name) {
            return;
        }
        let (named, ready) = (mode.names(name), mode.is_ready(name));
        match Fingerprint::of(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !ready && self.is_absence_short() => {
                self.again = Some(ABSENCE);
            }
            Err(error) => self.fail(update, &error),
            Ok(print) => {
                self.absent_since = None;
                if Some(print) == self.seen && !named {
                    return;
                }
                if !ready && !print.is_settled(update.at, QUIET) {
                    self.again = Some(QUIET);
                    return;
                }
                self.read(update);
            }
        }
    }

    fn is_absence_short(&mut self) -> bool {
        self.absent_since.get_or_insert_with(Instant::now).elapsed() < ABSENCE
    }

    fn fail(&mut self, update: &mut Update, error: &io::Error) {
        self.set_unread(file::io_problem(&self.path, "the list cannot be read", error), update);
    }

    /// Remembers the failure, so that it does not seem to be over while the next state of the file is waited for.
    fn set_unread(&mut self, problem: Problem, update: &mut Update) {
        self.seen = None;
        self.unread = Some(problem);
        update.failure = self.standing();
    }

    /// The failure in force.
    fn standing(&self) -> Option<Problem> {
        self.unread.clone().or_else(|| self.trouble.clone())
    }

    fn read(&mut self, update: &mut Update) {
        match self.look() {
            Err(error) => self.fail(update, &error),
            Ok(Content::Changing) => {
                self.again = Some(QUIET);
                if !self.in_force || self.known.is_some() {
                    let what = if self.in_force { "what an earlier run read stays" } else { "it is not yet" };
                    let message = format!("the list is being written; {what} in force");
                    self.set_unread(self.problem("changing", message, None), update);
                }
            }
            Ok(Content::TooLarge) => {
                let message =
                    format!("the list is larger than {} GiB; its last good state stays in force", MAX_SIZE >> 30);
                self.set_unread(self.problem("size", message, None), update);
            }
            Ok(Content::Whole((digest, listed), print)) => {
                self.seen = print.is_reliable(update.at).then_some(print);
                self.unread = None;
                update.failure = self.standing();
                (self.digest, self.size) = (Some(digest), print.size);
                let known = self.known.take();
                if let Some(listed) = listed {
                    self.take(listed, digest, update);
                } else if let Some(known) = known {
                    update.settled.push(String::new());
                    update.problems = known.problems;
                }
            }
        }
    }

    /// Reads the file as it comes, for its text never lies in memory as a whole: its digest, and what it lists if that
    /// is another one than before.
    fn look(&self) -> io::Result<Content<([u8; 32], Option<Listed>)>> {
        // in force since an earlier run, or written again with as many octets: most likely the same ones, which need not
        // be parsed
        let is_likely = self.digest.is_some() && Fingerprint::of(&self.path)?.size == self.size;
        if is_likely || self.known.is_some() {
            let content =
                file::read_in_blocks(&self.path, MAX_SIZE, |_| Sha256::new(), |digest, block| digest.update(block));
            if let Content::Whole(digest, print) = content? {
                let digest = digest.finalize().into();
                if self.is_in_force(digest) {
                    return Ok(Content::Whole((digest, None), print));
                }
            }
        }
        let reader = match self.format {
            ListFormat::Hosts => hosts::reader,
            ListFormat::Domains => domains::reader,
        };
        let start = |_| (Sha256::new(), reader(&self.path, self.scope, self.notice.sensitivity));
        let content = file::read_in_blocks(&self.path, MAX_SIZE, start, |(digest, reader), block| {
            digest.update(block);
            reader.read(block);
        });
        Ok(match content? {
            Content::Whole((digest, reader), print) => {
                let digest = digest.finalize().into();
                let listed = (self.digest != Some(digest)).then(|| reader.finish());
                Content::Whole((digest, listed), print)
            }
            Content::Changing => Content::Changing,
            Content::TooLarge => Content::TooLarge,
        })
    }

    fn is_in_force(&self, digest: [u8; 32]) -> bool {
        let known = self.known.as_ref().map(|known| known.digest);
        self.digest == Some(digest) || known == Some(self.notice_digest(digest))
    }

    /// The digest of the notice with a list of this digest.
    fn notice_digest(&self, digest: [u8; 32]) -> [u8; 32] {
        Sha256::new().chain_update(self.notice.digest).chain_update(digest).finalize().into()
    }

    fn take(&mut self, listed: Listed, digest: [u8; 32], update: &mut Update) {
        self.trouble = self.judge(&listed);
        update.failure = self.standing();
        update.problems = listed.problems;
        if self.trouble.is_none() {
            self.in_force = true;
            let mut notice = self.notice.clone();
            notice.digest = self.notice_digest(digest);
            update.put.insert(String::new(), Document { notice, targets: listed.targets });
        }
    }

    /// Why the file is not taken, if it is not.
    fn judge(&self, listed: &Listed) -> Option<Problem> {
        match listed.verdict() {
            Verdict::List => None,
            Verdict::Empty => {
                let stays = if self.in_force { "; its last names stay in force" } else { "" };
                let hint = "remove the source from the config to lift it".to_owned();
                Some(self.problem("empty", format!("the list is empty{stays}"), Some(hint)))
            }
            Verdict::Broken => {
                let stays = if self.in_force { "; its last good state stays in force" } else { "" };
                let message = format!(
                    "this is not a list: {} bad lines, {} good ones, the first bad one is {}{stays}",
                    listed.bad,
                    listed.good,
                    listed.problems.first().and_then(|first| first.line).unwrap_or_default(),
                );
                Some(self.problem("broken", message, None))
            }
        }
    }

    fn problem(&self, code: &'static str, message: String, hint: Option<String>) -> Problem {
        let file = self.path.clone();
        Problem { severity: Severity::Error, file, line: None, column: None, message, hint, code }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use jiff::Timestamp;

    use super::*;
    use crate::ingest::loader::Loader;
    use crate::ingest::testing;

    fn now() -> Timestamp {
        Timestamp::now()
    }

    fn fixture() -> (tempfile::TempDir, PathBuf, Loader) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scam.domains");
        let loader = Loader::new(testing::list_source(&path));
        (dir, path, loader)
    }

    #[test]
    fn a_list_is_reported_once_per_change_and_its_digest_is_that_of_notice_and_file() {
        let (_dir, path, mut loader) = fixture();
        fs::write(&path, "a.example\nb.example\n").unwrap();
        let first = loader.scan(now(), Mode::Now);
        let document = &first.put[""];
        assert_eq!(document.targets.len(), 2);
        let standing = testing::standing_notice();
        let expected = Sha256::new()
            .chain_update(standing.digest)
            .chain_update(Sha256::digest("a.example\nb.example\n"))
            .finalize();
        assert_eq!(document.notice.digest[..], expected[..]);
        assert_eq!(Notice { digest: standing.digest, ..document.notice.clone() }, standing);

        assert!(loader.scan(now(), Mode::Now).is_empty());
        fs::write(&path, "a.example\nb.example\n").unwrap();
        assert!(loader.scan(now(), Mode::Now).is_empty(), "written again without a change");
        fs::write(&path, "a.example\nd.example\n").unwrap();
        assert_eq!(loader.scan(now(), Mode::Now).put.len(), 1, "as many octets, and others");
        fs::write(&path, "c.example\nhttp://d.example\n").unwrap();
        let changed = loader.scan(now(), Mode::Now);
        assert_eq!((changed.put[""].targets.len(), changed.problems.len(), changed.failure), (1, 1, None));
    }

    #[test]
    fn what_is_no_list_is_a_failure_until_it_is_repaired() {
        for (bad, code) in [("", "empty"), ("# nothing\n", "empty"), ("<html>\n<p>x.example</p>\n", "broken")] {
            let (_dir, path, mut loader) = fixture();
            fs::write(&path, bad).unwrap();
            assert_eq!(loader.scan(now(), Mode::Now).failure.unwrap().code, code, "at first");
            fs::write(&path, "a.example\n").unwrap();
            let repaired = loader.scan(now(), Mode::Now);
            assert_eq!((repaired.put.len(), repaired.failure), (1, None));
            fs::write(&path, bad).unwrap();
            for look in 0..2 {
                let update = loader.scan(now(), Mode::Now);
                assert_eq!(update.failure.unwrap().code, code, "look {look}");
                assert!(update.put.is_empty() && update.removed.is_empty());
            }
        }
    }

    #[test]
    fn a_list_that_cannot_be_read_is_a_failure_and_lifts_nothing() {
        let (_dir, path, mut loader) = fixture();
        assert_eq!(loader.scan(now(), Mode::Now).failure.unwrap().code, "io");
        fs::write(&path, "a.example\n").unwrap();
        assert_eq!(loader.scan(now(), Mode::Now).put.len(), 1);
        fs::remove_file(&path).unwrap();
        let gone = loader.scan(now(), Mode::Now);
        assert_eq!((gone.failure.unwrap().code, gone.removed.len()), ("io", 0));
        let held = BTreeSet::from(["scam.domains".into()]);
        let update = loader.scan(now(), Mode::Watched { ready: &BTreeSet::new(), held: &held, only: false });
        assert_eq!(update.failure.unwrap().code, "io", "not over while the next state is being written");
        fs::create_dir(&path).unwrap();
        assert_eq!(loader.scan(now(), Mode::Now).failure.unwrap().code, "io");
        fs::remove_dir(&path).unwrap();
        fs::write(&path, "a.example\n").unwrap();
        let back = loader.scan(now(), Mode::Now);
        assert!(back.is_empty(), "the same names are in force still: {back:?}");
    }

    #[test]
    fn what_is_known_of_an_earlier_run_is_not_read_again_and_stays_until_the_list_says_otherwise() {
        let (_dir, path, mut first) = fixture();
        fs::write(&path, "a.example\nno name\n").unwrap();
        let put = first.scan(now(), Mode::Now);
        let known = || Known { digest: put.put[""].notice.digest, problems: put.problems.clone() };
        let mut loader = Loader::new(testing::list_source(&path)).knowing(Some(known()));
        let same = loader.scan(now(), Mode::Now);
        assert_eq!((same.put.len(), same.settled.as_slice()), (0, &[String::new()][..]));
        assert_eq!(same.problems, put.problems);
        assert!(loader.scan(now(), Mode::Now).is_empty());
        fs::write(&path, "b.example\n").unwrap();
        assert_eq!(loader.scan(now(), Mode::Now).put.len(), 1);

        let mut loader = Loader::new(testing::list_source(&path)).knowing(Some(known()));
        let changed = loader.scan(now(), Mode::Now);
        assert_eq!((changed.put.len(), changed.settled.len()), (1, 0));

        fs::remove_file(&path).unwrap();
        let mut loader = Loader::new(testing::list_source(&path)).knowing(Some(known()));
        assert_eq!(loader.scan(now(), Mode::Now).failure.unwrap().code, "io", "so that it is not lifted");
    }

    #[test]
    fn the_watcher_leaves_young_and_held_files_alone() {
        let (_dir, path, mut loader) = fixture();
        fs::write(&path, "a.example\n").unwrap();
        let (none, named) = (BTreeSet::new(), BTreeSet::from(["scam.domains".into()]));
        let young = loader.scan(now(), Mode::Watched { ready: &none, held: &none, only: false });
        assert!(young.is_empty() && loader.again().is_some());
        assert!(loader.scan(now(), Mode::Watched { ready: &none, held: &named, only: false }).is_empty());
        assert_eq!(loader.again(), None);
        assert_eq!(loader.scan(now(), Mode::Watched { ready: &named, held: &none, only: false }).put.len(), 1);
    }
}
