//! Checks that a set covers what its members, one by one, cover:
//!
//! ```text
//! RUSTFLAGS="--cfg gettone_test_transport" cargo +nightly fuzz run match
//! ```
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/hostile/scopes.rs"]
mod scopes;

fuzz_target!(|text: &str| scopes::words(text));
