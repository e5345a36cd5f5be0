//! Generated files that are committed, so that a review shows what changed in them.

use std::path::Path;
use std::{fs, io};

use crate::{Failures, say};

/// Returns the text of a file, with Unix newlines, or an empty text if the file does not exist.
pub fn read(root: &Path, file: &str) -> Result<String, Failures> {
    match fs::read(root.join(file)) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).replace("\r\n", "\n")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(vec![format!("cannot read {file}: {error}")]),
    }
}

/// Writes a generated text to its file. With `check`, fails if the file has another text.
pub fn keep(root: &Path, file: &str, new: &str, task: &str, check: bool) -> Result<(), Failures> {
    let old = read(root, file)?;
    if old == new {
        say(&format!("{file}: unchanged\n"));
        return Ok(());
    }
    if check {
        let (mut committed, mut made) = (old.lines(), new.lines());
        let mut line = 1;
        let (committed, made) = loop {
            match (committed.next(), made.next()) {
                (Some(a), Some(b)) if a == b => line += 1,
                (a, b) => break (a.unwrap_or_default(), b.unwrap_or_default()),
            }
        };
        return Err(vec![
            format!("{file}:{line}: out of date"),
            format!("- {committed}"),
            format!("+ {made}"),
            format!("if the change is meant, run `cargo xtask {task}` and commit the result"),
        ]);
    }
    let path = root.join(file);
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, new));
    written.map_err(|error| vec![format!("cannot write {file}: {error}")])?;
    say(&format!("{file}: updated\n"));
    Ok(())
}
