//! Fields and texts that nobody knows yet, fields that are missing, and entries that cannot be read.

use serde_json::{Value, json};

use super::operations::{Content, OPERATIONS, Operation, lists};
use crate::common::fake::Answer;

/// Adds a field that nobody knows to every object.
fn add_fields(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(add_fields);
            fields.insert("neu".to_owned(), json!({ "token": "x", "id": 1, "success": true, "deep": [[null]] }));
        }
        Value::Array(entries) => entries.iter_mut().for_each(add_fields),
        _ => {}
    }
}

#[tokio::test]
async fn unknown_fields_do_no_harm() {
    for operation in OPERATIONS {
        let expected = operation.read(&operation.example()).await;
        let mut body = operation.example();
        // Maps with free keys have them as entries.
        match operation.name {
            "get_scope" | "get_stats_api" | "get_callback" => {
                body["neu"] = json!({});
                body["data"]["neu"] = json!([{}]);
            }
            "list_stats_apis" => {
                body["neu"] = json!({});
                body["data"]["company.openapi.com"]["neu"] = json!([{}]);
            }
            _ => add_fields(&mut body),
        }
        assert_eq!(operation.read(&body).await, expected, "{body}");
    }
}

#[tokio::test]
async fn unknown_words_are_kept() {
    for (name, field) in [
        ("get_subscription", "type"),
        ("get_callback", "method"),
        ("get_callback", "field"),
        ("list_errors", "message"),
        ("list_callbacks", "scope"),
        ("list_errors", "scope"),
        ("get_subscription", "scope"),
    ] {
        let operation = super::operations::operation(name);
        let mut body = operation.example();
        let object = match &mut body["data"] {
            Value::Array(entries) => &mut entries[0],
            object => object,
        };
        object[field] = json!("Fortnightly, since 2031");
        let shown = operation.read(&body).await;
        assert!(shown.contains("Fortnightly, since 2031"), "{name} {field}: {shown}");
    }
}

/// The fields that an object cannot be used without.
fn is_required(operation: &Operation, field: &str) -> bool {
    match operation.name {
        "create_token" | "find_token" | "update_token" | "refresh_token" | "list_tokens" => {
            matches!(field, "token" | "expireAt")
        }
        "list_scopes" => field == "scope",
        "get_scope" => matches!(field, "id" | "scope"),
        "get_wallet" => field == "credit",
        "list_wallet_transactions" => matches!(field, "id" | "amount"),
        "get_stats" | "get_stats_api" => false,
        _ => field == "id",
    }
}

/// Returns a body for each field of the example's object or first entry, and each odd value in it; `None` takes the field out.
fn odd_fields(operation: &Operation) -> Vec<(String, Value)> {
    let odd = [
        None,
        Some(json!(null)),
        Some(json!(true)),
        Some(json!(7)),
        Some(json!("~")),
        Some(json!([[]])),
        Some(json!({ "x": [] })),
    ];
    let inner = operation.inner();
    let object = if inner.is_array() { &inner[0] } else { &inner };
    let names: Vec<String> = object.as_object().unwrap().keys().cloned().collect();
    let mut bodies = Vec::new();
    for name in names {
        for value in &odd {
            let mut changed = inner.clone();
            let object = if changed.is_array() { &mut changed[0] } else { &mut changed };
            let object = object.as_object_mut().unwrap();
            match value {
                Some(value) => object.insert(name.clone(), value.clone()),
                None => object.remove(&name),
            };
            bodies.push((name.clone(), json!({ "data": changed })));
        }
    }
    bodies
}

#[tokio::test]
async fn a_field_that_is_missing_or_odd_hides_no_other() {
    for operation in OPERATIONS {
        if matches!(operation.content, Content::Map | Content::Nothing) || operation.name == "list_stats_ips" {
            continue;
        }
        let inner = operation.inner();
        let object = if inner.is_array() { &inner[0] } else { &inner };
        let mut tried = 0;
        for (name, body) in odd_fields(operation) {
            if is_required(operation, &name) {
                continue;
            }
            let shown = operation.read(&body).await;
            assert!(shown.ends_with("[]") || !matches!(operation.content, Content::List(_)), "{body}: {shown}");
            // The texts of the other fields are still there.
            for (other, text) in object.as_object().unwrap().iter().filter(|(other, _)| **other != name) {
                let is_kept =
                    !matches!(other.as_str(), "method" | "endpoint" | "domain") || operation.name != "get_scope";
                let is_kept = is_kept && (operation.name != "list_scopes" || matches!(other.as_str(), "id" | "scope"));
                match text {
                    Value::String(text) if is_kept && !other.ends_with("At") && !other.ends_with("Requests") => {
                        let text = if other == "httpResponseCode" { "status: Some(200)" } else { text };
                        assert!(shown.contains(text), "{} {name} {other}: {shown}", operation.name);
                    }
                    _ => {}
                }
            }
            tried += 1;
        }
        assert!(tried >= 14, "{}: {tried}", operation.name);
    }
}

#[tokio::test]
async fn an_object_without_a_required_field_is_an_error_that_shows_no_value() {
    for operation in OPERATIONS.iter().filter(|one| matches!(one.content, Content::Object(_))) {
        for (name, body) in odd_fields(operation) {
            let value = body["data"].get(&name);
            // A number is its text.
            let is_readable = value.is_some_and(|value| match (operation.name, name.as_str()) {
                ("get_wallet", _) => value.is_number(),
                (_, "token" | "id") => value.is_string() || name == "id" && value.is_number(),
                _ => false,
            });
            if !is_required(operation, &name) || is_readable {
                continue;
            }
            let error = operation.call(Answer::json(200, &body)).await.unwrap_err();
            assert!(error.is_decode(), "{} {body}: {error:?}", operation.name);
            let shown = format!("{error} {error:?}");
            for secret in ["4a12", "4a13", "192.168"] {
                assert!(!shown.contains(secret), "{shown}");
            }
        }
    }
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_is_kept_and_never_printed() {
    for (operation, list) in lists().filter(|(_, list)| list[0].is_object()) {
        let expected = operation.read(&json!({ "data": [list[0]] })).await;
        let known = expected.strip_suffix(" []").unwrap();
        let odd = [
            json!(null),
            json!(5),
            json!("hunter2"),
            json!(true),
            json!([]),
            json!([list[0]]),
            json!({}),
            json!({ "refreshToken": "hunter2" }),
            json!({ "data": { "hunter2": [] } }),
        ];
        for around in [true, false] {
            let mut entries: Vec<Value> = odd.to_vec();
            entries.insert(if around { 4 } else { 0 }, list[0].clone());
            let shown = operation.read(&json!({ "data": entries })).await;
            let kept: Vec<String> = odd.iter().map(Value::to_string).collect();
            assert_eq!(shown, format!("{known} {kept:?}"), "{}", operation.name);
        }
    }
}
