//! What was probably meant: the nearest of the words that are allowed.

/// The candidate nearest to `word`, if it is near enough to be a slip of the hand: one edit in three letters, a swap of
/// two neighbours counting as one.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `did you mean "listen"?`, or the whole choice where nothing is near.
pub(super) fn hint<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(word, candidates.clone()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("known here: {}", candidates.into_iter().collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_words_are_suggested() {
        let keys = ["listen", "workers", "allow", "dns", "id"];
        for (word, near) in [
            ("lisen", Some("listen")),
            ("LISTEN", Some("listen")),
            ("wrokers", Some("workers")),
            ("dsn", Some("dns")),
            ("xy", None),
            ("", None),
            ("upstreams", None),
        ] {
            assert_eq!(nearest(word, keys), near, "{word}");
        }
    }

    #[test]
    fn where_nothing_is_near_the_choice_is_listed() {
        assert_eq!(hint("zzzzz", ["a", "b"]), "known here: a, b");
    }
}
