//! Other people's servers beside and behind ours, each on a free port of 127.0.0.1 and as quiet as it gets: [`nsd`]
//! with the zones of `zones/`, [`unbound`] and [`named`] as forwarders.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use hickory_proto::rr::RecordType;

use crate::client::query;
use crate::harness::{Reaped, Site, wait_until};

/// Everything there is in `zones/`, the root included, so that nsd answers whatever is asked.
pub(crate) const ZONES: [(&str, &str); 5] = [
    ("example.", "example.zone"),
    (".", "root.zone"),
    ("sub.example.", "sub.example.zone"),
    ("signed.example.", "signed.example.zone"),
    ("kid.signed.example.", "kid.signed.example.zone"),
];

/// A running daemon; killed and reaped with the value.
pub(crate) struct Daemon {
    pub(crate) address: SocketAddr,
    _child: Reaped,
}

/// Starts a daemon that wants to be told its port: `arguments` writes its configuration for one that is free. It has
/// started when it answers for `probe`.
pub(crate) fn daemon(program: &Path, probe: &str, arguments: impl Fn(SocketAddr) -> Vec<String>) -> Daemon {
    for _ in 0..5 {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap(); // free again
        let mut command = Command::new(program);
        command.args(arguments(address)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = Reaped(command.spawn().unwrap());
        let mut ended = false;
        wait_until(&format!("{} answers", program.display()), || {
            ended = child.0.try_wait().unwrap().is_some();
            ended || answers(address, probe)
        });
        if !ended {
            return Daemon { address, _child: child };
        } // somebody took the port meanwhile
    }
    panic!("{} does not start", program.display());
}

fn answers(address: SocketAddr, probe: &str) -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let octets = query(probe, RecordType::SOA).to_vec().unwrap();
    socket.connect(address).is_ok() && socket.send(&octets).is_ok() && socket.recv(&mut [0; 4_096]).is_ok()
}

/// Where a zone file of the tests is.
pub(crate) fn zone_file(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/zones").join(file)
}

/// nsd with these zones, each a name and a file of `zones/`; and with one that it cannot load, `broken.example`, for
/// which it says SERVFAIL.
pub(crate) fn nsd(site: &Site, program: &Path, zones: &[(&str, &str)]) -> Daemon {
    let directory = site.path("nsd");
    std::fs::create_dir(&directory).unwrap();
    let mut list = "zone:\n name: broken.example.\n zonefile: none\n".to_owned();
    for (name, file) in zones {
        std::fs::copy(zone_file(file), directory.join(file)).unwrap();
        writeln!(list, "zone:\n name: \"{name}\"\n zonefile: {file}").unwrap();
    }
    daemon(program, zones[0].0, |address| {
        let (ip, port, directory) = (address.ip(), address.port(), directory.display());
        let text = format!(
            "server:\n ip-address: {ip}@{port}\n server-count: 1\n username: \"\"\n chroot: \"\"\n database: \"\"\n \
             zonesdir: \"{directory}\"\n pidfile: \"\"\n zonelistfile: \"{directory}/zone.list\"\n \
             xfrdfile: \"{directory}/xfrd.state\"\n xfrdir: \"{directory}\"\n tcp-count: 1000\n \
             rrl-ratelimit: 0\n\
             remote-control:\n control-enable: no\n{list}"
        );
        site.write("nsd.conf", &text);
        ["-d", "-c", site.path("nsd.conf").to_str().unwrap()].map(String::from).to_vec()
    })
}

/// unbound that forwards everything to `forward`; `options` are lines of its `server` clause.
pub(crate) fn unbound(site: &Site, program: &Path, forward: SocketAddr, probe: &str, options: &str) -> Daemon {
    daemon(program, probe, |address| {
        let (ip, port, directory) = (address.ip(), address.port(), site.path("").display().to_string());
        let text = format!(
            "server:\n interface: {ip}\n port: {port}\n access-control: 127.0.0.0/8 allow\n username: \"\"\n \
             chroot: \"\"\n pidfile: \"\"\n directory: \"{directory}\"\n use-syslog: no\n do-daemonize: no\n \
             num-threads: 1\n do-ip6: no\n do-not-query-localhost: no\n{options}\
             remote-control:\n control-enable: no\nforward-zone:\n name: \".\"\n forward-addr: {}@{}\n",
            forward.ip(),
            forward.port()
        );
        site.write("unbound.conf", &text);
        ["-d", "-p", "-c", site.path("unbound.conf").to_str().unwrap()].map(String::from).to_vec()
    })
}

/// named that forwards everything to `forward`, without validation and without zones of its own.
pub(crate) fn named(site: &Site, program: &Path, forward: SocketAddr, probe: &str) -> Daemon {
    let directory = site.path("named");
    std::fs::create_dir(&directory).unwrap();
    daemon(program, probe, |address| {
        let (ip, port, directory) = (address.ip(), address.port(), directory.display());
        let text = format!(
            "options {{\n directory \"{directory}\";\n pid-file none;\n session-keyfile \"{directory}/session.key\";\n \
             listen-on port {port} {{ {ip}; }};\n listen-on-v6 {{ none; }};\n recursion yes;\n forward only;\n \
             forwarders {{ {} port {}; }};\n dnssec-validation no;\n empty-zones-enable no;\n \
             allow-query {{ 127.0.0.0/8; }};\n}};\ncontrols {{ }};\nlogging {{ category default {{ null; }}; }};\n",
            forward.ip(),
            forward.port()
        );
        site.write("named.conf", &text);
        let config = site.path("named.conf").to_str().unwrap().to_owned();
        ["-f", "-n", "1", "-c", &config].map(String::from).to_vec()
    })
}
