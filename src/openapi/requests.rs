//! Decides which requests to the vendor's services get a token, and for which scope. All versions of the token service share these rules.

use std::time::Duration;

use reqwest::{Request, Url};

use crate::auth::managed::{Propagation, RequestRules};
use crate::cache::TokenSource;
use crate::error::Error;
use crate::scope::{Scope, ScopePattern, ScopeSet};

/// The domains that `*` as the whole host stands for.
const DOMAINS: [&str; 3] = ["openapi.it", "openapi.com", "altravia.com"];

/// A source of tokens for the vendor's services.
pub(super) trait ForVendor: TokenSource {
    /// Returns the value of `Builder::scopes`, if it was set.
    fn scopes(&self) -> Option<&ScopeSet>;

    /// Returns the key of a token for these scopes.
    fn key_of(scopes: ScopeSet) -> Self::Key;
}

impl<S: ForVendor> RequestRules for S {
    const ADD_A_HOST: &'static str = "name the host with `Builder::scopes`";

    fn is_recipient(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default().trim_end_matches('.');
        match self.scopes() {
            Some(scopes) => scopes.iter().any(|pattern| stands_for(pattern, host)),
            None => is_vendors(host),
        }
    }

    fn refuse(&self, url: &Url) -> Error {
        let host = url.host_str().unwrap_or_default();
        Error::invalid_input(format!(
            "host {host:?}: the client sends no token there; if the host is the vendor's, name it with `Builder::scopes`"
        ))
    }

    fn key_for(&self, request: &Request) -> Result<S::Key, Error> {
        scopes_for(self.scopes(), request).map(S::key_of)
    }

    /// Users saw this for 4 to 10 seconds.
    fn propagation(&self) -> Option<Propagation> {
        Some(Propagation { within: Duration::from_secs(15), phrase: "wrong token" })
    }
}

/// Returns the scopes to request a token for: the narrowest pattern of `Builder::scopes`, or the scope that the request needs if those were
/// not set.
fn scopes_for(scopes: Option<&ScopeSet>, request: &Request) -> Result<ScopeSet, Error> {
    let Some(scopes) = scopes else {
        return Scope::for_request(request.method(), request.url()).map(ScopeSet::from);
    };
    // A pattern may name more of a path than its first segment.
    let deepest = scopes.iter().map(|pattern| pattern.path().split('/').count()).max().unwrap_or(1);
    let scope = Scope::for_path(request.method(), request.url(), deepest)?;
    // A pattern with `*` as its host is the widest. So if the narrowest one is such a pattern and does not count, none does.
    let narrowest = scopes.narrowest_covering(&scope);
    match narrowest.filter(|pattern| stands_for(pattern, scope.host())) {
        Some(pattern) => Ok(pattern.clone().into()),
        None => {
            let why = if narrowest.is_some() { WHY_NOT } else { "" };
            Err(Error::invalid_input(format!(
                "scope {scope}: not covered by the scopes of the client, {scopes}{why}; add it with `Builder::scopes`"
            )))
        }
    }
}

/// Explains why a pattern that covers a scope does not count.
const WHY_NOT: &str = " (`*` as the host stands for openapi.it, openapi.com, altravia.com and the hosts below them)";

/// Returns whether a pattern counts for a request to this host.
fn stands_for(pattern: &ScopePattern, host: &str) -> bool {
    pattern.names_host(host) || (pattern.host() == "*" && is_vendors(host))
}

/// Returns whether a host is one of the three domains, or below one.
pub(super) fn is_vendors(host: &str) -> bool {
    let is_in = |domain| host.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'));
    DOMAINS.into_iter().any(is_in)
}
