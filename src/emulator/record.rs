//! The requests and tokens that a test can inspect.

use std::collections::{BTreeMap, VecDeque};
use std::time::SystemTime;

use super::api::Api;
use crate::scope::Scope;
use crate::secret::Secret;

/// A request that the emulator received.
///
/// ```
/// use gettone::emulator::{Api, Emulator};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let emulator = Emulator::start().await?;
/// let http = gettone::reqwest::Client::builder().no_proxy().build()?;
/// http.get(format!("{}/credit", emulator.production_url())).send().await?;
/// let requests = emulator.requests();
/// assert_eq!((requests[0].api, requests[0].operation), (Api::Production, "get_credit"));
/// assert_eq!(requests[0].status, Some(401)); // it had no login
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RecordedRequest {
    /// The API.
    pub api: Api,
    /// The operation, or `unknown`. Several APIs have operations of the same name; [`api`](Self::api) tells them apart.
    ///
    /// - Openapi.it Oauth, version 1: `create_token`, `list_tokens`, `find_token`, `replace_token`, `update_token`,
    ///   `delete_token`, `list_scopes`, `get_credit`, `counters_total`, `counters_day`, `counters_month`, `counters_year`.
    /// - Openapi.it Oauth, version 2: `create_token`, `list_tokens`, `find_token`, `update_token` (a `PATCH` with e-mail and key),
    ///   `refresh_token` (a `PATCH` with a Bearer), `delete_token`, `list_scopes`, `get_scope`, `get_wallet`,
    ///   `list_wallet_transactions`, `list_errors`, `list_callbacks`, `get_callback`, `get_stats`, `list_stats_ips`,
    ///   `list_stats_apis`, `get_stats_api`, `list_subscriptions`, `get_subscription`.
    /// - Keliweb Fatture: `password_grant`, `refresh`, `api`, `login_page`.
    /// - The protected endpoint of Openapi.it: `echo`.
    pub operation: &'static str,
    /// The method.
    pub method: String,
    /// The path and the query as they were sent. They may contain a token.
    pub path: Secret,
    /// The header `User-Agent`, by which a test of several programs can tell them apart.
    pub user_agent: Option<String>,
    /// The status of the response; `None` if the connection was reset instead. A truncated response has the status that was sent.
    pub status: Option<u16>,
    /// The time when the request arrived, by the emulator's clock.
    pub at: SystemTime,
}

/// A token that the emulator issued.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct IssuedToken {
    /// The API that issued it.
    pub api: Api,
    /// The access token.
    pub token: Secret,
    /// The refresh token that came with it. Keliweb Fatture and version 2 of Openapi.it Oauth issue those.
    pub refresh_token: Option<Secret>,
    /// The name that the token has, if any. Only version 2 of Openapi.it Oauth has names.
    pub name: Option<String>,
    /// The scopes; none at Keliweb Fatture, which has no scopes.
    pub scopes: Vec<Scope>,
    /// The time when the token was issued.
    pub issued_at: SystemTime,
    /// The time when the token expires or expired.
    pub expires_at: SystemTime,
    /// Whether the token is valid now: not expired, deleted or revoked.
    pub is_valid: bool,
}

/// The most memory that the recorded requests may take, which is room for some hundred thousand.
const MAX_BYTES: usize = 64 << 20;

/// The requests so far. If they take too much memory, the oldest are dropped, but still counted.
#[derive(Default)]
pub(super) struct Record {
    requests: VecDeque<RecordedRequest>,
    bytes: usize,
    counts: BTreeMap<&'static str, usize>,
}

impl Record {
    pub(super) fn add(&mut self, request: RecordedRequest) {
        self.add_within(MAX_BYTES, request);
    }

    fn add_within(&mut self, max: usize, request: RecordedRequest) {
        *self.counts.entry(request.operation).or_default() += 1;
        self.bytes += request.bytes();
        self.requests.push_back(request);
        while self.bytes > max
            && let Some(oldest) = self.requests.pop_front()
        {
            self.bytes -= oldest.bytes();
        }
    }

    pub(super) fn newest_first(&self) -> impl Iterator<Item = &RecordedRequest> {
        self.requests.iter().rev()
    }

    pub(super) fn counts(&self) -> &BTreeMap<&'static str, usize> {
        &self.counts
    }

    pub(super) fn requests(&self) -> Vec<RecordedRequest> {
        self.requests.iter().cloned().collect()
    }

    pub(super) fn count(&self, operation: &str) -> usize {
        self.counts.get(operation).copied().unwrap_or_default()
    }
}

impl RecordedRequest {
    fn bytes(&self) -> usize {
        let user_agent = self.user_agent.as_ref().map_or(0, String::len);
        size_of::<Self>() + self.method.len() + self.path.expose().len() + user_agent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str) -> RecordedRequest {
        RecordedRequest {
            api: Api::Unknown,
            operation: "unknown",
            method: "GET".to_owned(),
            path: path.into(),
            user_agent: None,
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
        // A long one displaces several.
        record.add_within(10 * one, request(&"x".repeat(5 * one)));
        assert_eq!(record.requests().len(), 5);
        // A request that is too long is not recorded; later ones are.
        record.add_within(10 * one, request(&"x".repeat(10 * one)));
        record.add_within(10 * one, request("/last"));
        assert_eq!((record.requests().len(), record.bytes, record.count("unknown")), (1, one, 1_003));
        assert_eq!(record.count("echo"), 0);
    }
}
