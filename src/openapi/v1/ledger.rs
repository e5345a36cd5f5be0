//! The tokens that a client has made to manage, as long as they live.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::token::Token;
use crate::clock::Moment;
use crate::http::transport::Timing;
use crate::token::AccessToken;

#[derive(Default)]
pub(super) struct Ledger(Mutex<Entries>);

/// Tokens with their ends. Expired ones are dropped now and then.
#[derive(Default)]
struct Entries {
    tokens: HashMap<AccessToken, Moment>,
    /// The number of tokens at which expired ones are dropped.
    full: usize,
}

impl Ledger {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, token: &Token, timing: &Timing) {
        let mut entries = self.entries();
        if entries.tokens.len() >= entries.full {
            entries.sweep(&timing.sent);
        }
        let left = timing.here(token.expires_at()).duration_since(timing.sent.now).unwrap_or_default();
        entries.tokens.insert(token.token().clone(), timing.sent.after(left));
    }

    pub(super) fn contains(&self, token: &AccessToken) -> bool {
        self.entries().tokens.contains_key(token)
    }

    /// Removes a token. Returns whether it was there.
    pub(super) fn remove(&self, token: &AccessToken) -> bool {
        self.entries().tokens.remove(token).is_some()
    }

    /// Returns the tokens that have not expired.
    pub(super) fn living(&self, now: &Moment) -> Vec<AccessToken> {
        let mut entries = self.entries();
        entries.sweep(now);
        entries.tokens.keys().cloned().collect()
    }
}

impl Entries {
    fn sweep(&mut self, now: &Moment) {
        self.tokens.retain(|_, end| !is_over(end, now));
        self.full = 2 * self.tokens.len().max(32);
    }
}

/// Returns whether an end has come by both times: one of them may have been set.
pub(super) fn is_over(end: &Moment, now: &Moment) -> bool {
    end.now <= now.now && end.monotonic <= now.monotonic
}
