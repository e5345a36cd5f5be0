//! What a store returns: a record with its version, and whether it was replaced or locked.

use std::fmt;

use super::{StoreError, StoreLock, StoredToken, fnv_1a};

/// The version of a record: the version of a row, an `ETag`, a random text. Only the store knows what it means.
///
/// No two records of a name ever have the same version, even if one is removed and written again. So a counter that starts anew is not
/// enough.
#[derive(Clone, PartialEq, Eq)]
pub struct Version(Box<str>);

impl Version {
    /// Creates a version from a text that the store can compare.
    #[must_use]
    pub fn new(version: impl Into<String>) -> Self {
        Self(version.into().into_boxed_str())
    }

    /// Returns the version of a record that has none of its own: a hash of its text. Each record that a client writes has a random part.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self::new(format!("{:016x}", fnv_1a(text)))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Prints no version: the hash of a record would reveal something about the tokens in it.
impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Version")
    }
}

/// The record of a name, as a store returns it.
#[derive(Debug)]
pub struct Record {
    pub(super) token: Result<StoredToken, StoreError>,
    pub(super) version: Version,
}

impl Record {
    /// Creates a record from a token and its version.
    #[must_use]
    pub fn new(version: Version, token: StoredToken) -> Self {
        Self { token: Ok(token), version }
    }

    /// Creates a record from a text that [`StoredToken::to_json`] wrote. From any other text, creates an [unreadable](Self::unreadable)
    /// record.
    #[must_use]
    pub fn from_json(version: Version, json: &str) -> Self {
        Self { token: StoredToken::from_json(json).map_err(StoreError::from), version }
    }

    /// Creates a record that exists but cannot be read. The client reports the reason, and replaces the record.
    #[must_use]
    pub fn unreadable(version: Version, reason: impl Into<StoreError>) -> Self {
        Self { token: Err(reason.into()), version }
    }

    /// Returns the token, or why it cannot be read.
    ///
    /// # Errors
    ///
    /// The record is [unreadable](Self::unreadable).
    pub fn token(&self) -> Result<&StoredToken, &StoreError> {
        self.token.as_ref()
    }

    /// Returns the version.
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.version
    }
}

/// The outcome of [`TokenStore::replace`](super::TokenStore::replace).
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub enum Replaced {
    /// The new record has taken the place of the one that the client had seen. This is its version.
    Done(Version),
    /// The name has another record by now, or none. The store changed nothing.
    Conflict,
}

/// The outcome of [`TokenStore::lock`](super::TokenStore::lock).
#[derive(Debug)]
#[must_use]
#[non_exhaustive]
pub enum Locked {
    /// The client has the lock, until it releases it.
    Held(StoreLock),
    /// The record is no longer the one that the client has seen. The client loads the new one, and needs no lock.
    Changed,
    /// Another client has held the lock for longer than this store waits. The client requests the token without it.
    Busy,
}
