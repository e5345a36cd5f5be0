//! Requests for a token whose answer was lost, and the tokens that they made.
//!
//! Each request asks for a lifetime of its own, drawn by chance. The service answers with the end of a token, so the end names
//! the request: a token of somebody else, asked for at the same time for the same scopes, has another end.

use std::ops::RangeInclusive;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::source::{Tokens, fetched, granted};
use super::{CREATE_TOKEN, LIST_TOKENS, Token, Ttl};
use crate::cache::{Fetched, window};
use crate::clock::Moment;
use crate::transport::Stamp;
use crate::{AccessToken, Error, Scope, ScopePattern, ScopeSet, runtime, trace};

/// A request for a token of which nothing was heard.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Lost {
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

/// The account's tokens of which nobody here knows, that have nothing but the scopes in question, by their ends in milliseconds
/// of the service's time.
struct Unknown<'a>(Vec<(i64, &'a Token)>);

impl<'a> Unknown<'a> {
    fn new(tokens: impl Iterator<Item = &'a Token>) -> Self {
        let mut tokens: Vec<_> = tokens.map(|token| (since_1970(token.expires_at()), token)).collect();
        tokens.sort_by_key(|(end, _)| *end);
        Self(tokens)
    }

    fn ending(&self, ends: &RangeInclusive<i64>) -> &[(i64, &'a Token)] {
        let first = self.0.partition_point(|(end, _)| end < ends.start());
        let after = self.0.partition_point(|(end, _)| end <= ends.end());
        self.0.get(first..after).unwrap_or_default()
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

    /// The token that it made, if that is certain: the only one with such an end, and none that has it by accident.
    ///
    /// `lost`: how many requests there are whose tokens may be among the unknown.
    fn found_in<'a>(&self, unknown: &Unknown<'a>, stamp: &Stamp, longest: Ttl, lost: usize) -> Option<&'a Token> {
        let asked = millis(self.ttl.into());
        let mut found: Option<&Token> = None;
        for ends in self.ends(stamp) {
            let fits = |(end, token): &&(i64, &Token)| lifetime_told(*end, token).is_none_or(|told| told == asked);
            let fitting: Vec<_> = unknown.ending(&ends).iter().filter(fits).collect();
            let (end, token) = match fitting.as_slice() {
                [] => continue,
                [(end, token)] => (*end, *token),
                _ => return None,
            };
            let tells = lifetime_told(end, token).is_some();
            let is_another = found.is_some_and(|found| found.token() != token.token());
            if is_another || !self.is_certain(&ends, unknown, longest, (tells, lost)) {
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
    fn is_certain(
        &self,
        ends: &RangeInclusive<i64>,
        unknown: &Unknown<'_>,
        longest: Ttl,
        (tells, lost): (bool, usize),
    ) -> bool {
        const TOLD: i64 = 100;
        const NOT_TOLD: i64 = 1_000;

        let Some(cut) = longest_cut(longest) else { return false };
        let cut = i64::from(cut) * 1_000;
        let later = millis(longest.into()) - millis(self.ttl.into());
        let tokens = unknown.ending(&(ends.start() + later - cut..=ends.end() + later)).len();
        let spread = ends.end() - ends.start();
        if tells {
            i64::try_from(tokens).unwrap_or(i64::MAX).saturating_mul(1_000 * TOLD) <= cut
        } else {
            tokens <= lost && spread.saturating_mul(NOT_TOLD) <= cut
        }
    }

    /// Whether its token, if it made one, was listed by now.
    fn is_settled(&self, stamp: &Stamp) -> bool {
        self.given_up.is_some_and(|given_up| given_up.after(LATE).monotonic <= stamp.sent.monotonic)
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
        self.tokens.lost().retain(|lost| *lost != self.lost);
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        // A clock of the user's that panics in a destructor would end the process.
        let now = runtime::caught(|| self.tokens.api.0.clock.coarse()).unwrap_or(self.lost.sent);
        if let Some(lost) = self.tokens.lost().iter_mut().find(|lost| **lost == self.lost) {
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
        let (ttl, sent) = (lifetime(self.options.ttl), self.api.0.clock.coarse());
        let lost = Lost { scopes: scopes.clone(), ttl, sent, given_up: None };
        if longest_cut(self.options.ttl).is_some() {
            let mut all = self.lost();
            if all.len() >= MOST_LOST {
                all.remove(0);
            }
            all.push(lost.clone());
        }
        Sending { tokens: self, lost }
    }

    /// The requests for these scopes of which nothing was heard, and nothing will be.
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
        let mut sets: Vec<ScopeSet> = Vec::new();
        for Lost { scopes, given_up, .. } in self.lost().iter() {
            if given_up.is_some() && !sets.contains(scopes) {
                sets.push(scopes.clone());
            }
        }
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
            let unknown = Unknown::new(unknown());
            let ends = |lost: &Lost| lost.ends(&stamp).iter().any(|ends| !unknown.ending(ends).is_empty());
            lost.iter().any(ends) || (self.options.reuse_existing && others.iter().any(|token| lives(token)))
        };
        let wanted = if is_of_interest { self.expanded(scopes).await? } else { None };
        let mut good: Vec<&Token> = Vec::new();
        if let Some(wanted) = &wanted {
            // A lost one was granted what was asked for or less.
            let unknown = Unknown::new(unknown().filter(|token| within(token, scopes, wanted)));
            if self.options.reuse_existing {
                good.extend(&others);
                good.sort_by_key(|token| token.expires_at());
            }
            let pending = lost.len();
            for lost in &lost {
                let Some(token) = lost.found_in(&unknown, &stamp, longest, pending) else { continue };
                self.remember(token, &stamp);
                self.lost().retain(|known| known != lost);
                good.push(token);
            }
            good.retain(|token| lives(token) && covers(token, wanted));
        }
        self.lost().retain(|known| !known.is_settled(&stamp) || !lost.contains(known));
        let Some(token) = good.last() else { return Ok(None) };
        trace::cache::adopted(scopes);
        Ok(Some(fetched(token, &stamp, scopes, stamp.here(token.expires_at()), LIST_TOKENS.operation)))
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
    error.operation() == Some(CREATE_TOKEN.operation.name) && (error.may_have_been_carried_out() || error.is_decode())
}

fn covers(token: &Token, wanted: &ScopeSet) -> bool {
    granted(token).names(wanted)
}

/// Whether a token has nothing but what was asked for, as it was said or as it comes to: the service may expand a path to those below.
fn within(token: &Token, scopes: &ScopeSet, wanted: &ScopeSet) -> bool {
    granted(token).iter().all(|grant| wanted.includes([grant]) || scopes.includes([grant]))
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
