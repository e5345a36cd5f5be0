//! A fleet: programs that share the tokens of one account, each a process of its own. The tests kill, stop and cut them off at any moment, and
//! no program sends a refresh token twice.
//!
//! The service is an emulator in this process, which records every request. The store is a file, or a real server (see `common/engine.rs`).
//! The tests move the time of the tokens, so an hour takes no real time; only the lock of a server does.
//!
//! `GETTONE_ROUNDS` sets how many rounds a test with random moments runs, and `GETTONE_SEED` which moments those are.
#![cfg(all(unix, feature = "emulator"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

#[cfg(feature = "redis")]
mod common;

#[cfg(feature = "redis")]
#[path = "fleet/emptied.rs"]
mod emptied;
#[cfg(feature = "redis")]
#[path = "fleet/failover.rs"]
mod failover;
#[path = "fleet/frame.rs"]
mod frame;
#[cfg(feature = "redis")]
#[path = "fleet/hanging.rs"]
mod hanging;
#[path = "fleet/killed.rs"]
mod killed;
#[cfg(feature = "redis")]
#[path = "fleet/locks.rs"]
mod locks;
#[cfg(feature = "redis")]
#[path = "fleet/lost_answers.rs"]
mod lost_answers;
#[path = "fleet/program.rs"]
mod program;
#[cfg(feature = "redis")]
#[path = "fleet/server.rs"]
mod server;
#[path = "fleet/turns.rs"]
mod turns;

/// Not a test: one of the programs.
#[test]
#[ignore = "the tests start it"]
fn program_of_a_fleet() {
    program::run();
}
