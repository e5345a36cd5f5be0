//! The workflows run only code that somebody has chosen: a tag can be moved to another commit, a commit cannot change.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;

use saphyr::{LoadableYamlNode, Yaml};

/// What each `uses` names, at any depth.
fn used(node: &Yaml<'_>, found: &mut Vec<String>) {
    match node {
        Yaml::Sequence(items) => items.iter().for_each(|item| used(item, found)),
        Yaml::Mapping(fields) => {
            for (name, value) in fields {
                if name.as_str() == Some("uses") {
                    found.push(value.as_str().unwrap_or_default().to_owned());
                }
                used(value, found);
            }
        }
        _ => {}
    }
}

/// What is wrong with a workflow.
fn faults(text: &str) -> Vec<String> {
    let documents = Yaml::load_from_str(text).expect("a workflow is YAML");
    let [workflow] = &documents[..] else { panic!("{} documents", documents.len()) };
    let mut faults = Vec::new();
    let mut actions = Vec::new();
    used(workflow, &mut actions);
    for action in actions {
        let commit = action.split_once('@').map_or("", |(_, version)| version);
        let is_commit = commit.len() == 40 && commit.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        // An action of this repository is as old as the workflow.
        if !action.starts_with("./") && !is_commit {
            faults.push(format!("`{action}` is not pinned to a commit"));
        } else if !action.starts_with("./") && !text.contains(&format!("uses: {action} # v")) {
            faults.push(format!("`{action}` lacks a comment with the tag of the commit"));
        }
    }
    let permissions = workflow.as_mapping_get("permissions").and_then(Yaml::as_mapping);
    let reads = permissions.is_some_and(|all| {
        all.iter().all(|(name, value)| name.as_str() == Some("contents") && value.as_str() == Some("read"))
    });
    if !reads {
        faults.push("may do more than read the repository".to_owned());
    }
    faults
}

#[test]
fn every_workflow_pins_its_actions_and_can_only_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(".github/workflows");
    let mut actions = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(faults(&text), [""; 0], "{}", path.display());
        actions += text.matches("uses:").count();
    }
    assert!(actions >= 2, "{actions}");
}

#[test]
fn a_workflow_that_runs_what_may_change_is_found() {
    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
    let found = |permissions: &str, action: &str| {
        faults(&format!("{permissions}\njobs:\n  a:\n    steps:\n      - uses: {action}\n      - run: echo uses\n"))
    };
    let reads = "permissions:\n  contents: read";
    assert_eq!(found(reads, &format!("a/b@{COMMIT} # v1.2.3")), [""; 0]);
    assert_eq!(found("permissions: {}", "./.github/actions/a"), [""; 0]);
    for action in ["a/b", "a/b@v4", "a/b@main", "a/b@0123456", "docker://alpine:3", &format!("a/b@{COMMIT}0 # v1")] {
        let name = action.split(' ').next().unwrap();
        assert_eq!(found(reads, action), [format!("`{name}` is not pinned to a commit")]);
    }
    for action in [format!("a/b@{COMMIT}"), format!("a/b@{COMMIT} # main")] {
        assert!(found(reads, &action)[0].ends_with("lacks a comment with the tag of the commit"));
    }
    // However it is written.
    let flow = format!("{reads}\njobs: {{ a: {{ uses: a/b/c.yml@v1 }} }}\n");
    assert_eq!(faults(&flow), ["`a/b/c.yml@v1` is not pinned to a commit"]);
    for permissions in
        ["", "permissions: write-all", "permissions:\n  contents: write", "permissions:\n  issues: write"]
    {
        assert_eq!(found(permissions, "./a"), ["may do more than read the repository"]);
    }
}
