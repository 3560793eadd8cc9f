//! Queries that a candidate would have blocked: [`Core::foresee`] counts them and changes no answer.
//!
//! What is looked at is the name asked, as [`decide`](super::decide) would; names that an answer leads to are not. So the
//! count is what the candidate would block at least.

use crate::policy::Preview;

use super::core::{Asker, Core, View};
use super::decide::consider;
use super::query::Query;
use super::wire::IN;

impl Core {
    /// Counts a query of a client we serve if the candidate lists its name, the policy in force does not, and the client
    /// is not exempt.
    #[cold]
    pub(super) fn foresee(&self, query: &Query, preview: &Preview, from: &Asker, view: &View) {
        if query.qclass != IN {
            return;
        }
        let Some(number) = preview.find(query.name(), consider(query.qtype)) else { return };
        let is_blocked = view.policy.decide(query.name(), consider(query.qtype)).is_some();
        if !is_blocked && !self.access.is_exempt(from.client, view) {
            preview.count(number);
        }
    }
}
