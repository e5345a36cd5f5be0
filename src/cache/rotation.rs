//! Refresh tokens that work once: each refresh returns the next one, and the credentials are the way back if one is lost.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Fetched, TokenSource};
use crate::clock::Time;
use crate::error::Error;
use crate::store::{Renewal, StoredToken};
use crate::token::RefreshToken;

/// A source whose tokens are refreshed with a refresh token that works once.
pub(crate) trait Rotating: TokenSource {
    /// Requests a token with the credentials.
    fn request(&self, key: &Self::Key) -> impl Future<Output = Result<Fetched, Error>> + Send;

    /// Exchanges a refresh token for the next token.
    fn refresh(&self, key: &Self::Key, token: &RefreshToken) -> impl Future<Output = Result<Fetched, Error>> + Send;

    /// Returns whether a refresh that failed so left the refresh token unused.
    fn is_unused(&self, error: &Error) -> bool;

    /// Waits as long as the service asks for after a failure. Returns whether to request a token with the credentials then.
    fn rest_after(&self, error: &Error) -> impl Future<Output = bool> + Send;

    fn time(&self) -> &Time;
}

/// The refresh token of each key that was sent last and that the service may have used up.
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

    /// Refreshes the token before, if it has a refresh token that can still be used. Otherwise requests one with the credentials.
    pub(crate) async fn fetch<S: Rotating<Key = K>>(
        &self,
        source: &S,
        key: &K,
        previous: Option<&StoredToken>,
    ) -> Result<Fetched, Error> {
        let now = source.time().now();
        let renewal = previous.and_then(|token| token.renewal.as_ref()).filter(|renewal| now < renewal.expires_at);
        let is_used = |renewal: &Renewal| self.sent().get(key) == Some(&renewal.refresh_token);
        if let Some(Renewal { refresh_token, .. }) = renewal.filter(|renewal| !is_used(renewal)) {
            // Noted before it is sent: a task that is stopped meanwhile notes nothing.
            self.sent().insert(key.clone(), refresh_token.clone());
            match source.refresh(key, refresh_token).await {
                Ok(fetched) => return Ok(fetched),
                Err(error) if source.is_unused(&error) => {
                    self.sent().remove(key);
                    return Err(error);
                }
                // Rejected, or perhaps used up by a request whose response was lost.
                Err(error) if source.rest_after(&error).await => drop(error),
                Err(error) => return Err(error),
            }
        }
        source.request(key).await
    }
}
