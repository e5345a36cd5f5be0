//! One managed token for each key, for any service. The cache knows no service: a [`TokenSource`] fetches the tokens.
//!
//! Each key has a slot. A slot holds the cached token, the last failure, and at most one in-flight exchange.
//!
//! - While the token is valid, callers get it without waiting. The first caller in the refresh window begins an exchange for
//!   the next token, on its own task.
//! - Without a valid token, all callers wait for the same exchange.
//! - An exchange borrows the token of another slot, loads one from the store, or fetches one from the source, in this order.

mod backoff;
mod clear;
mod ended;
mod exchange;
mod lenders;
mod rotation;
mod slots;
mod source;
mod state;
mod stored;
#[cfg(test)]
mod tests;

/// The locks of `ended.rs`. The model check in `tests/model.rs` replaces them by loom's.
mod sync {
    pub(super) use std::sync::{Mutex, MutexGuard};
}

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock::{Moment, Time};
use crate::error::{Error, Kind};
use crate::store::ReportingStore;
use crate::token::AccessToken;
use crate::{runtime, trace};

use backoff::AccountBackoff;
pub(crate) use clear::Which;
use ended::EndKind;
pub(crate) use ended::Ended;
use exchange::Exchange;
pub(crate) use rotation::{Rotating, Rotation};
pub(crate) use slots::FreshToken;
use slots::{Slot, Slots};
pub(crate) use source::{Fetched, TokenSource};
use state::{CachedToken, Phase, State, Validity, classify};
pub(crate) use state::{leeway, window};

/// The cached tokens of one source. Cheap to clone.
pub(crate) struct Cache<S: TokenSource>(Arc<Inner<S>>);

struct Inner<S: TokenSource> {
    source: S,
    store: Option<ReportingStore>,
    time: Time,
    slots: RwLock<Slots<S::Key>>,
    ended: Ended<AccessToken>,
    account: AccountBackoff,
}

/// One slot of a cache, without the search for its key.
pub(crate) struct Handle<S: TokenSource> {
    cache: Cache<S>,
    slot: Arc<Slot<S::Key>>,
}

impl<S: TokenSource> Clone for Cache<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: TokenSource> Clone for Handle<S> {
    fn clone(&self) -> Self {
        Self { cache: self.cache.clone(), slot: Arc::clone(&self.slot) }
    }
}

impl<S: TokenSource> Cache<S> {
    pub(crate) fn new(source: S, store: Option<ReportingStore>, time: Time) -> Self {
        #[cfg(feature = "seal")]
        let store = store.map(|store| store.seal_for(|| source.secrets()));
        let (slots, ended, account) = (RwLock::new(Slots::new()), Ended::new(), AccountBackoff::default());
        Self(Arc::new(Inner { source, store, time, slots, ended, account }))
    }

    #[cfg_attr(not(feature = "middleware"), allow(dead_code))]
    pub(crate) fn time(&self) -> &Time {
        &self.0.time
    }

    pub(crate) fn source(&self) -> &S {
        &self.0.source
    }

    pub(crate) fn handle(&self, key: &S::Key) -> Handle<S> {
        Handle { cache: self.clone(), slot: self.slot(key) }
    }

    /// Returns the key's cached token, or waits for one.
    pub(crate) async fn get(&self, key: &S::Key) -> Result<AccessToken, Error> {
        let now = self.0.time.moment();
        // No user code (clock, subscriber) runs under the lock.
        let known = {
            let slots = self.0.slots.read().unwrap_or_else(PoisonError::into_inner);
            let slot = slots.by_given_key.get(key);
            match slot.and_then(|slot| slot.fresh(&now)) {
                Some(token) => Ok(token),
                None => Err(slot.cloned()),
            }
        };
        match known {
            Ok(token) => {
                trace::cache::hit(key);
                Ok(token)
            }
            Err(slot) => {
                let slot = slot.unwrap_or_else(|| self.slot(key));
                match self.cached(&slot) {
                    Some(token) => Ok(token),
                    None => Box::pin(self.wait_for_token(&slot)).await,
                }
            }
        }
    }

    /// Drops this token from each slot that holds it, and never a newer one. If the service rejects one token after the
    /// other, the slot may keep it.
    pub(crate) fn invalidate(&self, token: &AccessToken) {
        let now = self.0.time.moment();
        let is_cached = |state: &State| state.age_of(token, &now).is_some();
        let reject =
            |state: &Arc<State>| if is_cached(state) { Arc::new(state.rejected(&now)) } else { Arc::clone(state) };
        let (mut affected, mut is_ended) = (Vec::new(), false);
        self.0.ended.end(
            EndKind::Final,
            [],
            || self.all_slots(),
            |slot| {
                let before = slot.state.rcu(reject);
                let is_borrowed =
                    before.cached.as_ref().filter(|_| is_cached(&before)).map(|cached| cached.is_borrowed)?;
                let is_kept = is_cached(&slot.state.load());
                affected.push((slot, is_kept));
                // A slot that borrowed the token borrows it again if the lending slot keeps it.
                let is_dropped = !is_borrowed && !is_kept;
                is_ended |= is_dropped;
                is_dropped.then(|| token.clone())
            },
        );
        if is_ended {
            // The slot that fetched it has dropped it, so each slot that borrowed it drops it too, even one that would keep
            // it.
            self.withdraw(&Which::Ended([token.clone()].into()));
        }
        // After the lock is released: a subscriber may request a token.
        affected.iter().for_each(|(slot, is_kept)| trace::cache::invalidated(&slot.key, *is_kept && !is_ended));
    }

    /// Returns the age of a token that some slot still holds as valid.
    #[cfg_attr(not(feature = "middleware"), allow(dead_code))]
    pub(crate) fn age_of(&self, token: &AccessToken) -> Option<Duration> {
        let now = self.0.time.moment();
        self.all_slots().iter().find_map(|slot| slot.state.load().age_of(token, &now))
    }

    /// Waits until an exchange publishes or ends. Abandons it after the longest time that one may take: its runtime is then
    /// no longer driven, and the slot must be free for another exchange.
    async fn wait_for_exchange(
        &self,
        slot: &Slot<S::Key>,
        updates: &mut watch::Receiver<Option<Error>>,
    ) -> Result<(), Error> {
        let generation = slot.generation.load(Ordering::Acquire);
        // `changed` cannot fail: the slot keeps the sender.
        let None = runtime::until(runtime::after(self.exchange_limit()), updates.changed()).await else {
            return Ok(());
        };
        Err(self.abandon(slot, generation))
    }

    /// Returns the longest time that an exchange may take.
    fn exchange_limit(&self) -> Duration {
        // Another exchange's probe, and `fetch`.
        let requests = self.0.source.max_duration().saturating_mul(2);
        requests.saturating_add(STORE_LOCK_TIMEOUT + stored::MAX_CALLS * STORE_CALL_TIMEOUT)
    }

    /// Abandons an exchange if it is still in flight. Returns the error for its callers.
    fn abandon(&self, slot: &Slot<S::Key>, generation: u64) -> Error {
        if !generation.is_multiple_of(2) {
            slot.end(generation, None);
        }
        Error::new(Kind::Timeout).with_operation(self.0.source.operation())
    }

    fn all_slots(&self) -> Vec<Arc<Slot<S::Key>>> {
        let slots = self.0.slots.read().unwrap_or_else(PoisonError::into_inner);
        slots.by_normal_key.values().cloned().collect()
    }

    /// Returns the slots of other keys whose tokens may serve this one.
    fn lenders(&self, key: &S::Key) -> Vec<Arc<Slot<S::Key>>> {
        let slots = self.0.slots.read().unwrap_or_else(PoisonError::into_inner);
        let others = slots.broad.candidates(self.0.source.borrows_at(key)).filter(|other| *other != key);
        others.filter_map(|other| slots.by_normal_key.get(other).cloned()).collect()
    }

    /// Returns the token of another slot if it serves this key. A slot never lends a token that it borrowed.
    fn borrow(&self, other: &Slot<S::Key>, key: &S::Key, now: &Moment) -> Option<(CachedToken, Validity)> {
        let state = other.state.load();
        let cached = state.usable(now).filter(|cached| !cached.is_borrowed)?;
        let serves = self.0.source.serves(&cached.token, key);
        serves.then(|| Some((CachedToken { is_borrowed: true, ..cached.clone() }, cached.validity?)))?
    }

    /// Returns the slot of a key, or adds one.
    fn slot(&self, key: &S::Key) -> Arc<Slot<S::Key>> {
        let (normal, now) = (self.0.source.normalize(key), self.0.time.moment());
        let mut slots = self.0.slots.write().unwrap_or_else(PoisonError::into_inner);
        slots.sweep(&now);
        let known = slots.by_normal_key.get(&normal).cloned();
        let slot = known.unwrap_or_else(|| slots.add(normal, &self.0.source));
        slots.by_given_key.insert(key.clone(), Arc::clone(&slot));
        slot
    }

    /// Returns the cached token if it is usable. Almost all calls end here, without a lock. The first one in the refresh
    /// window begins an exchange.
    #[inline]
    fn cached(&self, slot: &Arc<Slot<S::Key>>) -> Option<AccessToken> {
        let state = slot.state.load();
        let cached = state.cached.as_ref()?;
        let validity = cached.validity.as_ref()?;
        let now = self.0.time.moment();
        let can_return = validity.is_fresh(&now)
            || (validity.is_usable(&now) && self.may_return_in_refresh_window(slot, &state, cached, &now));
        if !can_return {
            return None;
        }
        trace::cache::hit(&slot.key);
        Some(cached.token.access_token.clone())
    }

    /// Returns whether a caller may have this token, which is no longer fresh. Begins the refresh, if none is in flight.
    ///
    /// If the service ends the token with that refresh, it would reject the token a moment later. The caller then waits for
    /// the next token, but not for long.
    fn may_return_in_refresh_window(
        &self,
        slot: &Arc<Slot<S::Key>>,
        state: &State,
        cached: &CachedToken,
        now: &Moment,
    ) -> bool {
        if classify(state, now) != Phase::RefreshSoon {
            return true;
        }
        // Without a runtime nothing can be fetched, and the token is still usable.
        if !slot.is_busy() && self.start(slot).is_err() {
            return true;
        }
        let ends_with_refresh = !cached.is_borrowed && self.0.source.is_ended_by_refresh(&cached.token);
        // A whole refresh may have happened since the caller read the state.
        let is_unchanged = || slot.state.load().revision == state.revision;
        !ends_with_refresh
            || (slot.refresh_wait_deadline().is_none_or(|deadline| deadline <= Instant::now()) && is_unchanged())
    }

    /// Waits until the slot has a usable token. Returns the error if its exchange fails, or if it is backing off.
    async fn wait_for_token(&self, slot: &Arc<Slot<S::Key>>) -> Result<AccessToken, Error> {
        self.0.source.check(&slot.key)?;
        let (mut revision_before, mut waits) = (None, 0);
        // If its runtime is dropped, an exchange ends without a result, and the callers begin another one.
        for _ in 0..MAX_EXCHANGES {
            // Subscribe before reading the state, so that no update is missed.
            let mut updates = slot.updates.subscribe();
            if let Some(token) = self.cached(slot) {
                return Ok(token);
            }
            let (state, now) = (slot.state.load_full(), self.0.time.moment());
            if let Some(cached) = state.usable(&now) {
                // It is in its refresh window, from the start if it lives for seconds, or if the store had it for a while.
                let is_new = revision_before.is_some_and(|revision| revision != state.revision);
                // The first wait may be for an exchange that had brought this token and was about to end. The second is for its refresh.
                if (is_new && waits > 0) || waits == 2 {
                    return Ok(cached.token.access_token.clone());
                }
                (revision_before, waits) = (Some(state.revision), waits + 1);
                if let (Some(deadline), Ok(_)) = (slot.refresh_wait_deadline(), runtime::current()) {
                    // The result does not matter: the token is usable.
                    let _ = tokio::time::timeout_at(deadline, updates.changed()).await;
                }
                continue;
            }
            if let (Phase::BackingOff, Some(failure)) = (classify(&state, &now), &state.failure) {
                trace::cache::backing_off(&slot.key, failure.left(&now));
                return Err(failure.backing_off_error(&now));
            }
            self.start(slot)?;
            revision_before = Some(state.revision);
            self.wait_for_exchange(slot, &mut updates).await?;
            let error = updates.borrow_and_update().clone();
            if let Some(error) = error {
                return Err(error);
            }
        }
        Err(self.aborted())
    }

    /// Returns the error for an exchange whose task was stopped.
    fn aborted(&self) -> Error {
        Error::new(Kind::Aborted).with_operation(self.0.source.operation())
    }

    /// Begins an exchange if none is in flight.
    fn start(&self, slot: &Arc<Slot<S::Key>>) -> Result<(), Error> {
        let runtime = runtime::current()?;
        if let Some(exchange) = Exchange::begin(self, slot) {
            runtime.spawn(exchange.run());
        }
        Ok(())
    }
}

/// The longest wait of an exchange for the lock of a store, however often it has to begin anew because the record has changed.
const STORE_LOCK_TIMEOUT: Duration = Duration::from_secs(3 * 60);

/// The longest wait of an exchange for any other store call.
const STORE_CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The number of exchanges without a result that a caller waits for.
const MAX_EXCHANGES: usize = 16;

impl<S: TokenSource> Handle<S> {
    /// Returns the cached token if it is usable, and begins its refresh if that is due.
    #[inline]
    pub(crate) fn cached(&self) -> Option<AccessToken> {
        self.cache.cached(&self.slot)
    }

    /// Returns a way to the token that does not know the type of the key.
    pub(crate) fn fresh_token(&self) -> FreshToken {
        FreshToken::new(&self.slot, &self.cache.0.time)
    }

    /// Waits for a usable token.
    pub(crate) async fn wait(&self) -> Result<AccessToken, Error> {
        self.cache.wait_for_token(&self.slot).await
    }

    #[inline]
    pub(crate) async fn get(&self) -> Result<AccessToken, Error> {
        match self.cached() {
            Some(token) => Ok(token),
            None => Box::pin(self.wait()).await,
        }
    }

    pub(crate) fn cache(&self) -> &Cache<S> {
        &self.cache
    }

    pub(crate) fn key(&self) -> &S::Key {
        &self.slot.key
    }
}
