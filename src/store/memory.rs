//! The store in memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{LOCK_TIMEOUT, Locked, Record, Replaced, StoreError, StoreLock, StoredToken, TokenStore, Version};
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
    tokens: HashMap<String, (u64, StoredToken)>,
    /// The version of the last record.
    last_version: u64,
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

impl State {
    fn version(&self, name: &str) -> Option<Version> {
        self.tokens.get(name).map(|(version, _)| version_of(*version))
    }
}

fn version_of(number: u64) -> Version {
    Version::new(number.to_string())
}

impl TokenStore for MemoryStore {
    async fn load(&self, name: &str) -> Result<Option<Record>, StoreError> {
        let state = self.state();
        Ok(state.tokens.get(name).map(|(version, token)| Record::new(version_of(*version), token.clone())))
    }

    async fn replace(&self, name: &str, seen: Option<&Version>, token: &StoredToken) -> Result<Replaced, StoreError> {
        let mut state = self.state();
        if state.version(name).as_ref() != seen {
            return Ok(Replaced::Conflict);
        }
        if state.tokens.len() >= state.prune_at {
            state.tokens.retain(|_, (_, other)| !other.is_useless_at(token.obtained_at()));
            state.prune_at = 2 * state.tokens.len().max(8);
        }
        state.last_version += 1;
        let version = state.last_version;
        state.tokens.insert(name.to_owned(), (version, token.clone()));
        Ok(Replaced::Done(version_of(version)))
    }

    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.state().tokens.remove(name);
        Ok(())
    }

    async fn lock(&self, name: &str, seen: Option<&Version>) -> Result<Locked, StoreError> {
        let lock = {
            let mut state = self.state();
            // Drops locks that no client holds or waits for.
            state.locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(state.locks.entry(name.to_owned()).or_default())
        };
        // The client that holds it may be on a runtime that no longer runs.
        Ok(match runtime::until(runtime::after(LOCK_TIMEOUT), lock.lock_owned()).await {
            Some(_) if self.state().version(name).as_ref() != seen => Locked::Changed,
            Some(lock) => Locked::Held(StoreLock::new(lock)),
            None => Locked::Busy,
        })
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
        let held = store.lock("a", None).await.unwrap();
        let another = tokio::time::timeout(2 * LOCK_TIMEOUT, store.lock("a", None)).await.unwrap();
        assert!(matches!(another.unwrap(), Locked::Busy));
        drop(held);
        assert!(matches!(store.lock("a", None).await.unwrap(), Locked::Held(_)));
    }

    #[tokio::test]
    async fn a_token_is_dropped_soon_after_it_expired_but_not_by_a_clock_that_is_years_away() {
        const HOUR: u64 = 60 * 60 * 1_000;
        let store = MemoryStore::new();
        let save = async |name: &str, at: u64| {
            let json = format!(r#"{{"version":1,"access_token":"t","obtained_at":{at},"expires_at":{}}}"#, at + HOUR);
            // It looks for useless ones only now and then.
            store.state().prune_at = 0;
            let replaced = store.replace(name, None, &StoredToken::from_json(&json).unwrap()).await.unwrap();
            assert!(matches!(replaced, Replaced::Done(_)));
        };
        let in_2026 = 1_767_225_600_000;
        for (name, at) in
            [("old", in_2026), ("of 1970", 0), ("new", in_2026 + 2 * HOUR), ("of 2040", 2_208_988_800_000)]
        {
            save(name, at).await;
        }
        assert!(store.load("old").await.unwrap().is_none());
        for name in ["of 1970", "new", "of 2040"] {
            assert!(store.load(name).await.unwrap().is_some(), "{name}");
        }
    }
}
