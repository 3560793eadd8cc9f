//! What concerns the process as a whole and the system around it, a file each:
//!
//! | file | what |
//! |---|---|
//! | [`sockets`] | the listening sockets: bound here, opened by systemd, or those of the process before |
//! | [`signals`] | what SIGHUP, SIGTERM, SIGINT and SIGUSR2 ask |
//! | [`upgrade`] | the hand-over to a new process: sockets and lock go over, no query is lost |
//! | [`systemd`] | what the service manager is told |
//! | [`watchdog`] | that it is told only while everything moves |
//!
//! and here limits and core dumps.

pub mod signals;
pub mod sockets;
pub mod systemd;
pub mod upgrade;
pub mod watchdog;

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// Raises the limit of open files to what the system allows, since every question that waits for an upstream holds
/// sockets; returns the limit.
pub fn raise_file_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        Ok(()) => limit.maximum.unwrap_or(u64::MAX),
        Err(error) => {
            tracing::warn!(%error, "cannot raise the limit of open files");
            limit.current.unwrap_or(u64::MAX)
        }
    }
}

/// Whether the memory of this process may be written to disk when it crashes, or read by another process of the same
/// user: it holds what clients ask and the names of secret notices.
///
/// Both are forbidden together, because a limit of 0 does not keep the kernel from piping a dump to a program
/// (core(5)). The hard limit is left alone: the process of an upgrade inherits it, and its configuration may say
/// otherwise.
pub fn allow_core_dumps(allowed: bool) {
    let maximum = getrlimit(Resource::Core).maximum;
    let (current, dumpable) =
        if allowed { (maximum, DumpableBehavior::Dumpable) } else { (Some(0), DumpableBehavior::NotDumpable) };
    let set = setrlimit(Resource::Core, Rlimit { current, maximum }).and_then(|()| set_dumpable_behavior(dumpable));
    if let Err(error) = set {
        tracing::warn!(%error, allowed, "core dumps: the system does not obey");
    } else if allowed && maximum == Some(0) {
        tracing::warn!("core_dumps = true does nothing: the hard limit is 0 (LimitCORE= of the unit, ulimit -H -c)");
    }
}
