//! What fetches the tokens of the cache.

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::time::Duration;

use super::Ended;
use crate::clock::Moment;
use crate::error::{Error, Operation};
#[cfg(feature = "seal")]
use crate::secret::Secret;
use crate::store::ManagedToken;
use crate::token::AccessToken;

/// A source of the tokens of one service. Implement it to add a service.
///
/// Six methods are required: `record_name`, `secrets`, `operation`, `fetch`, `is_for` and `max_duration`. The others have defaults for a
/// service whose keys are all different and whose tokens serve only the key that they were fetched for.
pub(crate) trait TokenSource: Send + Sync + 'static {
    /// The purpose that a token is requested for, such as a set of scopes or an account. Events print it, so it must not contain
    /// a secret.
    type Key: Clone + Eq + Hash + fmt::Display + Send + Sync + 'static;

    /// Returns the normal form of a key. Keys with the same normal form share one slot and one token.
    fn normalize(&self, key: &Self::Key) -> Self::Key {
        key.clone()
    }

    /// Returns the name of the key's store record. It must be the same in each process and differ between accounts, and must
    /// not contain a secret.
    fn record_name(&self, key: &Self::Key) -> String;

    /// Returns the secrets of the client's credentials, from which the key of a sealed store is derived. One at least must be hard to guess.
    /// They must be the same in each process.
    #[cfg(feature = "seal")]
    fn secrets(&self) -> Vec<Secret>;

    /// Returns the operation that an error names if the service did not cause it, such as a timeout or a stopped task.
    fn operation(&self) -> Operation;

    /// Checks a key before anything is sent for it.
    ///
    /// # Errors
    ///
    /// Any error that the key would cause whatever the service responds. The caller gets it at once, and the cache does not
    /// back off.
    fn check(&self, key: &Self::Key) -> Result<(), Error> {
        let _ = key;
        Ok(())
    }

    /// Returns whether the service ends this token when it issues the next one. Callers in the refresh window then wait for
    /// the refresh (two seconds at most), because a call with this token might be rejected.
    fn is_ended_by_refresh(&self, token: &ManagedToken) -> bool {
        let _ = token;
        false
    }

    /// Returns whether nothing but the last token leads to the next one, so that a lost token cannot be replaced. The cache then saves a
    /// token before callers get it, fetches nothing while it cannot read the store's record, and looks at the record again after a failure.
    fn depends_on_last_token(&self) -> bool {
        false
    }

    /// Returns how long a store must keep a record after it was written, whatever has expired by then. `None`: until both tokens have expired.
    fn record_life(&self) -> Option<Duration> {
        None
    }

    /// Returns a token that the source was made with. The cache uses it until there is another.
    fn initial(&self, key: &Self::Key) -> Option<ManagedToken> {
        let _ = key;
        None
    }

    /// Returns whether the service may have used up the refresh token of this token: the source has sent it, and the service did not
    /// refuse it unused.
    fn has_sent(&self, key: &Self::Key, token: &ManagedToken) -> bool {
        let _ = (key, token);
        false
    }

    /// Requests a token from the service.
    ///
    /// The cache calls this on the exchange's own task, one call at a time for each key, unless an earlier call took longer than
    /// `max_duration`.
    ///
    /// - `previous` is the last token for this key, if there was one. It has expired, is about to, or was rejected; use it
    ///   only to refresh. It may come from the store.
    /// - `ended` contains the tokens that must not be returned again: the service rejected them, or they were deleted. Check
    ///   it if you adopt an existing token instead of requesting a new one.
    ///
    /// # Errors
    ///
    /// Any failure. The cache returns it to all callers that wait, and backs off. It backs off for all keys after
    /// `is_unauthorized` and `is_rate_limited`, and for minutes after failures that a retry would only repeat, such as wrong
    /// credentials.
    fn fetch(
        &self,
        key: &Self::Key,
        previous: Option<&ManagedToken>,
        ended: &Ended<AccessToken>,
    ) -> impl Future<Output = Result<Fetched, Error>> + Send;

    /// Returns whether a store record is a token for this key. The record may be anything that was written to the
    /// store; the cache has only checked its name.
    fn is_for(&self, token: &ManagedToken, key: &Self::Key) -> bool;

    /// Returns the longest time that `fetch` may take. After a multiple of it, waiting callers get a timeout and the cache
    /// abandons the exchange.
    fn max_duration(&self) -> Duration;

    /// Returns whether a token that was fetched for another, broad key also serves this key.
    fn serves(&self, token: &ManagedToken, key: &Self::Key) -> bool {
        let _ = (token, key);
        false
    }

    /// Returns whether tokens for this key may serve other keys. Only broad keys enter the index that `lends_at` and
    /// `borrows_at` describe.
    fn is_broad(&self, key: &Self::Key) -> bool {
        let _ = key;
        false
    }

    /// Returns the places of a broad key in the index. A place is any number, such as a hash of a part of the key.
    fn lends_at(&self, key: &Self::Key) -> Vec<u64> {
        let _ = key;
        vec![0]
    }

    /// Returns, for each part of a key, the places of all broad keys that may serve this part. A token serves the key only
    /// if it serves all parts. The index may find too many keys, since the cache then calls `serves`; it must not miss one.
    fn borrows_at(&self, key: &Self::Key) -> impl Iterator<Item = Vec<u64>> {
        let _ = key;
        std::iter::once(vec![0])
    }
}

/// A token that a source returned.
#[derive(Debug, Clone)]
pub(crate) struct Fetched {
    pub(crate) token: ManagedToken,
    /// The moment before the request was sent. The token's lifetime counts from here.
    pub(crate) sent: Moment,
    /// The operation that returned the token.
    pub(crate) operation: Operation,
    /// Whether the token existed before, and the source found it instead of requesting a new one.
    pub(crate) is_adopted: bool,
}
