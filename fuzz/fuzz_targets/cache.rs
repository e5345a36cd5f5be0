//! Takes tokens from any store and any service:
//!
//! ```text
//! RUSTFLAGS="--cfg gettone_test_transport" cargo +nightly fuzz run cache -- -dict=fuzz/words.dict
//! ```
//!
//! To seed the corpus with what the ordinary tests try: `cargo test --features full --lib starts -- --ignored`.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/hostile/mod.rs"]
mod hostile;

use hostile::cache::{self, Story};

fuzz_target!(|input: &[u8]| {
    let _ = cache::check(&Story::read(input, &mut Vec::new()));
});
