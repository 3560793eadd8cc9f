//! [`ExitError`]: how a command ends when it does not end well, and its exit code (INTERFACES, command line).

use std::fmt;
use std::process::ExitCode;

/// Why a command stopped. The text is complete: what failed, where, what to do.
#[derive(Debug)]
pub enum ExitError {
    /// The answer is no: a name is not listed. Nothing is printed for it. Exit code 1.
    Negative,
    /// Bad command line or configuration. Exit code 2.
    Config(String),
    /// Bad notices or lists. Exit code 3.
    Data(String),
    /// The system refused something: a port in use, a full disk, no connection. Exit code 4.
    Runtime(String),
}

impl ExitError {
    /// The exit code.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Negative => 1,
            Self::Config(_) => 2,
            Self::Data(_) => 3,
            Self::Runtime(_) => 4,
        })
    }
}

impl fmt::Display for ExitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Negative => Ok(()),
            Self::Config(text) | Self::Data(text) | Self::Runtime(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for ExitError {}
