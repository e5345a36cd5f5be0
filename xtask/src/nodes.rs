//! Holds a spec against the table of OpenAPI's keywords, and gathers its objects for the rules.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::build::{Problem, Spec, escape};
use crate::keywords::{Keys, Kind, OPENAPI, Shape};

/// An object of the spec, or the `$ref` that stands in its place.
pub struct Node<'a> {
    pub shape: &'static Shape,
    pub value: &'a Value,
    pub reference: Option<&'a str>,
}

/// Every object of a spec, by JSON pointer.
pub struct Nodes<'a> {
    spec: &'a Spec,
    nodes: BTreeMap<String, Node<'a>>,
    /// What the table does not allow. What has the wrong type is not among the nodes.
    pub problems: Vec<Problem>,
}

impl<'a> Nodes<'a> {
    pub fn gather(spec: &'a Spec) -> Self {
        let mut nodes = Self { spec, nodes: BTreeMap::new(), problems: Vec::new() };
        nodes.visit(String::new(), &spec.value, Kind::Object(&OPENAPI), "the document");
        nodes
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Node<'a>)> {
        self.nodes.iter().map(|(pointer, node)| (pointer.as_str(), node))
    }

    /// The objects of one shape, without those that are only referred to.
    pub fn of(&self, shape: &'static Shape) -> impl Iterator<Item = (&str, &'a Value)> {
        self.iter()
            .filter(move |(_, node)| node.shape == shape && node.reference.is_none())
            .map(|(pointer, node)| (pointer, node.value))
    }

    pub fn get(&self, pointer: &str) -> Option<&Node<'a>> {
        self.nodes.get(pointer)
    }

    /// The object at a pointer, and all that lie in it.
    pub fn within(&self, pointer: &str) -> impl Iterator<Item = (&str, &Node<'a>)> {
        let inner = format!("{pointer}/");
        let below = self.nodes.range(inner.clone()..).take_while(move |(at, _)| at.starts_with(&inner));
        self.nodes.get_key_value(pointer).into_iter().chain(below).map(|(at, node)| (at.as_str(), node))
    }

    /// The pointer that the `$ref` at a pointer names, if an object of the same shape is there.
    pub fn target(&self, pointer: &str) -> Option<&'a str> {
        let node = self.nodes.get(pointer)?;
        let target = node.reference?.strip_prefix('#')?;
        self.nodes.get(target).filter(|found| found.shape == node.shape).map(|_| target)
    }

    /// The object itself, or the one that its `$ref` leads to in the end; nothing if it leads nowhere or in a circle.
    pub fn follow(&self, pointer: &str) -> Option<(&str, &'a Value)> {
        let mut seen = BTreeSet::new();
        let (mut at, mut node) = self.nodes.get_key_value(pointer)?;
        while node.reference.is_some() {
            if !seen.insert(at) {
                return None;
            }
            (at, node) = self.nodes.get_key_value(self.target(at)?)?;
        }
        Some((at, node.value))
    }

    fn visit(&mut self, pointer: String, value: &'a Value, kind: Kind, label: &str) {
        let expected = match (kind, value) {
            (Kind::Any, _) | (Kind::Text, Value::String(_)) | (Kind::Number, Value::Number(_)) => return,
            (Kind::Flag | Kind::FlagOrObject(_), Value::Bool(_)) => return,
            (Kind::Count, Value::Number(number)) if number.is_u64() => return,
            (Kind::Choice(known), Value::String(text)) if known.contains(&text.as_str()) => return,
            (Kind::Filled(_), Value::Array(items)) if items.is_empty() => "at least one item".to_owned(),
            (Kind::List(kind) | Kind::Filled(kind), Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    self.visit(format!("{pointer}/{index}"), item, *kind, &format!("an item of {label}"));
                }
                return;
            }
            (Kind::Map(keys, kind), Value::Object(map)) => return self.visit_map(&pointer, map, keys, *kind),
            (Kind::Object(shape) | Kind::FlagOrObject(shape), Value::Object(map)) => {
                let reference = map.get("$ref").filter(|_| shape.referable);
                match reference {
                    Some(reference) => self.visit_reference(&pointer, map, reference),
                    None => self.visit_object(&pointer, map, shape),
                }
                let reference = reference.map(|reference| reference.as_str().unwrap_or_default());
                self.nodes.insert(pointer, Node { shape, value, reference });
                return;
            }
            (Kind::Text, _) => "text".to_owned(),
            (Kind::Flag, _) => "true or false".to_owned(),
            (Kind::Number, _) => "a number".to_owned(),
            (Kind::Count, _) => "a whole number, 0 or more".to_owned(),
            (Kind::Choice(known), _) => format!("one of {}", known.join(", ")),
            (Kind::List(_) | Kind::Filled(_), _) => "a list".to_owned(),
            (Kind::Map(..) | Kind::Object(_), _) => "an object".to_owned(),
            (Kind::FlagOrObject(_), _) => "true, false or an object".to_owned(),
        };
        self.report(&pointer, format!("{label} is {}, expected {expected}", describe(value)));
    }

    fn visit_map(&mut self, pointer: &str, map: &'a Map<String, Value>, keys: Keys, kind: Kind) {
        for (name, value) in map {
            let child = format!("{pointer}/{}", escape(name));
            let problem = match keys {
                Keys::Path | Keys::Status if name.starts_with("x-") => continue,
                Keys::Path if !name.starts_with('/') => "is not a path, it does not start with `/`",
                Keys::Status if !is_status(name) => "is neither a status nor `default`",
                Keys::Component if !is_component_name(name) => "is not a name: only letters, digits, `.`, `-` and `_`",
                _ => {
                    self.visit(child, value, kind, &format!("`{name}`"));
                    continue;
                }
            };
            self.report(&child, format!("`{name}` {problem}"));
        }
    }

    fn visit_object(&mut self, pointer: &str, map: &'a Map<String, Value>, shape: &'static Shape) {
        for (name, value) in map {
            let child = format!("{pointer}/{}", escape(name));
            match shape.keywords.iter().find(|(keyword, _)| keyword == name) {
                Some((_, kind)) => self.visit(child, value, *kind, &format!("`{name}`")),
                None if name.starts_with("x-") => {}
                None => self.report(&child, format!("`{name}` is not a keyword of {}", shape.name)),
            }
        }
        for keyword in shape.required.iter().filter(|keyword| !map.contains_key(**keyword)) {
            self.report(pointer, format!("{} without `{keyword}`", shape.name));
        }
    }

    fn visit_reference(&mut self, pointer: &str, map: &Map<String, Value>, reference: &Value) {
        if !reference.is_string() {
            self.report(&format!("{pointer}/$ref"), format!("`$ref` is {}, expected text", describe(reference)));
        }
        for name in map.keys().filter(|name| *name != "$ref") {
            self.report(&format!("{pointer}/{}", escape(name)), format!("`{name}` beside a `$ref` has no effect"));
        }
    }

    fn report(&mut self, pointer: &str, reason: String) {
        self.problems.push(self.spec.problem(pointer, reason));
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.len() > 60 => "a text".to_owned(),
        Value::String(text) => format!("`{text}`"),
        Value::Array(items) if items.is_empty() => "an empty list".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// `default`, a status, or a range of them as in `4XX`.
fn is_status(name: &str) -> bool {
    name == "default"
        || matches!(name.as_bytes(), [b'1'..=b'5', rest @ ..] if rest == b"XX" || matches!(rest, [a, b] if a.is_ascii_digit() && b.is_ascii_digit()))
}

fn is_component_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses() {
        for name in ["default", "100", "204", "599", "4XX"] {
            assert!(is_status(name), "{name}");
        }
        for name in ["", "20", "2000", "600", "099", "4xx", "4X0", "Default", "20a"] {
            assert!(!is_status(name), "{name}");
        }
    }
}
