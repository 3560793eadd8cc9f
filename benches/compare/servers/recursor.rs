//! PowerDNS Recursor, with a response policy zone. One name more would take a primary that it transfers the zone from.

use std::io;
use std::path::PathBuf;

use super::{Server, control};
use crate::names::{Syntax, rpz_addresses};
use crate::site::Site;

/// See the file.
pub(super) struct Recursor;

impl Server for Recursor {
    fn name(&self) -> &str {
        "pdns-recursor"
    }

    fn program(&self) -> PathBuf {
        "pdns_recursor".into()
    }

    fn configure(&self, site: &Site) -> io::Result<()> {
        site.write("recursor.lua", include_str!("../templates/recursor.lua"))?;
        site.write("recursor.conf", include_str!("../templates/recursor.conf"))
    }

    fn arguments(&self, site: &Site) -> Vec<String> {
        vec![format!("--config-dir={}", site.text(""))]
    }

    fn lists(&self) -> &'static [(&'static str, Syntax)] {
        &[("rpz.zone", rpz_addresses)]
    }

    fn reread(&self, site: &Site, _pid: u32) -> io::Result<()> {
        let directory = format!("--socket-dir={}", site.text(""));
        control("rec_control", &[&directory, "--timeout=120", "reload-lua-config"])
    }
}
