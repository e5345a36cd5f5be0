//! The settings of the builder that only Openapi.it has.

use super::Oauth;
use crate::auth::builder::Builder;
use crate::openapi::environment::Environment;
use crate::openapi::ttl::Ttl;
use crate::scope::ScopeSet;

/// The settings for the tokens that the client caches.
pub(crate) struct Options {
    pub(super) scopes: Option<ScopeSet>,
    pub(super) ttl: Ttl,
    pub(super) reuse_existing: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { scopes: None, ttl: Ttl::DAY, reuse_existing: false }
    }
}

/// Settings for Openapi.it.
impl Builder<Oauth> {
    /// Sets the environment, and with it the address of the service. Default: production.
    #[must_use]
    pub fn environment(self, environment: Environment) -> Self {
        self.default_base_url(match environment {
            Environment::Production => "https://oauth.openapi.it",
            Environment::Sandbox => "https://test.oauth.openapi.it",
        })
    }

    /// Sets what [`authorize`](Oauth::authorize) may request tokens for. For each request, it picks one of these patterns:
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
        self.options.scopes = Some(scopes);
        self
    }

    /// Sets the longest lifetime of the tokens that the client requests. Default: one day.
    ///
    /// From 20 minutes on, the client draws each lifetime at random: shorter by up to a quarter, and by at most six hours. If a response is
    /// lost, the client distinguishes its token from those of other programs by that lifetime. With a longest lifetime under 20 minutes, the
    /// client leaves a token whose response was lost until it expires.
    #[must_use]
    pub fn ttl(mut self, ttl: Ttl) -> Self {
        self.options.ttl = ttl;
        self
    }

    /// Sets whether the client looks for a suitable unexpired token of the account before it creates one. That takes `GET /token`, and
    /// `GET /scopes` if there are wildcards. Default: no.
    ///
    /// Such a token may be good for more than the requested scopes, whatever it was created for.
    #[must_use]
    pub fn reuse_existing(mut self, reuse: bool) -> Self {
        self.options.reuse_existing = reuse;
        self
    }
}
