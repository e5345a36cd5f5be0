//! One exchange: the in-flight request for a slot's next token, and what follows it, on its own task.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::state::{CachedToken, Failure, Phase, State, Validity, classify};
use super::{Cache, Fetched, Inner, STORE_CALL_TIMEOUT, STORE_LOCK_TIMEOUT, Slot, TokenSource};
use crate::clock::Moment;
use crate::error::Error;
use crate::store::{ReportingStore, StoreError, StoreLock, StoredToken};
use crate::{runtime, trace};

/// The right to change the state of a slot. Each slot has at most one. It is released however the task ends: normally, by a
/// panic, or because its runtime is dropped.
pub(super) struct Exchange<S: TokenSource> {
    cache: Cache<S>,
    slot: Arc<Slot<S::Key>>,
    generation: u64,
    /// The number of the last end (see `ended.rs`) when the exchange began.
    ends_seen: u64,
    /// The revision of the slot's state when the exchange began.
    revision: u64,
    /// Whether there was no usable token.
    has_waiters: bool,
    /// Whether it has published a token. Nothing after that is a failure of the exchange.
    has_published: bool,
    /// The error for the waiters.
    error: Option<Error>,
}

/// The result of loading from a store.
enum StoreRecord {
    Usable(CachedToken),
    /// Not usable, but perhaps good for a refresh.
    Stale(Option<StoredToken>),
    /// The store has, or may have, the token that leads to the next one.
    Unreadable(Error),
}

/// The reason why an exchange brought no token.
enum FetchFailure {
    /// A failure of this key only, as far as the cache knows.
    Key(Error),
    /// A failure of the whole account.
    Account(Failure),
    /// The account is backing off after an earlier failure. Nothing was sent.
    BackingOff(Failure),
}

impl From<Error> for FetchFailure {
    fn from(error: Error) -> Self {
        Self::Key(error)
    }
}

impl<S: TokenSource> Exchange<S> {
    /// Begins an exchange, if none is in flight.
    pub(super) fn begin(cache: &Cache<S>, slot: &Arc<Slot<S::Key>>) -> Option<Self> {
        // Before the slot is marked busy: a user's clock may panic.
        let (now, ends_seen) = (cache.0.time.moment(), cache.0.ended.last());
        let generation = slot.begin()?;
        let state = slot.state.load();
        Some(Self {
            cache: cache.clone(),
            slot: Arc::clone(slot),
            generation,
            ends_seen,
            revision: state.revision,
            has_waiters: state.usable(&now).is_none(),
            has_published: false,
            error: None,
        })
    }

    /// Publishes the slot's next token, or records the failure.
    pub(super) async fn run(mut self) {
        if self.is_abandoned() {
            return;
        }
        let state = self.slot.state.load_full();
        let now = self.now();
        match classify(&state, &now) {
            // Another exchange ended after the caller read the state.
            Phase::Fresh => {}
            Phase::BackingOff => self.error = state.failure.as_ref().map(|failure| failure.backing_off_error(&now)),
            Phase::Empty | Phase::RefreshSoon | Phase::Expired => match self.obtain(&state).await {
                Ok(()) => {}
                Err(_) if self.is_abandoned() => {}
                Err(FetchFailure::Key(error)) => {
                    self.fail(&error, |state, has_waiters, now| state.failed(&error, has_waiters, now))
                }
                Err(FetchFailure::Account(failure)) => {
                    self.fail(&failure.error, |state, _, now| state.backing_off(failure.clone(), now))
                }
                Err(FetchFailure::BackingOff(failure)) => self
                    .fail(&failure.backing_off_error(&self.now()), |state, _, now| {
                        state.backing_off(failure.clone(), now)
                    }),
            },
        }
    }

    /// Returns whether a caller has abandoned this exchange. Another one may have begun.
    fn is_abandoned(&self) -> bool {
        self.slot.generation.load(Ordering::Acquire) != self.generation
    }

    /// Clears the slot. For caches without a store.
    pub(super) fn clear(&self) {
        trace::cache::cleared(&self.slot.key);
        self.slot.state.rcu(|state| state.cleared());
    }

    /// Clears the slot and its store record, if `is_selected` accepts the state. `lock_time` limits the wait for the store's
    /// lock; the wait is subtracted from it.
    pub(super) async fn clear_stored(
        self,
        is_selected: impl FnOnce(&State) -> bool,
        lock_time: &mut Duration,
    ) -> Result<(), StoreError> {
        if !is_selected(&self.slot.state.load()) {
            return Ok(());
        }
        let Some(store) = &self.cache.0.store else {
            self.clear();
            return Ok(());
        };
        let started = Instant::now();
        let _lock = self.lock(store, *lock_time).await;
        *lock_time = lock_time.saturating_sub(started.elapsed());
        let removed = with_call_timeout(store.remove(&self.slot.name)).await;
        if removed.is_ok() {
            self.clear();
        } else {
            // The slot keeps the token that the store may still have, so that no exchange takes it again.
            self.slot.state.rcu(|state| state.withdrawn().without_failures());
        }
        removed
    }

    /// Publishes a token: borrowed from another slot, loaded from the store, or fetched from the source.
    async fn obtain(&mut self, state: &State) -> Result<(), FetchFailure> {
        let (cache, slot, now) = (self.cache.clone(), Arc::clone(&self.slot), self.now());
        if let Some(lender) = self.find_lender(state).await?
            && self.publish(|| Some(cache.borrow(&lender, &slot.key, &now)?.0))?
        {
            trace::cache::borrowed(&self.slot.key);
            return Ok(());
        }
        let cached = state.cached.as_ref().map(|cached| &cached.token);
        let Some(store) = &cache.0.store else {
            return self.fetch_and_publish(state, cached).await;
        };
        // First without the lock, so that a process that only reads does not wait for the exchange of another.
        if let StoreRecord::Usable(cached) = self.load_stored(store, state).await {
            return self.publish(|| Some(cached)).map(drop);
        }
        let _lock = self.lock(store, STORE_LOCK_TIMEOUT).await;
        match self.load_stored(store, state).await {
            StoreRecord::Usable(cached) => self.publish(|| Some(cached)).map(drop),
            StoreRecord::Stale(stored) => {
                // The stored token is ours or a later one, unless ours could not be saved.
                let unsaved = cached.filter(|_| state.cached.as_ref().is_some_and(|cached| !cached.is_saved));
                let fetched = self.fetch_and_publish(state, unsaved.or(stored.as_ref()).or(cached)).await;
                match fetched {
                    // Another process may have used the refresh token first, and saved what it got.
                    Err(failure) if cache.0.source.depends_on_last_token() => {
                        match self.load_stored(store, state).await {
                            StoreRecord::Usable(cached) => self.publish(|| Some(cached)).map(drop),
                            StoreRecord::Stale(_) | StoreRecord::Unreadable(_) => Err(failure),
                        }
                    }
                    result => result,
                }
            }
            StoreRecord::Unreadable(_) if cached.is_some() => self.fetch_and_publish(state, cached).await,
            StoreRecord::Unreadable(error) => Err(error.with_operation(cache.0.source.operation()).into()),
        }
    }

    /// Fetches a token, publishes it, and saves it.
    ///
    /// It publishes first: the service may have ended the previous token, and no caller should get that while the store
    /// saves. The exchange ends after the store call. Only a token that cannot be replaced is saved first.
    async fn fetch_and_publish(&mut self, state: &State, previous: Option<&StoredToken>) -> Result<(), FetchFailure> {
        if self.cache.0.ended.is_cleared(self.ends_seen) {
            // All tokens were cleared: the exchange could not publish what it fetches.
            return Ok(());
        }
        let fetched = self.fetch_from_source(state, previous).await?;
        let now = self.now();
        let validity = Validity::from_fetched(&fetched, &now);
        let Fetched { mut token, operation, is_adopted, .. } = fetched;
        token.name = Some(self.slot.name.clone());
        if !is_adopted {
            self.cache.0.ended.reinstate(&token.access_token, self.ends_seen);
        }
        let saves_first = self.cache.0.source.depends_on_last_token();
        let is_saved = self.cache.0.store.is_none() || (saves_first && self.save(&token).await);
        let cached = CachedToken { token, validity: Some(validity), is_borrowed: false, is_saved };
        if !validity.is_usable(&now) {
            if self.update_state(|state| state.obtained_expired(cached.clone())) && !saves_first {
                self.save(&cached.token).await;
            }
            let error =
                Error::decode("the service returned a token that has already expired; is this machine's clock right?");
            return Err(error.with_operation(operation).into());
        }
        if self.publish(|| Some(cached.clone()))? {
            trace::cache::obtained(&self.slot.key, validity.left(&now));
            if !saves_first {
                self.save(&cached.token).await;
            }
        }
        Ok(())
    }

    /// Publishes a token to the slot, and wakes the waiters. Returns `false` if the token ended meanwhile: the exchange then
    /// ends without a result, and the waiters begin another one.
    fn publish(&mut self, read: impl FnOnce() -> Option<CachedToken>) -> Result<bool, FetchFailure> {
        let read = || read().map(|cached| (cached.token.access_token.clone(), cached));
        let update = |cached: CachedToken| self.update_state(|state| state.obtained(cached.clone()));
        match self.cache.0.ended.publish(self.ends_seen, read, update) {
            None => Ok(false),
            Some(false) => Err(self.cache.aborted().into()),
            Some(true) => {
                self.has_published = true;
                self.slot.notify();
                Ok(true)
            }
        }
    }

    /// Replaces the state of the slot. Returns whether it did.
    ///
    /// An abandoned exchange may still do so, because its token cannot be fetched again; but not if another token was
    /// published or all were cleared since it began.
    fn update_state(&self, change: impl Fn(&State) -> State) -> bool {
        let may_update = |state: &State| !self.is_abandoned() || state.revision == self.revision;
        let mut is_updated = false;
        self.slot.state.rcu(|state| {
            is_updated = may_update(state);
            if is_updated { Arc::new(change(state)) } else { Arc::clone(state) }
        });
        is_updated
    }

    /// Fetches a token from the source, unless the account is backing off.
    async fn fetch_from_source(&self, state: &State, previous: Option<&StoredToken>) -> Result<Fetched, FetchFailure> {
        let Inner { account, time, source, .. } = &*self.cache.0;
        let own_failure = state.failure.as_ref().filter(|_| state.usable(&self.now()).is_some());
        let permit =
            account.acquire(time, source.max_duration(), own_failure).await.map_err(FetchFailure::BackingOff)?;
        if self.is_abandoned() {
            return Err(self.cache.aborted().into());
        }
        trace::cache::fetching(&self.slot.key, previous.is_some());
        let result = source.fetch(&self.slot.key, previous, &self.cache.0.ended).await;
        let failure = account.record(&permit, result.as_ref().err(), &self.now());
        match (result, failure) {
            (Ok(fetched), _) => Ok(fetched),
            (Err(_), Some(failure)) => Err(FetchFailure::Account(failure)),
            (Err(error), None) => Err(FetchFailure::Key(error)),
        }
    }

    /// Saves a token. If the store fails, reports that, and keeps the token in memory. Returns whether the store has it.
    async fn save(&self, token: &StoredToken) -> bool {
        let Some(store) = &self.cache.0.store else { return false };
        match with_call_timeout(store.save(&self.slot.name, token)).await {
            Ok(()) => {
                self.slot.state.rcu(|state| state.saved(&token.access_token));
                return true;
            }
            Err(error) => drop(store.failed("save", error)),
        }
        // A store without a record is better than one with the previous token, which may be used up. But the failed call may have saved
        // this one, and if it cannot be replaced, nothing is removed.
        if !self.cache.0.source.depends_on_last_token()
            && let Err(error) = with_call_timeout(store.remove(&self.slot.name)).await
        {
            store.failed("remove", error);
        }
        false
    }

    /// Records a failure in the slot's state, and keeps the error for the waiters.
    fn fail(&mut self, error: &Error, after: impl Fn(&State, bool, &Moment) -> State) {
        let now = self.now();
        let before = self.slot.state.rcu(|state| after(state, self.has_waiters, &now));
        trace::cache::failed(&self.slot.key, error, before.usable(&now).is_some());
        if self.has_waiters {
            self.error = Some(error.clone());
        }
    }

    /// Returns the slot to borrow a token from, if any.
    ///
    /// A slot without a usable token borrows any usable one. A slot that borrowed its token, now in its refresh window,
    /// waits for the lending slot to refresh it. A slot with a token of its own never waits, so no two slots wait for each
    /// other.
    async fn find_lender(&self, state: &State) -> Result<Option<Arc<Slot<S::Key>>>, Error> {
        let now = self.now();
        let is_needed = state.usable(&now).is_none();
        let mut refreshable = None;
        for other in self.cache.lenders(&self.slot.key) {
            let borrowed = self.cache.borrow(&other, &self.slot.key, &now);
            match borrowed.filter(|(cached, _)| !self.cache.0.ended.contains(&cached.token.access_token)) {
                Some((_, validity)) if is_needed || validity.is_fresh(&now) => return Ok(Some(other)),
                Some(_) => refreshable = Some(other),
                None => {}
            }
        }
        let is_borrowed = state.cached.as_ref().is_some_and(|cached| cached.is_borrowed);
        let Some(lender) = refreshable.filter(|_| is_borrowed) else { return Ok(None) };
        let mut updates = lender.updates.subscribe();
        self.cache.start(&lender)?;
        let _ = self.cache.wait_for_exchange(&lender, &mut updates).await;
        let (state, now) = (lender.state.load_full(), self.now());
        match (self.cache.borrow(&lender, &self.slot.key, &now), classify(&state, &now), &state.failure) {
            (Some((_, validity)), ..) if validity.is_fresh(&now) => Ok(Some(lender)),
            (_, Phase::BackingOff, Some(failure)) => Err(failure.backing_off_error(&now)),
            _ => Ok(None),
        }
    }

    /// Loads the slot's store record, and judges whether its token is usable.
    async fn load_stored(&self, store: &ReportingStore, state: &State) -> StoreRecord {
        let Inner { source, ended, .. } = &*self.cache.0;
        let unreadable = |error: StoreError| match store.failed("load", error) {
            error if source.depends_on_last_token() => StoreRecord::Unreadable(error),
            _ => StoreRecord::Stale(None),
        };
        let token = match with_call_timeout(store.load(&self.slot.name)).await {
            Ok(Some(token)) if token.is_named(&self.slot.name) && source.is_for(&token, &self.slot.key) => token,
            Ok(Some(_)) => {
                let name = &self.slot.name;
                return unreadable(format!("the record under {name} is that of another token; it is ignored").into());
            }
            Ok(None) => return StoreRecord::Stale(None),
            Err(error) => return unreadable(error),
        };
        let now = self.now();
        let is_needed = state.usable(&now).is_none();
        // The slot's own token is in its refresh window, expired, or rejected.
        // Unless another process has extended it.
        let is_own = |cached: &CachedToken| {
            cached.token.access_token == token.access_token && token.expires_at <= cached.token.expires_at
        };
        let is_old = state.cached.as_ref().is_some_and(is_own) || ended.contains(&token.access_token);
        let validity = Validity::from_stored(&token, &now).filter(|_| !is_old);
        match validity.filter(|validity| validity.is_fresh(&now) || (is_needed && validity.is_usable(&now))) {
            Some(validity) => {
                trace::cache::loaded(&self.slot.key, validity.left(&now));
                StoreRecord::Usable(CachedToken { token, validity: Some(validity), is_borrowed: false, is_saved: true })
            }
            None => StoreRecord::Stale(Some(token)),
        }
    }

    async fn lock(&self, store: &ReportingStore, limit: Duration) -> Option<StoreLock> {
        let lock = with_timeout(limit, store.lock(&self.slot.name)).await;
        lock.map_err(|error| store.failed("lock", error)).ok()
    }

    fn now(&self) -> Moment {
        self.cache.0.time.moment()
    }
}

async fn with_call_timeout<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    with_timeout(STORE_CALL_TIMEOUT, call).await
}

/// Waits for a store call. A store that does not finish in time counts as failed.
async fn with_timeout<T>(limit: Duration, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| Err(StoreTimeout(limit).into()))
}

/// The error for a store call that did not finish in time.
#[derive(Debug)]
pub(super) struct StoreTimeout(Duration);

impl fmt::Display for StoreTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no response in {} s", self.0.as_secs())
    }
}

impl std::error::Error for StoreTimeout {}

impl<S: TokenSource> Drop for Exchange<S> {
    fn drop(&mut self) {
        if std::thread::panicking() && !self.is_abandoned() && !self.has_published {
            let error = self.cache.aborted();
            // The clock may be what panicked. A second panic here would abort the process.
            let failed = |state: &State, has_waiters: bool, now: &Moment| state.failed(&error, has_waiters, now);
            if runtime::caught(|| self.fail(&error, failed)).is_err() && self.has_waiters {
                self.error = Some(error.clone());
            }
        }
        self.slot.end(self.generation, self.error.take());
    }
}
