//! Token stores, which keep tokens after a client is dropped and share them between clients and processes.
//!
//! | store | shared by |
//! |---|---|
//! | none (the default) | a client and its clones |
//! | [`MemoryStore`] | several clients of one process |
//! | [`FileStore`] | several processes of one user on one machine |
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

mod file;
mod memory;
// Until the clients seal.
#[cfg(feature = "seal")]
#[cfg_attr(not(test), allow(dead_code))]
mod seal;
mod stored;

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Kind};
use crate::runtime::{caught, caught_in};
use crate::trace;

pub use file::FileStore;
pub use memory::MemoryStore;
#[cfg(all(feature = "seal", any(test, gettone_test_transport)))]
#[doc(hidden)]
pub use seal::hostile::check as check_sealed;
#[cfg(feature = "seal")]
pub use seal::{Sealing, SealingKeys};
pub use stored::StoredToken;
pub(crate) use stored::{Renewal, Scopes};

/// The longest wait of a store for a lock. An exchange of Keliweb Fatture with the default timeout takes less: a refresh and a password
/// grant of a minute each, and a pause of half a minute between them. One of Openapi.it may take longer if responses are lost; two at
/// the same time create two tokens, and the service rejects neither.
const LOCK_TIMEOUT: Duration = Duration::from_secs(170);

/// The error of a [`TokenStore`], of any type. It must not contain a secret: the client shows its text.
pub type StoreError = Box<dyn StdError + Send + Sync>;

impl Error {
    /// Returns the error of a store that failed to `load`, `save`, `remove` or `lock`.
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
/// Before a client requests a token, it loads the record, takes the lock of the name, and loads again. Then it returns the token to its
/// callers, saves it, and releases the lock. A call that takes more than 30 seconds counts as failed; [`lock`](Self::lock) has three
/// minutes, since its holder may be requesting a token for that long.
///
/// A name identifies the service, the account, and what the token is for. It is the same in every process and contains no secret, but it
/// contains the account's name. It may be several thousand characters long: hash it if your key is short.
///
/// A store of your own, here over a database that can store text under a name:
///
/// ```
/// use gettone::store::{StoreError, StoredToken, TokenStore};
/// # #[derive(Debug)]
/// # struct Database;
/// # impl Database {
/// #     async fn get(&self, name: &str) -> std::io::Result<Option<String>> { Ok(None) }
/// #     async fn set(&self, name: &str, text: &str) -> std::io::Result<()> { Ok(()) }
/// #     async fn delete(&self, name: &str) -> std::io::Result<()> { Ok(()) }
/// # }
///
/// #[derive(Debug)]
/// struct DatabaseStore(Database);
///
/// impl TokenStore for DatabaseStore {
///     async fn load(&self, name: &str) -> Result<Option<StoredToken>, StoreError> {
///         let text = self.0.get(name).await?;
///         Ok(text.map(|text| StoredToken::from_json(&text)).transpose()?)
///     }
///
///     async fn save(&self, name: &str, token: &StoredToken) -> Result<(), StoreError> {
///         Ok(self.0.set(name, token.to_json().expose()).await?)
///     }
///
///     async fn remove(&self, name: &str) -> Result<(), StoreError> {
///         Ok(self.0.delete(name).await?)
///     }
/// }
/// ```
///
/// Without a [`lock`](Self::lock), processes that share such a store may refresh at the same time. The service then rejects the later
/// refresh, and that client uses the password.
///
/// # Errors
///
/// If a call fails, no caller loses a token, and the client reports the error (see the [module](self)):
///
/// - `load`: the client continues as if there were no record.
/// - `lock`: it requests the token without the lock.
/// - `save`: it [removes](Self::remove) the record, because its refresh token may be spent, and continues with the token in memory. So
///   a store that has saved the token must not return an error.
/// - `remove`: the client may load the token again. Only [`clear`](crate::openapi::v2::Oauth::clear) and the calls that delete or change
///   tokens return the error.
///
/// The client drops the future of a call that takes too long, at whatever point it has reached. A call that panics counts as failed.
///
/// A record contains the name that it was saved under. If a store returns it under another name, the client ignores it, reports that,
/// and requests a token.
pub trait TokenStore: fmt::Debug + Send + Sync + 'static {
    /// Returns the token that was saved under a name, or `None` if there is none.
    ///
    /// # Errors
    ///
    /// The store cannot read the record. The client continues as if there were none, and requests a token.
    fn load(&self, name: &str) -> impl Future<Output = Result<Option<StoredToken>, StoreError>> + Send;

    /// Saves a token under a name, and replaces the old record. The callers have the token already.
    ///
    /// # Errors
    ///
    /// The store cannot save the token. The client [removes](Self::remove) the old record, because its refresh token may be spent.
    fn save(&self, name: &str, token: &StoredToken) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes the record of a name. Does nothing if there is none.
    ///
    /// # Errors
    ///
    /// The store may still have the record. [`clear`](crate::openapi::v2::Oauth::clear) and
    /// [`revoke_created`](crate::openapi::v2::Oauth::revoke_created) return the error, with [`is_store`](crate::Error::is_store) set.
    fn remove(&self, name: &str) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Waits for the lock of a name, and takes it. The client holds it while it requests and saves a token. The default implementation
    /// locks nothing.
    ///
    /// # Errors
    ///
    /// The store cannot take the lock, or not within the time that it waits. The client requests the token without it.
    fn lock(&self, name: &str) -> impl Future<Output = Result<StoreLock, StoreError>> + Send {
        let _ = name;
        async { Ok(StoreLock::new(())) }
    }
}

/// Clones of the `Arc` are the same store.
impl<S: TokenStore> TokenStore for Arc<S> {
    fn load(&self, name: &str) -> impl Future<Output = Result<Option<StoredToken>, StoreError>> + Send {
        S::load(self, name)
    }

    fn save(&self, name: &str, token: &StoredToken) -> impl Future<Output = Result<(), StoreError>> + Send {
        S::save(self, name, token)
    }

    fn remove(&self, name: &str) -> impl Future<Output = Result<(), StoreError>> + Send {
        S::remove(self, name)
    }

    fn lock(&self, name: &str) -> impl Future<Output = Result<StoreLock, StoreError>> + Send {
        S::lock(self, name)
    }
}

/// The lock of a name. Dropping it releases the lock.
///
/// ```
/// use std::sync::Arc;
/// use gettone::store::{StoreError, StoreLock};
/// use tokio::sync::Mutex;
///
/// async fn lock(mutex: &Arc<Mutex<()>>) -> Result<StoreLock, StoreError> {
///     Ok(StoreLock::new(Arc::clone(mutex).lock_owned().await))
/// }
/// ```
#[must_use = "a lock that is dropped at once locks nothing"]
pub struct StoreLock {
    _held: Held,
}

struct Held(Option<Box<dyn Any + Send>>);

impl StoreLock {
    /// Wraps a guard of any type that releases the lock when it is dropped.
    pub fn new(held: impl Send + 'static) -> Self {
        Self { _held: Held(Some(Box::new(held))) }
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

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// [`TokenStore`] with boxed futures, so that [`AnyStore`] can hold any store.
trait ErasedStore: fmt::Debug + Send + Sync {
    fn load<'a>(&'a self, name: &'a str) -> Boxed<'a, Option<StoredToken>>;
    fn save<'a>(&'a self, name: &'a str, token: &'a StoredToken) -> Boxed<'a, ()>;
    fn remove<'a>(&'a self, name: &'a str) -> Boxed<'a, ()>;
    fn lock<'a>(&'a self, name: &'a str) -> Boxed<'a, StoreLock>;
}

/// A store of any type, for programs that choose their store at run time. Cheap to clone; clones are the same store.
///
/// ```
/// use gettone::store::{AnyStore, FileStore, MemoryStore};
///
/// # async fn run() -> Result<(), gettone::Error> {
/// let store = match std::env::var("TOKEN_FILE") {
///     Ok(path) => AnyStore::new(FileStore::open(path).await?),
///     Err(_) => AnyStore::new(MemoryStore::new()),
/// };
/// # let _ = store;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct AnyStore(Arc<dyn ErasedStore>);

impl AnyStore {
    /// Wraps a store.
    #[must_use]
    pub fn new(store: impl TokenStore) -> Self {
        Self(Arc::new(store))
    }
}

/// Prints the store inside.
impl fmt::Debug for AnyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TokenStore for AnyStore {
    async fn load(&self, name: &str) -> Result<Option<StoredToken>, StoreError> {
        self.0.load(name).await
    }

    async fn save(&self, name: &str, token: &StoredToken) -> Result<(), StoreError> {
        self.0.save(name, token).await
    }

    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.0.remove(name).await
    }

    async fn lock(&self, name: &str) -> Result<StoreLock, StoreError> {
        self.0.lock(name).await
    }
}

/// A store and the function that its failures are reported to.
#[derive(Clone)]
pub(crate) struct ReportingStore {
    store: AnyStore,
    on_failure: Option<OnFailure>,
}

pub(crate) type OnFailure = Arc<dyn Fn(&Error) + Send + Sync>;

impl ReportingStore {
    pub(crate) fn new(store: AnyStore, on_failure: Option<OnFailure>) -> Self {
        Self { store, on_failure }
    }

    /// Reports a failure, and returns what it says, for a call that has to end with it.
    pub(crate) fn failed(&self, action: &'static str, error: StoreError) -> Error {
        // The error, the subscriber and the function are code of the user. If one of them panics, even when it is dropped, the exchange
        // continues.
        let said = caught(|| {
            trace::cache::store_failed(action, &*error);
            let error = Error::store(action, error);
            if let Some(on_failure) = &self.on_failure {
                on_failure(&error);
            }
            error.without_source()
        });
        said.unwrap_or_else(|_| Error::store(action, panicked(action)))
    }

    pub(crate) async fn load(&self, name: &str) -> Result<Option<StoredToken>, StoreError> {
        caught_in(|| TokenStore::load(&self.store, name)).await.map_err(|_| panicked("load"))?
    }

    pub(crate) async fn save(&self, name: &str, token: &StoredToken) -> Result<(), StoreError> {
        caught_in(|| TokenStore::save(&self.store, name, token)).await.map_err(|_| panicked("save"))?
    }

    pub(crate) async fn remove(&self, name: &str) -> Result<(), StoreError> {
        caught_in(|| TokenStore::remove(&self.store, name)).await.map_err(|_| panicked("remove"))?
    }

    pub(crate) async fn lock(&self, name: &str) -> Result<StoreLock, StoreError> {
        caught_in(|| TokenStore::lock(&self.store, name)).await.map_err(|_| panicked("lock"))?
    }
}

fn panicked(call: &str) -> StoreError {
    format!("the store panicked in `{call}`").into()
}

impl<S: TokenStore> ErasedStore for S {
    fn load<'a>(&'a self, name: &'a str) -> Boxed<'a, Option<StoredToken>> {
        Box::pin(TokenStore::load(self, name))
    }

    fn save<'a>(&'a self, name: &'a str, token: &'a StoredToken) -> Boxed<'a, ()> {
        Box::pin(TokenStore::save(self, name, token))
    }

    fn remove<'a>(&'a self, name: &'a str) -> Boxed<'a, ()> {
        Box::pin(TokenStore::remove(self, name))
    }

    fn lock<'a>(&'a self, name: &'a str) -> Boxed<'a, StoreLock> {
        Box::pin(TokenStore::lock(self, name))
    }
}
