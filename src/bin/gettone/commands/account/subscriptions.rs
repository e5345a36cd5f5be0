//! `openapi subscriptions`.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use gettone::openapi::v2::Subscription;
use serde::Serialize;

use super::{Selected, all, cell, count, euro, moment, only_v2};
use crate::arguments::ApiVersion;
use crate::clients::Context;
use crate::failure::Failure;
use crate::output::{Report, Table};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gettone openapi subscriptions
  gettone openapi subscriptions 61f2a9c0e4b0 --json")]
pub struct Arguments {
    /// Show this subscription in detail
    #[arg(value_parser = NonEmptyStringValueParser::new(), conflicts_with_all = ["scopes", "limit"])]
    id: Option<String>,

    #[command(flatten)]
    selected: Selected,
}

/// The JSON of `subscriptions`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Subscriptions {
    subscriptions: Vec<SubscriptionJson>,
    /// How many more there are that cannot be read.
    unreadable: usize,
}

/// A subscription. In a list, the service leaves some of it out.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct SubscriptionJson {
    id: String,
    scope: Option<String>,
    domain: Option<String>,
    is_active: Option<bool>,
    is_auto_renewed: Option<bool>,
    /// The type, such as `month`.
    kind: Option<String>,
    available_requests: Option<u64>,
    total_requests: Option<u64>,
    starts_at: Option<String>,
    expires_at: Option<String>,
    created_at: Option<String>,
    updated_at: Option<String>,
    /// The price in euro.
    price: Option<String>,
    price_per_request: Option<String>,
}

impl SubscriptionJson {
    fn of(subscription: &Subscription) -> Self {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Self {
            id: subscription.id().to_owned(),
            scope: text(subscription.scope()),
            domain: text(subscription.domain()),
            is_active: subscription.is_active(),
            is_auto_renewed: subscription.is_auto_renewed(),
            kind: text(subscription.kind()),
            available_requests: subscription.available_requests(),
            total_requests: subscription.total_requests(),
            starts_at: moment(subscription.starts_at()),
            expires_at: moment(subscription.expires_at()),
            created_at: moment(subscription.created_at()),
            updated_at: moment(subscription.updated_at()),
            price: subscription.price().map(|price| price.to_string()),
            price_per_request: subscription.price_per_request().map(|price| price.to_string()),
        }
    }
}

pub async fn run(arguments: &Arguments, version: ApiVersion, context: &Context) -> Result<Report, Failure> {
    let oauth = only_v2("subscriptions", version, context).await?;
    if let Some(id) = &arguments.id {
        return Ok(one(&oauth.get_subscription(id).await?));
    }
    let Selected { scopes, limit } = &arguments.selected;
    let subscriptions = all(oauth.stream_subscriptions(scopes), *limit, context).await?;
    let table = Table::of(["ID", "SCOPE", "ACTIVE", "LEFT", "EXPIRES"], &subscriptions.entries, |subscription| {
        let (id, scope) = (subscription.id().to_owned(), cell(subscription.scope()));
        let (is_active, left) = (cell(subscription.is_active().map(yes)), cell(subscription.available_requests()));
        [id, scope, is_active, left, cell(moment(subscription.expires_at()))]
    });
    let json =
        Subscriptions { subscriptions: subscriptions.map(SubscriptionJson::of), unreadable: subscriptions.unreadable };
    Ok(Report::table(table, &json).with_note(count(subscriptions.entries.len(), "subscription")))
}

fn one(subscription: &Subscription) -> Report {
    let json = SubscriptionJson::of(subscription);
    let number = |number: Option<u64>| number.map(|number| number.to_string());
    let table = Table::fields([
        ("id", Some(json.id.clone())),
        ("scope", json.scope.clone()),
        ("domain", json.domain.clone()),
        ("active", json.is_active.map(yes)),
        ("renews itself", json.is_auto_renewed.map(yes)),
        ("type", json.kind.clone()),
        ("requests left", number(json.available_requests)),
        ("requests in all", number(json.total_requests)),
        ("starts", json.starts_at.clone()),
        ("expires", json.expires_at.clone()),
        ("price (EUR)", subscription.price().map(euro)),
        ("per request (EUR)", subscription.price_per_request().map(euro)),
    ]);
    Report::table(table, &json)
}

/// Returns a flag as a table shows it.
pub fn yes(flag: bool) -> String {
    if flag { "yes" } else { "no" }.to_owned()
}
