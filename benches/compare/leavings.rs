//! [`Leavings`]: what is put right when the run ends, by itself or by Ctrl-C. (Processes see to themselves.)

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use crate::machine::OldBuffers;

/// Removed and put back with the value.
pub(crate) struct Leavings(Arc<Mutex<Option<Inner>>>);

struct Inner {
    _directory: TempDir,
    _buffers: Option<OldBuffers>,
}

impl Leavings {
    /// Makes a directory, and sees to it, and to the buffers, when SIGINT or SIGTERM come.
    pub(crate) fn new(buffers: Option<OldBuffers>) -> io::Result<(Self, PathBuf)> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().to_owned();
        let inner = Arc::new(Mutex::new(Some(Inner { _directory: directory, _buffers: buffers })));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        drop(entered);
        let shared = inner.clone();
        std::thread::spawn(move || {
            runtime.block_on(async { tokio::select!(_ = interrupt.recv() => (), _ = terminate.recv() => ()) });
            take(&shared);
            end();
        });
        Ok((Self(inner), path))
    }
}

#[expect(clippy::disallowed_methods, reason = "nothing else is left to be put right")]
fn end() -> ! {
    std::process::exit(130)
}

impl Drop for Leavings {
    fn drop(&mut self) {
        take(&self.0);
    }
}

fn take(inner: &Mutex<Option<Inner>>) {
    drop(inner.lock().unwrap_or_else(PoisonError::into_inner).take());
}
