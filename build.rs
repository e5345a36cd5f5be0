//! Puts the typed clients where `src/http.rs` includes them: generated from the hand-written specs in `spec/`, or, without the feature
//! `generate`, copied from `spec/generated`. `cargo xtask regen --check` verifies that both are the same code.

use std::path::{Path, PathBuf};
use std::{env, fs};

#[cfg(feature = "generate")]
#[path = "spec/generate.rs"]
mod generate;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=spec");
    let folder = |variable| PathBuf::from(env::var_os(variable).unwrap_or_default());
    let (root, out) = (folder("CARGO_MANIFEST_DIR"), folder("OUT_DIR"));
    for problem in write_clients(&root, &out) {
        // One line for each problem; an exit by panic would bury it under a backtrace.
        println!("cargo::error={problem}");
    }
}

#[cfg(feature = "generate")]
fn write_clients(root: &Path, out: &Path) -> Vec<String> {
    let clients = generate::SERVICES.iter().map(|service| {
        let spec = generate::Spec::read(root, service.spec)?;
        let client = generate::generate(&spec, service)?;
        let file = out.join(format!("{}.rs", service.module));
        fs::write(&file, client.to_string())
            .map_err(|error| spec.problem("", format!("cannot write {}: {error}", file.display())))
    });
    clients.filter_map(Result::err).map(|problem: generate::Problem| problem.to_string()).collect()
}

#[cfg(not(feature = "generate"))]
fn write_clients(root: &Path, out: &Path) -> Vec<String> {
    let folder = root.join("spec/generated");
    let copy = |file: PathBuf| {
        let module = file.file_name().unwrap_or_default().to_string_lossy().replace('-', "_");
        fs::copy(&file, out.join(module)).map_err(|error| format!("cannot copy {}: {error}", file.display()))
    };
    match fs::read_dir(&folder) {
        Ok(files) => files.flatten().filter_map(|file| copy(file.path()).err()).collect(),
        Err(error) => vec![format!("cannot read {}: {error}", folder.display())],
    }
}
