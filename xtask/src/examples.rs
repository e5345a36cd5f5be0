//! Holds every example against its schema.
//!
//! The schemas of OpenAPI 3.0 are a dialect: they are converted to JSON Schema 2020-12, and a library does the rest.
//! `readOnly` and `writeOnly` make no difference here.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::rc::Rc;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, ValidationError, Validator};
use serde_json::{Map, Value, json};

use crate::build::escape;
use crate::keywords::{HEADER, MEDIA_TYPE, PARAMETER, SCHEMA, Shape};
use crate::nodes::Nodes;
use crate::schemas::Finding;

/// How a schema is converted: as it is, which says whether an example is valid; or with its objects closed, which says
/// what an example has that the schema does not know.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mode {
    Open,
    /// Closed, and nothing else: a property is known, also if its value or its neighbours are wrong.
    OnlyClosed,
    /// Closed, and with all that tells one alternative of `oneOf` or `anyOf` from another.
    Closed,
}

/// The examples that do not fit, and the schemas that cannot be used.
pub fn check(nodes: &Nodes<'_>) -> (Vec<Finding>, Vec<Finding>) {
    let mut found = Vec::new();
    let mut unusable = Vec::new();
    let mut compiled = BTreeMap::new();
    for (schema, at, example) in examples(nodes, &mut found) {
        let Some((schema, _)) = nodes.follow(&schema) else { continue };
        let mut validator = |mode| {
            let compile = || compile(nodes, schema, mode, &mut unusable);
            compiled.entry((schema.to_owned(), mode)).or_insert_with(compile).clone()
        };
        let Some(open) = validator(Mode::Open) else { continue };
        // Compiling is what takes the time; only what has properties can have an unknown one.
        let has_properties = example.is_object() || example.is_array();
        let closed = if has_properties { validator(Mode::OnlyClosed) } else { None };
        found.extend(
            misfits(example, &open, closed.as_deref()).into_iter().map(|(below, reason)| (at.clone() + &below, reason)),
        );
    }
    (found, unusable)
}

/// Each example with the pointers to its schema and to itself.
fn examples<'a>(nodes: &Nodes<'a>, found: &mut Vec<Finding>) -> Vec<(String, String, &'a Value)> {
    let mut examples = Vec::new();
    for (pointer, schema) in nodes.of(&SCHEMA) {
        for keyword in ["example", "default"] {
            if let Some(example) = schema.get(keyword) {
                examples.push((pointer.to_owned(), format!("{pointer}/{keyword}"), example));
            }
        }
        for (index, value) in schema.get("enum").and_then(Value::as_array).into_iter().flatten().enumerate() {
            examples.push((pointer.to_owned(), format!("{pointer}/enum/{index}"), value));
        }
    }
    let shapes: [&'static Shape; 3] = [&PARAMETER, &HEADER, &MEDIA_TYPE];
    for (pointer, holder) in shapes.into_iter().flat_map(|shape| nodes.of(shape)) {
        let mut of_this = Vec::new();
        if let Some(example) = holder.get("example") {
            of_this.push((format!("{pointer}/example"), example));
        }
        for (name, _) in holder.get("examples").and_then(Value::as_object).into_iter().flatten() {
            let Some((at, example)) = nodes.follow(&format!("{pointer}/examples/{}", escape(name))) else { continue };
            match example.get("value") {
                Some(value) => of_this.push((format!("{at}/value"), value)),
                None => found.push((at.to_owned(), format!("example `{name}` has no `value`"))),
            }
        }
        if holder.get("schema").is_none() && !of_this.is_empty() {
            found.push((pointer.to_owned(), "examples without a `schema`".to_owned()));
        }
        examples.extend(of_this.into_iter().map(|(at, value)| (format!("{pointer}/schema"), at, value)));
    }
    examples
}

fn compile(nodes: &Nodes<'_>, pointer: &str, mode: Mode, unusable: &mut Vec<Finding>) -> Option<Rc<Validator>> {
    let schema = Conversion { nodes, targets: Vec::new() }.document(pointer, mode);
    let built = jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true).build(&schema);
    built
        .map(Rc::new)
        .map_err(|error| unusable.push((pointer.to_owned(), format!("not a usable schema: {error}"))))
        .ok()
}

struct Conversion<'a> {
    nodes: &'a Nodes<'a>,
    /// What is referred to, in the order of the definitions.
    targets: Vec<(String, Mode)>,
}

impl Conversion<'_> {
    fn document(mut self, pointer: &str, mode: Mode) -> Value {
        let mut root = self.value(pointer, mode);
        let mut definitions = Map::new();
        // Converting one may add others.
        while let Some((target, mode)) = self.targets.get(definitions.len()).cloned() {
            let schema = self.schema(&target, mode);
            definitions.insert(definitions.len().to_string(), schema.into());
        }
        root.insert("$defs".to_owned(), definitions.into());
        root.into()
    }

    /// A schema where it begins to speak about a value; not where it is a part of another that speaks about the same.
    fn value(&mut self, pointer: &str, mode: Mode) -> Map<String, Value> {
        let mut schema = self.schema(pointer, mode);
        // A schema that says nothing about the value lets it have any property.
        let says_what = |schema: &Value| {
            ["type", "properties", "allOf", "oneOf", "anyOf"].iter().any(|keyword| schema.get(keyword).is_some())
        };
        if mode != Mode::Open && self.nodes.follow(pointer).is_some_and(|(_, schema)| says_what(schema)) {
            schema.insert("unevaluatedProperties".to_owned(), false.into());
        }
        schema
    }

    fn schema(&mut self, pointer: &str, mode: Mode) -> Map<String, Value> {
        let mut converted = Map::new();
        let Some(node) = self.nodes.get(pointer) else { return converted };
        if node.reference.is_some() {
            if let Some(target) = self.nodes.target(pointer) {
                let target = (target.to_owned(), mode);
                let index = self.targets.iter().position(|known| *known == target).unwrap_or_else(|| {
                    self.targets.push(target);
                    self.targets.len() - 1
                });
                converted.insert("$ref".to_owned(), format!("#/$defs/{index}").into());
            }
            return converted;
        }
        for (keyword, value) in node.value.as_object().into_iter().flatten() {
            let at = format!("{pointer}/{keyword}");
            let (keyword, value): (_, Value) = match (keyword.as_str(), value) {
                ("allOf", Value::Array(parts)) => ("allOf", self.parts(&at, parts.len(), mode)),
                // Which alternatives fit, and whether too many do, is the business of the open schema.
                ("oneOf" | "anyOf", Value::Array(parts)) if mode != Mode::Open => {
                    ("anyOf", self.parts(&at, parts.len(), Mode::Closed))
                }
                (keyword @ ("oneOf" | "anyOf"), Value::Array(parts)) => (keyword, self.parts(&at, parts.len(), mode)),
                ("items", _) => ("items", self.value(&at, mode).into()),
                ("properties", Value::Object(properties)) => {
                    let convert =
                        |name| (String::clone(name), self.value(&format!("{at}/{}", escape(name)), mode).into());
                    ("properties", Value::Object(properties.keys().map(convert).collect()))
                }
                ("additionalProperties", Value::Object(_)) => ("additionalProperties", self.value(&at, mode).into()),
                ("additionalProperties", Value::Bool(true)) => ("additionalProperties", true.into()),
                (keyword, value) if mode != Mode::OnlyClosed => match constraint(keyword, value, node.value) {
                    Some(("not", _)) => ("not", self.schema(&at, Mode::Open).into()),
                    Some(constraint) => constraint,
                    None => continue,
                },
                _ => continue,
            };
            converted.insert(keyword.to_owned(), value);
        }
        converted
    }

    fn parts(&mut self, pointer: &str, count: usize, mode: Mode) -> Value {
        (0..count).map(|index| self.schema(&format!("{pointer}/{index}"), mode)).collect()
    }
}

/// What a keyword of OpenAPI 3.0 is in JSON Schema; nothing for descriptions, examples and the like.
fn constraint<'a>(keyword: &'a str, value: &Value, schema: &Value) -> Option<(&'a str, Value)> {
    let is_true = |keyword| schema.get(keyword) == Some(&Value::Bool(true));
    Some(match keyword {
        "type" if is_true("nullable") => ("type", json!([value, "null"])),
        "minimum" if is_true("exclusiveMinimum") => ("exclusiveMinimum", value.clone()),
        "maximum" if is_true("exclusiveMaximum") => ("exclusiveMaximum", value.clone()),
        "type"
        | "format"
        | "enum"
        | "not"
        | "required"
        | "pattern"
        | "minimum"
        | "maximum"
        | "multipleOf"
        | "minLength"
        | "maxLength"
        | "minItems"
        | "maxItems"
        | "uniqueItems"
        | "minProperties"
        | "maxProperties"
        | "additionalProperties" => (keyword, value.clone()),
        _ => return None,
    })
}

/// What is wrong with an example, by the place in it.
#[derive(Default)]
struct Errors {
    invalid: Vec<Finding>,
    unknown: Vec<(String, Vec<String>)>,
    /// Where no alternative fits, so that nothing is known about the properties of the value.
    unsure: Vec<String>,
}

fn misfits(example: &Value, open: &Validator, closed: Option<&Validator>) -> Vec<Finding> {
    let mut found = Errors::of(example, open).invalid;
    let Some(closed) = closed else { return found };
    let mut errors = Errors::of(example, closed);
    // A property that has something unknown in it is not known either, to the library: the innermost first.
    errors.unknown.sort_by_key(|(at, _)| Reverse(at.len()));
    for (at, names) in errors.unknown.into_iter().filter(|(at, _)| !errors.unsure.contains(at)) {
        for name in names {
            let at = format!("{at}/{}", escape(&name));
            let is_within =
                |other: &str| other.strip_prefix(&at).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            if !found.iter().any(|(other, _)| is_within(other)) {
                found.push((at, format!("the schema knows no property `{name}`")));
            }
        }
    }
    if found.is_empty() && !closed.is_valid(example) {
        found.push((String::new(), "the example has a property that its schema does not know".to_owned()));
    }
    found
}

impl Errors {
    fn of(example: &Value, validator: &Validator) -> Self {
        let mut errors = Self::default();
        validator.iter_errors(example).for_each(|error| errors.add(&error));
        errors
    }

    fn add(&mut self, error: &ValidationError<'_>) {
        let at = error.instance_path().as_str().to_owned();
        match error.kind() {
            ValidationErrorKind::UnevaluatedProperties { unexpected } => self.unknown.push((at, unexpected.clone())),
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                for name in unexpected {
                    self.invalid
                        .push((format!("{at}/{}", escape(name)), format!("the schema allows no property `{name}`")));
                }
            }
            ValidationErrorKind::OneOfNotValid { context } | ValidationErrorKind::AnyOf { context } => {
                self.unsure.push(at.clone());
                match closest(&at, context) {
                    Some(errors) => errors.iter().for_each(|error| self.add(error)),
                    None => {
                        self.invalid.push((at, "the example fits none of the alternatives of its schema".to_owned()))
                    }
                }
            }
            ValidationErrorKind::OneOfMultipleValid { .. } => {
                self.invalid.push((at, "the example fits more than one of the alternatives of its schema".to_owned()));
            }
            _ if error.instance().is_object() || error.instance().is_array() => {
                self.invalid.push((at, format!("the example does not fit its schema: {}", error.masked())));
            }
            _ => self.invalid.push((at, format!("the example does not fit its schema: {error}"))),
        }
    }
}

/// Of the errors of each alternative, those of the one that the value at a place was probably meant for.
fn closest<'a>(
    at: &str,
    alternatives: &'a [Vec<ValidationError<'static>>],
) -> Option<&'a Vec<ValidationError<'static>>> {
    let is_of_another_type = |error: &ValidationError<'_>| {
        error.instance_path().as_str() == at && matches!(error.kind(), ValidationErrorKind::Type { .. })
    };
    let is_wrong =
        |error: &&ValidationError<'_>| !matches!(error.kind(), ValidationErrorKind::UnevaluatedProperties { .. });
    alternatives
        .iter()
        .filter(|errors| !errors.iter().any(is_of_another_type))
        .min_by_key(|errors| (errors.iter().filter(is_wrong).count(), errors.len()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::{env, fs, process};

    use super::*;
    use crate::build::Spec;

    /// What is said about `example` against `schema`, both YAML on one line.
    fn said(schema: &str, example: &str) -> Vec<String> {
        let text = format!(
            "components:\n  schemas:\n    A: {{type: object, required: [a], properties: {{a: {{type: string}}}}}}\n    \
             B: {{type: object, required: [b], properties: {{b: {{type: array, items: {{$ref: '#/components/schemas/A'}}}}}}}}\n    \
             Tree: {{type: object, properties: {{left: {{$ref: '#/components/schemas/Tree'}}}}}}\n    \
             S: {schema}\n  responses:\n    R:\n      content:\n        x/y:\n          \
             schema: {{$ref: '#/components/schemas/S'}}\n          example: {example}\n"
        );
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("gettone-xtask-{}-{}.yaml", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        fs::write(env::temp_dir().join(&name), text).unwrap();
        let spec = Spec::read(&env::temp_dir(), &name);
        fs::remove_file(env::temp_dir().join(&name)).unwrap();
        let spec = spec.unwrap();
        let (found, unusable) = check(&Nodes::gather(&spec));
        assert!(unusable.is_empty(), "{unusable:?}");
        let below = |(at, reason): (String, String)| {
            let at = at.strip_prefix("/components/responses/R/content/x~1y/example").unwrap().to_owned();
            format!("{at}: {}", reason.trim_start_matches("the example does not fit its schema: "))
        };
        found.into_iter().map(below).collect()
    }

    #[track_caller]
    fn assert_said(schema: &str, example: &str, expected: &[&str]) {
        assert_eq!(said(schema, example), expected, "{schema} for {example}");
    }

    #[test]
    fn the_dialect_of_openapi() {
        assert_said("{type: integer, nullable: true}", "null", &[]);
        assert_said("{type: integer}", "null", &[": null is not of type \"integer\""]);
        assert_said(
            "{type: integer, minimum: 1, exclusiveMinimum: true}",
            "1",
            &[": 1 is less than or equal to the minimum of 1"],
        );
        assert_said("{type: integer, minimum: 1, exclusiveMinimum: false}", "1", &[]);
        assert_said(
            "{type: integer, maximum: 1, exclusiveMaximum: true}",
            "1",
            &[": 1 is greater than or equal to the maximum of 1"],
        );
        assert_said("{type: string, enum: [a], nullable: true}", "null", &[": null is not one of \"a\""]);
        assert_said("{type: string, format: date}", "2022-02-30", &[": \"2022-02-30\" is not a \"date\""]);
        assert_said("{$ref: '#/components/schemas/A', type: integer}", "{a: x}", &[]);
        assert_said("{not: {type: integer}}", "1", &[": {\"type\":\"integer\"} is not allowed for 1"]);
    }

    #[test]
    fn unknown_properties() {
        let a = "{$ref: '#/components/schemas/A'}";
        let b = "{$ref: '#/components/schemas/B'}";
        assert_said(a, "{a: x, b: 1}", &["/b: the schema knows no property `b`"]);
        // Neither a wrong value nor a missing property makes the other properties unknown.
        assert_said(a, "{a: 1, b: 1}", &["/a: 1 is not of type \"string\"", "/b: the schema knows no property `b`"]);
        assert_said(a, "{b: 1}", &[": \"a\" is a required property", "/b: the schema knows no property `b`"]);
        let ab = "{properties: {ab: {type: string}}}";
        assert_said(ab, "{ab: 1, a: 1}", &["/ab: 1 is not of type \"string\"", "/a: the schema knows no property `a`"]);
        assert_said(b, "{b: [{a: x}, {a: x, c: 1}]}", &["/b/1/c: the schema knows no property `c`"]);
        let both = &format!("{{allOf: [{a}, {b}]}}");
        assert_said(both, "{a: x, b: []}", &[]);
        assert_said(both, "{a: x, b: [], c: 1}", &["/c: the schema knows no property `c`"]);
        assert_said(both, "{a: x}", &[": \"b\" is a required property"]);
        let either = &format!("{{oneOf: [{a}, {b}]}}");
        assert_said(either, "{a: x}", &[]);
        assert_said(either, "{a: x, c: 1}", &["/c: the schema knows no property `c`"]);
        assert_said(either, "{b: [{a: x, c: 1}]}", &["/b/0/c: the schema knows no property `c`"]);
        assert_said(either, "{a: x, b: []}", &[": the example fits more than one of the alternatives of its schema"]);
        assert_said(either, "{a: 1}", &["/a: 1 is not of type \"string\""]);
        assert_said(either, "3", &[": the example fits none of the alternatives of its schema"]);
        let tree = "{$ref: '#/components/schemas/Tree'}";
        assert_said(tree, "{left: {left: {right: {}}}}", &["/left/left/right: the schema knows no property `right`"]);
    }

    #[test]
    fn properties_that_need_not_be_known() {
        assert_said("{}", "{a: 1}", &[]);
        assert_said("{description: Anything}", "{a: 1}", &[]);
        assert_said("{type: object}", "{a: 1}", &["/a: the schema knows no property `a`"]);
        assert_said("{type: object, additionalProperties: true}", "{a: 1}", &[]);
        let maps = "{type: object, additionalProperties: {type: object, properties: {a: {type: integer}}}}";
        assert_said(maps, "{x: {a: 1}}", &[]);
        assert_said(maps, "{x: {a: 1, b: 1}}", &["/x/b: the schema knows no property `b`"]);
        assert_said(
            "{properties: {b: {}}, additionalProperties: false}",
            "{a: 1}",
            &["/a: the schema allows no property `a`"],
        );
    }
}
