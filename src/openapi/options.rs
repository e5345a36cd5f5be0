//! The settings of the builder that all clients of Openapi.it have.

use super::environment::Environment;
use crate::auth::builder::{Builder, Service};
use crate::error::Error;
use crate::scope::ScopeSet;

/// A client of Openapi.it, of any version.
pub(crate) trait VendorClient: Service {
    /// The address of the service in the sandbox.
    const SANDBOX_URL: &'static str;

    /// Returns the settings that all versions have.
    fn shared_mut(options: &mut Self::Options) -> &mut SharedOptions;
}

/// The settings that all versions have.
#[derive(Default)]
pub(crate) struct SharedOptions {
    pub(in crate::openapi) scopes: Option<ScopeSet>,
}

impl SharedOptions {
    pub(super) fn check(&self) -> Result<(), Error> {
        match &self.scopes {
            Some(scopes) if scopes.is_empty() => Err(Error::invalid_input(
                "scopes: an empty set, which covers no request; name at least one pattern, or do not call `scopes`",
            )),
            _ => Ok(()),
        }
    }
}

/// Settings for Openapi.it.
#[allow(private_bounds)] // As for `Service`.
impl<C: VendorClient> Builder<C> {
    /// Sets the environment, and with it the address of the service. Default: production.
    #[must_use]
    pub fn environment(self, environment: Environment) -> Self {
        self.default_base_url(match environment {
            Environment::Production => C::BASE_URL,
            Environment::Sandbox => C::SANDBOX_URL,
        })
    }

    /// Sets what [`authorize`](super::v2::Oauth::authorize) may request tokens for. For each request, it picks one of these patterns:
    ///
    /// 1. A pattern counts if it stands for the host of the URL. `imprese.openapi.it` stands for that host alone;
    ///    `*.openapi.it` for the hosts below that domain, but not for the domain itself; `*` for `openapi.it`, `openapi.com`,
    ///    `altravia.com` and the hosts below them, and for no other host.
    /// 2. Of those, a pattern counts if it [covers](crate::ScopePattern::covers) the method and the path. If none does, the call fails,
    ///    and the client requests no token.
    /// 3. Of those, it picks the narrowest: first by host (a full host name, then the longest domain behind `*.`, then `*`), then
    ///    by path (the longest first, `*` last), then by method (a named one before `*`).
    /// 4. It requests a token for that pattern and nothing else, unless a cached token serves the request, which may be good for more. The
    ///    client sends a token that it requested with `*` as the host to the three domains only.
    ///
    /// With `*:*/*` and `GET:example.com/a`, for example, `GET https://example.com/a` gets a token for `GET:example.com/a`, and
    /// `POST https://example.com/a` fails.
    ///
    /// Without this setting, a request to `openapi.it`, `openapi.com`, `altravia.com` or a host below them gets a token for the one
    /// scope that it needs: its method, its host and the first segment of its path. Name the vendor's other hosts here, and
    /// endpoints of more than one segment, such as `POST:test.postontarget.com/fields/country`. Otherwise the service may not grant a token for
    /// `…/fields`, or such a token may not be good for them. An empty set is an error of [`build`](Self::build).
    ///
    /// The letter case of the host, a dot after it, the port and the user in the URL make no difference.
    #[must_use]
    pub fn scopes(mut self, scopes: ScopeSet) -> Self {
        C::shared_mut(&mut self.options).scopes = Some(scopes);
        self
    }
}
