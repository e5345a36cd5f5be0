//! A token that a client manages, and the JSON of its record.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::scope::ScopeSet;
use crate::secret::Secret;
use crate::token::{AccessToken, RefreshToken, check_sendable, is_usable_refresh_token};

/// A token that a client manages: with its expiration time, its scopes and its refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManagedToken {
    pub(crate) access_token: AccessToken,
    pub(crate) obtained_at: SystemTime,
    pub(crate) expires_at: SystemTime,
    pub(crate) renewal: Option<ExpiringRefreshToken>,
    /// The requested and the granted scopes, for a service whose tokens have scopes.
    pub(crate) scopes: Option<Scopes>,
}

impl ManagedToken {
    /// Returns when both the access token and the refresh token have expired.
    pub(crate) fn discard_after(&self) -> SystemTime {
        let renewal = self.renewal.as_ref().map(|renewal| renewal.expires_at);
        renewal.map_or(self.expires_at, |end| end.max(self.expires_at))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExpiringRefreshToken {
    pub(crate) refresh_token: RefreshToken,
    pub(crate) expires_at: SystemTime,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Scopes {
    /// The key of the slot. It shows what a record, or a token that another slot borrows, is for.
    pub(crate) requested: ScopeSet,
    pub(crate) granted: ScopeSet,
}

/// What a record says beside the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marks {
    /// A random text, another for each record that is written. By it a client recognizes what it has written itself.
    pub(crate) id: Option<String>,
    /// When a client claimed the refresh token, which the record no longer has.
    pub(crate) claimed_at: Option<SystemTime>,
    /// The name that a client saved it under, so that the client notices a store that mixes up names.
    pub(crate) name: Option<String>,
    /// When a store may drop the record, although both tokens may have expired before.
    pub(crate) keep_until: Option<SystemTime>,
}

pub(super) const VERSION: u32 = 1;

/// The JSON of a record that is not sealed.
#[derive(Serialize, Deserialize)]
pub(super) struct Plain {
    version: u32,
    access_token: Zeroizing<String>,
    obtained_at: u64,
    expires_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_token: Option<Zeroizing<String>>,
    /// When the refresh token expires. A claim keeps this although it has no refresh token: its record lasts as long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_expires_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scopes: Option<Scopes>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    claimed_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keep_until: Option<u64>,
}

impl Plain {
    /// Describes a token. A claim has no refresh token.
    pub(super) fn of(token: &ManagedToken, marks: &Marks) -> Self {
        let renewal = token.renewal.as_ref();
        let unclaimed = renewal.filter(|_| marks.claimed_at.is_none());
        Self {
            version: VERSION,
            access_token: Zeroizing::new(token.access_token.expose().to_owned()),
            obtained_at: milliseconds(token.obtained_at),
            expires_at: milliseconds(token.expires_at),
            refresh_token: unclaimed.map(|renewal| Zeroizing::new(renewal.refresh_token.expose().to_owned())),
            refresh_expires_at: renewal.map(|renewal| milliseconds(renewal.expires_at)),
            scopes: token.scopes.clone(),
            name: marks.name.clone(),
            id: marks.id.clone(),
            claimed_at: marks.claimed_at.map(milliseconds),
            keep_until: marks.keep_until.map(milliseconds),
        }
    }

    pub(super) fn from_json(json: &str) -> Result<Self, Error> {
        let plain: Self = serde_json::from_str(json).map_err(|_| wrong("a field is missing or malformed"))?;
        check_sendable(&plain.access_token).map_err(wrong)?;
        Ok(plain)
    }

    pub(super) fn to_json(&self) -> Secret {
        // Large enough: a buffer that grows leaves copies behind.
        let mut json = Vec::with_capacity(self.longest_json());
        // Cannot fail: the format has only numbers and texts.
        let _ = serde_json::to_writer(&mut json, self);
        Secret::new(String::from_utf8(json).unwrap_or_default())
    }

    fn longest_json(&self) -> usize {
        let texts = [self.name.as_ref(), self.id.as_ref(), self.refresh_token.as_deref()];
        let scopes = self.scopes.iter().flat_map(|scopes| scopes.requested.iter().chain(&scopes.granted));
        // An escape has at most six characters, and no character of a scope is escaped.
        512 + 6 * (self.access_token.len() + texts.into_iter().flatten().map(String::len).sum::<usize>())
            + scopes.map(|scope| scope.as_str().len() + r#""","#.len()).sum::<usize>()
    }

    pub(super) fn times(&self) -> Times {
        let (obtained_at, expires_at) = (moment(self.obtained_at), moment(self.expires_at));
        let ends = [self.refresh_expires_at, self.keep_until].into_iter().flatten().map(moment);
        Times { obtained_at, expires_at, discard_after: ends.fold(expires_at, SystemTime::max) }
    }

    pub(super) fn into_token(mut self) -> (ManagedToken, Marks) {
        let usable = self.refresh_token.filter(|token| is_usable_refresh_token(token));
        let renewal = usable.zip(self.refresh_expires_at).map(|(mut token, end)| ExpiringRefreshToken {
            refresh_token: RefreshToken::new(std::mem::take(&mut *token)),
            expires_at: moment(end),
        });
        let token = ManagedToken {
            access_token: AccessToken::new(std::mem::take(&mut *self.access_token)),
            obtained_at: moment(self.obtained_at),
            expires_at: moment(self.expires_at),
            renewal,
            scopes: self.scopes,
        };
        let (claimed_at, keep_until) = (self.claimed_at.map(moment), self.keep_until.map(moment));
        (token, Marks { id: self.id, claimed_at, name: self.name, keep_until })
    }
}

/// The times of a record, which a store may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) obtained_at: SystemTime,
    pub(super) expires_at: SystemTime,
    /// When both tokens have expired, or later.
    pub(super) discard_after: SystemTime,
}

pub(super) fn wrong(message: impl std::fmt::Display) -> Error {
    Error::decode(format!("stored token: {message}"))
}

/// Returns the milliseconds since 1970. 0 for a time before 1970.
pub(super) fn milliseconds(moment: SystemTime) -> u64 {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the time. 1970, which has long passed, for a time that the operating system cannot express.
pub(super) fn moment(milliseconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds)).unwrap_or(SystemTime::UNIX_EPOCH)
}
