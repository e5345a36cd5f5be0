//! Requests for a token whose answer was lost, and the tokens that they made.
//!
//! Each request asks for a lifetime of its own, drawn by chance. The service answers with the end of a token, so the end names
//! the request: a token of somebody else, asked for at the same time for the same scopes, has another end.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::source::{Tokens, fetched, granted, grants};
use super::{CREATE_TOKEN, LIST_TOKENS, Token, Ttl};
use crate::cache::{Fetched, window};
use crate::clock::Moment;
use crate::transport::Stamp;
use crate::{AccessToken, Error, Scope, ScopePattern, ScopeSet, runtime, trace};

/// A request for a token of which nothing was heard.
#[derive(Clone)]
pub(super) struct Lost {
    /// Larger than those of all requests before it.
    number: u64,
    scopes: ScopeSet,
    /// The lifetime that it asked for.
    ttl: Ttl,
    sent: Moment,
    /// When it was given up; `None` while it is under way.
    given_up: Option<Moment>,
}

/// The service tells its time to the second, when it makes a token and when it answers, perhaps by the clocks of two machines.
const TICK: Duration = Duration::from_millis(1_500);

/// For so long after a request was given up the service may still make its token, or not list it yet.
const LATE: Duration = Duration::from_secs(15);

/// For so long nobody is given another token if the service fails to list the account's tokens.
const LONG: Duration = Duration::from_secs(10 * 60);

/// With so many requests whose fate is unknown, the oldest is not looked for any more.
const MOST_LOST: usize = 256;

/// How many tokens are looked at without giving other tasks a turn: a millisecond or so.
const AT_ONCE: usize = 500;

/// By how much a lifetime is shortened at least: other programs ask for whole minutes, hours and days.
const LEAST_CUT: u32 = 10;

/// By how much a lifetime is shortened at most: a quarter, or six hours. `None` for a lifetime of less than 20 minutes: it is over
/// before a lost token does harm, and there would be too little to tell tokens apart.
fn longest_cut(ttl: Ttl) -> Option<u32> {
    let cut = (ttl.as_secs() / 4).min(6 * 60 * 60);
    (cut >= 5 * 60).then_some(cut)
}

/// The lifetime that a request asks for: somewhat less than the longest that is wanted.
fn lifetime(longest: Ttl) -> Ttl {
    let cut = longest_cut(longest).map_or(0, |most| fastrand::u32(LEAST_CUT..=most));
    Ttl::seconds(longest.as_secs() - cut).unwrap_or(longest)
}

/// The lifetime in milliseconds that a token's text tells together with its end. The vendor's samples begin with the second at which
/// they were made, in hexadecimal: `5f8711af…` ends 365 days after 0x5f8711af. That is not documented, so it is never a reason to take
/// a token for one that was lost, only a reason not to. Of another text nothing is told.
fn lifetime_told(end: i64, token: &Token) -> Option<i64> {
    let text = token.token().expose();
    let is_alike = text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let made = i64::from_str_radix(text.get(..8).filter(|_| is_alike)?, 16).ok()?;
    let told = end - made * 1_000;
    (1_000..=millis(Ttl::MAX.into())).contains(&told).then_some(told)
}

/// The ends of some tokens in milliseconds of the service's time, sorted.
struct Ends(Vec<i64>);

impl Ends {
    fn of(ends: impl Iterator<Item = i64>) -> Self {
        let mut ends: Vec<_> = ends.collect();
        ends.sort_unstable();
        Self(ends)
    }

    /// Returns how many of the tokens end then.
    fn count(&self, range: &RangeInclusive<i64>) -> usize {
        let first = self.0.partition_point(|end| end < range.start());
        self.0.partition_point(|end| end <= range.end()).saturating_sub(first)
    }
}

/// The account's tokens of which nobody here knows, that have nothing but the scopes in question. Sorted once, so that each lost
/// request is matched with them by a few binary searches.
struct Unknown<'a> {
    ends: Ends,
    /// Sorted by the lifetime that the text tells, then by the end.
    by_lifetime: Vec<(Option<i64>, i64, &'a Token)>,
}

impl<'a> Unknown<'a> {
    fn new(tokens: impl Iterator<Item = &'a Token>) -> Self {
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

impl Lost {
    /// The ends that its token may have, by either time of this machine: one of them may have been set since, or may have stood
    /// still.
    fn ends(&self, stamp: &Stamp) -> [RangeInclusive<i64>; 2] {
        let listed = &stamp.sent;
        let given_up = self.given_up.unwrap_or(self.sent).after(LATE);
        let ends = |ago: fn(&Moment, &Moment) -> i64| {
            let made = |moment| since_1970(stamp.service_time()) - ago(listed, moment) + millis(self.ttl.into());
            let (first, last) = (made(&self.sent), made(&given_up).min(made(listed)));
            first - millis(stamp.slack() + TICK)..=last + millis(TICK)
        };
        [
            ends(|listed, moment| since_1970(listed.now) - since_1970(moment.now)),
            ends(|listed, moment| millis(listed.monotonic) - millis(moment.monotonic)),
        ]
    }

    /// The token that it made, if that is certain.
    ///
    /// `lost`: how many requests there are whose tokens may be among the unknown.
    fn found_in<'a>(&self, unknown: &Unknown<'a>, stamp: &Stamp, longest: Ttl, lost: usize) -> Option<&'a Token> {
        Claim { ends: self.ends(stamp), ttl: self.ttl, longest, lost }.found_in(unknown)
    }

    /// Whether its token, if it made one, was listed by now.
    fn is_settled(&self, stamp: &Stamp) -> bool {
        self.given_up.is_some_and(|given_up| given_up.after(LATE).monotonic <= stamp.sent.monotonic)
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
    /// The only token with such an end, if hardly any has it by accident.
    fn found_in<'a>(&self, unknown: &Unknown<'a>) -> Option<&'a Token> {
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

    /// Whether hardly any of the tokens that may have been made at that time can be taken for its by accident.
    ///
    /// If a token's text tells its lifetime, another one would have to be asked for at the same time with the very same lifetime. If
    /// not, any that was asked for up to six hours before may have such an end: so there must be no token that is not accounted
    /// for, and few ends may be its.
    fn is_certain(&self, ends: &RangeInclusive<i64>, unknown: &Unknown<'_>, tells: bool) -> bool {
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

/// A request that is under way. However it ends, and if only because its task is stopped, what became of it is noted.
pub(super) struct Sending<'a> {
    tokens: &'a Tokens,
    lost: Lost,
}

impl Sending<'_> {
    pub(super) fn ttl(&self) -> Ttl {
        self.lost.ttl
    }

    /// The service answered: there is nothing to look for.
    pub(super) fn heard(self) {
        self.tokens.lost().retain(|lost| lost.number != self.lost.number);
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        // A clock of the user's that panics in a destructor would end the process.
        let now = runtime::caught(|| self.tokens.api.0.clock.coarse()).unwrap_or(self.lost.sent);
        if let Some(lost) = self.tokens.lost().iter_mut().find(|lost| lost.number == self.lost.number) {
            lost.given_up = Some(now);
        }
    }
}

impl Tokens {
    pub(super) fn lost(&self) -> MutexGuard<'_, Vec<Lost>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request for a token, known before it is sent.
    pub(super) fn sending(&self, scopes: &ScopeSet) -> Sending<'_> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);

        let (ttl, sent) = (lifetime(self.options.ttl), self.api.0.clock.coarse());
        let mut all = self.lost();
        // Under the lock, so that they stand in the order of their numbers.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let lost = Lost { number, scopes: scopes.clone(), ttl, sent, given_up: None };
        if longest_cut(self.options.ttl).is_some() {
            if all.len() >= MOST_LOST {
                all.remove(0);
            }
            all.push(lost.clone());
        }
        Sending { tokens: self, lost }
    }

    /// The requests for these scopes of which nothing was heard, and nothing will be, by their numbers.
    fn lost_for(&self, scopes: &ScopeSet) -> Vec<Lost> {
        self.lost().iter().filter(|lost| lost.scopes == *scopes && lost.given_up.is_some()).cloned().collect()
    }

    /// Whether one for these scopes was given up, and none so long ago that its token is not waited for any more.
    pub(super) fn awaits_lost(&self, scopes: &ScopeSet) -> bool {
        let now = self.api.0.clock.coarse();
        let is_recent = |lost: &Lost| lost.given_up.is_some_and(|it| now.monotonic < it.after(LONG).monotonic);
        let lost = self.lost_for(scopes);
        !lost.is_empty() && lost.iter().all(is_recent)
    }

    pub(super) fn has_lost(&self, scopes: &ScopeSet) -> bool {
        let now = self.api.0.clock.coarse();
        let mut lost = self.lost();
        lost.retain(|lost| !super::source::is_over(&lost.sent.after(lost.ttl.into()), &now));
        lost.iter().any(|lost| lost.scopes == *scopes && lost.given_up.is_some())
    }

    /// Looks for all tokens whose making was lost, so that they are known.
    pub(super) async fn find_lost(&self) -> Result<(), Error> {
        let mut sets: Vec<ScopeSet> =
            self.lost().iter().filter(|lost| lost.given_up.is_some()).map(|lost| lost.scopes.clone()).collect();
        let mut seen = HashSet::new();
        sets.retain(|scopes| seen.insert(scopes.clone()));
        let mut result = Ok(());
        for scopes in sets {
            result = result.and(self.look(&scopes, |_| false).await.map(drop));
        }
        result
    }

    /// A living token of the account that is good for the scopes: one that was made here and lost, or any, if that is wanted.
    pub(super) async fn look(
        &self,
        scopes: &ScopeSet,
        is_over: impl Fn(&AccessToken) -> bool,
    ) -> Result<Option<Fetched>, Error> {
        let concrete = scopes.iter().find_map(|pattern| pattern.as_str().parse::<Scope>().ok());
        let (tokens, stamp) = self.api.list_tokens(concrete.as_ref()).await?;
        let lost = self.lost_for(scopes);
        let longest = self.options.ttl;
        let lives = |token: &Token| {
            let left = stamp.here(token.expires_at()).duration_since(stamp.sent.now).unwrap_or_default();
            left > window(longest.into())
        };
        let others: Vec<&Token> = tokens.iter().filter(|token| !is_over(token.token())).collect();
        let unknown = || others.iter().copied().filter(|token| !self.knows(token.token()));
        let is_of_interest = {
            let unknown = Ends::of(unknown().map(|token| since_1970(token.expires_at())));
            let ends = |lost: &Lost| lost.ends(&stamp).iter().any(|ends| unknown.count(ends) > 0);
            lost.iter().any(ends) || (self.options.reuse_existing && others.iter().any(|token| lives(token)))
        };
        let wanted = if is_of_interest { self.expanded(scopes).await? } else { None };
        let (mut found, mut good): (Vec<u64>, Vec<&Token>) = Default::default();
        if let Some(wanted) = &wanted {
            // A lost one was granted what was asked for or less.
            let mut fitting: Vec<&Token> = Vec::new();
            for some in others.chunks(AT_ONCE) {
                fitting.extend(some.iter().filter(|token| within(token, scopes, wanted)));
                tokio::task::yield_now().await;
            }
            let unknown = Unknown::new(fitting.into_iter().filter(|token| !self.knows(token.token())));
            for one in &lost {
                let Some(token) = one.found_in(&unknown, &stamp, longest, lost.len()) else { continue };
                self.remember(token, &stamp);
                found.push(one.number);
                good.push(token);
            }
        }
        // The numbers of both are sorted.
        let is_listed = |known: &Lost| {
            let was_looked_for = || lost.binary_search_by_key(&known.number, |lost| lost.number).is_ok();
            found.binary_search(&known.number).is_ok() || (known.is_settled(&stamp) && was_looked_for())
        };
        self.lost().retain(|known| !is_listed(known));
        let Some(wanted) = &wanted else { return Ok(None) };
        if self.options.reuse_existing {
            let mut all = others;
            all.sort_by_key(|token| token.expires_at());
            all.append(&mut good);
            good = all;
        }
        let mut best = None;
        for some in good.rchunks(AT_ONCE) {
            best = some.iter().rfind(|token| lives(token) && covers(token, wanted));
            if best.is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let Some(token) = best else { return Ok(None) };
        trace::cache::adopted(scopes);
        // Whatever the service's clock says: no token lives longer than the longest that can be asked for.
        let latest = stamp.sent.after(Ttl::MAX.into()).now;
        Ok(Some(fetched(token, &stamp, scopes, latest, LIST_TOKENS.operation)))
    }

    /// What the scopes come to, as a grant says it. `None` if one of them comes to nothing.
    async fn expanded(&self, scopes: &ScopeSet) -> Result<Option<ScopeSet>, Error> {
        if !scopes.iter().any(ScopePattern::has_wildcard) {
            return Ok(Some(scopes.clone()));
        }
        let catalogue = self.api.list_scopes().await?;
        let known = |pattern: &ScopePattern| !pattern.has_wildcard() || pattern.expand(&catalogue).next().is_some();
        let concrete = scopes.iter().filter(|pattern| !pattern.has_wildcard()).cloned();
        let expanded = scopes.expand(&catalogue).map(ScopePattern::from);
        Ok(scopes.iter().all(known).then(|| concrete.chain(expanded).collect()))
    }
}

/// Whether a token may have been made by a request that failed so.
pub(super) fn is_uncertain(error: &Error) -> bool {
    error.operation() == Some(CREATE_TOKEN.operation.name) && (error.is_ambiguous() || error.is_decode())
}

fn covers(token: &Token, wanted: &ScopeSet) -> bool {
    granted(token).names(wanted)
}

/// Whether a token has nothing but what was asked for, as it was said or as it comes to: the service may expand a path to those below.
fn within(token: &Token, scopes: &ScopeSet, wanted: &ScopeSet) -> bool {
    grants(token).all(|grant| wanted.includes([&grant]) || scopes.includes([&grant]))
}

fn since_1970(moment: SystemTime) -> i64 {
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
