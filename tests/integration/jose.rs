//! Signed notices on the command line, and with other people's libraries: what jwcrypto (Python) and jose (JavaScript)
//! sign is good for us, what we sign is good for them, and what is changed is good for nobody.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use crate::harness::{Ended, Site, config, notice, pagar, peer, run, skip};

/// A directory for keys and notices, and the program in it.
struct Desk(Site);

impl Desk {
    fn new() -> Self {
        let desk = Self(Site::new(&config(&["127.0.0.1:9".parse().unwrap()])));
        desk.0.write("n.json", &notice(1, "listed.example", "subtree").to_string());
        desk
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path(file)
    }

    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap()
    }

    fn json(&self, file: &str) -> Value {
        serde_json::from_str(&self.text(file)).unwrap()
    }

    /// Runs `pagar` with these words; those that start with `@` are files here.
    fn pagar(&self, words: &str) -> Ended {
        let words: Vec<_> = words
            .split(' ')
            .map(|word| {
                word.strip_prefix('@').map_or_else(|| word.to_owned(), |file| self.path(file).display().to_string())
            })
            .collect();
        pagar(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    #[track_caller]
    fn ends(&self, code: i32, words: &str) -> Ended {
        let ended = self.pagar(words);
        assert_eq!(ended.code, Some(code), "{words}: {ended:?}");
        ended
    }

    /// Makes a key with its name as file name and kid.
    fn key(&self, kid: &str) {
        self.ends(0, &format!("keys generate --out @{kid}.jwk --kid {kid}"));
    }
}

//------ keys ----------------------------------------------------------------------------------------------------------

#[test]
fn a_key_is_made_once_and_its_secret_stays_in_its_file() {
    let desk = Desk::new();
    let made = desk.ends(0, "keys generate --out @a.jwk --kid mcmc-1 --expires 2099-01-01T00:00:00+08:00");
    let mode = |file| fs::metadata(desk.path(file)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("a.jwk"), 0o600);
    let (private, public) = (desk.json("a.jwk"), desk.json("a.pub.jwk"));
    let secret = private["d"].as_str().unwrap();
    assert_eq!((&public["kid"], &public["exp"]), (&json!("mcmc-1"), &json!(4_070_880_000u64)));
    assert!(public.get("d").is_none());
    for file in ["@a.jwk", "@a.pub.jwk"] {
        let shown = desk.ends(0, &format!("keys show {file}"));
        let as_json = desk.ends(0, &format!("keys show --json {file}"));
        for word in ["mcmc-1", "2098-12-31T16:00:00Z", "thumbprint", public["x"].as_str().unwrap()] {
            assert!(shown.out.contains(word), "{word}: {shown:?}");
        }
        assert!(![&shown.out, &as_json.out, &made.out].iter().any(|text| text.contains(secret)));
        let set: Value = serde_json::from_str(&as_json.out).unwrap();
        assert!(made.out.contains(set["keys"][0]["thumbprint"].as_str().unwrap()), "{made:?}");
        desk.0.write("set.jwk", &as_json.out);
        desk.ends(0, "keys show @set.jwk"); // it is a key file
    }
    let again = desk.ends(2, "keys generate --out @a.jwk");
    assert!(again.err.contains("nothing is overwritten"), "{again:?}");
    fs::remove_file(desk.path("a.jwk")).unwrap();
    desk.ends(2, "keys generate --out @a.jwk");
    assert!(!desk.path("a.jwk").exists() && desk.json("a.pub.jwk") == public, "half a key is none");
    desk.ends(2, "keys generate --out @old.jwk --expires 2020-01-01T00:00:00Z");
    desk.ends(2, "keys generate --out @new.jwk --alg RS256");
    desk.ends(4, "keys generate --out @nowhere/new.jwk");
    for bad in ["@n.json", "@gone.jwk"] {
        desk.ends(3, &format!("keys show {bad}"));
    }
}

//------ notices -------------------------------------------------------------------------------------------------------

#[test]
fn two_people_sign_a_notice_and_anybody_verifies_it() {
    let desk = Desk::new();
    desk.key("a");
    desk.key("b");
    let signed = desk.ends(0, "notice sign --key @a.jwk --out @1.jws @n.json");
    assert!(signed.err.contains("N-1, number 1 of mcmc: restrict, scam, block-page, 1 targets"), "{signed:?}");
    desk.ends(0, "notice sign --key @b.jwk --out @2.jws @1.jws");
    desk.ends(0, "notice verify @1.jws --keys @a.pub.jwk");
    let few = desk.ends(1, "notice verify @1.jws --required 2 --keys @a.pub.jwk @b.pub.jwk");
    assert!(few.out.contains("1 of 2 required signers"), "{few:?}");
    let good = desk.ends(0, "notice verify @2.jws --required 2 --keys @a.pub.jwk @b.pub.jwk");
    for word in ["good: signed for mcmc", "a  thumbprint", "b  thumbprint", "1 targets", "sha256"] {
        assert!(good.out.contains(word), "{word}: {good:?}");
    }
    assert!(!good.out.contains("listed.example"));
    let report: Value =
        serde_json::from_str(&desk.ends(0, "notice verify @2.jws --json --keys @a.pub.jwk").out).unwrap();
    assert_eq!((&report["good"], &report["serialisation"]), (&json!(true), &json!("general")));
    assert_eq!((&report["signers"][0]["kid"], &report["notice"]["targets"]), (&json!("a"), &json!(1)));

    let twice = desk.ends(2, "notice sign --key @a.jwk @2.jws");
    assert!(twice.err.contains("has signed it already"), "{twice:?}");
    desk.ends(2, "notice sign --key @b.jwk --compact @1.jws");
    desk.ends(2, "notice sign --key @b.jwk --out @1.jws @n.json");
    desk.ends(2, "notice sign --key @a.pub.jwk @n.json");
    desk.ends(2, "notice verify @1.jws --keys @a.jwk"); // the private half has no business there
}

#[test]
fn the_configuration_says_whose_keys_count() {
    let desk = Desk::new();
    desk.key("a");
    desk.key("b");
    let with = |keys: &str| {
        let text = config(&["127.0.0.1:9".parse().unwrap()]);
        desk.0.write("pagar.toml", &text.replace("id = \"mcmc\"\n", &format!("id = \"mcmc\"\n{keys}\n")));
    };
    desk.ends(0, "notice sign --key @a.jwk --compact --out @n.jws @n.json");
    with("");
    let none = desk.ends(1, "notice verify @n.jws --config @pagar.toml");
    assert!(none.out.contains("has no keys"), "{none:?}");
    with("keys = [\"b.pub.jwk\"]");
    let unknown = desk.ends(1, "notice verify @n.jws --config @pagar.toml");
    assert!(unknown.out.contains("has no key \"a\""), "{unknown:?}");
    with("keys = [\"a.pub.jwk\", \"b.pub.jwk\"]");
    desk.ends(0, "notice verify @n.jws --config @pagar.toml");
    desk.ends(0, "check --config @pagar.toml");
    with("keys = [\"a.pub.jwk\", \"b.pub.jwk\"]\nrequired_signatures = 2");
    let compact = desk.ends(1, "notice verify @n.jws --config @pagar.toml");
    assert!(compact.out.contains("the compact form carries one signature"), "{compact:?}");
    with("keys = [\"a.jwk\"]");
    let private = desk.ends(2, "check --config @pagar.toml");
    for word in ["pagar.toml:", "is private", "only the public half"] {
        assert!(private.err.contains(word), "{word}: {private:?}");
    }
    with("keys = [\"a.pub.jwk\"]\nrequired_signatures = 2");
    assert!(desk.ends(2, "check --config @pagar.toml").err.contains("2 signatures are required"));
}

#[test]
fn what_is_changed_forged_or_unreadable_is_told_apart() {
    let desk = Desk::new();
    desk.key("a");
    desk.ends(0, "notice sign --key @a.jwk --compact --out @n.jws @n.json");
    let whole = desk.text("n.jws");
    let [protected, payload, signature]: [&str; 3] = whole.trim().split('.').collect::<Vec<_>>().try_into().unwrap();
    let encode = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    let other = encode(&desk.text("n.json").replace("listed", "wanted"));
    for (text, code, word) in [
        (whole.clone(), 0, "good"),
        (format!("\n {} \r\n", whole.trim()), 0, "good"),
        (format!("{protected}.{other}.{signature}"), 1, "the signature by key \"a\" is wrong"),
        (format!("{}.{payload}.", encode(r#"{"alg":"none"}"#)), 1, "the algorithm \"none\" is not accepted"),
        (format!("{}.{payload}.{signature}", encode(r#"{"alg":"HS256","kid":"a"}"#)), 1, "\"HS256\""),
        (format!("{}.{payload}.{signature}", encode(r#"{"alg":"EdDSA"}"#)), 1, "names no key"),
        (format!("{protected}.{payload}"), 3, "this is not signed"),
        (format!("{protected}.{payload}=.{signature}"), 3, "base64url"),
        (desk.text("n.json"), 3, "this is not signed"),
        (String::new(), 3, "this is not signed"),
    ] {
        desk.0.write("x.jws", &text);
        let ended = desk.ends(code, "notice verify @x.jws --keys @a.pub.jwk");
        assert!(format!("{}{}", ended.out, ended.err).contains(word), "{word}: {ended:?}");
    }
    desk.ends(3, "notice verify @gone.jws --keys @a.pub.jwk");
    desk.ends(2, "notice verify @n.jws");
    desk.0.write("x.jws", &format!("{protected}.{other}.{signature}"));
    let report: Value =
        serde_json::from_str(&desk.ends(1, "notice verify @x.jws --json --keys @a.pub.jwk").out).unwrap();
    assert_eq!((&report["good"], &report["code"]), (&json!(false), &json!("signature")));
}

#[test]
fn a_key_counts_as_long_as_it_is_valid() {
    let desk = Desk::new();
    desk.ends(0, "keys generate --out @a.jwk --kid a --expires 2099-01-01T00:00:00Z");
    desk.ends(0, "notice sign --key @a.jwk --out @n.jws @n.json");
    desk.ends(0, "notice verify @n.jws --keys @a.pub.jwk");
    let late = desk.ends(1, "notice verify @n.jws --at 2099-01-01T00:00:00Z --keys @a.pub.jwk");
    assert!(late.out.contains("the key \"a\" expired at 2099-01-01T00:00:00Z"), "{late:?}");
    let mut private = desk.json("a.jwk");
    private["revoked"] = json!({ "revoked_at": 1 });
    desk.0.write("a.jwk", &private.to_string());
    assert!(desk.ends(2, "notice sign --key @a.jwk @n.json").err.contains("was revoked at"));
}

#[test]
fn lint_reads_bare_and_signed_notices() {
    let desk = Desk::new();
    desk.key("a");
    desk.ends(0, "notice sign --key @a.jwk --out @n.jws @n.json");
    let fine = desk.ends(0, "notice lint @n.json @n.jws");
    assert_eq!(fine.out.matches("in order").count(), 2, "{fine:?}");
    desk.0.write("bad.json", &notice(2, "http://listed.example/path", "exact").to_string());
    let bad = desk.ends(3, "notice lint @n.json @bad.json @gone.json");
    assert!(bad.out.contains("bad.json:1:") && bad.err.contains("2 of 3"), "{bad:?}");
    let refused = desk.ends(3, "notice sign --key @a.jwk @bad.json");
    assert!(refused.out.is_empty() && refused.err.contains("correct it first"), "{refused:?}");
    desk.0.write("x.jws", "{\"payload\": \"\", \"signatures\": []}");
    let report: Value = serde_json::from_str(&desk.ends(3, "notice lint --json @x.jws").out).unwrap();
    assert_eq!(report[0]["problems"][0]["code"], json!("no-signature"));
}

#[test]
fn a_secret_target_is_printed_by_no_command() {
    let desk = Desk::new();
    desk.key("a");
    let mut secret = notice(1, "zqxj.example", "subtree");
    secret["sensitivity"] = json!("secret");
    desk.0.write("n.json", &secret.to_string());
    let mut outputs = vec![desk.ends(0, "notice lint @n.json")];
    outputs.push(desk.ends(0, "notice sign --key @a.jwk --out @n.jws @n.json"));
    outputs.push(desk.ends(0, "notice verify @n.jws --keys @a.pub.jwk"));
    outputs.push(desk.ends(0, "notice verify @n.jws --json --keys @a.pub.jwk"));
    secret["targets"][0]["name"] = json!("https://zqxj.example/");
    desk.0.write("bad.json", &secret.to_string());
    outputs.push(desk.ends(3, "notice lint @bad.json"));
    for ended in outputs {
        assert!(!format!("{ended:?}").contains("zqxj"), "{ended:?}");
    }
}

//------ other people's libraries --------------------------------------------------------------------------------------

/// The interpreter that can do what `probe` needs, by its first name or Debian's own.
pub(crate) fn interpreter(program: &str, probe: [&str; 2], package: &str) -> Option<PathBuf> {
    let candidates = [peer(program)?, Path::new("/usr/bin").join(program)];
    let has = |program: &PathBuf| run(script_by(program).args(probe)).code == Some(0);
    let found = candidates.into_iter().find(has);
    if found.is_none() {
        let required = std::env::var_os("PAGAR_PEERS").is_some_and(|value| value == "required");
        assert!(!required, "{package} is missing, and PAGAR_PEERS=required");
        skip(&format!("needs {package}"));
    }
    found
}

/// An interpreter with the place where Debian puts libraries, for a node that is not Debian's; another one may be given,
/// to try another release.
pub(crate) fn script_by(program: &Path) -> Command {
    let mut command = Command::new(program);
    if std::env::var_os("NODE_PATH").is_none() {
        command.env("NODE_PATH", "/usr/share/nodejs");
    }
    command
}

/// A script that makes, signs and verifies with a library.
struct Library {
    program: PathBuf,
    script: &'static str,
}

impl Library {
    /// jwcrypto, of whichever Python has it.
    fn python() -> Option<Self> {
        Self::find(["-c", "import jwcrypto"], "peer.py", "python3", "python3-jwcrypto")
    }

    /// jose by Filip Skokan, which Debian calls node-jose.
    fn javascript() -> Option<Self> {
        Self::find(["-e", "require('jose')"], "peer.js", "node", "node-jose")
    }

    fn find(probe: [&str; 2], script: &'static str, program: &str, package: &str) -> Option<Self> {
        Some(Self { program: interpreter(program, probe, package)?, script })
    }

    /// Runs the script with these words; those that start with `@` are files of the desk.
    #[track_caller]
    fn run(&self, desk: &Desk, words: &str) -> Ended {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/jose").join(self.script);
        let mut command = script_by(&self.program);
        command.arg(script);
        for word in words.split(' ') {
            match word.strip_prefix('@') {
                Some(file) => command.arg(desk.path(file)),
                None => command.arg(word),
            };
        }
        run(&mut command)
    }

    #[track_caller]
    fn does(&self, desk: &Desk, words: &str) -> String {
        let ended = self.run(desk, words);
        assert_eq!(ended.code, Some(0), "{words}: {ended:?}");
        ended.out
    }
}

/// What the library signs with its keys is good here, in every serialisation.
fn theirs_is_good_for_us(library: &Library) {
    let desk = Desk::new();
    for kid in ["t1", "t2"] {
        library.does(&desk, &format!("generate @{kid}.jwk @{kid}.pub.jwk {kid}"));
    }
    for form in ["compact", "flattened"] {
        library.does(&desk, &format!("sign {form} @n.json @{form}.jws @t1.jwk"));
        let good = desk.ends(0, &format!("notice verify @{form}.jws --json --keys @t1.pub.jwk"));
        let report: Value = serde_json::from_str(&good.out).unwrap();
        assert_eq!((&report["serialisation"], &report["signers"][0]["kid"]), (&json!(form), &json!("t1")));
        desk.ends(1, &format!("notice verify @{form}.jws --keys @t2.pub.jwk"));
    }
    library.does(&desk, "sign general @n.json @general.jws @t1.jwk @t2.jwk");
    desk.ends(0, "notice verify @general.jws --required 2 --keys @t1.pub.jwk @t2.pub.jwk");
    // each of them, changed
    for form in ["compact", "flattened", "general"] {
        let text = desk.text(&format!("{form}.jws"));
        let payload = BASE64URL_NOPAD.encode(desk.text("n.json").as_bytes());
        let other = BASE64URL_NOPAD.encode(desk.text("n.json").replace("listed", "wanted").as_bytes());
        assert!(text.contains(&payload), "{form}: the payload is what was signed, octet by octet");
        desk.0.write("changed.jws", &text.replace(&payload, &other));
        let ended = desk.ends(1, "notice verify @changed.jws --keys @t1.pub.jwk @t2.pub.jwk");
        assert!(ended.out.contains("is wrong"), "{form}: {ended:?}");
    }
    // their keys, our signature
    desk.ends(0, "notice sign --key @t1.jwk --out @ours.jws @n.json");
    assert_eq!(library.does(&desk, "verify @ours.jws @t1.pub.jwk"), desk.text("n.json"));
}

/// What we sign with our keys is good there, in every serialisation.
fn ours_is_good_for_them(library: &Library) {
    let desk = Desk::new();
    desk.key("a");
    desk.key("b");
    desk.ends(0, "notice sign --key @a.jwk --compact --out @compact.jws @n.json");
    desk.ends(0, "notice sign --key @a.jwk --out @general.jws @n.json");
    desk.ends(0, "notice sign --key @b.jwk --out @both.jws @general.jws");
    let general = desk.json("general.jws");
    let signature = &general["signatures"][0];
    let flattened = json!({
        "payload": general["payload"],
        "protected": signature["protected"],
        "signature": signature["signature"],
    });
    desk.0.write("flattened.jws", &flattened.to_string());
    for form in ["compact", "flattened", "general", "both"] {
        assert_eq!(library.does(&desk, &format!("verify @{form}.jws @a.pub.jwk")), desk.text("n.json"), "{form}");
    }
    library.does(&desk, "verify @both.jws @b.pub.jwk");
    for form in ["compact", "flattened", "general"] {
        assert_eq!(library.run(&desk, &format!("verify @{form}.jws @b.pub.jwk")).code, Some(1), "{form}");
    }
    // our keys, their signature
    library.does(&desk, "sign compact @n.json @theirs.jws @a.jwk");
    desk.ends(0, "notice verify @theirs.jws --keys @a.pub.jwk");
}

#[test]
fn what_jwcrypto_signs_is_good_for_us() {
    Library::python().iter().for_each(theirs_is_good_for_us);
}

#[test]
fn what_we_sign_is_good_for_jwcrypto() {
    Library::python().iter().for_each(ours_is_good_for_them);
}

#[test]
fn what_jose_signs_is_good_for_us() {
    Library::javascript().iter().for_each(theirs_is_good_for_us);
}

#[test]
fn what_we_sign_is_good_for_jose() {
    Library::javascript().iter().for_each(ours_is_good_for_them);
}
