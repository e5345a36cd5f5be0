//! Runs the lines for a shell in `docs/command-line.md` as they stand there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use gettone::emulator::Fault;

use crate::world::{Run, World};

/// Returns the blocks of the guide for a shell.
fn blocks() -> Vec<&'static str> {
    let guide = include_str!("../../docs/command-line.md");
    guide.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// The script that replaces a rejected token.
fn script() -> &'static str {
    blocks().into_iter().find(|block| block.starts_with("#!/bin/sh\n")).unwrap()
}

/// Puts a curl on the `PATH` that sends all requests to the emulator. Returns whether this machine has curl and jq.
async fn has_tools(world: &World, options: &str) -> bool {
    if world.bash("PATH=$PATH:/usr/bin:/bin; command -v jq && [ -x /usr/bin/curl ]").await.code != 0 {
        assert!(std::env::var_os("CI").is_none(), "the lines need curl and jq");
        println!("no curl or no jq on this machine: nothing was checked");
        return false;
    }
    let folder = world.home.join("bin");
    fs::create_dir(&folder).unwrap();
    let curl = format!(
        "#!/usr/bin/env bash\nexec /usr/bin/curl {options} --connect-to ::{} \"${{@/#https:/http:}}\"\n",
        world.emulator.address()
    );
    fs::write(folder.join("curl"), curl).unwrap();
    fs::set_permissions(folder.join("curl"), fs::Permissions::from_mode(0o755)).unwrap();
    true
}

/// Runs a block, in the shell that its first line names or else in bash.
async fn run(world: &World, block: &str) -> Run {
    let shell = if block.starts_with("#!/bin/sh\n") { "sh -eu" } else { "bash -euo pipefail" };
    let block = world.write("block", block);
    world.bash(&format!("PATH={}:$PATH {shell} {block}", world.home.join("bin").display())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_the_guide_runs() {
    let world = World::new().await;
    // A curl whose failures show.
    if !has_tools(&world, "--fail --silent").await {
        return;
    }
    assert!(blocks().len() >= 6, "{:?}", blocks());
    for block in blocks() {
        let run = run(&world, block).await;
        assert_eq!(run.code, 0, "{block}{run:?}");
    }
    for request in world.emulator.requests() {
        assert!(request.status.is_some_and(|status| status < 300), "{}: {:?}", request.operation, request.status);
    }
    assert!(world.emulator.count("echo") >= 2 && world.emulator.count("api") >= 2);
}

/// The paid endpoint is not called without a token, and the shell sees why.
#[tokio::test(flavor = "multi_thread")]
async fn no_line_with_curl_calls_the_service_without_a_token() {
    let mut world = World::new().await;
    if !has_tools(&world, "--silent").await {
        return;
    }
    world.set("OPENAPI_API_KEY", "wrong");
    world.set("KELIWEB_PASSWORD", "wrong");
    let with_curl: Vec<_> = blocks().into_iter().filter(|block| block.contains("curl -")).collect();
    assert!(with_curl.len() >= 4, "{with_curl:?}");
    for block in with_curl {
        let before = world.requests();
        let run = run(&world, block).await;
        assert_eq!((run.code, world.requests()), (4, before + 1), "{block}{run:?}");
    }
    assert_eq!((world.emulator.count("echo"), world.emulator.count("api")), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_of_the_guide_replaces_a_rejected_token_and_says_when_to_try_again() {
    let world = World::new().await;
    if !has_tools(&world, "").await {
        return;
    }
    assert_eq!(run(&world, script()).await.code, 0);
    world.emulator.revoke_all();
    assert_eq!(run(&world, script()).await.code, 0);
    let statuses = world.emulator.requests().into_iter().filter(|request| request.operation == "echo");
    assert_eq!(statuses.map(|request| request.status.unwrap()).collect::<Vec<_>>(), [200, 401, 200]);
    fs::remove_file(world.token_file()).unwrap();
    world.emulator.fail_next(1, Fault::StatusWithRetryAfter(429, Duration::from_secs(3_600)));
    let run = run(&world, script()).await;
    assert!(run.code == 75 && run.stderr.contains("run this again later"), "{run:?}");
    assert_eq!(world.emulator.count("echo"), 3);
}
