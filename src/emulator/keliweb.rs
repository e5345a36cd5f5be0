//! The vendor Keliweb Fatture: the endpoint of the two grants, and an endpoint that requires their tokens.

mod customer;
mod grants;
mod settings;

use std::time::SystemTime;

use serde_json::json;

use super::api::Api;
use super::clock::to_unix;
use super::message::{Request, Response};
use super::record::IssuedToken;
use super::throttle::Throttle;
use grants::{Pair, field, grant};

pub use customer::{CLIENT_ID, CLIENT_SECRET, Customer, PASSWORD, USERNAME};
pub use settings::PassportVersion;
pub(super) use settings::Settings;

const TOKEN: &str = "/oauth/token";

pub(super) struct Keliweb {
    pub(super) settings: Settings,
    base_url: String,
    pairs: Vec<Pair>,
    throttle: Throttle,
}

/// Returns the name of the operation. `path` is the part below the service's prefix.
pub(super) fn operation(request: &Request, path: &str) -> &'static str {
    match (request.method.as_str(), path) {
        ("POST", TOKEN) => match field(&request.form(), "grant_type") {
            Some("password") => "password_grant",
            Some("refresh_token") => "refresh",
            _ => "unknown",
        },
        ("GET", "/login") => "login_page",
        (_, path) if protects(path) => "api",
        _ => "unknown",
    }
}

/// Returns whether a path is that of the protected endpoint.
pub(super) fn protects(path: &str) -> bool {
    path == "/api" || path.starts_with("/api/")
}

/// Returns a failure in the form of all but those of a grant.
pub(super) fn failure(status: u16, message: &str) -> Response {
    Response::json(status, &json!({ "message": message }))
}

impl Keliweb {
    pub(super) fn new(settings: Settings, base_url: String) -> Self {
        Self { settings, base_url, pairs: Vec::new(), throttle: Throttle::default() }
    }

    /// Responds to a request. `path` is the part below the service's prefix.
    pub(super) fn respond(&mut self, request: &Request, path: &str, now: SystemTime) -> Response {
        match operation(request, path) {
            "login_page" => Response::html(200, "Login"),
            "api" => self.api(request, now),
            _ if request.method != "POST" || path != TOKEN => failure(404, "Not Found"),
            operation => match self.throttle(request, now) {
                Ok(headers) => {
                    let mut response = self.token(operation, request, now);
                    response.headers.extend(headers);
                    response
                }
                Err(rejected) => rejected,
            },
        }
    }

    fn api(&self, request: &Request, now: SystemTime) -> Response {
        let is_accepted = |pair: &Pair| pair.is_valid(now) && request.bearer() == Some(pair.access.expose());
        if self.pairs.iter().any(is_accepted) {
            let length = request.body.len();
            Response::json(200, &json!({ "method": request.method, "path": request.path, "body_length": length }))
        } else if request.wants_json() {
            failure(401, "Unauthenticated.")
        } else {
            self.to_login_page()
        }
    }

    fn token(&mut self, operation: &str, request: &Request, now: SystemTime) -> Response {
        match grant(&mut self.pairs, operation, &request.form(), now, &self.settings) {
            Ok(pair) => Response::json(200, &pair.shown()),
            Err(_) if !request.wants_json() => self.to_login_page(),
            Err(failure) => failure.shown(self.settings.passport),
        }
    }

    fn to_login_page(&self) -> Response {
        Response::empty(302).with("location", format!("{}/login", self.base_url))
    }

    /// Returns the headers that tell how many requests are left, or the response to one request too many.
    fn throttle(&mut self, request: &Request, now: SystemTime) -> Result<Vec<(&'static str, String)>, Response> {
        let Some(limit) = self.settings.throttle else { return Ok(Vec::new()) };
        let headers =
            |left: u32| vec![("x-ratelimit-limit", limit.to_string()), ("x-ratelimit-remaining", left.to_string())];
        self.throttle.take(request.peer, now, limit).map(headers).map_err(|end| {
            let wait = end.duration_since(now).unwrap_or_default();
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            let mut response = failure(429, "Too Many Attempts.");
            response.headers.extend(headers(0));
            response.with("retry-after", seconds.to_string()).with("x-ratelimit-reset", to_unix(end).to_string())
        })
    }

    pub(super) fn revoke_all(&mut self) {
        self.pairs.iter_mut().for_each(|pair| pair.is_revoked = true);
    }

    pub(super) fn issued(&self, now: SystemTime) -> impl Iterator<Item = IssuedToken> {
        self.pairs.iter().map(move |pair| IssuedToken {
            api: Api::Keliweb,
            token: pair.access.clone(),
            refresh_token: pair.refresh.clone(),
            name: None,
            scopes: Vec::new(),
            issued_at: pair.issued_at,
            expires_at: pair.expires_at(),
            is_valid: pair.is_valid(now),
        })
    }
}
