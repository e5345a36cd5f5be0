//! The settings that only this service has.

use super::Oauth;
use crate::auth::builder::Builder;
use crate::openapi::environment::Environment;
use crate::openapi::ttl::Ttl;
use crate::scope::ScopeSet;

/// The settings of the tokens that the client manages.
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
    /// Production or sandbox. Default: production.
    #[must_use]
    pub fn environment(self, environment: Environment) -> Self {
        self.default_base_url(match environment {
            Environment::Production => "https://oauth.openapi.it",
            Environment::Sandbox => "https://test.oauth.openapi.it",
        })
    }

    /// Sets what [`authorize`](Oauth::authorize) may request tokens for. For each request it picks one of these patterns:
    ///
    /// 1. A pattern counts if it stands for the host of the URL. `imprese.openapi.it` stands for that host alone;
    ///    `*.openapi.it` for the hosts below that domain, but not for the domain itself; `*` for `openapi.it`, `openapi.com`,
    ///    `altravia.com` and the hosts below them, and for no other host.
    /// 2. Of those, a pattern counts if it [covers](crate::ScopePattern::covers) the method and the path. If none is left, the
    ///    request is refused and no token is requested.
    /// 3. Of those, the narrowest is picked: first by host (one written out, then the longest domain behind `*.`, then `*`), then
    ///    by path (the longest, and `*` last), then by method (one written out before `*`).
    /// 4. A token is requested for that pattern and nothing else, unless [`token`](Oauth::token) has cached one that will do; that
    ///    one may be good for more. A token requested with `*` as the host goes to the three domains and no further.
    ///
    /// With `*:*/*` and `GET:example.com/a`, for example, `GET https://example.com/a` gets a token for `GET:example.com/a`, and
    /// `POST https://example.com/a` is refused.
    ///
    /// Without this setting, a request to `openapi.it`, `openapi.com`, `altravia.com` or a host below them gets a token for the one
    /// scope that it needs: its method, its host and the first segment of its path. Name the vendor's other hosts here, and
    /// endpoints of more than one segment, such as `POST:test.postontarget.com/fields/country`: a token for `…/fields` may not be
    /// granted, or not be good for them. An empty set is refused by [`build`](Self::build).
    ///
    /// The letter case of the host, a dot after it, the port and the user in the URL make no difference.
    #[must_use]
    pub fn scopes(mut self, scopes: ScopeSet) -> Self {
        self.options.scopes = Some(scopes);
        self
    }

    /// How long the tokens live at most. Default: one day.
    ///
    /// From 20 minutes on, each token lives up to a quarter less, and up to six hours less: a lifetime drawn by chance tells a token
    /// whose answer was lost from those of other programs. With a shorter lifetime, a token whose answer was lost is left behind.
    #[must_use]
    pub fn ttl(mut self, ttl: Ttl) -> Self {
        self.options.ttl = ttl;
        self
    }

    /// Whether to look for a living token of the account that will do, before one is made. It takes `GET /token`, and with
    /// wildcards `GET /scopes` too. Default: no.
    ///
    /// A token that is found may be good for more than the scopes asked for, whatever it was made for.
    #[must_use]
    pub fn reuse_existing(mut self, reuse: bool) -> Self {
        self.options.reuse_existing = reuse;
        self
    }
}
