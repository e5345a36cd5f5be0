//! The store in memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{LOCK_TIMEOUT, StoreError, StoreLock, StoredToken, TokenStore};
use crate::runtime;

/// A store in memory, for several clients of one process. Clones are the same store.
///
/// A single client does not need it: it caches its tokens anyway.
///
/// ```no_run
/// use gettone::openapi::{Credentials, v2::Oauth};
/// use gettone::store::MemoryStore;
///
/// # fn run() -> Result<(), gettone::Error> {
/// let store = MemoryStore::new();
/// let one = Oauth::builder(Credentials::from_env()?).store(store.clone()).build()?;
/// let other = Oauth::builder(Credentials::from_env()?).store(store).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    tokens: HashMap<String, StoredToken>,
    /// The number of tokens at which the store drops those that have expired for good.
    prune_at: usize,
    locks: HashMap<String, Arc<tokio::sync::Mutex<()>>>,
}

impl MemoryStore {
    /// Creates an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TokenStore for MemoryStore {
    async fn load(&self, name: &str) -> Result<Option<StoredToken>, StoreError> {
        Ok(self.state().tokens.get(name).cloned())
    }

    async fn save(&self, name: &str, token: &StoredToken) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.tokens.len() >= state.prune_at {
            // Tokens that were of no use when this one was obtained.
            state.tokens.retain(|_, other| other.discard_after() > token.obtained_at);
            state.prune_at = 2 * state.tokens.len().max(8);
        }
        state.tokens.insert(name.to_owned(), token.clone());
        Ok(())
    }

    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.state().tokens.remove(name);
        Ok(())
    }

    async fn lock(&self, name: &str) -> Result<StoreLock, StoreError> {
        let lock = {
            let mut state = self.state();
            // Drops locks that no client holds or waits for.
            state.locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(state.locks.entry(name.to_owned()).or_default())
        };
        // The client that holds it may be on a runtime that no longer runs.
        match runtime::until(runtime::after(LOCK_TIMEOUT), lock.lock_owned()).await {
            Some(lock) => Ok(StoreLock::new(lock)),
            None => Err(format!("another client has held the lock for {} s", LOCK_TIMEOUT.as_secs()).into()),
        }
    }
}

/// Prints the number of tokens, and no token.
impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("tokens", &self.state().tokens.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lock_that_is_never_given_back_is_not_waited_for_without_end() {
        let store = MemoryStore::new();
        let held = store.lock("a").await.unwrap();
        let another = tokio::time::timeout(2 * LOCK_TIMEOUT, store.lock("a")).await.unwrap();
        assert!(another.unwrap_err().to_string().contains("has held the lock for 170 s"));
        drop(held);
        drop(store.lock("a").await.unwrap());
    }
}
