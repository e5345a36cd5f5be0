//! How much memory is allocated at the same time.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Runs `act`, and returns how many bytes this thread allocated at most at the same time, beyond what it had before.
pub fn peak<T>(act: impl FnOnce() -> T) -> (T, u64) {
    let mut done = None;
    // The measurement must end, also if a property does not hold.
    let info = allocation_counter::measure(|| done = Some(catch_unwind(AssertUnwindSafe(act))));
    match done.expect("it was called") {
        Ok(done) => (done, info.bytes_max),
        Err(panic) => resume_unwind(panic),
    }
}

/// Asserts that the memory is in proportion to the input.
pub fn assert_in_proportion(what: &str, peak: u64, input: usize) {
    let allowed = BASE + FACTOR * input as u64;
    assert!(peak <= allowed, "{what}: {peak} bytes for an input of {input}");
}

/// Memory for a client, a request and an error.
const BASE: u64 = 48 * 1024;

/// The worst case is the smallest object, `{"":0}`, where the client keeps JSON: a node of a tree has room for eleven entries.
const FACTOR: u64 = 128;
