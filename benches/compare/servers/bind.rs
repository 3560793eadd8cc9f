//! bind9's named, with a response policy zone. One name more would take a second such zone that is updated dynamically,
//! at the cost of every query; it is left out.

use std::io;
use std::path::PathBuf;

use super::{Server, control};
use crate::names::{Syntax, rpz_addresses, set_serial};
use crate::site::Site;

/// See the file.
pub(super) struct Bind;

impl Server for Bind {
    fn name(&self) -> &str {
        "bind9"
    }

    fn program(&self) -> PathBuf {
        "named".into()
    }

    fn version(&self) -> &'static [&'static str] {
        &["-v"]
    }

    fn configure(&self, site: &Site) -> io::Result<()> {
        site.write("rndc.conf", include_str!("../templates/rndc.conf"))?;
        site.write("named.conf", include_str!("../templates/named.conf"))
    }

    fn arguments(&self, site: &Site) -> Vec<String> {
        ["-f", "-n", "1", "-U", "1", "-c", &site.text("named.conf")].map(str::to_owned).into()
    }

    fn lists(&self) -> &'static [(&'static str, Syntax)] {
        &[("rpz.zone", rpz_addresses)]
    }

    fn reread(&self, site: &Site, _pid: u32) -> io::Result<()> {
        set_serial(&site.path("rpz.zone"))?; // it takes no zone whose serial has not grown
        control("rndc", &["-c", &site.text("rndc.conf"), "reload", "rpz."])
    }
}
