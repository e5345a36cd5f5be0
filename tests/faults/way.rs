//! What is called: every operation, and every way to a token that looks after itself.

use gettone::keliweb::Fatture;
use gettone::openapi::v1::Oauth;
use gettone::{AccessToken, Error, Scope, ScopeSet, reqwest};

use crate::common::leaks;

/// Something that can be called.
#[derive(Debug)]
pub struct Way {
    pub name: &'static str,
    /// The column of the table that says what is to come of it.
    pub column: &'static str,
    /// What it asks the service for, in this order; what comes later only if it is needed.
    pub operations: &'static [&'static str],
    pub held: Held,
}

/// What the client holds before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Held {
    Nothing,
    /// A token that is over.
    Over,
    /// A token that is good, but not for long: nobody waits for the next one.
    NearItsEnd,
}

const MAKING: &[&str] = &["create_token", "list_tokens", "create_token"];
const RENEWING: &[&str] = &["refresh", "password_grant"];

#[rustfmt::skip]
pub const WAYS: &[Way] = &[
    way("list_tokens",              "read",   &["list_tokens"],    Held::Nothing),
    way("list_tokens?scope",        "read",   &["list_tokens"],    Held::Nothing),
    way("find_token",               "read",   &["find_token"],     Held::Nothing),
    way("list_scopes",              "read",   &["list_scopes"],    Held::Nothing),
    way("get_credit",               "read",   &["get_credit"],     Held::Nothing),
    way("counters_total",           "read",   &["counters_total"], Held::Nothing),
    way("counters_day",             "read",   &["counters_day"],   Held::Nothing),
    way("counters_month",           "read",   &["counters_month"], Held::Nothing),
    way("counters_year",            "read",   &["counters_year"],  Held::Nothing),
    way("delete_token",             "delete", &["delete_token"],   Held::Nothing),
    way("replace_token",            "change", &["replace_token"],  Held::Nothing),
    way("update_token",             "change", &["update_token"],   Held::Nothing),
    way("create_token",             "create", &["create_token"],   Held::Nothing),
    way("oauth.token",              "make",   MAKING,              Held::Nothing),
    way("oauth.token_for",          "make",   MAKING,              Held::Nothing),
    way("oauth.authorize",          "make",   MAKING,              Held::Nothing),
    way("oauth.token, over",        "make",   MAKING,              Held::Over),
    way("oauth.token, near end",    "make",   MAKING,              Held::NearItsEnd),
    way("oauth.token, lost",        "make",   MAKING,              Held::Nothing),
    way("password_grant",           "grant",   &["password_grant"], Held::Nothing),
    way("fatture.token",            "grant",   &["password_grant"], Held::Nothing),
    way("fatture.authorize",        "grant",   &["password_grant"], Held::Nothing),
    way("refresh",                "refresh", &["refresh"],        Held::Nothing),
    way("fatture.token, over",      "renew",   RENEWING,            Held::Over),
    way("fatture.authorize, over",  "renew",   RENEWING,            Held::Over),
    way("fatture.token, near end",  "renew",   RENEWING,            Held::NearItsEnd),
];

const fn way(name: &'static str, column: &'static str, operations: &'static [&'static str], held: Held) -> Way {
    Way { name, column, operations, held }
}

impl Way {
    pub fn is_of_keliweb(&self) -> bool {
        matches!(self.column, "grant" | "refresh" | "renew")
    }

    /// Whether the token whose making failed is there nevertheless.
    pub fn finds_the_lost(&self) -> bool {
        self.name.ends_with("lost")
    }

    /// How many requests of each operation there are if the first one fails and the others do not.
    pub fn mended(&self) -> Vec<usize> {
        let found = usize::from(self.finds_the_lost());
        vec![1; self.operations.len() - found]
    }

    /// Whether it gives a token that is kept.
    pub fn is_cached(&self) -> bool {
        self.name.contains('.')
    }

    /// Calls it. Gives what can be printed of the result, or the token.
    pub async fn call(&self, clients: &Clients) -> Result<String, Error> {
        let Clients { oauth, fatture, url } = clients;
        let scopes = ScopeSet::parse(["GET:imprese.openapi.it/base"])?;
        let get = |url: &str| reqwest::Request::new(reqwest::Method::GET, url.parse().unwrap());
        let text = |token: AccessToken| token.expose().to_owned();
        match self.name.split(',').next().unwrap() {
            "list_tokens?scope" => {
                let scope: Scope = "GET:imprese.openapi.it/base".parse()?;
                oauth.list_tokens_with_scope(&scope).await.map(|tokens| format!("{tokens:?}"))
            }
            "oauth.token" => oauth.token(&scopes).await.map(text),
            "oauth.token_for" => oauth.token_for(&scopes).get().await.map(text),
            "oauth.authorize" => {
                let mut request = get("https://imprese.openapi.it/base/12345670124");
                let result = oauth.authorize(&mut request).await;
                result.map(|_| bearer(&request)).inspect_err(|_| assert!(request.headers().is_empty()))
            }
            "fatture.token" => fatture.token().await.map(text),
            "fatture.authorize" => {
                let mut request = get(url);
                let result = fatture.authorize(&mut request).await;
                result.map(|_| bearer(&request)).inspect_err(|_| assert!(request.headers().is_empty()))
            }
            operation => leaks::call_on(operation, oauth, fatture).await,
        }
    }
}

/// Both clients of a server.
pub struct Clients {
    pub oauth: Oauth,
    pub fatture: Fatture,
    pub url: String,
}

impl Clients {
    /// Until nothing is fetched any more.
    pub async fn wait_idle(&self, way: &Way) {
        match way.is_of_keliweb() {
            true => self.fatture.wait_idle().await,
            false => self.oauth.wait_idle().await,
        }
    }

    /// Something else that is called before.
    pub async fn use_connection(&self, way: &Way) -> Result<(), Error> {
        match way.is_of_keliweb() {
            true => self.fatture.password_grant().await.map(drop),
            false => self.oauth.credit().await.map(drop),
        }
    }
}

fn bearer(request: &reqwest::Request) -> String {
    let value = request.headers()[reqwest::header::AUTHORIZATION].to_str().unwrap();
    value.strip_prefix("Bearer ").unwrap().to_owned()
}
