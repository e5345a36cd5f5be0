//! The two grants: what they check, what they issue, and how they fail.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::customer::Customer;
use super::settings::{PassportVersion, Settings};
use crate::emulator::message::Response;
use crate::secret::Secret;

/// An hour.
const ACCESS_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// Ten days.
const REFRESH_LIFETIME: Duration = Duration::from_secs(10 * 24 * 60 * 60);

const MALFORMED: &str = "The request is missing a required parameter, includes an invalid parameter value, includes a \
    parameter more than once, or is otherwise malformed.";

/// The access token and the refresh token of one grant.
pub(super) struct Pair {
    client_id: String,
    username: String,
    pub(super) access: Secret,
    pub(super) refresh: Option<Secret>,
    pub(super) issued_at: SystemTime,
    /// Ends both tokens: the refresh token was used, or the pair was revoked.
    pub(super) is_revoked: bool,
}

impl Pair {
    pub(super) fn expires_at(&self) -> SystemTime {
        self.issued_at.checked_add(ACCESS_LIFETIME).unwrap_or(self.issued_at)
    }

    pub(super) fn is_valid(&self, now: SystemTime) -> bool {
        !self.is_revoked && now < self.expires_at()
    }

    fn is_refreshable(&self, now: SystemTime) -> bool {
        self.issued_at.checked_add(REFRESH_LIFETIME).is_some_and(|end| now < end)
    }

    pub(super) fn shown(&self) -> Value {
        let mut fields = Map::new();
        fields.insert("token_type".to_owned(), "Bearer".into());
        fields.insert("expires_in".to_owned(), ACCESS_LIFETIME.as_secs().into());
        fields.insert("access_token".to_owned(), self.access.expose().into());
        if let Some(refresh) = &self.refresh {
            fields.insert("refresh_token".to_owned(), refresh.expose().into());
        }
        fields.into()
    }
}

/// A failed grant: status, `error`, description and `hint`.
pub(super) struct Failure(u16, &'static str, &'static str, Option<String>);

impl Failure {
    /// Returns the response. Older versions put the description into `message`, newer ones into `error_description`.
    pub(super) fn shown(self, version: PassportVersion) -> Response {
        let Self(status, error, description, hint) = self;
        let mut fields = Map::new();
        fields.insert("error".to_owned(), error.into());
        let name = match version {
            PassportVersion::Old => "message",
            PassportVersion::New => "error_description",
        };
        fields.insert(name.to_owned(), description.into());
        if let Some(hint) = hint {
            fields.insert("hint".to_owned(), hint.into());
        }
        Response::json(status, &fields.into())
    }
}

/// Carries out a grant, which adds a pair to `pairs`.
pub(super) fn grant<'a>(
    pairs: &'a mut Vec<Pair>,
    operation: &str,
    form: &[(String, String)],
    now: SystemTime,
    settings: &Settings,
) -> Result<&'a Pair, Failure> {
    let required = |name: &str| {
        let missing = || Failure(400, "invalid_request", MALFORMED, Some(format!("Check the `{name}` parameter")));
        field(form, name).ok_or_else(missing)
    };
    if operation == "unknown" {
        let description = "The authorization grant type is not supported by the authorization server.";
        let hint = "Check that all required parameters have been provided";
        return Err(Failure(400, "unsupported_grant_type", description, Some(hint.to_owned())));
    }
    let (client_id, secret) = (required("client_id")?, Secret::from(required("client_secret")?));
    let is_client = |customer: &&Customer| customer.client_id() == client_id && *customer.client_secret() == secret;
    let mut customers = settings.customers.iter().filter(is_client).peekable();
    if customers.peek().is_none() {
        return Err(Failure(401, "invalid_client", "Client authentication failed", None));
    }
    let username = if operation == "password_grant" {
        let (name, password) = (required("username")?, Secret::from(required("password")?));
        let found = customers.find(|customer| customer.username() == name && *customer.password() == password);
        let (status, error) = match settings.passport {
            PassportVersion::Old => (401, "invalid_credentials"),
            PassportVersion::New => (400, "invalid_grant"),
        };
        let wrong = || Failure(status, error, "The user credentials were incorrect.", None);
        found.ok_or_else(wrong)?.username().to_owned()
    } else {
        let token = Secret::from(required("refresh_token")?);
        use_refresh_token(pairs, &token, client_id, now).map_err(|hint| {
            let (status, error) = match settings.passport {
                PassportVersion::Old => (401, "invalid_request"),
                PassportVersion::New => (400, "invalid_grant"),
            };
            Failure(status, error, "The refresh token is invalid.", Some(hint.to_owned()))
        })?
    };
    pairs.push(Pair {
        client_id: client_id.to_owned(),
        username,
        access: access_token().into(),
        refresh: settings.issues_refresh_tokens.then(|| format!("def50200{}", hexadecimal(76)).into()),
        issued_at: now,
        is_revoked: false,
    });
    pairs.last().ok_or(Failure(500, "server_error", "", None))
}

/// Revokes a refresh token and the access token that came with it. Returns the user name, or the hint why the token is rejected.
fn use_refresh_token(
    pairs: &mut [Pair],
    token: &Secret,
    client_id: &str,
    now: SystemTime,
) -> Result<String, &'static str> {
    let found = pairs.iter_mut().find(|pair| pair.refresh.as_ref() == Some(token));
    let pair = found.ok_or("Cannot decrypt the refresh token")?;
    if pair.client_id != client_id {
        return Err("Token is not linked to client");
    }
    if !pair.is_refreshable(now) {
        return Err("Token has expired");
    }
    if pair.is_revoked {
        return Err("Token has been revoked");
    }
    pair.is_revoked = true;
    Ok(pair.username.clone())
}

pub(super) fn field<'a>(form: &'a [(String, String)], name: &str) -> Option<&'a str> {
    form.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// Makes an access token that looks like a JWT, as in the vendor's sample, and has no real signature.
fn access_token() -> String {
    let id = hexadecimal(80);
    let header = URL_SAFE_NO_PAD.encode(json!({ "typ": "JWT", "alg": "RS256", "jti": id }).to_string());
    let claims = URL_SAFE_NO_PAD.encode(json!({ "jti": id, "scopes": [] }).to_string());
    format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode(hexadecimal(64)))
}

fn hexadecimal(digits: usize) -> String {
    (0..digits).filter_map(|_| char::from_digit(fastrand::u32(..16), 16)).collect()
}
