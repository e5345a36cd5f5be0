//! Plain HTTP requests to the emulator, whose responses are validated against the specs.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use gettone::clock::{Clock, ManualClock};
use gettone::emulator::{CLIENT_ID, CLIENT_SECRET, Emulator, EmulatorBuilder, PASSWORD, USERNAME};
use gettone::reqwest;
use jsonschema::Draft;
use serde_json::{Map, Value, json};

use crate::common::spec::Spec;
use crate::common::{http, now, unix};

pub const BASE: &str = "GET:imprese.openapi.it/base";
pub const FULL: &str = "GET:imprese.openapi.it/IT-full";
pub const ECHO: &str = "GET:127.0.0.1/echo";
pub const YEAR: u64 = 365 * 24 * 60 * 60;

/// An emulator with a manual clock.
pub struct Fixture {
    pub emulator: Emulator,
    pub clock: Arc<ManualClock>,
    /// `operation status` of each response that the specs document.
    pub seen: Mutex<BTreeSet<String>>,
}

#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Response {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn token(&self) -> String {
        self.body["token"].as_str().unwrap_or_else(|| panic!("no token in {self:?}")).to_owned()
    }

    /// Returns the status and the code.
    pub fn code(&self) -> (u16, Value) {
        (self.status, self.body["error"].clone())
    }
}

pub async fn start() -> Fixture {
    start_with(Emulator::builder()).await
}

pub async fn start_with(builder: EmulatorBuilder) -> Fixture {
    let clock = Arc::new(ManualClock::new(now()));
    let emulator = builder.clock(Arc::clone(&clock) as _).start().await.unwrap();
    Fixture { emulator, clock, seen: Mutex::default() }
}

impl Fixture {
    pub fn now(&self) -> u64 {
        unix(self.clock.now())
    }

    pub fn seconds(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Calls an operation of Openapi.it in production.
    pub async fn ask(&self, method: &str, path: &str, body: Value) -> Response {
        let account = self.emulator.account();
        let login = Some((account.email(), account.production_key().expose()));
        self.ask_at(&self.emulator.production_url(), login, method, path, body).await
    }

    pub async fn ask_at(
        &self,
        base: &str,
        login: Option<(&str, &str)>,
        method: &str,
        path: &str,
        body: Value,
    ) -> Response {
        let mut request = http().request(method.parse().unwrap(), format!("{base}{path}"));
        if let Some((name, key)) = login {
            request = request.basic_auth(name, Some(key));
        }
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = self.send(request).await;
        self.check(openapi(), method, path, &answer);
        answer
    }

    /// Makes a token for these scopes, for an hour.
    pub async fn make(&self, scopes: &[&str]) -> String {
        self.ask("POST", "/token", json!({ "scopes": scopes, "ttl": 3600 })).await.token()
    }

    /// Calls `POST /oauth/token` of Keliweb.
    pub async fn grant(&self, fields: &[(&str, &str)]) -> Response {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = http().post(format!("{}/oauth/token", self.emulator.keliweb_url()));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        let answer = self.send(request.header("accept", "application/json")).await;
        self.check(keliweb(), "POST", "/oauth/token", &answer);
        answer
    }

    pub async fn password_grant(&self) -> Response {
        let who = [("username", USERNAME), ("password", PASSWORD)];
        self.grant(&[&client("password")[..], &who].concat()).await
    }

    pub async fn refresh(&self, token: &str) -> Response {
        self.grant(&[&client("refresh_token")[..], &[("refresh_token", token)]].concat()).await
    }

    /// Calls one of the two protected endpoints with a token.
    pub async fn call(&self, method: &str, path: &str, token: &str) -> Response {
        let request = http().request(method.parse().unwrap(), self.emulator.url(path)).bearer_auth(token);
        self.send(request.header("accept", "application/json")).await
    }

    /// Sends a request and checks that the `Date` of the response is the emulator's.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Response {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let date = httpdate::parse_http_date(headers["date"].to_str().unwrap()).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(unix(self.emulator.clock().now()));
        assert_eq!(date, time, "the answer's date");
        let text = response.text().await.unwrap();
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or(json!(text)) };
        Response { status, headers, body }
    }

    /// Validates a response against its schema in the spec. A response that the spec does not document must be a failure in the
    /// usual form.
    fn check(&self, spec: &Spec, method: &str, path: &str, answer: &Response) {
        let path = path.split('?').next().unwrap();
        let matches = |template: &str| {
            let (known, asked): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
            known.len() == asked.len() && known.iter().zip(&asked).all(|(a, b)| a == b || a.starts_with('{'))
        };
        let mut operations = spec.operations();
        let found = operations.find(|(verb, template, _)| verb.eq_ignore_ascii_case(method) && matches(template));
        let (_, _, operation) = found.unwrap_or_else(|| panic!("{method} {path} is not in the spec"));
        let response = &operation["responses"][answer.status.to_string()];
        let media = &response["content"]["application/json"]["schema"];
        let schema = match (response.is_null(), media.is_null()) {
            (true, _) => {
                assert!([401, 406, 503].contains(&answer.status), "{method} {path} answers {answer:?}");
                let schemas = spec.document()["components"]["schemas"].as_object().unwrap();
                let failure = if schemas.contains_key("Failure") { "Failure" } else { "ThrottleError" };
                json!({ "$ref": format!("#/components/schemas/{failure}") })
            }
            (false, true) => {
                assert_eq!(answer.body, Value::Null, "{method} {path}: a body that the spec does not document");
                json!({})
            }
            (false, false) => media.clone(),
        };
        let mut schema = json_schema(&schema);
        schema["components"] = json_schema(&spec.document()["components"]);
        let validator = jsonschema::options().with_draft(Draft::Draft4).build(&schema).unwrap();
        let flaws: Vec<String> = validator.iter_errors(&answer.body).map(|flaw| flaw.to_string()).collect();
        assert!(flaws.is_empty(), "{method} {path} {}: {flaws:?} in {}", answer.status, answer.body);
        if !response.is_null() {
            let id = operation["operationId"].as_str().unwrap();
            self.seen.lock().unwrap().insert(format!("{id} {}", answer.status));
        }
    }
}

/// Returns the fields of a grant that identify the client.
pub fn client(grant: &'static str) -> [(&'static str, &'static str); 3] {
    [("grant_type", grant), ("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)]
}

pub fn openapi() -> &'static Spec {
    static SPEC: OnceLock<Spec> = OnceLock::new();
    SPEC.get_or_init(Spec::openapi_v1)
}

pub fn keliweb() -> &'static Spec {
    static SPEC: OnceLock<Spec> = OnceLock::new();
    SPEC.get_or_init(Spec::keliweb)
}

/// Converts a schema of OpenAPI 3.0 to JSON Schema, which has no `nullable` and no `example`.
pub fn json_schema(node: &Value) -> Value {
    match node {
        Value::Object(fields) => {
            let mut kept = Map::new();
            for (name, value) in fields {
                if !matches!(name.as_str(), "nullable" | "example" | "discriminator") {
                    kept.insert(name.clone(), json_schema(value));
                }
            }
            if fields.get("nullable") == Some(&json!(true)) {
                json!({ "anyOf": [kept, { "type": "null" }] })
            } else {
                kept.into()
            }
        }
        Value::Array(items) => items.iter().map(json_schema).collect(),
        other => other.clone(),
    }
}
