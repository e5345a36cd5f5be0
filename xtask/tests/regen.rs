//! Breaks a copy of the specs in one way each, and looks at what `cargo xtask regen` says.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, process};

const KELIWEB: &str = "spec/keliweb-fatture.yaml";
const OPENAPI: &str = "spec/openapi-oauth-v1.yaml";
const OPENAPI_V2: &str = "spec/openapi-oauth-v2.yaml";
const GENERATED: [&str; 3] =
    ["spec/generated/keliweb-fatture.rs", "spec/generated/openapi-oauth-v1.rs", "spec/generated/openapi-oauth-v2.rs"];

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
        fs::create_dir_all(tree.0.join("spec/generated")).unwrap();
        tree.restore();
        tree
    }

    fn restore(&self) {
        for (file, text) in files(workspace()) {
            self.write(file, text);
        }
    }

    fn write(&self, file: &str, content: impl AsRef<[u8]>) {
        fs::write(self.0.join(file), content).unwrap();
    }

    /// Puts `by` where `text` stands first; the new text.
    #[track_caller]
    fn replace(&self, file: &str, text: &str, by: &str) -> String {
        let old = fs::read_to_string(self.0.join(file)).unwrap();
        assert!(old.contains(text), "not in {file}:\n{text}");
        let new = old.replacen(text, by, 1);
        self.write(file, &new);
        new
    }

    fn run(&self, words: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        // The folder of this package, as `cargo xtask` sets it; the workspace is the folder above.
        let Output { status, stdout, stderr } =
            command.args(words).env("CARGO_MANIFEST_DIR", self.0.join("xtask")).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let said = Said { code: status.code(), out: text(stdout), err: text(stderr) };
        assert!(!said.err.contains("panicked"), "{said:?}");
        said
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn files(root: &Path) -> BTreeMap<&'static str, Vec<u8>> {
    let specs = [KELIWEB, OPENAPI, OPENAPI_V2];
    specs.into_iter().chain(GENERATED).map(|file| (file, fs::read(root.join(file)).unwrap())).collect()
}

#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

/// A spec, what is replaced in it, by what, and the problems that this makes: for each `§` in the new text, which is
/// taken out, what is said about its line. Everything that is said is to be in the table.
type Row = (&'static str, &'static str, &'static str, &'static [&'static str]);

#[rustfmt::skip]
const BROKEN: &[Row] = &[
    // Keywords that OpenAPI 3.0 does not have, or not there.
    (OPENAPI, "\ntags:\n", "\n§servres: []\ntags:\n", &["/servres: `servres` has no effect here"]),
    (OPENAPI, "      summary: Create a token\n", "      §sumary: Create a token\n", &["create_token: `sumary` has no effect here"]),
    (OPENAPI, "          required: false\n", "          §requred: false\n", &["list_tokens: `requred` has no effect here"]),
    (OPENAPI, "      minProperties: 1\n", "      §minProprties: 1\n", &["/components/schemas/UpdateToken/minProprties: `minProprties` has no effect here"]),
    (OPENAPI, "          $ref: '#/components/schemas/AccessToken'\n", "          $ref: '#/components/schemas/AccessToken'\n          §description: x\n", &["/components/schemas/Token/properties/token/description: `description` has no effect here"]),
    (OPENAPI, "  /scopes:\n", "  §scopes:\n", &["/paths/scopes: `scopes` has no effect here"]),
    (OPENAPI, "        - name: scope\n          in: query\n", "        - name: scope\n          in: query\n          §examples: {}\n", &["list_tokens: `examples` has no effect here"]),

    // What openapiv3 does not read: the smallest part of it.
    (OPENAPI, "openapi: 3.0.3\n", "§openapi: 3.1.0\n", &["/openapi: OpenAPI `3.1.0`; the generator reads 3.0"]),
    (OPENAPI, "          description: A scope to filter the tokens by\n", "          §description: 3\n", &["list_tokens: not OpenAPI 3.0: invalid type: integer `3`, expected a string"]),
    (OPENAPI, "        '204':\n          description: There is no token\n", "        §'204':\n", &["list_tokens: not OpenAPI 3.0: missing field `description`"]),
    (OPENAPI, "    basicAuth:\n      type: http\n      scheme: basic\n", "    §basicAuth:\n      type: http\n", &["/components/securitySchemes/basicAuth: not OpenAPI 3.0: missing field `scheme`"]),
    (OPENAPI, "      maximum: 31536000\n", "      §maximum: a year\n", &["/components/schemas/Ttl/maximum: not OpenAPI 3.0: invalid type: string \"a year\", expected a JSON number"]),

    // What the specs promise, and what the generator would get wrong.
    (OPENAPI, "      x-source: vendor\n", "      §x-source: hearsay\n", &["create_token: `x-source` is none of vendor, software"]),
    (OPENAPI, "        '204':\n          description: There is no token\n          x-source: vendor\n", "        §'204':\n          description: x\n", &["list_tokens: `x-source` is none of vendor, software"]),
    (OPENAPI, "        message:\n          $ref: '#/components/schemas/Message'\n        error:\n          $ref: '#/components/schemas/ErrorCode'\n        data:\n", "        §message:\n          $ref: '#/components/schemas/Mesage'\n        error:\n          $ref: '#/components/schemas/ErrorCode'\n        data:\n", &["/components/schemas/Failure/properties/message: $ref `#/components/schemas/Mesage` leads nowhere"]),
    (OPENAPI, "            application/json:\n              schema:\n                $ref: '#/components/schemas/CreditAnswer'\n              examples:\n", "            §application/json:\n              schema:\n                $ref: '#/components/schemas/CreditAnswer'\n              x-examples:\n", &["get_credit: `application/json` without a schema or an example"]),
    (OPENAPI, "                left:\n                  value:\n", "                §left:\n                  x-value:\n", &["get_credit: an example without a `value`"]),
    (OPENAPI, "    Failure:\n", "    Failure:\n      §additionalProperties: false\n", &["/components/schemas/Failure/additionalProperties: `false`, but the service may add properties"]),
    (OPENAPI, "    Limit:\n", "    Limit:\n      §nullable: true\n", &["/components/schemas/Limit/nullable: `nullable` without `type` has no effect"]),

    // Examples.
    (OPENAPI, "          example: '2022-01'\n", "          §example: 2022\n", &["counters_month: does not fit its schema: value is not of type \"string\""]),
    (KELIWEB, "              example: 30\n", "              §example: soon\n", &["request_token: does not fit its schema: value is not of type \"integer\""]),
    (OPENAPI, "                  ttl: 2592000\n", "                  §ttl: 31536001\n", &["create_token: does not fit its schema: value is greater than the maximum of 31536000"]),
    (OPENAPI, "                  ttl: 2592000\n", "                  §tttl: 2592000\n", &["create_token: its schema knows no property `tttl`"]),
    (OPENAPI, "                  value:\n                    scopes:\n                      - GET:imprese.openapi.it/base\n                      - GET:comparabili.openapi.it/root\n                      - POST:comparabili.openapi.it/root\n                    expire: 1634223407\n",
        "                  §value:\n                    scopes: []\n                    expired: 1634223407\n", &["create_token: does not fit its schema: \"expire\" is a required property"]),
    (OPENAPI, "                        token: 5f8041e42efdfc468b6e60ea\n", "                        token: 5f8041e42efdfc468b6e60ea\n                        §tokn: x\n", &["list_tokens: its schema knows no property `tokn`"]),
    (OPENAPI, "                    message: \"\"\n", "                    §massage: \"\"\n", &["create_token: its schema knows no property `massage`"]),
    (OPENAPI, "                        limit: null\n", "                        limit: null\n                        §limits: 3\n", &["counters_total: its schema knows no property `limits`"]),
    (OPENAPI, "                        limit: false\n", "                        §limit: true\n", &["counters_total: does not fit its schema: value is not valid under any of the schemas listed in the 'oneOf' keyword"]),
    (OPENAPI, "                      success: true\n                      message: \"\"\n                      error: null\n\n", "                      success: true\n                      §massage: \"\"\n                      error: null\n\n", &["list_scopes: its schema knows no property `massage`"]),
    (OPENAPI, "      example: 2592000\n", "      §example: 31536001\n", &["/components/schemas/Ttl/example: does not fit its schema: value is greater than the maximum of 31536000"]),
    (OPENAPI, "  schemas:\n", "  schemas:\n    New:\n      type: string\n      format: date\n      §example: 2022-02-30\n", &["/components/schemas/New/example: does not fit its schema: value is not a \"date\""]),
    (OPENAPI, "as the service lists them\n      type: array\n", "as the service lists them\n      §type: list\n", &["/components/schemas/ScopeList/type: not a usable schema: Unexpected type"]),

    // What the generator cannot do.
    (OPENAPI, "        - name: scope\n          in: query\n", "        - §name: scope\n          in: header\n", &["list_tokens: the generator has no parameter `scope` in `header`"]),
    (OPENAPI, "      responses:\n        '200':\n", "      §responses:\n        '201':\n          description: x\n          x-source: vendor\n        '200':\n", &["create_token: 2 kinds of success, the generator can express one"]),
    (OPENAPI, "      requestBody:\n        required: true\n        content:\n", "      §requestBody:\n        required: true\n        content:\n          text/plain:\n            example: x\n            schema: {}\n", &["create_token: 2 media types in one body, the generator takes one"]),
    (OPENAPI, "  /scopes:\n    get:\n", "  /scopes/{id}:\n    §get:\n", &["list_scopes: cannot be generated: missing path name mapping id"]),
    (OPENAPI, "    get:\n      operationId: get_credit\n", "    §get:\n", &["GET /credit: cannot be generated: unexpected or unhandled format in the OpenAPI document path /credit is missing operation ID"]),
    (OPENAPI, "paths:\n", "§paths:\n  /twice:\n    get:\n      operationId: list_tokens\n      x-source: vendor\n      responses:\n        '204':\n          description: x\n          x-source: vendor\n", &["/paths: cannot be generated: unexpected or unhandled format in the OpenAPI document duplicate operation ID: list_tokens"]),
    (KELIWEB, "          enum: [password]\n", "          §enum: [password, 3]\n", &["/components/schemas/PasswordGrant/properties/grant_type/enum/1: cannot be generated: type error unexpected value type"]),
];

#[test]
fn each_fault_is_told_with_its_line() {
    let tree = Tree::new();
    for (file, text, by, reasons) in BROKEN {
        tree.restore();
        let marked = tree.replace(file, text, by);
        tree.write(file, marked.replace('§', ""));
        let marks = marked.lines().enumerate().filter(|(_, line)| line.contains('§'));
        let expected: Vec<_> =
            marks.zip(*reasons).map(|((index, _), reason)| format!("{file}:{}: {reason}", index + 1)).collect();
        assert!(!expected.is_empty());
        let before = files(&tree.0);
        let said = tree.run(&["regen"]);
        assert_eq!(said.err.lines().collect::<Vec<_>>(), expected, "after replacing\n{text}\nby\n{by}");
        assert_eq!((said.code, files(&tree.0)), (Some(1), before));
    }
}

#[test]
fn all_problems_of_all_specs_are_reported_at_once() {
    let tree = Tree::new();
    for file in [KELIWEB, OPENAPI, OPENAPI_V2] {
        tree.replace(file, "openapi: 3.0.3\n", "openapi: 3.0.3\nfirst: 1\n");
        tree.replace(file, "x-source: vendor\n", "x-source: nobody\n");
    }
    let said = tree.run(&["regen"]);
    let starts: Vec<_> = said.err.lines().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(
        (said.code, starts),
        (Some(1), vec![KELIWEB, KELIWEB, OPENAPI, OPENAPI, OPENAPI_V2, OPENAPI_V2]),
        "{}",
        said.err
    );
}

#[test]
fn what_is_not_a_spec_is_told_with_its_line() {
    let tree = Tree::new();
    let yaml = |content: &[u8], expected: &str| {
        tree.write(KELIWEB, content);
        let said = tree.run(&["regen"]);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.err.starts_with(&format!("{KELIWEB}:{expected}")), "{expected} is not in\n{}", said.err);
        assert_eq!(said.err.lines().count(), 1, "{}", said.err);
    };
    yaml(b"# Nothing\n", "2: no YAML document, expected one");
    yaml(b"a: 1\n---\nb: 1\n", "2: a second YAML document, expected one");
    yaml(b"\n- openapi: 3.0.3\n", "2: /openapi: OpenAPI ``; the generator reads 3.0");
    yaml(b"a: \xff\n", "1: cannot be read: ");
    yaml(b"info:\n\ttitle: x\n", "2: not YAML: ");
    yaml(b"info:\n  title: x\n  version: y\n  title: z\n", "4: not YAML: key `title` for the second time");
    yaml(b"openapi: 3.0.3\ninfo: !x {}\n", "2: /info: a YAML tag, anchor or alias");
    yaml(b"openapi: 3.0.3\ninfo: &x {}\n", "2: /info: a YAML tag, anchor or alias");
    yaml(b"openapi: 3.0.3\ninfo: *x\n", "2: not YAML: ");
    yaml(b"openapi: 3.0.3\n[a]: 1\n", "1: a key that is not text");
    yaml(b"openapi: 3.0.3\ninfo: {title: x, version: y}\npaths: {/a: 3}\n", "3: /paths/~1a: not OpenAPI 3.0: ");
    fs::remove_file(tree.0.join(KELIWEB)).unwrap();
    assert!(tree.run(&["regen"]).err.starts_with(&format!("{KELIWEB}:1: cannot be read: ")));
}

#[test]
fn a_spec_that_is_cut_off_is_no_panic() {
    let tree = Tree::new();
    let text = fs::read(workspace().join(KELIWEB)).unwrap();
    for end in (0..text.len()).step_by(text.len() / 25) {
        tree.write(KELIWEB, &text[..end]);
        let said = tree.run(&["regen", "--check"]);
        assert!(said.code == Some(0) || said.err.starts_with("spec/"), "{end} bytes: {said:?}");
    }
}

#[test]
fn what_is_committed_is_up_to_date() {
    let tree = Tree::new();
    let said = tree.run(&["regen", "--check"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    // Newlines of another system are no difference.
    for (file, text) in files(workspace()) {
        tree.write(file, String::from_utf8(text).unwrap().replace('\n', "\r\n"));
    }
    let before = files(&tree.0);
    assert_eq!((tree.run(&["regen", "--check"]).code, tree.run(&["regen"]).code), (Some(0), Some(0)));
    assert_eq!(files(&tree.0), before);
}

#[test]
fn a_missing_and_an_edited_snapshot_fail_the_check() {
    let tree = Tree::new();
    let fails = |expected: &str| {
        let before = tree.0.join(GENERATED[1]).exists().then(|| files(&tree.0));
        let said = tree.run(&["regen", "--check"]);
        assert_eq!(said.code, Some(1));
        assert!(said.err.starts_with(expected), "{}", said.err);
        assert!(said.err.ends_with("run `cargo xtask regen` and commit the result\n"), "{}", said.err);
        assert_eq!(tree.0.join(GENERATED[1]).exists().then(|| files(&tree.0)), before, "--check writes");
        let said = tree.run(&["regen"]);
        assert_eq!(
            (said.code, said.out),
            (Some(0), format!("{}: unchanged\n{}: updated\n{}: unchanged\n", GENERATED[0], GENERATED[1], GENERATED[2]))
        );
        assert_eq!(files(&tree.0), files(workspace()));
    };
    tree.replace(GENERATED[1], "\npub mod types {\n", "\npub mod kinds {\n");
    fails("spec/generated/openapi-oauth-v1.rs:11: out of date\n- pub mod kinds {\n+ pub mod types {\n");
    tree.write(GENERATED[1], b"<<<<<<< HEAD \xff");
    fails("spec/generated/openapi-oauth-v1.rs:1: out of date\n- <<<<<<< HEAD ");
    fs::remove_file(tree.0.join(GENERATED[1])).unwrap();
    fails("spec/generated/openapi-oauth-v1.rs:1: out of date\n- \n+ // @generated ");
}

#[test]
fn wrong_words_are_told_with_the_usage() {
    let tree = Tree::new();
    for words in [&[][..], &["--help"], &["regenerate"], &["regen", "--chek"], &["api", "--check", "x"]] {
        let said = tree.run(words);
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{words:?}");
        assert!(said.err.starts_with("Usage: cargo xtask regen "), "{}", said.err);
    }
}
