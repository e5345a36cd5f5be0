//! A request as the services read it, and a response as they write it.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use hyper::body::Bytes;
use serde_json::Value;

use super::order::InOrder;

pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) peer: IpAddr,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Returns the host, in lower case and without a port.
    pub(super) fn host(&self) -> String {
        let host = self.header("host");
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        name.to_ascii_lowercase()
    }

    /// Returns the credentials of `Authorization`, if it has this scheme in any letter case (RFC 9110, section 11.1).
    fn authorization(&self, scheme: &str) -> Option<&str> {
        let (known, value) = self.header("authorization").split_once(' ')?;
        known.eq_ignore_ascii_case(scheme).then(|| value.trim())
    }

    /// Returns the address of the caller: the first one in `X-Forwarded-For`, so that a test can call from any address, or the
    /// connection's.
    pub(super) fn caller(&self) -> IpAddr {
        let first = self.header("x-forwarded-for").split(',').next().unwrap_or_default();
        first.trim().parse().unwrap_or(self.peer)
    }

    /// Returns the bearer token.
    pub(super) fn bearer(&self) -> Option<&str> {
        self.authorization("bearer")
    }

    /// Returns the user name and the password of a Basic login.
    pub(super) fn basic(&self) -> Option<(String, String)> {
        let decoded = STANDARD.decode(self.authorization("basic")?).ok()?;
        let text = String::from_utf8(decoded).ok()?;
        text.split_once(':').map(|(name, password)| (name.to_owned(), password.to_owned()))
    }

    /// Returns the body, if it is a JSON object.
    pub(super) fn json(&self) -> serde_json::Map<String, Value> {
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        }
    }

    /// Returns the fields of the body, if it is a form.
    pub(super) fn form(&self) -> Vec<(String, String)> {
        super::form::fields(self.header("content-type"), &self.body)
    }

    /// Returns whether Laravel would respond to this request with JSON: `Accept` asks for it, or a script sent the request.
    pub(super) fn wants_json(&self) -> bool {
        let accept = self.header("accept");
        let first = accept.split(',').next().unwrap_or_default();
        first.contains("/json")
            || first.contains("+json")
            || self.header("x-requested-with").eq_ignore_ascii_case("XMLHttpRequest")
    }
}

#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

impl Response {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        // Cannot fail: the keys are texts.
        let body = serde_json::to_string(&InOrder(body)).unwrap_or_default();
        Self { status, headers: vec![("content-type", "application/json".to_owned())], body }
    }

    pub(super) fn html(status: u16, title: &str) -> Self {
        let body =
            format!("<!DOCTYPE html>\n<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n");
        Self { status, headers: vec![("content-type", "text/html; charset=utf-8".to_owned())], body }
    }

    pub(super) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new() }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}
