//! Breaks a copy of the specs in one way each, and looks at what `cargo xtask regen` says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, process, thread};

const KELIWEB: &str = "spec/keliweb-fatture.yaml";
const OPENAPI: &str = "spec/openapi-oauth.yaml";
const GENERATED: [&str; 2] = ["spec/generated/keliweb-fatture.rs", "spec/generated/openapi-oauth.rs"];

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A copy of `spec/`, removed in the end.
struct Tree(PathBuf);

impl Tree {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("gettone-xtask-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let tree = Self(env::temp_dir().join(name));
        for (file, bytes) in files(workspace()) {
            fs::create_dir_all(tree.0.join(&file).parent().unwrap()).unwrap();
            fs::write(tree.0.join(file), bytes).unwrap();
        }
        tree
    }

    fn write(&self, file: &str, content: impl AsRef<[u8]>) {
        fs::write(self.0.join(file), content).unwrap();
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.join(file)).unwrap()
    }

    /// Puts `by` where `text` stands first.
    #[track_caller]
    fn replace(&self, file: &str, text: &str, by: &str) {
        let old = self.read(file);
        assert!(old.contains(text), "not in {file}:\n{text}");
        self.write(file, old.replacen(text, by, 1));
    }

    fn run(&self, words: &[&str]) -> Said {
        Said::by(Command::new(env!("CARGO_BIN_EXE_xtask")).args(words).arg("--root").arg(&self.0))
    }

    fn regen(&self) -> Said {
        self.run(&["regen", "--no-build"])
    }

    fn check(&self) -> Said {
        self.run(&["regen", "--check", "--no-build"])
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The files below `spec/`, with their content.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for folder in ["spec", "spec/generated"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                found.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn by(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let said = Self { code: status.code(), out: text(stdout), err: text(stderr) };
        assert!(!said.err.contains("panicked") && !said.err.contains("stack"), "{said:?}");
        said
    }
}

/// A spec, what is replaced in it, by what, and the problems that this makes: for each `§` in the new text, which is
/// taken out, what is said about its line. Everything that is said is to be in the table.
type Row = (&'static str, &'static str, &'static str, &'static [&'static str]);

#[rustfmt::skip]
const BROKEN: &[Row] = &[
    // Keywords, in every kind of object.
    (OPENAPI, "\ntags:\n", "\n§servres: []\ntags:\n", &["/servres: `servres` is not a keyword of the document"]),
    (OPENAPI, "  version: 1.0.0\n", "  version: 1.0.0\n  §versoin: 1.0.0\n", &["/info/versoin: `versoin` is not a keyword of info"]),
    (OPENAPI, "    name: Openapi.it\n", "    §nmae: Openapi.it\n", &["/info/contact/nmae: `nmae` is not a keyword of a contact"]),
    (OPENAPI, "    description: Production\n", "    §descripton: x\n", &["/servers/0/descripton: `descripton` is not a keyword of a server"]),
    (OPENAPI, "  - name: counters\n", "  - name: counters\n    §desc: x\n", &["/tags/3/desc: `desc` is not a keyword of a tag"]),
    (OPENAPI, "  /credit:\n", "  /credit:\n    §got: {}\n", &["/paths/~1credit/got: `got` is not a keyword of a path item"]),
    (OPENAPI, "  /credit:\n", "  /credit:\n    §$ref: '#/paths/~1scopes'\n", &["/paths/~1credit/$ref: `$ref` is not a keyword of a path item"]),
    (OPENAPI, "      summary: Create a token\n", "      summary: x\n      §sumary: x\n", &["create_token: `sumary` is not a keyword of an operation"]),
    (OPENAPI, "          required: false\n", "          §requred: false\n", &["list_tokens: `requred` is not a keyword of a parameter"]),
    (OPENAPI, "        required: true\n", "        §requred: true\n", &["create_token: `requred` is not a keyword of a request body"]),
    (OPENAPI, "            examples:\n", "            §exemples: {}\n            examples:\n", &["create_token: `exemples` is not a keyword of a media type"]),
    (OPENAPI, "          description: There is no token\n", "          description: x\n          §header: {}\n", &["list_tokens: `header` is not a keyword of a response"]),
    (KELIWEB, "              description: The login page\n", "              §descripion: x\n", &["request_token: `descripion` is not a keyword of a header"]),
    (OPENAPI, "                summary: Two services, for thirty days\n", "                §sumary: x\n", &["create_token: `sumary` is not a keyword of an example"]),
    (OPENAPI, "      minProperties: 1\n", "      §minProprties: 1\n", &["/components/schemas/UpdateToken/minProprties: `minProprties` is not a keyword of a schema"]),
    (OPENAPI, "    Counters:\n", "    Counters:\n      §patternProperties: {}\n", &["/components/schemas/Counters/patternProperties: `patternProperties` is not a keyword of a schema"]),
    (OPENAPI, "  parameters:\n    Token:\n", "  §params: {}\n  parameters:\n    Token:\n", &["/components/params: `params` is not a keyword of components"]),
    (OPENAPI, "      scheme: basic\n", "      scheme: basic\n      §bearer: x\n", &["/components/securitySchemes/basicAuth/bearer: `bearer` is not a keyword of a security scheme"]),
    (KELIWEB, "        mapping:\n", "        §maping: {}\n        mapping:\n", &["/components/schemas/TokenRequest/discriminator/maping: `maping` is not a keyword of a discriminator"]),
    (OPENAPI, "      tags: [token]\n", "      tags: [token]\n      §x_note: x\n", &["create_token: `x_note` is not a keyword of an operation"]),
    (OPENAPI, "          $ref: '#/components/schemas/AccessToken'\n", "          $ref: '#/components/schemas/AccessToken'\n          §description: x\n", &["/components/schemas/Token/properties/token/description: `description` beside a `$ref` has no effect"]),

    // Types.
    (OPENAPI, "openapi: 3.0.3\n", "§openapi: 3.1.0\n", &["/openapi: not OpenAPI 3.0"]),
    (OPENAPI, "openapi: 3.0.3\n", "§openapi: 3\n", &["/openapi: `openapi` is 3, expected text"]),
    (OPENAPI, "  title: Openapi.it Oauth\n", "  §title: [x]\n", &["/info/title: `title` is a list, expected text"]),
    (OPENAPI, "info:\n  title: Openapi.it Oauth\n", "§info:\n", &["/info: info without `title`"]),
    (OPENAPI, "          required: false\n", "          §required: maybe\n", &["list_tokens: `required` is `maybe`, expected true or false"]),
    (OPENAPI, "          in: query\n", "          §in: body\n", &["list_tokens: `in` is `body`, expected one of query, header, path, cookie"]),
    (OPENAPI, "          description: A scope to filter the tokens by\n", "          §description: 3\n", &["list_tokens: `description` is 3, expected text"]),
    (OPENAPI, "      tags: [token]\n", "      tags: [token, §7]\n", &["create_token: an item of `tags` is 7, expected text"]),
    (OPENAPI, "      minProperties: 1\n", "      §minProperties: -1\n", &["/components/schemas/UpdateToken/minProperties: `minProperties` is -1, expected a whole number, 0 or more"]),
    (OPENAPI, "      maximum: 31536000\n", "      §maximum: a year\n", &["/components/schemas/Ttl/maximum: `maximum` is `a year`, expected a number"]),
    (OPENAPI, "    Message:\n", "    Message:\n      §nullable: 1\n", &["/components/schemas/Message/nullable: `nullable` is 1, expected true or false"]),
    (OPENAPI, "      type: number\n", "      §type: float\n", &["/components/schemas/Credit/properties/credit/type: `type` is `float`, expected one of string, number, integer, boolean, array, object"]),
    (OPENAPI, "      required: [scopes]\n", "      §required: []\n", &["/components/schemas/CreateToken/required: `required` is an empty list, expected at least one item"]),
    (OPENAPI, "    Envelope:\n", "    Envelope:\n      §additionalProperties: none\n", &["/components/schemas/Envelope/additionalProperties: `additionalProperties` is `none`, expected true, false or an object"]),
    (OPENAPI, "  schemas:\n", "  schemas:\n    §Wrong: 3\n", &["/components/schemas/Wrong: `Wrong` is 3, expected an object"]),
    (OPENAPI, "  schemas:\n", "  schemas:\n    §a/b: {}\n", &["/components/schemas/a~1b: `a/b` is not a name: only letters, digits, `.`, `-` and `_`"]),
    (OPENAPI, "    basicAuth:\n      type: http\n      scheme: basic\n", "    §basicAuth:\n      type: http\n", &["/components/securitySchemes/basicAuth: not OpenAPI 3.0: missing field `scheme`"]),

    // References.
    (OPENAPI, "          $ref: '#/components/schemas/AccessToken'\n", "          §$ref: '#/components/schemas/AccesToken'\n", &["/components/schemas/Token/properties/token/$ref: $ref `#/components/schemas/AccesToken` leads nowhere"]),
    (OPENAPI, "          $ref: '#/components/schemas/AccessToken'\n", "          §$ref: other.yaml\n", &["/components/schemas/Token/properties/token/$ref: $ref `other.yaml` leads nowhere"]),
    (OPENAPI, "          $ref: '#/components/schemas/AccessToken'\n", "          §$ref: 3\n", &["/components/schemas/Token/properties/token/$ref: `$ref` is 3, expected text"]),
    (OPENAPI, "          $ref: '#/components/schemas/AccessToken'\n", "          §$ref: '#/components/parameters/Token'\n", &["/components/schemas/Token/properties/token/$ref: $ref `#/components/parameters/Token` leads to a parameter, not to a schema"]),
    (OPENAPI, "  schemas:\n", "  schemas:\n    §Round:\n      $ref: '#/components/schemas/Round'\n", &["/components/schemas/Round: leads in a circle back to itself"]),
    (OPENAPI, "  schemas:\n", "  schemas:\n    §A:\n      allOf:\n        - $ref: '#/components/schemas/B'\n    B:\n      oneOf:\n        - $ref: '#/components/schemas/A'\n", &["/components/schemas/A: leads in a circle back to itself"]),
    (KELIWEB, "          password: '#/components/schemas/PasswordGrant'\n", "          §password: '#/components/schemas/PaswordGrant'\n", &["/components/schemas/TokenRequest/discriminator/mapping/password: `#/components/schemas/PaswordGrant` leads to no schema"]),

    // Paths and parameters.
    (OPENAPI, "  /scopes:\n", "  §scopes:\n", &["/paths/scopes: `scopes` is not a path, it does not start with `/`"]),
    (OPENAPI, "  /counters/total:\n", "  §/counters/{total:\n", &["/paths/~1counters~1{total: the braces of `/counters/{total` do not match"]),
    (OPENAPI, "  /scopes:\n    get:\n", "  /scopes/{id}:\n    §get:\n", &["list_scopes: path parameter `id` is not declared"]),
    (OPENAPI, "  /credit:\n", "  §/token/{uuid}:\n    parameters:\n      - name: uuid\n        in: path\n        required: true\n        schema:\n          type: string\n        example: x\n  /credit:\n", &["/paths/~1token~1{uuid}: `/token/{uuid}` is the same path as `/token/{token}`"]),
    (OPENAPI, "  /scopes:\n    get:\n", "  /scopes:\n    get:\n      parameters:\n        - §$ref: '#/components/parameters/Token'\n", &["list_scopes: path parameter `token` does not stand in the path"]),
    (OPENAPI, "      - $ref: '#/components/parameters/Token'\n", "      - $ref: '#/components/parameters/Token'\n      - §$ref: '#/components/parameters/Token'\n", &["/paths/~1token~1{token}/parameters/1: path parameter `token` is declared twice"]),
    (OPENAPI, "    Token:\n      name: token\n      in: path\n      required: true\n", "    §Token:\n      name: token\n      in: path\n", &["/components/parameters/Token: path parameter `token` is not `required: true`"]),
    (OPENAPI, "        - name: year\n          in: path\n          required: true\n", "        - §name: year\n          in: path\n          required: false\n", &["counters_year: path parameter `year` is not `required: true`"]),
    (OPENAPI, "        - name: scope\n          in: query\n", "        - §name: scope\n          in: query\n          content: {}\n", &["list_tokens: not exactly one of `schema` and `content`"]),
    (OPENAPI, "        - name: scope\n          in: query\n", "        - name: scope\n          in: query\n          §examples: {}\n", &["list_tokens: `example` and `examples` exclude each other"]),
    (OPENAPI, "        - name: scope\n          in: query\n          required: false\n          description: A scope to filter the tokens by\n          schema:\n            type: string\n          example: GET:imprese.openapi.it/base\n",
        "        - §name: scope\n          in: query\n          schema:\n            type: string\n", &["list_tokens: parameter `scope` has no `example`"]),
    (OPENAPI, "        - name: scope\n          in: query\n", "        - §name: scope\n          in: query\n          style: simple\n", &["list_tokens: not OpenAPI 3.0: unknown variant `simple`, expected one of `form`, `spaceDelimited`, `pipeDelimited`, `deepObject`"]),

    // Operations.
    (OPENAPI, "    get:\n      operationId: get_credit\n", "    §get:\n", &["GET /credit: no `operationId`"]),
    (OPENAPI, "      operationId: get_credit\n", "      §operationId: getCredit\n", &["getCredit: operationId `getCredit` is not snake_case"]),
    (OPENAPI, "      operationId: list_scopes\n", "      §operationId: get_credit\n", &["get_credit: operationId `get_credit` is also that of GET /credit"]),
    (OPENAPI, "    get:\n      operationId: get_credit\n      tags: [credit]\n      summary: The credit of the account\n", "    §get:\n      operationId: get_credit\n      tags: [credit]\n", &["get_credit: no `summary`"]),
    (OPENAPI, "    get:\n      operationId: get_credit\n      tags: [credit]\n", "    §get:\n      operationId: get_credit\n      tags: []\n", &["get_credit: no `tags`"]),
    (OPENAPI, "      tags: [credit]\n", "      tags:\n        - credit\n        - §crdit\n", &["get_credit: tag `crdit` is not declared"]),
    (OPENAPI, "  - name: credit\n", "  - name: credit\n  - §name: credit\n", &["/tags/3: tag `credit` is declared twice"]),
    (KELIWEB, "      security: []\n", "      security:\n        - §oauth: []\n", &["request_token: security scheme `oauth` does not exist"]),
    (OPENAPI, "security:\n  - basicAuth: []\n", "security:\n  - §basic: []\n", &["/security/0/basic: security scheme `basic` does not exist"]),
    (OPENAPI, "      security:\n        - basicAuth: []\n", "      security:\n        - §basicAuth: [read]\n", &["create_token: a security scheme of type http has no scopes"]),
    (OPENAPI, "      x-source: vendor\n", "      §x-source: hearsay\n", &["create_token: `x-source` is none of vendor, software, users"]),

    (OPENAPI, "    get:\n      operationId: counters_year\n      tags: [counters]\n      summary: What was called in a year\n      description: The requests of one year, for each scope.\n      x-source: vendor\n      security:\n        - basicAuth: []\n",
        "    §get:\n      operationId: counters_year\n      tags: [counters]\n      summary: What was called in a year\n      description: The requests of one year, for each scope.\n      x-source: vendor\n", &["counters_year: no `security` of its own (`security: []` for none)"]),
    (OPENAPI, "    get:\n      operationId: counters_year\n      tags: [counters]\n      summary: What was called in a year\n      description: The requests of one year, for each scope.\n      x-source: vendor\n",
        "    §get:\n      operationId: counters_year\n      tags: [counters]\n      summary: What was called in a year\n      description: The requests of one year, for each scope.\n", &["counters_year: no `x-source`"]),
    (OPENAPI, "  /scopes:\n", "  /scopes:\n    §head:\n      operationId: x\n      tags: [scopes]\n      summary: x\n      x-source: users\n      security: []\n", &["x: an operation without `responses`"]),
    (OPENAPI, "  /scopes:\n", "  /scopes:\n    head:\n      operationId: x\n      tags: [scopes]\n      summary: x\n      x-source: users\n      security: []\n      §responses: {}\n", &["x: no responses"]),
    (OPENAPI, "  /scopes:\n", "  /scopes:\n    head:\n      operationId: x\n      tags: [scopes]\n      summary: x\n      x-source: users\n      security: []\n      requestBody:\n        §content: {}\n      responses:\n        default:\n          description: x\n          x-source: users\n", &["x: a request body without a media type"]),

    // Answers and bodies.
    (OPENAPI, "        '204':\n", "        §'20':\n", &["list_tokens: `20` is neither a status nor `default`"]),
    (OPENAPI, "        '204':\n          description: There is no token\n", "        §'204':\n", &["list_tokens: a response without `description`"]),
    (OPENAPI, "          description: There is no token\n", "          §description: ' '\n", &["list_tokens: no `description`"]),
    (OPENAPI, "        '204':\n          description: There is no token\n          x-source: vendor\n", "        §'204':\n          description: x\n", &["list_tokens: no `x-source`"]),
    (OPENAPI, "          description: There is no token\n          x-source: vendor\n", "          description: x\n          §x-source: [vendor]\n", &["list_tokens: `x-source` is none of vendor, software, users"]),
    (OPENAPI, "          application/json:\n            schema:\n              $ref: '#/components/schemas/CreateToken'\n            examples:\n", "          §application/json:\n            schema:\n              $ref: '#/components/schemas/CreateToken'\n            x-examples:\n", &["create_token: no example for `application/json`"]),
    (OPENAPI, "            application/json:\n              schema:\n                $ref: '#/components/schemas/CreditAnswer'\n              examples:\n", "            §application/json:\n              schema:\n                $ref: '#/components/schemas/CreditAnswer'\n              x-examples:\n", &["get_credit: no example for `application/json`"]),
    (OPENAPI, "                left:\n                  value:\n", "                §left:\n                  x-value:\n", &["get_credit: example `left` has no `value`"]),
    (OPENAPI, "    Failure:\n", "    Failure:\n      §additionalProperties: false\n", &["/components/schemas/Failure/additionalProperties: `additionalProperties: false` in an answer, to which the service may add fields"]),

    // Schemas.
    (OPENAPI, "  schemas:\n", "  schemas:\n    New:\n      required: [a, §b]\n      properties:\n        a: {}\n", &["/components/schemas/New/required/1: `b` is required, and not a property"]),
    (OPENAPI, "  schemas:\n", "  schemas:\n    New:\n      required: [scopes, token]\n      oneOf:\n        - $ref: '#/components/schemas/Token'\n        - required:\n            - scopes\n            - §scops\n", &["/components/schemas/New/oneOf/1/required/1: `scops` is required, and not a property"]),
    (OPENAPI, "      required: [credit]\n", "      required: [credit, §credit]\n", &["/components/schemas/Credit/required/1: `credit` is required twice"]),
    (OPENAPI, "    ScopeList:\n      description: Concrete scopes, as the service lists them\n      type: array\n      items:\n        $ref: '#/components/schemas/Scope'\n", "    §ScopeList:\n      type: array\n", &["/components/schemas/ScopeList: an array without `items`"]),
    (OPENAPI, "    Message:\n", "    Message:\n      §minimum: 3\n", &["/components/schemas/Message/minimum: `minimum` is about number and integer, the type is string"]),
    (OPENAPI, "    Message:\n", "    Message:\n      §pattern: '('\n", &["/components/schemas/Message/pattern: `pattern` is not a regular expression"]),
    (OPENAPI, "    Limit:\n", "    Limit:\n      §nullable: true\n", &["/components/schemas/Limit/nullable: `nullable` without `type` has no effect"]),
    (OPENAPI, "    Ttl:\n", "    Ttl:\n      §multipleOf: 0\n", &["/components/schemas/Ttl/multipleOf: `multipleOf` is not more than 0"]),

    // Examples.
    (OPENAPI, "          example: '2022-01'\n", "          §example: 2022\n", &["counters_month: the example does not fit its schema: 2022 is not of type \"string\""]),
    (KELIWEB, "              example: 30\n", "              §example: soon\n", &["request_token: the example does not fit its schema: \"soon\" is not of type \"integer\""]),
    (OPENAPI, "                  ttl: 2592000\n", "                  §ttl: 31536001\n", &["create_token: the example does not fit its schema: 31536001 is greater than the maximum of 31536000"]),
    (OPENAPI, "                  ttl: 2592000\n", "                  §tttl: 2592000\n", &["create_token: the schema knows no property `tttl`"]),
    (OPENAPI, "                  value:\n                    scopes:\n                      - GET:imprese.openapi.it/base\n                      - GET:comparabili.openapi.it/root\n                      - POST:comparabili.openapi.it/root\n                    expire: 1634223407\n",
        "                  §value:\n                    scopes: []\n                    §expired: 1634223407\n", &["create_token: the example does not fit its schema: \"expire\" is a required property", "create_token: the schema knows no property `expired`"]),
    (OPENAPI, "                      - scopes:\n                          - GET:imprese.openapi.it/base\n", "                      - scopes:\n                          - §3\n", &["list_tokens: the example does not fit its schema: 3 is not of type \"string\""]),
    (OPENAPI, "                        token: 5f8041e42efdfc468b6e60ea\n", "                        token: 5f8041e42efdfc468b6e60ea\n                        §tokn: x\n", &["list_tokens: the schema knows no property `tokn`"]),
    (OPENAPI, "                        limit: null\n", "                        limit: null\n                        §limits: 3\n", &["counters_total: the schema knows no property `limits`"]),
    (OPENAPI, "                        limit: false\n", "                        §limit: true\n", &["counters_total: the example does not fit its schema: true is not one of false"]),
    (OPENAPI, "                      success: true\n                      message: \"\"\n                      error: null\n\n", "                      success: true\n                      §massage: \"\"\n                      error: null\n\n", &["list_scopes: the schema knows no property `massage`"]),
    (KELIWEB, "                value:\n                  grant_type: password\n", "                value:\n                  §grant_type: refresh_token\n", &["request_token: the example does not fit its schema: \"refresh_token\" is not one of \"password\""]),
    (KELIWEB, "          enum: [password]\n", "          enum: [password, §3]\n", &["/components/schemas/PasswordGrant/properties/grant_type/enum/1: the example does not fit its schema: 3 is not of type \"string\""]),
    (OPENAPI, "          type: number\n", "          type: number\n          §default: x\n", &["/components/schemas/Credit/properties/credit/default: the example does not fit its schema: \"x\" is not of type \"number\""]),
    (OPENAPI, "      example: 2592000\n", "      §example: 31536001\n", &["/components/schemas/Ttl/example: the example does not fit its schema: 31536001 is greater than the maximum of 31536000"]),
    (OPENAPI, "  schemas:\n", "  schemas:\n    New:\n      type: string\n      format: date\n      §example: 2022-02-30\n", &["/components/schemas/New/example: the example does not fit its schema: \"2022-02-30\" is not a \"date\""]),

    // What the generator cannot do.
    (OPENAPI, "        - name: scope\n          in: query\n", "        - §name: scope\n          in: header\n", &["list_tokens: the generator has no parameter `scope` in `header`"]),
    (OPENAPI, "      responses:\n        '200':\n", "      §responses:\n        '201':\n          description: x\n          x-source: vendor\n        '200':\n", &["create_token: 2 kinds of success, the generator can express one"]),
    (OPENAPI, "      requestBody:\n        required: true\n        content:\n", "      §requestBody:\n        required: true\n        content:\n          text/plain:\n            example: x\n            schema: {}\n", &["create_token: 2 media types in one body, the generator takes one"]),
    (OPENAPI, "  schemas:\n", "  schemas:\n    New:\n      §not: {type: string}\n", &["/components/schemas/New/not: `not` has no Rust type"]),
];

#[test]
fn each_rule_reports_the_line() {
    in_parallel(BROKEN, |tree, (file, text, by, reasons)| {
        tree.replace(file, text, by);
        let marked = tree.read(file);
        tree.write(file, marked.replace('§', ""));
        let lines = marked.lines().enumerate().flat_map(|(index, line)| vec![index + 1; line.matches('§').count()]);
        let mut expected: Vec<_> =
            lines.zip(*reasons).map(|(line, reason)| format!("{file}:{line}: {reason}")).collect();
        assert_eq!((expected.len(), reasons.len()), (marked.matches('§').count(), expected.len()), "{by}");
        let before = files(&tree.0);
        let said = tree.regen();
        let mut lines: Vec<_> = said.err.lines().collect();
        lines.sort_unstable();
        expected.sort_unstable();
        assert_eq!(lines, expected, "after replacing\n{text}\nby\n{by}");
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
        assert_eq!(files(&tree.0), before, "something is generated from a broken spec");
    });
}

/// Runs `test` for each case, each on the specs as they are.
fn in_parallel<T: Sync>(cases: &[T], test: impl Fn(&Tree, &T) + Sync) {
    let next = AtomicUsize::new(0);
    let work = || {
        let tree = Tree::new();
        let before = files(&tree.0);
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            test(&tree, case);
            for file in [KELIWEB, OPENAPI] {
                tree.write(file, &before[Path::new(file)]);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
}

#[test]
fn all_problems_of_both_specs_are_reported_at_once() {
    let tree = Tree::new();
    tree.replace(KELIWEB, "openapi: 3.0.3\n", "openapi: 3.0.3\nfirst: 1\n");
    tree.replace(KELIWEB, "      example: xxxxxxx\n", "      example: 1\n");
    tree.replace(OPENAPI, "openapi: 3.0.3\n", "openapi: 3.0.3\nsecond: 1\n");
    tree.replace(OPENAPI, "      operationId: list_scopes\n", "      operationId: listScopes\n");
    let said = tree.regen();
    let starts: Vec<_> = said.err.lines().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!((said.code, starts), (Some(1), vec![KELIWEB, KELIWEB, OPENAPI, OPENAPI]), "{}", said.err);
}

#[test]
fn every_operation_that_cannot_be_lowered_is_reported() {
    let tree = Tree::new();
    for name in ["day", "month"] {
        tree.replace(OPENAPI, &format!("        - name: {name}\n"), &format!("        - name: Accept\n          in: header\n          schema:\n            type: string\n          example: x\n        - name: {name}\n"));
    }
    let said = tree.regen();
    assert_eq!(said.code, Some(1));
    for operation in ["counters_day", "counters_month"] {
        let reason = format!(": {operation}: the generator has no parameter `Accept` in `header`\n");
        assert_eq!(said.err.matches(&reason).count(), 1, "{}", said.err);
    }
}

#[test]
fn what_is_not_a_spec_is_told_with_its_line() {
    let yaml = |content: &[u8], expected: &str| {
        let tree = Tree::new();
        tree.write(KELIWEB, content);
        let said = tree.regen();
        assert_eq!(said.code, Some(1), "{said:?}");
        let expected = format!("{KELIWEB}:{expected}");
        assert!(said.err.lines().any(|line| line.starts_with(&expected)), "{expected} is not in\n{}", said.err);
        assert!(said.err.lines().all(|line| line.starts_with(KELIWEB)), "{}", said.err);
    };
    yaml(b"", "1: 0 YAML documents, expected one");
    yaml(b"# Nothing\n", "1: 0 YAML documents, expected one");
    yaml(b"a: 1\n---\nb: 1\n", "1: 2 YAML documents, expected one");
    yaml(b"null", "1: the document is null, expected an object");
    yaml(b"\n- openapi: 3.0.3\n", "2: the document is a list, expected an object");
    yaml(b"a: \xff\n", "1: cannot be read: ");
    yaml(b"info:\n\ttitle: x\n", "2: not YAML: ");
    yaml(b"info:\n  title: x\n  version: y\n  title: z\n", "4: not YAML: ");
    yaml(b"openapi: 3.0.3\ninfo: [\n", "3: not YAML: ");
    yaml(b"openapi: 3.0.3\ninfo: !x {}\n", "2: /info: ");
    yaml(b"openapi: 3.0.3\n[a]: 1\n", "1: ");
    yaml(b"openapi: 3.0.3\ninfo: {title: x, version: y}\npaths: 3\n", "3: /paths: `paths` is 3, expected an object");
    yaml(
        b"openapi: 3.0.3\ninfo: {title: x, version: y}\npaths: {/a: 3}\n",
        "3: /paths/~1a: `/a` is 3, expected an object",
    );
    yaml(b"openapi: 3.0.3\npaths: {}\ncomponents: x\n", "3: /components: `components` is `x`, expected an object");
    yaml(b"openapi: 3.0.3\npaths: {}\ncomponents: {schemas: []}\n", "3: /components/schemas: ");
    yaml(&b"[".repeat(100_000), "1: ");
    yaml(&b"- ".repeat(100_000), "1: indented by more than 200");
    let deep: String = (0..1000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    yaml(deep.as_bytes(), "202: indented by more than 200");
    let tree = Tree::new();
    fs::remove_file(tree.0.join(OPENAPI)).unwrap();
    assert!(tree.regen().err.starts_with(&format!("{OPENAPI}:1: cannot be read: ")));
}

#[test]
fn what_is_committed_is_up_to_date() {
    let said = Said::by(
        Command::new(env!("CARGO_BIN_EXE_xtask")).args(["regen", "--check", "--no-build", "--root"]).arg(workspace()),
    );
    assert_eq!(said.code, Some(0), "{said:?}");
}

#[test]
fn two_runs_give_the_same_bytes_and_the_second_writes_nothing() {
    let tree = Tree::new();
    fs::remove_dir_all(tree.0.join("spec/generated")).unwrap();
    assert_eq!(tree.regen().code, Some(0));
    let first = files(&tree.0);
    assert_eq!(first, files(workspace()));
    let written = |file| fs::metadata(tree.0.join(file)).unwrap().modified().unwrap();
    let times = GENERATED.map(written);
    let said = tree.regen();
    assert_eq!(said.code, Some(0));
    assert_eq!(said.out, format!("{KELIWEB}: unchanged\n{OPENAPI}: unchanged\n"));
    assert_eq!((files(&tree.0), GENERATED.map(written)), (first, times));
}

#[test]
fn other_newlines_are_no_difference() {
    let tree = Tree::new();
    for file in [KELIWEB, OPENAPI].into_iter().chain(GENERATED) {
        tree.write(file, tree.read(file).replace('\n', "\r\n"));
    }
    assert_eq!(tree.check().code, Some(0));
    let before = files(&tree.0);
    assert_eq!(tree.regen().code, Some(0));
    assert_eq!(files(&tree.0), before);
}

#[test]
fn a_change_is_told_by_operation() {
    let changes = |file, text, by, expected: &str| {
        let tree = Tree::new();
        tree.replace(file, text, by);
        let other = if file == KELIWEB { OPENAPI } else { KELIWEB };
        let check = tree.check();
        let regen = tree.regen();
        assert_eq!((check.code, regen.code), (Some(1), Some(0)), "{check:?}");
        assert!(check.out.starts_with(&regen.out), "{}", check.out);
        let mut expected = [format!("{file}:{expected}"), format!("{other}: unchanged\n")];
        expected.sort();
        assert_eq!(regen.out, expected.concat());
        assert_eq!(tree.check().code, Some(0));
    };
    changes(OPENAPI, "# Openapi", "# openapi", " only text that is not in the code changed\n");
    changes(OPENAPI, "Absent means one year\n", "x\n", "\n  ~ operation create_token\n  ~ type CreateToken\n");
    changes(OPENAPI, "      summary: The credit", "      summary: All credit", "\n  ~ operation get_credit\n");
    changes(
        OPENAPI,
        "operationId: get_credit",
        "operationId: credit",
        "\n  + operation credit\n  - operation get_credit\n",
    );
    // The operation names `TokenRequest`, which names the one that changed.
    let expected = "\n  ~ operation request_token\n  ~ type PasswordGrant\n";
    changes(KELIWEB, "          description: The customer's e-mail address\n", "          description: x\n", expected);
    changes(KELIWEB, "  version: 1.0.0\n", "  version: 1.0.1\n", "\n  ~ the code around the operations and types\n");
}

#[test]
fn a_missing_a_stale_and_an_edited_snapshot_fail_the_check() {
    let tree = Tree::new();
    let before = files(&tree.0);
    let fails = |expected: &str| {
        let now = files(&tree.0);
        let said = tree.check();
        assert_eq!(said.code, Some(1));
        assert_eq!(said.err, format!("{expected}\nrun `cargo xtask regen` and commit the result\n"));
        assert_eq!(files(&tree.0), now, "--check writes");
        assert_eq!(tree.regen().code, Some(0));
        assert_eq!(files(&tree.0), before);
        said.out
    };
    fs::remove_file(tree.0.join(GENERATED[1])).unwrap();
    let out = fails("spec/generated/openapi-oauth.rs is missing");
    assert!(out.contains("\n... and ") && out.lines().count() < 250, "{out}");
    tree.write("spec/generated/old.rs", "");
    fails("spec/generated/old.rs belongs to no service");
    tree.replace(GENERATED[1], "expire", "expired");
    let out = fails("spec/generated/openapi-oauth.rs is out of date");
    assert!(out.contains("\n-") && out.contains("\n+"), "{out}");
    tree.write(GENERATED[0], b"<<<<<<< HEAD \xff");
    let out = fails("spec/generated/keliweb-fatture.rs is out of date");
    assert!(out.contains("the old snapshot is not Rust"), "{out}");
}

#[test]
fn a_spec_that_is_not_the_one_of_the_snapshot_fails_the_check() {
    let mut cases = Vec::new();
    for file in [KELIWEB, OPENAPI] {
        let text = fs::read(workspace().join(file)).unwrap();
        // One here and there, the first and the last; the snapshot has a digest of all.
        let letters: Vec<usize> = (0..text.len()).filter(|at| text[*at].is_ascii_alphanumeric()).collect();
        for at in letters.iter().step_by(250).chain(letters.last()) {
            let mut changed = text.clone();
            let byte = &mut changed[*at];
            *byte = match *byte {
                b'9' => b'0',
                b'z' => b'a',
                b'Z' => b'A',
                byte => byte + 1,
            };
            cases.push((file, *at, changed));
        }
    }
    assert!(cases.len() > 80);
    in_parallel(&cases, |tree, (file, at, changed)| {
        tree.write(file, changed);
        assert_eq!(tree.check().code, Some(1), "{file}, byte {at}");
    });
}

#[test]
fn a_spec_that_is_cut_off_is_a_failure_and_no_panic() {
    let mut cases = Vec::new();
    for file in [KELIWEB, OPENAPI] {
        let text = fs::read(workspace().join(file)).unwrap();
        cases.extend((0..text.len()).step_by(text.len() / 50).map(|end| (file, text[..end].to_vec())));
    }
    in_parallel(&cases, |tree, (file, cut)| {
        tree.write(file, cut);
        assert_eq!(tree.check().code, Some(1), "{file}, {} bytes", cut.len());
    });
}

/// `true` and `false` stand in for a cargo that compiles the crate, and for one that fails to.
#[cfg(unix)]
#[test]
fn code_that_does_not_compile_is_a_failure() {
    let tree = Tree::new();
    let with = |cargo: &str, word: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        Said::by(command.env("CARGO", cargo).args(["regen", word, "--root"]).arg(&tree.0))
    };
    assert_eq!(with("true", "--check").code, Some(0));
    let said = with("false", "--check");
    assert_eq!(said.code, Some(1));
    assert!(said.err.ends_with("the crate does not compile with what is generated\n"), "{}", said.err);
    assert_eq!(with("false", "--no-build").code, Some(0));
    assert_eq!(with("/no/such/cargo", "--check").code, Some(1));
}

#[test]
fn wrong_words_are_told_with_the_usage() {
    let run = |words: &[&str]| Said::by(Command::new(env!("CARGO_BIN_EXE_xtask")).args(words));
    for words in [&[][..], &["--help"], &["-h"], &["regen", "--help"]] {
        let said = run(words);
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{words:?}");
        assert!(said.out.starts_with("Usage: cargo xtask regen "), "{}", said.out);
    }
    for words in [&["regenerate"][..], &["regen", "--chek"], &["regen", "--root"], &["--check"]] {
        let said = run(words);
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{words:?}");
        assert!(said.err.contains("Usage: cargo xtask regen "), "{}", said.err);
    }
}
