//! [`Process`]: a child on a core of its own that is killed, by its id, with the value.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::proc::{OTHER_CORE, pin};

/// See the file.
pub(crate) struct Process(Child);

impl Process {
    /// Starts a program on a core; what it prints goes into a file.
    pub(crate) fn start(program: &Path, arguments: &[String], core: usize, output: &Path) -> io::Result<Self> {
        let out = File::create(output)?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stderr(out.try_clone()?).stdout(out);
        pin(core)?; // what this thread starts stays where it is
        let child = command.spawn();
        pin(OTHER_CORE)?;
        child.map(Self)
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> io::Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended
        let _ = self.0.wait();
    }
}
