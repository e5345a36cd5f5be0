//! Authorizes any request with clients of any scopes, and compares with the documented rule:
//!
//! ```text
//! RUSTFLAGS="--cfg gettone_test_transport" cargo +nightly fuzz run authorize
//! ```
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/hostile/mod.rs"]
mod hostile;

use hostile::authorize::{self, Case};

fuzz_target!(|text: &str| {
    let case = Case::read(text);
    let _ = (authorize::openapi(&case), authorize::openapi_v2(&case));
    let _ = authorize::keliweb(&case, "https://fatture.keliweb.it");
});
