mod opened;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, ErrorKind, Write};
#[cfg(unix)]
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use self::opened::{LARGEST, Purpose};
use super::{PATIENCE, StoreError, StoreLock, StoredToken, TokenStore, fnv_1a};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Kind};
use crate::trace;

/// Keeps tokens in a file, for several processes of one user.
///
/// - On Unix nobody else can read the file or write to its folder. The store creates both that way, and refuses them if they are not,
///   or if they belong to somebody else. It also refuses a link in place of the file, and anything else that somebody may have put
///   there while they could write to the folder. The same goes for the lock files. Elsewhere the store does not look at permissions.
/// - A file has at most 16 MiB. A larger one is refused without being read.
/// - The file is replaced as a whole, so that a process that is killed spoils nothing. One that is damaged nevertheless is
///   renamed to `<file>.damaged-0`, or a later number, and the store goes on without a token. The next call of
///   [`load`](TokenStore::load) returns that as an error once, which [`Builder::on_store_failure`](crate::Builder::on_store_failure)
///   shows.
/// - A token that was of no use any more when another one was obtained is dropped when that is saved.
/// - Lock files stay beside the file: `<file>.lock`, and one for each name. Only while no process uses the store is it safe to
///   remove them. Not every file system over a network has locks.
/// - The lock of a name is waited for at the most 170 s. Who does not get it goes on without, so that a process that hangs holds up
///   nobody for ever; two refreshes at the same time are possible then, also where a client's
///   [timeout](crate::Builder::timeout) lets an exchange take longer than that. The file itself is waited for at the most 5 s.
///
/// A clone is the same store. The [module](super) shows how to use one.
#[derive(Clone)]
pub struct FileStore(Arc<Place>);

impl FileStore {
    /// Looks at the file and its folder, which is made if it is missing. The file itself is made when there is a token.
    ///
    /// # Errors
    ///
    /// With what is wrong and what to do:
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the path cannot be used. Others can read the file or its lock file, or write to
    ///   the folder; one of them belongs to another user, is not a regular file, or is a hard link; the file is larger than 16 MiB; a
    ///   later version of this crate wrote it; or there is no tokio runtime.
    /// - [`is_store`](Error::is_store): the operating system refused it. This user cannot read and write there, the disk is full.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let given = path.into();
        // The working folder may be another one later.
        let path = std::path::absolute(&given).unwrap_or_default();
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Error::invalid_input(format!("token file {given:?}: give the path of a file")));
        };
        let place = Place {
            path: folder.join(name),
            folder: folder.to_owned(),
            sync_folder: opened::sync_folder,
            unreported: Mutex::default(),
        };
        let store = Self(Arc::new(place));
        store.blocking(Place::open).await?;
        Ok(store)
    }

    /// Work on files blocks, so it is done on threads that may be blocked; and to its end, even if nobody waits for it.
    async fn blocking<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: FnOnce(&Place) -> io::Result<T> + Send + 'static,
    {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return Err(Error::invalid_input("token file: no tokio runtime, whose threads work on files"));
        };
        let place = Arc::clone(&self.0);
        let done = runtime.spawn_blocking(move || work(&place)).await;
        done.map_err(io::Error::from).flatten().map_err(|error| self.0.explain(error))
    }
}

impl TokenStore for FileStore {
    async fn load(&self, name: &str) -> Result<Option<StoredToken>, StoreError> {
        let name = name.to_owned();
        let loaded = self.blocking(move |place| place.load(&name)).await?;
        match self.0.unreported().take() {
            Some(damage) => Err(Error::new(Kind::Store).with_message(damage).into()),
            None => Ok(loaded),
        }
    }

    async fn save(&self, name: &str, token: &StoredToken) -> Result<(), StoreError> {
        let (name, json) = (name.to_owned(), token.to_json());
        // By the clock that the new token was obtained by.
        let now = token.obtained_at;
        Ok(self.blocking(move |place| place.replace(name, Some((json.expose(), now)))).await?)
    }

    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        let name = name.to_owned();
        Ok(self.blocking(move |place| place.replace(name, None)).await?)
    }

    /// Tries again and again: a thread that waits for the lock of a file cannot be told to stop, and would keep the runtime
    /// from ending.
    ///
    /// # Errors
    ///
    /// Another process has had it for 170 s, the lock file cannot be opened, or its file system has no locks.
    async fn lock(&self, name: &str) -> Result<StoreLock, StoreError> {
        // Two names with the same hash merely wait for each other.
        let suffix = format!(".{:016x}.lock", fnv_1a(name));
        let open = move |place: &Place| {
            opened::check_folder(&place.folder)?;
            opened::open(&place.beside(&suffix), Purpose::Lock)
        };
        let lock = Lock(self.blocking(open).await?);
        let (clock, mut waited, mut pause) = (SystemClock::default(), Duration::ZERO, Duration::from_millis(5));
        while let Err(error) = lock.0.try_lock() {
            // A process that was stopped may have the lock for ever; one that works has it for two calls at the most.
            if waited >= PATIENCE || matches!(error, TryLockError::Error(_)) {
                return Err(self.0.explain(error.into()).into());
            }
            clock.sleep(pause).await;
            waited += pause;
            pause = Duration::from_millis(100).min(2 * pause);
        }
        Ok(StoreLock::new(lock))
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").field("path", &self.0.path).finish()
    }
}

const VERSION: u64 = 1;
const EMPTY: &[u8] = br#"{"version":1,"tokens":{}}"#;

/// JSON as it stands in the file, so that what is not understood is kept, and no secret is copied.
type Fields<'a> = BTreeMap<String, &'a RawValue>;

#[derive(Serialize)]
struct Contents<'a> {
    version: u64,
    tokens: Fields<'a>,
    #[serde(flatten)]
    rest: Fields<'a>,
}

fn take<'a, T: Deserialize<'a>>(fields: &mut Fields<'a>, name: &str) -> Option<T> {
    serde_json::from_str(fields.remove(name)?.get()).ok()
}

/// `None` if the file is damaged.
fn parse(text: &[u8]) -> io::Result<Option<Contents<'_>>> {
    let mut rest = serde_json::from_slice::<Fields<'_>>(text).unwrap_or_default();
    match take(&mut rest, "version") {
        Some(VERSION) => Ok(take(&mut rest, "tokens").map(|tokens| Contents { version: VERSION, tokens, rest })),
        Some(version) if version > VERSION => Err(io::Error::other(format!(
            "a later version of this crate wrote it, in format {version}: update this program, or give it another path"
        ))),
        _ => Ok(None),
    }
}

struct Place {
    path: PathBuf,
    folder: PathBuf,
    sync_folder: fn(&Path) -> io::Result<()>,
    /// What was found damaged, until somebody is told.
    unreported: Mutex<Option<String>>,
}

impl Place {
    fn unreported(&self) -> MutexGuard<'_, Option<String>> {
        self.unreported.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> io::Result<()> {
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        builder.mode(0o700);
        builder.recursive(true).create(&self.folder)?;
        self.alone(|_| Ok(()))
    }

    fn load(&self, name: &str) -> io::Result<Option<StoredToken>> {
        opened::check_folder(&self.folder)?;
        // Without the lock: the file is only ever replaced as a whole.
        match parse(&self.text()?)? {
            Some(contents) => Ok(self.token(&contents, name)),
            None => self.alone(|contents| Ok(self.token(&contents, name))),
        }
    }

    /// A damaged record is as good as none, and stays until a token is saved in its place.
    fn token(&self, contents: &Contents<'_>, name: &str) -> Option<StoredToken> {
        let token = StoredToken::from_json(contents.tokens.get(name)?.get());
        let damaged = |error: &Error| {
            trace::cache::no_token(&self.path, name, error);
            let path = self.path.display();
            *self.unreported() = Some(format!("token file {path}: the record of {name} cannot be read: {error}"));
        };
        token.inspect_err(damaged).ok()
    }

    /// What was of no use any more at a moment goes with it.
    fn replace(&self, name: String, record: Option<(&str, SystemTime)>) -> io::Result<()> {
        self.alone(|Contents { version, mut tokens, rest }| {
            if tokens.remove(&name).is_none() && record.is_none() {
                return Ok(());
            }
            if let Some((json, now)) = record {
                let useless = |json: &str| StoredToken::from_json(json).is_ok_and(|token| token.discard_after() < now);
                tokens.retain(|_, record| !useless(record.get()));
                tokens.insert(name, serde_json::from_str(json)?);
            }
            let contents = Contents { version, tokens, rest };
            let written = self.write(&contents);
            if written.is_err() && contents.tokens.is_empty() && contents.rest.is_empty() {
                // A full disk is no reason to keep what is to go.
                return fs::remove_file(&self.path);
            }
            written
        })
    }

    /// Does something with what is in the file while nobody else writes to it, in this process or another. A damaged file is
    /// set aside first.
    fn alone<T>(&self, work: impl FnOnce(Contents<'_>) -> io::Result<T>) -> io::Result<T> {
        opened::check_folder(&self.folder)?;
        // First, so that no lock file is made beside a token file that is refused.
        self.tokens()?;
        // Nobody has it for longer than it takes to write the file.
        let lock = Lock(opened::open(&self.beside(".lock"), Purpose::Lock)?);
        let mut tries = 0;
        while let Err(error) = lock.0.try_lock() {
            // A runtime waits for this thread when it ends, and a process that was stopped may have the lock for ever.
            if tries >= 1_000 || matches!(error, TryLockError::Error(_)) {
                return Err(error.into());
            }
            // Another process is waited for, which knows no clock of ours.
            #[allow(clippy::disallowed_methods)]
            std::thread::sleep(Duration::from_millis(5));
            tries += 1;
        }
        self.tidy()?;
        // Read only now: whoever had the lock may have saved, or set aside what was damaged.
        if let Some(contents) = parse(&self.text()?)? {
            return work(contents);
        }
        let (to, _) = self.create(|number| format!(".damaged-{number}"))?;
        fs::rename(&self.path, &to)?;
        trace::cache::set_aside(&self.path, &to);
        let (path, to) = (self.path.display(), to.display());
        *self.unreported() = Some(format!(
            "token file {path}: damaged, and kept as {to}, in which tokens may stand; the client gets new ones; find out what \
             wrote the file, then remove {to}"
        ));
        drop(lock);
        self.alone(work)
    }

    /// Opens the token file, if it exists.
    fn tokens(&self) -> io::Result<Option<File>> {
        match opened::open(&self.path, Purpose::Read) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some),
        }
    }

    fn text(&self) -> io::Result<Zeroizing<Vec<u8>>> {
        self.tokens()?.map_or_else(|| Ok(EMPTY.to_vec().into()), opened::read)
    }

    fn write(&self, contents: &Contents<'_>) -> io::Result<()> {
        let fields = contents.tokens.iter().chain(&contents.rest);
        let length: usize = fields.map(|(name, json)| 6 * name.len() + json.get().len() + 4).sum();
        // Large enough, even if each character of a name is escaped: a buffer that grows leaves copies behind.
        let mut text = Zeroizing::new(Vec::with_capacity(length + 64));
        serde_json::to_writer(&mut *text, contents)?;
        if text.len() as u64 > LARGEST {
            return Err(io::Error::other("it would be larger than 16 MiB: find out what fills it, then remove it"));
        }
        // Not named like that of another process, should locks do nothing here.
        let (temporary, mut file) = self.create(|number| format!(".{}.tmp", number + u64::from(std::process::id())))?;
        let written = file.write_all(&text).and_then(|()| file.sync_all());
        let replaced = written.and_then(|()| fs::rename(&temporary, &self.path));
        replaced.inspect_err(|_| drop(fs::remove_file(&temporary)))?;
        // Some file systems over a network, or in user space, cannot do it. The file is in its place all the same.
        if let Err(error) = (self.sync_folder)(&self.folder) {
            trace::cache::store_failed("write the folder through", &error);
        }
        Ok(())
    }

    /// Removes what writers left that were killed: whoever has the lock is the only one.
    fn tidy(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let suffix = path.as_os_str().as_encoded_bytes().strip_prefix(self.path.as_os_str().as_encoded_bytes());
            let number = suffix.and_then(|suffix| suffix.strip_prefix(b".")?.strip_suffix(b".tmp"));
            if number.is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit)) {
                // One that stays is in nobody's way.
                let _ = fs::remove_file(path);
            }
        }
        Ok(())
    }

    /// Makes a file beside this one, under a name that is free.
    fn create(&self, suffix: impl Fn(u64) -> String) -> io::Result<(PathBuf, File)> {
        let mut number = 0;
        loop {
            let path = self.beside(&suffix(number));
            match opened::open(&path, Purpose::Create) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
                made => return made.map(|file| (path, file)),
            }
        }
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(suffix);
        path.into()
    }

    fn explain(&self, error: io::Error) -> Error {
        let message = format!("token file {}: {error}", self.path.display());
        let advice = match error.kind() {
            // One of ours, which gives its own advice.
            ErrorKind::Other => return Error::invalid_input(message),
            ErrorKind::WouldBlock => "a process has had the lock for too long: end it if it hangs",
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                "make room for it: while the file cannot be written, what it has stays"
            }
            _ => "this user must be able to read, write and lock files in its folder",
        };
        Error::new(Kind::Store).with_message(format!("{message}; {advice}")).with_source(error)
    }
}

/// A lock that is given back when this value is dropped: to close the file is not enough, since a process that is being started
/// may have it as well.
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hostile::memory;
    use crate::token::AccessToken;

    /// On this thread, where memory is measured.
    #[test]
    fn a_file_of_a_gibibyte_is_refused_without_reading_it() {
        let folder = std::env::temp_dir().join(format!("gettone-large-{}", std::process::id()));
        let path = folder.join("tokens.json");
        let place = Place {
            path: path.clone(),
            folder: folder.clone(),
            sync_folder: opened::sync_folder,
            unreported: Mutex::default(),
        };
        place.open().unwrap();
        // It has a length, and nothing on the disk.
        opened::open(&path, Purpose::Create).unwrap().set_len(1 << 30).unwrap();
        for work in [Place::open, |place: &Place| place.load("a").map(drop), |place: &Place| place.text().map(drop)] {
            let (done, peak) = memory::peak(|| work(&place));
            assert!(done.unwrap_err().to_string().contains("larger than 16 MiB"));
            assert!(peak < 64 * 1024, "{peak} bytes");
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_through_costs_no_token() {
        let folder = std::env::temp_dir().join(format!("gettone-sync-{}", std::process::id()));
        let mut store = FileStore::open(folder.join("tokens.json")).await.unwrap();
        Arc::get_mut(&mut store.0).unwrap().sync_folder = |_| Err(ErrorKind::InvalidInput.into());
        let now = SystemTime::UNIX_EPOCH;
        let token = StoredToken {
            access_token: AccessToken::new("t"),
            obtained_at: now,
            expires_at: now + Duration::from_secs(3600),
            renewal: None,
            scopes: None,
            name: None,
        };
        store.save("name", &token).await.unwrap();
        assert_eq!(store.load("name").await.unwrap(), Some(token));
        store.remove("name").await.unwrap();
        assert_eq!(store.load("name").await.unwrap(), None);
        fs::remove_dir_all(folder).unwrap();
    }
}
