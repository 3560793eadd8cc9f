//! [`compile_once`]: the policy of a configuration, compiled and published nowhere: for `pagar check` and `pagar why`.

use jiff::Timestamp;

use super::docket::{Bench, Signed, Way, offline};
use super::state::State;
use super::task::Config;
use crate::ingest::{Loader, Mode, Problem, Update};
use crate::policy::{Slots, Snapshot};

/// Reads all sources once, signed notices as if they came now, and resolves the policy for an instant; the updates hold what is wrong with the sources.
pub fn compile_once(config: &Config, at: Timestamp) -> (Snapshot, Vec<Update>) {
    let mut state = State::default();
    let _ = state.configure(config.authorities.clone(), config.order()); // nothing is known yet
    let (mut updates, mut signed) = (Vec::new(), Vec::new());
    for source in &config.sources {
        let mut update = Loader::new(source.clone()).guarded(config.guard.clone()).scan(at, Mode::Now);
        let put = std::mem::take(&mut update.put);
        let documents = put.into_iter().map(|(key, document)| ((source.name.clone(), key), document)).collect();
        let refused = state.put(documents);
        update
            .problems
            .extend(refused.into_iter().map(|((_, key), problem)| Problem { file: source.file(&key), ..problem }));
        let files = std::mem::take(&mut update.signed).into_iter();
        signed.extend(files.map(|(key, octets)| Signed {
            source: source.name.clone(),
            file: source.file(&key),
            octets,
            received_at: at,
            way: Way::File,
            again: false,
        }));
        updates.push(update);
    }
    let bench = Bench {
        keyring: &config.keyring,
        authorities: &config.authorities,
        guard: &config.guard,
        has_key: config.key.is_some(),
        is_taken: &|order| state.is_taken(order),
    };
    let (documents, problems) = offline(signed, &bench, at);
    let _ = state.put(documents); // judged already
    for (source, problem) in problems {
        updates
            .iter_mut()
            .filter(|update| update.source == source)
            .for_each(|update| update.problems.push(problem.clone()));
    }
    let _ = state.compile(&config.pages, |_| Slots::default(), at); // too many names: none of them
    (state.register().snapshot(config.pages.ttl, 1), updates)
}
