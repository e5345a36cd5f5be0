//! `cargo xtask`: what maintainers of this repository run.

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

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask regen [--check] [--no-build] [--root DIR]

Checks the specs, generates the clients from them, and updates the snapshots of the generated code in spec/generated.

  --check     write nothing; fail if a snapshot is not up to date
  --no-build  do not compile the crate
  --root DIR  work on this tree instead of the one that cargo runs in
";

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let options = match parse(&arguments) {
        Ok(Some(options)) => options,
        Ok(None) => {
            regen::say(USAGE);
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            complain(&format!("{problem}\n\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    match regen::run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failures) => {
            complain(&(failures.join("\n") + "\n"));
            ExitCode::FAILURE
        }
    }
}

/// What to do; nothing if usage is all that is wanted.
fn parse(arguments: &[String]) -> Result<Option<regen::Options>, String> {
    let mut words = arguments.iter().map(String::as_str);
    match words.next() {
        None | Some("--help" | "-h" | "help") => return Ok(None),
        Some("regen") => {}
        Some(word) => return Err(format!("unknown word `{word}`")),
    }
    let mut options = regen::Options { root: workspace(), check: false, build: true };
    while let Some(word) = words.next() {
        match word {
            "--help" | "-h" => return Ok(None),
            "--check" => options.check = true,
            "--no-build" => options.build = false,
            "--root" => options.root = words.next().map(PathBuf::from).ok_or("`--root` without a directory")?,
            word => return Err(format!("unknown word `{word}`")),
        }
    }
    Ok(Some(options))
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
