//! `status`.

use std::time::SystemTime;

use gettone::reqwest::Url;
use serde::Serialize;

use crate::arguments::ApiVersion;
use crate::clients::Context;
use crate::commands::account::logs::without_secrets;
use crate::credentials::{self, Field, KELIWEB, OPENAPI_EMAIL, OPENAPI_KEY, OPENAPI_SANDBOX_KEY, variable};
use crate::failure::Failure;
use crate::kept::{self, Kept};
use crate::output::{Report, Table};
use crate::settings::StoreChoice;
use crate::times;

/// The result of `status`. No value of a credential is part of it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Status {
    pub environment: String,
    /// Where each service is called in this environment.
    pub addresses: Vec<Address>,
    pub credentials: Vec<Credential>,
    /// The store in force: `file`, `redis` or `none`.
    pub store: &'static str,
    /// The file, if it is one.
    pub file: Option<String>,
    /// The tokens in the file.
    pub tokens: Vec<StoredToken>,
}

/// Where a service is called.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Address {
    pub service: &'static str,
    /// What a variable or the profile names; `null` for the vendor's own address.
    pub url: Option<String>,
}

/// Where a credential comes from.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct Credential {
    pub service: &'static str,
    pub name: &'static str,
    /// The source in force; `null` if there is none.
    pub source: Option<String>,
}

/// A token in the store.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct StoredToken {
    /// Service, address, account, and what the token is for.
    pub name: String,
    pub expires_at: String,
    pub is_expired: bool,
    /// Until when an expired token can be refreshed.
    pub refreshed_until: Option<String>,
    /// What the token was granted.
    pub scopes: Option<Vec<String>>,
}

pub async fn run(context: &Context) -> Result<Report, Failure> {
    let settings = &context.settings;
    let now = context.clock.now();
    let (store, file) = match &settings.store {
        StoreChoice::File(path) => ("file", Some(path.display().to_string())),
        StoreChoice::Redis(_) => ("redis", None),
        StoreChoice::None => ("none", None),
    };
    let tokens = kept::tokens(&settings.store).await?;
    let status = Status {
        environment: context.environment().to_string(),
        addresses: addresses(context),
        credentials: sources(context),
        store,
        file,
        tokens: tokens.into_iter().map(|kept| stored(kept, now)).collect(),
    };
    Ok(Report::table(table(&status), &status))
}

fn addresses(context: &Context) -> Vec<Address> {
    let openapi = |version| context.openapi_url(version, context.environment());
    let urls = [
        ("Openapi.it version 2", openapi(ApiVersion::V2)),
        ("Openapi.it version 1", openapi(ApiVersion::V1)),
        ("Keliweb Fatture", context.keliweb_url()),
    ];
    urls.map(|(service, url)| Address { service, url: url.as_deref().map(shown) }).into()
}

/// Returns an address without secrets. In one that is no URL of a host, a password may be anywhere.
fn shown(url: &str) -> String {
    if Url::parse(url).is_ok_and(|url| url.has_host()) { without_secrets(url) } else { "not a URL".to_owned() }
}

fn sources(context: &Context) -> Vec<Credential> {
    let source = |service, field: &Field| {
        let source = credentials::locate(field, &context.settings).map(|located| located.source);
        Credential { service, name: field.name, source }
    };
    let openapi = [&OPENAPI_EMAIL, &OPENAPI_KEY, &OPENAPI_SANDBOX_KEY].map(|field| source("Openapi.it", field));
    let keliweb = KELIWEB.iter().map(|field| source("Keliweb Fatture", field));
    let tokens = [("token", "OPENAPI_TOKEN"), ("token of the sandbox", "OPENAPI_SANDBOX_TOKEN")];
    let ready_made = tokens.into_iter().filter(|(_, name)| variable(name).is_some()).map(|(what, name)| Credential {
        service: "Openapi.it",
        name: what,
        source: Some(format!("variable {name}, which counts without an API key")),
    });
    openapi.into_iter().chain(ready_made).chain(keliweb).collect()
}

fn stored(kept: Kept, now: SystemTime) -> StoredToken {
    let is_expired = kept.expires_at <= now;
    StoredToken {
        name: kept.name,
        expires_at: times::utc(kept.expires_at),
        is_expired,
        refreshed_until: kept.refreshed_until.map(times::utc),
        scopes: kept.scopes.map(|scopes| scopes.iter().map(ToString::to_string).collect()),
    }
}

fn table(status: &Status) -> Table {
    let mut table = Table::new(["KIND", "NAME", "VALUE"]);
    table.row(["environment".to_owned(), String::new(), status.environment.clone()]);
    for Address { service, url } in &status.addresses {
        let url = url.clone().unwrap_or_else(|| "the vendor's own".to_owned());
        table.row(["address".to_owned(), (*service).to_owned(), url]);
    }
    for Credential { service, name, source } in &status.credentials {
        let source = source.clone().unwrap_or_else(|| "missing".to_owned());
        table.row(["credential".to_owned(), format!("{service} {name}"), source]);
    }
    table.row(["store".to_owned(), status.store.to_owned(), status.file.clone().unwrap_or_default()]);
    for token in &status.tokens {
        let verb = if token.is_expired { "expired" } else { "expires" };
        table.row(["token".to_owned(), token.name.clone(), format!("{verb} {}", token.expires_at)]);
        if let Some(end) = &token.refreshed_until {
            table.row(["token".to_owned(), "its refresh token".to_owned(), format!("expires {end}")]);
        }
    }
    table
}
