//! Tokens that ended before they expired, and the lock that keeps them from coming back.
//!
//! A token ends when the service rejects it, or when a caller deletes, changes or clears it.
//!
//! A token reaches a slot from several places: the service, another slot, the store, the account's list. The exchange reads
//! it there and publishes it a moment later. If the token ends in that moment, no caller may get it. So one lock guards
//! both: an exchange publishes under it, and tokens end under it. Ends are numbered, because an exchange that began before
//! an end cannot know of it.
//!
//! `tests/model.rs` checks this file in every order of steps that two or three threads can take.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::PoisonError;

use super::sync::{Mutex, MutexGuard};

/// At least this many of the last ended tokens are remembered. An ended token only matters while a store or an in-flight
/// exchange still has it.
pub(super) const CAPACITY: usize = 1024;

/// The tokens that ended before they expired.
pub(crate) struct Ended<T>(Mutex<Recent<T>>);

struct Recent<T> {
    /// The number of the last end.
    last: u64,
    /// The number of the last end of the kind `Cleared`. An exchange that began before it publishes nothing.
    last_clear: u64,
    /// When it is full, it takes the place of `older`.
    newer: HashMap<T, End>,
    older: HashMap<T, End>,
}

#[derive(Clone, Copy)]
struct End {
    number: u64,
    is_changed: bool,
}

/// A way in which tokens end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndKind {
    /// Rejected or deleted. No exchange takes them again from anywhere.
    Final,
    /// Their scopes or expiry changed. Exchanges that begin later may return them.
    Changed,
    /// Final, and exchanges in flight publish nothing, whatever they bring.
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

    /// Returns the number of the last end. An exchange keeps it from its start as `ends_seen`.
    pub(super) fn last(&self) -> u64 {
        self.recent().last
    }

    /// Returns whether all tokens were cleared since the exchange began. Then it can publish nothing.
    pub(super) fn is_cleared(&self, ends_seen: u64) -> bool {
        ends_seen < self.recent().last_clear
    }

    /// Returns whether no exchange may take this token again.
    pub(crate) fn contains(&self, token: &T) -> bool {
        self.recent().end_of(token).is_some_and(|end| !end.is_changed)
    }

    /// Returns whether this token ended in any way, also by a change after which exchanges may return it.
    pub(crate) fn is_known(&self, token: &T) -> bool {
        self.recent().end_of(token).is_some()
    }

    /// Removes a token that the service returned to an exchange that began after the token's end.
    pub(super) fn reinstate(&self, token: &T, ends_seen: u64) {
        let mut recent = self.recent();
        if recent.end_of(token).is_some_and(|end| end.number <= ends_seen) {
            recent.newer.remove(token);
            recent.older.remove(token);
        }
    }

    /// Publishes what `read` returns, unless its token ended or all were cleared since the exchange began. Returns what
    /// `publish` returns.
    ///
    /// `read` runs under the lock, and reads the token again from where it came: it may be gone by now.
    pub(super) fn publish<V, R>(
        &self,
        ends_seen: u64,
        read: impl FnOnce() -> Option<(T, V)>,
        publish: impl FnOnce(V) -> R,
    ) -> Option<R> {
        let recent = self.recent();
        let is_barred = |end: End| !end.is_changed || end.number > ends_seen;
        let (_, value) = read().filter(|(token, _)| !recent.end_of(token).is_some_and(is_barred))?;
        (ends_seen >= recent.last_clear).then(|| publish(value))
    }

    /// Ends `tokens`, and those that `withdraw` takes out of the slots.
    ///
    /// `slots` runs under the lock. An exchange for a slot that is added later finds the token ended, or gone from where it
    /// was.
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
