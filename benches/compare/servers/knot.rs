//! Knot Resolver's kresd, with a response policy zone.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use super::Server;
use crate::names::{Syntax, rpz_defaults};
use crate::site::Site;

/// See the file.
pub(super) struct Knot;

impl Knot {
    /// Has it run a line of Lua, and waits until it has.
    fn control(site: &Site, line: &str) -> io::Result<()> {
        let mut stream = UnixStream::connect(site.path("control"))?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        stream.write_all(format!("{line}\n").as_bytes())?;
        let mut answer = [0; 512];
        let mut last = 0;
        while last != b'>' {
            let length = stream.read(&mut answer)?; // the prompt, the result, and the prompt again
            let text = String::from_utf8_lossy(&answer[..length]);
            if length == 0 || text.contains("error") {
                return Err(io::Error::other(format!("{line}: {text}")));
            }
            last = text.trim_start_matches("> ").trim_end().bytes().last().unwrap_or(0);
        }
        Ok(())
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
