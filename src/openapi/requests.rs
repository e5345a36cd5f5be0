//! Which requests to the vendor's services get a token, and for which scope. The versions of the token service share it.

use reqwest::{Request, Url};

use crate::error::Error;
use crate::scope::{Scope, ScopePattern, ScopeSet};

/// The domains that an asterisk in place of the whole host stands for.
const DOMAINS: [&str; 3] = ["openapi.it", "openapi.com", "altravia.com"];

/// Returns whether tokens are sent to the host of a URL at all. `scopes` are those that the program named, if it did.
pub(super) fn is_recipient(scopes: Option<&ScopeSet>, url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    match scopes {
        Some(scopes) => scopes.iter().any(|pattern| stands_for(pattern, host)),
        None => is_vendors(host),
    }
}

/// Says why no token is sent to a host.
pub(super) fn refuse(url: &Url) -> Error {
    let host = url.host_str().unwrap_or_default();
    Error::invalid_input(format!(
        "host {host:?}: not one that tokens are sent to; if it is the vendor's, name it with `Builder::scopes`"
    ))
}

/// Returns what to request a token for: the narrowest of the scopes that the program named, or else the scope that the request needs.
pub(super) fn scopes_for(scopes: Option<&ScopeSet>, request: &Request) -> Result<ScopeSet, Error> {
    let Some(scopes) = scopes else {
        return Scope::for_request(request.method(), request.url()).map(ScopeSet::from);
    };
    // A pattern may say more of a path than its first segment.
    let deepest = scopes.iter().map(|pattern| pattern.path().split('/').count()).max().unwrap_or(1);
    let scope = Scope::for_path(request.method(), request.url(), deepest)?;
    // The narrowest of all. One with an asterisk as its host comes last, so where it does not count, there is no other.
    let narrowest = scopes.narrowest_covering(&scope);
    match narrowest.filter(|pattern| stands_for(pattern, scope.host())) {
        Some(pattern) => Ok(pattern.clone().into()),
        None => {
            let why = if narrowest.is_some() { ASTERISK } else { "" };
            Err(Error::invalid_input(format!(
                "scope {scope}: not covered by the scopes of the client, {scopes}{why}; add it with `Builder::scopes`"
            )))
        }
    }
}

/// Why a pattern that covers a scope does not count.
const ASTERISK: &str = " (`*` as the host stands for openapi.it, openapi.com, altravia.com and the hosts below them)";

/// Returns whether a pattern counts for a request to this host.
fn stands_for(pattern: &ScopePattern, host: &str) -> bool {
    pattern.names_host(host) || (pattern.host() == "*" && is_vendors(host))
}

/// Returns whether a host is one of the three domains, or below one.
pub(super) fn is_vendors(host: &str) -> bool {
    let is_in = |domain| host.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'));
    DOMAINS.into_iter().any(is_in)
}
