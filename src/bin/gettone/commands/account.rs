//! What an account of Openapi.it has, and what it did: `openapi tokens`, `scopes`, `wallet`, `stats` and the like.

pub mod logs;
pub mod scopes;
pub mod stats;
pub mod subscriptions;
pub mod wallet;

use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::pin::Pin;

use clap::{Args, Subcommand};
use futures_core::Stream;
use gettone::openapi::{Decimal, v1, v2};
use gettone::{Error, Scope};

use crate::arguments::{ApiVersion, single_scope};
use crate::clients::Context;
use crate::commands::tokens;
use crate::failure::Failure;
use crate::output::Report;
use crate::times;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the account's tokens, show one, or delete some
    Tokens(tokens::Arguments),
    /// List what the account can call, or which scopes patterns cover
    Scopes(scopes::Arguments),
    /// Show the credit, and what it was spent on
    #[command(visible_alias = "credit")]
    Wallet(wallet::Arguments),
    /// Show how much the account called and paid (version 2)
    Stats(stats::StatsArguments),
    /// Show how much the account called, by scope (version 1)
    Counters(stats::CountersArguments),
    /// List failed calls (version 2)
    Errors(logs::ErrorsArguments),
    /// List deliveries to the account's URLs, or show one (version 2)
    Callbacks(logs::CallbacksArguments),
    /// List subscriptions, or show one (version 2)
    Subscriptions(subscriptions::Arguments),
}

/// Runs a command.
pub async fn run(command: &Command, version: ApiVersion, context: &Context) -> Result<Report, Failure> {
    match command {
        Command::Tokens(arguments) => tokens::run(arguments, version, context).await,
        Command::Scopes(arguments) => scopes::run(arguments, version, context).await,
        Command::Wallet(arguments) => wallet::run(arguments, version, context).await,
        Command::Stats(arguments) => stats::stats(arguments, version, context).await,
        Command::Counters(arguments) => stats::counters(arguments, version, context).await,
        Command::Errors(arguments) => logs::errors(arguments, version, context).await,
        Command::Callbacks(arguments) => logs::callbacks(arguments, version, context).await,
        Command::Subscriptions(arguments) => subscriptions::run(arguments, version, context).await,
    }
}

/// Which entries of a list to show.
#[derive(Debug, Args)]
pub struct Selected {
    /// Show only entries of this scope; may be repeated
    #[arg(long = "scope", value_name = "SCOPE", value_parser = single_scope)]
    pub scopes: Vec<Scope>,

    /// Show at most this many entries [default: all]
    #[arg(long, value_name = "NUMBER")]
    pub limit: Option<NonZeroUsize>,
}

/// Returns a client of version 2. Fails for a command that version 1 does not have.
async fn only_v2(command: &str, version: ApiVersion, context: &Context) -> Result<v2::Oauth, Failure> {
    if version == ApiVersion::V1 {
        let instead = match command {
            "stats" => "; use `gettone openapi counters --api-version 1`".to_owned(),
            _ => format!("; use `gettone openapi {command} --api-version 2`"),
        };
        return Err(Failure::usage(format!("version 1 of Openapi.it's Oauth has no command `{command}`{instead}")));
    }
    oauth_v2(context).await
}

pub async fn oauth_v1(context: &Context) -> Result<v1::Oauth, Failure> {
    Ok(context.openapi_v1(context.environment()).await?.build()?)
}

pub async fn oauth_v2(context: &Context) -> Result<v2::Oauth, Failure> {
    Ok(context.openapi_v2(context.environment()).await?.build()?)
}

/// Entries of a list, and how many more there are that the client cannot read.
pub struct Listed<T> {
    pub entries: Vec<T>,
    pub unreadable: usize,
}

impl<T> Listed<T> {
    /// Warns of entries that cannot be read.
    pub fn new(entries: Vec<T>, unreadable: usize, context: &Context) -> Self {
        if unreadable > 0 {
            context.output.warn(&format!("entries of the list that cannot be read, and are not shown: {unreadable}"));
        }
        Self { entries, unreadable }
    }

    pub fn map<U>(&self, change: impl Fn(&T) -> U) -> Vec<U> {
        self.entries.iter().map(change).collect()
    }
}

/// Requests page after page of a list, until there are as many entries as wanted.
pub async fn all<T>(
    mut list: v2::Entries<T>,
    limit: Option<NonZeroUsize>,
    context: &Context,
) -> Result<Listed<T>, Failure>
where
    v2::Entries<T>: Stream<Item = Result<T, Error>> + Unpin,
{
    let mut entries = Vec::new();
    while limit.is_none_or(|limit| entries.len() < limit.get()) {
        match poll_fn(|task| Pin::new(&mut list).poll_next(task)).await {
            Some(entry) => entries.push(entry?),
            None => break,
        }
    }
    Ok(Listed::new(entries, list.unrecognized().len(), context))
}

/// Returns an amount in euro with two decimal places, or with up to four if it has more.
pub fn euro(amount: Decimal) -> String {
    let rounded = amount.round_dp(4).normalize();
    format!("{rounded:.*}", usize::try_from(rounded.scale().max(2)).unwrap_or(2))
}

/// Returns a value of a table. Empty if it is not known.
pub fn cell<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// Returns a number of things: `1 token`, `2 tokens`.
pub fn count(number: usize, what: &str) -> String {
    match (number, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        _ => format!("{number} {what}s"),
    }
}

/// Returns a time as `--json` and tables show it.
pub fn moment(time: Option<std::time::SystemTime>) -> Option<String> {
    time.map(times::utc)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_has_cents_and_more_if_the_service_sent_more() {
        for (amount, shown) in [
            ("0", "0.00"),
            ("100", "100.00"),
            ("423.380", "423.38"),
            ("-0.045", "-0.045"),
            ("0.00000000000119", "0.00"),
            ("-0.00000000000119", "0.00"),
            ("1.23456", "1.2346"),
        ] {
            assert_eq!(euro(amount.parse().unwrap()), shown);
        }
    }
}
