//! The token that looks after itself.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Credentials, Fatture, Grants, PASSWORD_GRANT, REFRESH, TokenPair};
use crate::cache::{Ended, Fetched, TokenSource, Which};
use crate::error::Operation;
use crate::store::{Renewal, StoredToken};
use crate::transport::{Shared, Stamp};
use crate::{AccessToken, Error, RefreshToken, authorize};

/// How long a refresh token lives. The vendor says so; the answer does not.
const REFRESH_TOKEN_LIFETIME: Duration = Duration::from_secs(10 * 24 * 60 * 60);

impl Fatture {
    /// Returns an access token that is good now.
    ///
    /// The first call requests one with the user name and password. Later calls return the same one from memory. Some minutes before
    /// it expires the client refreshes it. If the service refuses the refresh token, or it has expired, the client uses the password.
    ///
    /// A refresh ends the old access token at the service. So a call that comes during a refresh waits for the new token, up to two
    /// seconds after the refresh began; if the service takes longer, the call returns the old one, which may be refused. If the
    /// refresh fails, calls return the old token until it expires. All processes that share a token through a
    /// [store](crate::Builder::store) begin its refresh at the same moment, and one of them carries it out.
    ///
    /// Callers without a token wait for the same request, and share its error. After a failure the client pauses: a second or two,
    /// doubling to a minute or two; or five to ten minutes, doubling to an hour or two, if the service refused the credentials, so that
    /// it does not lock the account, or if its answer cannot be read. A call during the pause sends nothing and returns the error of
    /// the last attempt, which [says so](Error::is_backing_off) and tells the [time left](Error::retry_after). A pause ends before
    /// a token that is still good. A caller that goes away cancels nothing.
    ///
    /// The token is returned before the [store](crate::Builder::store) has kept it: call [`wait_idle`](Self::wait_idle) before the program
    /// ends.
    ///
    /// Who has to wait may wait for minutes, if the service answers late: the [timeout](crate::Builder::timeout) is that of each
    /// call, of which a refresh that is made up for takes two; and a store may have to be waited for. Put a limit of your own
    /// around it; what was begun goes on.
    ///
    /// # Errors
    ///
    /// - those of [`password_grant`](Self::password_grant)
    /// - [`is_invalid_input`](Error::is_invalid_input): there is no tokio runtime, and no token that is good.
    pub async fn token(&self) -> Result<AccessToken, Error> {
        self.tokens.get().await
    }

    /// Drops this token, because the service refused it; never a newer one. The next call gets another.
    ///
    /// A store learns of it when the next token is saved.
    ///
    /// A token that is refused within a second after another one was dropped is kept, and the time doubles to five minutes, until
    /// ten minutes pass without a refusal: where one token after the other is refused, it is not the token that is wrong.
    pub fn invalidate(&self, token: &AccessToken) {
        self.tokens.cache().invalidate(token);
    }

    /// Waits until no token is being fetched and the store has kept the last one. Call it before the program ends: a refresh that is
    /// cut off costs the token that is still good and its refresh token, and a token that the store did not keep is not there for
    /// the next run. If exchanges are on a runtime that nobody drives any more, it waits for all of
    /// them together as long as one may take; outside a tokio runtime that has timers, without end.
    pub async fn wait_idle(&self) {
        self.tokens.cache().wait_idle().await;
    }

    /// Drops the tokens, from memory and from the store. The service is not told: that tokens can be revoked is announced but
    /// not documented.
    ///
    /// # Errors
    ///
    /// Whatever it is, none of these tokens is handed out any more.
    ///
    /// - [`is_store`](Error::is_store): the store failed.
    /// - [`is_timeout`](Error::is_timeout): an exchange is under way on a runtime that nobody drives any more. It was given up; another
    ///   call comes through. All such exchanges together are waited for as long as one may take.
    pub async fn clear(&self) -> Result<(), Error> {
        self.tokens.cache().clear(Which::All).await
    }

    /// Sets the header `Authorization` of a request to the service, with a token as returned by [`token`](Self::token). The header is
    /// marked as sensitive, so that it is not printed. Returns the token: [invalidate](Self::invalidate) it if the service refuses it.
    ///
    /// Sets `Accept: application/json` too if the request has no `Accept`: without it the service answers a refused token with a
    /// redirect to its login page.
    ///
    /// # Security
    ///
    /// Send the request with a client that follows no redirect to another host, as with [`same_origin`](crate::same_origin),
    /// which says why. A `Host` header that names another host than the URL is refused: servers and proxies pass a request on by
    /// that header.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_input`](Error::is_invalid_input): the request goes to another scheme, host or port than the client's
    ///   own, or has a `Host` header that is not the host and port of its URL, or more than one. No token was requested.
    /// - those of [`token`](Self::token)
    pub async fn authorize(&self, request: &mut reqwest::Request) -> Result<AccessToken, Error> {
        let token = self.bearer(request).await?;
        authorize::set(request, &token)?;
        Ok(token)
    }

    pub(crate) async fn bearer(&self, request: &reqwest::Request) -> Result<AccessToken, Error> {
        // Of an address that was checked when the client was built.
        if !self.is_known(request.url()) {
            return Err(Error::invalid_input(
                "a request to another scheme, host or port than those of the client, which its token is for alone; \
                 they are set with `Builder::base_url`",
            ));
        }
        authorize::check_host(request)?;
        self.token().await
    }

    #[cfg(feature = "middleware")]
    pub(crate) fn cache(&self) -> &crate::cache::Cache<Tokens> {
        self.tokens.cache()
    }

    /// Returns whether a URL has the scheme, host and port of the client's own. A `blob:` URL has the origin of the URL inside it.
    pub(crate) fn is_known(&self, url: &reqwest::Url) -> bool {
        let own = reqwest::Url::parse(&self.grants.shared.base_url);
        own.is_ok_and(|own| own.scheme() == url.scheme() && own.origin() == url.origin())
    }
}

/// What the tokens are for: there is one account for each client.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Account;

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(super::SERVICE)
    }
}

pub(crate) struct Tokens {
    grants: Grants,
    /// The refresh token that was sent last and that may have been taken. It works once.
    spent: Mutex<Option<RefreshToken>>,
}

impl Tokens {
    pub(super) fn new(grants: Grants) -> Self {
        Self { grants, spent: Mutex::default() }
    }

    fn spent(&self) -> std::sync::MutexGuard<'_, Option<RefreshToken>> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TokenSource for Tokens {
    type Key = Account;

    fn name(&self, _: &Account) -> String {
        let Credentials { client_id, username, .. } = &*self.grants.credentials;
        // Quoted, so that no two accounts have the same.
        format!("keliweb-fatture {:?} {client_id:?} {username:?}", self.grants.shared.base_url)
    }

    fn operation(&self) -> Operation {
        PASSWORD_GRANT.operation
    }

    /// The refresh grant ends the access token that came with the refresh token.
    fn is_ended_by_renewal(&self, token: &StoredToken) -> bool {
        token.renewal.is_some()
    }

    /// A token with scopes is one of Openapi.it.
    fn is_for(&self, token: &StoredToken, _: &Account) -> bool {
        token.scopes.is_none()
    }

    async fn fetch(
        &self,
        _: &Account,
        previous: Option<&StoredToken>,
        _: &Ended<AccessToken>,
    ) -> Result<Fetched, Error> {
        let now = self.grants.shared.clock.now();
        let renewal = previous.and_then(|token| token.renewal.as_ref());
        let renewal = renewal.filter(|renewal| now < renewal.expires_at);
        if let Some(Renewal { refresh_token, .. }) =
            renewal.filter(|it| self.spent().as_ref() != Some(&it.refresh_token))
        {
            // Known before it is sent: whoever stops this task stops it without a word.
            *self.spent() = Some(refresh_token.clone());
            match self.grants.refresh(refresh_token).await {
                Ok((pair, stamp)) => return Ok(fetched(&pair, &stamp, REFRESH.operation)),
                Err(error) if is_untouched(&error) => {
                    *self.spent() = None;
                    return Err(error);
                }
                // Refused, or perhaps taken by a request whose answer was lost. The password is the way back.
                Err(error) if self.grants.shared.rest_after(&error).await => drop(error),
                Err(error) => return Err(error),
            }
        }
        let (pair, stamp) = self.grants.password().await?;
        Ok(fetched(&pair, &stamp, PASSWORD_GRANT.operation))
    }

    /// A refresh and a password grant, with a rest between.
    fn longest(&self) -> Duration {
        let Shared { timeout, retry, .. } = &*self.grants.shared;
        timeout.saturating_mul(2).saturating_add(retry.longest_rest())
    }
}

/// Whether the refresh token of a failed request is as good as before.
fn is_untouched(error: &Error) -> bool {
    let unread = error.is_connect() || error.is_rate_limited() || error.code() == Some("invalid_client");
    unread && !error.is_ambiguous()
}

fn fetched(pair: &TokenPair, stamp: &Stamp, operation: Operation) -> Fetched {
    let sent = stamp.sent;
    let renewal = pair.refresh_token().map(|refresh_token| Renewal {
        refresh_token: refresh_token.clone(),
        expires_at: sent.after(REFRESH_TOKEN_LIFETIME).now,
    });
    let token = StoredToken {
        access_token: pair.access_token().clone(),
        obtained_at: sent.now,
        expires_at: sent.after(pair.expires_in()).now,
        renewal,
        scopes: None,
        name: None,
    };
    Fetched { token, sent, operation, is_adopted: false }
}
