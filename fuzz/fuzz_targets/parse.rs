//! Any text is a scope, a pattern, a set, a list, or an error: `cargo +nightly fuzz run parse`.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/hostile/scopes.rs"]
mod scopes;

fuzz_target!(|text: &str| scopes::read(text));
