//! Checks the threat model of `docs/security.md`: each promise names a test that exists.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn each_promise_of_the_threat_model_names_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = include_str!("../docs/security.md");
    let (_, section) = page.split_once("## Threat model").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with('|')).skip(2).collect();
    assert!(rows.len() > 15, "{} rows", rows.len());
    let mut files = BTreeSet::new();
    for row in rows {
        let tests = row.trim_end_matches('|').rsplit('|').next().unwrap();
        let words: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!words.is_empty() && words.len().is_multiple_of(2), "a file and a function: {row}");
        for pair in words.chunks(2) {
            let (file, function) = (pair[0], pair[1]);
            // A published package does not contain all tests.
            if let Ok(text) = fs::read_to_string(root.join(file)) {
                assert!(text.contains(&format!("fn {function}(")), "{file} has no {function}");
                files.insert(file);
            } else {
                assert!(file.starts_with("xtask/"), "{file} is missing");
            }
        }
    }
    assert!(files.len() > 10, "{files:?}");
}
