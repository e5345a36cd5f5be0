use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::Secret;

/// An access token: what a service wants to see as `Authorization: Bearer` (RFC 6750, section 2.1). Opaque.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(inline))]
#[serde(transparent)]
pub struct AccessToken(Secret);

impl AccessToken {
    /// A token that was kept somewhere.
    #[must_use]
    pub fn new(token: impl Into<Secret>) -> Self {
        Self(token.into())
    }

    /// The token itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// A refresh token: what a service takes for a new access token (RFC 6749, section 1.5). Opaque.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(inline))]
#[serde(transparent)]
pub struct RefreshToken(Secret);

impl RefreshToken {
    /// A token that was kept somewhere.
    #[must_use]
    pub fn new(token: impl Into<Secret>) -> Self {
        Self(token.into())
    }

    /// The token itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// A moment as both services write it: whole seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct UnixSeconds(u64);

impl UnixSeconds {
    /// What is under a second is cut off. `None` for a moment before 1970.
    pub(crate) fn new(moment: SystemTime) -> Option<Self> {
        moment.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| Self(since.as_secs()))
    }

    /// `None` for a moment that the operating system cannot express.
    pub(crate) fn moment(self) -> Option<SystemTime> {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(self.0))
    }
}
