//! Reads any bytes as a sealed record, seals any bytes, and changes what was sealed:
//!
//! ```text
//! RUSTFLAGS="--cfg gettone_test_transport" cargo +nightly fuzz run sealed
//! ```
#![no_main]

use gettone::store::check_sealed;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| check_sealed(input));
