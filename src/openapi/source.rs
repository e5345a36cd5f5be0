//! Where tokens come from: `POST /token`, or what is there already.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use reqwest::StatusCode;

use super::lost::{Lost, is_uncertain};
use super::managed::Options;
use super::{Api, CREATE_TOKEN, Credentials, Token, invalid, is_missing};
use crate::cache::{Fetched, TokenSource};
use crate::clock::Moment;
use crate::store::{Scopes, StoredToken};
use crate::transport::Stamp;
use crate::{AccessToken, Error, Scope, ScopePattern, ScopeSet, trace};

/// Makes tokens, and knows which it made.
pub(crate) struct Tokens {
    pub(super) api: Api,
    email: String,
    pub(super) options: Options,
    created: Mutex<Known>,
    /// Those that somebody else looks after.
    made: Mutex<Known>,
    pub(super) lost: Mutex<Vec<Lost>>,
}

impl Tokens {
    pub(super) fn new(api: Api, credentials: &Credentials, options: Options) -> Self {
        Self {
            api,
            email: credentials.email.clone(),
            options,
            created: Mutex::default(),
            made: Mutex::default(),
            lost: Mutex::default(),
        }
    }

    fn created(&self) -> MutexGuard<'_, Known> {
        self.created.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn made(&self) -> MutexGuard<'_, Known> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a token that somebody asked for to look after it himself: it is not one that was lost.
    pub(super) fn note(&self, token: &Token, stamp: &Stamp) {
        self.made().add(token, stamp);
    }

    pub(super) fn remember(&self, token: &Token, stamp: &Stamp) {
        self.created().add(token, stamp);
    }

    pub(super) fn knows(&self, token: &AccessToken) -> bool {
        self.created().has(token) || self.made().has(token)
    }

    /// The tokens that were made here to look after, and that have not expired.
    pub(super) fn living(&self) -> Vec<AccessToken> {
        let mut created = self.created();
        created.sweep(&self.api.0.clock.coarse());
        created.tokens.iter().map(|(token, _)| token.clone()).collect()
    }

    /// Forgets a token that is no more. Says whether it was one that was made here to look after.
    pub(super) fn strike_out(&self, token: &AccessToken) -> bool {
        self.made().remove(token);
        self.created().remove(token)
    }

    /// Deletes a token that was made here. Says whether it was still there.
    pub(super) async fn delete(&self, token: &AccessToken) -> Result<bool, Error> {
        let there = match self.api.delete_token(token).await {
            Ok(()) => true,
            Err(error) if is_missing(&error) => false,
            Err(error) => return Err(error),
        };
        self.strike_out(token);
        Ok(there)
    }

    /// `blindly`: also if the account's tokens cannot be looked through.
    async fn find_or_create(
        &self,
        scopes: &ScopeSet,
        previous: Option<&AccessToken>,
        blindly: bool,
    ) -> Result<Fetched, Error> {
        let now = self.api.0.clock.coarse();
        self.lost().retain(|lost| !is_over(&lost.sent.after(self.options.ttl.into()), &now));
        if self.options.reuse_existing || self.lost_for(scopes).iter().any(|lost| !lost.looked) {
            let found = match self.look(scopes, previous).await {
                Err(error) if may_pass(&error) || !blindly => return Err(error),
                // What cannot be looked at keeps nobody from a token.
                Err(error) => {
                    trace::cache::not_looked(scopes, &error);
                    None
                }
                Ok(found) => found,
            };
            self.lost().iter_mut().filter(|lost| lost.scopes == *scopes).for_each(|lost| lost.looked = true);
            if let Some(found) = found {
                return Ok(found);
            }
        }
        // Known before it is sent: whoever stops this task stops it without a word.
        let sent = self.api.0.clock.coarse();
        self.lost().push(Lost { scopes: scopes.clone(), sent, given_up: None, looked: false });
        let result = self.create(scopes).await;
        let mut lost = self.lost();
        if let Some(place) = lost.iter().rposition(|lost| lost.scopes == *scopes && lost.sent == sent) {
            match &result {
                Err(error) if is_uncertain(error) => lost[place].given_up = Some(self.api.0.clock.coarse()),
                _ => drop(lost.remove(place)),
            }
        }
        drop(lost);
        result
    }

    async fn create(&self, scopes: &ScopeSet) -> Result<Fetched, Error> {
        let (token, stamp) = self.api.create_token(scopes, self.options.ttl).await?;
        self.remember(&token, &stamp);
        let lacking = scopes.not_covered_by(&granted(&token));
        if !lacking.is_empty() {
            // Nobody will use it. Should it not go away now, `revoke_created` still knows it.
            let _ = self.delete(token.token()).await;
            return Err(Error::lacking(lacking).with_operation(CREATE_TOKEN.operation));
        }
        // The service's clock is not needed for what was asked for here.
        let latest = stamp.sent.after(self.options.ttl.into()).now;
        Ok(fetched(&token, &stamp, scopes, latest))
    }
}

/// Tokens, with their ends. Those that have expired go away now and then.
#[derive(Default)]
struct Known {
    tokens: Vec<(AccessToken, Moment)>,
    /// With so many it is time to look for them.
    full: usize,
}

impl Known {
    fn add(&mut self, token: &Token, stamp: &Stamp) {
        if self.tokens.len() >= self.full {
            self.sweep(&stamp.sent);
        }
        let left = stamp.here(token.expires_at()).duration_since(stamp.sent.now).unwrap_or_default();
        self.tokens.push((token.token().clone(), stamp.sent.after(left)));
    }

    fn sweep(&mut self, now: &Moment) {
        self.tokens.retain(|(_, end)| !is_over(end, now));
        self.full = 2 * self.tokens.len().max(32);
    }

    fn has(&self, token: &AccessToken) -> bool {
        self.tokens.iter().any(|(known, _)| known == token)
    }

    /// Says whether it was there.
    fn remove(&mut self, token: &AccessToken) -> bool {
        let before = self.tokens.len();
        self.tokens.retain(|(known, _)| known != token);
        self.tokens.len() < before
    }
}

/// Whether both times say so: one of them may have been set.
fn is_over(end: &Moment, now: &Moment) -> bool {
    end.now <= now.now && end.monotonic <= now.monotonic
}

/// Whether it is about the service or the account, and not about what was asked. `POST /token` would fail alike.
fn may_pass(error: &Error) -> bool {
    error.is_transient() || error.is_unauthorized() || error.status() == Some(StatusCode::FORBIDDEN)
}

/// What a token is good for. A service that repeats a pattern rather than what it comes to has granted it.
pub(super) fn granted(token: &Token) -> ScopeSet {
    let patterns = token.scopes().unrecognized().iter().filter_map(|entry| entry.parse::<ScopePattern>().ok());
    token.scopes().iter().cloned().map(ScopePattern::from).chain(patterns).collect()
}

pub(super) fn fetched(token: &Token, stamp: &Stamp, scopes: &ScopeSet, latest: SystemTime) -> Fetched {
    let granted = granted(token);
    let token = StoredToken {
        access_token: token.token().clone(),
        obtained_at: stamp.sent.now,
        expires_at: stamp.here(token.expires_at()).min(latest),
        renewal: None,
        scopes: Some(Scopes { requested: scopes.clone(), granted }),
    };
    Fetched { token, sent: stamp.sent }
}

impl TokenSource for Tokens {
    type Key = ScopeSet;

    /// What a wildcard comes to is not known, so a scope stays beside one that covers it: it is to be granted by its name.
    fn normal(&self, scopes: &ScopeSet) -> ScopeSet {
        let (wild, concrete): (Vec<_>, Vec<_>) = scopes.iter().cloned().partition(ScopePattern::has_wildcard);
        ScopeSet::minimised(wild).into_iter().chain(ScopeSet::minimised(concrete)).collect()
    }

    fn name(&self, scopes: &ScopeSet) -> String {
        // Quoted, so that no two accounts have the same.
        format!("openapi-oauth {:?} {:?} {scopes}", self.api.0.base_url, self.email)
    }

    async fn fetch(&self, scopes: &ScopeSet, previous: Option<&StoredToken>) -> Result<Fetched, Error> {
        if scopes.is_empty() {
            return Err(invalid(&CREATE_TOKEN, "no scopes"));
        }
        let previous = previous.map(StoredToken::access_token);
        match self.find_or_create(scopes, previous, true).await {
            // Once more: there is one to be found now, or there is none. Who cannot tell makes no second one at once.
            Err(error) if is_uncertain(&error) && self.api.0.rest_after(&error).await => {
                self.find_or_create(scopes, previous, false).await
            }
            result => result,
        }
    }

    /// Twice: `GET /token`, `GET /scopes`, `POST /token` and `DELETE /token`, with a rest between.
    fn longest(&self) -> Duration {
        self.api.0.timeout.saturating_mul(8).saturating_add(self.api.0.retry.longest_rest())
    }

    fn is_broad(&self, scopes: &ScopeSet) -> bool {
        scopes.len() > 1 || scopes.iter().any(ScopePattern::has_wildcard)
    }

    /// A scope covers what lies below its path. Who serves them all serves the first.
    fn above(&self, scopes: &ScopeSet) -> Vec<ScopeSet> {
        let first = scopes.iter().next().and_then(|pattern| pattern.as_str().parse::<Scope>().ok());
        let shorter = |scope: &Scope| scope.as_str().rsplit_once('/').and_then(|(above, _)| above.parse().ok());
        std::iter::successors(first, shorter).map(ScopeSet::from).collect()
    }

    fn serves(&self, token: &StoredToken, scopes: &ScopeSet) -> bool {
        // What a wildcard comes to is not known, so who asks for one is served by who asked for it and got anything of it.
        let serves = |Scopes { requested, granted }: &Scopes, pattern: &ScopePattern| {
            let expanded = || requested.includes([pattern]) && granted.iter().any(|grant| pattern.includes(grant));
            granted.includes([pattern]) || (pattern.has_wildcard() && expanded())
        };
        let known = token.scopes.as_ref().filter(|_| !scopes.is_empty());
        known.is_some_and(|known| scopes.iter().all(|pattern| serves(known, pattern)))
    }
}
