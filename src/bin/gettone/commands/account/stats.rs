//! `openapi stats` and `openapi counters`.

use std::cmp::Reverse;

use clap::{Args, ValueEnum};
use gettone::Scope;
use gettone::openapi::v1::{Counter, CounterLimit};
use gettone::openapi::v2::{Oauth, Stats};
use gettone::openapi::{Decimal, Period};
use serde::Serialize;

use super::{Listed, cell, euro, oauth_v1, only_v2};
use crate::arguments::ApiVersion;
use crate::clients::Context;
use crate::failure::Failure;
use crate::output::{Report, Table};

#[derive(Debug, Args)]
#[command(after_help = "\
Groups:
  total   the whole account
  domain  hosts that were called
  scope   endpoints that were called; one request for each domain
  day     days of a month, or months of a year; one request for each
  ip      addresses that called, without figures

At a terminal, bars show what was paid for most. The vendor does not say in
which time zone its days begin; `day`, `month` and `year` are those of UTC.

Examples:
  gettone openapi stats
  gettone openapi stats --by scope 2026-10
  gettone openapi stats --by day month")]
pub struct StatsArguments {
    #[command(flatten)]
    period: Chosen,

    /// Group by total, domain, scope, day or ip [default: total]
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, hide_default_value = true)]
    by: By,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  gettone openapi counters 2026-10 --api-version 1")]
pub struct CountersArguments {
    #[command(flatten)]
    period: Chosen,
}

#[derive(Debug, Args)]
struct Chosen {
    /// `day`, `month` or `year` (the current one), `total`, or a date such as 2026, 2026-10 or 2026-10-31
    #[arg(default_value = "month")]
    period: PeriodText,
}

/// A period, of which the current one may be meant.
#[derive(Debug, Clone, Copy)]
enum PeriodText {
    Current(fn(std::time::SystemTime) -> Result<Period, gettone::Error>),
    Exact(Period),
}

impl std::str::FromStr for PeriodText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let exact = || text.parse().map(Self::Exact);
        match text {
            "day" => Ok(Self::Current(Period::day_containing)),
            "month" => Ok(Self::Current(Period::month_containing)),
            "year" => Ok(Self::Current(Period::year_containing)),
            _ => exact().map_err(|error| format!("{error}; or `day`, `month` or `year` for the current one")),
        }
    }
}

impl Chosen {
    fn period(&self, context: &Context) -> Result<Period, Failure> {
        match self.period {
            PeriodText::Current(containing) => Ok(containing(context.clock.now())?),
            PeriodText::Exact(period) => Ok(period),
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
enum By {
    /// The account
    #[default]
    Total,
    /// Hosts that were called
    Domain,
    /// Endpoints that were called
    Scope,
    /// Days of a month, or months of a year
    Day,
    /// Addresses that called, without figures
    Ip,
}

/// The JSON of `stats`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct StatsJson {
    /// The period: `total`, a year, a month or a day.
    period: Period,
    by: By,
    entries: Vec<StatsEntry>,
}

/// Figures. `null` where the service does not say.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct StatsEntry {
    /// What they are of: `total`, or a domain, a scope, a period or an address.
    name: String,
    requests: Option<u64>,
    /// How many the wallet paid for.
    wallet_requests: Option<u64>,
    /// How many a subscription paid for.
    subscription_requests: Option<u64>,
    /// How many failed.
    error_requests: Option<u64>,
    /// How much the wallet paid, in euro.
    wallet_amount: Option<String>,
    #[serde(skip)]
    amount: Option<Decimal>,
}

impl StatsEntry {
    fn of(name: impl ToString, stats: &Stats) -> Self {
        Self {
            name: name.to_string(),
            requests: stats.total_requests(),
            wallet_requests: stats.wallet_requests(),
            subscription_requests: stats.subscription_requests(),
            error_requests: stats.error_requests(),
            wallet_amount: stats.wallet_amount().map(|amount| amount.to_string()),
            amount: stats.wallet_amount(),
        }
    }
}

pub async fn stats(arguments: &StatsArguments, version: ApiVersion, context: &Context) -> Result<Report, Failure> {
    let oauth = only_v2("stats", version, context).await?;
    let (by, period) = (arguments.by, arguments.period.period(context)?);
    let mut entries = match by {
        By::Total => vec![StatsEntry::of("total", &oauth.stats(period).await?)],
        By::Domain => oauth.stats_apis(period).await?.iter().map(|(name, stats)| StatsEntry::of(name, stats)).collect(),
        By::Scope => by_scope(&oauth, period).await?,
        By::Day => by_day(&oauth, period, context).await?,
        By::Ip => {
            let addresses = oauth.stats_ips(period).await?;
            addresses.into_iter().map(|address| StatsEntry::of(address, &Stats::default())).collect()
        }
    };
    if matches!(by, By::Domain | By::Scope) {
        entries.sort_by_cached_key(|entry| (Reverse(entry.amount), Reverse(entry.requests), entry.name.clone()));
    }
    let table = stats_table(by, &entries);
    Ok(Report::table(table, &StatsJson { period, by, entries }).with_note(period.to_string()))
}

async fn by_scope(oauth: &Oauth, period: Period) -> Result<Vec<StatsEntry>, Failure> {
    let mut entries = Vec::new();
    for (domain, _) in oauth.stats_apis(period).await? {
        let stats = oauth.stats_api(&domain, period).await?;
        entries.extend(stats.scopes().iter().map(|(scope, stats)| StatsEntry::of(scope, stats)));
    }
    Ok(entries)
}

/// Returns the figures of the parts of a period that have begun.
async fn by_day(oauth: &Oauth, period: Period, context: &Context) -> Result<Vec<StatsEntry>, Failure> {
    let today = Period::day_containing(context.clock.now())?.to_string();
    let name = period.to_string();
    let parts = (1..=31).map_while(|number| format!("{name}-{number:02}").parse::<Period>().ok());
    let parts: Vec<Period> = parts.filter(|part| part.to_string() <= today).collect();
    if name.len() > "2026-10".len() || period == Period::total() {
        return Err(Failure::usage(format!("--by day: {name} has no days to show; use a month or a year")));
    }
    let mut entries = Vec::new();
    for part in parts {
        entries.push(StatsEntry::of(part, &oauth.stats(part).await?));
    }
    Ok(entries)
}

fn stats_table(by: By, entries: &[StatsEntry]) -> Table {
    let name = match by {
        By::Ip => return Table::of(["ADDRESS"], entries, |entry| [entry.name.clone()]),
        By::Total => "",
        By::Domain => "DOMAIN",
        By::Scope => "SCOPE",
        By::Day => "PERIOD",
    };
    let header = [name, "REQUESTS", "PAID", "SUBSCRIBED", "FAILED", "EUR"];
    let table = Table::of(header, entries, |entry| {
        let figures = [entry.requests, entry.wallet_requests, entry.subscription_requests, entry.error_requests];
        let [requests, paid, subscribed, failed] = figures.map(cell);
        [entry.name.clone(), requests, paid, subscribed, failed, cell(entry.amount.map(euro))]
    });
    match by {
        By::Total => table,
        _ => table.with_bars(entries.iter().map(|entry| entry.amount.unwrap_or_default())),
    }
}

/// The JSON of `counters`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Counters {
    /// The period: `total`, a year, a month or a day.
    period: Period,
    counters: Vec<CounterJson>,
    /// How many more there are that cannot be read.
    unreadable: usize,
}

/// The calls of a scope.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct CounterJson {
    scope: Scope,
    requests: u64,
    /// How many of them are billed.
    paid: u64,
    /// How many requests are free: a number, `unlimited`, or `unknown`.
    limit: String,
}

impl CounterJson {
    fn of(scope: &Scope, counter: Counter) -> Self {
        let limit = match counter.limit() {
            CounterLimit::Limited(requests) => requests.to_string(),
            limit => limit.to_string(),
        };
        Self { scope: scope.clone(), requests: counter.requests(), paid: counter.paid(), limit }
    }
}

pub async fn counters(
    arguments: &CountersArguments,
    version: ApiVersion,
    context: &Context,
) -> Result<Report, Failure> {
    if version == ApiVersion::V2 {
        return Err(Failure::usage(
            "version 2 of Openapi.it's Oauth has no counters; use `gettone openapi stats --by scope`, or \
             `gettone openapi counters --api-version 1`",
        ));
    }
    let period = arguments.period.period(context)?;
    let counters = oauth_v1(context).await?.counters(period).await?;
    let entries = counters.iter().map(|(scope, counter)| CounterJson::of(scope, counter)).collect();
    let Listed { entries: mut counters, unreadable } = Listed::new(entries, counters.unrecognized().len(), context);
    counters.sort_by_cached_key(|entry| (Reverse(entry.paid), Reverse(entry.requests), entry.scope.clone()));
    let table = Table::of(["SCOPE", "REQUESTS", "BILLED", "FREE"], &counters, |entry| {
        [entry.scope.to_string(), entry.requests.to_string(), entry.paid.to_string(), entry.limit.clone()]
    });
    let table = table.with_bars(counters.iter().map(|entry| entry.paid.into()));
    Ok(Report::table(table, &Counters { period, counters, unreadable }).with_note(period.to_string()))
}
