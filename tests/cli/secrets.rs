//! Secrets: none is shown by any command, in any stream, or in the list of processes.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use httpmock::MockServer;
use serde_json::json;

use crate::world::{SCOPE, World, until, wait};

const CONFIG: &str = ".config/gettone/config.toml";

/// What is run with everything that it prints. Commands that print a token come separately.
const COMMANDS: &[&[&str]] = &[
    &["status"],
    &["status", "--json", "-v"],
    &["keliweb", "logout", "-v"],
    &["--help"],
    &["openapi", "token", "--help"],
    &["man"],
    &["completions", "bash"],
    &["completions", "zsh"],
    &["completions", "fish"],
    &["--version"],
];

#[tokio::test]
async fn no_command_shows_a_secret() {
    let world = World::new().await;
    for arguments in
        [&["-v", "openapi", "token", SCOPE][..], &["-v", "keliweb", "token"], &["-v", "keliweb", "refresh"]]
    {
        let run = world.run(arguments).await;
        let token = run.line();
        assert!(world.emulator.tokens().iter().any(|issued| issued.token.expose() == token));
        world.assert_clean("stderr", &run.stderr);
    }
    assert!(world.secrets().len() > 6);
    for arguments in COMMANDS {
        let run = world.run(arguments).await;
        assert_eq!(run.code, 0, "{run:?}");
        world.assert_clean(&format!("{arguments:?}"), &format!("{}{}", run.stdout, run.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_argument_of_any_process_is_a_secret() {
    let mut world = World::new().await;
    world.run(&["keliweb", "token"]).await.line();
    world.unset("KELIWEB_PASSWORD");
    world.write("password", crate::world::PASSWORD);
    // It writes down its own arguments, and those of the program that runs it.
    let command = "cat /proc/self/cmdline /proc/$PPID/cmdline > arguments; cat password";
    let config = format!("default.keliweb.password_command = ['bash', '-c', '{command}']");
    world.write(CONFIG, &config);
    world.emulator.set_latency(Duration::from_secs(600));
    let before = world.requests();
    let mut child = world.command(&["keliweb", "refresh"]).spawn().unwrap();
    until(|| world.requests() > before).await;
    let arguments = fs::read_to_string(format!("/proc/{}/cmdline", child.id().unwrap())).unwrap();
    assert!(arguments.ends_with("keliweb\0refresh\0"), "{arguments:?}");
    world.assert_clean("cmdline", &arguments);
    let while_it_ran = fs::read_to_string(world.home.join("arguments")).unwrap();
    assert!(while_it_ran.contains("keliweb\0refresh\0"), "{while_it_ran:?}");
    world.assert_clean("cmdline", &while_it_ran);
    child.kill().await.unwrap();
    wait(child).await;
}

#[tokio::test]
async fn a_service_that_repeats_secrets_shows_none() {
    let (mut world, server) = (World::new().await, MockServer::start_async().await);
    let basic = STANDARD.encode(format!("test@example.com:{}", crate::world::API_KEY));
    let message = format!("wrong: {} in Basic {basic}", crate::world::API_KEY);
    let refusal = json!({ "data": null, "success": false, "message": message, "error": null });
    let answer = server.mock_async(|when, then| {
        when.any_request();
        then.status(401).json_body(refusal);
    });
    let answer = answer.await;
    world.set("GETTONE_OPENAPI_URL", server.base_url());
    for arguments in
        [&["-v", "openapi", "token", SCOPE][..], &["-v", "openapi", "wallet"], &["--json", "openapi", "tokens"]]
    {
        let run = world.run(arguments).await;
        // The message is there, without the secrets in it.
        run.fails(4, "wrong: ");
        world.assert_clean("stderr", &run.stderr);
        assert!(!run.stderr.contains(&basic), "{run:?}");
    }
    assert!(answer.calls_async().await >= 3);
}

#[tokio::test]
async fn a_store_with_a_password_is_no_argument() {
    let world = World::new().await;
    for url in [
        "redis://:planted-password-e5b8@127.0.0.1",
        "rediss://user:planted-password-e5b8@h/0",
        "unix:///s?pass=planted-password-e5b8",
        "unix:///s?p%61ss=planted-password-e5b8",
        "unix:///s?db=1&%70%61%73%73=planted-password-e5b8",
        "REDIS://:planted-password-e5b8@127.0.0.1",
    ] {
        let run = world.run(&["--store", url, "keliweb", "token"]).await;
        run.fails(2, "GETTONE_STORE");
        world.assert_clean("the error", &run.stderr);
    }
    for (store, reason) in [
        ("http://:planted-password-e5b8@h", "--store: not a URL of a store"),
        ("redisx://:planted-password-e5b8@h", "--store: not a URL of a store"),
        ("~/tokens.json", "write the whole path"),
    ] {
        let run = world.run(&["--store", store, "keliweb", "token"]).await;
        run.fails(2, reason);
        assert!(!run.stderr.contains("e5b8"), "{run:?}");
    }
    world.write(CONFIG, "default.store = ''");
    world.run(&["keliweb", "token"]).await.fails(2, "store: it is empty");
    assert_eq!(world.requests(), 0);
}

/// Otherwise its password would be part of a file's name.
#[tokio::test]
async fn a_url_without_its_slashes_is_no_file() {
    let mut world = World::new().await;
    for store in [
        "redis:u:planted-5a31@h",
        "REDISS:planted-5a31",
        "valkey:/u:planted-5a31@h",
        "valkeys:planted-5a31",
        "unix:/s?pass=planted-5a31",
        "redis+sentinel:u:planted-5a31@h/name",
        "Redis+Cluster:planted-5a31",
        "u:planted-5a31@h:6379",
        "//:planted-5a31@h",
        "redis//u:planted-5a31@h",
    ] {
        world.set("GETTONE_STORE", store);
        for arguments in [&["status"][..], &["openapi", "token", SCOPE], &["--store", store, "keliweb", "token"]] {
            let run = world.run(arguments).await;
            run.fails(2, ": not a URL of a store; expected one of redis://");
            assert!(!run.stderr.contains("5a31"), "{store}: {run:?}");
        }
        world.unset("GETTONE_STORE");
        world.write(CONFIG, &format!("default.store = '{store}'"));
        let run = world.run(&["status"]).await;
        run.fails(2, ": store: not a URL of a store");
        assert!(!run.stderr.contains("5a31"), "{store}: {run:?}");
        world.write(CONFIG, "");
    }
    assert_eq!(world.requests(), 0);
    // Nothing but the configuration is left, and no lock file.
    let names: Vec<_> = fs::read_dir(&world.home).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [".config"]);
    // A text that is not UTF-8 may be a URL too.
    for store in [&b"redis://:planted-5a31\xff@h"[..], b"redis:planted-5a31\xff", b":planted-5a31\xff@h"] {
        let mut command = world.command(&["status"]);
        let run = wait(command.env("GETTONE_STORE", OsStr::from_bytes(store)).spawn().unwrap()).await;
        run.fails(2, "GETTONE_STORE: not a URL of a store");
        assert!(!run.stderr.contains("5a31"), "{run:?}");
    }
    // These are files.
    for store in ["redis.json", "me@example.com.json", "./redis:tokens.json", "12:30.json"] {
        world.set("GETTONE_STORE", store);
        world.run(&["keliweb", "token"]).await.line();
        assert!(world.home.join(store).exists(), "{store}");
    }
}

/// A token that is typed in the wrong place is not shown.
#[tokio::test]
async fn an_error_shows_no_argument_that_may_be_a_secret() {
    let world = World::new().await;
    for arguments in [
        &["openapi", "token", "planted-5a31"][..],
        &["openapi", "token", "--for", "GET https://user:planted-5a31@:99999/?key=planted-5a31"],
        &["openapi", "token", "--for", "planted-5a31 https://imprese.openapi.it/base"],
        &["openapi", "token", "https://user:planted-5a31@h/"],
        &["openapi", "tokens", "list", "planted-5a31"],
        &["openapi", "tokens", "--scope", "planted-5a31"],
        &["openapi", "errors", "--scope", "planted-5a31"],
        &["openapi", "scopes", "planted-5a31"],
        &["openapi", "planted-5a31"],
        &["keliweb", "token", "planted-5a31"],
        &["keliweb", "token", "--format", "planted-5a31"],
        &["keliweb", "token", "--token=planted-5a31"],
        &["keliweb", "token", "--min-life", "planted-5a31"],
        &["--timeout", "planted-5a31", "status"],
        &["planted-5a31"],
        &["openapi", "stats", "planted-5a31"],
        &["openapi", "stats", "--", "--planted-5a31"],
        &["openapi", "counters", "planted-5a31", "--api-version", "1"],
        &["--planted-5a31"],
        &["--json", "--planted-5a31"],
        &["--planted-5a31=5a31", "status"],
        &["status", "--", "--planted-5a31"],
        &["openapi", "token", "--planted-5a31"],
        &["openapi", "token", "-planted-5a31"],
        &["--profile", "planted-5a31", "status"],
        &["scope", "explain", "planted-5a31"],
        &["scope", "explain", "planted-5a31 https://imprese.openapi.it/base"],
        &["scope", "explain", "user:planted-5a31@h"],
        &["scope", "explain", "GET:a.it/b?key=planted-5a31"],
        &["openapi", "token", "GET:a.it/b?key=planted-5a31"],
        &["openapi", "errors", "--scope", "GET:a.it/b#planted-5a31"],
    ] {
        let run = world.run(arguments).await;
        assert!(run.code == 2 && run.stdout.is_empty() && run.stderr.len() > 20, "{arguments:?}: {run:?}");
        assert!(!run.stderr.contains("5a31"), "{arguments:?}: {run:?}");
    }
    // An error shows the place of a mistake in a scope, and the names of real options. Neither is a secret.
    world.run(&["openapi", "token", "GET:a.it/b c"]).await.fails(2, "at byte");
    // An error tells what to do in a shell, and names no type of Rust.
    for (arguments, reason) in [
        (["token", "GET:a.it/b GET:c.it/d"], "write several with blanks between them"),
        (["token", "GET:a.it/b,GET:c.it/d"], "write several with blanks between them"),
        (["token", "GET:a.it/b c"], "white space"),
        (["tokens", "--scope=*:a.it/*"], "expected one scope, without `*`"),
        (["errors", "--scope=GET:a.it/b,GET:c.it/d"], "write several with blanks between them"),
    ] {
        let run = world.run(&[&["openapi"], &arguments[..]].concat()).await;
        run.fails(2, reason);
        assert!(!run.stderr.contains("Scope"), "{run:?}");
    }
    world.run(&["keliweb", "token", "--formt", "json"]).await.fails(2, "a similar argument exists: '--format'");
}
