//! dnsdist, with a set and a tree of names in memory.

use std::io;
use std::path::PathBuf;

use super::{Server, control};
use crate::names::{Syntax, exact_names, subtree_names};
use crate::site::Site;

/// See the file.
pub(super) struct Dnsdist;

impl Dnsdist {
    fn control(site: &Site, line: &str) -> io::Result<()> {
        control("dnsdist", &["-C", &site.text("dnsdist.conf"), "-c", "-e", line])
    }
}

impl Server for Dnsdist {
    fn name(&self) -> &str {
        "dnsdist"
    }

    fn program(&self) -> PathBuf {
        "dnsdist".into()
    }

    fn configure(&self, site: &Site) -> io::Result<()> {
        site.write("dnsdist.conf", include_str!("../templates/dnsdist.conf"))
    }

    fn arguments(&self, site: &Site) -> Vec<String> {
        ["--supervised", "--disable-syslog", "-C", &site.text("dnsdist.conf")].map(str::to_owned).into()
    }

    fn lists(&self) -> &'static [(&'static str, Syntax)] {
        &[("exact.domains", exact_names), ("subtree.domains", subtree_names)]
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
