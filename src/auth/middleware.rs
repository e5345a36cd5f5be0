//! A middleware for `reqwest-middleware` that puts a token on each request.

mod look;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::http::Extensions;
use reqwest::header::AUTHORIZATION;
use reqwest::{Request, Response, StatusCode, Url};
use reqwest_middleware::{Next, Result};

use super::authorize;
use super::managed::{AnyManaged, Managed, Propagation, RequestRules};
use crate::error::Error;

/// A middleware for `reqwest-middleware` that authorizes each request, returned by [`Oauth::middleware`] and [`Fatture::middleware`].
///
/// ```no_run
/// # async fn run(oauth: gettone::openapi::v2::Oauth) -> Result<(), Box<dyn std::error::Error>> {
/// use gettone::{reqwest, reqwest_middleware};
///
/// let http = reqwest::Client::builder().redirect(gettone::same_origin()).build()?;
/// let http = reqwest_middleware::ClientBuilder::new(http).with(oauth.middleware()).build();
/// let response = http.get("https://company.openapi.com/IT-start/12485671007").send().await?;
/// # let _ = response;
/// # Ok(())
/// # }
/// ```
///
/// | request | what the middleware does |
/// |---|---|
/// | already has `Authorization` | passes it on unchanged |
/// | to a host that gets no token | passes it on unchanged; if that host responds with 401, fails with an error that names the host and says how to add it, unless you set [`allow_other_hosts`](Self::allow_other_hosts) |
/// | any other | sets `Authorization`, and `Accept: application/json` if there is no `Accept` |
///
/// | response | what the middleware does |
/// |---|---|
/// | 401, or a redirect to the login page of Keliweb Fatture | [invalidates] the token and retries the request once with a new one; returns the response if there is no new token |
/// | "Wrong Token" to a token of Openapi.it less than 15 seconds old, which may not have reached all of the vendor's machines yet | first retries the request with the same token, after 1, 2, 4 and 8 seconds by the client's [clock](crate::Builder::clock) |
/// | such a 401 whose body takes more than two seconds or is longer than 64 KiB | returns it, and keeps the token |
/// | 401 to a request whose body is a stream, which cannot be sent twice | returns it |
/// | 401 of another address, after a redirect | returns it: it says nothing about the token |
///
/// # Order
///
/// Add it before a middleware that retries: `.with(oauth.middleware()).with(retry)`. One that comes first, such as `reqwest-retry`, wraps the
/// error below in an error of its own, and `downcast_ref` returns `None`. [The guide](crate::guide::tokens#every-request) says what to know
/// about retries of paid calls.
///
/// # Security
///
/// Redirects need the same care as with [`Oauth::authorize`].
///
/// # Errors
///
/// A request fails with `reqwest_middleware::Error::Middleware(error)`, which holds an [`Error`](crate::Error), as
/// `error.downcast_ref::<gettone::Error>()`:
///
/// - The error of [`Oauth::authorize`] or [`Fatture::authorize`], if the client cannot get a token. After a 401, the middleware returns
///   the 401 instead.
/// - [`is_invalid_input`](crate::Error::is_invalid_input), with [`status`](crate::Error::status) 401: a host that gets no token
///   responded with 401.
///
/// [`Fatture::authorize`]: crate::keliweb::Fatture::authorize
/// [`Fatture::middleware`]: crate::keliweb::Fatture::middleware
/// [`Oauth::authorize`]: crate::openapi::v2::Oauth::authorize
/// [`Oauth::middleware`]: crate::openapi::v2::Oauth::middleware
/// [invalidates]: crate::openapi::v2::Oauth::invalidate
#[derive(Clone)]
pub struct Middleware {
    tokens: Arc<dyn AnyManaged>,
    allow_other_hosts: bool,
}

impl Middleware {
    pub(crate) fn new(tokens: Managed<impl RequestRules>) -> Self {
        Self { tokens: Arc::new(tokens), allow_other_hosts: false }
    }

    /// Returns a 401 of a host that gets no token as a response, not as an error. For programs that call such hosts through the same
    /// client and handle the 401 themselves.
    ///
    /// ```no_run
    /// # fn run(oauth: gettone::openapi::v2::Oauth, http: gettone::reqwest::Client) {
    /// let layer = oauth.middleware().allow_other_hosts();
    /// let http = reqwest_middleware::ClientBuilder::new(http).with(layer).build();
    /// # }
    /// ```
    #[must_use]
    pub fn allow_other_hosts(self) -> Self {
        Self { allow_other_hosts: true, ..self }
    }
}

impl fmt::Debug for Middleware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Middleware")
    }
}

/// An extension of a request that a middleware of this crate has put a token on.
#[derive(Clone)]
struct Authorized;

/// The waits before each retry with a token that the service does not know yet.
const WAITS: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];

#[async_trait::async_trait]
impl reqwest_middleware::Middleware for Middleware {
    async fn handle(&self, mut request: Request, extensions: &mut Extensions, next: Next<'_>) -> Result<Response> {
        let Self { tokens, allow_other_hosts } = self;
        if request.headers().contains_key(AUTHORIZATION) {
            return next.run(request, extensions).await;
        }
        if !tokens.is_recipient(request.url()) {
            let unsent = request.url().clone();
            let response = next.run(request, extensions).await?;
            let is_same_origin = response.url().origin() == unsent.origin();
            let is_unexplained = response.status() == StatusCode::UNAUTHORIZED
                && is_same_origin
                && extensions.get::<Authorized>().is_none();
            return if is_unexplained && !allow_other_hosts {
                Err(no_token_sent(&unsent, tokens.add_a_host()))
            } else {
                Ok(response)
            };
        }
        let url = request.url().clone();
        let mut token = tokens.token_for_request(&request).await.map_err(reqwest_middleware::Error::middleware)?;
        authorize::set(&mut request, &token).map_err(reqwest_middleware::Error::middleware)?;
        extensions.insert(Authorized);
        let mut waits = WAITS.iter();
        let mut is_second = false;
        loop {
            let copy = request.try_clone();
            // The age when it was sent: other middleware may have waited meanwhile.
            let is_recent = |it: &Propagation| tokens.age_of(&token).is_some_and(|age| age < it.within);
            let propagation = tokens.propagation().filter(is_recent);
            let mut response = next.clone().run(request, extensions).await?;
            // The response of another address, after a redirect, says nothing about the token.
            if response.url().origin() != url.origin() || !tokens.is_rejected(&response, &url) {
                return Ok(response);
            }
            let mut is_propagating = false;
            if let Some(Propagation { phrase, .. }) =
                propagation.filter(|_| response.status() == StatusCode::UNAUTHORIZED)
            {
                let found;
                (found, response) = look::contains_phrase(response, phrase).await;
                // The token may be good, so neither a wait nor another token would be right.
                let Some(has_phrase) = found else { return Ok(response) };
                is_propagating = has_phrase;
            }
            let wait = waits.next().filter(|_| is_propagating && copy.is_some());
            match (copy, wait) {
                // Whether such a token is good is not known.
                (None, _) if is_propagating => return Ok(response),
                (Some(copy), Some(wait)) => {
                    tokens.time().sleep(*wait).await;
                    request = copy;
                }
                (copy, _) => {
                    tokens.invalidate(&token);
                    let Some(mut copy) = copy.filter(|_| !is_second) else { return Ok(response) };
                    let Ok(next) = tokens.token_for_request(&copy).await else { return Ok(response) };
                    if next == token {
                        return Ok(response);
                    }
                    let Ok(()) = authorize::set(&mut copy, &next) else { return Ok(response) };
                    (request, token, is_second, waits) = (copy, next, true, WAITS.iter());
                }
            }
        }
    }
}

fn no_token_sent(url: &Url, add_a_host: &str) -> reqwest_middleware::Error {
    let host = url.host_str().unwrap_or_default();
    let error = Error::invalid_input(format!(
        "401 from {host}, which gets no token from this middleware: to send one there, {add_a_host}; to receive the 401 as a \
         response, call `Middleware::allow_other_hosts`"
    ));
    reqwest_middleware::Error::middleware(error.with_status(StatusCode::UNAUTHORIZED))
}
