//! How many requests one address may send in a minute.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::clock::unix;
use super::message::Answer;

const MINUTE: Duration = Duration::from_secs(60);

/// A minute begins with the first request in it.
#[derive(Default)]
pub(super) struct Throttle {
    peers: HashMap<IpAddr, (SystemTime, u32)>,
    /// With so many addresses it is time to drop those whose minute has passed.
    full: usize,
}

impl Throttle {
    /// What every answer says of it, or the answer to one request too many.
    pub(super) fn take(
        &mut self,
        peer: IpAddr,
        now: SystemTime,
        limit: Option<u32>,
    ) -> Result<Vec<(&'static str, String)>, Answer> {
        let Some(limit) = limit else { return Ok(Vec::new()) };
        let has_passed = |began: &SystemTime| now.duration_since(*began).is_ok_and(|passed| passed >= MINUTE);
        if self.peers.len() >= self.full {
            self.peers.retain(|_, (began, _)| !has_passed(began));
            self.full = 2 * self.peers.len().max(32);
        }
        let (began, count) = self.peers.entry(peer).or_insert((now, 0));
        if has_passed(began) {
            (*began, *count) = (now, 0);
        }
        let end = began.checked_add(MINUTE).unwrap_or(now);
        let headers =
            |left: u32| vec![("x-ratelimit-limit", limit.to_string()), ("x-ratelimit-remaining", left.to_string())];
        if *count < limit {
            *count += 1;
            return Ok(headers(limit - *count));
        }
        let wait = end.duration_since(now).unwrap_or_default();
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let mut refused = Answer::json(429, &json!({ "message": "Too Many Attempts." }));
        refused.headers.extend(headers(0));
        Err(refused.with("retry-after", seconds.to_string()).with("x-ratelimit-reset", unix(end).to_string()))
    }
}
