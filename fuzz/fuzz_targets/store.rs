//! Reads any bytes as a token file, and as a token in it:
//!
//! ```text
//! RUSTFLAGS="--cfg gettone_test_transport" cargo +nightly fuzz run store -- -dict=fuzz/words.dict
//! ```
//!
//! To seed the corpus with what the ordinary tests try: `cargo test --features full --lib starts -- --ignored`.
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
