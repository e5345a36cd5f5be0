//! What the vendor knows an account by.

use crate::Secret;
use crate::builder::from_env;
use crate::error::Error;

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
}
