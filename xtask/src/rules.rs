//! What a spec must be before anything is generated from it.

use std::collections::{BTreeMap, BTreeSet};

use openapiv3::OpenAPI;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::build::{METHODS, Problem, Spec, escape};
use crate::keywords::{
    HEADER, MEDIA_TYPE, OPENAPI, OPERATION, PARAMETER, REQUEST_BODY, RESPONSE, SCHEMA, SECURITY_SCHEME,
};
use crate::nodes::Nodes;
use crate::schemas::Finding;
use crate::{examples, schemas};

/// Where a statement of the spec may come from.
const SOURCES: [&str; 3] = ["vendor", "software", "users"];

/// Everything that is wrong with a spec, by line.
pub fn check(spec: &Spec) -> Vec<Problem> {
    let mut nodes = Nodes::gather(spec);
    let mut problems = std::mem::take(&mut nodes.problems);
    let mut found = Vec::new();
    check_document(&nodes, &mut found);
    check_references(&nodes, &mut found);
    check_operations(&nodes, &mut found);
    check_paths(&nodes, &mut found);
    check_parameters(&nodes, &mut found);
    check_contents(&nodes, &mut found);
    found.extend(schemas::check(&nodes));
    let circles = schemas::circles(&nodes);
    if circles.is_empty() {
        let (misfits, unusable) = examples::check(&nodes);
        found.extend(misfits);
        // Whatever makes a schema unusable was found before, with its line; this is for what was not.
        if problems.is_empty() && found.is_empty() {
            found = unusable;
        }
    }
    found.extend(circles);
    problems.extend(found.into_iter().map(|(pointer, reason)| spec.problem(&pointer, reason)));
    if problems.is_empty() {
        problems = check_openapi(spec, &nodes);
    }
    sorted(problems)
}

/// By line, each once.
pub fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by(|a, b| (&a.file, a.line, &a.place, &a.reason).cmp(&(&b.file, b.line, &b.place, &b.reason)));
    problems.dedup_by(|a, b| (&a.file, a.line, &a.place, &a.reason) == (&b.file, b.line, &b.place, &b.reason));
    problems
}

fn check_document(nodes: &Nodes<'_>, found: &mut Vec<Finding>) {
    let Some(document) = nodes.get("").map(|node| node.value) else { return };
    if document.get("openapi").and_then(Value::as_str).is_some_and(|version| !version.starts_with("3.0.")) {
        found.push(("/openapi".to_owned(), "not OpenAPI 3.0".to_owned()));
    }
    let mut names = BTreeSet::new();
    for (index, tag) in document.get("tags").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let Some(name) = tag.get("name").and_then(Value::as_str) else { continue };
        if !names.insert(name) {
            found.push((format!("/tags/{index}"), format!("tag `{name}` is declared twice")));
        }
    }
    check_security(nodes, "", document, found);
}

fn check_references(nodes: &Nodes<'_>, found: &mut Vec<Finding>) {
    for (pointer, node) in nodes.iter() {
        let Some(reference) = node.reference.filter(|_| nodes.target(pointer).is_none()) else { continue };
        if !node.value["$ref"].is_string() {
            continue;
        }
        let there = reference.strip_prefix('#').and_then(|target| nodes.get(target));
        let reason = match there {
            Some(other) => format!("$ref `{reference}` leads to {}, not to {}", other.shape.name, node.shape.name),
            None => format!("$ref `{reference}` leads nowhere"),
        };
        found.push((format!("{pointer}/$ref"), reason));
    }
}

fn check_operations(nodes: &Nodes<'_>, found: &mut Vec<Finding>) {
    let declared: BTreeSet<_> = nodes
        .get("")
        .and_then(|document| document.value.get("tags"))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|tag| tag.get("name")?.as_str())
        .collect();
    let mut ids = BTreeMap::new();
    for (pointer, operation) in nodes.of(&OPERATION) {
        let mut report = |keyword: &str, reason: String| found.push((format!("{pointer}{keyword}"), reason));
        match operation.get("operationId").and_then(Value::as_str) {
            None => report("", "no `operationId`".to_owned()),
            Some(id) => {
                if !is_snake_case(id) {
                    report("/operationId", format!("operationId `{id}` is not snake_case"));
                }
                if let Some(first) = ids.insert(id, pointer) {
                    report("/operationId", format!("operationId `{id}` is also that of {}", address(first)));
                }
            }
        }
        if operation.get("summary").and_then(Value::as_str).is_none_or(is_blank) {
            report("", "no `summary`".to_owned());
        }
        let tags = operation.get("tags").and_then(Value::as_array);
        if tags.is_none_or(Vec::is_empty) {
            report("", "no `tags`".to_owned());
        }
        for (index, tag) in tags.into_iter().flatten().filter_map(Value::as_str).enumerate() {
            if !declared.contains(tag) {
                report(&format!("/tags/{index}"), format!("tag `{tag}` is not declared"));
            }
        }
        if operation.get("security").is_none() {
            report("", "no `security` of its own (`security: []` for none)".to_owned());
        }
        if operation.get("responses").and_then(Value::as_object).is_some_and(Map::is_empty) {
            report("/responses", "no responses".to_owned());
        }
        check_source(pointer, operation, found);
        check_security(nodes, pointer, operation, found);
    }
}

fn check_source(pointer: &str, described: &Value, found: &mut Vec<Finding>) {
    match described.get("x-source") {
        None => found.push((pointer.to_owned(), "no `x-source`".to_owned())),
        Some(Value::String(source)) if SOURCES.contains(&source.as_str()) => {}
        Some(_) => {
            found.push((format!("{pointer}/x-source"), format!("`x-source` is none of {}", SOURCES.join(", "))));
        }
    }
}

/// The schemes that an operation, or the document for all, names.
fn check_security(nodes: &Nodes<'_>, pointer: &str, holder: &Value, found: &mut Vec<Finding>) {
    for (index, requirement) in holder.get("security").and_then(Value::as_array).into_iter().flatten().enumerate() {
        for (name, scopes) in requirement.as_object().into_iter().flatten() {
            let at = format!("{pointer}/security/{index}/{}", escape(name));
            let scheme = nodes.follow(&format!("/components/securitySchemes/{}", escape(name)));
            let Some((_, scheme)) = scheme else {
                found.push((at, format!("security scheme `{name}` does not exist")));
                continue;
            };
            let kind = scheme.get("type").and_then(Value::as_str).unwrap_or_default();
            if matches!(kind, "http" | "apiKey") && scopes.as_array().is_some_and(|scopes| !scopes.is_empty()) {
                found.push((at, format!("a security scheme of type {kind} has no scopes")));
            }
        }
    }
}

fn check_paths(nodes: &Nodes<'_>, found: &mut Vec<Finding>) {
    let paths = nodes.get("").and_then(|document| document.value.get("paths")).and_then(Value::as_object);
    let mut templates = BTreeMap::new();
    for (path, item) in paths.into_iter().flatten().filter(|(path, _)| path.starts_with('/')) {
        let at = format!("/paths/{}", escape(path));
        let Some((names, template)) = placeholders(path) else {
            found.push((at, format!("the braces of `{path}` do not match")));
            continue;
        };
        if let Some(other) = templates.insert(template, path) {
            found.push((at.clone(), format!("`{path}` is the same path as `{other}`")));
        }
        for (index, name) in names.iter().enumerate() {
            if names.iter().take(index).any(|earlier| earlier == name) {
                found.push((at.clone(), format!("path parameter `{name}` stands twice in `{path}`")));
            }
        }
        let shared = declared(nodes, &at, &names, found);
        for method in METHODS.iter().filter(|method| item.get(method).is_some_and(Value::is_object)) {
            let at = format!("{at}/{method}");
            let own = declared(nodes, &at, &names, found);
            for name in names.iter().filter(|name| !shared.contains(*name) && !own.contains(*name)) {
                found.push((at.clone(), format!("path parameter `{name}` is not declared")));
            }
        }
    }
}

/// The path parameters that a path item or an operation declares.
fn declared<'a>(nodes: &Nodes<'a>, pointer: &str, names: &[&str], found: &mut Vec<Finding>) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut declared = BTreeSet::new();
    for index in 0.. {
        let at = format!("{pointer}/parameters/{index}");
        if nodes.get(&at).is_none() {
            break;
        }
        let Some((_, parameter)) = nodes.follow(&at) else { continue };
        let text = |keyword| parameter.get(keyword).and_then(Value::as_str);
        let (Some(name), Some(place)) = (text("name"), text("in")) else { continue };
        if !seen.insert((place, name)) {
            found.push((at.clone(), format!("{place} parameter `{name}` is declared twice")));
        }
        if place == "path" {
            declared.insert(name);
            if !names.contains(&name) {
                found.push((at, format!("path parameter `{name}` does not stand in the path")));
            }
        }
    }
    declared
}

/// The names in the braces of a path, and the path without them; nothing if the braces do not match.
fn placeholders(path: &str) -> Option<(Vec<&str>, String)> {
    let mut pieces = path.split('{');
    let mut template = pieces.next().filter(|start| !start.contains('}'))?.to_owned();
    let mut names = Vec::new();
    for piece in pieces {
        let (name, rest) = piece.split_once('}')?;
        if name.is_empty() || rest.contains('}') {
            return None;
        }
        names.push(name);
        template = template + "{}" + rest;
    }
    Some((names, template))
}

fn check_parameters(nodes: &Nodes<'_>, found: &mut Vec<Finding>) {
    for (pointer, parameter) in nodes.of(&PARAMETER) {
        let name = parameter.get("name").and_then(Value::as_str).unwrap_or_default();
        if parameter.get("in").and_then(Value::as_str) == Some("path")
            && parameter.get("required") != Some(&true.into())
        {
            found.push((pointer.to_owned(), format!("path parameter `{name}` is not `required: true`")));
        }
        if parameter.get("example").is_none() {
            found.push((pointer.to_owned(), format!("parameter `{name}` has no `example`")));
        }
    }
    for (pointer, holder) in nodes.of(&PARAMETER).chain(nodes.of(&HEADER)) {
        if holder.get("schema").is_some() == holder.get("content").is_some() {
            found.push((pointer.to_owned(), "not exactly one of `schema` and `content`".to_owned()));
        }
    }
    for (pointer, holder) in nodes.of(&PARAMETER).chain(nodes.of(&HEADER)).chain(nodes.of(&MEDIA_TYPE)) {
        if holder.get("example").is_some() && holder.get("examples").is_some() {
            found.push((format!("{pointer}/examples"), "`example` and `examples` exclude each other".to_owned()));
        }
    }
}

/// Responses and request bodies.
fn check_contents(nodes: &Nodes<'_>, found: &mut Vec<Finding>) {
    for (pointer, response) in nodes.of(&RESPONSE) {
        check_source(pointer, response, found);
        if response.get("description").and_then(Value::as_str).is_some_and(is_blank) {
            found.push((format!("{pointer}/description"), "no `description`".to_owned()));
        }
    }
    for (pointer, body) in nodes.of(&REQUEST_BODY) {
        if body.get("content").and_then(Value::as_object).is_some_and(Map::is_empty) {
            found.push((format!("{pointer}/content"), "a request body without a media type".to_owned()));
        }
    }
    for (pointer, holder) in nodes.of(&RESPONSE).chain(nodes.of(&REQUEST_BODY)) {
        for (name, media) in holder.get("content").and_then(Value::as_object).into_iter().flatten() {
            let examples = media.get("examples").and_then(Value::as_object);
            if media.is_object() && media.get("example").is_none() && examples.is_none_or(Map::is_empty) {
                found.push((format!("{pointer}/content/{}", escape(name)), format!("no example for `{name}`")));
            }
        }
    }
}

/// What openapiv3, by which the generator reads the spec, does not accept: the smallest objects that fail.
fn check_openapi(spec: &Spec, nodes: &Nodes<'_>) -> Vec<Problem> {
    fn read<T: DeserializeOwned>(value: &Value) -> Option<String> {
        serde_json::from_value::<T>(value.clone()).err().map(|error| error.to_string())
    }
    let Some(error) = read::<OpenAPI>(&spec.value) else { return Vec::new() };
    let mut failed: Vec<(&str, String)> = Vec::new();
    for (pointer, node) in nodes.iter().filter(|(_, node)| node.reference.is_none()) {
        let error = match node.shape {
            shape if *shape == OPENAPI => Some(error.clone()),
            shape if *shape == OPERATION => read::<openapiv3::Operation>(node.value),
            shape if *shape == PARAMETER => read::<openapiv3::Parameter>(node.value),
            shape if *shape == HEADER => read::<openapiv3::Header>(node.value),
            shape if *shape == MEDIA_TYPE => read::<openapiv3::MediaType>(node.value),
            shape if *shape == RESPONSE => read::<openapiv3::Response>(node.value),
            shape if *shape == SCHEMA => read::<openapiv3::Schema>(node.value),
            shape if *shape == SECURITY_SCHEME => read::<openapiv3::SecurityScheme>(node.value),
            _ => None,
        };
        failed.extend(error.map(|error| (pointer, error)));
    }
    let holds_another = |pointer: &str| {
        let inner = format!("{pointer}/");
        failed.iter().any(|(other, _)| other.starts_with(&inner))
    };
    let smallest = failed.iter().filter(|(pointer, _)| !holds_another(pointer));
    smallest.map(|(pointer, error)| spec.problem(pointer, format!("not OpenAPI 3.0: {error}"))).collect()
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

fn is_snake_case(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.split('_').all(|word| !word.is_empty())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// `POST /token` for the pointer to an operation.
fn address(pointer: &str) -> String {
    let (path, method) = pointer.rsplit_once('/').unwrap_or(("", pointer));
    let path = path.strip_prefix("/paths/").unwrap_or(path).replace("~1", "/").replace("~0", "~");
    format!("{} {path}", method.to_uppercase())
}
