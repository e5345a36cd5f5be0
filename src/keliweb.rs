//! Keliweb Fatture, an electronic invoicing service: the two grants of its token endpoint, and a token that looks after itself.
//!
//! Facts and their sources: the vendor's page on getting an access token, as in `spec/keliweb-fatture.yaml`, which also says what
//! is only how the server software behaves. The vendor announces that a token can be revoked but documents
//! neither address nor parameters, so there is no operation for it here.

mod tokens;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use progenitor_client::{ClientHooks, OperationInfo};
use reqwest::header::HeaderValue;
use serde::{Deserialize, Deserializer};

use crate::answer::{Dialect, Grant};
use crate::builder::{Builder, Parts, Service, from_env, sealed};
use crate::cache::{Cache, Handle};
use crate::error::{Error, Operation};
use crate::generated::Sent;
use crate::generated::keliweb_fatture::{Client, types};
use crate::retry::Repeat;
use crate::token::{bearer, sendable, usable, whole_number};
use crate::transport::{Call, Shared, Stamp, Wire, finish};
use crate::{AccessToken, RefreshToken, Secret};

use tokens::{Account, Tokens};

/// What Keliweb gave you when you signed up: a client id and secret for the API, and the name and password of the customer.
#[derive(Debug, Clone)]
pub struct Credentials {
    client_id: String,
    client_secret: Secret,
    username: String,
    password: Secret,
}

impl Credentials {
    /// The four values. The user name is an e-mail address.
    #[must_use]
    pub fn new(
        client_id: impl Into<String>,
        client_secret: impl Into<Secret>,
        username: impl Into<String>,
        password: impl Into<Secret>,
    ) -> Self {
        Self {
            client_id: client_id.into(),
            client_secret: client_secret.into(),
            username: username.into(),
            password: password.into(),
        }
    }

    /// The values of `KELIWEB_CLIENT_ID`, `KELIWEB_CLIENT_SECRET`, `KELIWEB_USERNAME` and `KELIWEB_PASSWORD`.
    ///
    /// # Errors
    ///
    /// [`is_invalid_input`](Error::is_invalid_input) if one of them is not set, is empty, or is not UTF-8; all that are, are
    /// named.
    pub fn from_env() -> Result<Self, Error> {
        let names = ["KELIWEB_CLIENT_ID", "KELIWEB_CLIENT_SECRET", "KELIWEB_USERNAME", "KELIWEB_PASSWORD"];
        let [client_id, client_secret, username, password] = from_env(names)?;
        Ok(Self::new(client_id, client_secret, username, password))
    }
}

/// A client of Keliweb Fatture. Cheap to clone; clones share their token.
///
/// [`token`](Self::token) is what a program needs: it asks, keeps and renews. The two grants are there for those who look
/// after their tokens themselves; what they give is not kept.
///
/// ```no_run
/// use gettone::keliweb::{Credentials, Fatture};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let fatture = Fatture::builder(Credentials::from_env()?).build()?;
///
/// let token = fatture.token().await?;
/// let http = reqwest::Client::builder().redirect(gettone::same_origin()).build()?;
/// // Without `Accept` the service answers a refused token with a redirect to its login page.
/// let request = http.get("https://fatture.keliweb.it/api/invoices").header("Accept", "application/json");
/// let response = request.bearer_auth(token.expose()).send().await?;
/// if response.status() == 401 {
///     fatture.invalidate(&token);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Fatture {
    grants: Grants,
    tokens: Handle<Tokens>,
}

impl Fatture {
    /// Starts to build a client.
    pub fn builder(credentials: Credentials) -> Builder<Self> {
        Builder::new(credentials)
    }

    /// Exchanges the user name and password for a pair of tokens (RFC 6749, section 4.3).
    ///
    /// # Errors
    ///
    /// - [`is_invalid_grant`](Error::is_invalid_grant): the user name or the password is wrong.
    /// - [`is_unauthorized`](Error::is_unauthorized): the same, or the client id or secret is wrong, or the service redirected to
    ///   its login page.
    /// - [`is_invalid_input`](Error::is_invalid_input): the service found a field missing or malformed.
    /// - [`is_transient`](Error::is_transient): no connection, a timeout, a lost answer, 429, 502, 503, 504 or a maintenance page,
    ///   after the repeats of [`Retry`](crate::Retry).
    /// - [`is_decode`](Error::is_decode): the answer is not the documented one.
    pub async fn password_grant(&self) -> Result<TokenPair, Error> {
        self.grants.password().await.map(|(pair, _)| pair)
    }

    /// Exchanges a refresh token for a new pair (RFC 6749, section 6).
    ///
    /// A refresh token works once: afterwards it is spent, and so is the access token that came with it. If the answer is
    /// lost, both may be; [`password_grant`](Self::password_grant) is the way back. So this is never repeated once it may
    /// have been carried out.
    ///
    /// # Errors
    ///
    /// - [`is_invalid_grant`](Error::is_invalid_grant): the refresh token is wrong, expired, or was used before.
    /// - [`is_unauthorized`](Error::is_unauthorized): the client id or secret is wrong, or the service redirected to its login
    ///   page.
    /// - [`is_invalid_input`](Error::is_invalid_input): the refresh token is empty, or as for
    ///   [`password_grant`](Self::password_grant).
    /// - [`is_transient`](Error::is_transient), [`is_decode`](Error::is_decode): as for
    ///   [`password_grant`](Self::password_grant). Both tokens may be spent if the call
    ///   [may have been carried out](Error::is_ambiguous).
    pub async fn refresh(&self, token: &RefreshToken) -> Result<TokenPair, Error> {
        self.grants.refresh(token).await.map(|(pair, _)| pair)
    }
}

impl fmt::Debug for Fatture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fatture")
            .field("base_url", &self.grants.shared.base_url)
            .field("credentials", &self.grants.credentials)
            .finish_non_exhaustive()
    }
}

/// The two grants.
#[derive(Clone)]
struct Grants {
    credentials: Arc<Credentials>,
    shared: Arc<Shared>,
}

impl Grants {
    async fn password(&self) -> Result<(TokenPair, Stamp), Error> {
        let Credentials { client_id, client_secret, username, password } = &*self.credentials;
        let grant = types::PasswordGrant {
            grant_type: types::PasswordGrantGrantType::Password,
            client_id: client_id.clone(),
            client_secret: Sent(client_secret.clone()),
            username: username.clone(),
            password: Sent(password.clone()),
        };
        self.request(PASSWORD_GRANT, grant.into()).await
    }

    async fn refresh(&self, token: &RefreshToken) -> Result<(TokenPair, Stamp), Error> {
        if token.expose().is_empty() {
            return Err(Error::invalid_input("the refresh token is empty").with_operation(REFRESH.operation));
        }
        let Credentials { client_id, client_secret, .. } = &*self.credentials;
        let grant = types::RefreshTokenGrant {
            grant_type: types::RefreshTokenGrantGrantType::RefreshToken,
            client_id: client_id.clone(),
            client_secret: Sent(client_secret.clone()),
            refresh_token: Sent(token.clone()),
        };
        self.request(REFRESH, grant.into()).await
    }

    async fn request(&self, call: Call, grant: types::TokenRequest) -> Result<(TokenPair, Stamp), Error> {
        let wire = Wire::new(&self.shared, call);
        let client = Client::new_with_client(&self.shared.base_url, self.shared.http.clone(), wire);
        let pair = finish(&client.inner, client.request_token(&grant).await)?;
        let pair = pair.ok_or_else(|| Error::no_content(call.operation))?;
        Ok((pair.0, client.inner.stamp()))
    }
}

const SERVICE: &str = "Keliweb Fatture";

const PASSWORD_GRANT: Call = Call {
    operation: Operation { service: SERVICE, name: "password_grant" },
    id: "request_token",
    dialect: Dialect::Grant(Grant::Password),
    repeat: Repeat::UnlessLost,
};

const REFRESH: Call = Call {
    operation: Operation { service: SERVICE, name: "refresh" },
    id: "request_token",
    dialect: Dialect::Grant(Grant::Refresh),
    repeat: Repeat::OnlyIfNotProcessed,
};

impl Service for Fatture {
    type Credentials = Credentials;
}

impl sealed::Sealed for Fatture {
    type Options = ();

    const BASE_URL: &'static str = "https://fatture.keliweb.it";

    fn authorization(credentials: &Credentials) -> Result<Option<HeaderValue>, Error> {
        let Credentials { client_id, client_secret, username, password } = credentials;
        let fields = [
            ("client id", client_id.as_str()),
            ("client secret", client_secret.expose()),
            ("user name", username),
            ("password", password.expose()),
        ];
        match fields.iter().find(|(_, value)| value.is_empty()) {
            Some((name, _)) => Err(Error::invalid_input(format!("Keliweb Fatture credentials: the {name} is empty"))),
            None => Ok(None),
        }
    }

    fn assemble(parts: Parts<Self>) -> Self {
        let Parts { credentials, options: (), shared, store } = parts;
        let clock = Arc::clone(&shared.clock);
        let grants = Grants { credentials: Arc::new(credentials), shared };
        let tokens = Cache::new(Tokens::new(grants.clone()), store, clock).handle(&Account);
        Self { grants, tokens }
    }
}

impl ClientHooks<Wire> for Client {
    fn exec(
        &self,
        request: reqwest::Request,
        info: &OperationInfo,
    ) -> impl Future<Output = reqwest::Result<reqwest::Response>> {
        self.inner.exec(request, info.operation_id)
    }
}

/// The answer to a grant (RFC 6749, section 5.1): an access token for an hour, and usually a refresh token for ten days.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct TokenPair {
    #[serde(deserialize_with = "bearer")]
    token_type: String,
    #[serde(deserialize_with = "seconds")]
    #[cfg_attr(feature = "schemars", schemars(with = "u64"))]
    expires_in: Duration,
    #[serde(deserialize_with = "sendable")]
    access_token: AccessToken,
    #[serde(default, deserialize_with = "usable")]
    #[cfg_attr(feature = "schemars", schemars(!default))]
    refresh_token: Option<RefreshToken>,
}

impl TokenPair {
    /// `Bearer`.
    #[must_use]
    pub fn token_type(&self) -> &str {
        &self.token_type
    }

    /// How long the access token lives, counted from the service's answer; to be safe, count from before the request. The
    /// vendor documents 3600 s. A hundred years at the most.
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        self.expires_in
    }

    /// To be sent as `Authorization: Bearer`.
    #[must_use]
    pub fn access_token(&self) -> &AccessToken {
        &self.access_token
    }

    /// For [`Fatture::refresh`], once. It lives ten days, which the vendor's page says and the answer does not.
    /// `None` if the answer has none, or one that is of no use: empty, longer than 8 KiB, or not a string.
    #[must_use]
    pub fn refresh_token(&self) -> Option<&RefreshToken> {
        self.refresh_token.as_ref()
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    whole_number(deserializer).map(|seconds| Duration::from_secs(seconds).min(LONGEST_LIFE))
}

/// A hundred years: longer than anything lives, and short enough to be added to any moment.
const LONGEST_LIFE: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
