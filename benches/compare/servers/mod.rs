//! The servers that are compared: how each is configured, gets its list, reads it again, and takes one name more. Their
//! configurations stand in `templates/`; a server is a file here and a line in [`all`].

mod bind;
mod dnsdist;
mod dnsmasq;
mod knot;
mod ours;
mod recursor;
mod unbound;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::args::Args;
use crate::names::Syntax;
use crate::site::Site;

/// A server, as it is installed; not one that runs.
pub(crate) trait Server: Sync {
    /// As in the tables and for `--only`.
    fn name(&self) -> &str;

    /// The program: a path, or a name that is looked for.
    fn program(&self) -> PathBuf;

    /// What makes it say its version.
    fn version(&self) -> &'static [&'static str] {
        &["--version"]
    }

    /// Writes its configuration.
    fn configure(&self, site: &Site) -> io::Result<()>;

    /// The arguments it is started with, in the foreground.
    fn arguments(&self, site: &Site) -> Vec<String>;

    /// The files of its list.
    fn lists(&self) -> &'static [(&'static str, Syntax)];

    /// Makes it read its lists again, after they were replaced, if it does not see that by itself.
    fn reread(&self, _site: &Site, _pid: u32) -> io::Result<()> {
        Ok(())
    }

    /// Whether it then has the names that stand for their subtrees anew.
    fn rereads_subtrees(&self) -> bool {
        true
    }

    /// The quickest way to block one name more, with all below it if it can. `None`: it has none but a new list.
    fn add(&self, _site: &Site, _name: &str) -> Option<io::Result<()>> {
        None
    }

    /// Takes back what [`Self::add`] did.
    fn lift(&self, _site: &Site, _name: &str) -> io::Result<()> {
        Ok(())
    }

    /// Whether it is the floor, and no DNS server at all.
    fn is_reflector(&self) -> bool {
        false
    }

    /// Whether it is Pagar.
    fn is_ours(&self) -> bool {
        false
    }
}

/// All that are wanted, the floor first.
pub(crate) fn all(args: &Args) -> Vec<Box<dyn Server>> {
    let pagar = args.pagar.clone().unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_pagar")));
    let mut servers: Vec<Box<dyn Server>> = vec![
        Box::new(ours::Reflector),
        Box::new(ours::Pagar { name: "pagar".to_owned(), program: pagar }),
        Box::new(dnsdist::Dnsdist),
        Box::new(recursor::Recursor),
        Box::new(unbound::Unbound),
        Box::new(knot::Knot),
        Box::new(bind::Bind),
        Box::new(dnsmasq::Dnsmasq),
    ];
    for (n, program) in args.beside.iter().enumerate() {
        servers.insert(n + 2, Box::new(ours::Pagar { name: format!("pagar-{}", n + 2), program: program.clone() }));
    }
    servers.into_iter().filter(|server| server.is_reflector() || args.wants_server(server.name())).collect()
}

/// Where a program is installed.
pub(crate) fn find(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return program.is_file().then(|| program.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// The first word like 1.2.3 that a program prints when asked for its version; some say it on standard error.
pub(crate) fn version(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let Ok(output) = output else { return "?".to_owned() };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let number = |word: &str| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit());
    let mut words = text.split([' ', '\n', '\t', ',', '-']);
    words.find(|word| number(word)).unwrap_or("?").to_owned()
}

/// Runs a server's control program to its end.
fn control(program: &str, arguments: &[&str]) -> io::Result<()> {
    let program = find(Path::new(program)).ok_or_else(|| io::Error::other(format!("{program} is not installed")))?;
    let output = Command::new(&program).args(arguments).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(io::Error::other(format!("{} {arguments:?}: {said}", program.display())))
}
