//! One exchange: the in-flight request for a slot's next token, and what follows it, on its own task.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::state::{CachedToken, Failure, Phase, Saved, State, Validity, classify};
use super::stored::{StoreRecord, Turn, release};
use super::{Cache, Fetched, Inner, Slot, TokenSource};
use crate::clock::Moment;
use crate::error::Error;
use crate::store::{ReportingStore, StoreError};
use crate::{runtime, trace};

/// The right to change the state of a slot. Each slot has at most one. It is released however the task ends: normally, by a
/// panic, or because its runtime is dropped.
pub(super) struct Exchange<S: TokenSource> {
    pub(super) cache: Cache<S>,
    pub(super) slot: Arc<Slot<S::Key>>,
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
    pub(super) fn is_abandoned(&self) -> bool {
        self.slot.generation.load(Ordering::Acquire) != self.generation
    }

    /// Clears the slot. For caches without a store.
    pub(super) fn clear(&self) {
        trace::cache::cleared(&self.slot.key);
        self.slot.set_claim(None);
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
        let removed = self.remove_stored(store, *lock_time).await;
        *lock_time = lock_time.saturating_sub(started.elapsed());
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
        let Some(store) = &cache.0.store else {
            let cached = state.cached.as_ref().map(|cached| cached.token.clone());
            let mut turn = Turn::without_store(cached, &cache.0.source, &slot.key, &cache.0.ended, now.now);
            return self.fetch_and_publish(state, &mut turn).await;
        };
        let Some((lock, record)) = self.wait_for_lock(store, state).await? else { return Ok(()) };
        let result = self.obtain_in_turn(store, state, record).await;
        release(lock).await;
        result
    }

    /// Fetches a token after the claim of the last one. With the store's lock, if it could be had.
    async fn obtain_in_turn(
        &mut self,
        store: &ReportingStore,
        state: &State,
        record: StoreRecord,
    ) -> Result<(), FetchFailure> {
        let Some(mut turn) = self.take_turn(store, state, record).await? else { return Ok(()) };
        let failure = match self.fetch_and_publish(state, &mut turn).await {
            Err(failure) if !self.has_published => failure,
            result => return result,
        };
        self.give_back(store, &turn).await;
        // Another process may have used the refresh token first, and saved what it got.
        if self.cache.0.source.depends_on_last_token()
            && let StoreRecord::Usable(cached) = self.load_stored(store, state).await
        {
            return Ok(self.publish(|| Some(cached)).map(drop)?);
        }
        Err(failure)
    }

    /// Fetches a token, publishes it, and saves it.
    ///
    /// It publishes first: the service may have ended the previous token, and no caller should get that while the store
    /// saves. The exchange ends after the store call. Only a token that cannot be replaced is saved first.
    async fn fetch_and_publish(&mut self, state: &State, turn: &mut Turn) -> Result<(), FetchFailure> {
        if self.cache.0.ended.is_cleared(self.ends_seen) {
            // All tokens were cleared: the exchange could not publish what it fetches.
            return Ok(());
        }
        let fetched = self.fetch_from_source(state, turn).await?;
        let now = self.now();
        let validity = Validity::from_fetched(&fetched, &now);
        let Fetched { token, operation, is_adopted, .. } = fetched;
        if !is_adopted {
            self.cache.0.ended.reinstate(&token.access_token, self.ends_seen);
        }
        let saves_first = self.cache.0.source.depends_on_last_token();
        let saved = if self.cache.0.store.is_none() { Saved::Yes } else { Saved::No };
        let mut cached = CachedToken { token, validity: Some(validity), is_borrowed: false, saved };
        if saves_first {
            cached = self.save_quickly(state, turn, cached).await;
        }
        if !cached.validity.is_some_and(|validity| validity.is_usable(&now)) {
            if self.update_state(|state| state.obtained_expired(cached.clone())) {
                self.save(state, turn, cached).await;
            }
            let error =
                Error::decode("the service returned a token that has already expired; is this machine's clock right?");
            return Err(error.with_operation(operation).into());
        }
        if self.publish(|| Some(cached.clone()))? {
            trace::cache::obtained(&self.slot.key, validity.left(&now));
            let access_token = cached.access_token();
            let kept = self.save(state, turn, cached).await;
            if kept.access_token() != access_token {
                // One token for all clients of the store.
                self.publish(|| Some(kept))?;
            }
        }
        Ok(())
    }

    /// Publishes a token to the slot, and wakes the waiters. Returns `false` if the token ended meanwhile: the exchange then
    /// ends without a result, and the waiters begin another one.
    pub(super) fn publish(&mut self, read: impl FnOnce() -> Option<CachedToken>) -> Result<bool, Error> {
        let read = || read().map(|cached| (cached.token.access_token.clone(), cached));
        let update = |cached: CachedToken| self.update_state(|state| state.obtained(cached.clone()));
        match self.cache.0.ended.publish(self.ends_seen, read, update) {
            None => Ok(false),
            Some(false) => Err(self.cache.aborted()),
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
    async fn fetch_from_source(&self, state: &State, turn: &Turn) -> Result<Fetched, FetchFailure> {
        let Inner { account, time, source, .. } = &*self.cache.0;
        let previous = turn.previous.as_ref();
        if let Some(token) = previous.filter(|_| turn.is_initial) {
            let (token, sent, operation) = (token.clone(), self.now(), source.operation());
            return Ok(Fetched { token, sent, operation, is_adopted: true });
        }
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

    pub(super) fn now(&self) -> Moment {
        self.cache.0.time.moment()
    }
}

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
