//! The method of a scope.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::Error;

/// An HTTP method that a scope can have: one of those in the vendor's catalog.
///
/// Convert from and to [`reqwest::Method`] with [`TryFrom`] and [`From`].
///
/// ```
/// use gettone::{ScopeMethod, reqwest};
///
/// let method: ScopeMethod = "get".parse()?;
/// assert_eq!((method, method.as_str()), (ScopeMethod::Get, "GET"));
/// assert_eq!(reqwest::Method::from(method), reqwest::Method::GET);
/// assert_eq!(ScopeMethod::try_from(&reqwest::Method::POST)?, ScopeMethod::Post);
/// assert!(ScopeMethod::try_from(&reqwest::Method::HEAD).is_err());
/// # Ok::<(), gettone::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "schemars",
    derive(schemars::JsonSchema),
    schemars(inline, rename_all = "UPPERCASE", description = "The HTTP method of a scope.")
)]
#[non_exhaustive]
pub enum ScopeMethod {
    /// `GET`
    Get,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
}

impl ScopeMethod {
    /// All methods.
    pub const ALL: &[Self] = &[Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete];

    /// Returns the method in upper case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    fn unknown(text: &str) -> Error {
        Error::invalid_input(format!("unknown method {text:?}; expected GET, POST, PUT, PATCH or DELETE"))
    }

    pub(super) fn find(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|method| method.as_str().eq_ignore_ascii_case(text))
    }
}

impl FromStr for ScopeMethod {
    type Err = Error;

    /// Parses a method in any letter case.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the text is none of [`ALL`](Self::ALL).
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::find(text).ok_or_else(|| Self::unknown(text))
    }
}

impl TryFrom<&reqwest::Method> for ScopeMethod {
    type Error = Error;

    /// Converts a method in upper case: in HTTP the letter case of a method counts (RFC 9110, section 9.1).
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the method is none of [`ALL`](Self::ALL).
    fn try_from(method: &reqwest::Method) -> Result<Self, Error> {
        let text = method.as_str();
        Self::ALL.iter().copied().find(|known| known.as_str() == text).ok_or_else(|| Self::unknown(text))
    }
}

impl From<ScopeMethod> for reqwest::Method {
    fn from(method: ScopeMethod) -> Self {
        match method {
            ScopeMethod::Get => Self::GET,
            ScopeMethod::Post => Self::POST,
            ScopeMethod::Put => Self::PUT,
            ScopeMethod::Patch => Self::PATCH,
            ScopeMethod::Delete => Self::DELETE,
        }
    }
}

impl fmt::Display for ScopeMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for ScopeMethod {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ScopeMethod {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
