//! The watcher against real files. No test counts on anything happening soon, only on it happening within [`PATIENCE`];
//! that something does not happen is shown by what was delivered until something later did.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::*;
use crate::ingest::testing::{directory_source, list_source, notice_text};
use crate::model::name::wire_to_text;

const PATIENCE: Duration = Duration::from_secs(10);

/// What a receiver knows from the updates.
#[derive(Default)]
struct Received {
    names: BTreeMap<String, Vec<String>>, // in force, by document
    history: Vec<Vec<String>>,            // all names in force after each update that changed them
    failure: Option<Problem>,
    failures: usize,
    problems: Vec<Problem>,
    updates: usize,
}

struct Fixture {
    dir: tempfile::TempDir,
    received: Arc<Mutex<Received>>,
    _watch: Watch,
}

impl Fixture {
    /// Watches `notices/`, filled by `prepare`, in a directory of its own.
    fn directory(prepare: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notices");
        fs::create_dir(&path).unwrap();
        prepare(&path);
        Self::watch(dir, Loader::new(directory_source(&path)), Timing::default())
    }

    fn list(prepare: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path());
        let loader = Loader::new(list_source(&dir.path().join("scam.domains")));
        Self::watch(dir, loader, Timing::default())
    }

    fn watch(dir: tempfile::TempDir, loader: Loader, timing: Timing) -> Self {
        let received = Arc::new(Mutex::new(Received::default()));
        let sink = Arc::clone(&received);
        let watch = watch_with(loader, timing, move |update| sink.lock().unwrap().take(update)).unwrap();
        Self { dir, received, _watch: watch }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Waits until what was received is as wanted.
    fn wait(&self, what: &str, wanted: impl Fn(&Received) -> bool) {
        let start = Instant::now();
        while !wanted(&self.received.lock().unwrap()) {
            let received = self.received.lock().unwrap();
            let (names, problems) = (&received.names, &received.problems);
            assert!(start.elapsed() < PATIENCE, "{what}: {names:?} {:?} {problems:?}", received.failure);
            drop(received);
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn wait_for_names(&self, names: &[&str]) {
        self.wait(&names.join(" "), |received| received.all() == names);
    }

    fn history(&self) -> Vec<Vec<String>> {
        self.received.lock().unwrap().history.clone()
    }
}

impl Received {
    fn take(&mut self, update: Update) {
        let is_change = !update.put.is_empty() || !update.removed.is_empty();
        for (key, document) in update.put {
            self.names.insert(key, document.targets.iter().map(|(wire, _)| wire_to_text(&wire)).collect());
        }
        for key in update.removed {
            self.names.remove(&key).expect("only what was put is removed");
        }
        if is_change {
            self.history.push(self.all());
        }
        self.updates += 1;
        self.failures += usize::from(update.failure.is_some());
        self.failure = update.failure;
        self.problems.extend(update.problems);
    }

    fn all(&self) -> Vec<String> {
        let mut names: Vec<_> =
            self.names.values().flatten().map(|name| name.trim_end_matches('.').to_owned()).collect();
        names.sort();
        names
    }
}

/// Writes as careful programs do.
fn publish(path: &Path, text: &str) {
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, text).unwrap();
    fs::rename(temporary, path).unwrap();
}

/// Runs what must be quicker than [`pending::ABSENT`]. Returns whether it was; a machine that stalls proves nothing.
fn quickly(act: impl FnOnce()) -> bool {
    let start = Instant::now();
    act();
    start.elapsed() < pending::ABSENT / 2
}

fn pause() {
    thread::sleep(Duration::from_millis(150));
}

#[test]
fn a_file_put_in_place_by_renaming_is_taken_and_a_deleted_one_lifted() {
    let fixture = Fixture::directory(|path| publish(&path.join("a.json"), &notice_text("N-1", 1, "a.example")));
    fixture.wait_for_names(&["a.example"]);
    publish(&fixture.path("notices/b.json"), &notice_text("N-2", 2, "b.example"));
    fixture.wait_for_names(&["a.example", "b.example"]);
    publish(&fixture.path("notices/a.json"), &notice_text("N-1", 1, "c.example"));
    fixture.wait_for_names(&["b.example", "c.example"]);
    fs::remove_file(fixture.path("notices/b.json")).unwrap();
    fixture.wait_for_names(&["c.example"]);
    fs::rename(fixture.path("notices/a.json"), fixture.path("notices/z.json")).unwrap();
    publish(&fixture.path("notices/y.json"), &notice_text("N-9", 9, "y.example"));
    fixture.wait("the rename", |received| received.names.contains_key("z.json") && received.names.len() == 2);
    assert!(fixture.received.lock().unwrap().problems.is_empty());
    let first = vec!["a.example".to_owned()];
    assert!(fixture.history().contains(&first) && !fixture.history().contains(&vec![]), "never without a name");
}

#[test]
fn a_file_written_in_place_is_never_taken_half_written() {
    let first: String = (0..100).map(|n| format!("first-{n:03}.example\n")).collect();
    let second: String = (0..200).map(|n| format!("second-{n:03}.example\n")).collect();
    let fixture = Fixture::list(|dir| fs::write(dir.join("scam.domains"), &first).unwrap());
    fixture.wait("the first", |received| received.all().len() == 100);
    let mut file = File::create(fixture.path("scam.domains")).unwrap();
    pause();
    let (head, tail) = second.split_at(second.len() / 2);
    file.write_all(head.as_bytes()).unwrap();
    file.flush().unwrap();
    pause();
    publish(&fixture.path("unrelated.domains"), "x.example\n"); // asks for a look in the middle
    pause();
    file.write_all(tail.as_bytes()).unwrap();
    drop(file);
    fixture.wait("the second", |received| received.all().len() == 200);
    let sizes: Vec<_> = fixture.history().iter().map(Vec::len).collect();
    assert_eq!(sizes, [100, 200]);
    assert_eq!(fixture.received.lock().unwrap().failures, 0);
}

#[test]
fn a_swapped_link_is_seen() {
    let fixture = Fixture::directory(|path| {
        for (version, name) in [("..1", "a.example"), ("..2", "b.example")] {
            fs::create_dir(path.join(version)).unwrap();
            fs::write(path.join(version).join("n.json"), notice_text("N-1", 1, name)).unwrap();
        }
        symlink("..1", path.join("..data")).unwrap();
        symlink("..data/n.json", path.join("n.json")).unwrap();
    });
    fixture.wait_for_names(&["a.example"]);
    let swap = |to: &str| {
        symlink(to, fixture.path("notices/..data_tmp")).unwrap();
        fs::rename(fixture.path("notices/..data_tmp"), fixture.path("notices/..data")).unwrap();
    };
    swap("..2");
    fixture.wait_for_names(&["b.example"]);
    fs::remove_dir_all(fixture.path("notices/..1")).unwrap();
    fs::create_dir(fixture.path("notices/..3")).unwrap();
    fs::write(fixture.path("notices/..3/n.json"), notice_text("N-1", 1, "c.example")).unwrap();
    swap("..3");
    fixture.wait_for_names(&["c.example"]);
    fs::write(fixture.path("notices/..3/n.json"), notice_text("N-1", 1, "d.example")).unwrap();
    fixture.wait_for_names(&["d.example"]);
    assert_eq!(fixture.history().len(), 4);
}

#[test]
fn a_list_behind_a_link_is_seen() {
    let fixture = Fixture::list(|dir| {
        for (release, name) in [("5", "a.example\n"), ("6", "b.example\n")] {
            fs::create_dir_all(dir.join("releases").join(release)).unwrap();
            fs::write(dir.join("releases").join(release).join("scam.domains"), name).unwrap();
        }
        symlink("releases/5", dir.join("current")).unwrap();
        symlink("current/scam.domains", dir.join("scam.domains")).unwrap();
    });
    fixture.wait_for_names(&["a.example"]);
    symlink("releases/6", fixture.path("next")).unwrap();
    fs::rename(fixture.path("next"), fixture.path("current")).unwrap();
    fixture.wait_for_names(&["b.example"]);
    assert_eq!(fixture.received.lock().unwrap().failures, 0);
}

#[test]
fn deleting_and_writing_anew_does_not_lift() {
    let fixture = Fixture::directory(|path| publish(&path.join("a.json"), &notice_text("N-1", 1, "a.example")));
    fixture.wait_for_names(&["a.example"]);
    let mut was_quick = true;
    for name in ["b.example", "c.example", "d.example"] {
        let path = fixture.path("notices/a.json");
        was_quick &= quickly(|| {
            fs::remove_file(&path).unwrap();
            fs::write(&path, notice_text("N-1", 1, name)).unwrap();
        });
        fixture.wait_for_names(&[name]);
    }
    assert!(!was_quick || fixture.history().iter().all(|names| names.len() == 1), "{:?}", fixture.history());
}

#[test]
fn a_burst_is_taken_in_few_updates() {
    let fixture = Fixture::directory(|_| {});
    fixture.wait("the first look", |received| received.updates > 0);
    for number in 0..200 {
        let text = notice_text(&format!("N-{number}"), number, &format!("n{number}.example"));
        publish(&fixture.path(&format!("notices/{number}.json")), &text);
    }
    fixture.wait("all of them", |received| received.names.len() == 200);
    assert!(fixture.history().len() < 100, "{} updates", fixture.history().len());
}

#[test]
fn a_directory_removed_and_created_anew_is_watched_again() {
    let fixture = Fixture::directory(|path| publish(&path.join("a.json"), &notice_text("N-1", 1, "a.example")));
    fixture.wait_for_names(&["a.example"]);
    let mut was_quick = true;
    for name in ["b.example", "c.example"] {
        fs::rename(fixture.path("notices"), fixture.path("away")).unwrap();
        fixture.wait("the failure", |received| received.failure.as_ref().is_some_and(|failure| failure.code == "io"));
        fs::remove_dir_all(fixture.path("away")).unwrap();
        was_quick &= quickly(|| {
            fs::create_dir(fixture.path("notices")).unwrap();
            publish(&fixture.path("notices/a.json"), &notice_text("N-1", 1, name));
        });
        fixture.wait_for_names(&[name]);
        fixture.wait("the recovery", |received| received.failure.is_none());
    }
    assert!(!was_quick || fixture.history().iter().all(|names| names.len() == 1), "lifted: {:?}", fixture.history());
    publish(&fixture.path("notices/d.json"), &notice_text("N-4", 4, "d.example"));
    fixture.wait_for_names(&["c.example", "d.example"]);
}

#[test]
fn a_broken_file_is_reported_and_repaired() {
    let fixture = Fixture::directory(|path| publish(&path.join("a.json"), &notice_text("N-1", 1, "a.example")));
    fixture.wait_for_names(&["a.example"]);
    fs::write(fixture.path("notices/a.json"), "{\n \"version\": 1,\n oops\n}").unwrap();
    fixture.wait("the report", |received| received.problems.iter().any(|problem| problem.line == Some(3)));
    fixture.wait_for_names(&["a.example"]);
    fs::write(fixture.path("notices/a.json"), notice_text("N-1", 1, "b.example")).unwrap();
    fixture.wait_for_names(&["b.example"]);
}

#[test]
fn an_emptied_or_deleted_list_is_a_failure_and_its_recovery_is_told() {
    let fixture = Fixture::list(|dir| fs::write(dir.join("scam.domains"), "a.example\n").unwrap());
    fixture.wait_for_names(&["a.example"]);
    publish(&fixture.path("scam.domains"), "# nothing\n");
    fixture.wait("the failure", |received| received.failure.as_ref().is_some_and(|failure| failure.code == "empty"));
    fs::remove_file(fixture.path("scam.domains")).unwrap();
    fixture.wait("the failure", |received| received.failure.as_ref().is_some_and(|failure| failure.code == "io"));
    fixture.wait_for_names(&["a.example"]);
    publish(&fixture.path("scam.domains"), "b.example\n");
    fixture.wait("the recovery", |received| received.failure.is_none());
    fixture.wait_for_names(&["b.example"]);
}

#[test]
fn the_regular_comparison_gives_a_sign_of_life() {
    let dir = tempfile::tempdir().unwrap();
    let timing = Timing { compare: Duration::from_millis(50), ..Timing::default() };
    let loader = Loader::new(directory_source(dir.path()));
    let fixture = Fixture::watch(dir, loader, timing);
    fixture.wait("signs of life", |received| received.updates >= 3);
}

#[test]
fn stopping_ends_the_thread() {
    let dir = tempfile::tempdir().unwrap();
    let (sender, receiver) = mpsc::channel();
    let watch = watch(Loader::new(directory_source(dir.path())), move |update| drop(sender.send(update))).unwrap();
    receiver.recv_timeout(PATIENCE).unwrap();
    watch.stop();
    assert!(receiver.recv_timeout(PATIENCE).is_err(), "the thread and its sender are gone");
}
