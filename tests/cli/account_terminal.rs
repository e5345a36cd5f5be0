//! The commands of the account at a terminal: tables with bars, and the question before tokens are deleted.

use std::process::Stdio;

use gettone::emulator::Api;
use tokio::io::AsyncWriteExt;

use crate::account::used;
use crate::world::{PASSWORD, PROGRAM, Run, SCOPE, World, wait};

/// Runs a line at a terminal of a hundred columns, and types a text. `None` without the program `script`.
async fn at_terminal(world: &World, line: &str, typed: &str) -> Option<Run> {
    at_terminal_of(world, "100", line, typed).await
}

async fn at_terminal_of(world: &World, columns: &str, line: &str, typed: &str) -> Option<Run> {
    let mut command = world.any("script");
    command.args(["--quiet", "--return", "--command", &format!("{PROGRAM} {line}"), "/dev/null"]);
    let Ok(mut child) = command.env("COLUMNS", columns).env("NO_COLOR", "1").stdin(Stdio::piped()).spawn() else {
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
async fn what_is_wider_than_a_terminal_is_shortened_there_and_nowhere_else() {
    let mut world = World::new().await;
    world.unset("KELIWEB_USERNAME");
    world.unset("KELIWEB_PASSWORD");
    world.set("KELIWEB_PASSWORD_FILE", world.write("password", PASSWORD));
    world.write(".config/gettone/config.toml", "default.keliweb.username = 'customer@example.com'\n");
    world.run(&["openapi", "token", SCOPE, "GET:imprese.openapi.it/base"]).await.line();
    world.run(&["keliweb", "token"]).await.line();
    for line in ["status", "openapi tokens", "--timeout 1s emulator 2>&1 >/dev/null"] {
        // An empty `COLUMNS` counts as unset, and `script` has no columns of its own.
        let Some(run) = at_terminal_of(&world, "", line, "").await else { return };
        let wide = run.stdout.lines().find(|line| line.chars().count() > 80 && !line.starts_with("error: "));
        assert!(wide.is_none() && run.stdout.lines().count() > 1, "{line}: {run:?}");
    }
    let narrow = at_terminal_of(&world, "", "openapi tokens", "").await.unwrap().stdout;
    let wide = at_terminal_of(&world, "200", "openapi tokens", "").await.unwrap().stdout;
    let piped = world.run(&["openapi", "tokens"]).await.stdout;
    let name = piped.trim_end().rsplit('\t').next().unwrap();
    assert_eq!(name.len(), 40, "{piped}");
    assert!(narrow.contains('…') && !narrow.contains(name) && narrow.contains(&piped[..10]), "{narrow}");
    assert!(wide.contains(name) && !wide.contains('…'), "{wide}");
    // The terminal's own size, if the environment has none.
    let sized = format!("--version; stty cols 200; {PROGRAM} openapi tokens");
    assert!(at_terminal_of(&world, "", &sized, "").await.unwrap().stdout.contains(name));
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
