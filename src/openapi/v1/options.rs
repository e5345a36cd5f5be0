//! The settings of the builder that only version 1 has.

use super::Oauth;
use crate::auth::builder::Builder;
use crate::openapi::options::SharedOptions;
use crate::openapi::ttl::Ttl;

/// The settings for the tokens that the client caches.
pub(crate) struct Options {
    pub(super) shared: SharedOptions,
    pub(super) ttl: Ttl,
    pub(super) reuse_existing: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { shared: SharedOptions::default(), ttl: Ttl::DAY, reuse_existing: false }
    }
}

/// Settings for version 1 of Openapi.it Oauth.
impl Builder<Oauth> {
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
