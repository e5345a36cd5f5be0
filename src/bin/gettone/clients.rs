//! Builds the library's clients from the settings.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use gettone::clock::{Clock, SystemClock};
use gettone::openapi::{self, Environment};
use gettone::store::{AnyStore, MemoryStore, RedisStore};
use gettone::{Builder, Service, keliweb};

use crate::arguments::ApiVersion;
use crate::credentials::{self, variable};
use crate::failure::Failure;
use crate::kept;
use crate::observed::Observed;
use crate::output::Output;
use crate::settings::{Settings, StoreChoice};

/// What every command has.
pub struct Context {
    pub settings: Settings,
    pub output: Output,
    pub clock: Arc<dyn Clock>,
    /// The short ids of the tokens that the command has deleted so far.
    deleted: Mutex<Vec<String>>,
    /// The credentials that were read so far: the name of each, and of its source.
    sources: Mutex<Vec<(&'static str, String)>>,
}

impl Context {
    pub fn new(settings: Settings, output: Output) -> Self {
        Self {
            settings,
            output,
            clock: Arc::new(SystemClock::default()),
            deleted: Mutex::default(),
            sources: Mutex::default(),
        }
    }

    /// Notes that a token was deleted, for a failure that ends the command after that.
    pub fn note_deleted(&self, id: String) {
        self.deleted.lock().unwrap_or_else(PoisonError::into_inner).push(id);
    }

    /// Returns the short ids of the tokens that were deleted so far.
    pub fn deleted(&self) -> Vec<String> {
        self.deleted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds to a failure what the command has done before.
    pub fn after_what_was_done(&self, failure: Failure) -> Failure {
        match self.deleted().as_slice() {
            [] => failure,
            ids => failure.after(format_args!("deleted {}", ids.join(", "))),
        }
    }

    /// Notes where a credential comes from, for a failure to log in with it.
    pub fn note_source(&self, name: &'static str, source: &str) {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).push((name, source.to_owned()));
    }

    /// Adds to a refusal where the credentials come from that the service refused. Never a value.
    pub fn with_sources(&self, failure: Failure) -> Failure {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if sources.is_empty() || !failure.is_refusal() {
            return failure;
        }
        let same = sources.chunk_by(|(_, one), (_, other)| one == other).map(|same| {
            let names: Vec<&str> = same.iter().map(|(name, _)| *name).collect();
            format!("{} from {}", names.join(", "), same.first().map_or("", |(_, source)| source))
        });
        failure.with(format_args!("used: {}", same.collect::<Vec<_>>().join("; ")))
    }

    /// Returns the environment that the options or the profile name; otherwise production.
    pub fn environment(&self) -> Environment {
        self.settings.environment.unwrap_or_default()
    }

    /// Returns the version of Openapi.it that an option or the profile names; otherwise 2.
    pub fn api_version(&self, option: Option<ApiVersion>) -> ApiVersion {
        option.or(self.settings.api_version).unwrap_or_default()
    }

    /// Returns the address of Openapi.it that a variable or the profile names.
    pub fn openapi_url(&self, version: ApiVersion, environment: Environment) -> Option<String> {
        // Each version and each environment has its own, so that nothing for the sandbox is sent to production.
        let (name, key) = match (version, environment == Environment::Sandbox) {
            (ApiVersion::V2, false) => ("GETTONE_OPENAPI_URL", "url"),
            (ApiVersion::V2, true) => ("GETTONE_OPENAPI_SANDBOX_URL", "sandbox_url"),
            (ApiVersion::V1, false) => ("GETTONE_OPENAPI_V1_URL", "v1_url"),
            (ApiVersion::V1, true) => ("GETTONE_OPENAPI_V1_SANDBOX_URL", "v1_sandbox_url"),
        };
        variable(name).or_else(|| self.settings.profile.value("openapi", key).map(str::to_owned))
    }

    /// Returns the address of Keliweb Fatture that a variable or the profile names.
    pub fn keliweb_url(&self) -> Option<String> {
        let url = variable("GETTONE_KELIWEB_URL");
        url.or_else(|| self.settings.profile.value("keliweb", "url").map(str::to_owned))
    }

    /// Opens the store in force. Without one, tokens are kept until the program ends.
    pub async fn store(&self) -> Result<Observed, Failure> {
        let store = match &self.settings.store {
            StoreChoice::File(path) => AnyStore::new(kept::open(path).await?),
            StoreChoice::Redis(url) => AnyStore::new(RedisStore::connect(url).await?),
            StoreChoice::None => AnyStore::new(MemoryStore::new()),
        };
        Ok(Observed::new(store))
    }

    /// Sets what all clients have in common.
    fn configure<C: Service>(&self, builder: Builder<C>, url: Option<String>) -> Builder<C> {
        let (output, said) = (self.output, Mutex::new(HashSet::new()));
        let builder = builder.on_store_failure(move |error| {
            let text = error.to_string();
            // A store that is away fails at each step in the same way.
            if said.lock().unwrap_or_else(PoisonError::into_inner).insert(text.clone()) {
                output.warn(&text);
            }
        });
        match url {
            Some(url) => builder.base_url(url),
            None => builder,
        }
    }

    /// Returns a builder of a client of version 2.
    pub async fn openapi_v2(&self, environment: Environment) -> Result<Builder<openapi::v2::Oauth>, Failure> {
        let credentials = credentials::openapi(environment, self).await?;
        let url = self.openapi_url(ApiVersion::V2, environment);
        Ok(self.configure(openapi::v2::Oauth::builder(credentials).environment(environment), url))
    }

    /// Returns a builder of a client of version 1.
    pub async fn openapi_v1(&self, environment: Environment) -> Result<Builder<openapi::v1::Oauth>, Failure> {
        let credentials = credentials::openapi(environment, self).await?;
        let url = self.openapi_url(ApiVersion::V1, environment);
        Ok(self.configure(openapi::v1::Oauth::builder(credentials).environment(environment), url))
    }

    /// Returns a builder of a client of Keliweb Fatture.
    pub async fn keliweb(&self) -> Result<Builder<keliweb::Fatture>, Failure> {
        let credentials = credentials::keliweb(self).await?;
        Ok(self.configure(keliweb::Fatture::builder(credentials), self.keliweb_url()))
    }
}
