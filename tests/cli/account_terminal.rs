//! The commands of the account at a terminal: tables with bars, and the question before tokens are deleted.

use std::process::Stdio;

use gettone::emulator::Api;
use tokio::io::AsyncWriteExt;

use crate::account::used;
use crate::world::{PROGRAM, Run, SCOPE, World, wait};

/// Runs a line at a terminal of a hundred columns, and types a text. `None` without the program `script`.
async fn at_terminal(world: &World, line: &str, typed: &str) -> Option<Run> {
    let mut command = world.any("script");
    command.args(["--quiet", "--return", "--command", &format!("{PROGRAM} {line}"), "/dev/null"]);
    let Ok(mut child) = command.env("COLUMNS", "100").env("NO_COLOR", "1").stdin(Stdio::piped()).spawn() else {
        assert!(std::env::var_os("CI").is_none(), "no `script`");
        println!("no `script` on this machine: nothing was checked");
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(typed.as_bytes()).await.unwrap();
    // Open until the end: `script` ends with its stdin.
    let mut run = wait(child).await;
    drop(stdin);
    run.stdout = run.stdout.replace("\r\n", "\n");
    Some(run)
}

#[tokio::test]
async fn a_terminal_gets_right_aligned_numbers_and_bars() {
    let world = used().await;
    let Some(run) = at_terminal(&world, "openapi stats --by scope 2000", "").await else { return };
    assert_eq!((run.code, run.stdout.as_str()), (0, "2000\n"), "{run:?}");
    let run = at_terminal(&world, "openapi stats --by scope", "").await.unwrap();
    let table = format!(
        "SCOPE                             REQUESTS  PAID  SUBSCRIBED  FAILED    EUR\n\
         GET:sms.openapi.com/root                 6     6           0       0   0.27  {}\n\
         GET:imprese.openapi.it/base              5     3           0       0  0.135  {}\n\
         GET:imprese.openapi.it/IT-full           1     0           1       0   0.00\n\
         POST:comparabili.openapi.it/root         1     0           0       1   0.00\n",
        "█".repeat(23),
        "█".repeat(12),
    );
    assert!(run.stdout.starts_with(&table), "{}\n{table}", run.stdout);
}

#[tokio::test]
async fn a_person_is_asked_before_tokens_are_deleted() {
    let world = World::new().await;
    world.run(&["--store", "none", "openapi", "token", SCOPE]).await.line();
    let id = world.run(&["openapi", "tokens"]).await.line()[..10].to_owned();
    let count = || world.emulator.count_valid_tokens(Api::ProductionV2);
    let line = format!("openapi tokens delete {}", &id[..4]);
    for answer in ["n\n", "\n", "yes please\n", "\x04"] {
        let Some(run) = at_terminal(&world, &line, answer).await else { return };
        assert_eq!((run.code, count()), (1, 1), "{run:?}");
        let question = format!("Delete 1 token of production ({id})? Programs that use them fail from then on. [y/N] ");
        assert!(run.stdout.contains(&question) && run.stdout.contains("error: deleted nothing\n"), "{run:?}");
    }
    let refused = at_terminal(&world, &format!("--no-input {line}"), "y\n").await.unwrap();
    assert_eq!((refused.code, count()), (2, 1), "{refused:?}");
    let run = at_terminal(&world, &line, "Y\n").await.unwrap();
    assert_eq!((run.code, count()), (0, 0), "{run:?}");
    assert!(run.stdout.ends_with(&format!("DELETED\n{id}\n")), "{run:?}");
}
