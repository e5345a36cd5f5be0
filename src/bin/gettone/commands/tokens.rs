//! `openapi tokens`: tokens are secrets and their own ids, so that commands name them by a short id.

mod account;
pub mod delete;

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use gettone::openapi::v2::{Stats, TokenLimits};
use gettone::{Scope, ScopePattern, ScopeSet};
use serde::Serialize;

use crate::arguments::{ApiVersion, single_scope};
use crate::clients::Context;
use crate::commands::account::{cell, count, moment};
use crate::failure::Failure;
use crate::output::{Report, Table};
use crate::times;
use account::{Account, Token, check, find};

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    list: ListArguments,

    /// Catches a token in the place of a command. An error of the parser would show it
    #[arg(hide = true)]
    other: Option<String>,
}

const EXAMPLES: &str = "\
A token is a secret, so commands name it by a short id: the first ten
hexadecimal digits of its SHA-256.

Examples:
  gettone openapi tokens
  gettone openapi tokens delete 3f9a1c22b0";

#[derive(Debug, Subcommand)]
enum Command {
    /// List the account's tokens [default]
    #[command(after_help = "Example:\n  gettone openapi tokens list --scope GET:imprese.openapi.it/base")]
    List(ListArguments),
    /// Show a token in detail
    #[command(after_help = "Example:\n  gettone openapi tokens show 3f9a1c22b0")]
    Show(ShowArguments),
    /// Delete tokens: programs that use them fail from then on
    Delete(delete::Arguments),
}

#[derive(Debug, Args)]
struct ListArguments {
    /// List only tokens that are good for this scope
    #[arg(long, value_name = "SCOPE", value_parser = single_scope)]
    scope: Option<Scope>,

    /// Show the tokens themselves
    #[arg(long)]
    show_tokens: bool,
}

#[derive(Debug, Args)]
struct ShowArguments {
    /// The short id, or its beginning
    id: String,

    /// Show the token itself
    #[arg(long)]
    show_tokens: bool,
}

/// The JSON of `tokens list`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Tokens {
    tokens: Vec<TokenJson>,
    /// How many more there are that cannot be read.
    unreadable: usize,
}

/// A token of the account.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct TokenJson {
    /// The short id: ten hexadecimal digits.
    id: String,
    /// The label. Version 1 has none.
    name: Option<String>,
    /// What the token is good for. `null` if the service does not say.
    scopes: Option<Vec<String>>,
    created_at: Option<String>,
    expires_at: String,
    /// Whether the token file of this machine has it.
    is_kept: bool,
    /// The token itself, with `--show-tokens`.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

/// The JSON of `tokens show`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct TokenDetail {
    #[serde(flatten)]
    token: TokenJson,
    updated_at: Option<String>,
    /// `null` in version 1, which has none.
    limits: Option<Limits>,
    /// `null` in version 1, which does not say.
    used: Option<Used>,
}

/// The limits of a token. `null` where it has none.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
struct Limits {
    total_requests: Option<u64>,
    wallet_requests: Option<u64>,
    subscription_requests: Option<u64>,
    /// In euro.
    wallet_amount: Option<String>,
    /// The addresses that may call. Empty: all.
    addresses: Vec<String>,
}

/// How much a token was used. `null` where the service does not say.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
struct Used {
    total_requests: Option<u64>,
    wallet_requests: Option<u64>,
    subscription_requests: Option<u64>,
    error_requests: Option<u64>,
    /// In euro.
    wallet_amount: Option<String>,
}

impl TokenJson {
    fn of(token: &Token, is_shown: bool) -> Self {
        let scopes = token.scopes.as_ref().map(|scopes| scopes.iter().map(ToString::to_string).collect());
        Self {
            id: token.id.clone(),
            name: token.name().map(str::to_owned),
            scopes,
            created_at: token.of_v2.as_ref().and_then(|token| moment(token.created_at())),
            expires_at: times::utc(token.expires_at),
            is_kept: token.is_kept,
            token: is_shown.then(|| token.token.expose().to_owned()),
        }
    }
}

impl TokenDetail {
    fn of(token: &Token, is_shown: bool) -> Self {
        let of_v2 = token.of_v2.as_ref();
        Self {
            token: TokenJson::of(token, is_shown),
            updated_at: of_v2.and_then(|token| moment(token.updated_at())),
            limits: of_v2.map(|token| Limits::of(token.limits())),
            used: of_v2.map(|token| Used::of(token.stats())),
        }
    }
}

impl Limits {
    fn of(limits: &TokenLimits) -> Self {
        Self {
            total_requests: limits.max_total_requests().limited(),
            wallet_requests: limits.max_wallet_requests().limited(),
            subscription_requests: limits.max_subscription_requests().limited(),
            wallet_amount: limits.max_wallet_amount().limited().map(|amount| amount.to_string()),
            addresses: limits.allowed_ips().to_vec(),
        }
    }

    fn text(&self) -> Option<String> {
        let addresses = self.addresses.iter().map(|address| format!("only from {address}"));
        let limits = [
            self.total_requests.map(|limit| format!("{limit} requests")),
            self.wallet_requests.map(|limit| format!("{limit} paid requests")),
            self.subscription_requests.map(|limit| format!("{limit} requests of subscriptions")),
            self.wallet_amount.as_ref().map(|limit| format!("{limit} EUR")),
        ];
        joined(limits.into_iter().flatten().chain(addresses))
    }
}

impl Used {
    fn of(stats: &Stats) -> Self {
        Self {
            total_requests: stats.total_requests(),
            wallet_requests: stats.wallet_requests(),
            subscription_requests: stats.subscription_requests(),
            error_requests: stats.error_requests(),
            wallet_amount: stats.wallet_amount().map(|amount| amount.to_string()),
        }
    }

    fn text(&self) -> Option<String> {
        let used = [
            self.total_requests.map(|requests| format!("{requests} requests")),
            self.error_requests.map(|requests| format!("{requests} of them failed")),
            self.wallet_amount.as_ref().map(|amount| format!("{amount} EUR")),
        ];
        joined(used.into_iter().flatten())
    }
}

fn joined(texts: impl Iterator<Item = String>) -> Option<String> {
    Some(texts.collect::<Vec<_>>().join(", ")).filter(|text| !text.is_empty())
}

pub async fn run(arguments: &Arguments, version: ApiVersion, context: &Context) -> Result<Report, Failure> {
    let ListArguments { scope, show_tokens } = &arguments.list;
    match &arguments.command {
        Some(_) if scope.is_some() || *show_tokens => {
            Err(Failure::usage("--scope and --show-tokens belong behind `list` or `show`, not before it"))
        }
        None if arguments.other.is_some() => Err(Failure::usage(
            "expected `list`, `show` or `delete` after `tokens`; see `gettone openapi tokens --help`",
        )),
        None => list(&arguments.list, version, context).await,
        Some(Command::List(arguments)) => list(arguments, version, context).await,
        Some(Command::Show(arguments)) => show(arguments, version, context).await,
        Some(Command::Delete(arguments)) => delete::run(arguments, version, context).await,
    }
}

async fn list(arguments: &ListArguments, version: ApiVersion, context: &Context) -> Result<Report, Failure> {
    let mut tokens = Account::open(version, context).await?.tokens(context).await?;
    if let Some(scope) = &arguments.scope {
        tokens.entries.retain(|token| token.scopes.as_ref().is_some_and(|scopes| scopes.covers(scope)));
    }
    let is_shown = arguments.show_tokens;
    let row = |token: &Token| {
        let kept = if token.is_kept { "here" } else { "" };
        let scopes = token.scopes.as_ref().map(shortened);
        [token.id.clone(), times::utc(token.expires_at), kept.to_owned(), cell(scopes), cell(token.name())]
    };
    let table = if is_shown {
        Table::of(["ID", "EXPIRES", "KEPT", "SCOPES", "NAME", "TOKEN"], &tokens.entries, |token| {
            let [id, expires, kept, scopes, name] = row(token);
            [id, expires, kept, scopes, name, token.token.expose().to_owned()]
        })
    } else {
        Table::of(["ID", "EXPIRES", "KEPT", "SCOPES", "NAME"], &tokens.entries, row)
    };
    let json = Tokens { tokens: tokens.map(|token| TokenJson::of(token, is_shown)), unreadable: tokens.unreadable };
    Ok(Report::table(table, &json).with_note(count(json.tokens.len(), "token")))
}

async fn show(arguments: &ShowArguments, version: ApiVersion, context: &Context) -> Result<Report, Failure> {
    // Before anything is requested.
    check(&arguments.id, 1)?;
    let mut tokens = Account::open(version, context).await?.tokens(context).await?.entries;
    let token = tokens.swap_remove(find(&tokens, &arguments.id)?);
    let json = TokenDetail::of(&token, arguments.show_tokens);
    let fields = [
        ("id", Some(json.token.id.clone())),
        ("name", json.token.name.clone()),
        ("created", json.token.created_at.clone()),
        ("expires", Some(json.token.expires_at.clone())),
        ("kept here", Some(if json.token.is_kept { "yes" } else { "no" }.to_owned())),
        ("token", json.token.token.clone()),
    ];
    let scopes = json.token.scopes.iter().flatten().map(|scope| ("scope", Some(scope.clone())));
    let limits = json.limits.as_ref().and_then(Limits::text);
    let rest = [("limits", limits), ("used", json.used.as_ref().and_then(Used::text))];
    Ok(Report::table(Table::fields(fields.into_iter().chain(scopes).chain(rest)), &json))
}

/// Returns the scopes as a table shows them: for a host with several, the pattern that covers them, and how many they are.
fn shortened(scopes: &ScopeSet) -> String {
    const HOSTS: usize = 3;

    let mut by_host: BTreeMap<&str, Vec<&ScopePattern>> = BTreeMap::new();
    let scopes = ScopeSet::minimize(scopes.iter().cloned());
    scopes.iter().for_each(|scope| by_host.entry(scope.host()).or_default().push(scope));
    let count = by_host.len();
    let shown = by_host.into_iter().take(HOSTS).map(|(host, scopes)| match scopes.as_slice() {
        [scope] => scope.to_string(),
        [first, others @ ..] if others.iter().all(|scope| scope.method() == first.method()) => {
            let method = first.method().map_or("*", |method| method.as_str());
            format!("{method}:{host}/* ({})", scopes.len())
        }
        scopes => format!("*:{host}/* ({})", scopes.len()),
    });
    let mut shown: Vec<String> = shown.collect();
    if count > HOSTS {
        shown.push(format!("and {} hosts", count - HOSTS));
    }
    shown.join(", ")
}
