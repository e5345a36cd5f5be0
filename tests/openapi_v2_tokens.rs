//! The cached tokens of version 2 of Openapi.it Oauth. Time stands still.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

#[path = "common/account_v2.rs"]
mod account_v2;

#[path = "openapi_v2_tokens/changes.rs"]
mod changes;
#[path = "openapi_v2_tokens/created.rs"]
mod created;
#[path = "openapi_v2_tokens/lost.rs"]
mod lost;
#[path = "openapi_v2_tokens/processes.rs"]
mod processes;
#[path = "openapi_v2_tokens/renewal.rs"]
mod renewal;
#[path = "openapi_v2_tokens/revoked.rs"]
mod revoked;
#[path = "openapi_v2_tokens/schedules.rs"]
mod schedules;
#[path = "openapi_v2_tokens/versions.rs"]
mod versions;

use gettone::openapi::v2::Oauth;
use gettone::{Retry, Scope, ScopeSet};

use account_v2::FakeAccount;

const X: &str = "GET:a.it/x";
const Y: &str = "GET:b.it/y";

fn set(scopes: &[&str]) -> ScopeSet {
    ScopeSet::parse(scopes).unwrap()
}

/// Returns a catalog of scopes that the account may use.
fn enabled(scopes: &[&str]) -> Vec<(Scope, bool)> {
    scopes.iter().map(|scope| (scope.parse().unwrap(), true)).collect()
}

/// Returns a client that sends each request once.
fn once(service: &FakeAccount) -> Oauth {
    service.builder().retry(Retry::none()).build().unwrap()
}

async fn token(oauth: &Oauth, scopes: &[&str]) -> String {
    let token = oauth.token(&set(scopes)).await.unwrap();
    oauth.wait_idle().await;
    token.expose().to_owned()
}

/// Polls a future until it has gone as far as it can.
async fn begun<T>(future: &mut (impl Future<Output = T> + Unpin)) {
    for _ in 0..5000 {
        tokio::select! {
            biased;
            _ = &mut *future => panic!("it is over already"),
            () = tokio::task::yield_now() => {}
        }
    }
}
