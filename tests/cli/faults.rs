//! What each command does after each fault of a service: its exit code, and what is on which stream.

use std::time::Duration;

use gettone::emulator::Fault::{
    self, Html, LostRequest, LostResponse, Status, StatusWithRetryAfter, TruncatedResponse,
};
use serde_json::Value;

use crate::world::{SCOPE, World};

const HOUR: Duration = Duration::from_secs(3_600);

/// The faults, in the order of the columns of [`COMMANDS`]. Each lasts, so retries do not help.
const FAULTS: [Fault; 14] = [
    Status(400),
    Status(401),
    Status(403),
    Status(404),
    Status(422),
    Status(500),
    StatusWithRetryAfter(429, HOUR),
    StatusWithRetryAfter(503, HOUR),
    Html(200),
    Html(502),
    Html(503),
    LostRequest,
    LostResponse,
    TruncatedResponse,
];

/// A command that calls a service, and its exit code after each fault.
type Row = (&'static [&'static str], [i32; FAULTS.len()]);

const COMMANDS: &[Row] = &[
    (&["openapi", "token", SCOPE], [1, 4, 4, 1, 1, 1, 75, 75, 75, 75, 75, 75, 75, 75]),
    (&["openapi", "--api-version", "1", "token", SCOPE], [1, 4, 1, 1, 1, 1, 75, 75, 75, 75, 75, 75, 75, 75]),
    (&["keliweb", "token"], [1, 4, 1, 1, 1, 1, 75, 75, 75, 75, 75, 75, 75, 75]),
    (&["keliweb", "refresh", "--format", "json"], [1, 4, 1, 1, 1, 1, 75, 75, 75, 75, 75, 75, 75, 75]),
];

/// Commands that call no service.
const OFFLINE: &[&[&str]] = &[&["keliweb", "logout"], &["status"], &["completions", "fish"], &["man"]];

#[tokio::test(flavor = "multi_thread")]
async fn each_command_has_its_exit_code_after_each_fault() {
    let mut rows = Vec::new();
    for (command, codes) in COMMANDS {
        rows.push(tokio::spawn(async move { (*command, codes, row(command).await) }));
    }
    let mut wrong = Vec::new();
    for row in rows {
        let (command, expected, codes) = row.await.unwrap();
        if codes != *expected {
            wrong.push(format!("{command:?}: {codes:?}"));
        }
    }
    assert!(wrong.is_empty(), "the codes are\n{}", wrong.join("\n"));
}

async fn row(command: &[&str]) -> Vec<i32> {
    let mut runs = Vec::new();
    for fault in FAULTS {
        let command = [&["--json", "-v"], command].concat().iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        runs.push(tokio::spawn(async move {
            let world = World::new().await;
            world.emulator.fail_next(1_000, fault);
            let run = world.run(&command.iter().map(String::as_str).collect::<Vec<_>>()).await;
            let what = format!("{command:?} after {fault:?}");
            assert!(world.requests() > 0, "{what}");
            assert_eq!(run.stdout, "", "{what}");
            let last = run.stderr.lines().last().unwrap();
            let error: Value = serde_json::from_str(last).unwrap();
            assert_eq!(error["error"]["exit_code"], run.code, "{what}");
            assert!(error["error"]["message"].as_str().is_some_and(|message| message.len() > 10), "{what}: {error}");
            world.assert_clean(&what, &run.stderr);
            run.code
        }));
    }
    let mut codes = Vec::new();
    for run in runs {
        codes.push(run.await.unwrap());
    }
    codes
}

#[tokio::test(flavor = "multi_thread")]
async fn other_commands_do_not_care() {
    let world = World::new().await;
    world.emulator.fail_next(1_000, Status(500));
    for command in OFFLINE {
        let run = world.run(command).await;
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{command:?}");
    }
    assert_eq!(world.requests(), 0);
}

#[tokio::test]
async fn try_later_says_when() {
    let world = World::new().await;
    world.emulator.fail_next(1_000, StatusWithRetryAfter(429, HOUR));
    world.run(&["keliweb", "token"]).await.fails(75, "try again in 3600 s");
    let run = world.run(&["keliweb", "token", "--json"]).await;
    let error: Value = serde_json::from_str(&run.stderr).unwrap();
    assert_eq!(error["error"]["retry_after"], 3_600);
    // No message is printed twice.
    world.emulator.clear_faults();
    world.emulator.fail_next(1_000, Status(503));
    let run = world.run(&["openapi", "wallet"]).await;
    run.fails(75, "HTTP 503 Service Unavailable (an earlier attempt may have been carried out); try again later");
}

#[tokio::test]
async fn a_failed_refresh_costs_a_kept_token_only_if_it_may_have_ended_it() {
    let world = World::new().await;
    let token = world.run(&["keliweb", "token"]).await.line().to_owned();
    world.emulator.fail_next(1_000, Status(500));
    assert_eq!(world.run(&["keliweb", "token"]).await.line(), token);
    // A failed refresh does not cost a token that is still good.
    world.expire_in(60);
    assert_eq!(world.run(&["keliweb", "token"]).await.line(), token);
    world.run(&["keliweb", "refresh"]).await.fails(1, "500");
    // The service may have carried out the refresh, which ends the old token. So the program does not print the old token until it knows more.
    world.run(&["keliweb", "token"]).await.fails(1, "500");
    world.emulator.clear_faults();
    assert_ne!(world.run(&["keliweb", "token"]).await.line(), token);
}
