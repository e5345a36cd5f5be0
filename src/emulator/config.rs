//! What an emulator is told before it starts.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::Emulator;
use super::accounts::{Account, Customer};
use super::clock::decimal;
use super::server::MAX_CONNECTIONS;
use crate::clock::Clock;
use crate::{Method, Scope, ScopePattern};
use rust_decimal::Decimal;

/// How many calls of a scope are free, as `limit` of a counter tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// So many, ever; those after them are paid for.
    Calls(u64),
    /// `null`: every call is paid for.
    Unknown,
    /// `false`: no call is paid for.
    Unlimited,
}

/// What `GET /token/{token}` answers when there is no such token: both are documented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum UnknownToken {
    /// 402 with the code 125, "Wrong Token".
    #[default]
    PaymentRequired,
    /// 204.
    NoContent,
}

/// What `data` of `GET /scopes` is: the vendor's schema and the vendor's sample say different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ScopesShape {
    /// An array, as in the schema.
    #[default]
    Flat,
    /// An object with another `data` inside, and nothing beside it, as in the sample.
    Nested,
}

/// Which versions of its server software Keliweb Fatture fails like. Which one runs is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Passport {
    /// 401 `invalid_credentials` for a wrong password and 401 `invalid_request` for a bad refresh token, told in `message`.
    Old,
    /// 400 `invalid_grant` for both, told in `error_description`.
    #[default]
    New,
}

#[derive(Debug)]
pub(super) struct Config {
    pub(super) accounts: Vec<Account>,
    pub(super) customers: Vec<Customer>,
    pub(super) catalogue: Vec<Scope>,
    pub(super) hosts: Vec<String>,
    pub(super) limits: Vec<(ScopePattern, Limit)>,
    pub(super) price: Decimal,
    pub(super) is_strict: bool,
    pub(super) unknown_token: UnknownToken,
    pub(super) scopes_shape: ScopesShape,
    pub(super) passport: Passport,
    pub(super) gives_refresh_tokens: bool,
    pub(super) throttle: Option<u32>,
    /// How many connections are open at once.
    pub(super) connections: usize,
}

impl Config {
    pub(super) fn limit(&self, scope: &Scope) -> Limit {
        let found = self.limits.iter().rev().find(|(pattern, _)| pattern.covers(scope));
        found.map_or(Limit::Unknown, |(_, limit)| *limit)
    }
}

/// An [`Emulator`] that is being set up: [`Emulator::builder`].
#[derive(Debug)]
#[must_use]
pub struct EmulatorBuilder {
    pub(super) config: Config,
    port: u16,
    clock: Option<Arc<dyn Clock>>,
}

impl EmulatorBuilder {
    pub(super) fn new() -> Self {
        let config = Config {
            accounts: Vec::new(),
            customers: Vec::new(),
            catalogue: Vec::new(),
            hosts: Vec::new(),
            limits: Vec::new(),
            price: decimal(1, 2),
            is_strict: false,
            unknown_token: UnknownToken::default(),
            scopes_shape: ScopesShape::default(),
            passport: Passport::default(),
            gives_refresh_tokens: true,
            throttle: Some(60),
            connections: MAX_CONNECTIONS,
        };
        Self { config, port: 0, clock: None }
    }

    /// The port on 127.0.0.1. Default: one that is free.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Where the time comes from. With a [`ManualClock`](crate::clock::ManualClock) that a client shares, both move together.
    /// Default: the time of the operating system, in which a wait by [`Emulator::clock`] takes no time.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// One more account of Openapi.it. Default: [`Account::default`].
    pub fn account(mut self, account: Account) -> Self {
        self.config.accounts.push(account);
        self
    }

    /// One more customer of Keliweb Fatture. Default: [`Customer::default`].
    pub fn customer(mut self, customer: Customer) -> Self {
        self.config.customers.push(customer);
        self
    }

    /// The scopes that there are, by which asterisks are expanded. What stands there for production, `GET:h.it/a`, is
    /// `GET:test.h.it/a` in the sandbox. Default: the scopes of the vendor's samples. Those of the [hosts](Self::host) come on
    /// top.
    pub fn catalogue(mut self, scopes: impl IntoIterator<Item = Scope>) -> Self {
        self.config.catalogue = scopes.into_iter().collect();
        self
    }

    /// One more host, without a port, for which `/echo` answers, beside `127.0.0.1`, `localhost` and those of the catalogue.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.config.hosts.push(host.into().to_ascii_lowercase());
        self
    }

    /// How many calls are free for the scopes that a pattern covers; the last one that covers a scope counts. Default:
    /// [`Limit::Unknown`].
    pub fn limit(mut self, pattern: ScopePattern, limit: Limit) -> Self {
        self.config.limits.push((pattern, limit));
        self
    }

    /// What a call that is paid for takes from the credit, in euro. Default: 0.01.
    pub fn price(mut self, price: Decimal) -> Self {
        self.config.price = price;
        self
    }

    /// Whether a scope without an asterisk must be in the catalogue. If it is not, `PUT` answers 406 with the code 270, as is
    /// documented; `POST` and `PATCH` answer the same without a code, of which nothing is documented. Default: no, it is
    /// granted.
    pub fn strict(mut self, is_strict: bool) -> Self {
        self.config.is_strict = is_strict;
        self
    }

    /// What is answered when a token is not found. Default: 402.
    pub fn unknown_token(mut self, answer: UnknownToken) -> Self {
        self.config.unknown_token = answer;
        self
    }

    /// The shape of `GET /scopes`. Default: flat.
    pub fn scopes_shape(mut self, shape: ScopesShape) -> Self {
        self.config.scopes_shape = shape;
        self
    }

    /// How failures of Keliweb Fatture look. Default: as in newer versions.
    pub fn passport(mut self, version: Passport) -> Self {
        self.config.passport = version;
        self
    }

    /// Whether an answer of Keliweb Fatture has a refresh token; some servers leave it out. Default: yes.
    pub fn refresh_tokens(mut self, gives: bool) -> Self {
        self.config.gives_refresh_tokens = gives;
        self
    }

    /// How many requests for a token Keliweb Fatture takes in a minute, from one address; `None` for any number. Default: 60.
    pub fn throttle(mut self, per_minute: impl Into<Option<u32>>) -> Self {
        self.config.throttle = per_minute.into();
        self
    }

    /// Starts to listen. It needs a tokio runtime with IO and time, on which it runs.
    ///
    /// # Errors
    ///
    /// The port is not to be had.
    pub async fn start(mut self) -> io::Result<Emulator> {
        let config = &mut self.config;
        if config.accounts.is_empty() {
            config.accounts.push(Account::default());
        }
        if config.customers.is_empty() {
            config.customers.push(Customer::default());
        }
        if config.catalogue.is_empty() {
            config.catalogue = parsed(SAMPLES).collect();
        }
        config.hosts.extend(LOOPBACK.map(str::to_owned));
        let echoes =
            config.hosts.iter().flat_map(|host| Method::ALL.iter().map(move |method| format!("{method}:{host}/echo")));
        config.catalogue.extend(parsed(echoes.collect::<Vec<_>>()));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        Emulator::listen(address, self.config, self.clock).await
    }
}

/// The hosts under which the emulator itself is reached.
pub(super) const LOOPBACK: [&str; 2] = ["127.0.0.1", "localhost"];

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
