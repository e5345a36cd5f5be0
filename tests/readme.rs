//! The links of the pages at the top of the repository, and the tests that the README names for its claims.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

/// Where docs.rs shows the files of the package.
const SOURCE: &str = "https://docs.rs/crate/gettone/latest/source/";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns where each link of a page leads to.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()).filter(|link| !link.is_empty())
}

#[test]
fn every_link_to_a_file_leads_to_one() {
    let mut count = 0;
    for page in ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "benches/README.md"] {
        let page = root().join(page);
        for link in links(&fs::read_to_string(&page).unwrap()) {
            let file = match link.strip_prefix(SOURCE) {
                Some(file) => root().join(file),
                None if link.starts_with("https://") => continue,
                None => page.with_file_name(link),
            };
            assert!(file.exists(), "{}: {link} is missing", page.display());
            count += 1;
        }
    }
    assert!(count > 15, "{count} links");
}

/// A registry shows the README without the repository, and docs.rs the files of the package only.
#[test]
fn the_readme_works_on_the_page_of_a_registry() {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    // The text beside the picture says what it shows.
    let relative: Vec<_> = links(&text).filter(|link| !link.starts_with("https://")).collect();
    assert_eq!(relative, ["docs/token-life.svg"]);
    let package = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    for file in links(&text).filter_map(|link| link.strip_prefix(SOURCE)) {
        let included = |pattern: &str| match pattern.split_once('*') {
            Some((folder, _)) => file.starts_with(folder),
            None => file == pattern,
        };
        let patterns = package.split('"').filter_map(|pattern| pattern.strip_prefix('/'));
        assert!(patterns.into_iter().any(included), "{file} is not in the package");
    }
}

#[test]
fn every_test_that_the_readme_names_exists() {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let named: Vec<_> = text.split('`').filter(|word| word.starts_with("tests/")).collect();
    assert!(named.len() > 5, "{named:?}");
    for test in named {
        assert!(root().join(test).exists(), "{test}");
    }
}
