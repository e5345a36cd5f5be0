//! An emulator of both services in one process, for tests: no account, no network, no costs.
//!
//! The [`Emulator`] listens on 127.0.0.1, remembers the tokens that it issued, and fails on demand. Where a vendor documents a
//! response, the emulator sends it with the same status, code and message. It is written from the same facts as the clients and
//! shares only the scope types, [`Secret`](crate::Secret) and [`Clock`] with them, so that a mistake in one shows in the other.
//!
//! ```
//! use gettone::ScopeSet;
//! use gettone::emulator::{Api, Emulator, Fault};
//! use gettone::openapi::{Credentials, v2::Oauth};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let emulator = Emulator::start().await?;
//! let account = emulator.account();
//! let credentials = Credentials::new(account.email(), account.production_key().clone());
//! let oauth = Oauth::builder(credentials).base_url(emulator.production_v2_url()).build()?;
//!
//! emulator.fail_next(1, Fault::LostResponse); // the service creates the token, and the response is lost
//! let token = oauth.token(&ScopeSet::parse(["GET:127.0.0.1/echo"])?).await?;
//! let http = gettone::reqwest::Client::builder().redirect(gettone::same_origin()).no_proxy().build()?;
//! let response = http.get(emulator.url("/echo/me")).bearer_auth(token.expose()).send().await?;
//! assert_eq!(response.status(), 200);
//! assert_eq!(emulator.count_valid_tokens(Api::ProductionV2), 1); // no second token was created
//! # Ok(())
//! # }
//! ```
//!
//! # Services
//!
//! | address | what is there |
//! |---|---|
//! | [`production_url`](Emulator::production_url) | Openapi.it Oauth 1.0.0, all twelve operations |
//! | [`sandbox_url`](Emulator::sandbox_url) | the same, with its own keys, tokens, credit and counters |
//! | [`production_v2_url`](Emulator::production_v2_url) | Openapi.it Oauth 2.1.0, all eighteen operations: its own tokens, on the accounts of version 1 with their keys, credit and calls |
//! | [`sandbox_v2_url`](Emulator::sandbox_v2_url) | the same, in the sandbox |
//! | [`keliweb_url`](Emulator::keliweb_url) | Keliweb Fatture: `POST /oauth/token` with both grants |
//! | `/echo` | a service of Openapi.it, with any method and any path below: requires a token with the scope `METHOD:host/echo`, counts the call, takes its price from the credit, and responds with what it received |
//! | `/api` | Keliweb Fatture, with any method and any path below: requires an access token. Also below [`keliweb_url`](Emulator::keliweb_url) |
//!
//! The host of a scope is that of the request's `Host` header, without its port. `127.0.0.1` and `localhost` accept tokens of
//! both environments. A host of the [catalog](EmulatorBuilder::catalog), such as `imprese.openapi.it`, protects every path: it
//! accepts tokens of production, and `test.imprese.openapi.it` accepts those of the sandbox. Put the token on such a request with
//! `bearer_auth`: [`authorize`](crate::openapi::v2::Oauth::authorize) rejects a `Host` header that differs from the URL's host.
//!
//! # Credit
//!
//! Each account has its own credit in each environment: 423.38 euro, or what [`Account::with_credit`] sets. A call of `/echo`
//! that no [limit](EmulatorBuilder::limit) makes free costs its [price](EmulatorBuilder::price), 0.01 euro by default. If the
//! credit is lower than the price, `/echo` responds with 402 "Insufficient credit" without a code, and neither counts nor bills
//! the call; `GET /credit` still shows the rest. An account without a credit record gets 402 too. [`Emulator::set_credit`]
//! changes the credit while the emulator runs.
//!
//! # Version 2
//!
//! What version 2 shows follows from the calls of `/echo` with a token of either version:
//!
//! - `/stats` counts accepted and failed calls, by address, by domain, by scope and by day. A caller's address is that of the
//!   connection, or the first one in an `X-Forwarded-For` header, so that a test can call from any address.
//! - `/wallet/transactions` has each paid call, and each increase of the credit by [`Emulator::set_credit`].
//! - `/errors` has each failed call of `/echo` and of version 2 that belongs to an account. It does not have the faults that a test sets:
//!   no service processed those requests.
//! - `/subscriptions` has what [`EmulatorBuilder::subscription`] sets. A call is taken from a subscription before it is free or
//!   paid.
//! - `/callbacks` has what [`Emulator::add_callback`] adds, because nothing here delivers one.
//!
//! A token needs scopes that are in the [catalog](EmulatorBuilder::catalog) and not [disabled](EmulatorBuilder::disable). `/echo`
//! enforces the limits of a token: it responds with 403 to a call from an address that the token does not name, and with 402 if a
//! limit is used up. A refresh deletes the token and makes another one with the same scopes, name, limits and use.
//!
//! # Other languages
//!
//! With [`EmulatorBuilder::control`], a test in any language does with a request below `/_emulator` what a test in Rust does with a method
//! of [`Emulator`], and `/` shows the state in a browser. The [guide](crate::guide::testing#other-languages) has examples, and
//! `spec/emulator.yaml` describes the requests. These requests are neither [recorded](Emulator::requests) nor subject to faults.
//!
//! The interface has no login: every program on the machine can use it. A page in a browser cannot, unless it is the emulator's
//! own: the emulator rejects a request whose `Host` is not its own, one whose `Origin` or `Sec-Fetch-Site` names another site, and
//! a body that is not marked as JSON.
//!
//! # Resource limits
//!
//! So that no program on the machine can block the emulator:
//!
//! - The body of a request may have 1 MiB, or 64 KiB below `/_emulator`. At most 1,000 faults that were set there can be pending.
//! - The emulator closes a connection after 30 seconds without a whole request, or if the client does not read the response. The 30 seconds
//!   pass in tokio's time, whatever the [clock](EmulatorBuilder::clock).
//! - At most 512 connections are open at once; others wait.
//! - [`requests`](Emulator::requests) keeps the last 64 MiB of requests.
//! - Of the errors, transactions and callbacks of an account, the emulator keeps the newest 10,000 each.
//! - Stats distinguish at most 1,000 addresses.
//!
//! # What is not known
//!
//! Neither service could be reached when this was written. The following is not documented, so the emulator's behavior is only likely:
//!
//! - The response to a failed login at Openapi.it (here 401, the usual envelope, no code), and every other status that is not
//!   listed. Where no code is documented, the emulator sends none.
//! - A lifetime of more than a year (here 406), an `expire` in the past (here the token expires at once), and the deprecated
//!   `expire` of `POST` (here as in `PUT`; 0 counts as missing).
//! - A `ttl` of 0, which the vendor's Python SDK sends by default (here as without `ttl`: a new token is valid for a year, and
//!   `PATCH` leaves the expiry as it is).
//! - `GET /token?scope=` with an empty value, which the same SDK sends to list all tokens (here it lists all tokens).
//! - The response if the credit is too low for a call (here 402, the usual envelope, no code).
//! - The response of `POST` and `PATCH` to a scope that does not exist ([`EmulatorBuilder::strict`]).
//! - What makes a token not *single* ([`Emulator::set_single`]), and what the service checks first if two things are wrong.
//! - The time zone of the counters' days (here UTC), and the period of a `limit` (here all time).
//! - Version 2: whether it sees the tokens of version 1 (here each version lists and changes only its own, and `/echo` accepts
//!   both).
//! - Version 2: a failed login (here 401 without a code, but for `PATCH`, which has a documented one), and an account without a
//!   credit record (here its credit is 0).
//! - Version 2: the lifetime without a `ttl` (here thirty days), a `ttl` of more than a year (here 422), and a `ttl` of 0 or less
//!   in `PATCH` (here as in `POST`: thirty days).
//! - Version 2: a scope with an asterisk (here 422 with code 80), and an empty list of scopes (here as without one).
//! - Version 2: what a response shows of a token without a name (here no `name`), without limits (here an empty object) and before
//!   any update (here `updatedAt` is `createdAt`).
//! - Version 2: whether `limits` in `PATCH` replaces all limits (here yes; a limit that is `null` or `false` is none), a limit of 0
//!   (here no call), and networks in `ip` (here 422).
//! - Version 2: what a call beyond a limit, or from another address, gets (here 402 and 403 without a code), and whether failed
//!   calls use a limit up (here no, although the token's stats count them).
//! - Version 2: which fields may go with a refresh (here all are ignored), how long the new token is valid (here as long as the old
//!   one was, from then), whether an expired token can be refreshed (here no), and whether `ip` binds that call too (here no).
//! - Version 2: the order of lists (here the oldest token first, and the newest error, transaction and callback first), an invalid
//!   page range (here the list's "Query error", or 422 without a code), and the response of an empty list (here `[]`, and never
//!   404).
//! - Version 2: whether stats count free calls (here only in `totalRequests`), calls of Oauth itself (here no) and failed calls for
//!   scopes that do not exist (here no).
//! - Version 2: the requirements of a scope (here fulfilled if it is enabled), the period of a subscription (here a year), and what
//!   `GET /subscriptions?id=` returns (here that subscription in all detail).
//! - The version of Keliweb Fatture's server software ([`PassportVersion`]), and all of its failures.
//!
//! The tokens are not signed. The emulator does nothing with an invoice, or with a call to a service of Openapi.it: `/api` and `/echo`
//! respond with what they received.

mod api;
mod builder;
mod clock;
mod controls;
mod fault;
mod form;
mod keliweb;
mod message;
mod openapi;
mod order;
mod record;
mod remote;
mod router;
mod server;
#[cfg(test)]
mod tests;
mod throttle;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::JoinHandle;

use crate::clock::Clock;

pub use api::Api;
pub use builder::EmulatorBuilder;
pub use fault::Fault;
pub use keliweb::{CLIENT_ID, CLIENT_SECRET, Customer, PASSWORD, PassportVersion, USERNAME};
pub use openapi::{
    Account, EMAIL, Limit, PRODUCTION_KEY, SANDBOX_KEY, ScopesResponse, TokenEnvelope, UnknownTokenResponse,
};
pub use record::{IssuedToken, RecordedRequest};

use api::{KELIWEB, PRODUCTION, PRODUCTION_V2, SANDBOX, SANDBOX_V2};
use clock::MovedClock;
use remote::Remote;
use router::State;

/// Both services on a port of 127.0.0.1. Dropping the emulator stops them.
///
/// ```
/// use std::sync::Arc;
/// use std::time::{Duration, SystemTime};
/// use gettone::clock::ManualClock;
/// use gettone::emulator::Emulator;
/// use gettone::keliweb::{Credentials, Fatture};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
/// let emulator = Emulator::builder().clock(clock.clone()).start().await?;
/// let customer = emulator.customer();
/// let (id, secret) = (customer.client_id(), customer.client_secret().clone());
/// let credentials = Credentials::new(id, secret, customer.username(), customer.password().clone());
/// let fatture = Fatture::builder(credentials).base_url(emulator.keliweb_url()).clock(clock.clone()).build()?;
///
/// fatture.token().await?;
/// clock.advance(Duration::from_secs(60 * 60)); // the token expires
/// fatture.token().await?;
/// assert_eq!((emulator.count("password_grant"), emulator.count("refresh")), (1, 1));
/// # Ok(())
/// # }
/// ```
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
    /// The control interface over HTTP, if it is on.
    remote: Option<Remote>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Emulator {
    /// Starts an emulator with the default account, customer and catalog, on a free port.
    ///
    /// # Errors
    ///
    /// No port is free.
    pub async fn start() -> io::Result<Self> {
        Self::builder().start().await
    }

    /// Returns a builder, for settings that differ from the default.
    pub fn builder() -> EmulatorBuilder {
        EmulatorBuilder::new()
    }

    /// Returns the address that the emulator listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL of a path, such as `/echo/me`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Returns the base URL of version 1 of Openapi.it Oauth in production.
    #[must_use]
    pub fn production_url(&self) -> String {
        self.url(PRODUCTION)
    }

    /// Returns the base URL of version 1 of Openapi.it Oauth in the sandbox.
    #[must_use]
    pub fn sandbox_url(&self) -> String {
        self.url(SANDBOX)
    }

    /// Returns the base URL of version 2 of Openapi.it Oauth in production.
    #[must_use]
    pub fn production_v2_url(&self) -> String {
        self.url(PRODUCTION_V2)
    }

    /// Returns the base URL of version 2 of Openapi.it Oauth in the sandbox.
    #[must_use]
    pub fn sandbox_v2_url(&self) -> String {
        self.url(SANDBOX_V2)
    }

    /// Returns the base URL of Keliweb Fatture.
    #[must_use]
    pub fn keliweb_url(&self) -> String {
        self.url(KELIWEB)
    }

    /// Returns the first account of Openapi.it, for a client's credentials.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Returns the first customer of Keliweb Fatture, for a client's credentials.
    #[must_use]
    pub fn customer(&self) -> &Customer {
        &self.customer
    }

    /// Returns the emulator's clock. A client that has it moves with [`advance`](Self::advance).
    ///
    /// A wait by this clock, such as that before a retry, takes no time and moves the clock. If the emulator has a
    /// [clock](EmulatorBuilder::clock) of your own, that one waits.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.shared.clock) as _
    }

    /// Returns the requests so far, the oldest first. If they take more than 64 MiB, after some hundred thousand requests, the
    /// emulator drops the oldest.
    #[must_use]
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.shared.state().record.requests()
    }

    /// Returns how many requests for an operation came so far, including those that [`requests`](Self::requests) no longer has. `operation`
    /// is a name as in [`RecordedRequest::operation`].
    #[must_use]
    pub fn count(&self, operation: &str) -> usize {
        self.shared.state().record.count(operation)
    }

    /// Returns every token issued so far, including those that are no longer valid: first version 1's of production and of the sandbox,
    /// then version 2's of the two, then Keliweb's, each the oldest first.
    #[must_use]
    pub fn tokens(&self) -> Vec<IssuedToken> {
        let now = self.shared.clock.now();
        self.shared.state().issued(now)
    }

    /// Returns how many tokens of an API are valid.
    #[must_use]
    pub fn count_valid_tokens(&self, api: Api) -> usize {
        self.tokens().iter().filter(|token| token.api == api && token.is_valid).count()
    }

    /// Stops listening and closes all connections. The port is free when this returns.
    pub async fn stop(mut self) {
        self.server.abort();
        // An error only means that the task was aborted.
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
