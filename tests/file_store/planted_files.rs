//! What a [`FileStore`] does with files that another user put into its folder while it was writable for them.
//!
//! The tests replace each file that the store opens with each kind of file. The store rejects a file that it would use, and gives a new file
//! another name. Nothing behind a link changes, no call hangs, and the store works as soon as the user has done what the error says.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use gettone::store::{FileStore, Record, StoreError, TokenStore};

use super::{damage, hold, put, set_mode, stored, token};

/// Ends a call that hangs; nothing is measured.
const AT_LAST: Duration = Duration::from_secs(10);

/// The content of every planted file: a valid token file, so that the content is no reason to reject it.
const CONTENT: &str = r#"{"version":1,"tokens":{}}"#;

/// The token file, its lock, the lock of the name "a", a temporary file, and a damaged file.
const PLACES: [Place; 5] = [Place::Tokens, Place::Lock, Place::NameLock, Place::Temporary, Place::Damaged];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Tokens,
    Lock,
    NameLock,
    Temporary,
    Damaged,
}

impl Place {
    fn suffix(self) -> String {
        match self {
            Self::Tokens => String::new(),
            Self::Lock => ".lock".to_owned(),
            Self::NameLock => ".af63dc4c8601ec8c.lock".to_owned(),
            Self::Temporary => format!(".{}.tmp", std::process::id()),
            Self::Damaged => ".damaged-0".to_owned(),
        }
    }

    /// Lists the calls that open it. The store does not open a file that it creates under a free name.
    fn calls(self) -> &'static [Call] {
        match self {
            Self::Tokens => &[Call::Open, Call::Load, Call::Save, Call::Remove],
            Self::Lock => &[Call::Open, Call::Save, Call::Remove],
            Self::NameLock => &[Call::Lock],
            Self::Temporary | Self::Damaged => &[],
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Plant {
    LinkToVictim,
    LinkToNothing,
    LinkToFifo,
    LinkToDevice,
    Fifo,
    Socket,
    Folder,
    HardLink,
    Readable,
    Writable,
    /// Only root can give files away.
    Foreign,
}

const PLANTS: [Plant; 11] = [
    Plant::LinkToVictim,
    Plant::LinkToNothing,
    Plant::LinkToFifo,
    Plant::LinkToDevice,
    Plant::Fifo,
    Plant::Socket,
    Plant::Folder,
    Plant::HardLink,
    Plant::Readable,
    Plant::Writable,
    Plant::Foreign,
];

impl Plant {
    fn put(self, folder: &Folder, path: &Path) {
        let write = |mode| {
            fs::write(path, CONTENT).unwrap();
            set_mode(path, mode);
        };
        match self {
            Self::LinkToVictim => symlink(folder.victim(), path).unwrap(),
            Self::LinkToNothing => symlink(folder.elsewhere().join("nothing"), path).unwrap(),
            Self::LinkToFifo => symlink(folder.elsewhere().join("fifo"), path).unwrap(),
            Self::LinkToDevice => symlink("/dev/zero", path).unwrap(),
            Self::Fifo => fifo(path),
            Self::Socket => {
                // The path of a socket may have about a hundred characters.
                let short = folder.path.join("s");
                drop(UnixListener::bind(&short).unwrap());
                fs::rename(short, path).unwrap();
            }
            Self::Folder => fs::create_dir(path).unwrap(),
            Self::HardLink => fs::hard_link(folder.victim(), path).unwrap(),
            Self::Readable => write(0o644),
            Self::Writable => write(0o666),
            Self::Foreign => {
                write(0o600);
                chown(path, Some(12345), None).unwrap();
            }
        }
    }

    /// Returns what the error says: what is wrong with it, and what to do.
    fn refusal(self, it: &str, path: &str) -> String {
        let own = it == "it";
        let (fault, instead) = match self {
            Self::LinkToVictim | Self::LinkToNothing | Self::LinkToFifo | Self::LinkToDevice => {
                ("is a symbolic link", ", or give the path that it leads to")
            }
            Self::Fifo | Self::Socket | Self::Folder => {
                ("is not a regular file", ", or give the path of a regular file")
            }
            Self::HardLink => ("has a second name (a hard link)", ""),
            Self::Foreign => ("belongs to another user", ", or give the path of a file of your own"),
            Self::Readable | Self::Writable => return format!("other users can open {it}: chmod 600 {path}"),
        };
        format!("{it} {fault}: remove it{}", if own { instead } else { "" })
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Open,
    Load,
    Save,
    Remove,
    Lock,
}

const CALLS: [Call; 5] = [Call::Open, Call::Load, Call::Save, Call::Remove, Call::Lock];

impl Call {
    async fn make(self, store: &FileStore, file: &Path) -> Result<(), StoreError> {
        match self {
            Self::Open => FileStore::open(file).await.map(drop).map_err(Into::into),
            Self::Load => store.load("a").await.map(drop),
            Self::Save => {
                // Also if the record cannot be loaded.
                let seen = store.load("a").await.ok().flatten();
                store.replace("a", seen.as_ref().map(Record::version), &token("t")).await.map(drop)
            }
            Self::Remove => store.remove("a").await,
            Self::Lock => store.lock("a", None).await.map(drop),
        }
    }
}

/// A folder for the store, and another one with the targets of the links.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("gettone-planted-{}-{number}", std::process::id()));
        let made = Self { path };
        for path in [&made.path, &made.path.join("store"), &made.elsewhere()] {
            DirBuilder::new().mode(0o700).create(path).unwrap();
        }
        fs::write(made.victim(), CONTENT).unwrap();
        set_mode(&made.victim(), 0o600);
        fifo(&made.elsewhere().join("fifo"));
        made
    }

    fn file(&self) -> PathBuf {
        self.path.join("store/tokens.json")
    }

    fn at(&self, place: Place) -> PathBuf {
        let mut path = self.file().into_os_string();
        path.push(place.suffix());
        path.into()
    }

    fn elsewhere(&self) -> PathBuf {
        self.path.join("elsewhere")
    }

    fn victim(&self) -> PathBuf {
        self.elsewhere().join("victim")
    }

    /// Asserts that the victim and the files beside it have not changed.
    fn untouched(&self, what: &str) {
        let found = fs::metadata(self.victim()).unwrap();
        assert_eq!(
            (fs::read_to_string(self.victim()).unwrap().as_str(), found.mode() & 0o7777),
            (CONTENT, 0o600),
            "{what}"
        );
        assert_eq!(names(&self.elsewhere()), ["fifo", "victim"], "{what}");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs work on a thread with its own runtime, and returns how it failed. A thread that hangs is left behind, since nothing can end it.
fn failure(what: String, work: impl AsyncFnOnce() + Send + 'static) -> Option<String> {
    let (done, ended) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work());
        done.send(()).unwrap();
    });
    match ended.recv_timeout(AT_LAST) {
        Ok(()) => None,
        Err(RecvTimeoutError::Timeout) => Some(format!("{what}: hangs")),
        Err(RecvTimeoutError::Disconnected) => {
            let panic = thread.join().unwrap_err();
            let message = panic.downcast_ref::<String>().cloned().unwrap_or_else(|| format!("{panic:?}"));
            Some(format!("{what}: {message}"))
        }
    }
}

/// Does exactly what an error says.
fn follow(advice: &str, path: &Path) {
    if advice.starts_with("remove it") {
        match path.is_dir() && !path.is_symlink() {
            true => fs::remove_dir_all(path).unwrap(),
            false => fs::remove_file(path).unwrap(),
        }
    } else {
        assert!(advice.starts_with("chmod "), "{advice}");
        assert!(Command::new("sh").args(["-c", advice]).status().unwrap().success());
    }
}

/// Plants a file before or after a store is opened, and checks each call.
async fn plant(place: Place, plant: Plant, before: bool) {
    let what = format!("before: {before}");
    let folder = Folder::new();
    let (file, path) = (folder.file(), folder.at(place));
    // A store that was opened before has an error for each call too.
    let store = FileStore::open(&file).await.unwrap();
    if before {
        for name in names(file.parent().unwrap()) {
            fs::remove_file(file.with_file_name(name)).unwrap();
        }
    } else {
        put(&store, "a", &token("t")).await.unwrap();
        drop(hold(&store, "a").await.unwrap());
    }
    let _ = fs::remove_file(&path);
    plant.put(&folder, &path);
    let planted = fs::symlink_metadata(&path).unwrap();

    let it = if place == Place::Tokens { "it".to_owned() } else { path.display().to_string() };
    let refusal = plant.refusal(&it, &path.display().to_string());
    for call in CALLS {
        let made = call.make(&store, &file).await;
        if place.calls().contains(&call) {
            let error = made.expect_err(&format!("{what}: {call:?}"));
            assert_eq!(error.to_string(), format!("token file {}: {refusal}", file.display()), "{what}: {call:?}");
            assert!(error.downcast_ref::<gettone::Error>().unwrap().is_invalid_input(), "{what}: {call:?}");
        } else {
            made.unwrap_or_else(|error| panic!("{what}: {call:?}: {error}"));
        }
        folder.untouched(&what);
    }
    if place == Place::Damaged {
        fs::write(&file, "damaged").unwrap();
        set_mode(&file, 0o600);
        let error = damage(&store, "a").await;
        assert!(error.contains("tokens.json.damaged-1"), "{error}");
        assert_eq!(fs::read(file.with_file_name("tokens.json.damaged-1")).unwrap(), b"damaged");
    }
    // The planted file is unchanged, except that the store removes a temporary file.
    match fs::symlink_metadata(&path) {
        Ok(found) => {
            assert_eq!((found.ino(), found.mode(), found.len()), (planted.ino(), planted.mode(), planted.len()))
        }
        Err(_) => assert_eq!(place, Place::Temporary, "{what}"),
    }

    if !place.calls().is_empty() {
        follow(refusal.rsplit_once(": ").unwrap().1, &path);
    }
    for call in CALLS {
        call.make(&store, &file).await.unwrap_or_else(|error| panic!("{what}, then: {call:?}: {error}"));
    }
    put(&store, "a", &token("t")).await.unwrap();
    assert_eq!(stored(&store, "a").await, Some(token("t")), "{what}");
    folder.untouched(&what);
}

/// Lists the kinds of files, those of another user only if root runs the test.
fn plants() -> impl Iterator<Item = Plant> {
    PLANTS.into_iter().filter(|plant| *plant != Plant::Foreign || is_root())
}

fn all(before: bool) {
    let table = PLACES.into_iter().flat_map(|place| plants().map(move |kind| (place, kind)));
    let failures: Vec<_> = table
        .filter_map(|(place, kind)| {
            failure(format!("{kind:?} as {place:?}"), async move || plant(place, kind, before).await)
        })
        .collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn a_file_planted_before_a_store_is_opened_does_no_harm() {
    all(true);
}

#[test]
fn a_file_planted_while_a_store_is_open_does_no_harm() {
    all(false);
}

/// A new kind of file needs a row in the table.
#[tokio::test]
async fn every_file_that_a_store_creates_is_in_the_table() {
    let folder = Folder::new();
    let store = FileStore::open(folder.file()).await.unwrap();
    fs::write(folder.file(), "damaged").unwrap();
    set_mode(&folder.file(), 0o600);
    put(&store, "a", &token("a")).await.unwrap();
    drop(store.lock("a", None).await.unwrap());
    let mut known = PLACES.map(|place| format!("tokens.json{}", place.suffix())).to_vec();
    // A killed writer leaves it, which another test has.
    known.retain(|name| !name.ends_with(".tmp"));
    known.sort();
    assert_eq!(names(folder.file().parent().unwrap()), known);
}

/// The folder may be a link, for example to another disk. The store checks the target.
#[test]
fn a_path_that_is_not_a_folder_is_rejected_and_a_link_to_a_folder_is_followed() {
    for kind in [Plant::LinkToVictim, Plant::LinkToNothing, Plant::LinkToFifo, Plant::Fifo, Plant::Socket] {
        let failed = failure(format!("{kind:?}"), async move || {
            let folder = Folder::new();
            let path = folder.path.join("store");
            let store = FileStore::open(folder.file()).await.unwrap();
            fs::remove_dir_all(&path).unwrap();
            kind.put(&folder, &path);
            for call in CALLS {
                let error = call.make(&store, &folder.file()).await.expect_err(&format!("{kind:?}: {call:?}"));
                assert!(error.downcast_ref::<gettone::Error>().unwrap().is_store(), "{kind:?}: {call:?}: {error}");
                folder.untouched(&format!("{kind:?}: {call:?}"));
            }
        });
        assert_eq!(failed, None);
    }
    let failed = failure("a link to a folder".to_owned(), async || {
        let folder = Folder::new();
        let (path, moved) = (folder.path.join("store"), folder.path.join("moved"));
        fs::rename(&path, &moved).unwrap();
        symlink(&moved, &path).unwrap();
        let store = FileStore::open(folder.file()).await.unwrap();
        put(&store, "a", &token("t")).await.unwrap();
        assert_eq!(stored(&store, "a").await, Some(token("t")));
        drop(hold(&store, "a").await.unwrap());
        set_mode(&moved, 0o777);
        for call in CALLS {
            let error = call.make(&store, &folder.file()).await.expect_err(&format!("{call:?}")).to_string();
            assert!(error.contains("other users can write to its folder: chmod go-w "), "{call:?}: {error}");
        }
    });
    assert_eq!(failed, None);
}
