//! Reads any text as a scope, a pattern, a set and a list, each of which gives a value or an error:
//!
//! ```text
//! RUSTFLAGS="--cfg gettone_test_transport" cargo +nightly fuzz run parse
//! ```
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/hostile/scopes.rs"]
mod scopes;

fuzz_target!(|text: &str| scopes::read(text));
