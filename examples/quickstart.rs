//! Shows how few tokens a day of calls takes, at both services: `cargo run --example quickstart --features emulator`
//!
//! It runs against the emulator, on this machine. With an account it requests one token and calls no paid endpoint: `-- --help`.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gettone::clock::{Clock, ManualClock};
use gettone::emulator::{Api, CLIENT_ID, CLIENT_SECRET, EMAIL, Emulator, PASSWORD, PRODUCTION_KEY, USERNAME};
use gettone::keliweb::{self, Fatture};
use gettone::openapi::{self, Environment, v1, v2::Oauth};
use gettone::reqwest::{Client, Response};
use gettone::{ScopeSet, same_origin};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Calls Keliweb Fatture.
async fn invoices(fatture: &Fatture, http: &Client, url: &str) -> Result<Response> {
    let mut request = http.get(url).build()?;
    fatture.authorize(&mut request).await?; // logs in once, caches the token, and refreshes it before it expires
    Ok(http.execute(request).await?.error_for_status()?)
}

/// Calls a service of Openapi.it, with a token of version 2 of its Oauth.
async fn company(oauth: &Oauth, http: &Client, url: &str) -> Result<Response> {
    let mut request = http.get(url).build()?;
    oauth.authorize(&mut request).await?; // requests a token for this endpoint, or shares the one that another call requested
    Ok(http.execute(request).await?.error_for_status()?)
}

const HELP: &str = "\
How few tokens a day of calls takes, at both services.

With the variables of a service, it requests one token there, and calls no paid endpoint. It deletes the token of Openapi.it; that
of Keliweb Fatture, which has no sandbox, expires after an hour. Without any, it runs against the emulator, on this machine.

Options:
  --production  talks to production of Openapi.it; without it, to the sandbox
  -h, --help    prints this

Environment variables:
  OPENAPI_EMAIL, OPENAPI_API_KEY            the account at Openapi.it, with the API key of the sandbox or of production
  KELIWEB_CLIENT_ID, KELIWEB_CLIENT_SECRET  the client for Keliweb Fatture
  KELIWEB_USERNAME, KELIWEB_PASSWORD        the customer";

#[tokio::main]
async fn main() {
    if let Err(error) = run().await {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

async fn run() -> Result<()> {
    if std::env::args().any(|argument| argument == "--help" || argument == "-h") {
        println!("{HELP}");
        return Ok(());
    }
    let (environment, test) = match std::env::args().nth(1).as_deref() {
        None => (Environment::Sandbox, "test."),
        Some("--production") => (Environment::Production, ""),
        Some(other) => return Err(format!("unknown argument `{other}`; expected none, or --production").into()),
    };
    let is_set = |name: &str| std::env::var_os(name).is_some();
    let keliweb =
        ["CLIENT_ID", "CLIENT_SECRET", "USERNAME", "PASSWORD"].iter().any(|v| is_set(&format!("KELIWEB_{v}")));
    let openapi = is_set("OPENAPI_EMAIL") || is_set("OPENAPI_API_KEY") || environment == Environment::Production;
    if keliweb {
        let pair = Fatture::builder(keliweb::Credentials::from_env()?).build()?.password_grant().await?;
        println!("Keliweb Fatture (production): logged in, with a token for {} s", pair.expires_in().as_secs());
    }
    if openapi {
        let oauth = Oauth::builder(openapi::Credentials::from_env()?).environment(environment).build()?;
        let token = oauth.token(&ScopeSet::parse([format!("GET:{test}imprese.openapi.it/base")])?).await;
        let deleted = oauth.revoke_created().await?; // also after an error: the service may have created the token
        token?;
        println!("Openapi.it ({environment}): token made; tokens deleted: {deleted}");
    }
    if keliweb || openapi { Ok(()) } else { emulated().await }
}

/// SCAFFOLDING, not to copy: the emulator, a clock that the example moves, and what the emulator counted.
async fn emulated() -> Result<()> {
    println!("Both services (emulated on this machine)");
    let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
    let endpoints =
        ScopeSet::parse(["companies", "people", "vehicles"].map(|name| format!("GET:127.0.0.1/echo/{name}")))?;
    let catalog = endpoints.iter().map(|scope| scope.clone().try_into()).collect::<std::result::Result<Vec<_>, _>>()?;
    let emulator = Emulator::builder().clock(clock.clone()).catalog(catalog).start().await?;
    let http = Client::builder().redirect(same_origin()).no_proxy().build()?;

    let credentials = keliweb::Credentials::new(CLIENT_ID, CLIENT_SECRET, USERNAME, PASSWORD);
    let fatture = Fatture::builder(credentials).base_url(emulator.keliweb_url()).clock(clock.clone()).build()?;
    for _minute in 0..24 * 60 {
        invoices(&fatture, &http, &emulator.url("/api/invoices")).await?;
        clock.advance(Duration::from_secs(60));
    }
    let hours = clock.now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs() / (60 * 60);
    let [calls, logins, refreshes] = ["api", "password_grant", "refresh"].map(|operation| emulator.count(operation));
    println!("Keliweb Fatture: {calls} calls over {hours} simulated hours: {logins} login, {refreshes} refreshes");

    let oauth = Oauth::builder(openapi::Credentials::new(EMAIL, PRODUCTION_KEY))
        .base_url(emulator.production_v2_url())
        .clock(clock.clone())
        .scopes(endpoints.clone())
        .build()?;
    let mut calls = tokio::task::JoinSet::new();
    for (number, scope) in endpoints.iter().cycle().take(12).enumerate() {
        let url = emulator.url(&format!("/{}/{number}", scope.path()));
        let (oauth, http) = (oauth.clone(), http.clone());
        calls.spawn(async move { company(&oauth, &http, &url).await });
    }
    calls.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    oauth.revoke_created().await?;
    let [calls, made] = ["echo", "create_token"].map(|operation| emulator.count(operation));
    let left = emulator.count_valid_tokens(Api::ProductionV2);
    println!(
        "Openapi.it: {calls} calls at once to {} endpoints: {made} tokens made, {left} left behind",
        endpoints.len()
    );

    // Version 1, which the vendor calls deprecated, has the same methods. A program keeps to one of the two.
    let credentials = openapi::Credentials::new(EMAIL, PRODUCTION_KEY);
    let oauth = v1::Oauth::builder(credentials).base_url(emulator.production_url()).clock(clock).build()?;
    oauth.token(&ScopeSet::parse(["*:127.0.0.1/*"])?).await?;
    println!("Openapi.it, version 1: {} token made and deleted", oauth.revoke_created().await?);
    Ok(())
}
