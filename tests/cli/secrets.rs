//! Secrets: none is shown by any command, in any stream, or in the list of processes.

use std::fs;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use httpmock::MockServer;
use serde_json::json;

use crate::world::{SCOPE, World, until, wait};

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
    world.write(".config/gettone/config.toml", &config);
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
