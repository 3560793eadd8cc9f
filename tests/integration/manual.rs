//! The tables of requirements in `src/manual` keep their word: every test they name exists.

use std::fs;
use std::path::Path;

/// The chapters with a column of tests.
const TABLES: [&str; 2] = ["standards", "consequences"];

#[test]
fn every_test_named_in_a_table_of_requirements_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut missing = Vec::new();
    let mut found = 0;
    for table in TABLES {
        let text = fs::read_to_string(root.join("src/manual").join(table).with_extension("rs")).unwrap();
        for (line, row) in rows(&text) {
            let tests: Vec<_> = named(row).collect();
            let said = row.split('|').nth_back(1).map(str::trim).unwrap_or_default();
            if tests.is_empty() && !["", "test", "---", "none"].contains(&said) && !said.starts_with("later:") {
                missing.push(format!("{table}.rs:{line}: no test in {said:?}"));
            }
            for test in tests {
                match exists(root, test) {
                    true => found += 1,
                    false => missing.push(format!("{table}.rs:{line}: no test {test}")),
                }
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    assert!(found > 50, "only {found} tests found: the tables are not read as they are written");
}

#[test]
fn none_of_the_consequences_is_passed_over() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("src/manual/consequences.rs")).unwrap();
    let numbers: Vec<u32> = rows(&text).filter_map(|(_, row)| row.split('|').nth(1)?.trim().parse().ok()).collect();
    assert_eq!(numbers, (1..=25).collect::<Vec<_>>());
}

/// The lines of tables, with their numbers.
fn rows(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(n, line)| (n + 1, line)).filter(|(_, line)| line.starts_with("//! |"))
}

/// What stands in backquotes in the last column.
fn named(row: &str) -> impl Iterator<Item = &str> {
    row.split('|').nth_back(1).unwrap_or_default().split('`').skip(1).step_by(2)
}

/// Whether a test is there: a scenario, a story of notices, a function of a file of integration tests (`packets::name`) or of a unit's tests
/// (`dns::wire::tests::name`).
fn exists(root: &Path, test: &str) -> bool {
    if test.ends_with(".rpl") {
        return root.join("tests/scenarios").join(test).is_file();
    }
    if test.ends_with(".txt") {
        return root.join("tests/scenarios/notices").join(test).is_file();
    }
    let parts: Vec<_> = test.split("::").collect();
    let (Some((function, path)), true) = (parts.split_last(), parts.len() > 1) else { return false };
    let base = match path.split_last() {
        Some((&"tests", unit)) => root.join("src").join(unit.join("/")),
        _ => root.join("tests/integration").join(path.join("/")),
    };
    let files = [base.with_extension("rs"), base.join("mod.rs"), base.join("tests.rs")];
    files.iter().filter_map(|file| fs::read_to_string(file).ok()).any(|text| text.contains(&format!("fn {function}(")))
}
