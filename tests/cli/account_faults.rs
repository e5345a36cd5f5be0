//! What each command of the account does after each fault of a service: its exit code, and what is on which stream.

use std::time::Duration;

use gettone::emulator::Fault::{self, Html, LostResponse, Status, StatusWithRetryAfter, TruncatedResponse};
use serde_json::Value;

use crate::account_tokens::short_id;
use crate::world::{SCOPE, World};

const HOUR: Duration = Duration::from_secs(3_600);

/// The faults, in the order of the columns of [`COMMANDS`]. Each lasts, so retries do not help.
const FAULTS: [Fault; 9] = [
    Status(400),
    Status(401),
    Status(403),
    Status(404),
    Status(500),
    StatusWithRetryAfter(429, HOUR),
    Html(200),
    LostResponse,
    TruncatedResponse,
];

/// A command that calls a service, and its exit code after each fault.
type Row = (&'static [&'static str], [i32; FAULTS.len()]);

const V2: [i32; FAULTS.len()] = [1, 4, 4, 1, 1, 75, 75, 75, 75];
const V1: [i32; FAULTS.len()] = [1, 4, 1, 1, 1, 75, 75, 75, 75];

const COMMANDS: &[Row] = &[
    (&["tokens"], V2),
    (&["tokens", "show", "abcdef"], V2),
    (&["scopes"], V2),
    (&["wallet"], V2),
    (&["wallet", "--transactions"], V2),
    (&["stats"], V2),
    (&["stats", "--by", "scope"], V2),
    (&["errors"], V2),
    (&["callbacks"], V2),
    // A truncated 404 is still a 404.
    (&["callbacks", "id"], [1, 4, 4, 1, 1, 75, 75, 75, 1]),
    (&["subscriptions"], V2),
    (&["--api-version", "1", "tokens"], V1),
    (&["--api-version", "1", "scopes"], V1),
    (&["--api-version", "1", "credit"], V1),
    (&["--api-version", "1", "counters"], V1),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_command_has_its_exit_code_after_each_fault() {
    let mut wrong = Vec::new();
    for fault in 0..FAULTS.len() {
        let rows: Vec<_> = COMMANDS.iter().map(|row| tokio::spawn(cell(row.0, FAULTS[fault]))).collect();
        for (row, (command, expected)) in rows.into_iter().zip(COMMANDS) {
            let code = row.await.unwrap();
            if code != expected[fault] {
                wrong.push(format!("{command:?} after {:?}: {code}", FAULTS[fault]));
            }
        }
    }
    assert!(wrong.is_empty(), "the codes are\n{}", wrong.join("\n"));
}

async fn cell(command: &'static [&'static str], fault: Fault) -> i32 {
    let world = World::new().await;
    world.emulator.fail_next(1_000, fault);
    let run = world.run(&[&["--json", "-v", "openapi"], command].concat()).await;
    let what = format!("{command:?} after {fault:?}");
    assert!(world.requests() > 0, "{what}");
    assert_eq!(run.stdout, "", "{what}");
    let error: Value = serde_json::from_str(run.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(error["error"]["exit_code"], run.code, "{what}");
    assert!(error["error"]["message"].as_str().is_some_and(|message| message.len() > 10), "{what}: {error}");
    world.assert_clean(&what, &run.stderr);
    run.code
}

/// Deletions of one token that the account has: the fault meets the request that deletes it, not the list before. After half of a response,
/// the next attempt gets half of the 404 for a token that is gone, and that is a 404.
const DELETIONS: &[Row] = &[
    (&["tokens", "delete", "--all", "--yes"], [1, 4, 4, 1, 1, 75, 75, 75, 1]),
    (&["--api-version", "1", "tokens", "delete", "--all", "--yes"], [1, 4, 1, 1, 1, 75, 75, 75, 1]),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_has_its_exit_code_after_each_fault() {
    let mut wrong = Vec::new();
    for (place, fault) in FAULTS.into_iter().enumerate() {
        for (command, expected) in DELETIONS {
            let code = deletion(command, fault).await;
            if code != expected[place] {
                wrong.push(format!("{command:?} after {fault:?}: {code}"));
            }
        }
    }
    assert!(wrong.is_empty(), "the codes are\n{}", wrong.join("\n"));
}

async fn deletion(command: &'static [&'static str], fault: Fault) -> i32 {
    let world = World::new().await;
    let version = if command.contains(&"1") { "1" } else { "2" };
    let token = ["openapi", "--api-version", version, "token", SCOPE, "--store", "none"];
    let id = short_id(world.run(&token).await.line());
    world.emulator.fail_next_on(1_000, "DELETE", fault);
    let run = world.run(&[&["--json", "-v", "openapi"], command].concat()).await;
    let what = format!("{command:?} after {fault:?}");
    assert!(world.emulator.requests().iter().any(|request| request.method == "DELETE"), "{what}: {run:?}");
    assert_eq!(run.stdout, "", "{what}");
    let error: Value = serde_json::from_str(run.stderr.lines().last().unwrap()).unwrap();
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.starts_with(&format!("cannot delete {id}: ")), "{what}: {message}");
    assert_eq!(error["error"]["exit_code"], run.code, "{what}");
    world.assert_clean(&what, &run.stderr);
    run.code
}

/// The second page fails: nothing of the first one is printed.
#[tokio::test]
async fn a_list_that_fails_halfway_prints_nothing() {
    let world = World::new().await;
    for number in 1..=150 {
        world.emulator.set_credit(gettone::openapi::Decimal::from(1_000 + number));
    }
    assert_eq!(world.run(&["openapi", "wallet", "--transactions"]).await.stdout.lines().count(), 150);
    let server = httpmock::MockServer::start_async().await;
    let first = world.run(&["openapi", "wallet", "--transactions", "--limit", "100", "--json"]).await.json();
    let page: Vec<Value> = first["transactions"].as_array().unwrap().iter().map(page_entry).collect();
    let ok = server.mock_async(|when, then| {
        when.path("/wallet/transactions").query_param("skip", "0");
        then.status(200).json_body(serde_json::json!({ "data": page, "success": true, "message": "", "error": null }));
    });
    let ok = ok.await;
    let wallet = crate::account::mock(&server, "/wallet", serde_json::json!({ "credit": 1 })).await;
    let mut world = world;
    world.set("GETTONE_OPENAPI_URL", server.base_url());
    // The server responds with 404 to a request without a mock.
    world.run(&["openapi", "wallet", "--transactions"]).await.fails(1, "404");
    assert_eq!((ok.calls_async().await, wallet.calls_async().await), (1, 1));
}

fn page_entry(transaction: &Value) -> Value {
    serde_json::json!({ "id": transaction["id"], "amount": 1 })
}
