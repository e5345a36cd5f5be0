//! The tokens in the token file, as `status` lists them. The file's form is that of the library's `FileStore`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gettone::ScopeSet;
use gettone::Secret;
use gettone::store::{FileStore, StoredToken};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::settings::StoreChoice;

/// A token in the store.
pub struct Kept {
    /// The name of its record: service, address, account, and what the token is for.
    pub name: String,
    pub expires_at: SystemTime,
    /// Until when the token can be refreshed. `None` without a refresh token, and in a sealed record: a store may keep that for longer.
    pub refreshed_until: Option<SystemTime>,
    /// `None` in a sealed record.
    pub token: Option<Secret>,
    /// What the token was granted. `None` for Keliweb Fatture, and in a sealed record.
    pub scopes: Option<ScopeSet>,
}

/// Opens a token file. If others can open it, that is a failure and no wrong use of the program.
pub async fn open(path: &Path) -> Result<FileStore, Failure> {
    FileStore::open(path).await.map_err(|error| Failure::other(error.to_string()))
}

/// Returns the tokens of a token file. Empty for another store, which cannot be listed.
///
/// # Errors
///
/// The file cannot be read, or other users can read it.
pub async fn tokens(store: &StoreChoice) -> Result<Vec<Kept>, Failure> {
    #[derive(Deserialize)]
    struct Contents {
        tokens: BTreeMap<String, Box<RawValue>>,
    }

    let StoreChoice::File(path) = store else { return Ok(Vec::new()) };
    if !path.exists() {
        return Ok(Vec::new());
    }
    // Checks whose it is.
    open(path).await?;
    let failed = |reason: String| Failure::other(format!("token file {}: {reason}", path.display()));
    let text = fs::read_to_string(path).map(Secret::new).map_err(|error| failed(error.to_string()))?;
    let contents: Contents = serde_json::from_str(text.expose()).map_err(|_| failed("it is damaged".to_owned()))?;
    Ok(contents.tokens.into_iter().filter_map(|(name, json)| Kept::read(name, json.get())).collect())
}

impl Kept {
    /// Reads a record. The library reports one that cannot be read when it needs it.
    pub fn read(name: String, json: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Plain {
            access_token: Option<Secret>,
            refresh_token: Option<Secret>,
            refresh_expires_at: Option<u64>,
            scopes: Option<Scopes>,
        }
        #[derive(Deserialize)]
        struct Scopes {
            granted: ScopeSet,
        }

        let record = StoredToken::from_json(json).ok()?;
        let plain: Plain = serde_json::from_str(json).ok()?;
        let refresh_end = plain.refresh_token.and(plain.refresh_expires_at);
        let refreshed_until = refresh_end.and_then(|end| UNIX_EPOCH.checked_add(Duration::from_millis(end)));
        let scopes = plain.scopes.map(|scopes| scopes.granted);
        Some(Self { name, expires_at: record.expires_at(), refreshed_until, token: plain.access_token, scopes })
    }
}
