//! Secrets: none is shown by any command, in any stream, or in the list of processes.

use std::fs;
use std::time::Duration;

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
    world.write(".config/gettone/config.toml", "default.keliweb.password_command = ['cat', 'password']");
    world.emulator.set_latency(Duration::from_secs(600));
    let before = world.requests();
    let mut child = world.command(&["keliweb", "refresh"]).spawn().unwrap();
    until(|| world.requests() > before).await;
    let arguments = fs::read_to_string(format!("/proc/{}/cmdline", child.id().unwrap())).unwrap();
    assert!(arguments.ends_with("keliweb\0refresh\0"), "{arguments:?}");
    world.assert_clean("cmdline", &arguments);
    child.kill().await.unwrap();
    wait(child).await;
}

#[tokio::test]
async fn a_service_that_repeats_secrets_shows_none() {
    // The wrong key is part of the request that the service refuses.
    let mut world = World::new().await;
    world.set("OPENAPI_API_KEY", format!("{}x", crate::world::API_KEY));
    let run = world.run(&["-v", "openapi", "token", SCOPE]).await;
    run.fails(4, "401");
    world.assert_clean("stderr", &run.stderr);
}
