//! Backing off for a whole account: after some failures, no key of a cache sends a request for a while.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::state::Failure;
use crate::clock::{Moment, Time};
use crate::error::Error;

#[derive(Default)]
pub(super) struct AccountBackoff {
    failure: Mutex<Option<Failure>>,
    /// After a failure, one exchange probes the service. The others wait for its result.
    probe: tokio::sync::Mutex<()>,
}

/// The right to send a request to the service.
#[derive(Default)]
pub(super) struct Permit<'a> {
    /// Whether this request finds out if an earlier failure has passed.
    is_probe: bool,
    _probe_guard: Option<tokio::sync::MutexGuard<'a, ()>>,
}

impl AccountBackoff {
    /// Waits for the right to send a request.
    ///
    /// `own_failure` is the failure that the key has waited out, if it still has a usable token. The account may back off
    /// for longer than this token is usable. So such a key probes the service, unless another key has probed it since.
    ///
    /// # Errors
    ///
    /// The account's failure, while it is backing off.
    pub(super) async fn acquire(
        &self,
        time: &Time,
        probe_timeout: Duration,
        own_failure: Option<&Failure>,
    ) -> Result<Permit<'_>, Failure> {
        let must_wait = |failure: &Failure| {
            failure.is_backing_off(&time.moment())
                && !own_failure.is_some_and(|own_failure| own_failure.is_same(failure))
        };
        match self.failure() {
            None => return Ok(Permit::default()),
            Some(failure) if must_wait(&failure) => return Err(failure),
            Some(_) => {}
        }
        // A probe that takes longer is on a runtime that is no longer driven.
        let probe_guard = tokio::time::timeout(probe_timeout, self.probe.lock()).await.ok();
        match self.failure() {
            None => Ok(Permit::default()),
            Some(failure) if must_wait(&failure) => Err(failure),
            Some(_) => Ok(Permit { is_probe: true, _probe_guard: probe_guard }),
        }
    }

    /// Records the result of a request. Returns the failure if it concerns all keys.
    pub(super) fn record(&self, permit: &Permit<'_>, error: Option<&Error>, now: &Moment) -> Option<Failure> {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        let is_probe = permit.is_probe;
        match error {
            // A request that was sent before the failure was known adds nothing to it.
            Some(error) if is_account_wide(error) && (is_probe || failure.is_none()) => {
                *failure = Some(Failure::after(failure.as_ref(), error, now));
            }
            Some(error) if is_account_wide(error) => {}
            // The probe did not reach the service.
            Some(error) if error.is_transient() && is_probe => {
                *failure = Some(Failure::after(failure.as_ref(), error, now));
            }
            _ if is_probe => *failure = None,
            _ => return None,
        }
        failure.clone()
    }

    pub(super) fn clear(&self) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn failure(&self) -> Option<Failure> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Returns whether a failure concerns all keys. Wrong credentials, sent once for each key, may lock the account, and a rate
/// limit counts the requests of all keys.
fn is_account_wide(error: &Error) -> bool {
    error.is_unauthorized() || error.is_rate_limited()
}
