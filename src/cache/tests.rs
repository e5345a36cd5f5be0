//! Tests of the cache, one for each promise. Time stands still. Tests count waiters instead of sleeping.

mod backoff;
mod broken_stores;
mod claims;
mod clearing;
mod ended;
mod failures;
mod in_flight;
mod lending;
mod races;
mod rejections;
mod runtimes;
mod schedules;
mod sharing;
mod stores;
mod time;
mod user_code;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::*;
use crate::clock::{Clock, ManualClock};
use crate::error::Operation;
#[cfg(feature = "seal")]
use crate::secret::Secret;
use crate::store::{
    AnyStore, ExpiringRefreshToken, Locked, ManagedToken, Marks, MemoryStore, OnFailure, Record, Replaced, StoreError,
    StoreLock, StoredToken, TokenStore, Version,
};
use crate::token::RefreshToken;

pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// A source that returns tokens `a#1`, `a#2` and so on for the key `a`. A key that begins with `broad` serves each that
/// begins with `narrow`.
struct Source {
    clock: Arc<ManualClock>,
    fetches: AtomicUsize,
    /// A fetch needs a permit of its key's gate to return. Without a gate it returns at once.
    gates: Mutex<HashMap<String, Arc<Semaphore>>>,
    lifetime: Mutex<Duration>,
    longest: Mutex<Duration>,
    failure: Mutex<Option<Error>>,
    panics: AtomicBool,
    previous: Mutex<Vec<Option<ManagedToken>>>,
    /// Whether a refresh ends the previous token.
    ends_previous: AtomicBool,
}

/// The operation that this source's errors name.
pub(super) const OPERATION: Operation = Operation { service: "a service", name: "an operation" };

impl TokenSource for Arc<Source> {
    type Key = String;

    fn normalize(&self, key: &String) -> String {
        key.to_lowercase()
    }

    fn record_name(&self, key: &String) -> String {
        format!("name of {key}")
    }

    #[cfg(feature = "seal")]
    fn secrets(&self) -> Vec<Secret> {
        vec![Secret::new("the secret of the account")]
    }

    fn operation(&self) -> Operation {
        OPERATION
    }

    fn check(&self, key: &String) -> Result<(), Error> {
        if key.is_empty() { Err(Error::invalid_input("no key")) } else { Ok(()) }
    }

    fn is_ended_by_refresh(&self, _: &ManagedToken) -> bool {
        self.ends_previous.load(Ordering::SeqCst)
    }

    fn is_for(&self, _: &ManagedToken, _: &String) -> bool {
        true
    }

    async fn fetch(
        &self,
        key: &String,
        previous: Option<&ManagedToken>,
        _: &Ended<AccessToken>,
    ) -> Result<Fetched, Error> {
        let sent = Time::User(Arc::clone(&self.clock) as _).moment();
        let number = self.fetches.fetch_add(1, Ordering::SeqCst) + 1;
        self.previous.lock().unwrap().push(previous.cloned());
        let gate = self.gates.lock().unwrap().get(key).cloned();
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        assert!(!self.panics.load(Ordering::SeqCst), "as the test set it up");
        if let Some(error) = self.failure.lock().unwrap().clone() {
            return Err(error);
        }
        let token = stored(&format!("{key}#{number}"), sent.now, *self.lifetime.lock().unwrap());
        Ok(Fetched { token, sent, operation: OPERATION, is_adopted: false })
    }

    fn max_duration(&self) -> Duration {
        *self.longest.lock().unwrap()
    }

    fn is_broad(&self, key: &String) -> bool {
        key.starts_with("broad")
    }

    fn serves(&self, token: &ManagedToken, key: &String) -> bool {
        token.access_token.expose().starts_with("broad") && key.starts_with("narrow")
    }
}

pub(super) fn stored(token: &str, obtained_at: SystemTime, lifetime: Duration) -> ManagedToken {
    let renewal = ExpiringRefreshToken {
        refresh_token: RefreshToken::new(format!("r-{token}")),
        expires_at: obtained_at + 240 * HOUR,
    };
    ManagedToken {
        access_token: AccessToken::new(token),
        obtained_at,
        expires_at: obtained_at + lifetime,
        renewal: Some(renewal),
        scopes: None,
    }
}

/// Saves a token as another process would.
async fn keep(store: &MemoryStore, name: &str, token: &ManagedToken) {
    let seen = TokenStore::load(store, name).await.unwrap().map(|record| record.version().clone());
    let record = StoredToken::plain(token, &Marks { id: None, claimed_at: None, name: None, keep_until: None });
    let replaced = TokenStore::replace(store, name, seen.as_ref(), &record).await.unwrap();
    assert!(matches!(replaced, Replaced::Done(_)));
}

/// Returns the token of a store's record.
async fn kept(store: &MemoryStore, name: &str) -> Option<ManagedToken> {
    Some(TokenStore::load(store, name).await.unwrap()?.token().unwrap().read().unwrap().0)
}

struct Fixture {
    clock: Arc<ManualClock>,
    source: Arc<Source>,
    cache: Cache<Arc<Source>>,
}

/// Yields until a condition holds that other tasks bring about. Fails after far more turns than they need.
async fn until(mut done: impl FnMut() -> bool) {
    for _ in 0..20_000_000 {
        if done() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("the condition never held");
}

impl Fixture {
    fn new() -> Self {
        Self::with_store(None)
    }

    fn with_store(store: Option<AnyStore>) -> Self {
        Self::with_reporting_store(store.map(|store| ReportingStore::new(store, None)))
    }

    fn reporting(store: AnyStore, on_failure: OnFailure) -> Self {
        Self::with_reporting_store(Some(ReportingStore::new(store, Some(on_failure))))
    }

    fn with_reporting_store(store: Option<ReportingStore>) -> Self {
        let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH + 1_000_000 * HOUR));
        let source = Arc::new(Source {
            clock: Arc::clone(&clock),
            fetches: AtomicUsize::new(0),
            gates: Mutex::default(),
            lifetime: Mutex::new(HOUR),
            longest: Mutex::new(5 * MINUTE),
            failure: Mutex::default(),
            panics: AtomicBool::new(false),
            previous: Mutex::default(),
            ends_previous: AtomicBool::new(false),
        });
        let cache = Cache::new(Arc::clone(&source), store, Time::User(Arc::clone(&clock) as _));
        Self { clock, source, cache }
    }

    /// Returns another process with the same service and store.
    fn second_process(&self, store: &MemoryStore) -> Self {
        let store = ReportingStore::new(AnyStore::new(store.clone()), None);
        let cache = Cache::new(Arc::clone(&self.source), Some(store), Time::User(Arc::clone(&self.clock) as _));
        Self { clock: Arc::clone(&self.clock), source: Arc::clone(&self.source), cache }
    }

    async fn get(&self, key: &str) -> String {
        self.cache.get(&key.to_owned()).await.unwrap().expose().to_owned()
    }

    /// Returns the token if the cache returns one without waiting.
    fn get_now(&self, key: &str) -> Option<String> {
        let key = key.to_owned();
        match poll_once(self.cache.get(&key)) {
            Poll::Ready(token) => Some(token.unwrap().expose().to_owned()),
            Poll::Pending => None,
        }
    }

    async fn get_error(&self, key: &str) -> Error {
        self.cache.get(&key.to_owned()).await.unwrap_err()
    }

    fn fetches(&self) -> usize {
        self.source.fetches.load(Ordering::SeqCst)
    }

    /// Holds each fetch for a key, until its gate gets a permit.
    fn hold(&self, key: &str) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.source.gates.lock().unwrap().insert(key.to_owned(), Arc::clone(&gate));
        gate
    }

    fn fail(&self, error: Error) {
        *self.source.failure.lock().unwrap() = Some(error);
    }

    fn recover(&self) {
        *self.source.failure.lock().unwrap() = None;
    }

    fn set_lifetime(&self, lifetime: Duration) {
        *self.source.lifetime.lock().unwrap() = lifetime;
    }

    fn slot(&self, key: &str) -> Arc<Slot<String>> {
        self.cache.slot(&key.to_owned())
    }

    /// Waits until this many callers wait for a key.
    async fn wait_for_waiters(&self, key: &str, callers: usize) {
        let slot = self.slot(key);
        until(|| slot.updates.receiver_count() == callers).await;
    }

    /// Waits until no exchange is in flight for a key.
    async fn wait_idle(&self, key: &str) {
        let slot = self.slot(key);
        until(|| !slot.is_busy()).await;
    }

    fn spawn_callers(&self, key: &str, number: usize) -> JoinSet<Result<AccessToken, Error>> {
        (0..number)
            .map(|_| {
                let (cache, key) = (self.cache.clone(), key.to_owned());
                async move { cache.get(&key).await }
            })
            .collect()
    }
}

fn poll_once<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn unavailable() -> Error {
    Error::new(Kind::Unavailable)
}

pub(super) fn wrong_password() -> Error {
    Error::new(Kind::InvalidGrant { credentials: true })
}

/// A store whose calls work, fail or hang, as each test sets it up.
#[derive(Debug, Clone, Default)]
struct FakeStore {
    kept: MemoryStore,
    saving: StoreBehavior,
    other_calls: StoreBehavior,
}

#[derive(Debug, Clone, Default)]
enum StoreBehavior {
    #[default]
    Works,
    Fails,
    NeverAnswers,
    /// Each call waits for a permit.
    Waits(Arc<Semaphore>),
}

impl StoreBehavior {
    async fn go(&self) -> Result<(), StoreError> {
        match self {
            Self::Works => Ok(()),
            Self::Fails => Err("no disk".into()),
            Self::NeverAnswers => std::future::pending().await,
            Self::Waits(gate) => {
                gate.acquire().await?.forget();
                Ok(())
            }
        }
    }
}

impl TokenStore for FakeStore {
    async fn load(&self, name: &str) -> Result<Option<Record>, StoreError> {
        self.other_calls.go().await?;
        TokenStore::load(&self.kept, name).await
    }

    async fn replace(&self, name: &str, seen: Option<&Version>, token: &StoredToken) -> Result<Replaced, StoreError> {
        self.saving.go().await?;
        TokenStore::replace(&self.kept, name, seen, token).await
    }

    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.other_calls.go().await?;
        TokenStore::remove(&self.kept, name).await
    }

    async fn lock(&self, name: &str, seen: Option<&Version>) -> Result<Locked, StoreError> {
        self.other_calls.go().await?;
        TokenStore::lock(&self.kept, name, seen).await
    }
}
