//! The rules for schemas.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::build::escape;
use crate::keywords::{DISCRIMINATOR, OPERATION, SCHEMA};
use crate::nodes::Nodes;

/// Which keywords say something about which type.
const ABOUT: [(&[&str], &[&str]); 4] = [
    (&["string"], &["maxLength", "minLength", "pattern"]),
    (&["number", "integer"], &["multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"]),
    (&["array"], &["items", "maxItems", "minItems", "uniqueItems"]),
    (&["object"], &["properties", "required", "additionalProperties", "maxProperties", "minProperties"]),
];

/// A pointer, and what is wrong there.
pub type Finding = (String, String);

pub fn check(nodes: &Nodes<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (pointer, schema) in nodes.of(&SCHEMA) {
        check_type(pointer, schema, &mut found);
        check_required(nodes, pointer, schema, &mut found);
        if let Some(pattern) = schema.get("pattern").filter(|pattern| pattern.is_string())
            && jsonschema::options().build(&json!({ "pattern": pattern })).is_err()
        {
            found.push((format!("{pointer}/pattern"), "`pattern` is not a regular expression".to_owned()));
        }
        if schema.get("multipleOf").and_then(Value::as_f64).is_some_and(|number| number <= 0.0) {
            found.push((format!("{pointer}/multipleOf"), "`multipleOf` is not more than 0".to_owned()));
        }
    }
    for (pointer, discriminator) in nodes.of(&DISCRIMINATOR) {
        for (name, target) in discriminator.get("mapping").and_then(Value::as_object).into_iter().flatten() {
            let Some(target) = target.as_str() else { continue };
            let at = target.strip_prefix('#').map_or_else(|| format!("/components/schemas/{target}"), str::to_owned);
            if nodes.get(&at).is_none_or(|node| *node.shape != SCHEMA) {
                found.push((format!("{pointer}/mapping/{}", escape(name)), format!("`{target}` leads to no schema")));
            }
        }
    }
    check_openness(nodes, &mut found);
    found
}

fn check_type(pointer: &str, schema: &Value, found: &mut Vec<Finding>) {
    let Some(kind) = schema.get("type").and_then(Value::as_str) else {
        // OpenAPI 3.0.3: `nullable` widens the `type` beside it, and nothing else.
        if schema.get("nullable").is_some() {
            found.push((format!("{pointer}/nullable"), "`nullable` without `type` has no effect".to_owned()));
        }
        return;
    };
    if kind == "array" && schema.get("items").is_none() {
        found.push((pointer.to_owned(), "an array without `items`".to_owned()));
    }
    for (kinds, keywords) in ABOUT.iter().filter(|(kinds, _)| !kinds.contains(&kind)) {
        for keyword in keywords.iter().filter(|keyword| schema.get(keyword).is_some()) {
            let reason = format!("`{keyword}` is about {}, the type is {kind}", kinds.join(" and "));
            found.push((format!("{pointer}/{keyword}"), reason));
        }
    }
}

fn check_required(nodes: &Nodes<'_>, pointer: &str, schema: &Value, found: &mut Vec<Finding>) {
    let Some(required) = schema.get("required").and_then(Value::as_array) else { return };
    // The properties may stand in the schema that this one is a part of.
    let mut top = pointer;
    while let Some((parent, _)) = top.rsplit_once('/').and_then(|(list, index)| {
        let (parent, keyword) = list.rsplit_once('/')?;
        let composed = matches!(keyword, "allOf" | "oneOf" | "anyOf") && nodes.get(parent)?.shape == &SCHEMA;
        composed.then_some((parent, index))
    }) {
        top = parent;
    }
    let mut known = BTreeSet::new();
    known_properties(nodes, top, &mut known, &mut BTreeSet::new());
    let mut seen = BTreeSet::new();
    for (index, name) in required.iter().enumerate() {
        let Some(name) = name.as_str() else { continue };
        let at = format!("{pointer}/required/{index}");
        if !known.contains(name) {
            found.push((at, format!("`{name}` is required, and not a property")));
        } else if !seen.insert(name) {
            found.push((at, format!("`{name}` is required twice")));
        }
    }
}

fn known_properties<'a>(nodes: &Nodes<'a>, pointer: &str, known: &mut BTreeSet<&'a str>, seen: &mut BTreeSet<String>) {
    if !seen.insert(pointer.to_owned()) {
        return;
    }
    let properties = nodes.get(pointer).and_then(|node| node.value.get("properties")).and_then(Value::as_object);
    known.extend(properties.into_iter().flatten().map(|(name, _)| name.as_str()));
    for part in parts(nodes, pointer) {
        known_properties(nodes, &part, known, seen);
    }
}

/// The schemas that speak about the same value: what a `$ref` leads to, or what a schema is composed of.
fn parts(nodes: &Nodes<'_>, pointer: &str) -> Vec<String> {
    let Some(node) = nodes.get(pointer) else { return Vec::new() };
    if node.reference.is_some() {
        return nodes.target(pointer).map(str::to_owned).into_iter().collect();
    }
    let mut parts = Vec::new();
    if *node.shape == SCHEMA {
        for keyword in ["allOf", "oneOf", "anyOf"] {
            let count = node.value.get(keyword).and_then(Value::as_array).map_or(0, Vec::len);
            parts.extend((0..count).map(|index| format!("{pointer}/{keyword}/{index}")));
        }
        parts.push(format!("{pointer}/not"));
    }
    parts.retain(|part| nodes.get(part).is_some());
    parts
}

/// Where something is, in the end, made of itself only: neither a validator nor the generator would come to an end.
pub fn circles(nodes: &Nodes<'_>) -> Vec<Finding> {
    let mut done = BTreeSet::new();
    let mut found = Vec::new();
    for (pointer, _) in nodes.iter() {
        // Depth first, with the way from `pointer` on a stack of its own.
        let mut way = vec![(pointer.to_owned(), parts(nodes, pointer))];
        while let Some((at, rest)) = way.last_mut() {
            let Some(next) = rest.pop() else {
                done.insert(at.clone());
                way.pop();
                continue;
            };
            if way.iter().any(|(at, _)| *at == next) {
                found.push((next, "leads in a circle back to itself".to_owned()));
            } else if !done.contains(&next) {
                let parts = parts(nodes, &next);
                way.push((next, parts));
            }
        }
    }
    found
}

/// A service may add fields to its answers at any time.
fn check_openness(nodes: &Nodes<'_>, found: &mut Vec<Finding>) {
    let mut wanted: Vec<String> = nodes.of(&OPERATION).map(|(pointer, _)| format!("{pointer}/responses")).collect();
    let mut reached = BTreeSet::new();
    while let Some(pointer) = wanted.pop() {
        for (at, node) in nodes.within(&pointer) {
            if !reached.insert(at.to_owned()) {
                continue;
            }
            wanted.extend(nodes.target(at).map(str::to_owned));
            if *node.shape == SCHEMA && node.value.get("additionalProperties") == Some(&Value::Bool(false)) {
                let reason = "`additionalProperties: false` in an answer, to which the service may add fields";
                found.push((format!("{at}/additionalProperties"), reason.to_owned()));
            }
        }
    }
}
