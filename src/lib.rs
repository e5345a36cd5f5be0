//! Typed clients for the token services of [Openapi.it](openapi) and [Keliweb Fatture](keliweb).
//!
//! Both vendors hide their services behind a token. Keliweb Fatture, an electronic invoicing service, gives one for a
//! password and lets it be refreshed for ten days. Openapi.it, with some 270 endpoints from company data to certified mail,
//! makes one for a list of [scopes](Scope): the endpoints that it is good for.
//!
//! ```no_run
//! use gettone::openapi::{Credentials, v1::Oauth};
//! use gettone::reqwest;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let oauth = Oauth::builder(Credentials::from_env()?).build()?; // `OPENAPI_EMAIL` and `OPENAPI_API_KEY`
//! let http = reqwest::Client::builder().redirect(gettone::same_origin()).build()?;
//!
//! let mut request = http.get("https://imprese.openapi.it/base/12345670124").build()?;
//! oauth.authorize(&mut request).await?; // makes a token for `GET:imprese.openapi.it/base`, or has one already
//! let response = http.execute(request).await?; // in production such a call may be billed
//! # Ok(())
//! # }
//! ```
//!
//! # Overview
//!
//! | | |
//! |---|---|
//! | [`openapi::v1::Oauth`] | tokens for Openapi.it that look after themselves, and the twelve operations of its Oauth 1.0.0 |
//! | [`keliweb::Fatture`] | a token for Keliweb Fatture that looks after itself, and the two grants |
//! | [`Middleware`] | a token on each request, by `reqwest-middleware`; with the feature `middleware` |
//! | [`same_origin`] | how to follow redirects with a token |
//! | [`store`] | where tokens outlive a client |
//! | [`Builder`] | address, time limits, repeats, proxy, user agent of either |
//! | [`Error`] | what went wrong, and whether trying again can help |
//! | [`Retry`] | what is tried again, and when |
//! | [`Scope`], [`ScopePattern`], [`ScopeSet`], [`ScopeList`], [`Method`] | what a token is good for, and what covers what |
//! | [`Secret`], [`AccessToken`], [`RefreshToken`] | text that is never printed |
//! | [`clock`] | time, for tests that hold it still |
//! | [`emulator`] | both services in one process, for tests; with the feature of that name |
//! | [`guide`] | what is kept where, and who can read it: [security](guide::security); their call, our call: [from the vendors' SDKs](guide::migrating) |
//!
//! A call needs a [tokio](https://docs.rs/tokio) runtime, as reqwest does, and returns [`is_invalid_input`](Error::is_invalid_input) without one. A cached token is
//! returned anywhere.
//!
//! The clients are generated from hand-written OpenAPI files, which are part of the package (`spec/`) and say where each fact
//! comes from. Neither service could be reached when this was written: what is held true is what the vendors document, what
//! users reported, and how the server software behaves.
//!
//! # Cookbook
//!
//! **Send a token along.** [`expose`](AccessToken::expose) is the one way to its text. Ask for JSON: without `Accept`, Keliweb
//! Fatture answers a refused token with a redirect to its login page. Drop a token that is refused, and the next call gets another:
//!
//! ```no_run
//! # async fn run(fatture: gettone::keliweb::Fatture) -> Result<(), Box<dyn std::error::Error>> {
//! let token = fatture.token().await?; // or `authorize`, which puts it on a request and gives it
//! let http = reqwest::Client::builder().redirect(gettone::same_origin()).build()?;
//! let request = http.get("https://fatture.keliweb.it/api/invoices").header("Accept", "application/json");
//! let response = request.bearer_auth(token.expose()).send().await?;
//! if response.status() == 401 {
//!     fatture.invalidate(&token);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! **Put a token on each request** to the vendor's services, and on no other; after a 401 another one, and once more (feature
//! `middleware`):
//!
//! ```no_run
//! # #[cfg(feature = "middleware")]
//! # async fn run(oauth: gettone::openapi::v1::Oauth) -> Result<(), Box<dyn std::error::Error>> {
//! let http = reqwest::Client::builder().redirect(gettone::same_origin()).build()?;
//! let http = reqwest_middleware::ClientBuilder::new(http).with(oauth.middleware()).build();
//! let response = http.get("https://imprese.openapi.it/base/12345670124").send().await?;
//! # Ok(())
//! # }
//! ```
//!
//! **Keep tokens across restarts**, and share them between processes:
//!
//! ```no_run
//! # async fn run() -> Result<(), gettone::Error> {
//! use gettone::openapi::{Credentials, v1::Oauth};
//! use gettone::store::FileStore;
//!
//! let store = FileStore::open("/var/lib/invoices/tokens.json").await?;
//! let oauth = Oauth::builder(Credentials::from_env()?).store(store).build()?;
//! # Ok(())
//! # }
//! ```
//!
//! **Wait for the exchange that is under way** before a short-lived program exits. A token is handed out before the store has kept it,
//! so the next run would have to ask for another one; and a refresh that is cut off costs the token that it was to renew.
//!
//! ```no_run
//! # async fn run(fatture: gettone::keliweb::Fatture) {
//! fatture.wait_idle().await;
//! # }
//! ```
//!
//! **Leave nothing behind**, as a program that ends for good should. It deletes what the client made by itself since it was built;
//! what `create_token` made is yours to delete, and what was made before a restart lives until its end:
//!
//! ```no_run
//! # async fn run(oauth: gettone::openapi::v1::Oauth) -> Result<(), gettone::Error> {
//! oauth.revoke_created().await?;
//! # Ok(())
//! # }
//! ```
//!
//! **Call from synchronous code.** The runtime has a thread of its own, so that a refresh goes on between two calls. (On a runtime
//! of the calling thread alone it stands still until the next call there. Whoever waits for it on another runtime gives it up after
//! the time that it may take, some minutes, with an error; the next call begins anew.) A runtime may be dropped at any time:
//! whoever waits on another one begins anew at once.
//!
//! ```no_run
//! # fn run(fatture: gettone::keliweb::Fatture) -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
//! let token = runtime.block_on(fatture.token())?;
//! # Ok(())
//! # }
//! ```
//!
//! **Look after tokens yourself.** The grants and operations give tokens that nobody keeps. A refresh token works once:
//!
//! ```no_run
//! # use gettone::{Error, RefreshToken, keliweb::{Fatture, TokenPair}};
//! # async fn run(fatture: Fatture, token: RefreshToken) -> Result<TokenPair, Error> {
//! match fatture.refresh(&token).await {
//!     Err(error) if error.is_invalid_grant() => fatture.password_grant().await,
//!     other => other,
//! }
//! # }
//! ```
//!
//! **Ask for no more than is needed**, and see what was not granted:
//!
//! ```no_run
//! # use gettone::{Error, Scope, ScopeSet, openapi::{Ttl, v1::{Oauth, Token}}};
//! # async fn run(oauth: Oauth, allowed: ScopeSet, needed: &[Scope]) -> Result<Token, Error> {
//! let requested = allowed.minimal_cover(needed)?;
//! let token = oauth.create_token(&requested, Ttl::hours(1)?).await?;
//! let lacking = requested.missing_from(&token.scopes().iter().collect());
//! assert!(lacking.is_empty(), "not granted: {lacking}");
//! # Ok(token)
//! # }
//! ```
//!
//! **Test without an account**, against the [`emulator`], or against a mock. A base URL may be http if it is loopback, and a
//! [`ManualClock`](clock::ManualClock) makes repeats wait no time:
//!
//! ```
//! use std::sync::Arc;
//! use std::time::SystemTime;
//! use gettone::clock::ManualClock;
//! use gettone::openapi::{Credentials, v1::Oauth};
//!
//! let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
//! let credentials = Credentials::new("test@example.com", "key");
//! let oauth = Oauth::builder(credentials).base_url("http://127.0.0.1:8080").clock(clock.clone()).build()?;
//! # let _ = oauth;
//! # Ok::<(), gettone::Error>(())
//! ```
//!
//! **Whole programs** are in `examples/`. Each runs without an account, against the emulator:
//!
//! | `cargo run --features full --example …` | |
//! |---|---|
//! | `quickstart` | the main job, from the first token to the last |
//! | `invoices` | Keliweb Fatture: a token on a request, kept in a file; a 401, and once more |
//! | `company_data` | Openapi.it: many requests at once by `reqwest-middleware`, and one token for all |
//! | `usage` | credit and counters, as tables |
//! | `custom_store` | a store of one's own, shared by two clients |
//! | `emulator` | both services for curl and for other languages |
//!
//! # Features
//!
//! | feature | default | |
//! |---|---|---|
//! | `rustls` | yes | TLS by rustls, with the certificates that the operating system trusts |
//! | `native-tls` | | TLS by the operating system's own library |
//! | `schemars` | | `schemars::JsonSchema` for what the services answer ([`Token`](openapi::v1::Token), [`Credit`](openapi::v1::Credit), [`Counters`](openapi::v1::Counters), [`TokenPair`](keliweb::TokenPair)) and what that is made of (scopes, methods, tokens, secrets, lifetimes, limits), and for [`Period`](openapi::Period) |
//! | `middleware` | | [`Middleware`], a layer for `reqwest-middleware`, and a method `middleware` of each client |
//! | `tracing` | | a span named `gettone.call` for each call, with `service`, `operation`, `status`, `attempt` (their number) and `duration_ms`; an event at `DEBUG` for each repeat. Events with the target `gettone::cache` for what happens to a cached token: handed out, fetching, obtained, taken from the store, served by a broader token, adopted, not looked for, failed, not tried again yet, invalidated, forgotten; and to a store: it failed, a damaged file was set aside, a damaged token passed over |
//! | `emulator` | | [`emulator`]: both services in one process, for tests |
//! | `full` | | `emulator`, `middleware`, `schemars` and `tracing` |
//!
#![cfg_attr(feature = "emulator", doc = "[`emulator`]: crate::emulator")]
#![cfg_attr(not(feature = "emulator"), doc = "[`emulator`]: https://docs.rs/gettone/latest/gettone/emulator/")]
#![cfg_attr(feature = "middleware", doc = "[`Middleware`]: crate::Middleware")]
#![cfg_attr(
    not(feature = "middleware"),
    doc = "[`Middleware`]: https://docs.rs/gettone/latest/gettone/struct.Middleware.html"
)]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(target_arch = "wasm32")]
compile_error!(
    "gettone does not support wasm32: it needs tokio's timers, sockets and the clock of an operating system, and an API key or a \
     password does not belong in a browser; request tokens on a server and hand those to the browser's code"
);

mod auth;
mod cache;
pub mod clock;
#[cfg(feature = "emulator")]
pub mod emulator;
mod env;
mod error;
#[cfg(any(doc, doctest))]
pub mod guide;
mod http;
mod json;
pub mod keliweb;
pub mod openapi;
mod runtime;
mod scope;
mod secret;
pub mod store;
mod token;
mod trace;

// What is shared with the fuzz targets names the crate as they do.
#[cfg(test)]
extern crate self as gettone;
#[cfg(test)]
#[path = "../tests/hostile/mod.rs"]
mod hostile;

#[cfg(feature = "middleware")]
pub use auth::Middleware;
pub use auth::{Builder, Service, TokenHandle, same_origin};
pub use error::Error;
pub use http::retry::Retry;
#[cfg(any(test, gettone_door))]
#[doc(hidden)]
pub use http::test_transport as door;
/// The HTTP library, whose types are part of this crate's interface.
pub use reqwest;
/// What [`Middleware`] is a layer for, and whose types are part of this crate's interface.
#[cfg(feature = "middleware")]
pub use reqwest_middleware;
pub use scope::{Method, Scope, ScopeList, ScopePattern, ScopeSet};
pub use secret::Secret;
pub use token::{AccessToken, RefreshToken};

/// The examples of the README are compiled with the tests; `tests/readme.rs` has the one that is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
