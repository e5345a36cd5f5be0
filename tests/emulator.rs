//! The emulator keeps to the specs, remembers what it gave out, and fails as it is told to.
#![cfg(feature = "emulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

#[path = "emulator/asking.rs"]
mod asking;
#[path = "emulator/clients.rs"]
mod clients;
#[path = "emulator/controls.rs"]
mod controls;
#[path = "emulator/echo.rs"]
mod echo;
#[path = "emulator/keliweb.rs"]
mod keliweb;
#[path = "emulator/limits.rs"]
mod limits;
#[path = "emulator/oauth.rs"]
mod oauth;
