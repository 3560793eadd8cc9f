//! `[[source]]`: where notices come from.

use std::path::{Component, Path, PathBuf};

use super::{Context, path_of, pull, standing, values};
use crate::config::spec::{self, Spanned};
use crate::ingest::{Kind, ListFormat, Source};
use crate::model::{Authority, Notice};
use crate::verify::keyring::Keyring;

/// Every source that could be resolved, in the order of the file.
pub(super) fn all(
    written: &[spec::Source],
    authorities: &[Authority],
    keyring: &Keyring,
    state: &Path,
    cx: &mut Context<'_, '_>,
) -> Vec<Source> {
    let mut all: Vec<Source> = Vec::with_capacity(written.len());
    for (order, one) in (0..).zip(written) {
        let kind = match one {
            spec::Source::Directory(source) => directory(source, cx),
            spec::Source::List(source) => list(source, authorities, cx),
            spec::Source::Pull(source) => pull::feed(source, authorities, keyring, state, cx),
        };
        let Some(kind) = kind else { continue };
        let source = Source { name: one.path().as_ref().clone(), order, kind };
        unique(&source, one, &all, cx);
        all.push(source);
    }
    all
}

fn directory(written: &Spanned<spec::Directory>, cx: &mut Context<'_, '_>) -> Option<Kind> {
    let allow_unsigned = written.as_ref().allow_unsigned.as_ref().is_some_and(|allowed| *allowed.as_ref());
    Some(Kind::Directory { path: path_of(&written.as_ref().path, cx)?, allow_unsigned })
}

fn list(written: &spec::List, authorities: &[Authority], cx: &mut Context<'_, '_>) -> Option<Kind> {
    let path = path_of(&written.path, cx);
    let format = format(&written.format, cx);
    let order = standing::notice(&written.notice, authorities, cx.report);
    let (notice, scope) = order?;
    Some(Kind::List { path: path?, format: format?, notice: Box::new(notice), scope })
}

fn format(written: &Spanned<String>, cx: &mut Context<'_, '_>) -> Option<ListFormat> {
    const FORMATS: [(&str, ListFormat); 2] = [("hosts", ListFormat::Hosts), ("domains", ListFormat::Domains)];
    if let later @ ("adblock" | "dnsmasq" | "csv") = written.as_ref().as_str() {
        super::refuse_not_built(cx.report, written.span(), &format!("list format {later:?}"));
        return None;
    }
    values::word(written, "list format", &FORMATS, cx.report)
}

/// One file under two sources would be counted, lifted and reported twice; of two lists under one notice each would be
/// taken for the other.
fn unique(source: &Source, written: &spec::Source, others: &[Source], cx: &mut Context<'_, '_>) {
    let path = written.path();
    if others.iter().any(|other| plain(file(other)) == plain(file(source))) {
        cx.report.error(path.span(), format!("{:?} is a source already", path.as_ref())).hint("remove one of the two");
    }
    if let (Some(notice), spec::Source::List(list)) = (standing_of(source), written) {
        let same = |other: &Notice| other.id == notice.id && other.authority == notice.authority;
        if others.iter().filter_map(standing_of).any(same) {
            cx.report
                .error(
                    list.notice.id.span(),
                    format!("notice \"{}\" of \"{}\" has a list already", notice.id, notice.authority),
                )
                .hint("give every list its own notice id");
        }
    }
}

fn standing_of(source: &Source) -> Option<&Notice> {
    match &source.kind {
        Kind::List { notice, .. } => Some(notice),
        Kind::Directory { .. } | Kind::Pull(_) => None,
    }
}

fn file(source: &Source) -> &Path {
    match &source.kind {
        Kind::Directory { path, .. } | Kind::List { path, .. } => path,
        Kind::Pull(feed) => &feed.memory,
    }
}

/// The path without `.`, for comparing; links are not followed, the file may not be there yet.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}
