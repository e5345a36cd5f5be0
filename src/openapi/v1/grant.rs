//! Reads what a token was granted, and turns the token into a record for the cache.

use std::time::SystemTime;

use super::token::Token;
use crate::cache::Fetched;
use crate::error::Operation;
use crate::http::transport::Timing;
use crate::scope::{ScopePattern, ScopeSet};
use crate::store::{ManagedToken, Scopes};

/// Returns the patterns that a token was granted.
pub(super) fn granted(token: &Token) -> ScopeSet {
    grants(token).collect()
}

/// Returns the patterns that a token was granted, in the service's order. If the service returns a requested pattern unexpanded, that pattern
/// counts as granted.
pub(super) fn grants(token: &Token) -> impl Iterator<Item = ScopePattern> {
    let patterns = token.scopes().unrecognized().iter().filter_map(|entry| entry.parse::<ScopePattern>().ok());
    token.scopes().iter().cloned().map(ScopePattern::from).chain(patterns)
}

/// Returns the record of a token. `latest`: the token counts as expired then, whatever the service's clock says.
pub(super) fn fetched(
    token: &Token,
    timing: &Timing,
    scopes: &ScopeSet,
    latest: SystemTime,
    operation: Operation,
) -> Fetched {
    let granted = granted(token);
    let token = ManagedToken {
        access_token: token.token().clone(),
        obtained_at: timing.sent.now,
        expires_at: timing.here(token.expires_at()).min(latest),
        renewal: None,
        scopes: Some(Scopes { requested: scopes.clone(), granted }),
    };
    Fetched { token, sent: timing.sent, operation, is_adopted: true }
}

/// Returns whether a token was granted each of these patterns, by its own name or by a pattern that names it.
pub(super) fn covers(token: &Token, wanted: &ScopeSet) -> bool {
    granted(token).names(wanted)
}

/// Returns whether a token was granted nothing but these scopes or their expansion. The service may expand a path to the paths below it.
pub(super) fn within(token: &Token, scopes: &ScopeSet, wanted: &ScopeSet) -> bool {
    grants(token).all(|grant| wanted.includes([&grant]) || scopes.includes([&grant]))
}
