//! The interface and `spec/emulator.yaml` are the same: each request, each response, each route.

use std::collections::{BTreeMap, BTreeSet};

use gettone::reqwest;
use jsonschema::Draft;
use serde_json::{Value, json};

use super::start;
use crate::common::http;
use crate::common::spec::Spec;
use crate::fixture::{BASE, Fixture, Response, json_schema};

/// The operation of the page, which is not JSON.
const PAGE: &str = "show_page";

/// Returns what is wrong with a value. Nothing but what the schema names may be in it.
fn flaws(schema: &Value, value: &Value) -> Vec<String> {
    let mut schema = closed(&json_schema(schema));
    schema["components"] = closed(&json_schema(&Spec::emulator().document()["components"]));
    let validator = jsonschema::options().with_draft(Draft::Draft4).build(&schema).unwrap();
    validator.iter_errors(value).map(|flaw| format!("{flaw} at {}", flaw.instance_path())).collect()
}

/// Returns a schema whose objects have no other properties than those that it names.
fn closed(node: &Value) -> Value {
    match node {
        Value::Object(fields) => {
            let mut fields: serde_json::Map<_, _> =
                fields.iter().map(|(name, value)| (name.clone(), closed(value))).collect();
            if fields.get("type") == Some(&json!("object")) && fields.get("properties").is_some_and(Value::is_object) {
                fields.insert("additionalProperties".to_owned(), json!(false));
            }
            fields.into()
        }
        Value::Array(items) => items.iter().map(closed).collect(),
        other => other.clone(),
    }
}

fn json_content(node: &Value) -> &Value {
    &node["content"]["application/json"]
}

/// Returns the values of the examples.
fn examples(content: &Value) -> Vec<Value> {
    let examples = content["examples"].as_object();
    examples.into_iter().flatten().map(|(_, example)| example["value"].clone()).collect()
}

/// Returns the query with the parameters' examples.
fn query(operation: &Value) -> String {
    let parameters = operation["parameters"].as_array();
    let pairs: Vec<String> = parameters
        .into_iter()
        .flatten()
        .map(|parameter| {
            format!("{}={}", parameter["name"].as_str().unwrap(), parameter["example"].to_string().trim_matches('"'))
        })
        .collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

/// A request, and what makes it wrong.
struct Asked<'a> {
    method: &'a str,
    path: String,
    body: Option<String>,
    header: Option<(&'static str, &'static str)>,
}

impl Asked<'_> {
    async fn send(&self, fixture: &Fixture) -> Response {
        let method = self.method.to_uppercase().parse().unwrap();
        let mut request: reqwest::RequestBuilder = http().request(method, fixture.emulator.url(&self.path));
        if let Some(body) = &self.body {
            request = request.body(body.clone());
            if self.header.is_none_or(|(name, _)| name != "content-type") {
                request = request.header("content-type", "application/json");
            }
        }
        if let Some((name, value)) = self.header {
            request = request.header(name, value);
        }
        fixture.send(request).await
    }
}

/// Returns the requests of an operation by the status that they get, from its examples and by what can be wrong with any.
fn requests<'a>(method: &'a str, path: &str, operation: &Value) -> Vec<(u16, Asked<'a>)> {
    let path = format!("{path}{}", query(operation));
    let plain = |body: Option<&str>| Asked { method, path: path.clone(), body: body.map(str::to_owned), header: None };
    let with = |name, value, body| Asked { header: Some((name, value)), ..plain(body) };
    let bodies = examples(json_content(&operation["requestBody"]));
    let success = if operation["responses"].get("204").is_some() { 204 } else { 200 };
    let mut asked: Vec<(u16, Asked<'_>)> =
        bodies.iter().map(|body| (success, plain(Some(&body.to_string())))).collect();
    if bodies.is_empty() {
        asked.push((success, plain(None)));
    }
    let body = bodies.first().map(Value::to_string);
    let body = body.as_deref();
    asked.push((403, with("origin", "https://evil.example", body)));
    asked.push((403, with("sec-fetch-site", "cross-site", body)));
    asked.push((421, with("host", "evil.example", body)));
    if method == "get" {
        let path = format!("{path}{}unknown=1", if path.contains('?') { "&" } else { "?" });
        asked.push((400, Asked { path, ..plain(None) }));
        return asked;
    }
    asked.push((400, plain(Some(r#"{"unknown":1}"#))));
    asked.push((400, plain(Some("[]"))));
    asked.push((413, plain(Some(&"x".repeat(65 << 10)))));
    asked.push((415, with("content-type", "application/x-www-form-urlencoded", Some("a=b"))));
    asked.push((415, with("content-type", "text/plain", Some(body.unwrap_or("{}")))));
    asked
}

#[tokio::test]
async fn each_request_of_the_spec_gets_a_response_of_the_spec() {
    let (fixture, spec) = (start().await, Spec::emulator());
    let mut documented = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for (method, path, operation) in spec.operations() {
        let id = operation["operationId"].as_str().unwrap();
        if id == PAGE {
            continue;
        }
        documented.extend(operation["responses"].as_object().unwrap().keys().map(|status| format!("{id} {status}")));
        let mut asked = requests(method, path, operation);
        if id == "set_single" {
            let example = examples(json_content(&operation["requestBody"]))[0].to_string();
            let token = fixture.make(&[BASE]).await;
            let known = example.replace("5f50dd0bc2d7f0a5b41e2a21", &token);
            assert_ne!(known, example);
            asked[0].1.body = Some(known);
            asked.push((404, Asked { method, path: path.to_owned(), body: Some(example), header: None }));
        }
        for (status, asked) in asked {
            let answer = asked.send(&fixture).await;
            assert_eq!(answer.status, status, "{id} {:?} {:?}: {}", asked.header, asked.body, answer.body);
            assert_eq!(answer.header("cache-control"), "no-store", "{id}");
            let response = spec.resolve(&operation["responses"][status.to_string()]);
            assert!(!response.is_null(), "{id} {status} is not in the spec");
            match &json_content(response)["schema"] {
                Value::Null => assert_eq!(answer.body, Value::Null, "{id} {status}"),
                schema => {
                    assert_eq!(flaws(schema, &answer.body), [""; 0], "{id} {status}: {}", answer.body);
                    assert_eq!(answer.header("content-type"), "application/json");
                }
            }
            seen.insert(format!("{id} {status}"));
        }
    }
    assert_eq!(seen, documented);
    // What follows was checked with values in every place: lists with entries.
    let state = fixture.state().await;
    assert!(
        ["accounts", "customers", "newest_tokens", "newest_requests"].iter().all(|list| state[list][0].is_object())
    );
}

#[test]
fn each_example_of_the_spec_is_as_its_schema_says() {
    let spec = Spec::emulator();
    let mut count = 0;
    for (_, _, operation) in spec.operations() {
        let bodies = operation["responses"].as_object().unwrap().values().map(|response| spec.resolve(response));
        for content in bodies.chain([&operation["requestBody"]]).map(json_content) {
            for example in examples(content) {
                assert_eq!(flaws(&content["schema"], &example), [""; 0], "{example}");
                count += 1;
            }
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert_eq!(flaws(&parameter["schema"], &parameter["example"]), [""; 0], "{parameter}");
        }
    }
    assert!(count > 100, "{count}");
}

#[tokio::test]
async fn the_interface_has_the_routes_of_the_spec_and_no_other() {
    let fixture = start().await;
    let mut paths: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let spec = Spec::emulator();
    for (method, path, _) in spec.operations().filter(|(_, path, _)| *path != "/") {
        paths.entry(path).or_default().insert(method.to_uppercase());
    }
    let answer = fixture.control("GET", "/nothing", Value::Null).await;
    assert_eq!(answer.status, 404);
    let message = answer.body["message"].as_str().unwrap();
    let listed: BTreeSet<&str> = message.split_once("these do: ").unwrap().1.split(", ").collect();
    let known: Vec<String> =
        paths.iter().flat_map(|(path, methods)| methods.iter().map(move |method| format!("{method} {path}"))).collect();
    assert_eq!(listed, known.iter().map(String::as_str).collect());
    for (path, allowed) in &paths {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"] {
            if allowed.contains(method) {
                continue;
            }
            let request = http().request(method.parse().unwrap(), fixture.emulator.url(path));
            let answer = fixture.send(request).await;
            assert_eq!(answer.status, 405, "{method} {path}");
            let named: BTreeSet<String> = answer.header("allow").split(", ").map(str::to_owned).collect();
            assert_eq!(named, *allowed, "{method} {path}");
        }
    }
}

/// Each method by which a test in Rust changes the emulator, and the request that does the same.
#[test]
fn each_method_of_the_emulator_has_a_request() {
    const SAME: [(&str, &str); 12] = [
        ("advance", "advance_clock"),
        ("set_latency", "set_latency"),
        ("fail_next", "add_fault"),
        ("fail_next_on", "add_fault"),
        ("clear_faults", "clear_faults"),
        ("grant_only", "grant_only"),
        ("grant_all", "grant_all"),
        ("set_credit", "set_credit"),
        ("add_callback", "add_callback"),
        ("set_activation_delay", "set_activation_delay"),
        ("set_single", "set_single"),
        ("revoke_all", "revoke_all"),
    ];
    let methods: BTreeSet<&str> = include_str!("../../../src/emulator/controls.rs")
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub fn ")?.split('(').next())
        .collect();
    assert_eq!(methods, SAME.iter().map(|(method, _)| *method).collect());
    for (_, operation) in SAME {
        Spec::emulator().operation(operation);
    }
}
