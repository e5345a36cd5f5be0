//! The store in a file, which several processes can use at the same time.

mod opened;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, ErrorKind, Write};
#[cfg(unix)]
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::Instant;
use zeroize::Zeroizing;

use self::opened::{MAX_LENGTH, Purpose};
#[cfg(feature = "seal")]
use super::Sealing;
use super::{LOCK_TIMEOUT, Locked, Record, Replaced, StoreError, StoreLock, StoredToken, TokenStore, Version, fnv_1a};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Kind};
use crate::{runtime, trace};

/// A store in a file, for several processes of one user on one machine. Clones are the same store.
///
/// - On Unix no other user can read the file or write to its folder: the store creates both with such permissions, and refuses them if they
///   have others. It also refuses a link in place of the file, and anything else that another user may have left there. The same holds for
///   lock files. On other systems it does not check permissions. [Security](crate::guide::security#the-file) has the details.
/// - **Tokens are in plain text**, unless you have them sealed (feature `seal`, method `with_sealing`).
/// - The file may have at most 16 MiB. The store refuses a larger one without reading it.
/// - The store replaces the file as a whole, so a process that is killed damages nothing. If the file is damaged all the same, the store
///   renames it to `<file>.damaged-0` (or a later number) and continues without a token. While the first such file is there, a name without
///   a record counts as one with an [unreadable](Record::unreadable) record: the client reports that to
///   [`Builder::on_store_failure`](crate::Builder::on_store_failure), and replaces it, or fails if nothing else leads to a token.
/// - When the store saves a token, it drops records that have expired, by the clock of the client that saves. A record that expired more than
///   a year ago stays until it is replaced: a clock that says 1970 or 2040 makes no record of another program vanish.
/// - Lock files stay beside the file: `<file>.lock`, and one for each name. Remove them only while no process uses the store. Not every
///   network file system has locks.
/// - A client waits for the lock of a name for at most 170 s, and then requests its token without it. So a process that hangs blocks no
///   other for longer. A second program may then use the password. That may also happen if a client's [timeout](crate::Builder::timeout)
///   lets an exchange take longer. The store waits for the file itself for at most 5 s.
///
/// ```no_run
/// use gettone::openapi::{Credentials, v2::Oauth};
/// use gettone::store::FileStore;
///
/// # async fn run() -> Result<(), gettone::Error> {
/// let store = FileStore::open("/var/lib/invoices/tokens.json").await?;
/// let oauth = Oauth::builder(Credentials::from_env()?).store(store).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct FileStore {
    place: Arc<Place>,
    #[cfg(feature = "seal")]
    sealing: Sealing,
}

impl FileStore {
    /// Checks the file and its folder, and creates the folder if it is missing. The store creates the file when it saves a token.
    ///
    /// # Errors
    ///
    /// The message says what is wrong and what to do.
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): other users can read the file or its lock file, or write to the folder; one of
    ///   them belongs to another user, is not a regular file, or has a second name (hard link); the file is larger than 16 MiB; a later
    ///   version of this crate wrote it; the path does not name a file; or the call is outside a tokio runtime.
    /// - [`is_store`](Error::is_store): the operating system failed: for example, this user cannot read or write there, or the disk is
    ///   full.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let given = path.into();
        // The program may change its working folder later.
        let path = std::path::absolute(&given).unwrap_or_default();
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Error::invalid_input(format!(
                "token file {given:?}: the path does not name a file; add a file name"
            )));
        };
        let place = Place { path: folder.join(name), folder: folder.to_owned(), sync_folder: opened::sync_folder };
        let store = Self {
            place: Arc::new(place),
            #[cfg(feature = "seal")]
            sealing: Sealing::Off,
        };
        store.blocking(Place::open).await?;
        Ok(store)
    }

    /// Sets whether clients seal their records in the file. Default: [`Sealing::Off`], because no other user can read the file.
    ///
    /// Clients cannot use records that were written with another `Sealing`: they replace them. Unless it is [`Sealing::Off`], the store
    /// refuses a record that is not sealed.
    #[cfg(feature = "seal")]
    #[must_use]
    pub fn with_sealing(mut self, sealing: Sealing) -> Self {
        self.sealing = sealing;
        self
    }

    /// Runs work on files on a thread that may block. It runs to its end even if the call is dropped.
    async fn blocking<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: FnOnce(&Place) -> io::Result<T> + Send + 'static,
    {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return Err(Error::invalid_input(
                "token file: no tokio runtime: call from inside one, for example with `Runtime::block_on`",
            ));
        };
        let place = Arc::clone(&self.place);
        let done = runtime.spawn_blocking(move || work(&place)).await;
        done.map_err(io::Error::from).flatten().map_err(|error| self.place.explain(error))
    }
}

impl TokenStore for FileStore {
    async fn load(&self, name: &str) -> Result<Option<Record>, StoreError> {
        let name = name.to_owned();
        Ok(self.blocking(move |place| place.load(&name)).await?)
    }

    async fn replace(&self, name: &str, seen: Option<&Version>, token: &StoredToken) -> Result<Replaced, StoreError> {
        #[cfg(feature = "seal")]
        self.sealing.check(token)?;
        let (name, seen, token) = (name.to_owned(), seen.cloned(), token.clone());
        Ok(self.blocking(move |place| place.replace(name, seen.as_ref(), &token)).await?)
    }

    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        let name = name.to_owned();
        Ok(self.blocking(move |place| place.remove(&name)).await?)
    }

    /// Waits for the lock of a name by polling: a thread that blocks on a file lock cannot be canceled, and would keep the runtime from
    /// shutting down. Between two attempts it looks at the record.
    ///
    /// # Errors
    ///
    /// - The lock file cannot be opened.
    /// - The file system has no locks.
    /// - It must wait, and the runtime has no timers.
    async fn lock(&self, name: &str, seen: Option<&Version>) -> Result<Locked, StoreError> {
        // Two names with the same hash only wait for each other.
        let suffix = format!(".{:016x}.lock", fnv_1a(name));
        let open = move |place: &Place| {
            opened::check_folder(&place.folder)?;
            opened::open(&place.beside(&suffix), Purpose::Lock)
        };
        let lock = Lock(self.blocking(open).await?);
        let (clock, mut pause) = (SystemClock::default(), Duration::from_millis(5));
        let end = runtime::after(LOCK_TIMEOUT);
        while let Err(error) = lock.0.try_lock() {
            if matches!(error, TryLockError::Error(_)) {
                return Err(self.place.explain(error.into()).into());
            }
            // A process that was stopped may hold the lock forever; a running one holds it for two calls at most.
            if Instant::now() >= end {
                return Ok(Locked::Busy);
            }
            runtime::current()?;
            clock.sleep(pause).await;
            pause = Duration::from_millis(100).min(2 * pause);
            let name = name.to_owned();
            // A record that cannot be read now is read again under the lock.
            if let Ok(version) = self.blocking(move |place| place.version(&name)).await
                && version.as_ref() != seen
            {
                return Ok(Locked::Changed);
            }
        }
        Ok(Locked::Held(StoreLock::new(lock)))
    }

    #[cfg(feature = "seal")]
    fn sealing(&self) -> Sealing {
        self.sealing.clone()
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").field("path", &self.place.path).finish()
    }
}

const VERSION: u64 = 1;
/// The version of a record that may be in a damaged file. No hash is like it.
const LOST: &str = "lost";
const EMPTY: &[u8] = br#"{"version":1,"tokens":{}}"#;

/// JSON as it is in the file, so that unknown fields are kept and no secret is copied.
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

/// Reads the content of a file. `None` if it is damaged.
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
}

impl Place {
    fn open(&self) -> io::Result<()> {
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        builder.mode(0o700);
        builder.recursive(true).create(&self.folder)?;
        self.locked(|_| Ok(()))
    }

    fn load(&self, name: &str) -> io::Result<Option<Record>> {
        opened::check_folder(&self.folder)?;
        // Without the lock: every writer replaces the file as a whole.
        match parse(&self.text()?)? {
            Some(contents) => Ok(self.record(&contents, name)),
            None => self.locked(|contents| Ok(self.record(&contents, name))),
        }
    }

    /// Returns the record of a name. A damaged one stays until a token is saved over it.
    fn record(&self, contents: &Contents<'_>, name: &str) -> Option<Record> {
        let Some(json) = contents.tokens.get(name).map(|json| json.get()) else { return self.lost(name) };
        let version = Version::of(json);
        Some(match StoredToken::from_json(json) {
            Ok(token) => Record::new(version, token),
            Err(error) => {
                trace::cache::no_token(&self.path, name, &error);
                let path = self.path.display();
                let damage =
                    format!("token file {path}: cannot read the record of {name}, which the client ignores: {error}");
                Record::unreadable(version, Error::new(Kind::Store).with_message(damage))
            }
        })
    }

    /// Returns the version of a record. `None` if there is none, or if the file is damaged.
    fn version(&self, name: &str) -> io::Result<Option<Version>> {
        opened::check_folder(&self.folder)?;
        let text = self.text()?;
        Ok(parse(&text)?.and_then(|contents| self.version_of(contents.tokens.get(name).copied())))
    }

    fn version_of(&self, json: Option<&RawValue>) -> Option<Version> {
        json.map_or_else(|| self.damaged().map(|_| Version::new(LOST)), |json| Some(Version::of(json.get())))
    }

    /// Returns the last damaged file that was renamed, unless somebody has removed the first since.
    fn damaged(&self) -> Option<PathBuf> {
        let files = (0..).map(|number| self.beside(&format!(".damaged-{number}")));
        files.take_while(|path| fs::symlink_metadata(path).is_ok()).last()
    }

    /// Returns the record of a name that has none, if one may be in a damaged file.
    fn lost(&self, name: &str) -> Option<Record> {
        let (path, damaged) = (self.path.display(), self.damaged()?);
        let message = format!(
            "token file {path}: the file was damaged, so it was renamed to {}, which may still contain the record of {name}; the client \
             requests a new token if it can; find out what damaged the file, then remove the renamed one",
            damaged.display()
        );
        Some(Record::unreadable(Version::new(LOST), Error::new(Kind::Store).with_message(message)))
    }

    /// Replaces the record of a name, if it is still the one that was seen. Drops the records that were of no use at the new one's time.
    fn replace(&self, name: String, seen: Option<&Version>, token: &StoredToken) -> io::Result<Replaced> {
        // By the clock of the client that obtained the token.
        let (json, now) = (token.to_json(), token.obtained_at());
        self.locked(|Contents { version, mut tokens, rest }| {
            if self.version_of(tokens.remove(&name)).as_ref() != seen {
                return Ok(Replaced::Conflict);
            }
            let useless = |json: &str| StoredToken::from_json(json).is_ok_and(|token| token.is_useless_at(now));
            tokens.retain(|_, record| !useless(record.get()));
            tokens.insert(name, serde_json::from_str(json.expose())?);
            self.write(&Contents { version, tokens, rest })?;
            Ok(Replaced::Done(Version::of(json.expose())))
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.locked(|Contents { version, mut tokens, rest }| {
            if tokens.remove(name).is_none() {
                return Ok(());
            }
            let contents = Contents { version, tokens, rest };
            let written = self.write(&contents);
            if written.is_err() && contents.tokens.is_empty() && contents.rest.is_empty() {
                // Even on a full disk a token that must go can be deleted.
                return fs::remove_file(&self.path);
            }
            written
        })
    }

    /// Runs work on the content of the file while no other writer, in this process or another, can change it. Renames a damaged file
    /// first.
    fn locked<T>(&self, work: impl FnOnce(Contents<'_>) -> io::Result<T>) -> io::Result<T> {
        opened::check_folder(&self.folder)?;
        // First, so that no lock file appears beside a token file that the store refuses.
        self.tokens()?;
        // Every process holds it only while it writes the file.
        let lock = Lock(opened::open(&self.beside(".lock"), Purpose::Lock)?);
        let mut tries = 0;
        while let Err(error) = lock.0.try_lock() {
            // A runtime that shuts down waits for this thread, and a process that was stopped may hold the lock forever.
            if tries >= 1_000 || matches!(error, TryLockError::Error(_)) {
                return Err(error.into());
            }
            // Waits for another process, which does not know this client's clock.
            #[allow(clippy::disallowed_methods)]
            std::thread::sleep(Duration::from_millis(5));
            tries += 1;
        }
        self.remove_leftovers()?;
        // Read only now: the last holder of the lock may have saved, or renamed a damaged file.
        if let Some(contents) = parse(&self.text()?)? {
            return work(contents);
        }
        let (to, _) = self.create(|number| format!(".damaged-{number}"))?;
        fs::rename(&self.path, &to)?;
        trace::cache::set_aside(&self.path, &to);
        drop(lock);
        self.locked(work)
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
        if text.len() as u64 > MAX_LENGTH {
            return Err(io::Error::other("it would become larger than 16 MiB: find out what fills it, then remove it"));
        }
        // Another name than that of another process, in case locks do nothing here.
        let (temporary, mut file) = self.create(|number| format!(".{}.tmp", number + u64::from(std::process::id())))?;
        let written = file.write_all(&text).and_then(|()| file.sync_all());
        let replaced = written.and_then(|()| fs::rename(&temporary, &self.path));
        replaced.inspect_err(|_| drop(fs::remove_file(&temporary)))?;
        // Some network and user-space file systems cannot do it. The new file is in place all the same.
        if let Err(error) = (self.sync_folder)(&self.folder) {
            trace::cache::store_failed("sync the folder", &error);
        }
        Ok(())
    }

    /// Removes temporary files of writers that were killed. The holder of the lock is the only writer.
    fn remove_leftovers(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let suffix = path.as_os_str().as_encoded_bytes().strip_prefix(self.path.as_os_str().as_encoded_bytes());
            let number = suffix.and_then(|suffix| suffix.strip_prefix(b".")?.strip_suffix(b".tmp"));
            if number.is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit)) {
                // One that stays does no harm.
                let _ = fs::remove_file(path);
            }
        }
        Ok(())
    }

    /// Creates a file beside the token file, under a free name.
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
            // An error of this crate, which has its own advice.
            ErrorKind::Other => return Error::invalid_input(message),
            ErrorKind::WouldBlock => "another process has held the lock for too long: end it if it hangs",
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                "free some space: until the store can write the file, the old tokens stay in it"
            }
            _ => "this user must be able to read, write and lock files in its folder",
        };
        Error::new(Kind::Store).with_message(format!("{message}; {advice}")).with_source(error)
    }
}

/// A file lock that is released when this value is dropped. Closing the file is not enough: a process that is just being started may
/// have inherited it.
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

    /// On this thread, where memory is measured.
    #[test]
    fn a_file_of_a_gibibyte_is_refused_without_reading_it() {
        let folder = std::env::temp_dir().join(format!("gettone-large-{}", std::process::id()));
        let path = folder.join("tokens.json");
        let place = Place { path: path.clone(), folder: folder.clone(), sync_folder: opened::sync_folder };
        place.open().unwrap();
        // A sparse file: it has a length and no content.
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
        Arc::get_mut(&mut store.place).unwrap().sync_folder = |_| Err(ErrorKind::InvalidInput.into());
        let json = r#"{"version":1,"access_token":"t","obtained_at":0,"expires_at":3600000}"#;
        let replaced = store.replace("name", None, &StoredToken::from_json(json).unwrap()).await.unwrap();
        assert_eq!(replaced, Replaced::Done(Version::of(json)));
        assert_eq!(store.load("name").await.unwrap().unwrap().version(), &Version::of(json));
        store.remove("name").await.unwrap();
        assert!(store.load("name").await.unwrap().is_none());
        fs::remove_dir_all(folder).unwrap();
    }
}
