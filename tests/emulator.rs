//! The emulator follows the specs, records what it did, and fails on demand.
#![cfg(feature = "emulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

#[path = "emulator/clients.rs"]
mod clients;
#[path = "emulator/controls.rs"]
mod controls;
#[path = "emulator/echo.rs"]
mod echo;
#[path = "emulator/examples.rs"]
mod examples;
#[path = "emulator/fixture.rs"]
mod fixture;
#[path = "emulator/keliweb.rs"]
mod keliweb;
#[path = "emulator/limits.rs"]
mod limits;
#[path = "emulator/openapi_v1.rs"]
mod openapi_v1;
#[path = "emulator/openapi_v2.rs"]
mod openapi_v2;
#[path = "emulator/remote.rs"]
mod remote;
