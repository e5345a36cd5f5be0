//! A store of any type, for a choice at run time.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

#[cfg(feature = "seal")]
use super::Sealing;
use super::{Locked, Record, Replaced, StoreError, StoredToken, TokenStore, Version};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// [`TokenStore`] with boxed futures, so that [`AnyStore`] can hold any store.
trait ErasedStore: fmt::Debug + Send + Sync {
    fn load<'a>(&'a self, name: &'a str) -> Boxed<'a, Option<Record>>;
    fn replace<'a>(&'a self, name: &'a str, seen: Option<&'a Version>, token: &'a StoredToken) -> Boxed<'a, Replaced>;
    fn remove<'a>(&'a self, name: &'a str) -> Boxed<'a, ()>;
    fn lock<'a>(&'a self, name: &'a str, seen: Option<&'a Version>) -> Boxed<'a, Locked>;
    #[cfg(feature = "seal")]
    fn sealing(&self) -> Sealing;
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
    async fn load(&self, name: &str) -> Result<Option<Record>, StoreError> {
        self.0.load(name).await
    }

    async fn replace(&self, name: &str, seen: Option<&Version>, token: &StoredToken) -> Result<Replaced, StoreError> {
        self.0.replace(name, seen, token).await
    }

    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.0.remove(name).await
    }

    async fn lock(&self, name: &str, seen: Option<&Version>) -> Result<Locked, StoreError> {
        self.0.lock(name, seen).await
    }

    #[cfg(feature = "seal")]
    fn sealing(&self) -> Sealing {
        self.0.sealing()
    }
}

impl<S: TokenStore> ErasedStore for S {
    fn load<'a>(&'a self, name: &'a str) -> Boxed<'a, Option<Record>> {
        Box::pin(TokenStore::load(self, name))
    }

    fn replace<'a>(&'a self, name: &'a str, seen: Option<&'a Version>, token: &'a StoredToken) -> Boxed<'a, Replaced> {
        Box::pin(TokenStore::replace(self, name, seen, token))
    }

    fn remove<'a>(&'a self, name: &'a str) -> Boxed<'a, ()> {
        Box::pin(TokenStore::remove(self, name))
    }

    fn lock<'a>(&'a self, name: &'a str, seen: Option<&'a Version>) -> Boxed<'a, Locked> {
        Box::pin(TokenStore::lock(self, name, seen))
    }

    #[cfg(feature = "seal")]
    fn sealing(&self) -> Sealing {
        TokenStore::sealing(self)
    }
}
