//! Which of the account's tokens a request made whose response was lost. Pure: it sends nothing and holds no lock.
//!
//! Each request asks for a lifetime of its own, drawn by chance. The service lists a token with its end, so the end names the request: a
//! token of another program, requested at the same time for the same scopes, has another end.

#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use super::token::Token;
use crate::clock::Moment;
use crate::http::transport::Timing;
use crate::openapi::ttl::Ttl;
use crate::scope::ScopeSet;

/// A request for a token of which it is not known whether the service carried it out.
#[derive(Clone)]
pub(super) struct AmbiguousCreate {
    /// Larger than those of all requests before it.
    pub(super) number: u64,
    pub(super) scopes: ScopeSet,
    /// The lifetime that it asked for.
    pub(super) ttl: Ttl,
    pub(super) sent: Moment,
    /// When it was given up; `None` while it is in flight.
    pub(super) given_up: Option<Moment>,
}

/// The service tells its time to the second, when it makes a token and when it answers, perhaps by the clocks of two machines.
const TICK: Duration = Duration::from_millis(1_500);

/// For so long after a request was given up the service may still make its token, or not list it yet.
const LATE: Duration = Duration::from_secs(15);

/// By how much a lifetime is shortened at least: other programs ask for whole minutes, hours and days.
const LEAST_CUT: u32 = 10;

/// Returns by how much a lifetime is shortened at most: a quarter, or six hours. `None` for a lifetime of less than 20 minutes: it is over
/// before a lost token does harm, and there would be too little to tell tokens apart.
pub(super) fn longest_cut(ttl: Ttl) -> Option<u32> {
    let cut = (ttl.as_secs() / 4).min(6 * 60 * 60);
    (cut >= 5 * 60).then_some(cut)
}

/// Draws the lifetime that a request asks for: somewhat less than the longest that is wanted.
pub(super) fn draw_lifetime(longest: Ttl) -> Ttl {
    let cut = longest_cut(longest).map_or(0, |most| fastrand::u32(LEAST_CUT..=most));
    Ttl::seconds(longest.as_secs() - cut).unwrap_or(longest)
}

/// Returns the lifetime in milliseconds that a token's text tells together with its end. The vendor's samples begin with the second at which
/// they were made, in hexadecimal: `5f8711af…` ends 365 days after 0x5f8711af. That is not documented, so it is never a reason to take
/// a token for one that was lost, only a reason not to. `None` for any other text.
fn lifetime_told(end: i64, token: &Token) -> Option<i64> {
    let text = token.token().expose();
    let is_alike = text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let made = i64::from_str_radix(text.get(..8).filter(|_| is_alike)?, 16).ok()?;
    let told = end - made * 1_000;
    (1_000..=millis(Ttl::MAX.into())).contains(&told).then_some(told)
}

/// The ends of some tokens in milliseconds of the service's time, sorted.
pub(super) struct Ends(Vec<i64>);

impl Ends {
    pub(super) fn of(ends: impl Iterator<Item = i64>) -> Self {
        let mut ends: Vec<_> = ends.collect();
        ends.sort_unstable();
        Self(ends)
    }

    /// Returns how many of the tokens end then.
    pub(super) fn count(&self, range: &RangeInclusive<i64>) -> usize {
        let first = self.0.partition_point(|end| end < range.start());
        self.0.partition_point(|end| end <= range.end()).saturating_sub(first)
    }
}

/// The account's tokens of which nobody here knows, that have nothing but the scopes in question. Sorted once, so that each lost
/// request is matched with them by a few binary searches.
pub(super) struct Unaccounted<'a> {
    ends: Ends,
    /// Sorted by the lifetime that the text tells, then by the end.
    by_lifetime: Vec<(Option<i64>, i64, &'a Token)>,
}

impl<'a> Unaccounted<'a> {
    pub(super) fn new(tokens: impl Iterator<Item = &'a Token>) -> Self {
        let with_times = |token: &'a Token| {
            let end = since_1970(token.expires_at());
            (lifetime_told(end, token), end, token)
        };
        let mut by_lifetime: Vec<_> = tokens.map(with_times).collect();
        by_lifetime.sort_unstable_by_key(|(told, end, _)| (*told, *end));
        Self { ends: Ends::of(by_lifetime.iter().map(|(_, end, _)| *end)), by_lifetime }
    }

    /// Returns the tokens whose texts tell this lifetime, or none, and that end then.
    fn telling(&self, told: Option<i64>, ends: &RangeInclusive<i64>) -> &[(Option<i64>, i64, &'a Token)] {
        let first = self.by_lifetime.partition_point(|(known, end, _)| (*known, *end) < (told, *ends.start()));
        let after = self.by_lifetime.partition_point(|(known, end, _)| (*known, *end) <= (told, *ends.end()));
        self.by_lifetime.get(first..after).unwrap_or_default()
    }

    /// Returns the only token that has one of these ends, unless its text tells another lifetime than was asked for, and whether its
    /// text tells one. `Err` if there are several.
    fn only(&self, asked: i64, ends: &RangeInclusive<i64>) -> Result<Option<(&'a Token, bool)>, ()> {
        match (self.telling(None, ends), self.telling(Some(asked), ends)) {
            ([], []) => Ok(None),
            ([(.., token)], []) => Ok(Some((token, false))),
            ([], [(.., token)]) => Ok(Some((token, true))),
            _ => Err(()),
        }
    }
}

impl AmbiguousCreate {
    /// Returns the ends that its token may have, by either time of this machine: one of them may have been set since, or may have stood
    /// still.
    pub(super) fn ends(&self, timing: &Timing) -> [RangeInclusive<i64>; 2] {
        let listed = &timing.sent;
        let given_up = self.given_up.unwrap_or(self.sent).after(LATE);
        let ends = |ago: fn(&Moment, &Moment) -> i64| {
            let made = |moment| since_1970(timing.service_time()) - ago(listed, moment) + millis(self.ttl.into());
            let (first, last) = (made(&self.sent), made(&given_up).min(made(listed)));
            first - millis(timing.slack() + TICK)..=last + millis(TICK)
        };
        [
            ends(|listed, moment| since_1970(listed.now) - since_1970(moment.now)),
            ends(|listed, moment| millis(listed.monotonic) - millis(moment.monotonic)),
        ]
    }

    /// Returns the token that it made, if that is certain.
    ///
    /// `lost`: how many requests there are whose tokens may be among the unknown.
    pub(super) fn claimed_by<'a>(
        &self,
        unknown: &Unaccounted<'a>,
        timing: &Timing,
        longest: Ttl,
        lost: usize,
    ) -> Option<&'a Token> {
        Claim { ends: self.ends(timing), ttl: self.ttl, longest, lost }.claimed_by(unknown)
    }

    /// Returns whether its token, if it made one, was listed by now.
    pub(super) fn is_settled(&self, timing: &Timing) -> bool {
        self.given_up.is_some_and(|given_up| given_up.after(LATE).monotonic <= timing.sent.monotonic)
    }
}

/// What is known of the token that a lost request made.
#[derive(Debug)]
struct Claim {
    /// The ends that it may have, by either time of this machine.
    ends: [RangeInclusive<i64>; 2],
    ttl: Ttl,
    /// The lifetime from which `ttl` was drawn.
    longest: Ttl,
    /// How many requests there are whose tokens may be among the unknown.
    lost: usize,
}

impl Claim {
    /// Returns the only token with such an end, if hardly any has it by accident.
    fn claimed_by<'a>(&self, unknown: &Unaccounted<'a>) -> Option<&'a Token> {
        let mut found: Option<&Token> = None;
        for ends in &self.ends {
            let Some((token, tells)) = unknown.only(millis(self.ttl.into()), ends).ok()? else { continue };
            let is_another = found.is_some_and(|found| found.token() != token.token());
            if is_another || !self.is_certain(ends, unknown, tells) {
                return None;
            }
            found = Some(token);
        }
        found
    }

    /// Returns whether hardly any of the tokens that may have been made at that time can be taken for its by accident.
    ///
    /// If a token's text tells its lifetime, another one would have to be asked for at the same time with the very same lifetime. If
    /// not, any that was asked for up to six hours before may have such an end: so there must be no token that is not accounted
    /// for, and few ends may be its.
    fn is_certain(&self, ends: &RangeInclusive<i64>, unknown: &Unaccounted<'_>, tells: bool) -> bool {
        const TOLD: i64 = 100;
        const NOT_TOLD: i64 = 1_000;

        let Some(cut) = longest_cut(self.longest) else { return false };
        let cut = i64::from(cut) * 1_000;
        let later = millis(self.longest.into()) - millis(self.ttl.into());
        let tokens = unknown.ends.count(&(ends.start() + later - cut..=ends.end() + later));
        let spread = ends.end() - ends.start();
        if tells {
            i64::try_from(tokens).unwrap_or(i64::MAX).saturating_mul(1_000 * TOLD) <= cut
        } else {
            tokens <= self.lost && spread.saturating_mul(NOT_TOLD) <= cut
        }
    }
}

pub(super) fn since_1970(moment: SystemTime) -> i64 {
    match moment.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => millis(since),
        Err(before) => -millis(before.duration()),
    }
}

/// So that no sum of some of them overflows.
fn millis(duration: Duration) -> i64 {
    const MOST: i64 = i64::MAX / 64;
    i64::try_from(duration.as_millis()).map_or(MOST, |millis| millis.min(MOST))
}
