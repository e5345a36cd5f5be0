//! The client of version 2 of Openapi.it Oauth without the API key: it has a token and its refresh token. Time stands still.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

#[path = "common/account_v2.rs"]
mod account_v2;

#[path = "openapi_v2_refresh/calls.rs"]
mod calls;
#[path = "openapi_v2_refresh/processes.rs"]
mod processes;
#[path = "openapi_v2_refresh/rotation.rs"]
mod rotation;
#[path = "openapi_v2_refresh/schedules.rs"]
mod schedules;

use std::time::Duration;

use gettone::clock::Clock;
use gettone::openapi::v2::{RefreshClient, RefreshCredentials};
use gettone::{Error, Retry};

use account_v2::FakeAccount;

const BASE: &str = "GET:127.0.0.1/base";
const DAY: u64 = 86_400;
/// A minute before the end of a token for a day.
const IN_WINDOW: u64 = DAY - 60;

/// The message of an error when no refresh token is left.
const LOST: &str = "create a token with the API key";

/// Starts an account that has the token `t0` for a day, with the refresh token `r0`.
async fn start() -> FakeAccount {
    let service = FakeAccount::start().await;
    service.put("t0", Some("worker"), &[BASE], DAY);
    service.state().tokens[0].refresh_token = "r0".to_owned();
    service
}

/// Returns the first pair. `told`: with its end.
fn pair(service: &FakeAccount, told: bool) -> RefreshCredentials {
    let credentials = RefreshCredentials::new("worker", "t0", "r0");
    let end = service.clock.now() + Duration::from_secs(DAY);
    if told { credentials.expires_at(end) } else { credentials }
}

fn worker(service: &FakeAccount, told: bool) -> RefreshClient {
    service.worker(pair(service, told)).build().unwrap()
}

fn once(service: &FakeAccount, told: bool) -> RefreshClient {
    service.worker(pair(service, told)).retry(Retry::none()).build().unwrap()
}

async fn token(worker: &RefreshClient) -> String {
    let token = worker.token().await.unwrap();
    worker.wait_idle().await;
    token.expose().to_owned()
}

/// Returns the refresh tokens that were sent, in their order.
fn sent(service: &FakeAccount) -> Vec<String> {
    let asked = &service.state().asked;
    let bearers = asked.iter().filter(|asked| asked.line.starts_with("PATCH"));
    bearers.map(|asked| asked.authorization.strip_prefix("Bearer ").unwrap().to_owned()).collect()
}

/// Asserts that an error says that no refresh token is left, and what to do.
fn assert_lost(error: &Error) {
    assert!(error.is_invalid_grant() && !error.is_unauthorized() && !error.is_transient(), "{error:?}");
    assert_eq!((error.service(), error.operation()), (Some("Openapi.it Oauth v2"), Some("refresh_token")));
    assert!(error.to_string().contains(LOST), "{error}");
}
