//! Any bytes as a file of tokens, and as a token in it: `cargo +nightly fuzz run store -- -dict=fuzz/words.dict`. For a start,
//! `cargo test --features full --lib starts -- --ignored` puts what the ordinary tests try into `fuzz/corpus`.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/hostile/mod.rs"]
mod hostile;

use hostile::store;

fuzz_target!(|input: &[u8]| {
    if let Some((family, input)) = input.split_first() {
        store::check_record(*family, input);
        store::check_file(*family, input);
    }
});
