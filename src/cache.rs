//! One managed token for each key, for any service. The cache knows no service: a `TokenSource` fetches the tokens.
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
mod state;
mod stored;
#[cfg(test)]
mod tests;

/// The locks of `ended.rs`. The model check in `tests/model.rs` replaces them by loom's.
mod sync {
    pub(super) use std::sync::{Mutex, MutexGuard};
}

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock::{Moment, Time};
use crate::error::{Error, Kind, Operation};
#[cfg(feature = "seal")]
use crate::secret::Secret;
use crate::store::{ManagedToken, ReportingStore};
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
use state::{CachedToken, Phase, State, Validity, classify};
pub(crate) use state::{leeway, window};

/// A source of the tokens of one service. Implement it to add a service.
///
/// Six methods are required: `record_name`, `secrets`, `operation`, `fetch`, `is_for` and `max_duration`. The others have defaults for a
/// service whose keys are all different and whose tokens serve only the key that they were fetched for.
pub(crate) trait TokenSource: Send + Sync + 'static {
    /// The purpose that a token is requested for, such as a set of scopes or an account. Events print it, so it must not contain
    /// a secret.
    type Key: Clone + Eq + Hash + fmt::Display + Send + Sync + 'static;

    /// Returns the normal form of a key. Keys with the same normal form share one slot and one token.
    fn normalize(&self, key: &Self::Key) -> Self::Key {
        key.clone()
    }

    /// Returns the name of the key's store record. It must be the same in each process and differ between accounts, and must
    /// not contain a secret.
    fn record_name(&self, key: &Self::Key) -> String;

    /// Returns the secrets of the client's credentials, from which the key of a sealed store is derived. One at least must be hard to guess.
    /// They must be the same in each process.
    #[cfg(feature = "seal")]
    fn secrets(&self) -> Vec<Secret>;

    /// Returns the operation that an error names if the service did not cause it, such as a timeout or a stopped task.
    fn operation(&self) -> Operation;

    /// Checks a key before anything is sent for it.
    ///
    /// # Errors
    ///
    /// Any error that the key would cause whatever the service responds. The caller gets it at once, and the cache does not
    /// back off.
    fn check(&self, key: &Self::Key) -> Result<(), Error> {
        let _ = key;
        Ok(())
    }

    /// Returns whether the service ends this token when it issues the next one. Callers in the refresh window then wait for
    /// the refresh (two seconds at most), because a call with this token might be rejected.
    fn is_ended_by_refresh(&self, token: &ManagedToken) -> bool {
        let _ = token;
        false
    }

    /// Returns whether nothing but the last token leads to the next one, so that a lost token cannot be replaced. The cache then saves a
    /// token before callers get it, fetches nothing while it cannot read the store's record, and looks at the record again after a failure.
    fn depends_on_last_token(&self) -> bool {
        false
    }

    /// Returns how long a store must keep a record after it was written, whatever has expired by then. `None`: until both tokens have expired.
    fn record_life(&self) -> Option<Duration> {
        None
    }

    /// Returns a token that the source was made with. The cache uses it until there is another.
    fn initial(&self, key: &Self::Key) -> Option<ManagedToken> {
        let _ = key;
        None
    }

    /// Returns whether the service may have used up the refresh token of this token: the source has sent it, and the service did not
    /// refuse it unused.
    fn has_sent(&self, key: &Self::Key, token: &ManagedToken) -> bool {
        let _ = (key, token);
        false
    }

    /// Requests a token from the service.
    ///
    /// The cache calls this on the exchange's own task, one call at a time for each key, unless an earlier call took longer than
    /// `max_duration`.
    ///
    /// - `previous` is the last token for this key, if there was one. It has expired, is about to, or was rejected; use it
    ///   only to refresh. It may come from the store.
    /// - `ended` contains the tokens that must not be returned again: the service rejected them, or they were deleted. Check
    ///   it if you adopt an existing token instead of requesting a new one.
    ///
    /// # Errors
    ///
    /// Any failure. The cache returns it to all callers that wait, and backs off. It backs off for all keys after
    /// `is_unauthorized` and `is_rate_limited`, and for minutes after failures that a retry would only repeat, such as wrong
    /// credentials.
    fn fetch(
        &self,
        key: &Self::Key,
        previous: Option<&ManagedToken>,
        ended: &Ended<AccessToken>,
    ) -> impl Future<Output = Result<Fetched, Error>> + Send;

    /// Returns whether a store record is a token for this key. The record may be anything that was written to the
    /// store; the cache has only checked its name.
    fn is_for(&self, token: &ManagedToken, key: &Self::Key) -> bool;

    /// Returns the longest time that `fetch` may take. After a multiple of it, waiting callers get a timeout and the cache
    /// abandons the exchange.
    fn max_duration(&self) -> Duration;

    /// Returns whether a token that was fetched for another, broad key also serves this key.
    fn serves(&self, token: &ManagedToken, key: &Self::Key) -> bool {
        let _ = (token, key);
        false
    }

    /// Returns whether tokens for this key may serve other keys. Only broad keys enter the index that `lends_at` and
    /// `borrows_at` describe.
    fn is_broad(&self, key: &Self::Key) -> bool {
        let _ = key;
        false
    }

    /// Returns the places of a broad key in the index. A place is any number, such as a hash of a part of the key.
    fn lends_at(&self, key: &Self::Key) -> Vec<u64> {
        let _ = key;
        vec![0]
    }

    /// Returns, for each part of a key, the places of all broad keys that may serve this part. A token serves the key only
    /// if it serves all parts. The index may find too many keys, since the cache then calls `serves`; it must not miss one.
    fn borrows_at(&self, key: &Self::Key) -> impl Iterator<Item = Vec<u64>> {
        let _ = key;
        std::iter::once(vec![0])
    }
}

/// A token that a source returned.
#[derive(Debug, Clone)]
pub(crate) struct Fetched {
    pub(crate) token: ManagedToken,
    /// The moment before the request was sent. The token's lifetime counts from here.
    pub(crate) sent: Moment,
    /// The operation that returned the token.
    pub(crate) operation: Operation,
    /// Whether the token existed before, and the source found it instead of requesting a new one.
    pub(crate) is_adopted: bool,
}

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
                // A token with a lifetime of seconds is in its refresh window from the start.
                let is_new = revision_before.is_some_and(|revision| revision != state.revision);
                // The first wait may be for an exchange that had brought this token and was about to end. The second is for its refresh.
                if is_new || waits == 2 {
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
