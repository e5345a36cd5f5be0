//! How much memory is held at once.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Does something, and says how many bytes this thread held at most meanwhile, beyond what it held before.
pub fn peak<T>(act: impl FnOnce() -> T) -> (T, u64) {
    let mut done = None;
    // What measures must come to its end, also if a property does not hold.
    let info = allocation_counter::measure(|| done = Some(catch_unwind(AssertUnwindSafe(act))));
    match done.expect("it was called") {
        Ok(done) => (done, info.bytes_max),
        Err(panic) => resume_unwind(panic),
    }
}

/// Fails if the memory was not in proportion to the input.
pub fn assert_in_proportion(what: &str, peak: u64, input: usize) {
    let allowed = BASE + FACTOR * input as u64;
    assert!(peak <= allowed, "{what}: {peak} bytes for an input of {input}");
}

/// A client, a request and an error.
const BASE: u64 = 48 * 1024;

/// The worst is the least object, `{"":0}`, in a place that keeps JSON as it is: a node of a tree has room for eleven entries.
const FACTOR: u64 = 128;
