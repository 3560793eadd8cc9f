//! Regulators' own programs, in languages they may have, against a live node: `regulators/regulator.py` by requests and
//! jwcrypto, over TLS with a certificate it pins, and `regulators/regulator.mjs` by Node's fetch and jose. Both know the
//! HTTP interface and nothing else of ours. They order, change, rest and lift; they read receipts and verify the node's
//! signature with their own library.
//!
//! A program prints a line for each step and waits; meanwhile the test asks the node's DNS whether it is so.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use crate::harness::{LIMIT, Pagar, Reaped, Site, peer};
use crate::jose::{interpreter, script_by};
use crate::signed::{TRUE, is_blocked, signed_config};
use crate::upstream::Scripted;
use crate::web_access::{api, certificate, client};

/// The names that the programs list at one time or another.
const NAMES: [&str; 4] = ["www.one.example", "two.example", "three.example", "four.example"];

/// What they say, and which of [`NAMES`] are blocked then.
const STEPS: [(&str, [bool; 4]); 10] = [
    ("restrict 201 /v1/notices/N-1?authority=mcmc enforced", [true, true, false, false]),
    ("again 200 enforced", [true, true, false, false]),
    ("amend 201 enforced amended", [true, false, true, false]),
    ("suspend 201 carried-out suspended", [false, false, false, false]),
    ("resume 201 carried-out enforced", [true, false, true, false]),
    ("part 201 carried-out 1:revoked,2:enforced", [false, false, true, false]),
    ("revoke 201 carried-out revoked", [false, false, false, false]),
    ("reused 409 application/problem+json urn:pagar:problem:sequence refused", [false, false, false, false]),
    ("forged refused", [false, false, false, false]),
    ("spreadsheet text/csv true", [false, false, false, false]),
];

/// A program that runs beside the test; it ends with the value.
struct Program {
    _child: Reaped,
    lines: Receiver<String>,
    stdin: ChildStdin,
}

impl Program {
    fn start(command: &mut Command) -> Self {
        let mut child = Reaped(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
        let (sender, lines) = channel();
        let stdout = child.0.stdout.take().unwrap();
        std::thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
        });
        let stdin = child.0.stdin.take().unwrap();
        Self { _child: child, lines, stdin }
    }

    /// The next line it prints; what keeps it from that is on standard error.
    #[track_caller]
    fn says(&self) -> String {
        self.lines.recv_timeout(LIMIT).expect("the program says nothing more")
    }

    /// Lets it go on.
    fn tell(&mut self, word: &str) {
        writeln!(self.stdin, "{word}").unwrap();
    }
}

/// A site for one regulator, whose public key comes from its program.
struct Office {
    site: Site,
    _upstream: Scripted,
}

impl Office {
    /// `web` goes into `[web]`.
    fn new(web: &str) -> Self {
        let upstream = Scripted::with_address(TRUE);
        let clients = client("gateway", "authority", "authority = \"mcmc\"\n");
        let config = signed_config(upstream.address, 1).replace("keys = [\"keys/isp.jwk\"]\n", "");
        let site = Site::new(&(config + web + &clients));
        std::fs::create_dir(site.path("keys")).unwrap();
        Self { site, _upstream: upstream }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.site.path(file)
    }

    /// What every program is told: where its public key goes, where the node's will be, its token.
    fn command(&self, interpreter: &Path, script: &str) -> Command {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/regulators");
        let mut command = script_by(interpreter);
        command.arg(scripts.join(script)).arg(self.path("keys/mcmc.jwk")).arg(self.path("state/node.pub.jwk"));
        command.arg("gateway-token");
        command
    }

    /// The program makes its key, the node starts with it, and every step is seen in answers to queries.
    fn follows(&self, command: &mut Command, url: impl Fn(&Pagar) -> String) {
        let mut program = Program::start(command);
        assert_eq!(program.says(), "key");
        let pagar = self.site.start();
        program.tell(&url(&pagar));
        for (expected, blocked) in STEPS {
            assert_eq!(program.says(), expected);
            assert_eq!(NAMES.map(|name| is_blocked(&pagar, name)), blocked, "{expected}");
            program.tell("");
        }
        let log = pagar.log();
        assert!(log.contains("client=\"gateway\"") && !log.contains("gateway-token"), "{log}");
    }
}

#[test]
fn a_regulator_in_python_is_served_over_tls() {
    let python = interpreter("python3", ["-c", "import jwcrypto, requests"], "python3-jwcrypto, python3-requests");
    let (Some(python), Some(openssl)) = (python, peer("openssl")) else { return };
    let office = Office::new("tls = { certificate = \"server.pem\", key = \"server.key\" }\n");
    certificate(&office.site, &openssl, "server");
    let mut command = office.command(&python, "regulator.py");
    office.follows(command.arg(office.path("server.pem")), |pagar| format!("https://{}", api(pagar, "https")));
}

#[test]
fn a_regulator_in_javascript_is_served() {
    let Some(node) = interpreter("node", ["-e", "require('jose'), fetch"], "node-jose and Node 18") else { return };
    let office = Office::new("");
    office.follows(&mut office.command(&node, "regulator.mjs"), Pagar::url);
}
