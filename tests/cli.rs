//! The program `gettone` as its users run it: a process with arguments, an environment and streams, against the emulator in this process.
//! Each test has folders of its own and a clean environment.
#![cfg(all(feature = "cli", unix))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

#[path = "cli/account.rs"]
mod account;
#[path = "cli/account_faults.rs"]
mod account_faults;
#[path = "cli/account_terminal.rs"]
mod account_terminal;
#[path = "cli/account_tokens.rs"]
mod account_tokens;
#[path = "cli/arguments.rs"]
mod arguments;
#[path = "cli/credentials.rs"]
mod credentials;
#[path = "cli/docs.rs"]
mod docs;
#[path = "cli/faults.rs"]
mod faults;
#[path = "cli/processes.rs"]
mod processes;
#[path = "cli/scope.rs"]
mod scope;
#[path = "cli/secrets.rs"]
mod secrets;
#[path = "cli/streams.rs"]
mod streams;
#[path = "cli/tokens.rs"]
mod tokens;
#[path = "cli/world.rs"]
mod world;
