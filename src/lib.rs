//! Clients that request, cache and refresh the tokens of [Openapi.it](openapi), which sells some 270 endpoints from company data to
//! certified mail, and of [Keliweb Fatture](keliweb), an electronic invoicing service.
//!
//! Openapi.it's Oauth has two versions, on two hosts. Start with [`openapi::v2`]. [`openapi::v1`] is for programs that still use version 1,
//! which the vendor calls deprecated. The guide says [what is known about its end](guide::services) and
//! [how to move](guide::migrating#from-version-1-to-version-2).
//!
//! ```no_run
//! use gettone::openapi::{Credentials, v2::Oauth};
//! use gettone::reqwest;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let oauth = Oauth::builder(Credentials::from_env()?).build()?; // reads `OPENAPI_EMAIL` and `OPENAPI_API_KEY`
//! let http = reqwest::Client::builder().redirect(gettone::same_origin()).build()?;
//!
//! let mut request = http.get("https://company.openapi.com/IT-start/12485671007").build()?;
//! oauth.authorize(&mut request).await?; // the cached token for `GET:company.openapi.com/IT-start`, or a new one
//! let response = http.execute(request).await?; // in production the vendor may bill this call
//!
//! oauth.wait_idle().await; // before the program ends
//! # Ok(())
//! # }
//! ```
//!
//! Calls need a [tokio](https://docs.rs/tokio) runtime, as those of reqwest do. No live service was ever called for this crate. The clients
//! are generated from hand-written OpenAPI files in `spec/`, which name the source of each fact.
//!
//! # Overview
//!
//! | item | what it is |
//! |---|---|
//! | [`openapi::v2::Oauth`] | a client of Openapi.it Oauth 2.1.0: cached tokens, and its eighteen operations |
//! | [`openapi::v2::RefreshClient`] | a client of the same without the API key: one token and its refresh token |
//! | [`openapi::v1::Oauth`] | a client of Openapi.it Oauth 1.0.0: cached tokens, and its twelve operations |
//! | [`keliweb::Fatture`] | a client of Keliweb Fatture: a cached token, and the two grants |
//! | [`Builder`] | the settings of a client: address, time limits, retries, proxy, store |
//! | [`TokenHandle`] | the token for one set of scopes, without a lookup |
//! | [`Middleware`] | a middleware that sets a token on every request; feature `middleware` |
//! | [`same_origin`] | a redirect policy for requests that carry a token |
//! | [`Error`] | what went wrong, and whether to try again |
//! | [`Retry`] | how often a call is retried, and when |
//! | [`Scope`], [`ScopePattern`], [`ScopeSet`], [`ScopeList`], [`ScopeMethod`] | what a token is good for |
//! | [`Secret`], [`AccessToken`], [`RefreshToken`] | texts that are never printed |
//! | [`store`] | stores, which keep tokens after a client is dropped: a file, memory, Redis, or a store of your own |
//! | [`clock`] | the time, which a test can set |
//! | [`emulator`] | both services in one process, for tests; feature `emulator` |
//! | [`guide`] | explanations that concern several items, one subject per page |
//!
//! # Cookbook
//!
//! | to | use | guide |
//! |---|---|---|
//! | set a token on a request | [`Oauth::authorize`](openapi::v2::Oauth::authorize), [`Fatture::authorize`](keliweb::Fatture::authorize) | [tokens](guide::tokens) |
//! | set a token on every request, and retry after a 401 | [`Middleware`] | [tokens](guide::tokens) |
//! | replace a token that a service rejected | [`Oauth::invalidate`](openapi::v2::Oauth::invalidate), [`Fatture::invalidate`](keliweb::Fatture::invalidate) | [tokens](guide::tokens) |
//! | save the last token before the program ends | [`Oauth::wait_idle`](openapi::v2::Oauth::wait_idle), [`Fatture::wait_idle`](keliweb::Fatture::wait_idle) | [tokens](guide::tokens) |
//! | limit what a token may spend, and from where | [`Builder::limits`] | [tokens](guide::tokens#limits-for-a-token-that-leaks) |
//! | refresh at Keliweb Fatture without the password | [`Credentials::without_password`](keliweb::Credentials::without_password), or the access token alone | [processes](guide::processes) |
//! | give a worker a token instead of the API key | [`RefreshClient`](openapi::v2::RefreshClient) | [tokens](guide::tokens#a-client-without-the-api-key) |
//! | delete the tokens that the client created | [`Oauth::revoke_created`](openapi::v2::Oauth::revoke_created) | [tokens](guide::tokens) |
//! | connect through a company's proxy | `HTTPS_PROXY`, or [`Builder::http`] | [tokens](guide::tokens#behind-a-company-proxy) |
//! | call from synchronous code | a tokio runtime with its own thread | [tokens](guide::tokens) |
//! | limit which requests get a token | [`Builder::scopes`] | [scopes](guide::scopes) |
//! | request no more than you need | [`ScopeSet::minimal_cover`], [`ScopeSet::missing_from`] | [scopes](guide::scopes) |
//! | decide whether to try again | [`Error::is_transient`], [`Error::is_ambiguous`] | [errors](guide::errors) |
//! | keep tokens across restarts, or share them between processes | [`Builder::store`] with a [`FileStore`](store::FileStore) | [processes](guide::processes) |
//! | test without an account | [`emulator`], [`ManualClock`](clock::ManualClock) | [testing](guide::testing) |
//! | know what is stored, sent and printed | | [security](guide::security) |
//! | see what wildcards stand for | [`Oauth::expand`](openapi::v2::Oauth::expand) | [scopes](guide::scopes#what-a-wildcard-becomes) |
//! | create, change and refresh tokens yourself | [`Oauth::create_token`](openapi::v2::Oauth::create_token), [`Fatture::refresh`](keliweb::Fatture::refresh) | [services](guide::services) |
//! | see how much an account spends | [`Oauth::wallet`](openapi::v2::Oauth::wallet), [`Oauth::stats_api`](openapi::v2::Oauth::stats_api) | [services](guide::services#openapiit-version-2) |
//! | move from version 1 to version 2, or from a vendor's SDK | | [migrating](guide::migrating) |
//! | get a token in a shell, in cron or in another language | the program `gettone` | [command line](guide::command_line) |
//!
//! # Examples
//!
//! Each program runs against the emulator, without an account: `cargo run --features full --example NAME`.
//!
//! | name | what it shows |
//! |---|---|
//! | `quickstart` | a day of calls at both services, and how few tokens it takes |
//! | `invoices` | Keliweb Fatture: a token that a file keeps between runs, and a retry after a 401 |
//! | `company_data` | Openapi.it: parallel requests through `reqwest-middleware` that share one token |
//! | `spend` | Openapi.it: what an account has left, and what it was spent on, for each scope and each day |
//! | `usage` | Openapi.it, version 1: credit and counters as tables |
//! | `custom_store` | a store of your own that two clients share |
//! | `fleet` | a fleet of programs that shares one token in Redis, Valkey or a file, while some of them die |
//! | `emulator` | both services for curl and other languages |
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `rustls` | yes | TLS by rustls, with the certificates that the operating system trusts |
//! | `generate` | yes | generates the typed clients from their OpenAPI files while the crate is built. Without it, the build takes the same code from the package and compiles 26 fewer crates: `default-features = false, features = ["rustls"]` |
//! | `native-tls` | | TLS by the operating system's own library |
//! | `middleware` | | [`Middleware`], and a method `middleware` of each client |
//! | `emulator` | | [`emulator`] |
//! | `schemars` | | `schemars::JsonSchema` for responses (of [version 2](openapi::v2) all but the pages, of [version 1](openapi::v1) `Token`, `Credit` and `Counters`, and [`TokenPair`](keliweb::TokenPair)), for what they consist of (scopes, methods, tokens, secrets, lifetimes, limits), and for [`Period`](openapi::Period) |
//! | `tracing` | | spans and events, as below |
//! | `redis` | | [`store::RedisStore`]: tokens in Redis or Valkey, for several machines; with `seal` |
//! | `seal` | | [`store::Sealing`]: stores whose tokens only the account's own clients can read |
//! | `full` | | `emulator`, `middleware`, `redis`, `schemars`, `seal` and `tracing` |
//! | `cli` | | the program `gettone`: `cargo install gettone --features cli`. A crate that depends on this one does not need it |
//!
//! With `tracing`, each call has a span `gettone.call` with `service`, `operation`, `status`, `attempt` (the number of attempts) and
//! `duration_ms`, and each retry has an event at `DEBUG`. Events with the target `gettone::cache` say that a token was returned from the
//! cache, requested, obtained, loaded from the store, shared from a broader token, adopted from the account, invalidated or cleared. Others
//! say which scopes the wildcards of a set stand for, that a request for a token failed or is backing off, or that the client could not
//! search the account's tokens. The rest are about the store: it failed, a damaged file was set aside, or a damaged token was skipped.
//!
//! A subscriber of `tracing-subscriber` prints events, but spans only if you ask for them. So with `fmt().init()` a failed request for a
//! cached token is a line at `WARN`, but any other call that fails, such as `wallet`, leaves nothing in the log. This prints each span when
//! its call ends:
//!
//! ```text
//! use tracing_subscriber::fmt::format::FmtSpan;
//! tracing_subscriber::fmt().with_span_events(FmtSpan::CLOSE).init();
//! ```
//!
//! `wallet` with a wrong key is then the line below. A span has the status, but not the error: log the error yourself.
//!
//! ```text
//! 2026-11-27T09:00:00.000000Z  INFO gettone.call{service="Openapi.it Oauth v2" operation="get_wallet" attempt=1 status=401 duration_ms=84}: gettone::trace: close time.busy=1.21ms time.idle=82.7ms
//! ```
//!
#![cfg_attr(feature = "emulator", doc = "[`emulator`]: crate::emulator")]
#![cfg_attr(not(feature = "emulator"), doc = "[`emulator`]: https://docs.rs/gettone/latest/gettone/emulator/")]
#![cfg_attr(feature = "middleware", doc = "[`Middleware`]: crate::Middleware")]
#![cfg_attr(feature = "redis", doc = "[`store::RedisStore`]: crate::store::RedisStore")]
#![cfg_attr(
    not(feature = "redis"),
    doc = "[`store::RedisStore`]: https://docs.rs/gettone/latest/gettone/store/struct.RedisStore.html"
)]
#![cfg_attr(feature = "seal", doc = "[`store::Sealing`]: crate::store::Sealing")]
#![cfg_attr(
    not(feature = "seal"),
    doc = "[`store::Sealing`]: https://docs.rs/gettone/latest/gettone/store/enum.Sealing.html"
)]
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
mod redact;
mod runtime;
mod scope;
mod secret;
pub mod store;
mod token;
mod trace;

// Code that the tests share with the fuzz targets names the crate as they do.
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
#[cfg(any(test, gettone_test_transport))]
#[doc(hidden)]
pub use http::test_transport;
/// The HTTP library. Its types are part of this crate's interface.
pub use reqwest;
/// The library that [`Middleware`] is written for. Its types are part of this crate's interface.
#[cfg(feature = "middleware")]
pub use reqwest_middleware;
pub use scope::{Scope, ScopeList, ScopeMethod, ScopePattern, ScopeSet};
pub use secret::Secret;
pub use token::{AccessToken, RefreshToken};

/// Compiles the examples of the README with the tests. `tests/readme.rs` has the example that is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
