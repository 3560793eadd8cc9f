//! dnsmasq, with a hosts file for exact names and `address=` for subtrees. It reads the hosts again, but the subtrees
//! only when it starts: a swap is one of 70 % of its list. One name more is not done: its hosts are exact, and the
//! probe asks below the name.

use std::fs;
use std::io;
use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};

use super::Server;
use crate::names::{Syntax, exact_hosts, subtree_addresses};
use crate::site::Site;

/// See the file.
pub(super) struct Dnsmasq;

impl Server for Dnsmasq {
    fn name(&self) -> &str {
        "dnsmasq"
    }

    fn program(&self) -> PathBuf {
        "dnsmasq".into()
    }

    fn configure(&self, site: &Site) -> io::Result<()> {
        fs::create_dir_all(site.path("one"))?;
        site.write("dnsmasq.conf", include_str!("../templates/dnsmasq.conf"))
    }

    fn arguments(&self, site: &Site) -> Vec<String> {
        ["--keep-in-foreground".to_owned(), format!("--conf-file={}", site.text("dnsmasq.conf"))].into()
    }

    fn lists(&self) -> &'static [(&'static str, Syntax)] {
        &[("exact.hosts", exact_hosts), ("subtree.conf", subtree_addresses)]
    }

    fn reread(&self, _site: &Site, pid: u32) -> io::Result<()> {
        let pid = Pid::from_raw(pid.cast_signed()).ok_or(io::ErrorKind::NotFound)?;
        Ok(kill_process(pid, Signal::HUP)?)
    }

    fn rereads_subtrees(&self) -> bool {
        false
    }
}
