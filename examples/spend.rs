//! Shows what an account of Openapi.it has left, and what it is spent on: `cargo run --example spend --features emulator`
//!
//! It runs against the emulator, on this machine. With an account it only reads, which is free of charge: `-- --help`.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gettone::clock::{Clock, ManualClock, SystemClock};
use gettone::emulator::{EMAIL, Emulator, Limit, PRODUCTION_KEY};
use gettone::openapi::{Credentials, Decimal, Environment, Period, v2::Oauth};
use gettone::reqwest::{Client, header::HOST};
use gettone::{ScopeSet, same_origin};

/// Prints the wallet, the last payments, and what was billed most: for each scope, and for each day of the last week.
async fn spend(oauth: &Oauth, now: SystemTime) -> Result<(), Box<dyn Error>> {
    println!("\nwallet {:.3} EUR", oauth.wallet().await?.credit()); // exact: a decimal number, not a binary one

    let mut paid = BTreeMap::new();
    let mut transactions = oauth.stream_wallet_transactions(); // requests one page after the other
    while let Some(transaction) = transactions.next().await.transpose()? {
        let description = transaction.description().unwrap_or("other").to_owned();
        *paid.entry(description).or_insert(Decimal::ZERO) += transaction.amount();
    }
    println!("\n{:<36} {:>10}", "transactions", "EUR");
    paid.iter().for_each(|(description, sum)| println!("{description:<36} {sum:>10.3}"));

    let (month, mut rows) = (Period::month_containing(now)?, Vec::new());
    for (domain, _) in oauth.stats_apis(month).await? {
        for (scope, stats) in oauth.stats_api(&domain, month).await?.scopes() {
            let requests = stats.total_requests().unwrap_or_default();
            rows.push((Reverse(stats.wallet_amount().unwrap_or_default()), requests, scope.to_string()));
        }
    }
    rows.sort();
    println!("\n{:<36} {:>10} {:>8}", month.to_string(), "EUR", "requests");
    rows.iter().for_each(|(amount, requests, scope)| println!("{scope:<36} {:>10.3} {requests:>8}", amount.0));

    let (mut day, mut days) = (Some(Period::day_containing(now)?), Vec::new());
    while let Some(this) = day.filter(|_| days.len() < 7) {
        days.push((this, oauth.stats(this).await?.wallet_amount().unwrap_or_default()));
        day = this.previous();
    }
    let most = days.iter().map(|(_, amount)| *amount).max().unwrap_or_default();
    println!("\n{:<36} {:>10}", "day", "EUR");
    for (day, amount) in days.into_iter().rev() {
        println!("{day} {} {amount:>10.3}", bar(amount, most));
    }
    Ok(())
}

/// Draws a bar. That of the largest amount has the whole width.
fn bar(amount: Decimal, most: Decimal) -> String {
    let length = (amount * Decimal::from(25)).checked_div(most).unwrap_or_default().ceil();
    format!("{:<25}", "█".repeat(length.to_string().parse().unwrap_or_default()))
}

const HELP: &str = "\
What an account of Openapi.it has left, and what it is spent on: payments, scopes of this month, and days of the last week.

With the variables below it only reads, which is free of charge. Without them it runs against the emulator, on this machine.

Options:
  --production  talks to production; without it, to the sandbox
  -h, --help    prints this

Environment variables:
  OPENAPI_EMAIL, OPENAPI_API_KEY  the account's e-mail address and API key: the sandbox's, or with --production production's";

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
        spend(&oauth, SystemClock::default().now()).await
    } else {
        emulated().await
    }
}

/// SCAFFOLDING, not to copy: the emulator, a clock that the example moves, and a week of calls.
async fn emulated() -> Result<(), Box<dyn Error>> {
    println!("Openapi.it (emulated on this machine)");
    let (base, full, sms) =
        ("GET:imprese.openapi.it/base", "GET:imprese.openapi.it/IT-full", "GET:sms.openapi.com/root");
    let monday = SystemTime::UNIX_EPOCH + Duration::from_secs(1_792_411_200); // 19 October 2026, noon
    let clock = Arc::new(ManualClock::new(monday));
    let builder = Emulator::builder().clock(clock.clone()).price(Decimal::new(45, 3)); // 0.045 EUR
    let builder = builder.limit(base.parse()?, Limit::Calls(10)).subscription(sms.parse()?, 5);
    let emulator = builder.start().await?;
    let oauth = Oauth::builder(Credentials::new(EMAIL, PRODUCTION_KEY))
        .base_url(emulator.production_v2_url())
        .clock(clock.clone())
        .build()?;
    let http = Client::builder().no_proxy().redirect(same_origin()).build()?;
    let calls = [(0, base, 12), (1, base, 4), (0, full, 5), (1, sms, 7), (2, base, 9), (1, full, 1), (1, base, 2)];
    for (days_later, scope, calls) in calls {
        clock.advance(Duration::from_secs(days_later * 24 * 60 * 60));
        let token = oauth.token(&ScopeSet::parse([scope])?).await?;
        let (_, host_and_path) = scope.split_once(':').unwrap_or_default();
        let (host, path) = host_and_path.split_once('/').unwrap_or_default();
        for _call in 0..calls {
            let request = http.get(emulator.url(&format!("/{path}"))).header(HOST, host);
            request.bearer_auth(token.expose()).send().await?.error_for_status()?;
        }
    }
    spend(&oauth, clock.now()).await
}
