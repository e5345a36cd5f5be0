//! What a test can look at afterwards.

use std::fmt;
use std::time::SystemTime;

use crate::{Scope, Secret};

/// Which part of the emulator a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Part {
    /// Openapi.it Oauth, production.
    Production,
    /// Openapi.it Oauth, sandbox.
    Sandbox,
    /// Keliweb Fatture, with its protected endpoint.
    Keliweb,
    /// The protected endpoint of Openapi.it.
    Echo,
    /// Nothing that the emulator has.
    Unknown,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Production => "production",
            Self::Sandbox => "sandbox",
            Self::Keliweb => "keliweb",
            Self::Echo => "echo",
            Self::Unknown => "unknown",
        })
    }
}

/// A request that came.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Recorded {
    /// What it was for.
    pub part: Part,
    /// What it asked for: `create_token`, `list_tokens`, `find_token`, `replace_token`, `update_token`, `delete_token`,
    /// `list_scopes`, `get_credit`, `counters_total`, `counters_day`, `counters_month`, `counters_year`; `password_grant`,
    /// `refresh`, `api`, `login`; `echo`; or `unknown`.
    pub operation: &'static str,
    /// The method.
    pub method: String,
    /// The path and the query as they were sent. A token may stand in them.
    pub path: Secret,
    /// The status answered; `None` for a connection that was reset instead. Of an answer that broke off it is the one that
    /// was sent.
    pub status: Option<u16>,
    /// When it came, by the emulator's clock.
    pub at: SystemTime,
}

/// A token that was given out.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Issued {
    /// Who gave it.
    pub part: Part,
    /// The token.
    pub token: Secret,
    /// The refresh token that came with it; Keliweb alone has those.
    pub refresh_token: Option<Secret>,
    /// What it is good for; empty at Keliweb, which has no scopes.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub issued_at: SystemTime,
    /// When it ends, or ended.
    pub expires_at: SystemTime,
    /// Whether it is good now: neither at its end, nor deleted, nor revoked.
    pub is_alive: bool,
}
