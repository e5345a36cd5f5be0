//! Generates the typed clients from the hand-written specs beside this file.
//!
//! A spec says what the service does; the generator can express less. So each spec is *lowered* first, in a copy that only
//! the generator sees. `cargo xtask regen` uses this same file, so that what it checks and shows is what is built.

use std::collections::BTreeMap;
use std::mem::discriminant;
use std::path::Path;
use std::{fmt, fs, panic};

use openapiv3::OpenAPI;
use progenitor::{GenerationSettings, Generator, HooksMode};
use quote::quote;
use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};
use serde_json::{Map, Value, json};

/// A service, its spec, and the hand-written types that stand in for schemas of the spec.
pub struct Service {
    pub spec: &'static str,
    pub module: &'static str,
    replacements: &'static [(&'static str, &'static str)],
}

/// The services. In the generated types, secrets, scopes, lifetimes and times are hand-written types, and so are values that
/// the service sends in several forms. `Sent` and `Received` (`src/http/body.rs`) mark whether a type is sent or received.
pub const SERVICES: &[Service] = &[
    Service {
        spec: "spec/keliweb-fatture.yaml",
        module: "keliweb_fatture",
        replacements: &[
            ("ClientSecret", "crate::http::body::Sent<crate::secret::Secret>"),
            ("Password", "crate::http::body::Sent<crate::secret::Secret>"),
            ("RefreshToken", "crate::http::body::Sent<crate::token::RefreshToken>"),
            ("TokenPair", "crate::http::body::Received<crate::keliweb::TokenPair>"),
        ],
    },
    Service {
        spec: "spec/openapi-oauth-v1.yaml",
        module: "openapi_oauth_v1",
        replacements: &[
            ("ScopePattern", "crate::scope::ScopePattern"),
            ("Ttl", "crate::openapi::Ttl"),
            ("UnixSeconds", "crate::json::UnixSeconds"),
            ("Token", "crate::http::body::Received<crate::openapi::v1::ListedToken>"),
            ("CreatedToken", "crate::http::body::Received<crate::openapi::v1::Token>"),
            ("ScopesData", "crate::http::body::Received<crate::openapi::v1::ScopesData>"),
            ("Credit", "crate::http::body::Received<crate::openapi::v1::Credit>"),
            ("Counters", "crate::http::body::Received<crate::openapi::v1::DocumentedCounters>"),
            ("Success", "crate::http::body::Received<crate::http::body::Success>"),
            // `src/http/response.rs` reads them if necessary. Here an odd value must do no harm.
            ("Message", "crate::http::body::Received<::serde::de::IgnoredAny>"),
            ("ErrorCode", "crate::http::body::Received<::serde::de::IgnoredAny>"),
        ],
    },
    Service {
        spec: "spec/openapi-oauth-v2.yaml",
        module: "openapi_oauth_v2",
        replacements: &[
            ("Scope", "crate::scope::Scope"),
            ("Ttl", "crate::openapi::Ttl"),
            ("TokenLimits", "crate::openapi::v2::TokenLimits"),
            // Users see other forms of these than the vendor's schemas have.
            ("TokenResponse", "crate::http::body::Received<crate::openapi::v2::One<crate::openapi::v2::Token>>"),
            ("TokensResponse", "crate::http::body::Received<crate::openapi::v2::Many<crate::openapi::v2::Token>>"),
            ("ScopesResponse", "crate::http::body::Received<crate::openapi::v2::Many<crate::openapi::v2::UserScope>>"),
            ("ScopeResponse", "crate::http::body::Received<crate::openapi::v2::One<crate::openapi::v2::ScopeDetail>>"),
            ("WalletResponse", "crate::http::body::Received<crate::openapi::v2::One<crate::openapi::v2::Wallet>>"),
            (
                "TransactionsResponse",
                "crate::http::body::Received<crate::openapi::v2::Many<crate::openapi::v2::Transaction>>",
            ),
            ("ErrorsResponse", "crate::http::body::Received<crate::openapi::v2::Many<crate::openapi::v2::ErrorLog>>"),
            (
                "CallbacksResponse",
                "crate::http::body::Received<crate::openapi::v2::Many<crate::openapi::v2::Callback>>",
            ),
            ("CallbackResponse", "crate::http::body::Received<crate::openapi::v2::One<crate::openapi::v2::Callback>>"),
            ("StatsResponse", "crate::http::body::Received<crate::openapi::v2::One<crate::openapi::v2::Stats>>"),
            ("StatsApiResponse", "crate::http::body::Received<crate::openapi::v2::One<crate::openapi::v2::ApiStats>>"),
            (
                "SubscriptionsResponse",
                "crate::http::body::Received<crate::openapi::v2::Many<crate::openapi::v2::Subscription>>",
            ),
            (
                "SubscriptionResponse",
                "crate::http::body::Received<crate::openapi::v2::One<crate::openapi::v2::Subscription>>",
            ),
            ("StatsIpsResponse", "crate::http::body::Received<crate::openapi::v2::Many<crate::openapi::v2::Address>>"),
            ("StatsApisResponse", "crate::http::body::Received<crate::openapi::v2::ByDomain>"),
            ("DeletedResponse", "crate::http::body::Received<crate::openapi::v2::Deleted>"),
        ],
    },
];

/// A problem of a spec, and its place.
#[derive(Debug)]
pub struct Problem {
    pub file: String,
    pub line: usize,
    pub place: String,
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        // One line, whatever message the library has.
        f.write_str(&self.reason.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

type Events<'a> = Parser<'a, StrInput<'a>>;

/// A spec that was read: its content, and the line on which each node starts, by JSON pointer.
pub struct Spec {
    pub file: String,
    pub value: Value,
    lines: BTreeMap<String, usize>,
}

impl Spec {
    pub fn read(root: &Path, file: &str) -> Result<Self, Problem> {
        let text = fs::read_to_string(root.join(file)).map_err(|error| Problem {
            file: file.to_owned(),
            line: 1,
            place: String::new(),
            reason: format!("cannot be read: {error}"),
        })?;
        let mut spec = Self { file: file.to_owned(), value: Value::Null, lines: BTreeMap::new() };
        let mut events = Parser::new_from_str(&text);
        for expected in [Event::StreamStart, Event::DocumentStart(false)] {
            let (event, line) = spec.next(&mut events)?;
            if discriminant(&event) != discriminant(&expected) {
                return Err(spec.problem_on(line, "no YAML document, expected one"));
            }
        }
        let first = spec.next(&mut events)?;
        spec.value = spec.node(first, String::new(), &mut events)?;
        for expected in [Event::DocumentEnd, Event::StreamEnd] {
            let (event, line) = spec.next(&mut events)?;
            if event != expected {
                return Err(spec.problem_on(line, "a second YAML document, expected one"));
            }
        }
        Ok(spec)
    }

    /// Returns the next event of the parser, and its line.
    fn next<'a>(&self, events: &mut Events<'a>) -> Result<(Event<'a>, usize), Problem> {
        match events.next() {
            Some(Ok((event, span))) => Ok((event, span.start.line())),
            Some(Err(error)) => Err(self.problem_on(error.marker().line(), format!("not YAML: {error}"))),
            None => Err(self.problem_on(1, "not YAML: it has no end")),
        }
    }

    /// Reads the node that begins with an event.
    fn node<'a>(
        &mut self,
        (event, line): (Event<'a>, usize),
        pointer: String,
        events: &mut Events<'a>,
    ) -> Result<Value, Problem> {
        self.lines.entry(pointer.clone()).or_insert(line);
        match event {
            Event::Scalar(text, style, 0, None) => Ok(scalar(&text, style)),
            Event::SequenceStart(0, None) => {
                let mut items = Vec::new();
                loop {
                    match self.next(events)? {
                        (Event::SequenceEnd, _) => return Ok(items.into()),
                        item => items.push(self.node(item, format!("{pointer}/{}", items.len()), events)?),
                    }
                }
            }
            Event::MappingStart(0, None) => {
                let mut map = Map::new();
                loop {
                    let (name, line) = match self.next(events)? {
                        (Event::MappingEnd, _) => return Ok(map.into()),
                        // Also `200:` without quotes, which is a number to YAML and a text to OpenAPI.
                        (Event::Scalar(name, _, 0, None), line) => (name.into_owned(), line),
                        _ => return Err(self.problem(&pointer, "a key that is not text")),
                    };
                    let child = format!("{pointer}/{}", escape(&name));
                    if self.lines.insert(child.clone(), line).is_some() {
                        return Err(self.problem_on(line, format!("not YAML: key `{name}` for the second time")));
                    }
                    let value = self.next(events)?;
                    map.insert(name, self.node(value, child, events)?);
                }
            }
            _ => Err(self.problem(&pointer, "a YAML tag, anchor or alias; write the value out")),
        }
    }

    fn problem_on(&self, line: usize, reason: impl Into<String>) -> Problem {
        Problem { file: self.file.clone(), line, place: String::new(), reason: reason.into() }
    }

    /// Returns the spec as the generator reads it, or the smallest part of it that is not OpenAPI 3.0.
    pub fn typed(&self) -> Result<OpenAPI, Problem> {
        let version = self.value["openapi"].as_str().unwrap_or_default();
        if !version.starts_with("3.0.") {
            return Err(self.problem("/openapi", format!("OpenAPI `{version}`; the generator reads 3.0")));
        }
        let read = |value: &Value| serde_json::from_value::<OpenAPI>(value.clone()).map_err(|error| error.to_string());
        read(&self.value).map_err(|reason| {
            let pointer = culprit(&self.value, |value| read(value).is_ok());
            self.problem(&pointer, format!("not OpenAPI 3.0: {reason}"))
        })
    }

    /// Returns a problem at the node that a JSON pointer names, or at the nearest node above it.
    pub fn problem(&self, pointer: &str, reason: impl Into<String>) -> Problem {
        let mut at = pointer;
        let line = loop {
            match self.lines.get(at) {
                Some(line) => break *line,
                None => at = at.rsplit_once('/').map_or("", |(parent, _)| parent),
            }
            if at.is_empty() {
                break self.lines.get("").copied().unwrap_or(1);
            }
        };
        Problem { file: self.file.clone(), line, place: self.place(pointer), reason: reason.into() }
    }

    /// Returns the operation that a pointer is in, by its `operationId` if it has one, otherwise the pointer itself.
    fn place(&self, pointer: &str) -> String {
        let mut parts = pointer.splitn(5, '/').skip(1);
        let (Some("paths"), Some(path), Some(method)) = (parts.next(), parts.next(), parts.next()) else {
            return pointer.to_owned();
        };
        if !METHODS.contains(&method) {
            return pointer.to_owned();
        }
        let id = self.value.pointer(&format!("/paths/{path}/{method}/operationId")).and_then(Value::as_str);
        id.map_or_else(|| format!("{} {}", method.to_uppercase(), path.replace("~1", "/")), str::to_owned)
    }

    /// Returns every operation with its JSON pointer.
    pub fn operations(&self) -> Vec<(String, &Map<String, Value>)> {
        let mut found = Vec::new();
        for (path, item) in self.value["paths"].as_object().into_iter().flatten() {
            for (method, operation) in item.as_object().into_iter().flatten() {
                if let (true, Some(operation)) = (METHODS.contains(&method.as_str()), operation.as_object()) {
                    found.push((format!("/paths/{}/{method}", escape(path)), operation));
                }
            }
        }
        found
    }

    /// Returns the node itself, or the one that its `$ref` names, with the pointer to it.
    pub fn resolve<'a>(&'a self, pointer: &str, node: &'a Value) -> Result<(String, &'a Value), Problem> {
        let Some(reference) = node.get("$ref").and_then(Value::as_str) else {
            return Ok((pointer.to_owned(), node));
        };
        let target =
            reference.strip_prefix('#').and_then(|target| Some((target.to_owned(), self.value.pointer(target)?)));
        target.ok_or_else(|| self.problem(pointer, format!("$ref `{reference}` leads nowhere")))
    }
}

/// Returns the value of a text: without quotes, what is JSON is JSON (the JSON schema of YAML 1.2, section 10.2).
fn scalar(text: &str, style: ScalarStyle) -> Value {
    match serde_json::from_str(text) {
        Ok(value) if style == ScalarStyle::Plain => value,
        _ if style == ScalarStyle::Plain && matches!(text, "" | "~") => Value::Null,
        _ => text.into(),
    }
}

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// Escapes a name for a JSON pointer (RFC 6901, section 3).
pub fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Returns a copy of a spec that the generator can express, or what it cannot express.
pub fn lower(spec: &Spec, service: &Service) -> Result<Value, Problem> {
    let mut lowered = spec.value.clone();
    for (pointer, operation) in spec.operations() {
        let parameters = lower_parameters(spec, &pointer, operation)?;
        let body = lower_body(spec, &pointer, operation)?;
        let responses = lower_responses(spec, &pointer, operation)?;
        let Some(copy) = lowered.pointer_mut(&pointer).and_then(Value::as_object_mut) else { continue };
        copy.insert("parameters".to_owned(), parameters);
        copy.insert("responses".to_owned(), responses);
        copy.extend(body.map(|body| ("requestBody".to_owned(), body)));
    }
    for item in lowered["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut()) {
        // Each operation has them now.
        item.as_object_mut().map(|item| item.remove("parameters"));
    }
    for (schema, _) in service.replacements {
        match lowered.pointer_mut(&format!("/components/schemas/{schema}")) {
            Some(replaced) => *replaced = json!({}),
            None => {
                return Err(
                    spec.problem("/components/schemas", format!("no schema `{schema}`, for which there is a type"))
                );
            }
        }
    }
    keep_only_reachable_schemas(&mut lowered);
    Ok(lowered)
}

/// Removes the schemas that only the failures and the replaced types used. The generator would make public types of them
/// that print their secrets.
fn keep_only_reachable_schemas(lowered: &mut Value) {
    let Some(schemas) = lowered["components"]["schemas"].as_object_mut().map(std::mem::take) else { return };
    let mut reached = Map::new();
    let mut wanted = references(&lowered["paths"]);
    while let Some(name) = wanted.pop() {
        if let (false, Some(schema)) = (reached.contains_key(&name), schemas.get(&name)) {
            wanted.extend(references(schema));
            reached.insert(name, schema.clone());
        }
    }
    lowered["components"] = json!({ "schemas": reached });
}

/// Returns the names of the schemas that a node refers to.
fn references(node: &Value) -> Vec<String> {
    match node {
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, value)| match (key.as_str(), value.as_str()) {
                ("$ref", Some(target)) => vec![target.trim_start_matches("#/components/schemas/").to_owned()],
                _ => references(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// Makes plain strings of path and query parameters. Hand-written types check what they may contain. Some of these types are
/// secrets, which do not implement `Display`, as the generator would need.
fn lower_parameters(spec: &Spec, pointer: &str, operation: &Map<String, Value>) -> Result<Value, Problem> {
    let item = pointer.rsplit_once('/').map_or("", |(item, _)| item);
    let shared = spec.value.pointer(&format!("{item}/parameters"));
    let mut lowered = Vec::new();
    for (base, list) in [(item, shared), (pointer, operation.get("parameters"))] {
        for (index, parameter) in list.and_then(Value::as_array).into_iter().flatten().enumerate() {
            let (at, parameter) = spec.resolve(&format!("{base}/parameters/{index}"), parameter)?;
            let (name, place) =
                (parameter["name"].as_str().unwrap_or_default(), parameter["in"].as_str().unwrap_or_default());
            if !matches!(place, "path" | "query") {
                return Err(spec.problem(&at, format!("the generator has no parameter `{name}` in `{place}`")));
            }
            if !matches!(spec.resolve(&at, &parameter["schema"])?.1["type"].as_str(), Some("string" | "integer")) {
                return Err(spec.problem(&at, format!("parameter `{name}` is neither a string nor an integer")));
            }
            lowered.push(json!({
                "name": name, "in": place, "required": place == "path" || parameter["required"] == true,
                "description": parameter["description"], "schema": { "type": "string" },
            }));
        }
    }
    Ok(Value::Array(lowered))
}

/// Returns the body itself in place of a reference to it.
fn lower_body(spec: &Spec, pointer: &str, operation: &Map<String, Value>) -> Result<Option<Value>, Problem> {
    let Some(body) = operation.get("requestBody") else { return Ok(None) };
    let (at, body) = spec.resolve(&format!("{pointer}/requestBody"), body)?;
    let media: Vec<_> = body["content"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    match media.as_slice() {
        ["application/json" | "application/x-www-form-urlencoded"] => Ok(Some(body.clone())),
        [other] => Err(spec.problem(&at, format!("the generator cannot send a body of `{other}`"))),
        _ => Err(spec.problem(&at, format!("{} media types in one body, the generator takes one", media.len()))),
    }
}

/// Leaves only the one success. `src/http/response.rs` reads the failures, tolerantly: with a type, a gateway's HTML under a
/// documented status would lose that status. A 204 beside a 200 would be a second type of success.
fn lower_responses(spec: &Spec, pointer: &str, operation: &Map<String, Value>) -> Result<Value, Problem> {
    let at = format!("{pointer}/responses");
    let mut successes = Map::new();
    for (status, response) in operation.get("responses").and_then(Value::as_object).into_iter().flatten() {
        if status.starts_with('2') {
            let (_, response) = spec.resolve(&format!("{at}/{status}"), response)?;
            successes.insert(status.clone(), response.clone());
        }
    }
    if successes.len() > 1 {
        successes.remove("204");
    }
    match successes.len() {
        0 => Err(spec.problem(&at, "no success is documented")),
        1 => Ok(Value::Object(successes)),
        n => Err(spec.problem(&at, format!("{n} kinds of success, the generator can express one"))),
    }
}

/// Returns the client of one service, as Rust.
pub fn generate(spec: &Spec, service: &Service) -> Result<proc_macro2::TokenStream, Problem> {
    spec.typed()?;
    let lowered = lower(spec, service)?;
    let run = |document: &Value| run_generator(document, service);
    run(&lowered).map_err(|reason| {
        // The generator does not say where it failed. It makes a type of each schema, even without paths.
        let mut suspect = lowered.clone();
        suspect["paths"] = json!({});
        let suspect = if run(&suspect).is_err() { suspect } else { lowered };
        let pointer = culprit(&suspect, |document| run(document).is_ok());
        spec.problem(&pointer, format!("cannot be generated: {reason}"))
    })
}

/// Returns the pointer to the smallest node to blame: without it, or with nothing in it, the document passes.
fn culprit(document: &Value, passes: impl Fn(&Value) -> bool) -> String {
    let passes_if = |at: &str, change: &dyn Fn(&mut Value)| {
        let mut changed = document.clone();
        changed.pointer_mut(at).map(change);
        passes(&changed)
    };
    let mut at = String::new();
    loop {
        let names: Vec<String> = match document.pointer(&at) {
            Some(Value::Object(map)) => map.keys().cloned().collect(),
            Some(Value::Array(items)) => (0..items.len()).map(|index| index.to_string()).collect(),
            _ => Vec::new(),
        };
        let mut blamed = names.into_iter().filter_map(|name| {
            let child = format!("{at}/{}", escape(&name));
            let remove = |parent: &mut Value| match parent {
                Value::Object(map) => drop(map.remove(&name)),
                Value::Array(items) => drop(name.parse().map(|index: usize| items.remove(index))),
                _ => {}
            };
            (passes_if(&at, &remove) || passes_if(&child, &|node| *node = json!({}))).then_some(child)
        });
        match (blamed.next(), blamed.next()) {
            (Some(child), None) => at = child,
            _ => return at,
        }
    }
}

fn run_generator(lowered: &Value, service: &Service) -> Result<proc_macro2::TokenStream, String> {
    let document: OpenAPI = serde_json::from_value(lowered.clone()).map_err(|error| error.to_string())?;
    let mut settings = GenerationSettings::new();
    settings
        // A forgotten hook is a compiler error, not a call without authentication.
        .with_hooks(HooksMode::Expected)
        .with_inner_type(quote!(crate::http::transport::Dispatch));
    for (schema, replacement) in service.replacements {
        settings.with_replacement(schema, replacement, std::iter::empty());
    }
    // The generator panics if it does not know something. The error has its message and the operation's name.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| ()));
    let generated = panic::catch_unwind(|| Generator::new(&settings).generate_tokens(&document));
    panic::set_hook(hook);
    match generated {
        Ok(result) => result.map_err(|error| error.to_string()).and_then(|tokens| without_api_version(&tokens)),
        Err(panic) => {
            let text =
                panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            Err(text.unwrap_or("the generator panicked").to_owned())
        }
    }
}

/// Removes the header with the version of the spec, which the generator adds and the services do not know.
fn without_api_version(tokens: &proc_macro2::TokenStream) -> Result<proc_macro2::TokenStream, String> {
    let made = quote! {
        let mut header_map = ::reqwest::header::HeaderMap::with_capacity(1usize);
        header_map.append(
            ::reqwest::header::HeaderName::from_static("api-version"),
            ::reqwest::header::HeaderValue::from_static(Self::api_version()),
        );
    };
    let sent = quote!(.headers(header_map));
    let text = tokens.to_string().replace(&made.to_string(), "").replace(&sent.to_string(), "");
    if text.contains("header_map") {
        return Err("a header that is made in another way; see `without_api_version` in spec/generate.rs".to_owned());
    }
    text.parse().map_err(|error| format!("no Rust: {error}"))
}
