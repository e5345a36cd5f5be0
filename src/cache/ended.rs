//! Tokens that ended before their time, and the rule that keeps them from coming back.
//!
//! A token reaches a slot from several places: the service, another slot, the store, the account's list. An exchange reads it there, and
//! hands it out a moment later. A token that is deleted in that moment must not be handed out. So there is one lock: tokens are published
//! under it, and ended under it. And each end has a number: an exchange that ends_seen before an end cannot know of it.
//!
//! `tests/model.rs` checks this file in every order of steps that two or three threads can take.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::PoisonError;

use super::sync::{Mutex, MutexGuard};

/// After so many tokens, those before them are dropped: an ended token only matters while a store or an exchange under way still has it.
pub(super) const CAPACITY: usize = 1024;

/// Tokens that the service refused, or that were deleted, changed or forgotten.
pub(crate) struct Ended<T>(Mutex<Recent<T>>);

struct Recent<T> {
    /// The number of the last end.
    last: u64,
    /// Exchanges that ends_seen before this one publish nothing.
    last_clear: u64,
    newer: HashMap<T, End>,
    older: HashMap<T, End>,
}

#[derive(Clone, Copy)]
struct End {
    number: u64,
    is_changed: bool,
}

/// What an end means for the tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndKind {
    /// They are not taken again from anywhere.
    Final,
    /// Their scopes or ends have changed. An exchange that begins from now on may find them again.
    Changed,
    /// They are over, and so is what exchanges under way may bring.
    Cleared,
}

impl<T: Clone + Eq + Hash> Ended<T> {
    pub(crate) fn new() -> Self {
        let (newer, older) = (HashMap::new(), HashMap::new());
        Self(Mutex::new(Recent { last: 0, last_clear: 0, newer, older }))
    }

    fn recent(&self) -> MutexGuard<'_, Recent<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of the last end: what an exchange that begins now knows of.
    pub(super) fn last(&self) -> u64 {
        self.recent().last
    }

    /// Returns whether all was forgotten since an exchange ends_seen: it publishes nothing.
    pub(super) fn is_cleared(&self, ends_seen: u64) -> bool {
        ends_seen < self.recent().last_clear
    }

    /// Returns whether a token is over.
    pub(crate) fn contains(&self, token: &T) -> bool {
        self.recent().end_of(token).is_some_and(|end| !end.is_changed)
    }

    /// Takes back that a token is over: the service has given it to an exchange that ends_seen after its end.
    pub(super) fn reinstate(&self, token: &T, ends_seen: u64) {
        let mut recent = self.recent();
        if recent.end_of(token).is_some_and(|end| end.number <= ends_seen) {
            recent.newer.remove(token);
            recent.older.remove(token);
        }
    }

    /// Publishes what `offer` returns, unless its token was ended. Returns what `publish` returns.
    ///
    /// `ends_seen` is the number of the last end when the exchange ends_seen. `offer` looks once more at the place that a token comes from: it
    /// may be gone by now.
    pub(super) fn publish<V, R>(
        &self,
        ends_seen: u64,
        offer: impl FnOnce() -> Option<(T, V)>,
        publish: impl FnOnce(V) -> R,
    ) -> Option<R> {
        let recent = self.recent();
        let is_late = |end: End| !end.is_changed || end.number > ends_seen;
        let (_, offered) = offer().filter(|(token, _)| !recent.end_of(token).is_some_and(is_late))?;
        (ends_seen >= recent.last_clear).then(|| publish(offered))
    }

    /// Ends tokens: those of `tokens`, and those that `withdraw` returns when it has taken them out of a slot.
    ///
    /// `slots` is called under the lock: a slot that is added later finds the token ended, or gone from where it was.
    pub(super) fn end<V>(
        &self,
        kind: EndKind,
        tokens: impl IntoIterator<Item = T>,
        slots: impl FnOnce() -> Vec<V>,
        mut withdraw: impl FnMut(V) -> Option<T>,
    ) {
        let mut recent = self.recent();
        recent.last += 1;
        if kind == EndKind::Cleared {
            recent.last_clear = recent.last;
        }
        if recent.newer.len() >= CAPACITY {
            recent.older = std::mem::take(&mut recent.newer);
        }
        let end = End { number: recent.last, is_changed: kind == EndKind::Changed };
        recent.newer.extend(tokens.into_iter().map(|token| (token, end)));
        for slot in slots() {
            recent.newer.extend(withdraw(slot).map(|token| (token, end)));
        }
    }
}

impl<T: Eq + Hash> Recent<T> {
    fn end_of(&self, token: &T) -> Option<End> {
        self.newer.get(token).or_else(|| self.older.get(token)).copied()
    }
}
