//! The e-mail address and API key of an Openapi.it account.

use reqwest::header::HeaderValue;

use crate::env::from_env;
use crate::error::Error;
use crate::http::transport::basic;
use crate::secret::Secret;

/// The e-mail address and an API key of an account. Production and sandbox have a key each.
///
/// ```
/// use gettone::openapi::Credentials;
///
/// let credentials = Credentials::new("test@example.com", "secret key");
/// assert!(!format!("{credentials:?}").contains("secret key"));
/// ```
#[derive(Debug, Clone)]
pub struct Credentials {
    pub(super) email: String,
    pub(super) api_key: Secret,
}

impl Credentials {
    /// Creates credentials from the two values.
    #[must_use]
    pub fn new(email: impl Into<String>, api_key: impl Into<Secret>) -> Self {
        Self { email: email.into(), api_key: api_key.into() }
    }

    /// Reads the environment variables `OPENAPI_EMAIL` and `OPENAPI_API_KEY`.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): a variable is not set, is empty, or is not UTF-8. The error names each such
    ///   variable.
    pub fn from_env() -> Result<Self, Error> {
        let [email, api_key] = from_env(["OPENAPI_EMAIL", "OPENAPI_API_KEY"])?;
        Ok(Self::new(email, api_key))
    }

    /// Checks the values, and returns the header `Authorization` of HTTP Basic (RFC 7617).
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
            return Err(refuse("a line break or another control character in the e-mail address or the API key"));
        }
        basic(email, api_key.expose()).ok_or_else(|| {
            refuse("a character in the e-mail address or the API key that an HTTP header cannot contain")
        })
    }
}
