//! Input that means harm, and what must hold whatever it is. The fuzz targets under `fuzz/` and the ordinary tests ([`bounded`]) check the
//! same properties: a fuzzer with whatever it finds, the tests with some of it.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(not(any(test, gettone_test_transport)))]
compile_error!("fuzzing needs the test transport: set RUSTFLAGS=\"--cfg gettone_test_transport\", see CONTRIBUTING.md");

pub mod answers;
pub mod authorize;
#[cfg(test)]
mod bounded;
pub mod cache;
#[cfg(test)]
pub mod echoes;
pub mod memory;
pub mod secrets;
#[path = "../common/services/mod.rs"]
pub mod services;
pub mod store;

use std::sync::OnceLock;

use gettone::reqwest;

/// Runs a future that waits for nothing but its own tasks. Its pauses take no time.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}

/// Returns one client for all: nothing is ever sent.
pub fn http() -> reqwest::Client {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    CLIENT.get_or_init(|| reqwest::Client::builder().no_proxy().build().unwrap()).clone()
}
