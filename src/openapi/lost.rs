//! Requests for a token whose answer was lost, and the tokens that they may have made.

use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::source::{Tokens, fetched, granted};
use super::{CREATE_TOKEN, Token};
use crate::cache::{Fetched, window};
use crate::clock::Moment;
use crate::{AccessToken, Error, Scope, ScopePattern, ScopeSet, trace};

/// A request for a token that nobody has heard of, or not yet.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) scopes: ScopeSet,
    pub(super) sent: Moment,
    /// When it was given up; `None` while it is under way, which is no longer than a call may take, or if the task that waited for it
    /// was stopped.
    pub(super) given_up: Option<Moment>,
    /// Whether it was looked for already.
    pub(super) looked: bool,
}

/// The service's clock is read to the second, when it makes a token and when it answers.
const TICKS: Duration = Duration::from_secs(3);

impl Lost {
    /// At that moment, or so much later. By either time: one of them may have been set since, or may have stood still. Who gave up
    /// heard nothing of the service, which may have gone on for as long again.
    fn may_have_been_made(&self, at: SystemTime, slack: Duration, now: &Moment, timeout: Duration) -> bool {
        let last = self.given_up.unwrap_or_else(|| self.sent.after(timeout)).after(timeout);
        let slack = slack.saturating_add(TICKS);
        let not_after = |a: SystemTime, b: SystemTime, by| b.checked_add(by).is_none_or(|b| a <= b);
        if not_after(self.sent.now, at, slack) && not_after(at, last.now, TICKS) {
            return true;
        }
        let Ok(ago) = now.now.duration_since(at) else { return false };
        let at = now.monotonic.saturating_sub(ago);
        self.sent.monotonic <= at.saturating_add(slack) && at <= last.monotonic.saturating_add(TICKS)
    }
}

/// Which of these tokens were made by these requests, if it can be told: of more tokens than requests that may have made them,
/// some are somebody else's. Takes away the requests whose tokens were found.
fn found_of<'a>(lost: &mut Vec<Lost>, tokens: &[&'a Token], may: impl Fn(&Lost, &Token) -> bool) -> Vec<&'a Token> {
    let mut ours: Vec<&Token> = Vec::new();
    for one in lost.clone() {
        let left = tokens.iter().filter(|token| !ours.iter().any(|known| known.token() == token.token()));
        let made: Vec<&Token> = left.copied().filter(|token| may(&one, token)).collect();
        let makers = lost.iter().filter(|lost| made.iter().any(|token| may(lost, token))).count();
        if made.len() > makers {
            continue;
        }
        for token in &made {
            if let Some(place) = lost.iter().position(|lost| may(lost, token)) {
                lost.remove(place);
            }
        }
        ours.extend(made);
    }
    ours
}

impl Tokens {
    pub(super) fn lost(&self) -> MutexGuard<'_, Vec<Lost>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lost_for(&self, scopes: &ScopeSet) -> Vec<Lost> {
        self.lost().iter().filter(|lost| lost.scopes == *scopes).cloned().collect()
    }

    /// Looks for all tokens whose making was lost, so that they are known.
    pub(super) async fn find_lost(&self) -> Result<(), Error> {
        let mut sets: Vec<ScopeSet> = Vec::new();
        for Lost { scopes, .. } in self.lost().iter() {
            if !sets.contains(scopes) {
                sets.push(scopes.clone());
            }
        }
        let mut result = Ok(());
        for scopes in sets {
            result = result.and(self.look(&scopes, None).await.map(drop));
        }
        result
    }

    /// A living token of the account that covers the scopes: one whose making was lost, or any, if that is wanted.
    pub(super) async fn look(
        &self,
        scopes: &ScopeSet,
        previous: Option<&AccessToken>,
    ) -> Result<Option<Fetched>, Error> {
        let concrete = scopes.iter().find_map(|pattern| pattern.as_str().parse::<Scope>().ok());
        let (tokens, stamp) = self.api.list_tokens(concrete.as_ref()).await?;
        let lost = self.lost_for(scopes);
        let may = |lost: &Lost, token: &Token| {
            let end = stamp.here(token.expires_at());
            let made = end.checked_sub(self.options.ttl.into()).unwrap_or(end);
            lost.may_have_been_made(made, stamp.slack(), &stamp.sent, self.api.0.timeout)
        };
        let is_lost = |token: &Token| lost.iter().any(|lost| may(lost, token)) && !self.knows(token.token());
        let lives = |token: &Token| {
            let left = stamp.here(token.expires_at()).duration_since(stamp.sent.now).unwrap_or_default();
            left > window(self.options.ttl.into())
        };
        let mut found: Vec<&Token> = tokens.iter().filter(|token| previous != Some(token.token())).collect();
        found.retain(|token| is_lost(token) || (self.options.reuse_existing && lives(token)));
        found.sort_by_key(|token| (is_lost(token), token.expires_at()));
        let wanted = match found.is_empty() {
            true => return Ok(None),
            false => self.expanded(scopes).await?,
        };
        let Some(wanted) = wanted else { return Ok(None) };
        // A lost one was granted what was asked for or less.
        let own: Vec<&Token> =
            found.iter().copied().filter(|token| is_lost(token) && within(token, scopes, &wanted)).collect();
        let mut left = lost.clone();
        for token in found_of(&mut left, &own, may) {
            self.remember(token, &stamp);
        }
        self.lost().retain(|known| left.contains(known) || !lost.contains(known));
        let Some(token) = found.iter().rev().find(|token| covers(token, &wanted)) else { return Ok(None) };
        trace::cache::adopted(scopes);
        Ok(Some(fetched(token, &stamp, scopes, stamp.here(token.expires_at()))))
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
    granted(token).includes(wanted)
}

/// Whether a token has nothing but what was asked for, as it was said or as it comes to.
fn within(token: &Token, scopes: &ScopeSet, wanted: &ScopeSet) -> bool {
    granted(token).iter().all(|grant| wanted.includes([grant]) || scopes.includes([grant]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_may_be_made_while_the_request_is_under_way_and_as_long_again() {
        const TIMEOUT: Duration = Duration::from_secs(60);
        let sent = Moment { now: SystemTime::UNIX_EPOCH + 1_000 * TIMEOUT, monotonic: 1_000 * TIMEOUT };
        let at = |seconds: i64| {
            let by = Duration::from_secs(seconds.unsigned_abs());
            if seconds < 0 { sent.now - by } else { sent.now + by }
        };
        let lost = |given_up: Option<u64>| Lost {
            scopes: ScopeSet::default(),
            sent,
            given_up: given_up.map(|seconds| sent.after(Duration::from_secs(seconds))),
            looked: false,
        };
        for (given_up, made, slack, expected) in [
            (Some(10), 0, 0, true),
            (Some(10), 72, 0, true),
            (Some(10), 74, 0, false),
            (Some(10), -3, 0, true),
            (Some(10), -4, 0, false),
            // The clock of the service was read up to so much later.
            (Some(10), -13, 10, true),
            (Some(10), -14, 10, false),
            // The task was stopped: no request is under way for longer than a call may take.
            (None, 122, 0, true),
            (None, 124, 0, false),
            (None, 3_600, 0, false),
        ] {
            let (slack, now) = (Duration::from_secs(slack), sent.after(100 * TIMEOUT));
            let may = lost(given_up).may_have_been_made(at(made), slack, &now, TIMEOUT);
            assert_eq!(may, expected, "{given_up:?} {made} {slack:?}");
        }
    }
}
