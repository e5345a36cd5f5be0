//! What a service refuses to an account, whatever it was asked for: all keys of a cache wait together.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::state::Failure;
use crate::clock::{Moment, Time};
use crate::error::Error;

#[derive(Default)]
pub(super) struct AccountBackoff {
    failure: Mutex<Option<Failure>>,
    /// After a failure one exchange tries, and the others wait for what comes of it.
    probe: tokio::sync::Mutex<()>,
}

/// The right to ask the service.
#[derive(Default)]
pub(super) struct Permit<'a> {
    /// Whether there was a failure before, and this is to find out whether it has passed.
    is_probe: bool,
    _probe_guard: Option<tokio::sync::MutexGuard<'a, ()>>,
}

impl AccountBackoff {
    /// `own_failure`: what the key waited out, if it holds a token that is still good. Such a key does not wait for the account's
    /// whole pause, which may outlast its token, but tries once more unless another key has tried since.
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
        // A trial that takes longer is on a runtime that nobody drives any more.
        let probe_guard = tokio::time::timeout(probe_timeout, self.probe.lock()).await.ok();
        match self.failure() {
            None => Ok(Permit::default()),
            Some(failure) if must_wait(&failure) => Err(failure),
            Some(_) => Ok(Permit { is_probe: true, _probe_guard: probe_guard }),
        }
    }

    /// What came of an exchange. Gives the failure that is one of all keys.
    pub(super) fn record(&self, permit: &Permit<'_>, error: Option<&Error>, now: &Moment) -> Option<Failure> {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        let is_probe = permit.is_probe;
        match error {
            // Sent before the failure was known, it says nothing new.
            Some(error) if is_account_wide(error) && (is_probe || failure.is_none()) => {
                *failure = Some(Failure::after(failure.as_ref(), error, now));
            }
            Some(error) if is_account_wide(error) => {}
            // It did not come through.
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

/// Wrong credentials, sent once for each key, may lock an account; and a service that is asked too much counts all that is asked.
fn is_account_wide(error: &Error) -> bool {
    error.is_unauthorized() || error.is_rate_limited()
}
