//! Opens every file of the file store, and refuses those that other users may have planted or can read.
//!
//! A user who could once write to the folder may have left anything under the names that the store uses. So the store opens each file
//! without following a link and without waiting, and checks the opened file, not its path, which may lead elsewhere a moment later.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
#[cfg(unix)]
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
#[cfg(windows)]
use std::os::windows::fs::OpenOptionsExt;
use std::path::Path;

use zeroize::Zeroizing;

/// The largest token file: four times the largest response that a client reads, so that no single token fills it. A usual record has
/// about a kilobyte.
pub(super) const MAX_LENGTH: u64 = 16 * 1024 * 1024;

/// The purpose that a file is opened for.
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
/// - [`Other`](ErrorKind::Other): the file was refused. The message says why and what to do.
/// - any other kind: the operating system's own error.
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
            // May be a link: folders are moved to other disks like that.
            Purpose::Folder => libc::O_DIRECTORY,
            _ => libc::O_NOFOLLOW,
        };
        // Without `O_NONBLOCK`, opening a FIFO waits for a process at its other end.
        options.custom_flags(special | libc::O_NONBLOCK | libc::O_CLOEXEC).mode(0o600);
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
            // Each system names the reason in another way. Nothing was opened, so checking the path is enough.
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

/// Reads a file to its end. Limits its size again, since it may have grown since the check.
///
/// # Errors
///
/// - The file is too large.
/// - The operating system cannot read it.
pub(super) fn read(file: File) -> io::Result<Zeroizing<Vec<u8>>> {
    // Large enough: a buffer that grows leaves copies behind.
    let length = usize::try_from(file.metadata()?.len().min(MAX_LENGTH)).unwrap_or(0);
    let mut text = Zeroizing::new(Vec::with_capacity(length + 32));
    file.take(MAX_LENGTH + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_LENGTH { Err(too_large()) } else { Ok(text) }
}

/// Refuses a folder that another user can write to.
#[cfg(unix)]
pub(super) fn check_folder(folder: &Path) -> io::Result<()> {
    open(folder, Purpose::Folder).map(drop)
}

#[cfg(not(unix))]
pub(super) fn check_folder(folder: &Path) -> io::Result<()> {
    fs::metadata(folder).map(drop)
}

/// Syncs a folder, so that the new name of a file survives a power cut.
#[cfg(unix)]
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    open(folder, Purpose::Folder)?.sync_all()
}

#[cfg(not(unix))]
pub(super) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Refuses a file that is not safe. The text calls the token file "it", since the error begins with its path, and names any other file.
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
    // The owner is checked before the mode: `chmod` is the wrong advice for a file of another user.
    let (fault, instead) = if found.is_symlink() {
        ("is a symbolic link", ", or give the path that it leads to")
    } else if !found.is_file() {
        ("is not a regular file", ", or give the path of a regular file")
    } else if !is_own(found) {
        ("belongs to another user", ", or give the path of a file of your own")
    } else if has_second_name(found) {
        ("has a second name (a hard link)", "")
    } else if mode(found) & 0o077 != 0 {
        return Err(io::Error::other(format!("other users can open {it}: chmod 600 {shown}")));
    } else if is_tokens && found.len() > MAX_LENGTH {
        return Err(too_large());
    } else {
        return Ok(());
    };
    Err(io::Error::other(format!("{it} {fault}: remove it{}", if is_tokens { instead } else { "" })))
}

#[cfg(unix)]
fn check_folder_found(folder: &Path, found: &Metadata) -> io::Result<()> {
    // Root can do anything anyway.
    if !is_own(found) && found.uid() != 0 {
        return Err(io::Error::other("its folder belongs to another user: use a folder of your own"));
    }
    let advice = match mode(found) {
        bits if bits & 0o022 == 0 => return Ok(()),
        bits if bits & 0o1000 == 0 => format!("chmod go-w {}", folder.display()),
        // A shared folder, like `/tmp`.
        _ => "use a folder that only you can write to".to_owned(),
    };
    Err(io::Error::other(format!("other users can write to its folder: {advice}")))
}

fn too_large() -> io::Error {
    io::Error::other("it is larger than 16 MiB, so it is not a token file: find out what wrote it, then remove it")
}

#[cfg(unix)]
fn mode(found: &Metadata) -> u32 {
    found.permissions().mode()
}

#[cfg(unix)]
fn is_own(found: &Metadata) -> bool {
    found.uid() == rustix::process::geteuid().as_raw()
}

/// Returns whether a file has a second name. A file that was replaced after it was opened has none left, so the number may be 0.
#[cfg(unix)]
fn has_second_name(found: &Metadata) -> bool {
    found.nlink() > 1
}

/// Returns no permissions: the store does not know those of other systems.
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

    /// Creates a file, and opens it twice.
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
        assert!(peak < 2 * MAX_LENGTH + 1024 * 1024, "{peak} bytes");
        fs::remove_file(path).unwrap();
    }
}
