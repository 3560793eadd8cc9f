//! Running this program under callgrind, and reading the sum of each scene.
//!
//! Callgrind is told the name of the function whose calls count; it starts with the call, stops with the return, and
//! writes a file then: `out.1` for the first scene, `out.2` for the second. No instruction of ours takes part, so there
//! is nothing to link with, and no unsafe code.

use std::fs;
use std::io::{self, Error};
use std::path::Path;
use std::process::Command;

/// How callgrind finds [`scenes::counted`](crate::scenes::counted), whose whole name differs with each build.
const COUNTED: &str = "*::scenes::counted";

/// Which valgrind there is, if there is one.
pub(crate) fn version() -> Option<String> {
    let output = Command::new("valgrind").arg("--version").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Counts all scenes: name, instructions for one operation.
pub(crate) fn count() -> io::Result<Vec<(String, f64)>> {
    let dir = tempfile::tempdir()?;
    let out = dir.path().join("out");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(format!("--toggle-collect={COUNTED}"))
        .arg(format!("--dump-after={COUNTED}"))
        .arg(std::env::current_exe()?)
        .arg("--scenes")
        .output()?;
    if !output.status.success() {
        return Err(Error::other(format!("under valgrind: {}", String::from_utf8_lossy(&output.stderr))));
    }
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.lines().zip(1..).map(|(scene, number)| one(scene, &out.with_extension(number.to_string()))).collect()
}

/// The count of a scene, of which the program said `times name`.
fn one(scene: &str, file: &Path) -> io::Result<(String, f64)> {
    let (times, name) = scene.split_once(' ').ok_or_else(|| Error::other("the scenes said something else"))?;
    let times: f64 = times.parse().map_err(Error::other)?;
    let text = fs::read_to_string(file)?;
    let sum = text.lines().find_map(|line| line.strip_prefix("summary: ")).and_then(|sum| sum.trim().parse().ok());
    let sum: f64 = sum.ok_or_else(|| Error::other(format!("callgrind gave no sum for {name}")))?;
    if sum < times {
        return Err(Error::other(format!("callgrind did not see {name}: has the function another name?")));
    }
    Ok((name.to_owned(), sum / times))
}
