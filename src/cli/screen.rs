//! [`Screen`]: how results are shown to people. Columns are aligned; colour is for terminals, unless `--color` says
//! otherwise or `NO_COLOR` is set.

use std::io::{self, IsTerminal};

/// Whether there is colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Screen {
    pub(super) colour: bool,
}

/// What a state means to whoever looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Good,
    Open,
    Bad,
}

impl Screen {
    /// What `--color` says; `None` for what the terminal can.
    pub(super) fn new(colour: Option<bool>) -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let can = || {
            io::stdout().is_terminal()
                && variable("NO_COLOR").is_none()
                && variable("TERM").is_none_or(|term| term != "dumb")
        };
        Self { colour: colour.unwrap_or_else(can) }
    }

    /// A state, coloured.
    pub(super) fn state(self, state: &str) -> String {
        let state = plain(state);
        if !self.colour {
            return state;
        }
        let colour = match mood(&state) {
            Mood::Good => 32,
            Mood::Open => 33,
            Mood::Bad => 31,
        };
        format!("\u{1b}[{colour}m{state}\u{1b}[0m")
    }

    /// Rows under headings, indented; the column of states is coloured.
    pub(super) fn table<const N: usize>(self, heads: [&str; N], states: usize, rows: &[[String; N]]) -> String {
        let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|cell| plain(cell))).collect();
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([heads[column].len()]).max().unwrap_or_default()
        };
        let widths: Vec<_> = (0..N).map(width).collect();
        let line = |cells: [&str; N], is_head: bool| {
            let cell = |(column, text): (usize, &&str)| {
                let shown = if column == states && !is_head { self.state(text) } else { (*text).to_owned() };
                format!("{shown}{}", " ".repeat(widths[column] - text.chars().count()))
            };
            let cells: Vec<_> = cells.iter().enumerate().map(cell).collect();
            format!("  {}\n", cells.join("  ").trim_end())
        };
        let head = line(heads, true);
        rows.iter().map(|row| line(row.each_ref().map(String::as_str), false)).fold(head, |text, row| text + &row)
    }
}

fn mood(state: &str) -> Mood {
    match state {
        "enforced" | "carried-out" | "tested" => Mood::Good,
        "refused" | "quarantined" | "lifted" => Mood::Bad,
        _ => Mood::Open,
    }
}

/// Without what a terminal would obey: servers and senders wrote it.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_colours_do_not_count() {
        let rows = [["1".to_owned(), "enforced".to_owned()], ["longer".to_owned(), "refused\u{1b}[2J".to_owned()]];
        let table = Screen { colour: false }.table(["ITEM", "STATE"], 1, &rows);
        assert_eq!(table, "  ITEM    STATE\n  1       enforced\n  longer  refused [2J\n");
        let table = Screen { colour: true }.table(["STATE", "ITEM"], 0, &[["enforced".into(), "1".into()]]);
        assert_eq!(table, "  STATE     ITEM\n  \u{1b}[32menforced\u{1b}[0m  1\n");
    }
}
