//! [`judge`]: whether a new version of a list is so much shorter or longer than what is in force that a person should look
//! at it first.
//!
//! A list that loses half its names is more likely cut off than reviewed, and one that doubles may hold somebody else's
//! names. What is in force stays meanwhile.

use std::collections::BTreeMap;

/// What a list may do unseen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SizeRule {
    /// The least part of the names in force that a new version must have, 0 to 1; 0 lets any part go.
    pub shrink: f64,
    /// How many times the names in force a new version may have, 1 or more; infinity lets it grow as it likes.
    pub grow: f64,
    /// Names in force from which on it is judged: of a few names half is soon gone. One that becomes empty always is.
    pub from: u64,
}

impl SizeRule {
    /// Half and twice, from a hundred names on.
    pub const DEFAULT: Self = Self { shrink: 0.5, grow: 2.0, from: 100 };
}

impl Default for SizeRule {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The rules of all lists.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SizeRules {
    /// For lists that have none of their own.
    pub default: SizeRule,
    /// By the name of the source; `None` is never held.
    pub by_source: BTreeMap<String, Option<SizeRule>>,
}

impl SizeRules {
    /// The rule for a source; `None` if it is never held.
    pub fn of(&self, source: &str) -> Option<&SizeRule> {
        self.by_source.get(source).map_or(Some(&self.default), Option::as_ref)
    }

    /// Whether a new version of this source's list is held.
    pub fn judge(&self, source: &str, before: u64, after: u64) -> Option<Hold> {
        judge(before, after, self.of(source)?)
    }
}

/// A new version of a list waits for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the list has {after} names, {before} are in force: {}", .change.words())]
pub struct Hold {
    /// What is odd about it.
    pub change: Change,
    /// Names in force.
    pub before: u64,
    /// Names of the new version.
    pub after: u64,
}

impl Hold {
    /// The stable word for it: `shrunk`, `grown` or `emptied`.
    pub const fn code(&self) -> &'static str {
        self.change.as_str()
    }
}

/// How a list has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// It has too few names.
    Shrunk,
    /// It has too many.
    Grown,
    /// It has none.
    Emptied,
}

impl Change {
    /// Every change.
    pub const ALL: [Self; 3] = [Self::Shrunk, Self::Grown, Self::Emptied];

    /// The stable word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shrunk => "shrunk",
            Self::Grown => "grown",
            Self::Emptied => "emptied",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Shrunk => "it has shrunk more than it may unseen",
            Self::Grown => "it has grown more than it may unseen",
            Self::Emptied => "it has been emptied",
        }
    }
}

/// Whether a list with `before` names in force is held when its new version has `after`. The first version of a list
/// never is.
pub fn judge(before: u64, after: u64, rule: &SizeRule) -> Option<Hold> {
    let hold = |change| Some(Hold { change, before, after });
    if before == 0 {
        return None;
    }
    if after == 0 {
        return hold(Change::Emptied);
    }
    if before < rule.from {
        return None;
    }
    let (was, is) = (before as f64, after as f64);
    if is < rule.shrink * was {
        hold(Change::Shrunk)
    } else if is > rule.grow * was {
        hold(Change::Grown)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(before: u64, after: u64) -> Option<&'static str> {
        judge(before, after, &SizeRule::DEFAULT).map(|hold| hold.code())
    }

    #[test]
    fn half_and_twice_are_the_last_that_pass() {
        for (before, after, held) in [
            (1_000, 500, None),
            (1_000, 499, Some("shrunk")),
            (1_001, 501, None),
            (1_001, 500, Some("shrunk")),
            (1_000, 2_000, None),
            (1_000, 2_001, Some("grown")),
            (1_000, 1_000, None),
            (100, 49, Some("shrunk")),
            (100, 201, Some("grown")),
            (99, 1, None),
            (99, 1_000_000, None),
            (99, 0, Some("emptied")),
            (1, 0, Some("emptied")),
            (1_000, 0, Some("emptied")),
            (0, 0, None),
            (0, 1_000_000, None),
        ] {
            assert_eq!(code(before, after), held, "{before} to {after}");
        }
    }

    #[test]
    fn the_ends_of_a_rule_switch_a_side_off() {
        let rule = SizeRule { shrink: 0.0, grow: f64::INFINITY, from: 0 };
        assert_eq!(judge(1_000_000, 1, &rule), None);
        assert_eq!(judge(1, u64::MAX, &rule), None);
        assert_eq!(judge(1, 0, &rule).unwrap().change, Change::Emptied);
        let strict = SizeRule { shrink: 1.0, grow: 1.0, from: 0 };
        assert_eq!(judge(7, 6, &strict).unwrap().change, Change::Shrunk);
        assert_eq!(judge(7, 8, &strict).unwrap().change, Change::Grown);
        assert_eq!(judge(7, 7, &strict), None);
    }

    #[test]
    fn a_source_has_its_own_rule_or_none() {
        let wide = SizeRule { grow: 10.0, ..SizeRule::DEFAULT };
        let by_source = [("a".to_owned(), Some(wide)), ("b".to_owned(), None)].into();
        let rules = SizeRules { by_source, ..SizeRules::default() };
        assert_eq!(rules.judge("a", 100, 900), None);
        assert_eq!(rules.judge("a", 100, 1_001).unwrap().change, Change::Grown);
        assert_eq!(rules.judge("b", 100, 0), None);
        assert_eq!(rules.judge("c", 100, 900).unwrap().change, Change::Grown);
    }

    #[test]
    fn a_hold_says_both_numbers() {
        let text = judge(1_000, 3, &SizeRule::DEFAULT).unwrap().to_string();
        assert_eq!(text, "the list has 3 names, 1000 are in force: it has shrunk more than it may unseen");
    }

    proptest! {
        /// What is held stays held when it shrinks, or grows, even more; and when the rule becomes stricter.
        #[test]
        fn further_away_is_no_better(
            before in 1_u64..10_000,
            after in 0_u64..100_000,
            further in 0_u64..100_000,
            shrink in 0.0..1.0_f64,
            grow in 1.0..10.0_f64,
            stricter in 0.0..1.0_f64,
            from in 0_u64..1_000,
        ) {
            let rule = SizeRule { shrink, grow, from };
            let Some(hold) = judge(before, after, &rule) else { return Ok(()) };
            prop_assert_eq!((hold.before, hold.after), (before, after));
            let beyond = match hold.change {
                Change::Grown => after + further,
                Change::Shrunk | Change::Emptied => after.saturating_sub(further),
            };
            prop_assert!(judge(before, beyond, &rule).is_some());
            let strict = SizeRule {
                shrink: shrink + (1.0 - shrink) * stricter,
                grow: 1.0 + (grow - 1.0) * (1.0 - stricter),
                from: (from as f64 * (1.0 - stricter)) as u64,
            };
            prop_assert_eq!(judge(before, after, &strict).map(|hold| hold.change), Some(hold.change));
        }

        /// Between the bounds nothing is held, whatever the numbers.
        #[test]
        fn what_stays_in_proportion_passes(before in 1_u64..1 << 40, part in 0.5001..1.9999_f64) {
            let after = ((before as f64 * part).round() as u64).max(before.div_ceil(2)).min(before * 2);
            prop_assert_eq!(code(before, after), None);
        }
    }
}
