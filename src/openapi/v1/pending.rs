//! The requests for a token of which it is not known yet whether the service carried them out.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::ledger::is_over;
use super::reconcile::{AmbiguousCreate, draw_lifetime, longest_cut};
use crate::clock::{Moment, Time};
use crate::openapi::ttl::Ttl;
use crate::runtime;
use crate::scope::ScopeSet;

/// If the service fails to list the account's tokens, no other token is requested for this long.
const LONG: Duration = Duration::from_secs(10 * 60);

/// The most requests that are remembered. Beyond that, the oldest is not looked for anymore.
const MOST: usize = 256;

/// Sorted by their numbers.
#[derive(Default)]
pub(super) struct Pending(Mutex<Vec<AmbiguousCreate>>);

impl Pending {
    fn all(&self) -> MutexGuard<'_, Vec<AmbiguousCreate>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a request for a token before it is sent. `longest` is the longest lifetime that is wanted.
    pub(super) fn begin<'a>(&'a self, scopes: &ScopeSet, longest: Ttl, time: &'a Time) -> InFlight<'a> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);

        let (ttl, sent) = (draw_lifetime(longest), time.moment());
        let mut all = self.all();
        // Under the lock, so that they stand in the order of their numbers.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let create = AmbiguousCreate { number, scopes: scopes.clone(), ttl, sent, given_up: None };
        if longest_cut(longest).is_some() {
            if all.len() >= MOST {
                all.remove(0);
            }
            all.push(create);
        }
        InFlight { pending: self, time, number, ttl, sent }
    }

    /// Returns the requests for these scopes that were given up, sorted by their numbers.
    pub(super) fn given_up_for(&self, scopes: &ScopeSet) -> Vec<AmbiguousCreate> {
        self.all().iter().filter(|create| create.scopes == *scopes && create.given_up.is_some()).cloned().collect()
    }

    /// Returns whether a request for these scopes was given up, and none so long ago that its token is not waited for anymore.
    pub(super) fn is_recent_for(&self, scopes: &ScopeSet, now: &Moment) -> bool {
        let is_recent =
            |create: &AmbiguousCreate| create.given_up.is_some_and(|it| now.monotonic < it.after(LONG).monotonic);
        let given_up = self.given_up_for(scopes);
        !given_up.is_empty() && given_up.iter().all(is_recent)
    }

    /// Returns whether there is a request for these scopes whose token may be alive. Drops those whose tokens have expired.
    pub(super) fn has_any_for(&self, scopes: &ScopeSet, now: &Moment) -> bool {
        let mut all = self.all();
        all.retain(|create| !is_over(&create.sent.after(create.ttl.into()), now));
        all.iter().any(|create| create.scopes == *scopes && create.given_up.is_some())
    }

    /// Returns the scopes of all requests that were given up, each set once.
    pub(super) fn scopes_given_up(&self) -> Vec<ScopeSet> {
        let all = self.all();
        let mut seen = HashSet::new();
        let sets = all.iter().filter(|create| create.given_up.is_some()).map(|create| &create.scopes);
        sets.filter(|scopes| seen.insert(*scopes)).cloned().collect()
    }

    pub(super) fn retain(&self, keep: impl Fn(&AmbiguousCreate) -> bool) {
        self.all().retain(keep);
    }
}

/// A request that is in flight. However it ends, even if its task is stopped, the time of its end is noted.
pub(super) struct InFlight<'a> {
    pending: &'a Pending,
    time: &'a Time,
    number: u64,
    ttl: Ttl,
    sent: Moment,
}

impl InFlight<'_> {
    pub(super) fn ttl(&self) -> Ttl {
        self.ttl
    }

    /// The service answered: there is nothing to look for.
    pub(super) fn answered(self) {
        self.pending.retain(|create| create.number != self.number);
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        // A clock of the user's that panics in a destructor would end the process.
        let now = runtime::caught(|| self.time.moment()).unwrap_or(self.sent);
        if let Some(create) = self.pending.all().iter_mut().find(|create| create.number == self.number) {
            create.given_up = Some(now);
        }
    }
}
