//! `cargo xtask weight`: what the crate costs a program that depends on it, in crates and in the processor's time to build from scratch.
//! It reads that time from `/proc`, as only Linux has it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use crate::api::{cargo, target};
use crate::{Failures, say};

/// The dependencies of a program that does the same by hand: the reference for every row.
const BY_HAND: &str = r#"
reqwest = { version = "0.13", default-features = false, features = ["rustls", "json"] }
serde = { version = "1", features = ["derive"] }
serde_json = "1"
tokio = { version = "1", features = ["rt", "time"] }
"#;

/// A clock tick of `/proc`, whatever the kernel's own (proc(5)).
const TICK: Duration = Duration::from_millis(10);

const FEATURES: [(&str, &str); 8] = [
    ("no features", "default-features = false"),
    ("default", ""),
    ("without `generate`", r#"default-features = false, features = ["rustls"]"#),
    ("native-tls", r#"default-features = false, features = ["native-tls"]"#),
    ("default, tracing", r#"features = ["tracing"]"#),
    ("default, middleware", r#"features = ["middleware"]"#),
    ("default, emulator", r#"features = ["emulator"]"#),
    ("default, full", r#"features = ["full"]"#),
];

pub fn run(root: &Path) -> Result<(), Failures> {
    let folder = target(root)?.join("weight");
    say(&format!("{:<22} {:>8} {:>12} {:>10} {:>7}\n", "", "crates", "of a build", "user s", "ratio"));
    // A warm-up: the first build reads from the disk what the others have in memory.
    measure(root, &folder, "by hand", BY_HAND)?;
    let reference = measure(root, &folder, "by hand", BY_HAND)?;
    report("by hand", &reference, &reference);
    for (name, how) in FEATURES {
        let comma = if how.is_empty() { "" } else { ", " };
        let dependency = format!("gettone = {{ path = {:?}{comma}{how} }}\n", root.display().to_string());
        report(name, &measure(root, &folder, name, &dependency)?, &reference);
    }
    Ok(())
}

struct Weight {
    /// The crates that end up in the program.
    linked: usize,
    /// The crates that are compiled, including those of build scripts and macros.
    built: usize,
    /// The processor's time for the program.
    time: Duration,
}

fn report(name: &str, weight: &Weight, reference: &Weight) {
    let (seconds, ratio) = (weight.time.as_secs_f64(), weight.time.as_secs_f64() / reference.time.as_secs_f64());
    say(&format!("{name:<22} {:>8} {:>12} {seconds:>10.1} {ratio:>6.2}x\n", weight.linked, weight.built));
}

/// Builds a program with these dependencies from scratch.
fn measure(root: &Path, folder: &Path, name: &str, dependencies: &str) -> Result<Weight, Failures> {
    let failed = |what: &str, error: io::Error| vec![format!("{name}: cannot {what}: {error}")];
    let package = folder.join("package");
    let built = folder.join("target");
    let _ = fs::remove_dir_all(&built);
    fs::create_dir_all(package.join("src")).map_err(|error| failed("make a folder", error))?;
    let manifest = format!(
        "[package]\nname = \"weighed\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n{dependencies}"
    );
    fs::write(package.join("Cargo.toml"), manifest).map_err(|error| failed("write", error))?;
    fs::write(package.join("src/main.rs"), "fn main() {}\n").map_err(|error| failed("write", error))?;
    // The same versions for all programs.
    fs::copy(root.join("Cargo.lock"), package.join("Cargo.lock")).map_err(|error| failed("copy", error))?;
    let run = |arguments: &[&str]| -> Result<String, Failures> {
        let output = cargo(&package)
            .args(arguments)
            .env("CARGO_TARGET_DIR", &built)
            // As a crate of a registry is built.
            .env("CARGO_INCREMENTAL", "0")
            .output()
            .map_err(|error| failed("run cargo", error))?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(vec![format!("{name}: {}", said.trim_end())])
        }
    };
    run(&["fetch", "--quiet"])?;
    let crates = |edges: &str| -> Result<usize, Failures> {
        let tree = run(&["tree", "--edges", edges, "--prefix", "none", "--format", "{p}"])?;
        let crates: BTreeSet<_> = tree.lines().map(|line| line.trim_end_matches(" (*)")).collect();
        // Without the program itself.
        Ok(crates.len() - 1)
    };
    let (linked, compiled) = (crates("normal,no-proc-macro")?, crates("normal,build")?);
    let before = time_of_children().map_err(|error| failed("read the time", error))?;
    run(&["build", "--quiet", "--offline"])?;
    let after = time_of_children().map_err(|error| failed("read the time", error))?;
    let time = after.saturating_sub(before);
    let _ = fs::remove_dir_all(&built);
    Ok(Weight { linked, built: compiled, time })
}

/// Returns the user time of all children that have ended, and of theirs.
fn time_of_children() -> io::Result<Duration> {
    let text = fs::read_to_string("/proc/self/stat")?;
    // The name of the program, in parentheses, may contain spaces. `cutime` is the fourteenth field after it.
    let fields = text.rsplit_once(')').map(|(_, fields)| fields.split_whitespace());
    let ticks = fields.and_then(|mut fields| fields.nth(13)?.parse::<u32>().ok());
    ticks.map(|ticks| TICK * ticks).ok_or_else(|| io::Error::other("/proc/self/stat has another form"))
}
