//! Tokens from any store and any service: `cargo +nightly fuzz run cache -- -dict=fuzz/words.dict`. For a start,
//! `cargo test --features full --lib starts -- --ignored` puts what the ordinary tests try into `fuzz/corpus`.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/hostile/mod.rs"]
mod hostile;

use hostile::cache::{self, Story};

fuzz_target!(|input: &[u8]| cache::check(&Story::read(input, &mut Vec::new())));
