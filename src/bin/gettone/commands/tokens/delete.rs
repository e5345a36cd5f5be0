//! `openapi tokens delete`.

use std::collections::BTreeSet;
use std::io::{self, BufRead, IsTerminal, Read};
use std::sync::atomic::Ordering;

use clap::Args;
use gettone::AccessToken;
use gettone::store::{Locked, StoreError, StoredToken, TokenStore};
use serde::Serialize;

use super::account::{Account, check, find, is_record_of, is_same, kept, short_id};
use crate::arguments::ApiVersion;
use crate::clients::Context;
use crate::commands::account::{Listed, count};
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
    /// Short ids, or their beginnings; `-` reads tokens from stdin, one per line
    #[arg(value_name = "ID", required_unless_present = "all")]
    ids: Vec<String>,

    /// Delete all tokens of the account, also those of other programs
    #[arg(long, conflicts_with = "ids")]
    all: bool,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// The longest list of tokens on stdin.
const MAX_LENGTH: u64 = 1 << 20;

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
        return Err(Failure::usage("there is no terminal to ask at; add --yes to delete the tokens"));
    }
    let account = Account::open(version, context).await?;
    let (tokens, unreadable) = if from_stdin { (on_stdin, 0) } else { chosen(arguments, &account, context).await? };
    if !arguments.yes && !tokens.is_empty() {
        confirm(&tokens, context).await?;
    }
    let report = delete(&tokens, &account, context).await?;
    if arguments.all && unreadable > 0 {
        let failure = Failure::other(format!("not deleted, as they cannot be read: {}", count(unreadable, "token")));
        return Err(context.after_what_was_done(failure));
    }
    Ok(report)
}

/// Returns the tokens of the account that the arguments name, and how many of the account's cannot be read.
async fn chosen(
    arguments: &Arguments,
    account: &Account,
    context: &Context,
) -> Result<(Vec<AccessToken>, usize), Failure> {
    let Listed { entries, unreadable } = account.tokens(context).await?;
    let places = arguments.ids.iter().map(|id| find(&entries, id)).collect::<Result<BTreeSet<usize>, Failure>>()?;
    let is_chosen = |place: &usize| arguments.all || places.contains(place);
    let chosen = entries.into_iter().enumerate().filter(|(place, _)| is_chosen(place));
    Ok((chosen.map(|(_, token)| token.token).collect(), unreadable))
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
        io::stdin().lock().take(MAX_LENGTH + 1).read_to_string(&mut text).map(|_| text)
    });
    let text = read
        .await
        .map_err(io::Error::from)
        .flatten()
        .map_err(|error| Failure::other(format!("cannot read tokens from stdin: {error}")))?;
    if text.len() as u64 > MAX_LENGTH {
        return Err(Failure::usage("stdin has more than 1 MiB; delete fewer tokens at once"));
    }
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
        // Forgets the token first: otherwise `openapi token` would print a deleted token if this program ended in between.
        let mut forgotten = Vec::new();
        for record in kept.iter().filter(|kept| is_same(kept, token)) {
            match forget(&record.name, token, context).await {
                Ok(removed) => forgotten.extend(removed.map(|removed| (&record.name, removed))),
                Err(reason) => {
                    context.output.warn(&format!("a token that is to be deleted is still kept here: {reason}"));
                }
            }
        }
        if let Err(error) = account.delete(token).await {
            if !error.is_ambiguous() {
                for (name, stored) in &forgotten {
                    restore(name, stored, context).await;
                }
            }
            return Err(context.after_what_was_done(Failure::from(error).during(format!("cannot delete {id}"))));
        }
        context.note_deleted(id);
    }
    let deleted = context.deleted();
    let table = Table::of(["DELETED"], &deleted, |id| [id.clone()]);
    Ok(Report::table(table, &Deleted { deleted }))
}

/// Removes a token from the store, and returns its record. Leaves a record that another program has replaced.
async fn forget(name: &str, token: &AccessToken, context: &Context) -> Result<Option<StoredToken>, String> {
    let store = context.store().await.map_err(|failure| failure.to_string())?;
    let said = |error: StoreError| error.to_string();
    let Some(record) = store.load(name).await.map_err(said)? else { return Ok(None) };
    let Some(stored) = record.token().ok().filter(|stored| is_record_of(stored, token)).cloned() else {
        return Ok(None);
    };
    match store.lock(name, Some(record.version())).await.map_err(said)? {
        Locked::Held(lock) => {
            let removed = store.remove(name).await.map_err(said);
            drop(lock);
            removed.map(|()| Some(stored))
        }
        Locked::Changed => Ok(None),
        _ => Err("another program refreshes it".to_owned()),
    }
}

/// Puts a record back whose token was not deleted after all. If that fails, the next call requests a token.
async fn restore(name: &str, stored: &StoredToken, context: &Context) {
    if let Ok(store) = context.store().await {
        let _ = store.replace(name, None, stored).await;
    }
}
