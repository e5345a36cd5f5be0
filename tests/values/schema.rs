//! The schemas of the public types match those of the specs.

use gettone::openapi::{
    Period, Ttl,
    v1::{Counter, CounterLimit, Counters, Credit, Token},
};
use gettone::{AccessToken, RefreshToken, Scope, ScopeList, ScopePattern, ScopeSet, Secret, keliweb};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::common::spec::Spec;

/// Returns the schema of a type, without references to others.
fn of<T: JsonSchema>() -> Value {
    let settings = schemars::generate::SchemaSettings::draft2020_12()
        .for_deserialize()
        .with(|settings| settings.inline_subschemas = true);
    comparable(&SchemaGenerator::new(settings).into_root_schema_for::<T>().to_value(), &|_| panic!("a reference"))
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

/// Asserts that a serialized value matches the schemas of its type, for reading and for writing.
fn is_written_by_its_schema<T: JsonSchema + serde::Serialize>(value: &T) {
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
