//! Clearing: drops tokens from memory and from the store before they expire, and waits for in-flight exchanges.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::ended::EndKind;
use super::exchange::Exchange;
use super::state::{CachedToken, State};
use super::stored::StoreTimeout;
use super::{Cache, STORE_LOCK_TIMEOUT, Slot, TokenSource};
use crate::error::Error;
use crate::runtime;
use crate::token::AccessToken;

/// Which tokens to drop.
#[derive(Debug, Clone)]
pub(crate) enum Which {
    /// All tokens, and all failures.
    All,
    /// These. They were rejected or deleted, and no exchange takes them again.
    Ended(HashSet<AccessToken>),
    /// These. Their scopes or expiry changed, so the cache no longer knows what they are good for. The service still accepts
    /// them.
    Changed(HashSet<AccessToken>),
}

impl Which {
    fn kind(&self) -> EndKind {
        match self {
            Self::All => EndKind::Cleared,
            Self::Ended(_) => EndKind::Final,
            Self::Changed(_) => EndKind::Changed,
        }
    }

    fn contains(&self, token: Option<&AccessToken>) -> bool {
        match self {
            Self::All => true,
            Self::Ended(tokens) | Self::Changed(tokens) => token.is_some_and(|token| tokens.contains(token)),
        }
    }

    fn tokens(&self) -> impl Iterator<Item = AccessToken> {
        match self {
            Self::All => None,
            Self::Ended(tokens) | Self::Changed(tokens) => Some(tokens.iter().cloned()),
        }
        .into_iter()
        .flatten()
    }
}

/// The state that the tasks of one `clear` share.
struct Clearing {
    which: Which,
    /// Until when they wait for exchanges.
    deadline: Instant,
    /// One task at a time calls the store.
    store: tokio::sync::Mutex<StoreBudget>,
}

/// The time left for the store, for all tasks together.
struct StoreBudget {
    /// The time left to wait for the store's locks.
    lock_time: Duration,
    /// The error of a call that the store did not answer in time.
    no_response: Option<Error>,
}

impl<S: TokenSource> Cache<S> {
    /// Drops tokens from memory and from the store, with their refresh tokens.
    ///
    /// When it returns, even with an error, no caller gets any of them.
    pub(crate) async fn clear(&self, which: Which) -> Result<(), Error> {
        if matches!(which, Which::All) {
            self.0.account.clear();
        }
        let slots = self.withdraw(&which);
        // All tasks share one deadline, so that exchanges on dead runtimes do not add up.
        let deadline = runtime::after(self.exchange_limit());
        let store = tokio::sync::Mutex::new(StoreBudget { lock_time: STORE_LOCK_TIMEOUT, no_response: None });
        let clearing = Arc::new(Clearing { which, deadline, store });
        let (mut tasks, mut result) = (Vec::new(), Ok(()));
        for slot in slots {
            if self.0.store.is_none()
                && let Some(exchange) = Exchange::begin(self, &slot)
            {
                if clearing.which.contains(slot.state.load().access_token()) {
                    exchange.clear();
                }
                continue;
            }
            let generation = slot.generation.load(Ordering::Acquire);
            let (cache, clearing) = (self.clone(), Arc::clone(&clearing));
            // On its own task, so that a dropped caller does not leave it half done.
            match runtime::current() {
                Ok(runtime) => {
                    tasks.push(runtime.spawn(async move { cache.clear_slot(&slot, generation, &clearing).await }));
                }
                // The in-flight exchange publishes nothing, and there is no store.
                Err(_) if self.0.store.is_none() => {}
                Err(error) => result = result.and(Err(error)),
            }
        }
        for task in tasks {
            result = result.and(task.await.unwrap_or_else(|_| Err(self.aborted())));
        }
        result
    }

    /// Ends tokens in memory, and leaves the store alone.
    pub(crate) fn end(&self, which: &Which) {
        self.withdraw(which);
    }

    /// Takes tokens out of all slots at once. Returns the slots that had them.
    pub(super) fn withdraw(&self, which: &Which) -> Vec<Arc<Slot<S::Key>>> {
        let mut slots = Vec::new();
        let has = |state: &State| which.contains(state.access_token());
        self.0.ended.end(
            which.kind(),
            which.tokens(),
            || self.all_slots(),
            |slot| {
                let withdrawn =
                    |state: &Arc<State>| if has(state) { Arc::new(state.withdrawn()) } else { Arc::clone(state) };
                let before = slot.state.rcu(withdrawn);
                if !has(&before) {
                    return None;
                }
                slots.push(slot);
                before.access_token().cloned()
            },
        );
        slots
    }

    /// Waits for the in-flight exchange, then clears the slot and its store record.
    async fn clear_slot(&self, slot: &Arc<Slot<S::Key>>, generation: u64, clearing: &Clearing) -> Result<(), Error> {
        let (exchange, mut budget) = loop {
            let mut updates = slot.updates.subscribe();
            if slot.is_busy() {
                if runtime::until(clearing.deadline, updates.changed()).await.is_none() {
                    return Err(self.abandon(slot, generation));
                }
                continue;
            }
            let budget = clearing.store.lock().await;
            // The store is not asked again, which would take as long for each slot.
            if let Some(error) = &budget.no_response {
                return Err(error.clone());
            }
            if let Some(exchange) = Exchange::begin(self, slot) {
                break (exchange, budget);
            }
        };
        let new_token =
            slot.state.load().cached.as_ref().filter(|cached| cached.validity.is_some()).map(CachedToken::access_token);
        if let (Which::All, Some(token)) = (&clearing.which, new_token) {
            // Another slot may have borrowed it by now.
            self.withdraw(&Which::Ended([token].into()));
        }
        let result =
            exchange.clear_stored(|state| clearing.which.contains(state.access_token()), &mut budget.lock_time).await;
        result.map_err(|error| {
            let is_timeout = error.is::<StoreTimeout>();
            let error = Error::store("remove", error);
            budget.no_response = is_timeout.then(|| error.clone());
            error
        })
    }

    /// Waits until no exchange is in flight, but no longer than one may take.
    pub(crate) async fn wait_idle(&self) {
        let deadline = runtime::after(self.exchange_limit());
        // Twice: an exchange that waits for another slot may have begun that slot's exchange.
        for _ in 0..2 {
            if Instant::now() >= deadline {
                return;
            }
            let generations = self.all_slots().into_iter().map(|slot| (slot.generation.load(Ordering::Acquire), slot));
            let busy: Vec<_> = generations.filter(|(generation, _)| !generation.is_multiple_of(2)).collect();
            for (generation, slot) in busy {
                let mut updates = slot.updates.subscribe();
                while slot.generation.load(Ordering::Acquire) == generation {
                    if runtime::until(deadline, updates.changed()).await.is_none() {
                        // An exchange that takes this long is on a runtime that is no longer driven.
                        let _ = self.abandon(&slot, generation);
                    }
                }
            }
        }
    }
}
