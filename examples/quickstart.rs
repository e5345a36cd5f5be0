//! The main job, from the first token to the last: `cargo run --example quickstart --features emulator`.
//!
//! Without an account it talks to the emulator, on this machine. With `OPENAPI_EMAIL` and `OPENAPI_API_KEY` set it talks to
//! the sandbox of Openapi.it (to production after `-- --production`), and with the four `KELIWEB_…` set to Keliweb Fatture. It
//! calls no endpoint that is paid for. The token that it makes at Openapi.it it deletes, also when something goes wrong; those of
//! Keliweb end by themselves.

use std::error::Error;
use std::fmt::Display;
use std::process::ExitCode;
use std::time::Duration;

use gettone::clock::{Clock, SystemClock};
use gettone::emulator::Emulator;
use gettone::keliweb::{self, Fatture};
use gettone::openapi::{
    self, Environment, Period, Ttl,
    v1::{Oauth, Token, TokenUpdate},
};
use gettone::{Scope, ScopePattern, ScopeSet, reqwest};

const HELP: &str = "\
The main job with both services, from the first token to the last.

It calls no paid endpoint. It deletes the token that it makes at Openapi.it; the one of Keliweb Fatture expires after an hour.

Options:
  --production  talks to production of Openapi.it; without it, to the sandbox
  -h, --help    prints this

Environment variables:
  OPENAPI_EMAIL          the account's e-mail address at Openapi.it
  OPENAPI_API_KEY        its API key: the sandbox's, or production's with --production
  KELIWEB_CLIENT_ID      the client id for Keliweb Fatture, which has no sandbox
  KELIWEB_CLIENT_SECRET  its secret
  KELIWEB_USERNAME       the customer's user name
  KELIWEB_PASSWORD       the customer's password

A service without its variables is emulated, on this machine.";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    if std::env::args().skip(1).any(|argument| argument == "--help" || argument == "-h") {
        println!("{HELP}");
        return Ok(());
    }
    let environment = match std::env::args().nth(1).as_deref() {
        None => Environment::Sandbox,
        Some("--production") => Environment::Production,
        Some(other) => return Err(format!("unknown argument `{other}`; the one there is: --production").into()),
    };
    let emulator = Emulator::start().await?;

    if environment == Environment::Production || is_set(["OPENAPI_EMAIL", "OPENAPI_API_KEY"]) {
        title("Openapi.it", &environment.to_string());
        let oauth = Oauth::builder(openapi::Credentials::from_env()?).environment(environment).build()?;
        tokens(&oauth).await?;
        usage(&oauth).await?;
    } else {
        title("Openapi.it", "emulated on this machine");
        let account = emulator.account();
        let credentials = openapi::Credentials::new(account.email(), account.production_key().clone());
        let oauth = Oauth::builder(credentials)
            .base_url(emulator.production_url())
            .clock(emulator.clock())
            .scopes(ScopeSet::parse(["*:127.0.0.1/*"])?)
            .build()?;
        tokens(&oauth).await?;
        calls(&oauth, &emulator).await?;
        usage(&oauth).await?;
        line("revoked", format!("{} token", oauth.revoke_created().await?));
    }

    if is_set(["KELIWEB_CLIENT_ID", "KELIWEB_CLIENT_SECRET", "KELIWEB_USERNAME", "KELIWEB_PASSWORD"]) {
        title("Keliweb Fatture", "production");
        let fatture = Fatture::builder(keliweb::Credentials::from_env()?).build()?;
        let pair = fatture.password_grant().await?;
        line("password grant", format!("a token for {} s", pair.expires_in().as_secs()));
    } else {
        title("Keliweb Fatture", "emulated on this machine");
        let customer = emulator.customer();
        let (id, secret) = (customer.client_id(), customer.client_secret().clone());
        let credentials = keliweb::Credentials::new(id, secret, customer.username(), customer.password().clone());
        let builder = Fatture::builder(credentials).base_url(emulator.keliweb_url()).clock(emulator.clock());
        day(&builder.build()?, &emulator).await?;
    }
    Ok(())
}

/// Whether one of the variables is there: then all of them must be, and nothing is emulated that is not said to be.
fn is_set<const N: usize>(names: [&str; N]) -> bool {
    names.into_iter().any(|name| std::env::var_os(name).is_some())
}

/// A token is made, found, narrowed and deleted.
async fn tokens(oauth: &Oauth) -> Result<(), gettone::Error> {
    line("credit", format!("{} EUR", oauth.credit().await?));
    let base: Scope = "GET:imprese.openapi.it/base".parse()?;
    let scopes: ScopeSet = [base.clone().into(), ScopePattern::domain("comparabili.openapi.it")?].into_iter().collect();
    let created = oauth.create_token(&scopes, Ttl::days(1)?).await?;
    line("made", describe(&created));
    let lacking = scopes.missing_from(&created.scopes().iter().collect());
    line("not granted", if lacking.is_empty() { "nothing".to_owned() } else { lacking.to_string() });
    let used = find_and_narrow(oauth, &created, &base).await;
    // Whatever went wrong: a token that is left behind lives on.
    oauth.delete_token(created.token()).await?;
    line("deleted", "it is gone");
    used
}

async fn find_and_narrow(oauth: &Oauth, created: &Token, base: &Scope) -> Result<(), gettone::Error> {
    let found = oauth.find_token(created.token()).await?;
    line("found", found.as_ref().map_or("not there".to_owned(), describe));
    let update = TokenUpdate::new().scopes(&base.clone().into());
    line("narrowed", describe(&oauth.update_token(created.token(), update).await?));
    Ok(())
}

/// Requests find their token themselves, and it is made once.
async fn calls(oauth: &Oauth, emulator: &Emulator) -> Result<(), Box<dyn Error>> {
    let http = reqwest::Client::builder().redirect(gettone::same_origin()).no_proxy().build()?;
    for company in ["12345670124", "12485671007", "00905811006"] {
        let mut request = http.get(emulator.url(&format!("/echo/{company}"))).build()?;
        oauth.authorize(&mut request).await?;
        line("call", format!("/echo/{company}: {}", http.execute(request).await?.status()));
    }
    line("tokens made for it", emulator.count("create_token") - 1);
    Ok(())
}

/// What was called this month.
async fn usage(oauth: &Oauth) -> Result<(), Box<dyn Error>> {
    let period = Period::month_containing(SystemClock::default().now())?;
    println!("  {:<42} {:>8} {:>6} {:>10}", format!("usage, {period}"), "requests", "paid", "limit");
    for (scope, counter) in &oauth.counters(period).await? {
        println!("  {scope:<42} {:>8} {:>6} {:>10}", counter.requests(), counter.paid(), counter.limit());
    }
    line("credit", format!("{} EUR", oauth.credit().await?));
    Ok(())
}

/// A token each minute of a day, and what was asked for.
async fn day(fatture: &Fatture, emulator: &Emulator) -> Result<(), gettone::Error> {
    for _ in 0..24 * 60 {
        fatture.token().await?;
        emulator.advance(Duration::from_secs(60));
        // A refresh begins in the background: let it.
        tokio::task::yield_now().await;
    }
    line("calls in a day", 24 * 60);
    line("password grants", emulator.count("password_grant"));
    line("refreshes", emulator.count("refresh"));
    fatture.clear().await
}

fn title(service: &str, place: &str) {
    println!("\n{service} ({place})");
}

fn line(what: &str, outcome: impl Display) {
    println!("  {what:<18} {outcome}");
}

fn describe(token: &Token) -> String {
    format!("{} scope(s) until {}", token.scopes().len(), httpdate::fmt_http_date(token.expires_at()))
}
