//! Any answer to any call: `cargo +nightly fuzz run answers -- -dict=fuzz/words.dict`. For a start,
//! `cargo test --features full --lib starts -- --ignored` puts what the ordinary tests try into `fuzz/corpus`.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/hostile/mod.rs"]
mod hostile;

use hostile::answers::{self, Exchange};

fuzz_target!(|input: &[u8]| {
    let _ = answers::check(&Exchange::read(input));
});
