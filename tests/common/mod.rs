//! What the tests share.
#![allow(dead_code, unused_imports, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod account;
#[cfg(feature = "tracing")]
pub mod capture;
#[cfg(unix)]
pub mod engine;
pub mod fake;
pub mod leaks;
pub mod services;
pub mod spec;
pub mod store;

use std::sync::{Arc, OnceLock};

use gettone::clock::ManualClock;
use gettone::keliweb::Fatture;
use gettone::openapi::v1::Oauth;
use gettone::openapi::v2;
use gettone::{Builder, Error, Service};

use fake::{Answer, FakeService};
use services::{EXAMPLE, Http, Operation, Returned, Setup, keliweb, openapi_v1, openapi_v2, operation};
use spec::Spec;

pub use services::{EMAIL, iso, now, operations, unix};

pub const API_KEY: &str = EXAMPLE.api_key;
/// `test@example.com:0123456789abcdef` in base64, written out so that the crate's own encoding is not what checks it.
pub const BASIC: &str = "Basic dGVzdEBleGFtcGxlLmNvbTowMTIzNDU2Nzg5YWJjZGVm";

impl FakeService {
    pub fn oauth(&self) -> Oauth {
        oauth(&self.url()).http_client(http()).build().unwrap()
    }

    pub fn oauth_v2(&self) -> v2::Oauth {
        oauth_v2(&self.url()).http_client(http()).build().unwrap()
    }

    pub fn fatture(&self) -> Fatture {
        fatture(&self.url()).http_client(http()).build().unwrap()
    }

    /// Calls an operation with the arguments that the specs have as examples.
    pub async fn call(&self, operation: &Operation) -> Result<Box<dyn Returned>, Error> {
        let setup = Setup { http: Http::Given(http()), ..Setup::new(self.url()) };
        operation.call(operation.service.example, &setup).await
    }
}

/// Returns a documented success of the [`operation`] of this name.
pub fn success(name: &str) -> Answer {
    success_of(operation(name))
}

/// Returns a documented success of an operation.
pub fn success_of(operation: &Operation) -> Answer {
    Spec::of(operation.service).answer(operation.id, 200, operation.success)
}

/// Returns one client for many tests: each one that is built reads the certificates of the system, which plain http does not need.
pub fn http() -> reqwest::Client {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    let build = || {
        // Each test has a runtime of its own, and a connection ends with its runtime.
        let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).pool_max_idle_per_host(0);
        builder.no_proxy().build().unwrap()
    };
    CLIENT.get_or_init(build).clone()
}

/// Waits until `done`, which other tasks bring about, and fails after more turns of theirs than it can take.
pub async fn until(mut done: impl FnMut() -> bool) {
    for _ in 0..20_000_000 {
        if done() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it did not happen");
}

pub fn oauth(url: &str) -> Builder<Oauth> {
    openapi_v1::builder(&EXAMPLE, &Setup::new(url))
}

pub fn oauth_v2(url: &str) -> Builder<v2::Oauth> {
    openapi_v2::builder(&EXAMPLE, &Setup::new(url))
}

pub fn fatture(url: &str) -> Builder<Fatture> {
    keliweb::builder(&EXAMPLE, &Setup::new(url))
}

/// Time that stands still, so that no test waits.
pub trait Still: Sized {
    fn still(self) -> (Self, Arc<ManualClock>);
}

impl<C: Service> Still for Builder<C> {
    fn still(self) -> (Self, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(now()));
        (self.clock(Arc::clone(&clock) as _), clock)
    }
}

/// What Openapi.it answers to `POST /token`: a token for an hour, with a date by which time stands still at the service too.
pub fn minted(token: &str, scopes: &[&str]) -> Answer {
    let body = openapi_v1::token(token, scopes, unix(now()) + 3600);
    Answer::json(200, body).header("date", "Thu, 14 Oct 2021 00:00:00 GMT")
}

/// Starts a token service that makes another token each time: `token-1`, `token-2` and so on.
pub async fn mint(scopes: &[&str]) -> FakeService {
    FakeService::answering((1..=99).map(|number| minted(&format!("token-{number}"), scopes))).await
}
