//! Many processes with one token file, and signals at any moment.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::world::{World, until, wait};

const TOKEN: [&str; 2] = ["keliweb", "token"];
const PROCESSES: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn fifty_processes_refresh_once_and_print_the_same_token() {
    let world = World::new().await;
    let first = world.run(&TOKEN).await.line().to_owned();
    world.expire_in(-60);
    world.emulator.set_latency(Duration::from_millis(300));
    let children: Vec<_> = (0..PROCESSES).map(|_| world.command(&TOKEN).spawn().unwrap()).collect();
    let mut tokens = BTreeSet::new();
    for child in children {
        tokens.insert(wait(child).await.line().to_owned());
    }
    assert_eq!(tokens.len(), 1);
    assert!(!tokens.contains(&first));
    assert_eq!((world.emulator.count("refresh"), world.emulator.count("password_grant")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_processes_cost_the_others_no_token() {
    let world = World::new().await;
    world.run(&TOKEN).await.line();
    world.expire_in(-60);
    world.emulator.set_latency(Duration::from_millis(300));
    let mut children: Vec<_> = (0..PROCESSES).map(|_| world.command(&TOKEN).spawn().unwrap()).collect();
    // One of the processes has sent the refresh token, and none has the answer yet. The test cannot tell which one, so it kills all but a few.
    until(|| world.emulator.count("refresh") == 1).await;
    let survivors = children.split_off(PROCESSES - 5);
    for child in &mut children {
        child.kill().await.unwrap();
    }
    for child in survivors {
        let token = wait(child).await.line().to_owned();
        let issued = world.emulator.tokens();
        assert!(issued.iter().any(|issued| issued.is_valid && issued.token.expose() == token));
    }
    // No refresh token was sent twice.
    assert_eq!(world.emulator.count("refresh"), 1);
    assert!(world.stored()["tokens"].is_object());
    world.run(&TOKEN).await.line();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_the_program_with_no_half_token_and_a_whole_store() {
    let world = World::new().await;
    world.run(&TOKEN).await.line();
    for (signal, code) in [(rustix::process::Signal::INT, 130), (rustix::process::Signal::TERM, 143)] {
        world.expire_in(-60);
        world.emulator.set_latency(Duration::from_secs(600));
        let before = world.requests();
        let child = world.command(&TOKEN).spawn().unwrap();
        until(|| world.requests() > before).await;
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
        wait(child).await.fails(code, "interrupted");
        assert!(world.stored()["tokens"].is_object());
        world.emulator.set_latency(Duration::ZERO);
        world.run(&TOKEN).await.line();
    }
}

#[tokio::test]
async fn a_time_limit_ends_the_program() {
    let world = World::new().await;
    world.emulator.set_latency(Duration::from_secs(600));
    let run = world.run(&["--timeout", "1s", "keliweb", "token"]).await;
    run.fails(75, "no result in time");
    assert_eq!(world.requests(), 1);
    world.run(&["--timeout", "0s", "keliweb", "token"]).await.fails(2, "zero leaves no time");
}
