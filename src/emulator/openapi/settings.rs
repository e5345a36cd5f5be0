//! The settings of the emulated Openapi.it.

use rust_decimal::Decimal;

use super::LOOPBACK;
use super::account::Account;
use crate::scope::{Scope, ScopeMethod, ScopePattern};

/// The number of free calls of a scope: the `limit` of its counter.
///
/// ```
/// use gettone::emulator::{Emulator, Limit};
///
/// let builder = Emulator::builder()
///     .limit("*:127.0.0.1/*".parse()?, Limit::Calls(10))
///     .limit("GET:127.0.0.1/*".parse()?, Limit::Unlimited); // the last one that covers a scope counts
/// # drop(builder);
/// # Ok::<(), gettone::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// This many calls over all time; later ones are paid.
    Calls(u64),
    /// None, sent as `null`: every call is paid.
    Unknown,
    /// All of them, sent as `false`.
    Unlimited,
}

/// The response of `GET /token/{token}` if the token does not exist. Both are documented.
///
/// ```
/// use gettone::emulator::{Emulator, UnknownTokenResponse};
///
/// let builder = Emulator::builder().unknown_token_response(UnknownTokenResponse::NoContent);
/// # drop(builder);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum UnknownTokenResponse {
    /// 402 with code 125, "Wrong Token".
    #[default]
    PaymentRequired,
    /// 204.
    NoContent,
}

/// The form of `data` in the response to `GET /scopes`, of which the vendor's schema and the vendor's sample differ.
///
/// ```
/// use gettone::emulator::{Emulator, ScopesResponse};
///
/// let builder = Emulator::builder().scopes_response(ScopesResponse::Nested);
/// # drop(builder);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ScopesResponse {
    /// An array, as in the schema.
    #[default]
    Flat,
    /// An object that contains another `data`, and nothing else beside the outer one, as in the sample.
    Nested,
}

/// The form of version 2's responses with a token, of which the vendor's schema and what users see differ.
///
/// ```
/// use gettone::emulator::{Emulator, TokenEnvelope};
///
/// let builder = Emulator::builder().token_envelope(TokenEnvelope::Wrapped);
/// # drop(builder);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TokenEnvelope {
    /// The token's fields at the root, all of them, as in the schema. Times end in `Z`.
    #[default]
    Flat,
    /// `data` beside `success`, `message` and `error`, as users see it. Times end in `+00:00`. `POST`, `GET` and `PATCH` of one
    /// token show only `token`, `name`, `createdAt` and `expireAt`, and after a refresh `refreshToken`; the list shows all fields.
    Wrapped,
}

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) accounts: Vec<Account>,
    pub(crate) catalog: Vec<Scope>,
    pub(crate) hosts: Vec<String>,
    pub(crate) limits: Vec<(ScopePattern, Limit)>,
    pub(crate) price: Decimal,
    pub(crate) is_strict: bool,
    pub(crate) unknown_token: UnknownTokenResponse,
    pub(crate) scopes_response: ScopesResponse,
    /// What an account has not activated.
    pub(crate) disabled: Vec<ScopePattern>,
    pub(crate) subscriptions: Vec<(ScopePattern, u64)>,
    pub(crate) token_envelope: TokenEnvelope,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            accounts: Vec::new(),
            catalog: Vec::new(),
            hosts: Vec::new(),
            limits: Vec::new(),
            price: Decimal::new(1, 2),
            is_strict: false,
            unknown_token: UnknownTokenResponse::default(),
            scopes_response: ScopesResponse::default(),
            disabled: Vec::new(),
            subscriptions: Vec::new(),
            token_envelope: TokenEnvelope::default(),
        }
    }
}

impl Settings {
    /// Adds the default account and catalog if none was set, and the scopes of `/echo`.
    pub(crate) fn completed(mut self) -> Self {
        if self.accounts.is_empty() {
            self.accounts.push(Account::default());
        }
        if self.catalog.is_empty() {
            self.catalog = parsed(SAMPLES).collect();
        }
        self.hosts.extend(LOOPBACK.map(str::to_owned));
        let echoes: Vec<String> = self
            .hosts
            .iter()
            .flat_map(|host| ScopeMethod::ALL.iter().map(move |method| format!("{method}:{host}/echo")))
            .collect();
        self.catalog.extend(parsed(echoes));
        self
    }

    /// Returns whether the accounts have activated a scope.
    pub(super) fn is_enabled(&self, scope: &Scope) -> bool {
        !self.disabled.iter().any(|pattern| pattern.covers(scope))
    }

    pub(super) fn limit(&self, scope: &Scope) -> Limit {
        let found = self.limits.iter().rev().find(|(pattern, _)| pattern.covers(scope));
        found.map_or(Limit::Unknown, |(_, limit)| *limit)
    }
}

/// The scopes of the vendor's samples.
const SAMPLES: [&str; 7] = [
    "GET:imprese.openapi.it/base",
    "GET:imprese.openapi.it/IT-full",
    "GET:comparabili.openapi.it/root",
    "POST:comparabili.openapi.it/root",
    "POST:ws.ufficiopostale.com/raccomandate",
    "POST:postontarget.com/fields/country",
    "GET:sms.openapi.com/root",
];

fn parsed<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> impl Iterator<Item = Scope> {
    texts.into_iter().filter_map(|text| text.as_ref().parse().ok())
}
