//! A layer for `reqwest-middleware`.

mod look;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::Extensions;
use reqwest::header::{AUTHORIZATION, LOCATION};
use reqwest::{Request, Response, StatusCode, Url};
use reqwest_middleware::{Next, Result};

use crate::answer::is_login_page;
use crate::clock::Clock;
use crate::keliweb::Fatture;
use crate::openapi::v1::Oauth;
use crate::{AccessToken, Error, authorize};

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
pub struct Middleware<C> {
    client: C,
    allow_other_hosts: bool,
}

impl<C> Middleware<C> {
    fn new(client: C) -> Self {
        Self { client, allow_other_hosts: false }
    }

    /// Lets a 401 of a host that no token is for pass as the answer: for programs that call such hosts through the same client and
    /// look at the 401 themselves.
    #[must_use]
    pub fn allow_other_hosts(self) -> Self {
        Self { allow_other_hosts: true, ..self }
    }
}

/// In the extensions of a request: a layer of this crate put a token on it.
#[derive(Clone)]
struct Authorized;

impl Oauth {
    /// A layer that [authorizes](Self::authorize) each request to the vendor's services.
    #[must_use]
    pub fn middleware(&self) -> Middleware<Self> {
        Middleware::new(self.clone())
    }
}

impl Fatture {
    /// A layer that [authorizes](Self::authorize) each request to the service.
    #[must_use]
    pub fn middleware(&self) -> Middleware<Self> {
        Middleware::new(self.clone())
    }
}

impl<C> fmt::Debug for Middleware<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Middleware")
    }
}

/// What the layer needs of a client.
pub trait Bearer: Send + Sync + 'static {
    /// Whether the service answers a refused token with a redirect to a page to log in on.
    const HAS_LOGIN_PAGE: bool;

    fn is_known(&self, url: &Url) -> bool;
    fn bearer(&self, request: &Request) -> impl Future<Output = std::result::Result<AccessToken, Error>> + Send;
    fn age_of(&self, token: &AccessToken) -> Option<Duration>;
    fn invalidate(&self, token: &AccessToken);
    fn clock(&self) -> &Arc<dyn Clock>;
}

macro_rules! bearer {
    ($client:ident, $has_login_page:literal) => {
        impl Bearer for $client {
            const HAS_LOGIN_PAGE: bool = $has_login_page;

            fn is_known(&self, url: &Url) -> bool {
                $client::is_known(self, url)
            }

            async fn bearer(&self, request: &Request) -> std::result::Result<AccessToken, Error> {
                $client::bearer(self, request).await
            }

            fn age_of(&self, token: &AccessToken) -> Option<Duration> {
                self.cache().age_of(token)
            }

            fn invalidate(&self, token: &AccessToken) {
                $client::invalidate(self, token);
            }

            fn clock(&self) -> &Arc<dyn Clock> {
                self.cache().clock()
            }
        }
    };
}

bearer!(Oauth, false);
bearer!(Fatture, true);

/// Within this time a new token may not be known everywhere: 4 to 10 seconds were seen.
const SETTLING: Duration = Duration::from_secs(15);

/// The waits before a request is sent again with a token that is settling.
const WAITS: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];

#[async_trait::async_trait]
impl<C: Bearer> reqwest_middleware::Middleware for Middleware<C> {
    async fn handle(&self, mut request: Request, extensions: &mut Extensions, next: Next<'_>) -> Result<Response> {
        let Self { client, allow_other_hosts } = self;
        if request.headers().contains_key(AUTHORIZATION) {
            return next.run(request, extensions).await;
        }
        if !client.is_known(request.url()) {
            let unsent = request.url().clone();
            let response = next.run(request, extensions).await?;
            let is_its_own = response.url().origin() == unsent.origin();
            let is_riddle =
                response.status() == StatusCode::UNAUTHORIZED && is_its_own && extensions.get::<Authorized>().is_none();
            return if is_riddle && !allow_other_hosts { Err(no_token_sent(&unsent)) } else { Ok(response) };
        }
        let url = request.url().clone();
        let mut token = client.bearer(&request).await.map_err(reqwest_middleware::Error::middleware)?;
        authorize::set(&mut request, &token).map_err(reqwest_middleware::Error::middleware)?;
        extensions.insert(Authorized);
        let mut waits = WAITS.iter();
        let mut renewed = false;
        loop {
            let copy = request.try_clone();
            // When it was sent: others may have waited meanwhile.
            let is_young = client.age_of(&token).is_some_and(|age| age < SETTLING);
            let mut response = next.clone().run(request, extensions).await?;
            if !is_refused::<C>(&response, &url) {
                return Ok(response);
            }
            // A login page says nothing else than that the token is refused.
            let mut settling = is_young && response.status() == StatusCode::UNAUTHORIZED;
            if settling {
                let told;
                (told, response) = look::says_wrong_token(response).await;
                // Perhaps the token is good: neither waits nor another token would be right.
                let Some(says_so) = told else { return Ok(response) };
                settling = says_so;
            }
            let wait = waits.next().filter(|_| settling && copy.is_some());
            match (copy, wait) {
                // Nothing is known of a token that is settling.
                (None, _) if settling => return Ok(response),
                (Some(copy), Some(wait)) => {
                    client.clock().sleep(*wait).await;
                    request = copy;
                }
                (copy, _) => {
                    client.invalidate(&token);
                    let Some(mut copy) = copy.filter(|_| !renewed) else { return Ok(response) };
                    let Ok(next) = client.bearer(&copy).await else { return Ok(response) };
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

/// Whether an answer refuses the token. At another address, to which a redirect led, it says nothing of the token.
fn is_refused<C: Bearer>(response: &Response, asked: &Url) -> bool {
    if response.url().origin() != asked.origin() {
        return false;
    }
    let leads_to_login =
        || response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).is_some_and(is_login_page);
    match response.status() {
        StatusCode::UNAUTHORIZED => true,
        _ if !C::HAS_LOGIN_PAGE || is_login_page(asked.path()) => false,
        status if status.is_redirection() => leads_to_login(),
        // The redirect was followed.
        _ => is_login_page(response.url().path()),
    }
}

fn no_token_sent(url: &Url) -> reqwest_middleware::Error {
    let host = url.host_str().unwrap_or_default();
    let error = Error::invalid_input(format!(
        "401 from {host}, a host that no token is for, so this layer put none on the request: for Openapi.it name the host with \
         `Builder::scopes`, for Keliweb Fatture with `Builder::base_url`; to get the 401 itself, use `Middleware::allow_other_hosts`"
    ));
    reqwest_middleware::Error::middleware(error.with_status(StatusCode::UNAUTHORIZED))
}
