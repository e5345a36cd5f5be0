//! A store that does what it is told to.

use std::fmt;
use std::future::{Future, ready};
use std::sync::Arc;

use gettone::store::{MemoryStore, StoreError, StoreLock, StoredToken, TokenStore};

use super::services::Pending;

/// A store in memory that runs a hook before each call, and fails if the hook does.
#[derive(Clone)]
pub struct FakeStore {
    pub memory: MemoryStore,
    before: Arc<Hook>,
}

type Hook = dyn Fn(&'static str, Option<&StoredToken>) -> Pending<'static, Done> + Send + Sync;
type Done = Result<(), StoreError>;

impl FakeStore {
    /// The hook gets the name of the call, and the token of a `save`.
    pub fn new<F: Future<Output = Done> + Send + 'static>(
        before: impl Fn(&'static str, Option<&StoredToken>) -> F + Send + Sync + 'static,
    ) -> Self {
        Self { memory: MemoryStore::new(), before: Arc::new(move |call, token| Box::pin(before(call, token))) }
    }

    /// Fails in every call.
    pub fn failing() -> Self {
        Self::new(|call, _| ready(Err(format!("cannot {call}").into())))
    }
}

impl fmt::Debug for FakeStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeStore")
    }
}

impl TokenStore for FakeStore {
    async fn load(&self, name: &str) -> Result<Option<StoredToken>, StoreError> {
        (self.before)("load", None).await?;
        self.memory.load(name).await
    }

    async fn save(&self, name: &str, token: &StoredToken) -> Done {
        (self.before)("save", Some(token)).await?;
        self.memory.save(name, token).await
    }

    async fn remove(&self, name: &str) -> Done {
        (self.before)("remove", None).await?;
        self.memory.remove(name).await
    }

    async fn lock(&self, name: &str) -> Result<StoreLock, StoreError> {
        (self.before)("lock", None).await?;
        self.memory.lock(name).await
    }
}
