//! The calls that an account has paid for in advance.

use std::time::{Duration, SystemTime};

use super::catalog::Catalog;
use super::settings::Settings;
use super::unique_id;
use crate::scope::{Scope, ScopePattern};

/// For how long a subscription is valid.
const LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Some calls of one scope.
pub(super) struct Subscription {
    pub(super) id: String,
    pub(super) scope: Scope,
    /// The same scope, which covers everything below its path.
    pattern: ScopePattern,
    pub(super) requests: u64,
    pub(super) available: u64,
    pub(super) starts_at: SystemTime,
    pub(super) expires_at: SystemTime,
    pub(super) updated_at: SystemTime,
}

impl Subscription {
    /// Creates an account's subscriptions in an environment: one for each scope of the catalog that a pattern covers.
    pub(super) fn all(settings: &Settings, catalog: &Catalog, now: SystemTime) -> Vec<Self> {
        let patterns = settings.subscriptions.iter();
        let covered = patterns.flat_map(|(pattern, requests)| {
            pattern.expand(catalog.scopes()).map(|scope| Self::new(scope, *requests, now))
        });
        covered.collect()
    }

    fn new(scope: Scope, requests: u64, now: SystemTime) -> Self {
        Self {
            id: unique_id(now),
            pattern: scope.clone().into(),
            scope,
            requests,
            available: requests,
            starts_at: now,
            expires_at: now.checked_add(LIFETIME).unwrap_or(now),
            updated_at: now,
        }
    }

    pub(super) fn is_active(&self, now: SystemTime) -> bool {
        now < self.expires_at
    }

    /// Returns whether a call of a scope can be taken from the subscription.
    pub(super) fn has(&self, scope: &Scope, now: SystemTime) -> bool {
        self.available > 0 && self.is_active(now) && self.pattern.covers(scope)
    }

    /// Takes a call.
    pub(super) fn take(&mut self, now: SystemTime) {
        self.available = self.available.saturating_sub(1);
        self.updated_at = now;
    }
}
