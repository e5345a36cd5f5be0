//! `cargo xtask regen`: checks the specs, and keeps the snapshots of what is generated from them.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use similar::TextDiff;

use crate::build::{self, METHODS, Problem, SERVICES, Service, Spec};
use crate::{rules, snapshot};

const FOLDER: &str = "spec/generated";

/// A difference longer than this is not read in a terminal.
const DIFF_LINES: usize = 200;

/// Deeper, the YAML reader, which calls itself for each level, may overflow the stack.
const INDENTATION: usize = 200;

pub struct Options {
    pub root: PathBuf,
    /// Only tell whether the snapshots are up to date.
    pub check: bool,
    /// Compile the crate too.
    pub build: bool,
}

/// Why `regen` failed; each is a line.
pub type Failures = Vec<String>;

pub fn run(options: &Options) -> Result<(), Failures> {
    let mut snapshots = Vec::new();
    let mut problems = Vec::new();
    for service in &SERVICES {
        match snapshot(&options.root, service) {
            Ok(text) => snapshots.push((snapshot_file(service), service.spec, text)),
            Err(found) => problems.extend(found.iter().map(Problem::to_string)),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let outdated = if options.check { compare(options, &snapshots) } else { update(options, &snapshots) };
    let compiled = if options.build { compile(&options.root) } else { Ok(()) };
    match (outdated, compiled) {
        (Ok(()), compiled) => compiled,
        (Err(outdated), compiled) => Err([outdated, compiled.err().unwrap_or_default()].concat()),
    }
}

/// The file of a snapshot, the spec that it is made from, and its text.
type Snapshot = (PathBuf, &'static str, String);

fn snapshot_file(service: &Service) -> PathBuf {
    let stem = Path::new(service.spec).file_stem().unwrap_or_default();
    Path::new(FOLDER).join(stem).with_extension("rs")
}

/// Checks a spec, then generates the client.
fn snapshot(root: &Path, service: &Service) -> Result<String, Vec<Problem>> {
    check_depth(root, service).map_err(|problem| vec![problem])?;
    let spec = Spec::read(root, service.spec).map_err(|problem| vec![problem])?;
    let problems = rules::check(&spec);
    if !problems.is_empty() {
        return Err(problems);
    }
    let tokens = build::generate(&spec, service).map_err(|problem| unlowerable(&spec, service, problem))?;
    snapshot::render(tokens, service.spec, &spec.text)
        .map_err(|error| vec![spec.problem("", format!("what is generated is not Rust: {error}"))])
}

fn check_depth(root: &Path, service: &Service) -> Result<(), Problem> {
    // What cannot be read is told by whoever reads it next.
    let text = fs::read_to_string(root.join(service.spec)).unwrap_or_default();
    let depth = |line: &str| line.len() - line.trim_start_matches([' ', '-', '?', ':']).len();
    match text.lines().position(|line| depth(line) > INDENTATION) {
        None => Ok(()),
        Some(index) => Err(Problem {
            file: service.spec.to_owned(),
            line: index + 1,
            place: String::new(),
            reason: format!("indented by more than {INDENTATION}"),
        }),
    }
}

/// The generator stops at the first problem; each operation alone has its own.
fn unlowerable(spec: &Spec, service: &Service, first: Problem) -> Vec<Problem> {
    let alone = |pointer: &str| {
        let mut spec = spec.clone();
        for (path, item) in spec.value["paths"].as_object_mut()?.iter_mut() {
            let at = format!("/paths/{}", build::escape(path));
            item.as_object_mut()?.retain(|key, _| !METHODS.contains(&key.as_str()) || format!("{at}/{key}") == pointer);
        }
        build::generate(&spec, service).err()
    };
    let mut problems: Vec<_> = spec.operations().iter().filter_map(|(pointer, _)| alone(pointer)).collect();
    if problems.is_empty() {
        problems.push(first);
    }
    rules::sorted(problems)
}

fn read(root: &Path, file: &Path) -> Result<Option<String>, Failures> {
    unix_text(&root.join(file))
}

/// The text of a file, with newlines as in a snapshot; nothing if there is no such file.
pub fn unix_text(file: &Path) -> Result<Option<String>, Failures> {
    match fs::read(file) {
        // What is not UTF-8 is different in any case.
        Ok(bytes) => Ok(Some(snapshot::unix_newlines(&String::from_utf8_lossy(&bytes)))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", file, &error)),
    }
}

fn failed(what: &str, file: &Path, error: &io::Error) -> Failures {
    vec![format!("cannot {what} {}: {error}", shown(file))]
}

fn shown(file: &Path) -> String {
    file.display().to_string().replace('\\', "/")
}

/// The snapshots that belong to no service.
fn stale(root: &Path, snapshots: &[Snapshot]) -> Result<Vec<PathBuf>, Failures> {
    let entries = match fs::read_dir(root.join(FOLDER)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("read", Path::new(FOLDER), &error)),
    };
    let mut stale = BTreeSet::new();
    for entry in entries {
        let entry = entry.map_err(|error| failed("read", Path::new(FOLDER), &error))?;
        let file = Path::new(FOLDER).join(entry.file_name());
        if file.extension().is_some_and(|extension| extension == "rs")
            && snapshots.iter().all(|(known, ..)| *known != file)
        {
            stale.insert(file);
        }
    }
    Ok(stale.into_iter().collect())
}

fn report(snapshot: &Snapshot, old: Option<&str>) -> Result<(), Failures> {
    let (file, spec, new) = snapshot;
    let changes = snapshot::changes(old, new).map_err(|error| vec![format!("{}: not Rust: {error}", shown(file))])?;
    match changes.as_slice() {
        [change] if !change.starts_with(['+', '-', '~']) => say(&format!("{spec}: {change}\n")),
        changes => say(&format!("{spec}:\n  {}\n", changes.join("\n  "))),
    }
    Ok(())
}

fn update(options: &Options, snapshots: &[Snapshot]) -> Result<(), Failures> {
    let root = &options.root;
    for snapshot in snapshots {
        let (file, _, new) = snapshot;
        let old = read(root, file)?;
        if old.as_deref() != Some(new) {
            fs::create_dir_all(root.join(FOLDER)).map_err(|error| failed("make", Path::new(FOLDER), &error))?;
            fs::write(root.join(file), new).map_err(|error| failed("write", file, &error))?;
        }
        report(snapshot, old.as_deref())?;
    }
    for file in stale(root, snapshots)? {
        fs::remove_file(root.join(&file)).map_err(|error| failed("remove", &file, &error))?;
        say(&format!("{}: removed, it belongs to no service\n", shown(&file)));
    }
    Ok(())
}

fn compare(options: &Options, snapshots: &[Snapshot]) -> Result<(), Failures> {
    let root = &options.root;
    let mut failures = Vec::new();
    let mut differences = String::new();
    for snapshot in snapshots {
        let (file, _, new) = snapshot;
        let old = read(root, file)?;
        report(snapshot, old.as_deref())?;
        if old.as_deref() != Some(new) {
            let name = shown(file);
            failures.push(if old.is_none() { format!("{name} is missing") } else { format!("{name} is out of date") });
            let old = old.unwrap_or_default();
            let header = (format!("{name} (committed)"), format!("{name} (generated)"));
            let diff = TextDiff::from_lines(old.as_str(), new.as_str());
            differences += &diff.unified_diff().context_radius(3).header(&header.0, &header.1).to_string();
        }
    }
    failures.extend(stale(root, snapshots)?.iter().map(|file| format!("{} belongs to no service", shown(file))));
    if failures.is_empty() {
        return Ok(());
    }
    let count = differences.lines().count();
    say(&differences.lines().take(DIFF_LINES).fold(String::new(), |text, line| text + line + "\n"));
    if count > DIFF_LINES {
        say(&format!("... and {} more lines\n", count - DIFF_LINES));
    }
    failures.push("run `cargo xtask regen` and commit the result".to_owned());
    Err(failures)
}

/// That code is generated does not mean that it compiles, least of all together with the hand-written types.
fn compile(root: &Path) -> Result<(), Failures> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(&cargo)
        .args(["check", "--package", "gettone", "--lib", "--features", "full"])
        .current_dir(root)
        .output()
        .map_err(|error| failed("run", Path::new(&cargo), &error))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(vec![said.trim_end().to_owned(), "the crate does not compile with what is generated".to_owned()])
}

/// Prints; a reader that has gone away, as `head` does, is no failure.
pub fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}
