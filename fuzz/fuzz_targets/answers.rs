//! Reads any answer to any call:
//!
//! ```text
//! RUSTFLAGS="--cfg gettone_test_transport" cargo +nightly fuzz run answers -- -dict=fuzz/words.dict
//! ```
//!
//! To seed the corpus with what the ordinary tests try: `cargo test --features full --lib starts -- --ignored`.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/hostile/mod.rs"]
mod hostile;

use hostile::answers::{self, Exchange};

fuzz_target!(|input: &[u8]| {
    let _ = answers::check(&Exchange::read(input));
});
