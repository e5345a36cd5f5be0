//! What `cargo xtask api --check` says where it cannot check. A shell script stands in for cargo and rustdoc.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs, process};

const SNAPSHOT: &str = "tests/public-api.txt";

/// A folder with a snapshot and a cargo, deleted with this value.
struct Tree(PathBuf);

impl Tree {
    /// `rustdoc` is what the script does instead of running rustdoc, with the file for the JSON in `$json`.
    fn new(name: &str, snapshot: &str, rustdoc: &str) -> Self {
        let tree = Self(env::temp_dir().join(format!("gettone-xtask-api-{}-{name}", process::id())));
        for folder in ["tests", "target/doc"] {
            fs::create_dir_all(tree.0.join(folder)).unwrap();
        }
        fs::write(tree.0.join(SNAPSHOT), snapshot).unwrap();
        let target = tree.0.join("target").display().to_string();
        let script = format!(
            "#!/bin/sh\njson={target}/doc/gettone.json\n\
             case $1 in\n    metadata) echo '{{\"target_directory\":\"{target}\"}}' ;;\n    rustdoc) {rustdoc} ;;\nesac\n"
        );
        fs::write(tree.0.join("cargo"), script).unwrap();
        fs::set_permissions(tree.0.join("cargo"), fs::Permissions::from_mode(0o755)).unwrap();
        tree
    }

    /// The exit code, and what was said of the failure.
    fn check(&self) -> (Option<i32>, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(["api", "--check"])
            .env("CARGO", self.0.join("cargo"))
            // The folder of this package, as `cargo xtask` sets it; the workspace is the folder above.
            .env("CARGO_MANIFEST_DIR", self.0.join("xtask"))
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const FORMAT_57: &str = "# The public interface with all features, by rustdoc's JSON format 57.\n";

#[test]
fn another_format_of_rustdoc_fails_the_check() {
    let tree = Tree::new("format", FORMAT_57, r#"echo '{"format_version":4711}' >"$json""#);
    let (code, said) = tree.check();
    assert_eq!(code, Some(1));
    for words in ["was not checked", "writes JSON format 4711", "JSON format 57", "run `cargo xtask api`"] {
        assert!(said.contains(words), "`{words}` is missing from: {said}");
    }
    assert_eq!(fs::read_to_string(tree.0.join(SNAPSHOT)).unwrap(), FORMAT_57, "--check writes");
}

#[test]
fn json_that_an_earlier_run_left_is_not_read() {
    let tree = Tree::new("left", FORMAT_57, ":");
    fs::write(tree.0.join("target/doc/gettone.json"), r#"{"format_version":57}"#).unwrap();
    let (code, said) = tree.check();
    assert_eq!(code, Some(1));
    assert!(said.starts_with("cannot read rustdoc's JSON: "), "{said}");
}

#[test]
fn a_rustdoc_that_fails_fails_the_check() {
    let tree = Tree::new("rustdoc", FORMAT_57, r#"echo '{"format_version":57}' >"$json"; echo no nightly >&2; exit 1"#);
    assert_eq!(tree.check(), (Some(1), "no nightly\n".to_owned()));
}
