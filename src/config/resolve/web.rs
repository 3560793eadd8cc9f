//! `[web]`: where the API is served, and `[[web.client]]`: who may call it.
//!
//! Whoever reads the file must see from it who can reach what. So there are no listeners beyond this machine where nobody
//! is asked who he is, no two clients by one credential, and no client with two.

use std::net::SocketAddr;

use super::{Context, authority, path_of, values};
use crate::config::Web;
use crate::config::diagnostic::Reporter;
use crate::config::spec::{self, Spanned};
use crate::model::{Authority, AuthorityId, Caller, Client, Credential, Role};
use crate::tls::{Files, TlsError};

const ROLES: [(&str, Role); 3] = [
    (Role::Viewer.as_str(), Role::Viewer),
    (Role::Authority.as_str(), Role::Authority),
    (Role::Operator.as_str(), Role::Operator),
];

/// Digests of what people hash by mistake: nothing, and a line break alone.
const OF_NOTHING: [&str; 2] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b",
];

const TOKEN_HINT: &str =
    "make a token with: openssl rand -hex 32, and its digest with: printf %s \"$TOKEN\" | sha256sum";

const CERTIFICATE_HINT: &str = "openssl x509 -in client.pem -noout -fingerprint -sha256 prints it, with colons";

pub(super) fn web(written: &spec::Web, authorities: &[Authority], cx: &mut Context<'_, '_>) -> Option<Web> {
    // each is looked at, whatever the others say
    let tls = values::optional(written.tls.as_ref(), |tls| files(tls, cx));
    let clients = clients(written, authorities, cx.report);
    let listen = listen(written, cx.report);
    Some(Web { listen: listen?, clients, tls: tls? })
}

/// An address that others reach is for callers who say who they are, and whom nobody overhears.
fn listen(written: &spec::Web, report: &mut Reporter<'_>) -> Option<SocketAddr> {
    let address = values::socket_address(&written.listen, 8053, report)?;
    let missing = match (written.client.is_empty(), &written.tls) {
        _ if address.ip().to_canonical().is_loopback() => return Some(address),
        (false, Some(_)) => return Some(address),
        (true, _) => ("without asking who calls", "[[web.client]]"),
        (false, None) => ("without TLS, for all to read along", "[web.tls]"),
    };
    report.error(written.listen.span(), format!("[web] would answer on {address} {}", missing.0)).hint(format!(
        "add {}, or listen on loopback: \"127.0.0.1:{}\"",
        missing.1,
        address.port()
    ));
    None
}

/// The certificate is read here, so that one that cannot be served is found before anything is served.
fn files(written: &spec::WebTls, cx: &mut Context<'_, '_>) -> Option<Files> {
    let (certificate, key) = (path_of(&written.certificate, cx), path_of(&written.key, cx));
    let files = Files { certificate: certificate?, key: key? };
    match (cx.env.read_certificate)(&files) {
        Ok(expires) => {
            if expires < cx.env.now {
                cx.report
                    .warning(written.certificate.span(), format!("the certificate has ended, {expires}"))
                    .hint("clients will not believe it; a renewed one is served as soon as its file is there");
            }
            Some(files)
        }
        Err(error) => {
            let of_key = matches!(&error, TlsError::Unreadable { path, .. } | TlsError::Exposed { path, .. }
                | TlsError::NoPem { path, .. } if *path == files.key);
            let place = if of_key { written.key.span() } else { written.certificate.span() };
            cx.report.error(place, format!("[web] cannot be served with TLS: {error}")).hint(
                "the chain in PEM, our certificate first, and its key in PEM, readable for the server's group only",
            );
            None
        }
    }
}

/// Every client that can be told apart from the others.
fn clients(web: &spec::Web, authorities: &[Authority], report: &mut Reporter<'_>) -> Vec<Client> {
    let mut all: Vec<Client> = Vec::with_capacity(web.client.len());
    for one in &web.client {
        let Some(client) = client(one, web.tls.is_some(), authorities, report) else { continue };
        let name = &client.caller.name;
        if all.iter().any(|known| known.caller.name == *name) {
            report
                .error(one.as_ref().name.span(), format!("client {name:?} is configured twice"))
                .hint("give it another name: the ledger and the log know clients by theirs");
        } else if let Some(other) = all.iter().find(|known| known.credential == client.credential) {
            report
                .error(one.span(), format!("{name:?} has the credential of {:?}", other.caller.name))
                .hint("give each client its own: nobody could say which of them has called");
        } else {
            all.push(client);
        }
    }
    all
}

fn client(
    written: &Spanned<spec::WebClient>,
    has_tls: bool,
    authorities: &[Authority],
    report: &mut Reporter<'_>,
) -> Option<Client> {
    let place = written.span();
    let written = written.as_ref();
    // each is looked at, whatever the others say
    let name = name(&written.name, report);
    let role = values::word(&written.role, "role", &ROLES, report);
    let authority = role.map(|role| authority_of(role, written, authorities, report));
    let credential = match (&written.token_sha256, &written.certificate_sha256) {
        (Some(token), None) => digest(token, "token_sha256", TOKEN_HINT, report).map(Credential::Token),
        (None, Some(certificate)) => certificate_digest(certificate, has_tls, report).map(Credential::Certificate),
        (None, None) => {
            report
                .error(place, format!("client {:?} has no credential", written.name.as_ref()))
                .hint("write token_sha256 = \"…\", or certificate_sha256 = \"…\" with [web.tls]");
            None
        }
        (Some(_), Some(second)) => {
            report
                .error(second.span(), format!("client {:?} has two credentials", written.name.as_ref()))
                .hint("write one of token_sha256 and certificate_sha256, or two clients with names of their own");
            None
        }
    };
    let caller = Caller {
        name: name?.to_owned(),
        role: role?,
        authority: authority??,
        secret: written.secret.unwrap_or_default(),
        is_known: true,
    };
    Some(Client { caller, credential: credential? })
}

/// A name that no log line takes for somebody without one.
fn name<'a>(written: &'a Spanned<String>, report: &mut Reporter<'_>) -> Option<&'a str> {
    let name = values::short_name(written, "the name of a client", report)?;
    if name == Caller::local().name {
        report
            .error(written.span(), format!("{name:?} is what a caller without a credential is called"))
            .hint("give the client another name");
        return None;
    }
    Some(name)
}

/// Whose orders it sends; the outer `None` is a mistake.
fn authority_of(
    role: Role,
    written: &spec::WebClient,
    authorities: &[Authority],
    report: &mut Reporter<'_>,
) -> Option<Option<AuthorityId>> {
    match (role, &written.authority) {
        (Role::Authority, Some(id)) => authority::find(id, authorities, report).map(|found| Some(found.id.clone())),
        (Role::Viewer | Role::Operator, None) => Some(None),
        (Role::Authority, None) => {
            report
                .error(written.role.span(), format!("client {:?} is of no authority", written.name.as_ref()))
                .hint("write authority = \"…\", the id of an [[authority]]");
            None
        }
        (Role::Viewer | Role::Operator, Some(id)) => {
            report
                .error(id.span(), format!("authority means nothing with role = {:?}", role.as_str()))
                .hint("remove it, or write role = \"authority\": a client that sends its orders and reads its own");
            None
        }
    }
}

fn certificate_digest(written: &Spanned<String>, has_tls: bool, report: &mut Reporter<'_>) -> Option<[u8; 32]> {
    if !has_tls {
        report
            .error(written.span(), "certificate_sha256 needs [web.tls]: certificates are shown within TLS only")
            .hint("add [web.tls] with certificate and key, or write token_sha256");
        return None;
    }
    digest(written, "certificate_sha256", CERTIFICATE_HINT, report)
}

/// 32 octets in hexadecimal, with colons or without, as tools print them.
fn digest(written: &Spanned<String>, key: &str, hint: &str, report: &mut Reporter<'_>) -> Option<[u8; 32]> {
    let text = written.as_ref().replace(':', "").to_ascii_lowercase();
    if OF_NOTHING.contains(&text.as_str()) {
        report.error(written.span(), format!("{key} is the digest of nothing, or of an empty line")).hint(hint);
        return None;
    }
    let octets = data_encoding::HEXLOWER.decode(text.as_bytes()).ok();
    let digest = octets.and_then(|octets| octets.try_into().ok());
    if digest.is_none() {
        report.error(written.span(), format!("{key} is not a SHA-256: 64 hexadecimal digits")).hint(hint);
    }
    digest
}
