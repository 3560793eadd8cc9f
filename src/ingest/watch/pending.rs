//! [`Pending`]: how long each file that was touched is left alone.
//!
//! | event on a notice or list file        | taken                                                     |
//! |---------------------------------------|-----------------------------------------------------------|
//! | closed after writing, renamed to      | at once                                                   |
//! | created (perhaps as a hard or symbolic link), attributes changed | after [`CREATED`] without another event |
//! | written to                            | closed, or after the format's quiet time without another  |
//! | deleted, renamed from                 | after [`ABSENT`]: what replaces it may be on its way      |
//! | renamed to another such name          | both at once: the notice never was without a file         |
//!
//! Until then the file is held: looks on behalf of other files neither take nor miss it. Other names in the directories
//! may be links that the source is reached through, so their coming and going makes for a look as well.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{Event, EventKind};

use super::layout::{Layout, Place};

/// For a file that was created and of which nothing else is heard.
pub(super) const CREATED: Duration = Duration::from_millis(100);
/// For a file or directory that is gone.
pub(super) const ABSENT: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Pending {
    quiet: Duration,
    files: BTreeMap<OsString, Instant>,
    compare: Option<Instant>,
    renamed_from: Option<(usize, OsString)>, // the half of a rename that was heard last
}

/// What an event says about one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Done,
    Created,
    Written,
    Gone,
    Attributes,
}

impl Pending {
    /// Nothing touched. `quiet` is how long a file that is written to and not closed must rest.
    pub(super) fn new(quiet: Duration) -> Self {
        Self { quiet, files: BTreeMap::new(), compare: None, renamed_from: None }
    }

    /// When the next file may be taken.
    pub(super) fn next(&self) -> Option<Instant> {
        self.files.values().copied().chain(self.compare).min()
    }

    /// Asks for a look that no file is named for.
    pub(super) fn compare_at(&mut self, at: Instant) {
        self.compare = Some(self.compare.map_or(at, |earlier| earlier.min(at)));
    }

    /// Whether a look that no file is named for is due.
    pub(super) fn compares(&self, now: Instant) -> bool {
        self.compare.is_some_and(|at| at <= now)
    }

    /// Takes in an event. Returns whether a watched directory itself is gone or was moved: its watch is of no more use.
    pub(super) fn note(&mut self, event: &Event, layout: &Layout, now: Instant) -> bool {
        let Some(sign) = sign(event.kind) else { return false };
        let mut lost = false;
        for path in &event.paths {
            match layout.place(path) {
                Place::File(name) => {
                    self.note_rename(event, &name, now);
                    self.note_file(name, sign, now);
                }
                Place::Directory => {
                    lost |= sign == Sign::Gone;
                    self.compare_at(now + ABSENT);
                }
                Place::Link => match sign {
                    Sign::Done => self.compare_at(now),
                    Sign::Created | Sign::Gone => self.compare_at(now + ABSENT),
                    Sign::Written | Sign::Attributes => {}
                },
                Place::Other => {}
            }
        }
        lost
    }

    /// The two halves of a rename carry one tracker. The event for the whole comes after them, which may be too late.
    fn note_rename(&mut self, event: &Event, name: &OsStr, now: Instant) {
        match event.kind {
            EventKind::Modify(ModifyKind::Name(RenameMode::From)) => {
                self.renamed_from = event.tracker().map(|tracker| (tracker, name.to_owned()));
            }
            EventKind::Modify(ModifyKind::Name(RenameMode::To)) => {
                if let Some((tracker, from)) = self.renamed_from.take()
                    && event.tracker() == Some(tracker)
                {
                    self.files.insert(from, now);
                }
            }
            _ => {}
        }
    }

    fn note_file(&mut self, name: OsString, sign: Sign, now: Instant) {
        let due = match sign {
            Sign::Done => now,
            Sign::Created => now + CREATED,
            Sign::Written => now + self.quiet,
            Sign::Gone => now + ABSENT,
            Sign::Attributes => {
                // Says nothing about the content: it must not cut short what another event asked for.
                self.files.entry(name).or_insert(now + CREATED);
                return;
            }
        };
        self.files.insert(name, due);
    }

    /// The files that may be taken now, and those that must still be left alone.
    pub(super) fn take(&mut self, now: Instant) -> (BTreeSet<OsString>, BTreeSet<OsString>) {
        self.compare = self.compare.filter(|at| *at > now);
        let mut ready = BTreeSet::new();
        self.files.retain(|name, due| {
            let is_due = *due <= now;
            if is_due {
                ready.insert(name.clone());
            }
            !is_due
        });
        (ready, self.files.keys().cloned().collect())
    }
}

fn sign(kind: EventKind) -> Option<Sign> {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => Some(Sign::Done),
        EventKind::Access(_) => None, // our own reading among them
        EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => None, // its halves came as events of their own
        EventKind::Create(_) => Some(Sign::Created),
        EventKind::Modify(ModifyKind::Name(_)) | EventKind::Remove(_) => Some(Sign::Gone),
        EventKind::Modify(ModifyKind::Metadata(_)) => Some(Sign::Attributes),
        EventKind::Modify(_) | EventKind::Any | EventKind::Other => Some(Sign::Written),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use notify::event::{CreateKind, DataChange, MetadataKind, RemoveKind};

    use super::*;
    use crate::ingest::Kind;

    const CLOSE: EventKind = EventKind::Access(AccessKind::Close(AccessMode::Write));
    const CREATE: EventKind = EventKind::Create(CreateKind::File);
    const WRITE: EventKind = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    const REMOVE: EventKind = EventKind::Remove(RemoveKind::File);
    const CHMOD: EventKind = EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any));
    const READ: EventKind = EventKind::Access(AccessKind::Close(AccessMode::Read));
    const fn renamed(mode: RenameMode) -> EventKind {
        EventKind::Modify(ModifyKind::Name(mode))
    }

    struct Fixture {
        dir: tempfile::TempDir,
        layout: Layout,
        pending: Pending,
        start: Instant,
    }

    impl Fixture {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let layout = Layout::of(&Kind::Directory { path: dir.path().to_owned(), allow_unsigned: true });
            let pending = Pending::new(Duration::from_millis(500));
            Self { dir, layout, pending, start: Instant::now() }
        }

        fn note(&mut self, millis: u64, kind: EventKind, names: &[&str]) -> bool {
            let root = self.dir.path().canonicalize().unwrap();
            let path = |name: &&str| if name.is_empty() { root.clone() } else { root.join(Path::new(name)) };
            let event = names.iter().map(path).fold(Event::new(kind), Event::add_path);
            let event = event.set_tracker(7);
            self.pending.note(&event, &self.layout, self.start + Duration::from_millis(millis))
        }

        fn due(&self) -> Option<u64> {
            self.pending.next().map(|at| at.duration_since(self.start).as_millis() as u64)
        }
    }

    #[test]
    fn each_event_has_its_patience() {
        for (kind, name, due) in [
            (CLOSE, "a.json", Some(10)),
            (renamed(RenameMode::To), "a.json", Some(10)),
            (renamed(RenameMode::From), "a.json", Some(110)),
            (CREATE, "a.json", Some(110)),
            (CHMOD, "a.json", Some(110)),
            (REMOVE, "a.json", Some(110)),
            (WRITE, "a.json", Some(510)),
            (READ, "a.json", None),
            (WRITE, ".a.json.tmp", None),
            (CLOSE, "README", Some(10)),
            (renamed(RenameMode::To), "..data", Some(10)),
            (REMOVE, "..data", Some(110)),
            (CHMOD, "", Some(110)),
        ] {
            let mut fixture = Fixture::new();
            assert!(!fixture.note(10, kind, &[name]));
            assert_eq!(fixture.due(), due, "{kind:?} {name}");
        }
    }

    #[test]
    fn the_last_event_counts_and_what_is_not_due_is_held() {
        let mut fixture = Fixture::new();
        fixture.note(0, CREATE, &["a.json"]);
        fixture.note(1, WRITE, &["a.json"]);
        fixture.note(2, CHMOD, &["a.json"]);
        assert_eq!(fixture.due(), Some(501));
        fixture.note(3, CLOSE, &["b.json"]);
        let (ready, held) = fixture.pending.take(fixture.start + Duration::from_millis(3));
        assert_eq!((ready, held), (BTreeSet::from(["b.json".into()]), BTreeSet::from(["a.json".into()])));
        fixture.note(4, CLOSE, &["a.json"]);
        assert_eq!(fixture.pending.take(fixture.start + Duration::from_millis(4)).0, BTreeSet::from(["a.json".into()]));
        assert_eq!(fixture.due(), None);
    }

    #[test]
    fn a_rename_within_the_directory_acts_on_both_names_at_once() {
        let mut fixture = Fixture::new();
        fixture.note(0, renamed(RenameMode::From), &["a.json"]);
        fixture.note(0, renamed(RenameMode::To), &["b.json"]);
        let (ready, held) = fixture.pending.take(fixture.start);
        assert_eq!((ready.len(), held.len()), (2, 0));
        fixture.note(1, renamed(RenameMode::From), &["a.json"]);
        fixture.note(1, renamed(RenameMode::To), &["a.json.bak"]);
        fixture.note(1, renamed(RenameMode::Both), &["a.json", "a.json.bak"]);
        fixture.pending.compare = None; // asked for by the other name
        assert_eq!(fixture.due(), Some(101), "moved out of the way: its replacement may follow");
    }

    #[test]
    fn a_directory_that_goes_takes_its_watch_with_it() {
        for kind in [EventKind::Remove(RemoveKind::Folder), renamed(RenameMode::From)] {
            assert!(Fixture::new().note(0, kind, &[""]), "{kind:?}");
        }
    }
}
