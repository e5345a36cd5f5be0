//! One managed token for each key, for any service. Knows none of them.
//!
//! Each key has a slot. While its token is valid, callers get it without waiting; the first caller in the refresh window begins the
//! exchange for the next token, on a task of its own. Without a valid token, all callers wait for the same exchange.

mod backoff;
mod clear;
mod ended;
mod exchange;
mod lenders;
mod rotation;
mod slots;
mod state;
#[cfg(test)]
mod tests;

/// The locks of `ended.rs`, which the model check puts others in the place of.
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
use crate::store::{ReportingStore, StoredToken};
use crate::token::AccessToken;
use crate::{runtime, trace};

use backoff::AccountBackoff;
pub(crate) use clear::Which;
use ended::EndKind;
pub(crate) use ended::Ended;
use exchange::Exchange;
pub(crate) use rotation::{Rotating, Rotation};
use slots::{Slot, Slots};
pub(crate) use state::window;
use state::{CachedToken, Phase, State, Validity, classify};

/// Where tokens come from.
pub(crate) trait TokenSource: Send + Sync + 'static {
    /// What a token is asked for. Printed in events.
    type Key: Clone + Eq + Hash + fmt::Display + Send + Sync + 'static;

    /// The same for all keys that ask for the same.
    fn normal(&self, key: &Self::Key) -> Self::Key {
        key.clone()
    }

    /// The name under which a store keeps the token: the same in each process, different for each account, without a secret.
    fn name(&self, key: &Self::Key) -> String;

    /// What an error of an exchange names that did not come from the service.
    fn operation(&self) -> Operation;

    /// What is wrong with a key, whatever the service says.
    fn check(&self, key: &Self::Key) -> Result<(), Error> {
        let _ = key;
        Ok(())
    }

    /// Whether the service ends this token when it renews it.
    fn is_ended_by_renewal(&self, token: &StoredToken) -> bool {
        let _ = token;
        false
    }

    /// Asks the service for a token. The one before, if there was one, is over, about to be, or was refused; it may be good
    /// for a renewal. None of those that were ended is taken again.
    fn fetch(
        &self,
        key: &Self::Key,
        previous: Option<&StoredToken>,
        ended: &Ended<AccessToken>,
    ) -> impl Future<Output = Result<Fetched, Error>> + Send;

    /// Returns whether a record from a store, which need not be what it should, is a token for this key.
    fn is_for(&self, token: &StoredToken, key: &Self::Key) -> bool;

    /// How long fetching may take at the most.
    fn longest(&self) -> Duration;

    /// Whether a token that was fetched for another key will do for this one. Asked of tokens for keys that are broad.
    fn serves(&self, token: &StoredToken, key: &Self::Key) -> bool {
        let _ = (token, key);
        false
    }

    /// Whether tokens for this key may do for keys of which it cannot be told.
    fn is_broad(&self, key: &Self::Key) -> bool {
        let _ = key;
        false
    }

    /// Returns the places in the index of broad keys where this one stands.
    fn lends_at(&self, key: &Self::Key) -> Vec<u64> {
        let _ = key;
        vec![0]
    }

    /// Returns, for each part of a key, the places where all those stand whose tokens may do for that part. Only a token that does
    /// for all parts serves the key.
    fn borrows_at(&self, key: &Self::Key) -> impl Iterator<Item = Vec<u64>> {
        let _ = key;
        std::iter::once(vec![0])
    }
}

/// A token from its source.
#[derive(Debug, Clone)]
pub(crate) struct Fetched {
    pub(crate) token: StoredToken,
    /// Just before the request was sent: its lifetime counts from there.
    pub(crate) sent: Moment,
    /// What gave it.
    pub(crate) operation: Operation,
    /// Whether it was there before, and is not made for this request.
    pub(crate) is_adopted: bool,
}

/// The tokens of a source. Cheap to clone.
pub(crate) struct Cache<S: TokenSource>(Arc<Inner<S>>);

struct Inner<S: TokenSource> {
    source: S,
    store: Option<ReportingStore>,
    time: Time,
    slots: RwLock<Slots<S::Key>>,
    ended: Ended<AccessToken>,
    account: AccountBackoff,
}

/// One key of a cache.
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
        let (slots, ended, account) = (RwLock::new(Slots::new()), Ended::new(), AccountBackoff::default());
        Self(Arc::new(Inner { source, store, time, slots, ended, account }))
    }

    #[cfg(feature = "middleware")]
    pub(crate) fn time(&self) -> &Time {
        &self.0.time
    }

    pub(crate) fn source(&self) -> &S {
        &self.0.source
    }

    pub(crate) fn handle(&self, key: &S::Key) -> Handle<S> {
        Handle { cache: self.clone(), slot: self.slot(key) }
    }

    /// A token for a key.
    pub(crate) async fn get(&self, key: &S::Key) -> Result<AccessToken, Error> {
        let now = self.0.time.moment();
        // Nothing of the user's is called under the lock: no clock, no subscriber.
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

    /// Drops this token wherever it is cached, and never a newer one. Where one after the other is refused, it may be kept.
    pub(crate) fn invalidate(&self, token: &AccessToken) {
        let now = self.0.time.moment();
        let is_cached = |state: &State| state.age_of(token, &now).is_some();
        let refuse =
            |state: &Arc<State>| if is_cached(state) { Arc::new(state.rejected(&now)) } else { Arc::clone(state) };
        let (mut affected, mut is_ended) = (Vec::new(), false);
        self.0.ended.end(
            EndKind::Final,
            [],
            || self.all_slots(),
            |slot| {
                let before = slot.state.rcu(refuse);
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
            // Also where it would be kept on loan.
            self.withdraw(&Which::Ended([token.clone()].into()));
        }
        // Not under the lock: whoever hears of it may ask for a token.
        affected.iter().for_each(|(slot, is_kept)| trace::cache::invalidated(&slot.key, *is_kept && !is_ended));
    }

    /// How old a token is that can be handed out.
    #[cfg(feature = "middleware")]
    pub(crate) fn age_of(&self, token: &AccessToken) -> Option<Duration> {
        let now = self.0.time.moment();
        self.all_slots().iter().find_map(|slot| slot.state.load().age_of(token, &now))
    }

    /// Waits until an exchange has ended, but no longer than one may take: what takes longer is on a runtime that nobody drives
    /// any more. It is given up, so that there can be another.
    async fn wait_for_exchange(
        &self,
        slot: &Slot<S::Key>,
        updates: &mut watch::Receiver<Option<Error>>,
    ) -> Result<(), Error> {
        let generation = slot.generation.load(Ordering::Acquire);
        // The slot has the other end.
        let None = runtime::until(runtime::after(self.exchange_limit()), updates.changed()).await else {
            return Ok(());
        };
        Err(self.abandon(slot, generation))
    }

    /// How long an exchange may take.
    fn exchange_limit(&self) -> Duration {
        // The trial of another exchange, the lock, and a store that is asked four times.
        self.0.source.longest().saturating_mul(2).saturating_add(STORE_LOCK_TIMEOUT + 4 * STORE_CALL_TIMEOUT)
    }

    /// Gives an exchange up, if it is still under way.
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

    /// The slots of other keys whose tokens may do for this one.
    fn lenders(&self, key: &S::Key) -> Vec<Arc<Slot<S::Key>>> {
        let slots = self.0.slots.read().unwrap_or_else(PoisonError::into_inner);
        let others = slots.broad.candidates(self.0.source.borrows_at(key)).filter(|other| *other != key);
        others.filter_map(|other| slots.by_normal_key.get(other).cloned()).collect()
    }

    /// What another slot could lend for a key. Nobody lends what is lent.
    fn borrow(&self, other: &Slot<S::Key>, key: &S::Key, now: &Moment) -> Option<(CachedToken, Validity)> {
        let state = other.state.load();
        let cached = state.usable(now).filter(|cached| !cached.is_borrowed)?;
        let serves = self.0.source.serves(&cached.token, key);
        serves.then(|| Some((CachedToken { is_borrowed: true, ..cached.clone() }, cached.validity?)))?
    }

    /// The slot of a key, which is made if there is none.
    fn slot(&self, key: &S::Key) -> Arc<Slot<S::Key>> {
        let (normal, now) = (self.0.source.normal(key), self.0.time.moment());
        let mut slots = self.0.slots.write().unwrap_or_else(PoisonError::into_inner);
        slots.sweep(&now);
        let known = slots.by_normal_key.get(&normal).cloned();
        let slot = known.unwrap_or_else(|| slots.add(normal, &self.0.source));
        slots.by_given_key.insert(key.clone(), Arc::clone(&slot));
        slot
    }

    /// The token, if it can be handed out: the way that all but a few calls take, without a lock. The first one that finds it
    /// near its end begins the exchange for the next.
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

    /// Whether to hand out a token that is near its end, for which a refresh is begun if none is under way. If the service ends
    /// the token with that refresh, it would be refused a moment later: callers wait for the next one, but not for long.
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
        // Without a runtime nothing can be fetched, and the token is good.
        if !slot.is_busy() && self.start(slot).is_err() {
            return true;
        }
        let ends_with_refresh = !cached.is_borrowed && self.0.source.is_ended_by_renewal(&cached.token);
        // A whole refresh may have come and gone since the state was looked at.
        let is_unchanged = || slot.state.load().revision == state.revision;
        !ends_with_refresh
            || (slot.refresh_wait_deadline().is_none_or(|deadline| deadline <= Instant::now()) && is_unchanged())
    }

    async fn wait_for_token(&self, slot: &Arc<Slot<S::Key>>) -> Result<AccessToken, Error> {
        self.0.source.check(&slot.key)?;
        let mut has_waited = false;
        // An exchange ends without a result if its runtime is dropped, and then each caller may have to begin another.
        for _ in 0..MAX_EXCHANGES {
            // Before looking: an exchange that ends from here on is noticed.
            let mut updates = slot.updates.subscribe();
            if let Some(token) = self.cached(slot) {
                return Ok(token);
            }
            let (state, now) = (slot.state.load_full(), self.0.time.moment());
            if let Some(cached) = state.usable(&now) {
                // It may be near its end from the beginning, if it lives for some seconds.
                if has_waited {
                    return Ok(cached.token.access_token.clone());
                }
                has_waited = true;
                if let (Some(deadline), Ok(_)) = (slot.refresh_wait_deadline(), runtime::current()) {
                    // Whatever comes of it: there is a usable token.
                    let _ = tokio::time::timeout_at(deadline, updates.changed()).await;
                }
                continue;
            }
            if let (Phase::BackingOff, Some(failure)) = (classify(&state, &now), &state.failure) {
                trace::cache::backing_off(&slot.key, failure.left(&now));
                return Err(failure.backing_off_error(&now));
            }
            self.start(slot)?;
            has_waited = true;
            self.wait_for_exchange(slot, &mut updates).await?;
            let error = updates.borrow_and_update().clone();
            if let Some(error) = error {
                return Err(error);
            }
        }
        Err(self.aborted())
    }

    /// The task of an exchange was stopped.
    fn aborted(&self) -> Error {
        Error::new(Kind::Aborted).with_operation(self.0.source.operation())
    }

    /// Begins an exchange, if none is under way.
    fn start(&self, slot: &Arc<Slot<S::Key>>) -> Result<(), Error> {
        let runtime = runtime::current()?;
        if let Some(exchange) = Exchange::begin(self, slot) {
            runtime.spawn(exchange.run());
        }
        Ok(())
    }
}

/// How long the lock of a store is waited for.
const STORE_LOCK_TIMEOUT: Duration = Duration::from_secs(3 * 60);

/// How long a store may take for an answer.
const STORE_CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Give up after this many exchanges without a result.
const MAX_EXCHANGES: usize = 16;

impl<S: TokenSource> Handle<S> {
    /// Returns the token, if it can be used now, and begins its refresh if that is due.
    #[inline]
    pub(crate) fn cached(&self) -> Option<AccessToken> {
        self.cache.cached(&self.slot)
    }

    /// Returns the token when there is one.
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
