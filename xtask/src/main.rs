//! `cargo xtask`: what maintainers of this repository run.

mod api;
#[path = "../../build.rs"]
#[allow(dead_code)]
mod build;
mod examples;
mod keywords;
mod nodes;
mod regen;
mod rules;
mod schemas;
mod snapshot;
mod weight;

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask regen [--check] [--no-build] [--root DIR]
       cargo xtask api [--check]
       cargo xtask weight

regen: checks the specs, generates the clients from them, and updates the snapshots of the generated code in spec/generated.
api: updates tests/public-api.txt, which says what the public interface is.
weight: builds programs that depend on the crate, and tells how many crates that takes and how long. Some minutes.

  --check     write nothing; fail if a snapshot is not up to date
  --no-build  do not compile the crate
  --root DIR  work on this tree instead of the one that cargo runs in
";

enum Task {
    Usage,
    Regen(regen::Options),
    Api { check: bool },
    Weight,
}

fn main() -> ExitCode {
    if let Some(code) = api::as_rustdoc() {
        return code;
    }
    let arguments: Vec<_> = env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let done = match parse(&arguments) {
        Ok(Task::Usage) => {
            regen::say(USAGE);
            Ok(())
        }
        Ok(Task::Regen(options)) => regen::run(&options),
        Ok(Task::Api { check }) => api::run(&workspace(), check),
        Ok(Task::Weight) => weight::run(&workspace()),
        Err(problem) => {
            complain(&format!("{problem}\n\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failures) => {
            complain(&(failures.join("\n") + "\n"));
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: &[String]) -> Result<Task, String> {
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    match *words.as_slice() {
        [] | ["--help" | "-h" | "help", ..] | ["api" | "weight", "--help" | "-h"] => Ok(Task::Usage),
        ["regen", ref words @ ..] => regen_options(words),
        ["api"] => Ok(Task::Api { check: false }),
        ["api", "--check"] => Ok(Task::Api { check: true }),
        ["weight"] => Ok(Task::Weight),
        ["api", "--check", word, ..] | ["api" | "weight", word, ..] | [word, ..] => {
            Err(format!("unknown word `{word}`"))
        }
    }
}

fn regen_options(words: &[&str]) -> Result<Task, String> {
    let mut options = regen::Options { root: workspace(), check: false, build: true };
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        match word {
            "--help" | "-h" => return Ok(Task::Usage),
            "--check" => options.check = true,
            "--no-build" => options.build = false,
            "--root" => options.root = words.next().map(PathBuf::from).ok_or("`--root` without a directory")?,
            word => return Err(format!("unknown word `{word}`")),
        }
    }
    Ok(Task::Regen(options))
}

/// The folder above this package. The environment is asked first: a binary that was built in one checkout may run in
/// another with the same target folder.
fn workspace() -> PathBuf {
    let package =
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().map(PathBuf::from).unwrap_or(package)
}

fn complain(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
