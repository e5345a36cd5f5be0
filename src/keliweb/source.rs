//! Fetches the token for the cache by one of the two grants, and decides which requests get it.

use std::fmt;
use std::time::Duration;

use reqwest::header::LOCATION;
use reqwest::{Request, Response, StatusCode, Url};

use super::operations::{Grants, PASSWORD_GRANT, REFRESH, SERVICE, is_login_page};
use super::{Credentials, TokenPair};
use crate::auth::managed::RequestRules;
use crate::cache::{Ended, Fetched, Rotating, Rotation, TokenSource};
use crate::clock::Time;
use crate::error::{Error, Operation};
use crate::http::transport::{Timing, Transport};
#[cfg(feature = "seal")]
use crate::secret::Secret;
use crate::store::{ExpiringRefreshToken, ManagedToken};
use crate::token::{AccessToken, RefreshToken};

/// The lifetime of a refresh token. The vendor documents it; the response does not contain it.
const REFRESH_TOKEN_LIFETIME: Duration = Duration::from_secs(10 * 24 * 60 * 60);

/// The key of the only token: each client serves one account.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Account;

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SERVICE)
    }
}

/// Fetches the token of an account by the two grants.
pub(crate) struct Tokens {
    grants: Grants,
    rotation: Rotation<Account>,
}

impl Tokens {
    pub(super) fn new(grants: Grants) -> Self {
        Self { grants, rotation: Rotation::default() }
    }
}

impl TokenSource for Tokens {
    type Key = Account;

    fn record_name(&self, _: &Account) -> String {
        let Credentials { client_id, username, .. } = &*self.grants.credentials;
        // Quoted, so that no two accounts share a name.
        format!("keliweb-fatture {:?} {client_id:?} {username:?}", self.grants.transport.base_url)
    }

    #[cfg(feature = "seal")]
    fn secrets(&self) -> Vec<Secret> {
        let Credentials { client_secret, password, .. } = &*self.grants.credentials;
        std::iter::once(client_secret).chain(password).cloned().collect()
    }

    fn operation(&self) -> Operation {
        PASSWORD_GRANT.operation
    }

    fn check(&self, _: &Account) -> Result<(), Error> {
        self.grants.login().map(drop)
    }

    /// Returns whether the token has a refresh token: the refresh grant ends the access token that came with it.
    fn is_ended_by_refresh(&self, token: &ManagedToken) -> bool {
        token.renewal.is_some()
    }

    /// Returns whether the token has no scopes: a token with scopes belongs to another service.
    fn is_for(&self, token: &ManagedToken, _: &Account) -> bool {
        token.scopes.is_none()
    }

    fn has_sent(&self, account: &Account, token: &ManagedToken) -> bool {
        self.rotation.has_sent(account, token)
    }

    async fn fetch(
        &self,
        account: &Account,
        previous: Option<&ManagedToken>,
        _: &Ended<AccessToken>,
    ) -> Result<Fetched, Error> {
        self.rotation.fetch(self, account, previous).await
    }

    /// Allows for a refresh and a password grant, with a pause between.
    fn max_duration(&self) -> Duration {
        let Transport { timeout, retry, .. } = &*self.grants.transport;
        timeout.saturating_mul(2).saturating_add(retry.longest_rest())
    }
}

impl Rotating for Tokens {
    async fn request(&self, _: &Account) -> Result<Fetched, Error> {
        let (pair, timing) = self.grants.password().await?;
        Ok(fetched(&pair, &timing, PASSWORD_GRANT.operation))
    }

    async fn refresh(&self, _: &Account, _: &ManagedToken, token: &RefreshToken) -> Result<Fetched, Error> {
        let (pair, timing) = self.grants.refresh(token).await?;
        Ok(fetched(&pair, &timing, REFRESH.operation))
    }

    fn is_unused(&self, error: &Error) -> bool {
        let is_unread = error.is_connect() || error.is_rate_limited() || error.code() == Some("invalid_client");
        is_unread && !error.is_ambiguous()
    }

    async fn wait_after(&self, error: &Error) -> bool {
        self.grants.transport.wait_after(error).await
    }

    fn time(&self) -> &Time {
        &self.grants.transport.clock
    }
}

/// The token goes to the scheme, host and port of the client's own address only.
impl RequestRules for Tokens {
    const ADD_A_HOST: &'static str = "set the client's address with `Builder::base_url`";

    fn is_recipient(&self, url: &Url) -> bool {
        let own = Url::parse(&self.grants.transport.base_url);
        // A `blob:` URL has the origin of the URL inside it.
        own.is_ok_and(|own| own.scheme() == url.scheme() && own.origin() == url.origin())
    }

    fn refuse(&self, _: &Url) -> Error {
        Error::invalid_input(
            "a request to another scheme, host or port than the client's own address; the client sends its token to that address \
             only, which `Builder::base_url` sets",
        )
    }

    fn key_for(&self, _: &Request) -> Result<Account, Error> {
        Ok(Account)
    }

    /// A 401 rejects the token, and so does a redirect to the login page, which the HTTP client may have followed.
    fn is_rejected(&self, response: &Response, requested: &Url) -> bool {
        let leads_to_login = || {
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            location.is_some_and(is_login_page)
        };
        match response.status() {
            StatusCode::UNAUTHORIZED => true,
            _ if is_login_page(requested.path()) => false,
            status if status.is_redirection() => leads_to_login(),
            _ => is_login_page(response.url().path()),
        }
    }
}

fn fetched(pair: &TokenPair, timing: &Timing, operation: Operation) -> Fetched {
    let sent = timing.sent;
    let renewal = pair.refresh_token().map(|refresh_token| ExpiringRefreshToken {
        refresh_token: refresh_token.clone(),
        expires_at: sent.after(REFRESH_TOKEN_LIFETIME).now,
    });
    let token = ManagedToken {
        access_token: pair.access_token().clone(),
        obtained_at: sent.now,
        expires_at: sent.after(pair.expires_in()).now,
        renewal,
        scopes: None,
    };
    Fetched { token, sent, operation, is_adopted: false }
}
