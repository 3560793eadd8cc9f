//! [`compile_once`]: the policy of a configuration, compiled and published nowhere: for `pagar check` and `pagar why`.

use jiff::Timestamp;

use super::state::State;
use super::task::Config;
use crate::ingest::{Loader, Mode, Problem, Update};
use crate::policy::{Slots, Snapshot};

/// Reads all sources once and resolves the policy for an instant; the updates hold what is wrong with the sources.
pub fn compile_once(config: &Config, at: Timestamp) -> (Snapshot, Vec<Update>) {
    let mut state = State::default();
    let _ = state.configure(config.authorities.clone(), config.order()); // nothing is known yet
    let mut updates = Vec::new();
    for source in &config.sources {
        let mut update = Loader::new(source.clone()).guarded(config.guard.clone()).scan(at, Mode::Now);
        let put = std::mem::take(&mut update.put);
        let documents = put.into_iter().map(|(key, document)| ((source.name.clone(), key), document)).collect();
        let refused = state.put(documents);
        update
            .problems
            .extend(refused.into_iter().map(|((_, key), problem)| Problem { file: source.file(&key), ..problem }));
        updates.push(update);
    }
    let _ = state.compile(&config.pages, |_| Slots::default(), at); // too many names: none of them
    (state.register().snapshot(config.pages.ttl, 1), updates)
}
