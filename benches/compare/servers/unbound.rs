//! unbound, with a response policy zone.

use std::io;
use std::path::PathBuf;

use super::{Server, control};
use crate::names::{BLOCKED, Syntax, rpz_addresses};
use crate::site::Site;

/// See the file.
pub(super) struct Unbound;

impl Unbound {
    fn control(site: &Site, words: &[&str]) -> io::Result<()> {
        control("unbound-control", &[&["-c", &site.text("unbound.conf")], words].concat())
    }
}

impl Server for Unbound {
    fn name(&self) -> &str {
        "unbound"
    }

    fn program(&self) -> PathBuf {
        "unbound".into()
    }

    fn version(&self) -> &'static [&'static str] {
        &["-V"]
    }

    fn configure(&self, site: &Site) -> io::Result<()> {
        site.write("unbound.conf", include_str!("../templates/unbound.conf"))
    }

    fn arguments(&self, site: &Site) -> Vec<String> {
        ["-d", "-p", "-c", &site.text("unbound.conf")].map(str::to_owned).into()
    }

    fn lists(&self) -> &'static [(&'static str, Syntax)] {
        &[("rpz.zone", rpz_addresses)]
    }

    fn reread(&self, site: &Site, _pid: u32) -> io::Result<()> {
        Self::control(site, &["auth_zone_reload", "rpz."])
    }

    fn add(&self, site: &Site, name: &str) -> Option<io::Result<()>> {
        let zone = Self::control(site, &["local_zone", name, "redirect"]);
        Some(zone.and_then(|()| Self::control(site, &["local_data", &format!("{name} 30 A {BLOCKED}")])))
    }

    fn lift(&self, site: &Site, name: &str) -> io::Result<()> {
        Self::control(site, &["local_zone_remove", name])
    }
}
