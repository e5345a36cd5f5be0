//! Production and sandbox, the two environments of Openapi.it.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// An environment of Openapi.it: production or sandbox. Each has its own API keys and its own tokens.
///
/// The environment sets the address of the token service only. In the sandbox, URLs and scopes have other hosts, which
/// [`Scope::sandbox`](crate::Scope::sandbox) returns.
///
/// ```
/// use gettone::openapi::{Credentials, Environment, v2::Oauth};
///
/// let environment: Environment = "sandbox".parse()?;
/// let credentials = Credentials::new("test@example.com", "API key of the sandbox");
/// let oauth = Oauth::builder(credentials).environment(environment).build()?;
/// # let _ = oauth;
/// # Ok::<(), gettone::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Environment {
    /// Production: `https://oauth.openapi.com`, for version 1 `https://oauth.openapi.it`. The vendor bills calls of its data services.
    #[default]
    Production,
    /// The sandbox, free of charge: `https://test.oauth.openapi.com`, for version 1 `https://test.oauth.openapi.it`.
    Sandbox,
}

/// Writes `production` or `sandbox`.
impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Production => "production",
            Self::Sandbox => "sandbox",
        })
    }
}

impl FromStr for Environment {
    type Err = Error;

    /// Reads what [`Display`](fmt::Display) writes.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the text is neither `production` nor `sandbox`.
    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "production" => Ok(Self::Production),
            "sandbox" => Ok(Self::Sandbox),
            other => Err(Error::invalid_input(format!("environment {other:?}: expected `production` or `sandbox`"))),
        }
    }
}
