//! [`Layout`]: where a source lies on disk right now, and which directories must be watched to hear of every change.
//!
//! A path may lead through symbolic links, and replacing a link is a common way to publish (Kubernetes' `..data`, release
//! directories). inotify watches what a link points to and hears nothing of the link, so every directory that holds a link
//! on the way is watched as well. Watches are on directories, never on files: a watch on a file follows it into its grave.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::Message;
use crate::ingest::directory::is_candidate;
use crate::ingest::{Kind, list};

/// Links followed on one path, as the kernel does.
const MAX_LINKS: usize = 40;
/// Directories watched for one source. Links beyond are noticed at the next comparison.
const MAX_DIRECTORIES: usize = 256;

/// The path a problem with the whole source is reported under.
pub(super) fn root(kind: &Kind) -> &Path {
    match kind {
        Kind::Directory { path, .. } | Kind::List { path, .. } => path,
        Kind::Pull(feed) => &feed.memory, // which is not watched
    }
}

/// Where a source lies. Two are equal if the same watches serve both.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout {
    directory: Option<PathBuf>, // the one that holds the files, links resolved; `None` if there is none
    only: Option<OsString>,     // the one file of it that matters, for a list
    watched: BTreeMap<PathBuf, (u64, u64)>, // with device and inode
    targets: BTreeMap<PathBuf, BTreeSet<OsString>>, // files elsewhere that links in the directory lead to
}

/// What a path in an event is to the source.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A file of the source, by its name in it.
    File(OsString),
    /// A watched directory itself.
    Directory,
    /// Something in a watched directory that may be a link on the way.
    Link,
    /// Nothing.
    Other,
}

impl Layout {
    pub(super) fn of(kind: &Kind) -> Self {
        let (parent, only) = match kind {
            Kind::Directory { path, .. } => (path.as_path(), None),
            Kind::List { path, .. } => {
                let parent =
                    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
                (parent, path.file_name().map(OsStr::to_owned))
            }
            Kind::Pull(feed) => (feed.memory.as_path(), None),
        };
        let mut directories = BTreeSet::new();
        let directory = resolve(parent, &mut directories).filter(|path| path.is_dir());
        directories.extend(directory.clone());
        let mut targets: BTreeMap<PathBuf, BTreeSet<OsString>> = BTreeMap::new();
        for name in directory.iter().flat_map(|directory| links_in(directory, only.as_deref())) {
            if directories.len() >= MAX_DIRECTORIES {
                break;
            }
            let link = directory.as_deref().unwrap_or(parent).join(&name);
            let Some(target) = resolve(&link, &mut directories) else { continue };
            directories.extend(target.parent().map(Path::to_owned));
            targets.entry(target).or_default().insert(name);
        }
        let watched = directories.into_iter().filter_map(|path| Some((path.clone(), identity(&path)?))).collect();
        Self { directory, only, watched, targets }
    }

    /// How long a file that is written to and never closed must rest: half a list is a list, half a notice is not one.
    pub(super) fn quiet(&self) -> Duration {
        if self.only.is_some() { list::QUIET } else { Duration::from_millis(500) }
    }

    /// The files that are reached through links that pointed elsewhere in `before`. Publishing by moving a link means that
    /// what it points to is complete, however young.
    pub(super) fn moved_since(&self, before: &Self) -> BTreeSet<OsString> {
        if self.directory != before.directory {
            return self.only.iter().cloned().collect();
        }
        let is_new = |name: &&OsString| {
            !self.targets.iter().any(|(path, names)| {
                names.contains(*name) && before.targets.get(path).is_some_and(|names| names.contains(*name))
            })
        };
        self.targets.values().flatten().filter(is_new).cloned().collect()
    }

    pub(super) fn place(&self, path: &Path) -> Place {
        if self.watched.contains_key(path) {
            return Place::Directory;
        }
        // One target may serve several links; they are looked at together through the first.
        if let Some(name) = self.targets.get(path).and_then(BTreeSet::first) {
            return Place::File(name.clone());
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Place::Other };
        let is_ours = self.only.as_ref().map_or_else(|| is_candidate(name), |only| only == name);
        if is_ours && Some(parent) == self.directory.as_deref() {
            return Place::File(name.to_owned());
        }
        if self.watched.contains_key(parent) { Place::Link } else { Place::Other }
    }
}

/// A watcher on every directory of a layout.
#[derive(Debug)]
pub(super) struct Armed {
    layout: Layout,
    _watcher: RecommendedWatcher, // ends its watches when dropped
}

impl Armed {
    pub(super) fn new(layout: Layout, events: Sender<Message>) -> notify::Result<Self> {
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.as_ref().map_or(true, is_of_interest) {
                let _ = events.send(Message::Event(event)); // fails only when the watch is over
            }
        })?;
        for directory in layout.watched.keys() {
            watcher.watch(directory, RecursiveMode::NonRecursive)?;
        }
        Ok(Self { layout, _watcher: watcher })
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whether there is a directory with files to watch; if not, somebody has to look whether it has come.
    pub(super) fn is_complete(&self) -> bool {
        self.layout.directory.is_some()
    }
}

/// Reading files makes events too, by us above all; they are dropped before they wake anybody.
fn is_of_interest(event: &Event) -> bool {
    !matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write))
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// The files of a directory that are links.
fn links_in(directory: &Path, only: Option<&OsStr>) -> Vec<OsString> {
    if let Some(only) = only {
        let is_link = directory.join(only).is_symlink();
        return if is_link { vec![only.to_owned()] } else { Vec::new() };
    }
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let is_link = |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_symlink());
    let mut links: Vec<_> = entries.flatten().filter(is_link).map(|entry| entry.file_name()).collect();
    links.retain(|name| is_candidate(name));
    links.sort();
    links
}

/// Resolves every link in `path` and collects the directories that hold one. `None` if there are too many of them or the
/// working directory is gone; what a path leads to need not exist.
fn resolve(path: &Path, directories: &mut BTreeSet<PathBuf>) -> Option<PathBuf> {
    let mut resolved = if path.is_absolute() { PathBuf::new() } else { std::env::current_dir().ok()? };
    let mut rest: Vec<OsString> = path.components().rev().map(|part| part.as_os_str().to_owned()).collect();
    let mut links = 0;
    while let Some(part) = rest.pop() {
        match Path::new(&part).components().next()? {
            Component::RootDir | Component::Prefix(_) => resolved = PathBuf::from("/"),
            Component::CurDir => {}
            Component::ParentDir => {
                resolved.pop();
            }
            Component::Normal(name) => {
                let Ok(target) = std::fs::read_link(resolved.join(name)) else {
                    resolved.push(name);
                    continue;
                };
                links += 1;
                if links > MAX_LINKS {
                    return None;
                }
                directories.insert(resolved.clone());
                rest.extend(target.components().rev().map(|part| part.as_os_str().to_owned()));
            }
        }
    }
    Some(resolved)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::ingest::testing::list_source;

    #[test]
    fn a_plain_directory_is_watched_alone() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::write(root.join("a.json"), "").unwrap();
        let layout = Layout::of(&Kind::Directory { path: root.clone(), allow_unsigned: true });
        assert_eq!(layout.watched.keys().collect::<Vec<_>>(), [&root]);
        assert_eq!(layout.place(&root), Place::Directory);
        assert_eq!(layout.place(&root.join("a.json")), Place::File("a.json".into()));
        assert_eq!(layout.place(&root.join("a.json.tmp")), Place::Link);
        assert_eq!(layout.place(Path::new("/elsewhere/a.json")), Place::Other);
    }

    #[test]
    fn every_directory_with_a_link_on_the_way_is_watched() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("releases/5")).unwrap();
        fs::write(root.join("releases/5/real.domains"), "").unwrap();
        symlink("real.domains", root.join("releases/5/scam.domains")).unwrap();
        symlink("releases/5", root.join("current")).unwrap();
        let layout = Layout::of(&list_source(&root.join("current/scam.domains")).kind);
        assert_eq!(layout.watched.keys().collect::<Vec<_>>(), [&root, &root.join("releases/5")]);
        assert_eq!(layout.place(&root.join("releases/5/real.domains")), Place::File("scam.domains".into()));
        assert_eq!(layout.place(&root.join("current")), Place::Link);
    }

    #[test]
    fn a_layout_is_another_when_a_link_or_a_directory_is() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("notices");
        let kind = Kind::Directory { path: root.clone(), allow_unsigned: true };
        let gone = Layout::of(&kind);
        assert!(gone.directory.is_none() && gone.watched.is_empty());
        fs::create_dir(&root).unwrap();
        let there = Layout::of(&kind);
        assert_eq!(there, Layout::of(&kind));
        symlink("/nowhere/x.json", root.join("x.json")).unwrap();
        assert_ne!(there, Layout::of(&kind));
        symlink("loop.json", root.join("loop.json")).unwrap();
        Layout::of(&kind);
    }
}
