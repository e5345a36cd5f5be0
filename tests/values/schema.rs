//! The schemas of the public types match those of the specs.

use std::cell::RefCell;
use std::collections::BTreeSet;

use gettone::openapi::v1::{Counter, CounterLimit, Counters, Credit, Token};
use gettone::openapi::v2::{
    self, ApiStats, Callback, ErrorLog, FreeLimits, ScopeDetail, Stats, Subscription, TokenLimits, Transaction,
    UserScope, Wallet,
};
use gettone::openapi::{Period, Ttl};
use gettone::{AccessToken, RefreshToken, Scope, ScopeList, ScopePattern, ScopeSet, Secret, keliweb};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::common::spec::Spec;

/// Returns the schema of a type, without references to others.
fn of<T: JsonSchema>() -> Value {
    let settings = schemars::generate::SchemaSettings::draft2020_12()
        .for_deserialize()
        .with(|settings| settings.inline_subschemas = true);
    let schema = SchemaGenerator::new(settings).into_root_schema_for::<T>().to_value();
    assert_plain(&schema);
    comparable(&schema, &|_| panic!("a reference"))
}

/// Asserts that no description has an example or a link: these are for programmers in Rust, and a schema is for all.
fn assert_plain(schema: &Value) {
    if let Some(Value::String(text)) = schema.get("description") {
        assert!(!["```", "[`", "]("].iter().any(|markup| text.contains(markup)) && !text.contains('\n'), "{text}");
    }
    let fields = schema.as_object().into_iter().flat_map(Map::values);
    fields.chain(schema.as_array().into_iter().flatten()).for_each(assert_plain);
}

/// Returns a schema of a spec, likewise.
fn in_spec(spec: &Spec, name: &str) -> Value {
    comparable(spec.schema(name), &|reference| spec.resolve(reference).clone())
}

/// Returns the part of a schema that restricts values. It leaves out `format`, which differs between the two for the same range, `null` where
/// a property may be missing anyway, and texts.
fn comparable(schema: &Value, resolve: &dyn Fn(&Value) -> Value) -> Value {
    let schema = match schema {
        Value::Object(schema) if schema.contains_key("$ref") => resolve(&Value::Object(schema.clone())),
        other => other.clone(),
    };
    let Value::Object(schema) = schema else { return schema };
    if let Some([only]) = schema.get("allOf").and_then(Value::as_array).map(Vec::as_slice) {
        return comparable(only, resolve);
    }
    let mut kept = Map::new();
    let required = schema.get("required").cloned().unwrap_or(json!([]));
    for (key, value) in &schema {
        let value = match key.as_str() {
            "$schema" | "title" | "description" | "example" | "format" | "nullable" | "default" => continue,
            "properties" => {
                let properties = value.as_object().unwrap().iter().map(|(name, property)| {
                    let mut property = comparable(property, resolve);
                    if !required.as_array().unwrap().contains(&json!(name)) {
                        without_null(&mut property);
                    }
                    (name.clone(), property)
                });
                Value::Object(properties.collect())
            }
            "items" | "additionalProperties" => comparable(value, resolve),
            "oneOf" | "anyOf" => {
                let alternatives = value.as_array().unwrap();
                // A spec writes `nullable` beside a type, our type has an alternative for null.
                let null = alternatives.iter().any(|value| value.get("nullable") == Some(&json!(true)));
                let alternatives = alternatives.iter().map(|value| comparable(value, resolve));
                alternatives.chain(null.then(|| json!({ "type": "null" }))).collect()
            }
            "required" => {
                let mut names: Vec<_> = value.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
                names.sort_unstable();
                json!(names)
            }
            _ => value.clone(),
        };
        kept.insert(key.clone(), value);
    }
    Value::Object(kept)
}

fn without_null(schema: &mut Value) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            schema["type"] = only.clone();
        }
    }
}

#[test]
fn the_types_of_keliweb_match_the_spec() {
    let spec = Spec::keliweb();
    assert_eq!(of::<keliweb::TokenPair>(), in_spec(&spec, "TokenPair"));
    assert_eq!(of::<AccessToken>(), in_spec(&spec, "AccessToken"));
    assert_eq!(of::<RefreshToken>(), in_spec(&spec, "RefreshToken"));
    assert_eq!(of::<Secret>(), in_spec(&spec, "Password"));
    assert_eq!(of::<Secret>(), in_spec(&spec, "ClientSecret"));
}

#[test]
fn the_types_of_openapi_v1_match_the_spec() {
    let spec = Spec::openapi_v1();
    assert_eq!(of::<Token>(), in_spec(&spec, "Token"));
    assert_eq!(of::<AccessToken>(), in_spec(&spec, "AccessToken"));
    assert_eq!(of::<Scope>(), in_spec(&spec, "Scope"));
    assert_eq!(of::<ScopePattern>(), in_spec(&spec, "ScopePattern"));
    assert_eq!(of::<ScopeList>(), in_spec(&spec, "ScopeList"));
    assert_eq!(
        of::<ScopeSet>(),
        comparable(&spec.schema("CreateToken")["properties"]["scopes"], &|node| spec.resolve(node).clone())
    );
    // The vendor names only the longest lifetime; our type excludes zero.
    let mut ttl = in_spec(&spec, "Ttl");
    ttl["minimum"] = json!(1);
    assert_eq!(of::<Ttl>(), ttl);
    assert_eq!(of::<Credit>(), in_spec(&spec, "Credit"));
    assert_eq!(of::<Counter>(), in_spec(&spec, "Counter"));
    assert_eq!(of::<Counters>(), in_spec(&spec, "Counters"));
    assert_eq!(of::<CounterLimit>(), in_spec(&spec, "Limit"));
}

/// Returns the properties of a schema of a spec, also those that it has from other schemas.
fn properties(spec: &Spec, schema: &Value) -> Map<String, Value> {
    let schema = spec.resolve(schema);
    let own = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let parts = schema.get("allOf").and_then(Value::as_array).into_iter().flatten();
    parts.flat_map(|part| properties(spec, part)).chain(own).collect()
}

/// Lists the types that a schema allows.
fn kinds(spec: &Spec, schema: &Value) -> BTreeSet<String> {
    let schema = spec.resolve(schema);
    let text = |kind: &Value| kind.as_str().unwrap().to_owned();
    let mut kinds: BTreeSet<String> = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().map(text).collect(),
        Some(kind) => BTreeSet::from([text(kind)]),
        None => BTreeSet::new(),
    };
    for several in ["allOf", "oneOf", "anyOf"] {
        let parts = schema.get(several).and_then(Value::as_array).into_iter().flatten();
        kinds.extend(parts.flat_map(|part| self::kinds(spec, part)));
    }
    kinds.extend((schema.get("nullable") == Some(&json!(true))).then(|| "null".to_owned()));
    kinds
}

/// The vendor's schemas require nothing, and users see other forms than they say. So our types accept what the spec allows, and require what
/// a program needs.
#[test]
fn the_types_of_openapi_v2_match_the_spec() {
    let spec = Spec::openapi_v2();
    assert_eq!(of::<AccessToken>(), in_spec(&spec, "AccessToken"));
    assert_eq!(of::<RefreshToken>(), in_spec(&spec, "RefreshToken"));
    assert_eq!(of::<Scope>(), in_spec(&spec, "Scope"));
    assert_eq!(of::<Ttl>(), in_spec(&spec, "Ttl"));
    let none: &[&str] = &[];
    // What our type requires, and what of the spec's is in its scope already.
    let parts = ["domain", "endpoint", "method"];
    let types = [
        ("Token", of::<v2::Token>(), &["expireAt", "token"][..], none),
        ("TokenLimits", of::<TokenLimits>(), none, none),
        ("UserScope", of::<UserScope>(), &["scope"], &parts[..]),
        ("ScopeDetail", of::<ScopeDetail>(), &["id", "scope"], &parts),
        ("ScopeLimits", of::<FreeLimits>(), none, none),
        ("Wallet", of::<Wallet>(), &["credit"], none),
        ("WalletTransaction", of::<Transaction>(), &["amount", "id"], none),
        ("ErrorLog", of::<ErrorLog>(), &["id"], none),
        ("Callback", of::<Callback>(), &["id"], none),
        ("Subscription", of::<Subscription>(), &["id"], none),
        // One type for all figures.
        ("TokenStats", of::<Stats>(), none, none),
        ("AccountStats", of::<Stats>(), none, none),
        ("ApiStats", of::<Stats>(), none, none),
        ("ScopeStats", of::<Stats>(), none, none),
        ("ApiDetailStats", of::<ApiStats>(), none, none),
    ];
    // Requests, envelopes, and parts of the others.
    let others =
        ["CreateToken", "UpdateToken", "WrappedToken", "Failure", "Usage", "CallbackEntry", "SubscriptionEntry"];
    let named: BTreeSet<&str> = types.iter().map(|(name, ..)| *name).chain(others).collect();
    let schemas = spec.document()["components"]["schemas"].as_object().unwrap();
    let objects = schemas.iter().filter(|(_, schema)| !properties(&spec, schema).is_empty());
    let objects: BTreeSet<&str> = objects.map(|(name, _)| name.as_str()).collect();
    let is_envelope = |name: &&str| name.ends_with("Response");
    assert_eq!(named, objects.into_iter().filter(|name| !is_envelope(name)).collect());
    for (name, ours, required, left_out) in types {
        assert_eq!(ours.get("required").unwrap_or(&json!([])), &json!(required), "{name}");
        let theirs = properties(&spec, spec.schema(name));
        let ours = ours["properties"].as_object().unwrap();
        for (property, schema) in theirs.iter().filter(|(property, _)| !left_out.contains(&property.as_str())) {
            let ours = ours.get(property).unwrap_or_else(|| panic!("{name} has no {property}"));
            let accepted = kinds(&spec, ours);
            let is_accepted = |kind: &String| {
                // Null is one of the things that may be missing.
                kind == "null" || accepted.contains(kind) || kind == "number" && accepted.contains("integer")
            };
            // Without a type, all is accepted.
            assert!(
                accepted.is_empty() || kinds(&spec, schema).iter().all(is_accepted),
                "{name}.{property}: {ours}, but the spec has {schema}"
            );
        }
        let is_more = |property: &&String| !theirs.contains_key(*property);
        let more: Vec<_> = ours.keys().filter(is_more).collect();
        assert!(more.is_empty() || name.ends_with("Stats"), "{name} has {more:?}, which the spec has not");
    }
}

/// Asserts that values match the schema of a type, and can be read as it.
fn assert_reads<T: JsonSchema + serde::de::DeserializeOwned>(values: &[Value]) {
    let settings = schemars::generate::SchemaSettings::draft2020_12().for_deserialize();
    let schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(!values.is_empty());
    for value in values {
        let flaws: Vec<_> = validator.iter_errors(value).map(|flaw| flaw.to_string()).collect();
        assert!(flaws.is_empty(), "{value}: {flaws:?} by {schema}");
        serde_json::from_value::<T>(value.clone()).unwrap_or_else(|error| panic!("{value}: {error}"));
    }
}

/// Returns the objects that an operation answers in the examples: at the root, in `data`, or as the entries of it.
pub fn answered(spec: &Spec, operation: &str) -> Vec<Value> {
    let examples = spec.answers().into_iter().filter(|(id, status, _)| id == operation && *status == 200);
    let bodies = examples
        .map(|(id, status, name)| serde_json::from_str::<Value>(spec.answer(&id, status, &name).text()).unwrap());
    let data = bodies.map(|body| body.get("data").cloned().unwrap_or(body));
    data.flat_map(|data| match data {
        Value::Array(entries) => entries,
        one => vec![one],
    })
    .collect()
}

#[test]
fn every_documented_object_of_openapi_v2_matches_the_schema_of_its_type() {
    let spec = Spec::openapi_v2();
    let read = RefCell::new(BTreeSet::new());
    let answered = |operation: &'static str| {
        read.borrow_mut().insert(operation);
        answered(&spec, operation)
    };
    let tokens = ["create_token", "list_tokens", "find_token", "update_token"].map(answered).concat();
    assert_reads::<v2::Token>(&tokens);
    assert_reads::<TokenLimits>(&[tokens[0]["limits"].clone(), json!({}), json!({ "totalRequests": false })]);
    assert_reads::<UserScope>(&answered("list_scopes"));
    let scopes = answered("get_scope");
    assert_reads::<ScopeDetail>(&scopes);
    assert_reads::<FreeLimits>(&[scopes[0]["freeLimits"].clone(), json!({})]);
    assert_reads::<Wallet>(&answered("get_wallet"));
    assert_reads::<Transaction>(&answered("list_wallet_transactions"));
    assert_reads::<ErrorLog>(&answered("list_errors"));
    assert_reads::<Callback>(&["list_callbacks", "get_callback"].map(answered).concat());
    let by_domain = answered("list_stats_apis");
    let domains: Vec<Value> = by_domain[0].as_object().unwrap().values().cloned().collect();
    assert_reads::<Stats>(&[domains, answered("get_stats"), vec![json!({})]].concat());
    assert_reads::<ApiStats>(&[answered("get_stats_api"), vec![json!({})]].concat());
    assert_reads::<Subscription>(&["list_subscriptions", "get_subscription"].map(answered).concat());
    // These have no objects.
    let mut known = read.into_inner();
    known.extend(["delete_token", "list_stats_ips"]);
    let described: BTreeSet<_> =
        spec.operations().map(|(.., operation)| operation["operationId"].as_str().unwrap()).collect();
    assert_eq!(known, described);
}

#[test]
fn limits_are_written_by_their_schema() {
    let all = TokenLimits::new().total_requests(7).wallet_requests(1).subscription_requests(2);
    let all = all.wallet_amount(gettone::openapi::Decimal::new(1250, 2)).ip(["203.0.113.10".parse().unwrap()]);
    for limits in [TokenLimits::new(), TokenLimits::new().total_requests(7), all] {
        is_written_by_its_schema(&limits);
    }
}

/// Asserts that a serialized value matches the schemas of its type, for reading and for writing.
pub fn is_written_by_its_schema<T: JsonSchema + serde::Serialize>(value: &T) {
    let written = serde_json::to_value(value).unwrap();
    let settings = schemars::generate::SchemaSettings::draft2020_12;
    for settings in [settings().for_deserialize(), settings().for_serialize()] {
        let schema = settings.into_generator().into_root_schema_for::<T>().to_value();
        let flaws: Vec<_> =
            jsonschema::validator_for(&schema).unwrap().iter_errors(&written).map(|flaw| flaw.to_string()).collect();
        assert!(flaws.is_empty(), "{written}: {flaws:?} by {schema}");
    }
}

#[test]
fn serialized_values_match_the_schemas() {
    for credit in [r#"{"credit":423.38}"#, r#"{"credit":100}"#, r#"{"credit":"19.99"}"#, r#"{"credit":-0.05}"#] {
        is_written_by_its_schema(&serde_json::from_str::<Credit>(credit).unwrap());
    }
    let counters = r#"{"GET:a.it/b":{"counter":"7","paid":2,"limit":5},"GET:a.it/c":{"counter":1,"paid":0,"limit":false},
        "GET:a.it/d":{"counter":1,"paid":0},"odd":"odd"}"#;
    let counters: Counters = serde_json::from_str(counters).unwrap();
    is_written_by_its_schema(&counters);
    is_written_by_its_schema(&Counters::default());
    for (_, counter) in &counters {
        is_written_by_its_schema(&counter);
        is_written_by_its_schema(&counter.limit());
    }
    for period in ["total", "2022", "2022-01", "2022-01-01"] {
        is_written_by_its_schema(&period.parse::<Period>().unwrap());
    }
    let period = of::<Period>();
    let reads = jsonschema::validator_for(&period).unwrap();
    for wrong in [json!("2022-1"), json!("Total"), json!("2022-01-01-01"), json!(""), json!(2022)] {
        assert!(!reads.is_valid(&wrong), "{wrong}");
    }
}
