//! [`Process`]: a child on a core of its own that ends with the value, and with this program however that ends.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Signal, set_parent_process_death_signal};

use crate::proc::pin;

/// See the file.
pub(crate) struct Process(Child);

impl Process {
    /// Starts a program on a core; what it prints goes into a file. To be called by the main thread: a child ends with
    /// the thread that started it.
    pub(crate) fn start(program: &Path, arguments: &[String], core: usize, output: &Path) -> io::Result<Self> {
        let out = File::create(output)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["on", &core.to_string()]).arg(program).args(arguments);
        command.stdin(Stdio::null()).stderr(out.try_clone()?).stdout(out).spawn().map(Self)
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

/// What the child does first: it has itself killed when its parent ends, goes to its core, and becomes the program.
pub(crate) fn become_on(core: usize, program: &Path, arguments: &[String]) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    pin(core)?;
    Err(Command::new(program).args(arguments).exec()) // it returns only if it has failed
}
