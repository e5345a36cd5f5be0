//! `scope explain`, `minimize` and `sandbox`, which need neither credentials nor a service.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::world::{Run, World};

/// Runs a command without any variable, and checks that it called nothing.
async fn offline(arguments: &[&str]) -> Run {
    let mut world = World::new().await;
    world.unset_credentials();
    let run = world.run(&[&["scope"], arguments].concat()).await;
    assert_eq!(world.requests(), 0);
    run
}

async fn json_of(schema: &str, arguments: &[&str]) -> Value {
    let json = offline(&[arguments, &["--json"]].concat()).await.json();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/cli/schemas/{schema}.json"));
    let schema: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let mistakes: Vec<String> =
        jsonschema::validator_for(&schema).unwrap().iter_errors(&json).map(|mistake| mistake.to_string()).collect();
    assert!(mistakes.is_empty(), "{mistakes:?}: {json}");
    json
}

#[tokio::test]
async fn a_scope_is_explained_by_what_it_covers_and_what_covers_it() {
    let run = offline(&["explain", "get:Company.openapi.com/IT-start"]).await;
    assert_eq!(
        run.stdout,
        "GET:company.openapi.com/IT-start\n\
         \x20 covers       GET requests to company.openapi.com, path /IT-start and below it\n\
         \x20 in           production\n\
         \x20 covered by   for example:\n\
         \x20              *:company.openapi.com/IT-start\n\
         \x20              GET:company.openapi.com/*\n\
         \x20              *:company.openapi.com/*\n\
         \x20              *:*.openapi.com/*\n\
         \x20              *:*/*\n"
    );
}

#[tokio::test]
async fn scopes_are_compared_with_each_other() {
    let json = json_of(
        "scope-explain",
        &["explain", "*:company.openapi.com/*", "GET:company.openapi.com/IT-start", "GET:*.openapi.com/*"],
    )
    .await;
    let list = json["explanations"].as_array().unwrap();
    assert_eq!(list[0]["includes"], json!(["GET:company.openapi.com/IT-start"]));
    assert_eq!(list[0]["overlaps"], json!(["GET:*.openapi.com/*"]));
    assert_eq!(list[1]["included_in"], json!(["*:company.openapi.com/*", "GET:*.openapi.com/*"]));
    assert_eq!(list[2]["environment"], Value::Null);
}

#[tokio::test]
async fn a_url_is_explained_by_what_it_needs_and_its_query_is_not_shown() {
    let url = "POST https://test.ws.ufficiopostale.com/raccomandate?key=hidden";
    let json = json_of("scope-explain", &["explain", url]).await;
    let explanation = &json["explanations"][0];
    assert_eq!(explanation["scope"], "POST:test.ws.ufficiopostale.com/raccomandate");
    assert_eq!((&explanation["environment"], json.to_string().contains("hidden")), (&json!("sandbox"), false));
    let run = offline(&["explain", "https://user:hidden@company.openapi.com/IT-start"]).await;
    assert!(!format!("{run:?}").contains("hidden"), "{run:?}");
    let run = offline(&["explain", "https://company.openapi.com/IT-start/12485671007"]).await;
    assert!(run.stdout.contains("  needs        GET:company.openapi.com/IT-start\n"), "{run:?}");
}

#[tokio::test]
async fn a_mistake_is_shown_with_its_place_and_what_to_write() {
    let run = offline(&["explain", "GET:imprese.openapi.it/IT-*", "*:*/*", "imprese.openapi.it"]).await;
    run.fails(2, "at byte 26 ('*'): `*` cannot stand for part of a path; write `/*` for all endpoints");
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(lines[1..3], ["  GET:imprese.openapi.it/IT-*", "                            ^"], "{run:?}");
    // A text that does not look like a scope may be a token, so the error does not show it.
    assert!(run.stderr.contains("not a scope; expected METHOD:HOST/PATH"), "{run:?}");
    assert!(!run.stderr.contains("imprese.openapi.it\n"), "{run:?}");
    for (text, reason) in [
        ("https://company.openapi.com:x/", "not a URL"),
        ("FETCH https://company.openapi.com/IT-start", "expected GET"),
        ("GET:h.it/a\u{1b}[2J", "control"),
        ("GET:h.it/\u{9b}", "control"),
    ] {
        let run = offline(&["explain", text]).await;
        run.fails(2, reason);
        assert!(!run.stderr.contains(|c: char| c.is_control() && c != '\n'), "{run:?}");
    }
}

#[tokio::test]
async fn scopes_are_minimized_and_moved_to_the_sandbox() {
    let run = offline(&["minimize", "GET:a.openapi.it/x", "*:a.openapi.it/*", "GET:b.openapi.it/y"]).await;
    assert_eq!(run.stdout, "*:a.openapi.it/*\nGET:b.openapi.it/y\n");
    let json = json_of("scope-list", &["sandbox", "GET:a.openapi.it/x", "*:b.openapi.it/*", "GET:test.c.it/y/z"]).await;
    assert_eq!(json, json!({ "scopes": ["GET:test.a.openapi.it/x", "*:test.b.openapi.it/*", "GET:test.c.it/y/z"] }));
    offline(&["sandbox", "*:*.openapi.it/*"]).await.fails(2, "name the hosts");
    offline(&["minimize", "GET:a.openapi.it"]).await.fails(2, "missing path after the host");
    for arguments in
        [["minimize", "GET:a.it/x GET:a.it/y"], ["sandbox", "GET:a.it/x,"], ["explain", "GET:a.it/x,GET:b.it/y"]]
    {
        offline(&arguments).await.fails(2, "write several with blanks between them");
    }
}
