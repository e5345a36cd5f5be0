//! Tokens: their formats, and how few requests they take.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use gettone::emulator::{Api, Emulator};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{SCOPE, World, until};

const OPENAPI: [&str; 3] = ["openapi", "token", SCOPE];
const KELIWEB: [&str; 2] = ["keliweb", "token"];

#[tokio::test]
async fn a_second_call_sends_nothing() {
    let world = World::new().await;
    for arguments in [&OPENAPI[..], &KELIWEB, &["openapi", "--api-version", "1", "token", SCOPE]] {
        let before = world.requests();
        let first = world.run(arguments).await;
        let sent = world.requests();
        assert!(sent > before);
        let second = world.run(arguments).await;
        assert_eq!((second.line(), world.requests()), (first.line(), sent), "{arguments:?}");
        assert_eq!((first.stderr, second.stderr), (String::new(), String::new()));
    }
    for (path, mode) in [("", 0o700), ("tokens.json", 0o600)] {
        let path = world.token_file().parent().unwrap().join(path);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, mode, "{}", path.display());
    }
}

#[tokio::test]
async fn each_format_is_what_curl_and_shells_read() {
    let world = World::new().await;
    let token = world.run(&OPENAPI).await.line().to_owned();
    for (format, line) in [
        ("token", token.clone()),
        ("header", format!("Authorization: Bearer {token}")),
        ("curl", format!("oauth2-bearer = \"{token}\"")),
        ("env", format!("OPENAPI_TOKEN={token}")),
    ] {
        let run = world.run(&["openapi", "token", SCOPE, "--format", format]).await;
        assert_eq!(run.line(), line);
    }
    let keliweb = world.run(&["keliweb", "token", "--format", "env"]).await;
    assert!(keliweb.line().starts_with("KELIWEB_TOKEN=ey"), "{keliweb:?}");
    let curl = world.run(&["keliweb", "token", "--format", "curl"]).await;
    let token = keliweb.line().trim_start_matches("KELIWEB_TOKEN=");
    assert_eq!(curl.stdout, format!("oauth2-bearer = \"{token}\"\nheader = \"Accept: application/json\"\n"));
    let sandbox = world.run(&["openapi", "token", "--sandbox", SCOPE, "--format", "env"]).await;
    assert!(sandbox.line().starts_with("OPENAPI_SANDBOX_TOKEN="), "{sandbox:?}");
}

#[tokio::test]
async fn json_has_the_end_in_utc_whatever_the_time_zone() {
    let mut world = World::new().await;
    world.set("TZ", "Europe/Rome");
    let json = world.run(&["openapi", "token", SCOPE, "--format", "json"]).await.json();
    let issued = world.emulator.tokens();
    assert_eq!(json["token"], issued[0].token.expose());
    assert_eq!((&json["token_type"], &json["scopes"]), (&json!("Bearer"), &json!([SCOPE])));
    let end = json["expires_at"].as_str().unwrap();
    assert!(end.len() == "2026-11-25T19:31:59Z".len() && end.ends_with('Z'), "{end}");
    let end = time::OffsetDateTime::parse(end, &time::format_description::well_known::Rfc3339).unwrap();
    let issued_end = time::OffsetDateTime::from(issued[0].expires_at);
    assert!((end - issued_end).abs() < time::Duration::minutes(2), "{end} and {issued_end}");
    let left = json["expires_in"].as_u64().unwrap();
    assert!((86_200..=86_400).contains(&left), "{left}");
    assert_eq!(world.run(&["--json", "openapi", "token", SCOPE]).await.json()["token"], json["token"]);
    assert_eq!(world.run(&["keliweb", "token", "--json"]).await.json().get("scopes"), None);
}

#[tokio::test]
async fn the_scope_is_worked_out_from_a_request() {
    let world = World::new().await;
    let url = world.emulator.url("/echo/me?x=1");
    let token = world.run(&["openapi", "token", "--for", &format!("GET {url}")]).await.line().to_owned();
    assert_eq!(world.run(&OPENAPI).await.line(), token);
    for (request, reason) in [
        ("GET", "expected a method and a URL"),
        ("https://example.com/a", "expected a method and a URL in quotes: write --for 'GET URL'"),
        ("GET example.com/a", "not a URL"),
        ("GET https://[::1]/a", "host name"),
    ] {
        world.run(&["openapi", "token", "--for", request]).await.fails(2, reason);
    }
}

#[tokio::test]
async fn hosts_of_the_sandbox_choose_the_sandbox() {
    let world = World::new().await;
    let counts = || [Api::ProductionV2, Api::SandboxV2].map(|api| world.emulator.count_valid_tokens(api));
    let scope = "GET:test.imprese.openapi.it/base";
    world.run(&["openapi", "token", scope]).await.line();
    assert_eq!(counts(), [0, 1]);
    world.run(&["openapi", "token", "--for", "GET https://test.imprese.openapi.it/base/1"]).await.line();
    world.run(&["openapi", "token", "GET:imprese.openapi.it/base"]).await.line();
    assert_eq!(counts(), [1, 1]);
    // The service of production does not know the host.
    world.run(&["openapi", "token", "--production", scope]).await.fails(1, "scopes");
}

#[tokio::test]
async fn a_token_that_ends_too_soon_is_replaced() {
    let world = World::new().await;
    let first = world.run(&KELIWEB).await.line().to_owned();
    let with = |least: &'static str| ["keliweb", "token", "--min-life", least];
    assert_eq!(world.run(&with("5m")).await.line(), first);
    world.expire_in(1_200);
    assert_eq!(world.run(&with("19m")).await.line(), first);
    let second = world.run(&with("21m")).await;
    assert_ne!(second.line(), first);
    assert_eq!((second.stderr.as_str(), world.emulator.count("refresh")), ("", 1));
    // The service issues no token with a longer lifetime, so the program requests one once, and warns.
    let third = world.run(&with("5h")).await;
    assert!(third.code == 0 && third.stderr.contains("sooner than in 5 h"), "{third:?}");
    assert_eq!((world.emulator.count("refresh"), world.emulator.count("password_grant")), (2, 1));
}

#[tokio::test]
async fn refresh_replaces_the_kept_token_once() {
    let world = World::new().await;
    // Nothing is stored: the first token is new enough.
    let first = world.run(&["keliweb", "refresh"]).await.line().to_owned();
    assert_eq!((world.emulator.count("password_grant"), world.emulator.count("refresh")), (1, 0));
    let second = world.run(&["keliweb", "token", "--refresh"]).await.line().to_owned();
    assert_eq!((world.emulator.count("password_grant"), world.emulator.count("refresh")), (1, 1));
    assert!(first != second && world.run(&KELIWEB).await.line() == second);

    let first = world.run(&["openapi", "token", SCOPE, "--refresh"]).await.line().to_owned();
    assert_eq!(world.emulator.count("create_token"), 1);
    let second = world.run(&["openapi", "token", SCOPE, "--refresh"]).await.line().to_owned();
    assert!(first != second && world.run(&OPENAPI).await.line() == second);
    assert_eq!(world.emulator.count("create_token"), 2);
}

#[tokio::test]
async fn a_token_near_its_end_is_refreshed_before_it_is_printed() {
    let world = World::new().await;
    let first = world.run(&KELIWEB).await.line().to_owned();
    world.expire_in(60);
    let second = world.run(&KELIWEB).await.line().to_owned();
    assert_eq!(world.emulator.count("refresh"), 1);
    let valid: Vec<_> = world.emulator.tokens().into_iter().filter(|token| token.is_valid).collect();
    assert!(second != first && valid.len() == 1 && valid[0].token.expose() == second);
}

#[tokio::test]
async fn logout_removes_the_kept_token_and_sends_nothing() {
    let world = World::new().await;
    world.run(&KELIWEB).await.line();
    let sent = world.requests();
    assert_eq!(world.run(&["keliweb", "logout", "--json"]).await.json(), json!({ "removed": true }));
    assert_eq!(world.run(&["keliweb", "logout"]).await.line(), "no token was kept");
    assert_eq!((world.requests(), world.stored()["tokens"].as_object().unwrap().len()), (sent, 0));
}

/// The program knows the expiration time of a token that no store has.
#[tokio::test]
async fn a_new_token_has_its_end_without_a_store_that_could_keep_it() {
    let world = World::new().await;
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let store = format!("redis://{nobody}");
    for (command, least) in [(&OPENAPI[..], 86_000), (&KELIWEB, 3_500)] {
        let run = world.run(&[&["--json", "--store", &store], command].concat()).await;
        assert!(run.json()["expires_in"].as_u64().unwrap() > least, "{run:?}");
        assert_eq!(run.stderr.matches("connection refused").count(), 1, "{run:?}");
    }
    let run = world.run(&["--store", &store, "keliweb", "token", "--min-life", "5h"]).await;
    assert!(run.code == 0 && run.stderr.contains("expire sooner"), "{run:?}");
}

/// A server may be back later.
#[tokio::test]
async fn logout_without_its_server_is_to_be_tried_again() {
    let world = World::new().await;
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let run = world.run(&["keliweb", "logout", "--store", &format!("redis://{nobody}")]).await;
    run.fails(75, "connection refused");
    assert!(run.stderr.ends_with("try again later\n"), "{run:?}");
    assert_eq!(world.requests(), 0);
}

#[tokio::test]
async fn without_a_store_nothing_is_kept() {
    let world = World::new().await;
    for _ in 0..2 {
        world.run(&["--store", "none", "keliweb", "token"]).await.line();
    }
    assert_eq!(world.emulator.count("password_grant"), 2);
    assert!(!world.token_file().exists());
}

#[tokio::test]
async fn a_store_in_redis_is_named_by_its_url() {
    let mut world = World::new().await;
    let socket = world.home.join("redis.sock");
    let mut server = world.any("redis-server");
    server.args(["--port", "0", "--save", "", "--unixsocket", socket.to_str().unwrap()]);
    server.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let Ok(mut server) = server.stdout(Stdio::null()).spawn() else {
        assert!(std::env::var_os("CI").is_none(), "no redis-server");
        println!("no redis-server on this machine: nothing was checked");
        return;
    };
    let url = format!("unix://{}", socket.display());
    until(|| socket.exists()).await;
    let first = world.run(&["--store", &url, "keliweb", "token"]).await.line().to_owned();
    let sent = world.requests();
    world.set("GETTONE_STORE", &url);
    assert_eq!((world.run(&KELIWEB).await.line(), world.requests()), (first.as_str(), sent));
    let json = world.run(&["keliweb", "token", "--json"]).await.json();
    assert!(json["expires_in"].as_u64().unwrap() > 3_000, "{json}");
    let status = world.run(&["status", "--json"]).await.json();
    assert_eq!((&status["store"], &status["file"]), (&json!("redis"), &json!(null)));
    let keliweb = json!({ "service": "Keliweb Fatture", "url": world.emulator.keliweb_url() });
    assert!(status["addresses"].as_array().unwrap().contains(&keliweb), "{status}");
    assert_eq!(world.run(&["keliweb", "logout"]).await.line(), "removed the token");
    assert!(!world.token_file().exists());
    // Something else under the key of the token stays there, so trying again does not help.
    world.run(&KELIWEB).await.line();
    let mut client = tokio::net::UnixStream::connect(&socket).await.unwrap();
    let overwrite = "for _, key in ipairs(redis.call('KEYS', '*')) do redis.call('SET', key, 'x') end return 'done'";
    client.write_all(format!("EVAL \"{overwrite}\" 0\r\n").as_bytes()).await.unwrap();
    let mut answer = [0; 10];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"$4\r\ndone\r\n");
    let run = world.run(&["keliweb", "logout"]).await;
    run.fails(1, "a key of the store holds something else");
    assert!(!run.stderr.contains("try again later"), "{run:?}");
    server.kill().await.unwrap();
    // Without its store, the program still gets a token, and says once what is wrong.
    let run = world.run(&KELIWEB).await;
    run.line();
    assert_eq!(run.stderr.matches("warning: the token store failed").count(), 1, "{run:?}");
    let run = world.run(&["keliweb", "token", "--min-life", "5m"]).await;
    assert!(run.code == 0 && !run.stderr.contains("expire sooner"), "{run:?}");
    world.run(&["keliweb", "logout"]).await.fails(75, "try again later");
}

#[tokio::test]
async fn two_commands_from_nothing() {
    let world = World::with(Emulator::builder()).await;
    let script = "gettone emulator > emulator.env 2> /dev/null & EMULATOR=$!\n\
         until grep -q OPENAPI_SANDBOX_KEY emulator.env; do sleep 0.05; done; . ./emulator.env\n\
         TOKEN=$(gettone openapi token GET:127.0.0.1/echo)\n\
         root=${GETTONE_KELIWEB_URL%/keliweb}\n\
         curl -s -o /dev/null -w '%{http_code} ' -H \"Authorization: Bearer $TOKEN\" $root/echo/hello\n\
         curl -s -o /dev/null -w '%{http_code} ' -K <(gettone keliweb token --format curl) $root/api/invoices\n\
         curl -s -o /dev/null -w '%{http_code}' -H @<(gettone openapi token --format header --for \"GET $root/echo\") $root/echo\n\
         kill $EMULATOR; wait $EMULATOR || echo \" $?\"";
    let run = world.bash(script).await;
    assert_eq!(run.line(), "200 200 200 143", "{run:?}");
}

/// A store keeps some records for longer than their refresh tokens are good for.
#[tokio::test]
async fn status_says_until_when_a_token_can_be_refreshed() {
    let world = World::new().await;
    let record = json!({ "version": 1, "access_token": "t", "obtained_at": 0, "expires_at": 1_000 });
    let with = |more: Value| {
        let mut record = record.clone();
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        record
    };
    let sealed = json!({ "version": 2, "obtained_at": 0, "expires_at": 1_000, "discard_after": 315_360_000_000_u64, "sealed": "x" });
    let tokens = json!({
        "a": with(json!({ "refresh_token": "r", "refresh_expires_at": 2_000, "keep_until": 315_360_000_000_u64 })),
        "b": with(json!({ "refresh_expires_at": 2_000, "claimed_at": 1, "keep_until": 315_360_000_000_u64 })),
        "c": record,
        "d": sealed,
    });
    let file = world.write("kept.json", &json!({ "version": 1, "tokens": tokens }).to_string());
    world.chmod("kept.json", 0o600);
    let status = world.run(&["--store", &file, "status", "--json"]).await.json();
    let ends: Vec<_> = status["tokens"].as_array().unwrap().iter().map(|token| &token["refreshed_until"]).collect();
    assert_eq!(ends, [&json!("1970-01-01T00:00:02Z"), &Value::Null, &Value::Null, &Value::Null], "{status}");
    let table = world.run(&["--store", &file, "status"]).await.stdout;
    assert!(table.contains("its refresh token\texpires 1970-01-01T00:00:02Z") && !table.contains("1979"), "{table}");
}
