//! What the pages share. One file each, without scripts and without anything fetched: it can be mailed, kept and printed.
//! All text from outside goes through [`escaped`].

use super::Letterhead;
use super::words::{Language, Phrase};

/// Prints to A4. A long table goes on over pages, its head with it; a line stays whole.
const STYLE: &str = "\
@page{size:A4;margin:13mm 14mm}
*{box-sizing:border-box}
body{font:9pt/1.3 'Liberation Sans',Arial,Helvetica,sans-serif;color:#111;background:#fff;max-width:190mm;margin:10mm auto;padding:0 4mm}
h1{font-size:13pt;line-height:1.25;margin:0 0 3mm}
h2{font-size:9.5pt;margin:3.5mm 0 1mm;break-after:avoid}
p{margin:0 0 1.5mm}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.5mm 2mm .5mm 0}
th{font-weight:600}
thead{display:table-header-group}
tr{break-inside:avoid}
.facts th{width:64mm}
.lines{font-size:8pt;line-height:1.25;margin-top:1mm}
.lines th,.lines td{border-bottom:.2mm solid #999;padding:.7mm 2mm .7mm 0}
.lines thead th{border-bottom:.4mm solid #111}
.id{white-space:nowrap}
.number{text-align:right}
.lines .number{padding-right:4mm}
code{font:7.5pt/1.3 'Liberation Mono',Consolas,monospace;overflow-wrap:anywhere}
.small{font-size:8pt}
.ms{color:#444;font-weight:400}
@media print{body{max-width:none;margin:0;padding:0}}
";

/// A whole page.
pub(super) fn page(head: &Letterhead, title: Phrase, body: &str) -> String {
    let language = if head.language == Language::Ms { "ms" } else { "en" };
    let plain = if head.language == Language::Ms { title.ms } else { title.en };
    format!(
        "<!DOCTYPE html>\n<html lang=\"{language}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{plain}</title>\n<style>\n{STYLE}</style>\n\
         </head>\n<body>\n<h1>{}</h1>\n{body}</body>\n</html>\n",
        said(head, title)
    )
}

/// A phrase in the language of the page, or in both.
pub(super) fn said(head: &Letterhead, phrase: Phrase) -> String {
    match head.language {
        Language::En => escaped(phrase.en),
        Language::Ms => escaped(phrase.ms),
        Language::Both => {
            format!("{} <span class=\"ms\" lang=\"ms\">/ {}</span>", escaped(phrase.en), escaped(phrase.ms))
        }
    }
}

/// What a word means, or the word itself if nobody knows.
pub(super) fn meaning(head: &Letterhead, phrase: Option<Phrase>, word: &str) -> String {
    phrase.map_or_else(|| escaped(word), |phrase| said(head, phrase))
}

/// A table of headings and values, both HTML.
pub(super) fn facts(rows: &[(String, String)]) -> String {
    let rows: String = rows.iter().map(|(what, value)| format!("<tr><th>{what}</th><td>{value}</td></tr>\n")).collect();
    format!("<table class=\"facts\">\n{rows}</table>\n")
}

/// A table with a head; a column's class stands beside its heading.
pub(super) fn lines<const N: usize>(columns: &[(String, &str); N], rows: impl Iterator<Item = [String; N]>) -> String {
    let head: String =
        columns.iter().map(|(heading, class)| format!("<th scope=\"col\"{}>{heading}</th>", of_class(class))).collect();
    let cell = |(value, (_, class)): (&String, &(String, &str))| format!("<td{}>{value}</td>", of_class(class));
    let row = |row: [String; N]| format!("<tr>{}</tr>\n", row.iter().zip(columns).map(cell).collect::<String>());
    let rows: String = rows.map(row).collect();
    format!("<table class=\"lines\">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n")
}

fn of_class(class: &str) -> String {
    if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") }
}

/// Digests and keys, which may break anywhere.
pub(super) fn code(text: &str) -> String {
    format!("<code>{}</code>", escaped(text))
}

/// Text from outside, in content or between double quotes. Control characters are left out: they have no place in HTML.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            character if character.is_control() => escaped.push(' '),
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_text() {
        assert_eq!(escaped("<b a='\"&\">\u{1b}[2J"), "&lt;b a=&#39;&quot;&amp;&quot;&gt; [2J");
        assert_eq!(escaped("Suruhanjaya ü"), "Suruhanjaya ü");
    }
}
