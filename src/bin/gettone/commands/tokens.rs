//! `openapi tokens`: tokens are secrets and their own ids, so that commands name them by a short id.

pub mod delete;

use std::collections::BTreeMap;
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use clap::{Args, Subcommand};
use gettone::openapi::{v1, v2};
use gettone::{AccessToken, Scope, ScopePattern, ScopeSet};
use serde::Serialize;

use crate::arguments::ApiVersion;
use crate::clients::Context;
use crate::commands::account::{Listed, all, cell, count, moment, oauth_v1, oauth_v2};
use crate::failure::Failure;
use crate::kept::{self, Kept};
use crate::output::{Report, Table};
use crate::times;

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
    #[command(after_help = "Example:\n  gettone openapi tokens list --scope GET:company.openapi.com/IT-start")]
    List(ListArguments),
    /// Show all that is known of one
    #[command(after_help = "Example:\n  gettone openapi tokens show 3f9a1c22b0")]
    Show(ShowArguments),
    /// Delete tokens: programs that use them fail from then on
    Delete(delete::Arguments),
}

#[derive(Debug, Args)]
struct ListArguments {
    /// List only tokens that are good for this scope
    #[arg(long, value_name = "SCOPE")]
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
    /// The limits that the token has. Version 1 has none.
    limits: BTreeMap<&'static str, String>,
    /// How much the token was used. Version 1 does not say.
    used: BTreeMap<&'static str, String>,
}

/// A token of the account, of either version.
pub struct Token {
    pub id: String,
    pub token: AccessToken,
    scopes: Option<ScopeSet>,
    expires_at: SystemTime,
    is_kept: bool,
    of_v2: Option<v2::Token>,
}

/// Returns the short id of a token.
pub fn short_id(token: &AccessToken) -> String {
    digest(&SHA256, token.expose().as_bytes()).as_ref().iter().take(5).map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the scopes that a list of the service has, also those that are patterns.
fn granted(scopes: &gettone::ScopeList) -> ScopeSet {
    let patterns = scopes.unrecognized().iter().filter_map(|text| text.parse::<ScopePattern>().ok());
    scopes.iter().cloned().map(ScopePattern::from).chain(patterns).collect()
}

impl From<v1::Token> for Token {
    fn from(token: v1::Token) -> Self {
        let (scopes, expires_at) = (Some(granted(token.scopes())), token.expires_at());
        let token = token.token().clone();
        Self { id: short_id(&token), token, scopes, expires_at, is_kept: false, of_v2: None }
    }
}

impl From<v2::Token> for Token {
    fn from(of_v2: v2::Token) -> Self {
        let (token, scopes, expires_at) = (of_v2.token().clone(), of_v2.scopes().map(granted), of_v2.expires_at());
        Self { id: short_id(&token), token, scopes, expires_at, is_kept: false, of_v2: Some(of_v2) }
    }
}

impl Token {
    fn name(&self) -> Option<&str> {
        self.of_v2.as_ref().and_then(v2::Token::name)
    }

    fn to_json(&self, is_shown: bool) -> TokenJson {
        let scopes = self.scopes.as_ref().map(|scopes| scopes.iter().map(ToString::to_string).collect());
        TokenJson {
            id: self.id.clone(),
            name: self.name().map(str::to_owned),
            scopes,
            created_at: self.of_v2.as_ref().and_then(|token| moment(token.created_at())),
            expires_at: times::utc(self.expires_at),
            is_kept: self.is_kept,
            token: is_shown.then(|| self.token.expose().to_owned()),
        }
    }

    fn detail(&self, is_shown: bool) -> TokenDetail {
        let (mut limits, mut used) = (BTreeMap::new(), BTreeMap::new());
        if let Some(token) = &self.of_v2 {
            let (limit, stats) = (token.limits(), token.stats());
            let ip = Some(limit.allowed_ips().join(" ")).filter(|addresses| !addresses.is_empty());
            limits.extend(known([
                ("total_requests", limit.max_total_requests().limited().map(|limit| limit.to_string())),
                ("wallet_requests", limit.max_wallet_requests().limited().map(|limit| limit.to_string())),
                ("subscription_requests", limit.max_subscription_requests().limited().map(|limit| limit.to_string())),
                ("wallet_amount", limit.max_wallet_amount().limited().map(|limit| limit.to_string())),
                ("addresses", ip),
            ]));
            used.extend(known([
                ("total_requests", stats.total_requests().map(|requests| requests.to_string())),
                ("wallet_requests", stats.wallet_requests().map(|requests| requests.to_string())),
                ("subscription_requests", stats.subscription_requests().map(|requests| requests.to_string())),
                ("error_requests", stats.error_requests().map(|requests| requests.to_string())),
                ("wallet_amount", stats.wallet_amount().map(|amount| amount.to_string())),
            ]));
        }
        TokenDetail { token: self.to_json(is_shown), limits, used }
    }
}

fn known(
    fields: impl IntoIterator<Item = (&'static str, Option<String>)>,
) -> impl Iterator<Item = (&'static str, String)> {
    fields.into_iter().filter_map(|(name, value)| Some((name, value?)))
}

/// The account's tokens, of either version.
pub enum Account {
    V1(v1::Oauth),
    V2(v2::Oauth),
}

impl Account {
    pub async fn open(version: ApiVersion, context: &Context) -> Result<Self, Failure> {
        match version {
            ApiVersion::V1 => oauth_v1(context).await.map(Self::V1),
            ApiVersion::V2 => oauth_v2(context).await.map(Self::V2),
        }
    }

    pub async fn tokens(&self, context: &Context) -> Result<Listed<Token>, Failure> {
        let mut listed: Listed<Token> = match self {
            Self::V1(oauth) => {
                let tokens = oauth.list_tokens().await?;
                let unreadable = tokens.unrecognized().len();
                Listed::new(tokens.into_iter().map(Token::from).collect(), unreadable, context)
            }
            Self::V2(oauth) => {
                let Listed { entries, unreadable } = all(oauth.stream_tokens(), None, context).await?;
                Listed { entries: entries.into_iter().map(Token::from).collect(), unreadable }
            }
        };
        let kept = kept(context).await;
        for token in &mut listed.entries {
            token.is_kept = kept.iter().any(|kept| is_same(kept, &token.token));
        }
        Ok(listed)
    }

    pub async fn delete(&self, token: &AccessToken) -> Result<(), gettone::Error> {
        match self {
            Self::V1(oauth) => oauth.delete_token(token).await,
            Self::V2(oauth) => oauth.delete_token(token).await,
        }
    }
}

/// Returns what the token file has. If it cannot be read, that does not keep anybody from seeing and deleting tokens.
pub async fn kept(context: &Context) -> Vec<Kept> {
    kept::tokens(&context.settings.store).await.unwrap_or_else(|failure| {
        context.output.warn(&format!("which tokens are kept here is not known: {failure}"));
        Vec::new()
    })
}

pub fn is_same(kept: &Kept, token: &AccessToken) -> bool {
    kept.token.as_ref().is_some_and(|kept| kept.expose() == token.expose())
}

/// How many digits a short id has, and how many of them say which one is meant at least.
const DIGITS: std::ops::RangeInclusive<usize> = 4..=10;

/// Checks the form of a short id. An error never shows the text, which may be a token by mistake.
fn check(text: &str, number: usize) -> Result<(), Failure> {
    if DIGITS.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "argument {number} is not a short id, which has 4 to 10 hexadecimal digits; `gettone openapi tokens` shows it. If it is a token: \
         other users can read the arguments of a program, so name it by its short id, or delete it with `-` and the token on stdin"
    )))
}

/// Returns the place in the list of the token whose short id begins so.
fn find(tokens: &[Token], text: &str) -> Result<usize, Failure> {
    let text = text.to_ascii_lowercase();
    let mut found = tokens.iter().enumerate().filter(|(_, token)| token.id.starts_with(&text));
    match (found.next(), found.next()) {
        (Some((place, _)), None) => Ok(place),
        (None, _) => Err(Failure::other(format!(
            "no token of the account has the short id {text}; `gettone openapi tokens` lists them. The sandbox, production and the two \
             versions have different tokens"
        ))),
        _ => {
            let ids = tokens.iter().filter(|token| token.id.starts_with(&text)).map(|token| token.id.as_str());
            let ids = ids.collect::<Vec<_>>().join(", ");
            Err(Failure::usage(format!("{text} is the beginning of several short ids: {ids}; write more of it")))
        }
    }
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
    let json = Tokens { tokens: tokens.map(|token| token.to_json(is_shown)), unreadable: tokens.unreadable };
    Ok(Report::table(table, &json).with_note(count(json.tokens.len(), "token")))
}

async fn show(arguments: &ShowArguments, version: ApiVersion, context: &Context) -> Result<Report, Failure> {
    // Before anything is requested.
    check(&arguments.id, 1)?;
    let mut tokens = Account::open(version, context).await?.tokens(context).await?.entries;
    let token = tokens.swap_remove(find(&tokens, &arguments.id)?);
    let json = token.detail(arguments.show_tokens);
    let fields = [
        ("id", Some(json.token.id.clone())),
        ("name", json.token.name.clone()),
        ("created", json.token.created_at.clone()),
        ("expires", Some(json.token.expires_at.clone())),
        ("kept here", Some(if json.token.is_kept { "yes" } else { "no" }.to_owned())),
        ("token", json.token.token.clone()),
    ];
    let scopes = json.token.scopes.iter().flatten().map(|scope| ("scope", Some(scope.clone())));
    let pairs = |pairs: &BTreeMap<&'static str, String>| {
        let pairs = pairs.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ");
        Some(pairs).filter(|pairs| !pairs.is_empty())
    };
    let rest = [("limits", pairs(&json.limits)), ("used", pairs(&json.used))];
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
