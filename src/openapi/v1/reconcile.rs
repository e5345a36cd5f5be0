//! Matches each request whose response was lost with the token that it created. Pure: sends nothing and holds no lock.
//!
//! Each request asks for a lifetime that the client draws at random. The service lists each token with its expiration time, which therefore
//! identifies the request: a token that another program requested at the same time, for the same scopes, expires at another time.

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use super::token::Token;
use crate::clock::Moment;
use crate::http::transport::Timing;
use crate::openapi::ttl::Ttl;
use crate::scope::ScopeSet;

/// A request for a token that the service may have carried out without the client knowing.
#[derive(Clone)]
pub(super) struct AmbiguousCreate {
    /// The number of the request. It grows from request to request.
    pub(super) number: u64,
    pub(super) scopes: ScopeSet,
    /// The lifetime that the request asked for.
    pub(super) ttl: Ttl,
    pub(super) sent: Moment,
    /// The moment when the client gave the request up; `None` while it is in flight.
    pub(super) given_up: Option<Moment>,
}

/// The largest difference between two times of the service: it rounds them to the second, perhaps by the clocks of two machines.
const TICK: Duration = Duration::from_millis(1_500);

/// The longest time after the client gave a request up in which the service may create its token, or not list it yet.
const MAX_DELAY: Duration = Duration::from_secs(15);

/// The smallest cut of a lifetime, in seconds: other programs request whole minutes, hours and days.
const MIN_CUT: u32 = 10;

/// Returns the largest cut of a lifetime, in seconds: a quarter, or six hours. `None` for a lifetime of less than 20 minutes: such a token
/// expires before it does harm, and its cut would be too small to tell tokens apart.
pub(super) fn max_cut(ttl: Ttl) -> Option<u32> {
    let cut = (ttl.as_secs() / 4).min(6 * 60 * 60);
    (cut >= 5 * 60).then_some(cut)
}

/// Draws the lifetime that a request asks for: the longest, minus a random cut, which is another one in a process that was forked from
/// this one.
pub(super) fn draw_lifetime(longest: Ttl) -> Ttl {
    thread_local! {
        static PROCESS: Cell<u32> = const { Cell::new(0) };
    }
    let process = std::process::id();
    // A fork copies the generator of the thread that forks.
    let before = PROCESS.replace(process);
    if before != 0 && before != process {
        fastrand::seed(fastrand::get_seed() ^ u64::from(process));
    }
    let cut = max_cut(longest).map_or(0, |max| fastrand::u32(MIN_CUT..=max));
    Ttl::seconds(longest.as_secs() - cut).unwrap_or(longest)
}

/// Returns the lifetime of a token in milliseconds, if the token's text encodes it. The vendor's samples begin with the second of their
/// creation, in hexadecimal: `5f8711af…` expires 365 days after 0x5f8711af. That is not documented, so it only rules tokens out: it never
/// makes one match. `None` for any other text.
fn encoded_lifetime(end: i64, token: &Token) -> Option<i64> {
    let text = token.token().expose();
    let is_like_samples = text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let created = i64::from_str_radix(text.get(..8).filter(|_| is_like_samples)?, 16).ok()?;
    let lifetime = end - created * 1_000;
    (1_000..=millis(Ttl::MAX.into())).contains(&lifetime).then_some(lifetime)
}

/// The expiration times of tokens, in milliseconds of the service's time, sorted.
pub(super) struct Ends(Vec<i64>);

impl Ends {
    pub(super) fn of(ends: impl Iterator<Item = i64>) -> Self {
        let mut ends: Vec<_> = ends.collect();
        ends.sort_unstable();
        Self(ends)
    }

    /// Returns how many of the tokens expire in this range.
    pub(super) fn count(&self, range: &RangeInclusive<i64>) -> usize {
        let first = self.0.partition_point(|end| end < range.start());
        self.0.partition_point(|end| end <= range.end()).saturating_sub(first)
    }
}

/// The account's tokens that this client does not know, and that have no other scopes than those in question. Sorted once, so that a few
/// binary searches match each lost request.
pub(super) struct UnknownTokens<'a> {
    ends: Ends,
    /// The encoded lifetime, the expiration time and the token; sorted by the first two.
    by_lifetime: Vec<(Option<i64>, i64, &'a Token)>,
}

impl<'a> UnknownTokens<'a> {
    pub(super) fn new(tokens: impl Iterator<Item = &'a Token>) -> Self {
        let with_times = |token: &'a Token| {
            let end = since_1970(token.expires_at());
            (encoded_lifetime(end, token), end, token)
        };
        let mut by_lifetime: Vec<_> = tokens.map(with_times).collect();
        by_lifetime.sort_unstable_by_key(|(lifetime, end, _)| (*lifetime, *end));
        Self { ends: Ends::of(by_lifetime.iter().map(|(_, end, _)| *end)), by_lifetime }
    }

    /// Returns the tokens that encode this lifetime (or none), and that expire in this range.
    fn with_lifetime(&self, lifetime: Option<i64>, ends: &RangeInclusive<i64>) -> &[(Option<i64>, i64, &'a Token)] {
        let first = self.by_lifetime.partition_point(|(known, end, _)| (*known, *end) < (lifetime, *ends.start()));
        let after = self.by_lifetime.partition_point(|(known, end, _)| (*known, *end) <= (lifetime, *ends.end()));
        self.by_lifetime.get(first..after).unwrap_or_default()
    }

    /// Returns the only token that expires in this range and does not encode another lifetime, and whether it encodes one. `Err` if there
    /// are several.
    fn unique(&self, requested: i64, ends: &RangeInclusive<i64>) -> Result<Option<(&'a Token, bool)>, ()> {
        match (self.with_lifetime(None, ends), self.with_lifetime(Some(requested), ends)) {
            ([], []) => Ok(None),
            ([(.., token)], []) => Ok(Some((token, false))),
            ([], [(.., token)]) => Ok(Some((token, true))),
            _ => Err(()),
        }
    }
}

impl AmbiguousCreate {
    /// Returns when its token may expire, by each of this machine's clocks: somebody may have set one of them since, or it may have stood
    /// still.
    pub(super) fn ends(&self, timing: &Timing) -> [RangeInclusive<i64>; 2] {
        let listed = &timing.sent;
        let given_up = self.given_up.unwrap_or(self.sent).after(MAX_DELAY);
        let ends = |ago: fn(&Moment, &Moment) -> i64| {
            let end_if_created_at =
                |moment| since_1970(timing.service_time()) - ago(listed, moment) + millis(self.ttl.into());
            let (first, last) =
                (end_if_created_at(&self.sent), end_if_created_at(&given_up).min(end_if_created_at(listed)));
            first - millis(timing.slack() + TICK)..=last + millis(TICK)
        };
        [
            ends(|listed, moment| since_1970(listed.now) - since_1970(moment.now)),
            ends(|listed, moment| millis(listed.monotonic) - millis(moment.monotonic)),
        ]
    }

    /// Returns the token that the request created, if the match is certain.
    ///
    /// `lost`: the number of requests whose tokens may be among the unknown ones.
    pub(super) fn claimed_by<'a>(
        &self,
        unknown: &UnknownTokens<'a>,
        timing: &Timing,
        longest: Ttl,
        lost: usize,
    ) -> Option<&'a Token> {
        Clues { ends: self.ends(timing), ttl: self.ttl, longest, lost }.claimed_by(unknown)
    }

    /// Returns whether the service must have listed the token by now, if the request created one.
    pub(super) fn is_settled(&self, timing: &Timing) -> bool {
        self.given_up.is_some_and(|given_up| given_up.after(MAX_DELAY).monotonic <= timing.sent.monotonic)
    }
}

/// The client's knowledge of the token that a lost request created.
#[derive(Debug)]
struct Clues {
    /// The times when the token may expire, by each of this machine's clocks.
    ends: [RangeInclusive<i64>; 2],
    ttl: Ttl,
    /// The lifetime that `ttl` was cut from.
    longest: Ttl,
    /// The number of requests whose tokens may be among the unknown ones.
    lost: usize,
}

impl Clues {
    /// Returns the only matching token, if another program's token is very unlikely to match by accident.
    fn claimed_by<'a>(&self, unknown: &UnknownTokens<'a>) -> Option<&'a Token> {
        let mut found: Option<&Token> = None;
        for ends in &self.ends {
            let Some((token, encodes)) = unknown.unique(millis(self.ttl.into()), ends).ok()? else { continue };
            let is_another = found.is_some_and(|found| found.token() != token.token());
            if is_another || !self.is_certain(ends, unknown, encodes) {
                return None;
            }
            found = Some(token);
        }
        found
    }

    /// Returns whether a token that was created at about that time is very unlikely to match by accident.
    ///
    /// If a token's text encodes its lifetime, another token matches only if it was requested at the same time with the same lifetime. If
    /// not, a token that was requested up to six hours earlier may expire at the same time: so no unknown token may be in excess of the
    /// lost requests, and the range must be narrow.
    fn is_certain(&self, ends: &RangeInclusive<i64>, unknown: &UnknownTokens<'_>, encodes: bool) -> bool {
        const ENCODED: i64 = 100;
        const NOT_ENCODED: i64 = 1_000;

        let Some(cut) = max_cut(self.longest) else { return false };
        let cut = i64::from(cut) * 1_000;
        let later = millis(self.longest.into()) - millis(self.ttl.into());
        let tokens = unknown.ends.count(&(ends.start() + later - cut..=ends.end() + later));
        let spread = ends.end() - ends.start();
        if encodes {
            i64::try_from(tokens).unwrap_or(i64::MAX).saturating_mul(1_000 * ENCODED) <= cut
        } else {
            tokens <= self.lost && spread.saturating_mul(NOT_ENCODED) <= cut
        }
    }
}

/// Returns a moment in milliseconds since 1970.
pub(super) fn since_1970(moment: SystemTime) -> i64 {
    match moment.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => millis(since),
        Err(before) => -millis(before.duration()),
    }
}

/// Returns a duration in milliseconds, capped so that sums of several do not overflow.
fn millis(duration: Duration) -> i64 {
    const MAX: i64 = i64::MAX / 64;
    i64::try_from(duration.as_millis()).map_or(MAX, |millis| millis.min(MAX))
}
