//! Tokens on requests.

use reqwest::{Request, Url};

use super::Oauth;
use crate::{AccessToken, Error, Scope, ScopePattern, ScopeSet, authorize};

/// The domains that an asterisk in place of the whole host stands for.
const DOMAINS: [&str; 3] = ["openapi.it", "openapi.com", "altravia.com"];

impl Oauth {
    /// Sets the header `Authorization` of a request to one of the vendor's services. The scope is worked out from the method
    /// and the URL, and the token is as returned by [`token`](Self::token). The header is marked as sensitive, so that it is not printed.
    /// Returns the token: [invalidate](Self::invalidate) it if the service refuses it. Sets `Accept: application/json` too if the
    /// request has no `Accept`.
    ///
    /// [`Builder::scopes`](crate::Builder::scopes) says by which rule the token is chosen, and which requests are refused. Without
    /// that setting the scope has the first segment of the path alone. A few endpoints have two, such as
    /// `POST:test.postontarget.com/fields/country`: name them there.
    ///
    /// ```no_run
    /// # async fn run(oauth: gettone::openapi::v1::Oauth) -> Result<(), Box<dyn std::error::Error>> {
    /// let http = reqwest::Client::builder().redirect(gettone::same_origin()).build()?;
    /// let mut request = http.get("https://imprese.openapi.it/base/12345670124").build()?;
    /// oauth.authorize(&mut request).await?;
    /// let response = http.execute(request).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Security
    ///
    /// Send the request with a client that follows no redirect to another host, as with [`same_origin`](crate::same_origin),
    /// which says why. A `Host` header that names another host than the URL is refused, at loopback addresses too: servers and
    /// proxies pass a request on by that header.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the [scopes](crate::Builder::scopes) of the client do not stand for the host or
    ///   do not cover the scope that the request needs; the request goes neither over https nor to a loopback address; it has a
    ///   `Host` header that is not the host and port of its URL, or more than one; or its URL is none that a scope
    ///   [can be worked out from](Scope::for_request). No token was requested.
    /// - those of [`token`](Self::token)
    pub async fn authorize(&self, request: &mut Request) -> Result<AccessToken, Error> {
        let token = self.bearer(request).await?;
        authorize::set(request, &token)?;
        Ok(token)
    }

    pub(crate) async fn bearer(&self, request: &Request) -> Result<AccessToken, Error> {
        self.token(&self.scopes_for(request)?).await
    }

    /// What to ask a token for.
    fn scopes_for(&self, request: &Request) -> Result<ScopeSet, Error> {
        let host = request.url().host_str().unwrap_or_default();
        if !self.is_known(request.url()) {
            return Err(Error::invalid_input(format!(
                "host {host:?}: not one that tokens are sent to; if it is the vendor's, name it with `Builder::scopes`"
            )));
        }
        authorize::check(request.url())?;
        authorize::check_host(request)?;
        let Some(scopes) = &self.tokens.source().options.scopes else {
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

    /// Returns whether tokens are sent to the host of a URL at all.
    pub(crate) fn is_known(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default().trim_end_matches('.');
        match &self.tokens.source().options.scopes {
            Some(scopes) => scopes.iter().any(|pattern| stands_for(pattern, host)),
            None => is_vendors(host),
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
