//! Both services in one process, for tests: no account, no network, no money.
//!
//! The [`Emulator`] listens on 127.0.0.1, remembers what it gave out, and fails when it is told to. Where the vendors document
//! an answer it gives that one, with its status, its code and its words; it is written from the same facts as the clients and
//! shares nothing with them but the types of the scopes, [`Secret`](crate::Secret) and [`Clock`], so that a mistake in the one
//! shows in the other.
//!
//! ```
//! use gettone::ScopeSet;
//! use gettone::emulator::{Emulator, Fault};
//! use gettone::openapi::{Credentials, v1::Oauth};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let emulator = Emulator::start().await?;
//! let account = emulator.account();
//! let credentials = Credentials::new(account.email(), account.production_key().clone());
//! let oauth = Oauth::builder(credentials).base_url(emulator.production_url()).build()?;
//!
//! emulator.fail_next(1, Fault::ResetAfter); // the token is made, and the answer is lost
//! let token = oauth.token(&ScopeSet::parse(["GET:127.0.0.1/echo"])?).await?;
//! let http = gettone::reqwest::Client::builder().redirect(gettone::same_origin()).no_proxy().build()?;
//! let answer = http.get(emulator.url("/echo/me")).bearer_auth(token.expose()).send().await?;
//! assert_eq!(answer.status(), 200);
//! assert_eq!(emulator.tokens().iter().filter(|token| token.is_alive).count(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! # What there is
//!
//! | below | |
//! |---|---|
//! | [`production_url`](Emulator::production_url) | Openapi.it Oauth 1.0.0, the twelve operations |
//! | [`sandbox_url`](Emulator::sandbox_url) | the same with keys, tokens, credit and counters of its own |
//! | [`keliweb_url`](Emulator::keliweb_url) | Keliweb Fatture: `POST /oauth/token`, both grants |
//! | `/echo` | a service of Openapi.it: any method, any path below; wants a token with the scope `METHOD:host/echo`, counts the call, takes its price from the credit, and tells what it saw |
//! | `/api` | Keliweb Fatture: any method, any path below; wants an access token. Also below [`keliweb_url`](Emulator::keliweb_url) |
//!
//! The host of a scope is the one of the request's `Host` header, without its port. On `127.0.0.1` and `localhost` tokens of both
//! environments are good. For a request to a host of the catalogue, which is one that has that name in its `Host` header, every
//! path is protected: production's tokens are good there, the sandbox's on `test.` and that host. Put the token on such a request
//! yourself, with `bearer_auth`: [`authorize`](crate::openapi::v1::Oauth::authorize) refuses a `Host` that is not that of the URL.
//!
//! # Credit
//!
//! Each account has a credit of its own in either environment: 423.38 euro, or what [`Account::credit`] says. A call of `/echo` that
//! no [limit](EmulatorBuilder::limit) makes free takes its [price](EmulatorBuilder::price) from it, 0.01 euro unless set otherwise.
//! If less than the price is left, `/echo` answers 402 "Insufficient credit" without a code, and neither counts nor bills the call;
//! `GET /credit` still shows what is left. An account without a credit record is answered 402 too. [`Emulator::set_credit`] changes
//! the credit while the emulator runs.
//!
//! # Limits
//!
//! So that no program on the machine can stop the emulator, a request may have a body of 1 MiB, a connection is closed after 30
//! seconds without a whole request or if its answer is not read, at most 512 connections are open at once (others wait), and
//! [`requests`](Emulator::requests) keeps 64 MiB. The 30 seconds are those of tokio's time, whatever the
//! [clock](EmulatorBuilder::clock).
//!
//! # What is not known
//!
//! Neither service could be reached when this was written. Not documented, and so only likely:
//!
//! - the answer to a failed login at Openapi.it (here 401, the usual envelope, no code), and any other status that it does not
//!   list; where no code is documented, the emulator sends none;
//! - what becomes of a lifetime of more than a year (here 406), of an `expire` that is over (the token ends at once), and what the
//!   deprecated `expire` of `POST` means (here what it means in `PUT`; 0 is nothing);
//! - what a `ttl` of 0 means, which the vendor's Python SDK sends unless it is told a lifetime (here the same as no `ttl`: a new token
//!   lives a year, `PATCH` leaves the end as it is);
//! - what `GET /token?scope=` with an empty value lists, which the same SDK sends for all tokens (here all of them);
//! - what a service answers when the credit does not last for a call (here 402, the usual envelope, no code);
//! - what `POST` and `PATCH` answer to a scope that there is none of ([`EmulatorBuilder::strict`]);
//! - what makes a token one that is not *single* ([`Emulator::set_single`]), and what is checked first when two things are wrong;
//! - by which time zone the counters have their days (here UTC), and over which time a `limit` counts (here ever);
//! - which version of its server software Keliweb Fatture runs ([`Passport`]), and everything about its failures.
//!
//! The tokens are not signed. Of what Keliweb Fatture does with an invoice, or any service of Openapi.it with a call, nothing is
//! here: `/api` and `/echo` tell what they saw.

mod accounts;
mod clock;
mod config;
mod echo;
mod fault;
mod form;
mod grant;
mod message;
mod oauth;
mod passport;
mod record;
mod server;
mod state;
#[cfg(test)]
mod tests;
mod throttle;
mod usage;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use rust_decimal::Decimal;

use crate::ScopeSet;
use crate::clock::Clock;

pub use accounts::{
    Account, CLIENT_ID, CLIENT_SECRET, Customer, EMAIL, PASSWORD, PRODUCTION_KEY, SANDBOX_KEY, USERNAME,
};
pub use config::{EmulatorBuilder, Limit, Passport, ScopesShape, UnknownToken};
pub use fault::Fault;
pub use record::{Issued, Part, Recorded};

use clock::MovedClock;
use config::Config;
use state::{KELIWEB, PRODUCTION, SANDBOX, State};

/// Both services on a port of 127.0.0.1, until it is dropped.
pub struct Emulator {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
    account: Account,
    customer: Customer,
}

/// What all connections share.
struct Shared {
    clock: Arc<MovedClock>,
    state: Mutex<State>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Emulator {
    /// Starts one with the default account, customer and catalogue, on a port that is free.
    ///
    /// # Errors
    ///
    /// There is no free port.
    pub async fn start() -> io::Result<Self> {
        Self::builder().start().await
    }

    /// Sets one up that differs from the default.
    pub fn builder() -> EmulatorBuilder {
        EmulatorBuilder::new()
    }

    async fn listen(address: SocketAddr, config: Config, clock: Option<Arc<dyn Clock>>) -> io::Result<Self> {
        let connections = config.connections;
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let account = config.accounts.first().cloned().unwrap_or_default();
        let customer = config.customers.first().cloned().unwrap_or_default();
        let state = Mutex::new(State::new(config, format!("http://{address}")));
        let shared = Arc::new(Shared { clock: Arc::new(MovedClock::new(clock)), state });
        let server = tokio::spawn(server::serve(listener, Arc::clone(&shared), connections));
        Ok(Self { address, shared, server, account, customer })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of a path, such as `/echo/me`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The base URL of Openapi.it Oauth in production.
    #[must_use]
    pub fn production_url(&self) -> String {
        self.url(PRODUCTION)
    }

    /// The base URL of Openapi.it Oauth in the sandbox.
    #[must_use]
    pub fn sandbox_url(&self) -> String {
        self.url(SANDBOX)
    }

    /// The base URL of Keliweb Fatture.
    #[must_use]
    pub fn keliweb_url(&self) -> String {
        self.url(KELIWEB)
    }

    /// The first account of Openapi.it: what credentials are made of.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The first customer of Keliweb Fatture: what credentials are made of.
    #[must_use]
    pub fn customer(&self) -> &Customer {
        &self.customer
    }

    /// Returns the emulator's time. A client with this clock moves with [`advance`](Self::advance).
    ///
    /// A wait by this clock, such as that before a call is retried, moves the emulator's time ahead and is over at once; if the
    /// emulator has a [clock](EmulatorBuilder::clock) of your own, that clock waits.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.shared.clock) as _
    }

    /// Moves the emulator's time forward, and nobody else's: a client with another clock is behind from then on.
    pub fn advance(&self, duration: Duration) {
        self.shared.clock.advance(duration);
    }

    /// How long every answer takes from now on, in real time. A request is carried out at once, and answered late: one that the
    /// client gives up was carried out all the same.
    pub fn latency(&self, latency: Duration) {
        self.shared.state().latency = latency;
    }

    /// Lets the next requests fail, of any kind. Faults are used up in the order in which they were asked for.
    pub fn fail_next(&self, times: usize, fault: Fault) {
        self.fail_next_on(times, "", fault);
    }

    /// The same for requests with this method and a path that begins so: `"POST /token"`, `"DELETE"`, `"/echo"`. A service's
    /// path may have its prefix, as in `"POST /sandbox/token"`.
    pub fn fail_next_on(&self, times: usize, on: &str, fault: Fault) {
        self.shared.state().faults.plan(times, on, fault);
    }

    /// Forgets the faults that did not happen yet.
    pub fn clear_faults(&self) {
        self.shared.state().faults.clear();
    }

    /// From now on grants nothing but the scopes that these cover, whatever is asked for.
    pub fn grant_only(&self, scopes: impl Into<ScopeSet>) {
        self.shared.state().granted = Some(scopes.into());
    }

    /// Grants everything again.
    pub fn grant_all(&self) {
        self.shared.state().granted = None;
    }

    /// Sets what the first account of Openapi.it has to spend, in euro, in either environment; `None` takes its credit record away.
    ///
    /// ```
    /// use gettone::emulator::Emulator;
    /// use gettone::openapi::{Credentials, Decimal, v1::Oauth};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let emulator = Emulator::start().await?;
    /// let account = emulator.account();
    /// let credentials = Credentials::new(account.email(), account.production_key().clone());
    /// let oauth = Oauth::builder(credentials).base_url(emulator.production_url()).build()?;
    ///
    /// emulator.set_credit(Decimal::new(5, 2)); // 0.05 euro
    /// assert_eq!(oauth.credit().await?.amount(), Decimal::new(5, 2));
    /// emulator.set_credit(None);
    /// assert!(oauth.credit().await.unwrap_err().is_not_found());
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_credit(&self, credit: impl Into<Option<Decimal>>) {
        let credit = credit.into();
        let mut state = self.shared.state();
        let State { production, sandbox, .. } = &mut *state;
        for ledger in [production, sandbox].into_iter().filter_map(|environment| environment.ledgers.first_mut()) {
            ledger.usage.credit = credit;
        }
    }

    /// For how long after it was made a token of Openapi.it is a "Wrong Token" at `/echo`. Users saw 4 to 10 seconds.
    pub fn activation_delay(&self, delay: Duration) {
        self.shared.state().activation_delay = delay;
    }

    /// Whether a token of Openapi.it can be changed and deleted, as every token can at first. One that cannot is answered with
    /// 403, which is documented for tokens that are not *single*.
    pub fn set_single(&self, token: &str, is_single: bool) {
        for (_, ledger) in self.shared.state().environments() {
            ledger
                .tokens
                .iter_mut()
                .filter(|known| known.text.expose() == token)
                .for_each(|known| known.is_single = is_single);
        }
    }

    /// Ends every token of either service at once, refresh tokens too.
    pub fn revoke_all(&self) {
        let mut state = self.shared.state();
        for (_, ledger) in state.environments() {
            ledger.tokens.iter_mut().for_each(|token| token.is_deleted = true);
        }
        state.keliweb.pairs.iter_mut().for_each(|pair| pair.is_revoked = true);
    }

    /// Returns the requests so far, in the order in which they came. When they take more than 64 MiB, after some hundred thousand
    /// requests, the emulator drops the oldest.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.state().record.requests()
    }

    /// Returns how many requests for an [operation](Recorded::operation) came so far, including those that
    /// [`requests`](Self::requests) no longer has.
    #[must_use]
    pub fn count(&self, operation: &str) -> usize {
        self.shared.state().record.count(operation)
    }

    /// Every token so far, those that ended too: production's, the sandbox's, Keliweb's, each the oldest first.
    #[must_use]
    pub fn tokens(&self) -> Vec<Issued> {
        let now = self.shared.clock.now();
        self.shared.state().issued(now)
    }

    /// How many tokens are alive, of this part of the emulator.
    #[must_use]
    pub fn living(&self, part: Part) -> usize {
        self.tokens().iter().filter(|token| token.part == part && token.is_alive).count()
    }

    /// Stops listening, and ends all connections. When it returns the port is free.
    pub async fn stop(mut self) {
        self.server.abort();
        // It ends because it was told to.
        let _ = (&mut self.server).await;
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emulator").field("address", &self.address).finish_non_exhaustive()
    }
}
