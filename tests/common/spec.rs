//! The specs, whose examples the tests use.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value};

use super::fake::Answer;
use super::services::{SERVICES, Service, keliweb, openapi_v1, openapi_v2};

/// A spec file.
#[derive(Clone, Copy)]
pub struct Spec(&'static Value);

impl Spec {
    pub fn of(service: &Service) -> Self {
        static ALL: LazyLock<BTreeMap<&str, Value>> =
            LazyLock::new(|| SERVICES.into_iter().map(|service| (service.name, read(service.spec))).collect());
        Self(&ALL[service.name])
    }

    pub fn keliweb() -> Self {
        Self::of(&keliweb::SERVICE)
    }

    pub fn openapi_v1() -> Self {
        Self::of(&openapi_v1::SERVICE)
    }

    pub fn openapi_v2() -> Self {
        Self::of(&openapi_v2::SERVICE)
    }

    /// Returns the spec of the emulator's control interface, which is no service.
    pub fn emulator() -> Self {
        static SPEC: LazyLock<Value> = LazyLock::new(|| read(include_str!("../../spec/emulator.yaml")));
        Self(&SPEC)
    }

    /// Lists every operation, with its method, its path and itself.
    pub fn operations(&self) -> impl Iterator<Item = (&str, &str, &Value)> {
        self.0["paths"].as_object().unwrap().iter().flat_map(|(path, item)| {
            let operations =
                item.as_object().unwrap().iter().filter(|(_, operation)| operation.get("responses").is_some());
            operations.map(move |(method, operation)| (method.as_str(), path.as_str(), operation))
        })
    }

    pub fn operation(&self, id: &str) -> &Value {
        let mut operations = self.operations();
        operations.find(|(_, _, operation)| operation["operationId"] == id).expect("an operation of the spec").2
    }

    /// Returns an answer that is an example.
    pub fn answer(&self, operation: &str, status: u16, example: &str) -> Answer {
        let content = &self.operation(operation)["responses"][status.to_string()]["content"]["application/json"];
        let body = content["examples"][example]["value"].clone();
        assert!(!body.is_null(), "{operation} {status} {example} is not in the spec");
        Answer::json(status, body)
    }

    /// Returns an example of a request's body.
    pub fn request(&self, operation: &str, example: &str) -> Value {
        let content = self.operation(operation)["requestBody"]["content"].as_object().unwrap();
        let (_, media) = content.iter().next().unwrap();
        let body = media["examples"][example]["value"].clone();
        assert!(!body.is_null(), "the request {example} of {operation} is not in the spec");
        body
    }

    /// Lists all examples of answers: operation, status, name.
    pub fn answers(&self) -> Vec<(String, u16, String)> {
        let mut found = Vec::new();
        for (_, _, operation) in self.operations() {
            let id = operation["operationId"].as_str().unwrap();
            for (status, response) in operation["responses"].as_object().unwrap() {
                for (name, _) in response["content"]["application/json"]["examples"].as_object().into_iter().flatten() {
                    found.push((id.to_owned(), status.parse().unwrap(), name.clone()));
                }
            }
        }
        found
    }

    /// Returns the whole file.
    pub fn document(&self) -> &Value {
        self.0
    }

    pub fn servers(&self) -> Vec<&str> {
        self.0["servers"].as_array().unwrap().iter().map(|server| server["url"].as_str().unwrap()).collect()
    }

    pub fn schema(&self, name: &str) -> &Value {
        let schema = &self.0["components"]["schemas"][name];
        assert!(!schema.is_null(), "{name} is not a schema of the spec");
        schema
    }

    /// Returns what a `$ref` names, or the node itself.
    pub fn resolve<'a>(&'a self, node: &'a Value) -> &'a Value {
        let Some(target) = node.get("$ref").and_then(Value::as_str) else { return node };
        self.0.pointer(target.trim_start_matches('#')).expect("a $ref that leads somewhere")
    }
}

fn read(text: &str) -> Value {
    let documents = Yaml::load_from_str(text).expect("the spec is YAML");
    convert(&documents[0])
}

fn convert(node: &Yaml<'_>) -> Value {
    match node {
        Yaml::Value(Scalar::Boolean(value)) => (*value).into(),
        Yaml::Value(Scalar::Integer(value)) => (*value).into(),
        Yaml::Value(Scalar::FloatingPoint(value)) => value.into_inner().into(),
        Yaml::Value(Scalar::String(value)) => value.as_ref().into(),
        Yaml::Sequence(items) => items.iter().map(convert).collect(),
        Yaml::Mapping(entries) => {
            let mut map = Map::new();
            for (key, value) in entries {
                let Value::String(key) = convert(key) else { panic!("a key that is not text") };
                map.insert(key, convert(value));
            }
            Value::Object(map)
        }
        _ => Value::Null,
    }
}
