//! Pagar, and the reflector that is the floor.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::Server;
use crate::names::{Syntax, exact_names, subtree_names};
use crate::site::Site;

/// Sends every packet back: what the kernel's sockets cost.
pub(super) struct Reflector;

impl Server for Reflector {
    fn name(&self) -> &str {
        "reflector"
    }

    fn program(&self) -> PathBuf {
        std::env::current_exe().unwrap_or_default()
    }

    fn version(&self) -> &'static [&'static str] {
        &["--help"]
    }

    fn configure(&self, _site: &Site) -> io::Result<()> {
        Ok(())
    }

    fn arguments(&self, site: &Site) -> Vec<String> {
        vec!["reflector".to_owned(), site.dns.to_string()]
    }

    fn lists(&self) -> &'static [(&'static str, Syntax)] {
        &[]
    }

    fn is_reflector(&self) -> bool {
        true
    }
}

/// The program cargo has built, or another one.
pub(super) struct Pagar {
    pub(super) name: String,
    pub(super) program: PathBuf,
}

impl Pagar {
    /// Puts a notice about `listed` in the place of the one for `name`, if there is one.
    fn order(site: &Site, name: &str, listed: &str) -> io::Result<()> {
        let digits: String = name.chars().filter(char::is_ascii_digit).collect();
        let text = include_str!("../templates/pagar-notice.json");
        let text = text.replace("@ID@", &format!("ONE-{digits}")).replace("@SEQUENCE@", &digits);
        let aside = site.path("notices/one.new");
        fs::write(&aside, text.replace("@NAME@", listed))?;
        fs::rename(aside, site.path(&format!("notices/{name}.json")))
    }
}

impl Server for Pagar {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_ours(&self) -> bool {
        true
    }

    fn program(&self) -> PathBuf {
        self.program.clone()
    }

    fn configure(&self, site: &Site) -> io::Result<()> {
        fs::create_dir_all(site.path("notices"))?;
        site.write("pagar.toml", include_str!("../templates/pagar.toml"))
    }

    fn arguments(&self, site: &Site) -> Vec<String> {
        vec!["serve".to_owned(), "--config".to_owned(), site.text("pagar.toml")]
    }

    fn lists(&self) -> &'static [(&'static str, Syntax)] {
        &[("exact.domains", exact_names), ("subtree.domains", subtree_names)]
    }

    fn add(&self, site: &Site, name: &str) -> Option<io::Result<()>> {
        Some(Self::order(site, name, name))
    }

    /// Amends the notice: a file that is deleted is waited for, since another may be on its way into its place.
    fn lift(&self, site: &Site, name: &str) -> io::Result<()> {
        Self::order(site, name, &format!("elsewhere.{name}"))
    }
}
