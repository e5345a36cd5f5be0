//! Shows calls of Openapi.it that share one token: `cargo run --example company_data --features emulator,middleware`
//!
//! It runs against the emulator, on this machine. With an account it calls the sandbox, or production, where **each of the
//! three calls may be billed**: see `-- --help`.

use std::error::Error;

use gettone::emulator::{EMAIL, Emulator, PRODUCTION_KEY};
use gettone::openapi::{Credentials, Environment, v2::Oauth};
use gettone::reqwest::{Client, ClientBuilder, StatusCode};
use gettone::{ScopeSet, same_origin};
use reqwest_middleware::ClientWithMiddleware;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Returns an HTTP client that puts a token on each request to the vendor's services, and on no other.
fn client(oauth: &Oauth, http: ClientBuilder) -> Result<ClientWithMiddleware> {
    let http = http.redirect(same_origin()).build()?;
    Ok(reqwest_middleware::ClientBuilder::new(http).with(oauth.middleware()).build())
}

/// Calls the service for all companies at the same time. Returns the responses in the order of the companies.
async fn companies(http: &ClientWithMiddleware, base: &str, numbers: &[&str]) -> Result<Vec<(StatusCode, String)>> {
    let call = |number: &&str| {
        let request = http.get(format!("{base}/{number}"));
        tokio::spawn(async move {
            let response = request.send().await?; // the middleware adds a token; after a 401 it retries once with another
            Ok::<_, reqwest_middleware::Error>((response.status(), response.text().await?))
        })
    };
    let calls: Vec<_> = numbers.iter().map(call).collect();
    let mut responses = Vec::new();
    for call in calls {
        responses.push(call.await??);
    }
    Ok(responses)
}

const HELP: &str = "\
Three calls of Openapi.it at once: the middleware puts a token on each request, and all three share one token.

With the variables below it sends `GET /base/{VAT number}` three times to test.imprese.openapi.it (free of charge), or with
--production to imprese.openapi.it, where EACH OF THE THREE MAY BE BILLED. It deletes the token that it makes.

Options:
  --production  talks to production; without it, to the sandbox
  -h, --help    prints this

Environment variables:
  OPENAPI_EMAIL    the account's e-mail address
  OPENAPI_API_KEY  its API key: the sandbox's, or production's with --production

Without them the example runs against the emulator, on this machine.";

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
    let (environment, base) = match std::env::args().nth(1).as_deref() {
        None => (Environment::Sandbox, "https://test.imprese.openapi.it/base"),
        Some("--production") => (Environment::Production, "https://imprese.openapi.it/base"),
        Some(other) => return Err(format!("unknown argument `{other}`; expected none, or --production").into()),
    };
    let is_set = |name| std::env::var_os(name).is_some();
    if environment == Environment::Production || is_set("OPENAPI_EMAIL") || is_set("OPENAPI_API_KEY") {
        println!("Openapi.it ({environment})");
        let oauth = Oauth::builder(Credentials::from_env()?).environment(environment).build()?;
        show(&oauth, &client(&oauth, Client::builder())?, base).await
    } else {
        emulated().await
    }
}

async fn show(oauth: &Oauth, http: &ClientWithMiddleware, base: &str) -> Result<()> {
    let numbers = ["12345670124", "12485671007", "00905811006"];
    let responses = companies(http, base, &numbers).await;
    let deleted = oauth.revoke_created().await?; // also after an error: a token that is left behind stays valid
    for (number, (status, body)) in numbers.iter().zip(responses?) {
        println!("  {number:<14} {status}, {} bytes", body.len());
    }
    println!("  tokens deleted {deleted}");
    Ok(())
}

/// SCAFFOLDING, not to copy: the emulator, and what it counted.
async fn emulated() -> Result<()> {
    println!("Openapi.it (emulated on this machine)");
    let emulator = Emulator::start().await?;
    let oauth = Oauth::builder(Credentials::new(EMAIL, PRODUCTION_KEY))
        .base_url(emulator.production_v2_url())
        .clock(emulator.clock())
        .scopes(ScopeSet::parse(["GET:127.0.0.1/echo"])?) // `/echo` stands for a paid endpoint
        .build()?;
    show(&oauth, &client(&oauth, Client::builder().no_proxy())?, &emulator.url("/echo")).await?;
    println!("  tokens made    {}", emulator.count("create_token"));
    println!("  calls          {}", emulator.count("echo"));
    Ok(())
}
