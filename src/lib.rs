//! Typed clients for the token services of [Openapi.it](openapi) and [Keliweb Fatture](keliweb).
//!
//! Both vendors hide their services behind a token. Keliweb Fatture, an electronic invoicing service, gives one for a
//! password and lets it be refreshed for ten days. Openapi.it, with some 270 endpoints from company data to certified mail,
//! makes one for a list of scopes.
//!
//! ```no_run
//! use gettone::ScopeSet;
//! use gettone::openapi::{Credentials, Oauth, Ttl};
//!
//! # async fn run() -> Result<(), gettone::Error> {
//! let oauth = Oauth::builder(Credentials::from_env()?).build()?;
//! let scopes = ScopeSet::parse(["GET:imprese.openapi.it/base"])?;
//! let created = oauth.create_token(&scopes, Ttl::days(1)?).await?;
//! println!("Authorization: Bearer, until {:?}", created.expires_at());
//! # Ok(())
//! # }
//! ```
//!
//! # Overview
//!
//! | | |
//! |---|---|
//! | [`openapi::Oauth`] | the twelve operations of Openapi.it Oauth 1.0.0 |
//! | [`keliweb::Fatture`] | the two grants of Keliweb Fatture |
//! | [`Builder`] | address, time limits, repeats, proxy, user agent of either |
//! | [`Error`] | what went wrong, and whether trying again can help |
//! | [`Retry`] | what is tried again, and when |
//! | [`Scope`], [`ScopePattern`], [`ScopeSet`], [`ScopeList`], [`Method`] | what a token is good for, and what covers what |
//! | [`Secret`], [`AccessToken`], [`RefreshToken`] | text that is never printed |
//! | [`clock`] | time, for tests that hold it still |
//!
//! A call needs a [tokio](https://docs.rs/tokio) runtime, as reqwest does, and panics without one.
//!
//! The clients are generated from hand-written OpenAPI files, which are part of the package (`spec/`) and say where each fact
//! comes from. Neither service could be reached when this was written: what is held true is what the vendors document, what
//! users reported, and how the server software behaves.
//!
//! # Cookbook
//!
//! **Send a token along.** [`expose`](AccessToken::expose) is the one way to its text:
//!
//! ```no_run
//! # async fn run(token: gettone::AccessToken) -> Result<(), reqwest::Error> {
//! let http = reqwest::Client::new();
//! http.get("https://imprese.openapi.it/base/12345670124").bearer_auth(token.expose()).send().await?;
//! # Ok(())
//! # }
//! ```
//!
//! **Refresh, and fall back to the password.** A refresh token works once:
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
//! **Look after a lost answer.** The service may have made the token although nobody said so. What was not there before is it:
//!
//! ```no_run
//! # use gettone::{Error, ScopeSet, openapi::{Oauth, Token, Ttl}};
//! # async fn run(oauth: Oauth, scopes: ScopeSet) -> Result<Token, Error> {
//! let before = oauth.tokens().await?;
//! match oauth.create_token(&scopes, Ttl::days(1)?).await {
//!     Err(error) if error.may_have_been_carried_out() => {
//!         let new = |token: &Token| before.iter().all(|known| known.token() != token.token());
//!         oauth.tokens().await?.into_iter().find(new).ok_or(error)
//!     }
//!     other => other,
//! }
//! # }
//! ```
//!
//! (Another program that makes tokens for the same account at the same moment would spoil this.)
//!
//! **Ask for no more than is needed**, and see what was not granted:
//!
//! ```no_run
//! # use gettone::{Error, Scope, ScopeSet, openapi::{Oauth, Token, Ttl}};
//! # async fn run(oauth: Oauth, allowed: ScopeSet, needed: &[Scope]) -> Result<Token, Error> {
//! let requested = allowed.least_for(needed)?;
//! let token = oauth.create_token(&requested, Ttl::hours(1)?).await?;
//! let lacking = requested.not_covered_by(&token.scopes().iter().collect());
//! assert!(lacking.is_empty(), "not granted: {lacking}");
//! # Ok(token)
//! # }
//! ```
//!
//! **Test against a mock.** A base URL may be http if it is loopback, and a [`ManualClock`](clock::ManualClock) makes repeats
//! wait no time:
//!
//! ```
//! use std::sync::Arc;
//! use std::time::SystemTime;
//! use gettone::clock::ManualClock;
//! use gettone::openapi::{Credentials, Oauth};
//!
//! let clock = Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH));
//! let credentials = Credentials::new("test@example.com", "key");
//! let oauth = Oauth::builder(credentials).base_url("http://127.0.0.1:8080").clock(clock.clone()).build()?;
//! # let _ = oauth;
//! # Ok::<(), gettone::Error>(())
//! ```
//!
//! # Features
//!
//! | feature | default | |
//! |---|---|---|
//! | `rustls` | yes | TLS by rustls, with the certificates that the operating system trusts |
//! | `native-tls` | | TLS by the operating system's own library |
//! | `schemars` | | JSON schemas of the public types |
//! | `tracing` | | a span named `gettone.call` for each call, with `service`, `operation`, `status`, `attempt` (their number) and `duration_ms` |
//! | `full` | | `schemars` and `tracing` |

#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer;
mod builder;
pub mod clock;
mod error;
mod generated;
pub mod keliweb;
pub mod openapi;
mod retry;
mod scope;
mod secret;
mod token;
mod trace;
mod transport;

pub use builder::{Builder, Service};
pub use error::Error;
/// The HTTP library, whose types are part of this crate's interface.
pub use reqwest;
pub use retry::Retry;
pub use scope::{Method, Scope, ScopeList, ScopePattern, ScopeSet};
pub use secret::Secret;
pub use token::{AccessToken, RefreshToken};

/// The examples of the README are compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
