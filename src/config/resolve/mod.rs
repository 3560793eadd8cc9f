//! From what was written to what is meant: every check that needs more than one value, a file per part of the file.
//!
//! A function that finds something wrong reports it and returns `None`, and its caller goes on with the next value, so
//! that one run of `pagar check` shows everything.

mod access;
mod authority;
mod block;
mod cache;
mod dns;
mod exempt;
mod feed;
mod forwarding;
mod guard;
mod identity;
mod ledger;
mod local;
mod operators;
mod process;
mod proxy;
mod pull;
mod resolv_conf;
mod source;
mod standing;
mod tcp;
mod upstream;
mod values;
mod web;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostic::{Diagnostics, Reporter};
use super::spec::{self, Spanned, Spec};
use super::structure::refuse_not_built;
use super::{Config, Environment, Log};
use crate::observe::log::Format;

/// What every check needs.
struct Context<'a, 'text> {
    report: &'a mut Reporter<'text>,
    env: &'a Environment,
    /// The directory of the file.
    base: &'a Path,
}

/// The configuration, or `None` with the reasons in `report`; with a value, too, there may be errors.
pub(super) fn config(spec: Spec, path: &Path, env: &Environment, report: &mut Reporter<'_>) -> Option<Config> {
    let base = path.parent().unwrap_or_else(|| Path::new(""));
    let mut cx = Context { report, env, base };
    // Each is looked at, whatever the others say: no `?` before the last.
    let (authorities, keyring) = authority::all(&spec.authority, &mut cx);
    let web = values::optional(spec.web.as_ref(), |web| web::web(web, &authorities, &mut cx));
    let web_listen = web.as_ref().and_then(|web| web.as_ref().map(|web| web.listen));
    let dns = dns::config(&spec, web_listen, &mut cx);
    let pages = block::pages(&spec.block, &authorities, &mut cx);
    let ledger =
        spec.ledger.path.as_ref().map_or_else(|| Some(base.join("state")), |written| path_of(written, &mut cx));
    let state = ledger.as_deref().unwrap_or(base);
    let sources = source::all(&spec.source, &authorities, &keyring, state, &mut cx);
    let keyring = Arc::new(keyring);
    let feeds = feed::all(&spec.feed, &authorities, &keyring, state, spec.web.is_some(), &mut cx);
    let guard = guard::guard(&spec, &mut cx);
    let sizes = guard::sizes(&spec.guard, &spec.source, cx.report);
    let ledger_key = values::optional(spec.ledger.key_file.as_ref(), |file| ledger::key(file, &mut cx));
    let operators = ledger.as_ref().and_then(|state| operators::operators(&spec.operators, state, &mut cx));
    let log = log(&spec.log, &mut cx);
    let process = process::process(&spec.process, cx.report);
    Some(Config {
        dns: dns?,
        pages: pages?,
        authorities,
        keyring,
        sources,
        feeds,
        guard: guard?,
        sizes: sizes?,
        ledger: ledger?,
        ledger_key: ledger_key?,
        web: web?,
        operators: operators?,
        log: log?,
        process: process?,
        path: path.to_owned(),
        warnings: Diagnostics::default(),
    })
}

fn path_of(written: &Spanned<String>, cx: &mut Context<'_, '_>) -> Option<PathBuf> {
    if written.as_ref().is_empty() {
        cx.report.error(written.span(), "the path is empty").hint("write a path, relative to this file or absolute");
        return None;
    }
    Some(cx.base.join(written.as_ref()))
}

fn log(written: &spec::Log, cx: &mut Context<'_, '_>) -> Option<Log> {
    const FORMATS: [(&str, Format); 3] = [("auto", Format::Auto), ("human", Format::Human), ("json", Format::Json)];
    const LEVELS: [(&str, tracing::Level); 5] = [
        ("error", tracing::Level::ERROR),
        ("warn", tracing::Level::WARN),
        ("info", tracing::Level::INFO),
        ("debug", tracing::Level::DEBUG),
        ("trace", tracing::Level::TRACE),
    ];
    let format = values::word_or(written.format.as_ref(), "log format", &FORMATS, Format::Auto, cx.report);
    let level = values::word_or(written.level.as_ref(), "log level", &LEVELS, tracing::Level::INFO, cx.report);
    Some(Log { format: format?, level: level? })
}
