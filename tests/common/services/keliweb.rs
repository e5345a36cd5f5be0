//! Keliweb Fatture: one operation of the spec, which is two calls.

use gettone::keliweb::{Credentials, Fatture, TokenPair};
use gettone::{Builder, Error, RefreshToken, reqwest};
use serde_json::{Value, json};

use super::RetrySafety::{AtMostOnce, Repeatable};
use super::SecretKind::{ClientSecret, Password};
use super::*;

pub static SERVICE: Service = Service {
    name: "Keliweb Fatture",
    label: "keliweb",
    spec: include_str!("../../../spec/keliweb-fatture.yaml"),
    example: &EXAMPLE,
    always: &[],
    operations: &OPERATIONS,
    ways: WAYS,
    harmless: "password_grant",
    documented: DOCUMENTED,
    exceptions: EXCEPTIONS,
    connect: |secrets, setup| {
        let fatture = builder(secrets, setup).build()?;
        Ok(Box::new(Connected { fatture, url: setup.url.clone() }))
    },
};

#[rustfmt::skip]
static OPERATIONS: [Operation; 2] = [
    grant("password_grant", "grant_type=password",      "password",      Repeatable, &[ClientSecret, Password]),
    grant("refresh",        "grant_type=refresh_token", "refresh_token", AtMostOnce, &[ClientSecret, SecretKind::RefreshToken]),
];

const fn grant(
    name: &'static str,
    mark: &'static str,
    request: &'static str,
    retry: RetrySafety,
    sends: &'static [SecretKind],
) -> Operation {
    Operation {
        service: &SERVICE,
        name,
        id: "request_token",
        method: "POST",
        path: "/oauth/token",
        mark,
        request: Some(request),
        success: "issued",
        retry,
        sends,
        scheme: None,
        absence: None,
    }
}

const RENEWING: &[&str] = &["refresh", "password_grant"];

#[rustfmt::skip]
const WAYS: &[Way] = &[
    Way { name: "fatture.token",              column: "repeatable", operations: &["password_grant"], held: Held::Nothing },
    Way { name: "fatture.authorize",          column: "repeatable", operations: &["password_grant"], held: Held::Nothing },
    Way { name: "fatture.token, expired",     column: "renew",      operations: RENEWING,            held: Held::Expired },
    Way { name: "fatture.authorize, expired", column: "renew",      operations: RENEWING,            held: Held::Expired },
    Way { name: "fatture.token, near end",    column: "renew",      operations: RENEWING,            held: Held::NearItsEnd },
];

pub fn builder(secrets: &Secrets, setup: &Setup) -> Builder<Fatture> {
    setup.apply(Fatture::builder(Credentials::new(CLIENT_ID, secrets.client_secret, EMAIL, secrets.password)))
}

/// What both operations answer: a token for an hour.
pub fn pair(access_token: &str, refresh_token: impl Into<Value>) -> Value {
    let refresh_token = refresh_token.into();
    json!({ "token_type": "Bearer", "expires_in": 3600, "access_token": access_token, "refresh_token": refresh_token })
}

#[derive(Debug)]
struct Connected {
    fatture: Fatture,
    url: String,
}

impl Client for Connected {
    fn call<'a>(&'a self, way: &'a str, secrets: &'a Secrets) -> Pending<'a, Result<Box<dyn Returned>, Error>> {
        let fatture = &self.fatture;
        Box::pin(async move {
            match way {
                "password_grant" => returned(fatture.password_grant().await),
                "refresh" => returned(fatture.refresh(&RefreshToken::new(secrets.refresh_token)).await),
                "fatture.token" => returned(fatture.token().await),
                "fatture.authorize" => {
                    let mut request = reqwest::Request::new(reqwest::Method::GET, self.url.parse().unwrap());
                    let result = fatture.authorize(&mut request).await;
                    laws::assert_authorized(&request, &result);
                    returned(result)
                }
                other => panic!("no such way: {other}"),
            }
        })
    }

    fn wait_idle(&self) -> Pending<'_, ()> {
        Box::pin(self.fatture.wait_idle())
    }
}

impl Returned for TokenPair {
    fn text(&self) -> String {
        let refresh = self.refresh_token().map_or("none", RefreshToken::expose);
        let (kind, seconds) = (self.token_type(), self.expires_in().as_secs());
        format!("{kind} {} for {seconds} s, refresh {refresh}", self.access_token().expose())
    }

    fn assert_is_in(&self, _: &[u8]) {
        assert!(now().checked_add(self.expires_in()).is_some());
        laws::assert_sendable(self.access_token().expose());
        let is_usable = |token: &RefreshToken| (1..=laws::LONGEST_TOKEN).contains(&token.expose().len());
        assert!(self.refresh_token().is_none_or(is_usable));
        laws::assert_hidden(self, self.access_token().expose(), self.token_type());
    }
}

const ISSUED: &str = "Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiIsImp0aSI6ImYyYjBjOWNkODFiYzRmODMwOGZlNjZkZj for 3600 s, refresh \
    def50200cb918cb70defe79d45f1f2193c4c0a959fd78a5c3123e5d3f33f3b8af6b1080f6c745";
const WITHOUT_REFRESH: &str = "Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiIsImp0aSI6ImYyYjBjOWNkODFiYzRmODMwOGZlNjZkZj for 3600 s, \
    refresh none";
const MISSING_FIELD: &str = "400 Bad Request, code invalid_request: The request is missing a required parameter, includes an invalid \
    parameter value, includes a parameter more than once, or is otherwise malformed.; Check the `client_id` parameter [invalid input]";

/// A code that is about the other call's credentials means no more than its status.
#[rustfmt::skip]
const DOCUMENTED: &[Documented] = &[
    ("request_token",  200, "issued", Ok(ISSUED)),
    ("request_token",  200, "without_refresh_token", Ok(WITHOUT_REFRESH)),
    ("request_token",  400, "missing_field", Err(MISSING_FIELD)),
    ("request_token",  400, "unsupported_grant_type", Err("400 Bad Request, code unsupported_grant_type: The authorization grant type is not supported by the authorization server.; Check that all required parameters have been provided [invalid input]")),
    ("password_grant", 400, "wrong_password", Err("400 Bad Request, code invalid_grant: The user credentials were incorrect. [unauthorized, invalid grant]")),
    ("refresh",        400, "wrong_password", Err("400 Bad Request, code invalid_grant: The user credentials were incorrect. [invalid grant]")),
    ("password_grant", 400, "refresh_token_refused", Err("400 Bad Request, code invalid_grant: The refresh token is invalid.; Token has been revoked [unauthorized, invalid grant]")),
    ("refresh",        400, "refresh_token_refused", Err("400 Bad Request, code invalid_grant: The refresh token is invalid.; Token has been revoked [invalid grant]")),
    ("request_token",  401, "invalid_client", Err("401 Unauthorized, code invalid_client: Client authentication failed [unauthorized]")),
    ("password_grant", 401, "invalid_credentials", Err("401 Unauthorized, code invalid_credentials: The user credentials were incorrect. [unauthorized, invalid grant]")),
    ("refresh",        401, "invalid_credentials", Err("401 Unauthorized, code invalid_credentials: The user credentials were incorrect. [unauthorized]")),
    ("password_grant", 401, "refresh_token_refused", Err("401 Unauthorized, code invalid_request: The refresh token is invalid.; Token has been revoked [unauthorized]")),
    ("refresh",        401, "refresh_token_refused", Err("401 Unauthorized, code invalid_request: The refresh token is invalid.; Token has been revoked [invalid grant]")),
    ("request_token",  422, "invalid", Err("422 Unprocessable Entity: The given data was invalid.; username: The username must be a valid email address. [invalid input]")),
    ("request_token",  429, "throttled", Err("429 Too Many Requests: Too Many Attempts. [rate limited, transient]")),
];

#[rustfmt::skip]
const EXCEPTIONS: &[Exception] = &[
    // A redirect to the login page is a failed login; one to elsewhere may pass.
    ("302",                           "*",          "",    "302 unauthorized"),
    ("303",                           "*",          "",    "303 unauthorized"),
    ("302, Retry-After 7",            "*",          "",    "302 transient perhaps_done wait:7"),
    ("302, Retry-After 7",            "repeatable", "4",   ""),
    ("302, Retry-After 7",            "renew",      "1+4", ""),
    ("302, elsewhere",                "*",          "",    "302 transient perhaps_done"),
    ("302, elsewhere",                "repeatable", "4",   ""),
    ("302, elsewhere",                "renew",      "1+4", ""),
    ("303, elsewhere",                "*",          "",    "303 transient perhaps_done"),
    ("303, elsewhere",                "repeatable", "4",   ""),
    ("303, elsewhere",                "renew",      "1+4", ""),
    // These codes say which credentials are wrong.
    ("400, code invalid_client",      "*",          "",    "400 unauthorized"),
    ("400, code invalid_grant",       "*",          "",    "400 unauthorized invalid_grant"),
    ("400, code invalid_grant",       "refresh",    "",    "400 invalid_grant"),
    ("401, code invalid_grant",       "*",          "",    "401 unauthorized invalid_grant"),
    ("401, code invalid_grant",       "refresh",    "",    "401 invalid_grant"),
    ("401, code invalid_request",     "refresh",    "",    "401 invalid_grant"),
    ("401, code invalid_credentials", "*",          "",    "401 unauthorized invalid_grant"),
    ("401, code invalid_credentials", "refresh",    "",    "401 unauthorized"),
];
