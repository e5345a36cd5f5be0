//! `cargo xtask api`: the public interface as text, so that a review sees when it changes.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs, io};

use serde::Deserialize;

use crate::{Failures, snapshot};

const SNAPSHOT: &str = "tests/public-api.txt";

/// Set for the process that cargo takes for rustdoc.
const AS_RUSTDOC: &str = "XTASK_AS_RUSTDOC";

pub fn run(root: &Path, check: bool) -> Result<(), Failures> {
    let json = document(root)?;
    let format = format_of(&json)?;
    let first = format!("# The public interface with all features, by rustdoc's JSON format {format}.\n");
    let old = snapshot::read(root, SNAPSHOT)?;
    if check && !old.is_empty() && !old.starts_with(&first) {
        return Err(vec![
            format!(
                "{SNAPSHOT} was not checked: the rustdoc of this toolchain writes JSON format {format}, and the file says"
            ),
            old.lines().next().unwrap_or_default().to_owned(),
            "check it with a toolchain that writes that format (`cargo +TOOLCHAIN xtask api --check`),".to_owned(),
            "or update it with this one: run `cargo xtask api` and commit the result".to_owned(),
        ]);
    }
    let api = public_api::Builder::from_rustdoc_json(&json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .build()
        .map_err(|error| vec![format!("rustdoc's JSON cannot be read: {error}")])?;
    snapshot::keep(root, SNAPSHOT, &format!("{first}# Made by `cargo xtask api`.\n\n{api}"), "api", check)
}

/// Runs rustdoc with JSON as its format, and returns the file that it wrote.
fn document(root: &Path) -> Result<PathBuf, Failures> {
    let json = target(root)?.join("doc/gettone.json");
    // A file of an earlier run must not count as the result of this one.
    match fs::remove_file(&json) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(vec![format!("cannot remove {}: {error}", json.display())]);
        }
        _ => {}
    }
    let myself = env::current_exe().map_err(|error| vec![format!("cannot tell where this program is: {error}")])?;
    let output = cargo(root)
        .args(["rustdoc", "--quiet", "--package", "gettone", "--lib", "--features", "full", "--"])
        .args(["-Z", "unstable-options", "--output-format", "json", "--cap-lints", "allow"])
        // Only rustdoc may count as nightly: everything else would be compiled again.
        .env("RUSTDOC", myself)
        .env(AS_RUSTDOC, env::var_os("RUSTDOC").unwrap_or_else(|| "rustdoc".into()))
        .output()
        .map_err(|error| vec![format!("cannot run cargo: {error}")])?;
    if !output.status.success() {
        return Err(vec![String::from_utf8_lossy(&output.stderr).trim_end().to_owned()]);
    }
    Ok(json)
}

/// Runs in place of rustdoc, if this process was started for that.
pub fn as_rustdoc() -> Option<ExitCode> {
    let rustdoc = env::var_os(AS_RUSTDOC)?;
    let status = Command::new(rustdoc).args(env::args_os().skip(1)).env("RUSTC_BOOTSTRAP", "1").status();
    Some(if status.is_ok_and(|status| status.success()) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn format_of(json: &Path) -> Result<u32, Failures> {
    #[derive(Deserialize)]
    struct Document {
        format_version: u32,
    }

    let text = fs::read_to_string(json).map_err(|error| vec![format!("cannot read rustdoc's JSON: {error}")])?;
    let document: Document =
        serde_json::from_str(&text).map_err(|error| vec![format!("rustdoc's JSON cannot be read: {error}")])?;
    Ok(document.format_version)
}

pub fn cargo(root: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

/// Returns the folder that cargo builds in.
pub fn target(root: &Path) -> Result<PathBuf, Failures> {
    #[derive(Deserialize)]
    struct Metadata {
        target_directory: PathBuf,
    }

    let output = cargo(root)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .map_err(|error| vec![format!("cannot run cargo: {error}")])?;
    let metadata: Metadata = serde_json::from_slice(&output.stdout)
        .map_err(|error| vec![format!("what `cargo metadata` says cannot be read: {error}")])?;
    Ok(metadata.target_directory)
}
