//! `openapi scopes`.

use std::collections::{BTreeMap, HashSet};

use clap::Args;
use gettone::openapi::v2::{Limit, ScopeDetail};
use gettone::{Scope, ScopePattern};
use serde::Serialize;

use super::subscriptions::yes;
use super::{Listed, cell, count, euro, oauth_v1, oauth_v2};
use crate::arguments::{ApiVersion, scope};
use crate::clients::Context;
use crate::failure::Failure;
use crate::output::{Report, Table};

#[derive(Debug, Args)]
#[command(after_help = "\
Version 1 lists only scopes that tokens were requested for.

Examples:
  gettone openapi scopes
  gettone openapi scopes '*:imprese.openapi.it/*' --prices")]
pub struct Arguments {
    /// Show only what these cover, such as '*:imprese.openapi.it/*'
    #[arg(value_name = "PATTERN", value_parser = scope::<ScopePattern>)]
    patterns: Vec<ScopePattern>,

    /// Show also what the account may not call (version 2)
    #[arg(long)]
    all: bool,

    /// Show prices and free requests: one request for each scope (version 2)
    #[arg(long)]
    prices: bool,
}

/// The JSON of `scopes`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Scopes {
    scopes: Vec<ScopeJson>,
    /// How many more there are that cannot be read.
    unreadable: usize,
}

/// A scope of the vendor's catalog.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct ScopeJson {
    scope: Scope,
    /// Whether the account may call it.
    is_enabled: bool,
    /// What it costs, with `--prices`.
    #[serde(skip_serializing_if = "Option::is_none")]
    terms: Option<Terms>,
    #[serde(skip)]
    id: Option<String>,
}

/// What a scope costs, and what it requires.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Terms {
    /// The prices of a request in euro, by the service's names.
    prices: BTreeMap<String, String>,
    /// How many requests are free in which period, `day`, `month`, `year` or `total`. `null`: no limit for that period.
    free_requests: BTreeMap<&'static str, Option<u64>>,
    rate_limit: Option<String>,
    /// What the account must have done before, and whether it has.
    requirements: BTreeMap<String, bool>,
    #[serde(skip)]
    shown_prices: String,
}

impl Terms {
    fn of(detail: &ScopeDetail) -> Self {
        let free = detail.free_limits();
        let free = [("day", free.day()), ("month", free.month()), ("year", free.year()), ("total", free.total())];
        let known = free.into_iter().filter(|(_, limit)| *limit != Limit::Unknown);
        let prices: Vec<String> = detail.prices().values().map(|price| euro(*price)).collect();
        Self {
            prices: detail.prices().iter().map(|(name, price)| (name.clone(), price.to_string())).collect(),
            free_requests: known.map(|(period, limit)| (period, limit.limited())).collect(),
            rate_limit: detail.rate_limit().limited().map(str::to_owned),
            requirements: detail.requirements().clone(),
            shown_prices: prices.join(", "),
        }
    }

    /// Returns the free requests as a table shows them: `30/month, 100/year`, `all` or `none`. All limits hold at once.
    fn free(&self) -> String {
        let limits: Vec<_> =
            self.free_requests.iter().filter_map(|(period, limit)| Some((period, (*limit)?))).collect();
        match limits.as_slice() {
            [] if self.free_requests.is_empty() => String::new(),
            [] => "all".to_owned(),
            limits if limits.iter().any(|(_, limit)| *limit == 0) => "none".to_owned(),
            limits => limits.iter().map(|(period, limit)| format!("{limit}/{period}")).collect::<Vec<_>>().join(", "),
        }
    }
}

pub async fn run(arguments: &Arguments, version: ApiVersion, context: &Context) -> Result<Report, Failure> {
    if version == ApiVersion::V1 && (arguments.all || arguments.prices) {
        return Err(Failure::usage(
            "version 1 of Openapi.it's Oauth lists only scopes that tokens were requested for, without prices; use \
             `gettone openapi scopes --api-version 2` with --all or --prices",
        ));
    }
    let scopes = match version {
        ApiVersion::V1 => listed_v1(arguments, context).await?,
        ApiVersion::V2 => listed_v2(arguments, context).await?,
    };
    for pattern in &arguments.patterns {
        if !scopes.entries.iter().any(|entry| pattern.covers(&entry.scope)) {
            context.output.warn(&format!("{pattern} covers none of the account's scopes"));
        }
    }
    let note = count(scopes.entries.len(), "scope");
    let json = Scopes { unreadable: scopes.unreadable, scopes: scopes.entries };
    Ok(Report::table(table(arguments, &json.scopes), &json).with_note(note))
}

fn is_wanted(scope: &Scope, arguments: &Arguments) -> bool {
    arguments.patterns.is_empty() || arguments.patterns.iter().any(|pattern| pattern.covers(scope))
}

async fn listed_v1(arguments: &Arguments, context: &Context) -> Result<Listed<ScopeJson>, Failure> {
    let scopes = oauth_v1(context).await?.list_scopes().await?;
    // The service repeats some.
    let mut seen = HashSet::new();
    let wanted = scopes.iter().filter(|scope| is_wanted(scope, arguments) && seen.insert(*scope));
    let entries =
        wanted.map(|scope| ScopeJson { scope: scope.clone(), is_enabled: true, terms: None, id: None }).collect();
    Ok(Listed::new(entries, scopes.unrecognized().len(), context))
}

async fn listed_v2(arguments: &Arguments, context: &Context) -> Result<Listed<ScopeJson>, Failure> {
    let oauth = oauth_v2(context).await?;
    let scopes = oauth.list_scopes().await?;
    let wanted = scopes.iter().filter(|entry| arguments.all || entry.is_enabled());
    let mut entries: Vec<ScopeJson> = wanted
        .filter(|entry| is_wanted(entry.scope(), arguments))
        .map(|entry| ScopeJson {
            scope: entry.scope().clone(),
            is_enabled: entry.is_enabled(),
            terms: None,
            id: entry.id().map(str::to_owned),
        })
        .collect();
    if arguments.prices {
        for entry in &mut entries {
            if let Some(id) = &entry.id {
                entry.terms = Some(Terms::of(&oauth.get_scope(id).await?));
            }
        }
    }
    Ok(Listed::new(entries, scopes.unrecognized().len(), context))
}

fn table(arguments: &Arguments, scopes: &[ScopeJson]) -> Table {
    let price = |entry: &ScopeJson| cell(entry.terms.as_ref().map(|terms| terms.shown_prices.clone()));
    let free = |entry: &ScopeJson| cell(entry.terms.as_ref().map(Terms::free));
    let (scope, enabled) = (|entry: &ScopeJson| entry.scope.to_string(), |entry: &ScopeJson| yes(entry.is_enabled));
    match (arguments.all, arguments.prices) {
        (false, false) => Table::of(["SCOPE"], scopes, |entry| [scope(entry)]),
        (true, false) => Table::of(["SCOPE", "ENABLED"], scopes, |entry| [scope(entry), enabled(entry)]),
        (false, true) => Table::of(["SCOPE", "EUR", "FREE"], scopes, |entry| [scope(entry), price(entry), free(entry)]),
        (true, true) => Table::of(["SCOPE", "ENABLED", "EUR", "FREE"], scopes, |entry| {
            [scope(entry), enabled(entry), price(entry), free(entry)]
        }),
    }
}
