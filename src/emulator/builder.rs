//! The settings of an emulator.

use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use rust_decimal::Decimal;
use tokio::net::TcpListener;

use super::clock::MovedClock;
use super::keliweb::{self, Customer, PassportVersion};
use super::openapi::{self, Account, Limit, ScopesResponse, TokenEnvelope, UnknownTokenResponse};
use super::remote::Remote;
use super::router::{Settings, State};
use super::server::{self, MAX_CONNECTIONS};
use super::{Emulator, Shared};
use crate::clock::Clock;
use crate::scope::{Scope, ScopePattern};

/// A builder for an [`Emulator`] whose settings differ from the default.
///
/// ```
/// use gettone::emulator::{Emulator, Limit};
/// use gettone::openapi::Decimal;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let emulator = Emulator::builder()
///     .price(Decimal::new(45, 3)) // 0.045 euro for each call
///     .limit("GET:127.0.0.1/echo".parse()?, Limit::Calls(10)) // after the first ten
///     .throttle(None)
///     .start()
///     .await?;
/// # drop(emulator);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use]
pub struct EmulatorBuilder {
    openapi: openapi::Settings,
    keliweb: keliweb::Settings,
    /// The largest number of connections that are open at once.
    pub(super) connections: usize,
    port: u16,
    has_control: bool,
    clock: Option<Arc<dyn Clock>>,
}

impl EmulatorBuilder {
    pub(super) fn new() -> Self {
        Self {
            openapi: openapi::Settings::default(),
            keliweb: keliweb::Settings::default(),
            connections: MAX_CONNECTIONS,
            port: 0,
            has_control: false,
            clock: None,
        }
    }

    /// Sets the port on 127.0.0.1. Default: a free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sets whether programs in any language can control the emulator by requests below `/_emulator`, and whether `/` shows its
    /// state in a browser. The [guide](crate::guide::testing#other-languages) has examples, `spec/emulator.yaml` describes the
    /// requests. Every program on the machine can send them; a page of another site in a browser cannot. Default: no.
    ///
    /// ```
    /// use gettone::emulator::Emulator;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::builder().control(true).start().await?;
    /// let http = gettone::reqwest::Client::builder().no_proxy().build()?;
    /// let request = http.post(emulator.url("/_emulator/advance")).header("content-type", "application/json");
    /// assert_eq!(request.body(r#"{"seconds":3600}"#).send().await?.status(), 200);
    /// # Ok(())
    /// # }
    /// ```
    pub fn control(mut self, is_on: bool) -> Self {
        self.has_control = is_on;
        self
    }

    /// Sets the source of time. If a client has the same [`ManualClock`](crate::clock::ManualClock), its
    /// [`advance`](crate::clock::ManualClock::advance) moves both; [`Emulator::advance`] moves only the emulator.
    /// Default: the time of the operating system, in which a wait by [`Emulator::clock`] takes no time.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Adds an account of Openapi.it. Default: [`Account::default`].
    pub fn account(mut self, account: Account) -> Self {
        self.openapi.accounts.push(account);
        self
    }

    /// Adds a customer of Keliweb Fatture. Default: [`Customer::default`].
    pub fn customer(mut self, customer: Customer) -> Self {
        self.keliweb.customers.push(customer);
        self
    }

    /// Sets the scopes that exist, to which the emulator expands asterisks. A scope of production, such as `GET:h.it/a`, is
    /// `GET:test.h.it/a` in the sandbox. Default: the scopes of the vendor's samples. The emulator adds those of its
    /// [hosts](Self::host).
    pub fn catalog(mut self, scopes: impl IntoIterator<Item = Scope>) -> Self {
        self.openapi.catalog = scopes.into_iter().collect();
        self
    }

    /// Adds a host, without a port, for which `/echo` responds. You need not add `127.0.0.1`, `localhost` and the hosts of the
    /// catalog.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.openapi.hosts.push(host.into().to_ascii_lowercase());
        self
    }

    /// Sets how many calls are free for the scopes that a pattern covers. If several patterns cover a scope, the last one counts.
    /// Default: [`Limit::Unknown`].
    pub fn limit(mut self, pattern: ScopePattern, limit: Limit) -> Self {
        self.openapi.limits.push((pattern, limit));
        self
    }

    /// Sets the price of a call that is not free, in euro. Default: 0.01.
    pub fn price(mut self, price: Decimal) -> Self {
        self.openapi.price = price;
        self
    }

    /// Sets whether version 1 checks that a scope without an asterisk is in the catalog; version 2 always does. If it is not, `PUT`
    /// responds with 406 and code 270, as documented; `POST` and `PATCH` respond with 406 and no code, because none is documented.
    /// Default: no, every scope is granted.
    pub fn strict(mut self, is_strict: bool) -> Self {
        self.openapi.is_strict = is_strict;
        self
    }

    /// Sets the response to `GET /token/{token}` for a token that does not exist. Default: 402.
    pub fn unknown_token_response(mut self, response: UnknownTokenResponse) -> Self {
        self.openapi.unknown_token = response;
        self
    }

    /// Sets the form of the response to `GET /scopes`. Default: flat.
    pub fn scopes_response(mut self, response: ScopesResponse) -> Self {
        self.openapi.scopes_response = response;
        self
    }

    /// Adds scopes that the accounts have not activated. Version 2 shows them as not enabled and makes no token for them: 422
    /// with code 90. Version 1 makes tokens for them all the same. The hosts of the sandbox begin with `test.`. Default: none.
    pub fn disable(mut self, pattern: ScopePattern) -> Self {
        self.openapi.disabled.push(pattern);
        self
    }

    /// Gives each account, in each environment, a subscription to each scope of the [catalog](Self::catalog) that a pattern
    /// covers: that many calls in a year from the start of the emulator. A call is taken from a subscription before it is free
    /// or paid.
    pub fn subscription(mut self, pattern: ScopePattern, requests: u64) -> Self {
        self.openapi.subscriptions.push((pattern, requests));
        self
    }

    /// Sets the form of version 2's responses with a token. Default: flat.
    pub fn token_envelope(mut self, envelope: TokenEnvelope) -> Self {
        self.openapi.token_envelope = envelope;
        self
    }

    /// Sets the versions of Laravel Passport whose failures Keliweb Fatture responds with. Default: the newer ones.
    pub fn passport_version(mut self, version: PassportVersion) -> Self {
        self.keliweb.passport = version;
        self
    }

    /// Sets whether Keliweb Fatture issues refresh tokens; some servers do not. Default: yes.
    pub fn refresh_tokens(mut self, issues: bool) -> Self {
        self.keliweb.issues_refresh_tokens = issues;
        self
    }

    /// Sets how many token requests Keliweb Fatture accepts from one address in a minute; `None` for any number. Default: 60.
    pub fn throttle(mut self, per_minute: impl Into<Option<u32>>) -> Self {
        self.keliweb.throttle = per_minute.into();
        self
    }

    /// Starts to listen. Call it inside a tokio runtime with timers and I/O: the emulator runs there.
    ///
    /// # Errors
    ///
    /// The port is in use, or the process may not listen on it.
    pub async fn start(self) -> io::Result<Emulator> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).await?;
        let address = listener.local_addr()?;
        let (openapi, keliweb) = (self.openapi.completed(), self.keliweb.completed());
        let account = openapi.accounts.first().cloned().unwrap_or_default();
        let customer = keliweb.customers.first().cloned().unwrap_or_default();
        let clock = Arc::new(MovedClock::new(self.clock));
        let settings = Settings { openapi, keliweb, base_url: format!("http://{address}") };
        let remote = self.has_control.then(|| Remote::new(address.port(), settings.clone()));
        let state = Mutex::new(State::new(settings, clock.now()));
        let shared = Arc::new(Shared { clock, state, remote });
        let server = tokio::spawn(server::serve(listener, Arc::clone(&shared), self.connections));
        Ok(Emulator { address, shared, server, account, customer })
    }
}
