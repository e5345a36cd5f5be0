//! A limit on the requests of one address in a minute.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

const MINUTE: Duration = Duration::from_secs(60);

/// Counts requests for each address. A minute begins with the first request in it.
#[derive(Default)]
pub(super) struct Throttle {
    peers: HashMap<IpAddr, (SystemTime, u32)>,
    /// At this many addresses, those whose minute has passed are dropped.
    full: usize,
}

impl Throttle {
    /// Counts a request and returns how many the address has left. If it has none, returns the end of its minute.
    pub(super) fn take(&mut self, peer: IpAddr, now: SystemTime, limit: u32) -> Result<u32, SystemTime> {
        let has_passed = |began: &SystemTime| now.duration_since(*began).is_ok_and(|passed| passed >= MINUTE);
        if self.peers.len() >= self.full {
            self.peers.retain(|_, (began, _)| !has_passed(began));
            self.full = 2 * self.peers.len().max(32);
        }
        let (began, count) = self.peers.entry(peer).or_insert((now, 0));
        if has_passed(began) {
            (*began, *count) = (now, 0);
        }
        if *count < limit {
            *count += 1;
            return Ok(limit - *count);
        }
        Err(began.checked_add(MINUTE).unwrap_or(now))
    }
}
