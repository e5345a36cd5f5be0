//! A store that does what a test tells it to, and readers for the fields of its records.

use std::fmt;
use std::future::{Future, ready};
use std::sync::{Arc, Mutex};

use gettone::store::{Locked, MemoryStore, Record, Replaced, StoreError, StoreLock, StoredToken, TokenStore, Version};
use serde_json::Value;

use super::services::Pending;

/// A store in memory that runs a hook before each call, and fails if the hook does.
#[derive(Clone)]
pub struct FakeStore {
    pub memory: MemoryStore,
    before: Arc<Hook>,
    after: Arc<dyn Fn(&'static str) -> Done + Send + Sync>,
    hurry: Option<Arc<Mutex<Hurry>>>,
}

type Hook = dyn Fn(&'static str, Option<&StoredToken>) -> Pending<'static, Done> + Send + Sync;
type Done = Result<(), StoreError>;

impl FakeStore {
    /// The hook gets the name of the call, and the token that is written. A `replace` is either a `claim` or a `save`.
    pub fn new<F: Future<Output = Done> + Send + 'static>(
        before: impl Fn(&'static str, Option<&StoredToken>) -> F + Send + Sync + 'static,
    ) -> Self {
        let before: Arc<Hook> = Arc::new(move |call, token| Box::pin(before(call, token)));
        Self { memory: MemoryStore::new(), before, after: Arc::new(|_| Ok(())), hurry: None }
    }

    /// Fails in every call.
    pub fn failing() -> Self {
        Self::new(|call, _| ready(Err(format!("cannot {call}").into())))
    }

    /// Runs another hook after each call. If it fails, the call was carried out and its answer is lost.
    pub fn after(self, after: impl Fn(&'static str) -> Done + Send + Sync + 'static) -> Self {
        Self { after: Arc::new(after), ..self }
    }

    /// Lets no time pass between two tries of a client to save a token, of which there are so many. For one client, on a runtime with one
    /// thread.
    pub fn hurried(self, max_tries: usize) -> Self {
        Self { hurry: Some(Arc::new(Mutex::new(Hurry { max_tries, ..Hurry::default() }))), ..self }
    }

    async fn call<T>(
        &self,
        call: &'static str,
        token: Option<&StoredToken>,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.hurry.iter().for_each(|hurry| hurry.lock().unwrap().begin());
        let done = async {
            (self.before)(call, token).await?;
            let done = work.await?;
            (self.after)(call).map(|()| done)
        };
        let done = done.await;
        self.hurry.iter().for_each(|hurry| hurry.lock().unwrap().end(call, done.is_err()));
        done
    }
}

/// Pauses tokio's time from a failed try to save a token to the next call. Not while the client waits for a service: the time would jump to
/// the end of that wait.
#[derive(Default)]
struct Hurry {
    is_paused: bool,
    /// Whether the last call was a load that failed.
    is_unknown: bool,
    /// How many loads there will be before the client sends a request.
    before_request: usize,
    /// How many tries to save a token have failed, and how many there are.
    tries: usize,
    max_tries: usize,
}

impl Hurry {
    fn begin(&mut self) {
        if std::mem::take(&mut self.is_paused) {
            tokio::time::resume();
        }
    }

    fn end(&mut self, call: &str, has_failed: bool) {
        match call {
            "lock" => (self.before_request, self.tries) = (usize::from(!has_failed || !self.is_unknown), 0),
            "claim" => self.before_request = usize::from(has_failed),
            "load" if self.before_request > 0 => self.before_request -= 1,
            "load" | "save" if has_failed => self.tries += 1,
            _ => {}
        }
        self.is_unknown = call == "load" && has_failed;
        // The last try is not followed by another.
        if has_failed && self.before_request == 0 && (1..self.max_tries).contains(&self.tries) {
            self.is_paused = true;
            tokio::time::pause();
        }
    }
}

impl fmt::Debug for FakeStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeStore")
    }
}

impl TokenStore for FakeStore {
    async fn load(&self, name: &str) -> Result<Option<Record>, StoreError> {
        self.call("load", None, self.memory.load(name)).await
    }

    async fn replace(&self, name: &str, seen: Option<&Version>, token: &StoredToken) -> Result<Replaced, StoreError> {
        let call = if is_claim(token) { "claim" } else { "save" };
        self.call(call, Some(token), self.memory.replace(name, seen, token)).await
    }

    async fn remove(&self, name: &str) -> Done {
        self.call("remove", None, self.memory.remove(name)).await
    }

    async fn lock(&self, name: &str, seen: Option<&Version>) -> Result<Locked, StoreError> {
        self.call("lock", None, self.memory.lock(name, seen)).await
    }
}

/// Returns a field of a record.
pub fn field(token: &StoredToken, name: &str) -> Option<Value> {
    let json = token.to_json();
    serde_json::from_str::<Value>(json.expose()).unwrap().get(name).cloned()
}

pub fn access_token(token: &StoredToken) -> String {
    field(token, "access_token").unwrap().as_str().unwrap().to_owned()
}

/// Returns whether a client has claimed the refresh token, which the record no longer has.
pub fn is_claim(token: &StoredToken) -> bool {
    field(token, "claimed_at").is_some()
}

/// Saves a token, whatever is there.
pub async fn put(store: &impl TokenStore, name: &str, token: &StoredToken) -> Result<Version, StoreError> {
    let seen = store.load(name).await?.map(|record| record.version().clone());
    match store.replace(name, seen.as_ref(), token).await? {
        Replaced::Done(version) => Ok(version),
        _ => Err(format!("another process has replaced the record of {name}").into()),
    }
}

/// Waits for a lock.
pub async fn hold(store: &impl TokenStore, name: &str) -> Result<StoreLock, StoreError> {
    let seen = store.load(name).await?.map(|record| record.version().clone());
    match store.lock(name, seen.as_ref()).await? {
        Locked::Held(lock) => Ok(lock),
        other => Err(format!("the lock of {name}: {other:?}").into()),
    }
}
