//! Checks a spec for mistakes that the generator ignores silently.

use jsonschema::error::ValidationErrorKind::UnevaluatedProperties;
use openapiv3::OpenAPI;
use serde_json::{Map, Value, json};

use crate::generate::{Problem, Spec, escape};

/// The sources that an operation or a response may have. An example may have others, which the head of its spec explains.
const SOURCES: [&str; 2] = ["vendor", "software"];

/// Returns everything that is wrong with a spec, by line.
pub fn check(spec: &Spec) -> Vec<Problem> {
    let typed = match spec.typed() {
        Ok(typed) => typed,
        Err(problem) => return vec![problem],
    };
    let mut check = Check { spec, problems: Vec::new(), examples: Vec::new() };
    check.keywords(&typed);
    check.sources();
    check.walk("", &spec.value);
    // With a broken schema, the examples would only repeat its fault.
    if check.problems.is_empty() {
        check.examples();
    }
    check.problems.sort_by_key(|problem| problem.line);
    check.problems
}

struct Check<'a> {
    spec: &'a Spec,
    problems: Vec<Problem>,
    /// A schema, the pointer to an example of it, and the example.
    examples: Vec<(&'a Value, String, &'a Value)>,
}

impl<'a> Check<'a> {
    fn report(&mut self, at: &str, reason: impl Into<String>) {
        self.problems.push(self.spec.problem(at, reason));
    }

    /// Checks the keywords. The generator ignores a misspelled or misplaced one, and so does openapiv3, which therefore
    /// does not write it back.
    fn keywords(&mut self, typed: &OpenAPI) {
        match serde_json::to_value(typed) {
            Ok(kept) => self.lost("", &self.spec.value, &kept),
            Err(error) => self.report("", error.to_string()),
        }
    }

    fn lost(&mut self, at: &str, read: &Value, kept: &Value) {
        match read {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let at = format!("{at}/{}", escape(name));
                    match kept.get(name) {
                        Some(kept) => self.lost(&at, value, kept),
                        // The default, which the specs write out.
                        None if name == "required" && *value == false => {}
                        None => self.report(&at, format!("`{name}` has no effect here")),
                    }
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.lost(&format!("{at}/{index}"), item, &kept[index]);
                }
            }
            _ => {}
        }
    }

    /// Checks the sources: each spec promises to name the source of its statements.
    fn sources(&mut self) {
        for (pointer, operation) in self.spec.operations() {
            let mut sourced = vec![(pointer.clone(), operation.get("x-source"))];
            for (status, response) in operation.get("responses").and_then(Value::as_object).into_iter().flatten() {
                // `walk` finds a reference that leads nowhere.
                let response = self.spec.resolve(&format!("{pointer}/responses/{status}"), response);
                sourced.extend(response.map(|(at, response)| (at, response.get("x-source"))));
            }
            for (at, source) in sourced {
                if !source.and_then(Value::as_str).is_some_and(|source| SOURCES.contains(&source)) {
                    self.report(&(at + "/x-source"), format!("`x-source` is none of {}", SOURCES.join(", ")));
                }
            }
        }
    }

    /// Visits every node but those in examples.
    fn walk(&mut self, at: &str, node: &'a Value) {
        // The generator does not see the references of failures and of schemas that have a hand-written type.
        self.problems.extend(self.spec.resolve(at, node).err());
        for (index, item) in node.as_array().into_iter().flatten().enumerate() {
            self.walk(&format!("{at}/{index}"), item);
        }
        let has_free_names = at.ends_with("/properties");
        let schema = node.get("schema").unwrap_or(node);
        for (name, child) in node.as_object().into_iter().flatten() {
            let at = format!("{at}/{}", escape(name));
            match name.as_str() {
                _ if has_free_names => self.walk(&at, child),
                "example" => self.examples.push((schema, at, child)),
                "examples" => {
                    for (name, example) in child.as_object().into_iter().flatten() {
                        let at = format!("{at}/{}", escape(name));
                        match example.get("value") {
                            Some(value) => self.examples.push((schema, at + "/value", value)),
                            // No schema would be checked against it.
                            None => self.report(&at, "an example without a `value`"),
                        }
                    }
                }
                // OpenAPI 3.0.3: it extends the `type` beside it. Without one, the generated type takes any value.
                "nullable" if node.get("type").is_none() => self.report(&at, "`nullable` without `type` has no effect"),
                // The generated type would reject a response with a field that the service has added.
                "additionalProperties" if *child == false => {
                    self.report(&at, "`false`, but the service may add properties")
                }
                "content" => {
                    for (name, media) in child.as_object().into_iter().flatten() {
                        // The tests of the crate send and read the examples: without one, they skip the response.
                        if media.get("schema").is_none()
                            || ["example", "examples"].iter().all(|key| media.get(key).is_none())
                        {
                            self.report(
                                &format!("{at}/{}", escape(name)),
                                format!("`{name}` without a schema or an example"),
                            );
                        }
                    }
                    self.walk(&at, child);
                }
                "default" | "enum" => {}
                name if name.starts_with("x-") => {}
                _ => self.walk(&at, child),
            }
        }
    }

    /// Checks the examples: the tests of the crate use them as responses of the services, and serde ignores a misspelled
    /// property.
    fn examples(&mut self) {
        let components = json_schema(&self.spec.value["components"]);
        for (schema, at, example) in std::mem::take(&mut self.examples) {
            let mut document = json_schema(schema);
            close(&mut document);
            document["components"] = components.clone();
            let validator = match jsonschema::options().should_validate_formats(true).build(&document) {
                Ok(validator) => validator,
                Err(error) => {
                    let place = error.instance_path().as_str();
                    let place = if place.starts_with("/components/") { place } else { &at };
                    // Every other example of the schema would report the same.
                    return self.report(place, format!("not a usable schema: {error}"));
                }
            };
            let (mut misfits, mut unknown) = (Vec::new(), Vec::new());
            for error in validator.iter_errors(example) {
                let at = format!("{at}{}", error.instance_path());
                match error.kind() {
                    UnevaluatedProperties { unexpected } => unknown.extend(unexpected.iter().map(|name| {
                        (format!("{at}/{}", escape(name)), format!("its schema knows no property `{name}`"))
                    })),
                    // Masked, as the value may be the whole example.
                    _ => misfits.push((at, format!("does not fit its schema: {}", error.masked()))),
                }
            }
            // The library counts a property with a fault inside as unknown too: only the innermost is.
            if misfits.is_empty() {
                misfits.extend(unknown.into_iter().max_by_key(|(at, _)| at.len()));
            }
            for (at, reason) in misfits {
                self.report(&at, reason);
            }
        }
    }
}

/// Returns a schema of OpenAPI 3.0 as JSON Schema that allows no unknown property. The specs use one keyword that differs,
/// `nullable`; the library rejects the others.
fn json_schema(node: &Value) -> Value {
    match node {
        Value::Object(fields) => {
            let mut converted = Map::new();
            for (name, value) in fields {
                let mut value = json_schema(value);
                match (name.as_str(), &mut value) {
                    ("properties", Value::Object(properties)) => properties.values_mut().for_each(close),
                    ("additionalProperties" | "items", value) => close(value),
                    _ => {}
                }
                converted.insert(name.clone(), value);
            }
            if let (Some(Value::Bool(true)), Some(kind)) = (fields.get("nullable"), fields.get("type")) {
                converted.insert("type".to_owned(), json!([kind, "null"]));
            }
            converted.into()
        }
        Value::Array(items) => items.iter().map(json_schema).collect(),
        _ => node.clone(),
    }
}

/// Forbids unknown properties, in a schema that describes a whole value and is not a part of `allOf` or `oneOf`.
fn close(schema: &mut Value) {
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("unevaluatedProperties".to_owned(), false.into());
    }
}
