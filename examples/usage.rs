//! What an account of Openapi.it has called and has left: its credit, and the counters of today, this month, this year and all time
//! as tables, with what is billed most at the top.
//!
//! `cargo run --example usage --features emulator` talks to the emulator, on this machine. With `OPENAPI_EMAIL` and
//! `OPENAPI_API_KEY` set it reads from the sandbox of Openapi.it, after `-- --production` from production. It only reads, and
//! nothing of that is paid for. How many requests are billed the service tells, and not what one of them costs.

use std::cmp::Reverse;
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gettone::clock::{Clock, ManualClock, SystemClock};
use gettone::emulator::{Emulator, Limit};
use gettone::openapi::{
    Credentials, Decimal, Environment, Period,
    v1::{Counters, Oauth},
};
use gettone::reqwest::{Client, header::HOST};
use gettone::{Scope, ScopeSet};

async fn usage(oauth: &Oauth, now: SystemTime) -> Result<(), Box<dyn Error>> {
    let (day, month, year) =
        (Period::day_containing(now)?, Period::month_containing(now)?, Period::year_containing(now)?);
    for period in [day, month, year, Period::total()] {
        table(period, &oauth.counters(period).await?);
    }
    println!("\ncredit {} EUR", oauth.credit().await?); // exact: a decimal number, not a binary one
    Ok(())
}

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
        let oauth = Oauth::builder(Credentials::from_env()?).environment(environment).build()?;
        return usage(&oauth, SystemClock::default().now()).await;
    }
    println!("Openapi.it (emulated on this machine)");
    emulated().await
}

/// Three days of calls, in two years and three months.
async fn emulated() -> Result<(), Box<dyn Error>> {
    let last_year = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_182_400); // 31 December 2025, noon
    let emulator = Emulator::builder()
        .clock(Arc::new(ManualClock::new(last_year)))
        .price(Decimal::new(45, 3)) // 0.045 EUR
        .limit("GET:imprese.openapi.it/base".parse()?, Limit::Calls(10))
        .limit("GET:sms.openapi.com/root".parse()?, Limit::Unlimited)
        .start()
        .await?;
    let account = emulator.account();
    let oauth = Oauth::builder(Credentials::new(account.email(), account.production_key().clone()))
        .base_url(emulator.production_url())
        .clock(emulator.clock())
        .build()?;
    let before = oauth.credit().await?;

    let [base, full, sms]: [Scope; 3] = [
        "GET:imprese.openapi.it/base".parse()?,
        "GET:imprese.openapi.it/IT-full".parse()?,
        "GET:sms.openapi.com/root".parse()?,
    ];
    let http = Client::builder().no_proxy().build()?;
    for (day, calls) in [(0, [(&base, 12)].as_slice()), (30, &[(&base, 2), (&full, 5)]), (2, &[(&sms, 7), (&full, 1)])]
    {
        emulator.advance(Duration::from_secs(day * 24 * 60 * 60));
        for &(scope, times) in calls {
            let token = oauth.token(&ScopeSet::from(scope.clone())).await?;
            for _ in 0..times {
                let request = http.get(emulator.url(&format!("/{}", scope.path()))).header(HOST, scope.host());
                request.bearer_auth(token.expose()).send().await?.error_for_status()?;
            }
        }
    }
    usage(&oauth, emulator.clock().now()).await?;
    println!("spent  {} EUR", before.amount() - oauth.credit().await?.amount());
    Ok(())
}
