//! The slots of a cache, one for each key. Nothing here waits or sends.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::time::Instant;

use super::TokenSource;
use super::lenders::Lenders;
use super::state::{CachedToken, State};
use crate::clock::{Moment, Time};
use crate::error::Error;
use crate::store::ManagedToken;
use crate::token::AccessToken;

/// The longest wait of callers with a usable token for a refresh that ends this token. Services respond within about a
/// second. If one does not, a token that may be rejected is better than none.
const MAX_REFRESH_WAIT: Duration = Duration::from_secs(2);

pub(super) struct Slots<K> {
    /// By the key as the caller gave it, so that a repeated key need not be normalized again.
    pub(super) by_given_key: HashMap<K, Arc<Slot<K>>>,
    pub(super) by_normal_key: HashMap<K, Arc<Slot<K>>>,
    /// The broad keys: those whose tokens may serve other keys.
    pub(super) broad: Lenders<K>,
    /// The number of given keys at which the next sweep happens.
    sweep_at: usize,
}

pub(super) struct Slot<K> {
    pub(super) key: K,
    pub(super) name: String,
    pub(super) state: Arc<ArcSwap<State>>,
    /// Incremented when an exchange begins, and when it ends or is abandoned. Odd while one is in flight.
    pub(super) generation: AtomicU64,
    /// Until when callers with a usable token wait for the in-flight exchange, by tokio's time.
    refresh_wait_deadline: Mutex<Option<Instant>>,
    /// The claim that the store's record may be, and that has not led to a saved token yet.
    claim: Mutex<Option<Claim>>,
    /// Sent when an exchange has published a token, and when it has ended. The error is for its waiters.
    pub(super) updates: watch::Sender<Option<Error>>,
}

/// A record without its refresh token, which this slot has written, or tried to write.
#[derive(Clone)]
pub(super) struct Claim {
    pub(super) id: String,
    /// The token, with its refresh token.
    pub(super) token: ManagedToken,
}

/// The token of a slot while it is fresh, for a caller that does not know the type of the key.
#[derive(Clone)]
pub(crate) struct FreshToken {
    state: Arc<ArcSwap<State>>,
    time: Time,
}

impl FreshToken {
    pub(super) fn new<K>(slot: &Slot<K>, time: &Time) -> Self {
        Self { state: Arc::clone(&slot.state), time: time.clone() }
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<AccessToken> {
        fresh(&self.state, &self.time.moment())
    }
}

/// Returns the token of a state if it is not yet in its refresh window.
#[inline]
fn fresh(state: &ArcSwap<State>, now: &Moment) -> Option<AccessToken> {
    let state = state.load();
    let is_fresh = |cached: &&CachedToken| cached.validity.as_ref().is_some_and(|validity| validity.is_fresh(now));
    Some(state.cached.as_ref().filter(is_fresh)?.token.access_token.clone())
}

impl<K: Clone + Eq + Hash> Slots<K> {
    pub(super) fn new() -> Self {
        Self { by_given_key: HashMap::new(), by_normal_key: HashMap::new(), broad: Lenders::default(), sweep_at: 0 }
    }

    pub(super) fn add<S: TokenSource<Key = K>>(&mut self, key: K, source: &S) -> Arc<Slot<K>> {
        let slot = Arc::new(Slot::new(&key, source));
        if source.is_broad(&key) {
            self.broad.add(key.clone(), source.lends_at(&key));
        }
        self.by_normal_key.insert(key, Arc::clone(&slot));
        slot
    }

    /// Drops the slots that are of no use, once there are many: without a handle, a usable token, a refresh token, or a
    /// failure to wait out.
    pub(super) fn sweep(&mut self, now: &Moment) {
        if self.by_given_key.len() < self.sweep_at {
            return;
        }
        self.by_given_key.clear();
        self.by_normal_key.retain(|_, slot| Arc::strong_count(slot) > 1 || !slot.state.load().is_disposable(now));
        self.broad.retain(|key| self.by_normal_key.contains_key(key));
        self.sweep_at = 2 * self.by_normal_key.len().max(32);
    }
}

impl<K: Clone> Slot<K> {
    pub(super) fn new<S: TokenSource<Key = K>>(key: &K, source: &S) -> Self {
        Self {
            key: key.clone(),
            name: source.record_name(key),
            state: Arc::default(),
            generation: AtomicU64::new(0),
            refresh_wait_deadline: Mutex::default(),
            claim: Mutex::default(),
            updates: watch::Sender::new(None),
        }
    }

    /// Returns the token if it is not yet in its refresh window.
    #[inline]
    pub(super) fn fresh(&self, now: &Moment) -> Option<AccessToken> {
        fresh(&self.state, now)
    }

    pub(super) fn is_busy(&self) -> bool {
        !self.generation.load(Ordering::Acquire).is_multiple_of(2)
    }

    /// Marks the slot busy, if no exchange is in flight. Returns the generation of the new one.
    pub(super) fn begin(&self) -> Option<u64> {
        let free = self.generation.load(Ordering::Acquire);
        let begun = free.is_multiple_of(2)
            && self.generation.compare_exchange(free, free + 1, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if begun {
            *self.lock_deadline() = Some(Instant::now() + MAX_REFRESH_WAIT);
        }
        begun.then_some(free + 1)
    }

    /// Returns until when callers with a usable token wait, or `None` if no exchange is in flight.
    pub(super) fn refresh_wait_deadline(&self) -> Option<Instant> {
        self.lock_deadline().filter(|_| self.is_busy())
    }

    fn lock_deadline(&self) -> MutexGuard<'_, Option<Instant>> {
        self.refresh_wait_deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn claim(&self) -> Option<Claim> {
        self.claim.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_claim(&self, claim: Option<Claim>) {
        *self.claim.lock().unwrap_or_else(PoisonError::into_inner) = claim;
    }

    /// Wakes the waiters: a token was published.
    pub(super) fn notify(&self) {
        self.updates.send_replace(None);
    }

    /// Ends an exchange, unless it was abandoned, and wakes its waiters.
    pub(super) fn end(&self, generation: u64, error: Option<Error>) {
        if self.generation.compare_exchange(generation, generation + 1, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.updates.send_replace(error);
        }
    }
}
