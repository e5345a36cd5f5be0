//! Shows what an account of Openapi.it called and what it has left, by version 1, as tables: `cargo run --example usage --features emulator`
//!
//! It runs against the emulator, on this machine. With an account it reads credit and counters, which is free of charge: see
//! `-- --help`. The service returns how many requests are billed, not what one of them costs.

use std::cmp::Reverse;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gettone::ScopeSet;
use gettone::clock::{Clock, ManualClock, SystemClock};
use gettone::emulator::{EMAIL, Emulator, Limit, PRODUCTION_KEY};
use gettone::openapi::{Credentials, Decimal, Environment, Period, v1::Counters, v1::Oauth};
use gettone::reqwest::{Client, header::HOST};

/// Prints the counters of today, this month, this year and all time, and the credit.
async fn usage(oauth: &Oauth, now: SystemTime) -> Result<(), Box<dyn Error>> {
    let (day, month) = (Period::day_containing(now)?, Period::month_containing(now)?);
    for period in [day, month, Period::year_containing(now)?, Period::total()] {
        table(period, &oauth.counters(period).await?);
    }
    println!("\ncredit {} EUR", oauth.credit().await?); // exact: a decimal number, not a binary one
    Ok(())
}

/// Prints a row for each scope, the most billed first.
fn table(period: Period, counters: &Counters) {
    let mut rows: Vec<_> = counters.iter().collect();
    rows.sort_by_key(|(scope, counter)| (Reverse(counter.paid()), Reverse(counter.requests()), *scope));
    let width = rows.iter().map(|(scope, _)| scope.as_str().len()).max().unwrap_or_default().max(28);
    println!("\n{:<width$} {:>8} {:>6} {:>9}", period.to_string(), "requests", "billed", "free");
    for (scope, counter) in &rows {
        println!("{scope:<width$} {:>8} {:>6} {:>9}", counter.requests(), counter.paid(), counter.limit());
    }
    let requests: u64 = rows.iter().map(|(_, counter)| counter.requests()).sum();
    let billed: u64 = rows.iter().map(|(_, counter)| counter.paid()).sum();
    println!("{:<width$} {requests:>8} {billed:>6}", "sum");
}

const HELP: &str = "\
Credit and counters of an account of Openapi.it: today, this month, this year and all time, as tables.

It only reads, which is free of charge.

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

async fn run() -> Result<(), Box<dyn Error>> {
    if std::env::args().any(|argument| argument == "--help" || argument == "-h") {
        println!("{HELP}");
        return Ok(());
    }
    let environment = match std::env::args().nth(1).as_deref() {
        None => Environment::Sandbox,
        Some("--production") => Environment::Production,
        Some(other) => return Err(format!("unknown argument `{other}`; expected none, or --production").into()),
    };
    let is_set = |name| std::env::var_os(name).is_some();
    if environment == Environment::Production || is_set("OPENAPI_EMAIL") || is_set("OPENAPI_API_KEY") {
        println!("Openapi.it ({environment})");
        let oauth = Oauth::builder(Credentials::from_env()?).environment(environment).build()?;
        usage(&oauth, SystemClock::default().now()).await
    } else {
        emulated().await
    }
}

/// SCAFFOLDING, not to copy: the emulator, a clock that the example moves, and three days of calls in two years and three months.
async fn emulated() -> Result<(), Box<dyn Error>> {
    println!("Openapi.it (emulated on this machine)");
    let (base, full, sms) =
        ("GET:imprese.openapi.it/base", "GET:imprese.openapi.it/IT-full", "GET:sms.openapi.com/root");
    let new_years_eve = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_182_400); // 31 December 2025, noon
    let clock = Arc::new(ManualClock::new(new_years_eve));
    let builder = Emulator::builder().clock(clock.clone()).price(Decimal::new(45, 3)); // 0.045 EUR
    let builder = builder.limit(base.parse()?, Limit::Calls(10)).limit(sms.parse()?, Limit::Unlimited);
    let emulator = builder.start().await?;
    let oauth = Oauth::builder(Credentials::new(EMAIL, PRODUCTION_KEY))
        .base_url(emulator.production_url())
        .clock(clock.clone())
        .build()?;
    let before = oauth.credit().await?;
    let http = Client::builder().no_proxy().build()?;
    for (days_later, scope, calls) in [(0, base, 12), (30, base, 2), (0, full, 5), (2, sms, 7), (0, full, 1)] {
        clock.advance(Duration::from_secs(days_later * 24 * 60 * 60));
        let token = oauth.token(&ScopeSet::parse([scope])?).await?;
        let (_, host_and_path) = scope.split_once(':').unwrap_or_default();
        let (host, path) = host_and_path.split_once('/').unwrap_or_default();
        for _call in 0..calls {
            let request = http.get(emulator.url(&format!("/{path}"))).header(HOST, host);
            request.bearer_auth(token.expose()).send().await?.error_for_status()?;
        }
    }
    usage(&oauth, clock.now()).await?;
    println!("spent  {} EUR", before.amount() - oauth.credit().await?.amount());
    Ok(())
}
