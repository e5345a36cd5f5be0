//! Streams: the result on stdout and nothing else, whatever stdin, stdout and stderr are.

use std::fs::File;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{PROGRAM, SCOPE, World, wait};

#[tokio::test]
async fn a_reader_that_has_gone_away_is_no_failure() {
    let world = World::new().await;
    for arguments in [&["keliweb", "token"][..], &["status"], &["completions", "bash"], &["man"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let child = world.command(arguments).stdout(writer).spawn().unwrap();
        let run = wait(child).await;
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{arguments:?}");
    }
    let run = world.bash("gettone man | head -1").await;
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
}

#[tokio::test]
async fn a_full_disk_is_a_failure() {
    let world = World::new().await;
    for arguments in
        [&["keliweb", "token"][..], &["status"], &["completions", "bash"], &["man"], &["--help"], &["emulator"]]
    {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let run = wait(world.command(arguments).stdout(full).spawn().unwrap()).await;
        run.fails(1, "cannot write the result to stdout: No space left");
    }
    // stderr that cannot be written changes nothing.
    let full = File::options().write(true).open("/dev/full").unwrap();
    assert_eq!(wait(world.command(&["openapi", "token", "x"]).stderr(full).spawn().unwrap()).await.code, 2);
}

#[tokio::test]
async fn closed_streams_change_nothing() {
    let mut world = World::new().await;
    assert_eq!(
        world.bash("gettone keliweb token 0<&- 2>&-").await.line().len(),
        world.run(&["keliweb", "token"]).await.line().len()
    );
    assert_eq!(world.bash("gettone keliweb token 1>&-").await.code, 0);
    world.unset_credentials();
    // The program asks nobody.
    world.bash("gettone keliweb token 0<&-").await.fails(4, "no client id");
    world.run(&["keliweb", "token", "--no-input"]).await.fails(4, "no client id");
}

#[tokio::test]
async fn errors_are_one_json_object_on_request() {
    let mut world = World::new().await;
    world.set("OPENAPI_API_KEY", "wrong");
    for (arguments, code) in [
        (&["--json", "openapi", "token", SCOPE][..], 4),
        (&["--json", "openapi", "token", "no scope"], 2),
        (&["--json", "no-command"], 2),
        (&["--json", "--profile", "none", "status"], 2),
    ] {
        let run = world.run(arguments).await;
        run.fails(code, "message");
        let error: Value = serde_json::from_str(&run.stderr).unwrap();
        assert_eq!(error["error"]["exit_code"], code, "{error}");
    }
    let run = world.run(&["--json", "openapi", "token", SCOPE]).await;
    let error: Value = serde_json::from_str(&run.stderr).unwrap();
    let error = &error["error"];
    assert_eq!((&error["status"], &error["operation"]), (&Value::from(401), &Value::from("create_token")));
}

#[tokio::test]
async fn verbose_shows_the_calls_and_quiet_only_warnings_and_errors() {
    let world = World::new().await;
    let run = world.run(&["-v", "keliweb", "token"]).await;
    run.line();
    for part in ["gettone.call", "operation=\"password_grant\"", "status=200", "token received"] {
        assert!(run.stderr.contains(part), "{run:?} lacks {part}");
    }
    world.expire_in(-1);
    let quiet = world.run(&["-q", "keliweb", "token"]).await;
    assert_eq!((quiet.code, quiet.stderr.as_str()), (0, ""), "{quiet:?}");
    // With `-q`, a cron job still prints that something is wrong.
    let quiet = world.run(&["-q", "keliweb", "token", "--min-life", "5h"]).await;
    assert!(quiet.code == 0 && quiet.stderr.starts_with("warning: the service gives tokens"), "{quiet:?}");
}

#[tokio::test]
async fn a_terminal_gets_a_padded_table_a_note_and_a_question() {
    let mut world = World::new().await;
    let has_script = std::process::Command::new("script").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !has_script {
        assert!(std::env::var_os("CI").is_none(), "no `script`");
        println!("no `script` on this machine: nothing was checked");
        return;
    }
    let at_terminal = async |world: &World, line: &str, typed: &str| {
        let mut command = world.any("script");
        command
            .args(["--quiet", "--return", "--command", &format!("{PROGRAM} {line}"), "/dev/null"])
            .stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(typed.as_bytes()).await.unwrap();
        // Open until the end: `script` ends with its stdin.
        let run = wait(child).await;
        drop(stdin);
        run
    };
    let table = at_terminal(&world, "status", "").await.stdout;
    assert!(table.starts_with("\x1b[1mKIND         NAME") && !table.contains('\t'), "{table:?}");
    world.set("NO_COLOR", "1");
    assert!(at_terminal(&world, "status", "").await.stdout.starts_with("KIND         NAME"));
    let note = at_terminal(&world, "keliweb token", "").await.stdout;
    assert!(note.contains("\r\nexpires at 20") && note.contains("in 59 min"), "{note:?}");
    let quiet = at_terminal(&world, "--quiet keliweb token", "").await.stdout;
    assert!(!quiet.contains("expires"), "{quiet:?}");

    world.emulator.set_latency(std::time::Duration::from_secs(2));
    let waiting = at_terminal(&world, "--store none keliweb token", "").await.stdout;
    assert!(waiting.starts_with("waiting for Keliweb Fatture"), "{waiting:?}");
    world.emulator.set_latency(std::time::Duration::ZERO);

    world.unset("KELIWEB_PASSWORD");
    let asked = at_terminal(&world, "--store none keliweb token", &format!("{}\n", crate::world::PASSWORD)).await;
    assert_eq!(asked.code, 0, "{asked:?}");
    assert!(asked.stdout.contains("password of Keliweb Fatture: "), "{asked:?}");
    let refused = at_terminal(&world, "--store none --no-input keliweb token", "").await;
    assert_eq!(refused.code, 4, "{refused:?}");
}

#[tokio::test]
async fn a_signal_at_a_hidden_question_leaves_a_terminal_that_shows_what_is_typed() {
    let mut world = World::new().await;
    world.unset("KELIWEB_CLIENT_SECRET");
    let script = format!("trap : INT; {PROGRAM} keliweb token; echo code $?; stty -a");
    let mut command = world.any("script");
    command.args(["--quiet", "--return", "--command", &script, "/dev/null"]).stdin(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        assert!(std::env::var_os("CI").is_none(), "no `script`");
        println!("no `script` on this machine: nothing was checked");
        return;
    };
    let (mut stdin, mut stdout, mut seen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap(), String::new());
    let mut typed = false;
    let mut bytes = [0; 4096];
    loop {
        let length = stdout.read(&mut bytes).await.unwrap();
        seen += str::from_utf8(&bytes[..length]).unwrap();
        if !typed && seen.contains("client secret of Keliweb Fatture: ") {
            stdin.write_all(b"\x03").await.unwrap();
            typed = true;
        }
        if length == 0 {
            break;
        }
    }
    assert!(seen.contains("code 130") && seen.contains(" echo "), "{seen:?}");
    drop(stdin);
    wait(child).await;
}

#[tokio::test]
async fn json_is_what_its_schema_says() {
    let mut world = World::new().await;
    let is_valid = |name: &str, text: &str| {
        let path = format!("{}/tests/cli/schemas/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let schema: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let value: Value = serde_json::from_str(text).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let flaws: Vec<_> = validator.iter_errors(&value).map(|flaw| flaw.to_string()).collect();
        assert!(flaws.is_empty(), "{name}: {flaws:?} in {text}");
        // Each field exists, so scripts need not check for it.
        for field in schema["properties"].as_object().unwrap().keys().filter(|field| *field != "scopes") {
            assert!(value.get(field).is_some(), "{name} has no {field}");
        }
    };
    let token = world.run(&["--json", "openapi", "token", SCOPE]).await;
    is_valid("token", &token.stdout);
    is_valid("token", &world.run(&["keliweb", "token", "--format", "json"]).await.stdout);
    is_valid("warning", &world.run(&["--json", "keliweb", "token", "--min-life", "5h"]).await.stderr);
    is_valid("status", &world.run(&["--json", "status"]).await.stdout);
    is_valid("logout", &world.run(&["--json", "keliweb", "logout"]).await.stdout);
    is_valid("emulator", &world.run(&["--json", "--timeout", "1s", "emulator"]).await.stdout);
    world.set("OPENAPI_API_KEY", "wrong");
    is_valid("error", &world.run(&["--json", "--store", "none", "openapi", "token", SCOPE]).await.stderr);
    is_valid("error", &world.run(&["--json", "--store"]).await.stderr);
    for command in [&["completions", "bash"][..], &["man"]] {
        assert!(world.run(&[&["--json"][..], command].concat()).await.json().is_string());
    }
}
