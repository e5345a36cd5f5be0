//! A token as a store keeps it.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::scope::ScopeSet;
use crate::secret::Secret;
use crate::token::{AccessToken, RefreshToken, check_sendable, is_usable_refresh_token};

/// A token as a store keeps it: with its end, and with what it was given for or can be renewed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredToken {
    pub(crate) access_token: AccessToken,
    pub(crate) obtained_at: SystemTime,
    pub(crate) expires_at: SystemTime,
    pub(crate) renewal: Option<Renewal>,
    /// What was asked for and what was granted, for a service whose tokens have scopes.
    pub(crate) scopes: Option<Scopes>,
    /// The name that a client saved it under: a store that mixes names up is found out.
    pub(crate) name: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Renewal {
    pub(crate) refresh_token: RefreshToken,
    pub(crate) expires_at: SystemTime,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Scopes {
    /// The key of the slot: a record says by itself what it is for, and so does a token that is lent.
    pub(crate) requested: ScopeSet,
    pub(crate) granted: ScopeSet,
}

impl StoredToken {
    /// The access token itself.
    #[must_use]
    pub fn access_token(&self) -> &AccessToken {
        &self.access_token
    }

    /// The end of the access token, by the clock of this machine.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        self.expires_at
    }

    /// When the token is of no use any more, also not to renew it: a store may drop it then.
    #[must_use]
    pub fn discard_after(&self) -> SystemTime {
        let renewal = self.renewal.as_ref().map(|renewal| renewal.expires_at);
        renewal.map_or(self.expires_at, |end| end.max(self.expires_at))
    }

    /// Returns whether it may be what a client saved under this name. A record that was not saved by one does not say.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.name.as_deref().is_none_or(|known| known == name)
    }

    /// The token as JSON, in a format that says its version. Times are in milliseconds since 1970.
    #[must_use]
    pub fn to_json(&self) -> Secret {
        // Large enough from the beginning: one that grows leaves copies behind.
        let mut json = Vec::with_capacity(self.longest_json());
        // Numbers and texts alone: there is nothing that JSON could not say.
        let _ = serde_json::to_writer(&mut json, &Format::of(self));
        Secret::new(String::from_utf8(json).unwrap_or_default())
    }

    fn longest_json(&self) -> usize {
        let refresh_token = self.renewal.as_ref().map_or("", |renewal| renewal.refresh_token.expose());
        let scopes = self.scopes.iter().flat_map(|scopes| scopes.requested.iter().chain(&scopes.granted));
        // A character becomes six at the most, and a scope has none that becomes more than itself.
        let name = self.name.as_deref().unwrap_or_default();
        512 + 6 * (self.access_token.expose().len() + refresh_token.len() + name.len())
            + scopes.map(|scope| scope.as_str().len() + r#""","#.len()).sum::<usize>()
    }

    /// Reads what [`to_json`](Self::to_json) wrote, in this version of the crate or an earlier one.
    ///
    /// # Errors
    ///
    /// [`is_decode`](Error::is_decode) if it is something else, if its token could not be sent (it is empty, longer than 8 KiB, or has a
    /// character that no header can have), or if it was written by a later version that is not understood. Nothing of the text is
    /// repeated.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        let wrong = |message: String| Error::decode(format!("stored token: {message}"));
        let Version { version } = serde_json::from_str(json).map_err(|_| wrong("not the JSON of one".into()))?;
        if version != VERSION {
            return Err(wrong(format!("format {version}, and this version of the crate knows {VERSION}")));
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

/// 0 for a moment before 1970.
fn milliseconds(moment: SystemTime) -> u64 {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// 1970 for a moment that the operating system cannot express: long over.
fn moment(milliseconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds)).unwrap_or(SystemTime::UNIX_EPOCH)
}
