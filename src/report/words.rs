//! States and reason codes in the two languages of the letters. The codes are those of pagar(1), "Reason codes"; one that
//! is not known here is said as it is.

use crate::model::receipt::ItemState;

/// In whose words a page is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    En,
    /// Malay.
    Ms,
    /// English, and Malay beside it.
    #[default]
    Both,
}

impl Language {
    /// The languages by the words that choose them.
    pub const ALL: [(&str, Self); 3] = [("en", Self::En), ("ms", Self::Ms), ("both", Self::Both)];

    /// By its word: `en`, `ms`, `both`.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == word).map(|(_, language)| language)
    }
}

/// The same in English and in Malay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phrase {
    /// In English.
    pub en: &'static str,
    /// In Malay.
    pub ms: &'static str,
}

/// Makes a [`Phrase`].
pub(super) const fn phrase(en: &'static str, ms: &'static str) -> Phrase {
    Phrase { en, ms }
}

const STATES: [(&str, Phrase); 14] = [
    ("accepted", phrase("accepted", "diterima")),
    ("refused", phrase("refused", "ditolak")),
    ("quarantined", phrase("held for people to decide", "ditahan untuk keputusan manusia")),
    ("scheduled", phrase("scheduled", "dijadualkan")),
    ("published", phrase("in the policy, not yet seen to work", "dalam dasar, belum dilihat berfungsi")),
    ("enforced", phrase("enforced", "dikuatkuasakan")),
    (
        "tested",
        phrase(
            "tested: it would be enforced, and nothing is blocked",
            "diuji: ia akan dikuatkuasakan, tiada yang disekat",
        ),
    ),
    ("lifted", phrase("lifted by the operator in an emergency", "ditarik balik oleh pengendali dalam kecemasan")),
    ("amended", phrase("replaced by an amendment", "diganti oleh pindaan")),
    ("suspended", phrase("suspended", "digantung")),
    ("revoked", phrase("revoked", "dibatalkan")),
    ("expired", phrase("expired", "tamat tempoh")),
    ("carried-out", phrase("carried out", "dilaksanakan")),
    ("in force", phrase("in force", "berkuat kuasa")),
];

const KINDS: [(&str, Phrase); 5] = [
    ("restrict", phrase("restriction", "sekatan")),
    ("amend", phrase("amendment", "pindaan")),
    ("revoke", phrase("revocation", "pembatalan")),
    ("suspend", phrase("suspension", "penggantungan")),
    ("resume", phrase("resumption", "penyambungan semula")),
];

/// Codes of items, and of what a node saw of its own answers. A notice that is refused brings its reason in words.
const CODES: [(&str, Phrase); 25] = [
    ("address", phrase("an IP address; the DNS can only block names", "alamat IP; DNS hanya boleh menyekat nama")),
    (
        "authority-name",
        phrase("it would block a name of the authority itself", "ia akan menyekat nama pihak berkuasa sendiri"),
    ),
    (
        "block-page",
        phrase("it would block the page that restricted users see", "ia akan menyekat laman makluman sekatan"),
    ),
    ("authority", phrase("the authority is not known here", "pihak berkuasa tidak dikenali di sini")),
    (
        "category",
        phrase("the authority may not order this category", "pihak berkuasa tidak boleh mengarahkan kategori ini"),
    ),
    ("duplicate-item", phrase("another item has the same number", "butiran lain mempunyai nombor yang sama")),
    ("duplicate-id", phrase("the notice's id is used already", "id notis telah digunakan")),
    ("item", phrase("the item's number cannot be used", "nombor butiran tidak boleh digunakan")),
    ("late", phrase("an answer came too late to count", "jawapan terlalu lewat untuk dikira")),
    ("name", phrase("not a domain name", "bukan nama domain")),
    ("no-answer", phrase("the node had no answer from itself", "nod tidak menerima jawapan daripada dirinya")),
    ("no-targets", phrase("no item can be carried out", "tiada butiran yang boleh dilaksanakan")),
    ("not-blocked", phrase("a name was not seen to be blocked", "ada nama yang tidak dilihat disekat")),
    ("own-name", phrase("it would block a name of the operator itself", "ia akan menyekat nama pengendali sendiri")),
    (
        "protected",
        phrase(
            "a name that much depends on; two persons decide",
            "nama yang penting kepada ramai; dua orang memutuskan",
        ),
    ),
    (
        "public-suffix",
        phrase(
            "names of many owners stand below it; two persons decide",
            "nama ramai pemilik di bawahnya; dua orang memutuskan",
        ),
    ),
    ("root", phrase("the root of the DNS", "akar DNS")),
    ("sequence", phrase("the notice's number is used already", "nombor notis telah digunakan")),
    ("still-blocked", phrase("a name was still seen to be blocked", "ada nama yang masih dilihat disekat")),
    ("tld", phrase("a whole top-level domain", "seluruh domain peringkat teratas")),
    ("operator", phrase("a person has lifted it in an emergency", "seorang telah menariknya balik dalam kecemasan")),
    (
        "lifted-in-part",
        phrase(
            "a person has lifted a part of it in an emergency",
            "seorang telah menarik balik sebahagiannya dalam kecemasan",
        ),
    ),
    ("unknown-item", phrase("the notice has no such item", "notis tiada butiran sedemikian")),
    ("url", phrase("a URL; the DNS can only block whole names", "URL; DNS hanya boleh menyekat nama penuh")),
    ("wildcard", phrase("a wildcard; scope \"subtree\" is meant for that", "kad bebas; gunakan skop \"subtree\"")),
];

/// A state of a receipt, an item or a notice.
pub fn state(word: &str) -> Option<Phrase> {
    find(&STATES, word)
}

/// A kind of notice.
pub fn kind(word: &str) -> Option<Phrase> {
    find(&KINDS, word)
}

/// A reason code.
pub fn code(word: &str) -> Option<Phrase> {
    find(&CODES, word)
}

/// Why an item is not as ordered, in English; `None` if nothing is said against it.
pub fn why(item: &ItemState) -> Option<&str> {
    let word = item.code.as_deref()?;
    Some(code(word).map_or(word, |phrase| phrase.en))
}

fn find(list: &[(&str, Phrase)], word: &str) -> Option<Phrase> {
    list.iter().find(|(known, _)| *known == word).map(|(_, phrase)| *phrase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_that_an_item_can_have_is_said_in_both_languages() {
        // of targets, of the guard, of revocations, of what the node asks itself
        for word in [
            "url",
            "address",
            "wildcard",
            "name",
            "root",
            "tld",
            "item",
            "duplicate-item",
            "public-suffix",
            "own-name",
            "block-page",
            "authority-name",
            "protected",
            "unknown-item",
            "operator",
            "lifted-in-part",
            "no-answer",
            "late",
            "not-blocked",
            "still-blocked",
        ] {
            let said = code(word).unwrap_or_else(|| panic!("{word}"));
            assert!(said.en != said.ms && !said.en.is_empty() && !said.ms.is_empty(), "{word}");
        }
        assert_eq!(code("never-heard-of"), None);
    }

    #[test]
    fn languages_have_words() {
        assert_eq!(["en", "ms", "both"].map(Language::of), [Language::En, Language::Ms, Language::Both].map(Some));
        assert_eq!(Language::of("fr"), None);
    }
}
