//! `openapi tokens delete`.

use std::collections::BTreeSet;
use std::io::{self, BufRead, IsTerminal, Read};
use std::sync::atomic::Ordering;

use clap::Args;
use gettone::AccessToken;
use gettone::store::TokenStore;
use serde::Serialize;

use super::account::{Account, check, find, is_same, kept, short_id};
use crate::arguments::ApiVersion;
use crate::clients::Context;
use crate::commands::account::count;
use crate::failure::{Exit, Failure};
use crate::output::{IS_ASKING, Report, Table};

#[derive(Debug, Args)]
#[command(after_help = "\
It asks first at a terminal; elsewhere it needs --yes.

Examples:
  gettone openapi tokens delete 3f9a1c22b0
  gettone openapi tokens delete --all --sandbox --yes
  gettone openapi tokens delete - --yes < tokens.txt")]
pub struct Arguments {
    /// Short ids, or their beginnings; `-` reads tokens from stdin, one in a line
    #[arg(value_name = "ID", required_unless_present = "all")]
    ids: Vec<String>,

    /// Delete all tokens of the account, also those of other programs
    #[arg(long, conflicts_with = "ids")]
    all: bool,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// The JSON of `tokens delete`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Deleted {
    /// The short ids of the deleted tokens.
    deleted: Vec<String>,
}

pub async fn run(arguments: &Arguments, version: ApiVersion, context: &Context) -> Result<Report, Failure> {
    let from_stdin = arguments.ids.iter().any(|id| id == "-");
    // Before anything is requested.
    let on_stdin = if from_stdin { read(arguments, context).await? } else { Vec::new() };
    if !from_stdin {
        arguments.ids.iter().zip(1..).try_for_each(|(id, number)| check(id, number))?;
    }
    let may_ask = !context.settings.no_input && io::stdin().is_terminal() && io::stderr().is_terminal();
    if !arguments.yes && !may_ask {
        return Err(Failure::usage("deleting tokens needs --yes where nobody can be asked"));
    }
    let account = Account::open(version, context).await?;
    let tokens = if from_stdin { on_stdin } else { chosen(arguments, &account, context).await? };
    if !arguments.yes && !tokens.is_empty() {
        confirm(&tokens, context).await?;
    }
    delete(&tokens, &account, context).await
}

/// Returns the tokens of the account that the arguments name.
async fn chosen(arguments: &Arguments, account: &Account, context: &Context) -> Result<Vec<AccessToken>, Failure> {
    let tokens = account.tokens(context).await?.entries;
    if arguments.all {
        return Ok(tokens.into_iter().map(|token| token.token).collect());
    }
    let places = arguments.ids.iter().map(|id| find(&tokens, id)).collect::<Result<BTreeSet<usize>, Failure>>()?;
    Ok(tokens
        .into_iter()
        .enumerate()
        .filter(|(place, _)| places.contains(place))
        .map(|(_, token)| token.token)
        .collect())
}

/// Reads tokens from stdin.
async fn read(arguments: &Arguments, context: &Context) -> Result<Vec<AccessToken>, Failure> {
    if arguments.ids.len() > 1 {
        return Err(Failure::usage("`-` reads tokens from stdin; write it alone"));
    }
    if context.settings.credentials.as_ref().is_some_and(|profile| profile.name == "--credentials -") {
        return Err(Failure::usage("stdin cannot have both the credentials and the tokens; use --credentials FILE"));
    }
    let read = tokio::task::spawn_blocking(|| {
        let mut text = String::new();
        io::stdin().lock().take(1 << 20).read_to_string(&mut text).map(|_| text)
    });
    let text = read
        .await
        .map_err(io::Error::from)
        .flatten()
        .map_err(|error| Failure::other(format!("cannot read tokens from stdin: {error}")))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: BTreeSet<&str> = lines.collect();
    if lines.is_empty() {
        return Err(Failure::usage("stdin has no token; write one in each line"));
    }
    Ok(lines.into_iter().map(AccessToken::new).collect())
}

/// Asks a person.
async fn confirm(tokens: &[AccessToken], context: &Context) -> Result<(), Failure> {
    const NAMED: usize = 5;

    let ids = tokens.iter().take(NAMED).map(short_id).collect::<Vec<_>>().join(", ");
    let more = if tokens.len() > NAMED { ", ..." } else { "" };
    let (environment, tokens) = (context.environment(), count(tokens.len(), "token"));
    IS_ASKING.store(true, Ordering::Relaxed);
    eprint!("Delete {tokens} of {environment} ({ids}{more})? Programs that use them fail from then on. [y/N] ");
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    let answer = answer.await.map_err(io::Error::from).flatten();
    IS_ASKING.store(false, Ordering::Relaxed);
    let answer = answer.map_err(|error| Failure::other(format!("cannot read the answer: {error}")))?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::new(Exit::Failed, "deleted nothing")),
    }
}

async fn delete(tokens: &[AccessToken], account: &Account, context: &Context) -> Result<Report, Failure> {
    let kept = kept(context).await;
    for token in tokens {
        let id = short_id(token);
        if let Err(error) = account.delete(token).await {
            return Err(context.after_what_was_done(Failure::from(error).during(format!("cannot delete {id}"))));
        }
        context.note_deleted(id);
        // `openapi token` would go on printing it.
        for record in kept.iter().filter(|kept| is_same(kept, token)) {
            let removed = match context.store().await {
                Ok(store) => store.remove(&record.name).await.map_err(|error| error.to_string()),
                Err(failure) => Err(failure.to_string()),
            };
            if let Err(reason) = removed {
                context.output.warn(&format!("the deleted token is still kept here: {reason}"));
            }
        }
    }
    let deleted = context.deleted();
    let table = Table::of(["DELETED"], &deleted, |id| [id.clone()]);
    Ok(Report::table(table, &Deleted { deleted }))
}
