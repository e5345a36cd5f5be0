//! The two grants of Keliweb Fatture, and an endpoint that wants their tokens.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::accounts::Customer;
use super::config::{Config, Passport};
use super::message::{Answer, Request};
use super::throttle::Throttle;
use crate::Secret;

/// 3600 s.
const ACCESS_LIFE: Duration = Duration::from_secs(60 * 60);
/// Ten days.
const REFRESH_LIFE: Duration = Duration::from_secs(10 * 24 * 60 * 60);

const TOKEN: &str = "/oauth/token";

const MALFORMED: &str = "The request is missing a required parameter, includes an invalid parameter value, includes a \
    parameter more than once, or is otherwise malformed.";

#[derive(Default)]
pub(super) struct Tokens {
    pub(super) pairs: Vec<Pair>,
    pub(super) throttle: Throttle,
}

/// What one grant gave.
pub(super) struct Pair {
    client_id: String,
    username: String,
    pub(super) access: Secret,
    pub(super) refresh: Option<Secret>,
    pub(super) issued_at: SystemTime,
    /// Both tokens: the refresh token was used, or somebody revoked the pair.
    pub(super) is_revoked: bool,
}

impl Pair {
    pub(super) fn expires_at(&self) -> SystemTime {
        self.issued_at.checked_add(ACCESS_LIFE).unwrap_or(self.issued_at)
    }

    pub(super) fn is_alive(&self, now: SystemTime) -> bool {
        !self.is_revoked && now < self.expires_at()
    }

    fn can_be_refreshed(&self, now: SystemTime) -> bool {
        self.issued_at.checked_add(REFRESH_LIFE).is_some_and(|end| now < end)
    }
}

/// The operation's name. `path` is the part behind the service's own.
pub(super) fn operation(request: &Request, path: &str) -> &'static str {
    match (request.method.as_str(), path) {
        ("POST", TOKEN) => match field(&request.form(), "grant_type") {
            Some("password") => "password_grant",
            Some("refresh_token") => "refresh",
            _ => "unknown",
        },
        ("GET", "/login") => "login",
        (_, path) if path == "/api" || path.starts_with("/api/") => "api",
        _ => "unknown",
    }
}

/// A failure: status, `error`, what is said about it, and `hint`.
type Failure = (u16, &'static str, &'static str, Option<String>);

impl Tokens {
    /// The answer. `path` is the part behind the service's own.
    pub(super) fn answer(
        &mut self,
        request: &Request,
        path: &str,
        base: &str,
        now: SystemTime,
        config: &Config,
    ) -> Answer {
        let login = || Answer::empty(302).with("location", format!("{base}/login"));
        match operation(request, path) {
            "login" => Answer::html(200, "Login"),
            "api" => {
                let is_good = |pair: &Pair| pair.is_alive(now) && request.bearer() == Some(pair.access.expose());
                if self.pairs.iter().any(is_good) {
                    let length = request.body.len();
                    let seen = json!({ "method": request.method, "path": request.path, "body_length": length });
                    Answer::json(200, &seen)
                } else if request.wants_json() {
                    Answer::json(401, &json!({ "message": "Unauthenticated." }))
                } else {
                    login()
                }
            }
            _ if request.method != "POST" || path != TOKEN => Answer::json(404, &json!({ "message": "Not Found" })),
            operation => {
                let headers = match self.throttle.take(request.peer, now, config.throttle) {
                    Ok(headers) => headers,
                    Err(refused) => return refused,
                };
                let mut answer = match self.grant(operation, &request.form(), now, config) {
                    Ok(pair) => Answer::json(200, &pair.shown()),
                    Err(_) if !request.wants_json() => login(),
                    Err(failure) => refused(failure, config.passport),
                };
                answer.headers.extend(headers);
                answer
            }
        }
    }

    fn grant(
        &mut self,
        operation: &str,
        form: &[(String, String)],
        now: SystemTime,
        config: &Config,
    ) -> Result<&Pair, Failure> {
        let wanted = |name: &str| {
            let missing = || (400, "invalid_request", MALFORMED, Some(format!("Check the `{name}` parameter")));
            field(form, name).ok_or_else(missing)
        };
        if operation == "unknown" {
            let said = "The authorization grant type is not supported by the authorization server.";
            let hint = "Check that all required parameters have been provided";
            return Err((400, "unsupported_grant_type", said, Some(hint.to_owned())));
        }
        let (client_id, secret) = (wanted("client_id")?, Secret::from(wanted("client_secret")?));
        let is_client = |customer: &&Customer| customer.client_id() == client_id && *customer.client_secret() == secret;
        let mut customers = config.customers.iter().filter(is_client).peekable();
        if customers.peek().is_none() {
            return Err((401, "invalid_client", "Client authentication failed", None));
        }
        let username = if operation == "password_grant" {
            let (name, password) = (wanted("username")?, Secret::from(wanted("password")?));
            let found = customers.find(|customer| customer.username() == name && *customer.password() == password);
            let (status, error) = match config.passport {
                Passport::Old => (401, "invalid_credentials"),
                Passport::New => (400, "invalid_grant"),
            };
            found.ok_or((status, error, "The user credentials were incorrect.", None))?.username().to_owned()
        } else {
            self.use_up(&Secret::from(wanted("refresh_token")?), client_id, now).map_err(|hint| {
                let (status, error) = match config.passport {
                    Passport::Old => (401, "invalid_request"),
                    Passport::New => (400, "invalid_grant"),
                };
                (status, error, "The refresh token is invalid.", Some(hint.to_owned()))
            })?
        };
        let pair = Pair {
            client_id: client_id.to_owned(),
            username,
            access: access_token().into(),
            refresh: config.gives_refresh_tokens.then(|| format!("def50200{}", hexadecimal(76)).into()),
            issued_at: now,
            is_revoked: false,
        };
        self.pairs.push(pair);
        self.pairs.last().ok_or((500, "server_error", "", None))
    }

    /// Revokes the refresh token and the access token that came with it, and tells whose they were; or why not.
    fn use_up(&mut self, token: &Secret, client_id: &str, now: SystemTime) -> Result<String, &'static str> {
        let found = self.pairs.iter_mut().find(|pair| pair.refresh.as_ref() == Some(token));
        let pair = found.ok_or("Cannot decrypt the refresh token")?;
        if pair.client_id != client_id {
            return Err("Token is not linked to client");
        }
        if !pair.can_be_refreshed(now) {
            return Err("Token has expired");
        }
        if pair.is_revoked {
            return Err("Token has been revoked");
        }
        pair.is_revoked = true;
        Ok(pair.username.clone())
    }
}

impl Pair {
    fn shown(&self) -> Value {
        let mut fields = Map::new();
        fields.insert("token_type".to_owned(), "Bearer".into());
        fields.insert("expires_in".to_owned(), ACCESS_LIFE.as_secs().into());
        fields.insert("access_token".to_owned(), self.access.expose().into());
        if let Some(refresh) = &self.refresh {
            fields.insert("refresh_token".to_owned(), refresh.expose().into());
        }
        fields.into()
    }
}

fn field<'a>(form: &'a [(String, String)], name: &str) -> Option<&'a str> {
    form.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// Older versions tell it in `message`, newer ones in `error_description`.
fn refused((status, error, said, hint): Failure, version: Passport) -> Answer {
    let mut fields = Map::new();
    fields.insert("error".to_owned(), error.into());
    let name = match version {
        Passport::Old => "message",
        Passport::New => "error_description",
    };
    fields.insert(name.to_owned(), said.into());
    if let Some(hint) = hint {
        fields.insert("hint".to_owned(), hint.into());
    }
    Answer::json(status, &fields.into())
}

/// It has the looks of a JWT, as in the vendor's sample, and is signed by nobody.
fn access_token() -> String {
    let id = hexadecimal(80);
    let header = URL_SAFE_NO_PAD.encode(json!({ "typ": "JWT", "alg": "RS256", "jti": id }).to_string());
    let claims = URL_SAFE_NO_PAD.encode(json!({ "jti": id, "scopes": [] }).to_string());
    format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode(hexadecimal(64)))
}

fn hexadecimal(digits: usize) -> String {
    (0..digits).filter_map(|_| char::from_digit(fastrand::u32(..16), 16)).collect()
}
