//! A simulated year: a million calls for a token, and whether memory grows.
//!
//! The emulator stores every token and very many requests, so a new one replaces it at each of the ten points. The printed
//! memory is that of the client, which stays the same.
#![allow(clippy::panic, clippy::unwrap_used, clippy::print_stdout)]

mod asked;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gettone::clock::ManualClock;
use gettone::emulator::Emulator;
use gettone::openapi::{Credentials, v1::Oauth};
use gettone::{ScopeSet, reqwest};

const CALLS: u32 = 1_000_000;
const POINTS: u32 = 10;
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

fn main() {
    if !asked::for_figures() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(soak());
}

async fn soak() {
    let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(4_102_444_800)));
    let start = |port| Emulator::builder().port(port).clock(Arc::clone(&clock) as _).start();
    let mut emulator = start(0).await.unwrap();
    let scopes = |scopes: &[&str]| ScopeSet::parse(scopes.iter().copied()).unwrap();
    let (get, both) = (scopes(&["GET:127.0.0.1/echo"]), scopes(&["POST:127.0.0.1/echo", "PUT:127.0.0.1/echo"]));
    let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
    let account = emulator.account();
    let credentials = Credentials::new(account.email(), account.production_key().clone());
    let oauth = Oauth::builder(credentials)
        .base_url(emulator.production_url())
        .http_client(http.clone())
        .clock(Arc::clone(&clock) as _)
        .scopes(scopes(&["GET:127.0.0.1/echo"]))
        .build()
        .unwrap();
    let handle = oauth.token_for(&get);
    let url: reqwest::Url = emulator.url("/echo/me").parse().unwrap();

    println!("{:>9} {:>6} {:>10} {:>8} {:>6}", "calls", "day", "resident", "requests", "living");
    let mut requests = 0;
    for call in 1..=CALLS {
        clock.advance(YEAR / CALLS);
        match call % 3 {
            0 => drop(handle.get().await.unwrap()),
            1 => drop(oauth.token(&both).await.unwrap()),
            _ => {
                let mut request = reqwest::Request::new(reqwest::Method::GET, url.clone());
                oauth.authorize(&mut request).await.unwrap();
            }
        }
        if call % 100 == 0 {
            // Let background tasks run.
            tokio::task::yield_now().await;
        }
        if call % (CALLS / POINTS) == 0 {
            let (day, living) = (u64::from(call) * 365 / u64::from(CALLS), emulator.tokens());
            let living = living.iter().filter(|token| token.is_valid).count();
            requests += emulator.requests().len();
            println!("{call:>9} {day:>6} {:>6} KiB {requests:>8} {living:>6}", resident());
            let port = emulator.address().port();
            emulator.stop().await;
            emulator = start(port).await.unwrap();
        }
    }
}

/// Returns the memory of the process, in KiB; 0 if it cannot be read.
fn resident() -> u64 {
    const PAGE: u64 = 4;
    let read = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    read.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or_default() * PAGE
}
