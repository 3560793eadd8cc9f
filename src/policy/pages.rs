//! [`Pages`]: which block-page address answers a listed name.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::model::{AuthorityId, Category};

/// The addresses of one block page; a family that is not set gets NODATA.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Page {
    /// For A.
    pub v4: Option<Ipv4Addr>,
    /// For AAAA.
    pub v6: Option<Ipv6Addr>,
}

/// One `[[block.page]]`: a page for an authority, a category, or one category of one authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRule {
    /// Only notices of this authority.
    pub authority: Option<AuthorityId>,
    /// Only notices of this category.
    pub category: Option<Category>,
    /// The addresses.
    pub page: Page,
}

/// `[block]`: the pages and how long a blocked answer may be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pages {
    /// Where no rule fits.
    pub default: Page,
    /// `[[block.page]]` in order; config refuses two rules for the same notices.
    pub rules: Vec<PageRule>,
    /// TTL of blocked answers in seconds, at most 60 (DESIGN §3).
    pub ttl: u32,
}

impl Pages {
    /// The page of the most specific rule: authority and category, then authority, then category, then the default.
    pub fn page(&self, authority: &AuthorityId, category: &Category) -> Page {
        let fits = |rule: &&PageRule| {
            rule.authority.as_ref().is_none_or(|a| a == authority)
                && rule.category.as_ref().is_none_or(|c| c == category)
        };
        let weight = |rule: &&PageRule| (rule.authority.is_some(), rule.category.is_some());
        self.rules.iter().filter(fits).max_by_key(weight).map_or(self.default, |rule| rule.page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_page_wins() {
        let page = |last: u8| Page { v4: Some(Ipv4Addr::new(192, 0, 2, last)), v6: None };
        let rule = |a: Option<&str>, c: Option<&str>, last| PageRule {
            authority: a.map(AuthorityId::new),
            category: c.map(Category::new),
            page: page(last),
        };
        let pages = Pages {
            default: page(1),
            rules: vec![rule(None, Some("scam"), 2), rule(Some("mcmc"), Some("scam"), 4), rule(Some("mcmc"), None, 3)],
            ttl: 30,
        };
        let of = |a, c| pages.page(&AuthorityId::new(a), &Category::new(c)).v4.unwrap().octets()[3];
        assert_eq!([of("x", "y"), of("x", "scam"), of("mcmc", "y"), of("mcmc", "scam")], [1, 2, 3, 4]);
    }
}
