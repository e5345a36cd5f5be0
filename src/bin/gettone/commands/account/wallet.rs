//! `openapi wallet`.

use std::num::NonZeroUsize;

use clap::Args;
use serde::Serialize;

use super::{all, cell, count, euro, moment, oauth_v1, oauth_v2};
use crate::arguments::ApiVersion;
use crate::clients::Context;
use crate::failure::Failure;
use crate::output::{Report, Table};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gettone openapi wallet
  gettone openapi wallet --transactions --limit 20")]
pub struct Arguments {
    /// List payments from the wallet and into it (version 2)
    #[arg(long)]
    transactions: bool,

    /// List at most this many [default: all]
    #[arg(long, value_name = "NUMBER", requires = "transactions")]
    limit: Option<NonZeroUsize>,
}

/// The JSON of `wallet`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Wallet {
    /// The credit in euro, as a decimal number.
    credit: String,
    /// When the wallet was created. Version 1 does not say.
    created_at: Option<String>,
    /// When the wallet changed last. Version 1 does not say.
    updated_at: Option<String>,
    /// The payments, with `--transactions`.
    #[serde(skip_serializing_if = "Option::is_none")]
    transactions: Option<Vec<Transaction>>,
}

/// A payment.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Transaction {
    id: String,
    created_at: Option<String>,
    /// The amount in euro, negative if it was spent.
    amount: String,
    description: Option<String>,
}

pub async fn run(arguments: &Arguments, version: ApiVersion, context: &Context) -> Result<Report, Failure> {
    if version == ApiVersion::V1 {
        return credit(arguments, context).await;
    }
    let oauth = oauth_v2(context).await?;
    let wallet = oauth.wallet().await?;
    let credit = euro(wallet.credit());
    let mut json = Wallet {
        credit: wallet.credit().to_string(),
        created_at: moment(wallet.created_at()),
        updated_at: moment(wallet.updated_at()),
        transactions: None,
    };
    if !arguments.transactions {
        return Ok(Report::table(table(&credit, json.updated_at.clone()), &json));
    }
    let transactions = all(oauth.stream_wallet_transactions(), arguments.limit, context).await?;
    let table = Table::of(["TIME", "EUR", "DESCRIPTION"], &transactions.entries, |transaction| {
        let (time, description) = (cell(moment(transaction.created_at())), cell(transaction.description()));
        [time, euro(transaction.amount()), description]
    });
    json.transactions = Some(transactions.map(|transaction| Transaction {
        id: transaction.id().to_owned(),
        created_at: moment(transaction.created_at()),
        amount: transaction.amount().to_string(),
        description: transaction.description().map(str::to_owned),
    }));
    Ok(Report::table(table, &json)
        .with_note(format!("{}, credit {credit} EUR", count(transactions.entries.len(), "transaction"))))
}

async fn credit(arguments: &Arguments, context: &Context) -> Result<Report, Failure> {
    if arguments.transactions {
        return Err(Failure::usage(
            "version 1 of Openapi.it's Oauth has no transactions; use `gettone openapi wallet --transactions --api-version 2`",
        ));
    }
    let amount = oauth_v1(context).await?.credit().await?.amount();
    let json = Wallet { credit: amount.to_string(), created_at: None, updated_at: None, transactions: None };
    Ok(Report::table(table(&euro(amount), None), &json))
}

fn table(credit: &str, updated_at: Option<String>) -> Table {
    Table::of(["CREDIT (EUR)", "UPDATED"], &[()], |()| [credit.to_owned(), cell(updated_at.clone())])
}
