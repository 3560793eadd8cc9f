//! What a directory reports for every way its files may change. The watcher's timing is tested with the watcher.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use jiff::Timestamp;

use super::*;
use crate::ingest::Loader;
use crate::ingest::testing::{directory_source, notice_text};

struct Fixture {
    dir: tempfile::TempDir,
    loader: Loader,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let loader = Loader::new(directory_source(dir.path()));
        Self { dir, loader }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a notice that lists `name`.
    fn write(&self, file: &str, id: &str, sequence: u64, name: &str) {
        fs::write(self.path(file), notice_text(id, sequence, name)).unwrap();
    }

    fn remove(&self, file: &str) {
        fs::remove_file(self.path(file)).unwrap();
    }

    fn look(&mut self) -> Update {
        self.loader.scan(Timestamp::now(), Mode::Now)
    }

    /// What a look puts (`+file id`), lifts (`-file`) and reports (`!code file`).
    fn changes(&mut self) -> Vec<String> {
        let update = self.look();
        assert_eq!(update.failure, None);
        let put = update.put.iter().map(|(file, document)| format!("+{file} {}", document.notice.id));
        let removed = update.removed.iter().map(|file| format!("-{file}"));
        let file = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        let problems = update.problems.iter().map(|problem| format!("!{} {}", problem.code, file(&problem.file)));
        put.chain(removed).chain(problems).collect()
    }
}

#[test]
fn only_changes_are_reported() {
    let mut fixture = Fixture::new();
    fixture.write("b.json", "N-2", 2, "b.example");
    fixture.write("a.json", "N-1", 1, "a.example");
    for ignored in [".hidden.json", "a.json~", "a.json.tmp", "README.md"] {
        fs::write(fixture.path(ignored), "{").unwrap();
    }
    fs::create_dir(fixture.path("sub.json")).unwrap();
    assert_eq!(fixture.changes(), ["+a.json N-1", "+b.json N-2"]);
    assert_eq!(fixture.changes(), [""; 0]);
    fixture.write("a.json", "N-1", 1, "a.example");
    assert_eq!(fixture.changes(), [""; 0], "written again without a change");
    fixture.write("a.json", "N-1", 1, "c.example");
    fixture.remove("b.json");
    assert_eq!(fixture.changes(), ["+a.json N-1", "-b.json"]);
    fs::rename(fixture.path("a.json"), fixture.path("c.json")).unwrap();
    assert_eq!(fixture.changes(), ["+c.json N-1", "-a.json"]);
}

#[test]
fn of_what_was_in_force_before_the_first_look_it_says_what_is_gone_or_another() {
    let mut fixture = Fixture::new();
    for (file, id, sequence) in [("a.json", "N-1", 1), ("b.json", "N-2", 2), ("c.json", "N-3", 3), ("d.json", "N-4", 4)]
    {
        fixture.write(file, id, sequence, "old.example");
    }
    let held = fixture.look().put;
    let mut again = Fixture { dir: fixture.dir, loader: Loader::new(fixture.loader.source().clone()) };
    again.loader.hold(held.iter().map(|(file, document)| (file.clone(), &document.notice)).collect());
    again.remove("b.json");
    again.write("c.json", "N-3", 3, "new.example");
    fs::write(again.path("d.json"), "{").unwrap();
    assert_eq!(again.changes(), ["+c.json N-3", "-b.json", "!syntax d.json"], "a.json is as it was");
    again.remove("d.json");
    assert_eq!(again.changes(), ["-d.json"]);
}

#[test]
fn an_empty_directory_in_the_place_of_one_that_could_not_be_read_lifts_nothing() {
    let mut fixture = Fixture::new();
    fixture.write("a.json", "N-1", 1, "a.example");
    let held = fixture.look().put;
    let empty = Fixture::new();
    let mut again = Fixture { loader: Loader::new(directory_source(empty.dir.path())), ..empty };
    again.loader.hold(held.iter().map(|(file, document)| (file.clone(), &document.notice)).collect());
    assert_eq!(again.look().failure.map(|problem| problem.code), Some("empty"));
}

#[test]
fn signed_files_are_handed_on_and_unreadable_names_are_said_once() {
    let mut fixture = Fixture::new();
    fixture.write("a.json", "N-1", 1, "a.example");
    fs::write(fixture.path("b.jws"), "x").unwrap();
    fs::write(fixture.dir.path().join(OsStr::from_bytes(b"\xff.json")), "x").unwrap();
    symlink("nowhere", fixture.path("c.json")).unwrap();
    let update = fixture.look();
    let mut codes: Vec<_> = update.problems.iter().map(|problem| problem.code).collect();
    codes.sort_unstable();
    assert_eq!((codes, update.put.len()), (vec!["file-name", "io"], 1));
    assert_eq!(update.signed, [("b.jws".to_owned(), b"x".to_vec())].into());
    assert!(fixture.look().is_empty());
    fixture.remove("b.jws");
    assert_eq!(fixture.look().settled, ["b.jws"], "nothing becomes of a notice by its file");
}

#[test]
fn a_file_that_turns_into_a_signed_notice_gives_up_what_was_believed_without() {
    let mut fixture = Fixture::new();
    fixture.write("a.json", "N-1", 1, "a.example");
    assert_eq!(fixture.changes(), ["+a.json N-1"]);
    let envelope = br#"{"payload": "e30", "signatures": []}"#;
    fs::write(fixture.path("a.json"), envelope).unwrap();
    let update = fixture.look();
    assert_eq!((update.removed, update.signed["a.json"].as_slice()), (vec!["a.json".to_owned()], &envelope[..]));
    fs::write(fixture.path("a.receipt.json"), "{}").unwrap();
    assert!(fixture.look().is_empty(), "receipts are not ours to read");
}

#[test]
fn what_only_a_signed_notice_may_say_is_not_believed_from_a_plain_file() {
    let mut fixture = Fixture::new();
    let revoke = r#"{"version": 1, "id": "R-1", "sequence": 2, "authority": "a", "kind": "revoke", "revokes": ["N-1"],
        "legal_basis": {"power": "s.1"}, "issued_at": "2026-11-01T00:00:00Z"}"#;
    fs::write(fixture.path("r.json"), revoke).unwrap();
    let update = fixture.look();
    assert_eq!((update.problems[0].code, update.put.len(), update.problems.len()), ("unsigned", 0, 1));
    assert!(fixture.look().is_empty());
}

#[test]
fn a_broken_file_keeps_its_last_good_state_until_repaired_or_deleted() {
    let mut fixture = Fixture::new();
    fixture.write("a.json", "N-1", 1, "a.example");
    assert_eq!(fixture.changes(), ["+a.json N-1"]);
    fs::write(fixture.path("a.json"), "{\n  \"version\": 1,\n").unwrap();
    let update = fixture.look();
    assert_eq!((update.problems[0].code, update.problems[0].line.is_some()), ("syntax", true));
    assert!(update.put.is_empty() && update.removed.is_empty() && update.failure.is_none());
    assert!(fixture.look().is_empty(), "said once");
    fixture.write("a.json", "N-1", 1, "a.example");
    let repaired = fixture.look();
    assert_eq!((repaired.put.len(), repaired.settled), (0, vec!["a.json".to_owned()]), "repaired to what is in force");
    fs::write(fixture.path("a.json"), vec![b' '; notice::MAX_SIZE + 1]).unwrap();
    assert_eq!(fixture.changes(), ["!size a.json"]);
    fixture.remove("a.json");
    assert_eq!(fixture.changes(), ["-a.json"]);
    fs::write(fixture.path("b.json"), "{").unwrap();
    assert_eq!(fixture.changes(), ["!syntax b.json"]);
    fixture.remove("b.json");
    assert_eq!(fixture.changes(), [""; 0], "it never gave anything");
}

#[test]
fn a_directory_that_is_gone_is_a_failure_and_lifts_nothing() {
    let mut fixture = Fixture::new();
    fixture.write("a.json", "N-1", 1, "a.example");
    assert_eq!(fixture.changes(), ["+a.json N-1"]);
    let away = fixture.dir.path().with_extension("away");
    fs::rename(fixture.dir.path(), &away).unwrap();
    for _ in 0..2 {
        let update = fixture.look();
        assert_eq!(update.failure.unwrap().code, "io");
        assert!(update.removed.is_empty());
    }
    fs::rename(&away, fixture.dir.path()).unwrap();
    assert_eq!(fixture.changes(), [""; 0]);
}

#[test]
fn another_empty_directory_in_its_place_lifts_nothing() {
    let mut fixture = Fixture::new();
    fixture.write("a.json", "N-1", 1, "a.example");
    assert_eq!(fixture.changes(), ["+a.json N-1"]);
    let (directory, aside) = (fixture.path(""), fixture.path("").with_extension("aside"));
    fs::rename(&directory, &aside).unwrap();
    fs::create_dir(&directory).unwrap();
    for _ in 0..2 {
        let update = fixture.look();
        assert_eq!((update.failure.unwrap().code, update.removed.len()), ("empty", 0));
    }
    fs::remove_dir(&directory).unwrap();
    fs::rename(&aside, &directory).unwrap();
    assert!(fixture.look().failure.is_none());
    fixture.remove("a.json");
    assert_eq!(fixture.changes(), ["-a.json"], "deleting the last file lifts it");
}

#[test]
fn of_two_files_with_one_id_the_first_known_stays_and_the_other_follows() {
    let mut fixture = Fixture::new();
    fixture.write("b.json", "N-1", 1, "b.example");
    fixture.write("c.json", "N-1", 1, "c.example");
    let update = fixture.look();
    assert_eq!(update.put.keys().collect::<Vec<_>>(), ["b.json"], "by name where both are new");
    let problem = &update.problems[0];
    assert_eq!((problem.code, problem.severity), ("duplicate-id", Severity::Error));
    assert!(problem.message.contains("b.json") && problem.message.contains("c.json"), "{problem}");
    fixture.write("a.json", "N-1", 1, "a.example");
    assert_eq!(fixture.changes(), ["!duplicate-id a.json"], "known first comes before first by name");
    assert_eq!(fixture.changes(), [""; 0]);
    fixture.remove("b.json");
    // c.json stands back again, now behind a.json, and that is worth saying.
    assert_eq!(fixture.changes(), ["+a.json N-1", "-b.json", "!duplicate-id c.json"]);
    fixture.write("a.json", "N-2", 2, "a.example");
    assert_eq!(fixture.changes(), ["+a.json N-2", "+c.json N-1"]);
}

#[test]
fn a_copy_is_a_warning_and_takes_over() {
    let mut fixture = Fixture::new();
    fixture.write("a.json", "N-1", 1, "a.example");
    assert_eq!(fixture.changes(), ["+a.json N-1"]);
    fixture.write("b.json", "N-1", 1, "a.example");
    let update = fixture.look();
    assert_eq!((update.put.len(), update.problems[0].severity), (0, Severity::Warning));
    fixture.remove("a.json");
    assert_eq!(fixture.changes(), ["+b.json N-1", "-a.json"]);
}

#[test]
fn a_used_sequence_is_refused() {
    let mut fixture = Fixture::new();
    fixture.write("a.json", "N-1", 1, "a.example");
    fixture.write("b.json", "N-2", 1, "b.example");
    assert_eq!(fixture.changes(), ["+a.json N-1", "!sequence b.json"]);
    fixture.write("b.json", "N-2", 2, "b.example");
    assert_eq!(fixture.changes(), ["+b.json N-2"]);
}

#[test]
fn files_may_swap_their_notices_in_one_look() {
    let mut fixture = Fixture::new();
    fixture.write("a.json", "N-1", 1, "a.example");
    fixture.write("b.json", "N-2", 2, "b.example");
    assert_eq!(fixture.changes().len(), 2);
    fixture.write("a.json", "N-2", 2, "b.example");
    fixture.write("b.json", "N-1", 1, "a.example");
    assert_eq!(fixture.changes(), ["+a.json N-2", "+b.json N-1"]);
}

#[test]
fn a_notice_taken_up_by_another_file_leaves_the_one_that_was_refused() {
    let mut fixture = Fixture::new();
    for (file, id, sequence) in [("a.json", "N-1", 1), ("b.json", "N-2", 2), ("c.json", "N-3", 3)] {
        fixture.write(file, id, sequence, "x.example");
    }
    assert_eq!(fixture.changes().len(), 3);
    fixture.write("a.json", "N-3", 3, "other.example"); // collides with c.json: a.json's last good would stay ...
    fixture.write("b.json", "N-1", 1, "y.example"); // ... but b.json carries that now
    assert_eq!(fixture.changes(), ["+b.json N-1", "-a.json", "!duplicate-id a.json"]);
    fixture.remove("c.json");
    assert_eq!(fixture.changes(), ["+a.json N-3", "-c.json"]);
}

#[test]
fn the_watcher_waits_for_young_files_and_for_absence() {
    let mut fixture = Fixture::new();
    let (none, named) = (BTreeSet::new(), BTreeSet::from(["a.json".into()]));
    let idle = Mode::Watched { ready: &none, held: &none, only: false };
    fixture.write("a.json", "N-1", 1, "a.example");
    assert!(fixture.loader.scan(Timestamp::now(), idle).is_empty());
    assert_eq!(fixture.loader.again(), Some(QUIET));
    let ready = Mode::Watched { ready: &named, held: &none, only: false };
    assert_eq!(fixture.loader.scan(Timestamp::now(), ready).put.len(), 1);
    fixture.remove("a.json");
    assert!(
        fixture.loader.scan(Timestamp::now(), Mode::Watched { ready: &none, held: &named, only: false }).is_empty()
    );
    assert!(fixture.loader.scan(Timestamp::now(), idle).is_empty());
    assert_eq!(fixture.loader.again(), Some(ABSENCE));
    std::thread::sleep(ABSENCE);
    assert_eq!(fixture.loader.scan(Timestamp::now(), idle).removed, ["a.json"]);
}

#[test]
fn a_link_that_leads_nowhere_is_reported_when_it_stays_so() {
    let mut fixture = Fixture::new();
    fixture.write("a.json", "N-1", 1, "a.example");
    assert_eq!(fixture.changes(), ["+a.json N-1"]);
    fixture.remove("a.json");
    symlink("nowhere", fixture.path("a.json")).unwrap();
    let none = BTreeSet::new();
    let idle = Mode::Watched { ready: &none, held: &none, only: false };
    assert!(fixture.loader.scan(Timestamp::now(), idle).is_empty());
    std::thread::sleep(ABSENCE);
    let update = fixture.loader.scan(Timestamp::now(), idle);
    assert_eq!((update.problems[0].code, update.removed.len()), ("io", 0));
    assert!(fixture.loader.scan(Timestamp::now(), idle).is_empty() && fixture.loader.again().is_none());
}
