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
    trial: tokio::sync::Mutex<()>,
}

/// The right to ask the service.
#[derive(Default)]
pub(super) struct Admission<'a> {
    /// Whether there was a failure before, and this is to find out whether it has passed.
    is_trial: bool,
    _others_wait: Option<tokio::sync::MutexGuard<'a, ()>>,
}

impl AccountBackoff {
    /// `paused`: what the key waited out, if it holds a token that is still good. Such a key does not wait for the account's
    /// whole pause, which may outlast its token, but tries once more unless another key has tried since.
    pub(super) async fn admit(
        &self,
        time: &Time,
        patience: Duration,
        paused: Option<&Failure>,
    ) -> Result<Admission<'_>, Failure> {
        let early = |failure: &Failure| {
            failure.is_early(&time.moment()) && !paused.is_some_and(|paused| paused.is_same(failure))
        };
        match self.failure() {
            None => return Ok(Admission::default()),
            Some(failure) if early(&failure) => return Err(failure),
            Some(_) => {}
        }
        // A trial that takes longer is on a runtime that nobody drives any more.
        let others_wait = tokio::time::timeout(patience, self.trial.lock()).await.ok();
        match self.failure() {
            None => Ok(Admission::default()),
            Some(failure) if early(&failure) => Err(failure),
            Some(_) => Ok(Admission { is_trial: true, _others_wait: others_wait }),
        }
    }

    /// What came of an exchange. Gives the failure that is one of all keys.
    pub(super) fn learn(&self, of: &Admission<'_>, error: Option<&Error>, now: &Moment) -> Option<Failure> {
        let mut known = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        let is_trial = of.is_trial;
        match error {
            // Sent before the failure was known, it says nothing new.
            Some(error) if concerns_all(error) && (is_trial || known.is_none()) => {
                *known = Some(Failure::after(known.as_ref(), error, now));
            }
            Some(error) if concerns_all(error) => {}
            // It did not come through.
            Some(error) if error.is_transient() && is_trial => {
                *known = Some(Failure::after(known.as_ref(), error, now));
            }
            _ if is_trial => *known = None,
            _ => return None,
        }
        known.clone()
    }

    pub(super) fn clear(&self) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn failure(&self) -> Option<Failure> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Wrong credentials, sent once for each key, may lock an account; and a service that is asked too much counts all that is asked.
fn concerns_all(error: &Error) -> bool {
    error.is_unauthorized() || error.is_rate_limited()
}
