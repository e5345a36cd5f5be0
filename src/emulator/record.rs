//! What a test can look at afterwards.

use std::collections::{BTreeMap, VecDeque};
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

/// How much memory the recorded requests may take: some hundred thousand of them do not.
const MOST_BYTES: usize = 64 << 20;

/// The requests that came. With too many of them the oldest are dropped, but still counted.
#[derive(Default)]
pub(super) struct Record {
    requests: VecDeque<Recorded>,
    bytes: usize,
    counts: BTreeMap<&'static str, usize>,
}

impl Record {
    pub(super) fn add(&mut self, request: Recorded) {
        self.add_within(MOST_BYTES, request);
    }

    fn add_within(&mut self, most: usize, request: Recorded) {
        *self.counts.entry(request.operation).or_default() += 1;
        self.bytes += request.bytes();
        self.requests.push_back(request);
        while self.bytes > most
            && let Some(oldest) = self.requests.pop_front()
        {
            self.bytes -= oldest.bytes();
        }
    }

    pub(super) fn requests(&self) -> Vec<Recorded> {
        self.requests.iter().cloned().collect()
    }

    pub(super) fn count(&self, operation: &str) -> usize {
        self.counts.get(operation).copied().unwrap_or_default()
    }
}

impl Recorded {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.method.len() + self.path.expose().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str) -> Recorded {
        Recorded {
            part: Part::Unknown,
            operation: "unknown",
            method: "GET".to_owned(),
            path: path.into(),
            status: Some(404),
            at: SystemTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_oldest_requests_are_dropped_but_counted() {
        let mut record = Record::default();
        let one = request("/0000").bytes();
        for number in 0..1_000 {
            record.add_within(10 * one, request(&format!("/{number:04}")));
            assert!(record.bytes <= 10 * one && record.requests.len() <= 10);
        }
        let paths: Vec<_> = record.requests().iter().map(|request| request.path.expose().to_owned()).collect();
        assert_eq!(paths, (990..1_000).map(|number| format!("/{number:04}")).collect::<Vec<_>>());
        // A long one takes the place of several.
        record.add_within(10 * one, request(&"x".repeat(5 * one)));
        assert_eq!(record.requests().len(), 5);
        // One that is too long is not kept, and spoils nothing.
        record.add_within(10 * one, request(&"x".repeat(10 * one)));
        record.add_within(10 * one, request("/last"));
        assert_eq!((record.requests().len(), record.bytes, record.count("unknown")), (1, one, 1_003));
        assert_eq!(record.count("echo"), 0);
    }
}
