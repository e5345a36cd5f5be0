//! A store as clients use it: it seals and reads the records, reports failures, and survives panics.

use std::sync::Arc;

#[cfg(feature = "seal")]
use super::Sealing;
#[cfg(feature = "seal")]
use super::seal::Sealer;
use super::{AnyStore, Locked, ManagedToken, Marks, Record, Replaced, StoreError, StoredToken, TokenStore, Version};
use crate::error::Error;
use crate::runtime::{caught, caught_in};
#[cfg(feature = "seal")]
use crate::secret::Secret;
use crate::trace;

/// A store and the function that its failures are reported to.
#[derive(Clone)]
pub(crate) struct ReportingStore {
    store: AnyStore,
    on_failure: Option<OnFailure>,
    #[cfg(feature = "seal")]
    sealer: Option<Sealer>,
}

pub(crate) type OnFailure = Arc<dyn Fn(&Error) + Send + Sync>;

/// A record that was loaded.
pub(crate) struct Loaded {
    /// The token and what the record says beside it, or why it cannot be read.
    pub(crate) token: Result<(ManagedToken, Marks), StoreError>,
    pub(crate) version: Version,
}

impl ReportingStore {
    pub(crate) fn new(store: AnyStore, on_failure: Option<OnFailure>) -> Self {
        #[cfg(feature = "seal")]
        return Self { store, on_failure, sealer: None };
        #[cfg(not(feature = "seal"))]
        Self { store, on_failure }
    }

    /// Seals the records of an account, if the store says so.
    #[cfg(feature = "seal")]
    pub(crate) fn seal_for(self, secrets: impl FnOnce() -> Vec<Secret>) -> Self {
        // The store is code of the user. One that panics here panics in `build`, as a builder of its own would.
        let sealer = match TokenStore::sealing(&self.store) {
            Sealing::Off => None,
            Sealing::WithCredentials => {
                let secrets = secrets();
                let secrets: Vec<_> = secrets.iter().map(|secret| secret.expose().as_bytes()).collect();
                Some(Sealer::from_credentials(&secrets))
            }
            Sealing::WithKeys(keys) => Some(Sealer::from_keys(&keys)),
        };
        Self { sealer, ..self }
    }

    fn read(&self, name: &str, token: &StoredToken) -> Result<(ManagedToken, Marks), StoreError> {
        #[cfg(feature = "seal")]
        let (token, marks) = match &self.sealer {
            Some(sealer) => token.open(name, sealer)?,
            None => token.read()?,
        };
        #[cfg(not(feature = "seal"))]
        let (token, marks) = token.read()?;
        match &marks.name {
            Some(saved) if saved != name => {
                Err(format!("the record under {name} was saved under another name; it is ignored").into())
            }
            _ => Ok((token, marks)),
        }
    }

    fn write(&self, name: &str, token: &ManagedToken, marks: &Marks) -> Result<StoredToken, Error> {
        #[cfg(feature = "seal")]
        if let Some(sealer) = &self.sealer {
            return StoredToken::sealed(name, token, marks, sealer);
        }
        let _ = name;
        Ok(StoredToken::plain(token, marks))
    }

    /// Reports a failure, and returns what it says, for a call that has to end with it.
    pub(crate) fn failed(&self, action: &'static str, error: StoreError) -> Error {
        // The error, the subscriber and the function are code of the user. If one of them panics, even when it is dropped, the exchange
        // continues.
        let said = caught(|| {
            trace::cache::store_failed(action, &*error);
            let error = Error::store(action, error);
            if let Some(on_failure) = &self.on_failure {
                on_failure(&error);
            }
            error.without_source()
        });
        said.unwrap_or_else(|_| Error::store(action, panicked(action)))
    }

    pub(crate) async fn load(&self, name: &str) -> Result<Option<Loaded>, StoreError> {
        let record = caught_in(|| TokenStore::load(&self.store, name)).await.map_err(|_| panicked("load"))??;
        Ok(record.map(|Record { token, version }| Loaded {
            token: token.and_then(|token| self.read(name, &token)),
            version,
        }))
    }

    pub(crate) async fn replace(
        &self,
        name: &str,
        seen: Option<&Version>,
        token: &ManagedToken,
        marks: &Marks,
    ) -> Result<Replaced, StoreError> {
        let token = self.write(name, token, marks)?;
        caught_in(|| TokenStore::replace(&self.store, name, seen, &token)).await.map_err(|_| panicked("replace"))?
    }

    pub(crate) async fn remove(&self, name: &str) -> Result<(), StoreError> {
        caught_in(|| TokenStore::remove(&self.store, name)).await.map_err(|_| panicked("remove"))?
    }

    pub(crate) async fn lock(&self, name: &str, seen: Option<&Version>) -> Result<Locked, StoreError> {
        caught_in(|| TokenStore::lock(&self.store, name, seen)).await.map_err(|_| panicked("lock"))?
    }
}

fn panicked(call: &str) -> StoreError {
    format!("the store panicked in `{call}`").into()
}
