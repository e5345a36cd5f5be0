//! Openapi.it Oauth, version 2: plain requests, and what the vendor documents as their responses.

#[path = "openapi_v2/calls.rs"]
mod calls;
#[path = "openapi_v2/clients.rs"]
mod clients;
#[path = "openapi_v2/failures.rs"]
mod failures;
#[path = "openapi_v2/logs.rs"]
mod logs;
#[path = "openapi_v2/pages.rs"]
mod pages;
#[path = "openapi_v2/scopes.rs"]
mod scopes;
#[path = "openapi_v2/stats.rs"]
mod stats;
#[path = "openapi_v2/tokens.rs"]
mod tokens;

use serde_json::{Value, json};

use crate::common::http;
use crate::fixture::{ECHO, Fixture, Response};

/// The caller of a request.
#[derive(Debug, Clone, Copy)]
enum Login<'a> {
    None,
    Basic(&'a str, &'a str),
    Bearer(&'a str),
}

impl Fixture {
    /// Calls an operation of version 2 in production, as the first account.
    async fn v2(&self, method: &str, path: &str, body: Value) -> Response {
        let account = self.emulator.account();
        let login = Login::Basic(account.email(), account.production_key().expose());
        self.v2_at(&self.emulator.production_v2_url(), login, method, path, body).await
    }

    /// The same in the sandbox.
    async fn v2_sandbox(&self, method: &str, path: &str, body: Value) -> Response {
        let account = self.emulator.account();
        let login = Login::Basic(account.email(), account.sandbox_key().expose());
        self.v2_at(&self.emulator.sandbox_v2_url(), login, method, path, body).await
    }

    async fn v2_at(&self, base: &str, login: Login<'_>, method: &str, path: &str, body: Value) -> Response {
        let request = http().request(method.parse().unwrap(), format!("{base}{path}"));
        let request = match login {
            Login::None => request,
            Login::Basic(name, key) => request.basic_auth(name, Some(key)),
            Login::Bearer(token) => request.bearer_auth(token),
        };
        self.send(if body.is_null() { request } else { request.body(body.to_string()) }).await
    }

    /// Returns `data` of a `GET` in production.
    async fn data(&self, path: &str) -> Value {
        let answer = self.v2("GET", path, Value::Null).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body["data"].clone()
    }

    /// Creates a token, with these fields beside scopes and a lifetime of an hour.
    async fn create(&self, scopes: &[&str], fields: Value) -> Value {
        let mut body = json!({ "scopes": scopes, "ttl": 3600 });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let answer = self.v2("POST", "/tokens", body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }

    /// Creates a token for `/echo` and returns its text.
    async fn echo_token(&self, fields: Value) -> String {
        text(&self.create(&[ECHO], fields).await["token"])
    }

    /// Calls `/echo` and returns the status.
    async fn echo(&self, token: &str) -> u16 {
        self.call("GET", "/echo", token).await.status
    }

    /// Calls `/echo` from an address.
    async fn echo_from(&self, address: &str, token: &str) -> Response {
        let request = http().get(self.emulator.url("/echo")).bearer_auth(token);
        self.send(request.header("x-forwarded-for", address)).await
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

fn is_id(value: &Value) -> bool {
    value.as_str().is_some_and(|id| id.len() == 24 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
