//! Data of several companies at once, from Openapi.it: each request finds its token itself, and one token is made for all.
//!
//! `cargo run --example company_data --features emulator,middleware` talks to the emulator, on this machine. With `OPENAPI_EMAIL`
//! and `OPENAPI_API_KEY` set it sends three times `GET /base/{VAT number}` to `test.imprese.openapi.it`, the sandbox, which is
//! free of charge; after `-- --production` to `imprese.openapi.it`, where **each of the three may be billed**. The token that it
//! makes it deletes.

use std::error::Error;
use std::process::ExitCode;

use gettone::emulator::Emulator;
use gettone::openapi::{Credentials, Environment, v1::Oauth};
use gettone::reqwest::{Client, StatusCode};
use gettone::{ScopeSet, reqwest};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};

const COMPANIES: [&str; 3] = ["12345670124", "12485671007", "00905811006"];

/// Asks for all companies at the same time. What comes is in their order.
async fn companies(http: &ClientWithMiddleware, base: &str) -> Result<Vec<(StatusCode, String)>, Box<dyn Error>> {
    let mut calls = Vec::new();
    for number in COMPANIES {
        let request = http.get(format!("{base}/{number}"));
        calls.push(tokio::spawn(async move {
            let answer = request.send().await?; // with a token; after a 401 once more, with another
            Ok::<_, reqwest_middleware::Error>((answer.status(), answer.text().await?))
        }));
    }
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await??);
    }
    Ok(answers)
}

/// A client that puts a token on each request to the vendor's services, and on no other.
fn client(oauth: &Oauth, http: reqwest::ClientBuilder) -> Result<ClientWithMiddleware, reqwest::Error> {
    let http = http.redirect(gettone::same_origin()).build()?;
    Ok(ClientBuilder::new(http).with(oauth.middleware()).build())
}

const HELP: &str = "\
Data of three companies at once, from Openapi.it: each request finds its token itself, and all share one.

It sends `GET /base/{VAT number}` three times, to test.imprese.openapi.it (free of charge) or with --production to
imprese.openapi.it, where EACH OF THE THREE MAY BE BILLED. It deletes the token that it makes.

Options:
  --production  talks to production; without it, to the sandbox
  -h, --help    prints this

Environment variables:
  OPENAPI_EMAIL    the account's e-mail address
  OPENAPI_API_KEY  its API key: the sandbox's, or production's with --production

Without them the example runs against the emulator, on this machine.";

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
    let is_set = |name| std::env::var_os(name).is_some();
    if environment == Environment::Production || is_set("OPENAPI_EMAIL") || is_set("OPENAPI_API_KEY") {
        println!("Openapi.it ({environment})");
        let base = match environment {
            Environment::Production => "https://imprese.openapi.it/base",
            _ => "https://test.imprese.openapi.it/base",
        };
        let oauth = Oauth::builder(Credentials::from_env()?).environment(environment).build()?;
        return show(&oauth, &client(&oauth, Client::builder())?, base).await;
    }

    println!("Openapi.it (emulated on this machine)");
    let emulator = Emulator::start().await?;
    let account = emulator.account();
    let oauth = Oauth::builder(Credentials::new(account.email(), account.production_key().clone()))
        .base_url(emulator.production_url())
        .clock(emulator.clock())
        .scopes(ScopeSet::parse(["GET:127.0.0.1/echo"])?) // `/echo` stands for an endpoint that is paid for
        .build()?;
    show(&oauth, &client(&oauth, Client::builder().no_proxy())?, &emulator.url("/echo")).await?;
    println!("  calls              {}", emulator.count("echo"));
    println!("  tokens made        {}", emulator.count("create_token"));
    Ok(())
}

async fn show(oauth: &Oauth, http: &ClientWithMiddleware, base: &str) -> Result<(), Box<dyn Error>> {
    let answers = companies(http, base).await;
    // Whatever went wrong: a token that is left behind lives on.
    let deleted = oauth.revoke_created().await?;
    for (number, (status, body)) in COMPANIES.iter().zip(answers?) {
        println!("  {number:<18} {status}, {} bytes", body.len());
    }
    println!("  tokens deleted     {deleted}");
    Ok(())
}
