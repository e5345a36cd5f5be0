//! Refresh tokens that work once. Each refresh returns the next one; if one is lost, the source uses the credentials.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Fetched, TokenSource};
use crate::clock::Time;
use crate::error::Error;
use crate::store::{ExpiringRefreshToken, ManagedToken};
use crate::token::RefreshToken;

/// A source whose refresh tokens work once.
pub(crate) trait Rotating: TokenSource {
    /// Requests a token with the credentials.
    fn request(&self, key: &Self::Key) -> impl Future<Output = Result<Fetched, Error>> + Send;

    /// Exchanges the refresh token of the previous token for the next token.
    fn refresh(
        &self,
        key: &Self::Key,
        previous: &ManagedToken,
        token: &RefreshToken,
    ) -> impl Future<Output = Result<Fetched, Error>> + Send;

    /// Returns whether the refresh token is still unused after this failure.
    fn is_unused(&self, error: &Error) -> bool;

    /// Waits as long as the service requests after a failure. Returns whether to request a token with the credentials then.
    fn wait_after(&self, error: &Error) -> impl Future<Output = bool> + Send;

    fn time(&self) -> &Time;
}

/// The last refresh token that was sent for each key, and that the service may have used up.
pub(crate) struct Rotation<K>(Mutex<HashMap<K, RefreshToken>>);

impl<K> Default for Rotation<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash> Rotation<K> {
    fn sent(&self) -> MutexGuard<'_, HashMap<K, RefreshToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_sent(&self, key: &K, renewal: &ExpiringRefreshToken) -> bool {
        self.sent().get(key) == Some(&renewal.refresh_token)
    }

    /// Returns whether the service may have used up the refresh token of this token.
    pub(crate) fn has_sent(&self, key: &K, token: &ManagedToken) -> bool {
        token.renewal.as_ref().is_some_and(|renewal| self.is_sent(key, renewal))
    }

    /// Refreshes the previous token if its refresh token is still usable. Otherwise requests a token with the credentials.
    pub(crate) async fn fetch<S: Rotating<Key = K>>(
        &self,
        source: &S,
        key: &K,
        previous: Option<&ManagedToken>,
    ) -> Result<Fetched, Error> {
        let now = source.time().now();
        let renewal = previous.and_then(|token| Some((token, token.renewal.as_ref()?)));
        let is_usable = |renewal: &ExpiringRefreshToken| {
            // The clock may be wrong. Without another way to a token there is nothing to lose in trying.
            (now < renewal.expires_at || source.depends_on_last_token()) && !self.is_sent(key, renewal)
        };
        if let Some((previous, ExpiringRefreshToken { refresh_token, .. })) =
            renewal.filter(|(_, renewal)| is_usable(renewal))
        {
            // Recorded before it is sent: the task may be stopped at any moment after.
            self.sent().insert(key.clone(), refresh_token.clone());
            match source.refresh(key, previous, refresh_token).await {
                Ok(fetched) => {
                    // The service returned it again, so it works once more.
                    if self.has_sent(key, &fetched.token) {
                        self.sent().remove(key);
                    }
                    return Ok(fetched);
                }
                Err(error) if source.is_unused(&error) => {
                    self.sent().remove(key);
                    return Err(error);
                }
                // Rejected, or perhaps used up by a request whose response was lost.
                Err(error) if source.wait_after(&error).await => drop(error),
                Err(error) => return Err(error),
            }
        }
        source.request(key).await
    }
}
