//! Knot Resolver's kresd, with a response policy zone.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use super::Server;
use crate::names::{Syntax, rpz_defaults};
use crate::site::Site;

/// How long it may take to read its list.
const LIMIT: Duration = Duration::from_secs(120);

/// See the file.
pub(super) struct Knot;

impl Knot {
    /// Has it run a line of Lua, and waits until it says that it has.
    fn control(site: &Site, line: &str) -> io::Result<()> {
        let mut stream = UnixStream::connect(site.path("control"))?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.write_all(format!("{line}\n").as_bytes())?;
        let mut answer = [0; 512];
        let length = stream.read(&mut answer)?;
        match String::from_utf8_lossy(&answer[..length]) {
            text if text.contains("done") => Ok(()),
            text => Err(io::Error::other(format!("{line}: {text}"))),
        }
    }
}

impl Server for Knot {
    fn name(&self) -> &str {
        "knot-resolver"
    }

    fn program(&self) -> PathBuf {
        "kresd".into()
    }

    fn version(&self) -> &'static [&'static str] {
        &["-V"]
    }

    fn configure(&self, site: &Site) -> io::Result<()> {
        fs::create_dir_all(site.path("cache"))?;
        site.write("kresd.conf", include_str!("../templates/kresd.conf"))
    }

    fn arguments(&self, site: &Site) -> Vec<String> {
        ["-n", "-q", "-c", &site.text("kresd.conf"), &site.text("")].map(str::to_owned).into()
    }

    fn lists(&self) -> &'static [(&'static str, Syntax)] {
        &[("rpz.zone", rpz_defaults)]
    }

    fn reread(&self, site: &Site, _pid: u32) -> io::Result<()> {
        Self::control(site, "reread()")
    }

    fn add(&self, site: &Site, name: &str) -> Option<io::Result<()>> {
        Some(Self::control(site, &format!("add('{name}')")))
    }

    fn lift(&self, site: &Site, _name: &str) -> io::Result<()> {
        Self::control(site, "lift()")
    }
}
