//! Where tokens outlive a client: nowhere unless something is said, in memory that clients share ([`MemoryStore`]), in a file
//! that processes share ([`FileStore`]), or wherever you like ([`TokenStore`]).
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
//! A store that fails costs nobody a token: the client goes on with what it has in memory. It reports the failure to
//! [`Builder::on_store_failure`](crate::Builder::on_store_failure), and as an event (feature `tracing`).

mod file;
mod memory;
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
pub use stored::StoredToken;
pub(crate) use stored::{Renewal, Scopes};

/// How long a lock is waited for: longer than an exchange of Keliweb Fatture may take with the timeout that is the default, a refresh
/// and a password grant, a minute each, with a rest of half a minute between. One of Openapi.it may take longer if answers are lost;
/// two of them make two tokens, and neither is refused.
const PATIENCE: Duration = Duration::from_secs(170);

/// Why a store could not do what it was asked. Anything will do; no secret may be in it.
pub type StoreError = Box<dyn StdError + Send + Sync>;

impl Error {
    pub(crate) fn store(error: StoreError) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(error) if error.is_store() => return *error,
            Ok(error) => error,
            Err(error) => error,
        };
        // A store of the user's may return an error that panics.
        let message = caught(|| error.to_string()).unwrap_or_else(|_| "an error that cannot be shown".to_owned());
        Self::new(Kind::Store).with_message(message).with_shared_source(error.into())
    }
}

/// Keeps tokens.
///
/// Before a token is fetched it is loaded, the lock is taken, and it is loaded again; afterwards it is handed out, saved, and the lock
/// is dropped. A call that does not end within 30 seconds is given up, as if it had failed; [`lock`](Self::lock) has three minutes.
///
/// A name says whose token it is and what it is good for; it is the same in every process and holds no secret.
///
/// One of your own, here over a database that can keep a text under a name:
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
/// Processes that share such a store may refresh at the same time, and the later one is refused and asks for a token with the
/// password. A [`lock`](Self::lock) keeps them from it.
///
/// # Errors
///
/// None of them costs anybody a token, as the [module](self) says:
///
/// - `load` fails: as if nothing were kept.
/// - `lock` fails: the token is fetched without it. It has three minutes, since the other side may be fetching for as long.
/// - `save` fails: what is kept under the name is [removed](Self::remove), because its refresh token may be spent. The client goes
///   on with what it has in memory. So a store that has kept the token should not say that it failed.
/// - `remove` fails: the token may be loaded again. Only [`clear`](crate::openapi::v1::Oauth::clear) and what deletes tokens tell
///   of it.
///
/// The future of a call that is given up after 30 seconds is dropped, at whatever it waits for. A call that panics has failed.
///
/// A record says which name it was saved under. If a store returns it under another name, the client passes it over, reports that, and
/// requests a token.
pub trait TokenStore: fmt::Debug + Send + Sync + 'static {
    /// The token that is kept under a name; `None` if there is none.
    ///
    /// # Errors
    ///
    /// What is kept cannot be told. The client goes on as if nothing were, and asks the service.
    fn load(&self, name: &str) -> impl Future<Output = Result<Option<StoredToken>, StoreError>> + Send;

    /// Keeps a token under a name, in place of what was there. Callers have the token already.
    ///
    /// # Errors
    ///
    /// It could not be kept. What was there is [removed](Self::remove): it may be spent.
    fn save(&self, name: &str, token: &StoredToken) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Keeps nothing under a name any longer. Not an error if nothing was there.
    ///
    /// # Errors
    ///
    /// What was there may be there still. [`clear`](crate::openapi::v1::Oauth::clear) and
    /// [`revoke_created`](crate::openapi::v1::Oauth::revoke_created) return it, as [`is_store`](crate::Error::is_store).
    fn remove(&self, name: &str) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Waits until nobody else has the lock of this name, and takes it. It is held while a token is fetched and saved. Without
    /// one of its own, a store locks nothing.
    ///
    /// # Errors
    ///
    /// There is no lock, or there was none within the time that the store gives it. The token is fetched without.
    fn lock(&self, name: &str) -> impl Future<Output = Result<StoreLock, StoreError>> + Send {
        let _ = name;
        async { Ok(StoreLock::new(())) }
    }
}

/// A store that is shared is the same store.
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

/// The lock of a name, for as long as this value lives.
#[must_use = "dropped at once, it locks nothing"]
pub struct StoreLock {
    _held: Held,
}

struct Held(Option<Box<dyn Any + Send>>);

impl StoreLock {
    /// Holds what unlocks when it is dropped.
    pub fn new(held: impl Send + 'static) -> Self {
        Self { _held: Held(Some(Box::new(held))) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // A panic while another one is under way would end the process.
        let _ = caught(|| drop(self.0.take()));
    }
}

impl fmt::Debug for StoreLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreLock")
    }
}

/// Returns a hash that is the same in every build and process, unlike that of the standard library (FNV-1a, 64 bits).
pub(crate) fn fnv_1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// What [`TokenStore`] would be if its futures were boxed.
trait ErasedStore: fmt::Debug + Send + Sync {
    fn load<'a>(&'a self, name: &'a str) -> Boxed<'a, Option<StoredToken>>;
    fn save<'a>(&'a self, name: &'a str, token: &'a StoredToken) -> Boxed<'a, ()>;
    fn remove<'a>(&'a self, name: &'a str) -> Boxed<'a, ()>;
    fn lock<'a>(&'a self, name: &'a str) -> Boxed<'a, StoreLock>;
}

/// A store of any type, for a program that chooses its store at run time. Cheap to clone; clones are the same store.
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

/// A store, and who is told of its failures.
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

    /// Reports a failure that costs nobody a token.
    pub(crate) fn failed(&self, action: &'static str, error: StoreError) {
        // The error, whoever hears of it, and the function are not ours, and nothing of the exchange is lost by them.
        let _ = caught(|| {
            trace::cache::store_failed(action, &*error);
            if let Some(on_failure) = &self.on_failure {
                on_failure(&Error::store(error));
            }
        });
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
