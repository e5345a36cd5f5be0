//! What the vendor knows an account by.

use reqwest::header::HeaderValue;

use crate::env::from_env;
use crate::error::Error;
use crate::http::transport::basic;
use crate::secret::Secret;

/// The account's e-mail address and its API key. Production and sandbox have a key each.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub(super) email: String,
    pub(super) api_key: Secret,
}

impl Credentials {
    /// The two values.
    #[must_use]
    pub fn new(email: impl Into<String>, api_key: impl Into<Secret>) -> Self {
        Self { email: email.into(), api_key: api_key.into() }
    }

    /// The values of `OPENAPI_EMAIL` and `OPENAPI_API_KEY`.
    ///
    /// # Errors
    ///
    /// [`is_invalid_input`](Error::is_invalid_input) if one of them is not set, is empty, or is not UTF-8; all that are, are
    /// named.
    pub fn from_env() -> Result<Self, Error> {
        let [email, api_key] = from_env(["OPENAPI_EMAIL", "OPENAPI_API_KEY"])?;
        Ok(Self::new(email, api_key))
    }

    /// Checks the values, and returns them as the header `Authorization` of HTTP Basic (RFC 7617).
    pub(super) fn authorization(&self) -> Result<HeaderValue, Error> {
        let refuse = |reason| Error::invalid_input(format!("Openapi.it credentials: {reason}"));
        let Self { email, api_key } = self;
        if email.is_empty() || api_key.expose().is_empty() {
            return Err(refuse("the e-mail address or the API key is empty"));
        }
        // The first colon ends the user name (RFC 7617, section 2).
        if email.contains(':') {
            return Err(refuse("a colon in the e-mail address, which HTTP Basic does not allow"));
        }
        if email.chars().chain(api_key.expose().chars()).any(char::is_control) {
            return Err(refuse("a line break or another control character"));
        }
        basic(email, api_key.expose()).ok_or_else(|| refuse("a character that a header cannot have"))
    }
}
