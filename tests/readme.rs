//! The links of the pages at the top of the repository: what the README claims, it shows by a link to a test.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

#[test]
fn every_link_to_a_file_leads_to_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // The package lacks some of these pages, and some of the files that they link to.
    if !root.join("CONTRIBUTING.md").exists() {
        return;
    }
    let mut links = 0;
    for page in ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "benches/README.md"] {
        let page = root.join(page);
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            if link.is_empty() || link.starts_with("https://") {
                continue;
            }
            assert!(page.with_file_name(link).exists(), "{}: {link} is missing", page.display());
            links += 1;
        }
    }
    assert!(links > 20, "{links} links");
}
