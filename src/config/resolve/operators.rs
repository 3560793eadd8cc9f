//! `[operators]`: the socket on which persons lift and approve, and the group that may use it.

use std::path::Path;

use super::{Context, path_of, values};
use crate::config::Operators;
use crate::config::spec::{self, Spanned};
use crate::control::command::SOCKET;

pub(super) fn operators(written: &spec::Operators, state: &Path, cx: &mut Context<'_, '_>) -> Option<Operators> {
    let socket = written.socket.as_ref().map_or_else(|| Some(state.join(SOCKET)), |socket| path_of(socket, cx));
    let group = values::optional(written.group.as_ref(), |group| group_of(group, cx));
    Some(Operators { socket: socket?, group: group? })
}

/// A group's number. Groups of other directories than the file are written as numbers: asking for them is not for a
/// program that answers queries.
fn group_of(written: &Spanned<String>, cx: &mut Context<'_, '_>) -> Option<u32> {
    let name = written.as_ref().as_str();
    if let Ok(number) = name.parse() {
        return Some(number);
    }
    let groups = (cx.env.read_groups)().unwrap_or_default();
    let found = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        fields.next().filter(|found| *found == name)?;
        fields.nth(1)?.parse().ok()
    });
    if found.is_none() {
        cx.report
            .error(written.span(), format!("there is no group {name:?} on this machine"))
            .hint("make it with: groupadd -r pagar-ops, or write its number if /etc/group does not have it");
    }
    found
}
