//! [`Site`]: a directory and ports for one server, and the files it gets there.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use crate::names::{List, Syntax};

/// Where one server lives. The directory is removed with what contains it.
pub(crate) struct Site {
    directory: PathBuf,
    /// Where it answers.
    pub(crate) dns: SocketAddr,
    control: u16,
    upstream: SocketAddr,
}

impl Site {
    /// A new directory below `parent`, and ports that are free now.
    pub(crate) fn new(parent: &Path, name: &str, upstream: SocketAddr) -> io::Result<Self> {
        let directory = parent.join(name);
        fs::create_dir(&directory)?;
        Ok(Self { directory, dns: free_address()?, control: free_address()?.port(), upstream })
    }

    /// A file in it.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.directory.join(file)
    }

    /// The same as text.
    pub(crate) fn text(&self, file: &str) -> String {
        self.path(file).display().to_string()
    }

    /// Writes a configuration: a template whose words between `@` are replaced by what is true here.
    pub(crate) fn write(&self, file: &str, template: &str) -> io::Result<()> {
        let text = template
            .replace("@IP@", &self.dns.ip().to_string())
            .replace("@PORT@", &self.dns.port().to_string())
            .replace("@UPSTREAM_IP@", &self.upstream.ip().to_string())
            .replace("@UPSTREAM_PORT@", &self.upstream.port().to_string())
            .replace("@CONTROL@", &self.control.to_string())
            .replace("@DIR@", self.text("").trim_end_matches('/'));
        fs::write(self.path(file), text)
    }

    /// Writes the files of a list aside, into a directory of its half.
    pub(crate) fn prepare(&self, list: List, files: &[(&str, Syntax)]) -> io::Result<()> {
        fs::create_dir_all(self.path(list.half.label()))?;
        for (file, syntax) in files {
            let mut to = BufWriter::new(File::create(self.aside(list, file))?);
            syntax(list, &mut to)?;
            to.flush()?;
        }
        Ok(())
    }

    /// Puts the files of a list that was prepared into their places, each at once.
    pub(crate) fn place(&self, list: List, files: &[(&str, Syntax)]) -> io::Result<()> {
        for (file, _) in files {
            let next = self.path(&format!("{file}.new"));
            let _ = fs::remove_file(&next); // renaming one link of a file to another leaves it
            fs::hard_link(self.aside(list, file), &next)?;
            fs::rename(next, self.path(file))?;
        }
        Ok(())
    }

    fn aside(&self, list: List, file: &str) -> PathBuf {
        self.path(list.half.label()).join(file)
    }
}

/// An address of this machine whose port is free for UDP and TCP at this moment.
pub(crate) fn free_address() -> io::Result<SocketAddr> {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0")?;
        let address = tcp.local_addr()?;
        if UdpSocket::bind(address).is_ok() {
            return Ok(address);
        }
    }
}
