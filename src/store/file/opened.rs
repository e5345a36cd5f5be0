//! Opens every file of a store.
//!
//! Whoever could once write to the folder may have left anything under the names that the store uses. So each file is opened without
//! following a link and without waiting, and the opened file is checked, not its path, which may lead elsewhere a moment later.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
#[cfg(unix)]
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
#[cfg(windows)]
use std::os::windows::fs::OpenOptionsExt;
use std::path::Path;

#[cfg(unix)]
use rustix::fs::OFlags;
use zeroize::Zeroizing;

/// The largest token file: four times the largest response that a client reads, so that no single token fills it. A record has about
/// a kilobyte.
pub(super) const LARGEST: u64 = 16 * 1024 * 1024;

/// What a file is opened for.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Purpose {
    /// To read the tokens.
    Read,
    /// To lock it. It is created if it does not exist.
    Lock,
    /// To write a file that does not exist yet.
    Create,
    /// To check the folder, or to flush it.
    #[cfg(unix)]
    Folder,
}

/// Opens a file, and refuses it unless it is a regular file that this user alone can open, under this name alone.
///
/// # Errors
///
/// One of kind [`Other`](ErrorKind::Other) says what was refused and what to do. All others are the operating system's.
pub(super) fn open(path: &Path, purpose: Purpose) -> io::Result<File> {
    let mut options = OpenOptions::new();
    match purpose {
        Purpose::Read => options.read(true),
        Purpose::Lock => options.write(true).create(true).truncate(false),
        Purpose::Create => options.write(true).create_new(true),
        #[cfg(unix)]
        Purpose::Folder => options.read(true),
    };
    #[cfg(unix)]
    {
        let special = match purpose {
            // A folder that was moved to another disk has a link in its place.
            Purpose::Folder => OFlags::DIRECTORY,
            _ => OFlags::NOFOLLOW,
        };
        // Without `NONBLOCK`, opening a FIFO waits for somebody at its other end.
        options.custom_flags((special | OFlags::NONBLOCK | OFlags::CLOEXEC).bits().cast_signed()).mode(0o600);
    }
    #[cfg(windows)]
    {
        // Opens a link itself, not what it leads to.
        const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;
        options.custom_flags(FILE_FLAG_OPEN_REPARSE_POINT);
    }
    match options.open(path) {
        Ok(file) => {
            check(path, &file.metadata()?, purpose)?;
            Ok(file)
        }
        Err(error) => {
            // How the system names the reason depends on the system. Nothing is opened any more, so the path will do.
            if matches!(purpose, Purpose::Read | Purpose::Lock)
                && error.kind() != ErrorKind::NotFound
                && let Ok(found) = fs::symlink_metadata(path)
            {
                check(path, &found, purpose)?;
            }
            Err(error)
        }
    }
}

/// Reads a file to its end. Its size is limited once more, since the file may have grown since it was checked.
///
/// # Errors
///
/// The file is too large, or the operating system cannot read it.
pub(super) fn read(file: File) -> io::Result<Zeroizing<Vec<u8>>> {
    // Large enough: a buffer that grows leaves copies behind.
    let length = usize::try_from(file.metadata()?.len().min(LARGEST)).unwrap_or(0);
    let mut text = Zeroizing::new(Vec::with_capacity(length + 32));
    file.take(LARGEST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LARGEST { Err(too_large()) } else { Ok(text) }
}

/// Refuses a folder that somebody else could write to.
#[cfg(unix)]
pub(super) fn check_folder(folder: &Path) -> io::Result<()> {
    open(folder, Purpose::Folder).map(drop)
}

#[cfg(not(unix))]
pub(super) fn check_folder(folder: &Path) -> io::Result<()> {
    fs::metadata(folder).map(drop)
}

/// Flushes a folder: the new name of a file outlives a power cut only then.
#[cfg(unix)]
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    open(folder, Purpose::Folder)?.sync_all()
}

#[cfg(not(unix))]
pub(super) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// The token file is "it", since the error begins with its path. Other files are named.
fn check(path: &Path, found: &Metadata, purpose: Purpose) -> io::Result<()> {
    #[cfg(unix)]
    if purpose == Purpose::Folder {
        return check_folder_found(path, found);
    }
    let shown = path.display();
    let (it, is_tokens) = match purpose {
        Purpose::Read => ("it".to_owned(), true),
        _ => (shown.to_string(), false),
    };
    // Whose file it is comes before its mode, because `chmod` would change a file that belongs elsewhere.
    let (fault, instead) = if found.is_symlink() {
        ("is a symbolic link", ", or give the path that it leads to")
    } else if !found.is_file() {
        ("is not a regular file", ", or give the path of one")
    } else if !is_own(found) {
        ("belongs to another user", ", or give the path of your own")
    } else if has_second_name(found) {
        ("has a second name (a hard link)", "")
    } else if mode(found) & 0o077 != 0 {
        return Err(io::Error::other(format!("others can open {it}: chmod 600 {shown}")));
    } else if is_tokens && found.len() > LARGEST {
        return Err(too_large());
    } else {
        return Ok(());
    };
    Err(io::Error::other(format!("{it} {fault}: remove it{}", if is_tokens { instead } else { "" })))
}

#[cfg(unix)]
fn check_folder_found(folder: &Path, found: &Metadata) -> io::Result<()> {
    // Root may do anything anyway.
    if !is_own(found) && found.uid() != 0 {
        return Err(io::Error::other("its folder belongs to another user: give it a folder of your own"));
    }
    let advice = match mode(found) {
        bits if bits & 0o022 == 0 => return Ok(()),
        bits if bits & 0o1000 == 0 => format!("chmod go-w {}", folder.display()),
        // Everybody's, like `/tmp`.
        _ => "give it a folder of its own".to_owned(),
    };
    Err(io::Error::other(format!("others can write to its folder: {advice}")))
}

fn too_large() -> io::Error {
    io::Error::other("it is larger than 16 MiB, which no token file is: find out what wrote it, then remove it")
}

#[cfg(unix)]
fn mode(found: &Metadata) -> u32 {
    found.permissions().mode()
}

#[cfg(unix)]
fn is_own(found: &Metadata) -> bool {
    found.uid() == rustix::process::geteuid().as_raw()
}

/// A file that was replaced after it was opened has no name left.
#[cfg(unix)]
fn has_second_name(found: &Metadata) -> bool {
    found.nlink() > 1
}

/// Nothing is known of permissions.
#[cfg(not(unix))]
fn mode(_: &Metadata) -> u32 {
    0
}

#[cfg(not(unix))]
fn is_own(_: &Metadata) -> bool {
    true
}

#[cfg(not(unix))]
fn has_second_name(_: &Metadata) -> bool {
    false
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::hostile::memory;

    /// A new file, opened twice.
    fn twice(name: &str) -> (std::path::PathBuf, File, File) {
        let path = std::env::temp_dir().join(format!("gettone-{name}-{}", std::process::id()));
        let written = open(&path, Purpose::Create).unwrap();
        let read = open(&path, Purpose::Read).unwrap();
        (path, written, read)
    }

    #[test]
    fn a_file_that_was_replaced_since_it_was_opened_is_no_hard_link() {
        let (path, _, file) = twice("replaced");
        fs::remove_file(&path).unwrap();
        check(&path, &file.metadata().unwrap(), Purpose::Read).unwrap();
        assert!(read(file).unwrap().is_empty());
    }

    #[test]
    fn a_file_that_grows_after_it_was_checked_is_read_up_to_the_limit() {
        let (path, written, file) = twice("growing");
        written.set_len(1 << 30).unwrap();
        let (text, peak) = memory::peak(|| read(file));
        assert!(text.unwrap_err().to_string().contains("larger than 16 MiB"));
        assert!(peak < 2 * LARGEST + 1024 * 1024, "{peak} bytes");
        fs::remove_file(path).unwrap();
    }
}
