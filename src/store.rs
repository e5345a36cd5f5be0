//! Token stores, which keep tokens after a client is dropped and share them between clients and processes.
//!
//! | store | shared by |
//! |---|---|
//! | none (the default) | a client and its clones |
//! | [`MemoryStore`] | several clients of one process |
//! | [`FileStore`] | several processes of one user on one machine |
//! | `RedisStore` (feature `redis`) | any number of programs on any number of machines |
//! | your own [`TokenStore`] | whatever can reach it |
//! | [`AnyStore`] | any of these, chosen at run time |
//!
//! ```no_run
//! use gettone::keliweb::{Credentials, Fatture};
//! use gettone::store::FileStore;
//!
//! # async fn run() -> Result<(), gettone::Error> {
//! let store = FileStore::open("/var/lib/invoices/tokens.json").await?;
//! let fatture = Fatture::builder(Credentials::from_env()?).store(store).build()?;
//! # Ok(())
//! # }
//! ```
//!
//! If a store fails, no caller loses a token: the client continues with what it has in memory. It reports the failure to
//! [`Builder::on_store_failure`](crate::Builder::on_store_failure), and as an event (feature `tracing`). The guide has a page on
//! [several processes](crate::guide::processes).

mod any;
mod file;
#[cfg(feature = "emulator")]
pub mod laws;
mod managed;
mod memory;
mod record;
#[cfg(feature = "redis")]
mod redis;
mod reporting;
#[cfg(feature = "seal")]
mod seal;
mod stored;

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::error::{Error, Kind};
use crate::runtime::{caught, caught_in};

pub use any::AnyStore;
pub use file::FileStore;
pub(crate) use managed::{ExpiringRefreshToken, ManagedToken, Marks, Scopes};
pub use memory::MemoryStore;
pub use record::{Locked, Record, Replaced, Version};
#[cfg(feature = "redis")]
pub use redis::{RedisStore, RedisStoreBuilder};
pub(crate) use reporting::{Loaded, OnFailure, ReportingStore};
#[cfg(all(feature = "seal", any(test, gettone_test_transport)))]
#[doc(hidden)]
pub use seal::hostile::check as check_sealed;
#[cfg(feature = "seal")]
pub use seal::{Sealing, SealingKeys};
pub use stored::StoredToken;

/// The longest wait of a store for a lock. An exchange of Keliweb Fatture with the default timeout takes less: a refresh and a password
/// grant of a minute each, and a pause of half a minute between them. One of Openapi.it may take longer if responses are lost; two at
/// the same time create two tokens, and the service rejects neither.
const LOCK_TIMEOUT: Duration = Duration::from_secs(170);

/// The error of a [`TokenStore`], of any type. It must not contain a secret: the client shows its text.
pub type StoreError = Box<dyn StdError + Send + Sync>;

impl Error {
    /// Returns the error of a store that failed to `load`, `claim`, `save`, `remove` or `lock`.
    pub(crate) fn store(action: &str, error: StoreError) -> Self {
        let error = match error.downcast::<Self>() {
            // A store of this crate says what it could not do, and to which file.
            Ok(error) if error.is_store() => return *error,
            Ok(error) => error,
            Err(error) => error,
        };
        // The error of a user's store may panic when it is displayed.
        let message = caught(|| error.to_string())
            .unwrap_or_else(|_| "the store's error panicked when it was displayed".to_owned());
        let message = format!("cannot {action} a token: {message}");
        Self::new(Kind::Store).with_message(message).with_shared_source(error.into())
    }
}

/// A store of tokens, each under a name.
///
/// A record is like a row of a table with a version: the store replaces it only if it is still the record that the client has seen. So two
/// clients never use the same refresh token, even if a lock ends too early or a program is stopped in the middle.
///
/// Before a client requests a token, it loads the record, takes the lock of the name, and loads again. If the record has a refresh token,
/// the client **claims** it: it replaces the record with one without the refresh token, and sends the refresh token only if that succeeded.
/// Then it returns the new token to its callers, replaces the record again, and releases the lock. A call that takes more than 30 seconds
/// counts as failed; [`lock`](Self::lock) has three minutes, since its holder may be requesting a token for that long.
///
/// A name identifies the service, the account, and what the token is for. It is the same in every process and contains no secret, but it
/// contains the account's name. It may be several thousand characters long: hash it if your key is short.
///
/// A store of your own, here over a table with the columns `name`, `version` and `text`:
///
/// ```
/// use gettone::store::{Record, Replaced, StoreError, StoredToken, TokenStore, Version};
/// # #[derive(Debug)]
/// # struct Database;
/// # impl Database {
/// #     async fn row(&self, sql: &str, values: &[&str]) -> std::io::Result<Option<(String, String)>> { Ok(None) }
/// #     async fn execute(&self, sql: &str, values: &[&str]) -> std::io::Result<u64> { Ok(1) }
/// # }
/// # fn random_text() -> String { String::new() }
///
/// #[derive(Debug)]
/// struct TableStore(Database);
///
/// impl TokenStore for TableStore {
///     async fn load(&self, name: &str) -> Result<Option<Record>, StoreError> {
///         let row = self.0.row("SELECT version, text FROM tokens WHERE name = $1", &[name]).await?;
///         Ok(row.map(|(version, text)| Record::from_json(Version::new(version), &text)))
///     }
///
///     async fn replace(&self, name: &str, seen: Option<&Version>, token: &StoredToken) -> Result<Replaced, StoreError> {
///         let (version, json) = (random_text(), token.to_json());
///         let changed = match seen {
///             Some(seen) => {
///                 let sql = "UPDATE tokens SET version = $1, text = $2 WHERE name = $3 AND version = $4";
///                 self.0.execute(sql, &[&version, json.expose(), name, seen.as_str()]).await?
///             }
///             None => {
///                 let sql = "INSERT INTO tokens (version, text, name) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
///                 self.0.execute(sql, &[&version, json.expose(), name]).await?
///             }
///         };
///         Ok(if changed == 1 { Replaced::Done(Version::new(version)) } else { Replaced::Conflict })
///     }
///
///     async fn remove(&self, name: &str) -> Result<(), StoreError> {
///         self.0.execute("DELETE FROM tokens WHERE name = $1", &[name]).await?;
///         Ok(())
///     }
/// }
/// ```
///
/// A store that can only get and set a text ignores `seen`, always returns [`Replaced::Done`], and uses [`Version::of`] the text as its
/// version. Its clients may send the same refresh token at the same time: the service then rejects the later one, and that client uses the
/// password. A client without one, such as [`RefreshClient`](crate::openapi::v2::RefreshClient), may lose its pair.
///
/// # Errors
///
/// If a call fails, no caller loses a token, and the client reports the error (see the [module](self)). An error means that the client
/// could not reach the store, or that the store's response was lost. The store may have carried out a call that failed, or that the client
/// dropped because it took too long, or may carry it out later. So the client loads the record again before it relies on anything. A call
/// that panics counts as failed.
///
/// A record contains the name that it was saved under. If a store returns it under another name, the client ignores the record, reports it,
/// and requests a token.
pub trait TokenStore: fmt::Debug + Send + Sync + 'static {
    /// Returns the record of a name and its version, or `None` if there is none.
    ///
    /// If a record exists but cannot be read, return [`Record::unreadable`]: the client reports the record, and replaces it. (A
    /// [`RefreshClient`](crate::openapi::v2::RefreshClient) fails, since its pair may be in that record.)
    ///
    /// # Errors
    ///
    /// The store cannot be reached. The client then requests a token with its credentials, and sends no refresh token that may be in the
    /// store. A [`RefreshClient`](crate::openapi::v2::RefreshClient), which has no other credentials, fails.
    fn load(&self, name: &str) -> impl Future<Output = Result<Option<Record>, StoreError>> + Send;

    /// Replaces the record of a name if it still has the version that the client has seen; if `seen` is `None`, writes a record if there is
    /// none. Returns the version of the new record. Otherwise changes nothing, and returns [`Replaced::Conflict`]. No two records ever have
    /// the same version.
    ///
    /// # Errors
    ///
    /// The store cannot be reached, or its response was lost. The client then sends no refresh token that may be in the store.
    fn replace(
        &self,
        name: &str,
        seen: Option<&Version>,
        token: &StoredToken,
    ) -> impl Future<Output = Result<Replaced, StoreError>> + Send;

    /// Removes the record of a name, whatever its version. Does nothing if there is none. Only [`clear`](crate::openapi::v2::Oauth::clear)
    /// and the calls that delete or change tokens need it.
    ///
    /// # Errors
    ///
    /// The store may still have the record. [`clear`](crate::openapi::v2::Oauth::clear) and
    /// [`revoke_created`](crate::openapi::v2::Oauth::revoke_created) return the error, with [`is_store`](crate::Error::is_store) set.
    fn remove(&self, name: &str) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Waits for the lock of a name, and takes it. The client holds it while it requests and saves a token, so that others wait for
    /// that token instead of requesting one each. Each name has a lock of its own: the lock of one name must not block that of another.
    /// The default implementation locks nothing.
    ///
    /// `seen` is the version of the record that the client has loaded; `None` if there was none. If the record has another version by now,
    /// the client needs no lock: the call returns [`Locked::Changed`]. A store that cannot tell may ignore `seen`.
    ///
    /// # Errors
    ///
    /// The store cannot be reached. The client then requests the token without the lock.
    fn lock(&self, name: &str, seen: Option<&Version>) -> impl Future<Output = Result<Locked, StoreError>> + Send {
        let _ = (name, seen);
        async { Ok(Locked::Held(StoreLock::new(()))) }
    }

    /// Returns whether clients seal the records that they give to this store, and with which key. The default implementation returns
    /// [`Sealing::Off`]. A client asks once, when it is built.
    ///
    /// **A store that wraps another one must return what the inner store returns.** Otherwise an inner store that wants sealed records
    /// refuses those that it gets.
    #[cfg(feature = "seal")]
    fn sealing(&self) -> Sealing {
        Sealing::Off
    }
}

/// Clones of the `Arc` are the same store.
impl<S: TokenStore> TokenStore for Arc<S> {
    fn load(&self, name: &str) -> impl Future<Output = Result<Option<Record>, StoreError>> + Send {
        S::load(self, name)
    }

    fn replace(
        &self,
        name: &str,
        seen: Option<&Version>,
        token: &StoredToken,
    ) -> impl Future<Output = Result<Replaced, StoreError>> + Send {
        S::replace(self, name, seen, token)
    }

    fn remove(&self, name: &str) -> impl Future<Output = Result<(), StoreError>> + Send {
        S::remove(self, name)
    }

    fn lock(&self, name: &str, seen: Option<&Version>) -> impl Future<Output = Result<Locked, StoreError>> + Send {
        S::lock(self, name, seen)
    }

    #[cfg(feature = "seal")]
    fn sealing(&self) -> Sealing {
        S::sealing(self)
    }
}

/// The lock of a name. Dropping it releases the lock.
///
/// ```
/// use std::sync::Arc;
/// use gettone::store::{Locked, StoreError, StoreLock};
/// use tokio::sync::Mutex;
///
/// async fn lock(mutex: &Arc<Mutex<()>>) -> Result<Locked, StoreError> {
///     Ok(Locked::Held(StoreLock::new(Arc::clone(mutex).lock_owned().await)))
/// }
/// ```
#[must_use = "a lock that is dropped at once locks nothing"]
pub struct StoreLock {
    held: Held,
    release: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

struct Held(Option<Box<dyn Any + Send>>);

impl StoreLock {
    /// Wraps a guard of any type that releases the lock when it is dropped.
    pub fn new(held: impl Send + 'static) -> Self {
        Self { held: Held(Some(Box::new(held))), release: None }
    }

    /// Wraps a guard, and a future that completes when the lock has been released.
    ///
    /// Releasing a lock on another machine is a request, which `Drop` cannot wait for. The client drops the guard, and then awaits
    /// `released`, for 30 s at most. If the exchange was stopped, it drops both.
    pub fn with_release(held: impl Send + 'static, released: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { held: Held(Some(Box::new(held))), release: Some(Box::pin(released)) }
    }

    /// Drops the guard, and waits until the lock has been released.
    pub(crate) async fn release(self) {
        let Self { held, release } = self;
        drop(held);
        if let Some(release) = release {
            // A panic of the user's future ends nothing: the lock is gone, or ends by itself.
            let _ = caught_in(|| release).await;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // A panic during another one would end the process.
        let _ = caught(|| drop(self.0.take()));
    }
}

impl fmt::Debug for StoreLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreLock")
    }
}

/// Returns the FNV-1a hash of a text (64 bits). Unlike the standard library's, it is the same in every build and process.
pub(crate) fn fnv_1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Returns a text that no other process returns, not even one that was forked from this one, or that started at the same moment.
pub(crate) fn unique_text(now: SystemTime) -> String {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let number = fastrand::u128(..) ^ since.as_nanos() ^ (u128::from(std::process::id()) << 96);
    format!("{number:032x}")
}
