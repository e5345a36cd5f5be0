//! The requests for a token that the service may have carried out without the client knowing.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::ledger::has_passed;
use super::reconcile::{AmbiguousCreate, draw_lifetime, max_cut};
use crate::clock::{Moment, Time};
use crate::openapi::ttl::Ttl;
use crate::runtime;
use crate::scope::ScopeSet;

/// While the service fails to list the account's tokens, the client requests no other token for this long.
const MAX_WAIT: Duration = Duration::from_secs(10 * 60);

/// The number of requests that the client remembers. Beyond that, it drops the oldest, and no longer searches for its token.
const CAPACITY: usize = 256;

/// Requests in flight and requests that were given up, sorted by number.
#[derive(Default)]
pub(super) struct Pending(Mutex<Vec<AmbiguousCreate>>);

impl Pending {
    fn all(&self) -> MutexGuard<'_, Vec<AmbiguousCreate>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a request for a token before the client sends it. `longest`: the longest lifetime that it may ask for.
    pub(super) fn begin<'a>(&'a self, scopes: &ScopeSet, longest: Ttl, time: &'a Time) -> InFlight<'a> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);

        let (ttl, sent) = (draw_lifetime(longest), time.moment());
        let mut all = self.all();
        // Takes the number under the lock, so that the list stays sorted.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let create = AmbiguousCreate { number, scopes: scopes.clone(), ttl, sent, given_up: None };
        if max_cut(longest).is_some() {
            if all.len() >= CAPACITY {
                all.remove(0);
            }
            all.push(create);
        }
        InFlight { pending: self, time, number, ttl, sent }
    }

    /// Returns the requests for these scopes that were given up, sorted by number.
    pub(super) fn given_up_for(&self, scopes: &ScopeSet) -> Vec<AmbiguousCreate> {
        self.all().iter().filter(|create| create.scopes == *scopes && create.given_up.is_some()).cloned().collect()
    }

    /// Returns whether a request for these scopes was given up, and each of them within the last [`MAX_WAIT`].
    pub(super) fn is_recent_for(&self, scopes: &ScopeSet, now: &Moment) -> bool {
        let is_recent =
            |create: &AmbiguousCreate| create.given_up.is_some_and(|it| now.monotonic < it.after(MAX_WAIT).monotonic);
        let given_up = self.given_up_for(scopes);
        !given_up.is_empty() && given_up.iter().all(is_recent)
    }

    /// Drops the requests whose tokens have expired. Returns whether one for these scopes was given up whose token may be unexpired.
    pub(super) fn has_any_for(&self, scopes: &ScopeSet, now: &Moment) -> bool {
        let mut all = self.all();
        all.retain(|create| !has_passed(&create.sent.after(create.ttl.into()), now));
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

/// A request in flight. When it is dropped, even because its task was canceled, the request counts as given up.
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

    /// Drops the request: the service responded, so the client need not search for its token.
    pub(super) fn answered(self) {
        self.pending.retain(|create| create.number != self.number);
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        // A clock of the program that panics in a destructor would abort the process.
        let now = runtime::caught(|| self.time.moment()).unwrap_or(self.sent);
        if let Some(create) = self.pending.all().iter_mut().find(|create| create.number == self.number) {
            create.given_up = Some(now);
        }
    }
}
