//! The vendors' examples: a success of the emulator has the fields of the example, each with the same kind of value.
//!
//! Failures are held word for word by the tests of each service. JSON objects have no order: the emulator writes fields in the order
//! of their names, whatever the example.

use std::collections::{BTreeMap, BTreeSet};

use gettone::emulator::{Emulator, ScopesResponse, TokenEnvelope};
use serde_json::{Value, json};

use crate::common::http;
use crate::common::spec::Spec;
use crate::fixture::*;

/// The kinds of values by their place. The keys of an object that are scopes or hosts are one place, and so are the entries of a list.
type Shape = BTreeMap<String, BTreeSet<&'static str>>;

fn shape(value: &Value) -> Shape {
    fn walk(value: &Value, place: &str, shape: &mut Shape) {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "text",
            Value::Array(entries) if entries.is_empty() => "empty list",
            Value::Array(entries) => {
                entries.iter().for_each(|entry| walk(entry, &format!("{place}[]"), shape));
                "list"
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    let name = if name.contains('.') { "*" } else { name };
                    walk(field, &format!("{place}.{name}"), shape);
                }
                "object"
            }
        };
        shape.entry(place.to_owned()).or_default().insert(kind);
    }
    let mut found = Shape::new();
    walk(value, "", &mut found);
    found
}

/// Returns what differs. What is `null` or an empty list in one of the two fits anything.
fn differences(example: &Value, answer: &Value) -> Vec<String> {
    let (example, answer) = (shape(example), shape(answer));
    let is_open = |kinds: &BTreeSet<_>| kinds.contains("null") || kinds.contains("empty list");
    let is_below_open = |shape: &Shape, place: &str| {
        shape.iter().any(|(above, kinds)| place.len() > above.len() && place.starts_with(above) && is_open(kinds))
    };
    let differs = |place: &&&String| match (example.get(**place), answer.get(**place)) {
        (Some(a), Some(b)) => a.is_disjoint(b) && !is_open(a) && !is_open(b),
        _ => !is_below_open(&example, place) && !is_below_open(&answer, place),
    };
    let places: BTreeSet<&String> = example.keys().chain(answer.keys()).collect();
    let told = |place: &&String| format!("{place}: {:?}, not {:?}", answer.get(*place), example.get(*place));
    places.iter().filter(differs).map(told).collect()
}

/// An emulator, and what it has answered.
struct World {
    fixture: Fixture,
    version: u8,
    seen: BTreeSet<String>,
}

impl World {
    async fn new(version: u8, other_forms: bool) -> Self {
        let mut builder = Emulator::builder().subscription("PUT:127.0.0.1/*".parse().unwrap(), 10);
        if other_forms {
            builder = builder.token_envelope(TokenEnvelope::Wrapped).scopes_response(ScopesResponse::Nested);
        }
        Self { fixture: start_with(builder).await, version, seen: BTreeSet::new() }
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> Value {
        let emulator = &self.fixture.emulator;
        let base = if self.version == 1 { emulator.production_url() } else { emulator.production_v2_url() };
        let account = emulator.account();
        let request = http().request(method.parse().unwrap(), format!("{base}{path}"));
        let request = match body.get("refresh").and_then(Value::as_str) {
            Some(refresh) => request.bearer_auth(refresh),
            None => request.basic_auth(account.email(), Some(account.production_key().expose())),
        };
        let answer = self.fixture.send(if body.is_null() { request } else { request.body(body.to_string()) }).await;
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.body);
        answer.body
    }

    /// Compares an answer with an example. `other` are the places that are known to differ.
    fn compare(&mut self, operation: &str, example: &str, answer: &Value, other: &[&str]) {
        let spec = if self.version == 1 { Spec::openapi_v1() } else { Spec::openapi_v2() };
        let documented: Value = serde_json::from_str(&spec.answer(operation, 200, example).body).unwrap();
        let found = differences(&documented, answer);
        let is_known = |found: &String| other.iter().any(|known| found.starts_with(known));
        let is_same = found.iter().all(is_known) && found.is_empty() == other.is_empty();
        assert!(is_same, "{operation} {example}: {found:#?}\nin {answer}\nnot {documented}");
        self.seen.insert(format!("{operation} {example}"));
    }

    async fn like(&mut self, operation: &str, example: &str, path: &str) {
        let answer = self.ask("GET", path, Value::Null).await;
        self.compare(operation, example, &answer, &[]);
    }
}

/// Returns the examples of successes.
fn successes(spec: Spec) -> BTreeSet<String> {
    let answers = spec.answers().into_iter().filter(|(_, status, _)| *status == 200);
    answers.map(|(operation, _, example)| format!("{operation} {example}")).collect()
}

#[tokio::test]
async fn each_success_of_version_1_has_the_fields_of_the_vendors_example() {
    let mut seen = BTreeSet::new();
    for other_forms in [false, true] {
        let mut world = World::new(1, other_forms).await;
        for path in ["total", "year/2021", "month/2021-10", "day/2021-10-14"] {
            let operation = format!("counters_{}", path.split('/').next().unwrap());
            world.like(&operation, "without_calls", &format!("/counters/{path}")).await;
        }
        let body = json!({ "scopes": [ECHO, BASE], "ttl": 3600 });
        let created = world.ask("POST", "/token", body.clone()).await;
        world.compare("create_token", "created", &created, &[]);
        let token = created["token"].as_str().unwrap().to_owned();
        let path = format!("/token/{token}");
        world.like("list_tokens", "two", "/token").await;
        world.like("find_token", "found", &path).await;
        assert_eq!(world.fixture.call("GET", "/echo", &token).await.status, 200);
        for period in ["total", "year/2021", "month/2021-10", "day/2021-10-14"] {
            let operation = format!("counters_{}", period.split('/').next().unwrap());
            world.like(&operation, "used", &format!("/counters/{period}")).await;
        }
        world.like("list_scopes", if other_forms { "nested" } else { "flat" }, "/scopes").await;
        world.like("get_credit", "left", "/credit").await;
        let replaced = world.ask("PUT", &path, body).await;
        world.compare("replace_token", "replaced", &replaced, &[]);
        let updated = world.ask("PATCH", &path, json!({ "ttl": 60 })).await;
        world.compare("update_token", "updated", &updated, &[]);
        let deleted = world.ask("DELETE", &path, Value::Null).await;
        world.compare("delete_token", "deleted", &deleted, &[]);
        seen.extend(world.seen);
    }
    assert_eq!(seen, successes(Spec::openapi_v1()));
}

#[tokio::test]
async fn each_success_of_version_2_has_the_fields_of_the_vendors_example() {
    let mut seen = BTreeSet::new();
    for wrapped in [false, true] {
        let mut world = World::new(2, wrapped).await;
        let name = |flat| if wrapped { "wrapped" } else { flat };
        let limits = json!({
            "totalRequests": 100, "walletRequests": 9, "subscriptionRequests": 9, "walletAmount": 5, "ip": ["127.0.0.1"],
        });
        let body = json!({ "scopes": [ECHO, "PUT:127.0.0.1/echo"], "ttl": 3600, "name": "worker", "limits": limits });
        let created = world.ask("POST", "/tokens", body).await;
        world.compare("create_token", name("created"), &created, &[]);
        let token = if wrapped { &created["data"]["token"] } else { &created["token"] }.as_str().unwrap().to_owned();
        for method in ["GET", "PUT"] {
            assert_eq!(world.fixture.call(method, "/echo", &token).await.status, 200);
        }
        world.fixture.call("POST", "/echo", &token).await;
        let callback = world.fixture.emulator.add_callback(&BASE.parse().unwrap(), "https://example.com/done", 200);
        world.fixture.emulator.set_credit(gettone::openapi::Decimal::new(500, 0));

        let path = format!("/tokens/{token}");
        // The vendor's schema has them in the list too. The wrapped example is what users' programs read.
        let mut more = vec![".data[].limits", ".data[].stats"];
        if wrapped {
            more.extend([".data[].refreshToken", ".data[].scopes", ".data[].updatedAt", ".error", ".message"]);
        }
        let listed = world.ask("GET", "/tokens", Value::Null).await;
        world.compare("list_tokens", name("one"), &listed, &more);
        world.like("find_token", name("found"), &path).await;
        if !wrapped {
            let scopes = world.ask("GET", "/scopes", Value::Null).await;
            world.compare("list_scopes", "one", &scopes, &[]);
            let id = scopes["data"][0]["id"].as_str().unwrap();
            // The prices have the names of endpoints.
            let scope = world.ask("GET", &format!("/scopes/{id}"), Value::Null).await;
            world.compare("get_scope", "found", &scope, &[".data.prices."]);
            world.like("list_errors", "two", "/errors").await;
            world.like("get_wallet", "left", "/wallet").await;
            world.like("list_wallet_transactions", "three", "/wallet/transactions").await;
            world.like("list_callbacks", "two", "/callbacks").await;
            // What was sent, and with which headers, depends on the platform.
            let callback = world.ask("GET", &format!("/callbacks/{callback}"), Value::Null).await;
            world.compare("get_callback", "completed", &callback, &[".data.data.", ".data.headers."]);
            world.like("get_stats", "totals", "/stats").await;
            world.like("list_stats_ips", "four", "/stats/ips").await;
            world.like("list_stats_apis", "two", "/stats/apis").await;
            world.like("get_stats_api", "by_scope", "/stats/apis/127.0.0.1").await;
            let subscriptions = world.ask("GET", "/subscriptions", Value::Null).await;
            world.compare("list_subscriptions", "two", &subscriptions, &[]);
            let id = subscriptions["data"][0]["id"].as_str().unwrap();
            world.like("get_subscription", "monthly", &format!("/subscriptions/{id}")).await;
        }
        let updated = world.ask("PATCH", &path, json!({ "name": "other" })).await;
        world.compare("update_token", name("updated"), &updated, &[]);
        if !wrapped {
            let refreshed = world.ask("PATCH", &path, json!({ "refresh": updated["refreshToken"] })).await;
            world.compare("update_token", "refreshed", &refreshed, &[]);
            let deleted =
                world.ask("DELETE", &format!("/tokens/{}", refreshed["token"].as_str().unwrap()), Value::Null).await;
            world.compare("delete_token", "deleted", &deleted, &[]);
        }
        seen.extend(world.seen);
    }
    assert_eq!(seen, successes(Spec::openapi_v2()));
}

#[tokio::test]
async fn each_success_of_keliweb_has_the_fields_of_the_vendors_example() {
    for (issues, example) in [(true, "issued"), (false, "without_refresh_token")] {
        let fixture = start_with(Emulator::builder().refresh_tokens(issues)).await;
        let documented: Value =
            serde_json::from_str(&Spec::keliweb().answer("request_token", 200, example).body).unwrap();
        let answer = fixture.password_grant().await.body;
        assert_eq!(differences(&documented, &answer), [""; 0], "{example}");
        assert_eq!(
            (&answer["token_type"], &answer["expires_in"]),
            (&documented["token_type"], &documented["expires_in"])
        );
        if issues {
            let refreshed = fixture.refresh(answer["refresh_token"].as_str().unwrap()).await.body;
            assert_eq!(differences(&documented, &refreshed), [""; 0]);
        }
    }
}

#[test]
fn a_difference_is_seen() {
    let example = json!({ "a": [{ "b": 1 }], "x.it": "y", "n": null });
    assert_eq!(differences(&example, &json!({ "a": [{ "b": 2 }, { "b": 3 }], "z.it": "w", "n": 5 })), [""; 0]);
    for wrong in [
        json!({ "a": [{ "b": "1" }], "x.it": "y", "n": null }),
        json!({ "a": [{ "b": 1, "c": 1 }], "x.it": "y", "n": null }),
        json!({ "a": [{ "b": 1 }], "x.it": "y" }),
    ] {
        assert_eq!(differences(&example, &wrong).len(), 1, "{wrong}");
    }
}
