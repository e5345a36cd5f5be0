//! Tokens that ended before their time, and the rule that keeps them from coming back.
//!
//! A token reaches a slot from several places: another slot, the store, the account's list. An exchange reads it there, and hands it out a
//! moment later. A token that is deleted in that moment must not be handed out. So there is one lock: tokens are published under it, and
//! ended under it. `tests/model.rs` checks this file in every order of steps that two or three threads can take.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::PoisonError;

use super::sync::{Mutex, MutexGuard};

/// After so many tokens, those before them are dropped: an ended token only matters while a store or an exchange under way still has it.
pub(super) const MANY: usize = 1024;

/// Tokens that the service refused, or that were deleted or forgotten.
pub(crate) struct Ended<T>(Mutex<Recent<T>>);

struct Recent<T> {
    newer: HashSet<T>,
    older: HashSet<T>,
}

impl<T: Clone + Eq + Hash> Ended<T> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Recent { newer: HashSet::new(), older: HashSet::new() }))
    }

    fn recent(&self) -> MutexGuard<'_, Recent<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether a token was ended.
    pub(crate) fn contains(&self, token: &T) -> bool {
        self.recent().contains(token)
    }

    /// Takes back that a token was ended: the service has just given it.
    pub(crate) fn given(&self, token: &T) {
        let mut recent = self.recent();
        recent.newer.remove(token);
        recent.older.remove(token);
    }

    /// Publishes what `offer` returns, unless its token was ended. Returns what `publish` returns.
    ///
    /// `offer` looks once more at the place that a token comes from: it may be gone by now.
    pub(crate) fn publish<V, R>(
        &self,
        offer: impl FnOnce() -> Option<(T, V)>,
        publish: impl FnOnce(V) -> R,
    ) -> Option<R> {
        let recent = self.recent();
        let (_, offered) = offer().filter(|(token, _)| !recent.contains(token))?;
        Some(publish(offered))
    }

    /// Ends tokens: those of `tokens`, and those that `withdraw` returns when it has taken them out of a slot.
    ///
    /// `slots` is called under the lock: a slot that is added later finds the token ended, or gone from where it was.
    pub(crate) fn end<V>(
        &self,
        tokens: impl IntoIterator<Item = T>,
        slots: impl FnOnce() -> Vec<V>,
        mut withdraw: impl FnMut(V) -> Option<T>,
    ) {
        let mut recent = self.recent();
        if recent.newer.len() >= MANY {
            recent.older = std::mem::take(&mut recent.newer);
        }
        recent.newer.extend(tokens);
        for slot in slots() {
            recent.newer.extend(withdraw(slot));
        }
    }
}

impl<T: Eq + Hash> Recent<T> {
    fn contains(&self, token: &T) -> bool {
        self.newer.contains(token) || self.older.contains(token)
    }
}
