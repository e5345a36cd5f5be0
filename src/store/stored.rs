//! A record of a token, as a store keeps it.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

#[cfg(feature = "seal")]
use super::StoreError;
#[cfg(feature = "seal")]
use super::managed::milliseconds;
use super::managed::{ManagedToken, Marks, Plain, Times, VERSION, moment, wrong};
#[cfg(feature = "seal")]
use super::seal::{Sealer, Unsealed};
use crate::error::Error;
use crate::secret::Secret;

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A token as a store keeps it: a text and the times after which it is of no use.
///
/// A client creates it and passes it to [`TokenStore::replace`](super::TokenStore::replace). A store only converts it to text and back:
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
#[derive(Clone, PartialEq, Eq)]
pub struct StoredToken {
    json: Secret,
    times: Times,
}

impl StoredToken {
    pub(crate) fn plain(token: &ManagedToken, marks: &Marks) -> Self {
        let plain = Plain::of(token, marks);
        Self { json: plain.to_json(), times: plain.times() }
    }

    /// Reads the token and what the record says beside it.
    pub(crate) fn read(&self) -> Result<(ManagedToken, Marks), Error> {
        if version_of(self.json.expose())? == SEALED_VERSION {
            let message =
                "the record is sealed, but this client opens none: give its store the same `Sealing` everywhere";
            return Err(wrong(message));
        }
        Ok(Plain::from_json(self.json.expose())?.into_token())
    }

    /// Seals a token. Outside is only what a store may need: the times.
    #[cfg(feature = "seal")]
    pub(super) fn sealed(name: &str, token: &ManagedToken, marks: &Marks, sealer: &Sealer) -> Result<Self, Error> {
        let plain = Self::plain(token, marks);
        let mut sealed = Sealed::new(&plain.times);
        sealed.sealed = sealer.seal(name, &sealed.head(), plain.json.expose().as_bytes())?;
        // Cannot fail: the format has only numbers and texts.
        let json = serde_json::to_string(&sealed).unwrap_or_default();
        Ok(Self { json: Secret::new(json), times: plain.times })
    }

    /// Opens a sealed record, and reads it.
    #[cfg(feature = "seal")]
    pub(super) fn open(&self, name: &str, sealer: &Sealer) -> Result<(ManagedToken, Marks), StoreError> {
        let sealed = match version_of(self.json.expose())? {
            SEALED_VERSION => Sealed::from_json(self.json.expose())?,
            _ => return Err(Unsealed::NotSealed.into()),
        };
        let plain = sealer.open(name, &sealed.head(), &sealed.sealed)?;
        let json = str::from_utf8(&plain).map_err(|_| wrong("not text"))?;
        Ok(Plain::from_json(json)?.into_token())
    }

    #[cfg(feature = "seal")]
    pub(super) fn is_sealed(&self) -> bool {
        version_of(self.json.expose()).is_ok_and(|version| version == SEALED_VERSION)
    }

    /// Returns when the client obtained the token, by the clock of its machine.
    pub(crate) fn obtained_at(&self) -> SystemTime {
        self.times.obtained_at
    }

    /// Returns when the access token expires, by the clock of the machine that obtained it.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        self.times.expires_at
    }

    /// Returns when a store may drop the record: when both the access token and the refresh token have expired. A
    /// [`RefreshClient`](crate::openapi::v2::RefreshClient) needs its record for longer, since the record says that the pair which the client
    /// was built with is used up: ten years.
    #[must_use]
    pub fn discard_after(&self) -> SystemTime {
        self.times.discard_after
    }

    /// Returns whether a store drops the record when it saves a token that was obtained at `now`. It keeps a record that ended longer than a
    /// year ago: more likely, one of the two clocks was wrong.
    pub(super) fn is_useless_at(&self, now: SystemTime) -> bool {
        now.duration_since(self.discard_after()).is_ok_and(|since| since < YEAR)
    }

    /// Returns the token as JSON, **with the tokens in plain text** unless the record is sealed. The JSON names the version of its format;
    /// times are in milliseconds since 1970.
    #[must_use]
    pub fn to_json(&self) -> Secret {
        self.json.clone()
    }

    /// Reads what [`to_json`](Self::to_json) wrote, in this version of the crate or an earlier one.
    ///
    /// # Errors
    ///
    /// [`is_decode`](Error::is_decode), without any of the text:
    ///
    /// - the text is not such JSON;
    /// - it is not sealed, and its access token cannot be sent: it is empty, longer than 8 KiB, or cannot be part of a header or a path;
    /// - a later version of the crate wrote it, in a format that this version does not know.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        let times = match version_of(json)? {
            VERSION => Plain::from_json(json)?.times(),
            SEALED_VERSION => Sealed::from_json(json)?.times(),
            version => {
                let message = format!(
                    "format {version}, but this version of the crate reads only formats {VERSION} and {SEALED_VERSION}"
                );
                return Err(wrong(message));
            }
        };
        Ok(Self { json: Secret::new(json), times })
    }
}

/// Prints the times, and no token.
impl fmt::Debug for StoredToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredToken").field("times", &self.times).finish_non_exhaustive()
    }
}

fn version_of(json: &str) -> Result<u32, Error> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let version = serde_json::from_str(json).map_err(|_| wrong("not JSON that `StoredToken::to_json` wrote"));
    version.map(|Version { version }| version)
}

const SEALED_VERSION: u32 = 2;

/// The JSON of a sealed record.
#[derive(Serialize, Deserialize)]
struct Sealed {
    version: u32,
    obtained_at: u64,
    expires_at: u64,
    discard_after: u64,
    /// What `seal.rs` made of the JSON of the record that is not sealed.
    sealed: String,
}

impl Sealed {
    fn from_json(json: &str) -> Result<Self, Error> {
        serde_json::from_str(json).map_err(|_| wrong("a field is missing or malformed"))
    }

    fn times(&self) -> Times {
        let [obtained_at, expires_at, discard_after] =
            [self.obtained_at, self.expires_at, self.discard_after].map(moment);
        Times { obtained_at, expires_at, discard_after }
    }

    #[cfg(feature = "seal")]
    fn new(times: &Times) -> Self {
        let [obtained_at, expires_at, discard_after] =
            [times.obtained_at, times.expires_at, times.discard_after].map(milliseconds);
        Self { version: SEALED_VERSION, obtained_at, expires_at, discard_after, sealed: String::new() }
    }

    /// Returns what stands outside, so that nobody can change it.
    #[cfg(feature = "seal")]
    fn head(&self) -> Vec<u8> {
        let Self { version, obtained_at, expires_at, discard_after, .. } = self;
        format!("{version} {obtained_at} {expires_at} {discard_after}").into_bytes()
    }
}
