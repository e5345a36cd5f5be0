//! The ledger of the unexpired tokens that a client created for its cache.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::token::Token;
use crate::clock::Moment;
use crate::http::transport::Timing;
use crate::openapi::ttl::Ttl;
use crate::token::AccessToken;

/// The unexpired tokens that a client created for its cache.
#[derive(Default)]
pub(super) struct Ledger(Mutex<Expirations>);

/// Tokens with their expiration times. Drops expired ones from time to time.
#[derive(Default)]
struct Expirations {
    tokens: HashMap<AccessToken, Moment>,
    /// The number of tokens at which the next [`sweep`](Self::sweep) is due.
    full: usize,
}

impl Ledger {
    fn entries(&self) -> MutexGuard<'_, Expirations> {
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

    /// Removes a token. Returns whether the ledger contained it.
    pub(super) fn remove(&self, token: &AccessToken) -> bool {
        self.entries().tokens.remove(token).is_some()
    }

    /// Records that the service may have changed a token, and its lifetime.
    pub(super) fn unsure(&self, token: &AccessToken) {
        if let Some(end) = self.entries().tokens.get_mut(token) {
            *end = end.after(Ttl::MAX.into());
        }
    }

    /// Returns the tokens that have not expired.
    pub(super) fn unexpired(&self, now: &Moment) -> Vec<AccessToken> {
        let mut entries = self.entries();
        entries.sweep(now);
        entries.tokens.keys().cloned().collect()
    }
}

impl Expirations {
    /// Drops the expired tokens.
    fn sweep(&mut self, now: &Moment) {
        self.tokens.retain(|_, end| !has_passed(end, now));
        self.full = 2 * self.tokens.len().max(32);
    }
}

/// Returns whether a moment has passed by both clocks: one of them may have been set.
pub(super) fn has_passed(end: &Moment, now: &Moment) -> bool {
    end.now <= now.now && end.monotonic <= now.monotonic
}
