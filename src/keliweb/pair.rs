//! The pair of tokens that both grants return.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::http::body::{sendable, usable};
use crate::json::{not_a, whole_number};
use crate::token::{AccessToken, RefreshToken};

/// The response to a grant (RFC 6749, section 5.1): an access token for an hour, and usually a refresh token for ten days.
///
/// ```no_run
/// # async fn run(fatture: gettone::keliweb::Fatture) -> Result<(), Box<dyn std::error::Error>> {
/// let pair = fatture.password_grant().await?;
/// let http = reqwest::Client::builder().redirect(gettone::same_origin()).build()?;
/// // Without `Accept`, the service redirects a rejected token to its login page.
/// let request = http.get("https://fatture.keliweb.it/api/invoices").header("Accept", "application/json");
/// let response = request.bearer_auth(pair.access_token().expose()).send().await?;
///
/// if let Some(refresh_token) = pair.refresh_token() {
///     let pair = fatture.refresh(refresh_token).await?; // spends both tokens of the old pair
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema), schemars(transform = crate::json::first_paragraph))]
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
    /// Returns the type of the access token: `Bearer`, in any letter case.
    #[must_use]
    pub fn token_type(&self) -> &str {
        &self.token_type
    }

    /// Returns the lifetime of the access token: 3600 s by the vendor's page, at most a hundred years. It begins when the service sends the
    /// response; to be safe, count from before the request.
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        self.expires_in
    }

    /// Returns the access token, for the header `Authorization: Bearer`.
    #[must_use]
    pub fn access_token(&self) -> &AccessToken {
        &self.access_token
    }

    /// Returns the refresh token, which [`Fatture::refresh`](super::Fatture::refresh) accepts once. It is valid for ten days, by the vendor's
    /// page; the response does not contain its lifetime. `None` if the response has no refresh token, or an unusable one: empty, longer than
    /// 8 KiB, or not a string.
    #[must_use]
    pub fn refresh_token(&self) -> Option<&RefreshToken> {
        self.refresh_token.as_ref()
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    whole_number(deserializer).map(|seconds| Duration::from_secs(seconds).min(MAX_LIFETIME))
}

/// A hundred years: longer than any token is valid, and short enough to add to any moment.
const MAX_LIFETIME: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Reads the token type. A client must not use a token of an unknown type (RFC 6749, section 7.1). Letter case does not count.
fn bearer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let expected = "the token type `Bearer`";
    let kind = Value::deserialize(deserializer)?;
    let kind = kind.as_str().filter(|kind| kind.eq_ignore_ascii_case("bearer"));
    kind.map(str::to_owned).ok_or_else(|| not_a(expected))
}
