//! The response to both grants.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::http::body::{sendable, usable};
use crate::json::{not_a, whole_number};
use crate::token::{AccessToken, RefreshToken};

/// The answer to a grant (RFC 6749, section 5.1): an access token for an hour, and usually a refresh token for ten days.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct TokenPair {
    #[serde(deserialize_with = "bearer")]
    token_type: String,
    #[serde(deserialize_with = "seconds")]
    #[cfg_attr(feature = "schemars", schemars(with = "u64"))]
    expires_in: Duration,
    #[serde(deserialize_with = "sendable")]
    access_token: AccessToken,
    #[serde(default, deserialize_with = "usable")]
    #[cfg_attr(feature = "schemars", schemars(!default))]
    refresh_token: Option<RefreshToken>,
}

impl TokenPair {
    /// `Bearer`.
    #[must_use]
    pub fn token_type(&self) -> &str {
        &self.token_type
    }

    /// How long the access token lives, counted from the service's answer; to be safe, count from before the request. The
    /// vendor documents 3600 s. A hundred years at the most.
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        self.expires_in
    }

    /// To be sent as `Authorization: Bearer`.
    #[must_use]
    pub fn access_token(&self) -> &AccessToken {
        &self.access_token
    }

    /// For [`Fatture::refresh`], once. It lives ten days, which the vendor's page says and the answer does not.
    /// `None` if the answer has none, or one that is of no use: empty, longer than 8 KiB, or not a string.
    #[must_use]
    pub fn refresh_token(&self) -> Option<&RefreshToken> {
        self.refresh_token.as_ref()
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    whole_number(deserializer).map(|seconds| Duration::from_secs(seconds).min(LONGEST_LIFE))
}

/// A hundred years: longer than anything lives, and short enough to be added to any moment.
const LONGEST_LIFE: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A token of a type that is not known must not be used (RFC 6749, section 7.1). Token types are compared without regard to case.
fn bearer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let expected = "the token type `Bearer`";
    let kind = Value::deserialize(deserializer)?;
    let kind = kind.as_str().filter(|kind| kind.eq_ignore_ascii_case("bearer"));
    kind.map(str::to_owned).ok_or_else(|| not_a(expected))
}
