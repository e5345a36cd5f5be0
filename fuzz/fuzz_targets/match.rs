//! A set answers as its members do, one by one: `cargo +nightly fuzz run match`.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/hostile/scopes.rs"]
mod scopes;

fuzz_target!(|text: &str| scopes::words(text));
