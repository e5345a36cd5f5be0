//! A store that remembers what passes through it. The library returns a token without its expiration time, which the record has.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use gettone::store::{AnyStore, Locked, Record, Replaced, Sealing, StoreError, StoredToken, TokenStore, Version};

/// A store around another one. Clones are the same store.
#[derive(Debug, Clone)]
pub struct Observed {
    store: AnyStore,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// When the last token expires that was loaded or saved.
    expires_at: Option<SystemTime>,
    /// When the token expires that was in the store at first. `None` before the store was asked.
    found: Option<Option<SystemTime>>,
    is_removed: bool,
    /// Whether the store could not be asked once.
    has_failed: bool,
}

impl Observed {
    pub fn new(store: AnyStore) -> Self {
        Self { store, seen: Arc::default() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when the last token expires that was loaded or saved.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.seen().expires_at
    }

    /// Returns when the token expires that was in the store at first, if there was one.
    pub fn found(&self) -> Option<SystemTime> {
        self.seen().found.flatten()
    }

    /// Returns whether a record that was there has been removed.
    pub fn is_removed(&self) -> bool {
        self.seen().is_removed
    }
}

impl TokenStore for Observed {
    async fn load(&self, name: &str) -> Result<Option<Record>, StoreError> {
        let record = match self.store.load(name).await {
            Ok(record) => record,
            // The client loads again before it saves. After a second failure it would not save, and this store would not see the new token.
            // A real store that is back by then refuses to replace a record that it has.
            Err(_) if self.seen().has_failed => None,
            Err(error) => {
                self.seen().has_failed = true;
                return Err(error);
            }
        };
        let end = record.as_ref().and_then(|record| record.token().ok()).map(StoredToken::expires_at);
        let mut seen = self.seen();
        seen.found.get_or_insert(end);
        seen.expires_at = end.or(seen.expires_at);
        drop(seen);
        Ok(record)
    }

    async fn replace(&self, name: &str, seen: Option<&Version>, token: &StoredToken) -> Result<Replaced, StoreError> {
        // Also if the store fails: the client returns the token all the same.
        self.seen().expires_at = Some(token.expires_at());
        self.store.replace(name, seen, token).await
    }

    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        let is_there = self.store.load(name).await?.is_some();
        self.store.remove(name).await?;
        self.seen().is_removed |= is_there;
        Ok(())
    }

    async fn lock(&self, name: &str, seen: Option<&Version>) -> Result<Locked, StoreError> {
        self.store.lock(name, seen).await
    }

    fn sealing(&self) -> Sealing {
        self.store.sealing()
    }
}
