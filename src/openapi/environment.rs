//! The vendor's two installations.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// Which of the vendor's two installations. Each has its own API keys and its own tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Environment {
    /// `https://oauth.openapi.it`. Calls of the services are billed.
    #[default]
    Production,
    /// `https://test.oauth.openapi.it`, free of charge.
    Sandbox,
}

/// `production` or `sandbox`.
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
    /// [`is_invalid_input`](Error::is_invalid_input) for anything else.
    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "production" => Ok(Self::Production),
            "sandbox" => Ok(Self::Sandbox),
            other => Err(Error::invalid_input(format!("environment {other:?}: expected `production` or `sandbox`"))),
        }
    }
}
