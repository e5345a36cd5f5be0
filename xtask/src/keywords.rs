//! The objects of OpenAPI 3.0.3 with their keywords: the table that `nodes.rs` holds a spec against.
//!
//! The openapiv3 crate passes over keywords that it does not know, so that a misspelled one would have no effect and go
//! unseen.

/// What may stand under a keyword.
#[derive(Clone, Copy)]
pub enum Kind {
    Any,
    Text,
    Flag,
    Number,
    /// A whole number, 0 or more.
    Count,
    Choice(&'static [&'static str]),
    List(&'static Kind),
    /// A list of at least one.
    Filled(&'static Kind),
    Map(Keys, &'static Kind),
    Object(&'static Shape),
    FlagOrObject(&'static Shape),
}

/// Which keys a map may have.
#[derive(Clone, Copy)]
pub enum Keys {
    Free,
    Component,
    Path,
    Status,
}

/// One of OpenAPI's objects.
pub struct Shape {
    pub name: &'static str,
    /// Whether a `$ref` may stand in its place.
    pub referable: bool,
    pub required: &'static [&'static str],
    pub keywords: &'static [(&'static str, Kind)],
}

impl PartialEq for Shape {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

type Keywords = &'static [(&'static str, Kind)];

const fn shape(name: &'static str, required: &'static [&'static str], keywords: Keywords) -> Shape {
    Shape { name, referable: false, required, keywords }
}

const fn referable(name: &'static str, required: &'static [&'static str], keywords: Keywords) -> Shape {
    Shape { name, referable: true, required, keywords }
}

use Kind::{Any, Choice, Count, Filled, Flag, FlagOrObject, List, Map, Number, Object, Text};

static SCHEMAS: Kind = Filled(&Object(&SCHEMA));
static EXAMPLES: Kind = Map(Keys::Free, &Object(&EXAMPLE));
static CONTENT: Kind = Map(Keys::Free, &Object(&MEDIA_TYPE));
static HEADERS: Kind = Map(Keys::Free, &Object(&HEADER));
static LINKS: Kind = Map(Keys::Free, &Object(&LINK));
static CALLBACKS: Kind = Map(Keys::Free, &CALLBACK);
static CALLBACK: Kind = Map(Keys::Free, &Object(&PATH_ITEM));
static PARAMETERS: Kind = List(&Object(&PARAMETER));
static SERVERS: Kind = List(&Object(&SERVER));
static SECURITY: Kind = List(&Map(Keys::Free, &List(&Text)));
static DOCS: Kind = Object(&EXTERNAL_DOCS);

pub static OPENAPI: Shape = shape(
    "the document",
    &["openapi", "info", "paths"],
    &[
        ("openapi", Text),
        ("info", Object(&INFO)),
        ("servers", SERVERS),
        ("paths", Map(Keys::Path, &Object(&PATH_ITEM))),
        ("components", Object(&COMPONENTS)),
        ("security", SECURITY),
        ("tags", List(&Object(&TAG))),
        ("externalDocs", DOCS),
    ],
);

static INFO: Shape = shape(
    "info",
    &["title", "version"],
    &[
        ("title", Text),
        ("description", Text),
        ("termsOfService", Text),
        ("contact", Object(&CONTACT)),
        ("license", Object(&LICENSE)),
        ("version", Text),
    ],
);

static CONTACT: Shape = shape("a contact", &[], &[("name", Text), ("url", Text), ("email", Text)]);

static LICENSE: Shape = shape("a license", &["name"], &[("name", Text), ("url", Text)]);

static SERVER: Shape = shape(
    "a server",
    &["url"],
    &[("url", Text), ("description", Text), ("variables", Map(Keys::Free, &Object(&SERVER_VARIABLE)))],
);

static SERVER_VARIABLE: Shape =
    shape("a server variable", &["default"], &[("enum", Filled(&Text)), ("default", Text), ("description", Text)]);

static COMPONENTS: Shape = shape(
    "components",
    &[],
    &[
        ("schemas", Map(Keys::Component, &Object(&SCHEMA))),
        ("responses", Map(Keys::Component, &Object(&RESPONSE))),
        ("parameters", Map(Keys::Component, &Object(&PARAMETER))),
        ("examples", Map(Keys::Component, &Object(&EXAMPLE))),
        ("requestBodies", Map(Keys::Component, &Object(&REQUEST_BODY))),
        ("headers", Map(Keys::Component, &Object(&HEADER))),
        ("securitySchemes", Map(Keys::Component, &Object(&SECURITY_SCHEME))),
        ("links", Map(Keys::Component, &Object(&LINK))),
        ("callbacks", Map(Keys::Component, &CALLBACK)),
    ],
);

// OpenAPI allows a `$ref` in a path item; the generator does not.
static PATH_ITEM: Shape = shape(
    "a path item",
    &[],
    &[
        ("summary", Text),
        ("description", Text),
        ("get", Object(&OPERATION)),
        ("put", Object(&OPERATION)),
        ("post", Object(&OPERATION)),
        ("delete", Object(&OPERATION)),
        ("options", Object(&OPERATION)),
        ("head", Object(&OPERATION)),
        ("patch", Object(&OPERATION)),
        ("trace", Object(&OPERATION)),
        ("servers", SERVERS),
        ("parameters", PARAMETERS),
    ],
);

pub static OPERATION: Shape = shape(
    "an operation",
    &["responses"],
    &[
        ("tags", List(&Text)),
        ("summary", Text),
        ("description", Text),
        ("externalDocs", DOCS),
        ("operationId", Text),
        ("parameters", PARAMETERS),
        ("requestBody", Object(&REQUEST_BODY)),
        ("responses", Map(Keys::Status, &Object(&RESPONSE))),
        ("callbacks", CALLBACKS),
        ("deprecated", Flag),
        ("security", SECURITY),
        ("servers", SERVERS),
    ],
);

static EXTERNAL_DOCS: Shape = shape("externalDocs", &["url"], &[("description", Text), ("url", Text)]);

pub static PARAMETER: Shape = referable(
    "a parameter",
    &["name", "in"],
    &[
        ("name", Text),
        ("in", Choice(&["query", "header", "path", "cookie"])),
        ("description", Text),
        ("required", Flag),
        ("deprecated", Flag),
        ("allowEmptyValue", Flag),
        ("style", Text),
        ("explode", Flag),
        ("allowReserved", Flag),
        ("schema", Object(&SCHEMA)),
        ("example", Any),
        ("examples", EXAMPLES),
        ("content", CONTENT),
    ],
);

pub static HEADER: Shape = referable(
    "a header",
    &[],
    &[
        ("description", Text),
        ("required", Flag),
        ("deprecated", Flag),
        ("allowEmptyValue", Flag),
        ("style", Choice(&["simple"])),
        ("explode", Flag),
        ("allowReserved", Flag),
        ("schema", Object(&SCHEMA)),
        ("example", Any),
        ("examples", EXAMPLES),
        ("content", CONTENT),
    ],
);

pub static REQUEST_BODY: Shape =
    referable("a request body", &["content"], &[("description", Text), ("content", CONTENT), ("required", Flag)]);

pub static MEDIA_TYPE: Shape = shape(
    "a media type",
    &[],
    &[
        ("schema", Object(&SCHEMA)),
        ("example", Any),
        ("examples", EXAMPLES),
        ("encoding", Map(Keys::Free, &Object(&ENCODING))),
    ],
);

static ENCODING: Shape = shape(
    "an encoding",
    &[],
    &[("contentType", Text), ("headers", HEADERS), ("style", Text), ("explode", Flag), ("allowReserved", Flag)],
);

pub static RESPONSE: Shape = referable(
    "a response",
    &["description"],
    &[("description", Text), ("headers", HEADERS), ("content", CONTENT), ("links", LINKS)],
);

pub static EXAMPLE: Shape =
    referable("an example", &[], &[("summary", Text), ("description", Text), ("value", Any), ("externalValue", Text)]);

static LINK: Shape = referable(
    "a link",
    &[],
    &[
        ("operationRef", Text),
        ("operationId", Text),
        ("parameters", Map(Keys::Free, &Any)),
        ("requestBody", Any),
        ("description", Text),
        ("server", Object(&SERVER)),
    ],
);

pub static TAG: Shape = shape("a tag", &["name"], &[("name", Text), ("description", Text), ("externalDocs", DOCS)]);

pub static SCHEMA: Shape = referable(
    "a schema",
    &[],
    &[
        ("title", Text),
        ("multipleOf", Number),
        ("maximum", Number),
        ("exclusiveMaximum", Flag),
        ("minimum", Number),
        ("exclusiveMinimum", Flag),
        ("maxLength", Count),
        ("minLength", Count),
        ("pattern", Text),
        ("maxItems", Count),
        ("minItems", Count),
        ("uniqueItems", Flag),
        ("maxProperties", Count),
        ("minProperties", Count),
        ("required", Filled(&Text)),
        ("enum", Filled(&Any)),
        ("type", Choice(&["string", "number", "integer", "boolean", "array", "object"])),
        ("allOf", SCHEMAS),
        ("oneOf", SCHEMAS),
        ("anyOf", SCHEMAS),
        ("not", Object(&SCHEMA)),
        ("items", Object(&SCHEMA)),
        ("properties", Map(Keys::Free, &Object(&SCHEMA))),
        ("additionalProperties", FlagOrObject(&SCHEMA)),
        ("description", Text),
        ("format", Text),
        ("default", Any),
        ("nullable", Flag),
        ("discriminator", Object(&DISCRIMINATOR)),
        ("readOnly", Flag),
        ("writeOnly", Flag),
        ("xml", Object(&XML)),
        ("externalDocs", DOCS),
        ("example", Any),
        ("deprecated", Flag),
    ],
);

pub static DISCRIMINATOR: Shape =
    shape("a discriminator", &["propertyName"], &[("propertyName", Text), ("mapping", Map(Keys::Free, &Text))]);

static XML: Shape =
    shape("xml", &[], &[("name", Text), ("namespace", Text), ("prefix", Text), ("attribute", Flag), ("wrapped", Flag)]);

// Which of its keywords belong to which type is left to openapiv3.
pub static SECURITY_SCHEME: Shape = referable(
    "a security scheme",
    &["type"],
    &[
        ("type", Choice(&["apiKey", "http", "oauth2", "openIdConnect"])),
        ("description", Text),
        ("name", Text),
        ("in", Choice(&["query", "header", "cookie"])),
        ("scheme", Text),
        ("bearerFormat", Text),
        ("flows", Object(&OAUTH_FLOWS)),
        ("openIdConnectUrl", Text),
    ],
);

static OAUTH_FLOWS: Shape = shape(
    "flows",
    &[],
    &[
        ("implicit", Object(&OAUTH_FLOW)),
        ("password", Object(&OAUTH_FLOW)),
        ("clientCredentials", Object(&OAUTH_FLOW)),
        ("authorizationCode", Object(&OAUTH_FLOW)),
    ],
);

static OAUTH_FLOW: Shape = shape(
    "a flow",
    &["scopes"],
    &[("authorizationUrl", Text), ("tokenUrl", Text), ("refreshUrl", Text), ("scopes", Map(Keys::Free, &Text))],
);
