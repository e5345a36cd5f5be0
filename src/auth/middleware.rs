//! A layer for `reqwest-middleware` that puts a token on each request.

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

/// Puts a token on each request, as of [`Oauth::middleware`] and [`Fatture::middleware`].
///
/// - A request that has an `Authorization` already passes as it is.
/// - A request to a host that no token is for passes as it is. If that host answers 401, the request fails with an error that names the
///   host and says how to have a token sent there; [`allow_other_hosts`](Self::allow_other_hosts) lets the 401 pass instead.
/// - If a request has no `Accept`, it gets `Accept: application/json`.
/// - After a 401, or a redirect to the login page of Keliweb Fatture, the token is [invalidated](Oauth::invalidate), and the request is sent once more with a new one. Where tokens
///   are refused one after the other there is not always a new one, and the 401 is the answer.
/// - A token that was made less than 15 seconds ago and is answered "Wrong Token" may not have reached all of the vendor's
///   machines yet: the request is sent again with the same token, after 1, 2, 4 and 8 seconds by the client's
///   [clock](crate::Builder::clock). If the body of such a 401 does not arrive within two seconds, or is longer than 64 KiB, the 401 is the
///   answer, and the token stays.
/// - A request whose body cannot be cloned, because it is a stream, is sent once. Whoever sent it gets the answer.
/// - A 401 of another address, to which a redirect led, is the answer: it says nothing of the token.
///
/// ```no_run
/// # fn run(oauth: gettone::openapi::v1::Oauth) -> Result<(), reqwest::Error> {
/// let http = reqwest::Client::builder().redirect(gettone::same_origin()).build()?;
/// let http = reqwest_middleware::ClientBuilder::new(http).with(oauth.middleware()).build();
/// # Ok(())
/// # }
/// ```
///
/// # Security
///
/// About redirects: as of [`Oauth::authorize`](Oauth#security).
///
/// # Errors
///
/// A request fails with `reqwest_middleware::Error::Middleware`, which has an [`Error`](crate::Error) in it:
///
/// - that of [`Oauth::authorize`] or [`Fatture::authorize`], if there is no token to be had. If that happens after a 401, the 401 is the
///   answer.
/// - [`is_invalid_input`](crate::Error::is_invalid_input) with [`status`](crate::Error::status) 401: a host that no token is for answered
///   401.
#[derive(Clone)]
pub struct Middleware {
    tokens: Arc<dyn AnyManaged>,
    allow_other_hosts: bool,
}

impl Middleware {
    pub(crate) fn new(tokens: Managed<impl RequestRules>) -> Self {
        Self { tokens: Arc::new(tokens), allow_other_hosts: false }
    }

    /// Returns a 401 of a host that no token is for as the response, for programs that call such hosts through the same client and
    /// look at the 401 themselves.
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

/// In the extensions of a request: a layer of this crate put a token on it.
#[derive(Clone)]
struct Authorized;

/// The waits before a request is sent again with a token that is settling.
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
            let is_its_own = response.url().origin() == unsent.origin();
            let is_riddle =
                response.status() == StatusCode::UNAUTHORIZED && is_its_own && extensions.get::<Authorized>().is_none();
            return if is_riddle && !allow_other_hosts {
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
        let mut renewed = false;
        loop {
            let copy = request.try_clone();
            // When it was sent: others may have waited meanwhile.
            let is_young = |it: &Propagation| tokens.age_of(&token).is_some_and(|age| age < it.within);
            let propagation = tokens.propagation().filter(is_young);
            let mut response = next.clone().run(request, extensions).await?;
            // The response of another address, to which a redirect led, says nothing of the token.
            if response.url().origin() != url.origin() || !tokens.is_rejected(&response, &url) {
                return Ok(response);
            }
            let mut settling = false;
            if let Some(Propagation { phrase, .. }) =
                propagation.filter(|_| response.status() == StatusCode::UNAUTHORIZED)
            {
                let told;
                (told, response) = look::says(response, phrase).await;
                // Perhaps the token is good: neither a wait nor another token would be right.
                let Some(says_so) = told else { return Ok(response) };
                settling = says_so;
            }
            let wait = waits.next().filter(|_| settling && copy.is_some());
            match (copy, wait) {
                // Nothing is known of a token that is settling.
                (None, _) if settling => return Ok(response),
                (Some(copy), Some(wait)) => {
                    tokens.time().sleep(*wait).await;
                    request = copy;
                }
                (copy, _) => {
                    tokens.invalidate(&token);
                    let Some(mut copy) = copy.filter(|_| !renewed) else { return Ok(response) };
                    let Ok(next) = tokens.token_for_request(&copy).await else { return Ok(response) };
                    if next == token {
                        return Ok(response);
                    }
                    let Ok(()) = authorize::set(&mut copy, &next) else { return Ok(response) };
                    (request, token, renewed, waits) = (copy, next, true, WAITS.iter());
                }
            }
        }
    }
}

fn no_token_sent(url: &Url, add_a_host: &str) -> reqwest_middleware::Error {
    let host = url.host_str().unwrap_or_default();
    let error = Error::invalid_input(format!(
        "401 from {host}, to which this layer sends no token; to send one there, {add_a_host}; to get the 401 itself, use \
         `Middleware::allow_other_hosts`"
    ));
    reqwest_middleware::Error::middleware(error.with_status(StatusCode::UNAUTHORIZED))
}
