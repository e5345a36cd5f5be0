//! The record of a token in a store, and its JSON.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::scope::ScopeSet;
use crate::secret::Secret;
use crate::token::{AccessToken, RefreshToken, check_sendable, is_usable_refresh_token};

/// A token as a store keeps it: with its expiration time, its scopes and its refresh token.
///
/// A client creates it and passes it to [`TokenStore::save`](super::TokenStore::save). A store only converts it to text and back:
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use gettone::store::StoredToken;
///
/// let json = r#"{"version":1,"access_token":"0123456789abcdef","obtained_at":0,"expires_at":3600000}"#;
/// let token = StoredToken::from_json(json)?;
/// assert_eq!(token.expires_at(), SystemTime::UNIX_EPOCH + Duration::from_secs(3600));
/// assert_eq!(token.to_json().expose(), json);
/// # Ok::<(), gettone::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredToken {
    pub(crate) access_token: AccessToken,
    pub(crate) obtained_at: SystemTime,
    pub(crate) expires_at: SystemTime,
    pub(crate) renewal: Option<Renewal>,
    /// The requested and the granted scopes, for a service whose tokens have scopes.
    pub(crate) scopes: Option<Scopes>,
    /// The name that a client saved it under, so that the client notices a store that mixes up names.
    pub(crate) name: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Renewal {
    pub(crate) refresh_token: RefreshToken,
    pub(crate) expires_at: SystemTime,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Scopes {
    /// The key of the slot. It shows what a record, or a token that another slot borrows, is for.
    pub(crate) requested: ScopeSet,
    pub(crate) granted: ScopeSet,
}

impl StoredToken {
    /// Returns the access token.
    #[must_use]
    pub fn access_token(&self) -> &AccessToken {
        &self.access_token
    }

    /// Returns when the access token expires, by the clock of this machine.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        self.expires_at
    }

    /// Returns when both the access token and the refresh token have expired. A store may drop the record after that.
    #[must_use]
    pub fn discard_after(&self) -> SystemTime {
        let renewal = self.renewal.as_ref().map(|renewal| renewal.expires_at);
        renewal.map_or(self.expires_at, |end| end.max(self.expires_at))
    }

    /// Returns whether a client may have saved the record under this name. A record that no client saved has no name.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.name.as_deref().is_none_or(|known| known == name)
    }

    /// Returns the token as JSON, **with the tokens in plain text**. The format has a version; times are in milliseconds since 1970.
    #[must_use]
    pub fn to_json(&self) -> Secret {
        // Large enough: a buffer that grows leaves copies behind.
        let mut json = Vec::with_capacity(self.longest_json());
        // Cannot fail: the format has only numbers and texts.
        let _ = serde_json::to_writer(&mut json, &Format::of(self));
        Secret::new(String::from_utf8(json).unwrap_or_default())
    }

    fn longest_json(&self) -> usize {
        let refresh_token = self.renewal.as_ref().map_or("", |renewal| renewal.refresh_token.expose());
        let scopes = self.scopes.iter().flat_map(|scopes| scopes.requested.iter().chain(&scopes.granted));
        // An escape has at most six characters, and no character of a scope is escaped.
        let name = self.name.as_deref().unwrap_or_default();
        512 + 6 * (self.access_token.expose().len() + refresh_token.len() + name.len())
            + scopes.map(|scope| scope.as_str().len() + r#""","#.len()).sum::<usize>()
    }

    /// Reads what [`to_json`](Self::to_json) wrote, in this version of the crate or an earlier one.
    ///
    /// # Errors
    ///
    /// [`is_decode`](Error::is_decode), without any of the text:
    ///
    /// - the text is not such JSON;
    /// - its access token cannot be sent: it is empty, longer than 8 KiB, or cannot be part of a header or a path;
    /// - a later version of the crate wrote it, in a format that this version does not know.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        let wrong = |message: String| Error::decode(format!("stored token: {message}"));
        let Version { version } =
            serde_json::from_str(json).map_err(|_| wrong("not JSON that `StoredToken::to_json` wrote".into()))?;
        if version != VERSION {
            return Err(wrong(format!("format {version}, but this version of the crate reads only format {VERSION}")));
        }
        let format: Format = serde_json::from_str(json).map_err(|_| wrong("a field is missing or malformed".into()))?;
        check_sendable(&format.access_token).map_err(|rule| wrong(rule.into()))?;
        Ok(format.into_token())
    }
}

const VERSION: u32 = 1;

#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Format {
    version: u32,
    access_token: Zeroizing<String>,
    obtained_at: u64,
    expires_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_token: Option<Zeroizing<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_expires_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scopes: Option<Scopes>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

impl Format {
    fn of(token: &StoredToken) -> Self {
        let renewal = token.renewal.as_ref();
        Self {
            version: VERSION,
            access_token: Zeroizing::new(token.access_token.expose().to_owned()),
            obtained_at: milliseconds(token.obtained_at),
            expires_at: milliseconds(token.expires_at),
            refresh_token: renewal.map(|renewal| Zeroizing::new(renewal.refresh_token.expose().to_owned())),
            refresh_expires_at: renewal.map(|renewal| milliseconds(renewal.expires_at)),
            scopes: token.scopes.clone(),
            name: token.name.clone(),
        }
    }

    fn into_token(mut self) -> StoredToken {
        let usable = self.refresh_token.filter(|token| is_usable_refresh_token(token));
        let renewal = usable.zip(self.refresh_expires_at).map(|(mut token, end)| Renewal {
            refresh_token: RefreshToken::new(std::mem::take(&mut *token)),
            expires_at: moment(end),
        });
        StoredToken {
            access_token: AccessToken::new(std::mem::take(&mut *self.access_token)),
            obtained_at: moment(self.obtained_at),
            expires_at: moment(self.expires_at),
            renewal,
            scopes: self.scopes,
            name: self.name,
        }
    }
}

/// Returns the milliseconds since 1970. 0 for a time before 1970.
fn milliseconds(moment: SystemTime) -> u64 {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the time. 1970, which has long passed, for a time that the operating system cannot express.
fn moment(milliseconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds)).unwrap_or(SystemTime::UNIX_EPOCH)
}
