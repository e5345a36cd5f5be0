//! What is dropped before its time, from memory and from the store, and the wait for what is under way.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::flight::{Flight, Late};
use super::state::State;
use super::{Cache, Slot, TokenSource};
use crate::{AccessToken, Error, runtime};

/// Which tokens are dropped.
#[derive(Debug, Clone)]
pub(crate) enum Which {
    /// All that the cache holds, with what is known of failures.
    All,
    /// These. They are at their end, and not taken again from anywhere.
    Ended(HashSet<AccessToken>),
    /// These, of which the cache no longer knows what they are good for. They live on.
    Changed(HashSet<AccessToken>),
}

impl Which {
    fn has(&self, token: Option<&AccessToken>) -> bool {
        match self {
            Self::All => true,
            Self::Ended(tokens) | Self::Changed(tokens) => token.is_some_and(|token| tokens.contains(token)),
        }
    }

    fn ended(&self) -> impl Iterator<Item = AccessToken> {
        match self {
            Self::Ended(tokens) => Some(tokens.iter().cloned()),
            Self::All | Self::Changed(_) => None,
        }
        .into_iter()
        .flatten()
    }
}

impl<S: TokenSource> Cache<S> {
    /// Drops tokens, from memory and from the store, with what they could be renewed with.
    ///
    /// When it returns, whatever it returns, none of them is handed out any more.
    pub(crate) async fn forget(&self, which: Which) -> Result<(), Error> {
        if matches!(which, Which::All) {
            self.0.account.forget();
        }
        let slots = self.withdraw(&which);
        // All of them wait at the same time, so that one exchange that nobody drives does not add to another one.
        let deadline = runtime::after(self.longest());
        let shared = Arc::new((which, Semaphore::new(1)));
        let (mut tasks, mut result) = (Vec::new(), Ok(()));
        for slot in slots {
            if self.0.store.is_none()
                && let Some(flight) = Flight::board(self, &slot)
            {
                flight.clear(|state| shared.0.has(state.token()));
                continue;
            }
            let (cache, shared) = (self.clone(), Arc::clone(&shared));
            let forgetting = async move { cache.forget_slot(&slot, &shared.0, &shared.1, deadline).await };
            // On a task of its own: it is not to be left half done.
            match runtime::current() {
                Ok(runtime) => tasks.push(runtime.spawn(forgetting)),
                Err(error) => result = result.and(Err(error)),
            }
        }
        for task in tasks {
            result = result.and(task.await.unwrap_or_else(|_| Err(self.aborted())));
        }
        result
    }

    /// Takes tokens out of all slots at once. Returns the slots that had them.
    fn withdraw(&self, which: &Which) -> Vec<Arc<Slot<S::Key>>> {
        let mut slots = Vec::new();
        let lives_on = matches!(which, Which::Changed(_));
        self.0.ended.end(
            which.ended(),
            || self.all(),
            |slot| {
                let has = |state: &State| which.has(state.token());
                let before =
                    slot.state.rcu(|state| if has(state) { Arc::new(state.withdrawn()) } else { Arc::clone(state) });
                if !has(&before) {
                    return None;
                }
                slots.push(slot);
                before.token().filter(|_| !lives_on).cloned()
            },
        );
        slots
    }

    /// Waits for the exchange that is under way, and clears the slot and what the store has of it: one slot at a time.
    async fn forget_slot(
        &self,
        slot: &Arc<Slot<S::Key>>,
        which: &Which,
        turn: &Semaphore,
        deadline: Instant,
    ) -> Result<(), Error> {
        let under_way = slot.turn.load(Ordering::Acquire);
        let (flight, _alone) = loop {
            let mut ended = slot.ended.subscribe();
            if slot.is_busy() {
                if runtime::until(deadline, ended.changed()).await.is_none() {
                    return Err(self.given_up(slot, under_way));
                }
                continue;
            }
            let Ok(alone) = turn.acquire().await else {
                return Err(Error::store("not asked: it did not answer for another token".into()));
            };
            if let Some(flight) = Flight::board(self, slot) {
                break (flight, alone);
            }
        };
        let result = flight.forget(|state| which.has(state.token())).await;
        if result.as_ref().is_err_and(|error| error.is::<Late>()) {
            // Each of the others would be waited for as long.
            turn.close();
        }
        result.map_err(Error::store)
    }

    /// Waits until no exchange is under way, but no longer than one may take.
    pub(crate) async fn settled(&self) {
        let deadline = runtime::after(self.longest());
        let is_busy = |slot: &Arc<Slot<S::Key>>| slot.is_busy();
        let first: Vec<_> = self.all().into_iter().map(|slot| (slot.turn.load(Ordering::Acquire), slot)).collect();
        loop {
            let busy: Vec<_> = self.all().into_iter().filter(is_busy).collect();
            if busy.is_empty() {
                return;
            }
            for slot in busy {
                let mut ended = slot.ended.subscribe();
                while slot.is_busy() {
                    if runtime::until(deadline, ended.changed()).await.is_none() {
                        // Those that have been under way for so long are on a runtime that nobody drives any more.
                        first.iter().for_each(|(turn, slot)| drop(self.given_up(slot, *turn)));
                        return;
                    }
                }
            }
        }
    }
}
