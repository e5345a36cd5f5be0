//! The tasks that the maintainers of this repository run.

mod api;
mod checks;
#[path = "../../spec/generate.rs"]
#[allow(dead_code)]
mod generate;
mod regen;
mod snapshot;
mod weight;

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask regen [--check]
       cargo xtask api [--check]
       cargo xtask weight

regen: checks the specs, generates the clients from them, and updates the snapshots of the generated code in spec/generated.
api: updates tests/public-api.txt, which says what the public interface is.
weight: builds programs that depend on the crate, and tells how many crates that takes and how much time. Some 20 minutes.

  --check  write nothing; fail if a snapshot is out of date
";

/// The reasons why a task failed; each is a line.
type Failures = Vec<String>;

fn main() -> ExitCode {
    if let Some(code) = api::as_rustdoc() {
        return code;
    }
    let words: Vec<_> = env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let root = workspace();
    let done = match *words.as_slice() {
        ["regen"] => regen::run(&root, false),
        ["regen", "--check"] => regen::run(&root, true),
        ["api"] => api::run(&root, false),
        ["api", "--check"] => api::run(&root, true),
        ["weight"] => weight::run(&root),
        _ => Err(vec![USAGE.to_owned()]),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failures) => {
            let _ = io::stderr().write_all((failures.join("\n") + "\n").as_bytes());
            ExitCode::FAILURE
        }
    }
}

/// Returns the folder above this package. The environment comes first: a binary that was built in one checkout may run
/// in another with the same target folder.
fn workspace() -> PathBuf {
    let package =
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().map(PathBuf::from).unwrap_or(package)
}

/// Prints a text. A reader that has gone away, as `head` does, is not a failure.
fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}
