//! The two grants of the token endpoint: what the client sends, how it reads failures, and what it retries.

use std::sync::Arc;

use reqwest::StatusCode;

use super::generated::{Client, types};
use super::{Credentials, TokenPair};
use crate::error::{Error, Kind, Operation};
use crate::http::body::Sent;
use crate::http::response::{Failure, ResponseRules};
use crate::http::retry::RetrySafety;
use crate::http::secrets::SecretParts;
use crate::http::transport::{Call, Dispatch, Timing, Transport, finish};
use crate::secret::Secret;
use crate::token::RefreshToken;

/// The name of the service in errors and events.
pub(super) const SERVICE: &str = "Keliweb Fatture";

/// A second, unnoticed password grant leaves an access token behind, which expires after an hour.
pub(super) const PASSWORD_GRANT: Call = Call {
    operation: Operation { service: SERVICE, name: "password_grant" },
    id: "request_token",
    rules: &ResponseRules { classify: classify_password_grant, codes: CODES, ..ResponseRules::HTTP },
    safety: RetrySafety::Repeatable,
    secrets: SECRETS,
};

/// A refresh token works once.
pub(super) const REFRESH: Call = Call {
    operation: Operation { service: SERVICE, name: "refresh" },
    id: "request_token",
    rules: &ResponseRules { classify: classify_refresh, codes: CODES, ..ResponseRules::HTTP },
    safety: RetrySafety::AtMostOnce,
    secrets: SECRETS,
};

const SECRETS: &SecretParts = &SecretParts { after: None, fields: &["client_secret", "password", "refresh_token"] };

/// Older versions of Laravel Passport send this code for a wrong password.
const CODES: &[(&str, StatusCode)] = &[("invalid_credentials", StatusCode::OK)];

fn classify_password_grant(failure: &Failure<'_>) -> Option<Kind> {
    match (failure.status.as_u16(), failure.code) {
        (200 | 400 | 401, Some("invalid_grant" | "invalid_credentials")) => {
            Some(Kind::InvalidGrant { credentials: true })
        }
        _ => classify(failure),
    }
}

fn classify_refresh(failure: &Failure<'_>) -> Option<Kind> {
    match (failure.status.as_u16(), failure.code) {
        // Newer versions of Laravel Passport send the first code, older ones the second.
        (200 | 400 | 401, Some("invalid_grant")) | (401, Some("invalid_request")) => {
            Some(Kind::InvalidGrant { credentials: false })
        }
        _ => classify(failure),
    }
}

fn classify(failure: &Failure<'_>) -> Option<Kind> {
    match (failure.status.as_u16(), failure.code) {
        // Laravel redirects to its login page. Any other redirect means that the service has moved, or is down.
        (302 | 303, _) if failure.location.is_some_and(is_login_page) => Some(Kind::Unauthorized),
        (302 | 303, _) => Some(Kind::Unavailable),
        (_, Some("invalid_client")) => Some(Kind::Unauthorized),
        _ => None,
    }
}

/// Returns whether a reference (RFC 3986, section 4.1) leads to a login page.
pub(super) fn is_login_page(reference: &str) -> bool {
    let path = reference.split(['?', '#']).next().unwrap_or_default();
    path.trim_end_matches('/').rsplit('/').next().is_some_and(|last| last.eq_ignore_ascii_case("login"))
}

/// The two grants of one account.
#[derive(Clone)]
pub(super) struct Grants {
    pub(super) credentials: Arc<Credentials>,
    pub(super) transport: Arc<Transport>,
}

impl Grants {
    /// Returns the user name and the password.
    pub(super) fn login(&self) -> Result<(&str, &Secret), Error> {
        self.credentials.login().map_err(|error| error.with_operation(PASSWORD_GRANT.operation))
    }

    pub(super) async fn password(&self) -> Result<(TokenPair, Timing), Error> {
        let (username, password) = self.login()?;
        let Credentials { client_id, client_secret, .. } = &*self.credentials;
        let grant = types::PasswordGrant {
            grant_type: types::PasswordGrantGrantType::Password,
            client_id: client_id.clone(),
            client_secret: Sent(client_secret.clone()),
            username: username.to_owned(),
            password: Sent(password.clone()),
        };
        self.request(&PASSWORD_GRANT, grant.into()).await
    }

    pub(super) async fn refresh(&self, token: &RefreshToken) -> Result<(TokenPair, Timing), Error> {
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
        self.request(&REFRESH, grant.into()).await
    }

    /// Sends a grant. The credentials are in the form, not in `Authorization`.
    async fn request(&self, call: &'static Call, grant: types::TokenRequest) -> Result<(TokenPair, Timing), Error> {
        let dispatch = Dispatch::new(&self.transport, call, None);
        let client = Client::new_with_client(&self.transport.base_url, self.transport.http.clone(), dispatch);
        let pair = finish(&client.inner, client.request_token(&grant).await)?;
        let pair = pair.ok_or_else(|| Error::no_content(call.operation))?;
        Ok((pair.0, client.inner.timing()))
    }
}
