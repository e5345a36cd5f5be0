//! What a token of the service was granted, and the token as the cache keeps it.

use std::time::SystemTime;

use super::token::Token;
use crate::cache::Fetched;
use crate::error::Operation;
use crate::http::transport::Timing;
use crate::scope::{ScopePattern, ScopeSet};
use crate::store::{Scopes, StoredToken};

/// Returns what a token was granted.
pub(super) fn granted(token: &Token) -> ScopeSet {
    grants(token).collect()
}

/// Returns what a token was granted, as it is listed. A pattern that the service repeats instead of its scopes is granted.
pub(super) fn grants(token: &Token) -> impl Iterator<Item = ScopePattern> {
    let patterns = token.scopes().unrecognized().iter().filter_map(|entry| entry.parse::<ScopePattern>().ok());
    token.scopes().iter().cloned().map(ScopePattern::from).chain(patterns)
}

pub(super) fn fetched(
    token: &Token,
    timing: &Timing,
    scopes: &ScopeSet,
    latest: SystemTime,
    operation: Operation,
) -> Fetched {
    let granted = granted(token);
    let token = StoredToken {
        access_token: token.token().clone(),
        obtained_at: timing.sent.now,
        expires_at: timing.here(token.expires_at()).min(latest),
        renewal: None,
        scopes: Some(Scopes { requested: scopes.clone(), granted }),
        name: None,
    };
    Fetched { token, sent: timing.sent, operation, is_adopted: true }
}

/// Returns whether a token was granted each of these by its name, or by a pattern that names it.
pub(super) fn covers(token: &Token, wanted: &ScopeSet) -> bool {
    granted(token).names(wanted)
}

/// Returns whether a token was granted nothing but the scopes, or what they were expanded to: the service may expand a path to those below.
pub(super) fn within(token: &Token, scopes: &ScopeSet, wanted: &ScopeSet) -> bool {
    grants(token).all(|grant| wanted.includes([&grant]) || scopes.includes([&grant]))
}
